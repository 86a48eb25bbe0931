//! Servers that fail, and answers that are cut, late, wrong or too long.

use std::time::Duration;

use batchwise_data::fetch::FetchError;

use crate::server::{COMMIT, Reply, Seen, Server};
use crate::{assert_absent, assert_whole, fetch_quietly, fetch_told, part_len, request, small_hub};

const LEN: usize = 300_000;

/// Whether the large file is asked for.
fn is_large(seen: &Seen) -> bool {
    seen.path.ends_with("/train.parquet")
}

/// The right answer to a request for the large file.
fn large(seen: &Seen) -> Reply {
    small_hub().answer(seen)
}

#[test]
fn a_truncated_answer_is_continued() {
    for announces in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::hub(small_hub(), move |seen, nth| {
            (is_large(seen) && nth < 2).then(|| {
                let mut reply = large(seen).cut(100_000);
                reply.announced = reply.announced.filter(|_| announces);
                reply
            })
        });
        fetch_quietly(&request(&server, dir.path())).unwrap();
        assert_whole(dir.path(), &small_hub());
        let ranges: Vec<usize> =
            server.take_files().iter().filter(|seen| is_large(seen)).map(Seen::from).collect();
        assert_eq!(ranges, [0, 100_000, 200_000]);
    }
}

#[test]
fn an_error_keeps_the_part_and_the_next_call_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::hub(small_hub(), |seen, nth| match (is_large(seen), nth) {
        (true, 0) => Some(large(seen).cut(100_000)),
        (true, 1 | 2) => Some(Reply::new(503, "")),
        _ => None,
    });
    let request = request(&server, dir.path());
    let error = fetch_quietly(&request).unwrap_err();
    assert!(matches!(error, FetchError::Status { status: 503, .. }), "{error}");
    assert_absent(dir.path());
    assert_eq!(part_len(dir.path()), 100_000);
    let others = server.take_files();
    assert!(others.iter().any(|seen| seen.path.ends_with("test.csv")));

    let fetched = fetch_quietly(&request).unwrap();
    assert_whole(dir.path(), &small_hub());
    // The small file was whole already.
    let files = server.take_files();
    assert_eq!((files.len(), files[0].from(), fetched.n_downloaded), (1, 100_000, 1));
}

#[test]
fn a_server_that_ignores_ranges_sends_the_whole_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::hub(small_hub(), |seen, nth| {
        let whole = large(&Seen { range: None, ..seen.clone() });
        is_large(seen).then(|| if nth == 0 { whole.cut(50_000) } else { whole })
    });
    fetch_quietly(&request(&server, dir.path())).unwrap();
    assert_whole(dir.path(), &small_hub());
    assert_eq!(server.take_files().last().unwrap().from(), 50_000);
}

#[test]
fn a_wrong_range_is_not_taken() {
    for range in ["bytes 0-299999/300000", "bytes 50000-299999/300001", "bytes 50000-300000/300000", "x", ""]
    {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::hub(small_hub(), move |seen, nth| match (is_large(seen), nth) {
            (true, 0) => Some(large(seen).cut(50_000)),
            (true, 1) => {
                let mut reply = large(seen);
                reply.headers.clear();
                Some(reply.with("Content-Range", range))
            }
            _ => None,
        });
        fetch_quietly(&request(&server, dir.path())).unwrap();
        assert_whole(dir.path(), &small_hub());
        let ranges: Vec<usize> =
            server.take_files().iter().filter(|seen| is_large(seen)).map(Seen::from).collect();
        assert_eq!(ranges, [0, 50_000, 0], "{range}");
    }
}

#[test]
fn a_range_that_does_not_exist_starts_anew() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::hub(small_hub(), |seen, nth| match (is_large(seen), nth) {
        (true, 0) => Some(large(seen).cut(50_000)),
        (true, 1) => Some(Reply::new(416, "")),
        _ => None,
    });
    fetch_quietly(&request(&server, dir.path())).unwrap();
    assert_whole(dir.path(), &small_hub());
}

/// Headway is counted from the most that ever was there: else this would never end.
#[test]
fn a_server_that_makes_no_headway_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::hub(small_hub(), |seen, _| {
        is_large(seen).then(|| if seen.from() == 0 { large(seen).cut(100_000) } else { Reply::new(416, "") })
    });
    let error = fetch_quietly(&request(&server, dir.path())).unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { attempts: 3, .. }), "{error}");
    assert_absent(dir.path());
}

#[test]
fn a_corrupt_file_is_deleted_and_named() {
    for (name, at) in [("train.parquet", 123_456), ("data/test.csv", 3)] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::hub(small_hub(), move |seen, _| {
            let mut reply = seen.path.ends_with(name).then(|| large(seen))?;
            reply.body[at] ^= 1;
            Some(reply)
        });
        let error = fetch_quietly(&request(&server, dir.path())).unwrap_err();
        let FetchError::Checksum { path, found, expected } = &error else { panic!("{error}") };
        assert!(path.ends_with(name) && found != expected, "{error}");
        let message = error.to_string();
        assert!(message.contains(&found.to_string()) && message.contains(&expected.to_string()), "{message}");
        assert_absent(dir.path());
        assert!(
            !crate::tree(dir.path()).iter().any(|path| path.contains(name)),
            "{:?}",
            crate::tree(dir.path())
        );
        // No retry: the server would send the same bytes.
        assert_eq!(server.take_files().iter().filter(|seen| seen.path.ends_with(name)).count(), 1);
    }
}

#[test]
fn a_damaged_part_is_fetched_anew() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::hub(small_hub(), |_, _| None);
    let staging = dir.path().join(".fetch/owner--set").join(COMMIT);
    std::fs::create_dir_all(&staging).unwrap();
    std::fs::write(staging.join("train.parquet.part"), vec![7; 1000]).unwrap();
    fetch_quietly(&request(&server, dir.path())).unwrap();
    assert_whole(dir.path(), &small_hub());
    let ranges: Vec<usize> =
        server.take_files().iter().filter(|seen| is_large(seen)).map(Seen::from).collect();
    assert_eq!(ranges, [1000, 0]);
}

#[test]
fn parts_and_files_of_the_wrong_size_are_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::hub(small_hub(), |_, _| None);
    let staging = dir.path().join(".fetch/owner--set").join(COMMIT);
    std::fs::create_dir_all(staging.join("data/test.csv")).unwrap();
    std::fs::write(staging.join("train.parquet.part"), vec![7; LEN + 1]).unwrap();
    std::fs::write(staging.join("train.parquet"), b"short").unwrap();
    std::fs::write(staging.join("left-over"), b"x").unwrap();
    fetch_quietly(&request(&server, dir.path())).unwrap();
    assert_whole(dir.path(), &small_hub());
}

#[test]
fn a_stall_is_noticed_and_continued() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::hub(small_hub(), |seen, nth| match (is_large(seen), nth) {
        (true, 0) => Some(large(seen).stalled(100_000)),
        _ => None,
    });
    let (fetched, told) = fetch_told(&request(&server, dir.path()));
    fetched.unwrap();
    assert_whole(dir.path(), &small_hub());
    assert!(
        told.iter().any(|line| line.starts_with("Retry") && line.contains("no byte for 400ms")),
        "{told:?}"
    );
    assert_eq!(server.take_files().last().unwrap().from(), 100_000);
}

#[test]
fn a_server_that_only_stalls_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|_, _| Reply::new(200, vec![b'x'; 100]).stalled(10));
    let error = fetch_quietly(&request(&server, dir.path())).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("no byte for 400ms") && message.contains("tried 3 times"), "{message}");
    assert!(message.contains("/api/datasets/owner/set/revision/main"), "{message}");
}

#[test]
fn faults_that_pass_are_waited_for() {
    for status in [429, 500, 502, 503, 504] {
        let dir = tempfile::tempdir().unwrap();
        // Asked to wait for an hour, the client waits as long as it is allowed to.
        let server = Server::hub(small_hub(), move |_, nth| {
            (nth < 2).then(|| Reply::new(status, "").with("Retry-After", "3600"))
        });
        let (fetched, told) = fetch_told(&request(&server, dir.path()));
        fetched.unwrap();
        assert_whole(dir.path(), &small_hub());
        let retries: Vec<&String> = told.iter().filter(|line| line.starts_with("Retry")).collect();
        assert_eq!(retries.len(), 8, "{told:?}");
        assert!(
            retries[0].contains(&format!("status {status}")) && retries[0].contains("wait: 20ms"),
            "{retries:?}"
        );
    }
}

#[test]
fn faults_that_stay_say_what_to_do() {
    for (status, hint, n_requests) in [
        (401, "HF_TOKEN", 1),
        (403, "terms", 1),
        (404, "spelling", 1),
        (418, "HF_ENDPOINT", 1),
        (429, "wait", 3),
        (500, "later", 3),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(move |_, _| Reply::new(status, "no"));
        let error = fetch_quietly(&request(&server, dir.path())).unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, FetchError::Status { status: found, .. } if found == status), "{message}");
        assert!(
            message.contains(hint) && message.contains("owner/set") && message.contains(&status.to_string()),
            "{message}"
        );
        assert_eq!(server.take().len(), n_requests);
        assert_absent(dir.path());
    }
}

#[test]
fn more_bytes_than_announced_are_refused() {
    for announces in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::hub(small_hub(), move |seen, _| {
            let mut reply = is_large(seen).then(|| large(seen))?;
            reply.body.extend([0; 10]);
            reply.announced = announces.then_some(reply.body.len());
            Some(reply)
        });
        let error = fetch_quietly(&request(&server, dir.path())).unwrap_err();
        assert!(
            matches!(&error, FetchError::Size { file, found, expected: 300_000 } if file == "train.parquet" && 300_000 < *found),
            "{error}"
        );
        assert_eq!(part_len(dir.path()), 0);
        assert_absent(dir.path());
    }
}

#[test]
fn a_file_shorter_than_its_list_says_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::hub(small_hub(), |seen, _| is_large(seen).then(|| Reply::new(200, vec![0; 1000])));
    let error = fetch_quietly(&request(&server, dir.path())).unwrap_err();
    assert!(matches!(error, FetchError::Size { found: 1000, expected: 300_000, .. }), "{error}");
    assert_absent(dir.path());
}

#[test]
fn answers_in_chunks_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let server =
        Server::hub(small_hub(), |seen, _| Some(Reply { chunked: true, ..small_hub().answer(seen) }));
    fetch_quietly(&request(&server, dir.path())).unwrap();
    assert_whole(dir.path(), &small_hub());
}

#[test]
fn no_server_is_an_error_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|_, _| Reply::new(200, ""));
    let mut request = request(&server, dir.path());
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    request.endpoint = format!("http://{free}");
    request.patience.pause = Duration::from_millis(1);
    let message = fetch_quietly(&request).unwrap_err().to_string();
    assert!(message.contains(&free.to_string()) && message.contains("refused"), "{message}");
}

/// A connection that ends in the middle of anything at all: a head, a list, a file.
#[test]
fn answers_cut_anywhere_never_leave_half_a_set() {
    for cut in [0, 1, 10, 50, 100, 150] {
        for which in ["revision", "recursive", "train.parquet", "test.csv"] {
            let dir = tempfile::tempdir().unwrap();
            let server = Server::hub(small_hub(), move |seen, _| {
                seen.path.contains(which).then(|| large(&Seen { range: None, ..seen.clone() }).cut(cut))
            });
            match fetch_quietly(&request(&server, dir.path())) {
                // The small file is shorter than the cut.
                Ok(_) => assert_whole(dir.path(), &small_hub()),
                Err(error) => {
                    assert!(error.to_string().contains("owner/set"), "{error}");
                    assert_absent(dir.path());
                }
            }
        }
    }
}
