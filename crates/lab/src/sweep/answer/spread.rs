//! A number over seeds.

use super::types::Spread;

impl Spread {
    /// Of numbers that are all known; `None` of none.
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        let sd = (1 < values.len()).then(|| (squares / (n - 1.0)).sqrt()).filter(|sd| sd.is_finite());
        mean.is_finite().then_some(Self { mean, sd, n: values.len() as u64, censored: 0 })
    }

    /// Of numbers some of which were not reached: `(value, true)` says that it is more than `value`.
    pub(super) fn of_censored(values: &[(f64, bool)]) -> Option<Self> {
        let censored = values.iter().filter(|v| v.1).count() as u64;
        let all: Vec<f64> = values.iter().map(|v| v.0).collect();
        // With runs that never got there the deviation would be that of the budget.
        let of_all = Self::of(&all)?;
        Some(Self { sd: of_all.sd.filter(|_| censored == 0), censored, ..of_all })
    }

    /// Whether no run got there, so that nothing but a bound is known.
    #[must_use]
    pub fn none_got_there(&self) -> bool {
        self.censored == self.n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_censored_runs_is_a_bound() {
        let all = Spread::of(&[1.0, 3.0]).unwrap();
        assert_eq!((all.mean, all.sd, all.n, all.censored), (2.0, Some(2f64.sqrt()), 2, 0));
        assert_eq!(Spread::of(&[4.0]).unwrap().sd, None);
        assert_eq!(Spread::of(&[]), None);
        let some = Spread::of_censored(&[(1.0, false), (9.0, true)]).unwrap();
        assert_eq!((some.mean, some.sd, some.censored), (5.0, None, 1));
        assert!(!some.none_got_there());
    }
}
