//! `adopt`: gives machines of the store to a fleet, or back. Nothing is done to them; their keys, certificates and
//! addresses stay.

use super::{
    CliError, Cx, Exit, Group, Out, Run, claim, error::NamesError, fleet, machine::Machine, names, stored::stored,
};
use crate::{
    driver::{Drivers, options, options::with_defaults},
    engine::{EngineSpec, spec::TLS_PORT},
    fleet::Fleet,
    name::FleetName,
    record::{MachineRecord, certificate_names},
    store::{Held, Scope},
    world::World,
};
use serde_json::{Map, Value};
use std::{collections::BTreeSet, path::PathBuf};

/// Give machines to a fleet, as they are
#[derive(clap::Args)]
pub(super) struct Adopt {
    /// The fleet
    #[arg(long, value_name = "FLEET", required_unless_present_any = ["file", "release"])]
    fleet: Option<FleetName>,
    /// The fleet of this file; shows what it would change on the machines, or the lines it lacks
    #[arg(short, long, value_name = "FILE", conflicts_with = "fleet")]
    file: Option<PathBuf>,
    /// Take them from this fleet, which has them now
    #[arg(long, value_name = "FLEET")]
    from: Option<FleetName>,
    /// Give them back: then they belong to no fleet
    #[arg(long, conflicts_with_all = ["fleet", "file"])]
    release: bool,
    /// The machines
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl Run for Adopt {
    const NAME: &'static str = "adopt";
    const GROUP: Group = Group::Fleet;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        if self.names.is_empty() {
            return Err(CliError::Names(NamesError::Some));
        }
        let world = cx.world()?;
        let file = self.file.as_ref().map(|file| fleet::read(file, &cx.drivers)).transpose()?;
        let to = match &file {
            Some(fleet) => Some(&fleet.name),
            None => self.fleet.as_ref(),
        };
        let lease = self.claim(cx, &world, to)?;
        let machines = Machine::load_all(&world, &self.names)?;
        CliError::all(machines.iter().filter_map(|machine| self.refusal(cx, &machine.record, to)).collect())?;
        for machine in &machines {
            let name = machine.name();
            let had = machine.record.fleet.as_ref();
            let line = match (had, to) {
                (had, to) if had == to => match to {
                    Some(fleet) => format!("{name} belongs to fleet `{fleet}` already"),
                    None => format!("{name} belongs to no fleet already"),
                },
                (_, to) => {
                    let record = MachineRecord { fleet: to.cloned(), ..machine.record.clone() };
                    stored(world.store.change(&machine.record, &record))?;
                    match to {
                        Some(fleet) => format!("{name} belongs to fleet `{fleet}` now"),
                        None => format!("{name} belongs to no fleet now"),
                    }
                }
            };
            out.line(&line)?;
        }
        drop(lease);
        match (&file, to) {
            (Some(fleet), _) => show(cx, &world, fleet, &machines, out),
            (None, Some(_)) => lines(&machines.iter().collect::<Vec<_>>(), &cx.drivers, out),
            (None, None) => Ok(Exit::Done),
        }
    }
}

impl Adopt {
    /// No other run may work on any of the fleets or machines meanwhile.
    fn claim(&self, cx: &Cx, world: &World, to: Option<&FleetName>) -> Result<Box<dyn Held>, CliError> {
        let mut fleets: BTreeSet<FleetName> = to.into_iter().chain(&self.from).cloned().collect();
        if self.release {
            fleets
                .extend(Machine::load_all(world, &self.names)?.into_iter().filter_map(|machine| machine.record.fleet));
        }
        // One that is no name is told when it is looked for.
        let machines = self.names.iter().filter_map(|name| names::parse(name).ok()).collect();
        claim::all(cx, world, &Scope { fleets, machines })
    }

    fn refusal(&self, cx: &Cx, record: &MachineRecord, to: Option<&FleetName>) -> Option<CliError> {
        let MachineRecord { name, fleet, pending, .. } = record;
        let program = &cx.program;
        let owner = fleet.as_ref().filter(|owner| Some(*owner) != to);
        if let Some(owner) = owner.filter(|owner| self.from.as_ref().map_or(!self.release, |from| from != *owner)) {
            let fleet = to.map(|to| format!(" --fleet {to}")).unwrap_or_default();
            return Some(CliError::Said {
                what: format!("`{name}` belongs to fleet `{owner}`"),
                help: Some(format!(
                    "take it out of the file of `{owner}` first, or the next apply there will miss it; then\n  \
                     {program} adopt {name}{fleet} --from {owner}"
                )),
            });
        }
        // An intent says what its fleet had begun; another fleet would not end it the same way.
        (owner.is_some() && !pending.is_empty()).then(|| CliError::Said {
            what: format!("`{name}` was being changed by its fleet when that was broken off"),
            help: Some("apply that fleet to the end first".to_owned()),
        })
    }
}

/// What the file would do, and what it lacks.
fn show(cx: &Cx, world: &World, fleet: &Fleet, machines: &[Machine], out: &mut Out) -> Result<Exit, CliError> {
    let missing: Vec<&Machine> = machines.iter().filter(|m| !fleet.hosts.contains_key(m.name())).collect();
    if !missing.is_empty() {
        return lines(&missing, &cx.drivers, out);
    }
    out.line("")?;
    fleet::preview(cx, world, fleet, out)
}

/// The lines of a fleet file that describe machines as they are.
fn lines(machines: &[&Machine], drivers: &Drivers, out: &mut Out) -> Result<Exit, CliError> {
    out.line("\nLines for the fleet file that describe them as they are:\n\nhosts:")?;
    for machine in machines {
        out.line(&format!("  {}: {}", machine.name(), flow(&Value::Object(host(&machine.record, drivers)))))?;
    }
    Ok(Exit::Done)
}

/// A host as a fleet file would have it, with what differs from defaults.
fn host(record: &MachineRecord, drivers: &Drivers) -> Map<String, Value> {
    let table = drivers.options(&record.driver);
    let defaults = with_defaults(table, &std::collections::BTreeMap::new());
    let mut host = Map::new();
    host.insert("driver".to_owned(), Value::from(record.driver.as_str()));
    for spec in table {
        let usual = defaults.get(&spec.key).cloned().or_else(|| options::fallback(spec));
        let value = record.options.get(&spec.key).filter(|value| usual.as_ref() != Some(*value));
        if let Some(value) = value {
            let shown = match value {
                Value::Number(_) if spec.kind == options::Kind::Size => Value::from(options::show(spec, value)),
                other => other.clone(),
            };
            host.insert(spec.key.clone(), shown);
        }
    }
    let address = record.instance.as_ref().map_or("", |instance| instance.address.as_str());
    let own = certificate_names(&record.name, address, &BTreeSet::new());
    let names: Vec<&str> =
        record.certificate.iter().flat_map(|c| &c.names).filter(|n| !own.contains(*n)).map(String::as_str).collect();
    let engine = engine(record);
    if !engine.is_empty() {
        host.insert("engine".to_owned(), Value::Object(engine));
    }
    if !names.is_empty() {
        host.insert("tls-names".to_owned(), Value::from(names));
    }
    if record.protect {
        host.insert("protect".to_owned(), Value::from(true));
    }
    host
}

/// What of the engine is not as a new one would be.
fn engine(record: &MachineRecord) -> Map<String, Value> {
    let mut engine = Map::new();
    let Some(recorded) = record.engine.as_ref().filter(|_| record.driver != "none") else { return engine };
    let written = serde_json::to_value(&recorded.spec).expect("a specification is plain data");
    let usual = serde_json::to_value(EngineSpec { port: TLS_PORT, ..EngineSpec::default() })
        .expect("a specification is plain data");
    for key in
        ["version", "source", "mirror", "api", "port", "labels", "registry-mirrors", "insecure-registries", "daemon"]
    {
        let value = written.get(key).filter(|value| !value.is_null() && Some(*value) != usual.get(key));
        if let Some(value) = value {
            engine.insert(key.to_owned(), value.clone());
        }
    }
    engine
}

/// A value as YAML on one line; JSON is YAML, and words that need no quotes have none.
fn flow(value: &Value) -> String {
    match value {
        Value::Object(entries) => {
            let entries: Vec<String> = entries.iter().map(|(k, v)| format!("{}: {}", word(k), flow(v))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::String(text) => word(text),
        other => other.to_string(),
    }
}

fn word(text: &str) -> String {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/@~".contains(&b));
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'/');
    // What YAML takes for something else than a text.
    let other =
        ["true", "false", "yes", "no", "on", "off", "null", "y", "n"].contains(&text.to_ascii_lowercase().as_str());
    if plain && first && !other { text.to_owned() } else { Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_of_yaml_reads_back() {
        for value in [
            json!({ "driver": "generic", "ip": "192.0.2.1", "ssh-port": 2222, "ssh-key": "/home/a b/k" }),
            json!({ "a": "yes", "b": "1e3", "c": "x: y", "d": ["-", "#", "a,b"], "e": { "f": "" }, "g": "~/.ssh/k" }),
        ] {
            let read: Value = serde_yaml::from_str(&flow(&value)).unwrap();
            assert_eq!(read, value, "{}", flow(&value));
        }
    }
}
