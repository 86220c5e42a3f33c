//! What only config.json says of a machine: docker-machine's document, read as it is.

use super::{CliError, stored::stored};
use crate::{
    name::MachineName,
    record::{
        OptionFields,
        docker_machine::{self, ConfigFile, Place, VERSION},
    },
    store::{Area, Store, StoreError},
};
use serde_json::Value;

/// docker-machine's document of one machine.
#[derive(Clone, Debug, Default)]
pub(super) struct Document(pub(super) Value);

impl Document {
    /// Reads it; `None` when the machine has none.
    pub(super) fn read(store: &Store, name: &MachineName) -> Result<Option<Self>, CliError> {
        let Some(bytes) = stored(store.files.read(Area::Machine(name), "config.json"))? else {
            return Ok(None);
        };
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Some(Self(value))),
            Err(e) => Err(broken(store, name, e.to_string())),
        }
    }

    /// The document as docker-machine shows it: brought to its last version, and made from our record where there is
    /// none. Options that our tables call secret are left out.
    pub(super) fn inspect(store: &Store, name: &MachineName, drivers: &dyn OptionFields) -> Result<Self, CliError> {
        let root = store.files.root().to_string_lossy().into_owned();
        let mut document = match Self::read(store, name)? {
            Some(document) if is_as_it_lies(&document.0, &root) => {
                Self(docker_machine::completed(&document.0, Place { root: &root, name }))
            }
            // Of an older version, or with the paths of a store that was elsewhere.
            Some(old) => {
                let migrated = ConfigFile::parse(&old.0.to_string(), Place { root: &root, name });
                Self::of_text(&migrated.map_err(|e| broken(store, name, e.to_string()))?.text())
            }
            None => {
                let record = stored(store.get(name))?;
                Self::of_text(&drivers.document(&root, &drivers.without_secrets(&record)))
            }
        };
        // For docker-machine, config.json calls a driver that it does not have `generic`; `ls` says which it is.
        let mut driver = document.0["DriverName"].as_str().unwrap_or_default().to_owned();
        if let Ok(record) = stored(store.get(name))
            && record.driver != driver
        {
            driver = record.driver;
            document.0["DriverName"] = Value::from(driver.as_str());
        }
        if let Some(fields) = document.0.get_mut("Driver").and_then(Value::as_object_mut) {
            for secret in drivers.secret_fields(&driver) {
                fields.shift_remove(&secret);
            }
        }
        Ok(document)
    }

    fn of_text(text: &str) -> Self {
        Self(serde_json::from_str(text).expect("what we write is JSON"))
    }

    fn swarm(&self, key: &str) -> &Value {
        &self.0["HostOptions"]["SwarmOptions"][key]
    }

    /// Whether the machine is the master of a classic swarm.
    pub(super) fn is_swarm_master(&self) -> bool {
        self.swarm("Master").as_bool().unwrap_or_default()
    }

    /// What brings the members of a classic swarm together; `None` outside of one.
    pub(super) fn discovery(&self) -> Option<&str> {
        self.swarm("Discovery").as_str().filter(|text| !text.is_empty())
    }

    /// The port that a classic swarm's master listens on.
    pub(super) fn swarm_port(&self) -> Option<u16> {
        self.swarm("Host").as_str()?.rsplit_once(':')?.1.parse().ok()
    }

    /// `key=value` labels of the engine.
    pub(super) fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        let labels = self.0["HostOptions"]["EngineOptions"]["Labels"].as_array();
        labels.into_iter().flatten().filter_map(Value::as_str).map(|text| text.split_once('=').unwrap_or((text, "")))
    }
}

/// Whether a document is of the last version, and from where the store is now.
fn is_as_it_lies(document: &Value, root: &str) -> bool {
    let written_at = document["Driver"]["StorePath"].as_str().filter(|at| !at.is_empty() && *at != ".");
    document["ConfigVersion"].as_u64() == Some(VERSION) && written_at.is_none_or(|at| at == root)
}

fn broken(store: &Store, machine: &MachineName, why: String) -> CliError {
    CliError::Store(StoreError::Broken {
        machine: machine.to_string(),
        path: store.files.root().join("machines").join(machine.as_str()).join("config.json"),
        why,
    })
}
