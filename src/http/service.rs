//! One provider: the client, its limits, our patience, and what its answers mean.

use super::{Http, HttpError, Limiter, Reply, Request, Retry, Verdict, error, retry};
use crate::clock::{Clock, SystemClock};
use tokio::time::Instant;

/// What requests to one provider go through. Clones share its limits.
#[derive(Clone, Debug)]
pub struct Service {
    http: Http,
    limiter: Limiter,
    retry: Retry,
    judge: fn(&Reply) -> Verdict,
}

impl Service {
    /// Over the client of this process.
    #[must_use]
    pub fn new(limiter: Limiter) -> Self {
        Self { http: Http::shared(), limiter, retry: Retry::default(), judge: retry::usual }
    }

    /// With another patience.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// With the provider's own words for being asked too often.
    #[must_use]
    pub fn judge(mut self, judge: fn(&Reply) -> Verdict) -> Self {
        self.judge = judge;
        self
    }

    /// Sends a request, again where that can do no harm, and returns the answer, good or bad.
    ///
    /// # Errors
    /// When there is no answer, or the server did not serve us for as long as we are patient.
    pub async fn send(&self, request: &Request) -> Result<Reply, HttpError> {
        self.send_with(|| request.clone()).await
    }

    /// As [`send`](Self::send), for requests that are signed anew each time.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_with(&self, make: impl Fn() -> Request) -> Result<Reply, HttpError> {
        let end = Instant::now() + self.retry.within;
        for tries in 1.. {
            let place = self.limiter.take().await;
            let request = make();
            let outcome = self.http.once(&request).await;
            drop(place);
            let verdict = outcome.as_ref().map_or(Verdict::Final, self.judge);
            let wanted = outcome.as_ref().ok().filter(|_| verdict != Verdict::Final);
            let wanted = wanted.and_then(|reply| retry::wanted(reply, SystemClock.now().to_utc()));
            let wait = self.retry.wait(tries, retry::chance()).max(wanted.unwrap_or_default());
            let in_time = wait < end.saturating_duration_since(Instant::now());
            if !in_time || !retry::again(&outcome, verdict, request.repeatable) {
                return Self::last(&request, outcome, verdict, wanted);
            }
            if verdict == Verdict::Throttled {
                self.limiter.pause(wait);
            }
            tokio::time::sleep(wait).await;
        }
        unreachable!("time ends before numbers do")
    }

    fn last(
        request: &Request,
        outcome: Result<Reply, HttpError>,
        verdict: Verdict,
        after: Option<std::time::Duration>,
    ) -> Result<Reply, HttpError> {
        let reply = outcome?;
        if verdict == Verdict::Final {
            return Ok(reply);
        }
        let host = error::host(request.url());
        Err(HttpError::Busy { host, throttled: verdict == Verdict::Throttled, after, reply: Box::new(reply) })
    }
}
