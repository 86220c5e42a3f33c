//! Hooks of a machine that is removed by its name, without a plan. They come from its record.

use super::{CliError, Cx, stored::stored};
use crate::{
    apply::run_hook,
    hook::{On, Point},
    record::MachineRecord,
    world::World,
};
use std::{io::Write as _, sync::Arc};

/// Runs the hooks of one point, one after the other, in the current folder. Told to `force`, it only says what failed.
pub(super) fn run(cx: &Cx, world: &World, record: &MachineRecord, point: Point, force: bool) -> Result<(), CliError> {
    let Some(mut known) =
        stored(world.store.load(&record.name)).map(Some).or_else(|e| if force { Ok(None) } else { Err(e) })?
    else {
        return Ok(());
    };
    for (id, hook) in record.hooks.spec.at(point) {
        if hook.on == On::Host && record.instance.is_none() {
            continue;
        }
        // A closed standard error stops nothing.
        let progress = |text: &str| drop(writeln!(std::io::stderr(), "{}  {point} {}  {text}", record.name, hook.name));
        if let Err(error) = cx.block_on(run_hook(world, &mut known, &id, hook, &progress))? {
            let machine = record.name.clone();
            let error = CliError::Step { machine, error: Arc::new(error), log: None };
            if !force {
                return Err(error);
            }
            error.print(cx.drop_in());
        }
    }
    Ok(())
}
