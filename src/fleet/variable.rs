//! A variable of `engine.env` as it is written: a text, or where a secret one is.

use super::read::TEXT_OR_MAPPING;
use crate::{engine::Variable, secret::Secret};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// The variable.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct RawVariable(pub(super) Variable);

impl<'de> Deserialize<'de> for RawVariable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(TEXT_OR_MAPPING, Reading)
    }
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = RawVariable;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, or a reference to a secret")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RawVariable, E> {
        Ok(RawVariable(text.into()))
    }

    fn visit_map<M: MapAccess<'de>>(self, mut entries: M) -> Result<RawVariable, M::Error> {
        let mut map = Map::new();
        while let Some((key, value)) = entries.next_entry::<String, Value>()? {
            map.insert(key, value);
        }
        let secret = Secret::from_json(&Value::Object(map)).map_err(M::Error::custom)?;
        Ok(RawVariable(secret.into()))
    }
}
