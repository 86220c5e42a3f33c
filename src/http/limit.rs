//! Keeping to a provider's limits: so many requests in a time, so many at once, for the whole process.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

/// A bucket of tokens that fills with time, and places for requests under way. Clones share both.
#[derive(Clone, Debug)]
pub struct Limiter {
    every: Duration,
    burst: u32,
    next: Arc<Mutex<Next>>,
    places: Arc<Semaphore>,
}

/// When the bucket would be full, and until when no request may be sent.
#[derive(Debug)]
struct Next {
    full: Instant,
    pause: Instant,
}

/// The right to have one request under way, until it is dropped.
#[derive(Debug)]
pub struct Place(#[expect(dead_code, reason = "dropping it is its use")] OwnedSemaphorePermit);

impl Limiter {
    /// One request `every` so often, `burst` of them at once after a rest, `places` under way at any time.
    #[must_use]
    pub fn new(every: Duration, burst: u32, places: usize) -> Self {
        let now = Instant::now();
        let next = Arc::new(Mutex::new(Next { full: now, pause: now }));
        Self { every, burst: burst.max(1), next, places: Arc::new(Semaphore::new(places.max(1))) }
    }

    /// Waits until a request may be sent.
    pub async fn take(&self) -> Place {
        let place = Arc::clone(&self.places).acquire_owned().await.expect("places are never closed");
        // Each takes a time of its own under the lock, so that all who wait are in a row.
        tokio::time::sleep_until(self.reserve()).await;
        while let Some(until) = self.paused() {
            tokio::time::sleep_until(until).await;
        }
        Place(place)
    }

    /// No request is sent for so long: the provider limits us.
    pub fn pause(&self, wait: Duration) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        next.pause = next.pause.max(Instant::now() + wait);
    }

    fn paused(&self) -> Option<Instant> {
        let pause = self.next.lock().unwrap_or_else(PoisonError::into_inner).pause;
        (pause > Instant::now()).then_some(pause)
    }

    fn reserve(&self) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        next.full = next.full.max(now) + self.every;
        // A full bucket holds `burst` requests: so much of what was taken is free at once.
        next.full.checked_sub(self.every * self.burst).map_or(now, |at| at.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn after_a_burst_each_waits_its_turn() {
        let limiter = Limiter::new(Duration::from_secs(1), 3, 100);
        let begun = Instant::now();
        let mut when = Vec::new();
        for _ in 0..5 {
            limiter.take().await;
            when.push(begun.elapsed().as_secs());
        }
        assert_eq!(when, [0, 0, 0, 1, 2]);
        tokio::time::sleep(Duration::from_mins(1)).await;
        let rested = Instant::now();
        for _ in 0..4 {
            limiter.take().await;
        }
        assert_eq!(rested.elapsed().as_secs(), 1, "a rest fills the bucket, and no more than that");
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_are_under_way_than_there_are_places() {
        let limiter = Limiter::new(Duration::ZERO, 1, 2);
        let (_first, second) = (limiter.take().await, limiter.take().await);
        let third = tokio::time::timeout(Duration::from_secs(9), limiter.take()).await;
        assert!(third.is_err(), "both places are taken");
        drop(second);
        limiter.take().await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_told_to_wait_lets_all_wait() {
        let limiter = Limiter::new(Duration::ZERO, 1, 9);
        let begun = Instant::now();
        limiter.pause(Duration::from_secs(30));
        limiter.clone().take().await;
        assert_eq!(begun.elapsed().as_secs(), 30);
    }
}
