//! Secrets in what is kept of a plan: a password is replaced by what is enough to know it again.

use crate::{digest::sha256_hex_of, engine::env};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Key of the object that stands where a secret stood.
const SEALED: &str = "sealed-by-machine";

/// Replaces secrets by digests. They are keyed with the store's id, which no plan holds: a password that is easy
/// to guess cannot be guessed from the plan alone.
#[derive(Clone, Debug)]
pub struct Seal(String);

impl Seal {
    /// With the id of the store.
    #[must_use]
    pub fn new(store_id: &str) -> Self {
        Self(store_id.to_owned())
    }

    /// What a text is known by.
    fn token(&self, text: &str) -> String {
        sha256_hex_of(&[self.0.as_bytes(), b"\0", text.as_bytes()])
    }

    /// Tells stores apart without naming one.
    #[must_use]
    pub fn store(&self) -> String {
        self.token("the store itself")[..16].to_owned()
    }

    /// A text as a plan may hold it, for comparing: a secret is masked, and told from others.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        let shown = env::shown(text);
        if shown == text { shown } else { format!("{shown} ({})", &self.token(text)[..12]) }
    }

    /// A value with an object in the place of each secret.
    #[must_use]
    pub fn value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => {
                let shown = env::shown(text);
                if shown == *text { value.clone() } else { json!({ SEALED: self.token(text), "shown": shown }) }
            }
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), self.value(v))).collect::<Map<_, _>>().into(),
            other => other.clone(),
        }
    }

    /// What every text that is a secret would be sealed as, in a value where they are open.
    pub fn learn(&self, value: &Value, known: &mut BTreeMap<String, String>) {
        match value {
            Value::String(text) if env::shown(text) != *text => {
                known.insert(self.token(text), text.clone());
            }
            Value::Array(items) => items.iter().for_each(|item| self.learn(item, known)),
            Value::Object(map) => map.values().for_each(|item| self.learn(item, known)),
            _ => {}
        }
    }
}

/// Puts secrets back where they stood. One that is not known is masked, and returned like that.
pub fn open(value: &mut Value, known: &BTreeMap<String, String>) -> Vec<String> {
    let mut missing = Vec::new();
    match value {
        Value::Object(map) if map.contains_key(SEALED) => {
            let token = map[SEALED].as_str().unwrap_or_default();
            let text = known.get(token).cloned().unwrap_or_else(|| {
                let shown = map.get("shown").and_then(Value::as_str).unwrap_or_default().to_owned();
                missing.push(shown.clone());
                shown
            });
            *value = Value::String(text);
        }
        Value::Object(map) => map.values_mut().for_each(|item| missing.extend(open(item, known))),
        Value::Array(items) => items.iter_mut().for_each(|item| missing.extend(open(item, known))),
        _ => {}
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_again_and_cannot_be_read() {
        let seal = Seal::new("store-1");
        let open_value = json!({ "env": { "HTTP_PROXY": "http://u:s3cret@p:1", "B": "plain" }, "l": ["u:s3cret@h"] });
        let mut sealed = seal.value(&open_value);
        assert!(!sealed.to_string().contains("s3cret"), "{sealed}");
        assert!(sealed.to_string().contains("http://u:***@p:1") && sealed["env"]["B"] == "plain");
        assert_ne!(Seal::new("store-2").value(&open_value), sealed, "it is keyed");
        assert_eq!(open(&mut sealed.clone(), &BTreeMap::new()), ["http://u:***@p:1", "u:***@h"]);
        let mut known = BTreeMap::new();
        seal.learn(&open_value, &mut known);
        assert_eq!(open(&mut sealed, &known), Vec::<String>::new());
        assert_eq!(sealed, open_value);
    }

    #[test]
    fn texts_that_look_the_same_are_told_apart() {
        let seal = Seal::new("s");
        let (a, b) = (seal.text("http://u:a@h"), seal.text("http://u:b@h"));
        assert!(a.starts_with("http://u:***@h (") && a != b, "{a} {b}");
        assert_eq!(seal.text("web"), "web");
    }
}
