//! Changing a record while others change it, too: each write says which state it was made from, and what others wrote
//! meanwhile is kept.

use super::{Expect, MachineChange, Store, StoreError};
use crate::{
    name::MachineName,
    record::{MachineRecord, Version, merge::merge},
};
use std::ops::{Deref, DerefMut};

/// So often one that is in the way of another tries again: each time a write of another has succeeded.
const ATTEMPTS: usize = 100;

/// A record, and which state of its machine it was made from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Versioned {
    /// As it is to be.
    record: MachineRecord,
    /// As it was read, or written last.
    base: MachineRecord,
    /// `None`: it is not there yet.
    version: Option<Version>,
}

impl Versioned {
    /// The first record of a machine that is not there yet.
    #[must_use]
    pub fn new(record: MachineRecord) -> Self {
        Self { base: record.clone(), record, version: None }
    }
}

impl Deref for Versioned {
    type Target = MachineRecord;

    fn deref(&self) -> &MachineRecord {
        &self.record
    }
}

impl DerefMut for Versioned {
    fn deref_mut(&mut self) -> &mut MachineRecord {
        &mut self.record
    }
}

impl Store {
    /// One record, to be read.
    ///
    /// # Errors
    /// [`StoreError::Absent`] when there is no such machine.
    pub async fn get(&self, name: &MachineName) -> Result<MachineRecord, StoreError> {
        Ok(self.records.get(name).await?.0)
    }

    /// One record, to be changed.
    ///
    /// # Errors
    /// [`StoreError::Absent`] when there is no such machine.
    pub async fn load(&self, name: &MachineName) -> Result<Versioned, StoreError> {
        let (record, version) = self.records.get(name).await?;
        Ok(Versioned { base: record.clone(), record, version: Some(version) })
    }

    /// Writes what was changed since the record was read or written last. What others changed meanwhile is kept, and is in
    /// `record` then.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another changed the same. When it cannot be written; the old record is still there then.
    pub async fn save(&self, record: &mut Versioned) -> Result<(), StoreError> {
        for _ in 0..ATTEMPTS {
            let expect = record.version.as_ref().map_or(Expect::Absent, Expect::Is);
            match self.records.put_if(MachineChange::of(&record.record), expect).await {
                Ok(version) => {
                    record.version = Some(version);
                    record.base.clone_from(&record.record);
                    return Ok(());
                }
                Err(StoreError::Moved(_)) => {}
                Err(e) => return Err(e),
            }
            let (theirs, version) = self.records.get(&record.record.name).await?;
            let conflict = |field| StoreError::Conflict { machine: theirs.name.clone(), field };
            record.record = merge(&record.base, &record.record, &theirs).map_err(conflict)?;
            record.base = theirs;
            record.version = Some(version);
        }
        Err(StoreError::Moved(record.record.name.clone()))
    }

    /// Records what was made of a record that was read earlier. What others changed meanwhile is kept.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub async fn change(&self, from: &MachineRecord, to: &MachineRecord) -> Result<(), StoreError> {
        let mut now = self.load(&to.name).await?;
        let conflict = |field| StoreError::Conflict { machine: to.name.clone(), field };
        now.record = merge(from, to, &now.base).map_err(conflict)?;
        if now.record == now.base { Ok(()) } else { self.save(&mut now).await }
    }

    /// Removes a machine, in whichever state it is. Succeeds when there is nothing.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub async fn remove(&self, name: &MachineName) -> Result<(), StoreError> {
        for _ in 0..ATTEMPTS {
            // Of what is not there anything may be expected.
            let version = self.records.version(name).await?.unwrap_or_else(|| Version::of(&[]));
            match self.records.delete_if(name, &version).await {
                Err(StoreError::Moved(_)) => {}
                other => return other,
            }
        }
        Err(StoreError::Moved(name.clone()))
    }
}
