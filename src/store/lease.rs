//! Who holds a lock, until when, and who may write: rules without files or clocks.
//!
//! A lease is held by the run that wrote it last, under the guard. It ends in one of three ways: its holder gives it
//! back; its holder's process is gone, which the system of the same computer tells at once; or its heart has not beaten
//! for [`LEASE`]. How long that is, is measured on one clock only, never by comparing those of two computers.
//! A run that takes over raises the token, and from then on the old holder writes nothing: each of its writes looks,
//! under the same guard, whether the lease is still its own.

use super::Holder;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A lease whose holder has shown no life for this long can be taken (pain 11: at most a minute).
pub const LEASE: Duration = Duration::from_mins(1);

/// How often a holder shows life: five may get lost before the lease does.
pub(super) const BEAT: Duration = Duration::from_secs(10);

/// What is written of a lock. A field that is not known may say that it is held, so it is no lease that we can read; what
/// is not known of a holder changes nothing.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lease {
    /// Counts takings: a later holder has a higher one.
    pub(super) token: u64,
    /// `None`: it is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) held: Option<Held>,
}

/// A taking of a lock.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Held {
    /// Distinguishes it from all others, also when a restored backup repeats a token.
    pub(super) id: String,
    /// Computer since its start, and disk: where the system knows whether the holder's process is gone.
    pub(super) place: String,
    /// Who.
    pub(super) holder: Holder,
}

/// What the system says of a holder's process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Process {
    /// It is there: running, or stopped.
    There,
    /// It has ended.
    Gone,
    /// It runs elsewhere, where we cannot look.
    Elsewhere,
}

/// What can be seen of a holder.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Sight {
    pub(super) process: Process,
    /// For how long its heart has not beaten, on one clock.
    pub(super) silent: Duration,
}

/// Whether a lock can be taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// It is free.
    Free,
    /// Its holder is gone.
    Gone,
    /// Its holder has shown no life for too long.
    Expired,
    /// It is held.
    Held,
}

impl Lease {
    /// What is to be thought of a lease, by what can be seen of its holder.
    pub(super) fn judge(&self, sight: Sight, lease: Duration) -> Verdict {
        match sight {
            _ if self.held.is_none() => Verdict::Free,
            Sight { process: Process::Gone, .. } => Verdict::Gone,
            Sight { silent, .. } if silent >= lease => Verdict::Expired,
            _ => Verdict::Held,
        }
    }

    /// The lease after it was taken.
    pub(super) fn taken(&self, held: Held) -> Self {
        Self { token: self.token + 1, held: Some(held) }
    }

    /// The lease after it was given back, or broken.
    pub(super) fn freed(&self) -> Self {
        Self { token: self.token, held: None }
    }

    /// Whether this taking still counts: only then may it write.
    pub(super) fn is_of(&self, id: &str) -> bool {
        self.held.as_ref().is_some_and(|held| held.id == id)
    }
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
