//! The difference between what is desired and what is known, as steps.
//!
//! `(Fleet, Snapshot, now) → Plan`. Pure: same input, same bytes. `apply` obeys it and decides nothing.

use crate::{
    engine::EngineSpec,
    graph::Graph,
    name::{FleetName, MachineName},
    provisioner::Difference,
    record::{OptionValues, Part},
};
use std::{collections::BTreeSet, fmt};

/// What a step is about. There is at most one step for each.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct StepId {
    /// The machine.
    pub machine: MachineName,
    /// Its part.
    pub part: Part,
    /// A replacement is a removal, then a creation, of the same part.
    pub rm: bool,
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.machine, self.part, if self.rm { " (rm)" } else { "" })
    }
}

/// What a step does to its part.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Action {
    /// Nothing.
    Keep,
    /// Makes it.
    Create,
    /// Changes it in place.
    Upgrade,
    /// Removes it.
    Rm,
}

/// Why a step is in the plan. Every step has at least one, [`Action::Keep`] too.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reason {
    /// As it should be, as far as is known.
    UpToDate,
    /// Nothing of it is recorded.
    NotRecorded,
    /// It is recorded for this fleet and no longer in its file.
    NotInFleet,
    /// The whole fleet is to be removed.
    Destroyed,
    /// The file says otherwise than the record.
    Changed(Difference),
    /// The world says otherwise than the record.
    Drifted(Difference),
    /// An earlier run began this and is not known to have ended it.
    Interrupted(crate::record::Pending),
    /// It cannot be changed in place.
    NeedsReplacement(Difference),
    /// What it stands on is made anew.
    Rebuilt,
    /// The certificate ends soon, or has.
    Expires(crate::clock::Timestamp),
    /// It is in the store and becomes this fleet's.
    Adopted,
    /// It left the file and removal was not asked for.
    NotPruned,
    /// It could not be looked at, so nothing is known of it now.
    NotReached(String),
}

/// What `apply` does for a step: all it needs but what only exists then (addresses, keys).
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// Nothing at all.
    Nothing,
    /// Only the record changes: ownership, order, protection, options that need no effect.
    Record,
    /// The driver makes (or finds) the instance.
    CreateInstance,
    /// The driver changes it in place.
    ChangeInstance,
    /// The driver switches it on.
    StartInstance,
    /// The driver removes it, then the record goes.
    RmInstance,
    /// A certificate is issued if needed, and put on the host.
    Certificate {
        /// Names beside the machine's own and its address.
        names: BTreeSet<String>,
        /// Whether a new one is issued, or the one in the store is put back.
        issue: bool,
    },
    /// The provisioner makes the engine as wanted.
    Engine(Box<EngineSpec>),
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What it does to its part.
    pub action: Action,
    /// Why, the most telling first.
    pub reasons: Vec<Reason>,
    /// How.
    pub work: Work,
}

/// What a host's record says once its steps are done; carried by the plan so that `apply` needs no fleet.
#[derive(Clone, Debug, PartialEq)]
pub struct HostPlan {
    /// The driver.
    pub driver: String,
    /// Its options.
    pub options: OptionValues,
    /// Hosts that must be complete first.
    pub depends_on: BTreeSet<MachineName>,
    /// Whether removal is refused.
    pub protect: bool,
    /// Whether its failure fails the run.
    pub optional: bool,
}

/// Everything `apply` will do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The fleet whose plan this is.
    pub fleet: FleetName,
    /// Hosts that will be there.
    pub hosts: std::collections::BTreeMap<MachineName, HostPlan>,
    /// What to do, and what each waits for.
    pub steps: Graph<StepId, Step>,
}
