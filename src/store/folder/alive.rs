//! The file that says that a holder lives: the system keeps a lock on it for as long as its process does, and its heart
//! beats into it. Beside it lies what is held, in [`leases`](super::leases).

use super::disk::failed;
use crate::{
    fault,
    store::{
        StoreError,
        lease::{Process, Taking},
    },
};
use rustix::{
    fs::{OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT},
    time::ClockId,
};
use std::{
    fmt::Write as _,
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// How such files are called, before the id of their holder.
const PREFIX: &str = "alive-";

/// A holder's file, open.
#[derive(Debug)]
pub(super) struct Alive(File);

impl Alive {
    /// Where the file of a holder is.
    pub(super) fn path(folder: &Path, id: &str) -> PathBuf {
        folder.join(format!("{PREFIX}{id}"))
    }

    /// Whose such a file is, by its name.
    pub(super) fn id(name: &str) -> Option<&str> {
        name.strip_prefix(PREFIX)
    }

    /// Makes the file of a new holder, which lives from now on.
    pub(super) fn make(path: &Path) -> Result<Self, StoreError> {
        let options = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).clone();
        let file = fault::point("lock.create", path).and_then(|()| options.open(path)).map_err(failed("make", path))?;
        let alive = Self(file);
        alive.0.lock().map_err(failed("lock", path))?;
        fault::point("lock.write", path).and_then(|()| alive.beat(0)).map_err(failed("write", path))?;
        Ok(alive)
    }

    /// Where the holder runs: this start of this computer, and a disk.
    pub(super) fn place(&self, path: &Path) -> Result<String, StoreError> {
        Ok(place(self.0.metadata().map_err(failed("read", path))?.dev()))
    }

    /// Opens the file of a holder, if it is there, and looks whether the holder is.
    pub(super) fn find(path: &Path, taking: &Taking) -> io::Result<(Option<Self>, Process)> {
        fault::point("look.alive", path)?;
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
        let file = match OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path) {
            // Only a run that gives a lock back, or breaks it, removes it.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok((None, Process::Gone)),
            other => other?,
        };
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        let alive = Self(file);
        if place(about.dev()) != taking.place {
            return Ok((Some(alive), Process::Elsewhere));
        }
        match alive.0.try_lock_shared() {
            Ok(()) => Ok((Some(alive), Process::Gone)),
            Err(TryLockError::WouldBlock) => Ok((Some(alive), Process::There)),
            Err(TryLockError::Error(e)) => Err(e),
        }
    }

    /// Shows life. In place and of one length, so that a full disk does not stop a heart.
    pub(super) fn beat(&self, count: u64) -> io::Result<()> {
        self.0.write_all_at(format!("{count:020} {:020}\n", uptime()).as_bytes(), 0)?;
        touch(&self.0)
    }

    /// As [`beat`](Self::beat), so that other computers see it.
    pub(super) fn beat_aloud(&self, count: u64) -> io::Result<()> {
        self.beat(count)?;
        self.0.sync_data()
    }

    /// The last beat: its number, and when it was on the clock of this computer. Nothing while it is being written.
    pub(super) fn last_beat(&self) -> Option<(u64, u64)> {
        let mut text = [0; 41];
        self.0.read_exact_at(&mut text, 0).ok()?;
        let (count, at) = std::str::from_utf8(&text).ok()?.trim().split_once(' ')?;
        Some((count.parse().ok()?, at.parse().ok()?))
    }

    /// How long ago the last beat was, of a holder on this computer.
    pub(super) fn silent(&self) -> Duration {
        let ago = |(_, at)| Duration::from_millis(uptime().saturating_sub(at));
        self.last_beat().map_or(Duration::ZERO, ago)
    }

    /// How long ago the disk says that the last beat was, on the clock of this computer.
    pub(super) fn silent_by_stamp(&self) -> Option<Duration> {
        self.0.metadata().and_then(|about| about.modified()).ok()?.elapsed().ok()
    }

    /// As a file without a heartbeat.
    #[cfg(test)]
    pub(super) fn other() -> Self {
        Self(tempfile::tempfile().expect("tests can make temporary files"))
    }
}

/// Removes the files of all holders from a folder. What cannot be removed lies there until the next one tries.
pub(super) fn tidy(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_str().and_then(Alive::id).is_some() {
            remove(&entry.path());
        }
    }
}

/// Whether there is the file of any holder in a folder.
pub(super) fn has_any(folder: &Path) -> bool {
    let mut entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.any(|entry| entry.file_name().to_str().and_then(Alive::id).is_some())
}

/// Removes the file of a holder. Without it the holder is gone, and with it, too, when its process is.
pub(super) fn remove(path: &Path) {
    let _ = fault::point("lock.remove", path).and_then(|()| fs::remove_file(path));
}

/// Marks a file with the time of its disk.
pub(super) fn touch(file: &File) -> io::Result<()> {
    let at = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    let times = Timestamps { last_access: at(UTIME_OMIT), last_modification: at(UTIME_NOW) };
    Ok(rustix::fs::futimens(file, &times)?)
}

/// Where it is unknown which start of the computer this is, no two are the same.
fn place(device: u64) -> String {
    match fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        Ok(boot) => format!("{}/{device}", boot.trim()),
        Err(_) => format!("{}/{device}", random_id().unwrap_or_default()),
    }
}

/// What tells a taking of a lock from all others.
pub(super) fn random_id() -> io::Result<String> {
    let mut random = [0_u8; 8];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| io::Error::other("no randomness"))?;
    Ok(random.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    }))
}

/// Milliseconds of a clock that all processes of this computer share, and that stands still while it sleeps.
fn uptime() -> u64 {
    let now = rustix::time::clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or_default() * 1000 + u64::try_from(now.tv_nsec).unwrap_or_default() / 1_000_000
}

/// Waits for a lock of the system's, which lasts as long as the file is open. For those that are held for a moment.
pub(super) fn wait(path: &Path, limit: Duration) -> Result<File, StoreError> {
    let mut wait = Wait::new(path, limit)?;
    while let Some(pause) = wait.attempt()? {
        thread::sleep(pause);
    }
    Ok(wait.file)
}

/// As [`wait`], for those that are held while others work.
pub(super) async fn wait_long(path: &Path, limit: Duration) -> Result<File, StoreError> {
    let mut wait = Wait::new(path, limit)?;
    while let Some(pause) = wait.attempt()? {
        match tokio::runtime::Handle::try_current() {
            Ok(_) => tokio::time::sleep(pause).await,
            // Who has no runtime has nothing else to do meanwhile.
            Err(_) => thread::sleep(pause),
        }
    }
    Ok(wait.file)
}

struct Wait<'a> {
    path: &'a Path,
    file: File,
    begun: Instant,
    limit: Duration,
    pause: Duration,
}

impl<'a> Wait<'a> {
    fn new(path: &'a Path, limit: Duration) -> Result<Self, StoreError> {
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).clone();
        let file = fault::point("lock.open", path).and_then(|()| options.open(path)).map_err(failed("open", path))?;
        Ok(Self { path, file, begun: Instant::now(), limit, pause: Duration::from_micros(100) })
    }

    /// `None`: it is ours. Else how long to wait until the next attempt.
    fn attempt(&mut self) -> Result<Option<Duration>, StoreError> {
        let locked = fault::point("lock.flock", self.path).map_err(TryLockError::Error);
        match locked.and_then(|()| self.file.try_lock()) {
            Ok(()) => Ok(None),
            Err(TryLockError::Error(e)) => Err(failed("lock", self.path)(e)),
            Err(TryLockError::WouldBlock) if self.begun.elapsed() >= self.limit => {
                let why = format!("another process has held it for {} s", self.limit.as_secs());
                Err(failed("lock", self.path)(io::Error::new(io::ErrorKind::TimedOut, why)))
            }
            Err(TryLockError::WouldBlock) => {
                self.pause = (self.pause * 2).min(Duration::from_millis(5));
                Ok(Some(self.pause))
            }
        }
    }
}
