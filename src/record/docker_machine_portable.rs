//! A config.json that travels: without paths of the computer it is from, and without its driver's secrets.

use super::{ConfigFile, Object, Place, is_secret, object_mut, put};
use serde_json::Value;

/// What says whether a text is a path of the computer it comes from.
pub(super) type IsLocal<'a> = &'a dyn Fn(&str) -> bool;

impl ConfigFile {
    /// The document for another computer, and the names of secrets that were left out.
    #[must_use]
    pub fn portable(&self, is_local: IsLocal<'_>) -> (Value, Vec<String>) {
        let mut document = self.document.clone();
        let mut secrets = Vec::new();
        let driver = object_mut(&mut document, "Driver");
        for key in driver.keys().filter(|key| is_secret(key)).cloned().collect::<Vec<_>>() {
            let value = driver.shift_remove(&key);
            if value.is_some_and(|v| !v.is_null() && v.as_str() != Some("")) {
                secrets.push(key);
            }
        }
        for key in ["StorePath", "SSHKeyPath", "SSHKey"] {
            driver.shift_remove(key);
        }
        let auth = object_mut(object_mut(&mut document, "HostOptions"), "AuthOptions");
        auth.retain(|key, _| key == "ServerCertSANs");
        let mut document = Value::Object(document);
        without_paths(&mut document, is_local);
        (document, secrets)
    }

    /// Points the document to the copies in the machine's folder: the store may have another authority, and one that
    /// did not issue this machine's certificates must not be taken for theirs.
    pub fn own_certificates(&mut self, place: Place<'_>) {
        let auth = object_mut(object_mut(&mut self.document, "HostOptions"), "AuthOptions");
        for (key, file) in [
            ("CaCertPath", "ca.pem"),
            ("CaPrivateKeyPath", "ca-key.pem"),
            ("ClientCertPath", "cert.pem"),
            ("ClientKeyPath", "key.pem"),
        ] {
            put(auth, key, Value::from(place.machine(file)));
        }
    }
}

/// Empties every text that is a path of this computer.
fn without_paths(value: &mut Value, is_local: IsLocal<'_>) {
    match value {
        Value::String(text) if is_local(text) => text.clear(),
        Value::Array(items) => {
            items.retain(|item| !item.as_str().is_some_and(is_local));
            for item in items {
                without_paths(item, is_local);
            }
        }
        Value::Object(entries) => entries_without_paths(entries, is_local),
        _ => {}
    }
}

fn entries_without_paths(entries: &mut Object, is_local: IsLocal<'_>) {
    entries.retain(|key, _| !is_local(key));
    for value in entries.values_mut() {
        without_paths(value, is_local);
    }
}
