//! HTTP: one request with its redirects, and the patience to try again.

use std::time::Duration;

use ureq::http::{Response, Uri, header};
use ureq::{Agent, Body, Timeout};

use super::{FetchError, Patience, Progress, Request, Token};

/// More redirects than any server needs.
const MAX_REDIRECTS: u32 = 8;

/// Talks to the hub and to where it redirects to.
pub(super) struct Client {
    agent: Agent,
    /// The address of the hub without a `/` at its end.
    endpoint: String,
    origin: Origin,
    token: Option<Token>,
    patience: Patience,
}

/// Why one try failed.
pub(super) enum Failure {
    /// Another try may succeed.
    Again {
        reason: String,
        /// The status, if there was an answer.
        status: Option<u16>,
        /// How long the server asks to wait.
        wait: Option<Duration>,
    },
    /// No try will.
    Final(FetchError),
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Failure {
        Failure::Final(error)
    }
}

impl Failure {
    pub(super) fn again(reason: impl Into<String>) -> Failure {
        Failure::Again { reason: reason.into(), status: None, wait: None }
    }
}

impl Client {
    pub(super) fn new(request: &Request) -> Result<Client, FetchError> {
        let refuse = |field, found: &str, allowed: &str| FetchError::Setting {
            field,
            found: found.to_owned(),
            allowed: allowed.to_owned(),
        };
        let endpoint = request.endpoint.trim_end_matches('/').to_owned();
        let origin = endpoint
            .parse()
            .ok()
            .filter(|_| !endpoint.contains(['?', '#', '@']))
            .and_then(|uri| Origin::of(&uri));
        let Some(origin) = origin else {
            return Err(refuse("endpoint", &request.endpoint, "an address such as https://huggingface.co"));
        };
        if let Some(token) = &request.token
            && (token.secret().is_empty() || !token.secret().bytes().all(|byte| byte.is_ascii_graphic()))
        {
            return Err(refuse("token", "hidden", "visible ASCII characters"));
        }
        if request.token.is_some() && origin.scheme == "http" && !origin.is_this_machine() {
            tracing::warn!(endpoint, "the token is sent over http, where others may read it");
        }
        let patience = request.patience;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // Redirects are followed here, because the token must not follow them.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(patience.connect))
            .timeout_resolve(Some(patience.connect))
            .timeout_per_read(Some(patience.stall))
            .timeout_per_write(Some(patience.stall))
            .user_agent(concat!("batchwise/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Client { agent: config.new_agent(), endpoint, origin, token: request.token.clone(), patience })
    }

    /// An address of the hub.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.endpoint)
    }

    /// Tries to get what is at `url` from byte `from` on. The status of the answer is 2xx or 416.
    pub(super) fn get(&self, url: &str, from: u64) -> Result<Response<Body>, Failure> {
        let mut at = url.to_owned();
        for _ in 0..=MAX_REDIRECTS {
            let response = self.get_once(&at, from)?;
            let status = response.status().as_u16();
            match status {
                301 | 302 | 303 | 307 | 308 => at = redirected(&at, &response)?,
                200..=299 | 416 => return Ok(response),
                408 | 425 | 429 | 500 | 502 | 503 | 504 => {
                    let wait = header_text(&response, header::RETRY_AFTER).and_then(|text| text.parse().ok());
                    return Err(Failure::Again {
                        reason: format!("status {status}"),
                        status: Some(status),
                        wait: wait.map(Duration::from_secs),
                    });
                }
                _ => return Err(FetchError::Status { url: shown(&at), status, hint: hint(status) }.into()),
            }
        }
        let (url, to) = (shown(url), shown(&at));
        Err(FetchError::Redirect { url, to, reason: "too many redirects in a row" }.into())
    }

    /// One request, whose redirect is not followed.
    fn get_once(&self, url: &str, from: u64) -> Result<Response<Body>, Failure> {
        let origin = url.parse().ok().and_then(|uri| Origin::of(&uri));
        let mut request = self.agent.get(url).header(header::ACCEPT_ENCODING, "identity");
        if let Some(token) = &self.token
            && origin.as_ref() == Some(&self.origin)
        {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.secret()));
        }
        if 0 < from {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        if origin.is_some_and(|origin| origin.is_this_machine()) {
            // No proxy reaches the loopback of this machine.
            request = request.config().proxy(None).build();
        }
        request.call().map_err(|error| self.failure(url, error))
    }

    fn failure(&self, url: &str, error: ureq::Error) -> Failure {
        let last = |reason: String| FetchError::Unreachable { url: shown(url), reason, attempts: 1 }.into();
        match error {
            ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
                Failure::again(format!("no connection within {:?}", self.patience.connect))
            }
            ureq::Error::Timeout(_) => Failure::again(format!("no byte for {:?}", self.patience.stall)),
            ureq::Error::Io(error) => Failure::again(error.to_string()),
            ureq::Error::Protocol(_) | ureq::Error::ConnectionFailed => Failure::again(error.to_string()),
            ureq::Error::HostNotFound => last("the host is not known; is there a network?".to_owned()),
            error => last(error.to_string()),
        }
    }

    /// Why reading the body of an answer failed.
    pub(super) fn body_failure(&self, error: std::io::Error) -> Failure {
        match ureq::Error::from(error) {
            ureq::Error::Timeout(_) => Failure::again(format!("no byte for {:?}", self.patience.stall)),
            ureq::Error::Io(error) => Failure::again(error.to_string()),
            error => Failure::again(error.to_string()),
        }
    }

    /// Counts the failures of one address.
    pub(super) fn retries(&self, url: &str) -> Retries {
        Retries { url: url.to_owned(), failures: 0, patience: self.patience }
    }
}

/// The failures in a row of one address.
pub(super) struct Retries {
    url: String,
    failures: u32,
    patience: Patience,
}

impl Retries {
    /// Something has arrived: the count starts anew.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Waits until the next try, or gives up.
    pub(super) fn pause(
        &mut self,
        failure: Failure,
        on_progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), FetchError> {
        let (reason, status, wait) = match failure {
            Failure::Again { reason, status, wait } => (reason, status, wait),
            Failure::Final(error) => return Err(error),
        };
        self.failures += 1;
        let (url, attempts) = (shown(&self.url), self.failures);
        if self.patience.attempts <= attempts {
            return Err(match status {
                Some(status) => FetchError::Status { url, status, hint: hint(status) },
                None => FetchError::Unreachable { url, reason, attempts },
            });
        }
        let doubled = self.patience.pause.saturating_mul(1 << (attempts - 1).min(16));
        let wait = wait.unwrap_or(doubled).max(doubled).min(self.patience.longest_pause);
        tracing::debug!(url, reason, attempts, ?wait, "trying again");
        on_progress(Progress::Retry { url: &url, reason: &reason, attempt: attempts + 1, wait });
        std::thread::sleep(wait);
        Ok(())
    }
}

/// Whom a request goes to: the token is for one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    fn of(uri: &Uri) -> Option<Origin> {
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let standard = match scheme.as_str() {
            "https" => 443,
            "http" => 80,
            _ => return None,
        };
        let host = uri.host().filter(|host| !host.is_empty())?.to_ascii_lowercase();
        Some(Origin { scheme, host, port: uri.port_u16().unwrap_or(standard) })
    }

    fn is_this_machine(&self) -> bool {
        self.host == "localhost" || self.host == "[::1]" || self.host.starts_with("127.")
    }
}

/// Where an answer redirects to.
fn redirected(url: &str, response: &Response<Body>) -> Result<String, FetchError> {
    let location = header_text(response, header::LOCATION).unwrap_or_default();
    let refuse = |to: &str, reason| FetchError::Redirect { url: shown(url), to: shown(to), reason };
    let from = url.parse().ok().and_then(|uri| Origin::of(&uri));
    let Some(from) = from else {
        return Err(refuse(location, "the address that redirects is not understood"));
    };
    let to = if location.contains("://") {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{}:{location}", from.scheme)
    } else if location.starts_with('/') {
        format!("{}://{}:{}{location}", from.scheme, from.host, from.port)
    } else {
        return Err(refuse(location, "it is neither an address nor a path"));
    };
    match to.parse().ok().and_then(|uri| Origin::of(&uri)) {
        None => Err(refuse(&to, "it is not an address of http or https")),
        Some(origin) if from.scheme == "https" && origin.scheme != "https" => {
            Err(refuse(&to, "it leads from https to http"))
        }
        Some(_) => Ok(to),
    }
}

/// A header, if it is there and is text.
pub(super) fn header_text(response: &Response<Body>, name: header::HeaderName) -> Option<&str> {
    response.headers().get(name).and_then(|value| value.to_str().ok())
}

/// An address without its query, which may hold a signature.
pub(super) fn shown(url: &str) -> String {
    url.split(['?', '#']).next().unwrap_or_default().to_owned()
}

fn hint(status: u16) -> &'static str {
    match status {
        401 => {
            "the data set does not exist, or it is private or gated; set HF_TOKEN to a token that may read it"
        }
        403 => {
            "access is refused; accept the data set's terms on its page, and check that HF_TOKEN may read it"
        }
        404 => {
            "there is no such data set, revision or file; check the spelling of owner/name and of the revision"
        }
        429 => "too many requests; wait some minutes, or set HF_TOKEN for a higher limit",
        500..=599 => "the server has a fault; fetch again later",
        _ => "this answer is not part of the hub's interface; check HF_ENDPOINT",
    }
}
