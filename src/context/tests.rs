use super::{
    sync::{Steps, remove, steps, sync},
    *,
};
use crate::{
    clock::{Clock, SystemClock},
    docker::client::HttpDocker,
    driver::Drivers,
    provisioner::PROVISIONERS,
    record::{Instance, OptionValues},
    store::{
        Mode,
        memory::MemoryStore,
        plain::{self, Plain, now},
    },
    transport::{pool::Pool, ssh::SshConnect},
    world::World,
};
use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _, sync::Arc};

const OURS: &str = "0001";

fn context(name: &str, machine: Option<&str>, host: &str) -> Context {
    let mark = machine.map(|machine| Mark { store: OURS.to_owned(), machine: machine.to_owned(), all: true });
    Context { name: name.to_owned(), host: host.to_owned(), identity: None, mark }
}

fn compared(wanted: &[Context], found: &[Context], gone: &[&str]) -> Steps {
    steps(OURS, wanted.to_vec(), found, &|machine| gone.contains(&machine))
}

#[test]
fn a_context_is_called_and_written_as_docker_has_it() {
    // As `printf web-1 | sha256sum` says.
    assert_eq!(folder("web-1"), "c4719afa76fa448b5eca99e6736885846501d17956f2fcb2de5c916d723f3a87");
    let web = context("web-1", Some("web-1"), "tcp://192.0.2.1:2376");
    assert_eq!(
        web.meta(),
        r#"{"Name":"web-1","Metadata":{"Description":"machine web-1","machine":{"store":"0001","name":"web-1","all":true}},"Endpoints":{"docker":{"Host":"tcp://192.0.2.1:2376","SkipTLSVerify":false}}}"#
    );
    assert_eq!(Context::from_meta(&web.meta(), None), Some(web));
    let theirs = r#"{"Name":"x1","Metadata":{},"Endpoints":{"docker":{"Host":"unix:///x","SkipTLSVerify":false}}}"#;
    assert_eq!(Context::from_meta(theirs, None).unwrap().mark, None);
    assert_eq!(Context::from_meta("{}", None), None);
    for (name, good) in [("web-1", true), ("w", false), ("default", false), ("my-default", true), ("-x", false)] {
        assert_eq!(is_name(name), good, "{name}");
    }
}

#[test]
fn what_is_as_it_should_be_is_left_alone_and_what_is_not_is_mended() {
    let (a, b) = (context("aa", Some("aa"), "tcp://a"), context("bb", Some("bb"), "tcp://b"));
    let same = compared(std::slice::from_ref(&a), std::slice::from_ref(&a), &[]);
    assert_eq!((same.put.len(), same.report.kept, same.report.changes.len()), (0, 1, 0));
    let moved = context("aa", Some("aa"), "tcp://elsewhere");
    let done = compared(&[moved.clone(), b.clone()], &[a.clone(), context("cc", Some("cc"), "x")], &["cc"]);
    assert_eq!(done.put, [moved, b]);
    let changes = ["aa", "bb", "cc"].map(str::to_owned);
    let [aa, bb, cc] = changes;
    assert_eq!(done.report.changes, [Change::Update(aa), Change::Create(bb), Change::Remove(cc)]);
    let renamed = compared(&[context("x-aa", Some("aa"), "tcp://a")], &[a], &[]);
    assert_eq!(renamed.remove, ["aa"]);
}

#[test]
fn contexts_of_others_are_never_touched() {
    let mut other_store = context("bb", Some("bb"), "tcp://b");
    other_store.mark.as_mut().unwrap().store = "other".to_owned();
    let found = [context("aa", None, "tcp://theirs"), other_store];
    let wanted =
        [context("aa", Some("aa"), "x"), context("bb", Some("bb"), "x"), context("default", Some("default"), "x")];
    let done = compared(&wanted, &found, &["aa", "bb"]);
    assert_eq!((done.put.len(), done.remove.len(), done.report.kept), (0, 0, 0));
    let why: Vec<&str> = done.report.refused.values().map(String::as_str).collect();
    assert!(
        why[0].contains("not of this program") && why[1].contains("another store") && why[2].contains("allows no"),
        "{why:?}"
    );
}

fn world() -> (World, Plain<MemoryStore>) {
    let store = plain::memory();
    let world = World {
        drivers: Drivers::built_in(),
        provisioners: PROVISIONERS,
        connect: Arc::new(Pool::new(Arc::new(SshConnect::from_env()))),
        docker: Arc::new(HttpDocker),
        store: store.store.clone(),
        clock: Arc::new(SystemClock) as Arc<dyn Clock>,
        local: Arc::new(crate::local::Here { dir: std::path::PathBuf::new() }),
        secrets: Arc::new(crate::secret::NoSecrets),
    };
    (world, store)
}

fn put(store: &Plain<MemoryStore>, name: &str, url: &str) -> MachineName {
    let name = MachineName::new(name).unwrap();
    let mut record = MachineRecord::new(name.clone(), None, "none", OptionValues::new());
    record.instance = Some(Instance {
        id: url.to_owned(),
        address: String::new(),
        ssh: None,
        url: Some(url.to_owned()),
        host_keys: Vec::new(),
        jump_keys: Vec::new(),
    });
    store.put(&record).unwrap();
    name
}

fn names(shelf: &Shelf) -> Vec<String> {
    shelf.all().unwrap().into_iter().map(|context| context.name).collect()
}

#[test]
fn contexts_follow_their_machines() {
    let dir = tempfile::tempdir().unwrap();
    let shelf = Shelf::at(dir.path().join("docker"));
    let (world, store) = world();
    let web = put(&store, "web", "tcp://192.0.2.1:2376");
    for (file, text) in [("ca.pem", "CA"), ("cert.pem", "CERT"), ("key.pem", "KEY")] {
        store.write(Area::Machine(&web), file, text.as_bytes(), Mode::Private).unwrap();
    }
    put(&store, "plain", "http://192.0.2.2:2375");
    let done = now(sync(&world, &shelf, &Scope::All, Some("m-"))).unwrap();
    assert_eq!((done.kept, names(&shelf)), (2, vec!["m-plain".to_owned(), "m-web".to_owned()]));
    let again = now(sync(&world, &shelf, &Scope::All, None)).unwrap();
    assert_eq!(again.changes, []);
    let tls = dir.path().join("docker/contexts/tls").join(folder("m-web")).join("docker");
    assert_eq!(fs::read_to_string(tls.join("key.pem")).unwrap(), "KEY");
    assert_eq!(fs::metadata(tls.join("key.pem")).unwrap().permissions().mode() & 0o777, 0o600);

    // A new machine, one that moved, one that went; and the current context is left to the user.
    shelf.set_current(Some("m-plain")).unwrap();
    put(&store, "db", "tcp://192.0.2.3:2376");
    put(&store, "web", "tcp://192.0.2.9:2376");
    store.remove(&MachineName::new("plain").unwrap()).unwrap();
    let done = now(sync(&world, &shelf, &Scope::Used, None)).unwrap();
    let [create, update, gone] = ["m-db", "m-web", "m-plain"].map(str::to_owned);
    assert_eq!(done.changes, [Change::Create(create), Change::Update(update), Change::Remove(gone.clone())]);
    assert_eq!((done.current_removed, shelf.current().unwrap()), (Some(gone.clone()), Some(gone)));

    let (done, missing) = now(remove(&world, &shelf, &BTreeSet::from(["db".to_owned(), "zz".to_owned()]))).unwrap();
    assert_eq!((done.changes.len(), missing), (1, vec!["zz".to_owned()]));
    put(&store, "late", "tcp://192.0.2.4:2376");
    now(sync(&world, &shelf, &Scope::Used, None)).unwrap();
    assert_eq!(names(&shelf), ["m-web"], "who removed some keeps only the rest");
}

#[test]
fn dockers_own_configuration_survives() {
    let dir = tempfile::tempdir().unwrap();
    let shelf = Shelf::at(dir.path().to_owned());
    let file = dir.path().join("config.json");
    let theirs = "{\n\t\"zebra\": 1,\n\t\"auths\": {\n\t\t\"r\": {}\n\t},\n\t\"apple\": [\n\t\t1\n\t]\n}";
    #[expect(clippy::disallowed_methods, reason = "a fixture needs no durability")]
    fs::write(&file, theirs).unwrap();
    shelf.set_current(None).unwrap();
    shelf.set_current(Some("web-1")).unwrap();
    assert_eq!(shelf.current().unwrap().as_deref(), Some("web-1"));
    shelf.set_current(None).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), theirs);
    #[expect(clippy::disallowed_methods, reason = "a fixture needs no durability")]
    fs::write(&file, "not json").unwrap();
    assert!(shelf.set_current(Some("x")).is_err());
    assert_eq!(fs::read_to_string(&file).unwrap(), "not json");
}
