//! What runs work on: fleets and machines, of which each is one run's at a time.

use crate::name::{FleetName, MachineName};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt};

/// What only one run at a time may work on.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// A fleet: which machines it has.
    Fleet(FleetName),
    /// One machine.
    Machine(MachineName),
}

impl Subject {
    /// What its holder does, for messages.
    #[must_use]
    pub const fn doing(&self) -> &'static str {
        match self {
            Self::Fleet(_) => "is being applied",
            Self::Machine(_) => "is being worked on",
        }
    }

    /// `fleet` or `machine`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Fleet(_) => "fleet",
            Self::Machine(_) => "machine",
        }
    }

    /// How the command that breaks locks is told of it.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Fleet(name) => name.to_string(),
            Self::Machine(name) => format!("--machine {name}"),
        }
    }

    /// The name of the fleet or machine.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Fleet(name) => name.as_str(),
            Self::Machine(name) => name.as_str(),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.kind(), self.name())
    }
}

/// All that one run works on. Runs whose scopes meet exclude each other.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// Fleets that may get and lose machines.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub fleets: BTreeSet<FleetName>,
    /// Machines that may change.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub machines: BTreeSet<MachineName>,
}

impl Scope {
    /// Machines, whichever fleet they are of.
    #[must_use]
    pub fn of_machines<'a>(machines: impl IntoIterator<Item = &'a MachineName>) -> Self {
        Self { fleets: BTreeSet::new(), machines: machines.into_iter().cloned().collect() }
    }

    /// A fleet, and machines.
    #[must_use]
    pub fn of_fleet<'a>(fleet: &FleetName, machines: impl IntoIterator<Item = &'a MachineName>) -> Self {
        Self { fleets: BTreeSet::from([fleet.clone()]), ..Self::of_machines(machines) }
    }

    /// What is in both, if they meet.
    #[must_use]
    pub fn meets(&self, other: &Self) -> Option<Subject> {
        let fleet = self.fleets.intersection(&other.fleets).next().cloned().map(Subject::Fleet);
        fleet.or_else(|| self.machines.intersection(&other.machines).next().cloned().map(Subject::Machine))
    }

    /// Whether this is in it.
    #[must_use]
    pub fn has(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Fleet(name) => self.fleets.contains(name),
            Subject::Machine(name) => self.machines.contains(name),
        }
    }

    /// Whether all of another is in it.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.fleets.is_superset(&other.fleets) && self.machines.is_superset(&other.machines)
    }

    /// All that is in it, fleets first.
    pub fn subjects(&self) -> impl Iterator<Item = Subject> + '_ {
        let fleets = self.fleets.iter().cloned().map(Subject::Fleet);
        fleets.chain(self.machines.iter().cloned().map(Subject::Machine))
    }

    /// What a person is told of it: fleets, without their machines, or else machines.
    #[must_use]
    pub fn told(&self) -> Vec<Subject> {
        if self.fleets.is_empty() {
            self.subjects().collect()
        } else {
            self.fleets.iter().cloned().map(Subject::Fleet).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(fleets: &[&str], machines: &[&str]) -> Scope {
        Scope {
            fleets: fleets.iter().map(|name| FleetName::new(*name).unwrap()).collect(),
            machines: machines.iter().map(|name| MachineName::new(*name).unwrap()).collect(),
        }
    }

    #[test]
    fn scopes_meet_in_what_both_have() {
        let shop = scope(&["shop"], &["web", "db"]);
        for (other, want) in [
            (scope(&["shop"], &["web"]), Some("fleet `shop`")),
            (scope(&[], &["web"]), Some("machine `web`")),
            (scope(&["other"], &["web"]), Some("machine `web`")),
            (scope(&["web"], &["shop"]), None),
            (scope(&["other"], &["cache"]), None),
            (scope(&[], &[]), None),
        ] {
            assert_eq!(shop.meets(&other).map(|subject| subject.to_string()).as_deref(), want, "{other:?}");
            assert_eq!(other.meets(&shop), shop.meets(&other), "it is the same from both sides");
        }
        assert!(shop.covers(&scope(&[], &["db"])) && !scope(&[], &["db"]).covers(&shop));
        assert_eq!(shop.told(), [Subject::Fleet(FleetName::new("shop").unwrap())]);
    }

    #[test]
    fn a_scope_reads_back_and_one_with_more_to_it_is_not_read() {
        let shop = scope(&["shop"], &["web"]);
        let text = serde_json::to_string(&shop).unwrap();
        assert_eq!(text, "{\"fleets\":[\"shop\"],\"machines\":[\"web\"]}");
        assert_eq!(serde_json::from_str::<Scope>(&text).unwrap(), shop);
        serde_json::from_str::<Scope>("{\"machines\":[\"web\"],\"networks\":[\"n\"]}").unwrap_err();
    }
}
