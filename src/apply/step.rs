//! One step: which function does its work.

use super::{
    Event, StepError, certificate,
    engine::{self, Packages},
    hook, instance, remains,
};
use crate::{
    hook::HookId,
    name::FleetName,
    part,
    plan::{HostPlan, Step, StepId, Work},
    record::{MachineRecord, Pending, Place},
    store::Versioned,
    world::{self, World},
};
use std::sync::OnceLock;
use tokio::sync::mpsc::UnboundedSender;

/// A step with all it needs.
pub(super) struct Task {
    pub(super) world: World,
    pub(super) fleet: Option<FleetName>,
    pub(super) host: Option<HostPlan>,
    pub(super) id: StepId,
    pub(super) step: Step,
    pub(super) retries: u32,
    /// Hooks of the machine that this plan comes to from here on, itself included.
    pub(super) later: Vec<HookId>,
    /// Where its instance was seen, if that is not recorded.
    pub(super) place: OnceLock<Place>,
    pub(super) events: UnboundedSender<Event>,
}

impl Task {
    pub(super) async fn perform(&self) -> Result<(), StepError> {
        // What a driver or a host is told cannot be refused afterwards.
        self.world.store.leases.still_held().await?;
        self.locate().await;
        match &self.step.work {
            Work::Nothing => Ok(()),
            Work::Blocked(why) => Err(StepError::Blocked(why.clone())),
            Work::Record => instance::record(self).await,
            Work::RecordInstance(seen) => instance::take_over(self, seen).await,
            Work::CreateInstance => instance::create(self).await,
            Work::ChangeInstance { start } => instance::change(self, *start).await,
            Work::StartInstance => instance::start(self).await,
            Work::RmInstance => instance::rm(self).await,
            Work::Bury(stones) => remains::bury(self, stones).await,
            Work::Certificate { names, issue } => certificate::perform(self, names, *issue).await,
            Work::Engine(spec) => engine::perform(self, spec, Packages::AsTheyAre).await,
            Work::Hook(hook) => hook::perform(self, hook).await,
            Work::NewestEngine(spec) => engine::perform(self, spec, Packages::Newest).await,
        }
    }

    /// Finds out where the machine's instance is, if its record does not say and its driver sees it there. It is recorded
    /// with what the step writes.
    async fn locate(&self) {
        let writes = match &self.step.work {
            Work::Record
            | Work::RecordInstance(_)
            | Work::ChangeInstance { .. }
            | Work::StartInstance
            | Work::Certificate { .. }
            | Work::Engine(_)
            | Work::NewestEngine(_) => true,
            // A creation knows better; nothing else is about an instance that stays.
            Work::Nothing
            | Work::Blocked(_)
            | Work::CreateInstance
            | Work::RmInstance
            | Work::Bury(_)
            | Work::Hook(_) => false,
        };
        if writes
            && let Ok(record) = self.load().await
            && let Some(place) = world::where_seen(&self.world, &record).await
        {
            // Nothing else sets it.
            let _ = self.place.set(place);
        }
    }

    /// Tells a person what is being done now.
    pub(super) fn progress(&self, text: &str) {
        self.events.send(Event::Progress { step: self.id.clone(), text: text.to_owned() }).ok();
    }

    pub(super) fn host(&self) -> Result<&HostPlan, StepError> {
        self.host.as_ref().ok_or(StepError::Bug("a step for a host that the plan does not have"))
    }

    pub(super) async fn load(&self) -> Result<Versioned, StepError> {
        let mut record = self.world.store.load(&self.id.machine).await?;
        self.own(&record)?;
        if record.place.is_none() {
            record.place = self.place.get().cloned();
        }
        Ok(record)
    }

    /// Refuses a machine that came into other hands since the plan was made.
    pub(super) fn own(&self, record: &MachineRecord) -> Result<(), StepError> {
        match &record.fleet {
            Some(other) if Some(other) != self.fleet.as_ref() => {
                Err(StepError::Blocked(format!("a machine of this name belongs to fleet `{other}`")))
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn save(&self, record: &mut Versioned) -> Result<(), StepError> {
        Ok(self.world.store.save(record).await?)
    }

    /// Notes which hooks are due once this step has begun: for one before something is done, itself and those behind it;
    /// for all else those after it is done. One that was due stays so while the plan comes to it.
    pub(super) fn note_due(&self, record: &mut MachineRecord) {
        let before = self.id.hook.as_ref().is_some_and(|hook| hook.point.is_before());
        let due = |hook: &&HookId| hook.point.is_before() == before || record.hooks.is_pending(hook);
        record.hooks.pending = self.later.iter().filter(due).map(|hook| (hook.point, hook.name.clone())).collect();
    }

    /// Records that the step's part is about to be touched.
    pub(super) async fn intend(&self, record: &mut Versioned, pending: Pending) -> Result<(), StepError> {
        record.pending.insert(self.id.part, pending);
        self.note_due(record);
        self.save(record).await
    }

    /// Records that the step's part is as the record now says.
    pub(super) async fn done(&self, record: &mut Versioned) -> Result<(), StepError> {
        record.pending.remove(&self.id.part);
        self.save(record).await
    }

    /// What is intended: a part that was never finished is still being made.
    pub(super) fn intent(&self, record: &MachineRecord) -> Pending {
        if part::is_recorded(self.id.part, record) { Pending::Upgrade } else { Pending::Create }
    }
}
