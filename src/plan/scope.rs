//! A part of a fleet: some hosts with what they depend on, or all but some and what depends on those.

use super::{Plan, StepId};
use crate::{fleet::Fleet, graph::Graph, name::MachineName, record::Snapshot};
use std::collections::{BTreeMap, BTreeSet};

/// Which hosts a command is about.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Scope {
    /// `--target`: only these; all when empty.
    pub targets: BTreeSet<MachineName>,
    /// `--exclude`: not these.
    pub excluded: BTreeSet<MachineName>,
}

impl Scope {
    /// Whether nothing is left out.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.targets.is_empty() && self.excluded.is_empty()
    }

    /// Reads host names, in which `*` stands for anything.
    ///
    /// # Errors
    /// Returns the first word that names no host, and the host it resembles.
    pub fn read(
        targets: &[String],
        excluded: &[String],
        hosts: &BTreeSet<MachineName>,
    ) -> Result<Self, (String, Option<String>)> {
        let find = |words: &[String]| -> Result<BTreeSet<MachineName>, (String, Option<String>)> {
            let mut all = BTreeSet::new();
            for word in words {
                let found: Vec<_> = hosts.iter().filter(|host| matches(word, host.as_str())).cloned().collect();
                if found.is_empty() {
                    let near = crate::fleet::suggest::closest(word, hosts.iter().map(MachineName::as_str));
                    return Err((word.clone(), near));
                }
                all.extend(found);
            }
            Ok(all)
        };
        Ok(Self { targets: find(targets)?, excluded: find(excluded)? })
    }

    /// Machines that matter to this part: a plan for it is right when these were looked at.
    #[must_use]
    pub fn around(&self, fleet: &Fleet, snapshot: &Snapshot) -> BTreeSet<MachineName> {
        let owned = snapshot.machines.iter().filter(|(_, k)| k.record.fleet.as_ref() == Some(&fleet.name));
        let all: BTreeSet<&MachineName> = fleet.hosts.keys().chain(owned.map(|(name, _)| name)).collect();
        let mut near: BTreeMap<&MachineName, Vec<&MachineName>> = BTreeMap::new();
        for name in &all {
            let desired = fleet.hosts.get(*name).into_iter().flat_map(|spec| &spec.depends_on);
            let recorded = snapshot.machines.get(*name).into_iter().flat_map(|known| &known.record.depends_on);
            for on in desired.chain(recorded) {
                near.entry(name).or_default().push(on);
                near.entry(on).or_default().push(name);
            }
        }
        let mut found: BTreeSet<&MachineName> = if self.targets.is_empty() {
            all.iter().copied().filter(|name| !self.excluded.contains(*name)).collect()
        } else {
            self.targets.iter().collect()
        };
        let mut left: Vec<&MachineName> = found.iter().copied().collect();
        // What is excluded is excluded with all that depends on it, and need not be looked at.
        while let Some(name) = left.pop() {
            for next in near.get(name).into_iter().flatten() {
                if !self.excluded.contains(*next) && found.insert(next) {
                    left.push(next);
                }
            }
        }
        found.into_iter().cloned().collect()
    }

    /// This part of a plan, and the hosts that are left out.
    #[must_use]
    pub fn of(&self, plan: Plan) -> (Plan, Vec<MachineName>) {
        if self.is_all() {
            return (plan, Vec::new());
        }
        let all: BTreeSet<MachineName> = plan.steps.nodes().map(|(id, _)| id.machine.clone()).collect();
        let mut kept = if self.targets.is_empty() {
            all.clone()
        } else {
            reach(&plan, self.targets.clone(), |id| plan.steps.needs(id).map(|need| &need.machine).collect())
        };
        let dropped =
            reach(&plan, self.excluded.clone(), |id| plan.steps.needed_by(id).map(|later| &later.machine).collect());
        kept.retain(|name| !dropped.contains(name));
        let left_out = all.into_iter().filter(|name| !kept.contains(name)).collect();
        let steps = plan.steps.nodes().filter(|(id, _)| kept.contains(&id.machine));
        let steps: BTreeMap<StepId, super::Step> = steps.map(|(id, step)| (id.clone(), step.clone())).collect();
        let edges: Vec<(StepId, StepId)> =
            steps.keys().flat_map(|id| plan.steps.needs(id).map(|need| (id.clone(), need.clone()))).collect();
        let steps = Graph::build(steps, edges).expect("a part of a graph without cycles has none");
        let hosts = plan.hosts.into_iter().filter(|(name, _)| kept.contains(name)).collect();
        (Plan { fleet: plan.fleet, hosts, steps }, left_out)
    }
}

/// Machines, and all that `next` leads to from any of their steps.
fn reach<'a>(
    plan: &'a Plan,
    from: BTreeSet<MachineName>,
    next: impl Fn(&StepId) -> Vec<&'a MachineName>,
) -> BTreeSet<MachineName> {
    let mut steps: BTreeMap<&MachineName, Vec<&StepId>> = BTreeMap::new();
    for (id, _) in plan.steps.nodes() {
        steps.entry(&id.machine).or_default().push(id);
    }
    let mut found = from;
    let mut left: Vec<MachineName> = found.iter().cloned().collect();
    while let Some(name) = left.pop() {
        for machine in steps.get(&name).into_iter().flatten().flat_map(|id| next(id)) {
            if found.insert(machine.clone()) {
                left.push(machine.clone());
            }
        }
    }
    found
}

/// Whether a word names something, `*` standing for anything.
fn matches(word: &str, name: &str) -> bool {
    let mut pieces = word.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (word, name, want) in [
            ("web", "web", true),
            ("web", "web-1", false),
            ("web-*", "web-1", true),
            ("*", "db", true),
            ("w*b*1", "web-1", true),
            ("w*b", "web-1", false),
            ("*-1*1", "web-1", false),
            ("", "web", false),
        ] {
            assert_eq!(matches(word, name), want, "{word} {name}");
        }
    }
}
