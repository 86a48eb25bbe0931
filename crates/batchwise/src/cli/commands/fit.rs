//! `fit`: answers from measurements made anywhere.

use crate::cli::arguments::{
    AnswerOptions, FitArguments, FitCommand, MeasurementsFile, TargetName, TaskName, TuningName,
};
use crate::cli::{Options, show};
use batchwise_estimate::critical::{Calibration, Task};
use batchwise_estimate::tradeoff::Tuning;
use batchwise_estimate::unit::Unit;
use batchwise_lab::LabError;
use batchwise_lab::fit::{Kind, Settings, Source, fit};
use batchwise_lab::output::write_whole;
use std::path::{Path, PathBuf};

/// Names stand in a column of this width.
const NAMES: usize = 20;

pub(super) fn run(options: &Options, arguments: &FitArguments) -> Result<(), LabError> {
    let mut settings = Settings { seed: options.seed, memory_limit: options.memory, ..Settings::default() };
    let (kind, files, answer) = match &arguments.command {
        FitCommand::Noise(file) => {
            settings.confidence = confidence(&file.common)?;
            settings.dataset_examples = file.dataset_size;
            settings.of_training_set = file.target == TargetName::TrainingSet;
            settings.calibration = calibration(file.task);
            if settings.of_training_set && file.dataset_size.is_none() {
                let text = "--target training-set needs --dataset-size: how many examples the set has";
                return Err(LabError::Input(text.to_owned()));
            }
            (Kind::Noise, one(&file.common.file), &file.common.answer)
        }
        FitCommand::Tradeoff(file) => {
            settings.confidence = confidence(&file.common)?;
            settings.tuning = tuning(file.tuning);
            settings.evaluation_period = file.evaluation_period;
            if let Some(period) = file.evaluation_period.filter(|p| !(p.is_finite() && 0.0 <= *p)) {
                let text = format!("--evaluation-period is {period}, but must be a number of at least 0");
                return Err(LabError::Input(text));
            }
            (Kind::Tradeoff, one(&file.common.file), &file.common.answer)
        }
        FitCommand::Speed(file) => {
            settings.confidence = confidence(&file.common)?;
            settings.column_unit = file.unit.clone();
            (Kind::Speed, one(&file.common.file), &file.common.answer)
        }
        FitCommand::Memory(file) => {
            settings.confidence = confidence(&file.common)?;
            settings.column_unit = file.unit.clone();
            (Kind::Memory, one(&file.common.file), &file.common.answer)
        }
        FitCommand::Ridge(file) => {
            settings.confidence = confidence(file)?;
            (Kind::Ridge, one(&file.file), &file.answer)
        }
        FitCommand::Decide(files) => {
            settings.dataset_examples = files.dataset_size;
            settings.calibration = calibration(files.task);
            (Kind::Decide, files.files.as_slice(), &files.answer)
        }
    };
    settings.example = example(&answer.unit_of_example)?;
    settings.picture = answer.plot.is_some();
    self::answer(options, kind, files, answer, &settings)
}

fn answer(
    options: &Options,
    kind: Kind,
    files: &[PathBuf],
    wanted: &AnswerOptions,
    settings: &Settings,
) -> Result<(), LabError> {
    if let Some(picture) = &wanted.plot {
        refuse_overwriting_input(picture, files)?;
    }
    if 1 < files.iter().filter(|file| *file == Path::new("-")).count() {
        return Err(LabError::Input("- stands twice: standard input can be read once".to_owned()));
    }
    let sources = files.iter().map(|file| Source::open(file)).collect::<Result<Vec<_>, _>>()?;
    let answer = fit(kind, sources, settings)?;
    if let (Some(path), Some(picture)) = (&wanted.plot, &answer.picture) {
        write_picture(path, picture)?;
    }
    if options.json {
        show::json(&answer.json);
        return Ok(());
    }
    for (name, words) in &answer.lines {
        show::line(&format!("{name:>NAMES$}  {words}"));
    }
    if let Some(picture) = &wanted.plot {
        show::line(&format!("{:>NAMES$}  {}", "picture", picture.display()));
    }
    Ok(())
}

fn one(file: &PathBuf) -> &[PathBuf] {
    std::slice::from_ref(file)
}

fn confidence(file: &MeasurementsFile) -> Result<f64, LabError> {
    let confidence = file.confidence;
    if (0.5..=0.999).contains(&confidence) {
        return Ok(confidence);
    }
    Err(LabError::Input(format!(
        "--confidence is {confidence}, but must lie between 0.5 and 0.999, such as 0.95"
    )))
}

fn example(name: &str) -> Result<Unit, LabError> {
    Unit::from_name(name).ok_or_else(|| {
        LabError::Input(
            "--unit-of-example is empty: examples, tokens, sequences or frames is allowed".to_owned(),
        )
    })
}

fn calibration(name: TaskName) -> Calibration {
    match name {
        TaskName::Supervised => Calibration::Prior { task: Task::Supervised },
        TaskName::Any => Calibration::Prior { task: Task::Any },
        TaskName::AdamLanguageModel => Calibration::AdamLanguageModel,
    }
}

fn tuning(name: TuningName) -> Tuning {
    match name {
        TuningName::Tuned => Tuning::Tuned,
        TuningName::AtEdge => Tuning::AtEdge,
        TuningName::Untuned => Tuning::Untuned,
    }
}

/// A slip of the keyboard must not cost the measurements.
fn refuse_overwriting_input(picture: &Path, files: &[PathBuf]) -> Result<(), LabError> {
    let real = |path: &Path| path.canonicalize().ok();
    let is_input =
        real(picture).is_some_and(|picture| files.iter().any(|file| real(file).as_ref() == Some(&picture)));
    if is_input {
        return Err(LabError::Input(format!(
            "--plot {} would overwrite the measurements",
            picture.display()
        )));
    }
    Ok(())
}

fn write_picture(path: &Path, picture: &str) -> Result<(), LabError> {
    write_whole(path, picture.as_bytes())
        .map_err(|error| LabError::Input(format!("{error}; give another file by --plot")))
}
