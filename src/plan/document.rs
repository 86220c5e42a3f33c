//! A plan as JSON: what `plan --json` prints and what `plan --out` keeps are one form, and this is it.
//!
//! Programs read steps and reasons. What `apply` needs beside them (`work`, `hosts`, `saved`) is there only in a
//! saved plan.

use super::{Action, Plan, Reason, Step, StepId, Work, guard::Refusal, render::JSON_VERSION, saved::Saved, sealed};
use crate::{
    engine::env::without_passwords,
    graph::Graph,
    hook::{Command, On, Point},
    name::{FleetName, MachineName},
    record::Part,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap as _};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use thiserror::Error;

/// A plan for programs. Steps stand so that each is after all it needs.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[schemars(title = "Plan", deny_unknown_fields)]
pub struct Document {
    /// Version of this form; it grows when a field changes its meaning or goes.
    #[schemars(extend("const" = JSON_VERSION))]
    pub version: u32,
    /// The fleet whose plan this is; null for a machine that no fleet owns.
    #[schemars(with = "Option<String>")]
    pub fleet: Option<FleetName>,
    /// How many steps do something.
    pub changes: usize,
    /// How many steps there are of each action.
    pub summary: Summary,
    /// All steps, those that keep things too.
    pub steps: Vec<StepDocument>,
    /// Why `apply` would refuse this plan as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<RefusalDocument>,
    /// Hosts that are left out, because `--target` or `--exclude` says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// What `apply` needs to know of hosts; in a saved plan only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hosts: BTreeMap<String, Value>,
    /// What a saved plan is bound to; in a saved plan only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved: Option<Saved>,
}

/// How many steps there are of each action.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct Summary {
    /// Parts that are made.
    pub create: usize,
    /// Parts that are changed in place.
    pub upgrade: usize,
    /// Machines that are removed.
    pub rm: usize,
    /// Hooks that are run.
    #[serde(default)]
    pub run: usize,
    /// Parts that stay as they are.
    pub keep: usize,
}

/// One step for programs.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct StepDocument {
    /// Its name in this plan, as `web-1/engine`.
    #[schemars(with = "String")]
    pub id: StepId,
    /// The machine.
    pub machine: String,
    /// Its part; hooks are about the instance.
    pub part: Part,
    /// The hook, when this is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<HookDocument>,
    /// What is done to it.
    pub action: Action,
    /// Why, the most telling first.
    pub reasons: Vec<ReasonDocument>,
    /// Steps that must end first.
    #[schemars(with = "Vec<String>")]
    pub needs: Vec<StepId>,
    /// How; meant for the `machine` that wrote it, in a saved plan only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<Value>,
}

/// All there is to know of a hook before it is run.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct HookDocument {
    /// Around what it is run.
    pub point: Point,
    /// Its name.
    pub name: String,
    /// A text for a shell, or a list of words.
    pub run: Value,
    /// Where it is run.
    pub on: On,
    /// Seconds until it is ended.
    pub timeout_s: u64,
}

impl HookDocument {
    fn of(id: &StepId, step: &Step) -> Option<Self> {
        let (id, Work::Hook(hook)) = (id.hook.as_ref()?, &step.work) else { return None };
        let run = match &hook.run {
            Command::Shell(text) => json!(without_passwords(text)),
            Command::Program(words) => words.iter().map(|word| without_passwords(word)).collect(),
        };
        Some(Self { point: id.point, name: hook.name.clone(), run, on: hook.on, timeout_s: hook.timeout })
    }
}

/// One reason for programs.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ReasonDocument {
    /// What kind of reason it is, as `changed` or `not-recorded`.
    pub kind: String,
    /// The reason as a person reads it.
    pub text: String,
    /// What differs, when something does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
    /// How it is; null when it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// How it will be; null when it will be absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
    /// What else there is to this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Value>,
}

/// Why `apply` would refuse a plan.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct RefusalDocument {
    /// Why, for a person.
    pub text: String,
    /// What to do about it.
    pub help: String,
}

/// Why a document is no plan.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{0}")]
pub struct NoPlan(pub String);

impl Serialize for ReasonDocument {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", &self.kind)?;
        map.serialize_entry("text", &self.text)?;
        if self.what.is_some() {
            map.serialize_entry("what", &self.what)?;
            map.serialize_entry("old", &self.old)?;
            map.serialize_entry("new", &self.new)?;
        }
        if self.detail.is_some() {
            map.serialize_entry("detail", &self.detail)?;
        }
        map.end()
    }
}

impl ReasonDocument {
    fn of(reason: &Reason) -> Self {
        let mut value = serde_json::to_value(reason).expect("a reason is plain data");
        let text = without_passwords(&reason.to_string());
        let kind = value["kind"].as_str().unwrap_or_default().to_owned();
        let detail = value.get_mut("detail").map(Value::take);
        let mut this = Self { kind, text, what: None, old: None, new: None, detail };
        if let Some(Value::Object(fields)) = &this.detail
            && let Some(Value::String(what)) = fields.get("what")
        {
            let side = |key: &str| fields.get(key).and_then(Value::as_str).map(without_passwords);
            (this.what, this.old, this.new) = (Some(what.clone()), side("found"), side("wanted"));
            this.detail = None;
        }
        this
    }

    fn reason(self) -> Result<Reason, NoPlan> {
        let mut value = Map::from_iter([("kind".to_owned(), Value::String(self.kind))]);
        let difference = self.what.map(|what| json!({ "what": what, "found": self.old, "wanted": self.new }));
        if let Some(detail) = difference.or(self.detail) {
            value.insert("detail".to_owned(), detail);
        }
        serde_json::from_value(Value::Object(value)).map_err(|e| NoPlan(format!("a reason makes no sense: {e}")))
    }
}

impl Document {
    /// All machines that it speaks of, once for each step.
    pub fn machines(&self) -> impl Iterator<Item = &MachineName> + Clone {
        self.steps.iter().map(|step| &step.id.machine)
    }

    /// What everybody may read of a plan.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let steps = plan.steps.waves().into_iter().flatten().map(|id| {
            let step = plan.steps.get(&id).expect("waves name nodes of the graph");
            StepDocument {
                machine: id.machine.to_string(),
                part: id.part,
                hook: HookDocument::of(&id, step),
                action: step.action,
                reasons: step.reasons.iter().map(ReasonDocument::of).collect(),
                needs: plan.steps.needs(&id).cloned().collect(),
                work: None,
                id,
            }
        });
        Self {
            version: JSON_VERSION,
            fleet: plan.fleet.clone(),
            changes: plan.changes().count(),
            summary: Summary {
                create: plan.count(Action::Create),
                upgrade: plan.count(Action::Upgrade),
                rm: plan.count(Action::Rm),
                run: plan.count(Action::Run),
                keep: plan.count(Action::Keep),
            },
            steps: steps.collect(),
            refusals: Vec::new(),
            left_out: Vec::new(),
            hosts: BTreeMap::new(),
            saved: None,
        }
    }

    /// The same, with why it would be refused.
    #[must_use]
    pub fn with_refusals(mut self, refusals: &[Refusal]) -> Self {
        self.refusals = refusals.iter().map(|r| RefusalDocument { text: r.to_string(), help: r.help() }).collect();
        self
    }

    /// The same, with all that `apply` needs. Secrets are sealed: what is left of them is enough to know them again.
    #[must_use]
    pub fn to_save(mut self, plan: &Plan, saved: Saved, seal: &sealed::Seal) -> Self {
        for step in &mut self.steps {
            let work = plan.steps.get(&step.id).map(|s| &s.work);
            step.work = work.map(|work| seal.value(&serde_json::to_value(work).expect("work is plain data")));
        }
        let host = |host| seal.value(&serde_json::to_value(host).expect("a host is plain data"));
        self.hosts = plan.hosts.iter().map(|(name, h)| (name.to_string(), host(h))).collect();
        self.saved = Some(saved);
        let digest = self.digest();
        if let Some(saved) = &mut self.saved {
            saved.digest = digest;
        }
        self
    }

    /// Tells this document from all others, whatever its layout.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut value = serde_json::to_value(self).expect("a document is plain data");
        if let Some(saved) = value.get_mut("saved").and_then(Value::as_object_mut) {
            saved.shift_remove("digest");
        }
        value.sort_all_objects();
        crate::digest::sha256_hex(value.to_string().as_bytes())
    }

    /// The plan again. Sealed secrets must have been opened, or stay as they are for readers.
    ///
    /// # Errors
    /// When it was not made by a `machine` like this one, or was changed by hand.
    pub fn plan(self) -> Result<Plan, NoPlan> {
        let wrong = |what: &str| {
            let what = what.to_owned();
            move |e: serde_json::Error| NoPlan(format!("{what} makes no sense: {e}"))
        };
        let mut steps = BTreeMap::new();
        let mut edges = Vec::new();
        for StepDocument { id, action, reasons, needs, work, .. } in self.steps {
            let work = work.ok_or_else(|| NoPlan(format!("`{id}` does not say how")))?;
            let work = serde_json::from_value(work).map_err(wrong(&format!("the work of `{id}`")))?;
            let reasons = reasons.into_iter().map(ReasonDocument::reason).collect::<Result<_, _>>()?;
            edges.extend(needs.into_iter().map(|need| (id.clone(), need)));
            steps.insert(id, Step { action, reasons, work });
        }
        let mut hosts = BTreeMap::new();
        for (name, host) in self.hosts {
            let host = serde_json::from_value(host).map_err(wrong(&format!("host `{name}`")))?;
            hosts.insert(name.parse().map_err(|e| NoPlan(format!("{e}")))?, host);
        }
        let steps = Graph::build(steps, edges).map_err(|cycles| {
            let cycle = cycles.first().map(crate::graph::Cycle::path).unwrap_or_default();
            NoPlan(format!("its steps wait for each other: {cycle}"))
        })?;
        Ok(Plan { fleet: self.fleet, hosts, steps })
    }
}

/// The JSON Schema of a plan, saved or only printed, in draft 2020-12.
#[must_use]
pub fn schema() -> Value {
    Value::from(schemars::generate::SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Document>())
}
