//! Where records, keys and certificates are kept.
//!
//! [`dir`] is docker-machine's directory; [`memory`] is for tests. Every change is durable when the
//! call returns, and a reader sees the old or the new content, never neither. [`authority`] keeps the
//! certificates of a store, whichever it is.

pub mod auth;
pub mod authority;
pub mod copies;
pub mod dir;
pub mod issued;
pub mod local;
pub mod memory;
pub mod plans;

mod alive;
mod aside;
mod file;
mod holder;
mod journal;
mod kept;
mod kit;
mod lease;
mod lock;
mod subject;

use crate::{
    name::{FleetName, MachineName},
    record::{MachineRecord, Snapshot, Tombstone, docker_machine::ConfigFile},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::ErrorKind,
    ops::ControlFlow,
    path::{Path, PathBuf},
};
use thiserror::Error;

pub use holder::{Doing, Holder};
pub use lease::LEASE;
pub use lock::{Seen, Sight};
pub use subject::Subject;

/// What ends badly between us and the store.
#[derive(Debug, Error)]
pub enum StoreError {
    /// A file or folder could not be read or written.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was being done, as `write`.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A record that will not parse. It is left alone.
    #[error("the record of `{machine}` will not parse: {}: {why}", path.display())]
    Broken {
        /// The machine's folder.
        machine: String,
        /// The file.
        path: PathBuf,
        /// Where and why.
        why: String,
    },
    /// A record of ours, and one that an earlier version wrote after it.
    #[error(
        "the record of `{machine}` is there twice: record.json, and a record.kdl that an earlier version of this \
         program wrote later, or that came from a backup, in {}", dir.display()
    )]
    TwoRecords {
        /// The machine.
        machine: String,
        /// Its folder.
        dir: PathBuf,
    },
    /// No such machine.
    #[error("machine \"{0}\" does not exist")]
    Absent(String),
    /// There is one already, recorded or half made.
    #[error("Docker machine \"{0}\" already exists")]
    Exists(MachineName),
    /// Another run holds the fleet or machine.
    #[error("{subject} {} by {}", subject.doing(), holder.describe())]
    Locked {
        /// What is held.
        subject: Subject,
        /// Who holds it.
        holder: Box<Holder>,
        /// What its children know it by.
        pass: String,
    },
    /// The lock cannot be read, so it counts as held.
    #[error("it is unknown whether a run works on {subject}: its lock {} cannot be read: {}", lock.path.display(), lock.why)]
    UnreadableLock {
        /// What may be held.
        subject: Subject,
        /// Its file.
        lock: Box<Unreadable>,
    },
    /// The run that started this one holds it, and waits for this one to end.
    #[error("{subject} is held by the run that started this command: {}", holder.describe())]
    LockedByOwn {
        /// What is held.
        subject: Subject,
        /// Who holds it.
        holder: Box<Holder>,
    },
    /// This run held it, and another took it over.
    #[error("the lock of {subject} was lost{}", lost(by.as_deref(), unreadable.as_deref()))]
    LostLock {
        /// What was held.
        subject: Subject,
        /// Who has it now, if that is known.
        by: Option<Box<Holder>>,
        /// Why its holder cannot be read.
        unreadable: Option<Box<Unreadable>>,
    },
}

/// A file of a lock that cannot be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unreadable {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub why: String,
}

/// To whom a lock was lost, or why that is not known.
fn lost(by: Option<&Holder>, unreadable: Option<&Unreadable>) -> String {
    match (by, unreadable) {
        (Some(by), _) => format!(" to {}", by.describe()),
        (None, Some(Unreadable { path, why })) => format!(": {} cannot be read: {why}", path.display()),
        (None, None) => String::new(),
    }
}

impl StoreError {
    /// Whether a lock is in the way: it is held, was lost, or cannot be read.
    #[must_use]
    pub const fn is_of_lock(&self) -> bool {
        match self {
            Self::Locked { .. } | Self::LockedByOwn { .. } | Self::UnreadableLock { .. } | Self::LostLock { .. } => {
                true
            }
            Self::Io { .. } | Self::Broken { .. } | Self::TwoRecords { .. } | Self::Absent(_) | Self::Exists(_) => {
                false
            }
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Io { path, source, .. } => io_help(path, source),
            Self::Broken { machine, path, .. } => Some(format!(
                "correct {} or restore it from a backup; nothing is done to `{machine}` until then",
                path.display()
            )),
            Self::TwoRecords { machine, dir } => Some(format!(
                "look at both and move the one that is wrong out of the folder; nothing is done to `{machine}` until then. \
                 If record.json is right:\n  mv {} {machine}-record.kdl",
                crate::quote::quote(&dir.join("record.kdl").to_string_lossy())
            )),
            Self::Absent(_) => Some("see which machines there are:\n  machine ls".to_owned()),
            Self::Exists(name) => Some(format!(
                "choose another name, or go on with that machine:\n  machine status {name}\n\
                 To finish it if its creation was cut off:\n  machine provision {name}"
            )),
            Self::Locked { holder, .. } => Some(format!(
                "wait for it with `--lock-timeout 10m`. If it hangs, end process {} on that computer: the lock goes with it",
                holder.pid
            )),
            Self::UnreadableLock { subject, .. } => Some(format!(
                "see to it that no run is at work there, then take the lock away:\n  machine lock break {}",
                subject.words()
            )),
            Self::LockedByOwn { .. } => Some(
                "a hook can look at machines and use them; what changes them, let it start after that run has ended"
                    .to_owned(),
            ),
            Self::LostLock { .. } => Some(format!(
                "this run showed no life for {} s, so another could take over, or its lock was broken; it has \
                 written nothing since. What it had begun is recorded: when the other has ended, run the command again.\n\
                 To see who holds what:\n  machine lock ls",
                LEASE.as_secs()
            )),
        }
    }
}

/// What a disk says that cannot read or write a block.
const EIO: i32 = 5;

fn io_help(path: &Path, error: &std::io::Error) -> Option<String> {
    let path = path.display();
    Some(match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            format!(
                "make room on the disk that holds {path}, then run the command again: what was there is still there"
            )
        }
        ErrorKind::PermissionDenied => {
            format!("let your user read and write {path}, or choose another store with --storage-path")
        }
        ErrorKind::ReadOnlyFilesystem => {
            "the store is read-only: mount it writable, or choose another with --storage-path".to_owned()
        }
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            format!("{path} must be a folder: move the file away, or choose another store with --storage-path")
        }
        _ if error.raw_os_error() == Some(EIO) => format!(
            "look at the disk that holds {path}, it may be about to fail; what was there is still there:\n  dmesg | tail"
        ),
        ErrorKind::TimedOut => format!(
            "a program was stopped, or hangs, while it wrote there. Continue it or end it; this names it:\n  fuser -v {path}"
        ),
        _ => return None,
    })
}

/// A folder of the store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Area<'a> {
    /// `certs/`: the authority and the client's identity.
    Certs,
    /// `machines/NAME/`.
    Machine(&'a MachineName),
    /// `fleets/NAME/`.
    Fleet(&'a FleetName),
    /// A folder of the user's, absolute: where the options `--tls-…` point.
    Outside(&'a Path),
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// 0644.
    Public,
    /// 0600, from the first byte on.
    Private,
}

/// A file's name, its content and who may read it.
pub type NewFile<'a> = (&'a str, &'a [u8], Mode);

/// In the environment of a child: the locks of the run that started it.
pub const PASS: &str = "MACHINE_LOCK_PASS";

/// Held while a fleet is applied; dropping it gives the fleet free.
pub trait Lock: Send + Sync {}

/// Keeps records and the files beside them. All calls block; they are short.
pub trait Store: Send + Sync {
    /// All records.
    ///
    /// # Errors
    /// When the store cannot be read at all; single records that will not parse are in [`Snapshot::broken`].
    fn snapshot(&self) -> Result<Snapshot, StoreError>;

    /// Names of all machines, without reading their records, sorted.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn names(&self) -> Result<Vec<String>, StoreError>;

    /// Whether there is anything under this name, a machine or not, so that [`reserve`](Store::reserve) would refuse it.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn is_taken(&self, name: &MachineName) -> Result<bool, StoreError>;

    /// Whether a machine seems to have a record that can be read, by the least that tells: it is not read.
    fn is_sound(&self, name: &MachineName) -> bool;

    /// One record.
    ///
    /// # Errors
    /// [`StoreError::Absent`] when there is no such machine.
    fn get(&self, name: &MachineName) -> Result<MachineRecord, StoreError>;

    /// Writes one record.
    ///
    /// # Errors
    /// When it cannot be written; the old one is still there then.
    fn put(&self, record: &MachineRecord) -> Result<(), StoreError>;

    /// Writes the first record of a machine that must not be there yet, not even half, and `files` beside it: all of it
    /// appears at once. `seed` fills in what only config.json holds. Of several callers at once, one succeeds.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when there is anything under this name; nothing is changed then.
    fn reserve(
        &self,
        record: &MachineRecord,
        files: &[NewFile<'_>],
        seed: &dyn Fn(&mut ConfigFile),
    ) -> Result<(), StoreError>;

    /// Removes a machine's record, keys and certificates. Succeeds when there is nothing.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn remove(&self, name: &MachineName) -> Result<(), StoreError>;

    /// Reads a file; `None` when it is not there.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&self, area: Area<'_>, file: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Writes a file, atomically and durably.
    ///
    /// # Errors
    /// When it cannot be written; the old content is still there then.
    fn write(&self, area: Area<'_>, file: &str, content: &[u8], mode: Mode) -> Result<(), StoreError>;

    /// Writes files of one folder, durably: none is changed before all of them are on the disk.
    ///
    /// # Errors
    /// When one cannot be written; then, but for a failure of the disk's at the very end, all are as they were.
    fn write_together(&self, area: Area<'_>, files: &[NewFile<'_>]) -> Result<(), StoreError>;

    /// The directory of a machine, made if need be, 0700.
    ///
    /// # Errors
    /// When it cannot be made.
    fn machine_dir(&self, name: &MachineName) -> Result<PathBuf, StoreError>;

    /// The root of the store, as docker-machine's `--storage-path`.
    fn root(&self) -> PathBuf;

    /// Distinguishes this store from all others; made at first use, then kept.
    ///
    /// # Errors
    /// When it cannot be written.
    fn id(&self) -> Result<String, StoreError>;

    /// Removals that were not confirmed, by their id; of those that cannot be read, why.
    ///
    /// # Errors
    /// When none can be read.
    fn tombstones(&self) -> Result<BTreeMap<String, Result<Tombstone, String>>, StoreError>;

    /// Keeps a removal that was not confirmed, without secrets. An older one of the same instance is replaced.
    ///
    /// # Errors
    /// When it cannot be written; the machine's record must stay then.
    fn put_tombstone(&self, tombstone: &Tombstone) -> Result<(), StoreError>;

    /// Forgets a removal, which is confirmed now. Succeeds when there is none of this id.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn remove_tombstone(&self, id: &str) -> Result<(), StoreError>;

    /// A folder for drivers that look for what has no record any more, made if need be, 0700.
    ///
    /// # Errors
    /// When it cannot be made.
    fn tombstone_dir(&self) -> Result<PathBuf, StoreError>;

    /// Appends a line to the store's history, whole and durably, also while others append. What a killed writer
    /// left half written stays, on a line of its own.
    ///
    /// # Errors
    /// When it cannot be written.
    fn append_history(&self, line: &str) -> Result<(), StoreError>;

    /// Gives the lines of the store's history to `each`, the newest first, until that has enough; no more is read than it
    /// takes. No beginning of a run is given twice.
    ///
    /// # Errors
    /// When it cannot be read.
    fn history(&self, each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<(), StoreError>;

    /// Takes the lock of a fleet.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another run holds it, [`StoreError::UnreadableLock`] when the lock cannot be read.
    fn lock(&self, fleet: &FleetName, holder: &Holder) -> Result<Box<dyn Lock>, StoreError>;

    /// Takes the lock of a machine that no fleet has.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another run holds it.
    fn lock_machine(&self, machine: &MachineName, holder: &Holder) -> Result<Box<dyn Lock>, StoreError>;

    /// Whether everything that was locked through this store is still held. Every write of records asks by itself;
    /// this is for effects elsewhere, which cannot be refused.
    ///
    /// # Errors
    /// [`StoreError::LostLock`] when another run took over.
    fn still_held(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// What a child is given in [`PASS`], so that it knows the locks of its parent; empty when none are held.
    fn passes(&self) -> String {
        String::new()
    }

    /// All locks that are held. Nothing is written to find out.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn locks(&self) -> Result<Vec<Seen>, StoreError> {
        Ok(Vec::new())
    }

    /// Takes a lock away from its holder and returns what was read of it. The holder can write nothing from then on.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn break_lock(&self, _: &Subject) -> Result<Option<Sight>, StoreError> {
        Ok(None)
    }

    /// Runs `work` while no other process on this computer runs its `work` on the store's certificates, nor on
    /// those in `outside`: two first runs must not make two authorities.
    ///
    /// # Errors
    /// When the lock cannot be taken.
    fn with_certs_locked(&self, outside: &BTreeSet<PathBuf>, work: &mut dyn FnMut()) -> Result<(), StoreError>;
}
