//! Records as an event file of TensorBoard.

mod crc32c;
mod event;
mod frame;
mod tags;

use super::append::AppendFile;
use super::{EvaluationRecord, ObserveError, Observer, Record};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// What a file's name must hold for TensorBoard to read it.
const INFIX: &str = "tfevents";

/// A name for the event file of a run that starts now: `events.out.tfevents.<seconds since 1970>.batchwise`.
///
/// TensorBoard takes all event files of a folder for one run: give each run its folder.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// let name = batchwise_train::observe::event_file_name(UNIX_EPOCH + Duration::from_secs(1_700_000_000));
/// assert_eq!(name, "events.out.tfevents.1700000000.batchwise");
/// ```
pub fn event_file_name(started: SystemTime) -> String {
    format!("events.out.{INFIX}.{:010}.batchwise", seconds(started).max(0.0) as u64)
}

/// Writes every record as one event, which holds a scalar for each number.
///
/// **The step that TensorBoard shows is examples**, the clock of the whole project: runs with different batch sizes lie
/// above one another where they have seen the same data. Updates have a tag of their own, `steps`. The wall time of an
/// event is the run's start plus its seconds of training, so that `Relative` shows time trained, also over a resume.
///
/// | tag | is |
/// |---|---|
/// | `loss/train` | [`Record::loss`] |
/// | `loss/test`, `accuracy/test`, `loss_error/test`, `accuracy_error/test` | [`EvaluationRecord`]s by their set; the loss of one on the set `train` is `loss/train_evaluated`, and so on |
/// | `learning_rate`, `batch_size`, `epoch`, `steps`, `gradient_norm`, `update_norm`, `clipped`, `skipped`, `examples_per_second`, `data_wait_seconds` | as in [`Record`] |
/// | `micro_batches` | [`Record::n_micro_batches`] |
/// | `noise/phi`, `noise/phi_low`, `noise/phi_high` | the noise scale and its interval, where there is one |
/// | `noise/g2`, `noise/tr_sigma` | means over the readings |
/// | `noise_g2/<group>`, `noise_tr_sigma/<group>` | the same by parameter group |
///
/// A value is an f32 (the `simple_value` of a summary): beyond 3.4e38 it is infinite, below 1e-45 it is 0. How long
/// an event is depends on its step and its tags alone, so a TensorBoard that watches a run while it is killed and resumed
/// finds each event where it was.
#[derive(Debug)]
pub struct TensorBoard {
    file: AppendFile,
    /// Start of the run, in seconds since 1970.
    started: f64,
}

impl TensorBoard {
    /// Starts a file of a run that began at `started`, in place of any of that name.
    ///
    /// # Errors
    /// A file name without `tfevents` in it (see [`event_file_name`]), which TensorBoard would pass over; a path that
    /// cannot be written.
    pub fn create(path: &Path, started: SystemTime) -> Result<Self, ObserveError> {
        if !path.file_name().is_some_and(|name| name.to_string_lossy().contains(INFIX)) {
            return Err(ObserveError::Value {
                name: "the name of an event file",
                found: path.display().to_string(),
                allowed: "one with `tfevents` in it, or TensorBoard passes it over",
            });
        }
        let started = seconds(started);
        let mut file = AppendFile::create(path)?;
        file.append(&frame::frame(&event::version(started)))?;
        Ok(Self { file, started })
    }

    /// Goes on with a file after the first `length` bytes, as [`Observer::sync`] counted them; what follows is cut off.
    /// The start of the run is read from it.
    ///
    /// # Errors
    /// No such file; a shorter one; one that is no event file; a length inside an event.
    pub fn resume(path: &Path, length: u64) -> Result<Self, ObserveError> {
        let (file, started) = AppendFile::resume(path, length, |file| frame::check(path, file, length))?;
        Ok(Self { file, started })
    }

    fn event(&mut self, examples: u64, seconds: f64, values: &[(String, f64)]) -> Result<(), ObserveError> {
        let step = i64::try_from(examples).map_err(|_| ObserveError::Value {
            name: "the number of examples",
            found: examples.to_string(),
            allowed: "at most 9223372036854775807, the last step that TensorBoard can count",
        })?;
        if !seconds.is_finite() {
            return Err(ObserveError::Value {
                name: "the seconds trained",
                found: seconds.to_string(),
                allowed: "finite",
            });
        }
        self.file.append(&frame::frame(&event::scalars(self.started + seconds, step, values)))
    }
}

impl Observer for TensorBoard {
    fn record(&mut self, record: &Record) -> Result<(), ObserveError> {
        self.event(record.examples, record.seconds, &tags::step(record))
    }

    fn evaluation(&mut self, record: &EvaluationRecord) -> Result<(), ObserveError> {
        self.event(record.examples, record.seconds, &tags::evaluation(record))
    }

    fn sync(&mut self) -> Result<u64, ObserveError> {
        self.file.sync()
    }

    fn path(&self) -> Option<&Path> {
        Some(self.file.path())
    }
}

/// Since 1970; negative before.
fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH)
        .map_or_else(|before| -before.duration().as_secs_f64(), |since| since.as_secs_f64())
}
