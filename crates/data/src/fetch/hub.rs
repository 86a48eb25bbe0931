//! The hub's interface for data sets: which commit a revision names, which files a commit holds.

use std::io::Read;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::http::header;

use super::client::{Client, Failure, header_text, shown};
use super::request::is_commit;
use super::{Checksum, FetchError, Progress};

/// Larger than any page of a list: pages hold 1000 files.
const MAX_PAGE_BYTES: u64 = 16 << 20;
const MAX_PAGES: usize = 1000;

/// A file as the hub lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteFile {
    /// Its path in the repository, as the server gives it: not yet checked.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its checksum.
    pub checksum: Checksum,
}

#[derive(Deserialize)]
struct Revision {
    sha: String,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    size: Option<u64>,
    oid: Option<String>,
    lfs: Option<LargeFile>,
}

#[derive(Deserialize)]
struct LargeFile {
    oid: String,
    size: u64,
}

/// The commit that a revision names at the moment. With `patient` unset, one try has to do.
pub(super) fn commit(
    client: &Client,
    repository: &str,
    revision: &str,
    patient: bool,
    on_progress: &mut dyn FnMut(Progress<'_>),
) -> Result<String, FetchError> {
    let url = client.url(&format!("api/datasets/{repository}/revision/{}", encoded(revision)));
    let (page, _) = page(client, &url, patient, on_progress)?;
    let Revision { sha } = parse(&url, &page)?;
    if !is_commit(&sha) {
        return Err(listing(&url, "sha", &quoted(&sha), "a commit of 40 hexadecimal digits"));
    }
    Ok(sha)
}

/// All files of a commit.
pub(super) fn files(
    client: &Client,
    repository: &str,
    commit: &str,
    on_progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<RemoteFile>, FetchError> {
    let mut url = client.url(&format!("api/datasets/{repository}/tree/{commit}?recursive=true"));
    let mut files = Vec::new();
    for _ in 0..MAX_PAGES {
        let (page, next) = page(client, &url, true, on_progress)?;
        files.extend(parse_listing(&url, &page)?);
        match next {
            Some(next) => url = next,
            None => return Ok(files),
        }
    }
    Err(listing(&url, "the list of files", &format!("more than {MAX_PAGES} pages"), "fewer pages"))
}

/// The address of a file.
pub(super) fn file_url(client: &Client, repository: &str, commit: &str, path: &str) -> String {
    let path = path.split('/').map(encoded).collect::<Vec<_>>().join("/");
    client.url(&format!("datasets/{repository}/resolve/{commit}/{path}"))
}

/// The files that one page of the hub's list names. `url` is for messages alone.
///
/// # Errors
///
/// [`FetchError::Listing`].
pub fn parse_listing(url: &str, page: &[u8]) -> Result<Vec<RemoteFile>, FetchError> {
    let entries: Vec<Entry> = parse(url, page)?;
    let files = entries.into_iter().filter(|entry| entry.kind == "file");
    files.map(|entry| remote_file(url, entry)).collect()
}

fn remote_file(url: &str, entry: Entry) -> Result<RemoteFile, FetchError> {
    let fault = |what: &str, found: &str, expected| {
        Err(listing(url, &format!("{what} of {}", quoted(&entry.path)), found, expected))
    };
    let (bytes, checksum) = match (&entry.lfs, entry.size, &entry.oid) {
        (Some(large), ..) => {
            let digits = large.oid.strip_prefix("sha256:").unwrap_or(&large.oid);
            (large.size, Checksum::Sha256(digits.to_owned()))
        }
        (None, Some(size), Some(oid)) => (size, Checksum::GitSha1(oid.clone())),
        (None, None, _) => return fault("the size", "missing", "a number of bytes"),
        (None, _, None) => return fault("the oid", "missing", "the checksum of the file"),
    };
    if !checksum.is_valid() {
        return fault(
            "the oid",
            &quoted(&checksum.to_string()),
            "64 (SHA-256) or 40 (SHA-1) hexadecimal digits",
        );
    }
    Ok(RemoteFile { path: entry.path, bytes, checksum })
}

/// One page, and the address of the next one.
fn page(
    client: &Client,
    url: &str,
    patient: bool,
    on_progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(Vec<u8>, Option<String>), FetchError> {
    let mut retries = client.retries(url);
    loop {
        match try_page(client, url) {
            Ok(page) => return Ok(page),
            Err(Failure::Again { reason, .. }) if !patient => {
                return Err(FetchError::Unreachable { url: shown(url), reason, attempts: 1 });
            }
            Err(failure) => retries.pause(failure, on_progress)?,
        }
    }
}

fn try_page(client: &Client, url: &str) -> Result<(Vec<u8>, Option<String>), Failure> {
    let response = client.get(url, 0)?;
    let status = response.status().as_u16();
    if status != 200 {
        return Err(listing(url, "the status", &status.to_string(), "200").into());
    }
    let next = header_text(&response, header::LINK).and_then(next_page).map(str::to_owned);
    let announced = response.body().content_length();
    let mut page = Vec::new();
    let mut reader = response.into_body().into_reader().take(MAX_PAGE_BYTES + 1);
    reader.read_to_end(&mut page).map_err(|error| client.body_failure(error))?;
    let n_bytes = page.len() as u64;
    if MAX_PAGE_BYTES < n_bytes {
        let expected = format!("at most {MAX_PAGE_BYTES} bytes");
        return Err(listing(url, "the size of the answer", "more", &expected).into());
    }
    if announced.is_some_and(|announced| n_bytes < announced) {
        return Err(Failure::again(format!("the answer ended at byte {n_bytes}")));
    }
    Ok((page, next))
}

/// The address of the next page in a `Link` header.
fn next_page(link: &str) -> Option<&str> {
    let next = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    let (_, after) = next.split_once('<')?;
    after.split_once('>').map(|(address, _)| address)
}

fn parse<T: DeserializeOwned>(url: &str, page: &[u8]) -> Result<T, FetchError> {
    serde_json::from_slice(page).map_err(|error| {
        let found = match error.is_data() {
            true => error.to_string(),
            false => format!("no JSON ({error})"),
        };
        listing(url, "the answer", &found, "what the hub's interface describes")
    })
}

fn listing(url: &str, what: &str, found: &str, expected: &str) -> FetchError {
    FetchError::Listing {
        url: shown(url),
        what: what.to_owned(),
        found: found.to_owned(),
        expected: expected.to_owned(),
    }
}

/// Text of a server in a message: short, and without control characters.
pub(super) fn quoted(text: &str) -> String {
    let short: String = text.chars().take(200).collect();
    format!("`{}`", short.escape_debug())
}

/// Percent-encodes everything that has a meaning in an address.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte))
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_encoded() {
        assert_eq!(encoded("refs/pr/1"), "refs%2Fpr%2F1");
        assert_eq!(encoded("a b#?%é"), "a%20b%23%3F%25%C3%A9");
    }

    #[test]
    fn the_next_page_is_found() {
        let link = r#"<https://h/a?cursor=1>; rel="prev", <https://h/a?cursor=2>; rel="next""#;
        assert_eq!(next_page(link), Some("https://h/a?cursor=2"));
        for none in ["", "rel=\"next\"", "<x; rel=\"next\"", "<x>; rel=\"last\""] {
            assert_eq!(next_page(none), None);
        }
    }
}
