//! How each family of distributions is brought to the desired state.
//!
//! A provisioner never touches a host. It reads [`Facts`], gathered in one round trip by
//! [`facts::probe`], and answers with a [`Script`] for what differs. The same pure comparison says what
//! to do before, whether it worked after, and what has drifted in between.

mod debian;
mod environment;
pub mod facts;
mod firewall;
mod install_script;
mod os_release;
pub mod script;
mod secret_file;
mod systemd;
mod unit;
mod upgrade;

#[cfg(test)]
mod compliance;
#[cfg(test)]
mod fixtures;

use crate::engine::EngineSpec;
use serde::{Deserialize, Serialize};

pub use facts::Facts;
pub use firewall::firewall_advice;
pub use os_release::OsRelease;
pub use script::{Op, Script};

/// Every provisioner, the most particular first: the first match wins.
pub static PROVISIONERS: Provisioners = &[&debian::Debian];

/// A table of provisioners, in the order they are asked.
pub type Provisioners = &'static [&'static dyn Provisioner];

/// Where the files of an engine's TLS identity lie on a host, as docker-machine has them.
pub const CERT_DIR: &str = "/etc/docker";

/// One way in which a host is not as it should be.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Difference {
    /// What differs: `engine`, `version`, `daemon.json labels`, `service`, …
    pub what: String,
    /// How it is; `None` when it is absent.
    pub found: Option<String>,
    /// How it should be; `None` when it should be absent.
    pub wanted: Option<String>,
}

/// A TLS identity to be put on a host: PEM texts.
#[derive(Clone, Eq, PartialEq)]
pub struct HostCertificate {
    /// The authority's certificate.
    pub ca: String,
    /// The engine's certificate.
    pub cert: String,
    /// The engine's private key.
    pub key: String,
}

impl std::fmt::Debug for HostCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HostCertificate(…)")
    }
}

/// Why a provisioner cannot make the engine that is wanted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{what}")]
pub struct Unsupported {
    /// What cannot be had, as a lowercase sentence fragment.
    pub what: String,
    /// What to do about it.
    pub help: String,
}

/// Knows one family of distributions. All methods are pure.
pub trait Provisioner: Send + Sync {
    /// Its name, as records and messages use it.
    fn name(&self) -> &'static str;

    /// Whether it knows a distribution by `ID` or by one word of `ID_LIKE` (os-release(5)).
    fn knows(&self, id: &str) -> bool;

    /// How the engine on this host differs from `want`; empty when it is as wanted.
    fn differences(&self, facts: &Facts, want: &EngineSpec) -> Vec<Difference>;

    /// What to run so that [`differences`](Self::differences) becomes empty. Restarts nothing that
    /// need not restart; an engine that is as wanted gives an empty script.
    ///
    /// # Errors
    /// Says what this family of distributions cannot offer.
    fn engine(&self, facts: &Facts, want: &EngineSpec) -> Result<Script, Unsupported>;

    /// What to run so that the installed engine, with its client and containerd, becomes the newest that its
    /// package source has, or the newest that `want`'s version matches. What it finds is known on the host only,
    /// so it is never empty; it restarts nothing when nothing is upgraded, and notes old and new version.
    ///
    /// # Errors
    /// Says why this engine cannot be upgraded.
    fn upgrade(&self, facts: &Facts, want: &EngineSpec) -> Result<Script, Unsupported>;

    /// What to run so that the engine identifies itself by `certificate`. The engine is restarted only
    /// if it is running and had other files.
    fn certificate(&self, facts: &Facts, certificate: &HostCertificate) -> Script;

    /// What to run to ask a host to switch off (`reboot` false) or start anew.
    fn power(&self, reboot: bool) -> crate::quote::Sh {
        if reboot { crate::quote::Sh::text("systemctl reboot") } else { crate::quote::Sh::text("systemctl poweroff") }
    }
}

/// The first provisioner of a table that knows `ID`, else the first that knows a word of
/// `ID_LIKE`, in the order written there (os-release(5): closest relative first).
#[must_use]
pub fn detect(table: Provisioners, os: &OsRelease) -> Option<&'static dyn Provisioner> {
    std::iter::once(&os.id).chain(&os.id_like).find_map(|id| table.iter().copied().find(|p| p.knows(id)))
}
