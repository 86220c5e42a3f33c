//! An answer, read whole.

use super::{HttpError, error};
use reqwest::{Url, header::HeaderMap};
use serde::de::DeserializeOwned;
use std::fmt;

/// What a server answered.
#[derive(Clone)]
pub struct Reply {
    pub(super) url: Url,
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Reply {
    /// The status, as 200.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether the status says that it was done.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// A header, if it is there and is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// The body as text; what is no text is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// When it is none, or not of that shape; says where, and never what stands there.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, HttpError> {
        serde_json::from_slice(&self.body).map_err(|e| {
            let kind = self.header("content-type").unwrap_or("no content type");
            let place = format!("line {} column {}", e.line(), e.column());
            let why = match e.classify() {
                serde_json::error::Category::Data => format!("its JSON is not of the expected shape at {place}"),
                _ => format!("it is not JSON ({kind}, {} B)", self.body.len()),
            };
            HttpError::Malformed { host: error::host(&self.url), status: self.status, why }
        })
    }
}

/// Without the body, and values of headers.
impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {} with {} B", self.status, error::host(&self.url), self.body.len())
    }
}
