//! What is to be fetched, and how patient the client is.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::digest::is_hex;
use super::{CATALOG, FetchError, names};

/// Where data sets are fetched from unless `HF_ENDPOINT` says otherwise.
pub const DEFAULT_ENDPOINT: &str = "https://huggingface.co";
/// The revision that is followed unless another one is asked for.
const DEFAULT_REVISION: &str = "main";
/// Files that are fetched unless others are asked for.
const DEFAULT_INCLUDE: [&str; 11] = [
    ".parquet",
    ".csv",
    ".txt",
    ".gz",
    "-ubyte",
    ".bin",
    ".safetensors",
    "tokenizer.json",
    ".png",
    ".jpg",
    ".jpeg",
];
/// Files that are about the data rather than data.
const ABOUT: [&str; 3] = ["readme", "licence", "license"];

/// One data set to fetch.
#[derive(Clone, Debug)]
pub struct Request {
    /// The data set on the hub, as `owner/name`.
    pub repository: String,
    /// A commit, a branch or a tag; `None` is what was fetched before, else `main`.
    pub revision: Option<String>,
    /// Follow a branch that has moved since it was first fetched.
    pub update: bool,
    /// Only the files below this folder of the repository, which is left out of their names.
    pub folder: Option<String>,
    /// Endings of the names of the files to fetch, such as `.parquet`. Empty: whatever this crate can read.
    pub include: Vec<String>,
    /// The data directory.
    pub data_dir: PathBuf,
    /// The folder in the data directory that the files go to.
    pub name: String,
    /// The address of the hub.
    pub endpoint: String,
    /// What identifies the user to the hub. It is sent to [`Request::endpoint`] alone, not to where that redirects to.
    pub token: Option<Token>,
    /// How patient the client is.
    pub patience: Patience,
}

impl Request {
    /// A request for a short name of the [`CATALOG`], or for `owner/name` on the hub.
    ///
    /// The environment gives the address of the hub (`HF_ENDPOINT`) and the token (`HF_TOKEN`).
    ///
    /// # Errors
    ///
    /// [`FetchError::Setting`] if it is neither.
    pub fn new(spec: &str, data_dir: &Path) -> Result<Request, FetchError> {
        let entry = CATALOG.iter().find(|entry| entry.name == spec);
        let repository = entry.map_or(spec, |entry| entry.repository);
        if !is_repository(repository) {
            let short = CATALOG.iter().map(|entry| entry.name).collect::<Vec<_>>().join(", ");
            let allowed = format!("owner/name, or one of {short}");
            return Err(FetchError::Setting { field: "data set", found: spec.to_owned(), allowed });
        }
        let from_environment = |name| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        Ok(Request {
            repository: repository.to_owned(),
            revision: None,
            update: false,
            folder: entry.map(|entry| entry.folder.to_owned()),
            include: Vec::new(),
            data_dir: data_dir.to_owned(),
            name: spec.replace('/', "--"),
            endpoint: from_environment("HF_ENDPOINT").unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned()),
            token: from_environment("HF_TOKEN").map(|token| Token::new(token.trim())),
            patience: Patience::default(),
        })
    }

    /// Refuses what no data set can be fetched by. The client checks the endpoint and the token.
    pub(super) fn check(&self) -> Result<(), FetchError> {
        let refuse = |field, found: &str, allowed: &str| {
            Err(FetchError::Setting { field, found: found.to_owned(), allowed: allowed.to_owned() })
        };
        if !is_repository(&self.repository) {
            return refuse("data set", &self.repository, "owner/name");
        }
        if let Some(revision) = &self.revision
            && (revision.is_empty()
                || revision.len() > 255
                || revision.chars().any(char::is_control)
                || revision.split('/').any(|part| matches!(part, "" | "." | "..")))
        {
            return refuse("revision", revision, "a commit, a branch or a tag");
        }
        if let Some(folder) = &self.folder
            && names::fault(folder).is_some()
        {
            return refuse("folder", folder, "a folder of the repository, such as data/small");
        }
        if let Some(suffix) = self.include.iter().find(|suffix| {
            let suffix = without_star(suffix);
            suffix.is_empty() || suffix.contains(['*', '?', '['])
        }) {
            return refuse("include", suffix, "the ending of a file's name, such as .parquet");
        }
        if names::fault(&self.name).is_some() || self.name.contains('/') || self.name.starts_with('.') {
            return refuse("name", &self.name, "a folder's name that does not start with a full stop");
        }
        if self.patience.attempts == 0 || self.patience.stall.is_zero() || self.patience.connect.is_zero() {
            return refuse("patience", "0", "at least 1 attempt, and time to wait");
        }
        Ok(())
    }

    /// The revision to ask for, if nothing was fetched before.
    pub(super) fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or(DEFAULT_REVISION)
    }

    /// Whether a file of the repository is asked for; its name without the folder if it is.
    pub(super) fn wants<'a>(&self, path: &'a str) -> Option<&'a str> {
        let path = match &self.folder {
            Some(folder) => path.strip_prefix(folder.as_str())?.strip_prefix('/')?,
            None => path,
        };
        let name = path.rsplit('/').next().unwrap_or(path).to_lowercase();
        let wanted = match self.include.is_empty() {
            true => {
                DEFAULT_INCLUDE.iter().any(|suffix| name.ends_with(suffix))
                    && !ABOUT.iter().any(|about| name.starts_with(about))
            }
            false => self
                .include
                .iter()
                .any(|suffix| path.to_lowercase().ends_with(&without_star(suffix).to_lowercase())),
        };
        wanted.then_some(path)
    }

    /// Which files are asked for, in words.
    pub(super) fn wanted(&self) -> String {
        let endings = match self.include.is_empty() {
            true => DEFAULT_INCLUDE.join(" "),
            false => self.include.join(" "),
        };
        match &self.folder {
            Some(folder) => format!("the files of `{folder}` that end with {endings}"),
            None => format!("the files that end with {endings}"),
        }
    }
}

/// How long the client waits, and how often it tries.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Time to make a connection.
    pub connect: Duration,
    /// Longest time without a byte.
    pub stall: Duration,
    /// Tries in a row that bring less than a mebibyte before it gives up.
    pub attempts: u32,
    /// Pause before the second try; it doubles for each further one, up to [`Patience::longest_pause`].
    pub pause: Duration,
    /// Longest pause, also where the server asks for a longer one.
    pub longest_pause: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            connect: Duration::from_secs(15),
            stall: Duration::from_secs(30),
            attempts: 5,
            pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(60),
        }
    }
}

/// A secret that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Wraps a secret.
    pub fn new(secret: &str) -> Token {
        Token(secret.to_owned())
    }

    pub(super) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(hidden)")
    }
}

/// Whether a revision is the full name of a commit, which never moves.
pub(super) fn is_commit(revision: &str) -> bool {
    is_hex(revision, 40)
}

/// Whether `text` is `owner/name` as the hub allows it.
fn is_repository(text: &str) -> bool {
    let is_name = |name: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        (1..=96).contains(&name.len())
            && name.bytes().all(allowed)
            && !name.starts_with(['.', '-'])
            && !name.ends_with('.')
    };
    text.split_once('/').is_some_and(|(owner, name)| is_name(owner) && is_name(name))
}

/// `*.parquet` is `.parquet`.
fn without_star(suffix: &str) -> &str {
    suffix.strip_prefix('*').unwrap_or(suffix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        let request = |spec: &str| Request::new(spec, Path::new("data"));
        let mnist = request("mnist").unwrap();
        assert_eq!((mnist.repository.as_str(), mnist.name.as_str()), ("ylecun/mnist", "mnist"));
        assert_eq!(mnist.folder.as_deref(), Some("mnist"));
        let own = request("some-one/a_set.v2").unwrap();
        assert_eq!((own.name.as_str(), own.folder.as_deref()), ("some-one--a_set.v2", None));
        own.check().unwrap();
        for bad in [
            "", "mnits", "a/b/c", "../x", "a/..", "a/.b", "/a", "a/", "a b/c", "a/b?c", "a\\b", "ü/x", "-a/b",
        ] {
            let message = request(bad).unwrap_err().to_string();
            assert!(
                message.contains(bad) && message.contains("owner/name") && message.contains("cifar10"),
                "{message}"
            );
        }
        for entry in CATALOG {
            request(entry.name).unwrap().check().unwrap();
        }
    }

    #[test]
    fn settings_are_checked() {
        let request = Request::new("a/b", Path::new("data")).unwrap();
        let refused = |change: &dyn Fn(&mut Request)| {
            let mut request = request.clone();
            change(&mut request);
            request.check().unwrap_err().to_string()
        };
        for bad in ["", "..", "a/../b", "a\nb", "/"] {
            assert!(refused(&|request| request.revision = Some(bad.to_owned())).contains("revision"));
        }
        for bad in ["", "../x", "/x", ".hidden", "a/b", "con"] {
            assert!(refused(&|request| request.name = bad.to_owned()).contains("name"));
        }
        for bad in ["", "*", "a*b", "*.p?"] {
            assert!(refused(&|request| request.include = vec![bad.to_owned()]).contains("include"));
        }
        assert!(refused(&|request| request.folder = Some("../..".to_owned())).contains("folder"));
        assert!(refused(&|request| request.repository = "x".to_owned()).contains("owner/name"));
        assert!(refused(&|request| request.patience.attempts = 0).contains("attempt"));
    }

    #[test]
    fn files_are_chosen_by_their_endings() {
        let mut request = Request::new("a/b", Path::new("data")).unwrap();
        for (path, wanted) in [
            ("data/train.parquet", true),
            ("train-images-idx3-ubyte", true),
            ("x/PHOTO.JPG", true),
            ("tokenizer.json", true),
            ("dataset_infos.json", false),
            ("README.md", false),
            ("README.txt", false),
            ("x/LICENSE.txt", false),
            (".gitattributes", false),
            ("script.py", false),
        ] {
            assert_eq!(request.wants(path).is_some(), wanted, "{path}");
        }
        request.folder = Some("data".to_owned());
        assert_eq!(request.wants("data/x/a.csv"), Some("x/a.csv"));
        assert_eq!(
            (request.wants("data2/a.csv"), request.wants("a.csv"), request.wants("data")),
            (None, None, None)
        );
        request.include = vec!["*.md".to_owned()];
        assert_eq!((request.wants("data/a.csv"), request.wants("data/README.MD")), (None, Some("README.MD")));
    }

    #[test]
    fn the_token_is_not_shown() {
        let mut request = Request::new("a/b", Path::new("data")).unwrap();
        request.token = Some(Token::new("hf_secret"));
        assert!(!format!("{request:?}").contains("secret"));
    }
}
