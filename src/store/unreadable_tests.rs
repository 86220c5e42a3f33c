//! Locks that cannot be read count as held, whatever is wrong with them.
#![expect(clippy::disallowed_methods, reason = "what lies there was not written by us")]

use super::*;
use crate::{
    clock::Timestamp,
    fault,
    record::{MachineRecord, OptionValues},
    store::{Doing, Sight, Store as _},
};
use std::{io, os::unix::fs::symlink, path::PathBuf};
use tempfile::TempDir;

fn holder() -> Holder {
    Holder { who: "ci@b7".to_owned(), pid: 7, doing: Doing::machines("apply", []), since: Timestamp(0) }
}

fn store() -> (TempDir, DirStore) {
    let dir = tempfile::Builder::new().prefix("unreadable-").tempdir().unwrap();
    let store = DirStore::new(dir.path().join("store"), crate::driver::Drivers::built_in()).unwrap();
    (dir, store)
}

fn subjects() -> [Subject; 2] {
    [Subject::Fleet(FleetName::new("shop").unwrap()), Subject::Machine(MachineName::new("web").unwrap())]
}

fn record() -> MachineRecord {
    MachineRecord::new(MachineName::new("web").unwrap(), None, "none", OptionValues::new())
}

fn nothing(path: &Path) {
    if path.is_dir() && !path.is_symlink() {
        fs::remove_dir_all(path).unwrap();
    } else {
        let _ = fs::remove_file(path);
    }
}

/// What is done to a path.
type Damage = Box<dyn Fn(&Path)>;

/// What may lie where a lock should, by name.
fn damages() -> Vec<(&'static str, Damage)> {
    let text = |text: &'static str| -> Damage { Box::new(move |path| fs::write(path, text).unwrap()) };
    vec![
        ("empty", text("")),
        ("half a file", text("{\"token\":1,\"held\":{\"id\":\"00ff\",\"place\":\"a/1\",\"holder\":{\"who\":\"a")),
        ("no JSON", text("garbage")),
        ("no object", text("[]")),
        ("nothing in it", text("{}")),
        ("a number that is none", text("{\"token\":\"x\"}")),
        ("a holder without an id", text("{\"token\":1,\"held\":{}}")),
        ("a later version", text("{\"token\":1,\"leases\":[{\"id\":\"00ff\"}]}")),
        ("two files in one", text("{\"token\":1}{\"token\":2}")),
        ("zeros", Box::new(|path| fs::write(path, [0; 64]).unwrap())),
        ("other bytes", Box::new(|path| fs::write(path, b"\xff\xfe{").unwrap())),
        ("too long", Box::new(|path| fs::write(path, "{\"token\":1}".to_owned() + &" ".repeat(1 << 20)).unwrap())),
        ("a folder", Box::new(|path| fs::create_dir(path).unwrap())),
        (
            "a folder with something in it",
            Box::new(|path| {
                fs::create_dir(path).unwrap();
                fs::write(path.join("mine"), "x").unwrap();
            }),
        ),
        ("a link to nothing", Box::new(|path| symlink("/nowhere/at/all", path).unwrap())),
        ("a link to itself", Box::new(|path| symlink("lock", path).unwrap())),
        (
            "a link to a free lock",
            Box::new(|path| {
                let other = path.with_file_name("other");
                fs::write(&other, "{\"token\":1}").unwrap();
                symlink(other, path).unwrap();
            }),
        ),
        (
            "a pipe",
            Box::new(|path| {
                let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
                rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
            }),
        ),
    ]
}

/// Takes the subject's lock, writes a record under it, and gives it back: possible only when it is free.
fn use_it(store: &DirStore, subject: &Subject) -> Result<(), StoreError> {
    let _lock = store.take(subject, &holder())?;
    store.put(&record())
}

/// C9: only where there is no file a lock is free. All else is held until it is broken, which works.
#[test]
fn a_lock_that_cannot_be_read_is_held_until_it_is_broken() {
    for (subject, (name, damage)) in
        subjects().iter().flat_map(|subject| damages().into_iter().map(move |damage| (subject, damage)))
    {
        let (_dir, store) = store();
        use_it(&store, subject).unwrap();
        let folder = subject.folder(&store.root());
        let path = folder.join("lock");
        fs::create_dir_all(&folder).unwrap();
        nothing(&path);
        damage(&path);
        let Err(error) = use_it(&store, subject) else { panic!("{name}: {subject} was free") };
        let StoreError::UnreadableLock { lock, .. } = &error else { panic!("{name}: {error:?}") };
        assert_eq!(lock.path, path, "{name}");
        assert!(error.to_string().contains(&path.display().to_string()) && !lock.why.is_empty(), "{name}: {error}");
        let command = match subject {
            Subject::Fleet(_) => "\n  machine lock break shop",
            Subject::Machine(_) => "\n  machine lock break --machine web",
        };
        assert!(error.help().unwrap().ends_with(command), "{name}: {:?}", error.help());
        // Looking tells of it, and of all others.
        let seen = store.locks().unwrap();
        assert_eq!(seen.len(), 1, "{name}");
        assert!(seen[0].subject == *subject && matches!(seen[0].state, Sight::Unreadable(_)), "{name}: {seen:?}");
        // What tidies up leaves it alone.
        store.sweep_locks().unwrap();
        assert!(use_it(&store, subject).is_err(), "{name}: swept away");
        assert!(matches!(store.break_lock(subject).unwrap(), Some(Sight::Unreadable(_))), "{name}");
        assert_eq!(store.locks().unwrap(), [], "{name}");
        use_it(&store, subject).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

/// C9: a holder whose lock cannot be read any more writes nothing, also when it becomes readable again in other hands.
#[test]
fn a_holder_whose_lock_cannot_be_read_writes_nothing() {
    for (subject, (name, damage)) in
        subjects().iter().flat_map(|subject| damages().into_iter().map(move |damage| (subject, damage)))
    {
        let (_dir, store) = store();
        let path = subject.folder(&store.root()).join("lock");
        let lock = store.take(subject, &holder()).unwrap();
        store.put(&record()).unwrap();
        let said = fs::read(&path).unwrap();
        nothing(&path);
        damage(&path);
        for refused in [store.put(&record()), store.remove(&record().name), store.still_held()] {
            let Err(error @ StoreError::LostLock { unreadable: Some(_), .. }) = refused else {
                panic!("{name}: {refused:?}")
            };
            assert!(error.is_of_lock() && error.to_string().contains("cannot be read"), "{name}: {error}");
        }
        // It is still ours as soon as the file can be read again.
        nothing(&path);
        fs::write(&path, said).unwrap();
        store.put(&record()).unwrap();
        drop(lock);
        use_it(&store, subject).unwrap();
    }
}

/// C9: the file that shows a holder's life is no less a part of the lock.
#[test]
fn a_sign_of_life_that_cannot_be_read_is_one() {
    for subject in subjects() {
        let (_dir, store) = store();
        let other = DirStore::new(store.root(), crate::driver::Drivers::built_in()).unwrap();
        let lock = store.take(&subject, &holder()).unwrap();
        let folder = subject.folder(&store.root());
        let alive = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let alive = alive.into_iter().find(|path| path.to_string_lossy().contains("alive-")).unwrap();
        let away = folder.join("away");
        fs::rename(&alive, &away).unwrap();
        for (name, damage) in
            damages().into_iter().filter(|(name, _)| ["a folder", "a link to itself", "a pipe"].contains(name))
        {
            damage(&alive);
            let refused = use_it(&other, &subject);
            assert!(matches!(refused, Err(StoreError::UnreadableLock { .. })), "{name}: {refused:?}");
            assert!(matches!(other.locks().unwrap()[0].state, Sight::Unreadable(_)), "{name}");
            nothing(&alive);
        }
        fs::rename(&away, &alive).unwrap();
        assert!(matches!(use_it(&other, &subject), Err(StoreError::Locked { .. })));
        drop(lock);
        use_it(&other, &subject).unwrap();
    }
}

/// As on a disk that fails: reads in stores that hold this file end in an error.
const FAILING: &str = "the disk fails";

fn failing_disks() {
    fault::install(Box::new(|name, about| {
        let store = about.ancestors().find(|path| path.file_name().is_some_and(|name| name == "store"));
        let reads = matches!(name, "look.lock" | "look.alive");
        let fails = reads && store.is_some_and(|store: &Path| store.join(FAILING).exists());
        if fails { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }));
}

#[test]
fn a_disk_that_fails_frees_no_lock() {
    failing_disks();
    for subject in subjects() {
        let (_dir, store) = store();
        let other = DirStore::new(store.root(), crate::driver::Drivers::built_in()).unwrap();
        let fails: PathBuf = store.root().join(FAILING);
        let lock = store.take(&subject, &holder()).unwrap();
        fs::write(&fails, "").unwrap();
        let Err(error @ StoreError::UnreadableLock { .. }) = use_it(&other, &subject) else { panic!("it was free") };
        assert!(error.to_string().contains("Input/output error"), "{error}");
        assert!(matches!(store.put(&record()), Err(StoreError::LostLock { unreadable: Some(_), .. })));
        assert!(matches!(other.locks().unwrap()[0].state, Sight::Unreadable(_)));
        fs::remove_file(&fails).unwrap();
        store.put(&record()).unwrap();
        drop(lock);
        use_it(&other, &subject).unwrap();
    }
}

/// What a later version adds about a holder hides nothing of what we know.
#[test]
fn a_holder_of_a_later_version_is_a_holder() {
    let (_dir, store) = store();
    let [subject, _] = subjects();
    let lock = store.take(&subject, &holder()).unwrap();
    let path = subject.folder(&store.root()).join("lock");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"who\"", "\"shared\":true,\"who\"")).unwrap();
    let other = DirStore::new(store.root(), crate::driver::Drivers::built_in()).unwrap();
    assert!(matches!(other.take(&subject, &holder()).map(drop), Err(StoreError::Locked { .. })));
    drop(lock);
}

/// A file where the folder of fleets or of one fleet should be is no lock that is held.
#[test]
fn a_file_beside_the_fleets_is_no_lock() {
    let (_dir, store) = store();
    let [subject, _] = subjects();
    use_it(&store, &subject).unwrap();
    fs::write(store.root().join("fleets/notes"), "x").unwrap();
    assert_eq!(store.locks().unwrap(), []);
}
