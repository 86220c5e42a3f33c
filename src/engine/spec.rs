//! The engine as desired (by a fleet) and as applied (in a record): one type, so that both compare.

use super::{SecretVariable, Variable};
use crate::secret::{Reveal, SecretError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// The TCP port of an engine with TLS (IANA: `docker-s`).
pub const TLS_PORT: u16 = 2376;

/// Where an engine comes from when a host has none.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Docker's own apt or yum layout, at `mirror`.
    DockerCe,
    /// The package of the distribution (`docker.io`, `docker`, …).
    #[default]
    Distro,
    /// A script, from `install_url`, that installs one.
    Script,
    /// Nowhere: what is on the host is used.
    Present,
}

/// How clients reach the engine.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Api {
    /// TCP 2376 with mutual TLS.
    #[default]
    Tls,
    /// Through SSH to the local socket; no TCP port is opened.
    Ssh,
}

/// An exact version or a prefix of one: `28.2` matches `28.2` and `28.2.1`, not `28.20`.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct VersionPin(String);

impl VersionPin {
    /// The pin as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an upstream version such as `28.2.2` is what this pin asks for.
    #[must_use]
    pub fn matches(&self, version: &str) -> bool {
        version == self.0 || version.strip_prefix(&self.0).is_some_and(|rest| rest.starts_with(['.', '-', '+', '~']))
    }
}

impl FromStr for VersionPin {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (numbers, suffix) = text.split_at(text.find(['-', '+', '~']).unwrap_or(text.len()));
        let parts: Vec<&str> = numbers.split('.').collect();
        let numeric = parts.iter().all(|p| !p.is_empty() && p.len() < 6 && p.bytes().all(|b| b.is_ascii_digit()));
        let plain = suffix.bytes().all(|b| b.is_ascii_alphanumeric() || b"-+~.".contains(&b));
        if numeric && plain && parts.len() <= 3 && suffix.len() != 1 {
            return Ok(Self(text.to_owned()));
        }
        Err(format!("`{text}` is not a version: write it like `28`, `28.2` or `28.2.1`"))
    }
}

impl TryFrom<String> for VersionPin {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<VersionPin> for String {
    fn from(pin: VersionPin) -> Self {
        pin.0
    }
}

impl fmt::Display for VersionPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Everything a fleet can say about an engine, with nothing left open.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct EngineSpec {
    /// `None`: whatever is newest at creation, then kept.
    pub version: Option<VersionPin>,
    /// Where it comes from when there is none.
    pub source: Source,
    /// Base URL of Docker's layout, for [`Source::DockerCe`].
    pub mirror: Option<String>,
    /// URL of the script, for [`Source::Script`].
    pub install_url: Option<String>,
    /// How clients reach it.
    pub api: Api,
    /// TCP port for [`Api::Tls`].
    pub port: u16,
    /// Engine labels.
    pub labels: BTreeMap<String, String>,
    /// Mirrors of the public registry.
    pub registry_mirrors: Vec<String>,
    /// Registries that may be spoken to without TLS.
    pub insecure_registries: Vec<String>,
    /// Variables of dockerd's environment.
    pub env: BTreeMap<String, Variable>,
    /// Further keys of daemon.json, merged into what is there.
    pub daemon: serde_json::Map<String, serde_json::Value>,
    /// Whether a firewall on the host may be told to let the port through.
    pub open_firewall: bool,
}

impl EngineSpec {
    /// Variables whose values are secrets.
    pub fn secrets(&self) -> impl Iterator<Item = (&String, &SecretVariable)> {
        self.env.iter().filter_map(|(name, variable)| match variable {
            Variable::Secret(secret) => Some((name, secret)),
            Variable::Plain(_) => None,
        })
    }

    /// Variables that are not secret.
    #[must_use]
    pub fn plain_env(&self) -> BTreeMap<String, String> {
        let plain = |(name, variable): (&String, &Variable)| match variable {
            Variable::Plain(value) => Some((name.clone(), value.clone())),
            Variable::Secret(_) => None,
        };
        self.env.iter().filter_map(plain).collect()
    }

    /// Finds out what the secrets are; they go with this value and are written nowhere.
    ///
    /// # Errors
    /// The first that is not to be had; the others are looked for all the same.
    pub fn reveal(&mut self, from: &dyn Reveal) -> Result<(), SecretError> {
        let secrets = self.env.values_mut().filter_map(|variable| match variable {
            Variable::Secret(secret) => Some(secret),
            Variable::Plain(_) => None,
        });
        secrets.map(|secret| secret.reveal(from)).fold(Ok(()), Result::and)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_exact_or_a_prefix_at_a_dot() {
        let pin: VersionPin = "28.2".parse().unwrap();
        assert!(pin.matches("28.2") && pin.matches("28.2.1") && !pin.matches("28.20") && !pin.matches("28"));
    }

    #[test]
    fn nonsense_is_no_version() {
        for bad in ["", "latest", "28.", "28..1", "v28", "28.2.1.4", "28; reboot", "28-", "1e9"] {
            assert!(bad.parse::<VersionPin>().is_err(), "{bad}");
        }
        for good in ["28", "28.2", "28.2.1", "20.10.24+dfsg1", "29.0.0-rc.1"] {
            assert!(good.parse::<VersionPin>().is_ok(), "{good}");
        }
    }
}
