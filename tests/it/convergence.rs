//! Whatever fails, whatever breaks, whenever: applying again reaches the fleet, and nothing else.
//!
//! Mutations that were tried by hand (2026-11-21), and what caught each:
//!
//! | mutation | caught by |
//! | --- | --- |
//! | no intent before a creation, a change | `converges` |
//! | no intent before a removal, a certificate, an engine | `every_effect_is_announced_in_the_record` (looking finds the same, so `converges` need not) |
//! | no checkpoint of the instance | `every_effect_is_announced_in_the_record` (`find` heals it otherwise) |
//! | a removal does not look for unrecorded instances | `converges` |
//! | the record goes before the instance | `converges` |
//! | options are recorded before the change | `converges`, since answers can be lost before the effect too |
//! | an interrupted upgrade counts as done | `converges` |
//! | an interrupted creation with other options is just created | `converges` |
//! | an interrupted removal counts as nothing | `tests/it/plans.rs` |
//! | a machine found off is not started; its certificate, its engine is not checked then | `converges` (the last two were bugs it found) |
//! | engine and certificate stay recorded when the instance is new | nothing: looking finds that they are not there |
//! | hosts do not wait for what they depend on | `converges` |
//! | an engine does not wait for its certificate | `converges` |
//! | a failure does not stop dependants | `converges` |
//! | the store's own certificate is not compared | `converges` |
//! | ownership is not recorded | `converges` |

use crate::plain::{AtOnce as _, Plain};
use crate::{
    properties::properties,
    support::{self, Cloud, NOW, Shared},
};
use machine::{
    apply::{End, Event, Interrupt, Options, Outcome, apply},
    engine::EngineSpec,
    fleet::{Fleet, HostSpec, OnError, Policy},
    hook::{Command, Hook, Hooks, On, Point},
    name::{FleetName, MachineName},
    observe::observe,
    plan::{Inputs, Plan, StepId, audit::audit},
    record::{Part, Pending},
    store::{Area, Mode},
    world::World,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::mpsc::unbounded_channel;

/// Size (in place), region (replacement), note (record only), label (engine).
type Host = (i64, u8, u8, u8);

fn host() -> impl Strategy<Value = Host> {
    (1..4_i64, 0..2_u8, 0..2_u8, 0..3_u8)
}

fn name(n: u8) -> MachineName {
    MachineName::new(format!("m{n}")).unwrap()
}

fn spec((size, region, note, label): Host, after: impl Iterator<Item = u8>) -> HostSpec {
    let options = [
        ("size".to_owned(), size.into()),
        ("region".to_owned(), ["a", "b"][usize::from(region)].into()),
        ("note".to_owned(), ["x", "y"][usize::from(note)].into()),
    ];
    let engine = EngineSpec {
        port: 2376,
        labels: BTreeMap::from([("tier".to_owned(), label.to_string())]),
        ..EngineSpec::default()
    };
    HostSpec {
        driver: "fake".to_owned(),
        options: options.into(),
        engine: Some(engine),
        tls_names: BTreeSet::new(),
        depends_on: after.map(name).collect(),
        protect: false,
        optional: false,
        hooks: Hooks::default(),
    }
}

/// Up to four machines; each may wait for machines before it in the alphabet, so there is no cycle.
fn fleet() -> impl Strategy<Value = Fleet> {
    let after = proptest::collection::btree_set(0..4_u8, 0..3);
    proptest::collection::btree_map(0..4_u8, (host(), after), 0..5).prop_map(|hosts| {
        let named: BTreeSet<u8> = hosts.keys().copied().collect();
        let spec_of = |n: u8, (host, after): (Host, BTreeSet<u8>)| {
            (name(n), spec(host, after.into_iter().filter(|e| *e < n && named.contains(e))))
        };
        Fleet {
            name: FleetName::new("test").unwrap(),
            hosts: hosts.into_iter().map(|(n, h)| spec_of(n, h)).collect(),
            policy: Policy::default(),
        }
    })
}

/// Hooks at all points, or at those after something, here and on the hosts; none for other numbers.
fn hooks(kind: u8) -> Hooks {
    let hook = |point: Point, on| Hook {
        name: "x".to_owned(),
        run: Command::Shell(format!("fake-hook {point}")),
        on,
        timeout: 60,
    };
    let places = |point: Point| match (kind, point.has_host()) {
        (1, _) => vec![On::Local],
        // A host that cannot be reached cannot be removed, which is no law of convergence.
        (2, true) if !point.is_rm() => vec![On::Host],
        _ => Vec::new(),
    };
    let at = |point: Point| (point, places(point).into_iter().map(|on| hook(point, on)).collect::<Vec<_>>());
    Hooks(Point::ALL.map(at).into_iter().filter(|(_, hooks)| !hooks.is_empty()).collect())
}

/// The fleet with hooks on all its hosts.
fn hooked(fleet: &Fleet, kind: u8) -> Fleet {
    let mut fleet = fleet.clone();
    fleet.hosts.values_mut().for_each(|host| host.hooks = hooks(kind));
    fleet
}

/// What people do to a fleet file between two runs: one small edit, often a revert.
#[derive(Clone, Debug)]
enum Edit {
    Set(u8, Host),
    Delete(u8),
    Revert,
    Rewrite(Fleet),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        4 => (0..4_u8, host()).prop_map(|(n, h)| Edit::Set(n, h)),
        2 => (0..4_u8).prop_map(Edit::Delete),
        3 => Just(Edit::Revert),
        1 => fleet().prop_map(Edit::Rewrite),
    ]
}

fn edited(fleets: &[Fleet], edit: Edit) -> Fleet {
    let mut next = fleets.last().expect("there is a first").clone();
    match edit {
        Edit::Set(n, host) => {
            let after = next.hosts.get(&name(n)).map(|h| h.depends_on.clone()).unwrap_or_default();
            next.hosts.insert(name(n), HostSpec { depends_on: after, ..spec(host, std::iter::empty()) });
        }
        Edit::Delete(n) => {
            next.hosts.remove(&name(n));
            for spec in next.hosts.values_mut() {
                spec.depends_on.remove(&name(n));
            }
        }
        Edit::Revert => next = fleets[fleets.len().saturating_sub(2)].clone(),
        Edit::Rewrite(fleet) => next = fleet,
    }
    next
}

/// What the world does to machines between two runs.
#[derive(Clone, Copy, Debug)]
enum Mishap {
    PowerLoss(u8),
    Vanishes(u8),
    EngineStops(u8),
    EngineReset(u8),
    HostLosesCertificate(u8),
    StoreLosesCertificate(u8),
}

fn mishap() -> impl Strategy<Value = Mishap> {
    (0..4_u8, 0..6_u8).prop_map(|(n, kind)| match kind {
        0 => Mishap::PowerLoss(n),
        1 => Mishap::Vanishes(n),
        2 => Mishap::EngineStops(n),
        3 => Mishap::EngineReset(n),
        4 => Mishap::HostLosesCertificate(n),
        _ => Mishap::StoreLosesCertificate(n),
    })
}

fn happen(mishap: Mishap, cloud: &mut Cloud, store: &Plain<machine::store::memory::MemoryStore>) {
    let mut at = |n: u8, change: &dyn Fn(&mut support::FakeMachine)| {
        if let Some(machine) = cloud.machines.get_mut(name(n).as_str()) {
            change(machine);
        }
    };
    match mishap {
        Mishap::PowerLoss(n) => at(n, &|m| m.on = false),
        Mishap::Vanishes(n) => {
            cloud.machines.remove(name(n).as_str());
        }
        Mishap::EngineStops(n) => at(n, &|m| {
            if let Some(engine) = &mut m.engine {
                engine.1 = false;
            }
        }),
        Mishap::EngineReset(n) => at(n, &|m| m.engine = None),
        Mishap::HostLosesCertificate(n) => at(n, &|m| m.files.clear()),
        Mishap::StoreLosesCertificate(n) => {
            if store.get(&name(n)).is_ok() {
                store.write(Area::Machine(&name(n)), "server.pem", b"lost", Mode::Public).ok();
            }
        }
    }
}

/// Looks, plans and applies once, and checks what must hold of every run, failed or not.
async fn once(fleet: &Fleet, world: &World) -> (Plan, Outcome) {
    let snapshot = observe(world, world.store.at_once().snapshot().unwrap(), 4, |_| true, |_, _, _| {}).await;
    let inputs = Inputs { drivers: &world.drivers, provisioners: world.provisioners, now: NOW, prune: true };
    let plan = Plan::new(fleet, &snapshot, &inputs);
    assert_eq!(audit(&plan), []);
    assert_eq!(plan.to_string(), Plan::new(fleet, &snapshot, &inputs).to_string(), "planning is deterministic");
    for (host, spec) in &fleet.hosts {
        let part = |machine: &MachineName, part| StepId::part(machine, part);
        for earlier in &spec.depends_on {
            let (first, _) = plan.of(host).find(|(id, _)| !id.rm).expect("every host is made or kept");
            let (last, _) = plan.of(earlier).last().expect("every host is made or kept");
            assert!(*first <= part(host, Part::Instance) && *last >= part(earlier, Part::Engine));
            assert!(plan.steps.needs(first).any(|n| n == last), "{host} does not wait for {earlier}");
        }
    }
    let (events, mut inbox) = unbounded_channel();
    let options = Options { parallel: 4, on_error: OnError::StopDependants, retries: 0 };
    let outcome = apply(&plan, world, &options, &Interrupt::default(), &events).await;
    let busy: BTreeSet<StepId> = plan.changes().map(|(id, _)| id.clone()).collect();
    let (mut ended, mut seen) = (BTreeSet::new(), BTreeSet::new());
    while let Ok(event) = inbox.try_recv() {
        match event {
            Event::Started { step: id, .. } => {
                assert!(busy.contains(&id), "{id} was not planned");
                for need in plan.steps.needs(&id).filter(|n| busy.contains(n)) {
                    assert!(ended.contains(need), "{id} began before {need} ended");
                }
            }
            Event::Finished { step, result: Ok(()), .. } => {
                ended.insert(step.clone());
                seen.insert(step);
            }
            Event::Finished { step, .. } | Event::Skipped { step, .. } | Event::NotStarted { step } => {
                seen.insert(step);
            }
            Event::Progress { .. } | Event::CutOff { .. } | Event::Interrupted { .. } => {}
        }
    }
    assert!(busy.is_subset(&seen), "unaccounted for: {:?}", busy.difference(&seen));
    (plan, outcome)
}

/// What the provider has, in the words of the fleet.
fn reality(cloud: &Shared) -> BTreeMap<String, (i64, String, Option<EngineSpec>, bool)> {
    let cloud = cloud.lock().unwrap();
    let view = |m: &support::FakeMachine| {
        let engine = m.engine.clone().filter(|e| e.1).map(|e| e.0);
        (m.size, m.region.clone(), engine, m.on)
    };
    cloud.machines.iter().map(|(n, m)| (n.clone(), view(m))).collect()
}

fn wanted(fleet: &Fleet) -> BTreeMap<String, (i64, String, Option<EngineSpec>, bool)> {
    let view = |h: &HostSpec| {
        let text = |key: &str| h.options[key].as_str().unwrap().to_owned();
        (h.options["size"].as_i64().unwrap(), text("region"), h.engine.clone(), true)
    };
    fleet.hosts.iter().map(|(n, h)| (n.to_string(), view(h))).collect()
}

fn run(test: impl Future<Output = ()>) {
    // Time is paused: waiting for an engine costs nothing.
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(test);
}

/// A run that is killed within an effect leaves a record that says so. Looking at the machine would often find
/// it too, but not every machine can be looked at.
#[test]
fn every_effect_is_announced_in_the_record() {
    let one = |host: Host| Fleet {
        name: FleetName::new("test").unwrap(),
        hosts: BTreeMap::from([(name(0), spec(host, std::iter::empty()))]),
        policy: Policy::default(),
    };
    let first = one((1, 0, 0, 0));
    let none = Fleet { hosts: BTreeMap::new(), ..first.clone() };
    let cases = [
        (None, &first, 0, Part::Instance, Pending::Create),
        (None, &first, 1, Part::Certificate, Pending::Create),
        (None, &first, 2, Part::Engine, Pending::Create),
        (Some(&first), &one((2, 0, 0, 0)), 0, Part::Instance, Pending::Upgrade),
        (Some(&first), &one((1, 0, 0, 1)), 0, Part::Engine, Pending::Upgrade),
        (Some(&first), &none, 0, Part::Instance, Pending::Rm),
    ];
    for (before, fleet, effects, part, pending) in cases {
        run(async {
            let (world, cloud, _store) = support::world();
            if let Some(before) = before {
                once(before, &world).await;
            }
            cloud.lock().unwrap().fuse = Some(effects);
            once(fleet, &world).await;
            let record = world.store.at_once().get(&name(0)).unwrap();
            assert_eq!(record.pending, BTreeMap::from([(part, pending)]), "{part} {pending}");
            assert!(record.instance.is_some(), "an instance is recorded as soon as there is one");
        });
    }
}

type Step = (Edit, Option<usize>, bool, Option<usize>, bool, Vec<Mishap>);

proptest! {
    #![proptest_config(properties(200))]
    /// The law: any history of edits, mishaps, lost answers and failed writes, then one good apply, reaches the
    /// fleet; and the plan after that is empty and touches nothing.
    #[test]
    fn converges(
        first in fleet(),
        steps in proptest::collection::vec(
            (
                edit(),
                proptest::option::of(0..8_usize),
                any::<bool>(),
                proptest::option::of(0..12_usize),
                any::<bool>(),
                proptest::collection::vec(mishap(), 0..3),
            ),
            0..6,
        ),
        kind in 0..4_u8,
    ) {
        let steps: Vec<Step> = steps;
        run(async {
            let (world, cloud, store) = support::world();
            cloud.lock().unwrap().hooked = kind == 1;
            let mut fleets = vec![first];
            for (edit, answers, before, writes, lossy, mishaps) in steps {
                cloud.lock().unwrap().fuse = answers;
                cloud.lock().unwrap().before = before;
                if lossy { store.set_lossy_fuse(writes) } else { store.set_fuse(writes) }
                once(&hooked(fleets.last().unwrap(), kind), &world).await;
                // People change their minds before a failed apply is repaired.
                let next = edited(&fleets, edit);
                fleets.push(next);
                for mishap in mishaps {
                    happen(mishap, &mut cloud.lock().unwrap(), &store);
                }
            }
            cloud.lock().unwrap().fuse = None;
            store.set_fuse(None);
            let last = &hooked(fleets.last().unwrap(), kind);
            let (plan, outcome) = once(last, &world).await;
            for (id, end) in &outcome {
                assert!(matches!(end, End::Done), "{id}: {end:?}\n{plan}");
            }
            let before = cloud.lock().unwrap().effects;
            let (plan, _) = once(last, &world).await;
            assert!(plan.is_noop(), "the second plan is not empty: {plan}");
            assert_eq!(cloud.lock().unwrap().effects, before, "the second apply touched something");
            assert_eq!(reality(&cloud), wanted(last));
            let recorded: BTreeSet<String> = world.store.at_once().names().unwrap().into_iter().collect();
            assert_eq!(recorded, last.hosts.keys().map(ToString::to_string).collect());
            let cloud = cloud.lock().unwrap();
            for (name, machine) in &cloud.machines {
                let record = world.store.at_once().get(&MachineName::new(name.as_str()).unwrap()).unwrap();
                assert_eq!(record.hooks.pending, [], "{name}: a hook is still due");
                let told = |(of, serial, point): &(String, Option<u64>, String)| {
                    of == name && *serial == Some(machine.serial) && point == "post-create"
                };
                assert!(last.hosts.is_empty() || !matches!(kind, 1 | 2) || cloud.hooks.iter().any(told), "{name} was never told");
            }
        });
    }

    /// The law: after any history, `destroy` leaves nothing at the provider and nothing in the store.
    #[test]
    fn destroys(
        fleet in fleet(),
        answers in proptest::option::of(0..8_usize),
        writes in proptest::option::of(0..12_usize),
        kind in 0..3_u8,
    ) {
        let fleet = hooked(&fleet, kind);
        run(async {
            let (world, cloud, store) = support::world();
            cloud.lock().unwrap().hooked = kind == 1;
            cloud.lock().unwrap().fuse = answers;
            store.set_fuse(writes);
            once(&fleet, &world).await;
            cloud.lock().unwrap().fuse = None;
            store.set_fuse(None);
            let plan = Plan::destroy(&fleet.name, &world.store.at_once().snapshot().unwrap());
            assert_eq!(audit(&plan), []);
            let (events, _inbox) = unbounded_channel();
            let options = Options { parallel: 4, on_error: OnError::StopDependants, retries: 0 };
            let outcome = apply(&plan, &world, &options, &Interrupt::default(), &events).await;
            assert!(outcome.values().all(|end| matches!(end, End::Done)), "{outcome:?}");
            assert_eq!(reality(&cloud), BTreeMap::new());
            assert_eq!(world.store.at_once().names().unwrap(), Vec::<String>::new());
        });
    }
}
