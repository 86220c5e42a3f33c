//! Several files as one document: each is laid over those before it.
//!
//! Later wins, mappings merge, lists replace. `null` removes what is below; a key with nothing after it changes
//! no mapping, so that `web:` names a host and takes nothing away. Every value keeps the place it came from.

use super::{
    node::{Entry, Meaning, Node, Place, Value},
    problem::{Code, Problem, Problems},
    source::Source,
};
use std::collections::{HashMap, HashSet};

/// Bytes a fleet file may have: 100,000 hosts with a dozen options each.
pub const MAX_BYTES: usize = 32 << 20;

/// The document that the files make together. `None`: the problems say why there is none.
pub(super) fn compose(sources: &[Source], problems: &mut Problems) -> Option<Node> {
    let mut roots = Vec::with_capacity(sources.len());
    for (n, source) in sources.iter().enumerate() {
        roots.push(read(number(n), source, problems));
    }
    // What is wrong in any of them is told at once.
    let mut roots = roots.into_iter().collect::<Option<Vec<Node>>>()?.into_iter();
    let mut root = roots.next()?;
    for over in roots {
        lay_over(&mut root, over, Absent::Refused, problems);
    }
    Some(root)
}

/// Reads one file; its places are in file `file`.
pub(super) fn read(file: u16, source: &Source, problems: &mut Problems) -> Option<Node> {
    if source.text.len() > MAX_BYTES {
        let problem = Problem::new(Code::TooLarge, format!("the file has more than {} MiB", MAX_BYTES >> 20))
            .at(Place::new(file, 0, 0), "far more than a fleet needs")
            .help("use `count` for hosts that are alike, or split the fleet");
        problems.push(problem);
        return None;
    }
    source.form.parse(file, &source.text, problems)
}

/// The number of a file in places.
pub(super) fn number(n: usize) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}

/// What `null` means for a key that is not there.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Absent {
    /// A mistake: nothing is left to remove.
    Refused,
    /// An empty value like any other.
    Kept,
}

/// Lays one value over another.
pub(super) fn lay_over(below: &mut Node, over: Node, absent: Absent, problems: &mut Problems) {
    match (&mut below.value, over.value) {
        (Value::Map(entries), Value::Map(more)) => merge(entries, more, absent, problems),
        (Value::Map(_), Value::Scalar(scalar)) if scalar.meaning() == Meaning::Null => {}
        (value, new) => {
            *value = new;
            below.at = over.at;
        }
    }
}

fn merge(entries: &mut Vec<Entry>, more: Vec<Entry>, absent: Absent, problems: &mut Problems) {
    // By index: two large files of hosts are not compared name by name.
    let index: HashMap<String, usize> = entries.iter().enumerate().map(|(n, e)| (e.key.clone(), n)).collect();
    let mut removed = HashSet::new();
    for entry in more {
        match index.get(&entry.key) {
            Some(&n) if removes(&entry.node) => {
                removed.insert(n);
            }
            Some(&n) => {
                let below = &mut entries[n];
                let is_map = |node: &Node| matches!(node.value, Value::Map(_));
                let goes_in = is_map(&below.node) && (is_map(&entry.node) || entry.node.is_null());
                if !goes_in {
                    below.key_at = entry.key_at;
                }
                lay_over(&mut below.node, entry.node, absent, problems);
            }
            None if absent == Absent::Refused && removes(&entry.node) => {
                let meant = problems.did_you_mean(&entry.key, index.keys().map(String::as_str));
                let problem = Problem::new(Code::NothingToRemove, format!("there is no `{}` to remove", entry.key))
                    .at(entry.key_at, "no file before this one has it")
                    .suggest(
                        meant,
                        format!("leave it out; for a section with nothing in it write `{}: {{}}`", entry.key),
                    );
                problems.push(problem);
            }
            None => entries.push(entry),
        }
    }
    if !removed.is_empty() {
        let mut n = 0;
        entries.retain(|_| {
            n += 1;
            !removed.contains(&(n - 1))
        });
    }
}

/// `null` and `~`; not a key with nothing after it.
fn removes(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar(scalar) if scalar.meaning() == Meaning::Null && !scalar.text.is_empty())
}

#[cfg(test)]
#[path = "overlay_tests.rs"]
mod tests;
