//! Timing of steps, as the scripts of the comparison do it.

use super::{OurStep, StockStep, Workload};
use batchwise_nn::precision::Precision;
use candle_core::{Result, bail};
use std::time::Instant;

/// What a burst of steps came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Median seconds of a step.
    pub median: f64,
    /// The fewest seconds.
    pub min: f64,
    /// Steps.
    pub n: usize,
    /// Loss of the last one.
    pub loss: f64,
}

/// A step that is ready to run: gives the loss.
pub type Step = Box<dyn FnMut() -> Result<f64>>;

/// Runs what it is asked for, and keeps it for the next time.
#[derive(Default)]
pub struct Worker {
    at: Option<(Workload, usize)>,
    made: Vec<(String, Step)>,
}

impl Worker {
    /// Times steps for so many seconds, three at least.
    ///
    /// # Errors
    /// An unknown variant.
    pub fn run(&mut self, workload: Workload, variant: &str, n: usize, seconds: f64) -> Result<Measured> {
        // What was made for another model or batch goes, so that memory does not add up.
        if self.at != Some((workload, n)) {
            self.made.clear();
            self.at = Some((workload, n));
        }
        let step = match self.made.iter().position(|(name, _)| name == variant) {
            Some(i) => &mut self.made[i].1,
            None => {
                let mut step = make(workload, variant, n)?;
                for _ in 0..3 {
                    step()?;
                }
                self.made.push((variant.to_owned(), step));
                let last = self.made.len() - 1;
                &mut self.made[last].1
            }
        };
        step()?;
        let (mut times, start) = (Vec::new(), Instant::now());
        loop {
            let before = Instant::now();
            let loss = step()?;
            times.push(before.elapsed().as_secs_f64());
            if times.len() >= 3 && start.elapsed().as_secs_f64() > seconds {
                let n = times.len();
                let median = median(&mut times);
                return Ok(Measured { median, min: times[0], n, loss });
            }
        }
    }
}

/// The step of a variant, `batchwise`, `batchwise_bf16` or `candle`, on a batch of `n`.
///
/// # Errors
/// An unknown variant.
pub(super) fn make(workload: Workload, variant: &str, n: usize) -> Result<Step> {
    match variant {
        "batchwise" | "batchwise_bf16" => {
            let precision = if variant == "batchwise" { Precision::F32 } else { Precision::Bf16 };
            let mut made = OurStep::new(workload, n)?.with_precision(precision);
            Ok(Box::new(move || made.step()))
        }
        "candle" => {
            let mut made = StockStep::new(workload, n)?;
            Ok(Box::new(move || made.step()))
        }
        _ => bail!("no variant `{variant}`: there are batchwise, batchwise_bf16 and candle"),
    }
}

/// Sorts; the upper of two in the middle. NaN of nothing.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The most memory this process had in RAM, in MiB, where the system tells.
#[must_use]
pub fn peak_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kib| kib / 1024.0)
}
