//! A store in memory, for tests. Stricter than a directory: what a careful program never does, panics.

use super::{
    Area, Expect, Files, Held, Holder, Journal, Leases, MachineChange, Mode, NewFile, Records, Scope, Seen, Sight,
    StoreError, Subject, folder::failed,
};
use crate::{
    name::MachineName,
    record::{
        Known, MachineRecord, Snapshot, Tombstone, Version,
        codec::{self, Beside, Unknown},
        docker_machine::{ConfigFile, Place},
    },
};
use async_trait::async_trait;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
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
    leases: BTreeMap<u64, (Scope, Holder)>,
    taken: u64,
    fuse: Option<(usize, Blown)>,
    writes: usize,
    lost: Option<Subject>,
}

impl State {
    fn version(&self, name: &MachineName) -> Option<Version> {
        let broken = self.broken.get(name.as_str()).map(|why| Version::of(&[None, Some(why.as_bytes())]));
        self.records.get(name).map(version).or(broken)
    }
}

/// A store in memory. Its root and the folders of machines are a temporary directory, made at first use.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
    certs: Arc<tokio::sync::Mutex<()>>,
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

    /// Makes a machine's record one that will not parse.
    pub fn break_record(&self, name: &str, why: &str) {
        let mut state = self.state();
        state.records.remove(name);
        state.broken.insert(name.to_owned(), why.to_owned());
    }

    /// One record, as a test sees it.
    ///
    /// # Errors
    /// As [`Records::get`].
    pub fn get(&self, name: &MachineName) -> Result<MachineRecord, StoreError> {
        self.find(name).map(|(record, _)| record)
    }

    /// Puts a record there, as a test does, whatever there was.
    ///
    /// # Errors
    /// When the fuse is blown.
    pub fn put(&self, record: &MachineRecord) -> Result<(), StoreError> {
        let version = self.state().records.get(&record.name).map(version);
        let expect = version.as_ref().map_or(Expect::Absent, Expect::Is);
        self.write_if(MachineChange::of(record), expect).map(drop)
    }

    /// All records, as a test sees them.
    pub fn all(&self) -> Snapshot {
        let state = self.state();
        let known = |record: &MachineRecord| Known { record: record.clone(), observed: None };
        Snapshot {
            machines: state.records.iter().map(|(name, record)| (name.clone(), known(record))).collect(),
            broken: state.broken.clone(),
            tombstones: state.tombstones.clone(),
            broken_tombstones: BTreeMap::new(),
        }
    }

    fn find(&self, name: &MachineName) -> Result<(MachineRecord, Version), StoreError> {
        let state = self.state();
        if let Some(why) = state.broken.get(name.as_str()) {
            let path = PathBuf::from(name.as_str());
            return Err(StoreError::Broken { machine: name.to_string(), path, why: why.clone() });
        }
        let record = state.records.get(name).ok_or_else(|| StoreError::Absent(name.to_string()))?;
        Ok((record.clone(), version(record)))
    }

    fn write_if(&self, change: MachineChange<'_>, expect: Expect<'_>) -> Result<Version, StoreError> {
        let MachineChange { record, files, seed } = change;
        let text = codec::encode(record, &Beside::default(), &Unknown::default());
        let back = codec::decode(&text).map(|document| document.record);
        assert_eq!(back.as_ref(), Ok(record), "a record reads back");
        files.iter().for_each(check);
        let root = self.root().to_string_lossy().into_owned();
        let mut config = ConfigFile::new(Place { root: &root, name: &record.name });
        seed(&mut config);
        let expected = |state: &State| {
            let found = state.records.get(&record.name).map(version);
            let broken = state.broken.contains_key(record.name.as_str());
            match expect {
                Expect::Absent if found.is_some() || broken => Err(StoreError::Exists(record.name.clone())),
                Expect::Is(version) if found.as_ref() != Some(version) => Err(StoreError::Moved(record.name.clone())),
                Expect::Absent | Expect::Is(_) => Ok(()),
            }
        };
        self.change_if(record.name.as_str(), expected, |state| {
            if state.records.insert(record.name.clone(), record.clone()).is_none() {
                let file = key(Area::Machine(&record.name), "config.json");
                state.files.insert(file, (config.text().into_bytes(), Mode::Private));
            }
            for (file, content, mode) in files {
                state.files.insert(key(Area::Machine(&record.name), file), ((*content).to_owned(), *mode));
            }
        })?;
        Ok(version(record))
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
        self.change_if(what, |_| Ok(()), change)
    }

    /// As [`change`](Self::change), if it is as expected then.
    fn change_if(
        &self,
        what: &str,
        expected: impl FnOnce(&State) -> Result<(), StoreError>,
        change: impl FnOnce(&mut State),
    ) -> Result<(), StoreError> {
        let mut state = self.state();
        expected(&state)?;
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

fn version(record: &MachineRecord) -> Version {
    Version::of(&[Some(codec::encode(record, &Beside::default(), &Unknown::default()).as_bytes())])
}

/// A private key must not be readable by all.
fn check((file, content, mode): &NewFile<'_>) {
    let secret = content.windows(12).any(|window| window == b"PRIVATE KEY-");
    assert!(!secret || *mode == Mode::Private, "`{file}` holds a private key and would be readable by all");
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

/// A lease that is held.
struct MemoryLease {
    id: u64,
    state: Arc<Mutex<State>>,
}

impl Held for MemoryLease {}

impl Drop for MemoryLease {
    fn drop(&mut self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).leases.remove(&self.id);
    }
}

/// Certificates that are held.
struct MemoryCerts(#[expect(dead_code, reason = "it is held, not used")] tokio::sync::OwnedMutexGuard<()>);

impl Held for MemoryCerts {}

#[async_trait]
impl Records for MemoryStore {
    async fn names(&self) -> Result<Vec<String>, StoreError> {
        let state = self.state();
        let mut names: Vec<String> = state.records.keys().map(ToString::to_string).collect();
        names.extend(state.broken.keys().cloned());
        names.sort_unstable();
        Ok(names)
    }

    async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Ok(self.all())
    }

    async fn get(&self, name: &MachineName) -> Result<(MachineRecord, Version), StoreError> {
        self.find(name)
    }

    async fn version(&self, name: &MachineName) -> Result<Option<Version>, StoreError> {
        Ok(self.state().version(name))
    }

    async fn is_sound(&self, name: &MachineName) -> bool {
        self.state().records.contains_key(name)
    }

    async fn put_if(&self, change: MachineChange<'_>, expect: Expect<'_>) -> Result<Version, StoreError> {
        self.write_if(change, expect)
    }

    async fn delete_if(&self, name: &MachineName, expect: &Version) -> Result<(), StoreError> {
        let expected = |state: &State| match state.version(name) {
            Some(found) if found != *expect => Err(StoreError::Moved(name.clone())),
            _ => Ok(()),
        };
        self.change_if(name.as_str(), expected, |state| {
            state.records.remove(name);
            state.broken.remove(name.as_str());
            state.files.retain(|(of, _), _| *of != folder(Area::Machine(name)));
        })
    }

    async fn tombstones(&self) -> Result<BTreeMap<String, Result<Tombstone, String>>, StoreError> {
        Ok(self.state().tombstones.iter().map(|(id, stone)| (id.clone(), Ok(stone.clone()))).collect())
    }

    async fn put_tombstone(&self, tombstone: &Tombstone) -> Result<(), StoreError> {
        assert_eq!(Tombstone::decode(&tombstone.encode()).as_ref(), Ok(tombstone), "a tombstone reads back");
        self.change(&tombstone.id(), |state| {
            state.tombstones.insert(tombstone.id(), tombstone.clone());
        })
    }

    async fn remove_tombstone(&self, id: &str) -> Result<(), StoreError> {
        self.change(id, |state| {
            state.tombstones.remove(id);
        })
    }

    async fn id(&self) -> Result<String, StoreError> {
        Ok("00000000000000000000000000000001".to_owned())
    }
}

#[async_trait]
impl Files for MemoryStore {
    async fn read(&self, area: Area<'_>, file: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state().files.get(&key(area, file)).map(|(content, _)| content.clone()))
    }

    async fn write(&self, area: Area<'_>, files: &[NewFile<'_>]) -> Result<(), StoreError> {
        if let Area::Machine(name) = area {
            let known = self.state().records.contains_key(name);
            assert!(known, "files of `{name}` are written before its record: a crash would leave them behind");
        }
        files.iter().for_each(check);
        self.change(files.first().map_or("", |(file, ..)| file), |state| {
            for (file, content, mode) in files {
                state.files.insert(key(area, file), ((*content).to_owned(), *mode));
            }
        })
    }

    async fn machine_dir(&self, name: &MachineName) -> Result<PathBuf, StoreError> {
        let dir = self.root().join("machines").join(name.as_str());
        std::fs::create_dir_all(&dir).map_err(failed("make", &dir))?;
        Ok(dir)
    }

    async fn tombstone_dir(&self) -> Result<PathBuf, StoreError> {
        let dir = self.root().join("tombstones");
        std::fs::create_dir_all(&dir).map_err(failed("make", &dir))?;
        Ok(dir)
    }

    fn root(&self) -> &Path {
        self.root.get_or_init(|| tempfile::tempdir().expect("tests can make temporary directories")).path()
    }

    async fn hold_certificates(&self, _: &BTreeSet<PathBuf>) -> Result<Box<dyn Held>, StoreError> {
        Ok(Box::new(MemoryCerts(self.certs.clone().lock_owned().await)))
    }
}

#[async_trait]
impl Leases for MemoryStore {
    async fn take(&self, scope: &Scope, holder: &Holder) -> Result<Box<dyn Held>, StoreError> {
        let mut state = self.state();
        for (id, (theirs, holder)) in &state.leases {
            if let Some(subject) = scope.meets(theirs) {
                return Err(StoreError::Locked { subject, holder: Box::new(holder.clone()), pass: id.to_string() });
            }
        }
        state.taken += 1;
        let id = state.taken;
        state.leases.insert(id, (scope.clone(), holder.clone()));
        Ok(Box::new(MemoryLease { id, state: Arc::clone(&self.state) }))
    }

    async fn still_held(&self) -> Result<(), StoreError> {
        match &self.state().lost {
            Some(subject) => Err(StoreError::LostLock { subject: subject.clone(), by: None, unreadable: None }),
            None => Ok(()),
        }
    }

    fn passes(&self) -> String {
        self.state().leases.keys().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    async fn held(&self) -> Result<Vec<Seen>, StoreError> {
        let seen = |(scope, holder): &(Scope, Holder)| Seen {
            scope: Some(scope.clone()),
            state: Sight::Held { holder: holder.clone(), silent: Duration::ZERO, alive: true },
        };
        Ok(self.state().leases.values().map(seen).collect())
    }

    async fn end(&self, subject: &Subject) -> Result<(), StoreError> {
        let mut state = self.state();
        let before = state.leases.len();
        state.leases.retain(|_, (scope, _)| !scope.has(subject));
        // All who use this store are one process.
        if state.leases.len() < before {
            state.lost = Some(subject.clone());
        }
        Ok(())
    }
}

#[async_trait]
impl Journal for MemoryStore {
    async fn append(&self, line: &str) -> Result<(), StoreError> {
        assert!(!line.contains('\n'), "a line of the history is one line");
        self.change("history", |state| {
            let history = state.history.get_or_insert_default();
            history.push_str(line);
            history.push('\n');
        })
    }

    async fn tail(&self, each: &mut (dyn for<'l> FnMut(&'l [u8]) -> ControlFlow<()> + Send)) -> Result<(), StoreError> {
        let history = self.state().history.clone().unwrap_or_default();
        let _ = history.lines().rev().try_for_each(|line| each(line.as_bytes()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::OptionValues;

    fn record(name: &str) -> MachineRecord {
        MachineRecord::new(MachineName::new(name).unwrap(), None, "none", OptionValues::new())
    }

    #[tokio::test]
    async fn a_fuse_counts_writes_and_may_lie_about_the_last() {
        for lossy in [false, true] {
            let store = MemoryStore::default();
            let fuse = if lossy { MemoryStore::set_lossy_fuse } else { MemoryStore::set_fuse };
            fuse(&store, Some(1));
            store.put(&record("a")).unwrap();
            store.put(&record("b")).unwrap_err();
            store.put(&record("c")).unwrap_err();
            let want: &[&str] = if lossy { &["a", "b"] } else { &["a"] };
            assert_eq!(store.names().await.unwrap(), want);
            assert_eq!(store.writes(), 3);
            store.set_fuse(None);
            let version = version(&record("a"));
            store.delete_if(&record("a").name, &version).await.unwrap();
            store.delete_if(&record("a").name, &version).await.unwrap();
        }
    }

    #[tokio::test]
    #[should_panic(expected = "before its record")]
    async fn files_before_the_record_are_a_mistake() {
        let store = MemoryStore::default();
        let _ = store.write(Area::Machine(&record("a").name), &[("server.pem", b"x", Mode::Public)]).await;
    }

    #[tokio::test]
    #[should_panic(expected = "readable by all")]
    async fn a_public_private_key_is_a_mistake() {
        let key = [("key.pem", &b"-----BEGIN PRIVATE KEY-----"[..], Mode::Public)];
        let _ = MemoryStore::default().write(Area::Certs, &key).await;
    }
}
