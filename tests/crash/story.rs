//! A fleet of fakes and what becomes of it: adopted, found again, created, changed, replaced, pruned, destroyed, with
//! hooks around all of it, and with remains of two machines whose removal was not confirmed. The store is a real
//! folder; the provider is a file that outlives the processes that ask it.

use crate::plain::{self, AtOnce as _, Plain};
use crate::support::{self, Cloud, FakeMachine, NOW, Shared};
use machine::{
    apply::{End, Interrupt, Options, Outcome, apply},
    engine::EngineSpec,
    fleet::{Fleet, HostSpec, OnError, Policy},
    hook::{Command, Hook, Hooks, On, Point},
    name::{FleetName, MachineName},
    observe::observe,
    plan::{Inputs, Plan},
    record::Tombstone,
    store::{Doing, Holder, StoreError, folder::FolderStore},
    world::World,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};
use tokio::sync::mpsc::unbounded_channel;

/// The steps, in order. Each is what one process does.
pub(crate) const STEPS: [&str; 3] = ["create", "change", "destroy"];
/// What a child exits with when the store failed it before a plan was made.
const STORE: u8 = 1;
/// And when steps failed.
const STEP: u8 = 3;

fn name(text: &str) -> MachineName {
    MachineName::new(text).unwrap()
}

fn fleet_name() -> FleetName {
    FleetName::new("test").unwrap()
}

fn host(size: i64, region: &str, note: &str, tier: &str, after: &[&str]) -> HostSpec {
    let options =
        [("size".to_owned(), size.into()), ("region".to_owned(), region.into()), ("note".to_owned(), note.into())];
    let labels = BTreeMap::from([("tier".to_owned(), tier.to_owned())]);
    HostSpec {
        driver: "fake".to_owned(),
        options: options.into(),
        engine: Some(EngineSpec { port: 2376, labels, ..EngineSpec::default() }),
        tls_names: BTreeSet::new(),
        depends_on: after.iter().map(|n| name(n)).collect(),
        protect: false,
        optional: false,
        hooks: Hooks::default(),
    }
}

fn fleet(hosts: impl IntoIterator<Item = (String, HostSpec)>) -> Fleet {
    Fleet {
        name: fleet_name(),
        hosts: hosts.into_iter().map(|(n, h)| (name(&n), h)).collect(),
        policy: Policy::default(),
    }
}

/// Hooks at all points here, and after changes also on the host.
fn hooks() -> Hooks {
    let hook = |point: Point, on| Hook {
        name: format!("{on:?}").to_lowercase(),
        run: Command::Shell(format!("fake-hook {point}")),
        on,
        timeout: 60,
    };
    let at = |point| {
        let there = (point == Point::PostUpgrade).then(|| hook(point, On::Host));
        (point, std::iter::once(hook(point, On::Local)).chain(there).collect())
    };
    Hooks(Point::ALL.map(at).into_iter().collect())
}

/// What is desired in a step: with hooks at every host, or at every third of many.
pub(crate) fn wanted(step: &str) -> Fleet {
    let mut fleet = hosts(step);
    let every = match step {
        "before" => return fleet,
        step if STEPS.contains(&step) => 1,
        _ => 3,
    };
    fleet.hosts.values_mut().step_by(every).for_each(|host| host.hooks = hooks());
    fleet
}

fn hosts(step: &str) -> Fleet {
    let of = |hosts: &[(&str, HostSpec)]| fleet(hosts.iter().map(|(n, h)| ((*n).to_owned(), h.clone())));
    match step {
        "before" => of(&["taken", "found", "lost", "second"].map(|name| (name, host(1, "a", "x", "0", &[])))),
        "create" => of(&[
            ("first", host(1, "a", "x", "0", &[])),
            ("second", host(1, "a", "x", "0", &["first"])),
            // Recorded, and in no fleet: adopted, and changed at once.
            ("taken", host(2, "a", "x", "1", &[])),
            // At the provider, and not recorded any more.
            ("found", host(1, "a", "x", "0", &[])),
        ]),
        "change" => of(&[
            ("first", host(2, "a", "y", "0", &[])),
            ("second", host(1, "b", "x", "0", &["first"])),
            ("taken", host(2, "a", "y", "2", &[])),
            ("third", host(1, "a", "x", "0", &["taken"])),
        ]),
        "destroy" => of(&[]),
        many => fleet((0..many.parse().unwrap()).map(|n| (format!("h{n:02}"), host(1, "a", "x", "0", &[])))),
    }
}

/// The store and the provider of a fleet.
pub(crate) struct Place {
    pub(crate) root: PathBuf,
}

impl Place {
    pub(crate) fn store(&self) -> Plain<FolderStore> {
        plain::folder(self.root.join("store"))
    }

    fn disk(&self) -> PathBuf {
        self.root.join("provider.json")
    }

    pub(crate) fn world(&self) -> (World, Shared) {
        support::world_on(Cloud::at(&self.disk()), self.store().store)
    }

    /// What the provider has.
    pub(crate) fn machines(&self) -> BTreeMap<String, FakeMachine> {
        Cloud::at(&self.disk()).machines
    }

    /// Before the first step: one machine is recorded without a fleet, one is there without a record, and of two it is
    /// only known that they may be there, one of which has the name of a new one.
    pub(crate) fn prepare(&self) {
        fs::create_dir_all(&self.root).unwrap();
        self.perform("before").unwrap();
        let store = self.store();
        let mut taken = store.get(&name("taken")).unwrap();
        taken.fleet = None;
        store.put(&taken).unwrap();
        store.remove(&name("found")).unwrap();
        let mut cloud = Cloud::at(&self.disk());
        cloud.hooked = true;
        for lost in ["lost", "second"] {
            let record = store.get(&name(lost)).unwrap();
            plain::now(store.records.put_tombstone(&Tombstone::of(&record, NOW, "no answer"))).unwrap();
            store.remove(&record.name).unwrap();
        }
        // Hooks of a removal ran with those removals; and hooks of what no record names yet are unknown.
        for unknown in ["lost", "second", "found"] {
            let serial = Some(cloud.machines[unknown].serial);
            cloud.hooks.extend(["pre-rm", "post-rm"].map(|point| (unknown.to_owned(), serial, point.to_owned())));
        }
        cloud.keep();
    }

    /// Does a step; says what failed.
    pub(crate) fn perform(&self, step: &str) -> Result<Plan, Failed> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (world, _) = self.world();
        runtime.block_on(perform(&world, step))
    }

    /// What must hold at every moment: everything that is recorded can be read, and everything that is at the
    /// provider is recorded.
    #[track_caller]
    pub(crate) fn nothing_is_forgotten(&self, unknown: &[&str], context: &dyn std::fmt::Display) {
        let snapshot = self.store().snapshot().unwrap();
        assert_eq!(snapshot.broken, BTreeMap::new(), "{context}");
        assert_eq!(snapshot.broken_tombstones, BTreeMap::new(), "{context}");
        for machine in self.machines().into_keys().filter(|n| !unknown.contains(&n.as_str())) {
            let known = snapshot.machines.contains_key(&name(&machine))
                || snapshot.tombstones.values().any(|stone| stone.machine.as_str() == machine);
            assert!(known, "`{machine}` is forgotten: {context}");
        }
    }

    /// That nothing lies there that is of no use any more: remains, locks of who is gone, halves of machines; and
    /// that no hook was forgotten.
    #[track_caller]
    fn is_tidy(&self, context: &dyn std::fmt::Display) {
        let stones: Vec<String> = self.store().tombstones().unwrap().into_keys().collect();
        assert_eq!(stones, Vec::<String>::new(), "they are left after {context}");
        let files = |folder: &str| -> Vec<String> {
            let entries = fs::read_dir(self.root.join("store").join(folder)).into_iter().flatten();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        };
        let hidden: Vec<String> =
            files("machines").into_iter().filter(|n| n.starts_with('.') && n.ends_with(".removed")).collect();
        assert_eq!(hidden, Vec::<String>::new(), "keys of removed machines lie there after {context}");
        assert_eq!(files("leases"), Vec::<String>::new(), "leases of runs that are gone after {context}");
        let Cloud { hooks, machines, hooked, .. } = Cloud::at(&self.disk());
        let at = |name: &str, which: &str| hooks.iter().rposition(|(of, _, point)| of == name && point == which);
        for name in hooks.iter().map(|(name, ..)| name).filter(|name| !machines.contains_key(*name)) {
            assert!(at(name, "pre-rm") <= at(name, "post-rm"), "`post-rm` of {name} was forgotten after {context}");
        }
        for (name, machine) in machines.iter().filter(|(name, _)| hooked && at(name, "pre-create").is_some()) {
            let ran = hooks.iter().any(|(of, at, point)| {
                of == name && *at == Some(machine.serial) && (point == "post-create" || point == "post-upgrade")
            });
            assert!(ran, "`post-create` of {name} was forgotten after {context}");
        }
    }

    /// That one apply reaches what is desired, that the next has nothing to do, and that there is nothing else.
    #[track_caller]
    pub(crate) fn converges(&self, step: &str, context: &dyn std::fmt::Display) {
        if let Err(failed) = self.perform(step) {
            panic!("{failed:?} after {context}");
        }
        let before = Cloud::at(&self.disk()).effects;
        match self.perform(step) {
            Ok(plan) => assert!(plan.is_noop(), "the second plan is not empty after {context}: {plan}"),
            Err(failed) => panic!("the second time {failed:?} after {context}"),
        }
        assert_eq!(Cloud::at(&self.disk()).effects, before, "the second apply touched something after {context}");
        let fleet = wanted(step);
        let names: Vec<String> = fleet.hosts.keys().map(ToString::to_string).collect();
        let machines = self.machines();
        assert_eq!(machines.keys().cloned().collect::<Vec<_>>(), names, "at the provider after {context}");
        let store = self.store();
        assert_eq!(store.names().unwrap(), names, "recorded after {context}");
        for (host, spec) in &fleet.hosts {
            let (there, record) = (&machines[host.as_str()], store.get(host).unwrap());
            assert_eq!(Some(there.size), spec.options["size"].as_i64(), "{host} after {context}");
            assert_eq!(Some(there.region.as_str()), spec.options["region"].as_str(), "{host} after {context}");
            assert_eq!(there.engine.as_ref().map(|e| &e.0), spec.engine.as_ref(), "{host} after {context}");
            let id = record.instance.map(|instance| instance.id);
            assert_eq!(id, Some(format!("i-{}", there.serial)), "{host} is another instance after {context}");
            assert_eq!(record.pending, BTreeMap::new(), "{host} after {context}");
            assert_eq!(record.hooks.pending, [], "hooks of {host} after {context}");
        }
        self.is_tidy(context);
    }

    /// That one destroy leaves nothing, but what was never recorded: neither at the provider nor in the store.
    #[track_caller]
    pub(crate) fn vanishes(&self, unknown: &[&str], context: &dyn std::fmt::Display) {
        let recorded = self.store().names().unwrap();
        let unknown: Vec<&str> = unknown.iter().copied().filter(|n| !recorded.iter().any(|r| r == n)).collect();
        // What no fleet owns yet no fleet destroys.
        let free: Vec<String> =
            recorded.into_iter().filter(|n| self.store().get(&name(n)).unwrap().fleet.is_none()).collect();
        if let Err(failed) = self.perform("destroy") {
            panic!("{failed:?} after {context}");
        }
        let left: Vec<String> = self.machines().into_keys().filter(|n| !unknown.contains(&n.as_str())).collect();
        assert_eq!(left, free, "at the provider after {context}");
        assert_eq!(self.store().names().unwrap(), free, "recorded after {context}");
        self.is_tidy(context);
    }
}

/// Why a step was not done.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The store could not be read or locked.
    Store(#[expect(dead_code, reason = "shown")] String),
    /// Steps of the plan failed.
    Steps(#[expect(dead_code, reason = "shown")] Vec<String>),
}

fn failed_store(error: &StoreError) -> Failed {
    Failed::Store(format!("{error}; help: {}", error.help().unwrap_or_default()))
}

async fn perform(world: &World, step: &str) -> Result<Plan, Failed> {
    let holder = Holder {
        who: "test".to_owned(),
        pid: std::process::id(),
        doing: Doing::fleet("apply", &fleet_name()),
        since: NOW,
    };
    let _lock = world.store.at_once().lock(&fleet_name(), &holder).map_err(|e| failed_store(&e))?;
    let snapshot = world.store.at_once().snapshot().map_err(|e| failed_store(&e))?;
    let plan = if step == "destroy" {
        Plan::destroy(&fleet_name(), &snapshot)
    } else {
        let snapshot = observe(world, snapshot, 4, |_| true, |_, _, _| {}).await;
        let inputs = Inputs { drivers: &world.drivers, provisioners: world.provisioners, now: NOW, prune: true };
        Plan::new(&wanted(step), &snapshot, &inputs)
    };
    let (events, _inbox) = unbounded_channel();
    let options = Options { parallel: 4, on_error: OnError::StopDependants, retries: 0 };
    let outcome: Outcome = apply(&plan, world, &options, &Interrupt::default(), &events).await;
    let failed: Vec<String> = outcome
        .iter()
        .filter_map(|(id, end)| match end {
            End::Done => None,
            End::Failed(e) => Some(format!("{id}: {e}; help: {}", e.help().unwrap_or_default())),
            other => Some(format!("{id}: {other:?}")),
        })
        .collect();
    if failed.is_empty() { Ok(plan) } else { Err(Failed::Steps(failed)) }
}

/// One step in a process of its own.
pub(crate) fn child(step: &str, root: &Path) -> ExitCode {
    match (Place { root: root.to_owned() }).perform(step) {
        Ok(_) => ExitCode::SUCCESS,
        Err(failed) => {
            let code = match failed {
                Failed::Store(_) => STORE,
                Failed::Steps(_) => STEP,
            };
            eprintln!("{failed:?}");
            ExitCode::from(code)
        }
    }
}
