//! Removals that were not confirmed: remembered, shown, tried again, and never mistaken for a new machine.

use super::fakes::{Ended, apply_well, fleet, go, look, name, planned, run, there};
use crate::plain::{self, AtOnce as _};
use crate::support::{self, NOW, Shared};
use machine::{
    apply::End,
    clock::Timestamp,
    fleet::OnError,
    name::FleetName,
    plan::{Action, StepId, guard},
    record::{Part, Tombstone},
    world::World,
};

/// As `rm -f` leaves it when the provider does not answer: the record goes, the instance stays.
fn lose(world: &World, machine: &str) -> Tombstone {
    let record = world.store.at_once().get(&name(machine)).unwrap();
    let stone = Tombstone::of(&record, NOW, "no answer");
    plain::now(world.store.records.put_tombstone(&stone)).unwrap();
    world.store.at_once().remove(&record.name).unwrap();
    stone
}

fn stones(world: &World) -> Vec<String> {
    world.store.at_once().tombstones().unwrap().into_keys().collect()
}

async fn lost_web() -> (World, Shared, Tombstone) {
    let (world, cloud, _) = support::world();
    apply_well(&fleet("shop", "db, web"), &world).await;
    let stone = lose(&world, "web");
    (world, cloud, stone)
}

fn remains(machine: &str) -> StepId {
    StepId { machine: name(machine), part: Part::Remains, rm: true, hook: None }
}

/// Pain 5: shown by `plan` until confirmed, looked for by the next apply, gone when that is.
#[test]
fn the_next_apply_removes_what_was_left() {
    run(async {
        let (world, cloud, stone) = lost_web().await;
        let rest = fleet("shop", "db");
        let snapshot = look(&world).await;
        let plan = planned(&rest, &snapshot, &world);
        insta::assert_snapshot!(plan, @r"
          web
            - rm      remains      its removal on 2027-01-15T08:00:00Z was not confirmed: fake instance i-2: no answer
        1 step on 1 of 2 hosts: 1 to rm, 3 to keep.
        ");
        assert_eq!(guard::refusals(&plan, &snapshot, rest.policy.max_delete, guard::Consent::default()), []);
        let json = plan.to_json();
        let step = json["steps"].as_array().unwrap().iter().find(|step| step["part"] == "remains").unwrap();
        assert_eq!(step["reasons"][0]["kind"], "unconfirmed");
        apply_well(&rest, &world).await;
        assert_eq!(there(&cloud), [("db".to_owned(), 1)]);
        assert_eq!(stones(&world), [""; 0]);
        assert!(planned(&rest, &look(&world).await, &world).is_noop());
        plain::now(world.store.records.remove_tombstone(&stone.id())).unwrap();
    });
}

/// A provider that does not answer confirms nothing.
#[test]
fn what_cannot_be_confirmed_is_remembered() {
    run(async {
        for before in [false, true] {
            let (world, cloud, stone) = lost_web().await;
            cloud.lock().unwrap().fuse = Some(0);
            cloud.lock().unwrap().before = before;
            let ended = go(&fleet("shop", "db"), &world, 1, OnError::StopDependants).await;
            assert!(matches!(ended.outcome[&remains("web")], End::Failed(_)), "{:?}", ended.outcome);
            assert_eq!(stones(&world), [stone.id()]);
            cloud.lock().unwrap().fuse = None;
            apply_well(&fleet("shop", "db"), &world).await;
            assert_eq!((there(&cloud).len(), stones(&world).len()), (1, 0));
        }
    });
}

/// A new machine of the name is another instance: it is not made from what is left, nor removed for it.
#[test]
fn a_new_machine_of_the_name_is_not_confused_with_the_old() {
    run(async {
        let (world, cloud, _) = lost_web().await;
        let shop = fleet("shop", "db, web");
        let Ended { plan, .. } = apply_well(&shop, &world).await;
        let create = StepId::part(&name("web"), Part::Instance);
        assert!(plan.steps.needs(&create).any(|need| *need == remains("web")), "{plan}");
        assert_eq!(there(&cloud), [("db".to_owned(), 1), ("web".to_owned(), 3)], "made anew, and only one");
        assert_eq!(stones(&world), [""; 0]);

        // If what is left cannot be removed, nothing is made from it.
        let stone = lose(&world, "web");
        cloud.lock().unwrap().fuse = Some(0);
        cloud.lock().unwrap().before = true;
        for on_error in [OnError::StopDependants, OnError::KeepGoing] {
            cloud.lock().unwrap().fuse = Some(0);
            let ended = go(&shop, &world, 1, on_error).await;
            assert!(matches!(ended.outcome[&create], End::Skipped(_)), "{:?}", ended.outcome);
            assert!(world.store.at_once().get(&name("web")).is_err());
        }

        // A tombstone of an instance that is long gone does not take the new one with it.
        cloud.lock().unwrap().fuse = None;
        apply_well(&shop, &world).await;
        plain::now(world.store.records.put_tombstone(&stone)).unwrap();
        let before = there(&cloud);
        apply_well(&shop, &world).await;
        assert_eq!((there(&cloud), stones(&world)), (before, Vec::new()));
    });
}

/// With another driver it has another tag, and need not wait.
#[test]
fn a_new_machine_of_another_driver_does_not_wait() {
    run(async {
        let (world, _, stone) = lost_web().await;
        let elsewhere = Tombstone { driver: "vmwarefusion".to_owned(), ..stone.clone() };
        plain::now(world.store.records.remove_tombstone(&stone.id())).unwrap();
        plain::now(world.store.records.put_tombstone(&elsewhere)).unwrap();
        let shop = fleet("shop", "db, web");
        let ended = apply_well(&shop, &world).await;
        assert!(ended.plan.to_string().contains("it cannot be looked for"), "{}", ended.plan);
        assert!(ended.plan.to_string().contains("machine rm --tombstone -f web"), "{}", ended.plan);
        assert_eq!(stones(&world), [elsewhere.id()], "a driver this program does not have confirms nothing");
    });
}

/// Pain 13: tombstones of another fleet, or of none, are none of ours.
#[test]
fn the_remains_of_another_fleet_are_not_touched() {
    run(async {
        let (world, cloud, stone) = lost_web().await;
        for other in [fleet("blog", "x"), fleet("blog", "web")] {
            let plan = planned(&other, &look(&world).await, &world);
            assert!(plan.steps.get(&remains("web")).is_none(), "{plan}");
        }
        apply_well(&fleet("blog", "x"), &world).await;
        assert_eq!((there(&cloud).len(), stones(&world)), (3, vec![stone.id()]));
        let of_no_fleet = Tombstone { fleet: None, ..stone.clone() };
        plain::now(world.store.records.remove_tombstone(&stone.id())).unwrap();
        plain::now(world.store.records.put_tombstone(&of_no_fleet)).unwrap();
        assert!(planned(&fleet("shop", "db"), &look(&world).await, &world).is_noop());
    });
}

/// What was killed between the tombstone and the end of the record is a machine still.
#[test]
fn an_instance_that_is_recorded_is_no_remains() {
    run(async {
        let (world, cloud, _) = support::world();
        let shop = fleet("shop", "db, web");
        apply_well(&shop, &world).await;
        let stone = Tombstone::of(&world.store.at_once().get(&name("web")).unwrap(), Timestamp(1), "killed");
        plain::now(world.store.records.put_tombstone(&stone)).unwrap();
        let before = there(&cloud);
        let ended = apply_well(&shop, &world).await;
        assert_eq!(ended.plan.count(Action::Rm), 1);
        assert_eq!((there(&cloud), stones(&world)), (before, Vec::new()));
    });
}

/// A creation that was cut off before an id was known is found by its tag.
#[test]
fn what_was_never_recorded_is_found_by_its_tag() {
    run(async {
        let (world, cloud, stone) = lost_web().await;
        plain::now(world.store.records.remove_tombstone(&stone.id())).unwrap();
        plain::now(world.store.records.put_tombstone(&Tombstone { instance: None, ..stone })).unwrap();
        apply_well(&fleet("shop", "db"), &world).await;
        assert_eq!((there(&cloud).len(), stones(&world).len()), (1, 0));
    });
}

/// `destroy` leaves nothing behind either.
#[test]
fn destroying_a_fleet_removes_what_was_left() {
    run(async {
        let (world, cloud, _) = lost_web().await;
        let snapshot = world.store.at_once().snapshot().unwrap();
        let plan = machine::plan::Plan::destroy(&FleetName::new("shop").unwrap(), &snapshot);
        assert_eq!(machine::plan::audit::audit(&plan), []);
        let (tell, _inbox) = tokio::sync::mpsc::unbounded_channel();
        let options = machine::apply::Options { parallel: 2, on_error: OnError::StopDependants, retries: 0 };
        machine::apply::apply(&plan, &world, &options, &machine::apply::Interrupt::default(), &tell).await;
        assert_eq!((there(&cloud), stones(&world)), (Vec::new(), Vec::new()));
    });
}
