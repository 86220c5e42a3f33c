//! Connections with limits of the user's own: a slow network is no reason to fail, and a fast one none to wait.

use super::{Connect, Limits, LineSink, Output, Stream, Target, Transport, TransportError};
use crate::quote::Sh;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::{
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long things may take; what is absent takes as long as it usually may.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Timeouts {
    /// One attempt to connect.
    pub connect: Option<Duration>,
    /// A host that was made or started, until it can be logged in to.
    pub boot: Option<Duration>,
    /// A command that answers at once.
    pub command: Option<Duration>,
    /// An installation, and whatever else changes a host.
    pub install: Option<Duration>,
}

impl Timeouts {
    fn target(&self, target: &Target) -> Target {
        let mut target = target.clone();
        target.connect_timeout = self.connect.unwrap_or(target.connect_timeout);
        // Where one attempt is asked for, one is made.
        if !target.patience.is_zero() {
            target.patience = self.boot.unwrap_or(target.patience);
        }
        target
    }

    fn limits(&self, limits: Limits) -> Limits {
        let given = if limits == Limits::LONG { self.install } else { self.command };
        // Silence may last the same part of the whole as it usually may.
        let part = u32::try_from(limits.total.as_millis() / limits.idle.as_millis().max(1)).unwrap_or(1).max(1);
        given.map_or(limits, |total| Limits { total, idle: total / part })
    }
}

/// Opens connections as another does, within these limits.
pub struct Limited {
    inner: Arc<dyn Connect>,
    timeouts: Timeouts,
}

impl Limited {
    /// The same connections, within `timeouts`.
    #[must_use]
    pub fn new(inner: Arc<dyn Connect>, timeouts: Timeouts) -> Self {
        Self { inner, timeouts }
    }
}

#[async_trait]
impl Connect for Limited {
    async fn connect(&self, target: &Target) -> Result<Arc<dyn Transport>, TransportError> {
        let target = self.timeouts.target(target);
        let begun = Instant::now();
        match self.inner.connect(&target).await {
            Ok(inner) => Ok(Arc::new(Within { inner, timeouts: self.timeouts })),
            // What the last attempt met does not tell that there were many.
            Err(TransportError::Connect { machine, address, why }) if !target.patience.is_zero() => {
                let (tried, limit) = (begun.elapsed().as_secs(), target.patience.as_secs().max(1));
                let why = if tried == 0 { why } else { format!("{why}; tried for {tried} s, limit {limit} s") };
                Err(TransportError::Connect { machine, address, why })
            }
            Err(e) => Err(e),
        }
    }
}

struct Within {
    inner: Arc<dyn Transport>,
    timeouts: Timeouts,
}

#[async_trait]
impl Transport for Within {
    async fn run(
        &self,
        command: &Sh,
        stdin: &[u8],
        limits: Limits,
        lines: LineSink<'_>,
    ) -> Result<Output, TransportError> {
        self.inner.run(command, stdin, self.timeouts.limits(limits), lines).await
    }

    async fn open_unix(&self, path: &str) -> Result<Pin<Box<dyn Stream>>, TransportError> {
        self.inner.open_unix(path).await
    }

    fn host_key(&self) -> String {
        self.inner.host_key()
    }

    fn jump_key(&self) -> Option<String> {
        self.inner.jump_key()
    }

    fn needs_sudo(&self) -> bool {
        self.inner.needs_sudo()
    }

    fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_stays_as_it_is() {
        let none = Timeouts::default();
        assert_eq!((none.limits(Limits::SHORT), none.limits(Limits::LONG)), (Limits::SHORT, Limits::LONG));
        let second = Duration::from_secs(1);
        let some = Timeouts { command: Some(second * 10), install: Some(second * 60), ..none };
        assert_eq!(some.limits(Limits::SHORT), Limits { total: second * 10, idle: second * 5 });
        assert_eq!(some.limits(Limits::LONG), Limits { total: second * 60, idle: second * 10 });
    }
}
