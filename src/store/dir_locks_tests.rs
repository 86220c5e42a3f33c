use super::*;
use crate::{
    clock::Timestamp,
    record::{MachineRecord, OptionValues},
    store::{Area, Doing, Mode, Sight, Store as _},
};
use std::{collections::BTreeMap, path::PathBuf, thread};
use tempfile::TempDir;

fn store() -> (TempDir, DirStore) {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let store = DirStore::new(dir.path().join("store"), crate::driver::Drivers::built_in()).unwrap();
    (dir, store)
}

fn machine(name: &str, address: &str) -> MachineRecord {
    let options = OptionValues::from([("url".to_owned(), address.into())]);
    MachineRecord::new(MachineName::new(name).unwrap(), None, "none", options)
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

/// pain 11: a lock says who holds it and is free when its holder is gone, however it went.
#[test]
fn a_lock_names_its_holder_and_is_never_stuck() {
    let (_dir, store) = store();
    let fleet = FleetName::new("shop").unwrap();
    let holder =
        |pid| Holder { who: "ci@b7".to_owned(), pid, doing: Doing::machines("apply", []), since: Timestamp(0) };
    let held = store.lock(&fleet, &holder(7)).unwrap();
    match store.lock(&fleet, &holder(8)) {
        Err(StoreError::Locked { holder: found, .. }) => assert_eq!(*found, holder(7)),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("two hold it"),
    }
    store.lock(&FleetName::new("other").unwrap(), &holder(8)).unwrap();
    drop(held);
    // What a killed process leaves: files that say it holds the lock, and no lock of the system's.
    let path = store.root().join("fleets/shop/lock");
    let held = store.lock(&fleet, &holder(9)).unwrap();
    let (said, alive) = (fs::read(&path).unwrap(), alive_file(&store));
    drop(held);
    #[expect(clippy::disallowed_methods, reason = "what a killed process leaves")]
    let leave = |path: &Path, content: &[u8]| fs::write(path, content).unwrap();
    leave(&path, &said);
    leave(&alive, b"00000000000000000000 00000000000000000000\n");
    let held = store.lock(&fleet, &holder(10)).unwrap();
    assert!(matches!(&store.locks().unwrap()[0].state, Sight::Held { holder: found, .. } if *found == holder(10)));
    assert!(!alive.exists(), "what the dead left is gone");
    drop(held);
    assert_eq!(store.locks().unwrap(), []);
}

fn alive_file(store: &DirStore) -> PathBuf {
    let mut files = fs::read_dir(store.root().join("fleets/shop")).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.to_string_lossy().contains("alive-")).unwrap()
}

/// A holder on another computer, where flock does not reach, is judged by its heart alone; and one who lost its lock
/// writes nothing, of whatever kind (pain 11).
#[test]
fn a_holder_elsewhere_keeps_its_lock_while_it_beats_and_writes_nothing_after() {
    let (_dir, store) = store();
    let lease = Duration::from_millis(300);
    let late = DirStore::with_lease(store.root(), lease, crate::driver::Drivers::built_in()).unwrap();
    let next = DirStore::with_lease(store.root(), lease, crate::driver::Drivers::built_in()).unwrap();
    let (fleet, web) = (FleetName::new("shop").unwrap(), machine("web", "10.0.0.1"));
    let holder =
        |pid| Holder { who: "ci@b7".to_owned(), pid, doing: Doing::machines("apply", []), since: Timestamp(0) };
    let _first = late.lock(&fleet, &holder(1)).unwrap();
    late.put(&web).unwrap();
    late.write(Area::Machine(&web.name), "x.pem", b"1", Mode::Public).unwrap();
    let path = store.root().join("fleets/shop/lock");
    let said = fs::read_to_string(&path).unwrap();
    let place = said.split("\"place\":\"").nth(1).unwrap().split('"').next().unwrap();
    #[expect(clippy::disallowed_methods, reason = "as if it were on another computer")]
    fs::write(&path, said.replace(place, "another-boot/1")).unwrap();
    // It beats: five leases later it still has it.
    let begun = std::time::Instant::now();
    while begun.elapsed() < lease * 5 {
        assert!(next.lock(&fleet, &holder(2)).is_err());
        late.still_held().unwrap();
        thread::sleep(Duration::from_millis(20));
    }
    late.locks.stop_beating();
    let begun = std::time::Instant::now();
    let second = loop {
        match next.lock(&fleet, &holder(2)) {
            Ok(lock) => break lock,
            Err(e) => assert!(begun.elapsed() < lease * 10, "{e}"),
        }
        thread::sleep(Duration::from_millis(5));
    };
    assert!(begun.elapsed() >= lease / 2, "it was taken after {:?}", begun.elapsed());
    let before = tree(&store.root());
    let name = &web.name;
    for refused in [
        late.put(&web),
        late.put(&machine("other", "10.0.0.2")),
        late.reserve(&machine("new", "10.0.0.3"), &[], &|_| ()),
        late.remove(name),
        late.write(Area::Machine(name), "x.pem", b"2", Mode::Public),
        late.write_together(Area::Machine(name), &[("x.pem", b"2", Mode::Public)]),
        late.machine_dir(&MachineName::new("ghost").unwrap()).map(|_| ()),
        late.still_held(),
    ] {
        match refused {
            Err(StoreError::LostLock { by: Some(by), .. }) => assert_eq!(*by, holder(2)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(tree(&store.root()), before);
    next.put(&web).unwrap();
    drop(second);
    // Also when it is free by now.
    assert!(matches!(late.put(&web), Err(StoreError::LostLock { by: None, .. })));
    let again = late.lock(&fleet, &holder(3)).unwrap();
    late.put(&web).unwrap();
    drop(again);
}

#[test]
fn a_broken_lock_is_anybodys_and_its_holder_writes_nothing() {
    let (_dir, other) = store();
    let holder = DirStore::new(other.root(), crate::driver::Drivers::built_in()).unwrap();
    let name = MachineName::new("web").unwrap();
    let who = Holder { who: "ci@b7".to_owned(), pid: 1, doing: Doing::machines("provision", []), since: Timestamp(0) };
    let subject = Subject::Machine(name.clone());
    assert_eq!(other.break_lock(&subject).unwrap(), None);
    let lock = holder.lock_machine(&name, &who).unwrap();
    assert!(holder.passes().starts_with("machine/web/"), "{}", holder.passes());
    let broken = other.break_lock(&subject).unwrap();
    assert!(matches!(&broken, Some(Sight::Held { holder, .. }) if *holder == who), "{broken:?}");
    assert!(holder.put(&machine("web", "10.0.0.1")).is_err());
    drop(other.lock_machine(&name, &who).unwrap());
    drop(lock);
    assert!(!other.root().join("locks/web").exists(), "nothing is left of a machine's lock");
}
