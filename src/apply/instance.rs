//! Steps on an instance: made, changed, switched on, removed, or only recorded.

use super::{StepError, engine, step::Task};
use crate::{
    driver::{Checkpoint, DriverError, PowerAction},
    name::FleetName,
    plan::Reason,
    record::{Instance, MachineRecord, OptionValues, Part, Pending, SshEndpoint, Uid},
    store::{Store, StoreError, Versioned},
    world::{self, Site},
};
use async_trait::async_trait;
use std::{path::PathBuf, time::Duration};
use tokio::sync::Mutex;

/// The record takes over ownership, order, protection and options.
pub(super) async fn record(task: &Task) -> Result<(), StepError> {
    let mut record = task.load().await?;
    adopt(task, &mut record)?;
    task.note_due(&mut record);
    task.save(&mut record).await
}

/// The record takes over what the driver sees now.
pub(super) async fn take_over(task: &Task, seen: &Instance) -> Result<(), StepError> {
    let mut record = task.load().await?;
    adopt(task, &mut record)?;
    settle(&mut record, seen.clone());
    task.note_due(&mut record);
    task.save(&mut record).await
}

/// Makes the instance, or finds the one an earlier run made.
pub(super) async fn create(task: &Task) -> Result<(), StepError> {
    let host = task.host()?;
    let mut record = match task.world.store.load(&task.id.machine).await {
        Ok(record) => {
            task.own(&record)?;
            // Made by another run since the plan, which knew of no machine to adopt.
            if record.fleet != task.fleet && !task.step.reasons.contains(&Reason::Adopted) {
                return Err(StepError::Blocked("a machine of this name was made since the plan".to_owned()));
            }
            record
        }
        Err(StoreError::Absent(_)) => {
            let name = task.id.machine.clone();
            Versioned::new(MachineRecord::new(name, task.fleet.clone(), &host.driver, host.options.clone()))
        }
        Err(e) => return Err(e.into()),
    };
    adopt(task, &mut record)?;
    record.driver.clone_from(&host.driver);
    // What stood on an instance that is gone went with it.
    record.certificate = None;
    record.engine = None;
    let made_at = world::place(&task.world, &record).await;
    // One that was begun is carried on: it is found again, and is the same.
    let begun = record.pending.get(&Part::Instance) == Some(&Pending::Create);
    if !begun {
        record.uid = fresh()?;
        record.place = None;
    }
    record.place = record.place.take().or_else(|| made_at.clone());
    task.intend(&mut record, Pending::Create).await?;
    // From here on it is where this run makes it or finds it.
    record.place = made_at;
    let place = Place::new(task, record).await?;
    let instance = place.instance(&host.driver, &host.options, Call::Create).await?;
    let mut record = place.record();
    settle(&mut record, instance);
    task.done(&mut record).await
}

/// A new instance is known by this, whatever it is called.
fn fresh() -> Result<Uid, StepError> {
    let mut bytes = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| StepError::Blocked("this computer gives no random numbers".to_owned()))?;
    Ok(Uid::of_random(bytes))
}

/// Changes the instance in place.
pub(super) async fn change(task: &Task, start: bool) -> Result<(), StepError> {
    let host = task.host()?;
    let mut record = task.load().await?;
    let old = record.instance.clone().ok_or(StepError::Bug("a change of an instance that is not recorded"))?;
    task.intend(&mut record, Pending::Upgrade).await?;
    let place = Place::new(task, record).await?;
    let mut instance = place.instance(&host.driver, &host.options, Call::Change(&old)).await?;
    if start {
        let before = instance.clone();
        instance = place.instance(&host.driver, &host.options, Call::Power(&before, PowerAction::Start)).await?;
    }
    let mut record = place.record();
    adopt(task, &mut record)?;
    settle(&mut record, instance);
    task.done(&mut record).await?;
    engine::back(task, &record).await;
    Ok(())
}

/// Switches the instance on.
pub(super) async fn start(task: &Task) -> Result<(), StepError> {
    let mut record = task.load().await?;
    let old = record.instance.clone().ok_or(StepError::Bug("a start of an instance that is not recorded"))?;
    adopt(task, &mut record)?;
    if !record.hooks.pending.is_empty() {
        // Hooks are due from here on, whatever becomes of us.
        task.save(&mut record).await?;
    }
    let (driver, options) = (record.driver.clone(), record.options.clone());
    let place = Place::new(task, record).await?;
    let instance = place.instance(&driver, &options, Call::Power(&old, PowerAction::Start)).await?;
    let mut record = place.record();
    settle(&mut record, instance);
    task.save(&mut record).await
}

/// Removes the instance, then its record.
pub(super) async fn rm(task: &Task) -> Result<(), StepError> {
    let mut record = match task.load().await {
        Err(StepError::Store(StoreError::Absent(_))) => return Ok(()),
        other => other?,
    };
    task.intend(&mut record, Pending::Rm).await?;
    let (driver, options, recorded) = (record.driver.clone(), record.options.clone(), record.instance.clone());
    let place = Place::new(task, record).await?;
    let removal = async {
        // An interrupted creation left no instance in the record, but maybe one in the world.
        let instance = match recorded {
            Some(instance) => Some(instance),
            None => place.call(&driver, &options, Call::Find).await?,
        };
        match instance {
            Some(instance) => place.call(&driver, &options, Call::Rm(&instance)).await.map(drop),
            None => Ok(()),
        }
    };
    if let Err(error) = removal.await {
        if matches!(&error, StepError::Driver(e) if e.is_refusal()) {
            // What was refused is not half done: it is asked for anew, or it is not wanted any more (C2).
            let mut record = place.record();
            record.pending.remove(&Part::Instance);
            task.save(&mut record).await?;
        }
        return Err(error);
    }
    if task.later.is_empty() {
        task.world.store.remove(&task.id.machine).await?;
    }
    // Else the last hook removes the record: until then they need what it says.
    Ok(())
}

/// Writes into the record what the fleet says of the host and no driver needs to know.
fn adopt(task: &Task, record: &mut MachineRecord) -> Result<(), StepError> {
    let host = task.host()?;
    record.fleet.clone_from(&task.fleet);
    record.depends_on.clone_from(&host.depends_on);
    record.protect = host.protect;
    record.options.clone_from(&host.options);
    record.hooks.spec.clone_from(&host.hooks);
    task.note_due(record);
    Ok(())
}

/// Takes an instance into the record; keys that were pinned stay pinned unless the driver knows better.
fn settle(record: &mut MachineRecord, mut instance: Instance) {
    if let Some(old) = record.instance.take().filter(|old| old.id == instance.id && instance.host_keys.is_empty()) {
        let jump = |ssh: &Option<SshEndpoint>| ssh.as_ref().and_then(|ssh| ssh.jump.clone());
        if jump(&instance.ssh) == jump(&old.ssh) {
            instance.jump_keys = old.jump_keys;
        }
        instance.host_keys = old.host_keys;
    }
    record.instance = Some(instance);
}

/// Keeps an instance in the record as soon as the driver knows of it.
struct Saved<'a> {
    store: &'a Store,
    record: Mutex<Versioned>,
}

#[async_trait]
impl Checkpoint for Saved<'_> {
    async fn instance(&self, instance: &Instance) -> Result<(), DriverError> {
        let mut record = self.record.lock().await;
        record.instance = Some(instance.clone());
        self.store.save(&mut record).await.map_err(|e| DriverError::Checkpoint(e.to_string()))
    }
}

/// What is asked of a driver.
#[derive(Clone, Copy)]
enum Call<'a> {
    Find,
    Create,
    Change(&'a Instance),
    Power(&'a Instance, PowerAction),
    Rm(&'a Instance),
}

/// Where a driver works: what its context is made of.
struct Place<'a> {
    task: &'a Task,
    dir: PathBuf,
    store_id: String,
    fleet: Option<FleetName>,
    saved: Saved<'a>,
}

impl<'a> Place<'a> {
    async fn new(task: &'a Task, record: Versioned) -> Result<Self, StepError> {
        let store = &task.world.store;
        Ok(Self {
            task,
            dir: store.files.machine_dir(&task.id.machine).await?,
            store_id: store.records.id().await?,
            fleet: record.fleet.clone(),
            saved: Saved { store, record: Mutex::new(record) },
        })
    }

    /// The record with all that was kept of the instance meanwhile.
    fn record(self) -> Versioned {
        self.saved.record.into_inner()
    }

    /// As [`Self::call`], for calls that always answer with an instance.
    async fn instance(&self, driver: &str, options: &OptionValues, call: Call<'_>) -> Result<Instance, StepError> {
        self.call(driver, options, call).await?.ok_or(StepError::Bug("a driver made an instance and did not say which"))
    }

    /// Calls a driver, and again after a pause when its answer was lost: the one place with retries.
    async fn call(&self, name: &str, options: &OptionValues, call: Call<'_>) -> Result<Option<Instance>, StepError> {
        let unknown = || StepError::UnknownDriver { driver: name.to_owned(), machine: self.task.id.machine.clone() };
        let driver = self.task.world.drivers.get(name).ok_or_else(unknown)?;
        let progress = |text: &str| self.task.progress(text);
        let site = Site {
            machine: &self.task.id.machine,
            fleet: self.fleet.as_ref(),
            store_id: &self.store_id,
            dir: &self.dir,
        };
        let cx = self.task.world.driver_context(site, &self.saved, &progress);
        let mut left = self.task.retries;
        let mut pause = FIRST_PAUSE;
        loop {
            let answer = match call {
                Call::Find => driver.find(&cx, options).await,
                Call::Create => driver.create(&cx, options).await.map(Some),
                Call::Change(instance) => driver.change(&cx, instance, options).await.map(Some),
                Call::Power(instance, action) => driver.set_power(&cx, instance, options, action).await.map(Some),
                Call::Rm(instance) => driver.rm(&cx, instance, options).await.map(|()| None),
            };
            match answer {
                Err(e) if e.is_transient() && left > 0 => {
                    left -= 1;
                    progress(&format!("{e}; trying again"));
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                other => return other.map_err(StepError::Driver),
            }
        }
    }
}

/// Before the first retry; doubled for each one after.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::MachineName;

    fn behind(jump: &str) -> Instance {
        let (host, port, user) = ("10.0.0.11".to_owned(), 22, "root".to_owned());
        let ssh =
            SshEndpoint { host: host.clone(), port, user, key: None, passphrase: None, jump: Some(jump.to_owned()) };
        let (host_keys, jump_keys) = (Vec::new(), Vec::new());
        Instance { id: host.clone(), address: host, ssh: Some(ssh), url: None, host_keys, jump_keys }
    }

    #[test]
    fn pinned_keys_outlive_a_driver_that_knows_none() {
        let mut record = MachineRecord::new(MachineName::new("app").unwrap(), None, "generic", OptionValues::new());
        let mut pinned = behind("root@192.0.2.1");
        pinned.pin("ssh-ed25519 AAAA".to_owned(), Some("ssh-ed25519 BBBB".to_owned()));
        settle(&mut record, pinned.clone());
        settle(&mut record, behind("root@192.0.2.1"));
        assert_eq!(record.instance, Some(pinned.clone()));
        settle(&mut record, behind("root@192.0.2.2"));
        let now = record.instance.unwrap();
        assert_eq!((now.host_keys, now.jump_keys), (pinned.host_keys, Vec::new()), "another jump host has another key");
    }
}
