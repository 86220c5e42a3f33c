//! Replacing certificates, in a world of fakes: whatever fails, an engine and its clients go on knowing each other.

use crate::plain::{AtOnce as _, Plain, now};
use crate::support::{self, FakeMachine, NOW, Shared};
use machine::{
    apply::{StepError, renew_certificate},
    clock::{FixedClock, Timestamp},
    engine::EngineSpec,
    name::MachineName,
    record::{EngineRecord, Instance, MachineRecord, OptionValues, Part, Pending, SshEndpoint, auth::AuthFiles},
    store::{Area, Mode, authority, copies, memory::MemoryStore},
    tls::inspect,
    world::{World, ask_engine},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

fn name(text: &str) -> MachineName {
    MachineName::new(text).unwrap()
}

/// Machines with engines, but without certificates.
async fn machines(names: &[&str]) -> (World, Shared, Plain<MemoryStore>) {
    let (world, cloud, store) = support::world();
    for (serial, text) in (1_u64..).zip(names) {
        let engine = EngineSpec::default();
        let machine = FakeMachine {
            size: 1,
            region: "a".to_owned(),
            serial,
            on: true,
            engine: Some((engine.clone(), true)),
            files: BTreeMap::new(),
        };
        cloud.lock().unwrap().machines.insert((*text).to_owned(), machine);
        let mut record = MachineRecord::new(name(text), None, "fake", OptionValues::new());
        let host = (*text).to_owned();
        record.instance = Some(Instance {
            id: format!("i-{serial}"),
            address: format!("10.9.0.{serial}"),
            ssh: Some(SshEndpoint { host, port: 22, user: "root".to_owned(), key: None, passphrase: None, jump: None }),
            url: None,
            host_keys: vec![format!("ssh-ed25519 {serial}")],
            jump_keys: Vec::new(),
        });
        record.engine = Some(EngineRecord {
            spec: engine,
            version: "28.2.2".to_owned(),
            provisioner: "fake".to_owned(),
            os: "Fake".to_owned(),
        });
        store.put(&record).unwrap();
        renew(&world, text).await.unwrap();
    }
    (world, cloud, store)
}

async fn renew(world: &World, machine: &str) -> Result<(), StepError> {
    renew_certificate(world, &name(machine), &|_| ()).await
}

fn at(world: &World, now: Timestamp) -> World {
    World { clock: Arc::new(FixedClock(now)), ..world.clone() }
}

fn file(store: &Plain<MemoryStore>, machine: &str, file: &str) -> String {
    String::from_utf8(store.read(Area::Machine(&name(machine)), file).unwrap().unwrap()).unwrap()
}

/// The engine of a machine lets in all who have what lies in the machine's folder.
#[track_caller]
fn answers(world: &World, machine: &str) -> impl Future<Output = bool> {
    let (world, record) = (world.clone(), world.store.at_once().get(&name(machine)).unwrap());
    async move { ask_engine(&world, &record, record.engine.as_ref().unwrap(), Duration::from_secs(1)).await.is_ok() }
}

/// A time when the store's authority is about to end.
fn late(store: &Plain<MemoryStore>) -> Timestamp {
    let ca = store.read(Area::Certs, "ca.pem").unwrap().unwrap();
    inspect(&String::from_utf8(ca).unwrap()).unwrap().not_after.plus_days(-10)
}

#[tokio::test]
async fn an_engine_gets_a_new_certificate_for_its_names_and_those_of_its_config() {
    let (world, cloud, store) = machines(&["a"]).await;
    let config = br#"{"ConfigVersion": 3, "DriverName": "generic", "HostOptions": {"AuthOptions": {"ServerCertSANs": ["x.example"]}}}"#;
    store.write(Area::Machine(&name("a")), "config.json", config, Mode::Private).unwrap();
    let before = (file(&store, "a", "server.pem"), file(&store, "a", "cert.pem"), file(&store, "a", "ca.pem"));
    renew(&world, "a").await.unwrap();
    let server = file(&store, "a", "server.pem");
    assert_ne!(server, before.0);
    assert_eq!((file(&store, "a", "cert.pem"), file(&store, "a", "ca.pem")), (before.1, before.2));
    let names: Vec<String> = inspect(&server).unwrap().names.into_iter().collect();
    assert_eq!(names, ["10.9.0.1", "127.0.0.1", "a", "localhost", "x.example"]);
    assert_eq!(cloud.lock().unwrap().machines["a"].files["server.pem"], server);
    let record = store.get(&name("a")).unwrap();
    assert_eq!(record.certificate.unwrap().sha256, inspect(&server).unwrap().sha256);
    assert!(record.pending.is_empty());
}

/// Until the host has the new files, those that its engine knows are the ones clients are pointed to.
#[tokio::test]
async fn a_failure_leaves_a_valid_identity_and_the_next_run_mends_it() {
    for before in [true, false] {
        let (world, cloud, store) = machines(&["a"]).await;
        let world = at(&world, late(&store));
        let old = file(&store, "a", "ca.pem");
        {
            let mut cloud = cloud.lock().unwrap();
            (cloud.fuse, cloud.before) = (Some(0), before);
        }
        renew(&world, "a").await.unwrap_err();
        assert_eq!(file(&store, "a", "ca.pem"), old, "the host may still have the old ones");
        if before {
            assert!(answers(&world, "a").await);
        }
        assert_eq!(store.get(&name("a")).unwrap().pending.get(&Part::Certificate), Some(&Pending::Upgrade));
        renew(&world, "a").await.unwrap();
        assert!(answers(&world, "a").await);
        assert_ne!(file(&store, "a", "ca.pem"), old);
    }
}

/// Pain 17: a new authority is one engine's matter until each of the others has its certificate.
#[tokio::test]
async fn machines_keep_the_old_identity_until_their_engines_know_the_new_authority() {
    let (world, _, store) = machines(&["a", "b", "c"]).await;
    let world = at(&world, late(&store));
    let old = file(&store, "b", "ca.pem");
    // What has no copies of its own has the originals, which are about to be replaced.
    store.write_together(Area::Machine(&name("c")), &[("ca.pem", old.as_bytes(), Mode::Public)]).unwrap();
    renew(&world, "a").await.unwrap();
    let files = AuthFiles::of_store(&store.root());
    assert_eq!(now(copies::outdated(&store, &files)).unwrap(), [name("b"), name("c")]);
    for machine in ["a", "b", "c"] {
        assert!(answers(&world, machine).await, "{machine}");
    }
    let (identity, deeds) = now(authority::renew_client(&store, &files, &*world.clock)).unwrap();
    let told: Vec<String> = deeds.iter().map(ToString::to_string).collect();
    assert_eq!(told, [format!("Creating client certificate: {}", files.client_cert.display())]);
    now(copies::renew(&store, &files, &identity, NOW)).unwrap();
    assert_eq!(file(&store, "a", "key.pem"), identity.key);
    assert_ne!(file(&store, "b", "key.pem"), identity.key, "its engine knows the old authority alone");
    for machine in ["b", "c"] {
        renew(&world, machine).await.unwrap();
        assert_eq!(file(&store, machine, "key.pem"), identity.key);
    }
    assert_eq!(now(copies::outdated(&store, &files)).unwrap(), []);
}

/// What is asked for is made, though nothing had ended (docker-machine leaves all as it is).
#[tokio::test]
async fn a_new_client_certificate_is_really_new() {
    let (world, _, store) = machines(&["a", "b"]).await;
    let files = AuthFiles::of_store(&store.root());
    let before = (file(&store, "a", "ca.pem"), file(&store, "a", "cert.pem"));
    let (identity, _) = now(authority::renew_client(&store, &files, &FixedClock(NOW))).unwrap();
    now(copies::renew(&store, &files, &identity, NOW)).unwrap();
    for machine in ["a", "b"] {
        assert_eq!(file(&store, machine, "ca.pem"), before.0);
        assert_ne!(file(&store, machine, "cert.pem"), before.1);
        assert_eq!(file(&store, machine, "cert.pem"), identity.cert);
        assert!(answers(&world, machine).await);
    }
}

#[tokio::test]
async fn a_machine_that_is_off_is_left_as_it_is() {
    let (world, cloud, store) = machines(&["a"]).await;
    let old = file(&store, "a", "server.pem");
    cloud.lock().unwrap().machines.get_mut("a").unwrap().on = false;
    let error = renew(&world, "a").await.unwrap_err();
    assert!(matches!(error, StepError::Transport(_)), "{error}");
    assert_eq!(file(&store, "a", "server.pem"), old);
}
