//! What is known about machines that exist.
//!
//! [`codec`] is our own file, [`docker_machine`] is docker-machine's, [`kdl`] is ours of earlier versions. All are pure:
//! text in, text out.

#[cfg(test)]
pub(crate) mod any_record;
pub mod auth;
pub mod codec;
mod codec_error;
pub mod docker_machine;
pub mod folder;
pub mod kdl;
pub mod merge;
mod option_fields;
mod place;
pub mod tombstone;
mod uid;
mod unknown;
mod version;

use crate::{
    clock::Timestamp,
    engine::EngineSpec,
    hook::HookRecord,
    name::{FleetName, MachineName},
    provisioner::Facts,
    secret::Secret,
    tls::Flawed,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

pub use option_fields::OptionFields;
pub use place::{NoPlace, Place};
pub use tombstone::Tombstone;
pub use uid::{NoUid, Uid};
pub use version::Version;

/// Option values of a driver, by the key of its table, complete with defaults.
pub type OptionValues = BTreeMap<String, serde_json::Value>;

/// What a machine is made of, in the order it is made.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// No part of it: what an earlier machine of its name may have left ([`Tombstone`]).
    Remains,
    /// The computer itself, real or virtual.
    Instance,
    /// The TLS identity of its engine.
    Certificate,
    /// dockerd.
    Engine,
}

impl Part {
    /// All parts a machine is made of, in the order they are made.
    pub const ALL: [Self; 3] = [Self::Instance, Self::Certificate, Self::Engine];
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Remains => "remains",
            Self::Instance => "instance",
            Self::Certificate => "certificate",
            Self::Engine => "engine",
        })
    }
}

/// How to log in to a machine.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SshEndpoint {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User name.
    pub user: String,
    /// Path of the private key; `None`: keys of the agent.
    pub key: Option<String>,
    /// Where the passphrase of that key is; `None`: it has none, or the agent holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<Secret>,
    /// Hosts to go through, as `user@host:port,…`.
    pub jump: Option<String>,
}

/// A machine as its driver made or found it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Instance {
    /// The provider's identity for it.
    pub id: String,
    /// The address clients use; empty while it has none.
    pub address: String,
    /// How to log in; `None` when there is no way (driver `none`).
    pub ssh: Option<SshEndpoint>,
    /// Engine URL, for drivers that are told it instead of setting it up (driver `none`), and where clients reach the
    /// engine by another port than the one it has on its host (driver `qemu`).
    pub url: Option<String>,
    /// Public host keys, as `ssh-ed25519 AAAA…`. Empty until first contact when the driver cannot tell.
    pub host_keys: Vec<String>,
    /// Public keys of the jump hosts in their order, pinned at first contact.
    #[serde(default)]
    pub jump_keys: Vec<String>,
}

impl Instance {
    /// The URL of an engine that is none of ours to set up: there is no way to log in to its host.
    #[must_use]
    pub fn told_url(&self) -> Option<&str> {
        self.url.as_deref().filter(|_| self.ssh.is_none())
    }

    /// Where clients reach the engine, which listens on `port` of its host.
    #[must_use]
    pub fn engine_at(&self, port: u16) -> (String, u16) {
        let forwarded = self.url.as_deref().and_then(|url| url.strip_prefix("tcp://")?.rsplit_once(':'));
        match forwarded.and_then(|(host, port)| Some((host.trim_matches(['[', ']']), port.parse().ok()?))) {
            Some((host, port)) => (host.to_owned(), port),
            None => (self.address.clone(), port),
        }
    }

    /// Pins the keys of host and jump hosts as they were met, where none are pinned yet. Whether that changed anything.
    pub fn pin(&mut self, host_key: String, jump_keys: impl IntoIterator<Item = String>) -> bool {
        let mut changed = false;
        if self.host_keys.is_empty() {
            self.host_keys = vec![host_key];
            changed = true;
        }
        if self.jump_keys.is_empty() {
            self.jump_keys = jump_keys.into_iter().collect();
            changed |= !self.jump_keys.is_empty();
        }
        changed
    }
}

/// The TLS identity that was issued for an engine.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CertificateRecord {
    /// SHA-256 of the PEM file of the certificate, in hex, as the host is asked for it.
    pub sha256: String,
    /// SHA-256 of the PEM file of the authority that signed it, in hex.
    pub ca_sha256: String,
    /// Names and addresses in it, sorted.
    pub names: BTreeSet<String>,
    /// When it stops being valid.
    pub not_after: Timestamp,
}

/// The engine that was set up.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct EngineRecord {
    /// What was applied.
    pub spec: EngineSpec,
    /// What is installed, as `28.2.2`.
    pub version: String,
    /// Which provisioner did it.
    pub provisioner: String,
    /// `PRETTY_NAME` of the host.
    pub os: String,
}

/// An effect that was begun and is not known to have ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pending {
    /// Making the part.
    Create,
    /// Changing the part.
    Upgrade,
    /// Removing the part.
    Rm,
}

impl fmt::Display for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Upgrade => "upgrade",
            Self::Rm => "rm",
        })
    }
}

/// What the store keeps about one machine.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct MachineRecord {
    /// Its name.
    pub name: MachineName,
    /// Which instance of that name it is: new when one is about to be made.
    pub uid: Uid,
    /// The fleet that owns it; `None` for a machine made by `machine create` or docker-machine.
    pub fleet: Option<FleetName>,
    /// The driver that made it.
    pub driver: String,
    /// Where its instance was made, or was last seen if that was not recorded; `None`: not known.
    pub place: Option<Place>,
    /// The driver's options as applied.
    pub options: OptionValues,
    /// Machines that had to be there first; removal goes the other way.
    pub depends_on: BTreeSet<MachineName>,
    /// Whether removal is refused.
    pub protect: bool,
    /// `None` while there is none.
    pub instance: Option<Instance>,
    /// `None` while none was issued.
    pub certificate: Option<CertificateRecord>,
    /// `None` while none was set up.
    pub engine: Option<EngineRecord>,
    /// At most one for each part.
    pub pending: BTreeMap<Part, Pending>,
    /// Commands of the user's own, and which of them are due.
    #[serde(default)]
    pub hooks: HookRecord,
}

impl MachineRecord {
    /// A record of a machine of which nothing exists yet. Its uid is made from the rest, until an instance is begun.
    #[must_use]
    pub fn new(name: MachineName, fleet: Option<FleetName>, driver: &str, options: OptionValues) -> Self {
        Self {
            uid: Uid::derived(&name, driver, None),
            name,
            fleet,
            driver: driver.to_owned(),
            place: None,
            options,
            depends_on: BTreeSet::new(),
            protect: false,
            instance: None,
            certificate: None,
            engine: None,
            pending: BTreeMap::new(),
            hooks: HookRecord::default(),
        }
    }

    /// The URL docker clients use, if the machine has an engine with an address.
    #[must_use]
    pub fn url(&self) -> Option<String> {
        let instance = self.instance.as_ref()?;
        if let Some(url) = instance.told_url() {
            return Some(url.to_owned());
        }
        let engine = self.engine.as_ref()?;
        match engine.spec.api {
            crate::engine::Api::Tls if instance.url.is_some() => instance.url.clone(),
            crate::engine::Api::Tls if !instance.address.is_empty() => {
                Some(format!("tcp://{}", host_port(&instance.address, engine.spec.port)))
            }
            crate::engine::Api::Tls => None,
            crate::engine::Api::Ssh => {
                let ssh = instance.ssh.as_ref()?;
                Some(format!("ssh://{}@{}", ssh.user, host_port(&ssh.host, ssh.port)))
            }
        }
    }
}

/// `host:port`, with brackets around an IPv6 address (RFC 3986, 3.2.2).
#[must_use]
pub fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Every name and address under which the engine of a machine must be able to identify itself.
#[must_use]
pub fn certificate_names(name: &MachineName, address: &str, extra: &BTreeSet<String>) -> BTreeSet<String> {
    [name.as_str(), address, "localhost", "127.0.0.1"]
        .into_iter()
        .filter(|n| !n.is_empty())
        .map(str::to_owned)
        .chain(extra.iter().cloned())
        .collect()
}

/// Whether a machine runs.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Power {
    /// It runs.
    Running,
    /// It exists and does not run.
    Stopped,
    /// It is on its way up.
    Starting,
    /// It is on its way down.
    Stopping,
    /// It stands still, with all that is in its memory.
    Paused,
    /// What was in its memory is on a disk; it goes on from there.
    Saved,
    /// The provider says there is no such machine.
    Gone,
    /// The driver cannot tell.
    Unknown,
}

impl Power {
    /// Whether it is there, does not serve, and would if it were started.
    #[must_use]
    pub fn is_off(self) -> bool {
        matches!(self, Self::Stopped | Self::Paused | Self::Saved)
    }
}

/// Where a look at a machine ended.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// The host was not asked (offline, or it does not run).
    #[default]
    NotAsked,
    /// The host answered and this is what it said.
    Answered(Box<Facts>),
    /// The host did not answer; why, for a person.
    Failed(String),
}

/// What the Docker API said.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApiFact {
    /// It was not asked.
    #[default]
    NotAsked,
    /// It answered, and this is the engine's version.
    Answered(String),
    /// It did not answer; why, for a person.
    Failed(String),
}

/// What a look at a machine found.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Observed {
    /// What the driver says.
    pub power: Power,
    /// The instance as the driver sees it now, when that differs from the record (a new address).
    pub instance: Option<Instance>,
    /// What the host says.
    pub host: Reach,
    /// What the engine says.
    pub api: ApiFact,
    /// SHA-256 of `server.pem` in the store, in hex; `None` when it is not there.
    pub local_certificate: Option<String>,
    /// SHA-256 of the authority's certificate in the store, in hex; `None` when it is not there.
    pub local_ca: Option<String>,
    /// What is wrong with the files of its TLS on this computer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub local: Vec<Flawed>,
}

/// A machine and what was found when it was looked at.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Known {
    /// As recorded.
    pub record: MachineRecord,
    /// As observed; `None` when it was not looked at.
    pub observed: Option<Observed>,
}

/// The whole store, read at one moment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Snapshot {
    /// Machines whose records could be read.
    pub machines: BTreeMap<MachineName, Known>,
    /// Machines whose records could not be read, and why. They are shown as Error and never touched.
    pub broken: BTreeMap<String, String>,
    /// Removals that were not confirmed, by their id.
    pub tombstones: BTreeMap<String, Tombstone>,
    /// Tombstones that could not be read, and why. They are shown and never touched.
    pub broken_tombstones: BTreeMap<String, String>,
}

impl Snapshot {
    /// Adds tombstones, as a store has them.
    pub fn add_tombstones(&mut self, stones: BTreeMap<String, Result<Tombstone, String>>) {
        for (id, stone) in stones {
            match stone {
                Ok(stone) => drop(self.tombstones.insert(id, stone)),
                Err(why) => drop(self.broken_tombstones.insert(id, why)),
            }
        }
    }

    /// Why no machine of this name may be made: what an earlier one left cannot be told from it.
    #[must_use]
    pub fn unreadable_remains(&self, machine: &MachineName) -> Option<String> {
        let (id, why) = self.broken_tombstones.iter().find(|(id, _)| Tombstone::may_be_of(id, machine))?;
        Some(format!(
            "an earlier machine of this name may still be there, and its tombstone cannot be read ({why}); correct that file, \
             or forget it: machine rm --tombstone -f {id}"
        ))
    }
}
