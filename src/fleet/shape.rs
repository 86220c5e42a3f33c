//! What a fleet wants where, as far as a form of writing cannot tell: a list of one, or a text.
//! From the schema, so that no key must be named here.

use super::{
    node::{Node, Value},
    schema,
};
use serde_json::Value as Json;
use std::sync::LazyLock;

static SCHEMA: LazyLock<Json> = LazyLock::new(schema::without_drivers);

/// What may stand at one place of a fleet; `None`: anything.
#[derive(Clone, Copy)]
pub(super) struct Shape(Option<&'static Json>);

impl Shape {
    /// The whole file.
    pub(super) fn fleet() -> Self {
        Self(Some(&SCHEMA))
    }

    /// What stands below a key.
    pub(super) fn key(self, key: &str) -> Self {
        let Some(schema) = self.0 else { return self };
        let named = schema.get("properties").and_then(|p| p.get(key));
        Self(named.or_else(|| schema.get("additionalProperties").filter(|more| more.is_object())).and_then(followed))
    }

    /// What an item of a list is.
    pub(super) fn item(self) -> Self {
        Self(self.0.and_then(|schema| schema.get("items")).and_then(followed))
    }

    /// Whether only a list can stand here.
    pub(super) fn is_list(self) -> bool {
        let types = self.0.and_then(|schema| schema.get("type"));
        match types {
            Some(Json::String(one)) => one == "array",
            Some(Json::Array(any)) => {
                any.iter().any(|t| t == "array") && any.iter().all(|t| t == "array" || t == "null")
            }
            _ => false,
        }
    }

    /// Makes a list of a single value where only a list can stand.
    pub(super) fn complete(self, node: &mut Node) {
        if self.0.is_none() {
            return;
        }
        if self.is_list() && matches!(node.value, Value::Scalar(_)) && !node.is_null() && !node.is_unknown() {
            let item = Node { at: node.at, value: node.value.clone() };
            node.value = Value::List(vec![item]);
        }
        match &mut node.value {
            Value::Scalar(_) => {}
            Value::List(items) => items.iter_mut().for_each(|item| self.item().complete(item)),
            Value::Map(entries) => entries.iter_mut().for_each(|e| self.key(&e.key).complete(&mut e.node)),
        }
    }
}

/// The schema that a reference, or a choice with nothing, stands for.
fn followed(schema: &'static Json) -> Option<&'static Json> {
    if let Some(reference) = schema.get("$ref").and_then(Json::as_str) {
        return SCHEMA.get("$defs")?.get(reference.strip_prefix("#/$defs/")?);
    }
    let choices = ["anyOf", "oneOf"].iter().find_map(|key| schema.get(key)?.as_array());
    match choices {
        Some(choices) => choices.iter().find(|c| c.get("$ref").is_some()).and_then(followed),
        None => Some(schema),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_known_by_the_schema() {
        let host = Shape::fleet().key("hosts").key("web");
        assert!(host.key("depends_on").is_list());
        assert!(host.key("tls-names").is_list());
        assert!(host.key("engine").key("registry-mirrors").is_list());
        assert!(Shape::fleet().key("defaults").key("tls-names").is_list());
        assert!(!host.key("driver").is_list());
        assert!(!host.key("engine").key("daemon").key("dns").is_list(), "daemon.json has its own rules");
        assert!(!host.key("memory").is_list());
    }
}
