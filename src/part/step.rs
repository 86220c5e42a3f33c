//! What is to be done to a part, and why.

use crate::{
    clock::Timestamp,
    engine::EngineSpec,
    hook::Hook,
    provisioner::Difference,
    record::{Instance, Pending, Tombstone},
    tls::Flawed,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What a step does to its part.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Nothing.
    Keep,
    /// Makes it.
    Create,
    /// Changes it in place.
    Upgrade,
    /// Removes it.
    Rm,
    /// Runs a hook.
    Run,
}

/// Why a step is in the plan. Every step has at least one, [`Action::Keep`] too.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "detail")]
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
    Interrupted(Pending),
    /// It cannot be changed in place.
    NeedsReplacement(Difference),
    /// What it stands on is made anew.
    Rebuilt,
    /// What it stands on was off and is switched on.
    Restarted,
    /// The certificate ends soon, or has.
    Expires(Timestamp),
    /// A file of its TLS on this computer is not as it should be.
    Local(Flawed),
    /// It was asked for by name.
    Asked,
    /// It is in the store and becomes this fleet's.
    Adopted,
    /// It left the file and removal was not asked for.
    NotPruned,
    /// An earlier machine of this name was removed, and it is not confirmed that it is gone.
    Unconfirmed {
        /// What may be there, for a person.
        what: String,
        /// When its removal was tried.
        since: Timestamp,
        /// Why it was not confirmed.
        why: String,
    },
    /// It could not be looked at, so nothing is known of it now.
    NotReached(String),
    /// It goes with what is done to the machine.
    Hook,
    /// It is due since an earlier run, and not known to have ended well.
    HookAgain,
    /// A secret of it is not to be had, so its value could not be compared.
    NotCompared(String),
    /// It cannot be worked on at all: its record will not parse, or it is another fleet's.
    Blocked(String),
}

/// What `apply` does for a step: all it needs but what only exists then (addresses, keys).
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// Nothing at all.
    Nothing,
    /// Nothing can be done; reaching this step fails with the text, so that dependants wait.
    Blocked(String),
    /// Only the record changes: ownership, order, protection, options that need no effect.
    Record,
    /// The record takes over what the driver sees now, such as a new address.
    RecordInstance(Box<Instance>),
    /// The driver makes (or finds) the instance.
    CreateInstance,
    /// The driver changes it in place.
    ChangeInstance {
        /// And switches it on, for it was found off.
        start: bool,
    },
    /// The driver switches it on.
    StartInstance,
    /// The driver removes it, then the record goes.
    RmInstance,
    /// Drivers look for what these may have left and remove it; what is confirmed to be gone is forgotten.
    Bury(Vec<Tombstone>),
    /// A certificate is issued if needed, and put on the host.
    Certificate {
        /// Names beside the machine's own and its address.
        names: BTreeSet<String>,
        /// Whether a new one is issued, or the one in the store is put back.
        issue: bool,
    },
    /// The provisioner makes the engine as wanted.
    Engine(Box<EngineSpec>),
    /// As [`Work::Engine`], with the newest packages there are.
    NewestEngine(Box<EngineSpec>),
    /// A command of the user's own.
    Hook(Box<Hook>),
}

/// One step.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Step {
    /// What it does to its part.
    pub action: Action,
    /// Why, the most telling first.
    pub reasons: Vec<Reason>,
    /// How.
    pub work: Work,
}

impl Step {
    /// One that does nothing.
    #[must_use]
    pub fn keep(reason: Reason) -> Self {
        Self { action: Action::Keep, reasons: vec![reason], work: Work::Nothing }
    }
}
