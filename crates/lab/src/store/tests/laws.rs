//! What holds for any trials, in any order.

use super::super::{OpenSettings, Store};
use super::{dump, sample};
use crate::sweep::Root;
use crate::trial::{Begin, LogLine, TrialFolder};
use proptest::prelude::*;
use std::fs;

/// What is done to the files of one of the trials.
#[derive(Debug, Clone)]
enum Event {
    Attempt { trial: usize },
    Line { trial: usize, line: LogLine },
    Torn { trial: usize },
    Ingest { trial: usize },
    IngestSweep,
}

const TRIALS: usize = 3;

fn event() -> impl Strategy<Value = Event> {
    let line = prop_oneof![
        (0u64..50).prop_map(|n| sample::step(8 * n)),
        (0u64..50, -1.0..1.0).prop_map(|(n, loss)| sample::evaluation(8 * n, loss)),
        Just(LogLine::End(sample::measured())),
    ];
    prop_oneof![
        (0..TRIALS).prop_map(|trial| Event::Attempt { trial }),
        (0..TRIALS, line).prop_map(|(trial, line)| Event::Line { trial, line }),
        (0..TRIALS).prop_map(|trial| Event::Torn { trial }),
        (0..TRIALS).prop_map(|trial| Event::Ingest { trial }),
        Just(Event::IngestSweep),
    ]
}

fn append(folder: &TrialFolder, text: &str) {
    use std::io::Write;
    let Some(log) = folder.logs().unwrap().pop() else { return };
    let mut file = fs::OpenOptions::new().append(true).open(folder.path(&log)).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// However often, in whatever order and at whatever moments trials are taken in: in the end the tables are those of a
    /// store that was made of the files at once, and answers are those of the files.
    #[test]
    fn the_tables_follow_from_the_files_alone(
        events in prop::collection::vec(event(), 1..60),
        order in Just((0..TRIALS).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        let folders: Vec<TrialFolder> =
            (0..TRIALS as u64).map(|seed| sample::waiting(&root, 8, 0.1, seed)).collect();
        let sweep = sample::sweep(&root, "one", &[&folders[0], &folders[2]]);
        let mut store = Store::open(&root).unwrap();
        for event in events {
            match event {
                Event::Attempt { trial } => {
                    folders[trial].begin(&Begin { at: 9, ..Begin::default() }).unwrap();
                }
                Event::Line { trial, line } => {
                    append(&folders[trial], &(serde_json::to_string(&line).unwrap() + "\n"));
                }
                Event::Torn { trial } => append(&folders[trial], "{\"line\":\"step\",\"exam"),
                Event::Ingest { trial } => drop(store.ingest(&folders[trial]).unwrap()),
                Event::IngestSweep => store.ingest_sweep(&sweep).unwrap(),
            }
        }
        for trial in order {
            store.ingest(&folders[trial]).unwrap();
        }
        store.ingest_sweep(&sweep).unwrap();
        let followed = dump(&store);
        for folder in &folders {
            prop_assert_eq!(store.record(folder.id()).unwrap(), Some(folder.record().unwrap()));
        }
        store.refresh(&root).unwrap();
        prop_assert_eq!(&dump(&store), &followed);
        drop(store);
        fs::remove_file(root.store()).unwrap();
        Store::rebuild(&root, &OpenSettings::default()).unwrap();
        prop_assert_eq!(dump(&Store::open(&root).unwrap()), followed);
    }
}
