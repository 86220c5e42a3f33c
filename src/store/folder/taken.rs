//! Locks with a lease: free at once when their holder's process ends, and after [`LEASE`] when it only seems to live
//! (pain 11: no lock is ever stuck, and none is ever two runs').
//!
//! In a lock's folder lie `lock`, which says who holds it, and `alive-ID`, on which the holder keeps a lock of the
//! system's while it lives, and into which its heart beats. What is decided here is decided in [`lease`](super::lease).
//! All changes are made under the guard, the lock under which records are written.

use super::{
    Holder, Lock, Mode, StoreError, Subject, Unreadable,
    alive::{self, Alive, random_id, wait},
    file::{Files, failed, hidden},
    lease::{self, BEAT, Held, LEASE, Lease, Process, Verdict},
};
use crate::fault;
use rustix::fs::OFlags;
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

/// A lock that this process took and has not given back.
#[derive(Clone, Debug)]
struct Mine {
    id: String,
    folder: PathBuf,
    alive: Arc<Alive>,
    beats: u64,
}

/// What was seen of another holder's heart: which beat, and since when.
#[derive(Debug)]
struct Watched {
    id: String,
    beat: Option<(u64, u64)>,
    since: Instant,
}

#[derive(Debug, Default)]
struct State {
    mine: BTreeMap<Subject, Mine>,
    watched: BTreeMap<Subject, Watched>,
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

/// The locks of a store, and which of them are this process's.
#[derive(Clone, Debug)]
pub(super) struct Locks {
    heart: Arc<Heart>,
    lease: Duration,
    beat: Duration,
}

impl Default for Locks {
    fn default() -> Self {
        Self::with_lease(LEASE, BEAT)
    }
}

/// A lock as others see it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seen {
    /// Of what.
    pub subject: Subject,
    /// Who has it, as far as that can be told.
    pub state: Sight,
}

/// What can be told of a lock that is not free.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Sight {
    /// A run holds it.
    Held {
        /// Counts takings.
        token: u64,
        /// Who.
        holder: Holder,
        /// How long ago its heart beat last, if that can be told.
        silent: Duration,
        /// Whether it shows life, or is about to lose its lock.
        alive: bool,
    },
    /// Its files cannot be read, so it counts as held.
    Unreadable(Unreadable),
}

/// A lock that is held. Dropping it gives it back.
struct Taken {
    locks: Locks,
    subject: Subject,
    id: String,
    files: Files,
    guard: PathBuf,
}

impl Lock for Taken {}

impl Drop for Taken {
    fn drop(&mut self) {
        // What is not done here the system does when the process ends.
        let Ok(_guard) = wait(&self.guard, GUARD) else { return };
        let mut state = self.locks.heart.state();
        let Some(mine) = state.mine.get(&self.subject).filter(|mine| mine.id == self.id).cloned() else { return };
        // One that was lost, or that cannot be read, is kept in mind: its holder may not write any more.
        let Ok(lease) = read(&self.subject, &mine.folder) else { return };
        if lease.is_of(&mine.id) {
            let _ = give_back(&self.files, &mine.folder, &self.subject, &lease);
            alive::remove(&Alive::path(&mine.folder, &mine.id));
            remove_folder(&self.subject, &mine.folder);
            state.mine.remove(&self.subject);
            self.locks.heart.changed.notify_all();
        }
    }
}

impl Locks {
    pub(super) fn with_lease(lease: Duration, beat: Duration) -> Self {
        Self { heart: Arc::default(), lease, beat }
    }

    /// Takes a lock, or says who has it. `root` is the store's; `guard` the path of the lock under which records are
    /// written.
    pub(super) fn take(
        &self,
        files: &Files,
        root: &Path,
        guard: &Path,
        subject: &Subject,
        holder: &Holder,
    ) -> Result<Box<dyn Lock>, StoreError> {
        let folder = subject.folder(root);
        // Those who wait must not stand in the way of those who work: most of their looks end here, without the guard.
        if let Some(held) = read(subject, &folder)?.held
            && let Ok((Some(alive), Process::There)) = Alive::find(&Alive::path(&folder, &held.id), &held)
            && alive.silent() < self.lease
        {
            return Err(locked(subject, held));
        }
        let _guard = wait(guard, GUARD)?;
        files.make_dir(&folder)?;
        let old = read(subject, &folder)?;
        if let Some(held) = &old.held {
            let sight = self.look(&folder, guard, subject, held)?;
            if old.judge(sight, self.lease) == Verdict::Held {
                return Err(locked(subject, held.clone()));
            }
        }
        let id = random_id().map_err(failed("lock", &folder))?;
        let path = Alive::path(&folder, &id);
        let written = Alive::make(&path).and_then(|alive| {
            let held = Held { id: id.clone(), place: alive.place(&path)?, holder: holder.clone() };
            write(files, &folder, &old.taken(held)).map(|()| alive)
        });
        let alive = match written {
            Ok(alive) => alive,
            Err(e) => {
                alive::remove(&path);
                return Err(e);
            }
        };
        // Those of earlier holders, and of one that was killed before it had written its name, are of no use.
        alive::tidy(&folder, Some(&id));
        let mine = Mine { id: id.clone(), folder, alive: Arc::new(alive), beats: 0 };
        let mut state = self.heart.state();
        state.watched.remove(subject);
        state.mine.insert(subject.clone(), mine);
        if !state.beating {
            state.beating = true;
            let (heart, every) = (Arc::clone(&self.heart), self.beat);
            thread::spawn(move || keep_beating(&heart, every));
        }
        drop(state);
        let (locks, subject) = (self.clone(), subject.clone());
        Ok(Box::new(Taken { locks, subject, id, files: files.clone(), guard: guard.to_owned() }))
    }

    /// What can be seen of the holder of a lock.
    fn look(&self, folder: &Path, guard: &Path, subject: &Subject, held: &Held) -> Result<lease::Sight, StoreError> {
        let path = Alive::path(folder, &held.id);
        let found = Alive::find(&path, held).map_err(|e| unreadable(subject, &path, &e))?;
        let (alive, process) = match found {
            (Some(alive), process) => (alive, process),
            (None, process) => return Ok(lease::Sight { process, silent: Duration::ZERO }),
        };
        if process != Process::Elsewhere {
            return Ok(lease::Sight { process, silent: alive.silent() });
        }
        let seen = alive.last_beat();
        // The disk's own clock stamped both files; it is as good as ours, and there is only one of it.
        alive::touch(&File::open(guard).map_err(failed("open", guard))?).map_err(failed("touch", guard))?;
        let stamp = |path: &Path| fs::metadata(path).and_then(|about| about.modified()).map_err(failed("read", path));
        let by_disk = stamp(guard)?.duration_since(stamp(&path)?).unwrap_or_default();
        // And if that clock was set back: what we saw with our own eyes, on our own.
        let mut state = self.heart.state();
        let watched = state.watched.entry(subject.clone()).or_insert_with(|| Watched {
            id: held.id.clone(),
            beat: seen,
            since: Instant::now(),
        });
        if watched.id != held.id || watched.beat != seen {
            *watched = Watched { id: held.id.clone(), beat: seen, since: Instant::now() };
        }
        Ok(lease::Sight { process, silent: by_disk.max(watched.since.elapsed()) })
    }

    /// Whether all that this process took is still its own. To be asked under the guard before a write.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let state = self.heart.state();
        for (subject, mine) in &state.mine {
            let lost = |by, unreadable| StoreError::LostLock { subject: subject.clone(), by, unreadable };
            match read(subject, &mine.folder) {
                Ok(lease) if lease.is_of(&mine.id) => {}
                Ok(lease) => return Err(lost(lease.held.map(|held| Box::new(held.holder)), None)),
                // It is unknown whose it is, so it is not known to be ours.
                Err(StoreError::UnreadableLock { lock, .. }) => return Err(lost(None, Some(lock))),
                Err(e) => return Err(e),
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
        let state = self.heart.state();
        let passes =
            state.mine.iter().map(|(subject, mine)| format!("{}/{}/{}", subject.kind(), subject.name(), mine.id));
        passes.collect::<Vec<_>>().join(" ")
    }
}

fn locked(subject: &Subject, held: Held) -> StoreError {
    let pass = pass(subject, &held);
    StoreError::Locked { subject: subject.clone(), holder: Box::new(held.holder), pass }
}

/// What the children of a holder are told apart by.
fn pass(subject: &Subject, held: &Held) -> String {
    format!("{}/{}/{}", subject.kind(), subject.name(), held.id)
}

/// How a lock is seen by one who only looks: nothing is written.
pub(super) fn see(root: &Path, subject: Subject) -> Result<Option<Seen>, StoreError> {
    match sight(root, &subject) {
        Ok(state) => Ok(state.map(|state| Seen { subject, state })),
        Err(StoreError::UnreadableLock { lock, .. }) => Ok(Some(Seen { subject, state: Sight::Unreadable(*lock) })),
        Err(e) => Err(e),
    }
}

fn sight(root: &Path, subject: &Subject) -> Result<Option<Sight>, StoreError> {
    let folder = subject.folder(root);
    let Lease { token, held: Some(held) } = read(subject, &folder)? else { return Ok(None) };
    let path = Alive::path(&folder, &held.id);
    let (alive, process) = Alive::find(&path, &held).map_err(|e| unreadable(subject, &path, &e))?;
    let silent = match (&alive, process) {
        (_, Process::Gone) | (None, _) => return Ok(None),
        (Some(alive), Process::There) => alive.silent(),
        // By two clocks, which is good enough for looking.
        (Some(alive), Process::Elsewhere) => alive.silent_by_stamp().unwrap_or_default(),
    };
    Ok(Some(Sight::Held { token, holder: held.holder, silent, alive: silent < LEASE }))
}

/// Takes a lock away from its holder, also when that cannot be read. Returns what was read of it.
pub(super) fn break_up(
    files: &Files,
    root: &Path,
    guard: &Path,
    subject: &Subject,
) -> Result<Option<Sight>, StoreError> {
    let folder = subject.folder(root);
    let seen = see(root, subject.clone())?.map(|seen| seen.state);
    if seen.is_none() && read(subject, &folder)?.held.is_none() {
        return Ok(None);
    }
    let _guard = wait(guard, GUARD)?;
    let (lease, id) = match read(subject, &folder) {
        Ok(Lease { token, held }) => (Lease { token, held: None }, held.map(|held| held.id)),
        Err(StoreError::UnreadableLock { .. }) => (Lease::default(), None),
        Err(e) => return Err(e),
    };
    let path = folder.join(FILE);
    // A folder cannot be replaced by a file, and what is in it is not ours to delete.
    if path.is_dir() && !path.is_symlink() {
        files.rename_dir(&path, &hidden(&path, "broken"), "move away")?;
    }
    write(files, &folder, &lease)?;
    match id {
        Some(id) => alive::remove(&Alive::path(&folder, &id)),
        None => alive::tidy(&folder, None),
    }
    Ok(seen)
}

/// Removes what killed runs left of these locks. Machines come and go by the hundred, and most do not come back.
/// To be called under the guard.
pub(super) fn sweep(files: &Files, root: &Path, subjects: &[Subject]) {
    for subject in subjects {
        let folder = subject.folder(root);
        // What cannot be read may be held.
        let Ok(lease) = read(subject, &folder) else { continue };
        let gone = match &lease.held {
            None => true,
            Some(held) => matches!(Alive::find(&Alive::path(&folder, &held.id), held), Ok((_, Process::Gone))),
        };
        let is_free = matches!(subject, Subject::Fleet(_)) && lease.held.is_none();
        if gone && (is_free || give_back(files, &folder, subject, &lease).is_ok()) {
            alive::tidy(&folder, None);
            remove_folder(subject, &folder);
        }
    }
}

/// What is left of the locks of machines must not stay for ever.
fn remove_folder(subject: &Subject, folder: &Path) {
    if matches!(subject, Subject::Machine(_)) {
        let _ = fault::point("lock.remove", folder).and_then(|()| fs::remove_dir(folder));
    }
}

/// The file that says who holds a lock.
const FILE: &str = "lock";
/// Longer ones are none of ours.
const MOST: u64 = 64 << 10;

/// What is written of a lock. Only where there is no file it is free: whatever cannot be read may say that it is held.
fn read(subject: &Subject, folder: &Path) -> Result<Lease, StoreError> {
    let path = folder.join(FILE);
    let bytes = match bytes(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Lease::default()),
        // Where its folder should be is a file: there is nothing to hold, and nothing can be taken.
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => return Err(failed("read", &path)(e)),
        other => other.map_err(|e| unreadable(subject, &path, &e))?,
    };
    serde_json::from_slice(&bytes).map_err(|e| {
        let why = if bytes.is_empty() { "it is empty".to_owned() } else { e.to_string() };
        unreadable(subject, &path, &why)
    })
}

/// A plain file of no great length. Nothing else can make us wait, or lead elsewhere.
fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    fault::point("look.lock", path)?;
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    file.take(MOST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST { Err(io::Error::other("it is too long")) } else { Ok(bytes) }
}

/// A lock whose holder cannot be read.
fn unreadable(subject: &Subject, path: &Path, why: &dyn std::fmt::Display) -> StoreError {
    let lock = Box::new(Unreadable { path: path.to_owned(), why: why.to_string() });
    StoreError::UnreadableLock { subject: subject.clone(), lock }
}

/// Writes that it is free. Of a fleet the token is kept, so that a history of takings makes sense.
fn give_back(files: &Files, folder: &Path, subject: &Subject, lease: &Lease) -> Result<(), StoreError> {
    match subject {
        Subject::Fleet(_) => write(files, folder, &lease.freed()),
        Subject::Machine(_) => files.remove_file(&folder.join(FILE)),
    }
}

fn write(files: &Files, folder: &Path, lease: &Lease) -> Result<(), StoreError> {
    let text = serde_json::to_string(lease).expect("a lease is plain data");
    files.write(&folder.join(FILE), text.as_bytes(), Mode::Private)
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
