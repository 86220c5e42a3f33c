//! By what the engine and the clients of a machine know each other: which files, and which names.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// Where the authority and the client's identity lie, as absolute paths.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct AuthFiles {
    /// The authority's certificate.
    pub ca_cert: PathBuf,
    /// The authority's private key.
    pub ca_key: PathBuf,
    /// The client's certificate.
    pub client_cert: PathBuf,
    /// The client's private key.
    pub client_key: PathBuf,
}

impl AuthFiles {
    /// Those of a store, which its machines use unless told otherwise.
    #[must_use]
    pub fn of_store(root: &Path) -> Self {
        let file = |name: &str| root.join("certs").join(name);
        Self {
            ca_cert: file("ca.pem"),
            ca_key: file("ca-key.pem"),
            client_cert: file("cert.pem"),
            client_key: file("key.pem"),
        }
    }

    /// All four: the authority's first, certificates before keys.
    #[must_use]
    pub fn all(&self) -> [&Path; 4] {
        [&self.ca_cert, &self.ca_key, &self.client_cert, &self.client_key]
    }
}

/// What config.json says about the certificates of a machine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Auth {
    /// Where they lie.
    pub files: AuthFiles,
    /// Names and addresses that its engine's certificate must be for, beside its own (`--tls-san`).
    pub names: BTreeSet<String>,
    /// Whether its engine is a client of other engines as well: the master of a classic swarm is.
    pub swarm_master: bool,
}

impl Auth {
    /// That of a machine of which nothing else is known.
    #[must_use]
    pub fn of_store(root: &Path) -> Self {
        Self { files: AuthFiles::of_store(root), names: BTreeSet::new(), swarm_master: false }
    }
}
