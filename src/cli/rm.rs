//! `rm`: removes instances, then what is recorded of them.

use super::{CliError, Cx, Exit, Group, Out, Run, claim, error::NamesError, machine::Machine, names, prompt};
use crate::{
    store::{Holder, StoreError},
    world::World,
};

/// Remove machines, their instances included
#[derive(clap::Args)]
pub(super) struct Rm {
    /// Remove from the store even if the instance cannot be removed; do not ask
    #[arg(short, long)]
    force: bool,
    /// Do not ask
    #[arg(short)]
    yes: bool,
    /// The machines
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl Run for Rm {
    const NAME: &'static str = "rm";
    const GROUP: Group = Group::Machine;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        if self.names.is_empty() {
            return Err(CliError::Names(NamesError::Some));
        }
        let world = cx.world()?;
        out.line(&format!("About to remove {}", self.names.join(", ")))?;
        out.line("WARNING: This action will delete both local reference and remote instance.")?;
        let what = format!("removing {}", self.names.join(", "));
        if !(self.force || self.yes || prompt::confirmed(cx, out, "Are you sure? (y/n): ", &what)?) {
            return Ok(Exit::Done);
        }
        let mut errors = Vec::new();
        for name in &self.names {
            match self.rm(cx, &world, name) {
                Ok(()) => out.line(&format!("Successfully removed {name}"))?,
                // Not even force takes what is protected or in other hands; all else it takes as it comes.
                Err(e) if matches!(Exit::of(&e), Exit::Refused | Exit::Locked) => errors.push(e),
                Err(e) if self.force => {
                    e.doing(format!("Error removing host {name:?}")).print(cx.drop_in());
                    let there = world.store.names().is_ok_and(|names| names.contains(name));
                    if there && names::parse(name).is_ok_and(|name| world.store.remove(&name).is_ok()) {
                        out.line(&format!("Successfully removed {name}"))?;
                    } else {
                        CliError::said(format!("Can't remove {name:?}")).print(cx.drop_in());
                    }
                }
                Err(e) => errors.push(e.doing(format!("Error removing host {name:?}"))),
            }
        }
        crate::context::sync_if_used(&world);
        CliError::all(errors).map(|()| Exit::Done)
    }
}

impl Rm {
    fn rm(&self, cx: &Cx, world: &World, name: &str) -> Result<(), CliError> {
        let machine = Machine::load(world, name)?;
        // Another run that applies the fleet must not find a machine half removed.
        let lock = claim::machine(cx, world, &machine.record)?;
        // What was read before the lock was taken may be old.
        let machine = match Machine::load(world, name) {
            Err(CliError::Store(StoreError::Absent(_))) => return Ok(()),
            other => other?,
        };
        if machine.record.protect {
            return Err(CliError::Protected(machine.record.name));
        }
        let removed = cx.block_on(machine.rm(&|_| ()))?;
        match removed {
            Err(e) if self.force => e.doing(format!("Error removing host {name:?}")).print(cx.drop_in()),
            other => other?,
        }
        world.store.remove(machine.name()).map_err(CliError::Store)?;
        drop(lock);
        Ok(())
    }
}

/// Who we are, for those who find the fleet locked.
pub(super) fn holder(cx: &Cx, world: &World) -> Holder {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Holder {
        who: format!("{}@{host}", cx.var("USER").unwrap_or_else(|| "unknown".to_owned())),
        pid: std::process::id(),
        command: cx.words.join(" "),
        since: world.clock.now(),
    }
}
