//! A machine's record as a JSON document, `record.json`.
//!
//! The format only grows: what a later version added is kept ([`Unknown`]) and written back, so that an earlier one does
//! not lose what a later one noted. What an earlier version would misread gets a new number in `record`. All fields are
//! written, those without a value as null, in one order. No secret is ever in it.

use super::{CertificateRecord, EngineRecord, Instance, MachineRecord, OptionValues, Part, Pending, Place, Uid};
use crate::{
    hook::HookRecord,
    name::{FleetName, MachineName},
};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, IgnoredAny, IntoDeserializer as _, MapAccess, Visitor, value::StrDeserializer},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

pub use super::{codec_error::CodecError, unknown::Unknown};

/// The version of the format that this program writes and reads. Those before it were no JSON.
pub const VERSION: u32 = 2;

/// What a record notes about the files that lie beside it, by content.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Beside {
    /// SHA-256 in hex of the config.json we wrote; `None`: we wrote none.
    #[serde(rename = "sha256")]
    pub config: Option<String>,
    /// SHA-256 in hex of the one it replaces, while that write is not known to have ended.
    pub replaces: Option<String>,
    /// SHA-256 in hex of the record.kdl that this record replaces, while that is not known to have ended.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "record-kdl")]
    pub kdl: Option<String>,
}

impl Beside {
    /// Whether a config.json is one that we wrote, or that we were about to replace when we were stopped.
    #[must_use]
    pub fn covers(&self, sha256: &str) -> bool {
        [&self.config, &self.replaces].into_iter().flatten().any(|digest| digest == sha256)
    }

    /// Whether nothing is noted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// All of a record that this program understands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Document {
    /// The record.
    pub record: MachineRecord,
    /// What lies beside it.
    pub beside: Beside,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Written<'a> {
    record: u32,
    name: &'a MachineName,
    uid: &'a Uid,
    fleet: Option<&'a FleetName>,
    driver: &'a str,
    place: Option<&'a Place>,
    protect: bool,
    depends_on: &'a BTreeSet<MachineName>,
    options: &'a OptionValues,
    pending: &'a BTreeMap<Part, Pending>,
    instance: Option<&'a Instance>,
    certificate: Option<&'a CertificateRecord>,
    engine: Option<&'a EngineRecord>,
    hooks: &'a HookRecord,
    #[serde(skip_serializing_if = "Beside::is_empty")]
    config_json: &'a Beside,
}

#[derive(Deserialize)]
#[serde(expecting = "a record", rename_all = "kebab-case")]
struct Found {
    record: u32,
    name: MachineName,
    uid: Option<Uid>,
    fleet: Option<FleetName>,
    driver: String,
    place: Option<Place>,
    #[serde(default)]
    protect: bool,
    #[serde(default)]
    depends_on: BTreeSet<MachineName>,
    #[serde(default)]
    options: OptionValues,
    #[serde(default, deserialize_with = "known_parts")]
    pending: BTreeMap<Part, Pending>,
    instance: Option<Instance>,
    certificate: Option<CertificateRecord>,
    engine: Option<EngineRecord>,
    #[serde(default)]
    hooks: HookRecord,
    #[serde(default)]
    config_json: Beside,
}

/// The text of a record. `unknown` is what [`Unknown::of`] found in the text that this one replaces.
#[must_use]
pub fn encode(record: &MachineRecord, beside: &Beside, unknown: &Unknown) -> String {
    let written = Written::of(record, beside);
    let text = if unknown.is_empty() {
        serde_json::to_string_pretty(&written)
    } else {
        serde_json::to_value(&written).and_then(|mut value| {
            unknown.lay_over(&mut value);
            serde_json::to_string_pretty(&value)
        })
    };
    text.expect("a record is plain data") + "\n"
}

impl<'a> Written<'a> {
    fn of(record: &'a MachineRecord, beside: &'a Beside) -> Self {
        let MachineRecord {
            name,
            uid,
            fleet,
            driver,
            place,
            options,
            depends_on,
            protect,
            instance,
            certificate,
            engine,
            pending,
            hooks,
        } = record;
        Self {
            record: VERSION,
            name,
            uid,
            fleet: fleet.as_ref(),
            driver,
            place: place.as_ref(),
            protect: *protect,
            depends_on,
            options,
            pending,
            instance: instance.as_ref(),
            certificate: certificate.as_ref(),
            engine: engine.as_ref(),
            hooks,
            config_json: beside,
        }
    }
}

/// Reads the text of a record.
///
/// # Errors
/// Says where and why when it is not one, or is of another format than this program knows.
pub fn decode(text: &str) -> Result<Document, CodecError> {
    let found: Found =
        serde_json::from_str(text).map_err(|e| other_format(text).unwrap_or_else(|| CodecError::of_json(text, &e)))?;
    if found.record != VERSION {
        return Err(wrong_format(text, found.record.into()));
    }
    let Found {
        record: _,
        name,
        uid,
        fleet,
        driver,
        place,
        protect,
        depends_on,
        options,
        pending,
        instance,
        certificate,
        engine,
        hooks,
        config_json: beside,
    } = found;
    let uid = uid.unwrap_or_else(|| Uid::derived(&name, &driver, instance.as_ref()));
    let record = MachineRecord {
        name,
        uid,
        fleet,
        driver,
        place,
        options,
        depends_on,
        protect,
        instance,
        certificate,
        engine,
        pending,
        hooks,
    };
    Ok(Document { record, beside })
}

impl Unknown {
    /// What of a text is not in what [`decode`] made of it.
    #[must_use]
    pub fn of(text: &str, decoded: &Document) -> Self {
        let old: Value = serde_json::from_str(text).unwrap_or_default();
        let known = serde_json::to_value(Written::of(&decoded.record, &decoded.beside)).unwrap_or_default();
        Self::between(&old, &known)
    }
}

/// What is wrong with a text is of no interest if it is of a format that another version knows.
fn other_format(text: &str) -> Option<CodecError> {
    #[derive(Deserialize)]
    struct Head {
        record: u64,
    }
    let Head { record } = serde_json::from_str(text).ok()?;
    (record != u64::from(VERSION)).then(|| wrong_format(text, record))
}

fn wrong_format(text: &str, number: u64) -> CodecError {
    let at = text.find("\"record\"").unwrap_or_default();
    CodecError::at(text, at, format!("the record is of format {number}, and this program reads {VERSION}"))
}

/// Intents of parts. A part that a later version knows is kept as all that is unknown; what is intended of a known one
/// must be known.
fn known_parts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<Part, Pending>, D::Error> {
    struct Parts;

    impl<'de> Visitor<'de> for Parts {
        type Value = BTreeMap<Part, Pending>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("what is pending, by part")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut parts = BTreeMap::new();
            while let Some(word) = map.next_key::<String>()? {
                let known: StrDeserializer<'_, serde::de::value::Error> = word.as_str().into_deserializer();
                let Ok(part) = Part::deserialize(known) else {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                };
                if parts.insert(part, map.next_value()?).is_some() {
                    return Err(A::Error::custom(format!("`{part}` is pending twice")));
                }
            }
            Ok(parts)
        }
    }

    deserializer.deserialize_map(Parts)
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
