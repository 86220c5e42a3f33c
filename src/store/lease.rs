//! Who holds a lease, until when, and who may write: rules without files or clocks.
//!
//! A lease is held for as long as the store has it. It ends in one of three ways: its holder gives it back; its holder's
//! process is gone, which the system of the same computer tells at once; or its heart has not beaten for [`LEASE`]. How long
//! that is, is measured on one clock only, never by comparing those of two computers. A run that takes over takes the old
//! lease away, under the guard, and from then on the old holder writes nothing: each of its writes looks, under the same
//! guard, whether its lease is still there.

use super::Holder;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A lease whose holder has shown no life for this long can be taken (pain 11: at most a minute).
pub const LEASE: Duration = Duration::from_mins(1);

/// How often a holder shows life: five may get lost before the lease does.
pub(super) const BEAT: Duration = Duration::from_secs(10);

/// A taking of a lease.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Taking {
    /// Distinguishes it from all others, also when a backup was restored.
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

/// Whether a lease that is there can be taken over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// Its holder is gone.
    Gone,
    /// Its holder has shown no life for too long.
    Expired,
    /// It is held.
    Held,
}

/// What is to be thought of a lease, by what can be seen of its holder.
pub(super) fn judge(sight: Sight, lease: Duration) -> Verdict {
    match sight {
        Sight { process: Process::Gone, .. } => Verdict::Gone,
        Sight { silent, .. } if silent >= lease => Verdict::Expired,
        _ => Verdict::Held,
    }
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
