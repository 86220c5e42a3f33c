//! Records in memory, for tests. Stricter than a directory: what a careful program never does, panics.

use super::{Area, Holder, Lock, Mode, NewFile, Store, StoreError, Subject, file::failed};
use crate::{
    name::{FleetName, MachineName},
    record::{
        Known, MachineRecord, Snapshot, Tombstone,
        codec::{self, Beside, Unknown},
        docker_machine::{ConfigFile, Place},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};
use tempfile::TempDir;

/// How a write ends that blows the fuse.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Blown {
    /// It is not done.
    NotDone,
    /// It is done, but reported as failed: the worst moment to lose an answer.
    DoneButLost,
}

#[derive(Debug, Default)]
struct State {
    records: BTreeMap<MachineName, MachineRecord>,
    broken: BTreeMap<String, String>,
    /// By folder and name.
    files: BTreeMap<(PathBuf, String), (Vec<u8>, Mode)>,
    tombstones: BTreeMap<String, Tombstone>,
    history: Option<String>,
    locks: Arc<Mutex<BTreeMap<Subject, Holder>>>,
    fuse: Option<(usize, Blown)>,
    writes: usize,
    lost: Option<Subject>,
}

/// A store in memory. Its root and the folders of machines are a temporary directory, made at first use.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
    certs: Mutex<()>,
    root: OnceLock<TempDir>,
}

impl MemoryStore {
    /// Lets this many more writes (records, files, removals) succeed; all later ones fail and are not
    /// done. `None`: none fails.
    pub fn set_fuse(&self, writes: Option<usize>) {
        self.state().fuse = writes.map(|n| (n, Blown::NotDone));
    }

    /// As [`set_fuse`](Self::set_fuse), but the first write that fails is done all the same.
    pub fn set_lossy_fuse(&self, writes: Option<usize>) {
        self.state().fuse = writes.map(|n| (n.saturating_add(1), Blown::DoneButLost));
    }

    /// How many writes were tried so far.
    pub fn writes(&self) -> usize {
        self.state().writes
    }

    /// From now on this store's user has lost a lock, and writes nothing.
    pub fn lose(&self, subject: Subject) {
        self.state().lost = Some(subject);
    }

    fn take(&self, subject: Subject, holder: &Holder) -> Result<Box<dyn Lock>, StoreError> {
        let locks = self.state().locks.clone();
        let mut held = locks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(holder) = held.get(&subject) {
            let (holder, pass) = (Box::new(holder.clone()), String::new());
            return Err(StoreError::Locked { subject, holder, pass });
        }
        held.insert(subject.clone(), holder.clone());
        drop(held);
        Ok(Box::new(MemoryLock { subject, locks }))
    }

    /// Makes a machine's record one that will not parse.
    pub fn break_record(&self, name: &str, why: &str) {
        let mut state = self.state();
        state.records.remove(name);
        state.broken.insert(name.to_owned(), why.to_owned());
    }

    /// Who may read a file; `None` when it is not there.
    pub fn mode(&self, area: Area<'_>, file: &str) -> Option<Mode> {
        self.state().files.get(&key(area, file)).map(|(_, mode)| *mode)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked elsewhere has its own message; this one would hide it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does a write, or what the fuse makes of it.
    fn change(&self, what: &str, change: impl FnOnce(&mut State)) -> Result<(), StoreError> {
        let mut state = self.state();
        state.writes += 1;
        if let Some(subject) = &state.lost {
            return Err(StoreError::LostLock { subject: subject.clone(), by: None, unreadable: None });
        }
        let lost = match &mut state.fuse {
            None => false,
            Some((0, _)) => return Err(blown(what)),
            Some((left, Blown::NotDone)) => {
                *left -= 1;
                false
            }
            Some((left, Blown::DoneButLost)) => {
                *left -= 1;
                *left == 0
            }
        };
        change(&mut state);
        if lost { Err(blown(what)) } else { Ok(()) }
    }
}

fn blown(what: &str) -> StoreError {
    failed("write", Path::new(what))(io::ErrorKind::StorageFull.into())
}

fn folder(area: Area<'_>) -> PathBuf {
    match area {
        Area::Certs => PathBuf::from("certs"),
        Area::Machine(name) => Path::new("machines").join(name.as_str()),
        Area::Fleet(name) => Path::new("fleets").join(name.as_str()),
        Area::Outside(path) => {
            assert!(path.is_absolute(), "{} depends on where one stands", path.display());
            path.to_owned()
        }
    }
}

fn key(area: Area<'_>, file: &str) -> (PathBuf, String) {
    assert!(!file.is_empty() && !file.starts_with('.') && !file.contains('/'), "`{file}` is no plain file name");
    (folder(area), file.to_owned())
}

struct MemoryLock {
    subject: Subject,
    locks: Arc<Mutex<BTreeMap<Subject, Holder>>>,
}

impl Lock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.subject);
    }
}

impl Store for MemoryStore {
    fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let state = self.state();
        let known = |record: &MachineRecord| Known { record: record.clone(), observed: None };
        Ok(Snapshot {
            machines: state.records.iter().map(|(name, record)| (name.clone(), known(record))).collect(),
            broken: state.broken.clone(),
            tombstones: state.tombstones.clone(),
            broken_tombstones: BTreeMap::new(),
        })
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        let state = self.state();
        let mut names: Vec<String> = state.records.keys().map(ToString::to_string).collect();
        names.extend(state.broken.keys().cloned());
        names.sort_unstable();
        Ok(names)
    }

    fn is_taken(&self, name: &MachineName) -> Result<bool, StoreError> {
        Ok(self.names()?.iter().any(|taken| taken == name.as_str()))
    }

    fn is_sound(&self, name: &MachineName) -> bool {
        self.state().records.contains_key(name)
    }

    fn get(&self, name: &MachineName) -> Result<MachineRecord, StoreError> {
        let state = self.state();
        if let Some(why) = state.broken.get(name.as_str()) {
            let path = PathBuf::from(name.as_str());
            return Err(StoreError::Broken { machine: name.to_string(), path, why: why.clone() });
        }
        state.records.get(name).cloned().ok_or_else(|| StoreError::Absent(name.to_string()))
    }

    fn put(&self, record: &MachineRecord) -> Result<(), StoreError> {
        let text = codec::encode(record, &Beside::default(), &Unknown::default());
        let back = codec::decode(&text).map(|document| document.record);
        assert_eq!(back.as_ref(), Ok(record), "a record reads back");
        assert!(!self.state().broken.contains_key(record.name.as_str()), "a broken record is left alone");
        self.change(record.name.as_str(), |state| {
            state.records.insert(record.name.clone(), record.clone());
        })
    }

    fn reserve(
        &self,
        record: &MachineRecord,
        files: &[NewFile<'_>],
        seed: &dyn Fn(&mut ConfigFile),
    ) -> Result<(), StoreError> {
        if self.names()?.iter().any(|name| name == record.name.as_str()) {
            return Err(StoreError::Exists(record.name.clone()));
        }
        self.put(record)?;
        self.write_together(Area::Machine(&record.name), files)?;
        let root = self.root().to_string_lossy().into_owned();
        let mut config = ConfigFile::new(Place { root: &root, name: &record.name });
        seed(&mut config);
        self.write(Area::Machine(&record.name), "config.json", config.text().as_bytes(), Mode::Private)
    }

    fn remove(&self, name: &MachineName) -> Result<(), StoreError> {
        self.change(name.as_str(), |state| {
            state.records.remove(name);
            state.broken.remove(name.as_str());
            state.files.retain(|(of, _), _| *of != folder(Area::Machine(name)));
        })
    }

    fn read(&self, area: Area<'_>, file: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state().files.get(&key(area, file)).map(|(content, _)| content.clone()))
    }

    fn write(&self, area: Area<'_>, file: &str, content: &[u8], mode: Mode) -> Result<(), StoreError> {
        self.write_together(area, &[(file, content, mode)])
    }

    fn write_together(&self, area: Area<'_>, files: &[NewFile<'_>]) -> Result<(), StoreError> {
        if let Area::Machine(name) = area {
            let known = self.state().records.contains_key(name);
            assert!(known, "files of `{name}` are written before its record: a crash would leave them behind");
        }
        for (file, content, mode) in files {
            let secret = content.windows(12).any(|window| window == b"PRIVATE KEY-");
            assert!(!secret || *mode == Mode::Private, "`{file}` holds a private key and would be readable by all");
        }
        self.change(files.first().map_or("", |(file, ..)| file), |state| {
            for (file, content, mode) in files {
                state.files.insert(key(area, file), ((*content).to_owned(), *mode));
            }
        })
    }

    fn machine_dir(&self, name: &MachineName) -> Result<PathBuf, StoreError> {
        let dir = self.root().join("machines").join(name.as_str());
        std::fs::create_dir_all(&dir).map_err(failed("make", &dir))?;
        Ok(dir)
    }

    fn root(&self) -> PathBuf {
        let root = self.root.get_or_init(|| tempfile::tempdir().expect("tests can make temporary directories"));
        root.path().to_owned()
    }

    fn id(&self) -> Result<String, StoreError> {
        Ok("00000000000000000000000000000001".to_owned())
    }

    fn tombstones(&self) -> Result<BTreeMap<String, Result<Tombstone, String>>, StoreError> {
        Ok(self.state().tombstones.iter().map(|(id, stone)| (id.clone(), Ok(stone.clone()))).collect())
    }

    fn put_tombstone(&self, tombstone: &Tombstone) -> Result<(), StoreError> {
        assert_eq!(Tombstone::decode(&tombstone.encode()).as_ref(), Ok(tombstone), "a tombstone reads back");
        self.change(&tombstone.id(), |state| {
            state.tombstones.insert(tombstone.id(), tombstone.clone());
        })
    }

    fn remove_tombstone(&self, id: &str) -> Result<(), StoreError> {
        self.change(id, |state| {
            state.tombstones.remove(id);
        })
    }

    fn tombstone_dir(&self) -> Result<PathBuf, StoreError> {
        let dir = self.root().join("tombstones");
        std::fs::create_dir_all(&dir).map_err(failed("make", &dir))?;
        Ok(dir)
    }

    fn append_history(&self, line: &str) -> Result<(), StoreError> {
        assert!(!line.contains('\n'), "a line of the history is one line");
        self.change("history", |state| {
            let history = state.history.get_or_insert_default();
            history.push_str(line);
            history.push('\n');
        })
    }

    fn history(&self, each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<(), StoreError> {
        let history = self.state().history.clone().unwrap_or_default();
        let _ = history.lines().rev().try_for_each(|line| each(line.as_bytes()));
        Ok(())
    }

    fn lock(&self, fleet: &FleetName, holder: &Holder) -> Result<Box<dyn Lock>, StoreError> {
        self.take(Subject::Fleet(fleet.clone()), holder)
    }

    fn lock_machine(&self, machine: &MachineName, holder: &Holder) -> Result<Box<dyn Lock>, StoreError> {
        self.take(Subject::Machine(machine.clone()), holder)
    }

    fn still_held(&self) -> Result<(), StoreError> {
        match &self.state().lost {
            Some(subject) => Err(StoreError::LostLock { subject: subject.clone(), by: None, unreadable: None }),
            None => Ok(()),
        }
    }

    fn with_certs_locked(&self, _: &BTreeSet<PathBuf>, work: &mut dyn FnMut()) -> Result<(), StoreError> {
        let _held = self.certs.lock().unwrap_or_else(PoisonError::into_inner);
        work();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Timestamp, record::OptionValues, store::Doing};

    fn record(name: &str) -> MachineRecord {
        MachineRecord::new(MachineName::new(name).unwrap(), None, "none", OptionValues::new())
    }

    #[test]
    fn a_fuse_counts_writes_and_may_lie_about_the_last() {
        for lossy in [false, true] {
            let store = MemoryStore::default();
            let fuse = if lossy { MemoryStore::set_lossy_fuse } else { MemoryStore::set_fuse };
            fuse(&store, Some(1));
            store.put(&record("a")).unwrap();
            store.put(&record("b")).unwrap_err();
            store.put(&record("c")).unwrap_err();
            let want: &[&str] = if lossy { &["a", "b"] } else { &["a"] };
            assert_eq!(store.names().unwrap(), want);
            assert_eq!(store.writes(), 3);
            store.set_fuse(None);
            store.remove(&record("a").name).unwrap();
            store.remove(&record("a").name).unwrap();
        }
    }

    #[test]
    fn a_fleet_is_locked_until_its_holder_lets_go() {
        let store = MemoryStore::default();
        let fleet = FleetName::new("f").unwrap();
        let holder =
            Holder { who: "a@b".to_owned(), pid: 1, doing: Doing::fleet("apply", &fleet), since: Timestamp(0) };
        let held = store.lock(&fleet, &holder).unwrap();
        assert!(matches!(store.lock(&fleet, &holder), Err(StoreError::Locked { .. })));
        drop(held);
        store.lock(&fleet, &holder).unwrap();
    }

    #[test]
    #[should_panic(expected = "before its record")]
    fn files_before_the_record_are_a_mistake() {
        let store = MemoryStore::default();
        let _ = store.write(Area::Machine(&record("a").name), "server.pem", b"x", Mode::Public);
    }

    #[test]
    #[should_panic(expected = "readable by all")]
    fn a_public_private_key_is_a_mistake() {
        let _ = MemoryStore::default().write(Area::Certs, "key.pem", b"-----BEGIN PRIVATE KEY-----", Mode::Public);
    }
}
