//! Looking at real machines: in parallel, one SSH connection and one round trip each, the engine's API at
//! the same time. It changes nothing, and never fails as a whole: what cannot be looked at says why.

use crate::{
    driver::{AnyDriver, NothingMade},
    engine::spec::TLS_PORT,
    name::{FleetName, MachineName},
    panicked::{Panicked, caught, caught_async, joined},
    provisioner::facts,
    record::{ApiFact, EngineRecord, Instance, Known, MachineRecord, Observed, Power, Reach, Snapshot},
    store::local::{Local, Locals},
    transport::{Limits, TransportError},
    world::{self, Site, World},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::Semaphore,
    task::{JoinError, JoinSet},
};

/// How long an engine may take to answer.
const QUESTION: Duration = Duration::from_secs(10);

/// Fills in what is observed of the machines that `wanted` picks; calls `seen` for each as it answers.
pub async fn observe(
    world: &World,
    mut snapshot: Snapshot,
    parallel: usize,
    wanted: impl Fn(&Known) -> bool,
    mut seen: impl FnMut(&MachineName, usize, usize),
) -> Snapshot {
    let permits = Arc::new(Semaphore::new(parallel.max(1)));
    // Asking for the store's id makes it one, and looking must not write: only those who made machines need it.
    let made = |known: &Known| world.drivers.get(&known.record.driver).is_some_and(AnyDriver::creates);
    let needed = snapshot.machines.values().any(|known| wanted(known) && made(known));
    // Without the id our machines cannot be told from others, so "not found" does not mean "gone".
    let id = if needed { world.store.records.id().await.map_err(|e| e.to_string()) } else { Ok(String::new()) };
    let store_id = Arc::new(id);
    let locals = Arc::new(Locals::new(world.store.clone(), world.clock.now()));
    let mut looking = JoinSet::new();
    for (name, known) in snapshot.machines.iter().filter(|(_, known)| wanted(known)) {
        let (world, permits, store_id, locals) = (world.clone(), permits.clone(), store_id.clone(), locals.clone());
        let (name, record) = (name.clone(), known.record.clone());
        looking.spawn(async move {
            let _permit = permits.acquire_owned().await.expect("the semaphore is never closed");
            let look = async {
                let observed = look(&world, &locals, &record, (*store_id).as_ref().map(String::as_str)).await;
                // What a host that answered has is compared with what it should have.
                let engine = match &observed.host {
                    Reach::Answered(_) => revealed(&world, record.engine.clone()).await,
                    Reach::NotAsked | Reach::Failed(_) => None,
                };
                (observed, engine)
            };
            let looked = match caught_async(look).await {
                Ok(looked) => looked,
                Err(why) => (unseen(&locals, &record, &why).await, None),
            };
            (name, looked)
        });
    }
    let total = looking.len();
    let mut found = BTreeMap::new();
    while let Some(joined) = looking.join_next().await {
        let (name, looked) = joined.expect("what panics in a look is caught there");
        seen(&name, found.len() + 1, total);
        found.insert(name, looked);
    }
    for (name, (observed, engine)) in found {
        if let Some(known) = snapshot.machines.get_mut(&name) {
            known.observed = Some(observed);
            if engine.is_some() {
                known.record.engine = engine;
            }
        }
    }
    snapshot
}

/// What is known of a machine at which the look failed by a mistake of ours.
async fn unseen(locals: &Locals, record: &MachineRecord, why: &Panicked) -> Observed {
    Observed { host: Reach::Failed(why.to_string()), ..blank(locals, record).await }
}

/// The engine with what its secrets are, or why they are not to be had; `None`: it has none.
async fn revealed(world: &World, engine: Option<EngineRecord>) -> Option<EngineRecord> {
    let mut engine = engine.filter(|engine| engine.spec.secrets().next().is_some())?;
    let from = Arc::clone(&world.secrets);
    let looked = tokio::task::spawn_blocking(move || {
        caught(|| {
            // Each variable keeps its own error.
            let _ = engine.spec.reveal(&*from);
            engine
        })
    });
    Some(joined(looked.await.map_err(JoinError::into_panic)))
}

/// Picks the machines of a fleet and the hosts it names.
pub fn of_fleet<'a>(
    fleet: &'a FleetName,
    hosts: &'a std::collections::BTreeSet<MachineName>,
) -> impl Fn(&Known) -> bool + 'a {
    move |known| known.record.fleet.as_ref() == Some(fleet) || hosts.contains(&known.record.name)
}

/// What is known of a machine that was not looked at.
async fn blank(locals: &Locals, record: &MachineRecord) -> Observed {
    let Local { certificate, authority, flawed } = locals.of(record).await;
    Observed {
        power: Power::Unknown,
        instance: None,
        host: Reach::NotAsked,
        api: ApiFact::NotAsked,
        local_certificate: certificate,
        local_ca: authority,
        local: flawed,
    }
}

async fn look(world: &World, locals: &Locals, record: &MachineRecord, store_id: Result<&str, &String>) -> Observed {
    let mut observed = blank(locals, record).await;
    let Some(instance) = &record.instance else { return observed };
    // A driver that this program does not have cannot be asked; the host can.
    let driver = world.drivers.get(&record.driver);
    // A driver that only knows where hosts are has nothing to add to what the host says itself.
    if let Some(driver) = driver.filter(|driver| driver.creates()) {
        let store_id = match store_id {
            Ok(id) => id,
            Err(why) => return Observed { host: Reach::Failed(why.clone()), ..observed },
        };
        let dir = world::machine_dir(world, &record.name);
        let site = Site { machine: &record.name, fleet: record.fleet.as_ref(), store_id, dir: &dir };
        let cx = world.driver_context(site, &NothingMade, &|_| {});
        match driver.power(&cx, instance, &record.options).await {
            Ok(power) => observed.power = power,
            Err(e) => observed.host = Reach::Failed(e.to_string()),
        }
        if observed.power.is_off() || observed.power == Power::Gone || matches!(observed.host, Reach::Failed(_)) {
            return observed;
        }
    }
    if let Some(driver) = driver
        && let Some(moved) = moved(world, record, driver, instance).await
    {
        observed.instance = Some(moved);
    }
    let (host, mut api) = tokio::join!(ask_host(world, record), ask_api(world, record));
    if let (ApiFact::Failed(why), Reach::Answered(facts)) = (&mut api, &host)
        && let Some(clocks) = facts.other_time(world.clock.now())
    {
        why.push_str(&format!("; {clocks}"));
    }
    (observed.host, observed.api) = (host, api);
    observed
}

/// A host whose name leads elsewhere in its `ssh_config` than when it was recorded.
async fn moved(world: &World, record: &MachineRecord, driver: &dyn AnyDriver, old: &Instance) -> Option<Instance> {
    driver.lookup(&record.options)?;
    let dir = world::machine_dir(world, &record.name);
    let site = Site { machine: &record.name, fleet: record.fleet.as_ref(), store_id: "", dir: &dir };
    let cx = world.driver_context(site, &NothingMade, &|_| {});
    // What cannot be looked up is told by the login.
    let mut now = driver.find(&cx, &record.options).await.ok()??;
    if now.address == old.address {
        return None;
    }
    // The host there must still be the recorded one.
    (now.host_keys, now.jump_keys) = (old.host_keys.clone(), old.jump_keys.clone());
    if let (Some(now), Some(old)) = (&mut now.ssh, &old.ssh) {
        now.key.clone_from(&old.key);
    }
    Some(now)
}

async fn ask_host(world: &World, record: &MachineRecord) -> Reach {
    // A machine without anything of ours on it (driver `none`) has nothing we would compare.
    if record.engine.is_none() && record.certificate.is_none() {
        return Reach::NotAsked;
    }
    let port = record.engine.as_ref().map_or(TLS_PORT, |e| e.spec.port);
    let dir = world::machine_dir(world, &record.name);
    let Some(target) = world::target(&world.drivers, record, &dir) else { return Reach::NotAsked };
    let asked = async {
        let transport = world.connect.connect(&target).await?;
        transport.run(&facts::probe(port), b"", Limits::SHORT, &mut |_| {}).await
    };
    match asked.await.map(|output| facts::parse(&output.stdout)) {
        Ok(Ok(facts)) => Reach::Answered(Box::new(facts)),
        Ok(Err(why)) => Reach::Failed(format!("`{}`: the host's answer could not be read: {why}", record.name)),
        Err(e) => Reach::Failed(describe(&e)),
    }
}

fn describe(error: &TransportError) -> String {
    error.to_string()
}

async fn ask_api(world: &World, record: &MachineRecord) -> ApiFact {
    let Some(engine) = &record.engine else { return ApiFact::NotAsked };
    match world::ask_engine(world, record, engine, QUESTION).await {
        Ok(version) => ApiFact::Answered(version.version),
        Err(e) => ApiFact::Failed(e.to_string()),
    }
}
