//! The four traits of a store, as a folder has them.

use super::{
    FolderStore, alive, is_closed,
    journal::FolderJournal,
    leases::{self, CERTS},
};
use crate::{
    name::MachineName,
    record::{MachineRecord, Snapshot, Tombstone, Version},
    store::{
        Area, Expect, Files, Held, Holder, Journal, Leases, MachineChange, NewFile, Records, Scope, Seen, StoreError,
        Subject,
    },
};
use async_trait::async_trait;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

#[async_trait]
impl Records for FolderStore {
    async fn names(&self) -> Result<Vec<String>, StoreError> {
        Self::names(self)
    }

    async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Self::snapshot(self)
    }

    async fn get(&self, name: &MachineName) -> Result<(MachineRecord, Version), StoreError> {
        self.load(name)
    }

    async fn version(&self, name: &MachineName) -> Result<Option<Version>, StoreError> {
        Self::version(self, name)
    }

    async fn is_sound(&self, name: &MachineName) -> bool {
        Self::is_sound(self, name)
    }

    async fn put_if(&self, change: MachineChange<'_>, expect: Expect<'_>) -> Result<Version, StoreError> {
        Self::put_if(self, change, expect)
    }

    async fn delete_if(&self, name: &MachineName, expect: &Version) -> Result<(), StoreError> {
        Self::delete_if(self, name, expect)
    }

    async fn tombstones(&self) -> Result<BTreeMap<String, Result<Tombstone, String>>, StoreError> {
        Self::tombstones(self).all()
    }

    async fn put_tombstone(&self, tombstone: &Tombstone) -> Result<(), StoreError> {
        Self::tombstones(self).put(tombstone)
    }

    async fn remove_tombstone(&self, id: &str) -> Result<(), StoreError> {
        Self::tombstones(self).remove(id)
    }

    async fn id(&self) -> Result<String, StoreError> {
        Self::id(self)
    }
}

#[async_trait]
impl Files for FolderStore {
    async fn read(&self, area: Area<'_>, file: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Self::read(self, area, file)
    }

    async fn write(&self, area: Area<'_>, files: &[NewFile<'_>]) -> Result<(), StoreError> {
        Self::write(self, area, files)
    }

    async fn machine_dir(&self, name: &MachineName) -> Result<PathBuf, StoreError> {
        Self::machine_dir(self, name)
    }

    async fn tombstone_dir(&self) -> Result<PathBuf, StoreError> {
        Self::tombstones(self).dir()
    }

    fn root(&self) -> &Path {
        &self.root
    }

    async fn hold_certificates(&self, outside: &BTreeSet<PathBuf>) -> Result<Box<dyn Held>, StoreError> {
        let certs = self.folder(Area::Certs);
        // In one order for all, so that two stores that share files do not wait for each other.
        let folders: BTreeSet<&PathBuf> = outside.iter().chain([&certs]).collect();
        let mut locks = Vec::new();
        for folder in folders {
            let locked = match self.disk.make_dir(folder) {
                Ok(()) => alive::wait_long(&folder.join(".lock"), CERTS).await,
                Err(e) => Err(e),
            };
            match locked {
                Ok(lock) => locks.push(lock),
                // A folder in which we may write nothing is none we could spoil.
                Err(StoreError::Io { source, .. }) if *folder != certs && is_closed(&source) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(Box::new(Locks(locks)))
    }
}

/// Locks of the system's; each ends with its file.
struct Locks(#[expect(dead_code, reason = "they are held, not used")] Vec<File>);

impl Held for Locks {}

#[async_trait]
impl Leases for FolderStore {
    async fn take(&self, scope: &Scope, holder: &Holder) -> Result<Box<dyn Held>, StoreError> {
        let held = self.leases.take(self.ground(&self.guard()?), scope, holder)?;
        // Of a run that was killed. What cannot be deleted now is by the next one.
        if !scope.fleets.is_empty() && !self.leftovers()?.is_empty() {
            let _ = self.write_lock().and_then(|_guard| self.sweep());
        }
        Ok(held)
    }

    async fn still_held(&self) -> Result<(), StoreError> {
        self.leases.check(&self.root)
    }

    fn passes(&self) -> String {
        self.leases.passes()
    }

    async fn held(&self) -> Result<Vec<Seen>, StoreError> {
        leases::seen(&self.root)
    }

    async fn end(&self, subject: &Subject) -> Result<(), StoreError> {
        leases::end(self.ground(&self.guard()?), subject)
    }
}

#[async_trait]
impl Journal for FolderStore {
    async fn append(&self, line: &str) -> Result<(), StoreError> {
        FolderJournal::new(&self.root, &self.disk).append(line)
    }

    async fn tail(&self, each: &mut (dyn for<'l> FnMut(&'l [u8]) -> ControlFlow<()> + Send)) -> Result<(), StoreError> {
        FolderJournal::new(&self.root, &self.disk).back(each).map(drop)
    }
}
