//! What a removal that was begun proves of an instance: nothing, if it was refused; that it is carried on, while it is still
//! wanted; and that an instance which is seen alive stays, when it is wanted again (C2).

use crate::{
    home::Home,
    plain::{AtOnce as _, Plain},
    support::{self, NOW, Shared},
};
use machine::{
    apply::{End, Interrupt, Options, Outcome, apply},
    fleet::{Fleet, HostSpec, OnError, Policy},
    hook::Hooks,
    name::{FleetName, MachineName},
    observe::observe,
    plan::{
        Action, Inputs, Plan,
        guard::{self, Consent},
    },
    record::{MachineRecord, Part, Pending, Snapshot},
    store::memory::MemoryStore,
    world::World,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};
use tokio::sync::mpsc::unbounded_channel;

fn name(text: &str) -> MachineName {
    MachineName::new(text).unwrap()
}

/// A fleet of these hosts, each in a region.
fn fleet(hosts: &[(&str, &str)]) -> Fleet {
    let host = |region: &str| HostSpec {
        driver: "fake".to_owned(),
        options: [("size", 1.into()), ("region", region.into()), ("note", "x".into())]
            .map(|(key, value)| (key.to_owned(), value))
            .into(),
        engine: None,
        tls_names: BTreeSet::new(),
        depends_on: BTreeSet::new(),
        protect: false,
        optional: false,
        hooks: Hooks::default(),
    };
    let hosts = hosts.iter().map(|(host_name, region)| (name(host_name), host(region))).collect();
    Fleet { name: FleetName::new("test").unwrap(), hosts, policy: Policy::default() }
}

struct Stage {
    world: World,
    cloud: Shared,
    store: Plain<MemoryStore>,
}

impl Stage {
    async fn new() -> Self {
        let (world, cloud, store) = support::world();
        let this = Self { world, cloud, store };
        this.well(&fleet(&[("web", "a"), ("db", "a")])).await;
        this
    }

    async fn plan(&self, fleet: &Fleet) -> (Plan, Snapshot) {
        let snapshot = self.world.store.at_once().snapshot().unwrap();
        let snapshot = observe(&self.world, snapshot, 1, |_| true, |_, _, _| {}).await;
        let inputs =
            Inputs { drivers: &self.world.drivers, provisioners: self.world.provisioners, now: NOW, prune: true };
        (Plan::new(fleet, &snapshot, &inputs), snapshot)
    }

    async fn apply(&self, fleet: &Fleet) -> Outcome {
        let (plan, _) = self.plan(fleet).await;
        let (events, _inbox) = unbounded_channel();
        let options = Options { parallel: 1, on_error: OnError::StopDependants, retries: 0 };
        apply(&plan, &self.world, &options, &Interrupt::default(), &events).await
    }

    async fn well(&self, fleet: &Fleet) {
        let outcome = self.apply(fleet).await;
        assert!(outcome.values().all(|end| matches!(end, End::Done)), "{outcome:?}");
    }

    fn record(&self, machine: &str) -> MachineRecord {
        self.store.get(&name(machine)).unwrap()
    }

    /// As a run that was killed while it removed this.
    fn begin_removal(&self, machine: &str) {
        let mut record = self.record(machine);
        record.pending.insert(Part::Instance, Pending::Rm);
        self.store.put(&record).unwrap();
    }

    /// What is removed by the plan for these hosts, and whether that needs a consent that was not given.
    async fn removals(&self, fleet: &Fleet) -> (usize, usize) {
        let (plan, snapshot) = self.plan(fleet).await;
        let refused = guard::refusals(&plan, &snapshot, fleet.policy.max_delete, Consent::default());
        (plan.count(Action::Rm), refused.len())
    }
}

#[tokio::test]
async fn a_removal_that_was_refused_was_not_begun() {
    let stage = Stage::new().await;
    let both = fleet(&[("web", "a"), ("db", "a")]);
    let before = stage.record("web");
    // The line goes by mistake, and the provider says no.
    stage.cloud.lock().unwrap().keeps = true;
    let outcome = stage.apply(&fleet(&[("db", "a")])).await;
    let failed = outcome.values().find_map(|end| if let End::Failed(e) = end { Some(e.to_string()) } else { None });
    assert!(failed.is_some_and(|why| why.contains("403 Forbidden")));
    assert_eq!(stage.record("web").pending, BTreeMap::new());
    // The line is back, and the provider would let it go now.
    stage.cloud.lock().unwrap().keeps = false;
    assert_eq!(stage.removals(&both).await, (0, 0));
    stage.well(&both).await;
    assert_eq!(stage.record("web").instance, before.instance, "it is the same instance");
    // A replacement that was refused needs the consent again.
    stage.cloud.lock().unwrap().keeps = true;
    let moved = fleet(&[("web", "b"), ("db", "a")]);
    assert_eq!(stage.removals(&moved).await, (1, 1));
    stage.apply(&moved).await;
    stage.cloud.lock().unwrap().keeps = false;
    assert_eq!(stage.removals(&moved).await, (1, 1));
}

#[tokio::test]
async fn a_removal_that_is_not_wanted_any_more_ends_where_it_is() {
    let both = fleet(&[("web", "a"), ("db", "a")]);
    // It is alive: it stays, and what was begun is over.
    let stage = Stage::new().await;
    let before = stage.record("web");
    stage.begin_removal("web");
    assert_eq!(stage.removals(&both).await, (0, 0));
    stage.well(&both).await;
    assert_eq!((stage.record("web").instance, stage.record("web").pending), (before.instance, BTreeMap::new()));
    assert!(stage.plan(&both).await.0.is_noop());
    // It is off, as providers leave it on the way: a person decides.
    let stage = Stage::new().await;
    stage.begin_removal("web");
    stage.cloud.lock().unwrap().machines.get_mut("web").unwrap().on = false;
    let (plan, _) = stage.plan(&both).await;
    assert_eq!(plan.count(Action::Rm), 0);
    let told = plan.to_string();
    assert!(told.contains("its removal was begun and did not finish, and it is stopped now"), "{told}");
    // It is gone: it is made.
    let stage = Stage::new().await;
    stage.begin_removal("web");
    stage.cloud.lock().unwrap().machines.remove("web");
    assert_eq!(stage.removals(&both).await, (0, 0));
    stage.well(&both).await;
    assert!(stage.plan(&both).await.0.is_noop());
}

#[tokio::test]
async fn a_change_that_was_cut_off_is_carried_on() {
    // The host is still out of the file.
    let stage = Stage::new().await;
    stage.begin_removal("web");
    assert_eq!(stage.removals(&fleet(&[("db", "a")])).await, (1, 0));
    stage.well(&fleet(&[("db", "a")])).await;
    assert_eq!(stage.store.names().unwrap(), ["db"]);
    // The replacement is still wanted.
    let stage = Stage::new().await;
    let moved = fleet(&[("web", "b"), ("db", "a")]);
    assert_eq!(stage.removals(&moved).await, (1, 1));
    stage.begin_removal("web");
    assert_eq!(stage.removals(&moved).await, (1, 0));
    stage.well(&moved).await;
    assert!(stage.plan(&moved).await.0.is_noop());
}

/// C14a: `rm` says what it is about to do before it does it, and takes that back when it was refused.
#[test]
fn a_removal_by_name_is_recorded_before_it_begins() {
    let home = Home::new();
    let file = home.path().join("fleet.yaml").display().to_string();
    let hook = "cp $MACHINE_STORAGE_PATH/machines/a/record.json seen.json; test -e go";
    home.write(
        "../fleet.yaml",
        &format!(
            "fleet: f\nhosts:\n  a: {{ driver: none, url: 'tcp://127.0.0.1:1', hooks: {{ pre-rm: [{{ run: '{hook}' }}] }} }}\n"
        ),
    );
    let applied = home.in_store("machine", &["apply", "-y", &file]);
    assert_eq!(applied.status, 0, "{}", applied.stderr);
    let pending = |path: &std::path::Path| -> serde_json::Value {
        let record: serde_json::Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        record["pending"].clone()
    };
    let own = home.store().join("machines/a/record.json");
    let before = pending(&own);
    let refused = home.in_store("machine", &["rm", "-y", "a"]);
    assert_ne!(refused.status, 0, "{}", refused.stdout);
    assert!(pending(&home.path().join("seen.json")).to_string().contains("rm"), "{}", pending(&own));
    assert_eq!(pending(&own), before, "the hook said no");
    home.write("../go", "");
    assert_eq!(home.in_store("machine", &["rm", "-y", "a"]).status, 0);
    assert!(!own.exists());
}
