//! Draws of the time of a step at every setting.

use super::devices::{Devices, join};
use super::error::DecideError;
use super::limits::Setting;
use super::problem::{Candidate, Problem, TimeBelief, TimeDraw};
use crate::random::Draws;
use crate::robust::median;
use crate::time::{TimeCurve, TimeFit, TimeModel, TimePoint, fit_time};

/// Departures of the times from the fitted model up to this size (rms) are taken for noise of the machine.
const MODEL_TRUST: f64 = 0.05;

/// Seconds beyond which a step is no step.
const SECONDS: std::ops::RangeInclusive<f64> = 1e-300..=1e300;

/// The belief about the time of a step, ready to be drawn from.
pub(super) enum Clock<'a> {
    Measured(Smoothed),
    Model(&'a [TimeDraw]),
}

/// Measured times, ascending in the batch, drawn towards their model.
pub(super) struct Smoothed {
    batches: Vec<u64>,
    ln_seconds: Vec<f64>,
    /// Standard error of each ln time that is its own.
    own: Vec<f64>,
    /// Standard error that neighbours share: level and tilt of the fitted curve.
    shared: Vec<f64>,
    /// The model, from 3 candidates on.
    fit: Option<TimeFit>,
}

impl<'a> Clock<'a> {
    pub(super) fn of(time: &'a TimeBelief) -> Self {
        match time {
            TimeBelief::Measured { candidates } => Self::Measured(Smoothed::of(candidates)),
            TimeBelief::Model { draws, .. } => Self::Model(draws),
        }
    }

    /// ln seconds of a step at each setting: one draw from the belief.
    pub(super) fn draw(
        &self,
        settings: &[Setting],
        devices: Option<&Devices>,
        source: &mut Draws,
    ) -> Vec<f64> {
        match self {
            Self::Measured(smoothed) => {
                let times = smoothed.draw(source);
                let sync = sync_factor(devices, source);
                smoothed.at(&times, settings, devices, sync)
            }
            Self::Model(draws) => {
                let index = (source.uniform() * draws.len() as f64) as usize;
                let sync = sync_factor(devices, source);
                self.model_at(draws[index.min(draws.len() - 1)], settings, devices, sync)
            }
        }
    }

    /// `n` draws that stand for the belief better than independent ones: measured times in pairs mirrored about their
    /// `middle`, draws of a model evenly from the first to the last.
    pub(super) fn spread(
        &self,
        n: usize,
        settings: &[Setting],
        devices: Option<&Devices>,
        middle: &[f64],
        source: &mut Draws,
    ) -> Vec<Vec<f64>> {
        let mut rows: Vec<Vec<f64>> = Vec::with_capacity(n);
        for k in 0..n {
            let row = match (self, rows.last()) {
                (Self::Measured(_), Some(last)) if k % 2 == 1 => {
                    last.iter().zip(middle).map(|(ln, middle)| 2.0 * middle - ln).collect()
                }
                (Self::Measured(_), _) => self.draw(settings, devices, source),
                (Self::Model(draws), _) => {
                    let sync = sync_factor(devices, source);
                    self.model_at(draws[k * draws.len() / n], settings, devices, sync)
                }
            };
            rows.push(row);
        }
        rows
    }

    /// ln seconds at each setting, everything at its middle; for a model, the median over its draws.
    pub(super) fn middle(&self, settings: &[Setting], devices: Option<&Devices>) -> Vec<f64> {
        match self {
            Self::Measured(smoothed) => smoothed.at(&smoothed.ln_seconds, settings, devices, 1.0),
            Self::Model(draws) => {
                let all: Vec<Vec<f64>> =
                    draws.iter().map(|d| self.model_at(*d, settings, devices, 1.0)).collect();
                let column = |i: usize| all.iter().map(|row| row[i]).collect::<Vec<_>>();
                (0..settings.len()).map(|i| median(&column(i)).unwrap_or(0.0)).collect()
            }
        }
    }

    /// Seconds of one micro-batch on one device by the model, also beyond the candidates; `None` without a model.
    pub(super) fn modelled(&self, micro_batch: f64) -> Option<f64> {
        let seconds = match self {
            Self::Measured(smoothed) => smoothed.fit.as_ref()?.seconds(micro_batch),
            Self::Model(draws) => {
                median(&draws.iter().map(|d| model_seconds(*d, micro_batch)).collect::<Vec<_>>())?
            }
        };
        SECONDS.contains(&seconds).then_some(seconds)
    }

    fn model_at(
        &self,
        draw: TimeDraw,
        settings: &[Setting],
        devices: Option<&Devices>,
        sync: f64,
    ) -> Vec<f64> {
        let seconds = |s: &Setting| {
            let n = s.accumulation_steps as f64;
            let local = n * model_seconds(draw, s.batch as f64 / (s.devices as f64 * n));
            on_devices(local, s, devices, sync).clamp(f64::MIN_POSITIVE, f64::MAX).ln()
        };
        settings.iter().map(seconds).collect()
    }
}

/// Seconds of one micro-batch on one device.
fn model_seconds(draw: TimeDraw, micro_batch: f64) -> f64 {
    draw.model.join(draw.overhead_seconds, draw.seconds_per_example * micro_batch)
}

fn sync_factor(devices: Option<&Devices>, source: &mut Draws) -> f64 {
    // Nothing is drawn where nothing depends on it, so that one device sees the same draws with and without this.
    devices.map_or(1.0, |d| (d.sync_relative_error * source.normal()).clamp(-50.0, 50.0).exp())
}

fn on_devices(local: f64, setting: &Setting, devices: Option<&Devices>, factor: f64) -> f64 {
    let Some(devices) = devices else {
        return local;
    };
    let sync = (devices.sync_seconds(setting.devices) * factor).min(*SECONDS.end());
    join(local, setting.accumulation_steps, sync, devices.gamma)
}

impl Smoothed {
    fn of(candidates: &[Candidate]) -> Self {
        let mut sorted = candidates.to_vec();
        sorted.sort_by_key(|c| c.batch);
        let points: Vec<TimePoint> = sorted
            .iter()
            .map(|c| TimePoint {
                batch: c.batch as f64,
                seconds: c.seconds,
                spread: c.relative_error * c.seconds,
            })
            .collect();
        let mut times = Self {
            batches: sorted.iter().map(|c| c.batch).collect(),
            ln_seconds: sorted.iter().map(|c| c.seconds.ln()).collect(),
            own: sorted.iter().map(|c| c.relative_error).collect(),
            shared: vec![0.0; sorted.len()],
            fit: None,
        };
        // At the ends of the range of f64 a fit may be no number: then the times stand as they are.
        let fits = |fit: &TimeFit| {
            fit.rms_misfit.is_finite() && points.iter().all(|p| SECONDS.contains(&fit.seconds(p.batch)))
        };
        let Some(fit) = fit_time(&points).ok().filter(fits) else {
            return times;
        };
        let n = sorted.len() as f64;
        let noise2 = sorted.iter().map(|c| c.relative_error.powi(2)).sum::<f64>() / n;
        let model2 = (fit.rms_misfit.powi(2) - noise2.max(MODEL_TRUST.powi(2))).max(0.0);
        for (i, c) in sorted.iter().enumerate() {
            let error2 = c.relative_error.powi(2).max(MODEL_TRUST.powi(2));
            // Weight of the measurement against the model: 0 where the model explains everything.
            let weight = model2 / (model2 + error2);
            let modelled = fit.seconds(c.batch as f64).ln();
            times.ln_seconds[i] = modelled + weight * (times.ln_seconds[i] - modelled);
            times.own[i] = weight * c.relative_error;
            times.shared[i] = (1.0 - weight) * c.relative_error * (2.0 / n).sqrt();
        }
        times.fit = Some(fit);
        times
    }

    /// ln seconds of every candidate.
    fn draw(&self, source: &mut Draws) -> Vec<f64> {
        let last = (self.batches.len() - 1).max(1) as f64;
        let (left, right) = (source.normal(), source.normal());
        (0..self.batches.len())
            .map(|i| {
                let share = i as f64 / last;
                let tilt = (1.0 - share) * left + share * right;
                self.ln_seconds[i] + self.own[i] * source.normal() + self.shared[i] * tilt
            })
            .collect()
    }

    /// From the times of the candidates to those of the settings: a share B/k of the batch takes the time that the
    /// curve through the candidates has there.
    fn at(&self, ln_seconds: &[f64], settings: &[Setting], devices: Option<&Devices>, sync: f64) -> Vec<f64> {
        let measured = |batch: u64| self.batches.binary_search(&batch).ok().map(|i| ln_seconds[i]);
        if devices.is_none() {
            return settings.iter().map(|s| measured(s.batch).unwrap_or(0.0)).collect();
        }
        // The curve is drawn relative to its largest time, which keeps it inside the range of f64.
        let unit = ln_seconds.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let points: Vec<TimePoint> = self
            .batches
            .iter()
            .zip(ln_seconds)
            .map(|(batch, ln)| TimePoint {
                batch: *batch as f64,
                seconds: (ln - unit).max(-600.0).exp(),
                spread: 0.0,
            })
            .collect();
        let curve = TimeCurve::new(&points).ok();
        let local = |s: &Setting| match (&curve, s.batch as f64 / s.devices as f64) {
            (Some(curve), share) => curve.seconds(share).max(f64::MIN_POSITIVE),
            // One candidate says nothing about a share of it: its own time is the most it can take.
            (None, _) => 1.0,
        };
        settings
            .iter()
            .map(|s| unit + on_devices(local(s), s, devices, sync * (-unit).clamp(-600.0, 600.0).exp()).ln())
            .collect()
    }
}

/// Whether every batch and draw of the belief is a measurement.
pub(super) fn check(problem: &Problem) -> Result<(), DecideError> {
    let batches: Vec<u64> = match &problem.time {
        TimeBelief::Measured { candidates } => {
            for (index, &Candidate { batch, seconds, relative_error }) in candidates.iter().enumerate() {
                let good = batch > 0 && seconds.is_finite() && seconds > 0.0;
                if !(good && (0.0..=1.0).contains(&relative_error)) {
                    return Err(DecideError::BadCandidate { index, batch, seconds, relative_error });
                }
            }
            candidates.iter().map(|c| c.batch).collect()
        }
        TimeBelief::Model { batches, draws } => {
            check_model(batches, draws)?;
            batches.clone()
        }
    };
    if batches.is_empty() {
        return Err(DecideError::NoCandidates);
    }
    let mut sorted = batches;
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(DecideError::Duplicate { batch: pair[0] }),
        None => Ok(()),
    }
}

fn check_model(batches: &[u64], draws: &[TimeDraw]) -> Result<(), DecideError> {
    if let Some(index) = batches.iter().position(|b| *b == 0) {
        return Err(DecideError::ZeroBatch { index });
    }
    if draws.is_empty() {
        return Err(DecideError::NoTimeDraws);
    }
    // A share of the smallest batch may be as small as one example.
    let ends = [1.0, batches.iter().copied().max().unwrap_or(1) as f64];
    for (index, draw) in draws.iter().enumerate() {
        let gamma = match draw.model {
            TimeModel::Overlap { gamma } => Some(gamma),
            _ => None,
        };
        let parts = [draw.overhead_seconds, draw.seconds_per_example];
        let good = parts.iter().all(|p| p.is_finite() && *p >= 0.0)
            && gamma.is_none_or(|g| (1.0..=10.0).contains(&g))
            && ends.iter().all(|b| SECONDS.contains(&model_seconds(*draw, *b)));
        if !good {
            return Err(DecideError::BadTimeDraw {
                index,
                overhead_seconds: parts[0],
                seconds_per_example: parts[1],
                gamma,
            });
        }
    }
    Ok(())
}
