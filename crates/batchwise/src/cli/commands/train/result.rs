//! What a run comes to, as `train.json` and on the screen.

use batchwise_estimate::fieller::{Ratio, fieller};
use batchwise_estimate::noise::FormName;
use batchwise_lab::probe::trial::{self, Generalisation, NoiseCost, Stopped, Timing};
use batchwise_lab::provenance::Provenance;
use batchwise_lab::report::course;
use batchwise_train::best::Stop;
use batchwise_train::observe::{PreconditionedSums, Record};
use batchwise_train::target::{Metric, Outcome, Reached};
use serde::Serialize;
use std::collections::BTreeSet;

/// What `train.json` holds.
#[derive(Debug, Serialize)]
pub(super) struct TrainResult {
    schema: u32,
    /// At the beginning.
    pub(super) batch_size: u64,
    /// Over the run, as a text.
    pub(super) batch_schedule: String,
    /// Each change of the batch size.
    pub(super) changes: Vec<trial::BatchChange>,
    pub(super) micro_batch: u64,
    /// The peak.
    pub(super) learning_rate: f64,
    /// Over the run, as a text.
    pub(super) learning_rate_schedule: String,
    pub(super) examples: u64,
    pub(super) steps: u64,
    /// Of training, without evaluations and checkpoints.
    pub(super) seconds: f64,
    pub(super) train_loss: Option<f64>,
    pub(super) test_loss: Option<f64>,
    pub(super) test_loss_error: Option<f64>,
    pub(super) test_accuracy: Option<f64>,
    pub(super) test_accuracy_error: Option<f64>,
    /// What was to be reached.
    pub(super) target: Option<String>,
    /// When it was: null where it was not, or where there was no target.
    pub(super) reached_target_at: Option<ReachedAt>,
    /// The noise scale, where it was measured.
    pub(super) noise: Option<Noise>,
    /// The best evaluation, where the run was evaluated on its way.
    pub(super) best: Option<Best>,
    /// The average of the weights, where one was followed.
    pub(super) average: Option<Average>,
    /// Sharpness and curvature, if they were asked for.
    pub(super) generalisation: Option<Generalisation>,
    /// Where the time went, if it was asked for.
    pub(super) timing: Option<Timing>,
    /// Why evaluations ended the run, if they did.
    pub(super) ended: Option<Stop>,
    /// Workers that shared every batch, if it was shared.
    pub(super) workers: Option<u64>,
    pub(super) diverged: Option<String>,
    /// Why the run ended before its end, if in good order.
    pub(super) stopped: Option<Stopped>,
    /// Batches left out because their loss or gradient was not finite.
    pub(super) skipped: u64,
    /// Examples that the run had when it went on from a checkpoint.
    pub(super) resumed_at: Option<u64>,
    pub(super) memory: Memory,
    pub(super) weights_sha256: String,
    pub(super) provenance: Provenance,
}

/// When a target was reached, interpolated between two evaluations, which bound it.
#[derive(Debug, Serialize)]
pub(super) struct ReachedAt {
    pub(super) examples: f64,
    pub(super) steps: f64,
    pub(super) seconds: f64,
    pub(super) epochs: f64,
    /// At the evaluation before and at the one that reached it.
    pub(super) between: Reached,
}

/// The noise scale over the second half of the run.
#[derive(Debug, Serialize)]
pub(super) struct Noise {
    /// In examples, with its interval.
    pub(super) phi: Ratio,
    pub(super) readings: u64,
    /// What measuring it cost, where that can be told.
    pub(super) cost: Option<NoiseCost>,
    /// Of the step as the optimizer's preconditioner makes it, if it was asked for.
    pub(super) preconditioned: Vec<PreconditionedScale>,
    /// Of each parameter, if it was asked for. They do not add up: their parts do.
    pub(super) layers: Vec<LayerNoise>,
}

/// The noise scale of a preconditioned step, in one of its two forms.
#[derive(Debug, Serialize)]
pub(super) struct PreconditionedScale {
    pub(super) form: FormName,
    pub(super) formula: &'static str,
    pub(super) phi: Ratio,
    pub(super) readings: u64,
}

/// The noise scale of one parameter.
#[derive(Debug, Serialize)]
pub(super) struct LayerNoise {
    pub(super) name: String,
    pub(super) phi: Ratio,
    /// Its share of tr Σ.
    pub(super) share: f64,
}

/// The best evaluation.
#[derive(Debug, Serialize)]
pub(super) struct Best {
    pub(super) metric: Metric,
    pub(super) value: f64,
    pub(super) examples: u64,
    pub(super) steps: u64,
    pub(super) seconds: f64,
    /// The file of its weights in the run's folder, if they were kept.
    pub(super) weights: Option<&'static str>,
}

/// The average of the weights.
#[derive(Debug, Serialize)]
pub(super) struct Average {
    /// Examples after which half of it has been replaced.
    pub(super) half_life: f64,
    pub(super) test_loss: f64,
    pub(super) test_loss_error: Option<f64>,
    pub(super) test_accuracy: Option<f64>,
    pub(super) test_accuracy_error: Option<f64>,
    /// Its file in the run's folder.
    pub(super) weights: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct Memory {
    /// Most bytes that training took at once, beside the data set.
    pub(super) peak_bytes: Option<u64>,
    /// What the data set holds itself.
    pub(super) data_bytes: u64,
    /// What was allowed, if the user said.
    pub(super) limit_bytes: Option<u64>,
}

impl TrainResult {
    pub(super) fn new(
        request: &trial::Request,
        outcome: trial::Outcome,
        lines: &[Record],
        data_bytes: u64,
        provenance: Provenance,
    ) -> Self {
        let (course, keep) = (request.course.as_ref(), request.keep.as_ref());
        let reached = match &outcome.target {
            Some(Outcome::Reached(reached)) => Some(reached),
            _ => None,
        };
        Self {
            schema: batchwise_lab::advice::SCHEMA,
            batch_size: request.batch,
            batch_schedule: course.map_or_else(|| request.batch.to_string(), |c| c.batch.to_string()),
            changes: outcome.changes,
            micro_batch: request.micro_batch,
            learning_rate: request.learning_rate,
            learning_rate_schedule: course.map_or_else(String::new, |c| c.lr.to_string()),
            examples: outcome.examples,
            steps: outcome.steps,
            seconds: outcome.seconds,
            train_loss: outcome.train_loss,
            test_loss: outcome.test_loss,
            test_loss_error: outcome.test_loss_error,
            test_accuracy: outcome.test_accuracy,
            test_accuracy_error: outcome.test_accuracy_error,
            target: keep.and_then(|keep| keep.rules.target).map(|target| target.to_string()),
            reached_target_at: reached.map(|reached| ReachedAt {
                examples: reached.examples.value,
                steps: reached.steps.value,
                seconds: reached.seconds.value,
                epochs: reached.epochs.value,
                between: *reached,
            }),
            noise: noise(lines, outcome.noise_cost),
            best: keep.zip(outcome.best).map(|(keep, best)| Best {
                metric: keep.rules.best_by,
                value: best.metric,
                examples: best.at.examples.0,
                steps: best.at.steps.0,
                seconds: best.at.seconds,
                weights: keep.keep_best.then_some(trial::BEST_WEIGHTS),
            }),
            average: keep.and_then(|keep| keep.average_half_life).zip(outcome.average).map(
                |(half_life, average)| Average {
                    half_life,
                    test_loss: average.loss,
                    test_loss_error: average.loss_error,
                    test_accuracy: average.accuracy,
                    test_accuracy_error: average.accuracy_error(),
                    weights: trial::AVERAGE_WEIGHTS,
                },
            ),
            generalisation: outcome.generalisation,
            timing: outcome.timing,
            ended: outcome.ended,
            workers: keep.and_then(|keep| keep.workers),
            diverged: outcome.diverged,
            stopped: outcome.stopped,
            skipped: outcome.skipped,
            resumed_at: outcome.resumed_at,
            memory: Memory { peak_bytes: outcome.peak_bytes, data_bytes, limit_bytes: request.limit_bytes },
            weights_sha256: outcome.weights_sha256,
            provenance,
        }
    }

    /// The run as a picture.
    pub(super) fn drawn(&self, lines: &[Record]) -> course::Course {
        let point = |line: &Record| course::Point {
            examples: line.examples as f64,
            batch: line.batch_size as f64,
            learning_rate: line.learning_rate,
            phi: line.phi.clone(),
        };
        let title = format!("lr {}, batch {}", self.learning_rate_schedule, self.batch_schedule);
        course::Course { title, points: lines.iter().map(point).collect() }
    }
}

/// φ from the lines of the second half, each taken as one measurement.
fn noise(lines: &[Record], cost: Option<NoiseCost>) -> Option<Noise> {
    let read: Vec<&Record> = lines[lines.len() / 2..].iter().filter(|line| 0 < line.n_readings).collect();
    let readings = read.iter().map(|line| line.n_readings).sum();
    let total = read.iter().filter_map(|line| Some((line.n_readings, line.tr_sigma?, line.g2?)));
    let (phi, all) = scale(total);
    let names = read.iter().flat_map(|line| line.groups.iter().flatten()).map(|(name, ..)| name);
    let names: BTreeSet<&String> = names.collect();
    let layers = names.into_iter().map(|name| {
        let own = read.iter().filter_map(|line| {
            let group = line.groups.as_ref()?.iter().find(|group| group.0 == *name)?;
            Some((line.n_readings, group.2, group.1))
        });
        let (phi, own) = scale(own);
        LayerNoise { name: name.clone(), phi, share: own / all }
    });
    let layers = layers.collect();
    let preconditioned = preconditioned(&read);
    (0 < readings).then_some(Noise { phi, readings, cost, preconditioned, layers })
}

/// Both forms of the noise scale of a preconditioned step, where lines have them.
fn preconditioned(lines: &[&Record]) -> Vec<PreconditionedScale> {
    let sums: Vec<PreconditionedSums> = lines.iter().filter_map(|line| line.preconditioned).collect();
    let readings = sums.iter().map(|sums| sums.n_readings).sum();
    let of = |form: FormName, parts: fn(&PreconditionedSums) -> (f64, f64)| {
        let each = sums.iter().map(|sums| {
            let (tr_sigma, g2) = parts(sums);
            (sums.n_readings, tr_sigma, g2)
        });
        PreconditionedScale { form, formula: form.formula(), phi: scale(each).0, readings }
    };
    let forms = vec![
        of(FormName::InverseCurvature, |s| (s.inverse_curvature_tr_sigma, s.inverse_curvature_g2)),
        of(FormName::IdentityCurvature, |s| (s.identity_curvature_tr_sigma, s.identity_curvature_g2)),
    ];
    if sums.is_empty() { Vec::new() } else { forms }
}

/// φ from sums of (readings, tr Σ, ‖G‖²), and the sum of all tr Σ.
fn scale(sums: impl Iterator<Item = (u64, f64, f64)>) -> (Ratio, f64) {
    let means = sums.map(|(n, tr_sigma, g2)| (tr_sigma / n as f64, g2 / n as f64));
    let (tr_sigma, g2): (Vec<f64>, Vec<f64>) = means.unzip();
    (fieller(&tr_sigma, &g2, 0.95), tr_sigma.iter().sum())
}
