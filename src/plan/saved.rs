//! A plan that was kept, and whether it still holds: bound to the fleet file by digest, and host by host to the
//! records and observations that it used.
//!
//! It is stale when something it touches has moved, and then names host and field. Hosts it does not touch may be
//! what they like. A plan that was begun and not ended goes on with what is left of it.

use super::{
    Action, Inputs, Plan, Reason, Step, StepId, Work,
    basis::{self, ANSWERED, Fields, HOOKS_DUE, LOOKED, ON_HOST, RECORDED, Use},
    guard::Consent,
    sealed::Seal,
};
use crate::{
    clock::Timestamp,
    digest::sha256_hex,
    fleet::{Fleet, HostSpec, Policy},
    graph::Graph,
    name::MachineName,
    record::{MachineRecord, OptionValues, Part, Reach, Snapshot},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

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

/// The fleet file a plan was made from.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct Source {
    /// The files that were read; none when it came through standard input.
    pub files: Vec<SourceFile>,
    /// SHA-256 of what they mean, so that comments and layout do not matter.
    pub digest: String,
    /// The beginning of the same for each host, to name those that changed.
    pub hosts: BTreeMap<String, String>,
    /// The commit, where the file is in a git repository and that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

/// One file that was read.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct SourceFile {
    /// Where it was, absolute.
    pub path: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
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

/// Something that moved since the plan was made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Moved {
    /// The host; `None`: what the whole plan stands on.
    pub host: Option<String>,
    /// What moved.
    pub field: String,
    /// How it was.
    pub old: Option<String>,
    /// How it is.
    pub new: Option<String>,
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = &self.host {
            write!(f, "`{host}`: ")?;
        }
        write!(f, "{}", self.field)?;
        let none = if self.field.starts_with(ON_HOST) { "(as planned for)" } else { "(none)" };
        let side = |side: &Option<String>| side.clone().unwrap_or_else(|| none.to_owned());
        match (&self.old, &self.new) {
            (None, None) => Ok(()),
            _ => write!(f, ": {} → {}", side(&self.old), side(&self.new)),
        }
    }
}

impl Source {
    /// What a fleet means, without the files it came from.
    #[must_use]
    pub fn of(fleet: &Fleet, seal: &Seal) -> Self {
        let digest = |value: &Value| {
            let mut value = seal.value(value);
            value.sort_all_objects();
            sha256_hex(value.to_string().as_bytes())
        };
        let host = |spec: &HostSpec| digest(&serde_json::to_value(spec).expect("a host is plain data"));
        let hosts: BTreeMap<String, String> =
            fleet.hosts.iter().map(|(name, spec)| (name.to_string(), host(spec))).collect();
        let whole = serde_json::json!({ "name": fleet.name, "policy": fleet.policy, "hosts": hosts });
        let short = |(name, digest): (String, String)| (name, digest[..16].to_owned());
        Self { files: Vec::new(), digest: digest(&whole), hosts: hosts.into_iter().map(short).collect(), commit: None }
    }

    /// How a fleet differs from the one that `plan` was made from; empty when it means the same.
    #[must_use]
    pub fn moved(&self, plan: &Plan, fleet: &Fleet, seal: &Seal) -> Vec<Moved> {
        let now = Self::of(fleet, seal);
        if now.digest == self.digest {
            return Vec::new();
        }
        let whole = |field: &str| Moved { host: None, field: field.to_owned(), old: None, new: None };
        let mut moved = Vec::new();
        let names: BTreeSet<&String> = self.hosts.keys().chain(now.hosts.keys()).collect();
        for name in names.into_iter().filter(|name| self.hosts.get(*name) != now.hosts.get(*name)) {
            let there = |hosts: &BTreeMap<String, String>| hosts.contains_key(name).then(|| "there".to_owned());
            let (old, new) = (there(&self.hosts), there(&now.hosts));
            let host = Moved { host: Some(name.clone()), field: "in the fleet file".to_owned(), old, new };
            let spec = name.parse::<MachineName>().ok().and_then(|machine| Some((fleet.hosts.get(&machine)?, machine)));
            let fields = spec.filter(|_| host.old.is_some()).map(|(spec, machine)| {
                let planned = Ends::of(plan, &machine, seal).wanted;
                let mut now = Fields::new();
                of_host(&spec.driver, &spec.depends_on, spec.protect, &spec.options, &mut now);
                if let Some(engine) = spec.engine.as_ref() {
                    basis::flat("engine", &plain(engine), &mut now);
                }
                let now: Fields = now.into_iter().map(|(key, value)| (key, seal.text(&value))).collect();
                let has_engine = planned.keys().any(|key| key.starts_with("engine."));
                let keys: BTreeSet<&String> = planned.keys().chain(now.keys()).collect();
                let told = |key: &&String| key.as_str() != "fleet" && (has_engine || !key.starts_with("engine."));
                let differs = keys.into_iter().filter(told).filter(|key| planned.get(*key) != now.get(*key));
                let moved = |key: &String| Moved {
                    field: format!("{key} in the fleet file"),
                    old: planned.get(key).cloned(),
                    new: now.get(key).cloned(),
                    ..host.clone()
                };
                differs.map(moved).collect::<Vec<_>>()
            });
            match fields.filter(|fields| !fields.is_empty()) {
                Some(fields) => moved.extend(fields),
                None if host.old == host.new => moved.push(Moved { old: None, new: None, ..host }),
                None => moved.push(host),
            }
        }
        if moved.is_empty() {
            moved.push(whole("`fleet` or `policy` in the fleet file"));
        }
        moved
    }
}

/// Anything that serde can say.
fn plain(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("what a plan is made of is plain data")
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
        let snapshot = Snapshot {
            machines: machines.map(|(name, known)| (name.clone(), known.clone())).collect(),
            broken: snapshot.broken.clone(),
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

/// Fields that differ. What was not known then or is not known now has not moved.
fn compare(machine: &MachineName, old: &Fields, new: &Fields) -> Vec<Moved> {
    let missing = |key: &str| !(old.contains_key(key) && new.contains_key(key));
    let observed = ["power", "instance id, as", "address, as", "server.pem in the store", "ca.pem in the store"];
    let unknown = |key: &str| {
        (missing(LOOKED) && observed.iter().any(|start| key.starts_with(start)))
            || (missing(ANSWERED) && key.starts_with(ON_HOST))
            || (missing("power") && key == "power")
            || [LOOKED, ANSWERED].contains(&key)
    };
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut differs = Vec::new();
    for key in keys.into_iter().filter(|key| old.get(*key) != new.get(*key) && !unknown(key)) {
        let side = |fields: &Fields| fields.get(key).cloned();
        let moved = Moved { host: Some(machine.to_string()), field: key.clone(), old: side(old), new: side(new) };
        if key == RECORDED {
            // All else follows from that.
            return vec![moved];
        }
        differs.push(moved);
    }
    differs
}

/// What a host should be, under the names that [`basis`] has for it.
fn of_host(
    driver: &str,
    depends_on: &BTreeSet<MachineName>,
    protect: bool,
    options: &OptionValues,
    fields: &mut Fields,
) {
    fields.insert("driver".to_owned(), driver.to_owned());
    let list: Vec<String> = depends_on.iter().map(ToString::to_string).collect();
    fields.insert("depends_on".to_owned(), list.join(", "));
    fields.insert("protect".to_owned(), protect.to_string());
    for (key, value) in options {
        basis::flat(key, value, fields);
    }
}

/// What may differ on a host because the plan itself was begun there.
struct Ends {
    how: Use,
    wanted: Fields,
    /// Whether an engine is among what the plan sets up.
    engine: bool,
}

impl Ends {
    fn of(plan: &Plan, machine: &MachineName, seal: &Seal) -> Self {
        let mut wanted = Fields::new();
        if let Some(host) = plan.hosts.get(machine) {
            wanted.extend(plan.fleet.iter().map(|fleet| ("fleet".to_owned(), fleet.to_string())));
            of_host(&host.driver, &host.depends_on, host.protect, &host.options, &mut wanted);
        }
        let engine = StepId::part(machine, Part::Engine);
        let engine = plan.steps.get(&engine).and_then(|step| match &step.work {
            Work::Engine(spec) | Work::NewestEngine(spec) => Some(spec),
            _ => None,
        });
        if let Some(spec) = engine {
            basis::flat("engine", &plain(spec), &mut wanted);
        }
        let wanted = wanted.into_iter().map(|(key, value)| (key, seal.text(&value))).collect();
        Self { how: Use::of(plan, machine), wanted, engine: engine.is_some() }
    }

    /// Whether the plan makes this difference.
    fn explains(&self, moved: &Moved) -> bool {
        let field = moved.field.as_str();
        let Use { instance, certificate, engine, .. } = self.how;
        if field == RECORDED {
            return if self.how.only_rm() { moved.new.as_deref() == Some("no") } else { self.how.create };
        }
        if field == "instance id" {
            return self.how.create || moved.old.is_none();
        }
        if field == HOOKS_DUE {
            return true;
        }
        if field.starts_with("unfinished ") {
            return match field.trim_start_matches("unfinished ") {
                "instance" => instance,
                "certificate" => certificate,
                _ => engine,
            };
        }
        if ["address", "power"].iter().any(|start| field.starts_with(start)) || field.starts_with("instance id, as") {
            return instance;
        }
        if ["certificate", "authority", "server.pem in the store", "ca.pem in the store"].contains(&field) {
            return certificate;
        }
        if field.starts_with(ON_HOST) {
            return engine || certificate;
        }
        if field.starts_with("engine.") && !self.engine {
            return false;
        }
        // A machine that was made anew has no engine until it gets that of the plan.
        let none_yet = self.how.create && field.starts_with("engine.") && moved.new.is_none();
        none_yet || self.wanted.get(field) == moved.new.as_ref()
    }
}
