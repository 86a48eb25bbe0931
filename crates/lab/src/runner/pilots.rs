//! Short runs at each batch size, which say what its trials will take.

use super::child::{Heard, Running};
use super::predict::{Known, Pilots, parameters_in_words};
use super::request::{Pilot, Report, Request};
use super::settings::Settings;
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
    index: usize,
    micro_batch: u64,
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
    let code = trials.first().map_or_else(String::new, |spec| spec.code.clone());
    let mut pilots = Pilots { jobs: settings.jobs, threads: plan.limits.threads, code, known: Vec::new() };
    let path = settings.root.sweep(&plan.name).join("pilots.json");
    if let Ok(text) = fs::read(&path)
        && let Ok(before) = serde_json::from_slice::<Pilots>(&text)
        && (before.jobs, before.threads, &before.code) == (pilots.jobs, pilots.threads, &pilots.code)
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
        let parameters = parameters_in_words(spec);
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
        groups.entry((spec.batch, parameters_in_words(spec))).or_default().push(spec);
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
    let (sender, receiver) = channel();
    let mut found: Vec<Option<Found>> = vec![None; wanted.len()];
    let mut queue: Vec<(usize, u64)> =
        wanted.iter().enumerate().map(|(i, spec)| (i, spec.batch)).rev().collect();
    let mut going: HashMap<usize, Going> = HashMap::new();
    let mut key = 0;
    loop {
        while going.len() < usize::try_from(settings.jobs).unwrap_or(1) && !process::is_cancelled() {
            let Some((index, micro_batch)) = queue.pop() else { break };
            let request = request(plan, wanted[index], settings, runner, scratch, micro_batch)?;
            let child = Running::start(&settings.child, &request, key, &sender)?;
            going.insert(key, Going { index, micro_batch, child, report: None });
            key += 1;
        }
        if going.is_empty() {
            break;
        }
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
                let out_of_memory = words.contains("memory allocation of")
                    || matches!(&ended.report, Some(Ok(Report::Ended(end))) if end.kind == EndKind::Memory);
                if out_of_memory && 1 < ended.micro_batch {
                    queue.push((ended.index, ended.micro_batch.div_ceil(2)));
                    continue;
                }
                let result = match ended.report {
                    Some(Ok(Report::Pilot(pilot))) => Ok(pilot),
                    Some(Ok(Report::Ended(end))) => Err(end.reason),
                    Some(Ok(Report::Result { .. })) => Err("a pilot brought a result".to_owned()),
                    Some(Err(text)) => Err(text),
                    None => Err(status.map_or_else(|| words.clone(), |status| format!("{status}: {words}"))),
                };
                found[ended.index] = Some((ended.micro_batch, result));
            }
        }
    }
    if process::is_cancelled() {
        return Err(LabError::Cancelled);
    }
    let missing = || (1, Err("the pilot did not run".to_owned()));
    Ok(found.into_iter().map(|found| found.unwrap_or_else(missing)).collect())
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
