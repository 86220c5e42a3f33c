//! A request, as it can be sent, signed, and sent again.

use super::{HttpError, error};
use crate::secret::Revealed;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
pub use reqwest::{Method, Url};
use serde::Serialize;
use std::{fmt, time::Duration};

/// What is sent to a server.
#[derive(Clone)]
pub struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) repeatable: bool,
    pub(super) timeout: Duration,
    /// Why it cannot be sent at all.
    pub(super) problem: Option<String>,
}

/// How long an answer may take, unless one says otherwise.
const TIMEOUT: Duration = Duration::from_mins(1);

impl Request {
    /// A request without headers and body. Unless it is a POST or PATCH, sending it twice is taken to be as good as once.
    #[must_use]
    pub fn new(method: Method, url: Url) -> Self {
        let repeatable = !matches!(method, Method::POST | Method::PATCH | Method::CONNECT);
        let headers = HeaderMap::new();
        Self { method, url, headers, body: Vec::new(), repeatable, timeout: TIMEOUT, problem: None }
    }

    /// Only looks.
    #[must_use]
    pub fn get(url: Url) -> Self {
        Self::new(Method::GET, url)
    }

    /// Adds or replaces a header.
    #[must_use]
    pub fn header(self, name: &'static str, value: &str) -> Self {
        self.set(name, value, false)
    }

    /// Adds or replaces a secret header, which no other server may see.
    #[must_use]
    pub fn secret_header(self, name: &'static str, value: &Revealed) -> Self {
        self.set(name, value.expose(), true)
    }

    /// Sends a token as `Authorization: Bearer`.
    #[must_use]
    pub fn bearer(self, token: &Revealed) -> Self {
        let value = Revealed::new(format!("Bearer {}", token.expose()));
        self.secret_header("authorization", &value)
    }

    fn set(mut self, name: &'static str, value: &str, secret: bool) -> Self {
        match HeaderValue::from_str(value) {
            Ok(mut value) => {
                value.set_sensitive(secret);
                self.headers.insert(HeaderName::from_static(name), value);
            }
            Err(_) => self.problem = Some(format!("what is to be sent as `{name}` has a line break or a control code")),
        }
        self
    }

    /// Sends bytes.
    #[must_use]
    pub fn body(mut self, kind: &str, body: Vec<u8>) -> Self {
        self.body = body;
        self.header("content-type", kind)
    }

    /// Sends a value as JSON.
    #[must_use]
    pub fn json(self, value: &impl Serialize) -> Self {
        let body = serde_json::to_vec(value).expect("what is sent has text for keys");
        self.body("application/json", body)
    }

    /// Says that sending it twice is as good as once, although its method does not say so.
    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// Says that it must not be sent twice, although its method would let it.
    #[must_use]
    pub fn once_only(mut self) -> Self {
        self.repeatable = false;
        self
    }

    /// Bounds how long the answer may take.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// What it does.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Where it goes.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Its headers, to be signed.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Its body, to be signed.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        &self.body
    }

    /// `POST /v2/droplets`: without the query, which may hold secrets.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.url.path())
    }

    pub(super) fn lost(&self, why: String) -> HttpError {
        HttpError::Lost { host: error::host(&self.url), request: self.line(), why }
    }
}

/// Without query, values of headers, and body.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.keys().map(HeaderName::as_str).collect();
        write!(f, "{} at {} with {names:?} and {} B", self.line(), error::host(&self.url), self.body.len())
    }
}
