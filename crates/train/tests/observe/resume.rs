//! A file is continued where its checkpoint was, or refused and left as it was.

use crate::records::{KINDS, Kind, STARTED, full, started, told};
use batchwise_train::observe::{ObserveError, Record, Table, TensorBoard};
use proptest::prelude::*;
use std::io::Write;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Killed at any record, with any part of another behind the last, and resumed: the bytes of the run that was not.
    #[test]
    fn a_resumed_file_is_that_of_the_run_which_was_not_killed(
        told in told(),
        at in any::<prop::sample::Index>(),
        killed_at in any::<prop::sample::Index>(),
        torn in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let checkpoint = at.index(told.len() + 1);
        let killed = checkpoint + killed_at.index(told.len() - checkpoint + 1);
        for kind in KINDS {
            let (whole, cut) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let mut observer = kind.create(whole.path());
            told.iter().for_each(|told| told.to(observer.as_mut()).unwrap());

            let mut observer = kind.create(cut.path());
            told[..checkpoint].iter().for_each(|told| told.to(observer.as_mut()).unwrap());
            let length = observer.sync().unwrap();
            told[checkpoint..killed].iter().for_each(|told| told.to(observer.as_mut()).unwrap());
            drop(observer);
            let path = kind.path(cut.path());
            std::fs::File::options().append(true).open(&path).unwrap().write_all(&torn).unwrap();

            let mut observer = kind.resume(cut.path(), length).unwrap();
            prop_assert_eq!(std::fs::metadata(&path).unwrap().len(), length);
            told[checkpoint..].iter().for_each(|told| told.to(observer.as_mut()).unwrap());
            let (want, got) = (std::fs::read(kind.path(whole.path())).unwrap(), std::fs::read(&path).unwrap());
            prop_assert_eq!(observer.sync().unwrap(), want.len() as u64);
            prop_assert!(want == got, "{kind:?}");
        }
    }
}

/// Refuses, with this in the message, and leaves the file alone.
fn refused(kind: Kind, folder: &std::path::Path, length: u64, said: &[&str]) {
    let before = std::fs::read(kind.path(folder)).unwrap();
    let error = kind.resume(folder, length).err().unwrap().to_string();
    for said in said.iter().copied().chain([kind.path(folder).to_str().unwrap()]) {
        assert!(error.contains(said), "{kind:?}: {error}");
    }
    assert_eq!(std::fs::read(kind.path(folder)).unwrap(), before, "{kind:?}");
}

#[test]
fn a_file_that_lost_its_end_is_refused() {
    for kind in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let mut observer = kind.create(folder.path());
        full(0).iter().for_each(|told| told.to(observer.as_mut()).unwrap());
        let length = observer.sync().unwrap();
        let (found, expected) = (format!("{length} bytes"), format!("{}", length + 1));
        refused(kind, folder.path(), length + 1, &[&found, &expected]);
    }
}

#[test]
fn only_ends_of_records_are_places_to_go_on() {
    for kind in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let mut observer = kind.create(folder.path());
        let mut ends = vec![observer.sync().unwrap()];
        for told in (0..2).flat_map(full) {
            told.to(observer.as_mut()).unwrap();
            ends.push(observer.sync().unwrap());
        }
        if matches!(kind, Kind::Csv(Table::Groups)) {
            // A row for each group: the end of the first is one too.
            let text = std::fs::read_to_string(kind.path(folder.path())).unwrap();
            ends = text.match_indices('\n').map(|(at, _)| at as u64 + 1).collect();
        }
        for length in (0..=*ends.last().unwrap()).rev() {
            if ends.contains(&length) {
                kind.resume(folder.path(), length).unwrap();
            } else {
                refused(kind, folder.path(), length, &["at byte"]);
            }
        }
    }
}

#[test]
fn another_kind_of_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let events = Kind::TensorBoard.path(folder.path());
    for (at, length) in [(9, 16), (15, 40), (30, 40), (37, 40)] {
        // A byte of the head, of the wall time, of the version, of the checksum.
        drop(Kind::TensorBoard.create(folder.path()));
        let mut bytes = std::fs::read(&events).unwrap();
        assert_eq!(bytes.len(), 40);
        bytes[at] ^= 1;
        std::fs::write(&events, bytes).unwrap();
        refused(Kind::TensorBoard, folder.path(), length, &["at byte"]);
    }
    std::fs::write(&events, vec![b'x'; 100]).unwrap();
    refused(Kind::TensorBoard, folder.path(), 100, &["checksum"]);
    let steps = Kind::Csv(Table::Steps);
    std::fs::write(steps.path(folder.path()), "examples,loss\n1,2\n").unwrap();
    refused(steps, folder.path(), 18, &["at byte 0", "examples,loss", "learning_rate"]);
    assert!(matches!(Kind::JsonLines.resume(folder.path(), 0), Err(ObserveError::Io { action: "open", .. })));
}

#[test]
fn what_tensorboard_cannot_hold_is_refused_and_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let error = TensorBoard::create(&folder.path().join("events"), started()).unwrap_err().to_string();
    assert!(error.contains("tfevents"), "{error}");
    assert!(!folder.path().join("events").exists());
    let mut observer = Kind::TensorBoard.create(folder.path());
    let length = observer.sync().unwrap();
    let record = Record { examples: 1 << 63, ..Record::default() };
    let error = observer.record(&record).unwrap_err().to_string();
    assert!(error.contains("9223372036854775808"), "{error}");
    let record = Record { seconds: f64::NAN, ..Record::default() };
    assert!(observer.record(&record).unwrap_err().to_string().contains("seconds"));
    assert_eq!(observer.sync().unwrap(), length);
    // Before 1970 is no reason to panic.
    let early = std::time::UNIX_EPOCH - std::time::Duration::from_secs(STARTED);
    let name = batchwise_train::observe::event_file_name(early);
    assert_eq!(name, "events.out.tfevents.0000000000.batchwise");
    TensorBoard::create(&folder.path().join(name), early).unwrap();
}
