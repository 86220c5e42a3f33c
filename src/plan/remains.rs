//! What becomes of removals that were not confirmed: they are tried again, by the fleet that owned the machine.

use super::{Action, Reason, Step, StepId, Work, diff::Found};
use crate::{
    name::{FleetName, MachineName},
    record::{Part, Snapshot, Tombstone},
};
use std::collections::BTreeMap;

/// One step for each name that `picked` picks under which `fleet` has anything left; `known` says which drivers can look.
pub(super) fn steps(
    fleet: Option<&FleetName>,
    snapshot: &Snapshot,
    picked: impl Fn(&MachineName) -> bool,
    known: impl Fn(&str) -> bool,
) -> Found {
    let mut by_name: BTreeMap<&MachineName, Vec<&Tombstone>> = BTreeMap::new();
    // Those of another fleet are none of ours.
    for stone in snapshot.tombstones.values().filter(|t| t.fleet.as_ref() == fleet && picked(&t.machine)) {
        by_name.entry(&stone.machine).or_default().push(stone);
    }
    let step = |stones: Vec<&Tombstone>| {
        let mut reasons: Vec<Reason> = stones.iter().map(|stone| unconfirmed(stone)).collect();
        let (can, cannot): (Vec<_>, Vec<_>) = stones.into_iter().partition(|stone| known(&stone.driver));
        reasons.extend(cannot.first().map(|stone| Reason::Blocked(cannot_look(stone))));
        if can.is_empty() {
            return Step { action: Action::Keep, reasons, work: Work::Nothing };
        }
        Step { action: Action::Rm, reasons, work: Work::Bury(can.into_iter().cloned().collect()) }
    };
    let id = |machine: &MachineName| StepId { machine: machine.clone(), part: Part::Remains, rm: true, hook: None };
    by_name.into_iter().map(|(machine, stones)| (id(machine), step(stones))).collect()
}

fn unconfirmed(stone: &Tombstone) -> Reason {
    Reason::Unconfirmed { what: stone.what(), since: stone.since, why: stone.why.clone() }
}

fn cannot_look(stone: &Tombstone) -> String {
    let because = match stone.driver.as_str() {
        "" => "its record could not be read".to_owned(),
        driver => format!("driver `{driver}` is not known"),
    };
    format!(
        "{because}, so it cannot be looked for; once you know that it is gone: machine rm --tombstone -f {}",
        stone.machine
    )
}
