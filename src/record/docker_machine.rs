//! docker-machine's `config.json`, schema versions 0 to 3 (docker-machine 0.1 to 0.16 and its forks).
//!
//! The document is kept whole: what we do not manage survives a rewrite, as docker-machine's own keys of
//! its drivers do. Old versions are brought to version 3 in memory; paths into the store are set from
//! where the file *is*, since docker-machine's migration gets some of them wrong and a store may have
//! been moved or copied (pain 3).
//!
//! For a driver that docker-machine does not have, we write its driver `generic`, with the same address,
//! SSH key and engine port: docker-machine could not load an unknown driver at all, whereas with `generic`
//! its `ls`, `env`, `ssh`, `ip` and `config` work. Which driver it really is, is in our own record.

use super::{EngineRecord, Instance, MachineRecord, OptionValues, SshEndpoint, Uid};
use crate::{
    engine::{EngineSpec, Source, spec::TLS_PORT},
    name::MachineName,
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use thiserror::Error;

#[path = "docker_machine_auth.rs"]
mod auth;
#[path = "docker_machine_engine.rs"]
mod engine;
#[path = "docker_machine_migrate.rs"]
mod migrate;
#[path = "docker_machine_portable.rs"]
mod portable;
#[path = "docker_machine_swarm.rs"]
mod swarm;
#[path = "docker_machine_template.rs"]
mod template;

pub use swarm::SwarmOptions;
pub(crate) use template::completed;
use template::template;

pub use engine::{DEFAULT_INSTALL_URL, EngineOptions};

type Object = Map<String, Value>;

/// The schema version of docker-machine 0.5 to 0.16.
pub const VERSION: u64 = 3;

/// Drivers that docker-machine 0.16 has in itself.
const BUNDLED: [&str; 15] = [
    "amazonec2",
    "azure",
    "digitalocean",
    "exoscale",
    "generic",
    "google",
    "hyperv",
    "none",
    "openstack",
    "rackspace",
    "softlayer",
    "virtualbox",
    "vmwarefusion",
    "vmwarevcloudair",
    "vmwarevsphere",
];

/// Keys of every driver's object, in docker-machine's order (`drivers/base.go`).
const BASE: [&str; 9] = [
    "IPAddress",
    "MachineName",
    "SSHUser",
    "SSHPort",
    "SSHKeyPath",
    "StorePath",
    "SwarmMaster",
    "SwarmHost",
    "SwarmDiscovery",
];

/// Why a config.json cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// It is not JSON.
    #[error("line {}, column {}: this is not JSON", .0.line(), .0.column())]
    Json(serde_json::Error),
    /// It is JSON of another shape.
    #[error("{0}")]
    Shape(String),
    /// A newer docker-machine wrote it.
    #[error("config version is from the future -- you should upgrade your Docker Machine client")]
    Future,
}

/// Where a config.json lies: everything it says about paths follows from that.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The root of the store, absolute.
    pub root: &'a str,
    /// The machine: the folder's name, whatever the document says.
    pub name: &'a MachineName,
}

impl Place<'_> {
    fn machine(self, file: &str) -> String {
        format!("{}/machines/{}/{file}", self.root, self.name)
    }

    fn dir(self) -> String {
        format!("{}/machines/{}", self.root, self.name)
    }

    fn certs(self, file: &str) -> String {
        format!("{}/certs/{file}", self.root)
    }
}

/// A config.json, at version 3, with correct paths.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigFile {
    document: Object,
    found: u64,
    /// The root of the store as the text has it, where that is another one.
    moved_from: Option<String>,
}

impl ConfigFile {
    /// Reads and, in memory, migrates a document.
    ///
    /// # Errors
    /// When it is not JSON, not an object, or of a version after 3.
    pub fn parse(text: &str, place: Place<'_>) -> Result<Self, ConfigError> {
        let document: Value = serde_json::from_str(text).map_err(ConfigError::Json)?;
        let Value::Object(document) = document else {
            return Err(ConfigError::Shape("the document is not an object".to_owned()));
        };
        let found = match get(&document, "ConfigVersion") {
            None | Some(Value::Null) => 0,
            Some(version) => version
                .as_u64()
                .ok_or_else(|| ConfigError::Shape("`ConfigVersion` is not a whole number".to_owned()))?,
        };
        if found > VERSION {
            return Err(ConfigError::Future);
        }
        if text_of(&document, "DriverName").is_empty() {
            return Err(ConfigError::Shape("`DriverName` is missing".to_owned()));
        }
        let moved_from = migrate::root_of(&document, found).filter(|root| root != place.root);
        Ok(Self { document: migrate::to_current(document, found, place), found, moved_from })
    }

    /// A document of a machine that docker-machine has not seen.
    #[must_use]
    pub fn new(place: Place<'_>) -> Self {
        Self { document: template(place), found: VERSION, moved_from: None }
    }

    /// The version it had when it was read.
    #[must_use]
    pub fn version_found(&self) -> u64 {
        self.found
    }

    /// The root of the store when it was written, if the store has been moved or copied since.
    #[must_use]
    pub fn moved_from(&self) -> Option<&str> {
        self.moved_from.as_deref()
    }

    /// The driver docker-machine uses for it.
    #[must_use]
    pub fn driver_name(&self) -> &str {
        text_of(&self.document, "DriverName")
    }

    /// The driver's own object.
    #[must_use]
    pub fn driver(&self) -> &Object {
        static EMPTY: std::sync::LazyLock<Object> = std::sync::LazyLock::new(Object::new);
        object_of(&self.document, "Driver").unwrap_or(&EMPTY)
    }

    /// The text as docker-machine writes it: indented by 4, `<`, `>` and `&` escaped, no newline at the end.
    #[must_use]
    pub fn text(&self) -> String {
        let mut bytes = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
        self.document.serialize(&mut serializer).expect("a JSON document can be written to memory");
        let text = String::from_utf8(bytes).expect("JSON is UTF-8");
        // These occur nowhere but inside texts, so the whole can be replaced (Go: encoding/json, HTMLEscape).
        ['<', '>', '&', '\u{2028}', '\u{2029}']
            .into_iter()
            .fold(text, |text, c| text.replace(c, &format!("\\u{:04x}", u32::from(c))))
    }

    /// Options of a driver we do not have: everything but the common keys and what may be a secret.
    #[must_use]
    pub fn foreign_options(&self) -> OptionValues {
        let keep = |key: &str| !BASE.contains(&key) && !is_secret(key);
        self.driver().iter().filter(|(k, _)| keep(k)).map(|(k, v)| (k.clone(), without_secrets(v))).collect()
    }

    /// The machine as docker-machine knows it. `options` are those of its driver.
    #[must_use]
    pub fn to_record(&self, place: Place<'_>, options: OptionValues) -> MachineRecord {
        let mut record = MachineRecord::new(place.name.clone(), None, self.driver_name(), options);
        let driver = self.driver();
        let address = self.address();
        let none = self.driver_name() == "none";
        // Its SSH server is behind a port of this computer, whatever its address.
        let forwarded = self.driver_name() == "virtualbox";
        let ssh = (forwarded || !none && !address.is_empty()).then(|| SshEndpoint {
            host: if forwarded { "127.0.0.1".to_owned() } else { address.clone() },
            port: self.ssh_port().unwrap_or(22),
            user: self.ssh_user().unwrap_or(if forwarded { "docker" } else { "root" }).to_owned(),
            // Of all drivers only `generic` means "no key" by an empty path: the agent's are used then.
            key: match self.ssh_key() {
                Some(key) => Some(key.to_owned()),
                None if self.driver_name() == "generic" => None,
                None => Some(place.machine("id_rsa")),
            },
            passphrase: None,
            jump: None,
        });
        record.instance = Some(Instance {
            id: instance_id(driver).unwrap_or_else(|| place.name.to_string()),
            address,
            ssh,
            url: none.then(|| text_of(driver, "URL").to_owned()).filter(|url| !url.is_empty()),
            host_keys: Vec::new(),
            jump_keys: Vec::new(),
        });
        record.engine = Some(EngineRecord {
            spec: self.engine_spec(),
            version: String::new(),
            provisioner: String::new(),
            os: String::new(),
        });
        record.uid = Uid::derived(place.name, &record.driver, record.instance.as_ref());
        record
    }

    /// Takes over what docker-machine has changed: where the machine is and how to log in.
    pub fn overlay(&self, record: &mut MachineRecord) {
        let Some(instance) = &mut record.instance else { return };
        let address = self.address();
        if self.driver_name() == "none" {
            let url = text_of(self.driver(), "URL");
            if !url.is_empty() {
                instance.url = Some(url.to_owned());
            }
        }
        if let Some(ssh) = &mut instance.ssh {
            if !address.is_empty() && ssh.host == instance.address {
                ssh.host.clone_from(&address);
            }
            ssh.port = self.ssh_port().unwrap_or(ssh.port);
            if let Some(user) = self.ssh_user() {
                user.clone_into(&mut ssh.user);
            }
            if let Some(key) = self.ssh_key() {
                ssh.key = Some(key.to_owned());
            }
        }
        if !address.is_empty() {
            instance.address = address;
        }
    }

    /// Writes what a record says into the document. `fields` are the driver's options by the names of
    /// config.json. What is as it should be already is left exactly as it is.
    pub fn update(&mut self, place: Place<'_>, record: &MachineRecord, fields: Vec<(String, Value)>) {
        let existing = self.driver_name().to_owned();
        let known = BUNDLED.contains(&record.driver.as_str()) || existing == record.driver;
        let driver_name = if known { record.driver.as_str() } else { "generic" };
        let (old_user, old_port) = (self.ssh_user().map(str::to_owned), self.ssh_port());
        let old_key = self.ssh_key().map(str::to_owned);
        // Drivers take an empty user for root and port 0 for 22; `generic` takes them as they stand.
        let literal = driver_name == "generic";

        put(&mut self.document, "ConfigVersion", Value::from(VERSION));
        put(&mut self.document, "DriverName", Value::from(driver_name));
        put(&mut self.document, "Name", Value::from(record.name.as_str()));

        let driver = object_mut(&mut self.document, "Driver");
        if known {
            for (field, value) in fields {
                // To Go, what is absent is empty.
                let said = get(driver, &field).is_some() || !is_empty(&value);
                if said && (!BASE.contains(&field.as_str()) || record.instance.is_none()) {
                    put(driver, &field, value);
                }
            }
        }
        match &record.instance {
            None => put(driver, "IPAddress", Value::from("")),
            Some(instance) => {
                let url = instance.url.as_deref().unwrap_or_default();
                if driver_name == "none" {
                    put(driver, "URL", Value::from(url));
                }
                // docker-machine's driver `none` keeps the port in the address as well.
                let address = if driver_name == "none" { authority(url) } else { &instance.address };
                put(driver, "IPAddress", Value::from(address));
                if let Some(SshEndpoint { user, port, key, host: _, passphrase: _, jump: _ }) = &instance.ssh {
                    if old_user.as_deref().unwrap_or(if literal { "" } else { "root" }) != user {
                        put(driver, "SSHUser", Value::from(user.as_str()));
                    }
                    if old_port.unwrap_or(if literal { 0 } else { 22 }) != *port {
                        put(driver, "SSHPort", Value::from(*port));
                    }
                    match key {
                        Some(key) if old_key.unwrap_or_else(|| place.machine("id_rsa")) != *key => {
                            put(driver, "SSHKeyPath", Value::from(key.as_str()));
                        }
                        Some(_) => {}
                        None => put(driver, "SSHKeyPath", Value::from("")),
                    }
                }
            }
        }
        if driver_name == "generic" {
            let port = record.engine.as_ref().map(|e| e.spec.port).filter(|port| *port != 0);
            let port = port.map(|port| record.instance.as_ref().map_or(port, |instance| instance.engine_at(port).1));
            if let Some(port) = port {
                put(driver, "EnginePort", Value::from(port));
            } else if get(driver, "EnginePort").is_none() {
                put(driver, "EnginePort", Value::from(TLS_PORT));
            }
            if get(driver, "SSHKey").is_none() {
                put(driver, "SSHKey", Value::from(""));
            }
        }
        if let Some(engine) = &record.engine {
            self.update_engine(&engine.spec, &record.driver);
        }
    }

    fn update_engine(&mut self, spec: &EngineSpec, driver: &str) {
        let providers = [driver, self.driver_name()];
        let mut options = EngineOptions::from_spec(spec, &providers);
        // It was written down; docker-machine adds it again.
        let written = self.engine_options().labels;
        options.labels.extend(written.into_iter().filter(|label| {
            label.strip_prefix("provider=").is_some_and(|name| spec.labels.get("provider").is_some_and(|p| p == name))
        }));
        self.set_engine_options(&options);
    }

    /// What it says of the engine.
    #[must_use]
    pub fn engine_options(&self) -> EngineOptions {
        let options = object_of(&self.document, "HostOptions").and_then(|h| object_of(h, "EngineOptions"));
        options.map(EngineOptions::from_document).unwrap_or_default()
    }

    /// Makes it say this of the engine; what means the same already stays as it is spelled.
    pub fn set_engine_options(&mut self, options: &EngineOptions) {
        options.write(object_mut(object_mut(&mut self.document, "HostOptions"), "EngineOptions"));
    }

    /// Without the port that driver `none` keeps in it.
    fn address(&self) -> String {
        let address = text_of(self.driver(), "IPAddress");
        if self.driver_name() != "none" {
            return address.to_owned();
        }
        let host = match address.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !port.is_empty() => host,
            _ => address,
        };
        host.trim_start_matches('[').trim_end_matches(']').to_owned()
    }

    fn ssh_user(&self) -> Option<&str> {
        Some(text_of(self.driver(), "SSHUser")).filter(|user| !user.is_empty())
    }

    fn ssh_port(&self) -> Option<u16> {
        port_of(self.driver(), "SSHPort")
    }

    fn ssh_key(&self) -> Option<&str> {
        Some(text_of(self.driver(), "SSHKeyPath")).filter(|path| !path.is_empty())
    }

    /// Where packages come from matters only when some are installed, and docker-machine took Docker's own.
    fn engine_spec(&self) -> EngineSpec {
        let driver = self.driver();
        let own_port = port_of(driver, "EnginePort").or_else(|| port_of(driver, "DockerPort"));
        let mut spec = self.engine_options().as_found(own_port.unwrap_or(TLS_PORT), None);
        if spec.source == Source::Distro {
            spec.source = Source::DockerCe;
        }
        spec
    }
}

/// `host:port` of a URL; empty for a word that is none.
pub(crate) fn authority(url: &str) -> &str {
    let Some((_, rest)) = url.split_once("://") else { return "" };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

/// What the provider calls it; the drivers do not agree on a key.
fn instance_id(driver: &Object) -> Option<String> {
    ["InstanceId", "DropletID", "MachineId", "VAppID", "Id"].into_iter().find_map(|key| match get(driver, key) {
        Some(Value::String(id)) if !id.is_empty() => Some(id.clone()),
        Some(Value::Number(id)) if id.as_u64() != Some(0) => Some(id.to_string()),
        _ => None,
    })
}

/// Whether a key of a driver may hold a secret, going by what drivers in use call theirs.
fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace(['_', '-'], "");
    let path = key.ends_with("path") || key.ends_with("file");
    !path
        && ["secret", "password", "token", "apikey", "accesskey", "privatekey", "credential", "userdata", "cloudinit"]
            .iter()
            .any(|word| key.contains(word))
}

fn without_secrets(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            map.iter().filter(|(k, _)| !is_secret(k)).map(|(k, v)| (k.clone(), without_secrets(v))).collect()
        }
        Value::Array(items) => items.iter().map(without_secrets).collect(),
        scalar => scalar.clone(),
    }
}

/// Whether a value is what Go takes an absent one for.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Array(items) => items.is_empty(),
        Value::Bool(true) | Value::Object(_) => false,
    }
}

/// A key as Go finds it: exactly, else in any case.
fn get<'d>(object: &'d Object, key: &str) -> Option<&'d Value> {
    object.get(key).or_else(|| object.iter().find(|(k, _)| k.eq_ignore_ascii_case(key)).map(|(_, v)| v))
}

/// Sets a key where Go would find it.
fn put(object: &mut Object, key: &str, value: Value) {
    if let Some(place) = object.get_mut(key) {
        *place = value;
        return;
    }
    let there = object.keys().find(|k| k.eq_ignore_ascii_case(key)).cloned();
    object.insert(there.unwrap_or_else(|| key.to_owned()), value);
}

fn text_of<'d>(object: &'d Object, key: &str) -> &'d str {
    get(object, key).and_then(Value::as_str).unwrap_or_default()
}

fn object_of<'d>(object: &'d Object, key: &str) -> Option<&'d Object> {
    get(object, key).and_then(Value::as_object)
}

/// A port, unless it is absent or 0.
fn port_of(object: &Object, key: &str) -> Option<u16> {
    get(object, key).and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0)
}

/// A list of texts; `null` and absent are empty.
fn texts_of(object: &Object, key: &str) -> Vec<String> {
    let items = get(object, key).and_then(Value::as_array);
    items.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The object at a key, made if there is none.
fn object_mut<'d>(object: &'d mut Object, key: &str) -> &'d mut Object {
    let there = object.keys().find(|k| k.eq_ignore_ascii_case(key)).cloned();
    let value = object.entry(there.unwrap_or_else(|| key.to_owned())).or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    match value {
        Value::Object(object) => object,
        _ => unreachable!("it was made an object just now"),
    }
}

#[cfg(test)]
#[path = "docker_machine_tests.rs"]
mod tests;
