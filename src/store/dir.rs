//! docker-machine's directory, so that both programs can work on it.
//!
//! Beside docker-machine's `machines/NAME/config.json` lies our `record.json`, which docker-machine ignores
//! and which holds what config.json cannot. It also holds the digest of the config.json we wrote: when
//! that has changed, docker-machine changed it, and what it says of address and login is taken over. A
//! machine with a config.json only is foreign, and readable. Reading never writes, not even to migrate.
//!
//! Earlier versions had the record in `record.kdl`. It is read where there is no `record.json`; the first write makes
//! one, keeps the old text once as `record.kdl.bak`, and leaves a stub that those versions refuse.
//!
//! What is wrong with one machine never concerns another (pain 9).

use super::{
    Area, Holder, Lock, Mode, NewFile, Seen, Sight, Store, StoreError, Subject, alive,
    aside::Aside,
    file::{Files, Staged, failed, hidden},
    journal::Journal,
    lock::{self, Locks},
};
use crate::{
    name::{FleetName, MachineName},
    panicked::caught,
    record::{Known, MachineRecord, OptionFields, Snapshot, Tombstone, Version, codec::Unknown, docker_machine::Place},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fmt::Write as _,
    fs::{self, File},
    io,
    ops::ControlFlow,
    path::{Component, Path, PathBuf},
    sync::Arc,
    thread,
};

const RECORD: &str = "record.json";
const EARLIER: &str = "record.kdl";
const CONFIG: &str = "config.json";

#[path = "dir_folder.rs"]
mod folder;

#[path = "dir_found.rs"]
mod found;

#[path = "dir_locks.rs"]
mod locks;

use folder::{New, Seed};
use found::{Earlier, Found};

/// A store in docker-machine's layout.
#[derive(Clone, Debug)]
pub struct DirStore {
    root: PathBuf,
    /// `root` as config.json has it.
    root_text: String,
    files: Files,
    locks: Locks,
    fields: Arc<dyn OptionFields>,
}

impl DirStore {
    /// The store at `root`, which need not exist. `fields` knows what drivers keep in config.json.
    ///
    /// # Errors
    /// When `root` is relative and the current directory is gone.
    pub fn new(root: impl AsRef<Path>, fields: impl OptionFields + 'static) -> Result<Self, StoreError> {
        Self::with_files(root.as_ref(), Files::default(), fields)
    }

    fn with_files(root: &Path, files: Files, fields: impl OptionFields + 'static) -> Result<Self, StoreError> {
        let root = std::path::absolute(root).map_err(failed("find", root))?;
        // `components` drops `.`, `//` and a trailing `/`, so that paths in config.json look as they should.
        let root: PathBuf = root.components().collect();
        let root_text = root.to_string_lossy().into_owned();
        Ok(Self { root, root_text, files, locks: Locks::default(), fields: Arc::new(fields) })
    }

    fn aside(&self) -> Aside<'_> {
        Aside { root: &self.root, files: &self.files, fields: &*self.fields }
    }

    fn machines(&self) -> PathBuf {
        self.root.join("machines")
    }

    fn dir_of(&self, name: &MachineName) -> PathBuf {
        self.machines().join(name.as_str())
    }

    /// The machine's folder, as records have it.
    fn dir_text(&self, name: &MachineName) -> String {
        format!("{}/machines/{name}", self.root_text)
    }

    /// One record, and which state of the machine's files that is.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn get_versioned(&self, name: &MachineName) -> Result<(MachineRecord, Version), StoreError> {
        self.load(name)
    }

    /// What of the record that was found this version does not know, to be written back with `record`.
    fn unknown(&self, record: &MachineRecord, found: &Found) -> Result<Unknown, StoreError> {
        let document = self.decode(&record.name, found)?;
        let text = found.record.as_deref().and_then(|text| std::str::from_utf8(text).ok());
        let (Some(text), Some(document)) = (text, document) else { return Ok(Unknown::default()) };
        let unknown = Unknown::of(text, &document);
        // What was noted of another instance says nothing of this one.
        Ok(if document.record.uid == record.uid { unknown } else { unknown.without("instance") })
    }

    fn place<'a>(&'a self, name: &'a MachineName) -> Place<'a> {
        Place { root: &self.root_text, name }
    }

    fn folder(&self, area: Area<'_>) -> PathBuf {
        match area {
            Area::Certs => self.root.join("certs"),
            Area::Machine(name) => self.dir_of(name),
            Area::Fleet(name) => self.root.join("fleets").join(name.as_str()),
            Area::Outside(path) => path.to_owned(),
        }
    }

    /// The file in the area, unless its name could lead elsewhere.
    fn file(&self, area: Area<'_>, file: &str) -> Result<PathBuf, StoreError> {
        let folder = self.folder(area);
        let mut parts = Path::new(file).components();
        match (parts.next(), parts.next()) {
            (Some(Component::Normal(name)), None) if name == OsStr::new(file) => Ok(folder.join(file)),
            _ => Err(failed("name", &folder.join(file))(io::ErrorKind::InvalidInput.into())),
        }
    }

    /// One writer of records at a time; readers need no lock. Ends with the file. A run that lost one of its locks
    /// writes nothing any more, and while this is held no lock can be taken.
    fn write_lock(&self) -> Result<File, StoreError> {
        let guard = alive::wait(&self.guard()?, lock::GUARD)?;
        self.locks.check()?;
        Ok(guard)
    }

    fn guard(&self) -> Result<PathBuf, StoreError> {
        self.files.make_dir(&self.machines())?;
        Ok(self.machines().join(".lock"))
    }

    /// As [`write_lock`](Self::write_lock), for files that lie beside a record.
    fn area_lock(&self, area: Area<'_>) -> Result<Option<File>, StoreError> {
        match area {
            Area::Machine(_) | Area::Fleet(_) => self.write_lock().map(Some),
            // Certificates have a lock of their own.
            Area::Certs | Area::Outside(_) => Ok(None),
        }
    }

    /// What was interrupted while it was made or removed.
    fn leftovers(&self) -> Result<Vec<PathBuf>, StoreError> {
        let machines = self.machines();
        let entries = match fs::read_dir(&machines) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(failed("read", &machines))?,
        };
        let mut left = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed("read", &machines))?.path();
            let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if hidden && path.extension().is_some_and(|ending| ending == "removed" || ending == "new") {
                left.push(path);
            }
        }
        Ok(left)
    }

    /// Deletes [`leftovers`](Self::leftovers), in which keys may lie. No run makes or removes a machine meanwhile.
    fn sweep(&self) -> Result<(), StoreError> {
        self.sweep_locks()?;
        self.leftovers()?.iter().try_for_each(|path| self.files.remove_dir(path))
    }
}

/// Whether a text has what every document of docker-machine has.
fn is_document(text: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Head {
        #[serde(rename = "DriverName")]
        driver: String,
    }
    serde_json::from_slice::<Head>(text).is_ok_and(|head| !head.driver.is_empty())
}

/// Whether nothing may be written there at all.
fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

impl Store for DirStore {
    fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let names = self.names()?;
        let read = |names: &[String]| -> Vec<(String, Result<MachineRecord, String>)> {
            let load = |name: &String| {
                let valid = MachineName::new(name.as_str()).map_err(|e| e.to_string())?;
                // A mistake of ours in one record is none in all others.
                let loaded = caught(|| self.load(&valid)).map_err(|panicked| panicked.to_string())?;
                loaded.map(|(record, _)| record).map_err(|e| e.to_string())
            };
            names.iter().map(|name| (name.clone(), load(name))).collect()
        };
        let threads = thread::available_parallelism().map_or(1, usize::from).min(8);
        // A thread costs as much as reading a few records.
        let share = names.len().div_ceil(threads).max(32);
        let results = thread::scope(|scope| -> Vec<_> {
            let workers: Vec<_> = names.chunks(share).map(|part| scope.spawn(move || read(part))).collect();
            workers.into_iter().flat_map(|w| w.join().expect("what panics in a record is caught there")).collect()
        });
        let mut snapshot = Snapshot::default();
        for (name, result) in results {
            match result {
                Ok(record) => {
                    snapshot.machines.insert(record.name.clone(), Known { record, observed: None });
                }
                Err(why) => {
                    snapshot.broken.insert(name, why);
                }
            }
        }
        snapshot.add_tombstones(self.tombstones()?);
        Ok(snapshot)
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        let machines = self.machines();
        let entries = match fs::read_dir(&machines) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(failed("read", &machines))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed("read", &machines))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') && entry.file_type().map_err(failed("read", &machines))?.is_dir() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn is_taken(&self, name: &MachineName) -> Result<bool, StoreError> {
        let dir = self.dir_of(name);
        match fs::symlink_metadata(&dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            other => other.map(|_| true).map_err(failed("read", &dir)),
        }
    }

    fn is_sound(&self, name: &MachineName) -> bool {
        let dir = self.dir_of(name);
        let size = |file: &str| fs::metadata(dir.join(file)).map_or(0, |about| about.len());
        if size(RECORD) > 0 {
            return true;
        }
        match found::earlier(&dir.join(EARLIER)) {
            Ok(Earlier::Record(text)) => !text.is_empty(),
            Ok(Earlier::Absent) => Files::read(&dir.join(CONFIG)).ok().flatten().is_some_and(|text| is_document(&text)),
            // It says that there is a record, and there is none.
            Ok(Earlier::Stub) | Err(_) => false,
        }
    }

    fn get(&self, name: &MachineName) -> Result<MachineRecord, StoreError> {
        self.load(name).map(|(record, _)| record)
    }

    fn put(&self, record: &MachineRecord) -> Result<(), StoreError> {
        let record = &self.fields.without_secrets(record);
        let _lock = self.write_lock()?;
        let dir = self.dir_of(&record.name);
        let found = self.find(&record.name)?;
        let unknown = &self.unknown(record, &found)?;
        if let (None, Earlier::Absent, Some(config)) = (&found.record, &found.earlier, &found.config) {
            // A foreign machine that cannot be read: not ours to overwrite.
            self.parse_config(&record.name, &config.text)
                .map_err(|e| self.broken(record.name.as_str(), CONFIG, e.to_string()))?;
        }
        let new = New { record, unknown, files: &[], seed: &|_| {} };
        if dir.is_dir() { self.write_files(&dir, &new, &found) } else { self.make_machine(&dir, &new, &found) }
    }

    fn reserve(&self, record: &MachineRecord, files: &[NewFile<'_>], seed: Seed<'_>) -> Result<(), StoreError> {
        let record = &self.fields.without_secrets(record);
        let _lock = self.write_lock()?;
        let dir = self.dir_of(&record.name);
        files.iter().try_for_each(|(file, ..)| self.file(Area::Machine(&record.name), file).map(drop))?;
        if self.is_taken(&record.name)? {
            return Err(StoreError::Exists(record.name.clone()));
        }
        // Of a run that was killed; what cannot be deleted now is no reason to make nothing.
        let _ = self.sweep();
        self.make_machine(&dir, &New { record, unknown: &Unknown::default(), files, seed }, &Found::nothing())
    }

    fn remove(&self, name: &MachineName) -> Result<(), StoreError> {
        let dir = self.dir_of(name);
        match fs::symlink_metadata(&dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                if self.leftovers()?.is_empty() && !self.has_holders()? {
                    return Ok(());
                }
            }
            Err(e) => return Err(failed("remove", &dir)(e)),
            Ok(_) => {}
        }
        let _lock = self.write_lock()?;
        // Gone at once, whatever happens while its files are deleted.
        match self.files.rename_dir(&dir, &hidden(&dir, "removed"), "remove") {
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
        self.sweep()
    }

    fn read(&self, area: Area<'_>, file: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Files::read(&self.file(area, file)?)
    }

    fn write(&self, area: Area<'_>, file: &str, content: &[u8], mode: Mode) -> Result<(), StoreError> {
        let path = self.file(area, file)?;
        let _lock = self.area_lock(area)?;
        self.files.make_dir(&self.folder(area))?;
        self.files.write(&path, content, mode)
    }

    fn write_together(&self, area: Area<'_>, files: &[NewFile<'_>]) -> Result<(), StoreError> {
        let folder = self.folder(area);
        let _lock = self.area_lock(area)?;
        self.files.make_dir(&folder)?;
        let stage = |(name, content, mode): &NewFile<'_>| -> Result<Staged<'_>, StoreError> {
            self.files.stage(&self.file(area, name)?, content, *mode)
        };
        // Everything that a full disk can refuse comes before anything is changed.
        let staged = files.iter().map(stage).collect::<Result<Vec<_>, _>>()?;
        staged.into_iter().try_for_each(Staged::name)?;
        self.files.sync_dir(&folder)
    }

    fn machine_dir(&self, name: &MachineName) -> Result<PathBuf, StoreError> {
        let dir = self.dir_of(name);
        if !dir.is_dir() {
            let _lock = self.write_lock()?;
            self.files.make_dir(&dir)?;
        }
        Ok(dir)
    }

    fn root(&self) -> PathBuf {
        self.root.clone()
    }

    fn id(&self) -> Result<String, StoreError> {
        let path = self.root.join("machine-id");
        if Files::read(&path)?.is_none() {
            self.files.make_dir(&self.root)?;
            let mut random = [0_u8; 16];
            aws_lc_rs::rand::fill(&mut random).map_err(|_| failed("make", &path)(io::Error::other("no randomness")))?;
            let id = random.iter().fold(String::new(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            });
            self.files.write_once(&path, id.as_bytes())?;
        }
        // Not what we made up: another process may have been first.
        let bytes = Files::read(&path)?.unwrap_or_default();
        let id = String::from_utf8_lossy(&bytes).trim().to_owned();
        if id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(id);
        }
        Err(failed("use", &path)(io::Error::new(io::ErrorKind::InvalidData, "it does not hold 32 hex digits")))
    }

    fn tombstones(&self) -> Result<BTreeMap<String, Result<Tombstone, String>>, StoreError> {
        self.aside().tombstones()
    }

    fn put_tombstone(&self, tombstone: &Tombstone) -> Result<(), StoreError> {
        self.aside().put_tombstone(tombstone)
    }

    fn remove_tombstone(&self, id: &str) -> Result<(), StoreError> {
        self.aside().remove_tombstone(id)
    }

    fn tombstone_dir(&self) -> Result<PathBuf, StoreError> {
        self.aside().tombstone_dir()
    }

    fn append_history(&self, line: &str) -> Result<(), StoreError> {
        Journal::new(&self.root, &self.files).append(line)
    }

    fn history(&self, each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<(), StoreError> {
        Journal::new(&self.root, &self.files).back(each).map(drop)
    }

    fn lock(&self, fleet: &FleetName, holder: &Holder) -> Result<Box<dyn Lock>, StoreError> {
        let held = self.take(&Subject::Fleet(fleet.clone()), holder)?;
        // Of a run that was killed. What cannot be deleted now is by the next one.
        if !self.leftovers()?.is_empty() {
            let _ = self.write_lock().and_then(|_lock| self.sweep());
        }
        Ok(held)
    }

    fn lock_machine(&self, machine: &MachineName, holder: &Holder) -> Result<Box<dyn Lock>, StoreError> {
        self.take(&Subject::Machine(machine.clone()), holder)
    }

    fn still_held(&self) -> Result<(), StoreError> {
        self.locks.check()
    }

    fn passes(&self) -> String {
        self.locks.passes()
    }

    fn locks(&self) -> Result<Vec<Seen>, StoreError> {
        self.seen()
    }

    fn break_lock(&self, subject: &Subject) -> Result<Option<Sight>, StoreError> {
        lock::break_up(&self.files, &self.root, &self.guard()?, subject)
    }

    fn with_certs_locked(&self, outside: &BTreeSet<PathBuf>, work: &mut dyn FnMut()) -> Result<(), StoreError> {
        let certs = self.folder(Area::Certs);
        // In one order for all, so that two stores that share files do not wait for each other.
        let folders: BTreeSet<&PathBuf> = outside.iter().chain([&certs]).collect();
        let mut locks = Vec::new();
        for folder in folders {
            let locked = self.files.make_dir(folder).and_then(|()| alive::wait(&folder.join(".lock"), lock::CERTS));
            match locked {
                Ok(lock) => locks.push(lock),
                // A folder in which we may write nothing is none we could spoil.
                Err(StoreError::Io { source, .. }) if *folder != certs && is_closed(&source) => {}
                Err(e) => return Err(e),
            }
        }
        work();
        Ok(())
    }
}

#[cfg(test)]
#[path = "dir_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "dir_earlier_tests.rs"]
mod earlier_tests;
