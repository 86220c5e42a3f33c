//! The difference between what is desired and what is known, as steps.
//!
//! `(Fleet, Snapshot, now) → Plan`. Pure: same input, same bytes. `apply` obeys it and decides nothing.

pub mod audit;
pub mod basis;
mod diff;
pub mod document;
pub mod drift;
pub mod guard;
mod hooks;
pub mod markdown;
pub mod moved;
mod order;
mod remains;
pub mod render;
mod roll;
pub mod saved;
pub mod scope;
pub mod sealed;
pub mod source;
pub mod unified;

pub use crate::part::{Action, Reason, Step, StepId, Work};

use crate::{
    clock::Timestamp,
    driver::Drivers,
    engine::EngineSpec,
    fleet::{Fleet, HostSpec, Policy},
    graph::Graph,
    hook::{HookId, Hooks},
    name::{FleetName, MachineName},
    panicked::{caught, joined},
    provisioner::Provisioners,
    record::{Known, MachineRecord, OptionValues, Part, Snapshot},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What a host's record says once its steps are done; carried by the plan so that `apply` needs no fleet.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct HostPlan {
    /// The driver.
    pub driver: String,
    /// Its options.
    pub options: OptionValues,
    /// Hosts that must be complete first.
    pub depends_on: BTreeSet<MachineName>,
    /// Whether removal is refused.
    pub protect: bool,
    /// Whether its failure fails the run.
    pub optional: bool,
    /// Commands of the user's own, as the record keeps them.
    pub hooks: Hooks,
}

impl HostPlan {
    fn of(spec: &HostSpec) -> Self {
        let HostSpec { driver, options, engine: _, tls_names: _, depends_on, protect, optional, hooks } = spec;
        Self {
            driver: driver.clone(),
            options: options.clone(),
            depends_on: depends_on.clone(),
            protect: *protect,
            optional: *optional,
            hooks: hooks.clone(),
        }
    }
}

/// Everything `apply` will do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The fleet whose plan this is; `None` for a machine that no fleet owns.
    pub fleet: Option<FleetName>,
    /// Hosts that will be there.
    pub hosts: BTreeMap<MachineName, HostPlan>,
    /// What to do, and what each waits for.
    pub steps: Graph<StepId, Step>,
}

/// What a plan is made from, beside the fleet and the snapshot.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// The drivers; only their pure half is used.
    pub drivers: &'a Drivers,
    /// The provisioners.
    pub provisioners: Provisioners,
    /// Now, for certificates that end.
    pub now: Timestamp,
    /// Whether hosts that left the file are removed.
    pub prune: bool,
}

impl Plan {
    /// Plans the way from what is known to what is desired.
    #[must_use]
    pub fn new(fleet: &Fleet, snapshot: &Snapshot, inputs: &Inputs<'_>) -> Self {
        let (hosts, mut steps) = of_hosts(fleet, snapshot, inputs);
        let reason = if inputs.prune { Reason::NotInFleet } else { Reason::NotPruned };
        for (name, known) in owned(&fleet.name, snapshot) {
            if !fleet.hosts.contains_key(name) {
                diff::rm(name, known, &reason, &mut steps);
            }
        }
        steps.extend(remains::steps(
            Some(&fleet.name),
            snapshot,
            |_| true,
            |driver| inputs.drivers.get(driver).is_some(),
        ));
        Self {
            fleet: Some(fleet.name.clone()),
            hosts: hosts.into_iter().collect(),
            steps: order::graph(
                &fleet.hosts,
                &fleet.policy,
                snapshot,
                held(fleet, snapshot, steps.into_iter().collect()),
            ),
        }
    }

    /// Plans the way of one machine, of a fleet or not: what `create` and `provision` do.
    #[must_use]
    pub fn machine(name: &MachineName, spec: &HostSpec, snapshot: &Snapshot, inputs: &Inputs<'_>) -> Self {
        let fleet = snapshot.machines.get(name).and_then(|known| known.record.fleet.clone());
        let mut steps = diff::Found::new();
        diff::host(fleet.as_ref(), name, spec, snapshot, Policy::default().renew_before_days, inputs, &mut steps);
        let known = |driver: &str| inputs.drivers.get(driver).is_some();
        steps.extend(remains::steps(fleet.as_ref(), snapshot, |machine| machine == name, known));
        // Alone, it waits for no other host.
        let alone = BTreeMap::from([(name.clone(), spec.clone())]);
        let steps = order::graph(&alone, &Policy::default(), snapshot, steps.into_iter().collect());
        Self { fleet, hosts: BTreeMap::from([(name.clone(), HostPlan::of(spec))]), steps }
    }

    /// Plans the newest engine there is for one machine.
    #[must_use]
    pub fn upgrade(record: &MachineRecord, engine: EngineSpec) -> Self {
        let id = StepId::part(&record.name, Part::Engine);
        let work = Work::NewestEngine(Box::new(engine));
        let step = Step { action: Action::Upgrade, reasons: vec![Reason::Asked], work };
        let mut steps = vec![(id, step)];
        let known = Known { record: record.clone(), observed: None };
        hooks::around(&record.name, &record.hooks.spec, Some(&known), 0, &mut steps);
        Self {
            fleet: record.fleet.clone(),
            hosts: BTreeMap::from([(record.name.clone(), HostPlan::of(&HostSpec::recorded(record)))]),
            steps: order::graph(
                &BTreeMap::new(),
                &Policy::default(),
                &Snapshot::default(),
                steps.into_iter().collect(),
            ),
        }
    }

    /// Why a machine could not be looked at, if there is one.
    #[must_use]
    pub fn not_reached(&self) -> Option<&str> {
        let reasons = self.steps.nodes().flat_map(|(_, step)| &step.reasons);
        reasons.into_iter().find_map(|reason| match reason {
            Reason::NotReached(why) => Some(why.as_str()),
            _ => None,
        })
    }

    /// Why nothing may be done to a machine, if there is one of which that holds.
    #[must_use]
    pub fn blocked(&self) -> Option<&str> {
        self.steps.nodes().find_map(|(_, step)| match &step.work {
            Work::Blocked(why) => Some(why.as_str()),
            _ => None,
        })
    }

    /// Plans the removal of every machine that `fleet` owns.
    #[must_use]
    pub fn destroy(fleet: &FleetName, snapshot: &Snapshot) -> Self {
        let mut steps = diff::Found::new();
        for (name, known) in owned(fleet, snapshot) {
            diff::rm(name, known, &Reason::Destroyed, &mut steps);
        }
        steps.extend(remains::steps(Some(fleet), snapshot, |_| true, |_| true));
        Self {
            fleet: Some(fleet.clone()),
            hosts: BTreeMap::new(),
            steps: order::graph(&BTreeMap::new(), &Policy::default(), snapshot, steps.into_iter().collect()),
        }
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_noop(&self) -> bool {
        self.steps.nodes().all(|(_, step)| step.action == Action::Keep)
    }

    /// How many steps there are of an action.
    #[must_use]
    pub fn count(&self, action: Action) -> usize {
        self.steps.nodes().filter(|(_, step)| step.action == action).count()
    }

    /// Steps that do something, in the order of their keys.
    pub fn changes(&self) -> impl Iterator<Item = (&StepId, &Step)> {
        self.steps.nodes().filter(|(_, step)| step.action != Action::Keep)
    }

    /// Steps that are hooks, by machine.
    #[must_use]
    pub fn hooks(&self) -> BTreeMap<&MachineName, Vec<&StepId>> {
        let mut hooks: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (id, _) in self.steps.nodes().filter(|(id, _)| id.hook.is_some()) {
            hooks.entry(&id.machine).or_default().push(id);
        }
        hooks
    }

    /// Which of [`Self::hooks`] this plan comes to from a step on, itself included; those of a removal end with it.
    #[must_use]
    pub fn later(&self, hooks: &BTreeMap<&MachineName, Vec<&StepId>>, id: &StepId) -> Vec<HookId> {
        let of_machine = hooks.get(&id.machine).into_iter().flatten();
        of_machine.filter(|other| other.rm == id.rm && **other >= id).filter_map(|other| other.hook.clone()).collect()
    }

    /// Steps of one machine, in the order they are made.
    pub fn of<'a>(&'a self, machine: &'a MachineName) -> impl Iterator<Item = (&'a StepId, &'a Step)> {
        self.steps.nodes().filter(move |(id, _)| id.machine == *machine)
    }
}

/// Hosts that one thread plans: those of a larger fleet are planned by several at once.
const OF_A_THREAD: usize = 10_000;

/// What each host will be and the steps to it, by name.
fn of_hosts(fleet: &Fleet, snapshot: &Snapshot, inputs: &Inputs<'_>) -> (Vec<(MachineName, HostPlan)>, diff::Found) {
    let part = |hosts: &[(&MachineName, &HostSpec)]| {
        let mut steps = diff::Found::with_capacity(hosts.len() * 3);
        for (name, spec) in hosts {
            diff::host(Some(&fleet.name), name, spec, snapshot, fleet.policy.renew_before_days, inputs, &mut steps);
        }
        let plans: Vec<_> = hosts.iter().map(|(name, spec)| ((*name).clone(), HostPlan::of(spec))).collect();
        (plans, steps)
    };
    let hosts: Vec<_> = fleet.hosts.iter().collect();
    if hosts.len() <= OF_A_THREAD {
        return part(&hosts);
    }
    std::thread::scope(|scope| {
        let part = &part;
        let running: Vec<_> =
            hosts.chunks(OF_A_THREAD).map(|hosts| scope.spawn(move || caught(|| part(hosts)))).collect();
        let mut all = (Vec::with_capacity(hosts.len()), diff::Found::with_capacity(hosts.len() * 3));
        for thread in running {
            let (plans, steps) = joined(thread.join());
            all.0.extend(plans);
            all.1.extend(steps);
        }
        all
    })
}

/// The same, but for machines that may not be changed while others are down.
fn held(fleet: &Fleet, snapshot: &Snapshot, mut steps: diff::Steps) -> diff::Steps {
    let roll = |limit| roll::Roll::new(&fleet.hosts, snapshot, &steps).held(limit);
    let Some((machines, why)) = fleet.policy.max_unavailable.and_then(roll) else { return steps };
    let machines: BTreeSet<MachineName> = machines.into_iter().collect();
    steps.retain(|id, _| id.part == Part::Remains || !machines.contains(&id.machine));
    steps.extend(machines.iter().map(|name| diff::blocked(name, why.clone())));
    steps
}

fn owned<'a>(
    fleet: &'a FleetName,
    snapshot: &'a Snapshot,
) -> impl Iterator<Item = (&'a MachineName, &'a crate::record::Known)> {
    snapshot.machines.iter().filter(move |(_, known)| known.record.fleet.as_ref() == Some(fleet))
}
