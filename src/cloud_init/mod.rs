//! What a cloud image is told at its first boot, in the words of cloud-init: who may log in, by which key the host is
//! known, and whatever the user wants besides.
//!
//! The host key is made here and told to the host, so that the host is known before it has ever answered. Programs that
//! read an instance's user data (its provider, and those on it that reach the metadata service) can read it too.

pub mod iso;
mod mime;

use serde_json::{Value, json};
use thiserror::Error;

/// A pair of keys by which a host is known.
#[derive(Clone, Copy)]
pub struct HostKey<'a> {
    /// The private half, as OpenSSH keeps it in a file.
    pub private: &'a str,
    /// The public half, `ssh-ed25519 AAAA…`.
    pub public: &'a str,
}

/// What a machine of ours needs at its first boot.
#[derive(Clone, Copy)]
pub struct FirstBoot<'a> {
    /// Its host name.
    pub hostname: &'a str,
    /// Who logs in: made with sudo if the image has no such user. Empty: the image's own default user.
    pub user: &'a str,
    /// The public keys that may log in.
    pub authorized_keys: &'a [&'a str],
    /// The key it is known by; `None`: it makes its own.
    pub host_key: Option<HostKey<'a>>,
}

/// Why a user's own data cannot go with ours.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum UserDataError {
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// It is no text, and not compressed by gzip either.
    #[error("it is neither a text nor compressed by gzip")]
    NotText,
    /// Its first line is none that cloud-init knows.
    #[error("its first line says nothing to cloud-init")]
    Unknown,
}

impl UserDataError {
    /// What to do about it.
    #[must_use]
    pub fn help(self) -> &'static str {
        "begin the file with `#cloud-config`, with `#!/bin/sh` for a script, or with `Content-Type: multipart/mixed`"
    }
}

impl FirstBoot<'_> {
    /// The user data: ours alone, or ours and the user's own as parts of one MIME message, of which cloud-init obeys
    /// every one. Lists of both are joined; where both say one thing, ours stays, so that we can still log in.
    ///
    /// Source: cloud-init's documentation, "User-data formats" and "Merging user-data sections".
    ///
    /// # Errors
    /// Says why `own` is nothing for cloud-init.
    pub fn user_data(&self, own: Option<&[u8]>) -> Result<Vec<u8>, UserDataError> {
        let ours = self.cloud_config();
        match own {
            None => Ok(ours.into_bytes()),
            Some(own) => mime::message(ours.as_bytes(), own),
        }
    }

    /// Ours alone. JSON is YAML, and quotes for itself.
    fn cloud_config(&self) -> String {
        let Self { hostname, user, authorized_keys, host_key } = self;
        let mut config = json!({
            "hostname": hostname,
            "preserve_hostname": false,
            "manage_etc_hosts": "localhost",
            "ssh_pwauth": false,
        });
        match *user {
            "" | "root" => {
                // Otherwise root's key gets an option that forbids its use.
                if *user == "root" {
                    config["disable_root"] = json!(false);
                }
                config["ssh_authorized_keys"] = json!(authorized_keys);
            }
            user => {
                config["users"] = json!([{
                    "name": user,
                    "gecos": "machine",
                    "shell": "/bin/bash",
                    "sudo": "ALL=(ALL) NOPASSWD:ALL",
                    "lock_passwd": true,
                    "ssh_authorized_keys": authorized_keys,
                }]);
            }
        }
        if let Some(HostKey { private, public }) = host_key {
            // Others are deleted first: a client may prefer their kinds, and does not know them.
            config["ssh_deletekeys"] = json!(true);
            config["ssh_keys"] = json!({ "ed25519_private": private, "ed25519_public": public });
            // The private half is none of the console's business, and nor are fingerprints we know.
            config["no_ssh_fingerprints"] = json!(true);
        }
        format!("#cloud-config\n{}\n", pretty(&config))
    }
}

fn pretty(config: &Value) -> String {
    serde_json::to_string_pretty(config).expect("texts and lists are JSON")
}

/// `meta-data` of the data source `NoCloud`. An image is told who it is once for each `instance_id`.
#[must_use]
pub fn meta_data(instance_id: &str, hostname: &str) -> String {
    format!("{}\n", pretty(&json!({ "instance-id": instance_id, "local-hostname": hostname })))
}

/// Whether a user's own data is something cloud-init knows; for checks before anything is made.
///
/// # Errors
/// Says why not.
pub fn check(own: &[u8]) -> Result<(), UserDataError> {
    mime::kind(own).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: FirstBoot<'_> = FirstBoot {
        hostname: "web-1",
        user: "debian",
        authorized_keys: &["ssh-ed25519 AAAA machine \"web-1\""],
        host_key: Some(HostKey { private: "-----BEGIN\nabc\n-----END\n", public: "ssh-ed25519 BBBB" }),
    };

    fn config(boot: &FirstBoot<'_>) -> Value {
        let data = String::from_utf8(boot.user_data(None).unwrap()).unwrap();
        let text = data.strip_prefix("#cloud-config\n").unwrap();
        // As cloud-init reads it.
        serde_yaml::from_str(text).unwrap()
    }

    #[test]
    fn our_data_is_yaml_and_says_who_may_log_in_and_who_the_host_is() {
        let config = config(&BOOT);
        assert_eq!(config["users"][0]["name"], "debian");
        assert_eq!(config["users"][0]["ssh_authorized_keys"][0], BOOT.authorized_keys[0]);
        assert_eq!(config["ssh_keys"]["ed25519_private"], "-----BEGIN\nabc\n-----END\n");
        assert_eq!(config["hostname"], "web-1");
    }

    #[test]
    fn root_is_let_in_and_the_images_own_user_is_left_as_it_is() {
        let root = config(&FirstBoot { user: "root", host_key: None, ..BOOT });
        assert_eq!((&root["disable_root"], root.get("ssh_keys")), (&json!(false), None));
        let own = config(&FirstBoot { user: "", ..BOOT });
        assert_eq!((own.get("users"), &own["ssh_authorized_keys"][0]), (None, &json!(BOOT.authorized_keys[0])));
    }

    #[test]
    fn what_is_written_below_the_name_of_a_machine_cannot_leave_its_text() {
        let strange = FirstBoot { hostname: "x\"\nusers: []\n#", user: "", ..BOOT };
        assert_eq!(config(&strange)["hostname"], strange.hostname);
        let meta: Value = serde_yaml::from_str(&meta_data("i: 1\n- x", "web")).unwrap();
        assert_eq!(meta["instance-id"], "i: 1\n- x");
    }
}
