//! What the raw types say about their keys, for help. Built when the first problem needs it.

use super::schema;
use serde_json::Value;
use std::{collections::BTreeMap, sync::LazyLock};

/// Sections as the schema names them, and what their keys are for.
static SECTIONS: LazyLock<BTreeMap<String, BTreeMap<String, String>>> = LazyLock::new(|| {
    let schema = schema::without_drivers();
    let keys = |section: &Value| -> BTreeMap<String, String> {
        let properties = section["properties"].as_object().into_iter().flatten();
        properties
            .filter_map(|(key, value)| {
                Some((key.clone(), lower_first(value["description"].as_str()?.trim_end_matches('.'))))
            })
            .collect()
    };
    let sections = schema["$defs"].as_object().into_iter().flatten();
    let mut all: BTreeMap<_, _> = sections.map(|(name, section)| (name.clone(), keys(section))).collect();
    all.insert(String::new(), keys(&schema));
    all
});

/// What a key is for, as the end of a sentence.
pub(super) fn about(key: &str) -> Option<&'static str> {
    SECTIONS.values().find_map(|keys| keys.get(key)).map(String::as_str)
}

/// Whether `engine` has this key.
pub(super) fn is_of_engine(key: &str) -> bool {
    SECTIONS.get("engine").is_some_and(|keys| keys.contains_key(key))
}

/// Text as the end of a sentence. `SSH` stays as it is.
pub(super) fn lower_first(text: &str) -> String {
    let mut rest = text.chars();
    match rest.next() {
        Some(first) if !rest.as_str().starts_with(char::is_uppercase) => first.to_lowercase().chain(rest).collect(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_with_what_they_are_for() {
        assert_eq!(about("open-firewall").map(|t| t.contains("firewall")), Some(true));
        assert_eq!(about("nothing"), None);
        assert!(is_of_engine("registry-mirrors") && !is_of_engine("count"));
    }

    #[test]
    fn acronyms_keep_their_capitals() {
        assert_eq!(lower_first("TCP port"), "TCP port");
        assert_eq!(lower_first("Label"), "label");
    }
}
