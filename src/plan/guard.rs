//! What a plan may not do unless it was said so. Refusals are about harm, not about correctness.

use super::{Action, Plan, Reason, StepId};
use crate::{
    fleet::Limit,
    name::MachineName,
    record::{Part, Pending, Snapshot},
};
use thiserror::Error;

/// What the user said in so many words.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Consent {
    /// `--allow-replace`.
    pub replace: bool,
    /// `--allow-delete=N`.
    pub delete: Option<usize>,
    /// The whole fleet is to go: its number of machines is no surprise.
    pub destroy: bool,
}

impl Consent {
    /// As it was said, for the history.
    #[must_use]
    pub fn flags(self) -> Vec<String> {
        // A removal of the whole fleet is a command of its own.
        let Self { replace, delete, destroy: _ } = self;
        let replace = replace.then(|| "--allow-replace".to_owned());
        replace.into_iter().chain(delete.map(|number| format!("--allow-delete={number}"))).collect()
    }
}

/// Why a plan is refused.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Refusal {
    /// A machine that is protected would be removed.
    #[error("`{0}` is protected and would be removed")]
    Protected(MachineName),
    /// A machine would be removed and made anew.
    #[error("`{machine}` would be replaced: {because}")]
    Replacement {
        /// The machine.
        machine: MachineName,
        /// Which change needs it.
        because: String,
    },
    /// More machines would be removed than `max_delete` allows.
    #[error("{removals} machines would be removed, which is more than `max_delete: {max}`")]
    TooMany {
        /// How many would be.
        removals: usize,
        /// How many may be.
        max: usize,
    },
    /// Nothing of the fleet would be left.
    #[error("{} machine{} of the fleet would be removed, and none of those it has would be left", if *.0 == 1 { "the only".to_owned() } else { format!("all {}", .0) }, if *.0 == 1 { "" } else { "s" })]
    All(usize),
    /// `--allow-delete` names another number.
    #[error("{removals} machines would be removed, but `--allow-delete={allowed}` was given")]
    OtherNumber {
        /// How many would be.
        removals: usize,
        /// How many were named.
        allowed: usize,
    },
}

impl Refusal {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Protected(name) => {
                format!("set `protect: false` for `{name}` in the fleet file and apply that first")
            }
            Self::Replacement { .. } => {
                "everything on the machine would be lost; if that is wanted, say so:\n  --allow-replace".to_owned()
            }
            Self::TooMany { removals, .. } | Self::OtherNumber { removals, .. } | Self::All(removals) => {
                format!("if that is wanted, name the exact number:\n  --allow-delete={removals}")
            }
        }
    }
}

/// Everything in a plan that needs a consent which was not given.
#[must_use]
pub fn refusals(plan: &Plan, snapshot: &Snapshot, max_delete: Limit, consent: Consent) -> Vec<Refusal> {
    let mut found = Vec::new();
    let (mut removals, mut begun) = (0, 0);
    // What is left of an earlier machine was given up when that was removed; the one that has its name is not touched.
    let removed = plan.steps.nodes().filter(|(id, s)| s.action == Action::Rm && id.part != Part::Remains);
    for (id, step) in removed {
        let recorded = snapshot.machines.get(&id.machine).map(|k| &k.record);
        // What the file says now counts as well as what was applied.
        let wanted = plan.hosts.get(&id.machine);
        if recorded.is_some_and(|r| r.protect) || wanted.is_some_and(|host| host.protect) {
            found.push(Refusal::Protected(id.machine.clone()));
        }
        let again = StepId::part(&id.machine, Part::Instance);
        if plan.steps.get(&again).is_none() {
            // One that an earlier run had begun was consented to then.
            begun += usize::from(recorded.is_some_and(|r| r.pending.get(&Part::Instance) == Some(&Pending::Rm)));
            removals += 1;
            continue;
        }
        // What an interrupted run left half made or half removed holds nothing that could be lost.
        let half = step.reasons.iter().all(|r| matches!(r, Reason::Interrupted(_)));
        if !consent.replace && !half {
            let because = step.reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            found.push(Refusal::Replacement { machine: id.machine.clone(), because });
        }
    }
    let has = snapshot.machines.values().filter(|k| k.record.fleet == plan.fleet).count();
    let fresh = removals - begun;
    let limited = !consent.destroy && fresh > 0;
    match consent.delete {
        Some(allowed) if allowed != removals => found.push(Refusal::OtherNumber { removals, allowed }),
        None if limited && removals == has => found.push(Refusal::All(removals)),
        None if limited && fresh > max_delete.of(has) => {
            found.push(Refusal::TooMany { removals, max: max_delete.of(has) });
        }
        Some(_) | None => {}
    }
    found
}
