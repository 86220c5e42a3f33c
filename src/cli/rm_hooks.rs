//! Hooks of a machine that is removed by its name, without a plan. They come from its record.

use super::{CliError, Cx, stored::stored};
use crate::{
    apply::run_hook,
    hook::{Hook, On, Point},
    record::MachineRecord,
    store::StoreError,
    world::World,
};
use std::{
    io::{ErrorKind, Write as _},
    sync::Arc,
};

/// Runs the hooks of one point, one after the other, in the current folder. One that has ended is not due any more. Told to
/// `force`, it only says what failed.
pub(super) fn run(cx: &Cx, world: &World, record: &MachineRecord, point: Point, force: bool) -> Result<(), CliError> {
    let can = |hook: &Hook| hook.on == On::Local || record.instance.is_some();
    let hooks: Vec<_> = record.hooks.spec.at(point).filter(|(_, hook)| can(hook)).collect();
    if hooks.is_empty() {
        return Ok(());
    }
    let mut known = stored(world.store.load(&record.name))?;
    for (id, hook) in hooks {
        // A closed standard error stops nothing.
        let progress = |text: &str| drop(writeln!(std::io::stderr(), "{}  {point} {}  {text}", record.name, hook.name));
        match cx.block_on(run_hook(world, &mut known, &id, hook, &progress))? {
            Ok(()) => {
                known.hooks.pending.retain(|(point, name)| (*point, name) != (id.point, &id.name));
                match stored(world.store.save(&mut known)) {
                    // What makes room must be possible where there is none.
                    Err(CliError::Store(StoreError::Io { source, .. })) if source.kind() == ErrorKind::StorageFull => {}
                    other => other?,
                }
            }
            Err(error) => {
                let machine = record.name.clone();
                let error = CliError::Step { machine, error: Arc::new(error), log: None };
                if !force {
                    return Err(error);
                }
                error.print(cx.drop_in());
            }
        }
    }
    Ok(())
}
