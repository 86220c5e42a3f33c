//! The commit a file belongs to, read from git's own files: no program is started for a note.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The commit that is checked out where a file is, in hex. It is a note for people: without one, none is told.
pub(super) fn of(file: &Path) -> Option<String> {
    let dir = file.ancestors().skip(1).map(|dir| dir.join(".git")).find(|dir| dir.exists())?;
    // In a work tree of its own, `.git` is a file that says where the rest is.
    let dir = match fs::read_to_string(&dir) {
        Ok(text) => dir.parent()?.join(text.trim().strip_prefix("gitdir: ")?),
        Err(_) => dir,
    };
    let head = fs::read_to_string(dir.join("HEAD")).ok()?;
    let Some(reference) = head.trim().strip_prefix("ref: ") else { return hex(head.trim()) };
    let common = fs::read_to_string(dir.join("commondir")).map_or_else(|_| dir.clone(), |text| dir.join(text.trim()));
    loose(&dir, reference).or_else(|| loose(&common, reference)).or_else(|| packed(&common, reference))
}

fn loose(dir: &Path, reference: &str) -> Option<String> {
    let path: PathBuf = dir.join(reference);
    hex(fs::read_to_string(path).ok()?.trim())
}

fn packed(dir: &Path, reference: &str) -> Option<String> {
    let text = fs::read_to_string(dir.join("packed-refs")).ok()?;
    let found = text.lines().filter_map(|line| line.split_once(' ')).find(|(_, name)| *name == reference)?;
    hex(found.0)
}

fn hex(text: &str) -> Option<String> {
    let good = text.len() >= 40 && text.bytes().all(|b| b.is_ascii_hexdigit());
    good.then(|| text.to_owned())
}
