//! Removals: how many, which, and whose.

use super::fakes::{apply_well, fleet, go, look, name, planned, run, there};
use crate::plain::AtOnce as _;
use crate::support;
use machine::{
    apply::End,
    fleet::{Fleet, HostSpec, Limit, OnError, Policy},
    name::FleetName,
    plan::{Plan, Reason, Work, guard},
    record::{MachineRecord, Part, Pending, Snapshot},
};

/// A fleet of `has` machines that are all there, of whose file only `keeps` are left.
fn shrunk(has: usize, keeps: usize) -> (Fleet, Snapshot, Plan) {
    let names = |n: usize| (0..n).map(|n| format!("m{n}")).collect::<Vec<_>>().join(",");
    let (before, after) = (fleet("shop", &names(has)), fleet("shop", &names(keeps)));
    let mut snapshot = Snapshot::default();
    for (host, spec) in &before.hosts {
        let record = MachineRecord::new(host.clone(), Some(before.name.clone()), &spec.driver, spec.options.clone());
        snapshot.machines.insert(host.clone(), machine::record::Known { record, observed: None });
    }
    let (world, _, _) = support::world();
    let plan = planned(&after, &snapshot, &world);
    (after, snapshot, plan)
}

fn refused(has: usize, keeps: usize, delete: Option<usize>) -> Vec<guard::Refusal> {
    let (fleet, snapshot, plan) = shrunk(has, keeps);
    guard::refusals(&plan, &snapshot, fleet.policy.max_delete, guard::Consent { delete, ..guard::Consent::default() })
}

/// Pain 14: one host or a tenth of them, whichever is more; all of them only by their exact number.
#[test]
fn one_host_or_a_tenth_may_go_and_never_all() {
    for (has, gone, allowed) in [
        (1, 1, false),
        (2, 1, true),
        (2, 2, false),
        (10, 1, true),
        (10, 2, false),
        (19, 2, false),
        (20, 2, true),
        (20, 3, false),
        (100, 10, true),
        (100, 11, false),
        (100, 100, false),
    ] {
        let found = refused(has, has - gone, None);
        assert_eq!(found.is_empty(), allowed, "{gone} of {has}: {found:?}");
        assert_eq!(refused(has, has - gone, Some(gone)), [], "{gone} of {has}, by number");
        for other in [gone - 1, gone + 1] {
            assert!(!refused(has, has - gone, Some(other)).is_empty(), "{gone} of {has} for {other}");
        }
    }
    assert_eq!(refused(3, 0, None), [guard::Refusal::All(3)]);
    assert_eq!(refused(3, 3, None), []);
}

/// Pain 14: a wide `max_delete` does not reach to the last machine.
#[test]
fn no_policy_lets_all_machines_go() {
    let (_, snapshot, plan) = shrunk(5, 0);
    let all = guard::refusals(&plan, &snapshot, Limit::number(100), guard::Consent::default());
    assert_eq!(all, [guard::Refusal::All(5)]);
    let (_, snapshot, plan) = shrunk(5, 1);
    assert_eq!(guard::refusals(&plan, &snapshot, "80%".parse().unwrap(), guard::Consent::default()), []);
    assert!(!guard::refusals(&plan, &snapshot, "79%".parse().unwrap(), guard::Consent::default()).is_empty());
    let none = guard::refusals(&plan, &snapshot, Limit::number(0), guard::Consent::default());
    assert_eq!(none, [guard::Refusal::TooMany { removals: 4, max: 0 }]);
}

/// Pain 14: protection is in the record, and in the file when it has just been written there.
#[test]
fn what_is_protected_is_not_replaced_either() {
    run(async {
        let (world, _, _) = support::world();
        apply_well(&fleet("shop", "a, b"), &world).await;
        let mut next = fleet("shop", "a, b");
        next.hosts.insert(name("a"), HostSpec { protect: true, ..super::fakes::host(1, "b", "x") });
        let snapshot = look(&world).await;
        let plan = planned(&next, &snapshot, &world);
        let consent = guard::Consent { replace: true, ..guard::Consent::default() };
        let refused = guard::refusals(&plan, &snapshot, Limit::number(1), consent);
        assert_eq!(refused, [guard::Refusal::Protected(name("a"))]);
    });
}

/// A removal that was consented to and broken off is ended by the next apply, which need not prune.
#[test]
fn a_removal_that_was_begun_is_ended() {
    run(async {
        let (world, cloud, _) = support::world();
        apply_well(&fleet("shop", "a, b, c"), &world).await;
        for gone in ["a", "b"] {
            let mut record = world.store.at_once().get(&name(gone)).unwrap();
            record.pending.insert(Part::Instance, Pending::Rm);
            world.store.at_once().put(&record).unwrap();
        }
        let rest = fleet("shop", "c");
        let snapshot = look(&world).await;
        let inputs = machine::plan::Inputs {
            drivers: &world.drivers,
            provisioners: world.provisioners,
            now: support::NOW,
            prune: false,
        };
        let plan = Plan::new(&rest, &snapshot, &inputs);
        assert_eq!(plan.count(machine::plan::Action::Rm), 2, "{plan}");
        let refused = guard::refusals(&plan, &snapshot, rest.policy.max_delete, guard::Consent::default());
        assert_eq!(refused, [], "it was consented to then");
        apply_well(&rest, &world).await;
        assert_eq!(there(&cloud).len(), 1);
    });
}

/// Pain 13: a machine of another fleet is neither looked for, nor changed, nor removed, whatever it is called.
#[test]
fn a_machine_of_another_fleet_is_not_touched() {
    run(async {
        let (world, cloud, _) = support::world();
        apply_well(&fleet("shop", "a, b"), &world).await;
        let before = (there(&cloud), world.store.at_once().snapshot().unwrap());
        let other = fleet("blog", "a");
        let ended = go(&other, &world, 4, OnError::StopDependants).await;
        assert!(ended.plan.to_string().contains("belongs to fleet `shop`"), "{}", ended.plan);
        assert!(ended.outcome.values().all(|end| matches!(end, End::Failed(_))), "{:?}", ended.outcome);
        apply_well(&fleet("blog", ""), &world).await;
        let destroy = Plan::destroy(&FleetName::new("blog").unwrap(), &world.store.at_once().snapshot().unwrap());
        assert!(destroy.is_noop(), "{destroy}");
        assert_eq!((there(&cloud), world.store.at_once().snapshot().unwrap()), before);
    });
}

/// Pain 13: also when it came into other hands after the plan was made.
#[test]
fn what_came_into_other_hands_since_the_plan_is_not_touched() {
    run(async {
        let (world, cloud, _) = support::world();
        apply_well(&fleet("shop", "a"), &world).await;
        let mut bigger = fleet("shop", "");
        bigger.hosts.insert(name("a"), super::fakes::host(3, "a", "y"));
        for next in [bigger, fleet("shop", "")] {
            let plan = planned(&next, &look(&world).await, &world);
            assert!(!plan.is_noop());
            let mut record = world.store.at_once().get(&name("a")).unwrap();
            record.fleet = FleetName::new("blog").ok();
            world.store.at_once().put(&record).unwrap();
            let before = (cloud.lock().unwrap().machines.clone(), world.store.at_once().get(&name("a")).unwrap());
            let (tell, _inbox) = tokio::sync::mpsc::unbounded_channel();
            let options = machine::apply::Options { parallel: 2, on_error: OnError::KeepGoing, retries: 0 };
            machine::apply::apply(&plan, &world, &options, &machine::apply::Interrupt::default(), &tell).await;
            assert_eq!(
                (cloud.lock().unwrap().machines.clone(), world.store.at_once().get(&name("a")).unwrap()),
                before
            );
            record.fleet = FleetName::new("shop").ok();
            world.store.at_once().put(&record).unwrap();
        }
    });
}

/// Pain 13: one that was made by hand is adopted, and the plan says so; it is never replaced for its name alone.
#[test]
fn a_machine_made_by_hand_is_adopted_visibly_and_never_replaced() {
    run(async {
        let (world, cloud, _) = support::world();
        apply_well(&fleet("shop", "a"), &world).await;
        let mut record = world.store.at_once().get(&name("a")).unwrap();
        record.fleet = None;
        world.store.at_once().put(&record).unwrap();
        let before = there(&cloud);

        let mut other = fleet("shop", "");
        other.hosts.insert(name("a"), super::fakes::host(1, "b", "x"));
        let ended = go(&other, &world, 4, OnError::StopDependants).await;
        assert!(ended.plan.to_string().contains("belongs to no fleet and would have to be replaced"), "{}", ended.plan);
        assert_eq!(ended.plan.count(machine::plan::Action::Rm), 0);
        assert_eq!((there(&cloud), world.store.at_once().get(&name("a")).unwrap()), (before.clone(), record.clone()));

        let mut begun = record.clone();
        begun.instance = None;
        begun.pending.insert(Part::Instance, Pending::Create);
        world.store.at_once().put(&begun).unwrap();
        let ended = go(&fleet("shop", "a"), &world, 4, OnError::StopDependants).await;
        assert!(ended.plan.to_string().contains("was begun outside of the fleet"), "{}", ended.plan);
        assert_eq!(world.store.at_once().get(&name("a")).unwrap(), begun, "a run may be making it now");

        world.store.at_once().put(&record).unwrap();
        let ended = apply_well(&fleet("shop", "a"), &world).await;
        assert!(ended.plan.to_string().contains("adopted from the store"), "{}", ended.plan);
        assert_eq!(there(&cloud), before, "it is the same machine");

        // Also when its instance is gone and made anew.
        let mut record = world.store.at_once().get(&name("a")).unwrap();
        record.fleet = None;
        world.store.at_once().put(&record).unwrap();
        cloud.lock().unwrap().machines.clear();
        let ended = apply_well(&fleet("shop", "a"), &world).await;
        let (_, step) = ended.plan.changes().find(|(_, step)| step.work == Work::CreateInstance).unwrap();
        assert!(step.reasons.contains(&Reason::Adopted), "{}", ended.plan);
    });
}

#[test]
fn limits_are_read_from_the_file() {
    let policy = |text: &str| {
        let text = format!("fleet: x\nhosts: {{}}\npolicy: {{ {text} }}\n");
        machine::fleet::load("x.yaml", &text, &machine::fleet::Inputs::default(), &machine::driver::Drivers::built_in())
            .map(|fleet| fleet.policy)
    };
    let read = policy("max_delete: 25%, max_unavailable: 2").unwrap();
    assert_eq!((read.max_delete.of(8), read.max_unavailable.unwrap().of(8)), (2, 2));
    assert_eq!(policy("max_delete: 3").unwrap().max_delete, Limit::number(3));
    assert_eq!(policy("parallel: 2").unwrap().max_delete, Policy::default().max_delete);
    for bad in ["max_delete: -1", "max_delete: all", "max_unavailable: 0", "max_unavailable: 0%", "max_delete: 101%"] {
        assert!(policy(bad).is_err(), "{bad}");
    }
}
