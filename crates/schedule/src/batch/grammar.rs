//! The text of a batch-size schedule.

use super::spec::{BatchShape, BatchSpec, Bounds};
use crate::controller::{ControllerSpec, Policy};
use crate::length::Length;
use crate::rules::Scaling;
use crate::text::{self, Cursor, SpecError};
use std::fmt;
use std::str::FromStr;

const SIZE: &str = "a batch size of at least 1, such as `64` or `2k`";
const NEXT: &str = "`then`, `doubling`, `x5 at`, `ramp`, `increase`, `seesaw`, `critical`, `adaptive`, `max`, `min`, `multiple`, \
                    `doublings`, `lr` or the end";

impl FromStr for BatchSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let mut cursor = Cursor::new(text);
        cursor.accept("batch");
        let spec = Self::read(&mut cursor)?;
        cursor.end(NEXT)?;
        Ok(spec)
    }
}

impl BatchSpec {
    /// Reads a schedule up to the first word that cannot belong to it.
    ///
    /// # Errors
    /// A text that is none, with the place of the fault.
    pub fn read(c: &mut Cursor<'_>) -> Result<Self, SpecError> {
        let base = size(c)?;
        let shape = shape(c)?;
        let mut bounds = Bounds::default();
        loop {
            if c.accept("max") {
                bounds.max = size(c)?;
            } else if c.accept("min") {
                bounds.min = size(c)?;
            } else if c.accept("multiple") {
                bounds.multiple = size(c)?;
            } else if c.accept("doublings") {
                bounds.doublings = true;
            } else {
                break;
            }
        }
        let rule = if c.accept("lr") { Some(rule(c)?) } else { None };
        Ok(Self { base, shape, bounds, rule })
    }
}

fn size(c: &mut Cursor<'_>) -> Result<u64, SpecError> {
    match c.count(SIZE)? {
        0 => Err(c.error_before(SIZE)),
        size => Ok(size),
    }
}

fn shape(c: &mut Cursor<'_>) -> Result<BatchShape, SpecError> {
    let word = c.peek().unwrap_or_default();
    match word {
        "then" => {
            let mut steps = Vec::new();
            while c.accept("then") {
                steps.push(size_at(c)?);
            }
            Ok(BatchShape::Steps { steps })
        }
        "doubling" => {
            c.advance();
            Ok(BatchShape::Times { factor: 2.0, at: places(c)? })
        }
        "ramp" => {
            c.advance();
            c.expect("to")?;
            let to = size(c)?;
            c.expect("over")?;
            let over = Length::read(c)?;
            let geometric = c.accept("geometric");
            let from = if c.accept("from") { Length::read(c)? } else { Length::Examples(0) };
            Ok(BatchShape::Ramp { to, over, from, geometric })
        }
        "increase" => {
            c.advance();
            Ok(BatchShape::Increase)
        }
        "seesaw" => {
            c.advance();
            Ok(BatchShape::Seesaw)
        }
        "critical" => {
            c.advance();
            let mut points = vec![size_at(c)?];
            while c.accept(",") {
                points.push(size_at(c)?);
            }
            Ok(BatchShape::Critical { points })
        }
        "adaptive" => {
            c.advance();
            Ok(BatchShape::Adaptive(adaptive(c)?))
        }
        _ if word.starts_with(['x', '×']) => {
            const FACTOR: &str = "a factor above 0, such as `x5`";
            let factor = c.factor(FACTOR)?;
            if !(0.0 < factor && factor <= 1e6) {
                return Err(c.error_before(FACTOR));
            }
            Ok(BatchShape::Times { factor, at: places(c)? })
        }
        _ => Ok(BatchShape::Constant),
    }
}

fn adaptive(c: &mut Cursor<'_>) -> Result<ControllerSpec, SpecError> {
    const POLICY: &str =
        "`noise-scale`, `root`, `cabs`, `norm-test`, `inner-product`, `diversity` or `goodput`";
    let word = c.peek().unwrap_or_default();
    let policy = match word {
        "noise-scale" => {
            c.advance();
            let given = c.peek().is_some_and(|w| w.starts_with(['x', '×']));
            let factor =
                if given { above_0(c, |c| c.factor("a factor above 0, such as `x1`"))? } else { 1.0 };
            Policy::NoiseScale { factor }
        }
        "root" => Policy::RootNoiseScale { rate: parameter(c, "the rate in examples, above 0")? },
        "norm-test" => Policy::NormTest { theta: parameter(c, "θ, above 0, such as `0.9`")? },
        "inner-product" => Policy::InnerProduct {
            theta: parameter(c, "θ, above 0, such as `0.9`")?,
            nu: above_0(c, |c| c.number("ν, above 0, such as `5.84`"))?,
        },
        "diversity" => Policy::Diversity { delta: parameter(c, "δ, above 0, such as `0.001`")? },
        "cabs" | "goodput" => {
            c.advance();
            if word == "cabs" { Policy::Cabs } else { Policy::Goodput }
        }
        _ => return Err(c.error(POLICY)),
    };
    let mut spec = ControllerSpec::new(policy);
    loop {
        if c.accept("band") {
            const BAND: &str = "a factor of at least 1, such as `x1.2`";
            spec.band = c.factor(BAND)?;
            if spec.band < 1.0 {
                return Err(c.error_before(BAND));
            }
        } else if c.accept("dwell") {
            spec.dwell = Length::read(c)?;
        } else if c.accept("most") {
            const MOST: &str = "a factor above 1, such as `x2`";
            spec.most = c.factor(MOST)?;
            if spec.most <= 1.0 {
                return Err(c.error_before(MOST));
            }
        } else if c.accept("grow-only") {
            spec.grow_only = true;
        } else {
            return Ok(spec);
        }
    }
}

/// The policy's name, and its number above 0.
fn parameter(c: &mut Cursor<'_>, what: &str) -> Result<f64, SpecError> {
    c.advance();
    above_0(c, |c| c.number(what))
}

fn above_0<'a>(
    c: &mut Cursor<'a>,
    read: impl Fn(&mut Cursor<'a>) -> Result<f64, SpecError>,
) -> Result<f64, SpecError> {
    match read(c)? {
        value if 0.0 < value => Ok(value),
        _ => Err(c.error_before("a number above 0")),
    }
}

fn write_adaptive(f: &mut fmt::Formatter<'_>, spec: &ControllerSpec) -> fmt::Result {
    let number = text::shortest;
    f.write_str(" adaptive ")?;
    match spec.policy {
        Policy::NoiseScale { factor: 1.0 } => f.write_str("noise-scale")?,
        Policy::NoiseScale { factor } => write!(f, "noise-scale x{}", number(factor))?,
        Policy::RootNoiseScale { rate } => write!(f, "root {}", number(rate))?,
        Policy::Cabs => f.write_str("cabs")?,
        Policy::NormTest { theta } => write!(f, "norm-test {}", number(theta))?,
        Policy::InnerProduct { theta, nu } => write!(f, "inner-product {} {}", number(theta), number(nu))?,
        Policy::Diversity { delta } => write!(f, "diversity {}", number(delta))?,
        Policy::Goodput => f.write_str("goodput")?,
    }
    let usual = ControllerSpec::new(spec.policy);
    if spec.band != usual.band {
        write!(f, " band x{}", number(spec.band))?;
    }
    if spec.dwell != usual.dwell {
        write!(f, " dwell {}", spec.dwell)?;
    }
    if spec.most != usual.most {
        write!(f, " most x{}", number(spec.most))?;
    }
    if spec.grow_only { f.write_str(" grow-only") } else { Ok(()) }
}

fn size_at(c: &mut Cursor<'_>) -> Result<(u64, Length), SpecError> {
    let size = size(c)?;
    c.expect("at")?;
    Ok((size, Length::read(c)?))
}

fn places(c: &mut Cursor<'_>) -> Result<Vec<Length>, SpecError> {
    c.expect("at")?;
    let mut at = vec![Length::read(c)?];
    while c.accept(",") {
        at.push(Length::read(c)?);
    }
    Ok(at)
}

/// Reads how the learning rate follows: `keep`, `linear`, `sqrt`, `power` p, `noise-scale` φ,
/// `root-noise-scale` φ or `surge` Bₙ.
fn rule(c: &mut Cursor<'_>) -> Result<Scaling, SpecError> {
    let rule = match c.peek() {
        Some("keep") => Scaling::Keep,
        Some("linear") => Scaling::Linear,
        Some("sqrt") => Scaling::SquareRoot,
        Some("power") => {
            const POWER: &str = "the exponent, 0 to 2";
            c.advance();
            let exponent = c.number(POWER)?;
            return if exponent <= 2.0 {
                Ok(Scaling::Power { exponent })
            } else {
                Err(c.error_before(POWER))
            };
        }
        Some("surge") => {
            const PEAK: &str = "the batch size of the highest learning rate, above 0";
            c.advance();
            let peak_batch = c.number(PEAK)?;
            return if 0.0 < peak_batch {
                Ok(Scaling::Surge { peak_batch })
            } else {
                Err(c.error_before(PEAK))
            };
        }
        Some(name @ ("noise-scale" | "root-noise-scale")) => {
            const PHI: &str = "the noise scale in examples, above 0";
            c.advance();
            let phi = c.number(PHI)?;
            let rule = if name == "noise-scale" {
                Scaling::NoiseScale { phi }
            } else {
                Scaling::RootNoiseScale { phi }
            };
            return if 0.0 < phi { Ok(rule) } else { Err(c.error_before(PHI)) };
        }
        _ => {
            return Err(
                c.error("`keep`, `linear`, `sqrt`, `power`, `noise-scale`, `root-noise-scale` or `surge`")
            );
        }
    };
    c.advance();
    Ok(rule)
}

impl fmt::Display for BatchSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.base)?;
        let list = |at: &[Length]| at.iter().map(Length::to_string).collect::<Vec<_>>().join(",");
        match &self.shape {
            BatchShape::Constant => {}
            BatchShape::Steps { steps } => {
                for (size, at) in steps {
                    write!(f, " then {size} at {at}")?;
                }
            }
            BatchShape::Times { factor, at } if *factor == 2.0 => write!(f, " doubling at {}", list(at))?,
            BatchShape::Times { factor, at } => write!(f, " x{} at {}", text::shortest(*factor), list(at))?,
            BatchShape::Ramp { to, over, from, geometric } => {
                write!(f, " ramp to {to} over {over}")?;
                if *geometric {
                    f.write_str(" geometric")?;
                }
                if *from != Length::Examples(0) {
                    write!(f, " from {from}")?;
                }
            }
            BatchShape::Increase => f.write_str(" increase")?,
            BatchShape::Seesaw => f.write_str(" seesaw")?,
            BatchShape::Critical { points } => {
                let points: Vec<String> = points.iter().map(|(size, at)| format!("{size} at {at}")).collect();
                write!(f, " critical {}", points.join(", "))?;
            }
            BatchShape::Adaptive(spec) => write_adaptive(f, spec)?,
        }
        let usual = Bounds::default();
        if self.bounds.max != usual.max {
            write!(f, " max {}", self.bounds.max)?;
        }
        if self.bounds.min != usual.min {
            write!(f, " min {}", self.bounds.min)?;
        }
        if self.bounds.multiple != usual.multiple {
            write!(f, " multiple {}", self.bounds.multiple)?;
        }
        if self.bounds.doublings {
            f.write_str(" doublings")?;
        }
        match self.rule {
            None => Ok(()),
            Some(Scaling::Keep) => f.write_str(" lr keep"),
            Some(Scaling::Linear) => f.write_str(" lr linear"),
            Some(Scaling::SquareRoot) => f.write_str(" lr sqrt"),
            Some(Scaling::Power { exponent }) => write!(f, " lr power {}", text::shortest(exponent)),
            Some(Scaling::RootNoiseScale { phi }) => {
                write!(f, " lr root-noise-scale {}", text::shortest(phi))
            }
            Some(Scaling::Surge { peak_batch }) => write!(f, " lr surge {}", text::shortest(peak_batch)),
            Some(Scaling::NoiseScale { phi }) => write!(f, " lr noise-scale {}", text::shortest(phi)),
        }
    }
}
