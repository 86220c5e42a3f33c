//! What config.json says about certificates: `HostOptions.AuthOptions`, and whether it is a swarm's master.

use super::{ConfigFile, Object, object_mut, object_of, put, text_of, texts_of};
use crate::record::auth::{Auth, AuthFiles};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The four keys, as docker-machine calls them.
const CA_CERT: &str = "CaCertPath";
const CA_KEY: &str = "CaPrivateKeyPath";
const CLIENT_CERT: &str = "ClientCertPath";
const CLIENT_KEY: &str = "ClientKeyPath";

impl ConfigFile {
    /// What it says about certificates. Paths into the store follow the store; others are as they were given.
    #[must_use]
    pub fn auth(&self, root: &Path) -> Auth {
        let options = self.host_options("AuthOptions");
        let standard = Auth::of_store(root);
        let path = |key: &str, standard: PathBuf| match options.map(|o| text_of(o, key)) {
            None | Some("") => standard,
            // `components` drops `.` and `//`, so that equal paths compare equal.
            Some(given) => Path::new(given).components().collect(),
        };
        let AuthFiles { ca_cert, ca_key, client_cert, client_key } = standard.files;
        let swarm = self.host_options("SwarmOptions");
        Auth {
            files: AuthFiles {
                ca_cert: path(CA_CERT, ca_cert),
                ca_key: path(CA_KEY, ca_key),
                client_cert: path(CLIENT_CERT, client_cert),
                client_key: path(CLIENT_KEY, client_key),
            },
            names: options.map(|o| texts_of(o, "ServerCertSANs")).unwrap_or_default().into_iter().collect(),
            swarm_master: swarm.is_some_and(|s| super::get(s, "Master").and_then(Value::as_bool) == Some(true)),
        }
    }

    /// Notes where the certificates of the machine lie.
    pub fn set_auth_files(&mut self, files: &AuthFiles) {
        let AuthFiles { ca_cert, ca_key, client_cert, client_key } = files;
        let options = object_mut(object_mut(&mut self.document, "HostOptions"), "AuthOptions");
        for (key, path) in [(CA_CERT, ca_cert), (CA_KEY, ca_key), (CLIENT_CERT, client_cert), (CLIENT_KEY, client_key)]
        {
            put(options, key, Value::from(path.to_string_lossy()));
        }
    }

    fn host_options(&self, part: &str) -> Option<&Object> {
        object_of(&self.document, "HostOptions").and_then(|host| object_of(host, part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{name::MachineName, record::docker_machine::Place};

    fn name() -> MachineName {
        MachineName::new("web-1").unwrap()
    }

    fn files(dir: &str) -> AuthFiles {
        let file = |name: &str| Path::new(dir).join(name);
        AuthFiles { ca_cert: file("c"), ca_key: file("ck"), client_cert: file("u"), client_key: file("uk") }
    }

    #[test]
    fn files_of_ones_own_are_noted_and_survive_a_move_of_the_store() {
        let mut config = ConfigFile::new(Place { root: "/old", name: &name() });
        assert_eq!(config.auth(Path::new("/old")), Auth::of_store(Path::new("/old")));
        config.set_auth_files(&files("/etc/pki"));
        put(&mut config.document, "DriverName", Value::from("none"));
        let moved = ConfigFile::parse(&config.text(), Place { root: "/new", name: &name() }).unwrap();
        assert_eq!(moved.auth(Path::new("/new")).files, files("/etc/pki"));
    }

    #[test]
    fn files_of_the_store_follow_it() {
        for (given, want) in [
            ("/old/certs", "/new/certs"),
            ("/old/certs/of/mine", "/new/certs/of/mine"),
            ("/old/certs-of-mine", "/old/certs-of-mine"),
            ("/older/certs", "/older/certs"),
            ("/old/machines/web-1", "/new/machines/web-1"),
        ] {
            let mut config = ConfigFile::new(Place { root: "/old", name: &name() });
            put(&mut config.document, "DriverName", Value::from("none"));
            config.set_auth_files(&files(given));
            let moved = ConfigFile::parse(&config.text(), Place { root: "/new", name: &name() }).unwrap();
            assert_eq!(moved.auth(Path::new("/new")).files, files(want), "{given}");
        }
    }

    #[test]
    fn names_and_the_swarm_are_read() {
        let text = r#"{"ConfigVersion": 3, "DriverName": "none", "HostOptions": {
            "AuthOptions": {"ServerCertSANs": ["b", "10.0.0.1"], "CaCertPath": ""}, "SwarmOptions": {"Master": true}}}"#;
        let auth = ConfigFile::parse(text, Place { root: "/s", name: &name() }).unwrap().auth(Path::new("/s"));
        assert_eq!(auth.names.into_iter().collect::<Vec<_>>(), ["10.0.0.1", "b"]);
        assert!(auth.swarm_master);
        assert_eq!(auth.files, AuthFiles::of_store(Path::new("/s")));
    }
}
