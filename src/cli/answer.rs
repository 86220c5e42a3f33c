//! What commands answer with `--json`: one type for each, and one schema for all (`machine schema output`).

use super::{CliError, Out};
use crate::plan::{document, drift};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Version of every form here; it grows when a field changes its meaning or goes.
pub(super) const VERSION: u32 = 1;

/// Prints an answer.
pub(super) fn print(out: &mut Out, answer: &impl Serialize) -> Result<(), CliError> {
    let mut value = serde_json::to_value(answer).expect("an answer is plain data");
    if let Value::Object(map) = &mut value
        && !map.contains_key("version")
    {
        map.shift_insert(0, "version".to_owned(), VERSION.into());
    }
    out.exact(&(serde_json::to_string_pretty(&value).expect("an answer is plain data") + "\n"))
}

/// `active --json`
#[derive(JsonSchema, Serialize)]
pub(super) struct Active {
    /// The machine that the docker client is pointed to.
    pub(super) machine: String,
}

/// `config --json`
#[derive(JsonSchema, Serialize)]
pub(super) struct Config {
    /// The machine.
    pub(super) machine: String,
    /// Options for a docker client, one argument each.
    pub(super) arguments: Vec<String>,
}

/// `diff --json`
#[derive(JsonSchema, Serialize)]
pub(super) struct Diff {
    /// The fleet.
    pub(super) fleet: String,
    /// Hosts that differ.
    pub(super) hosts: Vec<HostDiff>,
}

/// One host of a diff.
#[derive(JsonSchema, Serialize)]
pub(super) struct HostDiff {
    /// Its name.
    pub(super) host: String,
    /// The unified diff of recorded against desired.
    pub(super) diff: String,
}

/// `env --json`
#[derive(JsonSchema, Serialize)]
pub(super) struct Env {
    /// The machine; null with `--unset`.
    pub(super) machine: Option<String>,
    /// Variables and their values; null where one is to be unset.
    pub(super) variables: BTreeMap<String, Option<String>>,
}

/// `graph --json`
#[derive(JsonSchema, Serialize)]
pub(super) struct Graph {
    /// The fleet.
    pub(super) fleet: String,
    /// Its hosts.
    pub(super) hosts: Vec<GraphHost>,
}

/// One host of a graph.
#[derive(JsonSchema, Serialize)]
pub(super) struct GraphHost {
    /// Its name.
    pub(super) host: String,
    /// Its driver.
    pub(super) driver: String,
    /// Hosts that must be complete first.
    pub(super) depends_on: Vec<String>,
}

/// `inspect --json`
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it describes what `inspect` writes from the record itself")]
struct Inspect {
    /// Where the engine listens.
    url: Option<String>,
    /// The record, without secrets.
    machine: BTreeMap<String, Value>,
}

/// `ip --json`
#[derive(JsonSchema, Serialize)]
pub(super) struct Ip {
    /// Machines that have an address; of the others, standard error says why.
    pub(super) machines: Vec<Address>,
}

/// One machine and its address.
#[derive(JsonSchema, Serialize)]
pub(super) struct Address {
    /// The machine.
    pub(super) machine: String,
    /// Where it is.
    pub(super) ip: String,
}

/// `ls --json`
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it describes what `ls` writes from its rows")]
struct Ls {
    machines: Vec<LsMachine>,
}

/// One machine of `ls`.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it describes what `ls` writes from its rows")]
struct LsMachine {
    name: String,
    /// The fleet that owns it.
    fleet: Option<String>,
    driver: String,
    /// As `Running`; null when it is not known.
    state: Option<String>,
    /// Whether the docker client is pointed to it.
    active: bool,
    /// Where its engine listens.
    url: Option<String>,
    /// Its classic swarm.
    swarm: Option<String>,
    /// Version of its engine.
    engine: Option<String>,
    /// What is wrong.
    error: Option<String>,
    /// How long it took to answer.
    response_ms: u64,
}

/// `status --json`
#[derive(JsonSchema, Serialize)]
pub(super) struct Status {
    /// The machine.
    pub(super) machine: String,
    /// As `Running`.
    pub(super) state: String,
}

/// `url --json`
#[derive(JsonSchema, Serialize)]
pub(super) struct Url {
    /// The machine.
    pub(super) machine: String,
    /// Where its engine listens.
    pub(super) url: String,
}

/// `validate --json`
#[derive(JsonSchema, Serialize)]
pub(super) struct Validate {
    /// Whether the file is right.
    pub(super) valid: bool,
    /// The fleet; null when the file is wrong.
    pub(super) fleet: Option<String>,
    /// How many hosts it has.
    pub(super) hosts: usize,
    /// What is wrong, in file order.
    pub(super) problems: Vec<Problem>,
}

/// One thing that is wrong with a fleet file.
#[derive(JsonSchema, Serialize)]
pub(super) struct Problem {
    /// What kind of problem it is, as `machine::fleet::unknown_key`.
    pub(super) code: String,
    /// What is wrong.
    pub(super) message: String,
    /// Line, from 1; null when it is nowhere in particular.
    pub(super) line: Option<usize>,
    /// Column, from 1.
    pub(super) column: Option<usize>,
    /// What to do about it.
    pub(super) help: Option<String>,
}

/// `version --json`
#[derive(JsonSchema, Serialize)]
pub(super) struct Version {
    /// The machine whose engine was asked; null for this program's own version.
    pub(super) machine: Option<String>,
    /// What was asked: the program, or `docker`.
    pub(super) program: String,
    /// Its version.
    pub(super) release: String,
}

/// Every form, by the command that answers it, as JSON Schema in draft 2020-12. A program checks an answer against
/// `#/$defs/COMMAND`.
pub(super) fn schema() -> Value {
    let mut definitions: BTreeMap<String, Value> = BTreeMap::new();
    let mut add = |name: &str, form: Value, versioned: bool| {
        let mut form = form;
        if let Some(inner) = form.get_mut("$defs").map(Value::take) {
            for (key, definition) in inner.as_object().into_iter().flatten() {
                definitions.insert(key.clone(), definition.clone());
            }
        }
        let map = form.as_object_mut().expect("a schema of a struct is an object");
        map.shift_remove("$schema");
        map.shift_remove("$defs");
        if versioned {
            form["properties"]["version"] = json!({ "const": VERSION });
            form["required"].as_array_mut().expect("all forms have fields").push("version".into());
            form["additionalProperties"] = false.into();
        }
        definitions.insert(name.to_owned(), form);
    };
    add("active", of::<Active>(), true);
    add("config", of::<Config>(), true);
    add("diff", of::<Diff>(), true);
    add("drift", of::<drift::Drift>(), false);
    add("env", of::<Env>(), true);
    add("graph", of::<Graph>(), true);
    add("inspect", of::<Inspect>(), true);
    add("ip", of::<Ip>(), true);
    add("ls", of::<Ls>(), true);
    add("plan", of::<document::Document>(), false);
    add("status", of::<Status>(), true);
    add("url", of::<Url>(), true);
    add("validate", of::<Validate>(), true);
    add("version", of::<Version>(), true);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What commands print with --json",
        "description": "Check an answer against #/$defs/COMMAND.",
        "$defs": definitions,
    })
}

fn of<T: JsonSchema>() -> Value {
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.contract = schemars::generate::Contract::Serialize);
    Value::from(settings.into_generator().into_root_schema_for::<T>())
}
