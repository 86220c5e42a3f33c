//! What docker-machine recorded of classic swarm. Nothing acts on it any more; it is kept as it was given.

use super::{ConfigFile, object_mut, put};
use serde_json::{Value, json};

/// The values of docker-machine's `--swarm…` flags.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SwarmOptions {
    /// `--swarm`.
    pub agent: bool,
    /// `--swarm-master`.
    pub master: bool,
    /// `--swarm-addr`.
    pub address: String,
    /// `--swarm-discovery`.
    pub discovery: String,
    /// `--swarm-host`.
    pub host: String,
    /// `--swarm-image`.
    pub image: String,
    /// `--swarm-strategy`.
    pub strategy: String,
    /// `--swarm-opt`.
    pub flags: Vec<String>,
    /// `--swarm-join-opt`.
    pub join_flags: Vec<String>,
    /// `--swarm-experimental`.
    pub experimental: bool,
}

impl ConfigFile {
    /// Records what was said of classic swarm.
    pub fn set_swarm(&mut self, swarm: &SwarmOptions) {
        // By name, so that a new field is written or does not compile.
        let SwarmOptions { agent, master, address, discovery, host, image, strategy, flags, join_flags, experimental } =
            swarm;
        let options = object_mut(object_mut(&mut self.document, "HostOptions"), "SwarmOptions");
        let values: [(&str, Value); 11] = [
            ("IsSwarm", json!(*agent || *master)),
            ("Address", json!(address)),
            ("Discovery", json!(discovery)),
            ("Agent", json!(agent)),
            ("Master", json!(master)),
            ("Host", json!(host)),
            ("Image", json!(image)),
            ("Strategy", json!(strategy)),
            ("ArbitraryFlags", json!(flags)),
            ("ArbitraryJoinFlags", json!(join_flags)),
            ("IsExperimental", json!(experimental)),
        ];
        for (key, value) in values {
            put(options, key, value);
        }
    }

    /// Records the names that the engine's certificate has beside its own, docker-machine's `--tls-san`.
    pub fn set_tls_sans(&mut self, names: &[String]) {
        let auth = object_mut(object_mut(&mut self.document, "HostOptions"), "AuthOptions");
        put(auth, "ServerCertSANs", json!(names));
    }
}
