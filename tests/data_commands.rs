//! The commands that list, check, show and fetch data sets.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use tests::Place;
use tests::image_set::ImageSet;
use tests::json::{list, text, whole};

const COMMIT: &str = "1111111111111111111111111111111111111111";
/// `printf 'hello world\n' | git hash-object --stdin`.
const HELLO: &str = "3b18e512dba79e4c8300dd08aeb37f8e728b8dad";

/// A place whose data folder holds the data set `small`.
fn place() -> Place {
    let place = Place::new();
    ImageSet::SMALL.write(&place.path().join("cache/batchwise/small"));
    place
}

/// A hub that holds one file, whose content it may get wrong. It ends with the test.
fn hub(content: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("the listener has an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let first = lines.next().unwrap_or_default();
            let _ = lines.take_while(|line| !line.is_empty()).count();
            let body = if first.contains("/revision/") {
                format!(r#"{{"sha":"{COMMIT}"}}"#)
            } else if first.contains("/tree/") {
                format!(r#"[{{"type":"file","path":"hello.txt","size":12,"oid":"{HELLO}"}}]"#)
            } else {
                content.to_owned()
            };
            let head =
                format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = stream.write_all((head + &body).as_bytes());
        }
    });
    url
}

#[test]
fn list_tells_what_there_is() {
    let place = place();
    std::fs::write(place.path().join("cache/batchwise/notes.md"), "no data").expect("it can be written");
    let ran = place.run(&["data", "list"]);
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""));
    for part in ["small", "IDX", "glyphs", "mnist", "ylecun/mnist"] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    assert!(!ran.stdout.contains("notes"), "{}", ran.stdout);
    let json = place.run(&["data", "list", "--json"]).json();
    assert_eq!(list(&json, "/data_sets").len(), 1);
    assert_eq!(text(&json, "/data_sets/0/name"), "small");
    // Headers of 16 and 8 bytes, 500 images of 8x8 pixels, 500 labels.
    assert_eq!(whole(&json, "/data_sets/0/bytes"), 48 + 500 * 65);
    let empty = Place::new().run(&["data", "list", "--data-dir", "nowhere"]);
    assert!(
        empty.status == Some(0) && empty.stdout.starts_with("No data set in nowhere"),
        "{}",
        empty.stdout
    );
}

#[test]
fn info_writes_a_picture() {
    let place = place();
    let ran = place.run(&["data", "info", "--data", "small", "--out", "picture"]);
    assert!(ran.status == Some(0) && ran.stderr.contains("contact-sheet.png"), "{}", ran.stderr);
    let png = std::fs::read(place.path().join("picture/contact-sheet.png")).expect("it was written");
    assert!(png.starts_with(b"\x89PNG"));
    assert!(ran.stdout.contains("raw pixels  mean 0."), "{}", ran.stdout);
    let ran = place.run(&["data", "--data", "small", "--out", "picture"]);
    ran.assert_refused("a folder in use", 2, &["--force"]);
}

#[test]
fn head_draws_images() {
    let place = place();
    let ran = place.run(&["data", "head", "--data", "small", "-n", "4"]);
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""));
    let lines: Vec<&str> = ran.stdout.lines().collect();
    // Four lines stand for eight rows; the bright quarter of example i is quarter i.
    assert_eq!(lines.len(), 4 * 5, "{}", ran.stdout);
    for (i, example) in lines.chunks(5).enumerate() {
        assert_eq!(example[0], format!("example {i}: class {i}"));
        let is_bright = |y: usize, x: usize| {
            let c = example[1 + y].chars().nth(x).unwrap_or(' ');
            !" .:-".contains(c)
        };
        for (y, x) in [(0, 1), (0, 6), (3, 1), (3, 6)] {
            assert_eq!(is_bright(y, x), y / 2 * 2 + x / 4 == i, "{i} {y} {x}: {}", ran.stdout);
        }
    }
    let json = place.run(&["data", "head", "--data", "small", "--json"]).json();
    assert_eq!(list(&json, "").len(), 5);
    assert_eq!(list(&json, "/0/input").len(), 64);
}

#[test]
fn check_looks_at_every_example() {
    let place = place();
    let ran = place.run(&["data", "check", "--data", "small"]);
    assert_eq!((ran.status, ran.stdout.trim()), (Some(0), "500 examples are good"));
    let labels = place.path().join("cache/batchwise/small/t10k-labels-idx1-ubyte");
    let mut bytes = std::fs::read(&labels).expect("it is there");
    bytes[20] = 77;
    std::fs::write(&labels, bytes).expect("it can be written");
    let ran = place.run(&["data", "check", "--data", "small"]);
    ran.assert_refused("a label that does not exist", 2, &["1 fault in `small`"]);
    assert!(ran.stdout.contains("t10k-labels") && ran.stdout.contains("77"), "{}", ran.stdout);
}

#[test]
fn fetch_checks_list_and_faults() {
    let place = Place::new();
    let fetch = |url: &str, rest: &str| {
        place.shell(&format!("HF_ENDPOINT={url} \"$PROGRAM\" data fetch owner/set {rest}"))
    };
    let url = hub("hello world\n");
    let ran = fetch(&url, "");
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains(COMMIT) && ran.stdout.contains("1 file was fetched"), "{}", ran.stdout);
    assert_eq!(place.read("cache/batchwise/owner--set/hello.txt"), "hello world\n");
    let json = fetch(&url, "--json").json();
    assert_eq!((whole(&json, "/downloaded"), text(&json, "/files/0/git_sha1")), (0, HELLO));
    let json = place.run(&["data", "list", "--json"]).json();
    assert_eq!(text(&json, "/data_sets/0/source"), "owner/set at 111111111111");

    std::fs::write(place.path().join("cache/batchwise/owner--set/hello.txt"), "hello worlD\n")
        .expect("it can be written");
    let ran = place.run(&["data", "check", "--data", "owner/set"]);
    assert_eq!(ran.status, Some(2));
    assert!(ran.stdout.contains("hello.txt") && ran.stdout.contains(HELLO), "{}", ran.stdout);
    let ran = fetch(&url, "");
    assert!(ran.status == Some(0) && ran.stderr.contains("fetching it again"), "{}", ran.stderr);

    fetch(&hub("hello worlD\n"), "--data-dir other").assert_refused(
        "a wrong checksum",
        1,
        &["hello.txt", HELLO],
    );
    assert!(!place.path().join("other/owner--set").exists());
    place.run(&["data", "fetch", "mnits"]).assert_refused(
        "no such name",
        2,
        &["mnits", "owner/name", "mnist"],
    );
}
