//! What a learning-rate schedule is made of, in the units it was written in.

use super::Schedule;
use super::curve::Curve;
use crate::length::{Length, LengthError, RunLength};
use crate::progress::{Examples, LearningRate};
#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

/// A learning-rate schedule as it is written: segments in any unit of length.
///
/// It reads from and prints as a text; the grammar (brackets are optional, braces repeat):
///
/// ```text
/// schedule = [ "lr" ] [ rate ] [ segment { "then" segment } ]          0.1 warmup 5% then cosine to 0
/// segment  = "warmup" length [ "from" level ] [ "cosine" ]     from 0 to the peak, straight or along half a cosine
///          | "constant" [ level ] [ "for" length ]             a jump to the level, if one is given
///          | "linear" "to" level [ "over" length ]
///          | "cosine" "to" level [ "over" length ]
///          | "polynomial" power "to" level [ "over" length ]
///          | "1-sqrt" "to" level [ "over" length ]             the cooldown of WSD (Hägele et al. 2024)
///          | "step" xfactor "at" length { "," length }         places are counted from the run's beginning
///          | "step" xfactor "every" length [ "over" length ]
///          | "exponential" xfactor "every" length [ "to" level ] [ "over" length ]
///          | "inverse-sqrt" "timescale" length [ "over" length ]
///          | "restarts" "every" length [ xgrowth ] "to" level [ "over" length ]
///          | "cyclic" "from" level "every" length [ "up" share ] [ "halving" | "decay" xfactor ] [ "over" length ]
///          | "one-cycle" | "wsd"                               the usual ones, written out when printed
/// level    = a learning rate, or a percentage of the peak      1e-5, 10%
/// length   = 500ex | 2Mtok | 3 epochs | 5%                     see Length
/// xfactor  = x0.2
/// ```
///
/// `one-cycle` is `warmup 30% from 4% cosine then cosine to 0.0004%` (PyTorch's defaults of Smith & Topin 2017); `wsd` is
/// `warmup 2% then constant then 1-sqrt to 0 over 20%`.
///
/// At most one segment may leave its length open: it takes what the others leave of the run. Segments that together are longer
/// than the run are an error, never silently cut: a decay that cannot end is the commonest fault of schedules. After the last
/// segment the learning rate stays where it is.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct LrSpec {
    /// The highest learning rate, where the schedule itself says it.
    pub peak: Option<LearningRate>,
    /// In order; none is a constant learning rate.
    pub segments: Vec<Segment>,
}

/// A shape and how long it lasts.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Segment {
    /// The curve.
    pub shape: Shape,
    /// Its length; `None` takes what the other segments leave of the run.
    pub length: Option<Length>,
}

/// A learning rate, or a part of the peak.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Level {
    /// A learning rate.
    Rate(f64),
    /// A part of the peak, 0 to 1.
    OfPeak(f64),
}

/// How the height of cycles falls.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Decay {
    /// It does not (PyTorch's `triangular`).
    None,
    /// By half after each cycle (PyTorch's `triangular2`).
    Halving,
    /// By this factor in a cycle, continuously (PyTorch's `exp_range`); above 0, at most 1.
    Continuous(f64),
}

/// A curve from the level where the segment before it ended (the peak, for the first).
///
/// u is the share of the segment that is done, s the examples since its beginning, η₀ the level at its beginning.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "shape", rename_all = "snake_case"))]
pub enum Shape {
    /// From `from` to the peak, η = from + (peak − from)·u, or along half a cosine. Gradual warmup: Goyal et al. 2017.
    Warmup {
        /// Where it begins.
        from: Level,
        /// Half a cosine instead of a line.
        cosine: bool,
    },
    /// The same throughout, after a jump to `at` if it is given.
    Constant {
        /// The level jumped to.
        at: Option<Level>,
    },
    /// η = η₀ + (to − η₀)·u.
    Linear {
        /// Where it ends.
        to: Level,
    },
    /// η = to + (η₀ − to)·(1 + cos πu)/2 (Loshchilov & Hutter 2017, SGDR, without restarts).
    Cosine {
        /// Where it ends.
        to: Level,
    },
    /// η = to + (η₀ − to)·(1 − u)^power.
    Polynomial {
        /// Above 0.
        power: f64,
        /// Where it ends.
        to: Level,
    },
    /// η = to + (η₀ − to)·(1 − √u): the cooldown of Hägele et al. 2024.
    OneMinusSqrt {
        /// Where it ends.
        to: Level,
    },
    /// η falls by `factor` at each of these places of the run (not of the segment).
    StepAt {
        /// Above 0, at most 1.
        factor: f64,
        /// Ascending.
        at: Vec<Length>,
    },
    /// η = η₀·factor^⌊s/every⌋.
    StepEvery {
        /// Above 0, at most 1.
        factor: f64,
        /// Above 0.
        every: Length,
    },
    /// η = max(η₀·factor^(s/every), to).
    Exponential {
        /// Above 0, at most 1.
        factor: f64,
        /// Above 0.
        every: Length,
        /// It falls no further.
        to: Level,
    },
    /// η = η₀·√(τ/(τ + s)). After a warmup of τ examples this is the η ∝ 1/√examples of Vaswani et al. 2017.
    InverseSqrt {
        /// τ, above 0.
        timescale: Length,
    },
    /// Half cosines from η₀ to `to`, the first `every` long, each `growth` times the last (SGDR, Loshchilov & Hutter 2017).
    Restarts {
        /// Length of the first, above 0.
        every: Length,
        /// At least 1.
        growth: f64,
        /// Where each ends.
        to: Level,
    },
    /// Triangles between `from` and the peak (Smith 2017, cyclical learning rates).
    Cyclic {
        /// The foot.
        from: Level,
        /// Length of a cycle, above 0.
        every: Length,
        /// The part of a cycle that rises, above 0 and below 1.
        up: f64,
        /// How the height falls.
        decay: Decay,
    },
}

/// A schedule cannot be made for a run.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LrError {
    /// Neither the schedule nor anything else says how high.
    #[error("no learning rate: put one in front of the schedule, as in `0.1 warmup 5% then cosine to 0`")]
    NoPeak,
    /// A length that cannot be told in examples.
    #[error("segment {segment}: {source}")]
    Length {
        /// Which, counted from 1.
        segment: usize,
        /// Why.
        source: LengthError,
    },
    /// A number out of range.
    #[error("segment {segment}: {name} is {found}, allowed is {allowed}")]
    OutOfRange {
        /// Which, counted from 1; 0 is the schedule itself.
        segment: usize,
        /// What it is.
        name: &'static str,
        /// The value found.
        found: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// Two segments without a length.
    #[error(
        "segments {first} and {second} both leave their length open; only one can take the rest of the run"
    )]
    TwoOpen {
        /// The first, counted from 1.
        first: usize,
        /// The second.
        second: usize,
    },
    /// The schedule would not end within the run.
    #[error("the schedule takes {needed} examples, the run has {total}: shorten it, or train longer")]
    TooLong {
        /// Sum of the lengths.
        needed: u64,
        /// Of the run.
        total: u64,
    },
}

impl Segment {
    /// A shape over a length.
    #[must_use]
    pub fn over(shape: Shape, length: Length) -> Self {
        Self { shape, length: Some(length) }
    }

    /// A shape over what the other segments leave of the run.
    #[must_use]
    pub fn rest(shape: Shape) -> Self {
        Self { shape, length: None }
    }
}

impl LrSpec {
    /// A constant learning rate, to begin a composition with.
    #[must_use]
    pub fn new(peak: Option<LearningRate>) -> Self {
        Self { peak, segments: Vec::new() }
    }

    /// A straight warmup from 0.
    ///
    /// ```
    /// use batchwise_schedule::lr::{Level, LrSpec, Segment, Shape};
    /// use batchwise_schedule::{LearningRate, Length};
    ///
    /// let spec = LrSpec::new(Some(LearningRate(0.1)))
    ///     .warmup(Length::Fraction(0.05))
    ///     .then(Segment::rest(Shape::Cosine { to: Level::Rate(0.0) }));
    /// assert_eq!(spec.to_string(), "0.1 warmup 5% then cosine to 0");
    /// ```
    #[must_use]
    pub fn warmup(self, length: Length) -> Self {
        self.then(Segment::over(Shape::Warmup { from: Level::Rate(0.0), cosine: false }, length))
    }

    /// One segment more.
    #[must_use]
    pub fn then(mut self, segment: Segment) -> Self {
        self.segments.push(segment);
        self
    }

    /// The schedule of a run; `peak` is used where the text has none.
    ///
    /// # Errors
    /// No peak; numbers out of range; lengths that cannot be told in examples, are left open twice, or exceed the run.
    pub fn resolve(&self, run: &RunLength, peak: Option<LearningRate>) -> Result<Schedule, LrError> {
        let peak = self.peak.or(peak).ok_or(LrError::NoPeak)?;
        if !(peak.0.is_finite() && 0.0 < peak.0) {
            return Err(out_of_range(0, "the learning rate", peak.0, "a finite number above 0"));
        }
        let lengths = self.lengths(run)?;
        let mut segments = Vec::new();
        let (mut start, mut level) = (0u64, peak.0);
        for (i, (segment, length)) in self.segments.iter().zip(lengths).enumerate() {
            let make = Make { i: i + 1, run, peak: peak.0, start, length };
            let before = segments.len();
            make.push(&segment.shape, level, &mut segments)?;
            if segments.len() > before || length == 0 {
                level = make.end(&segment.shape, level, segments.last());
            }
            start += length;
        }
        if segments.first().is_none_or(|(start, _)| 0 < *start) {
            segments.insert(0, (0, Curve::Constant { value: peak.0 }));
        }
        // What follows the last segment stays at its end, also where its curve would go on.
        if !segments.last().is_some_and(|(_, curve)| curve.stays()) {
            segments.push((start, Curve::Constant { value: level }));
        }
        // Of segments that begin at one place only the last is ever seen.
        let mut kept: Vec<(u64, Curve)> = Vec::with_capacity(segments.len());
        for (start, curve) in segments {
            kept.retain(|(other, _)| *other != start);
            kept.push((start, curve));
        }
        Ok(Schedule { peak, segments: kept })
    }

    /// Examples of each segment.
    fn lengths(&self, run: &RunLength) -> Result<Vec<u64>, LrError> {
        let mut lengths = vec![0u64; self.segments.len()];
        let mut open: Option<usize> = None;
        let mut needed = 0u64;
        for (i, segment) in self.segments.iter().enumerate() {
            match segment.length {
                Some(length) => {
                    lengths[i] =
                        length.resolve(run).map_err(|source| LrError::Length { segment: i + 1, source })?.0;
                    needed = needed.saturating_add(lengths[i]);
                }
                None => {
                    if let Some(first) = open {
                        return Err(LrError::TwoOpen { first: first + 1, second: i + 1 });
                    }
                    open = Some(i);
                }
            }
        }
        if run.total.0 < needed {
            // Parts of the run that were rounded up may exceed it by an example each.
            let slack = self.segments.len() as u64;
            let whole = self.segments.iter().all(|s| matches!(s.length, None | Some(Length::Fraction(_))));
            if !(whole && needed - run.total.0 <= slack) {
                return Err(LrError::TooLong { needed, total: run.total.0 });
            }
            if let Some(longest) = (0..lengths.len()).max_by_key(|&i| lengths[i]) {
                lengths[longest] = lengths[longest].saturating_sub(needed - run.total.0);
            }
            needed = run.total.0;
        }
        if let Some(i) = open {
            lengths[i] = run.total.0 - needed;
        }
        Ok(lengths)
    }
}

/// One segment on its way to curves.
struct Make<'a> {
    /// Counted from 1.
    i: usize,
    run: &'a RunLength,
    peak: f64,
    start: u64,
    length: u64,
}

impl Make<'_> {
    /// Appends the curves of `shape`, which begins at `level`.
    fn push(&self, shape: &Shape, level: f64, out: &mut Vec<(u64, Curve)>) -> Result<(), LrError> {
        let length = self.length as f64;
        let curve = match shape {
            Shape::Warmup { from, cosine } => {
                let (from, to) = (self.level(*from)?, self.peak);
                if *cosine { Curve::Cosine { from, to, length } } else { Curve::Linear { from, to, length } }
            }
            Shape::Constant { at } => Curve::Constant { value: at.map_or(Ok(level), |at| self.level(at))? },
            Shape::Linear { to } => Curve::Linear { from: level, to: self.level(*to)?, length },
            Shape::Cosine { to } => Curve::Cosine { from: level, to: self.level(*to)?, length },
            Shape::Polynomial { power, to } => {
                if !(power.is_finite() && 0.0 < *power && *power <= 1000.0) {
                    return Err(out_of_range(self.i, "the power", *power, "above 0, at most 1000"));
                }
                Curve::Polynomial { from: level, to: self.level(*to)?, length, power: *power }
            }
            Shape::OneMinusSqrt { to } => Curve::OneMinusSqrt { from: level, to: self.level(*to)?, length },
            Shape::StepAt { factor, at } => return self.stairs(*factor, at, level, out),
            Shape::StepEvery { factor, every } => {
                Curve::Stairs { from: level, every: self.above_0(*every)?, factor: self.factor(*factor)? }
            }
            Shape::Exponential { factor, every, to } => {
                let decay = -self.factor(*factor)?.ln() / self.above_0(*every)?;
                Curve::Exponential { from: level, floor: self.level(*to)?.min(level), decay: decay.max(0.0) }
            }
            Shape::InverseSqrt { timescale } => {
                Curve::InverseSqrt { from: level, timescale: self.above_0(*timescale)? }
            }
            Shape::Restarts { every, growth, to } => {
                if !(growth.is_finite() && 1.0 <= *growth && *growth <= 1000.0) {
                    return Err(out_of_range(self.i, "the growth of the periods", *growth, "1 to 1000"));
                }
                Curve::Restarts {
                    from: level,
                    to: self.level(*to)?,
                    first: self.above_0(*every)?,
                    growth: *growth,
                }
            }
            Shape::Cyclic { from, every, up, decay } => {
                if !(up.is_finite() && 0.0 < *up && *up < 1.0) {
                    return Err(out_of_range(
                        self.i,
                        "the rising part of a cycle",
                        *up,
                        "above 0 and below 1",
                    ));
                }
                let (factor, stepwise) = match decay {
                    Decay::None => (1.0, true),
                    Decay::Halving => (0.5, true),
                    Decay::Continuous(factor) => (self.factor(*factor)?, false),
                };
                let low = self.level(*from)?;
                Curve::Cyclic {
                    low,
                    high: self.peak,
                    every: self.above_0(*every)?,
                    up: *up,
                    factor,
                    stepwise,
                }
            }
        };
        if 0 < self.length {
            out.push((self.start, curve));
        }
        Ok(())
    }

    /// The learning rate at which the segment leaves off.
    fn end(&self, shape: &Shape, level: f64, last: Option<&(u64, Curve)>) -> f64 {
        match (shape, last) {
            (Shape::Warmup { .. }, _) => self.peak,
            _ if self.length == 0 => match shape {
                Shape::Constant { at: Some(to) }
                | Shape::Linear { to }
                | Shape::Cosine { to }
                | Shape::Polynomial { to, .. }
                | Shape::OneMinusSqrt { to } => self.level(*to).unwrap_or(level),
                _ => level,
            },
            (_, Some((start, curve))) => curve.arrive((self.start + self.length - start) as f64),
            (_, None) => level,
        }
    }

    /// A row of constant levels.
    fn stairs(
        &self,
        factor: f64,
        at: &[Length],
        level: f64,
        out: &mut Vec<(u64, Curve)>,
    ) -> Result<(), LrError> {
        let factor = self.factor(factor)?;
        let mut value = level;
        let mut last = self.start;
        if 0 < self.length {
            out.push((self.start, Curve::Constant { value }));
        }
        for place in at {
            let place =
                place.resolve(self.run).map_err(|source| LrError::Length { segment: self.i, source })?.0;
            if place < last || self.start + self.length < place {
                let allowed = "within the segment, in ascending order";
                return Err(out_of_range(self.i, "the place of a step, in examples,", place as f64, allowed));
            }
            value *= factor;
            last = place;
            if 0 < self.length {
                out.push((place, Curve::Constant { value }));
            }
        }
        Ok(())
    }

    fn level(&self, level: Level) -> Result<f64, LrError> {
        let value = match level {
            Level::Rate(rate) => rate,
            Level::OfPeak(share) => share * self.peak,
        };
        if (0.0..=self.peak * (1.0 + 1e-12)).contains(&value) {
            Ok(value)
        } else {
            Err(out_of_range(self.i, "a level", value, "0 to the peak"))
        }
    }

    fn factor(&self, factor: f64) -> Result<f64, LrError> {
        if 0.0 < factor && factor <= 1.0 {
            Ok(factor)
        } else {
            Err(out_of_range(self.i, "the factor", factor, "above 0, at most 1"))
        }
    }

    fn above_0(&self, length: Length) -> Result<f64, LrError> {
        match length.resolve(self.run).map_err(|source| LrError::Length { segment: self.i, source })? {
            Examples(0) => Err(out_of_range(self.i, "a period, in examples,", 0.0, "at least 1")),
            Examples(n) => Ok(n as f64),
        }
    }
}

fn out_of_range(segment: usize, name: &'static str, found: f64, allowed: &'static str) -> LrError {
    LrError::OutOfRange { segment, name, found: found.to_string(), allowed }
}
