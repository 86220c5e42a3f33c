//! Which step waits for which. Every limit on order is an edge here, visible and testable.

use super::{StepId, diff::Steps};
use crate::{fleet::HostSpec, graph::Graph, name::MachineName, record::Snapshot};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

/// Puts the steps in order.
pub(super) fn graph(
    hosts: &BTreeMap<MachineName, HostSpec>,
    snapshot: &Snapshot,
    steps: Steps,
) -> Graph<StepId, super::Step> {
    let numbers = Numbers::new(&steps);
    let mut edges = Vec::with_capacity(steps.len() * 2);
    for of_machine in &numbers.machines {
        inside(of_machine.clone(), &mut edges);
    }
    for (name, spec) in hosts.iter().filter(|(_, spec)| !spec.depends_on.is_empty()) {
        let Some(first) = numbers.first(name, false) else { continue };
        edges.extend(spec.depends_on.iter().filter_map(|earlier| Some((first, numbers.last(earlier, false)?))));
    }
    let removals = removals(snapshot, &numbers);
    if removals.is_empty() {
        return Graph::numbered(steps, edges).expect("`resolve` refuses a fleet with a cycle");
    }
    match Graph::numbered(steps.clone(), edges.iter().chain(&removals).copied()) {
        Ok(graph) => graph,
        // Records of different times can contradict each other, and then no order of removal is right:
        // within the contradiction any is as good. The fleet's own order is never dropped.
        Err(cycles) => {
            let tangled: BTreeSet<StepId> = cycles.into_iter().flat_map(|c| c.0).collect();
            let is_tangled = |n: usize| tangled.contains(numbers.ids[n]);
            edges.extend(removals.into_iter().filter(|(a, b)| !(is_tangled(*a) && is_tangled(*b))));
            drop(numbers);
            Graph::numbered(steps, edges).expect("`resolve` refuses a fleet with a cycle")
        }
    }
}

/// Steps by their number in the order of their keys.
struct Numbers<'a> {
    ids: Vec<&'a StepId>,
    /// Numbers of the steps of each machine, by name.
    machines: Vec<Range<usize>>,
}

impl<'a> Numbers<'a> {
    fn new(steps: &'a Steps) -> Self {
        let ids: Vec<&StepId> = steps.keys().collect();
        let mut machines = Vec::with_capacity(ids.len() / 3);
        for of_machine in ids.chunk_by(|a, b| a.machine == b.machine) {
            let start = machines.last().map_or(0, |before: &Range<usize>| before.end);
            machines.push(start..start + of_machine.len());
        }
        Self { ids, machines }
    }

    fn of(&self, machine: &MachineName) -> Range<usize> {
        let found = self.machines.binary_search_by(|range| self.ids[range.start].machine.cmp(machine));
        found.map_or(0..0, |n| self.machines[n].clone())
    }

    /// What comes first when a machine is made or kept, or when it is removed.
    fn first(&self, machine: &MachineName, rm: bool) -> Option<usize> {
        self.of(machine).find(|n| self.ids[*n].rm == rm)
    }

    /// What comes last when a machine is made or kept, or when it is removed.
    fn last(&self, machine: &MachineName, rm: bool) -> Option<usize> {
        self.of(machine).rfind(|n| self.ids[*n].rm == rm)
    }
}

/// One step after the other, in the order of their keys: a removal, then hooks before, the parts, hooks after.
fn inside(of_machine: Range<usize>, edges: &mut Vec<(usize, usize)>) {
    edges.extend(of_machine.clone().skip(1).map(|n| (n, n - 1)));
}

/// The recorded order backwards: what depended on a machine goes before it does.
fn removals(snapshot: &Snapshot, numbers: &Numbers<'_>) -> Vec<(usize, usize)> {
    let mut edges = Vec::new();
    for (dependant, known) in snapshot.machines.iter().filter(|(_, known)| !known.record.depends_on.is_empty()) {
        let Some(last) = numbers.last(dependant, true) else { continue };
        let on = known.record.depends_on.iter();
        edges.extend(on.filter_map(|on| Some((numbers.first(on, true)?, last))));
    }
    edges
}
