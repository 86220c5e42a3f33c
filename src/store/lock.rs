//! Locks that the system frees when their holder ends, however it ends (pain 11: no lock is ever stuck).

use super::{Holder, Lock, StoreError, file::failed};
use crate::{clock::Timestamp, fault, name::FleetName};
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// The lock of a fleet. Who holds it is written in the file for others to read.
pub(super) struct FleetLock {
    file: File,
}

impl Lock for FleetLock {}

impl Drop for FleetLock {
    fn drop(&mut self) {
        // So that nobody reads an old holder; if it fails, the next one overwrites it.
        let _ = self.file.set_len(0);
        let _ = self.file.unlock();
    }
}

fn open(path: &Path) -> Result<File, StoreError> {
    let open = || OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    fault::point("lock.open", path).and_then(|()| open()).map_err(failed("open", path))
}

/// Takes the lock of a fleet, or says who has it.
pub(super) fn fleet(path: &Path, fleet: &FleetName, holder: &Holder) -> Result<FleetLock, StoreError> {
    let mut file = open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // Unreadable or not yet written: it is held all the same.
            let _ = file.read_to_string(&mut text);
            let holder = serde_json::from_str(&text).unwrap_or_else(|_| unknown_holder());
            return Err(StoreError::Locked { fleet: fleet.clone(), holder: Box::new(holder) });
        }
        Err(TryLockError::Error(e)) => return Err(failed("lock", path)(e)),
    }
    let text = serde_json::to_string(holder).expect("a holder is plain data");
    // Written in place: a rename would leave others with a lock on another file.
    fault::point("lock.write", path)
        .and_then(|()| file.set_len(0))
        .and_then(|()| file.rewind())
        .and_then(|()| fault::point("lock.write.half", path))
        .and_then(|()| file.write_all(text.as_bytes()))
        .and_then(|()| file.sync_data())
        .map_err(failed("write", path))?;
    Ok(FleetLock { file })
}

/// One who has taken the lock and not said yet who it is.
fn unknown_holder() -> Holder {
    Holder { who: "another run".to_owned(), pid: 0, command: "starting".to_owned(), since: Timestamp(0) }
}

/// Waits for a lock, which lasts as long as the file is open.
pub(super) fn wait(path: &Path) -> Result<File, StoreError> {
    let file = open(path)?;
    file.lock().map_err(failed("lock", path))?;
    Ok(file)
}
