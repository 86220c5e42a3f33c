//! Checks that every plan must pass, however it was made. Tests run it on every plan any test makes, and
//! `apply` before it touches anything.

use super::{Action, Plan, StepId, Work};
use crate::{part, record::Part};
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
    #[error("{0} is called `{1}` and does something else")]
    WrongWork(StepId, Action),
    /// A machine would be made that the plan says nothing of.
    #[error("{0} has no host")]
    NoHost(StepId),
}

/// All contradictions, in order.
#[must_use]
pub fn audit(plan: &Plan) -> Vec<Note> {
    let mut notes = Vec::new();
    let mut last: Option<&StepId> = None;
    for (id, step) in plan.steps.nodes() {
        // What an earlier machine of the name left is another matter than this one; `order` says what waits for it.
        let earlier = if id.part == Part::Remains { None } else { last.replace(id) };
        // Hooks stand between all else, so each waits for what is before it.
        let earlier = earlier.filter(|earlier| earlier.machine == id.machine);
        let has_hook = id.hook.is_some() || earlier.is_some_and(|earlier| earlier.hook.is_some());
        if has_hook && earlier.is_some_and(|earlier| !plan.steps.needs(id).any(|need| need == earlier)) {
            notes.push(Note::OutOfOrder(id.clone()));
        }
        let is_hook = id.hook.is_some();
        // A removal stands right before its replacement.
        let old = earlier.filter(|earlier| earlier.rm && !id.rm);
        if old.is_some_and(|old| !plan.steps.needs(id).any(|need| need == old)) {
            notes.push(Note::CreatesBeforeRm(id.clone()));
        }
        let stands_on = Part::ALL.into_iter().filter(|p| *p < id.part);
        let before = stands_on.map(|part| StepId { part, ..id.clone() }).rfind(|s| plan.steps.get(s).is_some());
        if !is_hook && before.is_some_and(|before| !plan.steps.needs(id).any(|need| *need == before)) {
            notes.push(Note::OutOfOrder(id.clone()));
        }
        if step.reasons.is_empty() {
            notes.push(Note::NoReason(id.clone()));
        }
        if !fits(id, step.action, &step.work) {
            notes.push(Note::WrongWork(id.clone(), step.action));
        }
        if step.action != Action::Keep && !id.rm && !plan.hosts.contains_key(&id.machine) {
            notes.push(Note::NoHost(id.clone()));
        }
    }
    notes
}

fn fits(id: &StepId, action: Action, work: &Work) -> bool {
    if let Some(hook) = &id.hook {
        return action == Action::Run && id.rm == hook.point.is_rm() && matches!(work, Work::Hook(_));
    }
    match (id.part, id.rm, action) {
        (_, false, Action::Keep) => matches!(work, Work::Nothing | Work::Blocked(_)),
        (Part::Remains, true, Action::Keep) => matches!(work, Work::Nothing),
        (Part::Remains, true, Action::Rm) => matches!(work, Work::Bury(_)),
        (Part::Instance, true, Action::Rm) => matches!(work, Work::RmInstance),
        (part, false, action) => part::fits(part, action, work),
        _ => false,
    }
}
