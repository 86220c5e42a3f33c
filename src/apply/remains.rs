//! What removals that were not confirmed may have left: looked for again, removed, and forgotten once it is gone.

use super::{StepError, step::Task};
use crate::{
    driver::{AnyDriver, NothingMade},
    record::{Instance, Tombstone},
    store::{Store, StoreError},
    world::{Site, World},
};

/// Every tombstone of the step, one after another; the first that cannot be confirmed ends it.
pub(super) async fn bury(task: &Task, graves: &[Tombstone]) -> Result<(), StepError> {
    for grave in graves {
        retry(&task.world, grave, &|text| task.progress(text)).await?;
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
/// When it is not certain that it is gone; the tombstone stays then.
pub async fn retry(
    world: &World,
    grave: &Tombstone,
    progress: &(dyn Fn(&str) + Send + Sync),
) -> Result<Buried, StepError> {
    let store = &world.store;
    // A machine of that name may be there by now; what it stands for is not ours to remove.
    let claimed = match store.get(&grave.machine).await {
        Ok(record) => grave.is_claimed(&record),
        Err(StoreError::Absent(_)) => false,
        Err(e) => return Err(e.into()),
    };
    if !claimed {
        progress("looking for what an earlier machine left");
        remove(world, grave, progress).await?;
    }
    store.records.remove_tombstone(&grave.id()).await?;
    Ok(if claimed { Buried::Claimed } else { Buried::Gone })
}

async fn remove(world: &World, grave: &Tombstone, progress: &(dyn Fn(&str) + Send + Sync)) -> Result<(), StepError> {
    let store = &world.store;
    let unknown = || StepError::UnknownDriver { driver: grave.driver.clone(), machine: grave.machine.clone() };
    let driver: &dyn AnyDriver = world.drivers.get(&grave.driver).ok_or_else(unknown)?;
    // One that makes nothing leaves nothing.
    if !driver.creates() {
        return Ok(());
    }
    let (dir, store_id) = (store.files.tombstone_dir().await?, store.records.id().await?);
    let site = Site { machine: &grave.machine, fleet: grave.fleet.as_ref(), store_id: &store_id, dir: &dir };
    let cx = world.driver_context(site, &NothingMade, progress);
    if let Some(instance) = &grave.instance {
        // By its id: a new machine of the name may have the same tag, and is another instance.
        return driver.rm(&cx, instance, &grave.options).await.map_err(StepError::Driver);
    }
    match driver.find(&cx, &grave.options).await.map_err(StepError::Driver)? {
        Some(found) if is_recorded(store, grave, &found).await? => Ok(()),
        Some(found) => driver.rm(&cx, &found, &grave.options).await.map_err(StepError::Driver),
        None => Ok(()),
    }
}

/// Whether any machine of the store stands for this instance.
async fn is_recorded(store: &Store, grave: &Tombstone, found: &Instance) -> Result<bool, StepError> {
    match store.get(&grave.machine).await {
        Ok(record) => Ok(record.driver == grave.driver && record.instance.is_some_and(|now| now.id == found.id)),
        Err(StoreError::Absent(_)) => Ok(false),
        Err(e) => Err(e.into()),
    }
}
