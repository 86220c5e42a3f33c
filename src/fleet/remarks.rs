//! Comments of a document, by what they stand beside: so that it can be written anew, in another form.

use super::node::{Node, Place, Value};
use std::collections::{BTreeMap, BTreeSet};

/// A comment as it stands in a text.
#[derive(Clone, Debug)]
pub(super) struct Comment {
    pub(super) start: usize,
    /// Its lines, without what marks them.
    pub(super) lines: Vec<String>,
}

/// Where each comment goes. What is taken is gone, so that nothing is written twice.
#[derive(Debug, Default)]
pub(super) struct Remarks {
    /// Lines above a key or item, by where that begins; an empty one is an empty line.
    above: BTreeMap<usize, Vec<String>>,
    /// Behind it, on its line.
    beside: BTreeMap<usize, Vec<String>>,
    /// Below all of it.
    below: BTreeMap<usize, Vec<String>>,
    /// At the end of the text.
    tail: Vec<String>,
}

impl Remarks {
    pub(super) fn new(text: &str, root: &Node, comments: &[Comment]) -> Self {
        let mut anchors = BTreeSet::new();
        collect(root, &mut anchors);
        let mut remarks = Self::default();
        // Empty lines count only at their first line.
        for &anchor in &anchors {
            if line_before_is_empty(text, anchor) {
                remarks.above.entry(anchor).or_default().push(String::new());
            }
        }
        let mut placed: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for comment in comments {
            let line = text[..comment.start].rfind('\n').map_or(0, |n| n + 1);
            let own = text[line..comment.start].trim_matches(['\u{feff}', ' ', '\t']).is_empty();
            let previous = anchors.range(..comment.start).next_back().copied();
            if !own {
                let beside = anchors.range(line..comment.start).next().copied().or(previous);
                match beside {
                    Some(anchor) => remarks.beside.entry(anchor).or_default().extend(comment.lines.iter().cloned()),
                    None => remarks.tail.extend(comment.lines.iter().cloned()),
                }
                continue;
            }
            let column = comment.start - line;
            let next = anchors.range(comment.start..).next().copied();
            let above = match next {
                Some(next) => column <= column_of(text, next) || previous.is_none(),
                None => false,
            };
            let owner = || {
                let near = anchors.range(..comment.start).rev().copied().find(|&a| column_of(text, a) <= column)?;
                // All of its line, not the last of what stands there.
                let line = text[..near].rfind('\n').map_or(0, |n| n + 1);
                anchors.range(line..=near).next().copied()
            };
            let empty = line_before_is_empty(text, comment.start);
            let lines = match (above, next, owner()) {
                (true, Some(next), _) => placed.entry(next).or_default(),
                (_, _, Some(owner)) if column > 0 => remarks.below.entry(owner).or_default(),
                _ => &mut remarks.tail,
            };
            if empty {
                lines.push(String::new());
            }
            lines.extend(comment.lines.iter().cloned());
        }
        for (anchor, mut lines) in placed {
            // The empty line right above the key comes after its comments.
            lines.extend(remarks.above.remove(&anchor).unwrap_or_default());
            remarks.above.insert(anchor, lines);
        }
        remarks
    }

    pub(super) fn above(&mut self, at: Place) -> Vec<String> {
        self.above.remove(&at.start()).unwrap_or_default()
    }

    pub(super) fn beside(&mut self, at: Place) -> Vec<String> {
        self.beside.remove(&at.start()).unwrap_or_default()
    }

    pub(super) fn below(&mut self, at: Place) -> Vec<String> {
        self.below.remove(&at.start()).unwrap_or_default()
    }

    /// Whether any stands between two places.
    pub(super) fn any_within(&self, from: usize, to: usize) -> bool {
        let said = |lines: &Vec<String>| lines.iter().any(|line| !line.is_empty());
        from < to
            && (self.above.range(from..to).any(|(_, l)| said(l))
                || self.beside.range(from..to).any(|(_, l)| said(l))
                || self.below.range(from..to).any(|(_, l)| said(l)))
    }

    /// All that is left.
    pub(super) fn rest(&mut self) -> Vec<String> {
        let mut rest = Vec::new();
        for map in [&mut self.above, &mut self.beside, &mut self.below] {
            rest.extend(std::mem::take(map).into_values().flatten().filter(|line| !line.is_empty()));
        }
        rest.append(&mut self.tail);
        rest
    }
}

fn collect(node: &Node, anchors: &mut BTreeSet<usize>) {
    match &node.value {
        Value::Scalar(_) => {}
        Value::List(items) => {
            for item in items {
                anchors.insert(item.at.start());
                collect(item, anchors);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                anchors.insert(entry.key_at.start());
                collect(&entry.node, anchors);
            }
        }
    }
}

/// The column of what begins a line; of an item, that of its mark.
fn column_of(text: &str, at: usize) -> usize {
    let line = text[..at].rfind('\n').map_or(0, |n| n + 1);
    text[line..at].len() - text[line..at].trim_start_matches([' ', '\t', '\u{feff}']).len()
}

fn line_before_is_empty(text: &str, at: usize) -> bool {
    let line = text[..at].rfind('\n').map_or(0, |n| n + 1);
    let own = text[line..at].trim_matches(['\u{feff}', ' ', '\t', '-']).is_empty();
    own && text[..line]
        .strip_suffix('\n')
        .is_some_and(|before| before.rsplit('\n').next().unwrap_or_default().trim().is_empty() && !before.is_empty())
}
