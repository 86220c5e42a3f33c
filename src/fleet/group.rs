//! Groups of hosts: what a host takes from them. `defaults`, then its groups in their order, then the host itself;
//! later wins, mappings merge, lists replace, as with overlays.

use super::{
    node::{Entry, Node, Place, Value},
    overlay,
    problem::{Code, Problem, Problems},
    raw::RawGroup,
    read::read,
    resolve::{Section, refuse},
    suggest,
};
use crate::driver::Drivers;
use std::{
    borrow::Cow,
    cell::Cell,
    collections::{BTreeMap, HashMap},
};

/// Values that hosts may take from groups: 50,000 hosts with twenty each.
const MAX_TAKEN: usize = 1_000_000;

/// The groups of a fleet, by name.
pub(super) struct Groups<'a> {
    by_name: BTreeMap<&'a str, &'a Entry>,
    taken: Cell<usize>,
}

impl<'a> Groups<'a> {
    /// Reads the section `groups`, and finds what is wrong with a group, whatever its members.
    pub(super) fn read(section: Option<&'a Node>, drivers: &Drivers, problems: &mut Problems) -> Self {
        let entries = section.map(Node::entries).unwrap_or_default();
        for entry in entries {
            let (_, strange): (RawGroup, _) = read(&entry.key, &entry.node, problems);
            let inner: Vec<_> = strange.iter().filter(|s| !s.top).copied().collect();
            refuse(&inner, Section::Other, problems);
            for wrong in strange.iter().filter(|s| s.top) {
                let key = &wrong.entry.key;
                if key == "count" || key == "groups" {
                    let problem = Problem::new(Code::UnknownKey, format!("group `{}` cannot have `{key}`", entry.key))
                        .at(wrong.entry.key_at, "only a host has this")
                        .help("write it at the hosts of the group");
                    problems.push(problem);
                } else if !drivers.have_option(key) {
                    refuse(std::slice::from_ref(wrong), Section::Other, problems);
                }
            }
        }
        Self { by_name: entries.iter().map(|e| (e.key.as_str(), e)).collect(), taken: Cell::new(0) }
    }

    /// Names of groups, and where they are.
    pub(super) fn names(&self) -> impl Iterator<Item = (&'a str, Place)> + '_ {
        self.by_name.iter().map(|(name, entry)| (*name, entry.key_at))
    }

    /// A host with all that its groups give it.
    pub(super) fn complete(&self, host: &'a Entry, problems: &mut Problems) -> Cow<'a, Entry> {
        let Some(named) = host.node.entry("groups") else {
            return Cow::Borrowed(host);
        };
        let mut whole: Option<Node> = None;
        for (at, name) in named.node.texts() {
            let Some(group) = self.by_name.get(name) else {
                let meant = problems.did_you_mean(name, self.by_name.keys().copied());
                let known = suggest::list(self.by_name.keys().copied());
                let otherwise = if self.by_name.is_empty() {
                    format!("write it as `groups: {{ {name}: {{ … }} }}` beside `hosts`")
                } else {
                    format!("there are {known}")
                };
                let problem = Problem::new(Code::UnknownGroup, format!("there is no group `{name}`"))
                    .at(at.at, "not a group of this fleet")
                    .suggest(meant, otherwise);
                problems.push(problem);
                continue;
            };
            if !matches!(group.node.value, Value::Map(_)) {
                continue;
            }
            self.taken.set(self.taken.get() + group.node.size());
            if self.taken.get() > MAX_TAKEN {
                let problem =
                    Problem::new(Code::TooLarge, format!("hosts take more than {MAX_TAKEN} values from groups"))
                        .at(at.at, "here it becomes too many")
                        .help("use `count` for hosts that are alike, or `defaults` for what all hosts have");
                problems.push(problem);
                return Cow::Borrowed(host);
            }
            match &mut whole {
                None => whole = Some(group.node.clone()),
                Some(whole) => overlay::lay_over(whole, group.node.clone(), overlay::Absent::Kept, problems),
            }
        }
        let Some(mut whole) = whole else {
            return Cow::Borrowed(host);
        };
        overlay::lay_over(&mut whole, host.node.clone(), overlay::Absent::Kept, problems);
        Cow::Owned(Entry { key: host.key.clone(), key_at: host.key_at, node: Node { at: host.node.at, ..whole } })
    }

    /// Which hosts are in which group, by their number.
    pub(super) fn members<'h>(hosts: impl Iterator<Item = &'h Entry>) -> HashMap<&'h str, Vec<usize>> {
        let mut members: HashMap<&str, Vec<usize>> = HashMap::new();
        for (n, host) in hosts.enumerate() {
            for (_, name) in host.node.entry("groups").iter().flat_map(|e| e.node.texts()) {
                let hosts = members.entry(name).or_default();
                if hosts.last() != Some(&n) {
                    hosts.push(n);
                }
            }
        }
        members
    }
}
