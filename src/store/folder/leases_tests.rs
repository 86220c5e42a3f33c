use super::*;
use crate::{
    clock::Timestamp,
    driver::Drivers,
    name::{FleetName, MachineName},
    record::{MachineRecord, OptionValues},
    store::{Area, Doing, folder::FolderStore},
};
use std::collections::BTreeMap;
use tempfile::TempDir;

fn store() -> (TempDir, FolderStore) {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let store = FolderStore::new(dir.path().join("store"), Drivers::built_in()).unwrap();
    (dir, store)
}

fn name(text: &str) -> MachineName {
    MachineName::new(text).unwrap()
}

fn machine(text: &str, address: &str) -> MachineRecord {
    let options = OptionValues::from([("url".to_owned(), address.into())]);
    MachineRecord::new(name(text), None, "none", options)
}

fn holder(pid: u32) -> Holder {
    Holder { who: "ci@b7".to_owned(), pid, doing: Doing::machines("apply", []), since: Timestamp(0) }
}

/// A fleet and its machines.
fn shop(machines: &[&str]) -> Scope {
    let machines: Vec<MachineName> = machines.iter().map(|text| name(text)).collect();
    Scope::of_fleet(&FleetName::new("shop").unwrap(), &machines)
}

/// All files below a folder, but those that a heart beats into.
fn tree(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(root).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            found.extend(tree(&entry.path()));
        } else if !entry.path().to_string_lossy().contains("alive-") {
            found.insert(entry.path(), fs::read(entry.path()).unwrap());
        }
    }
    found
}

/// The files of leases in a store: those that say what is held, or those into which hearts beat.
fn files(store: &FolderStore, hearts: bool) -> Vec<PathBuf> {
    let all = fs::read_dir(store.root.join(FOLDER)).into_iter().flatten().map(|entry| entry.unwrap().path());
    all.filter(|path| path.to_string_lossy().contains("alive-") == hearts).collect()
}

/// pain 11: a lease says who holds it and is free when its holder is gone, however it went.
#[test]
fn a_lease_names_its_holder_and_is_never_stuck() {
    let (_dir, store) = store();
    let held = store.take(&shop(&["web"]), &holder(7)).unwrap();
    match store.take(&shop(&["db"]), &holder(8)) {
        Err(StoreError::Locked { subject, holder: found, .. }) => {
            assert_eq!((subject.to_string().as_str(), *found), ("fleet `shop`", holder(7)));
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("two hold it"),
    }
    let other = store.take(&Scope::of_machines(&[name("db")]), &holder(8)).unwrap();
    drop((held, other));
    assert_eq!(tree(&store.root.join(FOLDER)), BTreeMap::new(), "nothing is left of what was given back");
    // What a killed process leaves: files that say it holds the lease, and no lock of the system's.
    let held = store.take(&shop(&["web"]), &holder(9)).unwrap();
    let (lease, alive) = (files(&store, false).remove(0), files(&store, true).remove(0));
    let said = fs::read(&lease).unwrap();
    drop(held);
    #[expect(clippy::disallowed_methods, reason = "what a killed process leaves")]
    let put = |path: &Path, content: &[u8]| fs::write(path, content).unwrap();
    put(&lease, &said);
    put(&alive, b"00000000000000000000 00000000000000000000\n");
    put(&store.root.join(FOLDER).join(".half.json.1-2.tmp"), b"{");
    assert_eq!(seen(&store.root).unwrap(), [], "the dead hold nothing");
    let held = store.take(&shop(&["web"]), &holder(10)).unwrap();
    assert!(matches!(&seen(&store.root).unwrap()[0].state, Sight::Held { holder: found, .. } if *found == holder(10)));
    assert!(!alive.exists() && !lease.exists(), "what the dead left is gone");
    assert_eq!((files(&store, false).len(), files(&store, true).len()), (1, 1));
    drop(held);
    assert_eq!(seen(&store.root).unwrap(), []);
}

/// One run holds all of what it works on, or none of it.
#[test]
fn scopes_that_meet_exclude_each_other_and_are_taken_whole() {
    let (_dir, store) = store();
    let web = store.take(&Scope::of_machines(&[name("web")]), &holder(1)).unwrap();
    let refused = store.take(&shop(&["db", "web"]), &holder(2)).map(drop).unwrap_err();
    assert!(matches!(&refused, StoreError::Locked { subject, .. } if subject.to_string() == "machine `web`"));
    // Nothing of what was refused is held.
    drop(store.take(&Scope::of_machines(&[name("db")]), &holder(3)).unwrap());
    drop(store.take(&shop(&[]), &holder(3)).unwrap());
    drop(web);
    let fleet = store.take(&shop(&["db", "web"]), &holder(2)).unwrap();
    for taken in ["db", "web"] {
        assert!(store.take(&Scope::of_machines(&[name(taken)]), &holder(3)).is_err(), "{taken}");
    }
    drop(store.take(&Scope::of_machines(&[name("other")]), &holder(3)).unwrap());
    drop(fleet);
}

/// A holder on another computer, where flock does not reach, is judged by its heart alone; and one who lost its lock
/// writes nothing, of whatever kind (pain 11).
#[test]
fn a_holder_elsewhere_keeps_its_lock_while_it_beats_and_writes_nothing_after() {
    let (_dir, store) = store();
    let lease = Duration::from_millis(300);
    let late = FolderStore::with_lease(&store.root, lease, Drivers::built_in()).unwrap();
    let next = FolderStore::with_lease(&store.root, lease, Drivers::built_in()).unwrap();
    let (fleet, web) = (shop(&["web"]), machine("web", "10.0.0.1"));
    let _first = late.take(&fleet, &holder(1)).unwrap();
    late.put(&web).unwrap();
    late.write_one(Area::Machine(&web.name), "x.pem", b"1", Mode::Public).unwrap();
    let path = files(&store, false).remove(0);
    let said = fs::read_to_string(&path).unwrap();
    let place = said.split("\"place\":\"").nth(1).unwrap().split('"').next().unwrap();
    #[expect(clippy::disallowed_methods, reason = "as if it were on another computer")]
    fs::write(&path, said.replace(place, "another-boot/1")).unwrap();
    // It beats: five leases later it still has it.
    let begun = std::time::Instant::now();
    while begun.elapsed() < lease * 5 {
        assert!(next.take(&fleet, &holder(2)).is_err());
        late.leases.check(&late.root).unwrap();
        thread::sleep(Duration::from_millis(20));
    }
    late.leases.stop_beating();
    let begun = std::time::Instant::now();
    let second = loop {
        match next.take(&fleet, &holder(2)) {
            Ok(lock) => break lock,
            Err(e) => assert!(begun.elapsed() < lease * 10, "{e}"),
        }
        thread::sleep(Duration::from_millis(5));
    };
    assert!(begun.elapsed() >= lease / 2, "it was taken after {:?}", begun.elapsed());
    let before = tree(&store.root);
    let name = &web.name;
    for refused in [
        late.put(&web),
        late.put(&machine("other", "10.0.0.2")),
        late.reserve(&machine("new", "10.0.0.3"), &[], &|_| ()),
        late.remove(name),
        late.write(Area::Machine(name), &[("x.pem", b"2", Mode::Public)]),
        late.machine_dir(&MachineName::new("ghost").unwrap()).map(|_| ()),
        late.leases.check(&late.root),
    ] {
        match refused {
            Err(StoreError::LostLock { by: Some(by), .. }) => assert_eq!(*by, holder(2)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(tree(&store.root), before);
    next.put(&web).unwrap();
    drop(second);
    // Also when it is free by now.
    assert!(matches!(late.put(&web), Err(StoreError::LostLock { by: None, .. })));
    let again = late.take(&fleet, &holder(3)).unwrap();
    late.put(&web).unwrap();
    drop(again);
}

#[test]
fn a_lease_that_was_ended_is_free_and_its_holder_writes_nothing() {
    let (_dir, other) = store();
    let late = FolderStore::new(&other.root, Drivers::built_in()).unwrap();
    let subject = Subject::Machine(name("web"));
    other.end(&subject).unwrap();
    let held = late.take(&shop(&["web"]), &holder(1)).unwrap();
    let id = files(&other, false)[0].file_stem().unwrap().to_string_lossy().into_owned();
    assert_eq!(late.leases.passes(), id);
    other.end(&Subject::Machine(name("db"))).unwrap();
    late.put(&machine("web", "10.0.0.1")).unwrap();
    // By any of its machines.
    other.end(&subject).unwrap();
    assert_eq!(seen(&other.root).unwrap(), []);
    assert!(matches!(late.put(&machine("web", "10.0.0.2")), Err(StoreError::LostLock { by: None, .. })));
    let next = other.take(&Scope::of_machines(&[name("web")]), &holder(2)).unwrap();
    match late.put(&machine("web", "10.0.0.2")) {
        Err(StoreError::LostLock { by: Some(by), subject, .. }) => {
            assert_eq!((*by, subject.to_string().as_str()), (holder(2), "fleet `shop`"));
        }
        refused => panic!("{refused:?}"),
    }
    drop((held, next));
    assert_eq!(tree(&other.root.join(FOLDER)), BTreeMap::new());
}

/// A lock of an earlier version of this program holds what it is of, until its holder is gone or it is ended.
#[test]
fn locks_of_earlier_versions_are_honoured() {
    let machine_of = |text: &str| Scope::of_machines(&[name(text)]);
    for (folder, scope, subject) in [
        ("fleets/shop", shop(&["web"]), Subject::Fleet(FleetName::new("shop").unwrap())),
        ("locks/web", machine_of("web"), Subject::Machine(name("web"))),
    ] {
        let (_dir, store) = store();
        let folder = store.root.join(folder);
        fs::create_dir_all(&folder).unwrap();
        let heart = Alive::path(&folder, "00ff");
        let alive = Alive::make(&heart).unwrap();
        let taking = Taking { id: "00ff".to_owned(), place: alive.place(&heart).unwrap(), holder: holder(7) };
        let text = serde_json::json!({ "token": 3, "held": taking }).to_string();
        #[expect(clippy::disallowed_methods, reason = "an earlier version wrote it")]
        let lock = || fs::write(folder.join("lock"), &text).unwrap();
        lock();
        let refused = store.take(&scope, &holder(8)).map(drop).unwrap_err();
        assert!(
            matches!(&refused, StoreError::Locked { subject: of, holder: by, .. } if *of == subject && **by == holder(7))
        );
        // Of which machines a fleet is made its lock does not say.
        let other = store.take(&machine_of("other"), &holder(8)).map(drop);
        assert_eq!(other.is_ok(), matches!(subject, Subject::Machine(_)), "{subject}");
        let shown = seen(&store.root).unwrap();
        assert!(shown.len() == 1 && shown[0].may_hold(&subject), "{shown:?}");
        store.end(&subject).unwrap();
        drop(store.take(&scope, &holder(8)).unwrap());
        // Its holder was killed.
        fs::create_dir_all(&folder).unwrap();
        lock();
        drop(alive);
        assert_eq!(seen(&store.root).unwrap(), []);
        drop(store.take(&scope, &holder(8)).unwrap());
        assert!(!folder.join("lock").exists() && !heart.exists(), "what the dead left is gone");
    }
}
