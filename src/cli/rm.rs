//! `rm`: removes instances, then what is recorded of them. What is not confirmed to be gone leaves a tombstone.

use super::{
    CliError, Cx, Exit, Group, Out, Run, claim,
    error::NamesError,
    machine::Machine,
    names, prompt, rm_hooks,
    stored::{settled, stored},
    story,
};
use crate::{
    apply::{Buried, StepError, retry_removal},
    history::{self, Deed, Origin},
    hook::Point,
    name::MachineName,
    panicked::caught,
    record::{MachineRecord, Part, Pending, Tombstone},
    store::{Scope, StoreError},
    world::World,
};
use std::{collections::BTreeMap, io, sync::Arc};

/// Remove machines, their instances included
#[derive(clap::Args)]
pub(super) struct Rm {
    /// Remove from the store even if the instance cannot be removed; do not ask
    #[arg(short, long)]
    force: bool,
    /// Do not ask
    #[arg(short)]
    yes: bool,
    /// Remove what earlier machines of these names left; with -f, forget it, gone or not
    #[arg(long)]
    tombstone: bool,
    /// The machines
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// What became of the instance of a machine whose record is gone.
enum Removed {
    /// It was removed, or there never was one.
    Now,
    /// It had gone before.
    Already,
    /// It is unknown.
    Unconfirmed(Box<Tombstone>),
}

/// A tombstone, or why it cannot be read.
type Readable = Result<Tombstone, String>;

impl Run for Rm {
    const NAME: &'static str = "rm";
    const GROUP: Group = Group::Machine;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        if self.names.is_empty() {
            return Err(CliError::Names(NamesError::Some));
        }
        let world = cx.world()?;
        if self.tombstone {
            return self.bury(cx, &world, out);
        }
        out.line(&format!("About to remove {}", self.names.join(", ")))?;
        out.line("WARNING: This action will delete both local reference and remote instance.")?;
        let what = format!("removing {}", self.names.join(", "));
        if !(self.force || self.yes || prompt::confirmed(cx, out, "Are you sure? (y/n): ", &what)?) {
            return Ok(Exit::Done);
        }
        let mut errors = Vec::new();
        for name in &self.names {
            let removed = caught(|| self.rm(cx, &world, name)).unwrap_or_else(|e| Err(CliError::Panicked(e)));
            match removed {
                Ok(removed) => told(cx, out, name, &removed)?,
                // A signal ends the whole command, not only the work on this machine.
                Err(e @ CliError::Ended(_)) => {
                    errors.push(e);
                    break;
                }
                // Not even force takes what is protected or in other hands; all else it takes as it comes.
                Err(e) if matches!(Exit::of(&e), Exit::Refused | Exit::Locked) => errors.push(e),
                Err(e) if self.force => {
                    let why = e.to_string();
                    e.doing(format!("Error removing host {name:?}")).print(cx.drop_in());
                    let there = stored(world.store.records.names()).is_ok_and(|names| names.contains(name));
                    match names::parse(name).ok().filter(|_| there).map(|name| stored(forget(&world, &name, &why))) {
                        Some(Ok(removed)) => told(cx, out, name, &removed)?,
                        Some(Err(e)) => e.doing(format!("Can't remove {name:?}")).print(cx.drop_in()),
                        None => CliError::said(format!("Can't remove {name:?}")).print(cx.drop_in()),
                    }
                }
                Err(e) => errors.push(e.doing(format!("Error removing host {name:?}"))),
            }
        }
        cx.keep_contexts(&world);
        CliError::all(errors).map(|()| Exit::Done)
    }
}

/// Says that a machine is removed, and what is to be known of its instance.
fn told(cx: &Cx, out: &mut Out, name: &str, removed: &Removed) -> Result<(), CliError> {
    match removed {
        // A caller of docker-machine reads what that would have said.
        _ if cx.drop_in() => {}
        Removed::Now => {}
        Removed::Already => out.line(&format!("The instance of {name} was already gone"))?,
        Removed::Unconfirmed(stone) => CliError::warn(
            &format!("it is not confirmed that the instance of `{name}` is gone: {}", stone.what()),
            &format!(
                "it is remembered until that is confirmed; to look again:\n  {} rm --tombstone {name}",
                cx.program
            ),
        ),
    }
    out.line(&format!("Successfully removed {name}"))
}

/// Drops a machine of which nothing more is known than its name.
async fn forget(world: &World, name: &MachineName, why: &str) -> Result<Removed, StoreError> {
    // If it can be read after all, it was only its instance that could not be removed.
    let stone = match world.store.get(name).await {
        Ok(record) if !Machine::of(world, record.clone()).could_be_left() => {
            world.store.remove(name).await?;
            return Ok(Removed::Now);
        }
        Ok(record) => Tombstone::of(&record, world.clock.now(), why),
        Err(_) => Tombstone::unknown(name.clone(), world.clock.now(), why),
    };
    world.store.records.put_tombstone(&stone).await?;
    world.store.remove(name).await?;
    Ok(Removed::Unconfirmed(Box::new(stone)))
}

/// Records what is about to become of the instance, so that others know of it if this run is cut off.
async fn note(
    world: &World,
    name: &MachineName,
    change: impl FnOnce(&mut MachineRecord) + Send,
) -> Result<(), StoreError> {
    let mut record = world.store.load(name).await?;
    change(&mut record);
    match world.store.save(&mut record).await {
        // What makes room must be possible where there is none.
        Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::StorageFull => Ok(()),
        other => other,
    }
}

/// Whether it is certain that nothing was removed.
fn is_refusal(error: &CliError) -> bool {
    match error {
        CliError::Driver(error) => error.is_refusal(),
        CliError::NoDriver(_) => true,
        _ => false,
    }
}

impl Rm {
    fn rm(&self, cx: &Cx, world: &World, name: &str) -> Result<Removed, CliError> {
        let machine = match Machine::load(world, name) {
            Err(e @ CliError::Store(StoreError::Absent(_))) => {
                // What a removal that was killed at its very end left of it, keys among it, goes now.
                let _ = stored(world.store.remove(&names::parse(name)?));
                return Err(e);
            }
            other => other?,
        };
        // Another run that applies the fleet must not find a machine half removed.
        let lock = match claim::machines(cx, world, [machine.name()]) {
            // What makes room must be possible where there is none. Another holder of the lock would be another error.
            Err(CliError::Store(StoreError::Io { source, .. })) if source.kind() == io::ErrorKind::StorageFull => None,
            other => Some(other?),
        };
        // What was read before the lock was taken may be old.
        let machine = match Machine::load(world, name) {
            Err(CliError::Store(StoreError::Absent(_))) => return Ok(Removed::Already),
            other => other?,
        };
        if machine.record.protect {
            return Err(CliError::Protected(machine.record.name));
        }
        let removed = noted(world, &machine, self.force, || {
            stored(note(world, machine.name(), |record| {
                record.pending.insert(Part::Instance, Pending::Rm);
                let due = [Point::PreRm, Point::PostRm].map(|point| record.hooks.spec.at(point));
                record.hooks.pending = due.into_iter().flatten().map(|(id, _)| (id.point, id.name)).collect();
            }))?;
            let hooks = rm_hooks::run(cx, world, &machine.record, Point::PreRm, self.force);
            let (removed, begun) = match hooks {
                Ok(()) => {
                    let removed = self.rm_loaded(cx, world, &machine);
                    let begun = !removed.as_ref().is_err_and(is_refusal);
                    (removed, begun)
                }
                Err(e) => (Err(e), false),
            };
            if !begun {
                // What was refused is not half done. If this fails, too, the next removal ends it.
                let _ = stored(note(world, machine.name(), |record| {
                    record.pending.clone_from(&machine.record.pending);
                    record.hooks.pending.clone_from(&machine.record.hooks.pending);
                }));
            }
            removed
        });
        drop(lock);
        removed
    }

    fn rm_loaded(&self, cx: &Cx, world: &World, machine: &Machine) -> Result<Removed, CliError> {
        let name = machine.name();
        let (gone, removed) = cx.block_on(async {
            // docker-machine does not ask, and neither do we in its place.
            let gone = !cx.drop_in() && machine.is_gone().await;
            (gone, machine.rm(&|_| ()).await)
        })?;
        let removed = match removed {
            Ok(()) if gone => Removed::Already,
            Ok(()) => Removed::Now,
            Err(e) if self.force => {
                let why = e.to_string();
                e.doing(format!("Error removing host {:?}", name.as_str())).print(cx.drop_in());
                if machine.could_be_left() {
                    Removed::Unconfirmed(Box::new(Tombstone::of(&machine.record, world.clock.now(), &why)))
                } else {
                    Removed::Now
                }
            }
            Err(e) => return Err(e),
        };
        // First, so that whatever happens in between, one of the two is there.
        if let Removed::Unconfirmed(stone) = &removed {
            stored(world.store.records.put_tombstone(stone))?;
        }
        rm_hooks::run(cx, world, &machine.record, Point::PostRm, self.force)?;
        stored(world.store.remove(name))?;
        Ok(removed)
    }

    /// Looks again for what earlier machines of these names left.
    fn bury(&self, cx: &Cx, world: &World, out: &mut Out) -> Result<Exit, CliError> {
        let mut stones: BTreeMap<String, Vec<(String, Readable)>> = BTreeMap::new();
        for (id, stone) in stored(world.store.records.tombstones())? {
            // One that cannot be read is named by its file.
            let name = stone.as_ref().map_or_else(|_| id.clone(), |stone| stone.machine.to_string());
            stones.entry(name).or_default().push((id, stone));
        }
        let mut errors = Vec::new();
        for name in &self.names {
            let Some(stones) = stones.remove(name) else {
                errors.push(CliError::Said {
                    what: format!("nothing that an earlier `{name}` could have left is remembered"),
                    help: Some(format!("to see what is:\n  {} ls --tombstones", cx.program)),
                });
                continue;
            };
            for (id, stone) in stones {
                let buried =
                    caught(|| self.bury_one(cx, world, &id, stone)).unwrap_or_else(|e| Err(CliError::Panicked(e)));
                match buried {
                    Ok(line) => out.line(&line)?,
                    Err(e @ CliError::Ended(_)) => {
                        errors.push(e);
                        return CliError::all(errors).map(|()| Exit::Done);
                    }
                    Err(e) => errors.push(e),
                }
            }
        }
        CliError::all(errors).map(|()| Exit::Done)
    }

    fn bury_one(&self, cx: &Cx, world: &World, id: &str, stone: Result<Tombstone, String>) -> Result<String, CliError> {
        let stone = match stone {
            Ok(stone) => stone,
            Err(_) if self.force => {
                stored(world.store.records.remove_tombstone(id))?;
                return Ok(format!("Forgot tombstone {id}"));
            }
            Err(why) => return Err(CliError::said(format!("a tombstone cannot be read: {why}"))),
        };
        let name = &stone.machine;
        let _lock =
            stone.fleet.as_ref().map(|fleet| claim::all(cx, world, &Scope::of_fleet(fleet, [name]))).transpose()?;
        match cx.block_on(retry_removal(world, &stone, &|_| ()))? {
            Ok(Buried::Gone) => Ok(format!("Confirmed that the earlier {name} is gone")),
            Ok(Buried::Claimed) => Ok(format!("The earlier {name} is recorded again; its tombstone is gone")),
            Err(e) if self.force => {
                failed(e, name).print(cx.drop_in());
                stored(world.store.records.remove_tombstone(id))?;
                Ok(format!("Forgot the earlier {name}: {}", stone.what()))
            }
            Err(e) => Err(failed(e, name)),
        }
    }
}

fn failed(error: StepError, name: &MachineName) -> CliError {
    CliError::Step { machine: name.clone(), error: Arc::new(error), log: None }
        .doing(format!("Error removing what the earlier {name:?} left", name = name.as_str()))
}

/// Does the work between the two lines of the history.
fn noted(
    world: &World,
    machine: &Machine,
    force: bool,
    work: impl FnOnce() -> Result<Removed, CliError>,
) -> Result<Removed, CliError> {
    let (name, fleet) = (machine.name(), machine.record.fleet.as_ref());
    let (part, origin) = (Part::Instance, Origin::of(Rm::NAME).allowed(force.then(|| "--force".to_owned())));
    let open = stored(history::begin(world, &origin, fleet, vec![Deed::rm(name, part)]))?;
    let removed = work();
    let done = history::How::from(history::Result::Done);
    let (how, end, failure) = match &removed {
        Ok(Removed::Now) => (done, "removed", None),
        Ok(Removed::Already) => (done, "already gone", None),
        Ok(Removed::Unconfirmed(stone)) => (history::Result::Partial.into(), "not confirmed", Some(stone.why.clone())),
        Err(CliError::Ended(by)) => {
            (history::How { result: history::Result::Failed, cancelled: Some(by) }, "interrupted", None)
        }
        Err(e) => (history::Result::Failed.into(), "failed", Some(e.brief())),
    };
    let failures = failure.map(|why| (format!("{name}/{part}"), why)).into_iter().collect();
    let ended = open.end(world, how, BTreeMap::from([(name.clone(), end.to_owned())]), failures);
    if let Err(e) = settled(ended)? {
        story::not_noted(&e);
    }
    removed
}
