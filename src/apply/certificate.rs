//! Work on a certificate: issued if need be, put on the host, then kept where clients find it.

use super::{
    StepError,
    engine::{self, clocked},
    host::{Host, Worker},
    phase,
    step::Task,
};
use crate::{
    digest::sha256_hex,
    engine::{Api, spec::TLS_PORT},
    name::MachineName,
    provisioner::facts::Clocks,
    record::{CertificateRecord, MachineRecord, Part, Pending, certificate_names},
    store::{
        Versioned, auth,
        authority::{self, AuthorityError, Deed},
        copies, issued,
        local::Locals,
    },
    tls::Role,
    world::World,
};
use std::{collections::BTreeSet, time::Duration};

/// How long an engine may take to answer after it was given a new certificate.
const ANSWER: Duration = Duration::from_mins(1);

pub(super) async fn perform(task: &Task, names: &BTreeSet<String>, issue: bool) -> Result<(), StepError> {
    let mut record = task.load().await?;
    let intent = task.intent(&record);
    task.intend(&mut record, intent).await?;
    // What another run has done to the authority since the plan was made may need more than was planned.
    if issue || !put_in_order(task, &record).await? {
        issue_to(task, &mut record, names).await?;
    } else {
        let certificate = issued::certificate(&task.world.store, &record.name).await?;
        let host = Host::reach(task, &mut record, TLS_PORT).await?;
        host.run(task, &host.provisioner.certificate(&host.facts, &certificate)).await?;
    }
    task.done(&mut record).await
}

/// Makes what clients show the engine whole again, without a new certificate for the engine. Whether that can do.
async fn put_in_order(worker: &impl Worker, record: &MachineRecord) -> Result<bool, StepError> {
    let Some(recorded) = &record.certificate else { return Ok(false) };
    let World { store, clock, .. } = worker.world();
    let files = auth::of(store, &record.name).await?.files;
    let (identity, deeds) = authority::identity(store, &files, &**clock).await?;
    tell(worker, &deeds);
    if sha256_hex(identity.ca.as_bytes()) != recorded.ca_sha256 {
        return Ok(false);
    }
    if copies::of(store, &record.name).await?.as_ref() != Some(&identity) {
        copies::put(store, &record.name, &identity, clock.now()).await?;
    }
    Ok(true)
}

fn tell(worker: &impl Worker, deeds: &[Deed]) {
    for deed in deeds {
        worker.progress(&deed.to_string());
    }
}

/// Issues a certificate and puts it on the host. The files in the machine's folder are replaced last: until the host
/// has the new ones, its engine knows us by the old. The clocks of both sides are given back if they do not agree.
async fn issue_to(
    worker: &impl Worker,
    record: &mut Versioned,
    names: &BTreeSet<String>,
) -> Result<Option<Clocks>, StepError> {
    let host = Host::reach(worker, record, TLS_PORT).await?;
    worker.progress(phase::ISSUING);
    let store = &worker.world().store;
    let address = record.instance.as_ref().map_or("", |i| i.address.as_str());
    let names = certificate_names(&record.name, address, names);
    let issued = authority::issue(store, &record.name, &names, worker.world().clock.now()).await?;
    tell(worker, &issued.deeds);
    host.run(worker, &host.provisioner.certificate(&host.facts, &issued.host)).await?;
    issued.keep(store, &record.name).await?;
    // As they were asked for, so that asking for the same again is no change.
    record.certificate = Some(CertificateRecord { names, ..issued.record });
    Ok(host.clocks(worker))
}

/// One who replaces the certificate of a machine outside of any plan.
struct Renewal<'a> {
    world: &'a World,
    progress: &'a (dyn Fn(&str) + Send + Sync),
}

impl Worker for Renewal<'_> {
    fn world(&self) -> &World {
        self.world
    }

    fn progress(&self, text: &str) {
        (self.progress)(text);
    }
}

/// Gives the engine of a recorded machine a new key and certificate, for the names it has and, outside of fleets,
/// those its config.json asks for, and sees that it answers by them. Nothing else on the host is touched.
///
/// # Errors
/// Says at which point it ended; what was there before is what clients are pointed to, until the host has the new.
pub async fn renew(
    world: &World,
    machine: &MachineName,
    progress: &(dyn Fn(&str) + Send + Sync),
) -> Result<(), StepError> {
    let worker = Renewal { world, progress };
    let mut record = world.store.load(machine).await?;
    // Of a fleet's machine its file says which names there are.
    let mut names = if record.fleet.is_none() { auth::of(&world.store, machine).await?.names } else { BTreeSet::new() };
    names.extend(record.certificate.iter().flat_map(|c| c.names.iter().cloned()));
    let intent = if record.certificate.is_some() { Pending::Upgrade } else { Pending::Create };
    record.pending.insert(Part::Certificate, intent);
    world.store.save(&mut record).await?;
    let clocks = issue_to(&worker, &mut record, &names).await?;
    let locals = Locals::new(world.store.clone(), world.clock.now());
    let unsound = locals.of(&record).await.flawed;
    if unsound.iter().any(|flawed| flawed.role != Role::AuthorityKey) {
        return Err(AuthorityError::Unsound(unsound).into());
    }
    if let Some(engine) = record.engine.as_ref().filter(|engine| engine.spec.api == Api::Tls) {
        worker.progress(phase::ASKING);
        engine::ask(&worker, &record, engine, ANSWER).await.map_err(|e| clocked(e, clocks))?;
    }
    record.pending.remove(&Part::Certificate);
    world.store.save(&mut record).await?;
    Ok(())
}
