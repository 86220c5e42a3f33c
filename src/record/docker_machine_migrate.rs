//! From any version to version 3, and from where a store was to where it is.

use super::{Object, Place, VERSION, get, object_mut, object_of, put, template, text_of};
use serde_json::Value;

/// Keys that version 0 had at the top and version 3 has in `AuthOptions`, by both names.
const FLAT_AUTH: [(&str, &str); 6] = [
    ("CaCertPath", "CaCertPath"),
    ("PrivateKeyPath", "CaPrivateKeyPath"),
    ("ServerCertPath", "ServerCertPath"),
    ("ServerKeyPath", "ServerKeyPath"),
    ("ClientCertPath", "ClientCertPath"),
    ("ClientKeyPath", "ClientKeyPath"),
];

/// Keys that version 0 had at the top and version 3 has in `SwarmOptions`, by both names.
const FLAT_SWARM: [(&str, &str); 3] =
    [("SwarmHost", "Host"), ("SwarmMaster", "Master"), ("SwarmDiscovery", "Discovery")];

/// The same document at version 3, with paths as they are at `place`.
pub(super) fn to_current(old: Object, version: u64, place: Place<'_>) -> Object {
    let old_root = root_of(&old, version);
    let mut document = template(place);
    for (key, value) in old {
        match (key.as_str(), version) {
            // A copy of the driver that 0.5.0 and 0.5.1 wrote and nothing ever read.
            ("RawDriver", _) | ("StorePath", 0..VERSION) => {}
            (flat, 0) if moved(&FLAT_AUTH, flat).is_some() => {
                let key = moved(&FLAT_AUTH, flat).expect("it was found just now");
                take(object_mut(object_mut(&mut document, "HostOptions"), "AuthOptions"), key, value);
            }
            (flat, 0) if moved(&FLAT_SWARM, flat).is_some() => {
                let key = moved(&FLAT_SWARM, flat).expect("it was found just now");
                take(object_mut(object_mut(&mut document, "HostOptions"), "SwarmOptions"), key, value);
            }
            // Its keys are its own, and in its own order.
            ("Driver", _) if value.is_object() => put(&mut document, "Driver", value),
            (_, VERSION) | ("DriverName" | "HostOptions", _) => merge(&mut document, &key, value),
            ("ConfigVersion" | "Name" | "Driver", _) => {}
            _ => put(&mut document, &key, value),
        }
    }
    if version == 1 {
        let auth = object_mut(object_mut(&mut document, "HostOptions"), "AuthOptions");
        if let Some(path) = auth.shift_remove("PrivateKeyPath") {
            take(auth, "CaPrivateKeyPath", path);
        }
    }
    put(&mut document, "ConfigVersion", Value::from(VERSION));
    put(&mut document, "Name", Value::from(place.name.as_str()));
    let driver = object_mut(&mut document, "Driver");
    if text_of(driver, "MachineName").is_empty() {
        put(driver, "MachineName", Value::from(place.name.as_str()));
    }
    put_if_other(driver, "StorePath", place.root);
    let auth = object_mut(object_mut(&mut document, "HostOptions"), "AuthOptions");
    put_if_other(auth, "StorePath", &place.dir());
    if version < VERSION {
        put(auth, "CertDir", Value::from(format!("{}/certs", place.root)));
        put(auth, "ServerCertPath", Value::from(place.machine("server.pem")));
        put(auth, "ServerKeyPath", Value::from(place.machine("server-key.pem")));
    }
    if let Some(old_root) = old_root.filter(|old| old != place.root) {
        move_root(object_mut(&mut document, "Driver"), &old_root, place.root);
        move_root(object_mut(object_mut(&mut document, "HostOptions"), "AuthOptions"), &old_root, place.root);
    }
    document
}

fn moved(table: &[(&str, &'static str)], key: &str) -> Option<&'static str> {
    table.iter().find(|(old, _)| old.eq_ignore_ascii_case(key)).map(|(_, new)| *new)
}

fn put_if_other(object: &mut Object, key: &str, value: &str) {
    if text_of(object, key) != value {
        put(object, key, Value::from(value));
    }
}

/// Takes over a value, unless it says nothing.
fn take(object: &mut Object, key: &str, value: Value) {
    if !value.is_null() && value.as_str() != Some("") {
        put(object, key, value);
    }
}

/// Lays a value over the template's; objects key by key, so that keys the template lacks survive and keys
/// the old document lacks get a value.
fn merge(into: &mut Object, key: &str, value: Value) {
    match value {
        Value::Object(entries) => {
            let inner = object_mut(into, key);
            for (key, value) in entries {
                merge(inner, &key, value);
            }
        }
        // `HostOptions` or one of its parts is null in files of some forks.
        Value::Null if object_of(into, key).is_some() => {}
        other => put(into, key, other),
    }
}

/// The root of the store as the document has it: of the machine's folder before version 3, of the driver then.
pub(super) fn root_of(document: &Object, version: u64) -> Option<String> {
    let driver = object_of(document, "Driver").map(|d| text_of(d, "StorePath").to_owned());
    if version == VERSION {
        return driver.filter(|root| !root.is_empty() && root != ".");
    }
    let folder = get(document, "StorePath").and_then(Value::as_str).unwrap_or_default();
    let machines = folder.trim_end_matches('/').rsplit_once('/').map_or("", |(up, _)| up);
    let root = machines.strip_suffix("/machines").unwrap_or_default();
    root.starts_with('/').then(|| root.to_owned())
}

/// Points paths into the old store at the new one.
fn move_root(object: &mut Object, old: &str, new: &str) {
    for (_, value) in object.iter_mut() {
        let path = value.as_str().and_then(|path| path.strip_prefix(old));
        let inside =
            path.filter(|rest| rest.starts_with("/machines/") || rest.starts_with("/certs/") || *rest == "/certs");
        if let Some(moved) = inside.map(|rest| format!("{new}{rest}")) {
            *value = Value::from(moved);
        }
    }
}
