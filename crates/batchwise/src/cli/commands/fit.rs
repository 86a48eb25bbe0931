//! `fit`: answers from measurements made anywhere.

use crate::cli::arguments::{FitArguments, FitCommand, FitOptions, TargetName, TaskName, TuningName};
use crate::cli::{Options, show};
use batchwise_estimate::critical::Task;
use batchwise_estimate::tradeoff::Tuning;
use batchwise_estimate::unit::Unit;
use batchwise_lab::LabError;
use batchwise_lab::fit::{Kind, Settings, Source, fit};
use batchwise_lab::output::write_whole;
use std::path::{Path, PathBuf};

/// Names stand in a column of this width.
const NAMES: usize = 20;

pub(super) fn run(options: &Options, arguments: &FitArguments) -> Result<(), LabError> {
    let (kind, files, common) = match &arguments.command {
        FitCommand::Noise(file) => (Kind::Noise, one(&file.file), &file.common),
        FitCommand::Tradeoff(file) => (Kind::Tradeoff, one(&file.file), &file.common),
        FitCommand::Speed(file) => (Kind::Speed, one(&file.file), &file.common),
        FitCommand::Memory(file) => (Kind::Memory, one(&file.file), &file.common),
        FitCommand::Ridge(file) => (Kind::Ridge, one(&file.file), &file.common),
        FitCommand::Decide(files) => (Kind::Decide, files.files.as_slice(), &files.common),
    };
    let mut settings = settings(options, common)?;
    if let FitCommand::Tradeoff(file) = &arguments.command {
        settings.tuning = tuning(file.tuning);
        settings.evaluation_period = file.evaluation_period;
        if let Some(period) = file.evaluation_period.filter(|period| !(period.is_finite() && 0.0 <= *period))
        {
            return Err(LabError::Input(format!(
                "--evaluation-period is {period}, but must be a number of at least 0"
            )));
        }
    }
    if let Some(picture) = &common.plot {
        refuse_overwriting_input(picture, files)?;
    }
    if 1 < files.iter().filter(|file| *file == Path::new("-")).count() {
        return Err(LabError::Input("- stands twice: standard input can be read once".to_owned()));
    }
    let sources = files.iter().map(|file| Source::open(file)).collect::<Result<Vec<_>, _>>()?;
    let answer = fit(kind, sources, &settings)?;
    if let (Some(path), Some(picture)) = (&common.plot, &answer.picture) {
        write_picture(path, picture)?;
    }
    if options.json {
        show::json(&answer.json);
    } else {
        for (name, words) in &answer.lines {
            show::line(&format!("{name:>NAMES$}  {words}"));
        }
        if let Some(picture) = &common.plot {
            show::line(&format!("{:>NAMES$}  {}", "picture", picture.display()));
        }
    }
    Ok(())
}

fn one(file: &PathBuf) -> &[PathBuf] {
    std::slice::from_ref(file)
}

fn settings(options: &Options, common: &FitOptions) -> Result<Settings, LabError> {
    let confidence = common.confidence;
    if !(0.5..=0.999).contains(&confidence) {
        return Err(LabError::Input(format!(
            "--confidence is {confidence}, but must lie between 0.5 and 0.999, such as 0.95"
        )));
    }
    let Some(example) = Unit::from_name(&common.unit_of_example) else {
        return Err(LabError::Input(
            "--unit-of-example is empty: examples, tokens, sequences or frames is allowed".to_owned(),
        ));
    };
    let of_training_set = common.target == TargetName::TrainingSet;
    if of_training_set && common.dataset_size.is_none() {
        return Err(LabError::Input(
            "--target training-set needs --dataset-size: how many examples the set has".to_owned(),
        ));
    }
    Ok(Settings {
        confidence,
        seed: options.seed,
        column_unit: common.unit.clone(),
        example,
        dataset_examples: common.dataset_size,
        of_training_set,
        memory_limit: options.memory,
        evaluation_period: None,
        tuning: Tuning::Tuned,
        picture: common.plot.is_some(),
        task: match common.task {
            TaskName::Supervised => Task::Supervised,
            TaskName::Any => Task::Any,
        },
    })
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
