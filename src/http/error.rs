//! What ends badly between us and a server, and whether it can have had an effect.

use super::Reply;
use crate::spoken;
use reqwest::Url;
use std::{error::Error, io, time::Duration};
use thiserror::Error;

/// Why there is no answer to work with.
#[derive(Clone, Debug, Error)]
pub enum HttpError {
    /// What we would have sent is no request.
    #[error("{what}")]
    Unsendable {
        /// What is wrong with it.
        what: String,
    },
    /// This computer has no client: no trusted authorities, a proxy that cannot be read.
    #[error("no HTTP client can be had: {why}")]
    Unprepared {
        /// What is missing.
        why: String,
    },
    /// There was no connection, so nothing can have happened.
    #[error("`{host}` cannot be reached: {why}")]
    NotSent {
        /// Where it would have gone.
        host: String,
        /// What was in the way.
        why: String,
        /// Whether the server could not show who it is; trying again does not help.
        distrusted: bool,
    },
    /// It may have been received and done; the answer has not come.
    #[error("the answer of `{host}` to {request} was lost: {why}")]
    Lost {
        /// Where it went.
        host: String,
        /// What it was, as `POST /v2/droplets`.
        request: String,
        /// What happened to the answer.
        why: String,
    },
    /// The server is there and will not serve us now, and patience is at its end.
    #[error("`{host}` is {} ({}){}", if *throttled { "asked too often" } else { "busy or broken" }, reply.status(), wait(*after))]
    Busy {
        /// Where it went.
        host: String,
        /// Whether the server surely did nothing, but count.
        throttled: bool,
        /// How long it wants us to wait.
        after: Option<Duration>,
        /// What it said.
        reply: Box<Reply>,
    },
    /// What came back cannot be understood. Whatever was asked for may have been done.
    #[error("the answer of `{host}` (status {status}) cannot be understood: {why}")]
    Malformed {
        /// Who answered.
        host: String,
        /// With which status.
        status: u16,
        /// What is wrong with it.
        why: String,
    },
}

fn wait(after: Option<Duration>) -> String {
    after.map_or_else(String::new, |after| {
        let seconds = Duration::from_secs(after.as_secs());
        format!("; it asks to be left alone for {}", crate::duration::text(seconds))
    })
}

impl HttpError {
    /// Whether the request surely changed nothing.
    #[must_use]
    pub fn without_effect(&self) -> bool {
        match self {
            Self::Unsendable { .. } | Self::Unprepared { .. } | Self::NotSent { .. } => true,
            Self::Busy { throttled, .. } => *throttled,
            Self::Lost { .. } | Self::Malformed { .. } => false,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> String {
        let text = match self {
            Self::Unsendable { .. } => "look at the options and secrets that this is made of",
            Self::Unprepared { .. } => {
                "see that certificate authorities are installed (Debian: `ca-certificates`) and that HTTPS_PROXY is a URL"
            }
            Self::NotSent { distrusted: true, .. } => {
                "see who answers there: a proxy of your network may need its authority installed on this computer"
            }
            Self::NotSent { .. } => "see that this computer can reach it (network, names, HTTPS_PROXY), then try again",
            Self::Busy { throttled: true, .. } => "wait a little, or do less at once, then try again",
            Self::Busy { .. } | Self::Lost { .. } => "try again a little later",
            Self::Malformed { .. } => "see that the address is that of the service, and nothing between answers for it",
        };
        text.to_owned()
    }
}

/// Name and port of a server, and nothing else of the URL.
pub(super) fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or("nowhere");
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// What an error says in the end; those around it only say that there is one, and may hold the URL.
pub(super) fn innermost(e: &(dyn Error + 'static)) -> String {
    let mut e = e;
    loop {
        // An error of the system may hide another one that its source does not show.
        let inner =
            e.downcast_ref::<io::Error>().and_then(io::Error::get_ref).map(|inner| inner as &(dyn Error + 'static));
        match inner.or_else(|| e.source()) {
            Some(inner) => e = inner,
            None => {
                return e.downcast_ref().map_or_else(|| spoken::spoken(&e.to_string()), spoken::tls);
            }
        }
    }
}

/// Whether TLS itself failed.
pub(super) fn is_tls(e: &(dyn Error + 'static)) -> bool {
    let mut at = Some(e);
    while let Some(e) = at {
        if e.is::<rustls::Error>() {
            return true;
        }
        let inner =
            e.downcast_ref::<io::Error>().and_then(io::Error::get_ref).map(|inner| inner as &(dyn Error + 'static));
        at = inner.or_else(|| e.source());
    }
    false
}
