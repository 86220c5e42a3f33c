//! Whatever is wrong with the files of TLS on this computer, and whatever its clock said before: one `apply` puts it
//! right, or it is refused with a command that does.

use crate::plain::{self, Plain};
use crate::{
    properties::properties,
    support::{self, NOW, Shared},
};
use machine::{
    apply::{End, Interrupt, Options, apply, renew_certificate},
    clock::{FixedClock, Timestamp},
    engine::EngineSpec,
    fleet::{Fleet, HostSpec, OnError, Policy},
    hook::Hooks,
    name::{FleetName, MachineName},
    observe::observe,
    plan::{Inputs, Plan, Reason},
    record::{Snapshot, auth::AuthFiles},
    store::{Area, Mode, authority, copies, local::Locals, memory::MemoryStore},
    tls::{self, Purpose, Role},
    world::{World, ask_engine},
};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::sync::mpsc::unbounded_channel;

const YEARS: i64 = 4 * 365;

fn name(text: &str) -> MachineName {
    MachineName::new(text).unwrap()
}

/// Two hosts with engines.
fn fleet() -> Fleet {
    let spec = HostSpec {
        driver: "fake".to_owned(),
        options: [("size".to_owned(), 1.into()), ("region".to_owned(), "a".into()), ("note".to_owned(), "x".into())]
            .into(),
        engine: Some(EngineSpec { port: 2376, ..EngineSpec::default() }),
        tls_names: BTreeSet::new(),
        depends_on: BTreeSet::new(),
        protect: false,
        optional: false,
        hooks: Hooks::default(),
    };
    Fleet {
        name: FleetName::new("test").unwrap(),
        hosts: ["a", "b"].map(|host| (name(host), spec.clone())).into(),
        policy: Policy::default(),
    }
}

struct Stage {
    world: World,
    cloud: Shared,
    store: Plain<MemoryStore>,
}

impl Stage {
    /// Two hosts that were made when it was `made`.
    async fn new(made: Timestamp) -> Self {
        let (world, cloud, store) = support::world();
        let stage = Self { world, cloud, store }.at(made);
        stage.applied().await;
        stage.is_well().await;
        stage
    }

    fn at(self, now: Timestamp) -> Self {
        Self { world: World { clock: Arc::new(FixedClock(now)), ..self.world }, ..self }
    }

    fn now(&self) -> Timestamp {
        self.world.clock.now()
    }

    fn planned(&self, snapshot: &Snapshot) -> Plan {
        let World { drivers, provisioners, .. } = &self.world;
        Plan::new(&fleet(), snapshot, &Inputs { drivers, provisioners, now: self.now(), prune: false })
    }

    async fn plan(&self) -> Plan {
        let snapshot = self.store.snapshot().unwrap();
        self.planned(&observe(&self.world, snapshot, 4, |_| true, |_, _, _| {}).await)
    }

    /// Applies once; the plan, and whether all of it was done.
    async fn applied(&self) -> (Plan, bool) {
        let plan = self.plan().await;
        let (events, _inbox) = unbounded_channel();
        let options = Options { parallel: 2, on_error: OnError::StopDependants, retries: 0 };
        let outcome = apply(&plan, &self.world, &options, &Interrupt::default(), &events).await;
        for (id, end) in &outcome {
            let refused = plan.blocked().is_some();
            assert!(matches!(end, End::Done) || refused, "{id}: {end:?}\n{plan}");
        }
        let done = outcome.values().all(|end| matches!(end, End::Done));
        (plan, done)
    }

    fn read(&self, area: Area<'_>, file: &str) -> Option<Vec<u8>> {
        self.store.read(area, file).unwrap()
    }

    /// What was damaged and is kept, of any machine or the authority.
    fn kept(&self, area: Area<'_>, file: &str) -> Vec<Vec<u8>> {
        let day = self.now().to_string()[..10].to_owned();
        let names =
            (1..9).map(|n| format!("{file}.damaged-{day}{}", if n == 1 { String::new() } else { format!(".{n}") }));
        names.filter_map(|name| self.read(area, &name)).collect()
    }

    /// Nothing is left to do, and all sides know each other by what is valid now, as strict clients and servers see it:
    /// Go looks at the dates of an authority, too.
    async fn is_well(&self) {
        let plan = self.plan().await;
        assert!(plan.is_noop(), "the second plan is not empty: {plan}");
        let locals = Locals::new(self.store.store.clone(), self.now());
        for host in ["a", "b"].map(name) {
            let record = self.store.get(&host).unwrap();
            let flaws = locals.of(&record).await.flawed;
            assert!(flaws.iter().all(|flawed| flawed.role == Role::AuthorityKey), "{flaws:?}");
            ask_engine(&self.world, &record, record.engine.as_ref().unwrap(), Duration::from_secs(1)).await.unwrap();
            let on_host = self.cloud.lock().unwrap().machines[host.as_str()].files.clone();
            let own = |file| String::from_utf8(self.read(Area::Machine(&host), file).unwrap()).unwrap();
            assert_eq!(own("ca.pem"), on_host["ca.pem"]);
            let ca = tls::inspect(&on_host["ca.pem"]).unwrap();
            let client = tls::check_pair(&own("cert.pem"), &own("key.pem")).unwrap();
            let server = tls::check_pair(&on_host["server.pem"], &on_host["server-key.pem"]).unwrap();
            assert!(ca.not_before <= self.now() && ca.not_after > self.now(), "{host}: the authority");
            for (leaf, purpose) in [(&client, Purpose::Client), (&server, Purpose::Server)] {
                assert!(leaf.signed_by(&ca).unwrap() && leaf.valid_for(purpose, self.now(), 0), "{host}: {purpose:?}");
            }
        }
    }

    /// What `regenerate-certs --new-authority` of both machines does.
    async fn new_authority(&self) {
        let files = AuthFiles::of_store(&self.store.root());
        let (identity, _) = plain::now(authority::renew_authority(&self.store, &files, &*self.world.clock)).unwrap();
        plain::now(copies::renew(&self.store, &files, &identity, self.now())).unwrap();
        for host in ["a", "b"].map(name) {
            renew_certificate(&self.world, &host, &|_| ()).await.unwrap();
        }
    }
}

fn run(test: impl Future<Output = ()>) {
    // Time is paused: waiting for an engine costs nothing.
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(test);
}

#[test]
fn a_clock_that_was_wrong_by_years_ends_in_one_apply() {
    for made in [-YEARS, 0, YEARS] {
        for now in [-YEARS, 0, YEARS] {
            run(async {
                let stage = Stage::new(NOW.plus_days(made)).await.at(NOW.plus_days(now));
                let (plan, _) = stage.applied().await;
                assert_eq!(plan.is_noop(), made == now, "{made} → {now}: {plan}");
                stage.is_well().await;
                // And again, once the clock is right.
                let stage = stage.at(NOW);
                stage.applied().await;
                stage.is_well().await;
            });
        }
    }
}

/// C18 c: an authority of the future is planned, and its engines are given it again.
#[test]
fn what_is_of_the_future_is_shown() {
    run(async {
        let stage = Stage::new(NOW.plus_days(YEARS)).await.at(NOW);
        let plan = stage.plan().await.to_string();
        let from = NOW.plus_days(YEARS).plus(-tls::SKEW);
        for file in ["certs/ca.pem", "certs/cert.pem", "machines/a/cert.pem", "machines/b/server.pem"] {
            let want = format!("{file} in the store: not valid before {from}; is the clock of this computer right?");
            assert!(plan.contains(&want), "no `{want}` in\n{plan}");
        }
        // By the records alone nothing is known of files: where only those came along, as to a CI, nothing is missed.
        let known = stage.store.snapshot().unwrap();
        assert!(!stage.planned(&known).to_string().contains("in the store"));
    });
}

/// `regenerate-certs` alone repairs the authority first, and reports nothing that is not so.
#[test]
fn regenerated_certificates_are_of_an_authority_of_now() {
    run(async {
        let stage = Stage::new(NOW.plus_days(YEARS)).await.at(NOW);
        for host in ["a", "b"] {
            renew_certificate(&stage.world, &name(host), &|_| ()).await.unwrap();
        }
        stage.is_well().await;
    });
}

/// Files of the authority and of machine `a`.
const FILES: [(bool, &str); 9] = [
    (false, "ca.pem"),
    (false, "ca-key.pem"),
    (false, "cert.pem"),
    (false, "key.pem"),
    (true, "ca.pem"),
    (true, "cert.pem"),
    (true, "key.pem"),
    (true, "server.pem"),
    (true, "server-key.pem"),
];

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Damage {
    None,
    Empty,
    Truncated,
    Binary,
    OfAnother,
}

const DAMAGES: [Damage; 5] = [Damage::None, Damage::Empty, Damage::Truncated, Damage::Binary, Damage::OfAnother];

fn damaged(damage: Damage, content: &[u8], other: &[u8]) -> Vec<u8> {
    match damage {
        Damage::None => content.to_vec(),
        Damage::Empty => Vec::new(),
        Damage::Truncated => content[..content.len() / 2].to_vec(),
        Damage::Binary => (0..=255).cycle().take(700).collect(),
        Damage::OfAnother => other.to_vec(),
    }
}

/// Damages files of a sound store, and holds that one run ends well or is refused with what ends well.
async fn one_run_does(damages: [Damage; 9]) {
    let other = Stage::new(NOW).await;
    let stage = Stage::new(NOW).await;
    let machine = name("a");
    let area = |own| if own { Area::Machine(&machine) } else { Area::Certs };
    let mut lost = BTreeMap::new();
    for ((own, file), damage) in FILES.into_iter().zip(damages) {
        let (content, foreign) = (stage.read(area(own), file).unwrap(), other.read(area(own), file).unwrap());
        let bytes = damaged(damage, &content, &foreign);
        stage.store.write(area(own), file, &bytes, Mode::Private).unwrap();
        if matches!(damage, Damage::Truncated | Damage::Binary) {
            lost.insert((own, file), bytes);
        }
    }
    let (plan, done) = stage.applied().await;
    if !done {
        let why = plan.blocked().unwrap_or_else(|| panic!("it fails without being refused: {plan}")).to_owned();
        assert!(why.contains("machine regenerate-certs --new-authority"), "{why}");
        stage.new_authority().await;
        let (again, _) = stage.applied().await;
        assert_eq!(again.blocked(), None, "the command that was named does not help: {again}");
    }
    stage.is_well().await;
    for ((own, file), bytes) in lost {
        let still = stage.read(area(own), file).as_ref() == Some(&bytes);
        assert!(still || stage.kept(area(own), file).contains(&bytes), "{file} is lost: {damages:?}");
    }
}

#[test]
fn each_damage_of_each_file_is_mended_by_one_apply() {
    for n in 0..FILES.len() {
        for damage in DAMAGES {
            let mut damages = [Damage::None; 9];
            damages[n] = damage;
            run(one_run_does(damages));
        }
    }
}

/// C18 a: a damaged file of a machine costs its engine nothing.
#[test]
fn copies_are_put_back_without_a_new_certificate() {
    run(async {
        let stage = Stage::new(NOW).await;
        let before = stage.cloud.lock().unwrap().machines["a"].files.clone();
        for file in ["ca.pem", "cert.pem", "key.pem"] {
            let whole = stage.read(Area::Machine(&name("a")), file);
            stage.store.write(Area::Machine(&name("a")), file, b"damaged", Mode::Private).unwrap();
            let (plan, _) = stage.applied().await;
            let shown =
                plan.changes().flat_map(|(_, step)| &step.reasons).any(|reason| matches!(reason, Reason::Local(_)));
            assert!(shown && plan.changes().count() == 1, "{plan}");
            assert_eq!(stage.read(Area::Machine(&name("a")), file), whole);
            assert_eq!(stage.cloud.lock().unwrap().machines["a"].files, before);
            stage.is_well().await;
        }
    });
}

proptest! {
    #![proptest_config(properties(60))]
    #[test]
    fn all_damages_together_are_mended_by_one_apply(picked in proptest::array::uniform9(0..DAMAGES.len())) {
        run(one_run_does(picked.map(|n| DAMAGES[n])));
    }
}
