//! A simulated trainer with known answers: stochastic gradient descent on the noisy quadratic model (Zhang et al. 2019,
//! section 4), which prints the lines of the trainer protocol.
//!
//! Curvatures i^−power; noise of each mode in proportion to its curvature; every mode begins at 1. What it costs is simulated
//! too: `step_seconds` for a step and `example_seconds` for each example. So a sweep of it can be held against
//! [`Quadratic`], which knows its best learning rates and steps in closed form. A sampled run crosses a target earlier than
//! its expected loss does, by the luck of the moment; with [`Simulation::luck`] the expected loss itself is told.

use batchwise_estimate::oracle::{Optimizer, OracleError, Quadratic};
use batchwise_nn::random::stream;
use chacha20::rand_core::Rng;

/// A run of the simulated trainer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Simulation {
    /// Examples of one step, at least 1.
    pub batch: u64,
    /// Learning rate.
    pub learning_rate: f64,
    /// Seed of the noise.
    pub seed: u64,
    /// Examples after which it ends.
    pub examples: u64,
    /// Examples from one line to the next; a line is due at the first step at or past it.
    pub evaluate_examples: u64,
    /// Modes, at least 1.
    pub modes: usize,
    /// By which power the curvatures fall.
    pub power: f64,
    /// Factor of the noise's variance, above 0.
    pub noise: f64,
    /// Tell the expected loss in place of a sampled one, times a factor that is each run's own and whose logarithm has this
    /// standard deviation.
    pub luck: Option<f64>,
    /// Seconds of a step on the simulated clock.
    pub step_seconds: f64,
    /// Seconds of an example on the simulated clock.
    pub example_seconds: f64,
}

/// A loss beyond this is divergence.
const DIVERGED: f64 = 1e6;

impl Simulation {
    /// The curvatures.
    fn curvatures(&self) -> Vec<f64> {
        (1..=self.modes).map(|i| (i as f64).powf(-self.power)).collect()
    }

    /// The world in which it trains.
    ///
    /// # Errors
    /// A power or a noise that none can be.
    pub fn world(&self) -> Result<Quadratic, OracleError> {
        let modes = self.curvatures();
        let noise = modes.iter().map(|h| h * self.noise).collect();
        let n = modes.len();
        Quadratic::new(modes, noise, vec![1.0; n])
    }

    /// Runs it; `line` takes each record and says whether to go on.
    ///
    /// # Errors
    /// As [`Simulation::world`].
    pub fn run(&self, line: &mut dyn FnMut(&serde_json::Value) -> bool) -> Result<(), OracleError> {
        match self.luck {
            None => self.sampled(line),
            Some(luck) => self.expected(luck, line)?,
        }
        Ok(())
    }

    /// The expected loss, with the luck of this run.
    fn expected(
        &self,
        luck: f64,
        line: &mut dyn FnMut(&serde_json::Value) -> bool,
    ) -> Result<(), OracleError> {
        let world = self.world()?;
        let mut run = world.run(Optimizer::Sgd)?;
        // Runs that differ in anything differ in their luck.
        let name = format!("luck {} {}", self.batch, self.learning_rate);
        let mut normals = Normals { rng: stream(self.seed, &name), spare: None };
        let factor = (luck * normals.next()).exp();
        let every = self.evaluate_examples.max(1).div_ceil(self.batch);
        while run.steps().saturating_mul(self.batch) < self.examples {
            let left = self.examples.div_ceil(self.batch) - run.steps();
            let has_diverged = run.advance(self.batch as f64, self.learning_rate, every.min(left)).is_err();
            let loss = run.loss().unwrap_or(f64::INFINITY) * factor;
            let mut record = self.record(run.steps());
            if has_diverged || DIVERGED < loss || !loss.is_finite() {
                record["diverged"] = true.into();
                line(&record);
                return Ok(());
            }
            record["loss"] = loss.into();
            if !line(&record) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What a record says of the clocks.
    fn record(&self, steps: u64) -> serde_json::Value {
        let examples = steps.saturating_mul(self.batch);
        let seconds = steps as f64 * self.step_seconds + examples as f64 * self.example_seconds;
        serde_json::json!({ "examples": examples, "steps": steps, "seconds": seconds })
    }

    fn sampled(&self, line: &mut dyn FnMut(&serde_json::Value) -> bool) {
        let modes = self.curvatures();
        let batch = self.batch as f64;
        let mut theta = vec![1.0; modes.len()];
        let mut normals = Normals { rng: stream(self.seed, "simulated trainer"), spare: None };
        let trace: f64 = modes.iter().map(|h| h * self.noise).sum();
        let (mut examples, mut steps) = (0, 0_u64);
        let mut due = self.evaluate_examples.max(1);
        while examples < self.examples {
            let (mut gradient2, mut drawn2) = (0.0, 0.0);
            for (h, theta) in modes.iter().zip(&mut theta) {
                let mean = h * *theta;
                let drawn = mean + (h * self.noise / batch).sqrt() * normals.next();
                *theta -= self.learning_rate * drawn;
                gradient2 += mean * mean;
                drawn2 += drawn * drawn;
            }
            examples += self.batch;
            steps += 1;
            if examples < due && examples < self.examples {
                continue;
            }
            due = examples - examples % self.evaluate_examples.max(1) + self.evaluate_examples.max(1);
            let loss: f64 = modes.iter().zip(&theta).map(|(h, theta)| 0.5 * h * theta * theta).sum();
            let mut record = self.record(steps);
            if DIVERGED < loss || !loss.is_finite() {
                record["diverged"] = true.into();
                line(&record);
                return;
            }
            record["loss"] = loss.into();
            if 8 <= self.batch {
                let micro = self.batch / 8;
                // The mean over micro-batches, which their number makes sure.
                record["micro_norm2"] = (gradient2 + trace / micro as f64).into();
                record["batch_norm2"] = drawn2.into();
                record["micro_batch"] = micro.into();
            }
            if !line(&record) {
                return;
            }
        }
    }
}

/// Normal numbers by the polar method of Marsaglia, two at a time.
struct Normals<R> {
    rng: R,
    spare: Option<f64>,
}

impl<R: Rng> Normals<R> {
    fn next(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let mut uniform = || (self.rng.next_u64() >> 11) as f64 / (1_u64 << 52) as f64 - 1.0;
            let (x, y) = (uniform(), uniform());
            let square = x * x + y * y;
            if 0.0 < square && square < 1.0 {
                let factor = (-2.0 * square.ln() / square).sqrt();
                self.spare = Some(y * factor);
                return x * factor;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use batchwise_estimate::oracle::Setting;

    fn simulation(batch: u64, learning_rate: f64, seed: u64) -> Simulation {
        Simulation {
            batch,
            learning_rate,
            seed,
            examples: 100 * batch,
            evaluate_examples: batch,
            modes: 50,
            power: 1.0,
            noise: 1.0,
            luck: None,
            step_seconds: 0.01,
            example_seconds: 0.001,
        }
    }

    #[test]
    fn its_mean_loss_is_the_closed_form() {
        let world = Quadratic::zhang(50).unwrap();
        let expected = world.loss(&Setting::sgd(4.0, 0.5), 100).unwrap();
        let n = 400;
        let mut losses = Vec::new();
        for seed in 0..n {
            let mut last = 0.0;
            let run = simulation(4, 0.5, seed);
            run.run(&mut |record| {
                last = record["loss"].as_f64().unwrap();
                true
            })
            .unwrap();
            losses.push(last);
        }
        let mean = losses.iter().sum::<f64>() / n as f64;
        let variance = losses.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / n as f64;
        let error = (variance / n as f64).sqrt();
        assert!((mean - expected).abs() < 4.0 * error, "{mean} ± {error}, but {expected}");
    }

    #[test]
    fn without_luck_it_tells_the_closed_form_itself() {
        let exact = Simulation { luck: Some(0.0), evaluate_examples: 40, ..simulation(4, 0.5, 1) };
        let mut losses = Vec::new();
        exact
            .run(&mut |record| {
                losses.push((record["steps"].as_u64().unwrap(), record["loss"].as_f64().unwrap()));
                true
            })
            .unwrap();
        assert_eq!(losses.len(), 10);
        for (steps, loss) in losses {
            let expected = exact.world().unwrap().loss(&Setting::sgd(4.0, 0.5), steps).unwrap();
            assert!((loss / expected - 1.0).abs() < 1e-9, "{loss} after {steps} steps, but {expected}");
        }
    }

    #[test]
    fn it_diverges_beyond_the_limit_of_stability_and_is_the_same_for_a_seed() {
        let lines = |rate: f64, seed: u64| {
            let mut all = Vec::new();
            let longer = Simulation { examples: 1000, ..simulation(1, rate, seed) };
            longer
                .run(&mut |record| {
                    all.push(record.to_string());
                    true
                })
                .unwrap();
            all
        };
        assert!(lines(2.5, 1).last().unwrap().contains("diverged"));
        assert_eq!(lines(0.1, 1), lines(0.1, 1));
        assert_ne!(lines(0.1, 1), lines(0.1, 2));
    }
}
