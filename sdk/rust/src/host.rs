//! The host's doors as traits. In a component they lead to the host; natively a test implements the ones
//! it needs, and the others refuse.

use std::fmt;

use crate::{Failure, Job, Options};

/// One HTTP request with an absolute URL.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct HttpRequest {
    /// `GET`, `POST`, `LIST`, …
    pub method: String,
    /// Absolute URL.
    pub url: String,
    /// In order.
    pub headers: Vec<(String, String)>,
    /// The body, if any.
    pub body: Option<Vec<u8>>,
    /// Further settings.
    pub options: Options,
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpRequest({} {})", self.method, self.url)
    }
}

/// One HTTP response.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Further settings.
    pub options: Options,
}

impl HttpResponse {
    /// The first value of a header; the name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    /// `Retry-After` where it is a number of seconds. A date would need a clock and is not read.
    #[must_use]
    pub fn retry_after_ms(&self) -> Option<u64> {
        self.header("retry-after")?
            .trim()
            .parse::<u64>()
            .ok()?
            .checked_mul(1000)
    }
}

impl fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "HttpResponse({}, {} bytes)",
            self.status,
            self.body.len()
        )
    }
}

/// The only way to the network.
pub trait Http {
    /// One exchange; a status of 400 or more is a response, not a failure.
    ///
    /// # Errors
    /// What the host says of an exchange that did not happen.
    fn send(&self, request: &HttpRequest) -> Result<HttpResponse, Failure> {
        let _ = request;
        Err(Failure::unsupported("no network here"))
    }

    /// Many exchanges at once, answers in order.
    fn send_all(&self, requests: &[HttpRequest]) -> Vec<Result<HttpResponse, Failure>> {
        requests.iter().map(|r| self.send(r)).collect()
    }
}

/// Directories that a grant names.
pub trait Files {
    /// The bytes of a file.
    ///
    /// # Errors
    /// `not-found` for a path that is not there, `denied` for a root that is not granted, others.
    fn read(&self, root: &str, path: &str) -> Result<Vec<u8>, Failure> {
        let _ = path;
        Err(Failure::not_found(format!("no directory {root} here")))
    }

    /// Names in a directory; those of directories end in `/`.
    ///
    /// # Errors
    /// As for [`Files::read`].
    fn list_dir(&self, root: &str, path: &str) -> Result<Vec<String>, Failure> {
        let _ = path;
        Err(Failure::not_found(format!("no directory {root} here")))
    }
}

/// The host's log; it cuts, counts and redacts.
pub trait Log {
    /// Level is `error`, `warn`, `info` or `debug`.
    fn log(&self, level: &str, message: &str, fields: &[(String, String)]) {
        let _ = (level, message, fields);
    }
}

/// Time and randomness.
pub trait Entropy {
    /// Nanoseconds since 1970-01-01 UTC.
    fn now_ns(&self) -> u64 {
        0
    }

    /// Unpredictable in a component.
    fn random_u64(&self) -> u64 {
        0
    }
}

/// The template engine, for a provider whose requests are templates; the host runs it in a sandbox of its own.
pub trait Templating {
    /// One list a job, one result a template, in order. Options: `missingkey` (`error`, `default`), `left`, `right`.
    fn render(&self, jobs: &[Job], options: &Options) -> Vec<Vec<Result<Vec<u8>, Failure>>> {
        let _ = options;
        let refused = || Err(Failure::unsupported("no template engine here"));
        jobs.iter()
            .map(|job| job.templates.iter().map(|_| refused()).collect())
            .collect()
    }
}

/// All doors together.
pub trait Host: Http + Files + Log + Entropy + Templating {}

impl<T: Http + Files + Log + Entropy + Templating> Host for T {}
