//! The law of `max_unavailable`: whatever is changed, in whatever order hosts depend on each other, and whatever
//! fails, no more than so many of the machines that are there are down or being worked on at any moment.

use super::fakes::{apply_well, fleet, go, host, look, name, planned, run};
use crate::{properties::properties, support};
use machine::{
    apply::{End, Event},
    fleet::{Fleet, Limit, OnError},
    name::MachineName,
    plan::{Action, Plan, StepId, Work},
    record::{Part, Reach},
    report::summary::{HostEnd, hosts},
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// What is asked of a host that is there.
#[derive(Clone, Copy, Debug)]
enum Change {
    None,
    Label,
    Size,
    Replace,
    /// It was found off.
    Off,
    /// Its instance is gone.
    Gone,
    /// It is new.
    New,
    /// It leaves the file.
    Leaves,
}

fn change() -> impl Strategy<Value = Change> {
    use Change::{Gone, Label, Leaves, New, None, Off, Replace, Size};
    prop_oneof![
        2 => Just(None), 4 => Just(Label), 2 => Just(Size), 3 => Just(Replace), 1 => Just(Off), 1 => Just(Gone),
        1 => Just(New), 1 => Just(Leaves)
    ]
}

fn host_name(n: usize) -> MachineName {
    name(&format!("m{n:02}"))
}

/// Whether a step can take its machine down, or bring it back; others touch only its record.
fn touches(plan: &Plan, id: &StepId) -> bool {
    plan.steps.get(id).is_some_and(|step| step.action != Action::Keep && step.work != Work::Record)
}

fn busy(plan: &Plan, machine: &MachineName) -> usize {
    plan.changes().filter(|(id, _)| id.machine == *machine && touches(plan, id)).count()
}

proptest! {
    #![proptest_config(properties(100))]
    #[test]
    fn never_more_than_so_many_are_down(
        changes in proptest::collection::vec(change(), 1..9),
        after in proptest::collection::vec((0..9_usize, 0..9_usize), 0..8),
        backwards in any::<bool>(),
        limit in prop_oneof![(1..4_usize).prop_map(Limit::number), (1..=60_u8).prop_map(|p| Limit::larger(0, p))],
        fuse in proptest::option::of(0..12_usize),
        parallel in 1..9_usize,
    ) {
        run(async {
            let (world, cloud, _) = support::world();
            let (mut before, mut next) = (fleet("shop", ""), fleet("shop", ""));
            for (n, change) in changes.iter().enumerate() {
                let (old, new) = match change {
                    Change::None | Change::Off | Change::Gone => (Some((1, "a", "x")), Some((1, "a", "x"))),
                    Change::Label => (Some((1, "a", "x")), Some((1, "a", "y"))),
                    Change::Size => (Some((1, "a", "x")), Some((2, "a", "x"))),
                    Change::Replace => (Some((1, "a", "x")), Some((1, "b", "x"))),
                    Change::New => (None, Some((1, "a", "x"))),
                    Change::Leaves => (Some((1, "a", "x")), None),
                };
                before.hosts.extend(old.map(|(s, r, l)| (host_name(n), host(s, r, l))));
                next.hosts.extend(new.map(|(s, r, l)| (host_name(n), host(s, r, l))));
            }
            for (a, b) in &after {
                let (first, second) = if (a < b) == backwards { (a, b) } else { (b, a) };
                for fleet in [&mut before, &mut next] {
                    let there = fleet.hosts.contains_key(&host_name(*second));
                    if let Some(spec) = fleet.hosts.get_mut(&host_name(*first)).filter(|_| there && a != b) {
                        spec.depends_on.insert(host_name(*second));
                    }
                }
            }
            apply_well(&before, &world).await;
            for (n, change) in changes.iter().enumerate() {
                let mut cloud = cloud.lock().unwrap();
                match change {
                    Change::Off => cloud.machines.get_mut(host_name(n).as_str()).unwrap().on = false,
                    Change::Gone => drop(cloud.machines.remove(host_name(n).as_str())),
                    _ => {}
                }
            }
            next.policy.max_unavailable = Some(limit);
            check(&next, &changes, limit, &world, &cloud, fuse, parallel).await;
            // Applying again ends what was stopped.
            cloud.lock().unwrap().fuse = None;
            apply_well(&next, &world).await;
            let snapshot = look(&world).await;
            assert!(planned(&next, &snapshot, &world).is_noop());
        });
    }
}

async fn check(
    next: &Fleet,
    changes: &[Change],
    limit: Limit,
    world: &machine::world::World,
    cloud: &support::Shared,
    fuse: Option<usize>,
    parallel: usize,
) {
    let of_change = |pick: fn(&Change) -> bool| -> BTreeSet<MachineName> {
        changes.iter().enumerate().filter(|(_, change)| pick(change)).map(|(n, _)| host_name(n)).collect()
    };
    let rolling = of_change(|c| matches!(c, Change::Label | Change::Size | Change::Replace));
    // One that waits for others before it can be mended is down meanwhile, whatever is done.
    let mut down = of_change(|c| matches!(c, Change::Off | Change::Gone));
    down.retain(|name| next.hosts[name].depends_on.is_empty());
    let there = changes.iter().filter(|c| !matches!(c, Change::New | Change::Leaves)).count();
    let most = limit.of(there).max(1);
    cloud.lock().unwrap().fuse = fuse;
    let ended = go(next, world, parallel, OnError::StopDependants).await;
    let mut open = down.clone();
    let mut left: BTreeMap<MachineName, usize> =
        rolling.union(&down).map(|name| (name.clone(), busy(&ended.plan, name))).collect();
    let (mut begun_late, mut failed) = (BTreeSet::new(), false);
    for event in &ended.events {
        if let Event::Started { step, .. } | Event::Finished { step, .. } = event
            && !touches(&ended.plan, step)
        {
            continue;
        }
        match event {
            Event::Started { step, .. } if rolling.contains(&step.machine) && !open.contains(&step.machine) => {
                open.insert(step.machine.clone());
                assert!(open.len() <= most, "{open:?} of at most {most}\n{}", ended.plan);
                if failed {
                    begun_late.insert(step.machine.clone());
                }
            }
            Event::Finished { step, result, .. } if left.contains_key(&step.machine) => {
                failed |= result.is_err();
                if result.is_ok() {
                    let left = left.get_mut(&step.machine).unwrap();
                    *left -= 1;
                    if *left == 0 {
                        open.remove(&step.machine);
                    }
                }
            }
            _ => {}
        }
    }
    assert!(begun_late.len() < most, "the first failure stops the roll, but these began: {begun_late:?}");
    let told = hosts(&ended.plan, &ended.outcome);
    assert_eq!(told.len(), changes.len(), "every host is told of once");
}

/// Pain 16: one after another, dependencies first, and what failed leaves the rest as it was.
#[test]
fn a_failed_host_leaves_the_rest_untouched() {
    use HostEnd::{Converged, Failed, Skipped};
    run(async {
        let (world, cloud, _) = support::world();
        let mut shop = fleet("shop", "a: d, b, c, d");
        apply_well(&shop, &world).await;
        for spec in shop.hosts.values_mut() {
            spec.engine.as_mut().unwrap().labels.insert("tier".to_owned(), "y".to_owned());
        }
        shop.policy.max_unavailable = Some(Limit::number(1));
        let plan = planned(&shop, &look(&world).await, &world);
        let engine = |machine: &str| StepId::part(&name(machine), Part::Engine);
        let order: Vec<String> = plan.steps.waves().concat().iter().map(ToString::to_string).collect();
        let at = |machine: &str| order.iter().position(|id| *id == engine(machine).to_string()).unwrap();
        assert!(at("b") < at("c") && at("c") < at("d") && at("d") < at("a"), "{order:?}");
        let needs = |machine: &str| {
            plan.to_json()["steps"]
                .as_array()
                .unwrap()
                .iter()
                .find(|step| step["id"] == engine(machine).to_string())
                .unwrap()["needs"]
                .to_string()
        };
        assert!(needs("c").contains("b/engine"), "the edge is there to be seen: {}", needs("c"));

        cloud.lock().unwrap().fuse = Some(1);
        let ended = go(&shop, &world, 8, OnError::StopDependants).await;
        let ends: Vec<HostEnd> = hosts(&ended.plan, &ended.outcome).into_values().collect();
        assert_eq!(ends, [Skipped, Converged, Failed, Skipped]);
        let labels =
            |machine: &str| cloud.lock().unwrap().machines[machine].engine.as_ref().unwrap().0.labels["tier"].clone();
        assert_eq!([labels("a"), labels("d")], ["x", "x"]);
        let ended = apply_well(&shop, &world).await;
        assert_eq!(ended.plan.count(Action::Upgrade), 3, "{}", ended.plan);
        assert!(ended.outcome.values().all(|end| matches!(end, End::Done)));
    });
}

/// Pain 16: a machine that does not answer counts as down, unless it may be off: then it is not waited for.
#[test]
fn machines_that_do_not_answer_take_a_place() {
    run(async {
        let (world, _, _) = support::world();
        let mut shop = fleet("shop", "a, b, c, z");
        apply_well(&shop, &world).await;
        for spec in ["a", "b", "c"] {
            let spec = shop.hosts.get_mut(&name(spec)).unwrap();
            spec.engine.as_mut().unwrap().labels.insert("tier".to_owned(), "y".to_owned());
        }
        let mut snapshot = look(&world).await;
        let asleep = snapshot.machines.get_mut(&name("z")).unwrap().observed.as_mut().unwrap();
        asleep.host = Reach::Failed("no route to host".to_owned());
        let first = |shop: &Fleet| {
            let plan = planned(shop, &snapshot, &world);
            let free = |id: &StepId| plan.steps.needs(id).all(|need| need.machine == id.machine);
            let engines = plan.changes().filter(|(id, _)| free(id)).count();
            (engines, plan.to_string())
        };
        for (most, want) in [(1, 0), (2, 1), (3, 2), (4, 3)] {
            shop.policy.max_unavailable = Some(Limit::number(most));
            let (engines, plan) = first(&shop);
            assert_eq!(engines, want, "{most}: {plan}");
            assert_eq!(plan.contains("`max_unavailable: 1` is used up: `z` does not answer"), most == 1, "{plan}");
        }
        shop.hosts.get_mut(&name("z")).unwrap().optional = true;
        shop.policy.max_unavailable = Some(Limit::number(1));
        assert_eq!(first(&shop).0, 1);
    });
}

/// New machines take nothing down, so they are not waited for.
#[test]
fn creations_are_not_limited() {
    run(async {
        let (world, _, _) = support::world();
        let mut shop = fleet("shop", "a, b, c, d");
        shop.policy.max_unavailable = Some(Limit::number(1));
        let plan = planned(&shop, &look(&world).await, &world);
        assert_eq!(plan.steps.waves()[0].len(), 4, "{plan}");
    });
}

/// Edges are what a plan of many machines consists of: their number stays in proportion.
#[test]
fn a_wide_window_over_many_machines_is_planned_in_time() {
    let (world, _, _) = support::world();
    let names: Vec<String> = (0..3_000).map(|n| format!("m{n:04}")).collect();
    let mut shop = fleet("shop", &names.join(","));
    let mut snapshot = machine::record::Snapshot::default();
    for (host, spec) in &shop.hosts {
        let mut record = machine::record::MachineRecord::new(
            host.clone(),
            Some(shop.name.clone()),
            &spec.driver,
            spec.options.clone(),
        );
        record.instance = Some(machine::record::Instance {
            id: host.to_string(),
            address: "192.0.2.1".to_owned(),
            ssh: None,
            url: None,
            host_keys: Vec::new(),
            jump_keys: Vec::new(),
        });
        snapshot.machines.insert(host.clone(), machine::record::Known { record, observed: None });
    }
    shop.policy.max_unavailable = Some(Limit::larger(0, 25));
    let plan = planned(&shop, &snapshot, &world);
    let edges: usize = plan.steps.nodes().map(|(id, _)| plan.steps.needs(id).count()).sum();
    assert!(edges < 70 * plan.steps.len(), "{edges} edges between {} steps", plan.steps.len());
}
