use super::*;
use crate::properties::properties;
use crate::{
    engine::EngineSpec,
    record::{
        EngineRecord, Instance, OptionValues, Part, Pending, SshEndpoint, Uid, any_record::record as any_record,
        docker_machine::ConfigFile,
    },
    store::{Mode, folder::disk::Effect},
};
use proptest::prelude::*;
use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use tempfile::TempDir;

fn name(text: &str) -> MachineName {
    MachineName::new(text).unwrap()
}

/// In memory where the system has such a place: fsync costs nothing there.
fn temp() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn store() -> (TempDir, FolderStore) {
    let dir = temp();
    let store = FolderStore::new(dir.path().join("store"), crate::driver::Drivers::built_in()).unwrap();
    (dir, store)
}

/// A machine with everything; the address is in both of its files.
fn machine(text: &str, address: &str) -> MachineRecord {
    let mut record = MachineRecord::new(name(text), None, "nspawn", OptionValues::new());
    record.instance = Some(Instance {
        id: text.to_owned(),
        address: address.to_owned(),
        ssh: Some(SshEndpoint {
            host: address.to_owned(),
            port: 22,
            user: "root".to_owned(),
            key: Some("/k".to_owned()),
            passphrase: None,
            jump: None,
        }),
        url: None,
        host_keys: vec!["ssh-ed25519 AAAA".to_owned()],
        jump_keys: Vec::new(),
    });
    record.engine = Some(EngineRecord {
        spec: EngineSpec { port: 2376, ..EngineSpec::default() },
        version: "28.2.2".to_owned(),
        provisioner: "debian".to_owned(),
        os: "Debian".to_owned(),
    });
    record
}

#[expect(clippy::disallowed_methods, reason = "tests play the part of docker-machine, which is not careful")]
fn scribble(store: &FolderStore, machine: &str, file: &str, text: &str) {
    let dir = store.machines().join(machine);
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join(file), text).unwrap();
}

fn slurp(store: &FolderStore, machine: &str, file: &str) -> String {
    fs::read_to_string(store.machines().join(machine).join(file)).unwrap()
}

/// Every file and folder below, with its mode.
fn tree(root: &Path) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).unwrap().map(Result::unwrap) {
            let meta = fs::symlink_metadata(entry.path()).unwrap();
            if meta.is_dir() {
                todo.push(entry.path());
            }
            let path = entry.path().strip_prefix(root).unwrap().to_string_lossy().into_owned();
            found.insert(path, meta.permissions().mode() & 0o777);
        }
    }
    found
}

proptest! {
    #![proptest_config(properties(48))]
    /// The law: what is put is got, whatever was there before.
    #[test]
    fn a_record_is_kept(mut before in any_record(), record in any_record()) {
        let (_dir, store) = store();
        before.name = record.name.clone();
        for record in [&before, &record] {
            store.put(record).unwrap();
            prop_assert_eq!(&store.get(&record.name).unwrap(), record);
        }
        store.remove(&record.name).unwrap();
        prop_assert!(matches!(store.get(&record.name), Err(StoreError::Absent(_))));
    }
}

#[test]
fn a_store_that_is_not_there_is_empty_and_reading_makes_nothing() {
    let (dir, store) = store();
    assert_eq!(store.snapshot().unwrap(), Snapshot::default());
    assert_eq!(store.names().unwrap(), Vec::<String>::new());
    assert!(matches!(store.get(&name("a")), Err(StoreError::Absent(_))));
    assert_eq!(store.read(Area::Certs, "ca.pem").unwrap(), None);
    store.remove(&name("a")).unwrap();
    assert!(tree(dir.path()).is_empty());
}

#[test]
fn folders_and_records_are_private_from_the_first_byte() {
    let dir = temp();
    let seen = Arc::new(AtomicUsize::new(0));
    let (root, count) = (dir.path().to_owned(), seen.clone());
    let hook = move |effect: Effect, path: &Path| {
        if effect == Effect::Write {
            count.fetch_add(1, Ordering::Relaxed);
            for (path, mode) in tree(&root) {
                let allowed = if path.contains("server.pem") { 0o644 } else { 0o600 };
                assert!(mode == 0o700 || mode & !allowed == 0, "{path} is {mode:o}");
            }
            assert!(!path.exists() || path.ends_with(RECORD), "nothing is written in place");
        }
        Ok(())
    };
    let store = FolderStore::with_disk(
        &dir.path().join("s"),
        Disk::with_hook(Arc::new(hook)),
        crate::driver::Drivers::built_in(),
    )
    .unwrap();
    store.put(&machine("web-1", "10.0.0.1")).unwrap();
    store.write_one(Area::Certs, "ca-key.pem", b"key", Mode::Private).unwrap();
    store.write_one(Area::Machine(&name("web-1")), "server.pem", b"cert", Mode::Public).unwrap();
    store.id().unwrap();
    assert!(seen.load(Ordering::Relaxed) >= 5);
    let tree = tree(&dir.path().join("s"));
    for (path, want) in [
        ("machines", 0o700),
        ("machines/web-1", 0o700),
        ("machines/web-1/record.json", 0o600),
        ("machines/web-1/record.kdl", 0o600),
        ("machines/web-1/config.json", 0o600),
        ("certs", 0o700),
        ("certs/ca-key.pem", 0o600),
        ("machine-id", 0o600),
    ] {
        assert_eq!(tree[path], want, "{path}");
    }
}

/// What a process does to a store in the test of failures.
fn history(store: &FolderStore) -> Vec<Result<(), StoreError>> {
    let mut renewed = machine("a", "10.0.0.2");
    renewed.pending.insert(Part::Engine, Pending::Upgrade);
    vec![
        store.put(&renewed),
        store.remove(&name("b")),
        store.put(&machine("c", "10.0.0.4")),
        store.write_one(Area::Certs, "ca.pem", b"new authority", Mode::Public),
        store.id().map(drop),
    ]
}

/// pain 9: with ENOSPC, EIO or a crash at every write, fsync and rename, each record is old or new, and loads.
#[test]
fn a_failure_or_crash_anywhere_leaves_each_record_old_or_new() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Fault {
        Once(io::ErrorKind),
        Crash,
    }
    let mut points = 0;
    for fault in [Fault::Once(io::ErrorKind::StorageFull), Fault::Once(io::ErrorKind::Other), Fault::Crash] {
        for at in 0.. {
            let dir = temp();
            let sound = FolderStore::new(dir.path(), crate::driver::Drivers::built_in()).unwrap();
            for (machine_name, address) in [("a", "10.0.0.1"), ("b", "10.0.0.3"), ("z", "10.0.0.9")] {
                sound.put(&machine(machine_name, address)).unwrap();
            }
            sound.write_one(Area::Certs, "ca.pem", b"old authority", Mode::Public).unwrap();

            let done = Arc::new(AtomicUsize::new(0));
            let count = done.clone();
            let hook = move |_: Effect, path: &Path| {
                let n = count.fetch_add(1, Ordering::Relaxed);
                // That a temporary file cannot be deleted does no harm.
                let temporary = path.extension().is_some_and(|ending| ending == "tmp");
                match fault {
                    Fault::Once(kind) if n == at && !temporary => Err(kind.into()),
                    Fault::Crash if n >= at => Err(io::ErrorKind::BrokenPipe.into()),
                    Fault::Once(_) | Fault::Crash => Ok(()),
                }
            };
            let faulty =
                FolderStore::with_disk(dir.path(), Disk::with_hook(Arc::new(hook)), crate::driver::Drivers::built_in())
                    .unwrap();
            let results = history(&faulty);
            let failed = results.iter().filter(|r| r.is_err()).count();
            if done.load(Ordering::Relaxed) <= at {
                assert_eq!(failed, 0);
                break;
            }
            points += 1;
            let context = format!("{fault:?} at {at}: {results:?}");

            // The next process finds old or new, and whatever was reported as done is done.
            let snapshot = sound.snapshot().unwrap();
            assert_eq!(snapshot.broken, BTreeMap::new(), "{context}");
            let address = |machine: &str| {
                let known = snapshot.machines.get(machine)?;
                let instance = known.record.instance.as_ref().unwrap();
                assert_eq!(instance.address, instance.ssh.as_ref().unwrap().host, "{context}");
                Some(instance.address.as_str())
            };
            let old_or_new = |found: Option<&str>, old: Option<&str>, new: Option<&str>, result: usize| {
                assert!(found == new || (results[result].is_err() && found == old), "{found:?}, {context}");
            };
            old_or_new(address("a"), Some("10.0.0.1"), Some("10.0.0.2"), 0);
            // Old or new as a whole, not a mixture of its two files.
            let pending = !snapshot.machines["a"].record.pending.is_empty();
            assert_eq!(pending, address("a") == Some("10.0.0.2"), "{context}");
            old_or_new(address("b"), Some("10.0.0.3"), None, 1);
            old_or_new(address("c"), None, Some("10.0.0.4"), 2);
            assert_eq!(address("z"), Some("10.0.0.9"), "{context}");
            let ca = sound.read(Area::Certs, "ca.pem").unwrap().unwrap();
            assert!(ca == b"new authority" || ca == b"old authority" && results[3].is_err(), "{context}");
            for known in snapshot.machines.values() {
                let config = slurp(&sound, known.record.name.as_str(), CONFIG);
                ConfigFile::parse(&config, sound.place(&known.record.name)).unwrap();
            }
            // And can do it all again.
            assert!(history(&sound).iter().all(Result::is_ok), "{context}");
            assert_eq!(sound.names().unwrap(), ["a", "c", "z"]);
            assert_eq!(sound.get(&name("a")).unwrap().pending.len(), 1);
            let left: Vec<String> = tree(dir.path()).into_keys().filter(|p| p.contains(".tmp")).collect();
            assert!(left.is_empty() || fault == Fault::Crash, "{left:?} {context}");
            assert!(!tree(dir.path()).keys().any(|p| p.contains(".removed")), "{context}");
        }
    }
    assert!(points > 60, "{points}");
}

#[test]
fn content_is_on_the_disk_before_it_has_a_name_and_the_name_before_success() {
    let dir = temp();
    let trace = Arc::new(Mutex::new(Vec::new()));
    let log = trace.clone();
    let hook = move |effect: Effect, _: &Path| {
        log.lock().unwrap().push(effect);
        Ok(())
    };
    let store = FolderStore::with_disk(dir.path(), Disk::with_hook(Arc::new(hook)), crate::driver::Drivers::built_in())
        .unwrap();
    store.put(&machine("a", "10.0.0.1")).unwrap();
    trace.lock().unwrap().clear();
    store.write_one(Area::Machine(&name("a")), "x", b"x", Mode::Private).unwrap();
    assert_eq!(*trace.lock().unwrap(), [Effect::Create, Effect::Write, Effect::Sync, Effect::Rename, Effect::SyncDir]);
    trace.lock().unwrap().clear();
    store.put(&machine("a", "10.0.0.1")).unwrap();
    assert_eq!(*trace.lock().unwrap(), [], "what is as it should be is not written");
}

#[test]
fn what_docker_machine_changes_is_noticed_and_what_it_keeps_survives() {
    let (_dir, store) = store();
    let ours = machine("web-1", "10.0.0.1");
    store.put(&ours).unwrap();
    let first = slurp(&store, "web-1", CONFIG);
    let record_text = slurp(&store, "web-1", RECORD);
    let theirs = first
        .replace("10.0.0.1", "10.0.0.2")
        .replace("\"EnginePort\"", "\"Extra\": [1, null],\n        \"EnginePort\"");
    scribble(&store, "web-1", CONFIG, &theirs);
    let read = store.get(&ours.name).unwrap();
    assert_eq!(read.instance.as_ref().unwrap().address, "10.0.0.2");
    assert_eq!(read.instance.as_ref().unwrap().ssh.as_ref().unwrap().host, "10.0.0.2");
    assert_eq!(read.driver, "nspawn");
    assert_eq!(slurp(&store, "web-1", RECORD), record_text, "reading never writes");

    store.put(&machine("web-1", "10.0.0.3")).unwrap();
    assert!(slurp(&store, "web-1", CONFIG).contains("\"Extra\": ["));
    // Back to a text that we wrote once: docker-machine put it there, so it counts.
    scribble(&store, "web-1", CONFIG, &theirs);
    assert_eq!(store.get(&ours.name).unwrap().instance.unwrap().address, "10.0.0.2");
    // A truncated one (docker-machine on a full disk) says nothing, and is made anew.
    for (text, kept) in [("", false), ("{ half", true)] {
        scribble(&store, "web-1", CONFIG, text);
        assert_eq!(store.get(&ours.name).unwrap(), machine("web-1", "10.0.0.3"));
        store.put(&machine("web-1", "10.0.0.3")).unwrap();
        assert!(slurp(&store, "web-1", CONFIG).contains("10.0.0.3"));
        assert_eq!(store.machines().join("web-1").join(written::BACKUP).exists(), kept);
    }
    // A newer docker-machine's is neither read nor touched.
    scribble(&store, "web-1", CONFIG, "{\"ConfigVersion\": 4}");
    store.put(&machine("web-1", "10.0.0.4")).unwrap();
    assert_eq!(slurp(&store, "web-1", CONFIG), "{\"ConfigVersion\": 4}");
    assert_eq!(store.get(&ours.name).unwrap(), machine("web-1", "10.0.0.4"));
}

#[test]
fn what_a_newer_version_wrote_survives() {
    let (_dir, store) = store();
    store.put(&machine("a", "10.0.0.1")).unwrap();
    let with = slurp(&store, "a", RECORD)
        .replace("\"protect\"", "\"quota\": 5, \"protect\"")
        .replace("\"address\"", "\"zone\": 6, \"address\"");
    scribble(&store, "a", RECORD, &with);
    store.put(&machine("a", "10.0.0.2")).unwrap();
    let kept = slurp(&store, "a", RECORD);
    assert!(kept.contains("\"quota\": 5") && kept.contains("\"zone\": 6"), "{kept}");
    // Of the instance that takes the place of another nothing was noted.
    store.put(&MachineRecord { uid: Uid::of_random([7; 16]), ..machine("a", "10.0.0.2") }).unwrap();
    let kept = slurp(&store, "a", RECORD);
    assert!(kept.contains("\"quota\": 5") && !kept.contains("zone"), "{kept}");
}

/// pain 9: one bad file concerns one machine, is shown with its place, and is left alone.
#[test]
fn a_broken_record_is_shown_and_left_alone() {
    let (_dir, store) = store();
    for machine_name in ["a", "b", "c", "d", "e"] {
        store.put(&machine(machine_name, "10.0.0.1")).unwrap();
    }
    scribble(&store, "b", RECORD, "{\n  \"record\": 2,\n  \"name\": \"b");
    scribble(&store, "c", RECORD, &slurp(&store, "a", RECORD));
    fs::remove_file(store.machines().join("d").join(RECORD)).unwrap();
    fs::remove_file(store.machines().join("d").join(EARLIER)).unwrap();
    scribble(&store, "d", CONFIG, "");
    scribble(&store, "not_a_name", CONFIG, "{}");
    scribble(&store, "empty", ".x", "");
    scribble(&store, ".hidden", CONFIG, "{}");
    #[expect(clippy::disallowed_methods, reason = "a stray file")]
    fs::write(store.machines().join("stray"), "").unwrap();

    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.machines.keys().map(MachineName::as_str).collect::<Vec<_>>(), ["a", "e"]);
    assert_eq!(snapshot.broken.keys().collect::<Vec<_>>(), ["b", "c", "d", "empty", "not_a_name"]);
    assert_eq!(store.names().unwrap(), ["a", "b", "c", "d", "e", "empty", "not_a_name"]);
    let why = |machine: &str| snapshot.broken[machine].replace(store.root.to_str().unwrap(), "…");
    let place =
        "the record of `b` will not parse: …/machines/b/record.json: line 3, column 12: the file ends too early";
    assert!(why("b").starts_with(place), "{}", why("b"));
    assert!(why("c").ends_with("it is the record of `a`, in the folder of another machine"), "{}", why("c"));
    assert!(why("d").contains("…/machines/d/config.json: line 1, column 0"), "{}", why("d"));

    for broken in ["b", "c", "d"] {
        let error = store.put(&machine(broken, "10.0.0.9")).unwrap_err();
        assert!(matches!(&error, StoreError::Broken { machine, .. } if machine == broken), "{error}");
        assert!(error.help().is_some());
    }
    store.put(&machine("a", "10.0.0.2")).unwrap();
    store.remove(&name("a")).unwrap();
    assert_eq!(slurp(&store, "b", RECORD), "{\n  \"record\": 2,\n  \"name\": \"b");
    store.remove(&name("b")).unwrap();
    assert_eq!(store.names().unwrap(), ["c", "d", "e", "empty", "not_a_name"]);
}

#[test]
fn no_file_name_leads_out_of_its_folder() {
    let (dir, store) = store();
    for bad in ["", ".", "..", "../x", "a/b", "/etc/passwd", "a/", "./a"] {
        assert!(store.write_one(Area::Certs, bad, b"x", Mode::Private).is_err(), "{bad}");
        assert!(store.read(Area::Certs, bad).is_err(), "{bad}");
    }
    assert!(tree(dir.path()).is_empty());
}

#[test]
fn removing_follows_no_links() {
    let (dir, store) = store();
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    store.put(&machine("a", "10.0.0.1")).unwrap();
    std::os::unix::fs::symlink(&outside, store.machines().join("a/link")).unwrap();
    std::os::unix::fs::symlink(&outside, store.machines().join("b")).unwrap();
    store.remove(&name("a")).unwrap();
    store.remove(&name("b")).unwrap_or_default();
    assert!(outside.exists());
}

#[test]
fn a_store_that_cannot_be_written_says_so_with_path_and_help() {
    let dir = temp();
    for (kind, hint) in [
        (io::ErrorKind::StorageFull, "make room"),
        (io::ErrorKind::PermissionDenied, "let your user read and write"),
        (io::ErrorKind::ReadOnlyFilesystem, "the store is read-only"),
    ] {
        let hook = move |effect: Effect, _: &Path| if effect == Effect::Create { Err(kind.into()) } else { Ok(()) };
        let store =
            FolderStore::with_disk(dir.path(), Disk::with_hook(Arc::new(hook)), crate::driver::Drivers::built_in())
                .unwrap();
        let error = store.put(&machine("a", "10.0.0.1")).unwrap_err();
        assert!(error.to_string().starts_with("cannot write "), "{error}");
        assert!(error.to_string().contains("record.json"), "{error}");
        assert!(error.help().unwrap().starts_with(hint), "{error}");
        assert_eq!(store.names().unwrap(), Vec::<String>::new());
    }
}

#[test]
fn all_processes_agree_on_the_id() {
    let (_dir, store) = store();
    let ids: Vec<String> = thread::scope(|scope| {
        let workers: Vec<_> = (0..16).map(|_| scope.spawn(|| store.id().unwrap())).collect();
        workers.into_iter().map(|w| w.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0] && id.len() == 32));
    assert_eq!(tree(&store.root).len(), 1);
}

/// pain 10: readers beside a writer see one of its records whole.
#[test]
fn a_reader_never_sees_a_mixture() {
    let (_dir, store) = store();
    let versions = [machine("a", "10.0.0.1"), {
        let mut other = machine("a", "10.0.0.2");
        other.pending.insert(Part::Engine, Pending::Upgrade);
        other
    }];
    store.put(&versions[0]).unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let read = store.get(&name("a")).unwrap();
                    assert!(versions.contains(&read), "{read:?}");
                }
            });
        }
        let writers: Vec<_> = (0..2)
            .map(|w| {
                let (store, versions) = (&store, &versions);
                scope.spawn(move || {
                    for n in 0..40 {
                        store.put(&versions[(n + w) % 2]).unwrap();
                    }
                })
            })
            .collect();
        let ended: Vec<_> = writers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        stop.store(true, Ordering::Relaxed);
        for result in ended {
            result.unwrap();
        }
    });
}
