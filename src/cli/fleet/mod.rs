//! Commands that work on a whole fleet, and what they share: reading the file, looking at machines, asking.

pub(super) mod apply;
mod commit;
pub(super) mod destroy;
pub(super) mod diff;
pub(super) mod drift;
pub(super) mod fmt;
pub(super) mod graph;
mod narrow;
pub(super) mod perform;
pub(super) mod plan;
mod saved;
pub(super) mod schema;
pub(super) mod validate;

use super::{CliError, Cx, Exit, Out};
use crate::{
    fleet::{self, Fleet},
    name::MachineName,
    observe::{self, observe},
    plan::{Inputs, Plan, scope::Scope, source::SourceFile},
    record::Snapshot,
    report::Style,
    world::World,
};
use anstyle::AnsiColor;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{IsTerminal, Read, Write},
    path::{Path, PathBuf},
};

/// How many machines are looked at together. Looking costs little on either side.
const LOOKING: usize = 64;

/// Which fleet a command is about.
#[derive(clap::Args)]
pub(super) struct FleetFile {
    /// The fleet file; `-` reads standard input
    #[arg(value_name = "FILE", default_value = "fleet.yaml")]
    file: PathBuf,
    /// Set a variable of the file
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = variable)]
    vars: Vec<(String, String)>,
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl FleetFile {
    /// Another file, with the same variables.
    fn other(&self, file: &Path) -> Self {
        Self { file: file.to_owned(), vars: self.vars.clone() }
    }

    /// The file as messages name it.
    fn name(&self) -> String {
        if self.is_stdin() { "standard input".to_owned() } else { self.file.display().to_string() }
    }

    fn is_stdin(&self) -> bool {
        self.file == Path::new("-")
    }

    /// The text of the file.
    fn text(&self) -> Result<String, CliError> {
        let mut text = String::new();
        let read = if self.is_stdin() {
            std::io::stdin().lock().read_to_string(&mut text).map(|_| ())
        } else {
            std::fs::read_to_string(&self.file).map(|read| text = read)
        };
        read.map_err(|e| CliError::Said {
            what: format!("cannot read {}: {e}", self.name()),
            help: Some("name the fleet file, as in:\n  machine plan examples/fleets/quickstart.yaml".to_owned()),
        })?;
        Ok(text)
    }

    /// The checked fleet.
    fn load(&self) -> Result<Fleet, CliError> {
        self.parse(&self.text()?)
    }

    /// What is in the file: a fleet, or a plan that was saved. The content tells, not the name.
    fn contents(&self) -> Result<Contents, CliError> {
        let text = self.text()?;
        match saved::recognise(&self.name(), &text) {
            Some(plan) => Ok(Contents::Plan(Box::new(plan?))),
            None => self.parse(&text).map(|fleet| Contents::Fleet(Box::new(fleet))),
        }
    }

    /// The files that are read, with their digests; none for standard input.
    fn sources(&self) -> Result<Vec<SourceFile>, CliError> {
        if self.is_stdin() {
            return Ok(Vec::new());
        }
        let path = std::path::absolute(&self.file).unwrap_or_else(|_| self.file.clone());
        let sha256 = crate::digest::sha256_hex(self.text()?.as_bytes());
        Ok(vec![SourceFile { path: path.display().to_string(), sha256 }])
    }

    /// The checked fleet of a text.
    fn parse(&self, text: &str) -> Result<Fleet, CliError> {
        let inputs = fleet::Inputs {
            vars: self.vars.iter().cloned().collect(),
            env: std::env::vars_os()
                .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
                .collect(),
            default_name: self.default_name(),
        };
        fleet::load(&self.name(), text, &inputs).map_err(|e| CliError::Fleet(Box::new(e)))
    }

    /// What a fleet without a name is called: its file, or its folder when the file is just `fleet.yaml`.
    fn default_name(&self) -> Option<String> {
        let stem = self.file.file_stem()?.to_string_lossy().into_owned();
        if stem != "fleet" {
            return Some(stem);
        }
        let folder = std::path::absolute(&self.file).ok()?;
        Some(folder.parent()?.file_name()?.to_string_lossy().into_owned())
    }
}

/// What a file holds.
enum Contents {
    Fleet(Box<Fleet>),
    Plan(Box<saved::SavedPlan>),
}

/// The fleet of a file, for commands whose arguments are something else.
pub(super) fn read(file: &Path) -> Result<Fleet, CliError> {
    FleetFile { file: file.to_owned(), vars: Vec::new() }.load()
}

/// Shows what applying the fleet would do.
pub(super) fn preview(cx: &Cx, world: &World, fleet: &Fleet, out: &mut Out) -> Result<Exit, CliError> {
    let snapshot = look(cx, world, fleet, false)?;
    out.line(&painted(&Plan::new(fleet, &snapshot, &inputs(world, fleet.policy.prune))))?;
    Ok(Exit::Done)
}

/// Reads the store, and looks at the machines of a fleet unless told not to.
fn look(cx: &Cx, world: &World, fleet: &Fleet, offline: bool) -> Result<Snapshot, CliError> {
    let hosts: BTreeSet<MachineName> = fleet.hosts.keys().cloned().collect();
    let snapshot = world.store.snapshot().map_err(CliError::Store)?;
    if offline {
        return Ok(snapshot);
    }
    cx.block_on(look_at(world, snapshot, fleet, hosts))
}

/// Looks at the machines that matter to a part of a fleet.
async fn look_within(world: &World, snapshot: Snapshot, fleet: &Fleet, scope: &Scope) -> Snapshot {
    if scope.is_all() {
        let hosts = fleet.hosts.keys().cloned().collect();
        return look_at(world, snapshot, fleet, hosts).await;
    }
    let around = scope.around(fleet, &snapshot);
    let counter = Counter::new();
    let show = |_: &MachineName, seen, total| counter.show(seen, total);
    let looked = observe(world, snapshot, LOOKING, |known| around.contains(&known.record.name), show).await;
    counter.clear();
    looked
}

async fn look_at(world: &World, snapshot: Snapshot, fleet: &Fleet, hosts: BTreeSet<MachineName>) -> Snapshot {
    let counter = Counter::new();
    let picked = observe::of_fleet(&fleet.name, &hosts);
    let looked = observe(world, snapshot, LOOKING, picked, |_, seen, total| counter.show(seen, total)).await;
    counter.clear();
    looked
}

/// `looking at 3 of 20 machines`, on a terminal only.
struct Counter {
    shown: bool,
}

impl Counter {
    fn new() -> Self {
        Self { shown: std::io::stderr().is_terminal() }
    }

    fn show(&self, seen: usize, total: usize) {
        if self.shown {
            write!(std::io::stderr(), "\rlooking at machines: {seen} of {total} answered ").ok();
        }
    }

    fn clear(&self) {
        if self.shown {
            write!(std::io::stderr(), "\r\x1b[K").ok();
        }
    }
}

/// What a plan is made from, beside fleet and snapshot.
pub(super) fn inputs(world: &World, prune: bool) -> Inputs<'_> {
    Inputs { drivers: &world.drivers, provisioners: world.provisioners, now: world.clock.now(), prune }
}

/// A plan with each step in the colour of what it does. Where there are no colours, nothing is added.
fn painted(plan: &Plan) -> String {
    let colour = |line: &str| match line.strip_prefix("    ").and_then(|l| l.chars().next()) {
        Some('+') => Some(AnsiColor::Green),
        Some('~') => Some(AnsiColor::Yellow),
        Some('-') => Some(AnsiColor::Red),
        Some('!') => Some(AnsiColor::Magenta),
        _ => None,
    };
    let paint = |line: &str| match colour(line) {
        Some(colour) => format!("{0}{line}{0:#}", colour.on_default()),
        None => line.to_owned(),
    };
    plan.to_string().lines().map(paint).collect::<Vec<_>>().join("\n")
}

/// Shows a plan before it is applied or refused: to a person, or as the first event to a program.
fn show(out: &mut Out, plan: &Plan, style: Style) -> Result<(), CliError> {
    match style {
        Style::Human => out.line(&painted(plan)),
        Style::Json => out.line(&serde_json::json!({ "event": "planned", "plan": plan.to_json() }).to_string()),
    }
}

/// A number of things of a kind in words, for messages.
fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// The record of every machine of the fleet as a fleet: what would be desired if nothing had changed.
fn recorded(fleet: &Fleet, snapshot: &Snapshot) -> Fleet {
    let known: BTreeMap<_, _> =
        snapshot.machines.iter().filter(|(_, k)| k.record.fleet.as_ref() == Some(&fleet.name)).collect();
    let hosts = known.into_iter().map(|(name, k)| (name.clone(), fleet::HostSpec::recorded(&k.record))).collect();
    Fleet { name: fleet.name.clone(), hosts, policy: fleet.policy.clone() }
}
