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

mod alive;
mod backend;
mod disk;
mod earlier_locks;
mod found;
mod journal;
mod leases;
mod tombstones;
mod written;

use super::{Area, Expect, MachineChange, NewFile, StoreError};
use crate::{
    name::MachineName,
    panicked::caught,
    record::{Known, MachineRecord, OptionFields, Snapshot, Version, codec::Unknown, docker_machine::Place},
};
pub(in crate::store) use disk::failed;
use disk::{Disk, Staged, hidden};
use found::{Earlier, Found};
use leases::{FolderLeases, Ground};
use std::{
    ffi::OsStr,
    fmt::Write as _,
    fs::{self, File},
    io,
    path::{Component, Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};
use tombstones::Tombstones;
use written::New;

const RECORD: &str = "record.json";
const EARLIER: &str = "record.kdl";
const CONFIG: &str = "config.json";

/// A store in docker-machine's layout.
#[derive(Clone, Debug)]
pub struct FolderStore {
    root: PathBuf,
    /// `root` as config.json has it.
    root_text: String,
    disk: Disk,
    leases: FolderLeases,
    fields: Arc<dyn OptionFields>,
}

impl FolderStore {
    /// The store at `root`, which need not exist. `fields` knows what drivers keep in config.json.
    ///
    /// # Errors
    /// When `root` is relative and the current directory is gone.
    pub fn new(root: impl AsRef<Path>, fields: impl OptionFields + 'static) -> Result<Self, StoreError> {
        Self::with_disk(root.as_ref(), Disk::default(), fields)
    }

    fn with_disk(root: &Path, disk: Disk, fields: impl OptionFields + 'static) -> Result<Self, StoreError> {
        let root = std::path::absolute(root).map_err(failed("find", root))?;
        // `components` drops `.`, `//` and a trailing `/`, so that paths in config.json look as they should.
        let root: PathBuf = root.components().collect();
        let root_text = root.to_string_lossy().into_owned();
        Ok(Self { root, root_text, disk, leases: FolderLeases::default(), fields: Arc::new(fields) })
    }

    /// A store whose leases expire sooner than others' do; for tests, which do not wait a minute.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_lease(
        root: impl AsRef<Path>,
        lease: Duration,
        fields: impl OptionFields + 'static,
    ) -> Result<Self, StoreError> {
        Ok(Self { leases: FolderLeases::with_lease(lease, lease / 6), ..Self::new(root, fields)? })
    }

    fn tombstones(&self) -> Tombstones<'_> {
        Tombstones { root: &self.root, disk: &self.disk, fields: &*self.fields }
    }

    fn ground<'a>(&'a self, guard: &'a Path) -> Ground<'a> {
        Ground { disk: &self.disk, root: &self.root, guard }
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
        let guard = alive::wait(&self.guard()?, leases::GUARD)?;
        self.leases.check(&self.root)?;
        Ok(guard)
    }

    fn guard(&self) -> Result<PathBuf, StoreError> {
        self.disk.make_dir(&self.machines())?;
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
        let mut left = Vec::new();
        for entry in Disk::entries(&machines)? {
            let path = entry.path();
            let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if hidden && path.extension().is_some_and(|ending| ending == "removed" || ending == "new") {
                left.push(path);
            }
        }
        Ok(left)
    }

    /// Deletes [`leftovers`](Self::leftovers), in which keys may lie. No run makes or removes a machine meanwhile.
    fn sweep(&self) -> Result<(), StoreError> {
        leases::sweep(self.ground(&self.guard()?))?;
        self.leftovers()?.iter().try_for_each(|path| self.disk.remove_dir(path))
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

/// The same as the traits, without their promise to wait for anything: a folder answers at once.
impl FolderStore {
    fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let names = self.names()?;
        let read = |names: &[String]| -> Vec<(String, Result<MachineRecord, String>)> {
            let load = |name: &String| {
                let valid = MachineName::new(name.as_str()).map_err(|e| e.to_string())?;
                // A mistake of ours in one record is none in all others.
                let read = || self.find(&valid).and_then(|found| self.record_of(&valid, found));
                caught(read).map_err(|panicked| panicked.to_string())?.map_err(|e| e.to_string())
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
        snapshot.add_tombstones(self.tombstones().all()?);
        Ok(snapshot)
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        let machines = self.machines();
        let mut names = Vec::new();
        for entry in Disk::entries(&machines)? {
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
            Ok(Earlier::Absent) => Disk::read(&dir.join(CONFIG)).ok().flatten().is_some_and(|text| is_document(&text)),
            // It says that there is a record, and there is none.
            Ok(Earlier::Stub) | Err(_) => false,
        }
    }

    fn version(&self, name: &MachineName) -> Result<Option<Version>, StoreError> {
        Ok(self.is_taken(name)?.then(|| self.state(name)))
    }

    /// Which state a machine is in that is there. One that cannot be read can be removed all the same.
    fn state(&self, name: &MachineName) -> Version {
        match self.find(name) {
            Ok(found) => found.version(),
            Err(e) => Version::of(&[Some(e.to_string().as_bytes())]),
        }
    }

    fn put_if(&self, change: MachineChange<'_>, expect: Expect<'_>) -> Result<Version, StoreError> {
        let MachineChange { record, files, seed } = change;
        let record = &self.fields.without_secrets(record);
        let name = &record.name;
        files.iter().try_for_each(|(file, ..)| self.file(Area::Machine(name), file).map(drop))?;
        let _guard = self.write_lock()?;
        let dir = self.dir_of(name);
        match expect {
            Expect::Absent => {
                if self.is_taken(name)? {
                    return Err(StoreError::Exists(name.clone()));
                }
                // Of a run that was killed; what cannot be deleted now is no reason to make nothing.
                let _ = self.sweep();
                self.make_machine(&dir, &New { record, unknown: &Unknown::default(), files, seed })
            }
            Expect::Is(version) => {
                let found = self.find(name)?;
                if !dir.is_dir() || found.version() != *version {
                    return Err(StoreError::Moved(name.clone()));
                }
                let unknown = &self.unknown(record, &found)?;
                if let (None, Earlier::Absent, Some(config)) = (&found.record, &found.earlier, &found.config) {
                    // A foreign machine that cannot be read: not ours to overwrite.
                    self.parse_config(name, &config.text)
                        .map_err(|e| self.broken(name.as_str(), CONFIG, e.to_string()))?;
                }
                self.write_files(&dir, &New { record, unknown, files, seed }, &found)
            }
        }
    }

    fn delete_if(&self, name: &MachineName, expect: &Version) -> Result<(), StoreError> {
        let dir = self.dir_of(name);
        if !self.is_taken(name)? && self.leftovers()?.is_empty() && !leases::has_any(&self.root)? {
            return Ok(());
        }
        let _guard = self.write_lock()?;
        if self.is_taken(name)? && self.state(name) != *expect {
            return Err(StoreError::Moved(name.clone()));
        }
        // Gone at once, whatever happens while its files are deleted.
        match self.disk.rename_dir(&dir, &hidden(&dir, "removed"), "remove") {
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
        self.sweep()
    }

    fn read(&self, area: Area<'_>, file: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Disk::read(&self.file(area, file)?)
    }

    fn write(&self, area: Area<'_>, files: &[NewFile<'_>]) -> Result<(), StoreError> {
        let folder = self.folder(area);
        let paths = files.iter().map(|(name, ..)| self.file(area, name)).collect::<Result<Vec<_>, _>>()?;
        let _guard = self.area_lock(area)?;
        self.disk.make_dir(&folder)?;
        // Everything that a full disk can refuse comes before anything is changed.
        let staged = files.iter().zip(&paths).map(|((_, content, mode), path)| self.disk.stage(path, content, *mode));
        let staged = staged.collect::<Result<Vec<_>, _>>()?;
        staged.into_iter().try_for_each(Staged::name)?;
        self.disk.sync_dir(&folder)
    }

    fn machine_dir(&self, name: &MachineName) -> Result<PathBuf, StoreError> {
        let dir = self.dir_of(name);
        if !dir.is_dir() {
            let _lock = self.write_lock()?;
            self.disk.make_dir(&dir)?;
        }
        Ok(dir)
    }

    fn id(&self) -> Result<String, StoreError> {
        let path = self.root.join("machine-id");
        if Disk::read(&path)?.is_none() {
            self.disk.make_dir(&self.root)?;
            let mut random = [0_u8; 16];
            aws_lc_rs::rand::fill(&mut random).map_err(|_| failed("make", &path)(io::Error::other("no randomness")))?;
            let id = random.iter().fold(String::new(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            });
            self.disk.write_once(&path, id.as_bytes())?;
        }
        // Not what we made up: another process may have been first.
        let bytes = Disk::read(&path)?.unwrap_or_default();
        let id = String::from_utf8_lossy(&bytes).trim().to_owned();
        if id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(id);
        }
        Err(failed("use", &path)(io::Error::new(io::ErrorKind::InvalidData, "it does not hold 32 hex digits")))
    }
}

#[cfg(test)]
mod testing;

#[cfg(test)]
mod tests;

#[cfg(test)]
mod earlier_tests;
