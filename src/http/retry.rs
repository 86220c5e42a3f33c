//! When a request is sent again, and after how long. Pure but for the die.

use super::{HttpError, Reply};
use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

/// What an answer means for sending again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It is the answer, good or bad.
    Final,
    /// Nothing was done but counting us: anything may be sent again later.
    Throttled,
    /// Something is broken there, and what was asked for may have been done.
    Busy,
}

/// The verdict where a provider has no words of its own.
#[must_use]
pub fn usual(reply: &Reply) -> Verdict {
    match reply.status() {
        429 => Verdict::Throttled,
        408 | 500 | 502 | 503 | 504 => Verdict::Busy,
        _ => Verdict::Final,
    }
}

/// How patient we are.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// The first wait; each is twice the one before it, less up to half by chance.
    pub first: Duration,
    /// No wait of our own choice is longer.
    pub most: Duration,
    /// After this nothing is sent again.
    pub within: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { first: Duration::from_millis(500), most: Duration::from_secs(20), within: Duration::from_mins(2) }
    }
}

impl Retry {
    /// Sends nothing again.
    #[must_use]
    pub fn never() -> Self {
        Self { within: Duration::ZERO, ..Self::default() }
    }

    /// The wait after so many tries, with `chance` from 0 to 1.
    pub(super) fn wait(&self, tries: u32, chance: f64) -> Duration {
        let full = self.first.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(self.most);
        full.mul_f64(0.5 + chance / 2.0)
    }
}

/// Whether what ended so may be sent again at all.
pub(super) fn again(outcome: &Result<Reply, HttpError>, verdict: Verdict, repeatable: bool) -> bool {
    match outcome {
        Ok(_) => match verdict {
            Verdict::Final => false,
            Verdict::Throttled => true,
            Verdict::Busy => repeatable,
        },
        Err(HttpError::NotSent { distrusted, .. }) => !distrusted,
        Err(HttpError::Lost { .. }) => repeatable,
        Err(_) => false,
    }
}

/// How long the server wants us to wait.
pub(super) fn wanted(reply: &Reply, now: OffsetDateTime) -> Option<Duration> {
    let after = reply.header("retry-after").and_then(|text| moment(text, now));
    // Of the limits' headers only when nothing is left: they are in every answer.
    let spent = || reply.header("ratelimit-remaining").is_none_or(|left| left.trim() == "0");
    after.or_else(|| reply.header("ratelimit-reset").filter(|_| spent()).and_then(|text| moment(text, now)))
}

/// Seconds from now, a date, or seconds since 1970, whichever it is.
fn moment(text: &str, now: OffsetDateTime) -> Option<Duration> {
    let text = text.trim();
    let seconds = match text.parse::<i64>() {
        Ok(large) if large > 1_000_000_000 => large - now.unix_timestamp(),
        Ok(small) => small,
        Err(_) => (OffsetDateTime::parse(text, &Rfc2822).ok()? - now).whole_seconds(),
    };
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// A number from 0 to 1 that cannot be foreseen, so that many who wait do not come back together.
pub(super) fn chance() -> f64 {
    let bits = u32::try_from(RandomState::new().hash_one(0) >> 32).expect("32 bits are left");
    f64::from(bits) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

    fn reply(status: u16, headers: &[(&'static str, &str)]) -> Reply {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect();
        Reply { url: "http://x/".parse().unwrap(), status, headers, body: Vec::new() }
    }

    #[test]
    fn waits_double_up_to_a_limit_and_are_never_less_than_half() {
        let retry = Retry { first: Duration::from_secs(1), most: Duration::from_secs(5), within: Duration::MAX };
        let millis = |tries, chance| retry.wait(tries, chance).as_millis();
        assert_eq!([1, 2, 3, 4, 99].map(|tries| millis(tries, 1.0)), [1000, 2000, 4000, 5000, 5000]);
        assert_eq!([1, 2, 99].map(|tries| millis(tries, 0.0)), [500, 1000, 2500]);
        assert!((0..100).all(|_| (0.0..=1.0).contains(&chance())));
    }

    #[test]
    fn the_server_says_when_in_any_of_three_ways() {
        let now = OffsetDateTime::from_unix_timestamp(1_795_219_200).unwrap();
        for (headers, want) in [
            (vec![("retry-after", "7")], Some(7)),
            (vec![("retry-after", "Sat, 21 Nov 2026 00:00:30 GMT")], Some(30)),
            (vec![("retry-after", "Fri, 20 Nov 2026 00:00:30 GMT")], Some(0)),
            (vec![("ratelimit-reset", "1795219260")], Some(60)),
            (vec![("ratelimit-reset", "1795219260"), ("ratelimit-remaining", "0")], Some(60)),
            (vec![("ratelimit-reset", "1795219260"), ("ratelimit-remaining", "4000")], None),
            (vec![("ratelimit-reset", "5")], Some(5)),
            (vec![("retry-after", "3"), ("ratelimit-reset", "5")], Some(3)),
            (vec![("retry-after", "soon")], None),
            (vec![], None),
        ] {
            assert_eq!(wanted(&reply(429, &headers), now), want.map(Duration::from_secs), "{headers:?}");
        }
    }

    #[test]
    fn only_what_surely_did_nothing_is_always_sent_again() {
        let lost = HttpError::Lost { host: String::new(), request: String::new(), why: String::new() };
        let not = |distrusted| HttpError::NotSent { host: String::new(), why: String::new(), distrusted };
        for (outcome, of_any, of_repeatable) in [
            (Ok(reply(200, &[])), false, false),
            (Ok(reply(422, &[])), false, false),
            (Ok(reply(429, &[])), true, true),
            (Ok(reply(500, &[])), false, true),
            (Ok(reply(503, &[])), false, true),
            (Err(lost), false, true),
            (Err(not(false)), true, true),
            (Err(not(true)), false, false),
        ] {
            let verdict = outcome.as_ref().map_or(Verdict::Final, usual);
            let found = (again(&outcome, verdict, false), again(&outcome, verdict, true));
            assert_eq!(found, (of_any, of_repeatable), "{outcome:?}");
        }
    }
}
