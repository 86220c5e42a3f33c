//! Plans that are kept: what is read back is what was saved; it is done once, in that order, and not at all when
//! something that it touches has moved (pains 6, 7 and 28).

use crate::plain::AtOnce as _;
use crate::{
    properties::properties,
    support::{self, NOW, Shared},
};
use machine::{
    apply::{End, Event, Interrupt, Options, Outcome, apply},
    engine::EngineSpec,
    fleet::{Fleet, HostSpec, OnError, Policy},
    name::{FleetName, MachineName},
    observe::observe,
    plan::{
        Inputs, Plan, StepId, Work,
        audit::audit,
        document::Document,
        drift::Drift,
        guard::Consent,
        moved::Moved,
        saved::{Given, Saved},
        sealed::{self, Seal},
        source::Source,
    },
    record::{Reach, Snapshot},
    world::World,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::mpsc::unbounded_channel;

/// Size (in place), region (replacement), label (engine), whether it waits for the one before it.
type Host = (i64, u8, u8, bool);

fn name(n: usize) -> MachineName {
    MachineName::new(format!("m{n}")).unwrap()
}

fn spec((size, region, label, waits): Host, n: usize, there: bool) -> HostSpec {
    let options = [
        ("size".to_owned(), size.into()),
        ("region".to_owned(), ["a", "b"][usize::from(region)].into()),
        ("note".to_owned(), "x".into()),
    ];
    let labels = BTreeMap::from([("tier".to_owned(), label.to_string())]);
    let env = BTreeMap::from([("HTTP_PROXY".to_owned(), "http://me:s3cret-canary@proxy:3128".into())]);
    HostSpec {
        driver: "fake".to_owned(),
        options: options.into(),
        engine: Some(EngineSpec { port: 2376, labels, env, ..EngineSpec::default() }),
        tls_names: BTreeSet::new(),
        depends_on: (waits && there).then(|| name(n - 1)).into_iter().collect(),
        protect: false,
        optional: false,
        hooks: machine::hook::Hooks::default(),
    }
}

fn fleet(hosts: &BTreeMap<usize, Host>) -> Fleet {
    let there = |n: usize| n > 0 && hosts.contains_key(&(n - 1));
    Fleet {
        name: FleetName::new("test").unwrap(),
        hosts: hosts.iter().map(|(n, host)| (name(*n), spec(*host, *n, there(*n)))).collect(),
        policy: Policy::default(),
    }
}

fn three() -> Fleet {
    fleet(&BTreeMap::from([(0, (1, 0, 0, false)), (1, (1, 0, 0, true)), (2, (1, 0, 0, false))]))
}

fn inputs(world: &World) -> Inputs<'_> {
    Inputs { drivers: &world.drivers, provisioners: world.provisioners, now: NOW, prune: true }
}

async fn look(world: &World) -> Snapshot {
    observe(world, world.store.at_once().snapshot().unwrap(), 4, |_| true, |_, _, _| {}).await
}

fn seal() -> Seal {
    Seal::new("the id of a store")
}

/// Looks and plans; the plan as a text that was saved.
async fn saved(fleet: &Fleet, world: &World) -> (Plan, String) {
    let snapshot = look(world).await;
    let plan = Plan::new(fleet, &snapshot, &inputs(world));
    // Pain 6: the same bytes, however often it is asked for.
    for _ in 0..20 {
        let again = Plan::new(fleet, &snapshot, &inputs(world));
        assert_eq!((again.to_string(), again.to_json().to_string()), (plan.to_string(), plan.to_json().to_string()));
    }
    let source = Source::of(fleet, &seal());
    let binding = Saved::new(&plan, &snapshot, &inputs(world), source, &seal());
    let document = Document::of(&plan).to_save(&plan, binding, &seal());
    (plan, serde_json::to_string_pretty(&document).unwrap())
}

/// The plan in a text, with its secrets, which are those of the fleet.
fn read(text: &str, fleets: &[&Fleet], snapshot: &Snapshot) -> (Plan, Saved) {
    let mut document: Document = serde_json::from_str(text).unwrap();
    let saved = document.saved.clone().unwrap();
    assert_eq!(document.digest(), saved.digest, "it was not changed");
    let mut known = BTreeMap::new();
    let records = snapshot.machines.values().map(|k| HostSpec::recorded(&k.record));
    for spec in fleets.iter().flat_map(|f| f.hosts.values().cloned()).chain(records) {
        seal().learn(&serde_json::to_value(spec).unwrap(), &mut known);
    }
    let works = document.steps.iter_mut().filter_map(|step| step.work.as_mut());
    for value in works.chain(document.hosts.values_mut()) {
        assert_eq!(sealed::open(value, &known), Vec::<String>::new());
    }
    let plan = document.plan().unwrap();
    assert_eq!(audit(&plan), []);
    (plan, saved)
}

fn same(a: &Plan, b: &Plan) {
    assert_eq!(a.to_json(), b.to_json());
    assert_eq!(a.hosts, b.hosts);
    let steps = |plan: &Plan| -> Vec<_> {
        let needs = |id: &StepId| plan.steps.needs(id).cloned().collect::<Vec<_>>();
        plan.steps.nodes().map(|(id, step)| (id.clone(), step.action, step.work.clone(), needs(id))).collect()
    };
    assert_eq!(steps(a), steps(b));
}

/// Applies, and checks that what was done was printed, and in that order (pain 6).
async fn perform(plan: &Plan, world: &World) -> Outcome {
    let (events, mut inbox) = unbounded_channel();
    let options = Options { parallel: 4, on_error: OnError::StopDependants, retries: 0 };
    let outcome = apply(plan, world, &options, &Interrupt::default(), &events).await;
    let printed: Vec<String> =
        plan.to_json()["steps"].as_array().unwrap().iter().map(|s| s["id"].as_str().unwrap().to_owned()).collect();
    let blocked = plan.steps.nodes().filter(|(_, step)| matches!(step.work, Work::Blocked(_)));
    let changes: BTreeSet<String> = plan.changes().chain(blocked).map(|(id, _)| id.to_string()).collect();
    let mut ended = BTreeSet::new();
    while let Ok(event) = inbox.try_recv() {
        match event {
            Event::Started { step, .. } => {
                assert!(changes.contains(&step.to_string()), "{step} was not printed as a change");
                let at = printed.iter().position(|p| *p == step.to_string()).unwrap();
                for need in plan.steps.needs(&step).map(ToString::to_string).filter(|n| changes.contains(n)) {
                    assert!(printed[..at].contains(&need) && ended.contains(&need), "{step} ran before {need}");
                }
            }
            Event::Finished { step, .. } => drop(ended.insert(step.to_string())),
            _ => {}
        }
    }
    outcome
}

fn complete(outcome: &Outcome) -> bool {
    outcome.values().all(|end| matches!(end, End::Done))
}

fn machines(cloud: &Shared) -> BTreeMap<String, u64> {
    cloud.lock().unwrap().machines.iter().map(|(name, m)| (name.clone(), m.serial)).collect()
}

fn drift_of(fleet: &Fleet, snapshot: &Snapshot, world: &World) -> Drift {
    let hosts = snapshot.machines.iter().map(|(n, k)| (n.clone(), HostSpec::recorded(&k.record))).collect();
    let recorded = Fleet { hosts, ..fleet.clone() };
    Drift::of(&Plan::new(&recorded, snapshot, &Inputs { prune: false, ..inputs(world) }))
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(test);
}

fn host() -> impl Strategy<Value = Host> {
    (1..3_i64, 0..2_u8, 0..2_u8, any::<bool>())
}

fn hosts() -> impl Strategy<Value = BTreeMap<usize, Host>> {
    proptest::collection::btree_map(0..4_usize, host(), 0..4)
}

proptest! {
    #![proptest_config(properties(60))]
    /// Pains 6, 7 and 28, over any two fleets and any moment at which the run is cut off: what is read back is what
    /// was saved; begun and cut off, it goes on; done, it does nothing more; and then nothing has drifted.
    #[test]
    fn a_saved_plan_is_done_exactly_once(before in hosts(), after in hosts(), fuse in proptest::option::of(0..10_usize)) {
        run(async {
            let (world, cloud, _) = support::world();
            let (first, second) = (fleet(&before), fleet(&after));
            assert!(complete(&perform(&saved(&first, &world).await.0, &world).await));
            let (plan, text) = saved(&second, &world).await;
            assert!(!text.contains("s3cret-canary") && !text.contains("czNjcmV0LWNhbmFye"), "pain 24: {text}");
            let snapshot = look(&world).await;
            let (back, binding) = read(&text, &[&second], &snapshot);
            same(&plan, &back);
            let left = binding.left(&back, &snapshot, &inputs(&world), &seal(), false).unwrap();
            same(&plan, &left);
            cloud.lock().unwrap().fuse = fuse;
            let outcome = perform(&left, &world).await;
            cloud.lock().unwrap().fuse = None;
            if !complete(&outcome) {
                // The same file goes on.
                let snapshot = look(&world).await;
                let left = binding.left(&back, &snapshot, &inputs(&world), &seal(), true);
                let left = left.unwrap_or_else(|moved| panic!("false alarm: {moved:?}\n{plan}"));
                assert!(left.changes().all(|(id, _)| plan.changes().any(|(planned, _)| planned == id)));
                let outcome = perform(&left, &world).await;
                assert!(complete(&outcome), "{outcome:?}\n{left}");
            }
            let there = machines(&cloud);
            assert_eq!(there.keys().cloned().collect::<Vec<_>>(), second.hosts.keys().map(ToString::to_string).collect::<Vec<_>>());
            let effects = cloud.lock().unwrap().effects;
            for begun in [true, false] {
                let snapshot = look(&world).await;
                let left = binding.left(&back, &snapshot, &inputs(&world), &seal(), begun).unwrap();
                assert!(left.is_noop(), "{left}");
                assert!(complete(&perform(&left, &world).await));
            }
            assert_eq!((machines(&cloud), cloud.lock().unwrap().effects), (there, effects), "nothing is made twice");
            let snapshot = look(&world).await;
            assert!(Plan::new(&second, &snapshot, &inputs(&world)).is_noop());
            assert_eq!(drift_of(&second, &snapshot, &world).items, []);
        });
    }
}

/// Pain 28: right after an apply nothing has drifted, however often one asks.
#[test]
fn drift_is_silent_after_an_apply_a_hundred_times() {
    run(async {
        let (world, cloud, _) = support::world();
        let fleet = three();
        assert!(complete(&perform(&saved(&fleet, &world).await.0, &world).await));
        for _ in 0..100 {
            let drift = drift_of(&fleet, &look(&world).await, &world);
            assert_eq!((drift.machines, drift.items, drift.unknown), (3, Vec::new(), Vec::new()));
        }
        cloud.lock().unwrap().machines.get_mut("m1").unwrap().on = false;
        let snapshot = look(&world).await;
        let drift = drift_of(&fleet, &snapshot, &world);
        let texts: Vec<&str> = drift.items.iter().map(|item| item.text.as_str()).collect();
        assert_eq!(texts, ["drifted, power: stopped → running"]);
        let plan = Plan::new(&fleet, &snapshot, &inputs(&world));
        let facts = drift.with_facts(&plan, &snapshot).facts;
        assert!(facts.iter().any(|f| f.machine == "m0" && f.what == "distribution"), "{facts:?}");
    });
}

type Move = fn(usize, &World, &Shared);

fn record(world: &World, host: usize, change: impl FnOnce(&mut machine::record::MachineRecord)) {
    let mut record = world.store.at_once().get(&name(host)).unwrap();
    change(&mut record);
    world.store.at_once().put(&record).unwrap();
}

/// Pain 7: what moved on a host that the plan touches is named with host and field; on any other it is no matter.
#[test]
fn a_plan_is_stale_when_what_it_touches_has_moved() {
    let moves: Vec<(&str, Move)> = vec![
        ("engine.labels.tier: 0 → blue", |n, world, _| {
            record(world, n, |r| {
                r.engine.as_mut().unwrap().spec.labels.insert("tier".to_owned(), "blue".to_owned());
            });
        }),
        ("size: 1 → 7", |n, world, _| record(world, n, |r| drop(r.options.insert("size".to_owned(), 7.into())))),
        ("protect: false → true", |n, world, _| record(world, n, |r| r.protect = true)),
        ("instance id: i-", |n, world, _| {
            record(world, n, |r| r.instance.as_mut().unwrap().id = "i-other".to_owned());
        }),
        ("recorded: yes → no", |n, world, _| world.store.at_once().remove(&name(n)).unwrap()),
        ("unfinished engine: (none) → upgrade", |n, world, _| {
            record(world, n, |r| {
                r.pending.insert(machine::record::Part::Engine, machine::record::Pending::Upgrade);
            });
        }),
        ("power: running → stopped", |n, _, cloud| {
            cloud.lock().unwrap().machines.get_mut(name(n).as_str()).unwrap().on = false;
        }),
        ("on the host: /etc/docker/ca.pem: (as planned for) → not there", |n, _, cloud| {
            cloud.lock().unwrap().machines.get_mut(name(n).as_str()).unwrap().files.clear();
        }),
        ("on the host: engine: [{", |n, _, cloud| {
            cloud.lock().unwrap().machines.get_mut(name(n).as_str()).unwrap().engine = None;
        }),
        ("server.pem in the store: ", |n, world, _| {
            let area = machine::store::Area::Machine(&name(n));
            world.store.at_once().write(area, "server.pem", b"other", machine::store::Mode::Public).unwrap();
        }),
    ];
    for (want, change) in moves {
        for (host, stale) in [(2, true), (1, false)] {
            run(async {
                let (world, cloud, _) = support::world();
                let first = three();
                assert!(complete(&perform(&saved(&first, &world).await.0, &world).await));
                let mut second = first.clone();
                let labels = &mut second.hosts.get_mut(&name(2)).unwrap().engine.as_mut().unwrap().labels;
                labels.insert("tier".to_owned(), "web".to_owned());
                let (plan, text) = saved(&second, &world).await;
                assert_eq!(plan.changes().count(), 1);
                change(host, &world, &cloud);
                let effects = cloud.lock().unwrap().effects;
                let snapshot = look(&world).await;
                let (back, binding) = read(&text, &[&second], &snapshot);
                match binding.left(&back, &snapshot, &inputs(&world), &seal(), false) {
                    Err(found) => {
                        let texts: Vec<String> = found.iter().map(ToString::to_string).collect();
                        assert!(stale, "a false alarm: {texts:?}");
                        assert!(texts.iter().any(|t| t.starts_with(&format!("`m2`: {want}"))), "{want}: {texts:?}");
                        // Begun or not: what the plan does not do itself has moved.
                        let mends = ["unfinished", "on the host", "power"];
                        if !mends.iter().any(|m| want.starts_with(m)) {
                            let begun = binding.left(&back, &snapshot, &inputs(&world), &seal(), true);
                            assert!(begun.is_err(), "{want}");
                        }
                    }
                    Ok(left) => {
                        assert!(!stale, "{want} was not noticed");
                        assert!(complete(&perform(&left, &world).await));
                    }
                }
                assert_eq!(cloud.lock().unwrap().effects > effects, !stale);
            });
        }
    }
}

/// What changes by itself is no reason to refuse: a host that was started anew, or has less room.
#[test]
fn what_changes_by_itself_makes_no_plan_stale() {
    run(async {
        let (world, _, _) = support::world();
        let first = three();
        assert!(complete(&perform(&saved(&first, &world).await.0, &world).await));
        let mut second = first.clone();
        second.hosts.get_mut(&name(2)).unwrap().options.insert("size".to_owned(), 2.into());
        let (_, text) = saved(&second, &world).await;
        let mut snapshot = look(&world).await;
        let observed = snapshot.machines.get_mut(&name(2)).unwrap().observed.as_mut().unwrap();
        let Reach::Answered(facts) = &mut observed.host else { panic!("it answers") };
        facts.boot_id = "another".to_owned();
        facts.free_kib = Some(5);
        facts.hostname = "other".to_owned();
        facts.active_since = "today".to_owned();
        facts.main_pid = Some(7);
        facts.running_containers = 9;
        let (back, binding) = read(&text, &[&second], &snapshot);
        assert!(binding.left(&back, &snapshot, &inputs(&world), &seal(), false).is_ok());
    });
}

/// A host that does not answer any more fails alone, unseen and untouched (pain 12).
#[test]
fn a_host_that_cannot_be_looked_at_any_more_is_not_touched() {
    run(async {
        let (world, cloud, _) = support::world();
        let first = three();
        assert!(complete(&perform(&saved(&first, &world).await.0, &world).await));
        let mut second = first.clone();
        for n in [0, 2] {
            let labels = &mut second.hosts.get_mut(&name(n)).unwrap().engine.as_mut().unwrap().labels;
            labels.insert("tier".to_owned(), "web".to_owned());
        }
        let (_, text) = saved(&second, &world).await;
        let mut snapshot = look(&world).await;
        let observed = snapshot.machines.get_mut(&name(0)).unwrap().observed.as_mut().unwrap();
        observed.host = Reach::Failed("no route to host".to_owned());
        let (back, binding) = read(&text, &[&second], &snapshot);
        let left = binding.left(&back, &snapshot, &inputs(&world), &seal(), false).unwrap();
        let outcome = perform(&left, &world).await;
        let tier = |n: usize| {
            let cloud = cloud.lock().unwrap();
            cloud.machines[name(n).as_str()].engine.as_ref().unwrap().0.labels["tier"].clone()
        };
        assert_eq!((tier(0).as_str(), tier(2).as_str()), ("0", "web"));
        let failed: Vec<_> = outcome.iter().filter(|(_, end)| matches!(end, End::Failed(_))).collect();
        assert_eq!(failed.len(), 1, "{outcome:?}");
    });
}

/// What a host depends on belongs to what a plan stands on.
#[test]
fn a_plan_is_stale_when_what_it_depends_on_has_gone() {
    run(async {
        let (world, cloud, _) = support::world();
        let first = three();
        assert!(complete(&perform(&saved(&first, &world).await.0, &world).await));
        let mut second = first.clone();
        second.hosts.get_mut(&name(1)).unwrap().options.insert("size".to_owned(), 2.into());
        let (_, text) = saved(&second, &world).await;
        cloud.lock().unwrap().machines.get_mut("m0").unwrap().on = false;
        let snapshot = look(&world).await;
        let (back, binding) = read(&text, &[&second], &snapshot);
        let moved = binding.left(&back, &snapshot, &inputs(&world), &seal(), false).unwrap_err();
        let texts: Vec<String> = moved.iter().map(Moved::to_string).collect();
        assert_eq!(texts, ["`m0`: power: running → stopped"]);
    });
}

#[test]
fn a_plan_is_bound_to_what_the_fleet_file_means() {
    run(async {
        let (world, _, _) = support::world();
        let first = three();
        let (plan, text) = saved(&first, &world).await;
        let document: Document = serde_json::from_str(&text).unwrap();
        let source = document.saved.unwrap().source;
        assert_eq!(source.moved(&plan, &first, &seal()), []);
        let told = |change: fn(&mut Fleet)| {
            let mut fleet = first.clone();
            change(&mut fleet);
            source.moved(&plan, &fleet, &seal()).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let size = |fleet: &mut Fleet| {
            drop(fleet.hosts.get_mut(&name(1)).unwrap().options.insert("size".to_owned(), 3.into()));
        };
        assert_eq!(told(size), ["`m1`: size in the fleet file: 1 → 3"]);
        assert_eq!(told(|f| drop(f.hosts.remove(&name(2)))), ["`m2`: in the fleet file: there → (none)"]);
        assert_eq!(told(|f| f.policy.parallel = 3), ["`fleet` or `policy` in the fleet file"]);
        let password = |f: &mut Fleet| {
            let env = &mut f.hosts.get_mut(&name(0)).unwrap().engine.as_mut().unwrap().env;
            env.insert("HTTP_PROXY".to_owned(), "http://me:other@proxy:3128".into());
        };
        let texts = told(password);
        assert!(texts.len() == 1 && texts[0].starts_with("`m0`: engine.env.HTTP_PROXY"), "{texts:?}");
        assert!(!texts[0].contains("other@") && !texts[0].contains("s3cret"), "{texts:?}");
    });
}

#[test]
fn what_was_allowed_when_planning_is_allowed_when_applying() {
    let given = Given { prune: true, replace: true, delete: Some(2), destroy: false };
    assert_eq!(given.and(Consent::default()), Consent { replace: true, delete: Some(2), destroy: false });
    let now = Consent { replace: false, delete: Some(3), destroy: false };
    assert_eq!(given.and(now).delete, Some(3), "what is said last counts");
}
