//! Batch size and learning rate over a run, from what was typed.

use super::super::Session;
use crate::cli::Options;
use crate::cli::arguments::{ScheduleName, TrainArguments};
use crate::cli::show::Progress;
use batchwise_lab::LabError;
use batchwise_lab::advice::SpeedPoint;
use batchwise_lab::advise::{self, Subject};
use batchwise_lab::probe::trial;
use batchwise_schedule::batch::{BatchShape, Bounds};
use batchwise_schedule::controller::Policy;
use batchwise_schedule::lr::{Level, Segment, Shape};
use batchwise_schedule::{BatchSpec, Examples, LearningRate, Length};

/// The batch size unless the user says otherwise.
const USUAL_BATCH: u64 = 64;

/// Batch size and learning rate over the run.
pub(super) struct Course {
    pub(super) request: trial::CourseRequest,
    /// The peak learning rate.
    pub(super) peak: f64,
    /// The largest batch that can occur.
    pub(super) largest: u64,
}

impl Course {
    /// Checked here, so that what is wrong is said before anything is measured.
    pub(super) fn of(
        session: &Session,
        subject: &Subject,
        arguments: &TrainArguments,
        examples: u64,
    ) -> Result<Self, LabError> {
        let mut lr = arguments.lr.clone().unwrap_or_default();
        let peak = lr.peak.map_or(subject.usual_learning_rate, |peak| peak.0);
        lr.peak = Some(LearningRate(peak));
        match (lr.segments.is_empty(), arguments.schedule) {
            (true, None | Some(ScheduleName::Cosine)) => {
                lr = lr
                    .warmup(Length::Fraction(0.1))
                    .then(Segment::rest(Shape::Cosine { to: Level::Rate(0.0) }));
            }
            (true, Some(ScheduleName::Constant)) | (false, None) => {}
            (false, Some(_)) => {
                return Err(LabError::Input(
                    "--lr says how the learning rate goes already: leave --schedule out".to_owned(),
                ));
            }
        }
        let mut batch = arguments.batch.clone().unwrap_or_else(|| BatchSpec::constant(USUAL_BATCH));
        let run = trial::run_length(session.data.train.as_ref(), Examples(examples));
        let schedule = lr.resolve(&run, None).map_err(|e| LabError::Input(e.to_string()))?;
        let is_adaptive = matches!(batch.shape, BatchShape::Adaptive(_));
        if is_adaptive && batch.bounds.max == Bounds::default().max {
            // Beyond a tenth of the data set nothing that is measured holds.
            batch.bounds.max = (subject.train_examples / advise::LARGEST_PART).max(batch.base);
        }
        let largest = if is_adaptive {
            batch.controller(&run).map_err(|e| LabError::Input(e.to_string()))?;
            batch.bounds.max
        } else {
            let pair = batch.resolve(&run, schedule).map_err(|e| LabError::Input(e.to_string()))?;
            pair.steps(Examples(examples), None).map(|step| step.batch).max().unwrap_or(batch.base)
        };
        let request = trial::CourseRequest { lr, batch, step_times: Vec::new() };
        Ok(Self { request, peak, largest: largest.min(subject.train_examples.max(1)) })
    }

    /// Goodput weighs the noise against the time of a step, which is measured first.
    pub(super) fn measure_steps(
        &mut self,
        session: &Session,
        subject: &Subject,
        options: &Options,
        progress: &mut Progress,
    ) -> Result<(), LabError> {
        if !matches!(&self.request.batch.shape, BatchShape::Adaptive(spec) if spec.policy == Policy::Goodput)
        {
            return Ok(());
        }
        let settings = session.settings(options, None, Some(self.largest));
        let speed = advise::speed(subject, &settings, &mut |event| progress.on(event))?;
        self.request.step_times = speed.points.iter().map(SpeedPoint::time_point).collect();
        Ok(())
    }
}

/// The micro-batch: as typed, or the largest that --memory allows, or the batch.
pub(super) fn micro_batch(
    session: &Session,
    options: &Options,
    arguments: &TrainArguments,
    largest: u64,
    progress: &mut Progress,
) -> Result<u64, LabError> {
    match (arguments.micro_batch, options.memory) {
        (Some(micro_batch), _) => Ok(micro_batch.min(largest)),
        (None, None) => Ok(largest),
        (None, Some(_)) => {
            let settings = session.settings(options, None, Some(largest));
            let subject = session.subject()?;
            advise::micro_batch(&subject, &settings, largest, &mut |event| progress.on(event))
        }
    }
}
