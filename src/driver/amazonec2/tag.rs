//! What our things at AWS are called, and how they are found again with nothing recorded. Pure.

use super::query::Params;
use crate::{
    digest::sha256_hex_of,
    driver::DriverContext,
    name::{FleetName, MachineName},
};

/// What keys of our own tags begin with.
pub(super) const PREFIX: &str = "machine:";
/// Key of the tag that says which machine of which fleet and store a thing is of.
pub(super) const OWNER: &str = "machine:owner";
/// Key of the tag that says which store made a thing.
pub(super) const STORE: &str = "machine:store";

/// Who a thing at AWS belongs to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Owner {
    store: String,
    fleet: String,
    machine: MachineName,
}

impl Owner {
    /// The machine that a driver is called for.
    pub(super) fn of(cx: &DriverContext<'_>) -> Self {
        Self::new(cx.store_id, cx.fleet, cx.machine)
    }

    fn new(store: &str, fleet: Option<&FleetName>, machine: &MachineName) -> Self {
        let fleet = fleet.map_or("", FleetName::as_str).to_owned();
        Self { store: store.to_owned(), fleet, machine: machine.clone() }
    }

    /// Value of the tag [`OWNER`]. Names hold no slash, so different machines never have the same.
    pub(super) fn value(&self) -> String {
        format!("{}/{}/{}", self.store, self.fleet, self.machine)
    }

    /// Name of its key pair and of its own security group: one for people, and a digest for what they cannot see.
    pub(super) fn name(&self) -> String {
        let parts = [self.store.as_bytes(), b"/", self.fleet.as_bytes(), b"/", self.machine.as_str().as_bytes()];
        format!("machine-{}-{}", self.machine, &sha256_hex_of(&parts)[..10])
    }

    /// The tags that everything of the machine has.
    pub(super) fn tags(&self) -> Vec<(String, String)> {
        let mut tags = vec![
            ("Name".to_owned(), self.machine.to_string()),
            (OWNER.to_owned(), self.value()),
            (STORE.to_owned(), self.store.clone()),
        ];
        if !self.fleet.is_empty() {
            tags.push((format!("{PREFIX}fleet"), self.fleet.clone()));
        }
        tags
    }

    /// A token for one attempt at making the instance: as long as the attempt is not known to have ended, a repeated call
    /// with the same token makes nothing a second time.
    pub(super) fn token(&self, attempt: &str) -> String {
        sha256_hex_of(&[self.value().as_bytes(), b"/", attempt.as_bytes()])
    }
}

/// Tags as they are given together with what is made, so that nothing of ours is ever without them.
pub(super) fn specification(params: Params, n: usize, kind: &str, tags: &[(String, String)]) -> Params {
    let start = params.with(format!("TagSpecification.{n}.ResourceType"), kind);
    tags.iter().enumerate().fold(start, |params, (i, (key, value))| {
        let at = format!("TagSpecification.{n}.Tag.{}", i + 1);
        params.with(format!("{at}.Key"), key).with(format!("{at}.Value"), value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_of_other_fleets_and_stores_have_other_names_and_tags() {
        let (web, fleet) = (MachineName::new("web-1").unwrap(), FleetName::new("shop").unwrap());
        let owners = [
            Owner::new("s1", Some(&fleet), &web),
            Owner::new("s2", Some(&fleet), &web),
            Owner::new("s1", None, &web),
            Owner::new("s1", Some(&fleet), &MachineName::new("web-2").unwrap()),
        ];
        for (i, one) in owners.iter().enumerate() {
            assert!(one.name().starts_with("machine-web-") && one.token("x").len() == 64, "a token has at most 64");
            assert_ne!(one.token("1"), one.token("2"));
            for other in &owners[i + 1..] {
                assert!(one.value() != other.value() && one.name() != other.name(), "{one:?} {other:?}");
            }
        }
        assert_eq!(owners[0].value(), "s1/shop/web-1");
    }
}
