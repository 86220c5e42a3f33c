//! Which instance a record is of, and where that was made: what apply records of it, and when.

use crate::plain::AtOnce as _;
use crate::support::{self, NOW};
use machine::{
    apply::{End, Interrupt, Options, Outcome, apply},
    engine::EngineSpec,
    fleet::{Fleet, HostSpec, OnError, Policy},
    hook::Hooks,
    name::{FleetName, MachineName},
    observe::observe,
    plan::{Inputs, Plan},
    record::{MachineRecord, Part, Pending},
    world::World,
};
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::mpsc::unbounded_channel;

fn web() -> MachineName {
    MachineName::new("web").unwrap()
}

/// A fleet of one host.
fn fleet(size: i64, region: &str, note: &str) -> Fleet {
    let options = [("size", size.into()), ("region", region.into()), ("note", note.into())];
    let host = HostSpec {
        driver: "fake".to_owned(),
        options: options.map(|(key, value)| (key.to_owned(), value)).into(),
        engine: Some(EngineSpec { port: 2376, ..EngineSpec::default() }),
        tls_names: BTreeSet::new(),
        depends_on: BTreeSet::new(),
        protect: false,
        optional: false,
        hooks: Hooks::default(),
    };
    let hosts = BTreeMap::from([(web(), host)]);
    Fleet { name: FleetName::new("test").unwrap(), hosts, policy: Policy::default() }
}

async fn once(fleet: &Fleet, world: &World) -> Outcome {
    let snapshot = observe(world, world.store.at_once().snapshot().unwrap(), 1, |_| true, |_, _, _| {}).await;
    let inputs = Inputs { drivers: &world.drivers, provisioners: world.provisioners, now: NOW, prune: true };
    let plan = Plan::new(fleet, &snapshot, &inputs);
    let (events, _inbox) = unbounded_channel();
    let options = Options { parallel: 1, on_error: OnError::StopDependants, retries: 0 };
    apply(&plan, world, &options, &Interrupt::default(), &events).await
}

fn is_well(outcome: &Outcome) -> bool {
    outcome.values().all(|end| matches!(end, End::Done))
}

/// Applies, which goes well, and gives what is recorded then.
async fn applied(fleet: &Fleet, world: &World) -> MachineRecord {
    let outcome = once(fleet, world).await;
    assert!(is_well(&outcome), "{outcome:?}");
    world.store.at_once().get(&web()).unwrap()
}

fn place(record: &MachineRecord) -> Option<String> {
    record.place.as_ref().map(ToString::to_string)
}

#[tokio::test]
async fn an_instance_keeps_its_uid_and_the_next_one_has_another() {
    let (world, cloud, _) = support::world();
    let first = applied(&fleet(1, "a", "x"), &world).await;
    assert_ne!(first.uid, MachineRecord::new(web(), None, "fake", BTreeMap::new()).uid, "it is a fresh one");
    assert_eq!(place(&first).as_deref(), Some("fake memory in a"));
    // Changed in place, recorded only, switched on again: it is the same instance.
    cloud.lock().unwrap().machines.get_mut("web").unwrap().on = false;
    for same in [fleet(1, "a", "x"), fleet(2, "a", "x"), fleet(2, "a", "y")] {
        assert_eq!(applied(&same, &world).await.uid, first.uid);
    }
    // Replaced, and made anew after it was gone: another.
    let second = applied(&fleet(2, "b", "y"), &world).await;
    assert_eq!(place(&second).as_deref(), Some("fake memory in b"));
    cloud.lock().unwrap().machines.clear();
    let third = applied(&fleet(2, "b", "y"), &world).await;
    let all = BTreeSet::from([first.uid, second.uid, third.uid]);
    assert_eq!(all.len(), 3);
}

/// A creation whose answer was lost is carried on: what it made is what it was about to make.
#[tokio::test]
async fn a_creation_that_is_carried_on_is_of_the_same_instance() {
    for before in [true, false] {
        let (world, cloud, store) = support::world();
        (cloud.lock().unwrap().fuse, cloud.lock().unwrap().before) = (Some(0), before);
        let outcome = once(&fleet(1, "a", "x"), &world).await;
        assert!(!is_well(&outcome));
        let begun = store.get(&web()).unwrap();
        assert_eq!(begun.pending.get(&Part::Instance), Some(&Pending::Create), "{outcome:?}");
        assert_eq!(place(&begun).as_deref(), Some("fake memory in a"), "known before there is anything");
        cloud.lock().unwrap().fuse = None;
        let done = applied(&fleet(1, "a", "x"), &world).await;
        assert_eq!((done.uid, done.place), (begun.uid, begun.place));
    }
}

#[tokio::test]
async fn a_place_that_is_not_recorded_is_by_the_next_write_of_a_run_that_sees_the_instance() {
    let (world, cloud, store) = support::world();
    let first = applied(&fleet(1, "a", "x"), &world).await;
    let without = MachineRecord { place: None, ..first.clone() };
    // Nothing to do is nothing to write.
    store.put(&without).unwrap();
    let writes = store.writes();
    assert_eq!(applied(&fleet(1, "a", "x"), &world).await, without);
    assert_eq!(store.writes(), writes);
    // Whatever the step is about.
    assert_eq!(applied(&fleet(1, "a", "y"), &world).await.place, first.place);
    store.put(&MachineRecord { place: None, ..store.get(&web()).unwrap() }).unwrap();
    cloud.lock().unwrap().machines.get_mut("web").unwrap().engine.as_mut().unwrap().1 = false;
    assert_eq!(applied(&fleet(1, "a", "y"), &world).await.place, first.place);
    // What is recorded is not looked at again; where an instance is seen does not change.
    let told = MachineRecord { place: Some("fake elsewhere".parse().unwrap()), ..store.get(&web()).unwrap() };
    store.put(&told).unwrap();
    assert_eq!(applied(&fleet(1, "a", "x"), &world).await.place, told.place);
    // That it is not seen where this run looks does not say that it is there.
    let lost = MachineRecord { place: None, ..store.get(&web()).unwrap() };
    cloud.lock().unwrap().machines.clear();
    assert_eq!(machine::world::where_seen(&world, &lost).await, None);
}
