//! How a change goes through machines that are in use: a window, so that no more than so many are down at once because
//! of it, and the first failure stops what has not begun. Both are edges between steps.

use super::{Action, StepId, Work, diff::Steps};
use crate::{
    fleet::{HostSpec, Limit},
    name::MachineName,
    record::{Part, Power, Reach, Snapshot},
};
use std::collections::{BTreeMap, BTreeSet};

/// A window wider than both this and `policy.parallel` would never be full.
const WIDEST: usize = 64;

/// Machines in use that are changed, in the order the window goes over them.
pub(super) struct Roll<'a> {
    steps: &'a Steps,
    /// Those that are down already come first: repairing them takes nothing down.
    down: usize,
    machines: Vec<&'a MachineName>,
    /// Those that do not answer, and that nothing is done to: each takes a place in the window.
    asleep: Vec<&'a MachineName>,
    /// How many machines of the fleet there are now, of which a limit may be a share.
    there: usize,
}

impl<'a> Roll<'a> {
    pub(super) fn new(hosts: &'a BTreeMap<MachineName, HostSpec>, snapshot: &Snapshot, steps: &'a Steps) -> Self {
        let known = |name: &MachineName| snapshot.machines.get(name).filter(|known| known.record.instance.is_some());
        let there = hosts.keys().filter(|name| known(name).is_some()).count();
        let is_down = |name: &MachineName| {
            let observed = known(name).and_then(|known| known.observed.as_ref());
            observed.is_some_and(|seen| {
                seen.power.is_off() || seen.power == Power::Gone || matches!(seen.host, Reach::Failed(_))
            })
        };
        let changed: BTreeSet<&MachineName> =
            steps.iter().filter(|(id, _)| takes_down(id, steps)).map(|(id, _)| &id.machine).collect();
        let in_use = |name: &MachineName| known(name).is_some() && changed.contains(name);
        // Those that wait, at whatever remove, for none that is up: others would wait for each other in a circle.
        let mut clear: BTreeSet<&MachineName> = BTreeSet::new();
        let (mut machines, mut rest) = (Vec::new(), Vec::new());
        for name in in_order(hosts) {
            let is_clear =
                hosts[name].depends_on.iter().all(|on| clear.contains(on)) && (!in_use(name) || is_down(name));
            clear.extend(is_clear.then_some(name));
            if in_use(name) {
                if is_clear { machines.push(name) } else { rest.push(name) }
            }
        }
        let down = machines.len();
        machines.append(&mut rest);
        let asleep = hosts.iter().filter(|(name, host)| !host.optional && is_down(name) && !in_use(name));
        let asleep = asleep.map(|(name, _)| name).collect();
        Self { steps, down, machines, asleep, there }
    }

    /// How many may be down because of what is done to them, beside those that are anyway.
    fn width(&self, limit: Limit) -> usize {
        limit.of(self.there).max(1).saturating_sub(self.asleep.len())
    }

    /// Machines that may not be changed, because as many as may be are down anyway; and why.
    pub(super) fn held(&self, limit: Limit) -> Option<(Vec<MachineName>, String)> {
        let up = &self.machines[self.down..];
        if self.width(limit) > 0 || up.is_empty() {
            return None;
        }
        let asleep: Vec<String> = self.asleep.iter().map(|name| format!("`{name}`")).collect();
        let verb = if asleep.len() == 1 { "does" } else { "do" };
        let why = format!("`max_unavailable: {limit}` is used up: {} {verb} not answer", asleep.join(", "));
        Some((up.iter().map(|name| (*name).clone()).collect(), why))
    }

    /// Edges `(later, earlier)` between steps, which `of` gives with their numbers for a machine.
    pub(super) fn edges<'s>(
        &self,
        limit: Limit,
        parallel: usize,
        of: impl Fn(&MachineName) -> Vec<(usize, &'s StepId)>,
    ) -> Vec<(usize, usize)> {
        let width = self.width(limit).max(1).min(parallel.max(WIDEST));
        // What each machine begins with that could take it down, and what it is up again after.
        let ends: Vec<(usize, usize)> = self.machines.iter().map(|machine| self.ends(&of(machine))).collect();
        let mut edges = Vec::new();
        for later in self.down.max(width)..ends.len() {
            // Each waits for every one before the window. Those further back are waited for by these in turn.
            let nearest = later - width;
            edges.extend((nearest.saturating_sub(width - 1)..=nearest).map(|earlier| (ends[later].0, ends[earlier].1)));
            // Those that are down wait for no other machine, so no machine waits for others through them.
            if nearest < self.down {
                edges.extend((0..nearest).map(|earlier| (ends[later].0, ends[earlier].1)));
            }
        }
        edges
    }

    fn ends(&self, of_machine: &[(usize, &StepId)]) -> (usize, usize) {
        // Hooks take it out of service and back. Steps of a machine stand in the order they are made.
        let busy = |id: &StepId| id.hook.is_some() || takes_down(id, self.steps);
        let busy: Vec<&(usize, &StepId)> = of_machine.iter().filter(|(_, id)| busy(id)).collect();
        match (busy.first(), busy.last()) {
            (Some((first, _)), Some((last, _))) => (*first, *last),
            _ => unreachable!("a machine is in the roll because of such a step"),
        }
    }
}

/// Whether a step can stop what runs on its machine, or is part of bringing that back.
fn takes_down(id: &StepId, steps: &Steps) -> bool {
    let step = &steps[id];
    match &step.work {
        Work::Nothing | Work::Blocked(_) | Work::Record | Work::RecordInstance(_) | Work::Bury(_) | Work::Hook(_) => {
            false
        }
        // The return of machines that only go is not waited for.
        Work::RmInstance => steps.contains_key(&StepId { part: Part::Instance, rm: false, ..id.clone() }),
        Work::CreateInstance
        | Work::ChangeInstance { .. }
        | Work::StartInstance
        | Work::Certificate { .. }
        | Work::Engine(_)
        | Work::NewestEngine(_) => step.action != Action::Keep,
    }
}

/// Hosts, each after all it depends on; by name where that is free.
fn in_order(hosts: &BTreeMap<MachineName, HostSpec>) -> Vec<&MachineName> {
    let mut waits: BTreeMap<&MachineName, usize> = BTreeMap::new();
    let mut needed_by: BTreeMap<&MachineName, Vec<&MachineName>> = BTreeMap::new();
    for (name, host) in hosts {
        let on: Vec<&MachineName> = host.depends_on.iter().filter(|on| hosts.contains_key(*on)).collect();
        waits.insert(name, on.len());
        for on in on {
            needed_by.entry(on).or_default().push(name);
        }
    }
    let mut ready: BTreeSet<&MachineName> = waits.iter().filter(|(_, n)| **n == 0).map(|(name, _)| *name).collect();
    let mut order = Vec::with_capacity(hosts.len());
    while let Some(name) = ready.pop_first() {
        order.push(name);
        for later in needed_by.remove(name).unwrap_or_default() {
            let left = waits.get_mut(later).expect("every host is counted");
            *left -= 1;
            if *left == 0 {
                ready.insert(later);
            }
        }
    }
    order
}
