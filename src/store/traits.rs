//! The four traits of a store. A backend is a folder of this module that implements them, and a line in
//! [`Store`](super::Store); `conformance` holds each to the same rules.
//!
//! Everything that is written is durable when the call returns, and a reader sees the old or the new content, never
//! neither. Every write looks first whether all leases of this process are still its own.

use super::{Area, Holder, NewFile, Scope, Seen, StoreError, Subject};
use crate::{
    name::MachineName,
    record::{MachineRecord, Snapshot, Tombstone, Version, docker_machine::ConfigFile},
};
use async_trait::async_trait;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    path::{Path, PathBuf},
};

/// Which state of a machine is to be changed. There is no "any": who has not looked knows nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Expect<'a> {
    /// There is nothing under this name, not even half.
    Absent,
    /// It is as it was read.
    Is(&'a Version),
}

/// Fills in what only docker-machine's config.json holds.
pub type Seed<'a> = &'a (dyn Fn(&mut ConfigFile) + Sync);

/// What changes of one machine, together.
#[derive(Clone, Copy)]
pub struct MachineChange<'a> {
    /// The record as it is then.
    pub record: &'a MachineRecord,
    /// Files of its folder that are written with it.
    pub files: &'a [NewFile<'a>],
    /// What goes into docker-machine's document besides.
    pub seed: Seed<'a>,
}

impl<'a> MachineChange<'a> {
    /// A change of the record alone.
    #[must_use]
    pub fn of(record: &'a MachineRecord) -> Self {
        Self { record, files: &[], seed: &|_| {} }
    }
}

/// Records of machines, and of those that went without a confirmation.
#[async_trait]
pub trait Records: Send + Sync {
    /// Names of all machines, without reading their records, sorted.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn names(&self) -> Result<Vec<String>, StoreError>;

    /// All records.
    ///
    /// # Errors
    /// When the store cannot be read at all; single records that will not parse are in [`Snapshot::broken`].
    async fn snapshot(&self) -> Result<Snapshot, StoreError>;

    /// One record, and which state of the machine that is.
    ///
    /// # Errors
    /// [`StoreError::Absent`] when there is no such machine.
    async fn get(&self, name: &MachineName) -> Result<(MachineRecord, Version), StoreError>;

    /// Which state of a machine there is, also when its record will not parse; `None`: there is nothing under this name,
    /// so that it can be created.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn version(&self, name: &MachineName) -> Result<Option<Version>, StoreError>;

    /// Whether a machine seems to have a record that can be read, by the least that tells: it is not read.
    async fn is_sound(&self, name: &MachineName) -> bool;

    /// Writes a machine, if it is as expected; which state it has then. Of several callers at once with one expectation,
    /// one succeeds. A machine that was absent appears with its files at once, or not at all.
    ///
    /// # Errors
    /// [`StoreError::Exists`] or [`StoreError::Moved`] when it is not as expected; nothing is changed then. When it cannot
    /// be written, the old state is still there.
    async fn put_if(&self, change: MachineChange<'_>, expect: Expect<'_>) -> Result<Version, StoreError>;

    /// Removes a machine's record, keys and certificates, if they are as expected. Succeeds when there is nothing.
    ///
    /// # Errors
    /// [`StoreError::Moved`] when it is not as expected; nothing is changed then.
    async fn delete_if(&self, name: &MachineName, expect: &Version) -> Result<(), StoreError>;

    /// Removals that were not confirmed, by their id; of those that cannot be read, why.
    ///
    /// # Errors
    /// When none can be read.
    async fn tombstones(&self) -> Result<BTreeMap<String, Result<Tombstone, String>>, StoreError>;

    /// Keeps a removal that was not confirmed, without secrets. An older one of the same instance is replaced.
    ///
    /// # Errors
    /// When it cannot be written; the machine's record must stay then.
    async fn put_tombstone(&self, tombstone: &Tombstone) -> Result<(), StoreError>;

    /// Forgets a removal, which is confirmed now. Succeeds when there is none of this id.
    ///
    /// # Errors
    /// When it cannot be removed.
    async fn remove_tombstone(&self, id: &str) -> Result<(), StoreError>;

    /// Distinguishes this store from all others; made at first use, then kept.
    ///
    /// # Errors
    /// When it cannot be written.
    async fn id(&self) -> Result<String, StoreError>;
}

/// Files beside records, and the folder in which drivers, ssh and docker find them.
#[async_trait]
pub trait Files: Send + Sync {
    /// Reads a file; `None` when it is not there.
    ///
    /// # Errors
    /// When it cannot be read.
    async fn read(&self, area: Area<'_>, file: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Writes files of one area: none is changed before all of them are on the disk.
    ///
    /// # Errors
    /// When one cannot be written; then, but for a failure of the disk's at the very end, all are as they were.
    async fn write(&self, area: Area<'_>, files: &[NewFile<'_>]) -> Result<(), StoreError>;

    /// The folder of a machine on this computer, with its files in it, made if need be, 0700.
    ///
    /// # Errors
    /// When it cannot be made.
    async fn machine_dir(&self, name: &MachineName) -> Result<PathBuf, StoreError>;

    /// A folder for drivers that look for what has no record any more, made if need be, 0700.
    ///
    /// # Errors
    /// When it cannot be made.
    async fn tombstone_dir(&self) -> Result<PathBuf, StoreError>;

    /// The root of the folder, as docker-machine's `--storage-path`.
    fn root(&self) -> &Path;

    /// Holds the store's certificates, and those in `outside`, for as long as the answer is kept: no other run makes any
    /// meanwhile, for two first runs must not make two authorities.
    ///
    /// # Errors
    /// When they cannot be held.
    async fn hold_certificates(&self, outside: &BTreeSet<PathBuf>) -> Result<Box<dyn Held>, StoreError>;
}

/// Which runs work on what.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Takes all of a scope for a run, or nothing.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another run holds some of it, [`StoreError::UnreadableLock`] when that cannot be read.
    async fn take(&self, scope: &Scope, holder: &Holder) -> Result<Box<dyn Held>, StoreError>;

    /// Whether everything that was taken through this store is still held. Every write asks by itself; this is for effects
    /// elsewhere, which cannot be refused.
    ///
    /// # Errors
    /// [`StoreError::LostLock`] when another run took over.
    async fn still_held(&self) -> Result<(), StoreError>;

    /// What a child is given in [`PASS`](super::PASS), so that it knows the leases of its parent; empty when none are held.
    fn passes(&self) -> String;

    /// All that is held. Nothing is written to find out.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn held(&self) -> Result<Vec<Seen>, StoreError>;

    /// Ends the lease that holds this. Its holder can write nothing from then on.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn end(&self, subject: &Subject) -> Result<(), StoreError>;
}

/// What was done to the machines of a store, in its order.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Appends a line, whole, also while others append. What a killed writer left half written stays, on a line of its own.
    ///
    /// # Errors
    /// When it cannot be written.
    async fn append(&self, line: &str) -> Result<(), StoreError>;

    /// Gives lines to `each`, the newest first, until that has enough; no more is read than it takes. No beginning of a run
    /// is given twice.
    ///
    /// # Errors
    /// When it cannot be read.
    async fn tail(&self, each: &mut (dyn for<'l> FnMut(&'l [u8]) -> ControlFlow<()> + Send)) -> Result<(), StoreError>;
}

/// Something that is held until it is dropped.
pub trait Held: Send + Sync {}
