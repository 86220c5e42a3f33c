//! The desired state: from a fleet file as people write it to a [`Fleet`] with nothing left open.
//!
//! ```text
//! text ─parse─▶ RawFleet + spans ─resolve─▶ Fleet
//! ```
//! All problems of a file are reported at once, in file order. It looks at no host and no record.

use crate::{
    engine::EngineSpec,
    name::{FleetName, MachineName},
    record::OptionValues,
};
use std::collections::{BTreeMap, BTreeSet};

/// A checked fleet. After this no `Option` means "default".
#[derive(Clone, Debug, PartialEq)]
pub struct Fleet {
    /// Its name: who owns the machines in the store.
    pub name: FleetName,
    /// Hosts by name; `count: 3` is three of them.
    pub hosts: BTreeMap<MachineName, HostSpec>,
    /// How to apply.
    pub policy: Policy,
}

/// One desired machine.
#[derive(Clone, Debug, PartialEq)]
pub struct HostSpec {
    /// Name of the driver (not of the named configuration).
    pub driver: String,
    /// The driver's options, normalised, complete with defaults.
    pub options: OptionValues,
    /// The engine; `None`: this driver is told a URL and sets nothing up.
    pub engine: Option<EngineSpec>,
    /// Further names for the engine's certificate.
    pub tls_names: BTreeSet<String>,
    /// Hosts that must be complete first.
    pub depends_on: BTreeSet<MachineName>,
    /// Whether removal is refused.
    pub protect: bool,
    /// Whether its failure fails the run.
    pub optional: bool,
}

/// What happens after a failure.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnError {
    /// What depends on it is skipped; the rest goes on.
    #[default]
    StopDependants,
    /// No further step starts.
    FailFast,
    /// Even dependants are tried.
    KeepGoing,
}

/// How a fleet is applied.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Policy {
    /// How many hosts are worked on at once.
    pub parallel: usize,
    /// What happens after a failure.
    pub on_error: OnError,
    /// Whether hosts that left the file are removed without `--prune`.
    pub prune: bool,
    /// More removals than this need `--allow-delete=N`.
    pub max_delete: usize,
    /// Certificates that end within this many days are renewed.
    pub renew_before_days: i64,
}

impl Default for Policy {
    fn default() -> Self {
        Self { parallel: 16, on_error: OnError::default(), prune: false, max_delete: 1, renew_before_days: 30 }
    }
}
