//! What machines are made of, a file for each part: what is recorded of it, how that is compared with what is wanted and
//! what was seen, and what it takes to have it. The instance is what all others are on; those are lines of [`ON_HOST`].

pub mod certificate;
mod engine;
pub mod instance;
mod step;
mod step_id;

use crate::{
    clock::Timestamp,
    fleet::HostSpec,
    name::MachineName,
    provisioner::{Difference, Provisioners},
    record::{Known, MachineRecord, Observed, Part},
};
use std::collections::BTreeSet;

pub use step::{Action, Reason, Step, Work};
pub use step_id::StepId;

/// A part that is on a host.
pub struct OnHost {
    /// Its name.
    pub part: Part,
    /// Whether a host has it.
    pub wanted: fn(&HostSpec) -> bool,
    /// What makes it on a host that is new.
    pub made: fn(&HostSpec) -> Work,
    /// What becomes of it on a host that stays.
    pub stays: fn(&Ask<'_>) -> Step,
    /// Whether this is work on it.
    pub does: fn(&Work) -> bool,
    /// Whether anything of it is recorded.
    pub is_recorded: fn(&MachineRecord) -> bool,
}

/// Parts that are on a host, in the order they are made.
pub const ON_HOST: &[OnHost] = &[certificate::PART, engine::PART];

/// What is asked of a part on a host that stays.
pub struct Ask<'a> {
    /// The host.
    pub name: &'a MachineName,
    /// As it is wanted.
    pub spec: &'a HostSpec,
    /// As it is known.
    pub known: &'a Known,
    /// Now, for what ends.
    pub now: Timestamp,
    /// What ends within this many days is renewed.
    pub renew_before_days: i64,
    /// The provisioners.
    pub provisioners: Provisioners,
}

/// Whether anything of a part is recorded.
#[must_use]
pub fn is_recorded(part: Part, record: &MachineRecord) -> bool {
    match ON_HOST.iter().find(|entry| entry.part == part) {
        Some(entry) => (entry.is_recorded)(record),
        None => instance::is_recorded(record),
    }
}

/// Whether this is work of a step that makes or changes a part.
#[must_use]
pub fn fits(part: Part, action: Action, work: &Work) -> bool {
    match (part, action) {
        (Part::Instance, Action::Create) => matches!(work, Work::CreateInstance),
        (Part::Instance, Action::Upgrade) => instance::changes_by(work),
        (_, Action::Create | Action::Upgrade) => ON_HOST.iter().any(|entry| entry.part == part && (entry.does)(work)),
        _ => false,
    }
}

/// Whether it was found off: nothing is known then of what is on it.
fn is_off(observed: Option<&Observed>) -> bool {
    observed.is_some_and(|o| o.power.is_off())
}

/// Why a part is made of which nothing is recorded: it was never begun, or never ended.
fn unrecorded(record: &MachineRecord, part: Part) -> Reason {
    record.pending.get(&part).map_or(Reason::NotRecorded, |pending| Reason::Interrupted(*pending))
}

pub(crate) fn difference(what: &str, found: Option<&str>, wanted: Option<&str>) -> Difference {
    Difference { what: what.to_owned(), found: found.map(str::to_owned), wanted: wanted.map(str::to_owned) }
}

fn list<T: ToString>(items: &BTreeSet<T>) -> Option<String> {
    (!items.is_empty()).then(|| items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_part_that_is_on_a_host_in_the_order_of_names() {
        let all: Vec<Part> = [Part::Instance].into_iter().chain(ON_HOST.iter().map(|entry| entry.part)).collect();
        assert_eq!(all, Part::ALL);
    }
}
