//! What docker-machine records of an engine.

use super::{ConfigFile, object_mut, put};
use serde_json::json;

/// The values of docker-machine's `--engine-…` flags.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct EngineOptions {
    /// `--engine-opt`.
    pub flags: Vec<String>,
    /// `--engine-env`.
    pub env: Vec<String>,
    /// `--engine-insecure-registry`.
    pub insecure: Vec<String>,
    /// `--engine-registry-mirror`.
    pub mirrors: Vec<String>,
    /// `--engine-label`.
    pub labels: Vec<String>,
    /// `--engine-storage-driver`.
    pub storage: String,
    /// `--engine-install-url`.
    pub install_url: String,
}

impl ConfigFile {
    /// Records what was said of the engine.
    pub fn set_engine_options(&mut self, engine: &EngineOptions) {
        let options = object_mut(object_mut(&mut self.document, "HostOptions"), "EngineOptions");
        put(options, "ArbitraryFlags", json!(engine.flags));
        put(options, "Env", json!(engine.env));
        put(options, "InsecureRegistry", json!(engine.insecure));
        put(options, "RegistryMirror", json!(engine.mirrors));
        put(options, "Labels", json!(engine.labels));
        put(options, "StorageDriver", json!(engine.storage));
        put(options, "InstallURL", json!(engine.install_url));
    }
}
