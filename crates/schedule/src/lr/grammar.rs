//! The text of a learning-rate schedule.

use super::spec::{Decay, Level, LrSpec, Segment, Shape};
use crate::length::Length;
use crate::progress::LearningRate;
use crate::text::{self, Cursor, SpecError};
use std::fmt;
use std::str::FromStr;

const SEGMENT: &str = "`warmup`, `constant`, `linear`, `cosine`, `polynomial`, `1-sqrt`, `step`, `exponential`, \
                       `inverse-sqrt`, `restarts`, `cyclic`, `one-cycle` or `wsd`";
const LEVEL: &str = "a learning rate or a percentage of the peak, such as `1e-5` or `10%`";
const FACTOR: &str = "a factor above 0, at most 1, such as `x0.2`";

impl FromStr for LrSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let mut cursor = Cursor::new(text);
        cursor.accept("lr");
        let spec = Self::read(&mut cursor)?;
        cursor.end("`then` or the end")?;
        Ok(spec)
    }
}

impl LrSpec {
    /// Reads a schedule up to the first word that cannot belong to it.
    ///
    /// # Errors
    /// A text that is none, with the place of the fault.
    pub fn read(cursor: &mut Cursor<'_>) -> Result<Self, SpecError> {
        let mut spec = Self::default();
        let is_number = cursor.peek().is_some_and(|w| text::plain_number(w).is_some());
        if is_number {
            let rate = cursor.number("a learning rate")?;
            if rate <= 0.0 {
                return Err(cursor.error_before("a learning rate above 0"));
            }
            spec.peak = Some(LearningRate(rate));
            if cursor.peek().is_none() {
                return Ok(spec);
            }
        }
        if spec.peak.is_none() && cursor.peek().is_some_and(|w| w.parse::<f64>().is_ok()) {
            return Err(cursor.error("a finite learning rate above 0, not negative, infinite or NaN"));
        }
        read_segment(cursor, &mut spec.segments)?;
        while cursor.accept("then") {
            read_segment(cursor, &mut spec.segments)?;
        }
        Ok(spec)
    }
}

fn read_segment(c: &mut Cursor<'_>, out: &mut Vec<Segment>) -> Result<(), SpecError> {
    let Some(word) = c.peek() else { return Err(c.error(SEGMENT)) };
    let usual = |text: &str, out: &mut Vec<Segment>| {
        let spec: LrSpec = text.parse()?;
        out.extend(spec.segments);
        Ok(())
    };
    c.advance();
    let shape = match word {
        "one-cycle" => return usual("warmup 30% from 4% cosine then cosine to 0.0004%", out),
        "wsd" => return usual("warmup 2% then constant then 1-sqrt to 0 over 20%", out),
        "warmup" => {
            let length = Length::read(c)?;
            let from = if c.accept("from") { level(c)? } else { Level::Rate(0.0) };
            let cosine = c.accept("cosine");
            out.push(Segment::over(Shape::Warmup { from, cosine }, length));
            return Ok(());
        }
        "constant" => {
            let at = match c.peek() {
                Some("for" | "then" | ",") | None => None,
                Some(_) => Some(level(c)?),
            };
            let length = if c.accept("for") { Some(Length::read(c)?) } else { None };
            out.push(Segment { shape: Shape::Constant { at }, length });
            return Ok(());
        }
        "linear" => Shape::Linear { to: to(c)? },
        "cosine" => Shape::Cosine { to: to(c)? },
        "polynomial" => {
            let power = c.number("the power, above 0")?;
            if !(0.0 < power && power <= 1000.0) {
                return Err(c.error_before("the power, above 0 and at most 1000"));
            }
            Shape::Polynomial { power, to: to(c)? }
        }
        "1-sqrt" => Shape::OneMinusSqrt { to: to(c)? },
        "step" => {
            let factor = fall(c)?;
            if c.accept("every") {
                Shape::StepEvery { factor, every: Length::read(c)? }
            } else if c.accept("at") {
                let mut at = vec![Length::read(c)?];
                while c.accept(",") {
                    at.push(Length::read(c)?);
                }
                Shape::StepAt { factor, at }
            } else {
                return Err(c.error("`at` or `every`"));
            }
        }
        "exponential" => {
            let factor = fall(c)?;
            c.expect("every")?;
            let every = Length::read(c)?;
            let to = if c.accept("to") { level(c)? } else { Level::Rate(0.0) };
            Shape::Exponential { factor, every, to }
        }
        "inverse-sqrt" => {
            c.expect("timescale")?;
            Shape::InverseSqrt { timescale: Length::read(c)? }
        }
        "restarts" => {
            c.expect("every")?;
            let every = Length::read(c)?;
            let mut growth = 1.0;
            if c.peek() != Some("to") {
                growth = c.factor("`to`, or how much longer each period is, such as `x2`")?;
                if !(1.0..=1000.0).contains(&growth) {
                    return Err(c.error_before("a factor from 1 to 1000, such as `x2`"));
                }
            }
            Shape::Restarts { every, growth, to: to(c)? }
        }
        "cyclic" => cyclic(c)?,
        _ => return Err(c.error_before(SEGMENT)),
    };
    let length = if c.accept("over") { Some(Length::read(c)?) } else { None };
    out.push(Segment { shape, length });
    Ok(())
}

fn cyclic(c: &mut Cursor<'_>) -> Result<Shape, SpecError> {
    c.expect("from")?;
    let from = level(c)?;
    c.expect("every")?;
    let every = Length::read(c)?;
    let mut up = 0.5;
    if c.accept("up") {
        const UP: &str = "the part of a cycle that rises, above 0% and below 100%";
        up = match Length::read(c).map_err(|e| SpecError { allowed: UP.to_owned(), ..e })? {
            Length::Fraction(up) if 0.0 < up && up < 1.0 => up,
            _ => return Err(c.error_before(UP)),
        };
    }
    let decay = if c.accept("halving") {
        Decay::Halving
    } else if c.accept("decay") {
        Decay::Continuous(fall(c)?)
    } else {
        Decay::None
    };
    Ok(Shape::Cyclic { from, every, up, decay })
}

fn to(c: &mut Cursor<'_>) -> Result<Level, SpecError> {
    c.expect("to")?;
    level(c)
}

fn level(c: &mut Cursor<'_>) -> Result<Level, SpecError> {
    let word = c.peek().unwrap_or_default();
    let found = if let Some(percent) = word.strip_suffix('%') {
        text::plain_number(percent).filter(|p| *p <= 100.0).map(|p| Level::OfPeak(p / 100.0))
    } else if let Some(share) = word.strip_suffix("peak") {
        text::plain_number(share).filter(|p| *p <= 1.0).map(Level::OfPeak)
    } else {
        text::plain_number(word).map(Level::Rate)
    };
    let level = found.ok_or_else(|| c.error(LEVEL))?;
    c.advance();
    Ok(level)
}

/// A factor by which something falls.
fn fall(c: &mut Cursor<'_>) -> Result<f64, SpecError> {
    let factor = c.factor(FACTOR)?;
    if 0.0 < factor && factor <= 1.0 { Ok(factor) } else { Err(c.error_before(FACTOR)) }
}

impl fmt::Display for LrSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(peak) = self.peak {
            f.write_str(&text::shortest(peak.0))?;
        }
        for (i, segment) in self.segments.iter().enumerate() {
            match (i, self.peak) {
                (0, None) => {}
                (0, Some(_)) => f.write_str(" ")?,
                _ => f.write_str(" then ")?,
            }
            write!(f, "{segment}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = text::shortest;
        match (&self.shape, self.length) {
            (Shape::Warmup { from, cosine }, length) => {
                write!(f, "warmup {}", length.unwrap_or(Length::Fraction(0.0)))?;
                if *from != Level::Rate(0.0) {
                    write!(f, " from {from}")?;
                }
                return if *cosine { f.write_str(" cosine") } else { Ok(()) };
            }
            (Shape::Constant { at }, length) => {
                f.write_str("constant")?;
                if let Some(at) = at {
                    write!(f, " {at}")?;
                }
                return length.map_or(Ok(()), |length| write!(f, " for {length}"));
            }
            (Shape::Linear { to }, _) => write!(f, "linear to {to}")?,
            (Shape::Cosine { to }, _) => write!(f, "cosine to {to}")?,
            (Shape::Polynomial { power, to }, _) => write!(f, "polynomial {} to {to}", number(*power))?,
            (Shape::OneMinusSqrt { to }, _) => write!(f, "1-sqrt to {to}")?,
            (Shape::StepAt { factor, at }, _) => {
                let places: Vec<String> = at.iter().map(Length::to_string).collect();
                write!(f, "step x{} at {}", number(*factor), places.join(","))?;
            }
            (Shape::StepEvery { factor, every }, _) => write!(f, "step x{} every {every}", number(*factor))?,
            (Shape::Exponential { factor, every, to }, _) => {
                write!(f, "exponential x{} every {every}", number(*factor))?;
                if *to != Level::Rate(0.0) {
                    write!(f, " to {to}")?;
                }
            }
            (Shape::InverseSqrt { timescale }, _) => write!(f, "inverse-sqrt timescale {timescale}")?,
            (Shape::Restarts { every, growth, to }, _) => {
                write!(f, "restarts every {every}")?;
                if *growth != 1.0 {
                    write!(f, " x{}", number(*growth))?;
                }
                write!(f, " to {to}")?;
            }
            (Shape::Cyclic { from, every, up, decay }, _) => {
                write!(f, "cyclic from {from} every {every}")?;
                if *up != 0.5 {
                    write!(f, " up {}", Length::Fraction(*up))?;
                }
                match decay {
                    Decay::None => {}
                    Decay::Halving => f.write_str(" halving")?,
                    Decay::Continuous(factor) => write!(f, " decay x{}", number(*factor))?,
                }
            }
        }
        self.length.map_or(Ok(()), |length| write!(f, " over {length}"))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate(rate) => f.write_str(&text::shortest(*rate)),
            Self::OfPeak(share) => f.write_str(&text::share(*share, "peak")),
        }
    }
}
