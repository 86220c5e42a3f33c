//! Waiting for what a provider does in its own time.

use crate::duration;
use std::{error::Error, fmt, time::Duration};
use thiserror::Error;
use tokio::time::Instant;

/// What one look found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Awaited<T> {
    /// It is there.
    Here(T),
    /// It is not; what is instead, as `the droplet is new`.
    Not(String),
}

/// How often one looks.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The first wait; each is half as long again as the one before it.
    pub first: Duration,
    /// The longest.
    pub most: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), most: Duration::from_secs(10) }
    }
}

/// Why nothing came of waiting.
#[derive(Debug, Error)]
pub enum PollError<E: Error + fmt::Debug> {
    /// It took too long.
    #[error("{what} took longer than {}: {seen}", duration::text(*limit))]
    Late {
        /// What was awaited, as `the start of the droplet`.
        what: String,
        /// How long it might have taken.
        limit: Duration,
        /// What the last look found.
        seen: String,
    },
    /// A look failed.
    #[error(transparent)]
    Look(E),
}

/// How often a person is told that we still wait for the same.
const REMIND: Duration = Duration::from_secs(30);

/// Looks until it is there: at once, then at a slowing pace, for the last time at the end of `limit`.
///
/// # Errors
/// When a look fails, or it is not there in time.
pub async fn poll<T, E: Error, F: Future<Output = Result<Awaited<T>, E>>>(
    what: &str,
    limit: Duration,
    pace: Pace,
    progress: &(dyn Fn(&str) + Send + Sync),
    // No `AsyncFnMut`: of such, a compiler does not see yet whether the whole may go to another thread.
    mut look: impl FnMut() -> F,
) -> Result<T, PollError<E>> {
    let begun = Instant::now();
    let mut wait = pace.first;
    let mut told = (String::new(), begun);
    loop {
        let left = limit.saturating_sub(begun.elapsed());
        let seen = match look().await.map_err(PollError::Look)? {
            Awaited::Here(it) => return Ok(it),
            Awaited::Not(seen) => seen,
        };
        if left.is_zero() {
            return Err(PollError::Late { what: what.to_owned(), limit, seen });
        }
        if told.0 != seen || told.1.elapsed() >= REMIND {
            let elapsed = Duration::from_secs(begun.elapsed().as_secs());
            let times = format!("{} of at most {}", duration::text(elapsed), duration::text(limit));
            progress(&format!("waiting for {what} ({times}): {seen}"));
            told = (seen, Instant::now());
        }
        tokio::time::sleep(wait.min(left)).await;
        wait = wait.mul_f64(1.5).min(pace.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{convert::Infallible, io, sync::Mutex};

    async fn states(states: &[&str], limit: u64) -> (Result<usize, PollError<Infallible>>, u64, Vec<String>) {
        let told = Mutex::new(Vec::new());
        let progress = |text: &str| told.lock().unwrap().push(text.to_owned());
        let begun = Instant::now();
        let mut looks = 0;
        let found = poll("its start", Duration::from_secs(limit), Pace::default(), &progress, || {
            looks += 1;
            let state = states.get(looks - 1).or(states.last()).unwrap();
            let seen = if *state == "up" { Awaited::Here(looks) } else { Awaited::Not(format!("it is {state}")) };
            std::future::ready(Ok(seen))
        });
        let found = found.await;
        (found, begun.elapsed().as_secs(), told.into_inner().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn it_looks_until_it_is_there_and_tells_what_changes() {
        let (found, _, told) = states(&["new", "new", "off", "up"], 60).await;
        assert_eq!(found.unwrap(), 4);
        let want = [
            "waiting for its start (0s of at most 1m): it is new",
            "waiting for its start (2s of at most 1m): it is off",
        ];
        assert_eq!(told, want);
        assert_eq!(states(&["up"], 0).await.0.unwrap(), 1, "what is there needs no time");
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_comes_is_named_with_what_came_instead() {
        let (found, seconds, told) = states(&["new"], 100).await;
        assert_eq!(found.unwrap_err().to_string(), "its start took longer than 1m40s: it is new");
        assert_eq!(seconds, 100, "the last look is at the end");
        assert_eq!(told.len(), 4, "a reminder now and then: {told:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_fails_ends_it() {
        let look = || async { Err::<Awaited<()>, _>(io::Error::other("refused")) };
        let found = poll("its start", Duration::from_secs(9), Pace::default(), &|_| (), look).await;
        assert!(matches!(found, Err(PollError::Look(e)) if e.to_string() == "refused"));
    }
}
