//! What trials will take, from pilots: short runs at each batch size, as many at once as there will be.

use super::request::Pilot;
use crate::trial::{TrainerSpec, TrialSpec};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is known of the trials of one batch size and one setting of the other hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// The batch size.
    pub batch: u64,
    /// The other hyper-parameters, in words.
    pub parameters: String,
    /// The micro-batch that fits.
    pub micro_batch: u64,
    /// What the pilot measured, or why it measured nothing.
    pub pilot: Result<Pilot, String>,
}

/// All pilots of a sweep, with what they depend on.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Pilots {
    /// Trials at once.
    pub jobs: u64,
    /// Threads of each.
    pub threads: u64,
    /// Version of the code that trains.
    pub code: String,
    /// What trains.
    pub trainer: Option<TrainerSpec>,
    /// Bytes that the user allows all trials together.
    pub memory: Option<u64>,
    /// One for each batch size and setting.
    pub known: Vec<Known>,
}

/// What one trial will take.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Seconds from its start to its end, if it runs to the end of its budget.
    pub seconds: f64,
    /// Bytes of memory.
    pub bytes: Option<u64>,
    /// Bytes on the disk while it runs.
    pub disk_bytes: u64,
}

impl Pilots {
    /// What is known of trials like this one.
    #[must_use]
    pub fn of(&self, spec: &TrialSpec) -> Option<&Known> {
        let parameters = spec.parameters_in_words();
        self.known.iter().find(|known| known.batch == spec.batch && known.parameters == parameters)
    }

    /// What a trial will take, if a pilot says so.
    #[must_use]
    pub fn cost(&self, spec: &TrialSpec) -> Option<Cost> {
        self.cost_of(spec, spec.examples)
    }

    /// What it takes if it ends after so many examples.
    #[must_use]
    pub fn cost_of(&self, spec: &TrialSpec, examples: u64) -> Option<Cost> {
        let pilot = self.of(spec)?.pilot.as_ref().ok()?;
        if pilot.examples == 0 {
            return None;
        }
        let per_example = pilot.seconds / pilot.examples as f64;
        let every = spec.evaluate_examples.unwrap_or((spec.examples / 20).max(1));
        let n_evaluations = examples / every.max(1);
        let training = match spec.seconds {
            Some(seconds) => seconds,
            None => examples as f64 * per_example,
        };
        Some(Cost {
            seconds: pilot.fixed_seconds + training + n_evaluations as f64 * pilot.evaluation_seconds,
            bytes: pilot.peak_bytes,
            disk_bytes: pilot.disk_bytes,
        })
    }

    /// Examples per second by batch size.
    #[must_use]
    pub fn examples_per_second(&self) -> BTreeMap<u64, f64> {
        let rate = |known: &Known| {
            let pilot = known.pilot.as_ref().ok()?;
            (0.0 < pilot.seconds).then(|| (known.batch, pilot.examples as f64 / pilot.seconds))
        };
        self.known.iter().filter_map(rate).collect()
    }
}

/// Seconds that so many trials take on so many places, each place taking the next as it becomes free.
#[must_use]
pub fn makespan(seconds: impl IntoIterator<Item = f64>, places: u64) -> f64 {
    let mut ends = vec![0.0_f64; usize::try_from(places.clamp(1, 4096)).unwrap_or(1)];
    for trial in seconds {
        if let Some(first) = ends.iter_mut().min_by(|a, b| a.total_cmp(b)) {
            *first += trial;
        }
    }
    ends.into_iter().fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_take_the_next_trial_as_they_become_free() {
        assert_eq!(makespan([4.0, 1.0, 1.0, 1.0], 2), 4.0);
        assert_eq!(makespan([1.0, 1.0, 1.0], 1), 3.0);
        assert_eq!(makespan([], 3), 0.0);
    }
}
