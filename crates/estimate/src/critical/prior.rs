//! From a noise scale to a belief about B_c, by a prior learnt from published runs.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::{BELIEF, CriticalBatch, CriticalSource, ln_sd_of_interval};
use crate::fieller::{Ratio, student_t_quantile};

/// What kind of task the prior ratio R = B_simple/B_crit is taken from (theory §8.2, step 3c).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Task {
    /// Supervised discriminative tasks (5 runs): R = 3.0, scale 0.75, 90 % within ×/÷4.9.
    Supervised,
    /// All tasks, with autoencoders and games (9 runs): R = 0.81, scale 2.1, 90 % within ×/÷49.
    Any,
}

/// (task, B_crit, B_simple), both averaged over training: McCandlish et al. 2018, table 1 (theory §1.8). The first
/// five are supervised. Atari's range 400–8,000 / 1,000–20,000 is 2.5 at both ends; Dota 5v5 has only a bound.
pub const TABLE_1: [(&str, f64, f64); 9] = [
    ("MNIST", 200.0, 900.0),
    ("SVHN", 500.0, 4_000.0),
    ("CIFAR10", 900.0, 2_000.0),
    ("ImageNet", 15_000.0, 30_000.0),
    ("LSTM Billion Word", 100_000.0, 150_000.0),
    ("Autoencoder SVHN", 40.0, 2.0),
    ("VAE SVHN", 200.0, 10.0),
    ("Atari", 400.0, 1_000.0),
    ("Dota 1v1", 3_000_000.0, 300_000.0),
];

const SUPERVISED_ROWS: usize = 5;

/// The prior of ln(φ/B_c), learnt from [`TABLE_1`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct RatioPrior {
    /// R: geometric mean of φ/B_c.
    pub ratio: f64,
    /// Predictive scale of ln(φ/B_c) for a new task: sd·√(1+1/n).
    pub ln_sd: f64,
    /// Degrees of freedom, n−1.
    pub degrees_of_freedom: f64,
    /// Factor that holds 90 % of new tasks to either side.
    pub factor: f64,
}

impl Task {
    pub(super) fn rows(self) -> &'static [(&'static str, f64, f64)] {
        match self {
            Self::Supervised => &TABLE_1[..SUPERVISED_ROWS],
            Self::Any => &TABLE_1,
        }
    }

    /// The prior learnt from this task's rows of [`TABLE_1`].
    #[must_use]
    pub fn prior(self) -> RatioPrior {
        let logs: Vec<f64> =
            self.rows().iter().map(|(_, critical, simple)| (simple / critical).ln()).collect();
        let n = logs.len() as f64;
        let mean = logs.iter().sum::<f64>() / n;
        let variance = logs.iter().map(|l| (l - mean) * (l - mean)).sum::<f64>() / (n - 1.0);
        let ln_sd = (variance * (1.0 + 1.0 / n)).sqrt();
        let degrees_of_freedom = n - 1.0;
        let factor = (student_t_quantile(0.5 + BELIEF / 2.0, degrees_of_freedom) * ln_sd).exp();
        RatioPrior { ratio: mean.exp(), ln_sd, degrees_of_freedom, factor }
    }
}

/// φ → B_c: ln B_c = ln φ − ln R, variance Var(ln φ) + that of the prior (theory §8.2, step 3c).
///
/// `phi`'s interval is taken as 95 %. A lower bound on φ gives a belief about the bound, with
/// [`CriticalBatch::lower_bound_only`]. `None` where φ has no positive value or bound. Not calibrated for language
/// models under Adam (theory §1.8: φ was wrong by orders of magnitude there).
#[must_use]
pub fn critical_batch_from_phi(phi: &Ratio, task: Task) -> Option<CriticalBatch> {
    let prior = task.prior();
    let (centre, sampling_sd, lower_bound_only) = match *phi {
        Ratio::Measured { value, low, high } => (value, ln_sd_of_interval(value, low, high)?, false),
        Ratio::LowerBound { low } => (low, 0.0, true),
        Ratio::WholeLine | Ratio::NotIdentified { .. } => return None,
    };
    if !(centre.is_finite() && centre > 0.0) {
        return None;
    }
    let ln_sd = prior.ln_sd.hypot(sampling_sd);
    let median = centre / prior.ratio;
    let factor = (student_t_quantile(0.5 + BELIEF / 2.0, prior.degrees_of_freedom) * ln_sd).exp();
    let (low, high) = (median / factor, median * factor);
    (low > 0.0 && high.is_finite()).then_some(CriticalBatch {
        median,
        ln_sd,
        low,
        high,
        source: CriticalSource::NoiseScale { task },
        lower_bound_only,
    })
}

/// What a noise scale says about B_c.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "kind", rename_all = "snake_case"))]
pub enum PhiReading {
    /// A belief, or one about a lower bound.
    Belief {
        /// The belief.
        belief: CriticalBatch,
    },
    /// φ may be shown as it changes over training, and is no statement about B_c.
    TrendOnly {
        /// Why, as a lower-case clause.
        why: String,
    },
    /// φ has no positive value or bound.
    NotIdentified {
        /// Why, as a lower-case clause.
        why: String,
    },
}

/// Which published runs calibrate φ for a training task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "kind", rename_all = "snake_case"))]
pub enum Calibration {
    /// Those of a task of [`TABLE_1`].
    Prior {
        /// The task.
        task: Task,
    },
    /// None: a language model under Adam, where φ missed the measured B_c by orders of magnitude (Merrill et al. 2025;
    /// theory.md §1.8).
    AdamLanguageModel,
}

/// [`critical_batch_from_phi`] where a prior exists, else a trend; says why there is no belief.
#[must_use]
pub fn read_phi(phi: &Ratio, calibration: Calibration) -> PhiReading {
    let task = match calibration {
        Calibration::Prior { task } => task,
        Calibration::AdamLanguageModel => {
            return PhiReading::TrendOnly {
                why: "for language models under Adam φ missed the critical batch by orders of magnitude"
                    .to_owned(),
            };
        }
    };
    match (critical_batch_from_phi(phi, task), phi) {
        (Some(belief), _) => PhiReading::Belief { belief },
        (None, Ratio::NotIdentified { why }) => PhiReading::NotIdentified { why: why.clone() },
        (None, _) => PhiReading::NotIdentified { why: "φ has no positive value or bound".to_owned() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prior_is_that_of_the_theory() {
        let close = |found: f64, stated: f64, unit: f64| (found - stated).abs() <= unit / 2.0;
        let p = Task::Supervised.prior();
        assert!(close(p.ratio, 3.0, 0.1) && close(p.ln_sd, 0.75, 0.01) && close(p.factor, 4.9, 0.1), "{p:?}");
        let p = Task::Any.prior();
        assert!(
            close(p.ratio, 0.81, 0.01) && close(p.ln_sd, 2.1, 0.1) && close(p.factor, 49.0, 2.0),
            "{p:?}"
        );
    }

    #[test]
    fn a_sharp_phi_keeps_the_prior_and_a_blunt_one_widens_it() {
        let sharp = Ratio::Measured { value: 900.0, low: 899.0, high: 901.0 };
        let c = critical_batch_from_phi(&sharp, Task::Supervised).unwrap();
        assert!((c.median - 300.0).abs() < 3.0 && !c.lower_bound_only, "{c:?}");
        assert!((c.high / c.median - Task::Supervised.prior().factor).abs() < 0.01);
        let blunt = Ratio::Measured { value: 900.0, low: 300.0, high: 2700.0 };
        let wide = critical_batch_from_phi(&blunt, Task::Supervised).unwrap();
        assert!((wide.ln_sd.powi(2) - c.ln_sd.powi(2) - (3f64.ln() / 1.96).powi(2)).abs() < 1e-3);
    }

    #[test]
    fn adam_language_models_get_a_trend_only() {
        let phi = Ratio::Measured { value: 900.0, low: 800.0, high: 1000.0 };
        let read = |phi: &Ratio, calibration| read_phi(phi, calibration);
        assert!(matches!(read(&phi, Calibration::AdamLanguageModel), PhiReading::TrendOnly { .. }));
        let prior = Calibration::Prior { task: Task::Supervised };
        let belief = critical_batch_from_phi(&phi, Task::Supervised).unwrap();
        assert_eq!(read(&phi, prior), PhiReading::Belief { belief });
        assert_eq!(
            read(&Ratio::not_identified("x"), prior),
            PhiReading::NotIdentified { why: "x".to_owned() }
        );
        assert!(matches!(read(&Ratio::WholeLine, prior), PhiReading::NotIdentified { .. }));
    }

    #[test]
    fn a_bound_stays_a_bound_and_nothing_stays_nothing() {
        let c = critical_batch_from_phi(&Ratio::LowerBound { low: 900.0 }, Task::Supervised).unwrap();
        assert!(c.lower_bound_only && c.low < 300.0 / 4.0 && c.low > 300.0 / 6.0, "{c:?}");
        for phi in [
            Ratio::WholeLine,
            Ratio::not_identified("x"),
            Ratio::Measured { value: 0.0, low: 0.0, high: 1.0 },
            Ratio::Measured { value: f64::NAN, low: 0.0, high: 1.0 },
            Ratio::LowerBound { low: f64::INFINITY },
        ] {
            assert_eq!(critical_batch_from_phi(&phi, Task::Any), None, "{phi:?}");
        }
    }
}
