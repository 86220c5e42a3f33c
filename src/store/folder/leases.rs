//! The leases of a folder: free at once when their holder's process ends, and after [`LEASE`] when it only seems to live
//! (pain 11: no lock is ever stuck, and none is ever two runs').
//!
//! Each is a file `leases/ID.json` that says who holds what. Beside it lies `alive-ID`, on which the holder keeps a lock of
//! the system's while it lives, and into which its heart beats. A lease is held for as long as its file is there: who takes
//! over removes it, under the guard, the lock under which records are written. What is decided here is decided in
//! [`lease`](crate::store::lease). Locks of earlier versions are in [`earlier_locks`](super::earlier_locks).

use super::{
    alive::{self, Alive, random_id, wait},
    disk::{Disk, failed, hidden},
    earlier_locks,
};
use crate::{
    fault,
    store::{
        Held, Holder, Mode, Scope, Seen, Sight, StoreError, Subject, Unreadable,
        lease::{self, BEAT, LEASE, Process, Taking, Verdict},
    },
};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// How long a lock of the system's is waited for: each is held for a few writes only.
pub(super) const GUARD: Duration = Duration::from_secs(30);
/// How long one may take to make certificates for fifty who wait.
pub(super) const CERTS: Duration = Duration::from_mins(2);
/// Where leases lie.
const FOLDER: &str = "leases";
/// How their names end.
const ENDING: &str = ".json";
/// Longer files are none of ours: the names of a hundred thousand machines.
const MOST: u64 = 16 << 20;

/// What is written of a lease. A field that is not known may say that more is held, so it is none that we can read; what is
/// not known of a holder changes nothing.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Written {
    scope: Scope,
    taking: Taking,
}

/// A lease that this process took and has not given back.
#[derive(Clone, Debug)]
struct Mine {
    scope: Scope,
    path: PathBuf,
    alive: Arc<Alive>,
    beats: u64,
}

/// What was seen of another holder's heart: which beat, and since when.
#[derive(Debug)]
struct Watched {
    beat: Option<(u64, u64)>,
    since: Instant,
}

#[derive(Debug, Default)]
struct State {
    /// By id.
    mine: BTreeMap<String, Mine>,
    watched: BTreeMap<String, Watched>,
    beating: bool,
}

#[derive(Debug, Default)]
struct Heart {
    state: Mutex<State>,
    changed: Condvar,
}

impl Heart {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The leases of a folder, and which of them are this process's.
#[derive(Clone, Debug)]
pub(super) struct FolderLeases {
    heart: Arc<Heart>,
    lease: Duration,
    beat: Duration,
}

impl Default for FolderLeases {
    fn default() -> Self {
        Self::with_lease(LEASE, BEAT)
    }
}

/// Where it all lies.
#[derive(Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) disk: &'a Disk,
    pub(super) root: &'a Path,
    /// The path of the lock under which records are written.
    pub(super) guard: &'a Path,
}

/// A lease that is held. Dropping it gives it back.
struct Taken {
    leases: FolderLeases,
    id: String,
    disk: Disk,
}

impl Held for Taken {}

impl Drop for Taken {
    fn drop(&mut self) {
        // What is not done here the system does when the process ends.
        let mut state = self.leases.heart.state();
        let Some(mine) = state.mine.get(&self.id).cloned() else { return };
        // One that was lost, or that cannot be looked at, is kept in mind: its holder may not write any more.
        if !matches!(is_there(&mine.path), Ok(true)) {
            return;
        }
        let _ = self.disk.remove_file(&mine.path);
        if let Some(folder) = mine.path.parent() {
            alive::remove(&Alive::path(folder, &self.id));
        }
        state.mine.remove(&self.id);
        self.leases.heart.changed.notify_all();
    }
}

impl FolderLeases {
    pub(super) fn with_lease(lease: Duration, beat: Duration) -> Self {
        Self { heart: Arc::default(), lease, beat }
    }

    /// Takes all of a scope, or says who has some of it.
    pub(super) fn take(&self, on: Ground<'_>, scope: &Scope, holder: &Holder) -> Result<Box<dyn Held>, StoreError> {
        // Those who wait must not stand in the way of those who work: most of their looks end here, without the guard.
        let folder = on.root.join(FOLDER);
        for (path, lease) in read_all(&folder)? {
            if let Ok(Written { scope: theirs, taking }) = lease
                && let Some(subject) = scope.meets(&theirs)
                && let Ok((Some(alive), Process::There)) = Alive::find(&beside(&path, &taking.id), &taking)
                && alive.silent() < self.lease
            {
                return Err(locked(subject, taking));
            }
        }
        let guard = wait(on.guard, GUARD)?;
        on.disk.make_dir(&folder)?;
        let over = self.over(on, scope)?;
        let earlier = earlier_locks::over(self, on, scope)?;
        // From here on all of it is ours to take.
        for path in &over {
            on.disk.remove_file(path)?;
        }
        earlier_locks::free(on, &earlier)?;
        tidy(&folder);
        let id = random_id().map_err(failed("lock", &folder))?;
        let (path, heart) = (folder.join(format!("{id}{ENDING}")), Alive::path(&folder, &id));
        let written = Alive::make(&heart).and_then(|alive| {
            let taking = Taking { id: id.clone(), place: alive.place(&heart)?, holder: holder.clone() };
            let text = serde_json::to_string(&Written { scope: scope.clone(), taking }).expect("a lease is plain data");
            on.disk.write(&path, text.as_bytes(), Mode::Private).map(|()| alive)
        });
        let alive = match written {
            Ok(alive) => alive,
            Err(e) => {
                // It may have got its name before it failed.
                let _ = on.disk.remove_file(&path);
                alive::remove(&heart);
                return Err(e);
            }
        };
        let mut state = self.heart.state();
        // What was lost and is taken again is ours again.
        state.mine.retain(|_, old| !scope.covers(&old.scope) || !matches!(is_there(&old.path), Ok(false)));
        state.mine.insert(id.clone(), Mine { scope: scope.clone(), path, alive: Arc::new(alive), beats: 0 });
        if !state.beating {
            state.beating = true;
            let (heart, every) = (Arc::clone(&self.heart), self.beat);
            thread::spawn(move || keep_beating(&heart, every));
        }
        drop(state);
        // Only now: a write of this process that comes next asks for this lease, too.
        drop(guard);
        Ok(Box::new(Taken { leases: self.clone(), id, disk: on.disk.clone() }))
    }

    /// The files of all leases that meet a scope and that are over, or the first that is not.
    fn over(&self, on: Ground<'_>, scope: &Scope) -> Result<Vec<PathBuf>, StoreError> {
        let mut over = Vec::new();
        for (path, lease) in read_all(&on.root.join(FOLDER))? {
            let Written { scope: theirs, taking } = lease.map_err(|lock| unreadable(scope, lock))?;
            let Some(subject) = scope.meets(&theirs) else { continue };
            let sight = self.look(on, &beside(&path, &taking.id), &taking).map_err(|lock| unreadable(scope, lock))?;
            match lease::judge(sight, self.lease) {
                Verdict::Held => return Err(locked(subject, taking)),
                Verdict::Gone | Verdict::Expired => over.push(path),
            }
        }
        Ok(over)
    }

    /// What can be seen of the holder of a lease, whose heart beats into this file. To be called under the guard.
    pub(super) fn look(&self, on: Ground<'_>, heart: &Path, taking: &Taking) -> Result<lease::Sight, Unreadable> {
        let unreadable =
            |path: &Path, e: &dyn std::fmt::Display| Unreadable { path: path.to_owned(), why: e.to_string() };
        let (alive, process) = match Alive::find(heart, taking).map_err(|e| unreadable(heart, &e))? {
            (Some(alive), process) => (alive, process),
            (None, process) => return Ok(lease::Sight { process, silent: Duration::ZERO }),
        };
        if process != Process::Elsewhere {
            return Ok(lease::Sight { process, silent: alive.silent() });
        }
        let seen = alive.last_beat();
        // The disk's own clock stamped both files; it is as good as ours, and there is only one of it.
        let stamp =
            |path: &Path| fs::metadata(path).and_then(|about| about.modified()).map_err(|e| unreadable(path, &e));
        let touched = File::open(on.guard).and_then(|file| alive::touch(&file));
        touched.map_err(|e| unreadable(on.guard, &e))?;
        let by_disk = stamp(on.guard)?.duration_since(stamp(heart)?).unwrap_or_default();
        // And if that clock was set back: what we saw with our own eyes, on our own.
        let mut state = self.heart.state();
        let now = || Watched { beat: seen, since: Instant::now() };
        let watched = state.watched.entry(taking.id.clone()).or_insert_with(now);
        if watched.beat != seen {
            *watched = now();
        }
        Ok(lease::Sight { process, silent: by_disk.max(watched.since.elapsed()) })
    }

    /// Whether all that this process took is still its own. To be asked under the guard before a write.
    pub(super) fn check(&self, root: &Path) -> Result<(), StoreError> {
        let state = self.heart.state();
        for mine in state.mine.values() {
            let lost = |by: Option<Box<Holder>>, unreadable| {
                let subject = mine.scope.told().into_iter().next();
                subject.map(|subject| StoreError::LostLock { subject, by, unreadable })
            };
            let error = match is_there(&mine.path) {
                Ok(true) => continue,
                Ok(false) => lost(successor(root, &mine.scope), None),
                // It is unknown whether it is, so it is not known to be ours.
                Err(e) => lost(None, Some(Box::new(Unreadable { path: mine.path.clone(), why: e.to_string() }))),
            };
            // A lease of nothing is never lost.
            if let Some(error) = error {
                return Err(error);
            }
        }
        Ok(())
    }

    /// As a run that was stopped.
    #[cfg(test)]
    pub(super) fn stop_beating(&self) {
        for mine in self.heart.state().mine.values_mut() {
            mine.alive = Arc::new(Alive::other());
        }
    }

    /// What a child is given so that it is known as one of ours; empty when nothing is held.
    pub(super) fn passes(&self) -> String {
        self.heart.state().mine.keys().cloned().collect::<Vec<_>>().join(" ")
    }
}

/// Who has some of a scope now.
fn successor(root: &Path, scope: &Scope) -> Option<Box<Holder>> {
    let all = read_all(&root.join(FOLDER)).ok()?;
    let theirs =
        all.into_iter().filter_map(|(_, lease)| lease.ok()).find(|lease| scope.meets(&lease.scope).is_some())?;
    Some(Box::new(theirs.taking.holder))
}

/// All that is held. Nothing is written to find out.
pub(super) fn seen(root: &Path) -> Result<Vec<Seen>, StoreError> {
    let mut all = Vec::new();
    for (path, lease) in read_all(&root.join(FOLDER))? {
        let seen = match lease {
            Err(why) => Some(Seen { scope: None, state: Sight::Unreadable(why) }),
            Ok(Written { scope, taking }) => {
                sight(&beside(&path, &taking.id), taking).map(|state| Seen { scope: Some(scope), state })
            }
        };
        all.extend(seen);
    }
    all.extend(earlier_locks::seen(root)?);
    all.sort_by_cached_key(|seen| seen.scope.as_ref().map(Scope::told));
    Ok(all)
}

/// What can be told of a taking without the guard; `None`: its holder is gone.
pub(super) fn sight(heart: &Path, taking: Taking) -> Option<Sight> {
    let (alive, process) = match Alive::find(heart, &taking) {
        Ok(found) => found,
        Err(e) => return Some(Sight::Unreadable(Unreadable { path: heart.to_owned(), why: e.to_string() })),
    };
    let silent = match (&alive, process) {
        (_, Process::Gone) | (None, _) => return None,
        (Some(alive), Process::There) => alive.silent(),
        // By two clocks, which is good enough for looking.
        (Some(alive), Process::Elsewhere) => alive.silent_by_stamp().unwrap_or_default(),
    };
    Some(Sight::Held { holder: taking.holder, silent, alive: silent < LEASE })
}

/// Takes leases of this away from their holders, also those that cannot be read, for each of them may be one.
pub(super) fn end(on: Ground<'_>, subject: &Subject) -> Result<(), StoreError> {
    let _guard = wait(on.guard, GUARD)?;
    for (path, lease) in read_all(&on.root.join(FOLDER))? {
        match lease {
            Ok(lease) if !lease.scope.has(subject) => continue,
            // A folder cannot be removed as a file is, and what is in it is not ours to delete.
            Err(_) if path.is_dir() && !path.is_symlink() => {
                on.disk.rename_dir(&path, &hidden(&path, "broken"), "move away")?;
            }
            Ok(_) | Err(_) => on.disk.remove_file(&path)?,
        }
        if let Some(id) = id(&path) {
            alive::remove(&beside(&path, id));
        }
    }
    earlier_locks::end(on, subject)
}

/// Removes what killed runs left. To be called under the guard.
pub(super) fn sweep(on: Ground<'_>) -> Result<(), StoreError> {
    let folder = on.root.join(FOLDER);
    for (path, lease) in read_all(&folder)? {
        // What cannot be read may be held.
        let Ok(Written { taking, .. }) = lease else { continue };
        if matches!(Alive::find(&beside(&path, &taking.id), &taking), Ok((_, Process::Gone))) {
            // What cannot be removed is by the next one.
            let _ = on.disk.remove_file(&path);
        }
    }
    tidy(&folder);
    earlier_locks::sweep(on)
}

/// Whether there is any lease, or what is left of one.
pub(super) fn has_any(root: &Path) -> Result<bool, StoreError> {
    let folder = root.join(FOLDER);
    Ok(!read_all(&folder)?.is_empty() || alive::has_any(&folder) || earlier_locks::has_any(root)?)
}

/// Removes signs of life of leases that are not there, and what was half written. To be called under the guard, under which
/// both are made.
fn tidy(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let Some(name) = name.to_str() else { continue };
        let half = name.starts_with('.') && path.extension().is_some_and(|ending| ending == "tmp");
        let left = Alive::id(name).is_some_and(|id| !folder.join(format!("{id}{ENDING}")).exists());
        if half || left {
            alive::remove(&path);
        }
    }
}

fn id(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()?.strip_suffix(ENDING)
}

/// The sign of life that belongs to a lease.
fn beside(path: &Path, id: &str) -> PathBuf {
    Alive::path(path.parent().unwrap_or(Path::new("/")), id)
}

/// Where a lease lies, and what it says.
type Read = (PathBuf, Result<Written, Unreadable>);

/// All leases, sorted, and what may be one.
fn read_all(folder: &Path) -> Result<Vec<Read>, StoreError> {
    let mut paths = Vec::new();
    for entry in Disk::entries(folder)? {
        let path = entry.path();
        if id(&path).is_some_and(|id| !id.starts_with('.')) {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    Ok(paths.into_iter().filter_map(|path| read(&path).transpose().map(|lease| (path, lease))).collect())
}

/// A lease; `None`: it was given back meanwhile.
fn read(path: &Path) -> Result<Option<Written>, Unreadable> {
    let unreadable = |why: String| Unreadable { path: path.to_owned(), why };
    let Some(bytes) = bytes(path).map_err(|e| unreadable(e.to_string()))? else { return Ok(None) };
    let lease: Written = serde_json::from_slice(&bytes)
        .map_err(|e| unreadable(if bytes.is_empty() { "it is empty".to_owned() } else { e.to_string() }))?;
    if id(path) == Some(lease.taking.id.as_str()) {
        Ok(Some(lease))
    } else {
        Err(unreadable(format!("it is the lease {}, under another name", lease.taking.id.escape_debug())))
    }
}

/// A plain file of no great length; `None`: it is not there. Nothing else can make us wait, or lead elsewhere.
pub(super) fn bytes(path: &Path) -> io::Result<Option<Vec<u8>>> {
    fault::point("look.lock", path)?;
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let file = match OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    file.take(MOST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST { Err(io::Error::other("it is too long")) } else { Ok(Some(bytes)) }
}

fn is_there(path: &Path) -> io::Result<bool> {
    fault::point("look.lock", path)?;
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

pub(super) fn locked(subject: Subject, taking: Taking) -> StoreError {
    StoreError::Locked { subject, pass: taking.id, holder: Box::new(taking.holder) }
}

/// A lease whose holder cannot be read: it may be of anything.
fn unreadable(scope: &Scope, lock: Unreadable) -> StoreError {
    match scope.subjects().next() {
        Some(subject) => StoreError::UnreadableLock { subject, lock: Box::new(lock) },
        None => failed("read", &lock.path.clone())(io::Error::other(lock.why)),
    }
}

/// Beats until nothing is held.
fn keep_beating(heart: &Heart, every: Duration) {
    loop {
        let mut state = heart.state();
        let due = Instant::now() + every;
        while !state.mine.is_empty() && Instant::now() < due {
            let left = due.saturating_duration_since(Instant::now());
            state = heart.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.mine.is_empty() {
            state.beating = false;
            return;
        }
        let files: Vec<_> = state
            .mine
            .values_mut()
            .map(|mine| {
                mine.beats += 1;
                (Arc::clone(&mine.alive), mine.beats)
            })
            .collect();
        // A disk that hangs must not hang all others.
        drop(state);
        for (alive, count) in files {
            // One that is missed is not the last.
            let _ = alive.beat_aloud(count);
        }
    }
}

#[cfg(test)]
#[path = "leases_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "unreadable_tests.rs"]
mod unreadable_tests;
