//! What a failed exchange with a provider means to its driver.

use super::DriverError;
use crate::http::{DownloadError, HttpError, PollError};
use std::error::Error;

impl DriverError {
    /// Of a request that got no answer to work with. `doing` is what it was for, as `creating the droplet`.
    #[must_use]
    pub fn unanswered(doing: &str, e: &HttpError) -> Self {
        let (doing, why, help) = (doing.to_owned(), e.to_string(), e.help());
        match e {
            HttpError::Unprepared { .. } | HttpError::NotSent { .. } => {
                Self::Unprepared { what: format!("{doing}: {why}"), help }
            }
            HttpError::Unsendable { .. } | HttpError::Malformed { .. } => Self::Refused { doing, why, help },
            HttpError::Lost { .. } | HttpError::Busy { .. } => Self::Lost { doing, why },
        }
    }

    /// Of a file that could not be fetched.
    #[must_use]
    pub fn not_fetched(doing: &str, e: &DownloadError) -> Self {
        match e {
            DownloadError::Http(e) => Self::unanswered(doing, e),
            other => Self::Refused { doing: doing.to_owned(), why: other.to_string(), help: other.help() },
        }
    }

    /// Of what did not come about in time; `help` says where a person can look.
    #[must_use]
    pub fn not_in_time<E: Error + Into<Self>>(doing: &str, e: PollError<E>, help: &str) -> Self {
        match e {
            PollError::Look(e) => e.into(),
            late @ PollError::Late { .. } => {
                Self::Refused { doing: doing.to_owned(), why: late.to_string(), help: help.to_owned() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_have_had_an_effect_is_lost() {
        let host = || "api.example.com".to_owned();
        let lost =
            HttpError::Lost { host: host(), request: "POST /v2/droplets".to_owned(), why: "it was cut".to_owned() };
        let not = HttpError::NotSent { host: host(), why: "no route".to_owned(), distrusted: false };
        let of = |e| DriverError::unanswered("creating the droplet", e);
        assert!(of(&lost).is_transient() && !of(&not).is_transient());
        let want = "creating the droplet: the answer of `api.example.com` to POST /v2/droplets was lost: it was cut";
        assert_eq!(of(&lost).to_string(), want);
        assert_eq!(of(&not).to_string(), "creating the droplet: `api.example.com` cannot be reached: no route");
        assert!(of(&not).help().unwrap().contains("HTTPS_PROXY"));
    }
}
