//! Leases that cannot be read count as held, whatever is wrong with them, and may be of anything; so do locks of earlier
//! versions, which are of what their folder says.
#![expect(clippy::disallowed_methods, reason = "what lies there was not written by us")]

use super::*;
use crate::{
    clock::Timestamp,
    driver::Drivers,
    name::{FleetName, MachineName},
    record::{MachineRecord, OptionValues},
    store::{Doing, folder::FolderStore},
};
use std::os::unix::fs::symlink;
use tempfile::TempDir;

fn holder() -> Holder {
    Holder { who: "ci@b7".to_owned(), pid: 7, doing: Doing::machines("apply", []), since: Timestamp(0) }
}

fn store() -> (TempDir, FolderStore) {
    let dir = tempfile::Builder::new().prefix("unreadable-").tempdir().unwrap();
    let store = FolderStore::new(dir.path().join("store"), Drivers::built_in()).unwrap();
    (dir, store)
}

fn subjects() -> [Subject; 2] {
    [Subject::Fleet(FleetName::new("shop").unwrap()), Subject::Machine(MachineName::new("web").unwrap())]
}

fn scope(subject: &Subject) -> Scope {
    match subject {
        Subject::Fleet(name) => Scope::of_fleet(name, []),
        Subject::Machine(name) => Scope::of_machines([name]),
    }
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
        (
            "another's",
            text(
                "{\"scope\":{},\"taking\":{\"id\":\"ff\",\"place\":\"a/1\",\"holder\":{\"who\":\"a\",\"pid\":1,\"command\":\"rm\",\"since\":\"2027-01-15T08:00:00Z\"}}}",
            ),
        ),
        ("no object", text("[]")),
        ("nothing in it", text("{}")),
        ("a number that is none", text("{\"token\":\"x\"}")),
        ("a holder without an id", text("{\"token\":1,\"held\":{}}")),
        ("a later version", text("{\"token\":1,\"leases\":[{\"id\":\"00ff\"}]}")),
        ("two files in one", text("{\"token\":1}{\"token\":2}")),
        ("zeros", Box::new(|path| fs::write(path, [0; 64]).unwrap())),
        ("other bytes", Box::new(|path| fs::write(path, b"\xff\xfe{").unwrap())),
        (
            "too long",
            Box::new(|path| {
                fs::write(path, "{\"token\":1}").unwrap();
                fs::File::options().write(true).open(path).unwrap().set_len(MOST + 1).unwrap();
            }),
        ),
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

/// Takes a subject, writes a record under it, and gives it back: possible only when it is free.
fn use_it(store: &FolderStore, subject: &Subject) -> Result<(), StoreError> {
    let _held = store.take(&scope(subject), &holder())?;
    store.put(&record())
}

/// The lease that is there, and into what its holder's heart beats.
fn files(store: &FolderStore) -> (PathBuf, PathBuf) {
    let all = fs::read_dir(store.root.join(FOLDER)).unwrap().map(|entry| entry.unwrap().path());
    let (hearts, leases): (Vec<_>, Vec<_>) = all.partition(|path| path.to_string_lossy().contains("alive-"));
    (leases[0].clone(), hearts[0].clone())
}

/// C9: only where there is no file a lease is free. All else is held until it is ended, which works.
#[test]
fn what_cannot_be_read_is_held_until_it_is_ended() {
    let places = |subject: &Subject, store: &FolderStore| {
        [store.root.join(FOLDER).join("00ff.json"), earlier_locks::folder(&store.root, subject).join("lock")]
    };
    for (subject, (name, damage)) in
        subjects().iter().flat_map(|subject| damages().into_iter().map(move |damage| (subject, damage)))
    {
        for place in 0..2 {
            let (_dir, store) = store();
            use_it(&store, subject).unwrap();
            let path = places(subject, &store)[place].clone();
            fs::create_dir_all(path.parent().unwrap()).unwrap();
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
            // Looking tells of it.
            let shown = seen(&store.root).unwrap();
            assert!(shown.len() == 1 && shown[0].may_hold(subject), "{name}: {shown:?}");
            assert!(matches!(shown[0].state, Sight::Unreadable(_)), "{name}: {shown:?}");
            // What tidies up leaves it alone.
            store.sweep().unwrap();
            assert!(use_it(&store, subject).is_err(), "{name}: swept away");
            store.end(subject).unwrap();
            assert_eq!(seen(&store.root).unwrap(), [], "{name}");
            use_it(&store, subject).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }
}

/// C9: whatever becomes of the text of a lease, no other run takes it while it is there; and its holder goes on, for what
/// ends it is that its file goes.
#[test]
fn a_lease_is_held_while_there_is_a_file() {
    for (subject, (name, damage)) in
        subjects().iter().flat_map(|subject| damages().into_iter().map(move |damage| (subject, damage)))
    {
        let (_dir, store) = store();
        let other = FolderStore::new(&store.root, Drivers::built_in()).unwrap();
        let held = store.take(&scope(subject), &holder()).unwrap();
        let (path, _) = files(&store);
        nothing(&path);
        damage(&path);
        assert!(matches!(other.take(&scope(subject), &holder()), Err(StoreError::UnreadableLock { .. })), "{name}");
        store.put(&record()).unwrap();
        other.end(subject).unwrap();
        for refused in [store.put(&record()), store.remove(&record().name), store.leases.check(&store.root)] {
            let Err(error @ StoreError::LostLock { .. }) = refused else { panic!("{name}: {refused:?}") };
            assert!(error.is_of_lock(), "{name}: {error}");
        }
        drop(held);
        use_it(&other, subject).unwrap();
    }
}

/// C9: the file that shows a holder's life is no less a part of the lease.
#[test]
fn a_sign_of_life_that_cannot_be_read_is_one() {
    for subject in subjects() {
        let (_dir, store) = store();
        let other = FolderStore::new(&store.root, Drivers::built_in()).unwrap();
        let held = store.take(&scope(&subject), &holder()).unwrap();
        let (_, alive) = files(&store);
        let away = store.root.join("away");
        fs::rename(&alive, &away).unwrap();
        for (name, damage) in
            damages().into_iter().filter(|(name, _)| ["a folder", "a link to itself", "a pipe"].contains(name))
        {
            damage(&alive);
            let refused = use_it(&other, &subject);
            assert!(matches!(refused, Err(StoreError::UnreadableLock { .. })), "{name}: {refused:?}");
            assert!(matches!(seen(&other.root).unwrap()[0].state, Sight::Unreadable(_)), "{name}");
            nothing(&alive);
        }
        fs::rename(&away, &alive).unwrap();
        assert!(matches!(use_it(&other, &subject), Err(StoreError::Locked { .. })));
        drop(held);
        use_it(&other, &subject).unwrap();
    }
}

/// As on a disk that fails: reads in stores that hold this file end in an error.
const FAILING: &str = "the disk fails";

/// As on a file system without locks.
const NO_LOCKS: &str = "no locks";

fn failing_disks() {
    fault::install(Box::new(|name, about| {
        let store = about.ancestors().find(|path| path.file_name().is_some_and(|name| name == "store"));
        let reads = matches!(name, "look.lock" | "look.alive");
        let fails = reads && store.is_some_and(|store: &Path| store.join(FAILING).exists());
        let bare = name == "lock.flock" && store.is_some_and(|store: &Path| store.join(NO_LOCKS).exists());
        match (fails, bare) {
            (true, _) => Err(io::Error::from_raw_os_error(5)),
            (_, true) => Err(io::Error::from_raw_os_error(37)),
            _ => Ok(()),
        }
    }));
}

#[test]
fn a_disk_that_fails_frees_no_lease() {
    failing_disks();
    for subject in subjects() {
        let (_dir, store) = store();
        let other = FolderStore::new(&store.root, Drivers::built_in()).unwrap();
        let fails: PathBuf = store.root.join(FAILING);
        let held = store.take(&scope(&subject), &holder()).unwrap();
        fs::write(&fails, "").unwrap();
        let Err(error @ StoreError::UnreadableLock { .. }) = use_it(&other, &subject) else { panic!("it was free") };
        assert!(error.to_string().contains("Input/output error"), "{error}");
        assert!(matches!(store.put(&record()), Err(StoreError::LostLock { unreadable: Some(_), .. })));
        assert!(matches!(seen(&other.root).unwrap()[0].state, Sight::Unreadable(_)));
        fs::remove_file(&fails).unwrap();
        store.put(&record()).unwrap();
        drop(held);
        use_it(&other, &subject).unwrap();
    }
}

/// Where runs cannot be kept apart nothing is begun and nothing is written, and it is said what helps.
#[test]
fn a_disk_without_locks_is_told() {
    failing_disks();
    let (_dir, store) = store();
    store.put(&record()).unwrap();
    let before = fs::read(store.root.join("machines/web/record.json")).unwrap();
    fs::write(store.root.join(NO_LOCKS), "").unwrap();
    for refused in
        [store.take(&scope(&subjects()[0]), &holder()).map(drop), store.put(&record()), store.remove(&record().name)]
    {
        let error = refused.unwrap_err();
        assert!(error.to_string().starts_with("cannot lock "), "{error}");
        assert!(error.help().unwrap().contains("cannot lock files"), "{:?}", error.help());
    }
    assert_eq!(fs::read(store.root.join("machines/web/record.json")).unwrap(), before);
    // Looking needs none.
    store.get(&record().name).unwrap();
    assert_eq!(seen(&store.root).unwrap(), []);
}

/// What a later version adds about a holder hides nothing of what we know.
#[test]
fn a_holder_of_a_later_version_is_a_holder() {
    let (_dir, store) = store();
    let [subject, _] = subjects();
    let held = store.take(&scope(&subject), &holder()).unwrap();
    let (path, _) = files(&store);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"who\"", "\"shared\":true,\"who\"")).unwrap();
    let other = FolderStore::new(&store.root, Drivers::built_in()).unwrap();
    assert!(matches!(other.take(&scope(&subject), &holder()).map(drop), Err(StoreError::Locked { .. })));
    drop(held);
}

/// A file of another kind beside leases, or where the folder of fleets or of one fleet should be, is none.
#[test]
fn other_files_are_no_leases() {
    let (_dir, store) = store();
    let [subject, _] = subjects();
    use_it(&store, &subject).unwrap();
    fs::create_dir_all(store.root.join("fleets")).unwrap();
    fs::write(store.root.join("fleets/notes"), "x").unwrap();
    fs::write(store.root.join("fleets/shop"), "x").unwrap();
    fs::write(store.root.join(FOLDER).join("notes.txt"), "x").unwrap();
    assert_eq!(seen(&store.root).unwrap(), []);
    use_it(&store, &subject).unwrap();
}
