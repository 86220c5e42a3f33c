//! Which hooks go with the steps of one machine.

use super::{Action, Reason, Step, StepId, Work, diff::Found};
use crate::{
    hook::{HookId, Hooks, On, Point},
    name::MachineName,
    part::difference,
    record::{Known, MachineRecord, Part, Pending, Power},
};

/// What happens to a machine, as far as hooks care.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Cycle {
    /// Some of it is made.
    Create,
    /// It is there and something on it changes.
    Upgrade,
    /// Nothing, or only its record.
    Nothing,
}

/// Adds the hooks around the steps from `from` on, which are all of one machine.
///
/// Those before something is done go with each attempt at it, but for those that have ended well since the attempt
/// began. Those after it go with every attempt, and stay due until they have ended well.
pub(super) fn around(name: &MachineName, hooks: &Hooks, known: Option<&Known>, from: usize, steps: &mut Found) {
    forget_old(known, &mut steps[from..]);
    let here = &steps[from..];
    if hooks.is_empty() || here.iter().any(|(_, step)| matches!(step.work, Work::Blocked(_))) {
        return;
    }
    let removed = here.iter().any(|(id, _)| id.rm);
    let cycle = cycle(here);
    let new = here.iter().any(|(id, step)| !id.rm && id.part == Part::Instance && step.action == Action::Create);
    let record = known.map(|known| &known.record);
    let due = |id: &HookId| record.is_some_and(|r| r.hooks.is_pending(id));
    let mut add = |id: HookId, hook: &crate::hook::Hook| {
        let reason = if due(&id) { Reason::HookAgain } else { Reason::Hook };
        let work = Work::Hook(Box::new(hook.clone()));
        steps.push((StepId::hook(name, id), Step { action: Action::Run, reasons: vec![reason], work }));
    };
    for point in Point::ALL {
        // What was never there, or not known to be, has no host to log in to and needs no farewell.
        let was_there = record.is_some_and(|r| r.instance.is_some() || r.pending.contains_key(&Part::Instance));
        let goes_along = match point {
            Point::PreRm | Point::PostRm => removed && was_there,
            Point::PreCreate => new,
            Point::PostCreate => cycle == Cycle::Create,
            Point::PreUpgrade | Point::PostUpgrade => cycle == Cycle::Upgrade,
        };
        for (id, hook) in hooks.at(point) {
            let wanted = if point.is_before() {
                // What is made after a removal is made from the start.
                goes_along && ((removed && !point.is_rm()) || !has_ended(&id, record))
            } else {
                // One that did not end well is due although nothing else is to be done.
                goes_along || (due(&id) && point.is_rm() == removed)
            };
            if wanted && !(hook.on == On::Host && is_unreachable(point, known)) {
                add(id, hook);
            }
        }
    }
}

/// A hook before something that is not wanted any more is not due: it would count as begun when something else comes.
fn forget_old(known: Option<&Known>, here: &mut [(StepId, Step)]) {
    let Some(record) = known.map(|known| &known.record) else { return };
    let old = |point: &Point| point.is_before() && !(point.is_rm() && record.pending.contains_key(&Part::Instance));
    let Some((point, name)) = record.hooks.pending.iter().find(|(point, _)| old(point)) else { return };
    if here.iter().any(|(id, _)| id.rm) || cycle(here) != Cycle::Nothing {
        return;
    }
    let Some((_, step)) = here.iter_mut().find(|(id, _)| id.part == Part::Instance) else { return };
    if !matches!(step.work, Work::Nothing | Work::Record | Work::RecordInstance(_)) {
        return;
    }
    let reason = Reason::Changed(difference("hooks due", Some(&format!("{point} {name}")), None));
    if step.work == Work::Nothing {
        *step = Step { action: Action::Upgrade, reasons: vec![reason], work: Work::Record };
    } else {
        step.reasons.push(reason);
    }
}

/// Whether a login is impossible before something is done: it is off and switched on only then, or is gone.
fn is_unreachable(point: Point, known: Option<&Known>) -> bool {
    let power = known.and_then(|known| known.observed.as_ref()).map(|observed| observed.power);
    match point {
        Point::PreUpgrade => power.is_some_and(Power::is_off),
        Point::PreRm => power == Some(Power::Gone) || known.is_some_and(|known| known.record.instance.is_none()),
        Point::PreCreate | Point::PostRm => true,
        Point::PostCreate | Point::PostUpgrade => false,
    }
}

fn cycle(steps: &[(StepId, Step)]) -> Cycle {
    let mut cycle = Cycle::Nothing;
    for (id, step) in steps.iter().filter(|(id, _)| !id.rm) {
        match (step.action, &step.work) {
            (Action::Create, _) => return Cycle::Create,
            (_, Work::Nothing | Work::Record | Work::RecordInstance(_)) => {}
            (Action::Upgrade, _) if id.hook.is_none() => cycle = Cycle::Upgrade,
            _ => {}
        }
    }
    cycle
}

/// Whether a hook before something has already ended well for what an earlier run began and did not end.
fn has_ended(id: &HookId, record: Option<&MachineRecord>) -> bool {
    let Some(record) = record else { return false };
    if record.hooks.is_pending(id) {
        return false;
    }
    let begun = match id.point {
        Point::PreRm | Point::PostRm => record.pending.get(&Part::Instance) == Some(&Pending::Rm),
        Point::PreCreate | Point::PostCreate => {
            record.pending.get(&Part::Instance) != Some(&Pending::Rm) && !record.pending.is_empty()
        }
        Point::PreUpgrade | Point::PostUpgrade => !record.pending.is_empty(),
    };
    let others_due = record.hooks.pending.iter().any(|(point, _)| *point == id.point);
    // One that came into the file since then has not been run.
    (begun || others_due) && record.hooks.spec.get(id.point, &id.name).is_some()
}
