//! What happened to machines behind our back: what would make `apply` act, and on request the rest of what is seen.
//!
//! Each fact has one owner. What is desired is compared and mended; what is only observed is shown and left alone.

use super::{Plan, Reason, render::JSON_VERSION};
use crate::{
    engine::env::without_passwords,
    provisioner::facts::CloudInit,
    record::{ApiFact, Known, Part, Power, Reach, Snapshot},
};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeSet;

/// How machines differ from what was applied to them.
#[derive(Clone, Debug, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct Drift {
    /// Version of this form.
    #[schemars(extend("const" = JSON_VERSION))]
    pub version: u32,
    /// The fleet.
    pub fleet: Option<String>,
    /// How many machines were compared.
    pub machines: usize,
    /// What `apply` would mend.
    pub items: Vec<Item>,
    /// Machines that could not be looked at, or worked on: nothing is known of them.
    pub unknown: Vec<Unknown>,
    /// What was seen and nothing follows from; with `--all` only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<Fact>,
}

/// One difference.
#[derive(Clone, Debug, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct Item {
    /// The machine.
    pub machine: String,
    /// Its part.
    pub part: Part,
    /// The whole as a person reads it.
    pub text: String,
    /// What differs.
    pub what: String,
    /// How it is; null when it is absent or is no value.
    pub found: Option<String>,
    /// How it was applied.
    pub applied: Option<String>,
}

/// A machine of which nothing is known.
#[derive(Clone, Debug, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct Unknown {
    /// The machine.
    pub machine: String,
    /// Why.
    pub why: String,
}

/// Something seen that nothing follows from.
#[derive(Clone, Debug, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct Fact {
    /// The machine.
    pub machine: String,
    /// What was seen.
    pub what: String,
    /// What the record says, where it says something.
    pub recorded: Option<String>,
    /// How it is.
    pub found: String,
}

impl Drift {
    /// What a plan from the records to what is observed says of drift.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let (mut items, mut unknown) = (Vec::new(), Vec::new());
        let mut machines = BTreeSet::new();
        for (id, step) in plan.steps.nodes() {
            machines.insert(&id.machine);
            for reason in &step.reasons {
                let (what, found, applied) = match reason {
                    Reason::UpToDate | Reason::Restarted | Reason::Rebuilt | Reason::Hook => continue,
                    Reason::NotReached(why) | Reason::Blocked(why) => {
                        unknown.push(Unknown { machine: id.machine.to_string(), why: why.clone() });
                        continue;
                    }
                    Reason::Drifted(d) | Reason::Changed(d) | Reason::NeedsReplacement(d) => {
                        (d.what.clone(), d.found.clone(), d.wanted.clone())
                    }
                    Reason::Local(flawed) => (flawed.file.clone(), Some(flawed.flaw.to_string()), None),
                    other => (other.to_string(), None, None),
                };
                let masked = |side: Option<String>| side.map(|text| without_passwords(&text));
                items.push(Item {
                    machine: id.machine.to_string(),
                    part: id.part,
                    text: without_passwords(&reason.to_string()),
                    what,
                    found: masked(found),
                    applied: masked(applied),
                });
            }
        }
        let fleet = plan.fleet.as_ref().map(ToString::to_string);
        Self { version: JSON_VERSION, fleet, machines: machines.len(), items, unknown, facts: Vec::new() }
    }

    /// The same, with all that was seen of the machines of the plan and nothing follows from.
    #[must_use]
    pub fn with_facts(mut self, plan: &Plan, snapshot: &Snapshot) -> Self {
        for name in plan.hosts.keys() {
            self.facts.extend(snapshot.machines.get(name).into_iter().flat_map(facts));
        }
        self
    }
}

fn facts(known: &Known) -> Vec<Fact> {
    let Known { record, observed: Some(observed) } = known else { return Vec::new() };
    let mut all = Vec::new();
    let mut fact = |what: &str, recorded: Option<&str>, found: String| {
        if !found.is_empty() {
            let recorded = recorded.map(str::to_owned);
            all.push(Fact { machine: record.name.to_string(), what: what.to_owned(), recorded, found });
        }
    };
    let engine = record.engine.as_ref();
    if observed.power != Power::Unknown {
        let power = serde_json::to_value(observed.power).ok();
        fact("power", None, power.and_then(|p| p.as_str().map(str::to_owned)).unwrap_or_default());
    }
    if let ApiFact::Answered(version) = &observed.api {
        fact("engine version", engine.map(|e| e.version.as_str()), version.clone());
    }
    let Reach::Answered(facts) = &observed.host else { return all };
    let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    if let Some(os) = &facts.os {
        fact("distribution", engine.map(|e| e.os.as_str()), format!("{} {}", os.id, os.version_id).trim().to_owned());
    }
    fact("architecture", None, facts.arch.clone());
    fact("own name", None, facts.hostname.clone());
    fact("boot", None, facts.boot_id.clone());
    fact("running containers", None, facts.running_containers.to_string());
    fact("member of a swarm", None, yes(facts.swarm));
    fact("free space, KiB", None, facts.free_kib.map(|n| n.to_string()).unwrap_or_default());
    fact("engine started", None, facts.active_since.clone());
    fact("firewall", None, facts.firewall.map(|f| f.to_string()).unwrap_or_default());
    if let CloudInit::Failed(why) = &facts.cloud_init {
        fact("cloud-init", None, why.clone());
    }
    all
}
