//! Locks as earlier versions of this program take them: a file `lock` for each fleet in `fleets/NAME`, and for each machine
//! without a fleet in `locks/NAME`, with `alive-ID` beside it. None is made any more; those that are there are honoured, for
//! two versions may work on one store.

use super::{
    alive::{self, Alive},
    disk::{Disk, hidden},
    leases::{self, FolderLeases, Ground, bytes, locked},
};
use crate::{
    fault,
    name::{FleetName, MachineName},
    store::{
        Scope, Seen, Sight, StoreError, Subject, Unreadable,
        lease::{self, LEASE, Process, Taking, Verdict},
    },
};
use serde::Deserialize;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The file that says who holds a lock.
const FILE: &str = "lock";

/// What is written of a lock. A field that is not known may say that it is held, so it is no lock that we can read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lock {
    #[expect(dead_code, reason = "it belongs to a lock that can be read")]
    token: u64,
    /// `None`: it is free.
    #[serde(default)]
    held: Option<Taking>,
}

/// Where the lock of a subject lies.
pub(super) fn folder(root: &Path, subject: &Subject) -> PathBuf {
    match subject {
        Subject::Fleet(name) => root.join("fleets").join(name.as_str()),
        Subject::Machine(name) => root.join("locks").join(name.as_str()),
    }
}

/// Who holds a lock. Only where there is no file it is free: whatever cannot be read may say that it is held.
fn read(folder: &Path) -> Result<Option<Taking>, Unreadable> {
    let path = folder.join(FILE);
    let unreadable = |why: String| Unreadable { path: path.clone(), why };
    let bytes = match bytes(&path) {
        Ok(Some(bytes)) => bytes,
        // Where its folder should be is a file: there is no lock in it.
        Ok(None) => return Ok(None),
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => return Ok(None),
        Err(e) => return Err(unreadable(e.to_string())),
    };
    match serde_json::from_slice::<Lock>(&bytes) {
        Ok(lock) => Ok(lock.held),
        Err(_) if bytes.is_empty() => Err(unreadable("it is empty".to_owned())),
        Err(e) => Err(unreadable(e.to_string())),
    }
}

/// Whose locks of what a scope may meet are over, or the first that is not. Which machines a fleet has its lock does not
/// say, so it may have any.
pub(super) fn over(leases: &FolderLeases, on: Ground<'_>, scope: &Scope) -> Result<Vec<Subject>, StoreError> {
    let mut over = Vec::new();
    let fleets = subjects(on.root)?
        .into_iter()
        .filter(|subject| matches!(subject, Subject::Fleet(_)) && !scope.machines.is_empty() && !scope.has(subject));
    for subject in scope.subjects().chain(fleets) {
        let folder = folder(on.root, &subject);
        let unreadable = |lock| StoreError::UnreadableLock { subject: subject.clone(), lock: Box::new(lock) };
        let Some(taking) = read(&folder).map_err(unreadable)? else { continue };
        let sight = leases.look(on, &Alive::path(&folder, &taking.id), &taking).map_err(unreadable)?;
        match lease::judge(sight, LEASE) {
            Verdict::Held => return Err(locked(subject, taking)),
            Verdict::Gone | Verdict::Expired => over.push(subject),
        }
    }
    Ok(over)
}

/// Takes locks away that are over. To be called under the guard.
pub(super) fn free(on: Ground<'_>, over: &[Subject]) -> Result<(), StoreError> {
    over.iter().try_for_each(|subject| remove(on.disk, &folder(on.root, subject), subject))
}

fn remove(disk: &Disk, folder: &Path, subject: &Subject) -> Result<(), StoreError> {
    let path = folder.join(FILE);
    // A folder cannot be removed as a file is, and what is in it is not ours to delete.
    if path.is_dir() && !path.is_symlink() {
        disk.rename_dir(&path, &hidden(&path, "broken"), "move away")?;
    } else {
        disk.remove_file(&path)?;
    }
    alive::tidy(folder);
    if matches!(subject, Subject::Machine(_)) {
        // One with anything else in it stays.
        let _ = fault::point("lock.remove", folder).and_then(|()| fs::remove_dir(folder));
    }
    Ok(())
}

/// All that are held.
pub(super) fn seen(root: &Path) -> Result<Vec<Seen>, StoreError> {
    let mut all = Vec::new();
    for subject in subjects(root)? {
        let folder = folder(root, &subject);
        let state = match read(&folder) {
            Ok(None) => continue,
            Ok(Some(taking)) => match leases::sight(&Alive::path(&folder, &taking.id), taking) {
                Some(state) => state,
                None => continue,
            },
            Err(why) => Sight::Unreadable(why),
        };
        all.push(Seen { scope: Some(of(subject)), state });
    }
    Ok(all)
}

fn of(subject: Subject) -> Scope {
    match subject {
        Subject::Fleet(name) => Scope::of_fleet(&name, []),
        Subject::Machine(name) => Scope::of_machines([&name]),
    }
}

/// Takes a lock away from its holder, also when that cannot be read. To be called under the guard.
pub(super) fn end(on: Ground<'_>, subject: &Subject) -> Result<(), StoreError> {
    let folder = folder(on.root, subject);
    if matches!(read(&folder), Ok(None)) { Ok(()) } else { remove(on.disk, &folder, subject) }
}

/// Removes what killed runs left. To be called under the guard.
pub(super) fn sweep(on: Ground<'_>) -> Result<(), StoreError> {
    for subject in subjects(on.root)? {
        let folder = folder(on.root, &subject);
        let gone = match read(&folder) {
            Ok(None) => matches!(subject, Subject::Machine(_)) || alive::has_any(&folder),
            Ok(Some(taking)) => {
                matches!(Alive::find(&Alive::path(&folder, &taking.id), &taking), Ok((_, Process::Gone)))
            }
            // It may be held.
            Err(_) => false,
        };
        if gone {
            // What cannot be removed is by the next one.
            let _ = remove(on.disk, &folder, &subject);
        }
    }
    Ok(())
}

/// Whether there is any, or what is left of one.
pub(super) fn has_any(root: &Path) -> Result<bool, StoreError> {
    let left = |subject: &Subject| matches!(subject, Subject::Machine(_)) || alive::has_any(&folder(root, subject));
    Ok(subjects(root)?.iter().any(left))
}

/// All that may have a lock.
fn subjects(root: &Path) -> Result<Vec<Subject>, StoreError> {
    let fleets = folders(&root.join("fleets"))?.into_iter().filter_map(|name| FleetName::new(name).ok());
    let machines = folders(&root.join("locks"))?.into_iter().filter_map(|name| MachineName::new(name).ok());
    Ok(fleets.map(Subject::Fleet).chain(machines.map(Subject::Machine)).collect())
}

/// The folders in a folder, sorted, and what may be one.
fn folders(folder: &Path) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    for entry in Disk::entries(folder)? {
        if fs::metadata(entry.path()).map_or(true, |about| about.is_dir()) {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}
