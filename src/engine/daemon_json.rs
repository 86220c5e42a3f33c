//! Merging what we want into a daemon.json that may hold other people's keys.
//!
//! dockerd refuses keys it does not know, so what is ours is noted beside it, in [`MARKER_PATH`]: the keys, and
//! in lists and objects the entries, that *we* set. Everything else is foreign and stays as it is.

use serde_json::{Map, Value};

/// Where dockerd looks for its configuration.
pub const PATH: &str = "/etc/docker/daemon.json";
/// Where we note what in [`PATH`] is ours.
pub const MARKER_PATH: &str = "/etc/docker/machine.json";

/// Lists whose entries have several owners. Other arrays are values like any other.
const SHARED_LISTS: &[&str] = &["hosts", "labels", "registry-mirrors", "insecure-registries"];

/// Keys that dockerd reads anew on SIGHUP (dockerd's reference, "Configuration reload behavior").
const RELOADED: &[&str] = &[
    "authorization-plugins",
    "debug",
    "default-runtime",
    "features",
    "insecure-registries",
    "labels",
    "live-restore",
    "max-concurrent-downloads",
    "max-concurrent-uploads",
    "max-download-attempts",
    "registry-mirrors",
    "runtimes",
    "shutdown-timeout",
];

/// One key that becomes another value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// The key, of the top level.
    pub key: String,
    /// What it is; `None` when it is absent.
    pub found: Option<Value>,
    /// What it becomes; `None` when it goes.
    pub wanted: Option<Value>,
}

/// What becomes of a daemon.json.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Merge {
    /// The whole file.
    pub text: String,
    /// What of it is ours: the content of [`MARKER_PATH`].
    pub marker: String,
    /// What changes; empty when the file is as wanted.
    pub changes: Vec<Change>,
}

impl Merge {
    /// Whether a running dockerd takes all changes on SIGHUP. A key that *goes* is not noticed there.
    #[must_use]
    pub fn reloadable(&self) -> bool {
        self.changes.iter().all(|c| c.wanted.is_some() && RELOADED.contains(&c.key.as_str()))
    }
}

/// Reads a daemon.json; an absent or empty one holds nothing.
///
/// # Errors
/// Says where it is not a JSON object; such a file must never be overwritten.
pub fn read(text: Option<&str>) -> Result<Map<String, Value>, String> {
    let text = text.unwrap_or_default();
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_str(text).map_err(|e| format!("{PATH} is not a JSON object: {e}"))
}

/// Sets `want` in `current` and removes what `marker` says we once set and want no longer.
///
/// A key that already had its value stays its owner's. Objects are merged, shared lists united.
///
/// # Errors
/// As [`read`].
pub fn merge(current: Option<&str>, marker: Option<&str>, want: &Map<String, Value>) -> Result<Merge, String> {
    let before = read(current)?;
    // A marker that cannot be read owns nothing: the worst that follows is a key that stays.
    let ours: Map<String, Value> = marker.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let mut after = before.clone();
    prune(&mut after, &ours, want, Level::Top);
    let owned = set(&mut after, &ours, want, Level::Top);
    Ok(Merge { text: pretty(&after), marker: pretty(&owned), changes: changes(&before, &after) })
}

/// The keys of the top level in which two files differ, in the order of the files.
#[must_use]
pub fn changes(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<Change> {
    let keys = before.keys().chain(after.keys().filter(|key| !before.contains_key(*key)));
    keys.filter(|key| before.get(*key) != after.get(*key))
        .map(|key| Change { key: key.clone(), found: before.get(key).cloned(), wanted: after.get(key).cloned() })
        .collect()
}

/// Sets one key of the top level and leaves everything else, ours or not, as it is.
///
/// # Errors
/// As [`read`].
pub fn add(current: Option<&str>, marker: Option<&str>, key: &str, value: Value) -> Result<Merge, String> {
    let mut map = read(current)?;
    let mut ours = read(marker).unwrap_or_default();
    let found = map.insert(key.to_owned(), value.clone());
    ours.insert(key.to_owned(), value.clone());
    let changes = vec![Change { key: key.to_owned(), found, wanted: Some(value) }];
    Ok(Merge { text: pretty(&map), marker: pretty(&ours), changes })
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Level {
    Top,
    Nested,
}

fn shared(level: Level, key: &str) -> bool {
    level == Level::Top && SHARED_LISTS.contains(&key)
}

fn prune(now: &mut Map<String, Value>, ours: &Map<String, Value>, want: &Map<String, Value>, level: Level) {
    for (key, was) in ours {
        let wanted = want.get(key);
        let gone = match (now.get_mut(key), was, wanted) {
            (Some(Value::Object(now)), Value::Object(was), wanted) => {
                let none = Map::new();
                prune(now, was, wanted.and_then(Value::as_object).unwrap_or(&none), Level::Nested);
                wanted.is_none() && now.is_empty()
            }
            (Some(Value::Array(now)), Value::Array(was), wanted) if shared(level, key) => {
                let stays = |entry: &Value| wanted.and_then(Value::as_array).is_some_and(|w| w.contains(entry));
                now.retain(|entry| !was.contains(entry) || stays(entry));
                // An empty list says the same as none, and unlike none dockerd takes it on SIGHUP.
                key == "hosts" && wanted.is_none() && now.is_empty()
            }
            // It was changed after us, so it is not ours any more.
            (Some(now), was, None) => now == was,
            _ => false,
        };
        if gone {
            now.shift_remove(key);
        }
    }
}

/// Returns what of `want` is ours.
fn set(
    now: &mut Map<String, Value>,
    ours: &Map<String, Value>,
    want: &Map<String, Value>,
    level: Level,
) -> Map<String, Value> {
    let mut owned = Map::new();
    for (key, wanted) in want {
        let was = ours.get(key);
        let mine = match (now.get_mut(key), wanted) {
            (Some(Value::Object(now)), Value::Object(wanted)) => {
                let none = Map::new();
                let mine = set(now, was.and_then(Value::as_object).unwrap_or(&none), wanted, Level::Nested);
                (!mine.is_empty()).then_some(Value::Object(mine))
            }
            (Some(Value::Array(now)), Value::Array(wanted)) if shared(level, key) => {
                let mine = unite(key, now, was, wanted);
                (!mine.is_empty()).then_some(Value::Array(mine))
            }
            (Some(now), wanted) if now == wanted => was.is_some().then(|| wanted.clone()),
            _ => {
                now.insert(key.clone(), wanted.clone());
                Some(wanted.clone())
            }
        };
        if let Some(mine) = mine {
            owned.insert(key.clone(), mine);
        }
    }
    owned
}

fn unite(key: &str, now: &mut Vec<Value>, was: Option<&Value>, wanted: &[Value]) -> Vec<Value> {
    let was_ours = |entry: &Value| was.and_then(Value::as_array).is_some_and(|was| was.contains(entry));
    if key == "labels" {
        // dockerd refuses two labels of one name with different values.
        let name = |entry: &Value| entry.as_str().map(|e| e.split_once('=').map_or(e, |(name, _)| name).to_owned());
        now.retain(|entry| wanted.contains(entry) || !wanted.iter().any(|w| name(w) == name(entry)));
    }
    let mut mine = Vec::new();
    for entry in wanted {
        let there = now.contains(entry);
        if !there {
            now.push(entry.clone());
        }
        if !there || was_ours(entry) {
            mine.push(entry.clone());
        }
    }
    mine
}

fn pretty(map: &Map<String, Value>) -> String {
    serde_json::to_string_pretty(map).expect("a map of JSON values is JSON") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::properties;
    use proptest::prelude::*;
    use serde_json::json;

    fn map(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[track_caller]
    fn case(current: &Value, ours: &Value, want: &Value, becomes: &Value, owned: &Value) -> Merge {
        let m = merge(Some(&current.to_string()), Some(&ours.to_string()), &map(want)).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&m.text).unwrap(), *becomes);
        assert_eq!(serde_json::from_str::<Value>(&m.marker).unwrap(), *owned);
        m
    }

    /// Pain 18: existing keys are preserved.
    #[test]
    fn other_peoples_keys_stay_and_in_their_order() {
        let m = case(
            &json!({"zeta": 1, "labels": ["a=b"], "alpha": {"x": 1}}),
            &json!({}),
            &json!({"labels": ["tier=web"], "live-restore": true}),
            &json!({"zeta": 1, "labels": ["a=b", "tier=web"], "alpha": {"x": 1}, "live-restore": true}),
            &json!({"labels": ["tier=web"], "live-restore": true}),
        );
        assert!(m.text.find("zeta") < m.text.find("labels") && m.text.find("labels") < m.text.find("alpha"));
        assert!(m.reloadable());
    }

    #[test]
    fn what_was_ours_goes_when_it_is_wanted_no_longer() {
        let m = case(
            &json!({"debug": true, "labels": ["a=b", "tier=web"], "mtu": 1400}),
            &json!({"debug": true, "labels": ["tier=web"]}),
            &json!({}),
            &json!({"labels": ["a=b"], "mtu": 1400}),
            &json!({}),
        );
        assert!(!m.reloadable(), "dockerd does not notice on SIGHUP that `debug` is gone");
    }

    #[test]
    fn what_somebody_changed_after_us_is_theirs() {
        case(&json!({"mtu": 9000}), &json!({"mtu": 1400}), &json!({}), &json!({"mtu": 9000}), &json!({}));
    }

    #[test]
    fn what_was_already_right_does_not_become_ours() {
        let live = json!({"live-restore": true});
        let m = case(&live, &json!({}), &live, &live, &json!({}));
        assert!(m.changes.is_empty());
    }

    #[test]
    fn a_label_of_the_same_name_is_replaced() {
        case(
            &json!({"labels": ["tier=db", "x=y"]}),
            &json!({}),
            &json!({"labels": ["tier=web"]}),
            &json!({"labels": ["x=y", "tier=web"]}),
            &json!({"labels": ["tier=web"]}),
        );
    }

    #[test]
    fn objects_are_merged() {
        let m = case(
            &json!({"log-opts": {"max-file": "3"}}),
            &json!({}),
            &json!({"log-opts": {"max-size": "10m"}}),
            &json!({"log-opts": {"max-file": "3", "max-size": "10m"}}),
            &json!({"log-opts": {"max-size": "10m"}}),
        );
        let back = merge(Some(&m.text), Some(&m.marker), &Map::new()).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&back.text).unwrap(), json!({"log-opts": {"max-file": "3"}}));
        assert!(!m.reloadable());
    }

    #[test]
    fn a_file_that_is_not_json_is_an_error_that_names_it() {
        for bad in ["{", "[]", "{\"a\": 1,}", "null"] {
            let why = merge(Some(bad), None, &Map::new()).unwrap_err();
            assert!(why.starts_with("/etc/docker/daemon.json is not a JSON object: "), "{why}");
        }
        assert!(merge(Some(" \n"), None, &Map::new()).is_ok());
    }

    fn json_map() -> impl Strategy<Value = Map<String, Value>> {
        let key = prop_oneof![Just("labels"), Just("debug"), Just("log-opts"), Just("mtu"), Just("hosts")];
        let entry = prop_oneof![Just(json!("a=1")), Just(json!("a=2")), Just(json!("b=1"))];
        let value = prop_oneof![
            any::<bool>().prop_map(Value::from),
            proptest::collection::vec(entry, 0..3).prop_map(|mut list| {
                list.dedup_by_key(|v| v.as_str().map(|s| s[..1].to_owned()));
                Value::Array(list)
            }),
            proptest::collection::btree_map("[a-c]", any::<bool>(), 0..3).prop_map(|m| json!(m)),
        ];
        proptest::collection::btree_map(key, value, 0..4)
            .prop_map(|m| m.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
    }

    proptest! {
        #![proptest_config(properties(256))]

        #[test]
        fn merging_twice_changes_nothing(found in json_map(), first in json_map(), want in json_map()) {
            let found = pretty(&found);
            let a = merge(Some(&found), None, &first).unwrap();
            let b = merge(Some(&a.text), Some(&a.marker), &want).unwrap();
            let c = merge(Some(&b.text), Some(&b.marker), &want).unwrap();
            prop_assert_eq!(&c.changes, &[]);
            prop_assert_eq!(c.text, b.text);
        }

        #[test]
        fn keys_that_are_not_wanted_stay_as_they_were(found in json_map(), want in json_map()) {
            let m = merge(Some(&pretty(&found)), None, &want).unwrap();
            let after = read(Some(&m.text)).unwrap();
            for (key, value) in found.iter().filter(|(key, _)| !want.contains_key(*key)) {
                prop_assert_eq!(after.get(key), Some(value));
            }
            for change in &m.changes {
                prop_assert!(want.contains_key(&change.key));
            }
        }

        #[test]
        fn nothing_of_ours_is_left_when_nothing_is_wanted(want in json_map()) {
            let m = merge(None, None, &want).unwrap();
            let back = merge(Some(&m.text), Some(&m.marker), &Map::new()).unwrap();
            let left = read(Some(&back.text)).unwrap();
            for (key, value) in left {
                prop_assert!(value == json!([]) && SHARED_LISTS.contains(&key.as_str()), "{key}: {value}");
            }
        }
    }
}
