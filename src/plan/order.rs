//! Which step waits for which. Every limit on order is an edge here, visible and testable.

use super::{Action, StepId, diff::Steps};
use crate::{
    fleet::HostSpec,
    graph::Graph,
    name::MachineName,
    record::{Part, Snapshot},
};
use std::collections::{BTreeMap, BTreeSet};

fn id(machine: &MachineName, part: Part, rm: bool) -> StepId {
    StepId { machine: machine.clone(), part, rm }
}

/// Puts the steps in order.
pub(super) fn graph(
    hosts: &BTreeMap<MachineName, HostSpec>,
    snapshot: &Snapshot,
    steps: Steps,
) -> Graph<StepId, super::Step> {
    let mut edges = Vec::with_capacity(steps.len() * 2);
    for step in steps.keys() {
        inside(step, &steps, &mut edges);
    }
    for (name, spec) in hosts {
        for earlier in &spec.depends_on {
            if let Some(last) = last_part(earlier, &steps) {
                edges.push((id(name, Part::Instance, false), last));
            }
        }
    }
    let removals = removals(snapshot, &steps);
    match Graph::build(steps.clone(), edges.iter().cloned().chain(removals.iter().cloned())) {
        Ok(graph) => graph,
        // Records of different times can contradict each other, and then no order of removal is right:
        // within the contradiction any is as good. The fleet's own order is never dropped.
        Err(cycles) => {
            let tangled: BTreeSet<StepId> = cycles.into_iter().flat_map(|c| c.0).collect();
            let rest = removals.into_iter().filter(|(a, b)| !(tangled.contains(a) && tangled.contains(b)));
            Graph::build(steps, edges.into_iter().chain(rest)).expect("`resolve` refuses a fleet with a cycle")
        }
    }
}

/// Instance, then certificate, then engine; a removal before its replacement.
fn inside(step: &StepId, steps: &Steps, edges: &mut Vec<(StepId, StepId)>) {
    if step.rm {
        let new = id(&step.machine, step.part, false);
        if steps.contains_key(&new) {
            edges.push((new, step.clone()));
        }
        return;
    }
    let mut earlier = Part::ALL.into_iter().filter(|p| *p < step.part).map(|p| id(&step.machine, p, false));
    if let Some(before) = earlier.rfind(|s| steps.contains_key(s)) {
        edges.push((step.clone(), before));
    }
}

fn last_part(machine: &MachineName, steps: &Steps) -> Option<StepId> {
    Part::ALL.into_iter().rev().map(|p| id(machine, p, false)).find(|s| steps.contains_key(s))
}

/// The recorded order backwards: what depended on a machine goes before it does.
fn removals(snapshot: &Snapshot, steps: &Steps) -> Vec<(StepId, StepId)> {
    let mut edges = Vec::new();
    for (dependant, known) in &snapshot.machines {
        let first = id(dependant, Part::Instance, true);
        if steps.get(&first).is_none_or(|s| s.action != Action::Rm) {
            continue;
        }
        for on in &known.record.depends_on {
            let then = id(on, Part::Instance, true);
            if steps.contains_key(&then) {
                edges.push((then, first.clone()));
            }
        }
    }
    edges
}
