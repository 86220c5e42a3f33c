//! The history on a disk: a file to which lines are appended, and older ones that it was renamed to when it had grown. The
//! oldest go; what they say of runs that have not ended is kept.
//!
//! Lines are read from the end, so what was done last costs no more after years. A reader meets writers and a rotation
//! without losing a line or seeing one twice: files are told apart by their inode, runs by their name.

use super::disk::{Disk, failed};
use crate::{
    fault,
    store::{Mode, StoreError},
};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io,
    ops::ControlFlow,
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// The file that grows, a JSON object a line.
const CURRENT: &str = "history.jsonl";
/// What older ones are called, with a number between that rises with every one.
const OLDER: (&str, &str) = ("history-", ".jsonl");
/// Runs that had not ended when their file went.
const OPEN: &str = "history-open.jsonl";
/// Held while files are renamed and removed.
const LOCK: &str = ".history.lock";
/// So large a file gets before the next one begins.
const LIMIT: u64 = 4 << 20;
/// So many older files stay.
const OLDER_KEPT: usize = 8;
/// So many bytes are kept of runs that never ended.
const OPEN_KEPT: usize = 1 << 20;
/// So much is read at once.
const BLOCK: usize = 64 << 10;

/// The history of a store.
pub(super) struct FolderJournal<'a> {
    pub(super) root: &'a Path,
    pub(super) disk: &'a Disk,
    pub(super) limit: u64,
}

/// Whose beginning or end a line is; all else is for others.
#[derive(Deserialize)]
struct Head {
    event: Event,
    run: String,
}

#[derive(Clone, Copy, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Event {
    Begin,
    End,
}

impl<'a> FolderJournal<'a> {
    pub(super) fn new(root: &'a Path, disk: &'a Disk) -> Self {
        Self { root, disk, limit: LIMIT }
    }

    /// Appends a line, whole and durably, also while other processes append.
    pub(super) fn append(&self, line: &str) -> Result<(), StoreError> {
        self.disk.make_dir(self.root)?;
        let path = self.root.join(CURRENT);
        let is_full = || fs::metadata(&path).is_ok_and(|about| about.len() >= self.limit);
        // One that was killed before the oldest had gone.
        let is_left = || self.older().is_ok_and(|older| older.len() > OLDER_KEPT);
        if is_full() || is_left() {
            // A history that could not be divided grows on; the next line tries again.
            let _ = self.rotate();
        }
        self.disk.append_line(&path, line)
    }

    /// Begins a new file, and lets go of the oldest. One that was killed in it leaves nothing that the next does not see.
    fn rotate(&self) -> Result<(), StoreError> {
        let path = self.root.join(LOCK);
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).clone();
        let lock = fault::point("store.create", &path).and_then(|()| options.open(&path));
        let lock = lock.map_err(failed("open", &path))?;
        if lock.try_lock().is_err() {
            // Another run does it; lines that are appended meanwhile go to the renamed file.
            return Ok(());
        }
        let current = self.root.join(CURRENT);
        let older = self.older()?;
        if fs::metadata(&current).is_ok_and(|about| about.len() >= self.limit) {
            let number = older.last_key_value().map_or(0, |(number, _)| *number) + 1;
            let (before, after) = OLDER;
            self.disk.rename_dir(&current, &self.root.join(format!("{before}{number:08}{after}")), "rename")?;
        }
        let older: Vec<PathBuf> = self.older()?.into_values().collect();
        let gone = older.len().saturating_sub(OLDER_KEPT);
        for (place, path) in older.iter().enumerate().take(gone) {
            let oldest = OpenOptions::new().read(true).write(true).open(path).map_err(failed("open", path))?;
            if oldest.try_lock().is_err() {
                // A writer that opened it when it was the current one is at it still; the next line tries again.
                break;
            }
            self.keep_open(path, &older[place + 1..])?;
            self.disk.remove_file(path)?;
        }
        Ok(())
    }

    /// Older files by their number.
    fn older(&self) -> Result<BTreeMap<u64, PathBuf>, StoreError> {
        let mut found = BTreeMap::new();
        for entry in Disk::entries(self.root)? {
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix(OLDER.0)?.strip_suffix(OLDER.1)?.parse().ok());
            found.extend(number.map(|number| (number, self.root.join(&name))));
        }
        Ok(found)
    }

    /// Keeps the beginnings in a file that goes, and in those that went, whose ends are nowhere.
    fn keep_open(&self, path: &Path, later: &[PathBuf]) -> Result<(), StoreError> {
        let keep = self.root.join(OPEN);
        let mut known: BTreeSet<String> = BTreeSet::new();
        // The newest first.
        let mut open: Vec<(String, Vec<u8>)> = Vec::new();
        for file in [path, &keep] {
            heads(file, &mut |head, line| {
                // What comes first, from the end, is its end if it has one.
                let is_new = known.insert(head.run.clone());
                if is_new && head.event == Event::Begin {
                    open.push((head.run, line.to_owned()));
                }
                ControlFlow::Continue(())
            })?;
        }
        for file in later.iter().map(PathBuf::as_path).chain([&*self.root.join(CURRENT)]) {
            heads(file, &mut |head, _| {
                if head.event == Event::End {
                    open.retain(|(run, _)| *run != head.run);
                }
                if open.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
        }
        let mut size = 0;
        let fits = |(_, line): &&(String, Vec<u8>)| {
            size += line.len() + 1;
            size <= OPEN_KEPT
        };
        // However long it is, the newest stays.
        let count = open.iter().take_while(fits).count().max(1).min(open.len());
        let mut text = Vec::with_capacity(size);
        for (_, line) in open[..count].iter().rev() {
            text.extend_from_slice(line);
            text.push(b'\n');
        }
        if text.is_empty() && !keep.exists() {
            return Ok(());
        }
        self.disk.write(&keep, &text, Mode::Private)
    }

    /// Gives every line to `each`, the newest first, until that has enough. How many bytes were read.
    pub(super) fn back(&self, each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<u64, StoreError> {
        // In this order: what is renamed meanwhile is among the older ones then, and is known by its inode.
        let current = Tail::open(&self.root.join(CURRENT))?;
        let mut tails = Vec::new();
        for path in self.older()?.into_values().rev() {
            tails.push(Tail::open(&path)?);
        }
        tails.push(Tail::open(&self.root.join(OPEN))?);
        let renamed = current.id.is_some() && tails.iter().any(|tail| tail.id == current.id);
        if !renamed {
            tails.insert(0, current);
        }
        let mut begun: BTreeSet<String> = BTreeSet::new();
        let mut read = 0;
        for tail in &mut tails {
            let ended = back(tail, &mut |line| {
                // One that is kept may still be in the file that it is kept from.
                if let Ok(Head { event: Event::Begin, run }) = serde_json::from_slice(line)
                    && !begun.insert(run)
                {
                    return ControlFlow::Continue(());
                }
                each(line)
            })?;
            read += tail.read;
            if ended.is_break() {
                break;
            }
        }
        Ok(read)
    }
}

/// A file that is read from its end, as long as it was when it was opened.
struct Tail {
    /// None: there was no such file.
    file: Option<File>,
    path: PathBuf,
    id: Option<(u64, u64)>,
    length: u64,
    /// How many bytes were read of it.
    read: u64,
}

impl Tail {
    fn open(path: &Path) -> Result<Self, StoreError> {
        let none = Self { file: None, path: path.to_owned(), id: None, length: 0, read: 0 };
        let file = match File::open(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(none),
            other => other.map_err(failed("read", path))?,
        };
        let about = file.metadata().map_err(failed("read", path))?;
        Ok(Self { file: Some(file), id: Some((about.dev(), about.ino())), length: about.len(), ..none })
    }
}

/// Gives whose beginning or end the lines of a file are to `each`, the last one first.
fn heads(path: &Path, each: &mut dyn FnMut(Head, &[u8]) -> ControlFlow<()>) -> Result<(), StoreError> {
    // A killed writer left it: no process owns it.
    let mut line =
        |line: &[u8]| serde_json::from_slice(line).map_or(ControlFlow::Continue(()), |head| each(head, line));
    back(&mut Tail::open(path)?, &mut line).map(drop)
}

/// Gives the lines of a file to `each`, the last one first.
fn back(tail: &mut Tail, each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<ControlFlow<()>, StoreError> {
    let Some(file) = &tail.file else { return Ok(ControlFlow::Continue(())) };
    let (mut at, mut rest) = (tail.length, Vec::new());
    while at > 0 {
        let size = at.min(BLOCK as u64);
        at -= size;
        let mut block = vec![0; usize::try_from(size).expect("a block fits")];
        file.read_exact_at(&mut block, at).map_err(failed("read", &tail.path))?;
        tail.read += size;
        // What was read before began in the middle of a line, unless the block ends with one.
        let mut lines = block.split(|byte| *byte == b'\n').rev();
        let last = lines.next().unwrap_or_default();
        rest = [last, &rest].concat();
        for line in lines {
            let whole = std::mem::replace(&mut rest, line.to_owned());
            if !whole.is_empty() && each(&whole).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
    if !rest.is_empty() && each(&rest).is_break() {
        return Ok(ControlFlow::Break(()));
    }
    Ok(ControlFlow::Continue(()))
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
