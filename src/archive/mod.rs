//! Machines on their way from one account to another: what is recorded of them, their keys and certificates, and no
//! path of the computer they come from.
//!
//! An archive is one JSON text. Whether it is encrypted is not decided here ([`crate::age`]), and nothing here touches
//! a disk or a store: [`parcel`] makes the parts from values, and [`Archive::parse`] believes nothing it reads.

mod check;
pub mod parcel;
mod taken;
mod word;

pub use check::MAX_SIZE;
pub use parcel::{Parcel, Source};
pub use taken::Unpacked;

use crate::record::{
    MachineRecord,
    codec::{self, Beside, CodecError, Document, Unknown},
    kdl,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use thiserror::Error;
use zeroize::Zeroizing;

/// The version this program writes, and the highest it reads. Those before have records in KDL.
const VERSION: u32 = 2;

/// Why a text is no archive that can be used.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// It is something else.
    #[error("this is not an export of machines: {0}")]
    Shape(String),
    /// A newer program wrote it.
    #[error("this export is of version {0}, and this program reads versions up to {VERSION}")]
    Version(u32),
    /// It is far larger than keys and certificates are.
    #[error("this export is larger than {} MiB", MAX_SIZE >> 20)]
    TooLarge,
    /// A record in it will not parse.
    #[error("the record of machine {number} in it will not parse: {source}")]
    Record {
        /// Which, from 1.
        number: usize,
        /// Why.
        #[source]
        source: CodecError,
    },
    /// Something in it that no honest program writes.
    #[error("`{machine}` in this export is refused: {why}")]
    Refused {
        /// The machine.
        machine: String,
        /// What is wrong, as a fragment.
        why: String,
    },
}

impl ArchiveError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Version(_) => Some("use the program that wrote it, or a newer one".to_owned()),
            Self::Shape(_) | Self::TooLarge => {
                Some("give the file that this made:\n  machine export NAME > machine.age".to_owned())
            }
            Self::Record { .. } | Self::Refused { .. } => {
                Some("have it exported again, and nothing in it edited; nothing was imported".to_owned())
            }
        }
    }
}

/// Machines that travel together.
#[derive(Debug)]
pub struct Archive {
    /// The store they come from, as [`crate::store::Store::id`] has it.
    pub store: String,
    /// The machines.
    pub machines: Vec<Parcel>,
}

/// As it is written.
#[derive(Deserialize, Serialize)]
struct Written {
    #[serde(rename = "machine-export")]
    version: u32,
    store: String,
    machines: Vec<WrittenMachine>,
}

#[derive(Deserialize, Serialize)]
struct WrittenMachine {
    /// As in `record.json`; in version 1 the text of a `record.kdl`.
    record: Value,
    /// docker-machine's document.
    #[serde(default)]
    config: Value,
    /// By name.
    files: BTreeMap<String, Zeroizing<String>>,
}

fn as_value(record: &MachineRecord) -> Value {
    let text = codec::encode(record, &Beside::default(), &Unknown::default());
    serde_json::from_str(&text).expect("a record is JSON")
}

impl Archive {
    /// The archive as text.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        let machine = |parcel: &Parcel| WrittenMachine {
            record: as_value(&parcel.record),
            config: parcel.config.clone(),
            files: parcel.files.clone(),
        };
        let written = Written {
            version: VERSION,
            store: self.store.clone(),
            machines: self.machines.iter().map(machine).collect(),
        };
        let mut text = serde_json::to_string_pretty(&written).expect("texts by name are plain data");
        text.push('\n');
        Zeroizing::new(text)
    }

    /// Reads an archive. What of a machine in it can be used is found out by [`Parcel::unpack`].
    ///
    /// # Errors
    /// When it is none, or holds names or sizes that no machine has.
    pub fn parse(bytes: &[u8]) -> Result<Self, ArchiveError> {
        #[derive(Deserialize)]
        struct Head {
            #[serde(rename = "machine-export")]
            version: u32,
        }
        if bytes.len() > MAX_SIZE {
            return Err(ArchiveError::TooLarge);
        }
        let shape = |e: serde_json::Error| {
            // What serde says may quote a value, and values here may be keys.
            ArchiveError::Shape(format!("line {}, column {}", e.line(), e.column()))
        };
        let head: Head = serde_json::from_slice(bytes).map_err(shape)?;
        if head.version == 0 || head.version > VERSION {
            return Err(ArchiveError::Version(head.version));
        }
        let written: Written = serde_json::from_slice(bytes).map_err(shape)?;
        let mut machines = Vec::new();
        for (at, machine) in written.machines.into_iter().enumerate() {
            let WrittenMachine { record, config, files } = machine;
            let decoded = match (&record, written.version) {
                (Value::String(text), 1) => kdl::decode(text),
                (record, _) => codec::decode(&format!("{record:#}")),
            };
            // Which config.json lay beside it, and what a newer program noted, is of the store it comes from.
            let Document { record, beside: _ } =
                decoded.map_err(|source| ArchiveError::Record { number: at + 1, source })?;
            machines.push(Parcel { record, config, files });
        }
        let archive = Self { store: written.store, machines };
        check::archive(&archive)?;
        Ok(archive)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
