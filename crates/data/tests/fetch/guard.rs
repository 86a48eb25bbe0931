//! Servers with bad intent: names that lead elsewhere, lists that are no lists, redirects, and who gets the token.

use batchwise_data::fetch::{FetchError, Request, Token, parse_listing};
use proptest::prelude::*;

use crate::server::{Hub, Reply, Server};
use crate::{assert_absent, assert_whole, bytes, fetch_quietly, request, small_hub, tree};

#[test]
fn names_that_lead_out_are_refused() {
    let tricks = [
        "../../evil.csv",
        "/tmp/evil.csv",
        "a/../../evil.csv",
        "..\\evil.csv",
        "C:\\evil.csv",
        "C:evil.csv",
        "a\0.csv",
        "con.csv",
        "./a.csv",
        "a//b.csv",
        "a\n.csv",
        "aux/a.csv",
    ];
    for trick in tricks {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().join("data");
        let hub = Hub::new(&[("good.csv", b"1".to_vec(), false), (trick, b"2".to_vec(), false)]);
        let server = Server::hub(hub, |seen, _| seen.path.contains("resolve").then(|| Reply::new(200, "2")));
        let error = fetch_quietly(&request(&server, &data_dir)).unwrap_err();
        assert!(matches!(error, FetchError::UnsafeName { .. }), "{trick:?}: {error}");
        assert!(
            error.to_string().contains("owner/set") && !error.to_string().contains(['\0', '\n']),
            "{error}"
        );
        assert_eq!(tree(dir.path()), ["data/.fetch/owner--set.lock"], "{trick:?}");
        assert_eq!(server.take_files().len(), 0);
    }
}

#[test]
fn names_that_meet_are_refused() {
    for names in [["a.csv", "A.csv"], ["a.csv", "a.csv/b.csv"], ["a.csv", "a.csv"]] {
        let dir = tempfile::tempdir().unwrap();
        let hub = Hub::new(&names.map(|name| (name, b"1".to_vec(), false)));
        let server = Server::hub(hub, |_, _| None);
        let error = fetch_quietly(&request(&server, dir.path())).unwrap_err();
        assert!(matches!(error, FetchError::UnsafeName { .. }), "{names:?}: {error}");
        assert_absent(dir.path());
    }
}

/// Whatever is not asked for is not looked at.
#[test]
fn bad_names_of_other_files_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let mut hub = small_hub();
    let server = {
        let mut hub = hub.clone();
        hub.files.push(crate::server::HubFile {
            path: "../x.py".to_owned(),
            content: vec![1],
            is_large: false,
        });
        Server::hub(hub, |_, _| None)
    };
    fetch_quietly(&request(&server, dir.path())).unwrap();
    hub.files.truncate(2);
    assert_whole(dir.path(), &hub);
}

#[test]
fn what_is_no_list_is_named() {
    let deep = format!(r#"[{{"x":{}"#, "[".repeat(100_000));
    let huge = format!("[{}]", " ".repeat(17 << 20));
    let oid = "ab".repeat(20);
    let cases = [
        (String::new(), "no JSON"),
        ("<html>".to_owned(), "no JSON"),
        (deep, "no JSON"),
        (huge, "at most 16777216 bytes"),
        ("{}".to_owned(), "map"),
        ("[1]".to_owned(), "integer"),
        (r#"[{"type":"file"}]"#.to_owned(), "path"),
        (r#"[{"type":"file","path":"a.csv"}]"#.to_owned(), "size"),
        (r#"[{"type":"file","path":"a.csv","size":1}]"#.to_owned(), "oid"),
        (format!(r#"[{{"type":"file","path":"a.csv","size":-1,"oid":"{oid}"}}]"#), "-1"),
        (format!(r#"[{{"type":"file","path":"a.csv","size":1e99,"oid":"{oid}"}}]"#), "1e+99"),
        (r#"[{"type":"file","path":"a.csv","size":1,"oid":"../../x"}]"#.to_owned(), "../../x"),
        (
            r#"[{"type":"file","path":"a.csv","size":1,"oid":"ab","lfs":{"oid":"ab","size":1}}]"#.to_owned(),
            "SHA-256",
        ),
        ("[]".to_owned(), "no file"),
    ];
    for (list, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        let reply = list.clone();
        let server = Server::hub(small_hub(), move |seen, _| {
            seen.path.contains("recursive").then(|| Reply::new(200, reply.clone()))
        });
        let message = fetch_quietly(&request(&server, dir.path())).unwrap_err().to_string();
        let start = list.get(..40).unwrap_or(&list);
        assert!(message.contains("owner/set") && message.contains(expected), "{start}: {message}");
        assert_absent(dir.path());
    }
}

#[test]
fn sizes_that_overflow_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name| {
        format!(r#"{{"type":"file","path":"{name}","size":{},"oid":"{}"}}"#, u64::MAX, "ab".repeat(20))
    };
    let list = format!("[{},{}]", file("a.csv"), file("b.csv"));
    let server = Server::hub(small_hub(), move |seen, _| {
        seen.path.contains("recursive").then(|| Reply::new(200, list.clone()))
    });
    let message = fetch_quietly(&request(&server, dir.path())).unwrap_err().to_string();
    assert!(message.contains("2^64"), "{message}");

    // One file of that size is not more than a claim, too.
    let list = format!("[{}]", file("a.csv"));
    let server = Server::hub(small_hub(), move |seen, _| match seen.path.contains("recursive") {
        true => Some(Reply::new(200, list.clone())),
        false => seen.path.contains("resolve").then(|| Reply::new(200, "abc")),
    });
    let error = fetch_quietly(&request(&server, dir.path())).unwrap_err();
    assert!(matches!(error, FetchError::Size { found: 3, expected: u64::MAX, .. }), "{error}");
    assert_absent(dir.path());
}

#[test]
fn a_commit_that_is_none_is_refused() {
    for sha in ["main", "", "../../x", &"A".repeat(40), &"1".repeat(41)] {
        let dir = tempfile::tempdir().unwrap();
        let reply = format!(r#"{{"sha":"{sha}"}}"#);
        let server = Server::hub(small_hub(), move |seen, _| {
            seen.path.contains("revision").then(|| Reply::new(200, reply.clone()))
        });
        let message = fetch_quietly(&request(&server, dir.path())).unwrap_err().to_string();
        assert!(message.contains("sha") && message.contains(sha), "{message}");
    }
}

#[test]
fn files_come_from_where_the_hub_redirects_to_and_the_token_stays_at_home() {
    let (hub, dir) = (small_hub(), tempfile::tempdir().unwrap());
    let elsewhere = {
        let hub = hub.clone();
        Server::start(move |seen, nth| {
            let reply = hub.answer(seen);
            if nth == 0 && seen.path.contains("train") { reply.cut(1000) } else { reply }
        })
    };
    let to = elsewhere.url.clone();
    let server = Server::hub(hub.clone(), move |seen, _| {
        let absolute = Reply::redirect(&format!("{to}{}?signature=secret", seen.path));
        match seen.path.split_once('?') {
            Some((_, "again")) => Some(absolute),
            _ => seen.path.contains("/resolve/").then(|| Reply::redirect(&format!("{}?again", seen.path))),
        }
    });
    let mut request = request(&server, dir.path());
    request.token = Some(Token::new("hf_token"));
    fetch_quietly(&request).unwrap();
    assert_whole(dir.path(), &hub);
    let (at_home, abroad) = (server.take(), elsewhere.take());
    assert!(
        at_home.iter().all(|seen| seen.authorization.as_deref() == Some("Bearer hf_token")),
        "{at_home:?}"
    );
    assert!(abroad.len() == 3 && abroad.iter().all(|seen| seen.authorization.is_none()), "{abroad:?}");
    // The part is continued through the redirect.
    assert_eq!(abroad[2].from(), 1000);
}

#[test]
fn a_next_page_elsewhere_gets_no_token() {
    let (hub, dir) = (small_hub(), tempfile::tempdir().unwrap());
    let elsewhere = Server::start(|_, _| Reply::new(200, "[]"));
    let (to, answers) = (elsewhere.url.clone(), hub.clone());
    let server = Server::hub(hub, move |seen, _| {
        let next = format!("<{to}/list>; rel=\"next\"");
        seen.path.contains("recursive").then(|| answers.answer(seen).with("Link", &next))
    });
    let mut request = request(&server, dir.path());
    request.token = Some(Token::new("hf_token"));
    fetch_quietly(&request).unwrap();
    let abroad = elsewhere.take();
    assert!(abroad.len() == 1 && abroad[0].authorization.is_none(), "{abroad:?}");
}

#[test]
fn redirects_that_lead_nowhere_are_refused() {
    for (to, expected) in [
        ("URL/datasets/owner/set/resolve/x", "too many redirects"),
        ("file:///etc/passwd", "not an address"),
        ("ftp://127.0.0.1/x", "not an address"),
        ("http://", "not an address"),
        ("", "neither an address nor a path"),
        ("x", "neither an address nor a path"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::hub(small_hub(), move |seen, _| {
            seen.path.contains("resolve").then(|| Reply::redirect(to))
        });
        let error = fetch_quietly(&request(&server, dir.path())).unwrap_err();
        assert!(matches!(error, FetchError::Redirect { .. }), "{to}: {error}");
        assert!(error.to_string().contains(expected), "{to}: {error}");
        assert!(server.take_files().len() <= 9);
        assert_absent(dir.path());
    }
}

#[test]
fn errors_show_neither_token_nor_signature() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::hub(small_hub(), |seen, _| match seen.path.contains("signature") {
        true => Some(Reply::new(403, "")),
        false => seen.path.contains("resolve").then(|| Reply::redirect("URL/x?signature=hidden1")),
    });
    let mut request = request(&server, dir.path());
    request.token = Some(Token::new("hidden2"));
    let error = fetch_quietly(&request).unwrap_err();
    let shown = format!("{error} {error:?} {request:?}");
    assert!(shown.contains("403") && !shown.contains("hidden1") && !shown.contains("hidden2"), "{shown}");
}

#[test]
fn settings_that_cannot_be_are_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let good = Request::new("owner/set", &dir.path().join("data")).unwrap();
    for endpoint in [
        "",
        "huggingface.co",
        "ftp://x",
        "https://",
        "http://h?x=",
        "https://user:password@host",
        "http://h/#x",
    ] {
        let request = Request { endpoint: endpoint.to_owned(), ..good.clone() };
        let message = fetch_quietly(&request).unwrap_err().to_string();
        assert!(message.contains("endpoint"), "{endpoint}: {message}");
    }
    for token in ["", "a b", "a\nb", "ü"] {
        let request = Request { token: Some(Token::new(token)), ..good.clone() };
        let message = fetch_quietly(&request).unwrap_err().to_string();
        assert!(message.contains("token") && (token.is_empty() || !message.contains(token)), "{message}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[cfg(unix)]
#[test]
fn no_symbolic_link_is_followed() {
    use std::os::unix::fs::symlink;

    use crate::server::COMMIT;

    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("victim"), b"precious").unwrap();
    std::fs::create_dir(outside.path().join("folder")).unwrap();
    let server = Server::hub(small_hub(), |_, _| None);
    let staging = format!(".fetch/owner--set/{COMMIT}");
    let links = [
        ("owner--set".to_owned(), "folder"),
        (".fetch".to_owned(), "folder"),
        (".fetch/owner--set".to_owned(), "folder"),
        (".fetch/owner--set.lock".to_owned(), "victim"),
        (staging.clone(), "folder"),
        (format!("{staging}/data"), "folder"),
        (format!("{staging}/train.parquet.part"), "victim"),
    ];
    for (link, to) in links {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join(link);
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(outside.path().join(to), &link).unwrap();
        let error = fetch_quietly(&request(&server, dir.path())).unwrap_err();
        assert!(
            matches!(&error, FetchError::SymbolicLink { path } if path == &link),
            "{}: {error}",
            link.display()
        );
        assert_eq!(tree(outside.path()), ["victim"], "{}", link.display());
        assert_eq!(std::fs::read(outside.path().join("victim")).unwrap(), b"precious");
    }
    // A link in the place of a whole file is replaced, not followed.
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join(&staging).join("train.parquet");
    std::fs::create_dir_all(link.parent().unwrap()).unwrap();
    symlink(outside.path().join("victim"), &link).unwrap();
    let error = fetch_quietly(&request(&server, dir.path())).unwrap_err();
    assert!(matches!(error, FetchError::SymbolicLink { .. }), "{error}");
    assert_eq!(std::fs::read(outside.path().join("victim")).unwrap(), b"precious");
}

#[test]
fn random_bytes_never_panic() {
    let good = small_hub().listing().into_bytes();
    let noise = bytes(20_000, 9);
    for (k, chunk) in noise.chunks(4).enumerate() {
        let mut list = good.clone();
        let at = (usize::from(chunk[0]) * 256 + usize::from(chunk[1])) % list.len();
        match k % 3 {
            0 => list[at] ^= 1 << (chunk[2] % 8),
            1 => list.truncate(at),
            _ => drop(list.splice(at..at, chunk.iter().copied())),
        }
        if let Err(error) = parse_listing("http://hub/list?x=1", &list) {
            assert!(error.to_string().contains("`http://hub/list`"), "{error}");
        }
    }
    for at in 0..good.len() {
        assert!(parse_listing("http://hub/list", &good[..at]).is_err());
    }
}

proptest! {
    #[test]
    fn any_list_is_read_or_refused(list in "[\\[\\]{}\",:a-z0-9 ]{0,60}") {
        if let Err(error) = parse_listing("http://hub/list", list.as_bytes()) {
            prop_assert!(error.to_string().contains("http://hub/list"));
        }
    }
}
