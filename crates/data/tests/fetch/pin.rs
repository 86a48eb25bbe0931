//! The commit that was fetched first is kept; what was fetched is checked and repaired.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use batchwise_data::fetch::{FetchError, MANIFEST, Manifest, read_manifest, verify};

use crate::server::{COMMIT, Hub, NEWER, Reply, Server};
use crate::{assert_whole, bytes, fetch_quietly, fetch_told, request, small_hub, tree};

fn newer_hub() -> Hub {
    let mut hub = small_hub();
    hub.commit = NEWER.to_owned();
    hub.files[1].content = b"a,b\n3,4\n".to_vec();
    hub
}

/// A hub whose branch can be moved, and that knows both commits.
fn moving_hub() -> (Server, Arc<AtomicBool>) {
    let moved = Arc::new(AtomicBool::new(false));
    let (is_moved, old, new) = (moved.clone(), small_hub(), newer_hub());
    let server = Server::start(move |seen, _| {
        let of_newer = if seen.path.contains("/revision/") {
            is_moved.load(Ordering::SeqCst)
        } else {
            seen.path.contains(NEWER)
        };
        if of_newer { new.answer(seen) } else { old.answer(seen) }
    });
    (server, moved)
}

#[test]
fn a_moved_branch_is_told_and_followed_when_asked() {
    let dir = tempfile::tempdir().unwrap();
    let (server, moved) = moving_hub();
    let mut request = request(&server, dir.path());
    fetch_quietly(&request).unwrap();
    moved.store(true, Ordering::SeqCst);
    server.take();

    let (fetched, told) = fetch_told(&request);
    let fetched = fetched.unwrap();
    assert_eq!((fetched.commit.as_str(), fetched.moved_to.as_deref()), (COMMIT, Some(NEWER)));
    assert!(told.iter().any(|line| line.starts_with("Moved") && line.contains(NEWER)), "{told:?}");
    assert_eq!(server.take().len(), 1);
    assert_whole(dir.path(), &small_hub());

    request.update = true;
    let fetched = fetch_quietly(&request).unwrap();
    // Only what differs comes over the network.
    assert_eq!((fetched.commit.as_str(), fetched.moved_to, fetched.n_downloaded), (NEWER, None, 1));
    assert_whole(dir.path(), &newer_hub());

    // The commit of before, by its name; from then on it is kept without a question to the hub.
    request.update = false;
    request.revision = Some(COMMIT.to_owned());
    fetch_quietly(&request).unwrap();
    assert_whole(dir.path(), &small_hub());
    server.take();
    request.revision = None;
    let fetched = fetch_quietly(&request).unwrap();
    assert_eq!((fetched.commit.as_str(), server.take().len()), (COMMIT, 0));
    request.update = true;
    assert_eq!(fetch_quietly(&request).unwrap().commit, NEWER);
}

#[test]
fn another_branch_is_fetched_when_it_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (small_hub(), newer_hub());
    let server = Server::start(move |seen, _| {
        match seen.path.contains("refs%2Fpr%2F1") || seen.path.contains(NEWER) {
            true => new.answer(seen),
            false => old.answer(seen),
        }
    });
    let mut request = request(&server, dir.path());
    fetch_quietly(&request).unwrap();
    request.revision = Some("refs/pr/1".to_owned());
    assert_eq!(fetch_quietly(&request).unwrap().commit, NEWER);
    assert_whole(dir.path(), &newer_hub());
    let manifest = read_manifest(&dir.path().join("owner--set")).unwrap().unwrap();
    assert_eq!(manifest.revision, "refs/pr/1");
}

#[test]
fn what_is_there_needs_no_hub() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::hub(small_hub(), |_, _| None);
    let mut request = request(&server, dir.path());
    fetch_quietly(&request).unwrap();
    drop(server);
    // One try is made, for news of the branch.
    let (fetched, told) = fetch_told(&request);
    assert_eq!(fetched.unwrap().n_downloaded, 0);
    assert_eq!(told, [""; 0]);
    request.revision = Some(COMMIT.to_owned());
    fetch_quietly(&request).unwrap();
}

#[test]
fn damaged_files_are_found_and_fetched_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::hub(small_hub(), |_, _| None);
    let request = request(&server, dir.path());
    fetch_quietly(&request).unwrap();
    let set = dir.path().join("owner--set");
    let manifest = read_manifest(&set).unwrap().unwrap();
    let damages: [&dyn Fn(); 4] = [
        &|| {
            let mut content = bytes(300_000, 1);
            content[7] ^= 1;
            std::fs::write(set.join("train.parquet"), content).unwrap();
        },
        &|| std::fs::write(set.join("train.parquet"), b"short").unwrap(),
        &|| std::fs::remove_file(set.join("train.parquet")).unwrap(),
        &|| {
            std::fs::remove_file(set.join("train.parquet")).unwrap();
            std::fs::create_dir(set.join("train.parquet")).unwrap();
        },
    ];
    for damage in damages {
        damage();
        let found = verify(&set, &manifest).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, "train.parquet");
        assert!(
            found[0].expected.contains("300000 bytes with SHA-256") && !found[0].found.is_empty(),
            "{found:?}"
        );
        server.take();
        let (fetched, told) = fetch_told(&request);
        assert_eq!(fetched.unwrap().n_downloaded, 1);
        assert_eq!(server.take_files().len(), 1);
        assert!(
            told.iter().any(|line| line.starts_with("Damaged") && line.contains("train.parquet")),
            "{told:?}"
        );
        assert_whole(dir.path(), &small_hub());
    }
    #[cfg(unix)]
    {
        std::fs::rename(set.join("train.parquet"), dir.path().join("away")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("away"), set.join("train.parquet")).unwrap();
        assert_eq!(verify(&set, &manifest).unwrap()[0].found, "a symbolic link");
    }
}

/// A hub that is at fault while a repair or an update runs takes nothing away.
#[test]
fn what_was_there_stays_until_the_new_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (good, moved) = moving_hub();
    fetch_quietly(&request(&good, dir.path())).unwrap();
    moved.store(true, Ordering::SeqCst);
    let broken =
        Server::hub(newer_hub(), |seen, _| seen.path.contains("resolve").then(|| Reply::new(500, "")));
    let mut update = request(&broken, dir.path());
    update.update = true;
    fetch_quietly(&update).unwrap_err();
    let set = dir.path().join("owner--set");
    assert_eq!(tree(&set), ["batchwise-fetch.json", "data/test.csv", "train.parquet"]);
    assert_eq!(std::fs::read(set.join("data/test.csv")).unwrap(), small_hub().files[1].content);
    assert_eq!(read_manifest(&set).unwrap().unwrap().commit, COMMIT);
}

/// A process may end between the two renames that put an update in place.
#[test]
fn a_set_that_was_moved_away_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let (server, moved) = moving_hub();
    let request = request(&server, dir.path());
    fetch_quietly(&request).unwrap();
    moved.store(true, Ordering::SeqCst);
    std::fs::rename(dir.path().join("owner--set"), dir.path().join(".fetch/owner--set.old")).unwrap();
    let fetched = fetch_quietly(&request).unwrap();
    assert_eq!((fetched.commit.as_str(), fetched.n_downloaded), (COMMIT, 0));
    assert_whole(dir.path(), &small_hub());
}

#[test]
fn what_lies_in_the_way_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::hub(small_hub(), |_, _| None);
    let mut request = request(&server, dir.path());
    let set = dir.path().join("owner--set");
    std::fs::write(&set, b"a file").unwrap();
    let message = fetch_quietly(&request).unwrap_err().to_string();
    assert!(message.contains("owner--set") && message.contains("it is a file"), "{message}");
    std::fs::remove_file(&set).unwrap();
    std::fs::create_dir(&set).unwrap();
    std::fs::write(set.join("mine.csv"), b"mine").unwrap();
    let message = fetch_quietly(&request).unwrap_err().to_string();
    assert!(message.contains("was not fetched") && message.contains(MANIFEST), "{message}");
    assert_eq!(tree(&set), ["mine.csv"]);
    std::fs::remove_file(set.join("mine.csv")).unwrap();
    std::fs::remove_dir(&set).unwrap();
    fetch_quietly(&request).unwrap();
    request.repository = "owner/other".to_owned();
    let message = fetch_quietly(&request).unwrap_err().to_string();
    assert!(message.contains("holds `owner/set`"), "{message}");
    assert_whole(dir.path(), &small_hub());
    assert!(server.take().iter().all(|seen| !seen.path.contains("other")));
}

#[test]
fn a_damaged_manifest_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::hub(small_hub(), |_, _| None);
    let request = request(&server, dir.path());
    fetch_quietly(&request).unwrap();
    let set = dir.path().join("owner--set");
    let good = read_manifest(&set).unwrap().unwrap();
    let path = set.join(MANIFEST);
    let text = std::fs::read(&path).unwrap();
    type Change<'a> = &'a dyn Fn(&mut Manifest);
    let changed: [(Change<'_>, &str); 5] = [
        (&|manifest| manifest.format = 2, "format"),
        (&|manifest| manifest.commit = "main".to_owned(), "commit"),
        (&|manifest| manifest.files[0].path = "../x".to_owned(), "../x"),
        (&|manifest| manifest.files[0].path = "TRAIN.parquet".to_owned(), "meets"),
        (
            &|manifest| manifest.files[0].checksum = batchwise_data::fetch::Checksum::Sha256("x".to_owned()),
            "hexadecimal",
        ),
    ];
    for (change, expected) in changed {
        let mut manifest = good.clone();
        change(&mut manifest);
        std::fs::write(&path, serde_json::to_vec(&manifest).unwrap()).unwrap();
        let error = fetch_quietly(&request).unwrap_err();
        assert!(matches!(error, FetchError::Manifest { .. }), "{error}");
        assert!(error.to_string().contains(MANIFEST) && error.to_string().contains(expected), "{error}");
    }
    for at in 0..text.len() - 1 {
        std::fs::write(&path, &text[..at]).unwrap();
        match read_manifest(&set) {
            Ok(_) => assert_eq!(at, text.len() - 1),
            Err(error) => assert!(error.to_string().contains(MANIFEST), "{error}"),
        }
        let mut flipped = text.clone();
        flipped[at] ^= 1 << (at % 8);
        std::fs::write(&path, &flipped).unwrap();
        match read_manifest(&set) {
            Ok(manifest) => drop(verify(&set, &manifest.unwrap()).unwrap()),
            Err(error) => assert!(error.to_string().contains(MANIFEST), "{error}"),
        }
    }
}
