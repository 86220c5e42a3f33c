//! The locks of a directory: where they lie, and which there are.

use super::DirStore;
use crate::{
    name::{FleetName, MachineName},
    record::OptionFields,
    store::{
        Holder, Lock, Seen, StoreError, Subject, alive,
        file::failed,
        lock::{self, Locks},
    },
};
use std::{fs, io, path::Path, time::Duration};

impl DirStore {
    /// A store whose locks expire sooner than others' do; for tests, which do not wait a minute.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_lease(
        root: impl AsRef<Path>,
        lease: Duration,
        fields: impl OptionFields + 'static,
    ) -> Result<Self, StoreError> {
        Ok(Self { locks: Locks::with_lease(lease, lease / 6), ..Self::new(root, fields)? })
    }

    pub(super) fn take(&self, subject: &Subject, holder: &Holder) -> Result<Box<dyn Lock>, StoreError> {
        self.locks.take(&self.files, &self.root, &self.guard()?, subject, holder)
    }

    /// Removes what killed runs left of locks.
    pub(super) fn sweep_locks(&self) -> Result<(), StoreError> {
        lock::sweep(&self.files, &self.root, &self.subjects()?);
        Ok(())
    }

    /// Whether anything is locked, or was by a run that was killed.
    pub(super) fn has_holders(&self) -> Result<bool, StoreError> {
        for subject in self.subjects()? {
            if matches!(subject, Subject::Machine(_)) || alive::has_any(&subject.folder(&self.root)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// All that have a lock, held or not: fleets, and machines without one.
    fn subjects(&self) -> Result<Vec<Subject>, StoreError> {
        let fleets = folders(&self.root.join("fleets"))?.into_iter().filter_map(|name| FleetName::new(name).ok());
        let machines = folders(&self.root.join("locks"))?.into_iter().filter_map(|name| MachineName::new(name).ok());
        Ok(fleets.map(Subject::Fleet).chain(machines.map(Subject::Machine)).collect())
    }

    /// All locks that are held.
    pub(super) fn seen(&self) -> Result<Vec<Seen>, StoreError> {
        self.subjects()?.into_iter().filter_map(|subject| lock::see(&self.root, subject).transpose()).collect()
    }
}

/// The folders in a folder, sorted, and what may be one.
fn folders(folder: &Path) -> Result<Vec<String>, StoreError> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed("read", folder))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed("read", folder))?;
        if fs::metadata(entry.path()).map_or(true, |about| about.is_dir()) {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
#[path = "dir_locks_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "unreadable_tests.rs"]
mod unreadable_tests;
