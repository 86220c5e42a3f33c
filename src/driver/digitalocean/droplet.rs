//! A droplet, as the provider shows it.

use super::{account::Account, tag::Tag};
use crate::{driver::DriverError, record::Power};
use serde::Deserialize;
use serde_json::Value;

/// What we read of one.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Droplet {
    pub(super) id: u64,
    pub(super) status: String,
    #[serde(default)]
    pub(super) locked: bool,
    #[serde(default)]
    pub(super) size_slug: String,
    #[serde(default)]
    pub(super) features: Vec<String>,
    #[serde(default)]
    pub(super) tags: Vec<String>,
    #[serde(default)]
    networks: Networks,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Networks {
    v4: Vec<Address>,
}

#[derive(Clone, Debug, Deserialize)]
struct Address {
    ip_address: String,
    #[serde(rename = "type")]
    kind: String,
}

/// The answer that holds one.
#[derive(Debug, Deserialize)]
struct One {
    droplet: Droplet,
}

impl Droplet {
    /// The one of this number; `None` when there is none, or none any more.
    pub(super) async fn get(account: &Account, id: u64) -> Result<Option<Self>, DriverError> {
        let one: Option<One> = account.get("looking at the droplet", &format!("droplets/{id}")).await?;
        Ok(one.map(|one| one.droplet).filter(Self::lives))
    }

    /// All that carry a tag, the oldest first.
    pub(super) async fn tagged(account: &Account, tag: &Tag) -> Result<Vec<Self>, DriverError> {
        let query = [("tag_name", tag.as_str())];
        let mut found: Vec<Self> = account.all("looking for the droplet", "droplets", "droplets", &query).await?;
        // The list is by the provider's leave: what does not carry the tag is not ours to touch.
        found.retain(|droplet| droplet.lives() && droplet.carries(tag.as_str()));
        found.sort_by_key(|droplet| droplet.id);
        Ok(found)
    }

    /// Has one made.
    pub(super) async fn make(account: &Account, wanted: &Value) -> Result<Result<Self, super::Refusal>, DriverError> {
        let made: Result<One, _> = account.post("creating the droplet", "droplets", wanted).await?;
        Ok(made.map(|one| one.droplet))
    }

    fn lives(&self) -> bool {
        self.status != "archive"
    }

    /// The provider keeps tags as they were first written, and does not tell capitals.
    pub(super) fn carries(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| own.eq_ignore_ascii_case(tag))
    }

    pub(super) fn is_on(&self) -> bool {
        self.status == "active"
    }

    pub(super) fn is_off(&self) -> bool {
        self.status == "off"
    }

    pub(super) fn has_backups(&self) -> bool {
        self.features.iter().any(|feature| feature == "backups")
    }

    /// Its public IPv4 address.
    pub(super) fn address(&self) -> Option<&str> {
        self.networks.v4.iter().find(|address| address.kind == "public").map(|address| address.ip_address.as_str())
    }

    pub(super) fn power(&self) -> Power {
        match self.status.as_str() {
            "active" => Power::Running,
            "off" => Power::Stopped,
            "new" => Power::Starting,
            _ => Power::Unknown,
        }
    }
}
