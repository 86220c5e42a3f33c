//! Fleets on the provider that exists only in memory, and one run of them.

use crate::plain::AtOnce as _;
use crate::support::{self, NOW};
use machine::{
    apply::{Event, Interrupt, Options, Outcome, apply},
    engine::EngineSpec,
    fleet::{Fleet, HostSpec, OnError, Policy},
    hook::Hooks,
    name::{FleetName, MachineName},
    observe::observe,
    plan::{Inputs, Plan, audit::audit},
    record::Snapshot,
    world::World,
};
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::mpsc::unbounded_channel;

pub(crate) fn name(text: &str) -> MachineName {
    MachineName::new(text).unwrap()
}

/// A host of driver `fake`: `size` changes in place, `region` only by replacement, `label` is the engine's.
pub(crate) fn host(size: i64, region: &str, label: &str) -> HostSpec {
    let options = [("size", size.into()), ("region", region.into()), ("note", "x".into())];
    HostSpec {
        driver: "fake".to_owned(),
        options: options.map(|(key, value): (&str, serde_json::Value)| (key.to_owned(), value)).into(),
        engine: Some(EngineSpec {
            port: 2376,
            labels: BTreeMap::from([("tier".to_owned(), label.to_owned())]),
            ..EngineSpec::default()
        }),
        tls_names: BTreeSet::new(),
        depends_on: BTreeSet::new(),
        protect: false,
        optional: false,
        hooks: Hooks::default(),
    }
}

/// `a, b: a` is two hosts, the second of which waits for the first.
pub(crate) fn fleet(called: &str, hosts: &str) -> Fleet {
    let host = |text: &str| {
        let (own, after) = text.split_once(':').unwrap_or((text, ""));
        (name(own.trim()), HostSpec { depends_on: after.split_whitespace().map(name).collect(), ..host(1, "a", "x") })
    };
    let hosts = hosts.split(',').filter(|text| !text.trim().is_empty()).map(host).collect();
    Fleet { name: FleetName::new(called).unwrap(), hosts, policy: Policy::default() }
}

pub(crate) async fn look(world: &World) -> Snapshot {
    observe(world, world.store.at_once().snapshot().unwrap(), 4, |_| true, |_, _, _| {}).await
}

pub(crate) fn planned(fleet: &Fleet, snapshot: &Snapshot, world: &World) -> Plan {
    let inputs = Inputs { drivers: &world.drivers, provisioners: world.provisioners, now: NOW, prune: true };
    let plan = Plan::new(fleet, snapshot, &inputs);
    assert_eq!(audit(&plan), []);
    plan
}

pub(crate) struct Ended {
    pub(crate) plan: Plan,
    pub(crate) outcome: Outcome,
    pub(crate) events: Vec<Event>,
}

/// Looks, plans and applies once.
pub(crate) async fn go(fleet: &Fleet, world: &World, parallel: usize, on_error: OnError) -> Ended {
    let plan = planned(fleet, &look(world).await, world);
    let (tell, mut inbox) = unbounded_channel();
    let options = Options { parallel, on_error, retries: 0 };
    let outcome = apply(&plan, world, &options, &Interrupt::default(), &tell).await;
    drop(tell);
    let mut events = Vec::new();
    while let Ok(event) = inbox.try_recv() {
        events.push(event);
    }
    Ended { plan, outcome, events }
}

pub(crate) async fn apply_well(fleet: &Fleet, world: &World) -> Ended {
    let ended = go(fleet, world, 4, OnError::StopDependants).await;
    let done = ended.outcome.values().all(|end| matches!(end, machine::apply::End::Done));
    assert!(done, "{}{:?}", ended.plan, ended.outcome);
    ended
}

pub(crate) fn run(test: impl Future<Output = ()>) {
    // Time is paused: waiting for an engine costs nothing.
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(test);
}

/// Names of the machines that the provider has, and their serial numbers.
pub(crate) fn there(cloud: &support::Shared) -> Vec<(String, u64)> {
    cloud.lock().unwrap().machines.iter().map(|(name, machine)| (name.clone(), machine.serial)).collect()
}
