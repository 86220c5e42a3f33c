//! Records of earlier versions, in `record.kdl`: read, replaced at the first write, and never forgotten; and stores that
//! are copied whole, in half, or to another place.

use super::*;
use crate::{
    driver::Drivers,
    record::{Part, Pending, Uid, docker_machine::ConfigFile, kdl},
    store::folder::disk::Effect,
};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;

/// A machine of a store that an earlier version wrote, and the root of that store.
const WEB: [&str; 3] = [
    include_str!("../../../tests/earlier/records-in-kdl/stores/fleet/machines/web-1/record.kdl"),
    include_str!("../../../tests/earlier/records-in-kdl/stores/fleet/machines/web-1/config.json"),
    "/srv/earlier/fleet",
];
const BAK: &str = "record.kdl.bak";

fn name(text: &str) -> MachineName {
    MachineName::new(text).unwrap()
}

fn temp() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn open(root: &Path) -> FolderStore {
    FolderStore::new(root, Drivers::built_in()).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "tests play the part of an earlier version")]
fn scribble(store: &FolderStore, file: &str, text: &str) {
    let dir = store.machines().join("web-1");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join(file), text).unwrap();
}

fn slurp(store: &FolderStore, file: &str) -> Option<String> {
    fs::read_to_string(store.machines().join("web-1").join(file)).ok()
}

fn erase(store: &FolderStore, file: &str) {
    fs::remove_file(store.machines().join("web-1").join(file)).unwrap();
}

/// A store as an earlier version left it, where it was or moved here.
fn earlier(moved: bool) -> (TempDir, FolderStore) {
    let dir = temp();
    let store = open(dir.path());
    let here = |text: &str| if moved { text.to_owned() } else { text.replace(WEB[2], &store.root_text) };
    let config = here(WEB[1]);
    // The digest of what lies there now.
    let record = here(WEB[0])
        .replace(&crate::digest::sha256_hex(WEB[1].as_bytes()), &crate::digest::sha256_hex(config.as_bytes()));
    scribble(&store, EARLIER, &record);
    scribble(&store, CONFIG, &config);
    (dir, store)
}

/// Whether all is as a write by this version leaves it.
#[track_caller]
fn is_settled(store: &FolderStore, record: &MachineRecord, old: &str) {
    assert_eq!(store.get(&record.name).unwrap(), *record);
    assert_eq!(slurp(store, EARLIER).as_deref(), Some(kdl::STUB));
    assert_eq!(slurp(store, BAK).as_deref(), Some(old));
    let text = slurp(store, RECORD).unwrap();
    assert!(!text.contains("record-kdl") && text.contains("\"replaces\": null"), "{text}");
    let config = ConfigFile::parse(&slurp(store, CONFIG).unwrap(), store.place(&record.name)).unwrap();
    assert_eq!(config.moved_from(), None);
}

#[test]
fn the_first_write_replaces_what_an_earlier_version_wrote() {
    let (_dir, store) = earlier(false);
    let old = slurp(&store, EARLIER).unwrap();
    let record = store.get(&name("web-1")).unwrap();
    assert_eq!(slurp(&store, RECORD), None, "reading writes nothing");
    assert!(record.fleet.is_some() && record.certificate.is_some() && record.engine.is_some());
    store.put(&record).unwrap();
    is_settled(&store, &record, &old);
    // What an earlier version makes of it: nothing, and it says so.
    let refusal = kdl::decode(&slurp(&store, EARLIER).unwrap()).unwrap_err();
    assert!(refusal.why.contains("is of format 2, this program reads up to 1"), "{refusal}");
    // The old text is kept once, whatever happens to the stub.
    erase(&store, EARLIER);
    assert_eq!(store.get(&record.name).unwrap(), record);
    store.put(&record).unwrap();
    is_settled(&store, &record, &old);
}

#[test]
fn a_new_machine_has_the_stub_as_well() {
    let dir = temp();
    let store = open(dir.path());
    let record = MachineRecord::new(name("web-1"), None, "none", std::collections::BTreeMap::new());
    store.reserve(&record, &[], &|_| {}).unwrap();
    assert_eq!(slurp(&store, EARLIER).as_deref(), Some(kdl::STUB));
    assert_eq!(store.get(&record.name).unwrap(), record);
}

/// With a failure or a crash at every effect of the first write, the record is old or new, it loads, and the next write
/// ends what was begun.
#[test]
fn a_failure_or_crash_anywhere_in_the_first_write_forgets_nothing() {
    let mut points = 0;
    for (kind, crash) in [(io::ErrorKind::StorageFull, false), (io::ErrorKind::BrokenPipe, true)] {
        // From another place the config.json is written, too.
        for (moved, at) in [false, true].into_iter().flat_map(|moved| (0..40).map(move |at| (moved, at))) {
            let (dir, sound) = earlier(moved);
            let old_text = slurp(&sound, EARLIER).unwrap();
            let old = sound.get(&name("web-1")).unwrap();
            let mut new = old.clone();
            new.pending.insert(Part::Engine, Pending::Upgrade);
            let done = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&done);
            let hook = move |_: Effect, path: &Path| {
                let n = count.fetch_add(1, Ordering::Relaxed);
                let temporary = path.extension().is_some_and(|ending| ending == "tmp");
                if (crash && n >= at) || (n == at && !temporary) { Err(kind.into()) } else { Ok(()) }
            };
            let faulty =
                FolderStore::with_disk(dir.path(), Disk::with_hook(Arc::new(hook)), Drivers::built_in()).unwrap();
            let result = faulty.put(&new);
            let context = format!("moved {moved}, crash {crash}, at {at}: {result:?}");
            if done.load(Ordering::Relaxed) <= at {
                assert!(result.is_ok(), "{context}");
                continue;
            }
            points += 1;
            let found = sound.get(&old.name).unwrap_or_else(|e| panic!("{context}: {e}"));
            assert!(found == new || result.is_err() && found == old, "{context}");
            // An earlier version finds its record as it was, or stops.
            let theirs = slurp(&sound, EARLIER).unwrap();
            assert!(theirs == old_text || theirs == kdl::STUB, "{context}");
            sound.put(&new).unwrap();
            is_settled(&sound, &new, &old_text);
        }
    }
    assert!(points > 60, "{points}");
}

#[test]
fn a_record_that_an_earlier_version_wrote_later_is_told_and_spared() {
    let (_dir, store) = earlier(false);
    let old = slurp(&store, EARLIER).unwrap();
    let mut record = store.get(&name("web-1")).unwrap();
    record.protect = true;
    store.put(&record).unwrap();
    for theirs in [old.as_str(), &old.replace("record 1\n", "record 1\nprotect #true\n"), "", "record 1\n", "garbage"] {
        scribble(&store, EARLIER, theirs);
        let ours = slurp(&store, RECORD);
        for error in [store.get(&record.name).unwrap_err(), store.put(&record).unwrap_err()] {
            assert!(
                matches!(&error, StoreError::TwoRecords { machine, .. } if machine == "web-1"),
                "{theirs}: {error}"
            );
            assert!(error.to_string().contains("/machines/web-1") && error.help().unwrap().contains("record.kdl"));
        }
        assert_eq!((slurp(&store, RECORD), slurp(&store, EARLIER).as_deref()), (ours, Some(theirs)));
    }
    // Whichever is right, moving the other away is enough.
    scribble(&store, EARLIER, &old);
    erase(&store, RECORD);
    assert!(!store.get(&record.name).unwrap().protect);
}

#[test]
fn what_was_copied_half_is_told_as_such() {
    let (_dir, store) = earlier(false);
    let record = store.get(&name("web-1")).unwrap();
    store.put(&record).unwrap();
    let text = slurp(&store, RECORD).unwrap();
    let why = |store: &FolderStore| {
        let error = store.get(&record.name).unwrap_err();
        assert!(store.snapshot().unwrap().machines.is_empty(), "{error}");
        error.to_string()
    };
    for (cut, want) in [("", "the file is empty"), (" \n", "the file is empty"), (&text[..900], "ends too early")] {
        scribble(&store, RECORD, cut);
        assert!(why(&store).contains("record.json: line ") && why(&store).contains(want), "{}", why(&store));
        assert!(matches!(store.put(&record), Err(StoreError::Broken { .. })));
        assert_eq!(slurp(&store, RECORD).as_deref(), Some(cut), "it is left as it is");
    }
    // Then docker-machine's document is no record: it knows neither fleet nor protection.
    erase(&store, RECORD);
    assert!(why(&store).contains("record.json: it is not there, and the record.kdl beside it says that it should be"));
    assert!(matches!(store.put(&record), Err(StoreError::Broken { .. })));
    assert!(!store.is_sound(&record.name));
    for file in [EARLIER, CONFIG] {
        erase(&store, file);
    }
    assert!(why(&store).contains("neither a record.json nor a config.json: the folder was copied half"));
    // docker-machine takes its document away for a moment when it writes a new one.
    scribble(&store, RECORD, &text);
    assert_eq!(store.get(&record.name).unwrap(), record);
}

#[test]
fn a_store_that_was_moved_is_whole_where_it_is() {
    let key = |record: &MachineRecord| record.instance.as_ref().unwrap().ssh.as_ref().unwrap().key.clone().unwrap();
    // As an earlier version wrote it,
    let (_dir, store) = earlier(true);
    let record = store.get(&name("web-1")).unwrap();
    assert_eq!(key(&record), format!("{}/machines/web-1/id_ed25519", store.root_text));
    // and as this one does.
    store.put(&record).unwrap();
    assert!(slurp(&store, RECORD).unwrap().contains("\"key\": \"./id_ed25519\""));
    assert!(!slurp(&store, RECORD).unwrap().contains(&store.root_text));
    let elsewhere = temp();
    let moved = open(&elsewhere.path().join("store"));
    for file in [RECORD, EARLIER, CONFIG] {
        scribble(&moved, file, &slurp(&store, file).unwrap());
    }
    let there = moved.get(&record.name).unwrap();
    assert_eq!(key(&there), format!("{}/machines/web-1/id_ed25519", moved.root_text));
    // The next write corrects what docker-machine reads.
    moved.put(&there).unwrap();
    let config = slurp(&moved, CONFIG).unwrap();
    assert!(!config.contains(&store.root_text) && !config.contains(WEB[2]), "{config}");
    assert_eq!(store.get(&record.name).unwrap(), record, "the one it was copied from is as it was");
}

#[test]
fn a_version_is_that_of_all_files_of_a_record() {
    let (_dir, store) = earlier(false);
    let web = name("web-1");
    let mut versions = BTreeSet::new();
    let mut next = |store: &FolderStore| {
        let (record, version) = store.load(&web).unwrap();
        assert_eq!(store.load(&web).unwrap(), (record.clone(), version.clone()));
        assert!(versions.insert(version.to_string()), "another content is another version");
        record
    };
    let mut record = next(&store);
    store.put(&record).unwrap();
    next(&store);
    record.protect = true;
    store.put(&record).unwrap();
    next(&store);
    // docker-machine changes its document behind us.
    scribble(&store, CONFIG, &slurp(&store, CONFIG).unwrap().replace("\"SwarmHost\": \"", "\"SwarmHost\": \"x"));
    next(&store);
    store.put(&MachineRecord { uid: Uid::of_random([1; 16]), ..record }).unwrap();
    next(&store);
}
