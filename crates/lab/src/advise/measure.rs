//! The probes of the procedure, each in a child, and what they say about memory.

use super::{Event, MemoryLimit, words};
use crate::advice::SpeedPoint;
use crate::probe::{Request, learning_rate, memory, noise, powers_of_two, speed, trial};
use crate::process::{ChildCommand, Ending, Message, run};
use crate::{LabError, bytes};
use batchwise_estimate::memory::{MemoryFit, MemoryPoint, fit_memory};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Starts probes and passes on what they say.
pub(super) struct Probes<'a> {
    pub(super) child: &'a ChildCommand,
    pub(super) on_event: &'a mut dyn FnMut(Event),
    pub(super) phase: usize,
    pub(super) n_phases: usize,
}

/// Peak memory by micro-batch, for batches taken whole and for batches accumulated from several.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct MemoryModel {
    limit_bytes: u64,
    whole: Series,
    accumulating: Option<Series>,
}

/// What the memory probe found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemoryReport {
    /// What training may take; 2 % of it are kept free.
    pub limit_bytes: u64,
    /// Whether the user set the limit.
    pub limit_is_given: bool,
    /// Peak of steps whose batch is one micro-batch.
    pub points: Vec<MemoryPoint>,
    /// Bytes at a micro-batch of 0, by the line through the top segment.
    pub fixed_bytes: u64,
    /// Bytes each example adds on the top segment.
    pub bytes_per_example: f64,
    /// The largest micro-batch that fits, among those tried and those the fit vouches for.
    pub largest_micro_batch: u64,
    /// The smallest size tried that did not fit, if any.
    pub does_not_fit: Option<u64>,
    /// Peak of steps that accumulate two micro-batches; measured only under a limit.
    pub accumulating_points: Vec<MemoryPoint>,
    /// The largest micro-batch that fits while accumulating.
    pub largest_accumulating: Option<u64>,
}

/// One curve of peak memory.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Series {
    pub(super) points: Vec<MemoryPoint>,
    fit: Option<MemoryFit>,
    pub(super) does_not_fit: Option<u64>,
    largest: u64,
}

impl Probes<'_> {
    pub(super) fn begin(&mut self, name: &'static str) {
        self.phase += 1;
        tracing::info!(phase = self.phase, name, "phase begins");
        (self.on_event)(Event::Phase { number: self.phase, of: self.n_phases, name });
    }

    pub(super) fn found(&mut self, finding: String) {
        tracing::info!(finding, "phase ends");
        (self.on_event)(Event::Finding(finding));
    }

    /// Peak memory up to `max_batch` or the limit.
    pub(super) fn memory(&mut self, max_batch: u64, limit: MemoryLimit) -> Result<MemoryModel, LabError> {
        self.begin("memory");
        let model = self.curves(max_batch, limit)?;
        let is_empty = |series: &Series| series.points.is_empty();
        if is_empty(&model.whole) || model.accumulating.as_ref().is_some_and(is_empty) {
            return Err(self.too_small(limit, max_batch));
        }
        self.found(words::memory(&model));
        Ok(model)
    }

    /// The memory that speed, learning rate and noise are measured in: all that is free, whatever the user's limit for
    /// training, so that the limit changes the micro-batch of the advice and nothing else.
    pub(super) fn room(
        &mut self,
        max_batch: u64,
        memory: &MemoryModel,
        limit: MemoryLimit,
    ) -> Result<MemoryModel, LabError> {
        if max_batch <= memory.whole.largest || limit.free_bytes <= limit.bytes {
            return Ok(memory.clone());
        }
        self.curves(max_batch, MemoryLimit { bytes: limit.free_bytes, is_given: false, ..limit })
    }

    fn curves(&mut self, max_batch: u64, limit: MemoryLimit) -> Result<MemoryModel, LabError> {
        let whole = self.series(powers_of_two(max_batch).into_iter().map(|b| (b, b)).collect(), limit)?;
        // Accumulating holds more gradients, so its curve matters only under a limit.
        let accumulating = match whole.largest {
            0 => None,
            largest if max_batch <= largest => None,
            largest => {
                let steps = powers_of_two(largest).into_iter().map(|b| (2 * b, b)).collect();
                Some(self.series(steps, limit)?)
            }
        };
        Ok(MemoryModel { limit_bytes: limit.bytes, whole, accumulating })
    }

    fn series(&mut self, steps: Vec<(u64, u64)>, limit: MemoryLimit) -> Result<Series, LabError> {
        let mut points: Vec<MemoryPoint> = Vec::new();
        let micro_batches: Vec<u64> = steps.iter().map(|(_, micro)| *micro).collect();
        let request = Request::Memory(memory::Request { steps, limit_bytes: limit.usable() });
        let on_event = &mut *self.on_event;
        let ending = run::<memory::Measured>(self.child, &request, false, &mut |message| {
            if let Message::Point { value } = &message {
                points.extend(serde_json::from_value::<MemoryPoint>(value.clone()));
            }
            pass_on(message, on_event);
        })?;
        // A child that dies or stops early has met the limit, at the size after the last it finished.
        let does_not_fit = micro_batches.get(points.len()).copied();
        if let Ending::Died { status, last_words } = ending {
            tracing::info!(?does_not_fit, status, last_words, "a micro-batch does not fit");
        }
        Ok(Series::new(points, does_not_fit, limit.usable()))
    }

    /// The limit is below a micro-batch of 1 of this batch: says what that takes, if the machine has it.
    fn too_small(&mut self, limit: MemoryLimit, batch: u64) -> LabError {
        let without = MemoryLimit { bytes: limit.free_bytes.max(limit.bytes), is_given: false, ..limit };
        let needed = match self.series(vec![(batch.max(2), 1)], without) {
            Ok(Series { points, .. }) => {
                points.first().map(|point| bytes::human(MemoryLimit::for_peak(point.peak_bytes)))
            }
            Err(LabError::Cancelled) => return LabError::Cancelled,
            Err(_) => None,
        };
        LabError::MemoryTooSmall {
            limit: bytes::human(limit.bytes),
            needed: needed.unwrap_or_else(|| format!("more than {}", bytes::human(without.bytes))),
        }
    }

    /// Step times up to `max_batch`, in the micro-batches that fit.
    pub(super) fn speed(
        &mut self,
        max_batch: u64,
        memory: &MemoryModel,
    ) -> Result<Vec<SpeedPoint>, LabError> {
        let steps = powers_of_two(max_batch)
            .into_iter()
            .map(|batch| Ok((batch, memory.micro_batch(batch)?)))
            .collect::<Result<_, LabError>>()?;
        let request = Request::Speed(speed::Request { steps, rounds: 8, turn_seconds: 0.12 });
        Ok(self.done::<speed::Measured>("speed", &request)?.points)
    }

    pub(super) fn learning_rate(
        &mut self,
        request: learning_rate::Request,
    ) -> Result<learning_rate::Measured, LabError> {
        self.done("learning rate", &Request::LearningRate(request))
    }

    pub(super) fn noise(&mut self, request: noise::Request) -> Result<noise::Measured, LabError> {
        self.done("noise", &Request::Noise(request))
    }

    /// One trial of several; its progress is a part of theirs.
    pub(super) fn trial(
        &mut self,
        request: trial::Request,
        number: u64,
        of: u64,
        on_line: &mut dyn FnMut(serde_json::Value),
    ) -> Result<trial::Outcome, LabError> {
        let batch = request.batch;
        let on_event = &mut *self.on_event;
        let can_stop = request.keep.is_some();
        let ending =
            run(self.child, &Request::Trial(Box::new(request)), can_stop, &mut |message| match message {
                Message::Progress { done, total, note } => {
                    let note = format!("batch {batch}, {note}");
                    on_event(Event::Progress { done: number * total + done, total: of * total, note });
                }
                Message::Point { value } => on_line(value),
                Message::Done { .. } | Message::Failed { .. } => {}
            })?;
        finished("training", ending)
    }

    /// Runs the advised batch in the largest micro-batch that should fit; where it does not, in smaller
    /// ones. Returns the micro-batch and the peak seen.
    pub(super) fn verify(
        &mut self,
        mut memory: MemoryModel,
        batch: u64,
        limit: MemoryLimit,
    ) -> Result<(MemoryModel, u64, u64), LabError> {
        loop {
            let micro_batch = memory.micro_batch(batch)?;
            if micro_batch < batch && memory.accumulating.is_none() {
                let steps = powers_of_two(micro_batch).into_iter().map(|b| (2 * b, b)).collect();
                memory.accumulating = Some(self.series(steps, limit)?);
                continue;
            }
            let seen = self.series(vec![(batch, micro_batch)], limit)?;
            if let Some(point) = seen.points.first() {
                return Ok((memory, micro_batch, point.peak_bytes));
            }
            if micro_batch == 1 {
                return Err(self.too_small(limit, batch));
            }
            memory.exclude(micro_batch, micro_batch < batch);
        }
    }

    /// Runs a probe that must not die.
    fn done<T: DeserializeOwned>(&mut self, name: &'static str, request: &Request) -> Result<T, LabError> {
        let on_event = &mut *self.on_event;
        let ending = run(self.child, request, false, &mut |message| pass_on(message, on_event))?;
        finished(name, ending)
    }
}

fn finished<T>(probe: &'static str, ending: Ending<T>) -> Result<T, LabError> {
    match ending {
        Ending::Done(value) => Ok(value),
        Ending::Died { status, last_words } => Err(LabError::Died { probe, status, last_words }),
    }
}

fn pass_on(message: Message, on_event: &mut dyn FnMut(Event)) {
    if let Message::Progress { done, total, note } = message {
        on_event(Event::Progress { done, total, note });
    }
}

impl MemoryModel {
    /// The micro-batch for a batch: the whole batch if it fits, else the fewest equal parts that do.
    pub(super) fn micro_batch(&self, batch: u64) -> Result<u64, LabError> {
        if batch <= self.whole.largest {
            return Ok(batch);
        }
        let n_parts = batch.div_ceil(self.largest_accumulating()?);
        Ok(batch.div_ceil(n_parts))
    }

    /// The largest micro-batch of an accumulated batch.
    pub(super) fn largest_accumulating(&self) -> Result<u64, LabError> {
        let series = self.accumulating.as_ref().unwrap_or(&self.whole);
        match series.largest {
            0 => Err(LabError::MemoryTooSmall {
                limit: bytes::human(self.limit_bytes),
                needed: "more than that".to_owned(),
            }),
            largest => Ok(largest),
        }
    }

    pub(super) fn series(&self, accumulating: bool) -> &Series {
        match &self.accumulating {
            Some(series) if accumulating => series,
            _ => &self.whole,
        }
    }

    /// Both curves, for people and files.
    pub(super) fn report(&self, limit: MemoryLimit) -> MemoryReport {
        let points = |series: &Series| series.points.clone();
        MemoryReport {
            limit_bytes: limit.bytes,
            limit_is_given: limit.is_given,
            points: points(&self.whole),
            fixed_bytes: self.whole.fixed_bytes(),
            bytes_per_example: self.whole.bytes_per_example(),
            largest_micro_batch: self.whole.largest,
            does_not_fit: self.whole.does_not_fit,
            accumulating_points: self.accumulating.as_ref().map(points).unwrap_or_default(),
            largest_accumulating: self.accumulating.as_ref().map(|series| series.largest),
        }
    }

    /// A micro-batch that should have fitted did not.
    fn exclude(&mut self, micro_batch: u64, accumulating: bool) {
        let series = match &mut self.accumulating {
            Some(series) if accumulating => series,
            _ => &mut self.whole,
        };
        series.largest = series.largest.min(micro_batch - (micro_batch / 8).max(1));
        series.does_not_fit = Some(series.does_not_fit.map_or(micro_batch, |least| least.min(micro_batch)));
    }
}

impl Series {
    fn new(points: Vec<MemoryPoint>, does_not_fit: Option<u64>, limit_bytes: u64) -> Self {
        let tried = points.last().map_or(0, |point| point.batch);
        let fit = fit_memory(&points).ok();
        // Beyond the last size that ran the fit may go, up to the first that did not.
        let largest = match (&fit, does_not_fit) {
            (Some(fit), Some(too_large)) => fit
                .largest_batch(limit_bytes)
                .unwrap_or(0)
                .clamp(tried, too_large.saturating_sub(1).max(tried)),
            _ => tried,
        };
        Self { points, fit, does_not_fit, largest }
    }

    /// Measured where it was, else by the fit.
    pub(super) fn predict(&self, micro_batch: u64) -> u64 {
        match &self.fit {
            Some(fit) => fit.predict(micro_batch).max(0.0) as u64,
            None => self.points.last().map_or(0, |point| point.peak_bytes),
        }
    }

    /// Upper end of the prediction.
    pub(super) fn upper(&self, micro_batch: u64) -> u64 {
        match &self.fit {
            Some(fit) => fit.upper(micro_batch).max(0.0) as u64,
            None => self.predict(micro_batch),
        }
    }

    pub(super) fn fixed_bytes(&self) -> u64 {
        match &self.fit {
            Some(fit) => fit.fixed_bytes.max(0.0) as u64,
            None => self.predict(1),
        }
    }

    pub(super) fn bytes_per_example(&self) -> f64 {
        self.fit.as_ref().map_or(0.0, |fit| fit.bytes_per_example)
    }

    /// The largest micro-batch that is believed to fit.
    pub(super) fn largest(&self) -> u64 {
        self.largest
    }

    pub(super) fn whole_of(memory: &MemoryModel) -> &Self {
        &memory.whole
    }
}
