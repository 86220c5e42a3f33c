//! `machine diff`: what is recorded against what is desired, as a unified diff of one text per host.

use crate::{
    driver::{Drivers, options::show},
    engine::{EngineSpec, Variable, env},
    fleet::{Fleet, HostSpec},
    hook::Hooks,
    name::{FleetName, MachineName},
    record::{MachineRecord, OptionValues, Snapshot},
};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// The diff of every host that differs; empty when none does. Hosts that left the file are shown as
/// deleted, whether or not they would be pruned.
#[must_use]
pub fn diff(fleet: &Fleet, snapshot: &Snapshot, drivers: &Drivers) -> String {
    hosts(fleet, snapshot, drivers).into_iter().map(|(_, diff)| diff).collect()
}

/// The same, host by host.
#[must_use]
pub fn hosts<'a>(fleet: &'a Fleet, snapshot: &'a Snapshot, drivers: &Drivers) -> Vec<(&'a MachineName, String)> {
    let recorded: BTreeMap<&MachineName, String> = snapshot
        .machines
        .iter()
        .filter(|(name, known)| known.record.fleet.as_ref() == Some(&fleet.name) || fleet.hosts.contains_key(*name))
        .map(|(name, known)| (name, text(&Host::recorded(&known.record), drivers)))
        .collect();
    let names: BTreeSet<&MachineName> = recorded.keys().copied().chain(fleet.hosts.keys()).collect();
    let mut out = Vec::new();
    for name in names {
        let old = recorded.get(name).cloned().unwrap_or_default();
        let new = fleet.hosts.get(name).map(|spec| text(&Host::desired(&fleet.name, spec), drivers));
        let new = new.unwrap_or_default();
        if old == new {
            continue;
        }
        let side =
            |text: &str, label: &str| if text.is_empty() { "/dev/null".to_owned() } else { format!("{label}/{name}") };
        let diff = similar::TextDiff::from_lines(&old, &new);
        let (a, b) = (side(&old, "recorded"), side(&new, "desired"));
        out.push((name, diff.unified_diff().context_radius(3).header(&a, &b).to_string()));
    }
    out
}

/// What both a record and a fleet say of a host.
struct Host<'a> {
    fleet: Option<&'a FleetName>,
    driver: &'a str,
    options: &'a OptionValues,
    engine: Option<&'a EngineSpec>,
    depends_on: &'a BTreeSet<MachineName>,
    protect: bool,
    hooks: &'a Hooks,
}

impl<'a> Host<'a> {
    fn recorded(record: &'a MachineRecord) -> Self {
        Self {
            fleet: record.fleet.as_ref(),
            driver: &record.driver,
            options: &record.options,
            engine: record.engine.as_ref().map(|e| &e.spec),
            depends_on: &record.depends_on,
            protect: record.protect,
            hooks: &record.hooks.spec,
        }
    }

    fn desired(fleet: &'a FleetName, spec: &'a HostSpec) -> Self {
        Self {
            fleet: Some(fleet),
            driver: &spec.driver,
            options: &spec.options,
            engine: spec.engine.as_ref(),
            depends_on: &spec.depends_on,
            protect: spec.protect,
            hooks: &spec.hooks,
        }
    }
}

/// Passwords of proxies and the like are nothing to be read in a diff.
fn hide_passwords(shown: &mut Value) {
    match shown {
        Value::String(text) => *text = env::without_passwords(text),
        Value::Array(items) => items.iter_mut().for_each(hide_passwords),
        Value::Object(map) => map.values_mut().for_each(hide_passwords),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// One host as YAML, in the words of the fleet file.
fn text(host: &Host<'_>, drivers: &Drivers) -> String {
    let Host { fleet, driver, options, engine, depends_on, protect, hooks } = *host;
    let mut host = Map::new();
    host.insert("fleet".into(), fleet.map_or(Value::Null, |f| f.as_str().into()));
    host.insert("driver".into(), driver.into());
    for option in drivers.options(driver) {
        if let Some(value) = options.get(&option.key) {
            host.insert(option.key.clone(), show(option, value).into());
        }
    }
    if !depends_on.is_empty() {
        host.insert("depends_on".into(), depends_on.iter().map(ToString::to_string).collect::<Vec<_>>().into());
    }
    if protect {
        host.insert("protect".into(), true.into());
    }
    if !hooks.is_empty() {
        host.insert("hooks".into(), serde_json::to_value(hooks).expect("hooks are plain data"));
    }
    if let Some(engine) = engine {
        let mut engine = engine.clone();
        engine.env.values_mut().for_each(|variable| {
            if let Variable::Plain(value) = variable {
                *value = env::shown(value);
            }
        });
        let mut shown = serde_json::to_value(engine).expect("an engine spec is plain data");
        // What says nothing is left out, as in a file.
        if let Some(fields) = shown.as_object_mut() {
            fields.retain(|_, v| {
                !(v.is_null()
                    || *v == Value::Bool(false)
                    || v.as_array().is_some_and(Vec::is_empty)
                    || v.as_object().is_some_and(Map::is_empty))
            });
        }
        hide_passwords(&mut shown);
        host.insert("engine".into(), shown);
    }
    serde_yaml::to_string(&Value::Object(host)).expect("JSON values are YAML")
}
