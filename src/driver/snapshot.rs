//! How a machine was at a moment, kept beside it by drivers that can.

use crate::clock::Timestamp;
use serde::Serialize;

/// A machine as it was.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Snapshot {
    /// What its maker called it.
    pub name: String,
    /// When it was made, if the provider tells.
    pub made: Option<Timestamp>,
    /// Whether the machine's memory is in it, so that it goes on where it was; else only its disk.
    pub memory: bool,
}

/// What may be done with snapshots.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SnapshotAction {
    /// Say which there are.
    List,
    /// Make one of this name.
    Create(String),
    /// Make the machine what it was.
    Restore(String),
    /// Forget it.
    Rm(String),
}
