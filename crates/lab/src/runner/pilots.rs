//! Short runs at each batch size, which say what its trials will take.

use super::child::{Heard, Running};
use super::predict::{Known, Pilots};
use super::request::{Pilot, Report, Request};
use super::settings::Settings;
use super::sweep::oom_kills;
use crate::LabError;
use crate::output::write_whole;
use crate::plan::Plan;
use crate::process::{self, Message};
use crate::sweep::Root;
use crate::trial::{EndKind, TrialSpec};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// Seconds of a pilot of a workload.
const WORKLOAD: f64 = 2.0;
/// Seconds that a pilot of a command may take to print its records.
const COMMAND: f64 = 30.0;

/// A pilot that is going on.
struct Going {
    child: Running,
    report: Option<Result<Report, String>>,
}

/// Runs a pilot for each batch size and setting among the trials; those of an earlier start are used again.
///
/// # Errors
/// Files that cannot be written, children that cannot be started, a user who wants no more.
pub(super) fn run(
    plan: &Plan,
    trials: &[TrialSpec],
    settings: &Settings,
    runner: &str,
    note: &mut dyn FnMut(String),
) -> Result<Pilots, LabError> {
    let mut pilots = Pilots {
        jobs: settings.jobs,
        threads: plan.limits.threads,
        code: trials.first().map_or_else(String::new, |spec| spec.code.clone()),
        trainer: trials.first().map(|spec| spec.trainer.clone()),
        memory: settings.memory_is_given.then_some(settings.memory),
        known: Vec::new(),
    };
    let path = settings.root.sweep(&plan.name).join("pilots.json");
    if let Ok(text) = fs::read(&path)
        && let Ok(before) = serde_json::from_slice::<Pilots>(&text)
        && (Pilots { known: Vec::new(), ..before.clone() }) == pilots
    {
        pilots.known = before.known.into_iter().filter(|known| known.pilot.is_ok()).collect();
    }
    let wanted: Vec<&TrialSpec> =
        one_of_each(trials).into_iter().filter(|spec| pilots.of(spec).is_none()).collect();
    if wanted.is_empty() {
        return Ok(pilots);
    }
    let n = wanted.len();
    note(format!("{n} pilot{}: what a trial takes at each batch size", if n == 1 { "" } else { "s" }));
    let scratch = settings.root.folder().join("pilots");
    let found = run_all(plan, &wanted, settings, runner, &Root::new(&scratch));
    let _ = fs::remove_dir_all(&scratch);
    for (spec, (micro_batch, pilot)) in wanted.iter().zip(found?) {
        let parameters = spec.parameters_in_words();
        pilots.known.push(Known { batch: spec.batch, parameters, micro_batch, pilot });
    }
    let text =
        serde_json::to_string_pretty(&pilots).map_err(|error| LabError::protocol(error.to_string()))?;
    fs::create_dir_all(settings.root.sweep(&plan.name))
        .map_err(|source| LabError::io("create", &settings.root.sweep(&plan.name), source))?;
    write_whole(&path, text.as_bytes())?;
    Ok(pilots)
}

/// The trial in the middle of each group: the least likely to diverge or to crawl.
fn one_of_each(trials: &[TrialSpec]) -> Vec<&TrialSpec> {
    let mut groups: BTreeMap<(u64, String), Vec<&TrialSpec>> = BTreeMap::new();
    for spec in trials {
        groups.entry((spec.batch, spec.parameters_in_words())).or_default().push(spec);
    }
    groups.into_values().filter_map(|group| group.get(group.len() / 2).copied()).collect()
}

type Found = (u64, Result<Pilot, String>);

fn run_all(
    plan: &Plan,
    wanted: &[&TrialSpec],
    settings: &Settings,
    runner: &str,
    scratch: &Root,
) -> Result<Vec<Found>, LabError> {
    let mut found = Vec::new();
    for spec in wanted {
        let mut micro_batch = spec.batch;
        loop {
            let request = request(plan, spec, settings, runner, scratch, micro_batch)?;
            match at_once(&request, settings)? {
                Ended::OutOfMemory(_) if 1 < micro_batch => micro_batch = micro_batch.div_ceil(2),
                Ended::OutOfMemory(why) | Ended::Failed(why) => {
                    found.push((micro_batch, Err(why)));
                    break;
                }
                Ended::Measured(pilot) => {
                    found.push((micro_batch, Ok(pilot)));
                    break;
                }
            }
        }
    }
    Ok(found)
}

/// How pilots ended.
enum Ended {
    Measured(Pilot),
    OutOfMemory(String),
    Failed(String),
}

/// The same pilot as often as there will be trials at once: like trials share caches and memory as these do.
fn at_once(request: &Request, settings: &Settings) -> Result<Ended, LabError> {
    let oom_kills = oom_kills();
    let (sender, receiver) = channel();
    let mut going = HashMap::new();
    for key in 0..usize::try_from(settings.jobs).unwrap_or(1) {
        let child = Running::start(&settings.child, request, key, &sender)?;
        going.insert(key, Going { child, report: None });
    }
    let mut pilots: Vec<Pilot> = Vec::new();
    let mut wrong = None;
    while !going.is_empty() {
        let (key, heard) = match receiver.recv_timeout(Duration::from_millis(200)) {
            Ok(heard) => heard,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                if process::is_cancelled() {
                    going.values().for_each(|pilot| pilot.child.kill());
                }
                continue;
            }
        };
        let Some(pilot) = going.get_mut(&key) else { continue };
        match heard {
            Heard::Message(Message::Done { value }) => {
                pilot.report = Some(serde_json::from_value(value).map_err(|error| error.to_string()));
            }
            Heard::Message(Message::Failed { text, .. }) | Heard::Garbage(text) => {
                pilot.report = Some(Err(text))
            }
            Heard::Message(_) => {}
            Heard::Ended(status, words) => {
                let Some(ended) = going.remove(&key) else { continue };
                let no_last_word =
                    || status.map_or_else(|| words.clone(), |status| format!("{status}: {words}"));
                match ended.report {
                    Some(Ok(Report::Pilot(pilot))) => pilots.push(pilot),
                    Some(Ok(Report::Ended(end))) if end.kind == EndKind::Memory => {
                        wrong = Some(Ended::OutOfMemory(end.reason));
                    }
                    None if words.contains("memory allocation of") => {
                        wrong = Some(Ended::OutOfMemory(no_last_word()));
                    }
                    Some(Ok(Report::Ended(end)))
                        if end.kind == EndKind::Killed && oom_kills < self::oom_kills() =>
                    {
                        wrong = Some(Ended::OutOfMemory("the system ended it for want of memory".to_owned()));
                    }
                    Some(Ok(Report::Ended(end))) => wrong = Some(Ended::Failed(end.reason)),
                    Some(Ok(Report::Result { .. })) => {
                        wrong = Some(Ended::Failed("a pilot brought a result".to_owned()));
                    }
                    Some(Err(text)) => wrong = Some(Ended::Failed(text)),
                    None => wrong = Some(Ended::Failed(no_last_word())),
                }
            }
        }
    }
    if process::is_cancelled() {
        return Err(LabError::Cancelled);
    }
    Ok(wrong.unwrap_or_else(|| Ended::Measured(together(&pilots))))
}

/// What pilots that ran side by side say together.
fn together(pilots: &[Pilot]) -> Pilot {
    let n = pilots.len().max(1) as f64;
    let mean = |of: fn(&Pilot) -> f64| pilots.iter().map(of).sum::<f64>() / n;
    Pilot {
        examples: pilots.iter().map(|pilot| pilot.examples).sum(),
        seconds: pilots.iter().map(|pilot| pilot.seconds).sum(),
        evaluation_seconds: mean(|pilot| pilot.evaluation_seconds),
        fixed_seconds: mean(|pilot| pilot.fixed_seconds),
        peak_bytes: pilots.iter().filter_map(|pilot| pilot.peak_bytes).max(),
        disk_bytes: pilots.iter().map(|pilot| pilot.disk_bytes).max().unwrap_or(0),
    }
}

fn request(
    plan: &Plan,
    spec: &TrialSpec,
    settings: &Settings,
    runner: &str,
    scratch: &Root,
    micro_batch: u64,
) -> Result<Request, LabError> {
    let id = spec.id()?;
    scratch.trial(&id).create(spec)?;
    let is_command = matches!(spec.trainer, crate::trial::TrainerSpec::Command { .. });
    Ok(Request {
        root: scratch.folder().to_owned(),
        trial: id,
        runner: Some(runner.to_owned()),
        data_dir: settings.data_dir.clone(),
        folder: settings.folder.clone(),
        micro_batch,
        threads: plan.limits.threads,
        limit_bytes: settings.memory_is_given.then_some(settings.memory),
        seconds: None,
        silence: plan.limits.silence,
        output: plan.limits.output,
        pilot: Some(if is_command { COMMAND } else { WORKLOAD }),
    })
}
