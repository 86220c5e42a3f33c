//! Bringing contexts in step with machines: what differs, and doing it.

use super::{Context, ContextError, Mark, Shelf, is_name};
use crate::{name::MachineName, record::Snapshot, world::World};
use std::collections::{BTreeMap, BTreeSet};

/// Which machines are to have contexts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Scope {
    /// All of the store, and those to come.
    All,
    /// These; others keep what they have.
    Only(BTreeSet<MachineName>),
    /// Those that have one, and all if that was asked for before.
    Used,
}

/// What is done to a context, by name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    /// It was not there.
    Create(String),
    /// Its address, certificates or mark changed.
    Update(String),
    /// Its machine is gone, or has another context now.
    Remove(String),
}

/// How it ended.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Report {
    /// What was done, in order.
    pub changes: Vec<Change>,
    /// How many contexts are as they should be, those just changed included.
    pub kept: usize,
    /// Machines without a context, and why. It can be helped by another prefix.
    pub refused: BTreeMap<String, String>,
    /// Machines that have no engine to reach yet.
    pub without_engine: Vec<String>,
    /// The current context, if it was removed. It stays the current one.
    pub current_removed: Option<String>,
}

/// What is to be done, decided from values.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Steps {
    pub(super) put: Vec<Context>,
    pub(super) remove: Vec<String>,
    pub(super) report: Report,
}

/// Compares the contexts machines should have with those that are there. `gone` tells whether a machine is in the
/// store no more.
pub(super) fn steps(store: &str, wanted: Vec<Context>, found: &[Context], gone: &dyn Fn(&str) -> bool) -> Steps {
    let mut steps = Steps::default();
    let ours = |context: &&Context| context.mark.as_ref().is_some_and(|mark| mark.store == store);
    let machine = |context: &Context| context.mark.as_ref().map(|mark| mark.machine.clone()).unwrap_or_default();
    let mut settled = BTreeMap::new();
    for context in wanted {
        let there = found.iter().find(|there| there.name == context.name);
        let why = match there {
            _ if !is_name(&context.name) => Some(format!("docker allows no context called `{}`", context.name)),
            Some(there) if there.mark.is_none() => {
                Some(format!("there is a context `{}` already, which is not of this program", context.name))
            }
            Some(there) if !ours(&there) => {
                Some(format!("there is a context `{}` already, of a machine in another store", context.name))
            }
            _ => None,
        };
        if let Some(why) = why {
            steps.report.refused.insert(machine(&context), why);
            continue;
        }
        settled.insert(machine(&context), context.name.clone());
        steps.report.kept += 1;
        match there {
            None => steps.report.changes.push(Change::Create(context.name.clone())),
            Some(there) if *there != context => steps.report.changes.push(Change::Update(context.name.clone())),
            Some(_) => continue,
        }
        steps.put.push(context);
    }
    for there in found.iter().filter(ours) {
        let machine = machine(there);
        // One of a machine that now has its context under another name is old.
        let renamed = settled.get(&machine).is_some_and(|name| *name != there.name);
        if renamed || gone(&machine) {
            steps.remove.push(there.name.clone());
            steps.report.changes.push(Change::Remove(there.name.clone()));
        }
    }
    steps
}

/// Brings contexts in step with the store. Without a `prefix`, the one in use stays.
///
/// # Errors
/// When the store or docker's folder cannot be read or written; contexts done by then stay done.
pub async fn sync(world: &World, shelf: &Shelf, scope: &Scope, prefix: Option<&str>) -> Result<Report, ContextError> {
    let id = world.store.records.id().await.map_err(ContextError::Store)?;
    let snapshot = world.store.records.snapshot().await.map_err(ContextError::Store)?;
    let found = shelf.all()?;
    let ours: Vec<(&Context, &Mark)> =
        found.iter().filter_map(|c| Some((c, c.mark.as_ref().filter(|m| m.store == id)?))).collect();
    let all_before = ours.iter().any(|(_, mark)| mark.all);
    let (all, picked) = pick(scope, &snapshot, &ours, all_before);
    let (mut wanted, mut without_engine) = (Vec::new(), Vec::new());
    for name in picked {
        let Some(known) = snapshot.machines.get(&name) else { continue };
        let own = ours.iter().find(|(_, mark)| mark.machine == name.as_str()).map(|(context, _)| *context);
        let prefix = prefix.map_or_else(|| prefix_of(own, &name, &ours), str::to_owned);
        let mark = Mark { store: id.clone(), machine: name.to_string(), all };
        match Context::of(&world.store, &known.record, &prefix, mark).await.map_err(ContextError::Store)? {
            Some(context) => wanted.push(context),
            None => without_engine.push(name.to_string()),
        }
    }
    let gone = |machine: &str| !snapshot.machines.contains_key(machine) && !snapshot.broken.contains_key(machine);
    let Steps { put, remove, mut report } = steps(&id, wanted, &found, &gone);
    report.without_engine = without_engine;
    put.iter().try_for_each(|context| shelf.put(context))?;
    remove.iter().try_for_each(|name| shelf.remove(name))?;
    // docker's config.json may be unreadable to us, which is no reason to fail.
    report.current_removed = shelf.current().unwrap_or_default().filter(|current| remove.contains(current));
    Ok(report)
}

/// The machines that are to have a context, and whether new ones shall.
fn pick(
    scope: &Scope,
    snapshot: &Snapshot,
    ours: &[(&Context, &Mark)],
    all_before: bool,
) -> (bool, BTreeSet<MachineName>) {
    let everything = || snapshot.machines.keys().cloned().collect();
    match scope {
        Scope::All => (true, everything()),
        Scope::Used if all_before => (true, everything()),
        Scope::Used => {
            (false, ours.iter().filter_map(|(_, mark)| MachineName::new(mark.machine.as_str()).ok()).collect())
        }
        Scope::Only(names) => (all_before, names.clone()),
    }
}

/// The prefix of a machine's context, else that of any other of ours.
fn prefix_of(own: Option<&Context>, name: &MachineName, ours: &[(&Context, &Mark)]) -> String {
    let of = |context: &str, machine: &str| context.strip_suffix(machine).map(str::to_owned);
    own.and_then(|context| of(&context.name, name.as_str()))
        .or_else(|| ours.iter().find_map(|(context, mark)| of(&context.name, &mark.machine)))
        .unwrap_or_default()
}

/// Keeps contexts in step for those who use them: does nothing unless this store has a context already. Best effort,
/// for commands that were asked for something else; what could not be done is done by the next one.
pub async fn sync_if_used(world: &World) {
    let Ok(shelf) = Shelf::of_environment() else { return };
    // Most people have no contexts at all: then not even the store's id is needed.
    let any = shelf.all().is_ok_and(|found| found.iter().any(|context| context.mark.is_some()));
    if any {
        let _ = sync(world, &shelf, &Scope::Used, None).await;
    }
}

/// Removes the contexts of machines; those that stay no longer bring new ones. Names that have none are given back.
///
/// # Errors
/// When docker's folder cannot be read or written.
pub async fn remove(
    world: &World,
    shelf: &Shelf,
    machines: &BTreeSet<String>,
) -> Result<(Report, Vec<String>), ContextError> {
    let id = world.store.records.id().await.map_err(ContextError::Store)?;
    let (mut report, mut missing) = (Report::default(), machines.clone());
    let current = shelf.current().unwrap_or_default();
    for context in shelf.all()? {
        let Some(mark) = context.mark.clone().filter(|mark| mark.store == id) else { continue };
        if missing.remove(&mark.machine) || machines.contains(&mark.machine) || missing.remove(&context.name) {
            shelf.remove(&context.name)?;
            if current.as_deref() == Some(context.name.as_str()) {
                report.current_removed.clone_from(&current);
            }
            report.changes.push(Change::Remove(context.name));
        } else if mark.all {
            shelf.put(&Context { mark: Some(Mark { all: false, ..mark }), ..context })?;
        }
    }
    Ok((report, missing.into_iter().collect()))
}
