//! Checks that every plan must pass, whoever made it. Tests run it on every plan any test makes, and
//! `apply` before it touches anything.

use super::{Action, Plan, StepId, Work};
use crate::record::Part;
use thiserror::Error;

/// A plan that contradicts itself: a mistake in this program.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Note {
    /// A part would be made before its old self is removed.
    #[error("{0} does not wait for its own removal")]
    CreatesBeforeRm(StepId),
    /// A part would be made before what it stands on.
    #[error("{0} does not wait for the part before it")]
    OutOfOrder(StepId),
    /// Something is done without a reason.
    #[error("{0} has no reason")]
    NoReason(StepId),
    /// What a step is called and what it does differ.
    #[error("{0} is a {1:?} but does {2}")]
    WrongWork(StepId, Action, String),
    /// A machine would be made that the plan says nothing of.
    #[error("{0} has no host")]
    NoHost(StepId),
}

/// All contradictions, in order.
#[must_use]
pub fn audit(plan: &Plan) -> Vec<Note> {
    let mut notes = Vec::new();
    for (id, step) in plan.steps.nodes() {
        let old = StepId { rm: true, ..id.clone() };
        if !id.rm && plan.steps.get(&old).is_some() && !plan.steps.needs(id).any(|need| *need == old) {
            notes.push(Note::CreatesBeforeRm(id.clone()));
        }
        let stands_on = Part::ALL.into_iter().filter(|p| *p < id.part);
        let before = stands_on.map(|part| StepId { part, ..id.clone() }).rfind(|s| plan.steps.get(s).is_some());
        if before.is_some_and(|before| !plan.steps.needs(id).any(|need| *need == before)) {
            notes.push(Note::OutOfOrder(id.clone()));
        }
        if step.reasons.is_empty() {
            notes.push(Note::NoReason(id.clone()));
        }
        if !fits(id, step.action, &step.work) {
            notes.push(Note::WrongWork(id.clone(), step.action, format!("{:?}", step.work)));
        }
        if step.action != Action::Keep && !id.rm && !plan.hosts.contains_key(&id.machine) {
            notes.push(Note::NoHost(id.clone()));
        }
    }
    notes
}

fn fits(id: &StepId, action: Action, work: &Work) -> bool {
    match (id.part, id.rm, action) {
        (_, false, Action::Keep) => matches!(work, Work::Nothing | Work::Blocked(_)),
        (Part::Remains, true, Action::Keep) => matches!(work, Work::Nothing),
        (Part::Remains, true, Action::Rm) => matches!(work, Work::Bury(_)),
        (Part::Instance, true, Action::Rm) => matches!(work, Work::RmInstance),
        (Part::Instance, false, Action::Create) => matches!(work, Work::CreateInstance),
        (Part::Instance, false, Action::Upgrade) => {
            matches!(work, Work::Record | Work::RecordInstance(_) | Work::ChangeInstance { .. } | Work::StartInstance)
        }
        (Part::Certificate, false, Action::Create | Action::Upgrade) => matches!(work, Work::Certificate { .. }),
        (Part::Engine, false, Action::Create | Action::Upgrade) => {
            matches!(work, Work::Engine(_) | Work::NewestEngine(_))
        }
        _ => false,
    }
}
