//! What has changed beyond noise.

use super::{Estimate, Saved};
use std::fmt::Write;

/// Smaller changes are not worth a word: a machine drifts by as much from one run to the next.
const LEAST: f64 = 0.03;

/// From this share of foreign time on, a difference may be theirs.
const DISTURBED: f64 = 0.06;

/// Standard errors on either side of a 95 % interval.
const Z: f64 = 1.96;

/// How a bench compares with an earlier run.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Name of the bench.
    pub name: String,
    /// Its median in nanoseconds then and now.
    pub medians: (f64, f64),
    /// The median now, over the one then.
    pub ratio: f64,
    /// The ratio's 95 % interval.
    pub interval: (f64, f64),
    /// What to make of it.
    pub verdict: Verdict,
}

/// What a ratio says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It takes less time.
    Faster,
    /// It takes more time.
    Slower,
    /// Nothing beyond noise.
    Same,
}

/// Each bench that is in both, by the ratio of its medians.
#[must_use]
pub fn compare(then: &Saved, now: &Saved) -> Vec<Change> {
    let both = now.benches.iter().filter_map(|(name, now)| Some((name, then.benches.get(name)?, now)));
    both.map(|(name, then, now)| change(name, then.median, now.median)).collect()
}

fn change(name: &str, then: Estimate, now: Estimate) -> Change {
    let (from, to) = (then.point_estimate, now.point_estimate);
    let ratio = to / from;
    // The logarithm of a ratio has the sum of the relative variances.
    let error = relative_error(then).hypot(relative_error(now));
    let interval = (ratio * (-Z * error).exp(), ratio * (Z * error).exp());
    let verdict = if interval.1 < 1.0 && ratio < 1.0 - LEAST {
        Verdict::Faster
    } else if 1.0 < interval.0 && 1.0 + LEAST < ratio {
        Verdict::Slower
    } else {
        Verdict::Same
    };
    Change { name: name.to_owned(), medians: (from, to), ratio, interval, verdict }
}

/// The bootstrap gives few medians where samples are few: the larger of the standard error and what the interval says.
fn relative_error(of: Estimate) -> f64 {
    let interval = of.confidence_interval;
    let from_interval = (interval.upper_bound - interval.lower_bound) / (2.0 * Z);
    of.standard_error.max(from_interval) / of.point_estimate
}

/// The comparison in words.
#[must_use]
pub fn report(then: &Saved, now: &Saved) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    if then.machine != now.machine {
        let _ = writeln!(out, "WARNING: saved on {}, this is {}", then.machine, now.machine);
    }
    for (when, saved) in [("then", then), ("now", now)] {
        if let Some(share) = saved.foreign.filter(|share| DISTURBED < *share) {
            let share = 100.0 * share;
            let _ = writeln!(
                out,
                "WARNING: others used {share:.0} % of the machine {when}: the intervals do not know"
            );
        }
    }
    let commit = |saved: &Saved| saved.commit.clone().unwrap_or_else(|| "unknown".to_owned());
    let _ = writeln!(
        out,
        "then: {}, commit {}\nnow:  {}, commit {}",
        then.date,
        commit(then),
        now.date,
        commit(now)
    );
    let changes = compare(then, now);
    let width = changes.iter().map(|change| change.name.len()).max().unwrap_or(0).max(5);
    let _ = writeln!(
        out,
        "\n{:width$}  {:>12} {:>12} {:>7}  95 % interval",
        "bench", "then ms", "now ms", "ratio"
    );
    for Change { name, medians, ratio, interval, verdict } in &changes {
        let verdict = match verdict {
            Verdict::Faster => "  faster",
            Verdict::Slower => "  SLOWER",
            Verdict::Same => "",
        };
        let _ = writeln!(
            out,
            "{name:width$}  {:>12.4} {:>12.4} {ratio:>7.3}  {:.3} to {:.3}{verdict}",
            medians.0 / 1e6,
            medians.1 / 1e6,
            interval.0,
            interval.1
        );
    }
    let count = |wanted: Verdict| changes.iter().filter(|change| change.verdict == wanted).count();
    let _ = writeln!(
        out,
        "\n{} faster, {} slower, {} within noise (an interval that holds 1, or less than {:.0} %)",
        count(Verdict::Faster),
        count(Verdict::Slower),
        count(Verdict::Same),
        100.0 * LEAST
    );
    let unknown = now.benches.keys().filter(|name| !then.benches.contains_key(*name)).count();
    if unknown != 0 {
        let _ = writeln!(out, "{unknown} benches were not saved then");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saved::{Estimates, Interval, Machine};

    fn saved(benches: &[(&str, f64, f64)]) -> Saved {
        let benches = benches.iter().map(|(name, median, error)| {
            let confidence_interval = Interval {
                confidence_level: 0.95,
                lower_bound: median - 1.96 * error,
                upper_bound: median + 1.96 * error,
            };
            let estimate = Estimate { point_estimate: *median, standard_error: *error, confidence_interval };
            ((*name).to_owned(), Estimates { mean: estimate, median: estimate })
        });
        Saved {
            machine: Machine { cpu: "a processor".to_owned(), cores: 2 },
            commit: None,
            date: "2025-01-01T00:00:00Z".to_owned(),
            foreign: None,
            benches: benches.collect(),
        }
    }

    #[test]
    fn only_what_is_beyond_noise_is_flagged() {
        let then = saved(&[("a", 100.0, 1.0), ("b", 100.0, 1.0), ("c", 100.0, 1.0), ("d", 100.0, 20.0)]);
        let now = saved(&[
            ("a", 80.0, 1.0),
            ("b", 110.0, 1.0),
            ("c", 102.0, 0.1),
            ("d", 120.0, 20.0),
            ("e", 1.0, 0.1),
        ]);
        let verdicts: Vec<Verdict> = compare(&then, &now).iter().map(|change| change.verdict).collect();
        assert_eq!(verdicts, [Verdict::Faster, Verdict::Slower, Verdict::Same, Verdict::Same]);
        let text = report(&then, &now);
        assert!(
            text.contains("1 faster, 1 slower, 2 within noise") && text.contains("1 benches were not"),
            "{text}"
        );
    }

    #[test]
    fn the_interval_has_both_errors() {
        let (then, now) = (saved(&[("a", 100.0, 3.0)]), saved(&[("a", 100.0, 4.0)]));
        let interval = compare(&then, &now)[0].interval;
        assert!((interval.1 - (1.96 * 0.05f64).exp()).abs() < 1e-12, "{interval:?}");
        assert!((interval.0 * interval.1 - 1.0).abs() < 1e-12, "{interval:?}");
    }

    #[test]
    fn what_makes_a_comparison_doubtful_is_said() {
        let (then, mut now) = (saved(&[]), saved(&[]));
        assert!(!report(&then, &now).contains("WARNING"));
        now.machine.cores = 4;
        assert!(report(&then, &now).contains("WARNING: saved on"));
        now.foreign = Some(0.5);
        assert!(report(&then, &now).contains("others used 50 % of the machine now"));
    }
}
