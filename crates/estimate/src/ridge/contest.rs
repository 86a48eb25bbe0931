//! The forms against each other: which the data exclude, and whether one is left.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::forms::{Candidate, Form, Shape, Weighted, candidates};
use super::optimum::Vertex;
use crate::fieller::student_t_quantile;
use crate::outcome::Outcome;

/// Forms that differ by less than this factor at every batch size tried are the same in practice: 20 % of the learning
/// rate cost 4 % of the progress (theory.md §4.1).
pub const SAME: f64 = 1.2;

/// No form is preferred while the largest batch size is less than this many times the smallest: over less, all forms are nearly
/// the same power.
pub const NARROW: f64 = 8.0;

/// Batch sizes needed to tell forms apart.
const FEWEST: usize = 4;

/// How one form fits.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct FormFit {
    /// Which form.
    pub form: Form,
    /// The factor c: for [`Form::Power`] and the one-parameter forms the learning rate at batch size 1, for the others the
    /// plateau or peak. `None` beyond the range of floating point numbers.
    pub factor: Option<f64>,
    /// p of [`Form::Power`], α of [`Form::AdamNoiseScale`].
    pub power: Option<f64>,
    /// B_n of the forms that bend, examples; a value far outside the batch sizes tried says that no bend was seen.
    pub scale: Option<f64>,
    /// Weighted sum of the squared residuals of ln LR*, in units of its errors.
    pub deviance: f64,
    /// Akaike's weight (AICc) among the fitted forms, in [0, 1].
    pub weight: f64,
    /// The data exclude it.
    pub excluded: bool,
}

/// Which form the learning rates follow.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "kind", rename_all = "snake_case"))]
pub enum FormVerdict {
    /// Every other form is excluded, or contains this one and differs from it by less than the factor [`SAME`] over the
    /// batch sizes tried. It is a statement about those batch sizes only.
    Preferred {
        /// The form.
        form: Form,
    },
    /// The data do not tell these apart.
    CannotTell {
        /// The forms that are not excluded, the simple ones first.
        among: Vec<Form>,
    },
}

/// All forms, and what the data say of them.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Contest {
    /// The forms, in the order of [`Form::ALL`]; none with fewer than 4 batch sizes.
    pub fits: Vec<FormFit>,
    /// The verdict.
    pub verdict: FormVerdict,
}

/// A learning rate for a batch size that need not have been tried.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Transfer {
    /// Batch size.
    pub batch: u64,
    /// The best learning rate there, by every form that is not excluded; the value is that of the best of them. Round it down
    /// ([`round_down`](super::round_down)).
    pub learning_rate: Outcome,
    /// The batch size lies outside those whose best learning rate is known: the law is continued beyond its data.
    pub extrapolated: bool,
}

/// Every form with every shape, ready for questions.
struct Field {
    all: Vec<Vec<Candidate>>,
    /// Variance that one unit of deviance stands for, at least 1.
    dispersion: f64,
    smallest: f64,
    /// Excluded from this deviance on.
    limit: f64,
    weight: f64,
    /// Change of all learning rates with λ, the weighted mean.
    by_shape: f64,
    ends: (f64, f64),
    n: f64,
}

impl Field {
    fn of(points: &[Vertex]) -> Option<Self> {
        if points.len() < FEWEST {
            return None;
        }
        let variances = super::exponent::variances(points);
        let weighted: Vec<Weighted> =
            points.iter().zip(&variances).map(|(p, v)| ((p.batch as f64).ln(), p.x, 1.0 / v)).collect();
        let weight: f64 = weighted.iter().map(|p| p.2).sum();
        let all: Vec<Vec<Candidate>> = Form::ALL.iter().map(|f| candidates(*f, &weighted)).collect();
        let best = all.iter().filter_map(|c| c.first()).min_by(|a, b| a.deviance.total_cmp(&b.deviance))?;
        let df = (points.len() - 2) as f64;
        let dispersion = (best.deviance / df).max(1.0);
        // Twice the 95 % quantile of F with (2, df) degrees of freedom: what two further parameters gain by chance.
        let by_chance = df * (0.05_f64.powf(-2.0 / df) - 1.0);
        Some(Self {
            dispersion,
            smallest: best.deviance,
            limit: best.deviance + dispersion * by_chance,
            by_shape: points.iter().zip(&weighted).map(|(p, w)| w.2 / weight * p.by_shape).sum(),
            weight,
            ends: weighted.iter().fold((f64::MAX, f64::MIN), |m, p| (m.0.min(p.0), m.1.max(p.0))),
            n: points.len() as f64,
            all,
        })
    }

    fn included(&self) -> impl Iterator<Item = &Vec<Candidate>> {
        self.all.iter().filter(|c| c.first().is_some_and(|best| best.deviance <= self.limit))
    }

    /// Akaike's, with the small-sample term.
    fn criterion(&self, c: &Candidate) -> f64 {
        let k = c.form.parameters() as f64;
        // With too few batch sizes for a form that term has no value: the form gets no weight.
        let left = self.n - k - 1.0;
        if left > 0.0 { c.deviance / self.dispersion + 2.0 * k * (1.0 + (k + 1.0) / left) } else { f64::MAX }
    }

    /// Whether a form fits well enough to be preferred: well inside the limit of exclusion.
    fn fits(&self, c: &Candidate) -> bool {
        c.deviance <= self.smallest + (self.limit - self.smallest) / 2.0
    }

    /// Largest |ln ratio| over the batch sizes between `form` and the shapes of `richer` that are not excluded.
    fn distance(&self, form: &Candidate, richer: &[Candidate]) -> f64 {
        let at: Vec<f64> =
            (0..=8).map(|i| self.ends.0 + (self.ends.1 - self.ends.0) * f64::from(i) / 8.0).collect();
        richer
            .iter()
            .filter(|c| c.deviance <= self.limit)
            .flat_map(|c| at.iter().map(move |b| (c.at(*b) - form.at(*b)).abs()))
            .fold(0.0, f64::max)
    }
}

/// Fits all forms and sets them against each other.
pub(super) fn contest(points: &[Vertex]) -> Contest {
    let Some(field) = Field::of(points) else {
        return Contest { fits: Vec::new(), verdict: FormVerdict::CannotTell { among: Form::ALL.to_vec() } };
    };
    let best: Vec<&Candidate> = field.all.iter().filter_map(|c| c.first()).collect();
    let smallest = best.iter().map(|c| field.criterion(c)).fold(f64::MAX, f64::min);
    let raw: Vec<f64> = best.iter().map(|c| (-(field.criterion(c) - smallest) / 2.0).exp()).collect();
    let whole: f64 = raw.iter().sum();
    let fits = best.iter().zip(&raw).map(|(c, w)| describe(c, w / whole, c.deviance > field.limit)).collect();
    let left: Vec<&Vec<Candidate>> = field.included().collect();
    let wide = field.ends.1 - field.ends.0 >= NARROW.ln() - 1e-9;
    let wins = |c: &&&Vec<Candidate>| {
        wide && field.fits(&c[0])
            && left.iter().all(|other| {
                other[0].form == c[0].form
                    || (other[0].form.contains(c[0].form) && field.distance(&c[0], other) <= SAME.ln())
            })
    };
    let verdict = match left.iter().find(wins) {
        Some(c) => FormVerdict::Preferred { form: c[0].form },
        None => FormVerdict::CannotTell { among: left.iter().map(|c| c[0].form).collect() },
    };
    Contest { fits, verdict }
}

fn describe(c: &Candidate, weight: f64, excluded: bool) -> FormFit {
    let Shape { power, ln_scale } = c.shape;
    let bends = matches!(c.form, Form::NoiseScale | Form::AdamNoiseScale | Form::Surge);
    let finite = |v: f64| Some(v).filter(|v| v.is_finite());
    FormFit {
        form: c.form,
        factor: finite(c.level.exp()),
        power: matches!(c.form, Form::Power | Form::AdamNoiseScale).then_some(power),
        scale: if bends { finite(ln_scale.exp()) } else { None },
        deviance: c.deviance,
        weight,
        excluded,
    }
}

/// The best learning rate at any batch size, from all forms and shapes that are not excluded: a profile-likelihood interval
/// over the union of the forms.
///
/// `shape_reach`: half the interval of λ, which moves all learning rates together.
pub(super) fn transfer(points: &[Vertex], batch: u64, confidence: f64, shape_reach: f64) -> Transfer {
    let known = || points.iter().map(|p| p.batch);
    let extrapolated =
        known().min().is_none_or(|low| batch < low) || known().max().is_none_or(|high| batch > high);
    let learning_rate = match Field::of(points) {
        _ if batch == 0 => Outcome::not_identified("the batch size is 0, at least 1 is needed"),
        None => {
            let n = points.len();
            Outcome::not_identified(format!(
                "{n} batch sizes have a bounded best learning rate, at least {FEWEST} are needed"
            ))
        }
        Some(field) => reach(&field, batch, confidence, shape_reach),
    };
    Transfer { batch, learning_rate, extrapolated }
}

fn reach(field: &Field, batch: u64, confidence: f64, shape_reach: f64) -> Outcome {
    let t = student_t_quantile(0.5 + confidence / 2.0, field.n - 2.0);
    let ln_batch = (batch as f64).ln();
    let ceiling = field.smallest + t * t * field.dispersion;
    let (mut low, mut high) = (f64::MAX, f64::MIN);
    for c in field.all.iter().flatten().filter(|c| c.deviance <= ceiling) {
        let half = ((ceiling - c.deviance) / field.weight).sqrt();
        low = low.min(c.at(ln_batch) - half);
        high = high.max(c.at(ln_batch) + half);
    }
    let best = field.included().map(|c| c[0]);
    let best = best.min_by(|a, b| field.criterion(a).total_cmp(&field.criterion(b)));
    let value = best.map(|c| c.at(ln_batch).clamp(low, high)).filter(|v| v.exp().is_normal());
    let by_shape = shape_reach * field.by_shape;
    if let Some(value) = value {
        low = value - (value - low).hypot(by_shape);
        high = value + (high - value).hypot(by_shape);
    }
    match value {
        Some(value) if low.exp().is_normal() && high.exp().is_finite() => {
            Outcome::Measured { value: value.exp(), low: low.exp(), high: high.exp() }
        }
        _ => Outcome::not_identified("the learning rate is beyond the range of floating point numbers"),
    }
}
