//! One machine on its way, and how it comes to lie in a store again.

use super::{
    ArchiveError,
    taken::{self, Unpacked},
};
use crate::{
    driver::{Drivers, Kind, OptionSpec, Secrecy},
    hook::HookRecord,
    name::MachineName,
    record::{
        MachineRecord, OptionValues,
        docker_machine::{ConfigError, ConfigFile, Place},
    },
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};
use zeroize::Zeroizing;

/// What of a machine's folder travels, beside the key to log in with.
pub const CERTIFICATES: [&str; 5] = ["ca.pem", "cert.pem", "key.pem", "server.pem", "server-key.pem"];
/// The authority's key. It travels only when asked for.
pub const CA_KEY: &str = "ca-key.pem";
/// What a key is called when its own name cannot be.
pub(super) const KEY_NAME: &str = "id_ssh";

/// One machine on its way. Keys in the record are names of files.
#[derive(Debug)]
pub struct Parcel {
    /// What is recorded.
    pub record: MachineRecord,
    /// docker-machine's document; null: none.
    pub config: Value,
    /// Keys and certificates. Secret.
    pub files: BTreeMap<String, Zeroizing<String>>,
}

/// A machine where it is.
pub struct Source<'a> {
    /// What is recorded.
    pub record: &'a MachineRecord,
    /// Its config.json.
    pub config: Option<&'a str>,
    /// What there is to know of its options.
    pub drivers: &'a Drivers,
    /// Root of the store, absolute.
    pub root: &'a str,
    /// The home directory of the user who exports.
    pub home: Option<&'a str>,
    /// Certificates and their keys, by name.
    pub certificates: BTreeMap<String, Zeroizing<String>>,
    /// The key to log in with; `None`: it does not travel.
    pub key: Option<Zeroizing<String>>,
}

/// A parcel, and what was left out of it.
pub struct Packed {
    /// The parcel.
    pub parcel: Parcel,
    /// Names of secrets of its driver that were left out.
    pub secrets: Vec<String>,
}

impl Source<'_> {
    /// Makes the parcel.
    ///
    /// # Errors
    /// When the config.json will not parse.
    pub fn pack(self) -> Result<Packed, ConfigError> {
        let is_local = |text: &str| is_local(text, self.root, self.home);
        let MachineRecord {
            name,
            uid,
            // Whose it is there, and what must be there before it, is for the other account to say.
            fleet: _,
            depends_on: _,
            driver,
            // An export does not tell which account the instance is in, and an import would not believe it.
            place: _,
            options,
            protect,
            instance,
            certificate,
            engine,
            pending,
            // Commands come from a fleet file that people read, never out of an archive.
            hooks: _,
        } = self.record.clone();
        let mut record = MachineRecord {
            name,
            uid,
            fleet: None,
            depends_on: BTreeSet::new(),
            driver,
            place: None,
            options,
            protect,
            instance,
            certificate,
            engine,
            pending,
            hooks: HookRecord::default(),
        };
        let mut files = self.certificates;
        let key_name = match (self.key, self.record.instance.as_ref().and_then(|i| i.ssh.as_ref()?.key.as_deref())) {
            (Some(content), Some(path)) => {
                let name = file_name(path, &files);
                files.insert(name.clone(), content);
                Some(name)
            }
            _ => None,
        };
        if let Some(ssh) = record.instance.as_mut().and_then(|instance| instance.ssh.as_mut()) {
            ssh.key.clone_from(&key_name);
        }
        record.options =
            travelling(self.drivers.options(&record.driver), record.options, key_name.as_deref(), &is_local);
        let (config, secrets) = match self.config {
            None => (Value::Null, Vec::new()),
            Some(text) => {
                let place = Place { root: self.root, name: &self.record.name };
                ConfigFile::parse(text, place)?.portable(&is_local)
            }
        };
        Ok(Packed { parcel: Parcel { record, config, files }, secrets })
    }
}

/// Whether a text is, or leads to, a place of this account.
fn is_local(text: &str, root: &str, home: Option<&str>) -> bool {
    let text = text.strip_prefix("file://").unwrap_or(text);
    let below = |folder: &str| {
        let folder = folder.trim_end_matches('/');
        !folder.is_empty() && text.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    text.starts_with("~/")
        || ["/home", "/root", "/Users"].into_iter().any(below)
        || below(root)
        || home.is_some_and(below)
}

/// The options of a driver without paths, which mean files of the computer they were written on, and without its secrets,
/// which are looked for there.
fn travelling(
    table: &[OptionSpec],
    options: OptionValues,
    key: Option<&str>,
    is_local: &dyn Fn(&str) -> bool,
) -> OptionValues {
    let is_path = |key: &str| table.iter().any(|spec| spec.key == key && spec.kind == Kind::Path);
    let is_secret = |key: &str| table.iter().any(|spec| spec.key == key && spec.secrecy == Secrecy::Secret);
    let kept = options.into_iter().filter(|(name, _)| !is_secret(name)).filter_map(|(name, value)| {
        if is_path(&name) {
            let key = key.filter(|_| name == "ssh-key")?;
            return Some((name, Value::from(key)));
        }
        let local = match &value {
            Value::String(text) => is_local(text),
            Value::Array(items) => items.iter().filter_map(Value::as_str).any(is_local),
            Value::Object(_) => is_local_inside(&value, is_local),
            _ => false,
        };
        (!local).then_some((name, value))
    });
    kept.collect()
}

fn is_local_inside(value: &Value, is_local: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => is_local(text),
        Value::Array(items) => items.iter().any(|item| is_local_inside(item, is_local)),
        Value::Object(entries) => entries.iter().any(|(key, value)| is_local(key) || is_local_inside(value, is_local)),
        _ => false,
    }
}

/// A name for the key in the machine's folder, its own if that will do.
fn file_name(path: &str, taken: &BTreeMap<String, Zeroizing<String>>) -> String {
    let own = Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let certificates = CERTIFICATES.contains(&own) || own == CA_KEY;
    if is_file_name(own) && !certificates && !taken.contains_key(own) { own.to_owned() } else { KEY_NAME.to_owned() }
}

/// Whether a text can be the name of a file of ours, and of none that a store keeps for itself.
pub(super) fn is_file_name(text: &str) -> bool {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    let owned = ["record.json", "record.kdl", "record.kdl.bak", "config.json", "config.json.bak"]
        .iter()
        .any(|own| own.eq_ignore_ascii_case(text));
    plain && first && text.len() <= 100 && !owned
}

impl Parcel {
    /// The machine, called `name`, for the store at `root`: what [`taken`] lets through of it.
    ///
    /// # Errors
    /// When there is something in it that no honest program writes.
    pub fn unpack(self, name: &MachineName, root: &str) -> Result<Unpacked, ArchiveError> {
        let machine = self.record.name.to_string();
        taken::take(self, name, root).map_err(|why| ArchiveError::Refused { machine, why })
    }
}
