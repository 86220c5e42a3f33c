//! Where records, keys and certificates are kept.
//!
//! [`traits`] has the four traits of a store. [`folder`] is docker-machine's directory; [`memory`] is for tests. What all
//! stores share stands on the traits: [`Store`] carries changes of records past each other, [`authority`] keeps the
//! certificates, whichever store it is.

pub mod auth;
pub mod authority;
pub mod copies;
pub mod folder;
pub mod issued;
pub mod local;
pub mod memory;
pub mod plans;

#[cfg(test)]
#[path = "conformance_tests.rs"]
mod conformance;
mod holder;
mod kept;
mod kit;
mod lease;
#[cfg(test)]
#[expect(dead_code, reason = "the test programs use the rest")]
#[path = "../../tests/kit/plain.rs"]
pub(crate) mod plain;
mod subject;
mod traits;
mod versioned;

use crate::{
    name::{FleetName, MachineName},
    record::OptionFields,
};
use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use thiserror::Error;

pub use holder::{Doing, Holder};
pub use lease::LEASE;
pub use subject::{Scope, Subject};
pub use traits::{Expect, Files, Held, Journal, Leases, MachineChange, Records, Seed};
pub use versioned::Versioned;

/// A store, whichever it is. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    /// What is recorded of machines.
    pub records: Arc<dyn Records>,
    /// Files beside records.
    pub files: Arc<dyn Files>,
    /// Which runs work on what.
    pub leases: Arc<dyn Leases>,
    /// What was done.
    pub journal: Arc<dyn Journal>,
}

impl<B: Records + Files + Leases + Journal + 'static> From<Arc<B>> for Store {
    fn from(backend: Arc<B>) -> Self {
        let (records, files, leases, journal) = (backend.clone(), backend.clone(), backend.clone(), backend);
        Self { records, files, leases, journal }
    }
}

impl Store {
    /// The store in a folder, which need not exist. `fields` knows what drivers keep in config.json.
    ///
    /// # Errors
    /// When `root` is relative and the current directory is gone.
    pub fn folder(root: impl AsRef<Path>, fields: impl OptionFields + 'static) -> Result<Self, StoreError> {
        Ok(Arc::new(folder::FolderStore::new(root, fields)?).into())
    }
}

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
    /// A machine is not as it was when it was read.
    #[error("`{0}` was changed by another run or by docker-machine meanwhile")]
    Moved(MachineName),
    /// Two changed one field of a record, each to something else.
    #[error("`{machine}` was changed by another run or by docker-machine meanwhile: its {field} is another now")]
    Conflict {
        /// The machine.
        machine: MachineName,
        /// What both changed.
        field: &'static str,
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
            Self::Io { .. }
            | Self::Broken { .. }
            | Self::TwoRecords { .. }
            | Self::Moved(_)
            | Self::Conflict { .. }
            | Self::Absent(_)
            | Self::Exists(_) => false,
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
            Self::Moved(name) | Self::Conflict { machine: name, .. } => Some(format!(
                "nothing was recorded over it; look at it, then run the command again:\n  machine inspect {name}"
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

/// What a file system says that has no room for locks, as NFS without its lock service.
const ENOLCK: i32 = 37;

fn no_locks(path: &Path) -> String {
    format!(
        "the file system of {} cannot lock files, so two runs could not be kept apart: mount it with locks (NFS needs its \
         lock service), or choose a store on another disk with --storage-path",
        path.display()
    )
}

/// What a disk says that cannot read or write a block.
const EIO: i32 = 5;

fn io_help(whole: &Path, error: &std::io::Error) -> Option<String> {
    let path = whole.display();
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
            // It may be any of those above it.
            let file = whole.ancestors().find(|above| above.is_file()).unwrap_or(whole).display();
            format!("{file} must be a folder: move the file away, or choose another store with --storage-path")
        }
        ErrorKind::Unsupported => no_locks(whole),
        _ if error.raw_os_error() == Some(ENOLCK) => no_locks(whole),
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

/// A lease as others see it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seen {
    /// Of what; `None`: that cannot be read, so it may be anything.
    pub scope: Option<Scope>,
    /// Who has it, as far as that can be told.
    pub state: Sight,
}

/// What can be told of something that is not free.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Sight {
    /// A run holds it.
    Held {
        /// Who.
        holder: Holder,
        /// How long ago its heart beat last, if that can be told.
        silent: Duration,
        /// Whether it shows life, or is about to lose it.
        alive: bool,
    },
    /// It cannot be read, so it counts as held.
    Unreadable(Unreadable),
}

impl Seen {
    /// Whether this is held by it, or may be.
    #[must_use]
    pub fn may_hold(&self, subject: &Subject) -> bool {
        self.scope.as_ref().is_none_or(|scope| scope.has(subject))
    }
}
