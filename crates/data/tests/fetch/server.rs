//! A hub on this machine that can misbehave, and records what it is asked.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha1::Sha1;
use sha2::{Digest, Sha256};

pub(crate) const COMMIT: &str = "1111111111111111111111111111111111111111";
pub(crate) const NEWER: &str = "2222222222222222222222222222222222222222";
pub(crate) const REPOSITORY: &str = "owner/set";

/// One request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Path and query.
    pub(crate) path: String,
    pub(crate) range: Option<String>,
    pub(crate) authorization: Option<String>,
}

impl Seen {
    /// The byte that the client wants to go on from.
    pub(crate) fn from(&self) -> usize {
        let range = self.range.as_deref().and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
        range.map_or(0, |from| from.parse().unwrap())
    }
}

/// How an answer ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    Close,
    /// The connection stays open, and nothing more comes until the server ends.
    Stall,
}

#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// `URL` in a value stands for the server's own address.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// `None`: the length is not announced.
    pub(crate) announced: Option<usize>,
    pub(crate) chunked: bool,
    pub(crate) end: End,
    /// Wait before the body.
    pub(crate) delay: Duration,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Reply {
        let body = body.into();
        let announced = Some(body.len());
        Reply {
            status,
            headers: Vec::new(),
            body,
            announced,
            chunked: false,
            end: End::Close,
            delay: Duration::ZERO,
        }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Reply {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn redirect(to: &str) -> Reply {
        Reply::new(302, "").with("Location", to)
    }

    /// Only the first bytes of the body are sent.
    pub(crate) fn cut(mut self, at: usize) -> Reply {
        self.body.truncate(at);
        self
    }

    pub(crate) fn stalled(mut self, at: usize) -> Reply {
        self.end = End::Stall;
        self.cut(at)
    }
}

/// A file of the data set.
#[derive(Clone)]
pub(crate) struct HubFile {
    pub(crate) path: String,
    pub(crate) content: Vec<u8>,
    pub(crate) is_large: bool,
}

/// What the hub holds.
#[derive(Clone)]
pub(crate) struct Hub {
    pub(crate) commit: String,
    pub(crate) files: Vec<HubFile>,
}

impl Hub {
    pub(crate) fn new(files: &[(&str, Vec<u8>, bool)]) -> Hub {
        let files = files.iter().map(|(path, content, is_large)| HubFile {
            path: (*path).to_owned(),
            content: content.clone(),
            is_large: *is_large,
        });
        Hub { commit: COMMIT.to_owned(), files: files.collect() }
    }

    /// The right answer.
    pub(crate) fn answer(&self, seen: &Seen) -> Reply {
        let path = seen.path.split('?').next().unwrap();
        if path.starts_with("/api/datasets/owner/set/revision/") {
            return Reply::new(200, format!(r#"{{"id":"owner/set","sha":"{}","siblings":[]}}"#, self.commit));
        }
        if path.starts_with("/api/datasets/owner/set/tree/") {
            return Reply::new(200, self.listing());
        }
        let file = self.files.iter().find(|file| path.ends_with(&format!("/{}", file.path)));
        match file {
            Some(file) if path.starts_with("/datasets/owner/set/resolve/") => self.content(file, seen),
            _ => Reply::new(404, "Not found"),
        }
    }

    pub(crate) fn content(&self, file: &HubFile, seen: &Seen) -> Reply {
        let (from, len) = (seen.from(), file.content.len());
        if from == 0 {
            return Reply::new(200, file.content.clone());
        }
        let range = format!("bytes {from}-{}/{len}", len - 1);
        Reply::new(206, &file.content[from..]).with("Content-Range", &range)
    }

    pub(crate) fn listing(&self) -> String {
        let files = self.files.iter().map(|HubFile { path, content, is_large }| {
            let len = content.len();
            let git = Sha1::new().chain_update(format!("blob {len}\0")).chain_update(content).finalize();
            match is_large {
                false => serde_json::json!({"type": "file", "path": path, "size": len, "oid": hex(&git)}),
                true => serde_json::json!({
                    "type": "file", "path": path, "size": len, "oid": "ab".repeat(20), "xetHash": "x",
                    "lfs": {"oid": hex(&Sha256::digest(content)), "size": len, "pointerSize": 130},
                }),
            }
        });
        let folder =
            serde_json::json!({"type": "directory", "path": "data", "size": 0, "oid": "cd".repeat(20)});
        serde_json::Value::Array(std::iter::once(folder).chain(files).collect()).to_string()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Answers each request; the number says how often this path was asked for before.
type Handler = dyn Fn(&Seen, usize) -> Reply + Send + Sync;

/// What was asked for.
#[derive(Default)]
struct Log {
    seen: Mutex<Vec<Seen>>,
    /// How often each path was asked for, since the start.
    counts: Mutex<HashMap<String, usize>>,
}

pub(crate) struct Server {
    pub(crate) url: String,
    log: Arc<Log>,
    stop: Arc<AtomicBool>,
}

impl Server {
    pub(crate) fn start(handler: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (log, stop) = (Arc::new(Log::default()), Arc::new(AtomicBool::new(false)));
        let (logged, stopped, handler) = (log.clone(), stop.clone(), Arc::new(handler));
        let own = url.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (log, stopped, handler) = (logged.clone(), stopped.clone(), handler.clone());
                let own = own.clone();
                // A client that goes away is no fault of the server.
                std::thread::spawn(move || drop(serve(&stream.unwrap(), &own, &log, &stopped, &*handler)));
            }
        });
        Server { url, log, stop }
    }

    /// A hub that answers rightly except where `fault` answers.
    pub(crate) fn hub(
        hub: Hub,
        fault: impl Fn(&Seen, usize) -> Option<Reply> + Send + Sync + 'static,
    ) -> Server {
        Server::start(move |seen, nth| fault(seen, nth).unwrap_or_else(|| hub.answer(seen)))
    }

    /// The requests since the last call.
    pub(crate) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.log.seen.lock().unwrap())
    }

    /// The requests for files since the last call.
    pub(crate) fn take_files(&self) -> Vec<Seen> {
        self.take().into_iter().filter(|seen| seen.path.contains("/resolve/")).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.url.trim_start_matches("http://"));
    }
}

fn serve(
    stream: &TcpStream,
    own: &str,
    log: &Log,
    stopped: &AtomicBool,
    handler: &Handler,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().unwrap_or_else(|| Err(std::io::ErrorKind::UnexpectedEof.into()))?;
    let mut seen = Seen { path: first.split(' ').nth(1).unwrap_or_default().to_owned(), ..Seen::default() };
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        match line.split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("range") => seen.range = Some(value.to_owned()),
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                seen.authorization = Some(value.to_owned());
            }
            _ => (),
        }
    }
    let nth = {
        let mut counts = log.counts.lock().unwrap();
        let count = counts.entry(seen.path.clone()).or_default();
        *count += 1;
        log.seen.lock().unwrap().push(seen.clone());
        *count - 1
    };
    let reply = handler(&seen, nth);
    let mut head = format!("HTTP/1.1 {} Answer\r\nConnection: close\r\n", reply.status);
    if reply.chunked {
        head += "Transfer-Encoding: chunked\r\n";
    } else if let Some(announced) = reply.announced {
        head += &format!("Content-Length: {announced}\r\n");
    }
    for (name, value) in &reply.headers {
        head += &format!("{name}: {}\r\n", value.replace("URL", own));
    }
    let mut stream = stream;
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    std::thread::sleep(reply.delay);
    if reply.chunked {
        for chunk in reply.body.chunks(1000) {
            write!(stream, "{:x}\r\n", chunk.len())?;
            stream.write_all(chunk)?;
            stream.write_all(b"\r\n")?;
        }
        stream.write_all(b"0\r\n\r\n")?;
    } else {
        stream.write_all(&reply.body)?;
    }
    stream.flush()?;
    while reply.end == End::Stall && !stopped.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(10));
    }
    stream.shutdown(Shutdown::Write)
}
