//! What a lock is about.

use crate::name::{FleetName, MachineName};
use serde::Serialize;
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// What only one run at a time may work on.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// All machines of a fleet.
    Fleet(FleetName),
    /// One machine that no fleet has.
    Machine(MachineName),
}

impl Subject {
    /// Where its lock lies.
    pub(super) fn folder(&self, root: &Path) -> PathBuf {
        match self {
            Self::Fleet(name) => root.join("fleets").join(name.as_str()),
            Self::Machine(name) => root.join("locks").join(name.as_str()),
        }
    }

    /// What its holder does, for messages.
    #[must_use]
    pub const fn doing(&self) -> &'static str {
        match self {
            Self::Fleet(_) => "is being applied",
            Self::Machine(_) => "is being worked on",
        }
    }

    /// `fleet` or `machine`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Fleet(_) => "fleet",
            Self::Machine(_) => "machine",
        }
    }

    /// How the command that breaks locks is told of it.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Fleet(name) => name.to_string(),
            Self::Machine(name) => format!("--machine {name}"),
        }
    }

    /// The name of the fleet or machine.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Fleet(name) => name.as_str(),
            Self::Machine(name) => name.as_str(),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.kind(), self.name())
    }
}
