//! How a run ended: every host once, and each failure with all a person needs to go on. Pure.

use crate::{
    apply::{End, Outcome, StepError},
    name::MachineName,
    plan::{Plan, Reason, StepId, Work},
};
use std::{collections::BTreeMap, fmt, path::Path};

/// How a run ended for one host.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum HostEnd {
    /// As planned, and nothing was to do.
    Unchanged,
    /// As planned.
    Converged,
    /// Gone, as planned.
    Removed,
    /// Nothing was to do as far as is known, but it could not be looked at.
    NotReached,
    /// Not begun, because the run was told to end.
    NotStarted,
    /// Begun and not completed, because the run was told to end.
    Interrupted,
    /// Not begun, because something it needs failed.
    Skipped,
    /// Not as planned.
    Failed,
}

impl fmt::Display for HostEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unchanged => "unchanged",
            Self::Converged => "converged",
            Self::Removed => "removed",
            Self::NotReached => "not reached",
            Self::NotStarted => "not started",
            Self::Interrupted => "interrupted",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        })
    }
}

/// What the whole run amounts to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// All hosts are as planned.
    Complete,
    /// Some are and some are not, or were left half way.
    Partial,
    /// None of those that had something to do is.
    Nothing,
}

/// How every host ended.
#[must_use]
pub fn hosts<'a>(plan: &'a Plan, outcome: &Outcome) -> BTreeMap<&'a MachineName, HostEnd> {
    let mut ends: BTreeMap<&MachineName, HostEnd> = BTreeMap::new();
    for (id, step) in plan.steps.nodes() {
        let end = match outcome.get(id) {
            Some(End::Done) if step.reasons.iter().any(|r| matches!(r, Reason::NotReached(_))) => HostEnd::NotReached,
            // A step that had nothing to do is as planned also when the run ended before it.
            Some(End::Done | End::NotStarted) | None if step.work == Work::Nothing => HostEnd::Unchanged,
            Some(End::Done) if id.rm => HostEnd::Removed,
            Some(End::Done) => HostEnd::Converged,
            Some(End::Failed(_)) => HostEnd::Failed,
            Some(End::Skipped(_)) => HostEnd::Skipped,
            Some(End::CutOff) => HostEnd::Interrupted,
            Some(End::NotStarted) | None => HostEnd::NotStarted,
        };
        // The worst part speaks for the host; a replaced one that came back is no removal.
        let entry = ends.entry(&id.machine).or_insert(end);
        *entry = match (*entry, end) {
            (HostEnd::Removed, HostEnd::Converged) | (HostEnd::Converged, HostEnd::Removed) => HostEnd::Converged,
            (HostEnd::Removed | HostEnd::Converged, HostEnd::NotStarted)
            | (HostEnd::NotStarted, HostEnd::Removed | HostEnd::Converged) => HostEnd::Interrupted,
            (a, b) => a.max(b),
        };
    }
    ends
}

/// What the run amounts to; hosts that are `optional` do not count against it.
#[must_use]
pub fn verdict(plan: &Plan, outcome: &Outcome) -> Verdict {
    let ends = hosts(plan, outcome);
    let optional = |name: &MachineName| plan.hosts.get(name).is_some_and(|h| h.optional);
    let bad = ends.iter().any(|(name, end)| *end >= HostEnd::NotReached && !optional(name));
    let good = ends.values().any(|end| matches!(end, HostEnd::Converged | HostEnd::Removed | HostEnd::Interrupted));
    match (bad, good) {
        (false, _) => Verdict::Complete,
        (true, true) => Verdict::Partial,
        (true, false) => Verdict::Nothing,
    }
}

/// The report: each failure in full, then every host once, then one line that counts.
#[must_use]
pub fn render(plan: &Plan, outcome: &Outcome, log_of: &dyn Fn(&MachineName) -> Option<std::path::PathBuf>) -> String {
    let mut out = String::new();
    for (id, end) in outcome {
        if let End::Failed(error) = end {
            out.push_str(&failure(id, error, log_of(&id.machine).as_deref()));
            out.push('\n');
        }
    }
    let ends = hosts(plan, outcome);
    let width = ends.keys().map(|n| n.as_str().len()).max().unwrap_or(0);
    let mut counts: BTreeMap<HostEnd, usize> = BTreeMap::new();
    for (name, end) in &ends {
        *counts.entry(*end).or_default() += 1;
        if *end != HostEnd::Unchanged {
            let why = why(plan, name, outcome);
            out.push_str(format!("{name:<width$}  {end:<11}  {why}").trim_end());
            out.push('\n');
        }
    }
    let counted: Vec<String> = counts.iter().map(|(end, n)| format!("{n} {end}")).collect();
    out.push_str(&format!("{}.\n", counted.join(", ")));
    if counts.contains_key(&HostEnd::NotStarted) || counts.contains_key(&HostEnd::Interrupted) {
        out.push_str("The run ended early; the same command goes on from here.\n");
    }
    out
}

/// One line on why a host ended as it did, or what is left of it.
fn why(plan: &Plan, name: &MachineName, outcome: &Outcome) -> String {
    let (mut cut, mut left) = (Vec::new(), Vec::new());
    for (id, step) in plan.of(name) {
        match outcome.get(id) {
            Some(End::Failed(e)) => return format!("{}: {e}", id.part),
            Some(End::Skipped(root)) => return format!("waits for {root}"),
            Some(End::CutOff) => cut.push(id.part.to_string()),
            Some(End::NotStarted) | None if step.work != Work::Nothing => left.push(id.part.to_string()),
            _ => {}
        }
        if let Some(Reason::NotReached(why)) = step.reasons.iter().find(|r| matches!(r, Reason::NotReached(_))) {
            return why.clone();
        }
    }
    [("cut off", cut), ("left to do", left)]
        .into_iter()
        .filter(|(_, parts)| !parts.is_empty())
        .map(|(what, parts)| format!("{what}: {}", parts.join(", ")))
        .collect::<Vec<_>>()
        .join("; ")
}

/// Host, step, cause, exit status, last lines of remote stderr, the log's path, what to do next.
fn failure(id: &StepId, error: &StepError, log: Option<&Path>) -> String {
    let mut out = format!("error: {}: {} failed\n  {error}\n", id.machine, id.part);
    if let Some(stderr) = error.stderr() {
        for line in stderr.lines() {
            out.push_str("  | ");
            out.push_str(line);
            out.push('\n');
        }
        if let Some(log) = log {
            out.push_str(&format!("  all it printed: {}\n", log.display()));
        }
    }
    if let Some(help) = error.help() {
        out.push_str(&format!("  help: {}\n", help.replace('\n', "\n  ")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        graph::Graph,
        name::FleetName,
        plan::{Action, Step},
        record::Part,
    };

    fn id(machine: &str, part: Part) -> StepId {
        StepId { machine: MachineName::new(machine).unwrap(), part, rm: false }
    }

    /// A plan that makes all parts of each machine.
    fn plan(machines: &[&str]) -> Plan {
        let step = || Step { action: Action::Create, reasons: vec![Reason::NotRecorded], work: Work::Record };
        let ids = machines.iter().flat_map(|m| Part::ALL.map(|part| id(m, part)));
        Plan {
            fleet: FleetName::new("shop").unwrap(),
            hosts: BTreeMap::new(),
            steps: Graph::build(ids.map(|id| (id, step())).collect(), []).unwrap(),
        }
    }

    fn ended(ends: &[(&str, [End; 3])]) -> Outcome {
        let each = |(m, ends): &(&str, [End; 3])| {
            Part::ALL.into_iter().zip(ends.clone()).map(|(part, end)| (id(m, part), end)).collect::<Vec<_>>()
        };
        ends.iter().flat_map(each).collect()
    }

    #[test]
    fn a_run_that_was_told_to_end_says_what_is_left_and_how_to_go_on() {
        use End::{CutOff, Done, NotStarted};
        let plan = plan(&["a", "b", "c", "d"]);
        let outcome = ended(&[
            ("a", [Done, Done, Done]),
            ("b", [Done, NotStarted, NotStarted]),
            ("c", [Done, Done, CutOff]),
            ("d", [NotStarted, NotStarted, NotStarted]),
        ]);
        insta::assert_snapshot!(render(&plan, &outcome, &|_| None), @r"
        a  converged
        b  interrupted  left to do: certificate, engine
        c  interrupted  cut off: engine
        d  not started  left to do: instance, certificate, engine
        1 converged, 1 not started, 2 interrupted.
        The run ended early; the same command goes on from here.
        ");
        assert_eq!(verdict(&plan, &outcome), Verdict::Partial);
    }

    #[test]
    fn a_host_that_was_begun_makes_a_run_partly_applied() {
        use End::{CutOff, Done, NotStarted};
        let plan = plan(&["a"]);
        for (ends, want) in [
            ([Done, Done, Done], Verdict::Complete),
            ([Done, NotStarted, NotStarted], Verdict::Partial),
            ([CutOff, NotStarted, NotStarted], Verdict::Partial),
            ([NotStarted, NotStarted, NotStarted], Verdict::Nothing),
        ] {
            assert_eq!(verdict(&plan, &ended(&[("a", ends)])), want);
        }
    }
}
