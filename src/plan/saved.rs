//! A plan that was kept, and whether it still holds: bound to the fleet file by digest, and host by host to the
//! records and observations that it used.
//!
//! It is stale when something it touches has moved, and then names host and field. Hosts it does not touch may be
//! what they like. A plan that was begun and not ended goes on with what is left of it.

use super::{
    Action, Inputs, Plan, Reason, Step, StepId, Work,
    basis::{self, ANSWERED, Fields, LOOKED},
    guard::Consent,
    moved::{Ends, Moved, compare},
    sealed::Seal,
    source::Source,
};
use crate::{
    clock::Timestamp,
    fleet::{Fleet, HostSpec, Policy},
    graph::Graph,
    name::MachineName,
    record::{MachineRecord, Reach, Snapshot},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What a saved plan is bound to.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct Saved {
    /// Version of the `machine` that made it.
    pub machine: String,
    /// When it was made.
    #[schemars(with = "String")]
    pub created: Timestamp,
    /// Random: tells this plan from another that says the same.
    pub id: String,
    /// SHA-256 of this document without this field, so that a change by hand is noticed.
    pub digest: String,
    /// Tells the store it was made for from others.
    pub store: String,
    /// The fleet file it was made from.
    pub source: Source,
    /// What was allowed when it was made.
    pub consent: Given,
    /// How it is applied.
    #[schemars(with = "BTreeMap<String, Value>")]
    pub policy: Policy,
    /// What it used of each host that it touches or depends on, field by field.
    #[schemars(with = "BTreeMap<String, BTreeMap<String, String>>")]
    pub basis: BTreeMap<MachineName, Fields>,
}

/// What was allowed in so many words.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct Given {
    /// `--prune`, or `policy.prune`.
    pub prune: bool,
    /// `--allow-replace`.
    pub replace: bool,
    /// `--allow-delete=N`.
    pub delete: Option<usize>,
    /// The whole fleet is to go.
    #[serde(default)]
    pub destroy: bool,
}

impl Given {
    /// Together with what is allowed now.
    #[must_use]
    pub fn and(self, now: Consent) -> Consent {
        Consent {
            replace: self.replace || now.replace,
            delete: now.delete.or(self.delete),
            destroy: self.destroy || now.destroy,
        }
    }
}

impl Saved {
    /// What binds a plan that was just made from `snapshot`.
    #[must_use]
    pub fn new(plan: &Plan, snapshot: &Snapshot, inputs: &Inputs<'_>, source: Source, seal: &Seal) -> Self {
        let basis = basis::touched(plan).into_iter().map(|machine| {
            let fields = basis::fields(plan, &machine, snapshot, inputs.provisioners, seal);
            (machine, fields)
        });
        Self {
            machine: env!("CARGO_PKG_VERSION").to_owned(),
            created: inputs.now,
            id: String::new(),
            digest: String::new(),
            store: seal.store(),
            source,
            consent: Given { prune: inputs.prune, ..Given::default() },
            policy: Policy::default(),
            basis: basis.collect(),
        }
    }

    /// Whether machines were looked at for it.
    #[must_use]
    pub fn looked(&self) -> bool {
        self.basis.values().any(|fields| fields.contains_key(LOOKED))
    }

    /// What is left to do of `plan`, this plan's steps; those of hosts that cannot be looked at now will fail.
    /// `begun`: an earlier run has begun it, so that what it wanted may be there already.
    ///
    /// # Errors
    /// Everything that has moved.
    pub fn left(
        &self,
        plan: &Plan,
        snapshot: &Snapshot,
        inputs: &Inputs<'_>,
        seal: &Seal,
        begun: bool,
    ) -> Result<Plan, Vec<Moved>> {
        let again = self.again(plan, snapshot, inputs);
        let touched: BTreeSet<&MachineName> = plan.changes().map(|(id, _)| &id.machine).collect();
        let blind = plan.changes().any(|(id, _)| self.blind(id, snapshot).is_some());
        if !blind && again.changes().all(|(id, _)| !touched.contains(&id.machine)) {
            return Ok(without(plan, |_| Some(Work::Nothing)));
        }
        let (mut moved, mut resumed) = (Vec::new(), BTreeSet::new());
        for (machine, old) in &self.basis {
            let new = basis::fields(plan, machine, snapshot, inputs.provisioners, seal);
            let differs = compare(machine, old, &new);
            if differs.is_empty() {
                continue;
            }
            let ends = Ends::of(plan, machine, seal);
            if begun && touched.contains(machine) && differs.iter().all(|d| ends.explains(d)) {
                resumed.insert(machine);
            } else {
                let own = |d: &Moved| !(begun && ends.explains(d));
                moved.extend(differs.into_iter().filter(own));
            }
        }
        for (id, step) in again.changes().filter(|(id, _)| resumed.contains(&id.machine)) {
            if plan.steps.get(id).is_none_or(|planned| planned.action == Action::Keep) {
                let why = step.reasons.first().map(ToString::to_string).unwrap_or_default();
                moved.push(Moved {
                    host: Some(id.machine.to_string()),
                    field: format!("{}, {why}", id.what()),
                    old: None,
                    new: None,
                });
            }
        }
        if !moved.is_empty() {
            return Err(moved);
        }
        let to_do: BTreeSet<&StepId> = again.changes().map(|(id, _)| id).collect();
        Ok(without(plan, |id| {
            if resumed.contains(&id.machine) && !to_do.contains(id) {
                return Some(Work::Nothing);
            }
            self.blind(id, snapshot)
        }))
    }

    /// A host that was looked at for the plan and cannot be now is nothing to be worked on unseen.
    fn blind(&self, id: &StepId, snapshot: &Snapshot) -> Option<Work> {
        self.basis.get(&id.machine)?.get(ANSWERED)?;
        match &snapshot.machines.get(&id.machine)?.observed.as_ref()?.host {
            Reach::Failed(why) => {
                Some(Work::Blocked(format!("it answered when the plan was made and does not now: {why}")))
            }
            _ => None,
        }
    }

    /// What would be planned now for the hosts of this plan, from what it says itself.
    fn again(&self, plan: &Plan, snapshot: &Snapshot, inputs: &Inputs<'_>) -> Plan {
        let Some(name) = plan.fleet.clone() else { return plan.clone() };
        let touched: BTreeSet<&MachineName> = plan.changes().map(|(id, _)| &id.machine).collect();
        let specs = touched.iter().filter_map(|machine| {
            let record = snapshot.machines.get(*machine).map(|known| &known.record);
            Some(((*machine).clone(), wanted(plan, machine, record)?))
        });
        let fleet = Fleet { name, hosts: specs.collect(), policy: self.policy.clone() };
        // Machines of the fleet that this plan does not touch are none of its business.
        let mine = |name: &&MachineName| touched.contains(name);
        let machines = snapshot.machines.iter().filter(|(name, _)| mine(name));
        let tombstones = snapshot.tombstones.iter().filter(|(_, stone)| mine(&&stone.machine));
        let snapshot = Snapshot {
            machines: machines.map(|(name, known)| (name.clone(), known.clone())).collect(),
            broken: snapshot.broken.clone(),
            tombstones: tombstones.map(|(id, stone)| (id.clone(), stone.clone())).collect(),
            broken_tombstones: snapshot.broken_tombstones.clone(),
        };
        Plan::new(&fleet, &snapshot, &Inputs { prune: true, ..*inputs })
    }
}

/// What a plan wants of a host; `None` when it wants it gone.
fn wanted(plan: &Plan, machine: &MachineName, record: Option<&MachineRecord>) -> Option<HostSpec> {
    let host = plan.hosts.get(machine)?;
    let recorded = record.map(HostSpec::recorded);
    let mut spec = HostSpec {
        driver: host.driver.clone(),
        options: host.options.clone(),
        engine: recorded.as_ref().and_then(|r| r.engine.clone()),
        tls_names: recorded.map(|r| r.tls_names).unwrap_or_default(),
        depends_on: host.depends_on.clone(),
        protect: host.protect,
        optional: host.optional,
        hooks: host.hooks.clone(),
    };
    for (_, step) in plan.of(machine) {
        match &step.work {
            Work::Engine(engine) | Work::NewestEngine(engine) => spec.engine = Some((**engine).clone()),
            Work::Certificate { names, .. } => spec.tls_names.clone_from(names),
            _ => {}
        }
    }
    Some(spec)
}

/// A plan in which some steps do something else: nothing, or fail.
fn without(plan: &Plan, instead: impl Fn(&StepId) -> Option<Work>) -> Plan {
    let mut steps = BTreeMap::new();
    let mut edges = Vec::new();
    for (id, step) in plan.steps.nodes() {
        let step = match instead(id).filter(|_| step.action != Action::Keep) {
            None => step.clone(),
            Some(Work::Blocked(why)) => {
                Step { action: Action::Keep, reasons: vec![Reason::Blocked(why.clone())], work: Work::Blocked(why) }
            }
            Some(work) => Step { action: Action::Keep, reasons: vec![Reason::UpToDate], work },
        };
        edges.extend(plan.steps.needs(id).map(|need| (id.clone(), need.clone())));
        steps.insert(id.clone(), step);
    }
    let steps = Graph::build(steps, edges).expect("a part of a graph without cycles has none");
    Plan { fleet: plan.fleet.clone(), hosts: plan.hosts.clone(), steps }
}
