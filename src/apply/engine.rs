//! Steps on an engine: what differs is mended, then checked the way it was found, then asked through its API.

use super::{
    StepError,
    host::{Host, Worker},
    phase,
    step::Task,
};
use crate::{
    docker::{DockerError, EngineVersion},
    engine::EngineSpec,
    provisioner::{self, facts::Clocks},
    record::{EngineRecord, MachineRecord},
    world,
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// How long an engine that was just started may take to answer.
const ANSWER: Duration = Duration::from_mins(1);
/// How long one question may take.
const QUESTION: Duration = Duration::from_secs(10);

/// What becomes of packages that are installed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Packages {
    /// They stay, if they are what is wanted.
    AsTheyAre,
    /// The newest that are wanted replace them.
    Newest,
}

pub(super) async fn perform(task: &Task, spec: &EngineSpec, packages: Packages) -> Result<(), StepError> {
    // Before anything is touched: what is missing here must not be found out half way.
    let spec = &revealed(task, spec).await?;
    let mut record = task.load().await?;
    let intent = task.intent(&record);
    task.intend(&mut record, intent).await?;
    let mut host = Host::reach(task, &mut record, spec.port).await?;
    if packages == Packages::Newest {
        let script = host.provisioner.upgrade(&host.facts, spec).map_err(StepError::Unsupported)?;
        host.run(task, &script).await?;
        host.look().await?;
    }
    let script = host.provisioner.engine(&host.facts, spec).map_err(StepError::Unsupported)?;
    if !script.0.is_empty() {
        host.run(task, &script).await?;
        host.look().await?;
    }
    let left = host.provisioner.differences(&host.facts, spec);
    if !left.is_empty() {
        return Err(StepError::NotAsWanted(left));
    }
    task.progress(phase::ASKING);
    let applied = EngineRecord {
        spec: spec.clone(),
        version: host.facts.engine_version.clone().unwrap_or_default(),
        provisioner: host.provisioner.name().to_owned(),
        os: host.facts.os.as_ref().map(|os| os.pretty_name.clone()).unwrap_or_default(),
    };
    let advice = provisioner::firewall_advice(&host.facts, spec);
    // A firewall that drops does not open by itself: once is enough to know.
    let patience = if advice.is_some() { QUESTION } else { ANSWER };
    let clocks = host.clocks(task);
    let version = ask(task, &record, &applied, patience).await.map_err(|e| clocked(advise(e, advice), clocks))?;
    record.engine = Some(EngineRecord { version: version.version, ..applied });
    task.done(&mut record).await
}

/// The same, with what its secrets are.
async fn revealed(task: &Task, spec: &EngineSpec) -> Result<EngineSpec, StepError> {
    let (mut spec, from) = (spec.clone(), Arc::clone(&task.world.secrets));
    let found = tokio::task::spawn_blocking(move || spec.reveal(&*from).map(|()| spec)).await;
    found.expect("looking for a secret does not panic").map_err(StepError::Secret)
}

/// After a change that may have switched the machine off and on: waits a moment for the engine that was on it, so that the
/// next look finds nothing to do. One that does not come back is for that look to find.
pub(super) async fn back(task: &Task, record: &MachineRecord) {
    if let Some(engine) = record.engine.as_ref().filter(|_| record.pending.is_empty()) {
        task.progress(phase::ASKING);
        let _ = ask(task, record, engine, ANSWER).await;
    }
}

/// Asks until the engine answers, for it may only just have been started.
pub(super) async fn ask(
    worker: &impl Worker,
    record: &MachineRecord,
    engine: &EngineRecord,
    patience: Duration,
) -> Result<EngineVersion, StepError> {
    let deadline = Instant::now() + patience;
    let mut pause = Duration::from_millis(100);
    loop {
        let answer = world::ask_engine(worker.world(), record, engine, QUESTION).await;
        let transient = matches!(&answer, Err(world::AskError::Docker(DockerError::Unreachable { .. })));
        if !transient || Instant::now() + pause > deadline {
            return answer.map_err(|e| match e {
                world::AskError::Docker(e) => StepError::Docker(e),
                world::AskError::Transport(e) => StepError::Transport(e),
                world::AskError::Store(e) => StepError::Store(e),
                world::AskError::NoIdentity => StepError::Bug("an engine without a certificate"),
                world::AskError::NoAddress => StepError::Bug("an engine of a machine without an address"),
            });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}

/// Certificates are refused where clocks do not agree: names both.
pub(super) fn clocked(error: StepError, clocks: Option<Clocks>) -> StepError {
    match (error, clocks) {
        (StepError::Docker(error @ DockerError::Tls { .. }), Some(clocks)) => StepError::Clock { error, clocks },
        (error, _) => error,
    }
}

/// An engine that runs and cannot be reached is most often behind a firewall: names it if one is there.
fn advise(error: StepError, advice: Option<String>) -> StepError {
    match (error, advice) {
        (StepError::Docker(error), Some(help)) => StepError::Firewall { error, help },
        (error, _) => error,
    }
}
