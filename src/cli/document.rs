//! What only config.json says of a machine: docker-machine's document, read as it is.

use super::CliError;
use crate::{
    name::MachineName,
    store::{Area, Store, StoreError},
};
use serde_json::Value;

/// docker-machine's document of one machine.
#[derive(Clone, Debug, Default)]
pub(super) struct Document(pub(super) Value);

impl Document {
    /// Reads it; `None` when the machine has none.
    pub(super) fn read(store: &dyn Store, name: &MachineName) -> Result<Option<Self>, CliError> {
        let Some(bytes) = store.read(Area::Machine(name), "config.json").map_err(CliError::Store)? else {
            return Ok(None);
        };
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Some(Self(value))),
            Err(e) => Err(CliError::Store(StoreError::Broken {
                machine: name.to_string(),
                path: store.root().join("machines").join(name.as_str()).join("config.json"),
                why: e.to_string(),
            })),
        }
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
