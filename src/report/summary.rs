//! How a run ended: every host once, and each failure with all a person needs to go on. Pure.

use super::duration;
use crate::{
    apply::{End, Outcome, StepError},
    excerpt,
    name::MachineName,
    plan::{Plan, Reason, StepId, Work},
};
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

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
            // What went was what an earlier machine of the name had left.
            (HostEnd::Removed, HostEnd::Unchanged | HostEnd::Converged)
            | (HostEnd::Unchanged | HostEnd::Converged, HostEnd::Removed) => HostEnd::Converged,
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
    // A run that was told to end before their turn did not try them.
    let tried = |end: HostEnd| !matches!(end, HostEnd::NotStarted | HostEnd::Interrupted);
    let excused = |name: &MachineName, end| tried(end) && plan.hosts.get(name).is_some_and(|h| h.optional);
    let bad = ends.iter().any(|(name, end)| *end >= HostEnd::NotReached && !excused(name, *end));
    let good = ends.values().any(|end| matches!(end, HostEnd::Converged | HostEnd::Removed | HostEnd::Interrupted));
    match (bad, good) {
        (false, _) => Verdict::Complete,
        (true, true) => Verdict::Partial,
        (true, false) => Verdict::Nothing,
    }
}

/// Each failure in full, and nowhere else: progress and table only say that there was one.
#[must_use]
pub fn failures(
    outcome: &Outcome,
    took: &BTreeMap<StepId, Duration>,
    log_of: &dyn Fn(&MachineName) -> Option<PathBuf>,
) -> String {
    let mut out = String::new();
    for (id, end) in outcome {
        if let End::Failed(error) = end {
            out.push_str(&failure(id, error, took.get(id).copied(), log_of(&id.machine).as_deref()));
            out.push('\n');
        }
    }
    out
}

/// Every host once, unless nothing was to be done there, then one line that counts.
#[must_use]
pub fn table(plan: &Plan, outcome: &Outcome) -> String {
    let mut out = String::new();
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
            Some(End::Failed(_)) => return id.what(),
            Some(End::Skipped(root)) => return format!("waits for {root}"),
            Some(End::CutOff) => cut.push(id.what()),
            Some(End::NotStarted) | None if step.work != Work::Nothing => left.push(id.what()),
            _ => {}
        }
        if let Some(Reason::NotReached(why)) = step.reasons.iter().find(|r| matches!(r, Reason::NotReached(_))) {
            return excerpt::line(without_name(name, why)).into_owned();
        }
    }
    [("cut off", cut), ("left to do", left)]
        .into_iter()
        .filter(|(_, parts)| !parts.is_empty())
        .map(|(what, parts)| format!("{what}: {}", parts.join(", ")))
        .collect::<Vec<_>>()
        .join("; ")
}

/// Texts that stand alone elsewhere name the machine; here the line has already.
fn without_name<'a>(name: &MachineName, text: &'a str) -> &'a str {
    text.strip_prefix(&format!("`{name}`: ")).unwrap_or(text)
}

/// A failure that took less is told without how long it took.
const WAITED: Duration = Duration::from_secs(5);

/// Host, step, how long it took, cause, exit status, last lines of remote stderr, the log's path, what to do next.
fn failure(id: &StepId, error: &StepError, took: Option<Duration>, log: Option<&Path>) -> String {
    let cause = error.to_string();
    let cause = excerpt::lines(&cause);
    let cause = without_name(&id.machine, &cause);
    let after =
        took.filter(|took| *took >= WAITED).map(|took| format!(" after {}", duration(took))).unwrap_or_default();
    let mut out = format!("error: {}: {} failed{after}\n  {}\n", id.machine, id.what(), cause.replace('\n', "\n  | "));
    for line in excerpt::lines(error.stderr().unwrap_or_default()).lines() {
        out.push_str("  | ");
        out.push_str(line);
        out.push('\n');
    }
    if let (StepError::Op { .. } | StepError::Hook { .. }, Some(log)) = (error, log) {
        out.push_str(&format!("  all it printed: {}\n", log.display()));
    }
    if let Some(help) = error.help() {
        out.push_str(&format!("  help: {}\n", excerpt::lines(&help).replace('\n', "\n  ")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{
        super::samples::{self, id, name},
        *,
    };
    use crate::{
        driver::DriverError,
        graph::Graph,
        name::FleetName,
        plan::{Action, Step},
        record::Part,
    };
    use std::sync::Arc;

    /// A plan that makes all parts of each machine.
    fn plan(machines: &[&str]) -> Plan {
        let step = || Step { action: Action::Create, reasons: vec![Reason::NotRecorded], work: Work::Record };
        let ids = machines.iter().flat_map(|m| Part::ALL.map(|part| id(m, part)));
        Plan {
            fleet: Some(FleetName::new("shop").unwrap()),
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
        insta::assert_snapshot!(table(&plan, &outcome), @r"
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

    #[expect(clippy::unnecessary_wraps, reason = "the form `failures` asks for")]
    fn log_of(name: &MachineName) -> Option<PathBuf> {
        Some(PathBuf::from(format!("/store/machines/{name}/last-failure.log")))
    }

    /// The failure of one step alone.
    fn told(error: StepError) -> String {
        let outcome = Outcome::from([(id("web-1", Part::Engine), End::Failed(Arc::new(error)))]);
        failures(&outcome, &BTreeMap::new(), &log_of)
    }

    /// Pain 30: host, step, command, exit status, what the host said, where there is more, what to do.
    #[test]
    fn a_failed_command_is_told_with_all_that_helps() {
        insta::assert_snapshot!(told(samples::op()), @r"
        error: web-1: engine failed
          `install docker.io` failed with exit status 100
          | E: Failed to fetch http://deb.example/x.deb
          | E: Unable to fetch some archives
          all it printed: /store/machines/web-1/last-failure.log
          help: the host cannot reach its package mirror: check its network and its apt sources
        ");
    }

    /// What no command printed has no log, and the host is named once.
    #[test]
    fn a_failure_without_a_command_has_no_log() {
        insta::assert_snapshot!(told(samples::refused()) + &told(samples::unreachable()), @r"
        error: web-1: engine failed
          cannot connect to 192.0.2.10:22: connection refused
          help: check that the host is up and that its address and SSH port are right:
            machine status web-1

        error: web-1: engine failed
          cannot reach the engine at tcp://192.0.2.10:2376: no answer within 10 s
          help: see whether it runs and what it says, and whether a firewall is in between:
            machine ssh web-1 -- systemctl status docker
        ");
    }

    #[test]
    fn causes_of_several_lines_stay_below_their_step() {
        let error = DriverError::Refused {
            doing: "building the image".to_owned(),
            why: "`mmdebstrap` said: E: one\nE: two".to_owned(),
            help: "correct what `mmdebstrap` complains about, then run the same command again".to_owned(),
        };
        insta::assert_snapshot!(told(StepError::Driver(error)), @r"
        error: web-1: engine failed
          building the image: `mmdebstrap` said: E: one
          | E: two
          help: correct what `mmdebstrap` complains about, then run the same command again
        ");
    }

    #[test]
    fn every_host_is_listed_once_with_how_it_ended() {
        let (plan, outcome) = (samples::plan(), samples::outcome());
        insta::assert_snapshot!(table(&plan, &outcome), @r"
        behind  skipped      waits for db/engine
        cut     interrupted  cut off: instance
        db      failed       engine
        laptop  not reached  cannot connect to 192.0.2.7:22: no answer within 10 s
        late    not started  left to do: instance
        old     removed
        web-1   converged
        1 unchanged, 1 converged, 1 removed, 1 not reached, 1 not started, 1 interrupted, 1 skipped, 1 failed.
        The run ended early; the same command goes on from here.
        ");
        assert_eq!(hosts(&plan, &outcome).len(), 8);
    }

    #[test]
    fn the_verdict_is_that_of_hosts_that_are_not_optional() {
        let plan = samples::plan();
        let well: Outcome = plan.steps.nodes().map(|(id, _)| (id.clone(), End::Done)).collect();
        assert_eq!(verdict(&plan, &well), Verdict::Complete, "only an optional host was not reached");
        assert_eq!(verdict(&plan, &samples::outcome()), Verdict::Partial);
        let nothing: Outcome = plan.steps.nodes().map(|(id, _)| (id.clone(), End::NotStarted)).collect();
        assert_eq!(verdict(&plan, &nothing), Verdict::Nothing);
        let mut hard = plan.clone();
        hard.hosts.get_mut(&name("laptop")).unwrap().optional = false;
        assert_eq!(verdict(&hard, &well), Verdict::Partial);
    }

    #[test]
    fn a_replaced_machine_is_converged_and_not_removed() {
        let both = [id("web-1", Part::Instance), StepId { rm: true, ..id("web-1", Part::Instance) }];
        let step = Step { action: Action::Create, reasons: vec![Reason::NotRecorded], work: Work::CreateInstance };
        let steps = both.iter().map(|id| (id.clone(), step.clone())).collect();
        let plan = Plan { steps: Graph::build(steps, []).unwrap(), ..samples::plan() };
        let outcome = both.iter().map(|id| (id.clone(), End::Done)).collect();
        assert_eq!(hosts(&plan, &outcome)[&name("web-1")], HostEnd::Converged);
    }
}
