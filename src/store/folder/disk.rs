//! Changes to files that survive a crash: a temporary file in the same folder, fsync, rename, fsync of
//! the folder. All effects on files go through here, so that tests can make any one of them fail.

use crate::{
    fault,
    store::{Mode, StoreError},
};
use std::{
    ffi::OsStr,
    fmt,
    fs::{self, DirBuilder, DirEntry, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// One thing that can fail.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Effect {
    MakeDir,
    Create,
    Write,
    Sync,
    Rename,
    Link,
    SyncDir,
    Remove,
}

impl Effect {
    /// What it is called in the tests that kill the program.
    fn point(self) -> &'static str {
        match self {
            Self::MakeDir => "store.mkdir",
            Self::Create => "store.create",
            Self::Write => "store.write",
            Self::Sync => "store.sync",
            Self::Rename => "store.rename",
            Self::Link => "store.link",
            Self::SyncDir => "store.sync-dir",
            Self::Remove => "store.remove",
        }
    }
}

/// Asked before every effect; an error is what the effect then ends in.
pub(super) type Hook = Arc<dyn Fn(Effect, &Path) -> io::Result<()> + Send + Sync>;

/// The file system.
#[derive(Clone, Default)]
pub(super) struct Disk {
    hook: Option<Hook>,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").finish_non_exhaustive()
    }
}

/// Makes `map_err` of an effect.
pub(in crate::store) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |source| StoreError::Io { doing, path: path.to_owned(), source }
}

/// Content that is on the disk but does not have its name yet. Dropped, it is as if it had never been.
#[must_use]
pub(super) struct Staged<'f> {
    disk: &'f Disk,
    temp: PathBuf,
    to: PathBuf,
    named: bool,
}

impl Disk {
    #[cfg(test)]
    pub(super) fn with_hook(hook: Hook) -> Self {
        Self { hook: Some(hook) }
    }

    fn ask(&self, effect: Effect, path: &Path) -> io::Result<()> {
        self.hook.as_ref().map_or(Ok(()), |hook| hook(effect, path))?;
        fault::point(effect.point(), path)
    }

    /// Reads a file; `None` when it is not there.
    pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
        match fs::read(path) {
            Ok(content) => Ok(Some(content)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(failed("read", path)(e)),
        }
    }

    /// What is in a folder, in no order; nothing when it is not there.
    pub(super) fn entries(folder: &Path) -> Result<Vec<DirEntry>, StoreError> {
        match fs::read_dir(folder) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            other => other.and_then(Iterator::collect).map_err(failed("read", folder)),
        }
    }

    /// Makes a folder, 0700, and those above it. Nothing to do when it is there.
    pub(super) fn make_dir(&self, path: &Path) -> Result<(), StoreError> {
        if path.is_dir() {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            self.make_dir(parent)?;
        }
        let made = self.ask(Effect::MakeDir, path).and_then(|()| DirBuilder::new().mode(0o700).create(path));
        match made {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            Err(e) => Err(failed("make", path)(e)),
            Ok(()) => path.parent().map_or(Ok(()), |parent| self.sync_dir(parent)),
        }
    }

    /// Makes what was named, renamed or removed in a folder last.
    pub(super) fn sync_dir(&self, path: &Path) -> Result<(), StoreError> {
        self.ask(Effect::SyncDir, path).and_then(|()| File::open(path)?.sync_all()).map_err(failed("sync", path))
    }

    /// Writes content beside its place, durably.
    pub(super) fn stage(&self, to: &Path, content: &[u8], mode: Mode) -> Result<Staged<'_>, StoreError> {
        let (mut file, temp) = self.create_temp(to, mode).map_err(failed("write", to))?;
        let staged = Staged { disk: self, temp, to: to.to_owned(), named: false };
        if let Err(e) = self.ask(Effect::Write, to) {
            // What a full disk leaves behind.
            let _ = file.write_all(&content[..content.len() / 2]);
            return Err(failed("write", to)(e));
        }
        file.write_all(content)
            .and_then(|()| self.ask(Effect::Sync, to))
            .and_then(|()| file.sync_all())
            .map_err(failed("write", to))?;
        Ok(staged)
    }

    fn create_temp(&self, to: &Path, mode: Mode) -> io::Result<(File, PathBuf)> {
        self.ask(Effect::Create, to)?;
        let bits = match mode {
            Mode::Public => 0o644,
            Mode::Private => 0o600,
        };
        loop {
            let temp = hidden(to, "tmp");
            match OpenOptions::new().write(true).create_new(true).mode(bits).open(&temp) {
                // Left by a process of the same number that was killed.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
                Ok(file) => return Ok((file, temp)),
            }
        }
    }

    /// Writes a file, atomically and durably. Its folder is there.
    pub(super) fn write(&self, to: &Path, content: &[u8], mode: Mode) -> Result<(), StoreError> {
        self.stage(to, content, mode)?.name()?;
        self.sync_dir(to.parent().unwrap_or(Path::new("/")))
    }

    /// Appends a line to a file, 0600, in one write: of several writers at once, each one's line is whole.
    pub(super) fn append_line(&self, to: &Path, line: &str) -> Result<(), StoreError> {
        let is_new = !to.exists();
        let append = || -> io::Result<()> {
            self.ask(Effect::Create, to)?;
            let (mut file, length) = loop {
                let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(to)?;
                // Held until the line is written, so that the file is not removed before; where the system has no such
                // locks, a line is lost only if that happens.
                let _ = file.lock_shared();
                let about = file.metadata()?;
                // One that was renamed and removed since it was opened would take the line with it.
                if about.nlink() > 0 {
                    break (file, about.len());
                }
            };
            let mut last = [b'\n'];
            if length > 0 {
                file.read_exact_at(&mut last, length - 1)?;
            }
            // A writer that was killed left half a line, which must not spoil ours.
            let text = if last == [b'\n'] { format!("{line}\n") } else { format!("\n{line}\n") };
            if let Err(e) = self.ask(Effect::Write, to) {
                // What a full disk leaves behind.
                let _ = file.write_all(&text.as_bytes()[..text.len() / 2]);
                return Err(e);
            }
            file.write_all(text.as_bytes())?;
            self.ask(Effect::Sync, to)?;
            file.sync_data()
        };
        append().map_err(failed("append to", to))?;
        if is_new { self.sync_dir(to.parent().unwrap_or(Path::new("/"))) } else { Ok(()) }
    }

    /// Deletes a file, durably. Nothing to do when it is not there.
    pub(super) fn remove_file(&self, path: &Path) -> Result<(), StoreError> {
        match self.ask(Effect::Remove, path).and_then(|()| fs::remove_file(path)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(failed("remove", path)(e)),
            Ok(()) => self.sync_dir(path.parent().unwrap_or(Path::new("/"))),
        }
    }

    /// Writes a file unless there is one; either way it is there then.
    pub(super) fn write_once(&self, to: &Path, content: &[u8]) -> Result<(), StoreError> {
        let staged = self.stage(to, content, Mode::Private)?;
        match self.ask(Effect::Link, to).and_then(|()| fs::hard_link(&staged.temp, to)) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(failed("write", to)(e)),
            Err(_) | Ok(()) => drop(staged),
        }
        self.sync_dir(to.parent().unwrap_or(Path::new("/")))
    }

    /// Gives a folder another name, durably.
    pub(super) fn rename_dir(&self, from: &Path, to: &Path, doing: &'static str) -> Result<(), StoreError> {
        self.ask(Effect::Rename, to).and_then(|()| fs::rename(from, to)).map_err(failed(doing, to))?;
        self.sync_dir(to.parent().unwrap_or(Path::new("/")))
    }

    /// Deletes a folder and all in it, following no links. Nothing to do when it is not there.
    pub(super) fn remove_dir(&self, path: &Path) -> Result<(), StoreError> {
        match self.ask(Effect::Remove, path).and_then(|()| fs::remove_dir_all(path)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(e)),
            Err(_) | Ok(()) => Ok(()),
        }
    }
}

impl Staged<'_> {
    /// Gives the content its name. The folder is not synced yet.
    pub(super) fn name(mut self) -> Result<(), StoreError> {
        self.disk
            .ask(Effect::Rename, &self.to)
            .and_then(|()| fs::rename(&self.temp, &self.to))
            .map_err(failed("write", &self.to))?;
        self.named = true;
        Ok(())
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if !self.named && self.disk.ask(Effect::Remove, &self.temp).is_ok() {
            // If it cannot be removed, it lies there, ignored, until its folder is.
            let _ = fs::remove_file(&self.temp);
        }
    }
}

/// A name beside a path that is used only once, and that docker-machine and we ignore.
pub(super) fn hidden(path: &Path, ending: &str) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().unwrap_or(OsStr::new("file")).to_string_lossy();
    let unique = COUNT.fetch_add(1, Ordering::Relaxed);
    path.with_file_name(format!(".{name}.{}-{unique}.{ending}", std::process::id()))
}
