//! Fetching, against a hub on this machine that truncates, corrupts, stalls, redirects and lies.
#![cfg(feature = "fetch")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../common/mod.rs"]
mod common;
mod faults;
mod guard;
mod pin;
mod processes;
mod server;

use std::path::Path;
use std::time::Duration;

use batchwise_data::fetch::{FetchError, Fetched, Patience, Request, fetch, read_manifest, verify};

use server::{COMMIT, Hub, REPOSITORY, Reply, Server};

/// Bytes that repeat nowhere near.
pub(crate) fn bytes(len: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_769) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}

/// A large file, a small one in a folder, and one that nobody asks for.
pub(crate) fn small_hub() -> Hub {
    Hub::new(&[
        ("train.parquet", bytes(300_000, 1), true),
        ("data/test.csv", b"a,b\n1,2\n".to_vec(), false),
        ("README.md", b"about".to_vec(), false),
    ])
}

pub(crate) fn request(server: &Server, data_dir: &Path) -> Request {
    let mut request = Request::new(REPOSITORY, data_dir).unwrap();
    request.endpoint = server.url.clone();
    request.token = None;
    request.patience = Patience {
        connect: Duration::from_secs(5),
        stall: Duration::from_millis(400),
        attempts: 3,
        pause: Duration::from_millis(5),
        longest_pause: Duration::from_millis(20),
    };
    request
}

pub(crate) fn fetch_quietly(request: &Request) -> Result<Fetched, FetchError> {
    fetch(request, &mut |_| ())
}

/// Fetches, and returns what was told meanwhile, too.
pub(crate) fn fetch_told(request: &Request) -> (Result<Fetched, FetchError>, Vec<String>) {
    let mut told = Vec::new();
    let result = fetch(request, &mut |progress| told.push(format!("{progress:?}")));
    (result, told)
}

/// Every file below a folder, sorted, with `/`.
pub(crate) fn tree(dir: &Path) -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.is_dir() && !path.is_symlink() {
                true => folders.push(path),
                false => files.push(path.strip_prefix(dir).unwrap().to_string_lossy().into_owned()),
            }
        }
    }
    files.sort();
    files
}

/// The cache holds the data set of the small hub, whole, and nothing is left of the work.
pub(crate) fn assert_whole(data_dir: &Path, hub: &Hub) {
    let manifest = "owner--set/batchwise-fetch.json";
    let mut expected = vec![".fetch/owner--set.lock".to_owned(), manifest.to_owned()];
    for file in hub.files.iter().filter(|file| !file.path.ends_with(".md")) {
        let path = format!("owner--set/{}", file.path);
        assert_eq!(std::fs::read(data_dir.join(&path)).unwrap(), file.content, "{path}");
        expected.push(path);
    }
    expected.sort();
    assert_eq!(tree(data_dir), expected);
    let dir = data_dir.join("owner--set");
    let manifest = read_manifest(&dir).unwrap().unwrap();
    assert_eq!(manifest.commit, hub.commit);
    assert_eq!(verify(&dir, &manifest).unwrap(), []);
}

/// No data set is to be seen.
pub(crate) fn assert_absent(data_dir: &Path) {
    assert!(!data_dir.join("owner--set").exists(), "{:?}", tree(data_dir));
}

/// The part of the large file that is kept.
pub(crate) fn part_len(data_dir: &Path) -> u64 {
    let part = data_dir.join(format!(".fetch/owner--set/{COMMIT}/train.parquet.part"));
    std::fs::metadata(part).map_or(0, |metadata| metadata.len())
}

#[test]
fn a_data_set_is_fetched_once() {
    let (hub, dir) = (small_hub(), tempfile::tempdir().unwrap());
    let server = Server::hub(hub.clone(), |_, _| None);
    let request = request(&server, dir.path());
    let (fetched, told) = fetch_told(&request);
    let fetched = fetched.unwrap();
    assert_eq!((fetched.commit.as_str(), fetched.n_downloaded, fetched.moved_to), (COMMIT, 2, None));
    assert_eq!(fetched.dir, dir.path().join("owner--set"));
    let names: Vec<&str> = fetched.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(names, ["data/test.csv", "train.parquet"]);
    assert!(
        told.iter().any(|line| line.starts_with("Plan") && line.contains("files: 2, bytes: 300008")),
        "{told:?}"
    );
    assert!(told.iter().any(|line| line.contains("done: 300000, total: 300000")), "{told:?}");
    assert_whole(dir.path(), &hub);
    let paths: Vec<String> = server.take().into_iter().map(|seen| seen.path).collect();
    let expected = [
        "/api/datasets/owner/set/revision/main".to_owned(),
        format!("/api/datasets/owner/set/tree/{COMMIT}?recursive=true"),
        format!("/datasets/owner/set/resolve/{COMMIT}/data/test.csv"),
        format!("/datasets/owner/set/resolve/{COMMIT}/train.parquet"),
    ];
    assert_eq!(paths, expected);

    let again = fetch_quietly(&request).unwrap();
    assert_eq!((again.n_downloaded, again.files), (0, fetched.files));
    assert_eq!(server.take_files().len(), 0);
    assert_whole(dir.path(), &hub);
}

#[test]
fn what_was_fetched_can_be_opened_by_its_name() {
    let (made, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    common::write_folder(made.path());
    let names = tree(made.path());
    let files: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), std::fs::read(made.path().join(name)).unwrap(), true))
        .collect();
    let server = Server::hub(Hub::new(&files), |_, _| None);
    let message = batchwise_data::open(REPOSITORY, Some(dir.path())).unwrap_err().to_string();
    assert!(message.contains("data fetch owner/set") && message.contains("owner--set"), "{message}");
    fetch_quietly(&request(&server, dir.path())).unwrap();
    for name in [REPOSITORY, "owner--set"] {
        let splits = batchwise_data::open(name, Some(dir.path())).unwrap();
        assert_eq!(splits.train.len(), common::TRAIN_LABELS.len() as u64);
    }
}

#[test]
fn folders_and_endings_choose_the_files() {
    let files = [
        ("small/a.csv", b"1".to_vec(), false),
        ("small/x/b.txt", b"2".to_vec(), true),
        ("large/a.csv", b"3".to_vec(), false),
    ];
    let (hub, dir) = (Hub::new(&files), tempfile::tempdir().unwrap());
    let server = Server::hub(hub, |_, _| None);
    let mut request = request(&server, dir.path());
    request.folder = Some("small".to_owned());
    fetch_quietly(&request).unwrap();
    let set = dir.path().join("owner--set");
    assert_eq!(tree(&set), ["a.csv", "batchwise-fetch.json", "x/b.txt"]);

    // Another choice at the same commit: what is there already is not fetched again, what is not chosen goes.
    server.take();
    request.folder = None;
    request.include = vec![".csv".to_owned()];
    let fetched = fetch_quietly(&request).unwrap();
    assert_eq!(tree(&set), ["batchwise-fetch.json", "large/a.csv", "small/a.csv"]);
    assert_eq!(fetched.n_downloaded, 2);

    request.include = vec![".xyz".to_owned()];
    let message = fetch_quietly(&request).unwrap_err().to_string();
    assert!(
        message.contains(".xyz") && message.contains("small/a.csv") && message.contains(COMMIT),
        "{message}"
    );
    assert_eq!(tree(&set), ["batchwise-fetch.json", "large/a.csv", "small/a.csv"]);
}

#[test]
fn lists_of_many_pages_are_read() {
    let (hub, dir) = (small_hub(), tempfile::tempdir().unwrap());
    let mut pages = [hub.clone(), hub.clone()];
    pages[0].files.truncate(1);
    pages[1].files.remove(0);
    let server = Server::hub(hub.clone(), move |seen, _| {
        let next =
            r#"<URL/x>; rel="prev", <URL/api/datasets/owner/set/tree/x?recursive=true&cursor=2>; rel="next""#;
        match seen.path.split_once("recursive=true")? {
            (_, "") => Some(Reply::new(200, pages[0].listing()).with("Link", next)),
            _ => Some(Reply::new(200, pages[1].listing())),
        }
    });
    fetch_quietly(&request(&server, dir.path())).unwrap();
    assert_whole(dir.path(), &hub);
}

#[test]
fn lists_without_end_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::hub(small_hub(), |seen, _| {
        let next = r#"<URL/api/datasets/owner/set/tree/x?recursive=true>; rel="next""#;
        seen.path.contains("recursive").then(|| Reply::new(200, "[]").with("Link", next))
    });
    let message = fetch_quietly(&request(&server, dir.path())).unwrap_err().to_string();
    assert!(message.contains("more than 1000 pages"), "{message}");
    assert_absent(dir.path());
}
