//! The store against the files that it repeats.

mod faults;
mod laws;
pub(crate) mod sample;

use super::{Filter, Kind, Store};
use crate::sweep::Root;
use crate::trial::{AttemptEnd, Begin, EndKind, Judge, State};
use std::fs;

/// All tables as texts, without the store's own numbers, which depend on the order in which trials came.
pub(super) fn dump(store: &Store) -> Vec<String> {
    let queries = [
        ("trials", "SELECT * FROM trials ORDER BY id"),
        (
            "attempts",
            "SELECT trials.id, position, log, begun_at, ended_at, attempts.end_kind, reason, attempts.measured,
                    read_bytes, read_lines, bad_lines
             FROM attempts JOIN trials ON trials.key = trial ORDER BY trials.id, position",
        ),
        ("lines", "SELECT * FROM lines ORDER BY trial, attempt, line"),
        (
            "sweeps",
            "SELECT name, sweeps.trainer, unit, is_complete, file, position, trial
             FROM sweeps LEFT JOIN sweep_trials ON sweep = key ORDER BY name, position",
        ),
    ];
    let mut all = Vec::new();
    for (table, sql) in queries {
        let mut statement = store.connection.prepare(sql).unwrap();
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let cells = names.iter().enumerate().filter(|(_, name)| *name != "key");
            let cells: Vec<String> =
                cells.map(|(i, name)| format!("{name}={:?}", row.get_ref(i).unwrap())).collect();
            all.push(format!("{table}: {}", cells.join(" ")));
        }
    }
    all
}

#[test]
fn the_store_answers_as_the_files_do() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::new(dir.path());
    let folders =
        [sample::done(&root, 8, 0.1, 1), sample::waiting(&root, 8, 0.2, 1), sample::failed(&root, 16)];
    let sweep = sample::sweep(&root, "one", &[&folders[2], &folders[0]]);
    let mut store = Store::open(&root).unwrap();
    let refreshed = store.refresh(&root).unwrap();
    assert_eq!((refreshed.trials, refreshed.sweeps, refreshed.lines), (3, 1, 7));
    for folder in &folders {
        assert_eq!(store.record(folder.id()).unwrap().as_ref(), Some(&folder.record().unwrap()));
    }
    let all = store.records(&Filter::default()).unwrap();
    assert_eq!(all, folders.iter().map(|folder| folder.record().unwrap()).collect::<Vec<_>>());
    let filter = Filter { sweep: Some("one"), state: None };
    assert_eq!(store.records(&filter).unwrap(), root.records(&sweep).unwrap());
    let filter = Filter { sweep: Some("one"), state: Some(State::Failed) };
    assert_eq!(store.records(&filter).unwrap(), [folders[2].record().unwrap()]);
    let unknown = store.records(&Filter { sweep: Some("two"), state: None }).unwrap_err().to_string();
    assert_eq!(unknown, "no sweep `two`: there are one");
    assert_eq!(store.sweep("one").unwrap(), Some(sweep));
    assert_eq!(store.sweeps_of(folders[0].id()).unwrap(), ["one"]);
    assert_eq!(store.record("nothing").unwrap(), None);
}

#[test]
fn a_name_may_be_shortened_while_it_is_unique() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::new(dir.path());
    for id in ["aaa1", "aab2", "aa"] {
        root.trial(id).create(&sample::spec(8, 0.1, 1)).unwrap();
    }
    let mut store = Store::open(&root).unwrap();
    store.refresh(&root).unwrap();
    assert_eq!(store.resolve("aaa").unwrap(), "aaa1");
    assert_eq!(store.resolve("aa").unwrap(), "aa", "a whole name is no prefix");
    assert!(store.resolve("a").unwrap_err().to_string().contains("3 trials begin with `a`: aa, aaa1, aab2"));
    assert!(store.resolve("b").unwrap_err().to_string().contains("no trial"));
    assert!(store.resolve("").is_err());
    assert!(store.resolve("%").is_err());
}

#[test]
fn the_course_of_a_trial_joins_its_attempts() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::new(dir.path());
    let folder = sample::done(&root, 8, 0.1, 1);
    let logs = folder.logs().unwrap();
    let mut store = Store::open(&root).unwrap();
    store.ingest(&folder).unwrap();
    let lines = store.metrics(folder.id()).unwrap();
    let places: Vec<(&str, u64)> = lines.iter().map(|line| (line.log.as_str(), line.line)).collect();
    let (a, b) = (logs[0].as_str(), logs[1].as_str());
    assert_eq!(places, [(a, 2), (a, 3), (a, 4), (a, 5), (b, 3), (b, 4), (b, 5)]);
    let evaluations = store.curve(folder.id(), Kind::Evaluation).unwrap();
    let course: Vec<(u64, &str)> =
        evaluations.iter().map(|line| (line.examples, line.log.as_str())).collect();
    assert_eq!(course, [(500, b), (1000, b)]);
    let best = store.best_evaluations(Judge::LOSS).unwrap();
    assert_eq!((best.len(), best[0].evaluation.examples, best[0].evaluation.loss), (1, 1000, Some(0.1)));
    let worst = store.best_evaluations("loss up".parse().unwrap()).unwrap();
    assert_eq!((worst[0].evaluation.examples, worst[0].evaluation.steps), (500, 62));
    assert_eq!(store.best_evaluations(Judge::ACCURACY).unwrap(), []);
    assert_eq!(store.n_metrics().unwrap(), (4, 3));
}

#[test]
fn a_trial_is_followed_as_it_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::new(dir.path());
    let folder = sample::waiting(&root, 8, 0.1, 1);
    let mut store = Store::open(&root).unwrap();
    let mut log = folder.begin(&Begin { at: 5, ..Begin::default() }).unwrap();
    assert_eq!(store.ingest(&folder).unwrap().lines, 0);
    for n in 1..4 {
        log.write(&sample::step(8 * n)).unwrap();
        assert_eq!(store.ingest(&folder).unwrap().lines, 1);
        assert_eq!(store.ingest(&folder).unwrap().lines, 0);
        assert_eq!(store.record(folder.id()).unwrap(), Some(folder.record().unwrap()));
    }
    let end = AttemptEnd { at: 1, kind: EndKind::Cancelled, reason: "enough".to_owned() };
    folder.write_failed(&end).unwrap();
    assert_eq!(store.refresh(&root).unwrap().trials, 1);
    assert_eq!(store.refresh(&root).unwrap().trials, 0, "nothing has changed");
    assert_eq!(store.record(folder.id()).unwrap().map(|record| record.state), Some(State::Cancelled));
    fs::remove_file(folder.path(log.name())).unwrap();
    store.refresh(&root).unwrap();
    assert_eq!(store.metrics(folder.id()).unwrap(), []);
    assert_eq!(store.record(folder.id()).unwrap(), Some(folder.record().unwrap()));
    fs::remove_dir_all(folder.folder()).unwrap();
    assert_eq!(store.refresh(&root).unwrap().forgotten, 1);
    assert_eq!(dump(&store), Vec::<String>::new());
}
