//! Two at once, killed ones, and a disk that is full.

use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::server::{Reply, Seen, Server};
use crate::{assert_absent, assert_whole, fetch_quietly, fetch_told, part_len, request, small_hub, tree};

const ENDPOINT: &str = "BATCHWISE_TEST_FETCH_ENDPOINT";
const DIR: &str = "BATCHWISE_TEST_FETCH_DIR";

/// Not a test of its own: what the processes run that the tests below start.
#[test]
fn child() {
    let (Ok(endpoint), Ok(dir)) = (std::env::var(ENDPOINT), std::env::var(DIR)) else { return };
    let server = Server::start(|_, _| Reply::new(404, ""));
    let mut request = request(&server, dir.as_ref());
    request.endpoint = endpoint;
    request.patience.stall = Duration::from_secs(60);
    match fetch_told(&request) {
        (Ok(fetched), told) => println!("fetched {} files\n{told:?}", fetched.n_downloaded),
        (Err(error), _) => println!("failed: {error}"),
    }
}

/// Starts a process that fetches; `shell` goes before it.
fn start(server: &Server, dir: &std::path::Path, shell: &str) -> Child {
    let test = std::env::current_exe().unwrap();
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{shell} exec \"$0\" --exact processes::child --nocapture")).arg(test);
    command.env(ENDPOINT, &server.url).env(DIR, dir).stdout(Stdio::piped()).spawn().unwrap()
}

fn output(child: Child) -> String {
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn is_large(seen: &Seen) -> bool {
    seen.path.ends_with("/train.parquet")
}

#[test]
fn two_threads_fetch_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::hub(small_hub(), |seen, _| {
        is_large(seen).then(|| Reply { delay: Duration::from_millis(200), ..small_hub().answer(seen) })
    });
    let request = request(&server, dir.path());
    let told = Mutex::new(Vec::new());
    let downloaded: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let (fetched, lines) = fetch_told(&request);
                    told.lock().unwrap().extend(lines);
                    fetched.unwrap().n_downloaded
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(downloaded, 2);
    assert_eq!(server.take_files().len(), 2);
    let told = told.into_inner().unwrap();
    assert!(told.iter().any(|line| line.starts_with("Waiting")), "{told:?}");
    assert_whole(dir.path(), &small_hub());
}

#[cfg(unix)]
#[test]
fn a_second_process_waits_and_finds_the_work_done() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::hub(small_hub(), |seen, _| {
        is_large(seen).then(|| Reply { delay: Duration::from_millis(1500), ..small_hub().answer(seen) })
    });
    let first = start(&server, dir.path(), "");
    wait_for("a request", || tree(dir.path()).iter().any(|path| path.ends_with("train.parquet.part")));
    let second = output(start(&server, dir.path(), ""));
    assert!(output(first).contains("fetched 2 files"));
    assert!(second.contains("fetched 0 files") && second.contains("Waiting"), "{second}");
    assert_eq!(server.take_files().len(), 2);
    assert_whole(dir.path(), &small_hub());
}

#[cfg(unix)]
#[test]
fn a_killed_process_is_continued_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::hub(small_hub(), |seen, nth| match (is_large(seen), nth) {
        (true, 0) => Some(small_hub().answer(seen).stalled(200_000)),
        _ => None,
    });
    let mut child = start(&server, dir.path(), "");
    wait_for("a part", || part_len(dir.path()) == 200_000);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_absent(dir.path());
    assert_eq!(part_len(dir.path()), 200_000);
    server.take();
    fetch_quietly(&request(&server, dir.path())).unwrap();
    let files = server.take_files();
    assert_eq!((files.len(), files[0].from()), (1, 200_000));
    assert_whole(dir.path(), &small_hub());
}

/// A limit on the size of files stands for a full disk: the same system call refuses in the same way.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named_and_the_part_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::hub(small_hub(), |_, _| None);
    // 128 blocks of 512 or 1024 bytes, whatever the shell takes them for.
    let told = output(start(&server, dir.path(), "trap '' XFSZ; ulimit -f 128;"));
    let kept = part_len(dir.path());
    assert!([128 * 512, 128 * 1024].contains(&kept), "{kept}");
    assert!(told.contains("failed: cannot write") && told.contains("train.parquet.part"), "{told}");
    assert!(told.contains("byte 65536") || told.contains("byte 131072"), "{told}");
    assert_absent(dir.path());
    server.take();
    fetch_quietly(&request(&server, dir.path())).unwrap();
    assert_eq!(server.take_files().last().unwrap().from() as u64, kept);
    assert_whole(dir.path(), &small_hub());
}

#[cfg(unix)]
#[test]
fn a_folder_that_may_not_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::hub(small_hub(), |_, _| None);
    let file = dir.path().join("file");
    std::fs::write(&file, b"x").unwrap();
    let message = fetch_quietly(&request(&server, &file.join("data"))).unwrap_err().to_string();
    assert!(message.contains("file/data") && message.contains("cannot write"), "{message}");
}
