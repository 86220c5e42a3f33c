//! A line of the history. Fields are only ever added; readers pass over what they do not know.

use super::Commit;
use crate::{
    clock::Timestamp,
    name::{FleetName, MachineName},
    plan::Action,
    record::{Part, Uid},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The beginning or the end of a run.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Entry {
    /// A run begins; nothing was touched yet.
    Begin(Begun),
    /// A run has ended.
    End(Ended),
}

/// Who does what, when, and from where.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct Begun {
    /// Tells this run from all others.
    pub run: String,
    /// When it began (RFC 3339, UTC).
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// User and computer, as `anna@build-7`.
    pub who: String,
    /// Process id on that computer.
    pub pid: u32,
    /// The command, as `apply`.
    pub command: String,
    /// Version of `machine`.
    pub version: String,
    /// The fleet whose machines it is about; null when they belong to none.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub fleet: Option<FleetName>,
    /// The fleet file, as it was named on the command line.
    #[serde(default)]
    pub file: Option<String>,
    /// Commit of the fleet file's folder.
    #[serde(default)]
    pub commit: Option<Commit>,
    /// What it was allowed beyond what needs no word, as flags: `--allow-replace`, `--force`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consents: Vec<String>,
    /// What it set out to do.
    pub steps: Vec<Deed>,
}

/// What a run sets out to do to one part of a machine.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct Deed {
    /// The machine.
    #[schemars(with = "String")]
    pub machine: MachineName,
    /// Which instance of that name it was then; null when there was none, or it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub uid: Option<Uid>,
    /// `instance`, `certificate`, `engine`, or `remains` of an earlier machine.
    #[schemars(with = "String")]
    pub part: Part,
    /// `create`, `upgrade` or `rm`.
    #[schemars(with = "String")]
    pub action: Action,
    /// Why, for a person.
    pub reasons: Vec<String>,
}

/// How a run ended.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct Ended {
    /// Which run.
    #[serde(default)]
    pub run: String,
    /// When (RFC 3339, UTC).
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// How.
    pub result: Result,
    /// How it ended for each machine it was about: `converged`, `removed`, `failed`, `skipped`, `not started`, …
    #[schemars(with = "BTreeMap<String, String>")]
    pub hosts: BTreeMap<MachineName, String>,
    /// The signal that ended it before all was done, as `SIGHUP`; null when none did.
    #[serde(default)]
    pub cancelled: Option<String>,
    /// Why steps failed, by `MACHINE/PART`.
    #[serde(default)]
    pub failures: BTreeMap<String, String>,
}

/// What a run amounts to.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Result {
    /// All was done.
    Done,
    /// Some was done, some was not.
    Partial,
    /// Nothing was done of what was to be.
    Failed,
}

impl Entry {
    /// As the file has it, without the end of the line.
    #[must_use]
    pub fn line(&self) -> String {
        serde_json::to_string(self).expect("an entry is plain data")
    }
}
