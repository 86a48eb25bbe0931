//! What batches are worth that are not allowed, or not tried.

use super::super::answer::Binding;
use super::super::choose::Choice;
use super::super::limits::{Limit, Memory, MemoryBand, Setting, limits};
use super::super::problem::Objective;
use super::crossed::{Crossed, lowest, time_draws};
use super::{Measurement, Worth};
use crate::fieller::student_t_quantile;

impl Crossed<'_> {
    pub(super) fn beyond(&self, choice: &Choice) -> Vec<Worth> {
        let chosen = self.scene.settings[choice.chosen];
        let in_force = limits(self.scene.problem, chosen.devices);
        let mut all = vec![];
        all.extend(self.memory(chosen, &in_force));
        all.extend(self.generalisation(chosen, &in_force));
        all.extend(self.larger_batch(chosen, &in_force));
        all
    }

    /// The largest batch that would be allowed if the next micro-batch fitted.
    fn memory(&self, chosen: Setting, in_force: &[Limit]) -> Option<Worth> {
        let problem = self.scene.problem;
        let (Memory::Band { points, limit_bytes }, false) = (&problem.memory, problem.accumulation) else {
            return None;
        };
        let (micro_batch, probability) = next_to_fit(points, *limit_bytes)?;
        let reach = micro_batch.saturating_mul(chosen.devices);
        let reached = |s: &&Setting| {
            candidate(s, chosen) && s.batch <= reach && only(in_force, Binding::Memory, s.batch)
        };
        let at = self.scene.settings.iter().filter(reached).max_by_key(|s| s.batch)?;
        let gain = self.gain(*at);
        let words = format!(
            "Measure the peak memory at micro-batch {micro_batch}: it fits with probability {probability:.2}."
        );
        Some(Worth::of(Measurement::Memory { micro_batch }, probability * gain, gain, words))
    }

    fn generalisation(&self, chosen: Setting, in_force: &[Limit]) -> Option<Worth> {
        let tested = self.scene.problem.generalisation_tested?;
        let next = |s: &&Setting| {
            candidate(s, chosen) && s.batch > tested && only(in_force, Binding::Generalisation, s.batch)
        };
        let at = self.scene.settings.iter().find(next)?;
        let (batch, gain) = (at.batch, self.gain(*at));
        let words =
            format!("Test whether batch {batch} generalises as well as batch {tested} (paired by seed).");
        Some(Worth::of(Measurement::Generalisation { batch }, gain, gain, words))
    }

    /// Twice the largest candidate, where the choice is the largest, with its time by the model.
    fn larger_batch(&self, chosen: Setting, in_force: &[Limit]) -> Option<Worth> {
        let largest = self.scene.settings.iter().map(|s| s.batch).max()?;
        let plain = chosen.devices == 1 && chosen.accumulation_steps == 1;
        if chosen.batch != largest
            || !plain
            || matches!(self.scene.problem.objective, Objective::ExamplesBudget { .. })
        {
            return None;
        }
        let batch = largest.checked_mul(2).filter(|b| only(in_force, Binding::Tried, *b))?;
        let ln_seconds = self.scene.clock.modelled(batch as f64)?.ln();
        let setting = Setting { batch, micro_batch: batch, ..chosen };
        let gain = self.gain_with(setting, std::iter::repeat(ln_seconds));
        let words = format!("Time a step at batch {batch}, twice the largest candidate.");
        Some(Worth::of(Measurement::LargerBatch { batch }, gain, gain, words))
    }

    /// Gain in expected regret if `setting` of the scene, not allowed now, were allowed.
    fn gain(&self, setting: Setting) -> f64 {
        match self.scene.settings.iter().position(|s| *s == setting) {
            Some(i) => self.gain_with(setting, time_draws(self.scene).into_iter().map(|row| row[i])),
            None => 0.0,
        }
    }

    /// Gain in expected regret if `setting`, with ln seconds per draw, joined those allowed.
    fn gain_with(&self, setting: Setting, ln_seconds: impl Iterator<Item = f64>) -> f64 {
        let mut settings = self.settings.clone();
        settings.push(setting);
        let rows = self.ln_times.iter().zip(ln_seconds).map(|(row, ln)| {
            let mut row = row.clone();
            row.push(ln);
            row
        });
        let criticals: Vec<f64> = self.ln_critical.iter().map(|ln| ln.exp()).collect();
        let mut regrets = self.mean_regrets(&settings, rows, &criticals);
        let with = lowest(&regrets);
        regrets.pop();
        lowest(&regrets) - with
    }
}

fn candidate(setting: &Setting, chosen: Setting) -> bool {
    setting.devices == chosen.devices && setting.batch > chosen.batch
}

/// Whether no other limit than `binding` excludes `batch`.
fn only(in_force: &[Limit], binding: Binding, batch: u64) -> bool {
    in_force.iter().all(|limit| limit.binding == binding || batch <= limit.largest)
}

/// The smallest micro-batch above the limit, and the probability that it fits: the upper band is taken as the 95 % point
/// of a normal distribution about the expected bytes.
fn next_to_fit(points: &[MemoryBand], limit_bytes: u64) -> Option<(u64, f64)> {
    let limit = limit_bytes as f64;
    let next = points.iter().filter(|p| p.upper_bytes > limit).min_by_key(|p| p.micro_batch)?;
    let sd = (next.upper_bytes - next.expected_bytes) / student_t_quantile(0.95, f64::INFINITY);
    if sd <= 0.0 {
        return None;
    }
    let z = (next.expected_bytes - limit) / (sd * std::f64::consts::SQRT_2);
    let probability = 0.5 * statrs::function::erf::erfc(z);
    (probability > 0.0).then_some((next.micro_batch, probability.min(1.0)))
}
