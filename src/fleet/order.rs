//! Which host waits for which: groups become their members, and nothing may wait for itself.

use super::{
    group::Groups,
    node::{Entry, Node},
    problem::{Code, Problem, Problems},
};
use crate::{graph::Graph, name::MachineName};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A host of the file: one machine, or the `count` it stands for.
pub(super) struct Group<'a> {
    /// Where it stands.
    pub(super) entry: &'a Entry,
    /// The machines.
    pub(super) members: Vec<MachineName>,
}

/// Edges between machines that a file may ask for: a full mesh of 1,000.
const MAX_EDGES: usize = 1_000_000;

/// For each group, the machines each of its members waits for.
pub(super) fn resolve(groups: &[Group<'_>], named: &Groups<'_>, problems: &mut Problems) -> Vec<BTreeSet<MachineName>> {
    let known = Names::new(groups, named);
    let mut edges: Vec<BTreeMap<usize, &Node>> = Vec::with_capacity(groups.len());
    let mut count = 0_usize;
    let mut waits = Vec::with_capacity(groups.len());
    for (n, group) in groups.iter().enumerate() {
        let mut on = BTreeMap::new();
        let mut machines = BTreeSet::new();
        // What is not a text has been refused already.
        for (at, name) in group.entry.node.entry("depends_on").iter().flat_map(|e| e.node.texts()) {
            let found = known.find(name);
            if found.is_none() {
                let problem = known.unknown(name, at, problems);
                problems.push(problem);
            }
            for (target, members) in found.unwrap_or_default() {
                if target == n {
                    problems.push(itself(group, name, at));
                    continue;
                }
                on.insert(target, at);
                machines.extend(members.iter().cloned());
            }
        }
        count = count.saturating_add(machines.len().saturating_mul(group.members.len()));
        if count > MAX_EDGES {
            let problem =
                Problem::new(Code::TooLarge, format!("hosts wait for each other in more than {MAX_EDGES} ways"))
                    .at(group.entry.key_at, "here it becomes too much")
                    .help("let large groups depend on one host instead of on each other");
            problems.push(problem);
            return vec![BTreeSet::new(); groups.len()];
        }
        edges.push(on);
        waits.push(machines);
    }
    cycles(groups, &edges, problems);
    waits
}

/// What `depends_on` can name.
struct Names<'a> {
    groups: &'a [Group<'a>],
    by_key: HashMap<&'a str, usize>,
    by_member: HashMap<&'a str, (usize, &'a MachineName)>,
    /// Hosts of each named group; an empty one has none.
    by_group: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Names<'a> {
    fn new(groups: &'a [Group<'a>], named: &Groups<'a>) -> Self {
        let numbered = || groups.iter().enumerate();
        let mut by_group: HashMap<&str, Vec<usize>> = named.names().map(|(name, _)| (name, Vec::new())).collect();
        for (name, hosts) in Groups::members(groups.iter().map(|g| g.entry)) {
            // One that is not there has been refused.
            by_group.entry(name).and_modify(|all| *all = hosts);
        }
        Self {
            groups,
            by_key: numbered().map(|(n, g)| (g.entry.key.as_str(), n)).collect(),
            by_member: numbered().flat_map(|(n, g)| g.members.iter().map(move |m| (m.as_str(), (n, m)))).collect(),
            by_group,
        }
    }

    /// The hosts of a name, and the machines it means: all of a host, one of it, or all of a group.
    fn find(&self, name: &str) -> Option<Vec<(usize, &'a [MachineName])>> {
        let whole = |n: usize| (n, self.groups[n].members.as_slice());
        if let Some(&n) = self.by_key.get(name) {
            return Some(vec![whole(n)]);
        }
        if let Some(&(n, member)) = self.by_member.get(name) {
            return Some(vec![(n, std::slice::from_ref(member))]);
        }
        self.by_group.get(name).map(|hosts| hosts.iter().map(|&n| whole(n)).collect())
    }

    fn unknown(&self, name: &str, at: &Node, problems: &mut Problems) -> Problem {
        let members = self.groups.iter().flat_map(|g| g.members.iter().map(MachineName::as_str));
        let meant = problems.did_you_mean(
            name,
            self.groups.iter().map(|g| g.entry.key.as_str()).chain(self.by_group.keys().copied()).chain(members),
        );
        Problem::new(Code::UnknownHost, format!("there is no host `{name}` to depend on"))
            .at(at.at, "not a host of this fleet")
            .suggest(meant, "`depends_on` names hosts and groups of the same fleet")
    }
}

fn itself(group: &Group<'_>, name: &str, at: &Node) -> Problem {
    Problem::new(Code::SelfDependency, format!("host `{}` depends on itself", group.entry.key))
        .at(
            at.at,
            match name {
                _ if name == group.entry.key => "this is the host itself",
                _ if group.members.iter().any(|m| m.as_str() == name) => "this is one of the host's own",
                _ => "the host is in this group",
            },
        )
        .help("remove it from `depends_on`")
}

/// Refuses what waits in a circle, with a label under every edge of it. All members of a group wait for the
/// same, so a circle of groups is one of machines.
fn cycles(groups: &[Group<'_>], edges: &[BTreeMap<usize, &Node>], problems: &mut Problems) {
    let key = |n: usize| groups[n].entry.key.as_str();
    let nodes: BTreeMap<&str, usize> = groups.iter().enumerate().map(|(n, g)| (g.entry.key.as_str(), n)).collect();
    let mut number = vec![0; groups.len()];
    for (at, &n) in nodes.values().enumerate() {
        number[n] = at;
    }
    let after = edges.iter().enumerate().flat_map(|(n, on)| on.keys().map(move |&target| (n, target)));
    let Err(found) = Graph::numbered(nodes, after.map(|(n, target)| (number[n], number[target]))) else {
        return;
    };
    let nodes: BTreeMap<&str, usize> = groups.iter().enumerate().map(|(n, g)| (g.entry.key.as_str(), n)).collect();
    for cycle in found {
        let members: BTreeSet<usize> = cycle.0.iter().map(|name| nodes[name]).collect();
        let mut problem = Problem::new(Code::DependencyCycle, format!("hosts wait for each other: {}", cycle.path()))
            .help("remove one of these dependencies");
        for &n in &members {
            for (&target, at) in edges[n].iter().filter(|(target, _)| members.contains(target)) {
                problem = problem.at(at.at, format!("`{}` waits for `{}`", key(n), key(target)));
            }
        }
        problems.push(problem);
    }
}
