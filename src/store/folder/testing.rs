//! A folder as tests use it: at once, and without saying what they expect.

use super::*;
use crate::store::{Held, Holder, Mode, Scope, Seed, Subject};

impl FolderStore {
    pub(super) fn get(&self, name: &MachineName) -> Result<MachineRecord, StoreError> {
        self.load(name).map(|(record, _)| record)
    }

    /// Over whatever there is.
    pub(super) fn put(&self, record: &MachineRecord) -> Result<(), StoreError> {
        loop {
            let version = self.version(&record.name)?;
            let expect = version.as_ref().map_or(Expect::Absent, Expect::Is);
            match self.put_if(MachineChange::of(record), expect) {
                Err(StoreError::Moved(_)) => {}
                other => return other.map(drop),
            }
        }
    }

    pub(super) fn reserve(
        &self,
        record: &MachineRecord,
        files: &[NewFile<'_>],
        seed: Seed<'_>,
    ) -> Result<(), StoreError> {
        self.put_if(MachineChange { record, files, seed }, Expect::Absent).map(drop)
    }

    pub(super) fn remove(&self, name: &MachineName) -> Result<(), StoreError> {
        let version = self.version(name)?.unwrap_or_else(|| Version::of(&[]));
        self.delete_if(name, &version)
    }

    pub(super) fn write_one(&self, area: Area<'_>, file: &str, content: &[u8], mode: Mode) -> Result<(), StoreError> {
        self.write(area, &[(file, content, mode)])
    }

    pub(super) fn take(&self, scope: &Scope, holder: &Holder) -> Result<Box<dyn Held>, StoreError> {
        self.leases.take(self.ground(&self.guard()?), scope, holder)
    }

    pub(super) fn end(&self, subject: &Subject) -> Result<(), StoreError> {
        leases::end(self.ground(&self.guard()?), subject)
    }
}
