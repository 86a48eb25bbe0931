//! `sweep`: a plan of trials, run to the end.

mod keeper;
mod view;
mod world;

use super::report::{reading, sections};
use super::trial::root;
use crate::cli::arguments::SweepArguments;
use crate::cli::{Cli, Options, show};
use batchwise_lab::output::write_whole;
use batchwise_lab::plan::{Plan, PlanFile, SCHEMA};
use batchwise_lab::runner::{self, PredictionCheck, Swept};
use batchwise_lab::sweep::written::{Written, write_report};
use batchwise_lab::sweep::{headline, words};
use batchwise_lab::{LabError, bytes};
use keeper::Keeper;
use std::path::{Path, PathBuf};
use view::View;
use world::Setting;

pub(super) fn run(cli: &Cli, options: &Options, arguments: &SweepArguments) -> Result<(), LabError> {
    if arguments.schema {
        show::line(SCHEMA.trim_end());
        return Ok(());
    }
    let read = read(options, arguments)?;
    if arguments.print_plan {
        show::line(read.text.trim_end());
        return Ok(());
    }
    if arguments.dry_run {
        return dry_run(cli, options, read, &arguments.how());
    }
    let done = to_the_end(cli, options, read, &arguments.how())?;
    let answer = &done.written.answer;
    if options.json {
        show::json(answer);
        return Ok(());
    }
    sections(&words(answer));
    show::line("");
    print_end(&done);
    Ok(())
}

/// `advise PLAN.toml`: runs what is missing of the plan, and says what it advises.
pub(super) fn advise(cli: &Cli, options: &Options, path: &Path) -> Result<(), LabError> {
    let done = to_the_end(cli, options, read_plan(path)?, &How::default())?;
    let answer = &done.written.answer;
    if options.json {
        show::json(answer);
        return Ok(());
    }
    show::line(&headline(answer));
    for group in answer.groups.iter().take(1) {
        for (name, words) in &group.choice.lines {
            show::line(&format!("{name:>24}  {words}"));
        }
    }
    show::line("");
    print_end(&done);
    match answer.groups.first().and_then(|group| group.choice.batch_size) {
        Some(_) => Ok(()),
        None => {
            Err(LabError::NoAdvice("the trials do not say which batch size is best: see above".to_owned()))
        }
    }
}

/// How a sweep is to run.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct How {
    /// Wait where another sweep runs.
    pub(super) wait: bool,
    /// Try trials again that were given up.
    pub(super) retry_failed: bool,
    /// Start without pilots.
    pub(super) no_pilots: bool,
}

impl SweepArguments {
    fn how(&self) -> How {
        How { wait: self.wait, retry_failed: self.retry_failed, no_pilots: self.no_pilots }
    }
}

/// A sweep that has run.
struct Done {
    swept: Swept,
    check: Option<PredictionCheck>,
    written: Written,
}

fn to_the_end(cli: &Cli, options: &Options, read: Read, how: &How) -> Result<Done, LabError> {
    let Read { plan, text, folder } = read;
    let Setting { world, settings } = world::setting(cli, options, &plan, folder, how)?;
    let mut view = View::new(options);
    let sweep_folder = settings.root.sweep(&plan.name);
    std::fs::create_dir_all(&sweep_folder).map_err(|error| {
        LabError::Input(format!(
            "cannot create {}: {error}; give another folder by --out",
            sweep_folder.display()
        ))
    })?;
    write_whole(&sweep_folder.join("plan.toml"), text.as_bytes())?;
    let keeper = Keeper::start(&settings.root);
    let swept = runner::run(&plan, &world, &settings, &mut |id| keeper.tell(id), &mut |event| view.on(event));
    view.finish();
    for trouble in keeper.finish() {
        show::error_line(&format!("the store is behind (its files are whole: `runs rebuild`): {trouble}"));
    }
    let swept = swept?;
    let check = runner::check_predictions(&settings, &swept.file)?;
    let written = write_report(&settings.root, &plan.name, &reading(options))?;
    Ok(Done { swept, check, written })
}

fn print_end(done: &Done) {
    let Done { swept, check, written } = done;
    show::line(&format!(
        "{} trials done, {} given up; {} ran now, in {:.1} s",
        swept.done, swept.failed, swept.ran, swept.seconds
    ));
    if let Some(check) = check {
        show::line(&view::checked(check));
    }
    show::line(&format!("Report: {}", written.page.display()));
}

/// A plan with its text and its folder.
struct Read {
    plan: Plan,
    text: String,
    folder: PathBuf,
}

fn read(options: &Options, arguments: &SweepArguments) -> Result<Read, LabError> {
    let here =
        || std::env::current_dir().map_err(|error| LabError::Input(format!("the current folder: {error}")));
    let input = |error: &dyn std::fmt::Display| LabError::Input(error.to_string());
    let Some(path) = &arguments.plan else {
        let mut file = arguments.flags.plan().map_err(LabError::Input)?;
        if file.trainer.command.is_none() {
            file.trainer.model.clone_from(&options.model);
            file.trainer.data = Some(options.data.clone());
            file.trainer.optimizer = options.optimizer.map(|optimizer| optimizer.name().to_owned());
            file.trainer.device = Some(options.device.to_string());
        }
        let plan = file.check("sweep").map_err(|error| input(&error))?;
        let text = file.to_toml().map_err(|error| input(&error))?;
        return Ok(Read { plan, text, folder: here()? });
    };
    if !arguments.flags.is_empty() {
        return Err(LabError::Input(format!(
            "{} says all: leave the options of a plan out, or the plan",
            path.display()
        )));
    }
    read_plan(path)
}

/// Reads a plan's file.
fn read_plan(path: &Path) -> Result<Read, LabError> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| LabError::Input(format!("{name} cannot be read: {error}")))?;
    let usual = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("sweep");
    let plan = PlanFile::read(&name, &text, usual).map_err(|error| LabError::Input(error.to_string()))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder =
        parent.canonicalize().map_err(|error| LabError::Input(format!("{}: {error}", parent.display())))?;
    Ok(Read { plan, text, folder })
}

fn dry_run(cli: &Cli, options: &Options, read: Read, how: &How) -> Result<(), LabError> {
    let Read { plan, folder, .. } = read;
    let Setting { world, settings } = world::setting(cli, options, &plan, folder, how)?;
    let mut view = View::new(options);
    let found = runner::dry_run(&plan, &world, &settings, &mut |event| view.on(event));
    view.finish();
    let (generated, pilots, prediction) = found?;
    if options.json {
        show::json(&serde_json::json!({
            "sweep": plan.name,
            "trials": generated.trials,
            "may_grow": generated.may_grow,
            "pilots": pilots.known,
            "prediction": prediction,
        }));
        return Ok(());
    }
    let head = ["trial", "batch", "learning rate", "seed", "parameters", "examples", "seconds", "memory"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for spec in &generated.trials {
        let cost = pilots.cost(spec);
        let unknown = || "?".to_owned();
        rows.push(vec![
            spec.id()?,
            spec.batch.to_string(),
            super::runs::digits(Some(spec.learning_rate)),
            spec.seed.to_string(),
            spec.parameters_in_words(),
            view::examples(spec.examples),
            cost.map_or_else(unknown, |cost| format!("{:.1}", cost.seconds)),
            cost.and_then(|cost| cost.bytes).map_or_else(unknown, bytes::human),
        ]);
    }
    show::table(&rows);
    show::line("");
    for line in view::predicted(&plan, &generated, &prediction, settings.jobs) {
        show::line(&line);
    }
    Ok(())
}
