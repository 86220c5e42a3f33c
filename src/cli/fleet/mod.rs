//! Commands that work on a whole fleet, and what they share: reading the file, looking at machines, asking.

pub(super) mod apply;
pub(super) mod destroy;
pub(super) mod diff;
pub(super) mod drift;
mod fleet_file;
pub(super) mod fmt;
pub(super) mod graph;
mod narrow;
pub(super) mod perform;
pub(super) mod plan;
mod saved;
pub(super) mod schema;
pub(super) mod validate;

use fleet_file::Contents;
pub(super) use fleet_file::{FleetFile, read};

use super::{CliError, Cx, Exit, Out, stored::stored};
use crate::{
    fleet::{self, Fleet, Policy},
    name::MachineName,
    observe::{self, observe},
    plan::{Inputs, Plan, scope::Scope},
    record::Snapshot,
    report::Style,
    transport::limited::Limited,
    world::World,
};
use anstyle::AnsiColor;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{IsTerminal, Write},
    sync::Arc,
};

/// How many machines are looked at together. Looking costs little on either side.
const LOOKING: usize = 64;

/// Shows what applying the fleet would do.
pub(super) fn preview(cx: &Cx, world: &World, fleet: &Fleet, out: &mut Out) -> Result<Exit, CliError> {
    let snapshot = look(cx, world, fleet, false)?;
    out.line(&painted(&Plan::new(fleet, &snapshot, &inputs(world, fleet.policy.prune))))?;
    Ok(Exit::Done)
}

/// Reads the store, and looks at the machines of a fleet unless told not to.
fn look(cx: &Cx, world: &World, fleet: &Fleet, offline: bool) -> Result<Snapshot, CliError> {
    let hosts: BTreeSet<MachineName> = fleet.hosts.keys().cloned().collect();
    let snapshot = stored(world.store.records.snapshot())?;
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

/// The world with the limits of a fleet.
fn limited(world: World, policy: &Policy) -> World {
    let connect = Arc::new(Limited::new(Arc::clone(&world.connect), policy.timeouts));
    World { connect, ..world }
}

async fn look_at(world: &World, snapshot: Snapshot, fleet: &Fleet, hosts: BTreeSet<MachineName>) -> Snapshot {
    if let Some(most) = fleet.policy.bastion_sessions {
        world.connect.limit_bastions(most);
    }
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
        Some('>') => Some(AnsiColor::Cyan),
        Some('!') => Some(AnsiColor::Magenta),
        _ => None,
    };
    let text = plan.to_string();
    let mut painted = String::with_capacity(text.len() * 5 / 4);
    for (n, line) in text.lines().enumerate() {
        if n > 0 {
            painted.push('\n');
        }
        match colour(line) {
            Some(colour) => painted.push_str(&format!("{0}{line}{0:#}", colour.on_default())),
            None => painted.push_str(line),
        }
    }
    painted
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
