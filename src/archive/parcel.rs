//! One machine on its way, and how it comes to lie in a store again.

use crate::{
    driver::{self, Kind},
    engine::spec::TLS_PORT,
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

/// Drivers of docker-machine's that we do not have and whose instances exist only for the computer that made them.
const LOCAL_DRIVERS: [&str; 2] = ["hyperv", "vmwarefusion"];

/// What of a machine's folder travels, beside the key to log in with.
pub const CERTIFICATES: [&str; 5] = ["ca.pem", "cert.pem", "key.pem", "server.pem", "server-key.pem"];
/// The authority's key. It travels only when asked for.
pub const CA_KEY: &str = "ca-key.pem";
/// What a key is called when its own name cannot be.
const KEY_NAME: &str = "id_ssh";

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
    /// Root of the store, absolute.
    pub root: &'a str,
    /// The home directory of whoever exports.
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
        let mut record = self.record.clone();
        // Whose it is there, and what must be there before it, is for the other account to say.
        record.fleet = None;
        record.depends_on = BTreeSet::new();
        // Commands come from a fleet file that people read, never out of an archive.
        record.hooks = HookRecord::default();
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
        record.options = travelling(&record.driver, record.options, key_name.as_deref(), &is_local);
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

/// The options of a driver without paths: a path means a file of the computer it was written on.
fn travelling(driver: &str, options: OptionValues, key: Option<&str>, is_local: &dyn Fn(&str) -> bool) -> OptionValues {
    let table = driver::find(driver).map_or(&[][..], driver::AnyDriver::options);
    let is_path = |key: &str| table.iter().any(|spec| spec.key == key && spec.kind == Kind::Path);
    let kept = options.into_iter().filter_map(|(name, value)| {
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
    let owned = ["record.kdl", "config.json", "config.json.bak"].iter().any(|own| own.eq_ignore_ascii_case(text));
    plain && first && text.len() <= 100 && !owned
}

/// A parcel as it is to lie in a store.
#[derive(Debug)]
pub struct Unpacked {
    /// What to record.
    pub record: MachineRecord,
    /// The config.json it came with; `None`: the one that the store makes will do.
    pub config: Option<ConfigFile>,
    /// Keys and certificates. Secret.
    pub files: BTreeMap<String, Zeroizing<String>>,
    /// The driver it had, if only the account that made it can use that.
    pub was: Option<String>,
}

impl Parcel {
    /// The machine, called `name`, for the store at `root`. `same_store` when it comes back to the store it is from.
    ///
    /// # Errors
    /// When its config.json makes no sense.
    pub fn unpack(self, name: &MachineName, root: &str, same_store: bool) -> Result<Unpacked, ConfigError> {
        let Self { mut record, config, files } = self;
        let place = Place { root, name };
        record.name = name.clone();
        let whole = |file: &str| format!("{root}/machines/{name}/{file}");
        if let Some(ssh) = record.instance.as_mut().and_then(|instance| instance.ssh.as_mut()) {
            ssh.key = ssh.key.as_deref().map(whole);
        }
        if let Some(file) = record.options.get("ssh-key").and_then(Value::as_str).map(whole) {
            record.options.insert("ssh-key".to_owned(), Value::from(file));
        }
        let driver = record.driver.as_str();
        let local = driver::find(driver).map_or(LOCAL_DRIVERS.contains(&driver), driver::AnyDriver::is_local);
        let local = local && !same_store;
        if local {
            let was = std::mem::replace(&mut record.driver, "generic".to_owned());
            record.options = as_generic(&record);
            return Ok(Unpacked { record, config: None, files, was: Some(was) });
        }
        let config = match config {
            Value::Null => None,
            document => Some(ConfigFile::parse(&document.to_string(), place)?),
        };
        Ok(Unpacked { record, config, files, was: None })
    }
}

/// Options with which driver `generic` knows the machine.
fn as_generic(record: &MachineRecord) -> OptionValues {
    let mut options = OptionValues::new();
    if let Some(instance) = &record.instance {
        options.insert("ip".to_owned(), Value::from(instance.address.as_str()));
        if let Some(ssh) = &instance.ssh {
            options.insert("ssh-user".to_owned(), Value::from(ssh.user.as_str()));
            options.insert("ssh-port".to_owned(), Value::from(ssh.port));
            let texts = [("ssh-key", &ssh.key), ("jump", &ssh.jump)];
            options.extend(texts.into_iter().filter_map(|(k, v)| Some((k.to_owned(), Value::from(v.as_deref()?)))));
        }
    }
    let port = record.engine.as_ref().map(|engine| engine.spec.port).filter(|port| *port != 0).unwrap_or(TLS_PORT);
    options.insert("engine-port".to_owned(), Value::from(port));
    options
}
