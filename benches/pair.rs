//! Two ways to do the same, timed in turn.

use std::fmt;
use std::time::{Duration, Instant};

/// How long a comparison takes.
const LENGTH: Duration = Duration::from_secs(4);
/// The fewest pairs.
const LEAST: usize = 11;

/// What a comparison came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// Median seconds of the first.
    pub first: f64,
    /// Median ratio of the second's time to the first's, pair by pair.
    pub ratio: f64,
    /// The same at the quartiles.
    pub quartiles: (f64, f64),
    /// Pairs.
    pub n: usize,
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = self.quartiles;
        let Self { first, ratio, n, .. } = self;
        write!(f, "{:.3} ms, × {ratio:.4} (quartiles {low:.4} to {high:.4}, {n} pairs)", 1e3 * first)
    }
}

/// Times both in turn for four seconds.
pub fn paired<A, B>(mut first: impl FnMut() -> A, mut second: impl FnMut() -> B) -> Pair {
    let (mut firsts, mut ratios) = (Vec::new(), Vec::new());
    let end = Instant::now() + LENGTH;
    while Instant::now() < end || ratios.len() < LEAST {
        let mut time = |which: bool| {
            let start = Instant::now();
            if which {
                drop(second());
            } else {
                drop(first());
            }
            start.elapsed().as_secs_f64()
        };
        // The order alternates, so that neither always comes first.
        let (a, b) = if ratios.len() % 2 == 0 {
            let a = time(false);
            (a, time(true))
        } else {
            let b = time(true);
            (time(false), b)
        };
        firsts.push(a);
        ratios.push(b / a);
    }
    firsts.sort_by(f64::total_cmp);
    ratios.sort_by(f64::total_cmp);
    let n = ratios.len();
    Pair { first: firsts[n / 2], ratio: ratios[n / 2], quartiles: (ratios[n / 4], ratios[3 * n / 4]), n }
}
