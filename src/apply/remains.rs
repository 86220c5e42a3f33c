//! What removals that were not confirmed may have left: looked for again, removed, and forgotten once it is gone.

use super::{StepError, step::Task};
use crate::{
    driver::{AnyDriver, Checkpoint, DriverContext, DriverError},
    record::{Instance, Tombstone},
    store::{Store, StoreError},
    world::World,
};

/// Every tombstone of the step, one after another; the first that cannot be confirmed ends it.
pub(super) async fn bury(task: &Task, stones: &[Tombstone]) -> Result<(), StepError> {
    for stone in stones {
        retry(&task.world, stone, &|text| task.progress(text)).await?;
    }
    Ok(())
}

/// How a removal was confirmed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Buried {
    /// The provider has nothing of it any more.
    Gone,
    /// A machine of the store stands for the instance again, so it is no remains.
    Claimed,
}

/// Tries a removal again that was not confirmed. Once it is, the tombstone goes.
///
/// # Errors
/// When nobody can say that it is gone; the tombstone stays then.
pub async fn retry(
    world: &World,
    stone: &Tombstone,
    progress: &(dyn Fn(&str) + Send + Sync),
) -> Result<Buried, StepError> {
    let store = &*world.store;
    // A machine of that name may be there by now; what it stands for is not ours to remove.
    let claimed = match store.get(&stone.machine) {
        Ok(record) => stone.is_claimed(&record),
        Err(StoreError::Absent(_)) => false,
        Err(e) => return Err(e.into()),
    };
    if !claimed {
        progress("looking for what an earlier machine left");
        remove(world, stone, progress).await?;
    }
    store.remove_tombstone(&stone.id())?;
    Ok(if claimed { Buried::Claimed } else { Buried::Gone })
}

async fn remove(world: &World, stone: &Tombstone, progress: &(dyn Fn(&str) + Send + Sync)) -> Result<(), StepError> {
    let store = &*world.store;
    let unknown = || StepError::UnknownDriver { driver: stone.driver.clone(), machine: stone.machine.clone() };
    let driver: &dyn AnyDriver = *world.drivers.get(stone.driver.as_str()).ok_or_else(unknown)?;
    // One that makes nothing leaves nothing.
    if !driver.creates() {
        return Ok(());
    }
    let (dir, store_id) = (store.tombstone_dir()?, store.id()?);
    let cx = DriverContext {
        machine: &stone.machine,
        fleet: stone.fleet.as_ref(),
        store_id: &store_id,
        dir: &dir,
        connect: &*world.connect,
        checkpoint: &Nothing,
        progress,
    };
    if let Some(instance) = &stone.instance {
        // By its id: a new machine of the name may have the same tag, and is another instance.
        return driver.rm(&cx, instance, &stone.options).await.map_err(StepError::Driver);
    }
    match driver.find(&cx, &stone.options).await.map_err(StepError::Driver)? {
        Some(found) if is_recorded(store, stone, &found)? => Ok(()),
        Some(found) => driver.rm(&cx, &found, &stone.options).await.map_err(StepError::Driver),
        None => Ok(()),
    }
}

/// Whether any machine of the store stands for this instance.
fn is_recorded(store: &dyn Store, stone: &Tombstone, found: &Instance) -> Result<bool, StepError> {
    match store.get(&stone.machine) {
        Ok(record) => Ok(record.driver == stone.driver && record.instance.is_some_and(|now| now.id == found.id)),
        Err(StoreError::Absent(_)) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// Nothing is made, so there is nothing to keep.
struct Nothing;

impl Checkpoint for Nothing {
    fn instance(&self, _: &Instance) -> Result<(), DriverError> {
        Ok(())
    }
}
