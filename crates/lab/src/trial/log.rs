//! The log of one attempt: lines of JSON, appended by one writer.

use super::Evaluation;
use serde::{Deserialize, Serialize};

/// A line of the log of an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub enum LogLine {
    /// The first.
    Begin(Begin),
    /// A stretch of training.
    Step {
        /// Examples processed.
        examples: u64,
        /// Optimizer steps.
        steps: u64,
        /// Seconds trained, on the trainer's own clock where it has one.
        seconds: f64,
        /// Mean training loss since the line before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        train_loss: Option<f64>,
        /// Mean squared norm of the gradients of micro-batches, with `batch_norm2` what the noise scale follows from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        micro_norm2: Option<f64>,
        /// Squared norm of the gradient of the batch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        batch_norm2: Option<f64>,
        /// Examples of a micro-batch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        micro_batch: Option<u64>,
    },
    /// An evaluation.
    Evaluation {
        /// Seconds trained.
        seconds: f64,
        /// What was found.
        #[serde(flatten)]
        evaluation: Evaluation,
    },
    /// Something that a trainer printed beside its lines.
    Text {
        /// What it was.
        text: String,
    },
    /// The last of an attempt that ended with a result.
    End(Measured),
}

/// How an attempt began.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Begin {
    /// Seconds since 1970.
    pub at: u64,
    /// Process.
    pub pid: u32,
    /// Name of the machine.
    pub host: String,
    /// The runner that asked for it; none where it was started by hand or by a cluster.
    pub runner: Option<String>,
    /// Examples of one forward and backward pass.
    pub micro_batch: u64,
    /// Threads that it computes with.
    pub threads: u64,
    /// Examples that a checkpoint held, where the attempt went on from one.
    pub resumed_at: Option<u64>,
}

/// What was measured of a trial, and differs each time.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Measured {
    /// Seconds of training, without evaluations, on the trainer's own clock where it has one.
    pub seconds: f64,
    /// Of these until the target was reached.
    #[serde(default)]
    pub seconds_to_target: Option<f64>,
    /// Seconds from the start of the attempt to its end.
    pub wall_seconds: f64,
    /// Seconds of a step, where they were measured apart.
    #[serde(default)]
    pub step_seconds: Option<f64>,
    /// Seconds of one evaluation.
    #[serde(default)]
    pub evaluation_seconds: Option<f64>,
    /// Most bytes that training took at once.
    #[serde(default)]
    pub peak_bytes: Option<u64>,
    /// Noise scale in examples over the run, where norms were measured.
    #[serde(default)]
    pub noise_scale: Option<f64>,
}

/// The lines of a log. A last line that was cut off by a kill is left out, and what is no line too; the number of these
/// comes second.
#[must_use]
pub fn read_log(text: &str) -> (Vec<LogLine>, usize) {
    let mut lines = Vec::new();
    let mut bad = 0;
    for line in text.split_inclusive('\n') {
        match line.strip_suffix('\n').and_then(|line| serde_json::from_str(line).ok()) {
            Some(line) => lines.push(line),
            None => bad += 1,
        }
    }
    (lines, bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_is_left_out() {
        let step = LogLine::Step {
            examples: 3,
            steps: 1,
            seconds: 0.5,
            train_loss: Some(1.25),
            micro_norm2: None,
            batch_norm2: None,
            micro_batch: None,
        };
        let evaluation = LogLine::Evaluation {
            seconds: 0.5,
            evaluation: Evaluation { examples: 3, steps: 1, loss: Some(0.5), ..Evaluation::default() },
        };
        let all = [LogLine::Begin(Begin::default()), step, evaluation, LogLine::End(Measured::default())];
        let text: String = all.iter().map(|line| serde_json::to_string(line).unwrap() + "\n").collect();
        assert_eq!(read_log(&text), (all.to_vec(), 0));
        let (cut, bad) = read_log(&text[..text.len() - 2]);
        assert_eq!((cut.len(), bad), (3, 1));
        let (without_end, bad) = read_log(text.trim_end());
        assert_eq!((without_end.len(), bad), (3, 1), "a line counts once its end is there");
    }
}
