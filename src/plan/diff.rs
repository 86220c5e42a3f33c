//! What has to be done to one host, part by part.

use super::{Action, Inputs, Reason, Step, StepId, Work, hooks};
use crate::{
    fleet::HostSpec,
    name::{FleetName, MachineName},
    part::{
        Ask, ON_HOST,
        instance::{self, Next},
    },
    record::{Known, Part, Pending, Snapshot},
};
use std::collections::BTreeMap;

/// Steps of a plan, by what they are about.
pub(super) type Steps = BTreeMap<StepId, Step>;

/// Steps as they are found; each is there once.
pub(super) type Found = Vec<(StepId, Step)>;

fn id(machine: &MachineName, part: Part) -> StepId {
    StepId::part(machine, part)
}

/// Adds the steps of a host that the fleet wants, and the hooks around them.
pub(super) fn host(
    fleet: Option<&FleetName>,
    name: &MachineName,
    spec: &HostSpec,
    snapshot: &Snapshot,
    renew_before_days: i64,
    inputs: &Inputs<'_>,
    steps: &mut Found,
) {
    let from = steps.len();
    parts(fleet, name, spec, snapshot, renew_before_days, inputs, steps);
    hooks::around(name, &spec.hooks, snapshot.machines.get(name), from, steps);
}

fn parts(
    fleet: Option<&FleetName>,
    name: &MachineName,
    spec: &HostSpec,
    snapshot: &Snapshot,
    renew_before_days: i64,
    inputs: &Inputs<'_>,
    steps: &mut Found,
) {
    if let Some(why) = snapshot.broken.get(name.as_str()) {
        return block(name, why.clone(), steps);
    }
    let Some(known) = snapshot.machines.get(name) else {
        if let Some(why) = snapshot.unreadable_remains(name) {
            return block(name, why, steps);
        }
        return create(name, spec, &Reason::NotRecorded, steps);
    };
    if let Some(other) = known.record.fleet.as_ref().filter(|other| Some(*other) != fleet) {
        return block(name, format!("a machine of this name belongs to fleet `{other}`"), steps);
    }
    let Inputs { now, provisioners, .. } = *inputs;
    let ask = Ask { name, spec, known, now, renew_before_days, provisioners };
    let Some(driver) = inputs.drivers.get(&spec.driver) else {
        let Some(step) = instance::unknown(spec, known) else {
            return block(name, format!("driver `{}` is not known", spec.driver), steps);
        };
        steps.push((id(name, Part::Instance), step));
        return on_host(&ask, steps);
    };
    let adopted = known.record.fleet.is_none() && fleet.is_some();
    match instance::next(fleet, spec, known, driver) {
        Next::Create(reasons) if adopted && known.record.pending.contains_key(&Part::Instance) => {
            let why = list_reasons(&reasons);
            block(
                name,
                format!(
                    "a machine of this name was begun outside of the fleet ({why}); end that first: machine provision {name}, or machine rm {name}"
                ),
                steps,
            );
        }
        Next::Replace(reasons) if adopted => {
            let why = list_reasons(&reasons);
            block(
                name,
                format!(
                    "a machine of this name is in the store, belongs to no fleet and would have to be replaced ({why}); rename the host, or give that machine to the fleet: machine adopt --fleet {} {name}",
                    fleet.map_or("", FleetName::as_str)
                ),
                steps,
            );
        }
        Next::Create(mut reasons) => {
            reasons.extend(adopted.then_some(Reason::Adopted));
            create_for(name, spec, &reasons, steps);
        }
        Next::Replace(reasons) => {
            steps.push((
                StepId::rm(name),
                Step { action: Action::Rm, reasons: reasons.clone(), work: Work::RmInstance },
            ));
            create_for(name, spec, &reasons, steps);
        }
        Next::Blocked(why) => block(name, why, steps),
        Next::Step(step) => {
            steps.push((id(name, Part::Instance), step));
            on_host(&ask, steps);
        }
    }
}

/// Adds the steps of the parts that are on a host which stays.
fn on_host(ask: &Ask<'_>, steps: &mut Found) {
    let wanted = ON_HOST.iter().filter(|entry| (entry.wanted)(ask.spec));
    steps.extend(wanted.map(|entry| (id(ask.name, entry.part), (entry.stays)(ask))));
}

/// Adds the removal of a machine, or says why it stays.
pub(super) fn rm(name: &MachineName, known: &Known, reason: &Reason, steps: &mut Found) {
    // A removal that was begun was asked for then; until it has ended, nothing else can become of the machine.
    let begun = known.record.pending.get(&Part::Instance) == Some(&Pending::Rm);
    if *reason == Reason::NotPruned && !begun {
        steps.push((id(name, Part::Instance), Step::keep(Reason::NotPruned)));
        return;
    }
    let reason = if *reason == Reason::NotPruned { &Reason::NotInFleet } else { reason };
    let mut reasons = vec![reason.clone()];
    if let Some(pending) = known.record.pending.get(&Part::Instance) {
        reasons.push(Reason::Interrupted(*pending));
    }
    let from = steps.len();
    steps.push((StepId::rm(name), Step { action: Action::Rm, reasons, work: Work::RmInstance }));
    hooks::around(name, &known.record.hooks.spec, Some(known), from, steps);
}

fn list_reasons(reasons: &[Reason]) -> String {
    reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn block(name: &MachineName, why: String, steps: &mut Found) {
    steps.push(blocked(name, why));
}

/// A machine that nothing may be done to.
pub(super) fn blocked(name: &MachineName, why: String) -> (StepId, Step) {
    let step = Step { action: Action::Keep, reasons: vec![Reason::Blocked(why.clone())], work: Work::Blocked(why) };
    (id(name, Part::Instance), step)
}

fn create(name: &MachineName, spec: &HostSpec, reason: &Reason, steps: &mut Found) {
    create_for(name, spec, std::slice::from_ref(reason), steps);
}

/// Makes the instance for the given reasons, and the rest because the instance is new.
fn create_for(name: &MachineName, spec: &HostSpec, reasons: &[Reason], steps: &mut Found) {
    let rest = match reasons {
        [Reason::NotRecorded] => Reason::NotRecorded,
        _ => Reason::Rebuilt,
    };
    let step = |work, reasons: Vec<Reason>| Step { action: Action::Create, reasons, work };
    steps.push((id(name, Part::Instance), step(Work::CreateInstance, reasons.to_vec())));
    let wanted = ON_HOST.iter().filter(|entry| (entry.wanted)(spec));
    steps.extend(wanted.map(|entry| (id(name, entry.part), step((entry.made)(spec), vec![rest.clone()]))));
}
