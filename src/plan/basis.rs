//! What a plan was made from, host by host, as flat fields that can be compared one by one: the part of records
//! and observations that it used, and nothing that changes by itself (times, free space, what a host is called).

use super::{Action, Plan, StepId, Work, sealed::Seal};
use crate::{
    name::MachineName,
    part::certificate::host_certificate_drift,
    provisioner::{self, Provisioners},
    record::{Known, MachineRecord, Observed, Part, Power, Reach, Snapshot},
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Fields of one host, by name.
pub type Fields = BTreeMap<String, String>;

/// Whether a host was looked at.
pub(super) const LOOKED: &str = "looked at";
/// Whether it answered.
pub(super) const ANSWERED: &str = "answered";
/// Whether it is recorded.
pub(super) const RECORDED: &str = "recorded";
/// Hooks that are due: one that has ended well since must not be run again.
pub(super) const HOOKS_DUE: &str = "hooks due";
/// In front of what is wrong with a file of TLS on this computer.
pub(super) const IN_STORE: &str = "in the store: ";
/// In front of what was found on the host itself.
pub(super) const ON_HOST: &str = "on the host: ";

/// How a plan meets a host.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a part or an end, and any may come with any other")]
pub(super) struct Use {
    /// Which parts it changes.
    pub(super) instance: bool,
    pub(super) certificate: bool,
    pub(super) engine: bool,
    /// It removes the instance.
    pub(super) rm: bool,
    /// It makes the instance.
    pub(super) create: bool,
}

impl Use {
    pub(super) fn of(plan: &Plan, machine: &MachineName) -> Self {
        let mut this = Self::default();
        for (id, step) in plan.of(machine).filter(|(_, step)| step.action != Action::Keep) {
            match id.part {
                // Of another machine, that had this name before.
                Part::Remains => continue,
                Part::Instance => this.instance = true,
                Part::Certificate => this.certificate = true,
                Part::Engine => this.engine = true,
            }
            this.rm |= id.rm;
            this.create |= id.part == Part::Instance && step.action == Action::Create;
        }
        this
    }

    /// Whether it changes anything.
    pub(super) fn touches(self) -> bool {
        self.instance || self.certificate || self.engine
    }

    /// Whether the machine goes and does not come back.
    pub(super) fn only_rm(self) -> bool {
        self.rm && !self.create
    }
}

/// Machines a plan changes, and machines those wait for.
#[must_use]
pub fn touched(plan: &Plan) -> BTreeSet<MachineName> {
    let mut all: BTreeSet<StepId> = plan.changes().map(|(id, _)| id.clone()).collect();
    let mut left: Vec<StepId> = all.iter().cloned().collect();
    while let Some(id) = left.pop() {
        for need in plan.steps.needs(&id) {
            if all.insert(need.clone()) {
                left.push(need.clone());
            }
        }
    }
    all.into_iter().map(|id| id.machine).collect()
}

/// What a plan uses of a host.
#[must_use]
pub fn fields(
    plan: &Plan,
    machine: &MachineName,
    snapshot: &Snapshot,
    provisioners: Provisioners,
    seal: &Seal,
) -> Fields {
    let mut fields = Fields::new();
    let known = snapshot.machines.get(machine);
    let recorded = match (known, snapshot.broken.contains_key(machine.as_str())) {
        (_, true) => "will not parse",
        (Some(_), _) => "yes",
        (None, _) => "no",
    };
    fields.insert(RECORDED.to_owned(), recorded.to_owned());
    let Some(Known { record, observed }) = known else { return fields };
    let how = Use::of(plan, machine);
    of_record(record, how, &mut fields);
    if let Some(observed) = observed.as_ref().filter(|_| !how.only_rm()) {
        of_observed(plan, record, observed, how, provisioners, &mut fields);
    }
    fields.into_iter().map(|(key, value)| (key, seal.text(&value))).collect()
}

fn of_record(record: &MachineRecord, how: Use, fields: &mut Fields) {
    let mut field = |key: &str, value: String| drop(fields.insert(key.to_owned(), value));
    if let Some(instance) = &record.instance {
        field("instance id", instance.id.clone());
        field("address", instance.address.clone());
    }
    if !how.touches() {
        return;
    }
    if let Some(fleet) = &record.fleet {
        field("fleet", fleet.to_string());
    }
    field("driver", record.driver.clone());
    field("depends_on", list(&record.depends_on));
    field("protect", record.protect.to_string());
    for (part, pending) in &record.pending {
        field(&format!("unfinished {part}"), pending.to_string());
    }
    if !record.hooks.pending.is_empty() {
        let due: Vec<String> = record.hooks.pending.iter().map(|(point, name)| format!("{point} {name}")).collect();
        field(HOOKS_DUE, due.join(", "));
    }
    if how.only_rm() {
        return;
    }
    for (key, value) in &record.options {
        flat(key, value, fields);
    }
    if let Some(certificate) = &record.certificate {
        fields.insert("certificate".to_owned(), certificate.sha256.clone());
        fields.insert("authority".to_owned(), certificate.ca_sha256.clone());
    }
    if let Some(engine) = &record.engine {
        flat("engine", &serde_json::to_value(&engine.spec).expect("a spec is plain data"), fields);
    }
}

/// `engine.labels.tier: web`. What says nothing is left out.
pub(super) fn flat(key: &str, value: &Value, fields: &mut Fields) {
    match value {
        Value::Null => {}
        Value::Object(map) => map.iter().for_each(|(k, v)| flat(&format!("{key}.{k}"), v, fields)),
        Value::Array(items) if items.is_empty() => {}
        Value::String(text) => drop(fields.insert(key.to_owned(), text.clone())),
        other => drop(fields.insert(key.to_owned(), other.to_string())),
    }
}

fn list(names: &BTreeSet<MachineName>) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn of_observed(
    plan: &Plan,
    record: &MachineRecord,
    observed: &Observed,
    how: Use,
    provisioners: Provisioners,
    fields: &mut Fields,
) {
    let Observed { power, instance, host, api: _, local_certificate, local_ca, local } = observed;
    // Without a look at the machine, what lies on this computer is all that is known.
    if *power != Power::Unknown || *host != Reach::NotAsked {
        fields.insert(LOOKED.to_owned(), "yes".to_owned());
    }
    if *power != Power::Unknown {
        let power = serde_json::to_value(power).expect("a power is plain data");
        flat("power", &power, fields);
    }
    if let Some(seen) = instance {
        fields.insert("instance id, as the driver sees it".to_owned(), seen.id.clone());
        fields.insert("address, as the driver sees it".to_owned(), seen.address.clone());
    }
    if !how.touches() {
        return;
    }
    if record.certificate.is_some() {
        let text = |digest: &Option<String>| digest.clone().unwrap_or_else(|| "not there".to_owned());
        fields.insert("server.pem in the store".to_owned(), text(local_certificate));
        fields.insert("ca.pem in the store".to_owned(), text(local_ca));
        fields.extend(local.iter().map(|flawed| (format!("{IN_STORE}{}", flawed.file), flawed.flaw.to_string())));
    }
    let Reach::Answered(facts) = host else { return };
    fields.insert(ANSWERED.to_owned(), "yes".to_owned());
    // What differs from what was applied, and from what is wanted: all else that a host says is not used.
    let provisioner = facts.os.as_ref().and_then(|os| provisioner::detect(provisioners, os));
    let engine = StepId::part(&record.name, Part::Engine);
    let wanted = plan.steps.get(&engine).and_then(|step| match &step.work {
        Work::Engine(spec) | Work::NewestEngine(spec) => Some(&**spec),
        _ => None,
    });
    let specs = record.engine.iter().map(|engine| &engine.spec).chain(wanted);
    let of_engine = provisioner.into_iter().flat_map(|p| specs.clone().flat_map(|spec| p.differences(facts, spec)));
    let of_certificate =
        record.certificate.iter().flat_map(|certificate| host_certificate_drift(certificate, observed));
    for differs in of_engine.chain(of_certificate) {
        let found = differs.found.unwrap_or_else(|| "not there".to_owned());
        fields.insert(format!("{ON_HOST}{}", differs.what), found);
    }
}
