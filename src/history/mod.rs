//! Who did what to which machines, when, from which commit, and how it ended: a file of the store that only grows.
//!
//! Each run writes two lines, one before it touches anything and one at its end; a run that was killed has the first
//! only. No line holds a command line or what a host printed, for either may hold secrets.

mod commit;
mod entry;
mod read;

use crate::{
    apply::{End, Outcome},
    engine::env::without_passwords,
    name::{FleetName, MachineName},
    plan::{Action, Plan, Reason, StepId},
    record::Part,
    report::summary,
    store::StoreError,
    world::World,
};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

pub use commit::{Commit, Source};
pub use entry::{Begun, Deed, Ended, Entry, Result};
pub use read::{History, Pick, Run, VERSION};

/// How much of a failure is kept, in characters.
const FAILURE: usize = 300;

/// What a run is called, and what it is about.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The command, as `apply`.
    pub command: &'static str,
    /// The fleet file, if the run is about one.
    pub file: Option<String>,
    /// What the file is of.
    pub commit: Option<Commit>,
    /// What the run is allowed, as flags. They hold no secrets.
    pub consents: Vec<String>,
}

impl Origin {
    /// A command on machines by name.
    #[must_use]
    pub fn of(command: &'static str) -> Self {
        Self { command, file: None, commit: None, consents: Vec::new() }
    }

    /// With what it is allowed.
    #[must_use]
    pub fn allowed(self, consents: impl IntoIterator<Item = String>) -> Self {
        Self { consents: consents.into_iter().collect(), ..self }
    }

    /// A command on a fleet file.
    #[must_use]
    pub fn of_file(command: &'static str, file: &Path) -> Self {
        let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (file, commit) = (Some(file.display().to_string()), Commit::of(file, &var));
        Self { command, file, commit, consents: Vec::new() }
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// What it amounts to.
    pub result: Result,
    /// The signal that ended it before all was done.
    pub cancelled: Option<&'static str>,
}

impl From<Result> for How {
    fn from(result: Result) -> Self {
        Self { result, cancelled: None }
    }
}

/// A run whose end has yet to be written.
#[must_use = "a run without an end looks killed"]
#[derive(Debug)]
pub struct Open {
    run: String,
}

/// Writes that a run begins. Nothing may be touched before.
///
/// # Errors
/// When it cannot be written.
pub async fn begin(
    world: &World,
    origin: &Origin,
    fleet: Option<&FleetName>,
    mut steps: Vec<Deed>,
) -> std::result::Result<Open, StoreError> {
    for of_machine in steps.chunk_by_mut(|a, b| a.machine == b.machine) {
        // One that is not recorded yet, or cannot be read, has none to name.
        let uid = world.store.get(&of_machine[0].machine).await.ok().map(|record| record.uid);
        for step in of_machine {
            step.uid.clone_from(&uid);
        }
    }
    let run = name_of_run();
    let begun = Begun {
        run: run.clone(),
        at: world.clock.now(),
        who: who(),
        pid: std::process::id(),
        command: origin.command.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        fleet: fleet.cloned(),
        file: origin.file.clone(),
        commit: origin.commit.clone(),
        consents: origin.consents.clone(),
        steps,
    };
    world.store.journal.append(&Entry::Begin(begun).line()).await?;
    Ok(Open { run })
}

impl Open {
    /// Writes that the run ended, and how.
    ///
    /// # Errors
    /// When it cannot be written; what was done is done all the same.
    pub async fn end(
        self,
        world: &World,
        how: How,
        hosts: BTreeMap<MachineName, String>,
        failures: BTreeMap<String, String>,
    ) -> std::result::Result<(), StoreError> {
        let failures = failures.into_iter().map(|(what, why)| (what, first_line(&why))).collect();
        let How { result, cancelled } = how;
        let cancelled = cancelled.map(str::to_owned);
        let ended = Ended { run: self.run, at: world.clock.now(), result, cancelled, hosts, failures };
        world.store.journal.append(&Entry::End(ended).line()).await
    }

    /// As [`Self::end`], for a run that carried out a plan; `signal` told it to end.
    ///
    /// # Errors
    /// As for [`Self::end`].
    pub async fn end_of(
        self,
        world: &World,
        plan: &Plan,
        outcome: &Outcome,
        signal: Option<&'static str>,
    ) -> std::result::Result<(), StoreError> {
        let result = match summary::verdict(plan, outcome) {
            summary::Verdict::Complete => Result::Done,
            summary::Verdict::Partial => Result::Partial,
            summary::Verdict::Nothing => Result::Failed,
        };
        let changed: Vec<&MachineName> = plan.changes().map(|(id, _)| &id.machine).collect();
        let ends = summary::hosts(plan, outcome).into_iter().filter(|(name, _)| changed.binary_search(name).is_ok());
        let failures = outcome.iter().filter_map(|(id, end)| match end {
            End::Failed(error) => Some((id.to_string(), error.brief())),
            End::Done | End::Skipped(_) | End::NotStarted | End::CutOff => None,
        });
        let cut = outcome.values().any(|end| matches!(end, End::NotStarted | End::CutOff));
        let how = How { result, cancelled: signal.filter(|_| cut) };
        let hosts = ends.map(|(name, end)| (name.clone(), end.to_string())).collect();
        self.end(world, how, hosts, failures.collect()).await
    }
}

impl Deed {
    /// What a plan is going to do, step by step; nothing of what it leaves alone.
    #[must_use]
    pub fn of_plan(plan: &Plan) -> Vec<Self> {
        let deed = |id: &StepId, action: Action, reasons: &[Reason]| Self {
            machine: id.machine.clone(),
            uid: None,
            part: id.part,
            action,
            reasons: reasons.iter().map(told).collect(),
        };
        plan.changes().map(|(id, step)| deed(id, step.action, &step.reasons)).collect()
    }

    /// The removal of a machine that was asked for by name.
    #[must_use]
    pub fn rm(machine: &MachineName, part: Part) -> Self {
        let reasons = vec![Reason::Asked.to_string()];
        Self { machine: machine.clone(), uid: None, part, action: Action::Rm, reasons }
    }
}

/// Who runs this, as `anna@build-7`: on a CI runner, who made it run.
fn who() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let names = ["GITHUB_ACTOR", "GITLAB_USER_LOGIN", "USER", "LOGNAME"];
    let user = names.into_iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    format!("{}@{host}", user.unwrap_or_else(|| format!("uid-{}", rustix::process::getuid().as_raw())))
}

/// A name no other run has, not even one of another computer that shares the store.
fn name_of_run() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut random = [0; 8];
    // Without randomness the process and the count still tell runs of one computer apart.
    let filled = aws_lc_rs::rand::fill(&mut random).is_ok();
    let count = COUNT.fetch_add(u64::from(!filled), Ordering::Relaxed);
    let number = if filled { u64::from_ne_bytes(random) } else { u64::from(std::process::id()) << 32 | count };
    format!("{number:016x}")
}

/// The first line of a failure, and not without end: what hosts printed follows on further lines.
fn first_line(why: &str) -> String {
    without_passwords(why.lines().next().unwrap_or_default()).chars().take(FAILURE).collect()
}

/// A reason without what may be secret: of a variable of the engine only that it changed.
fn told(reason: &Reason) -> String {
    match reason {
        Reason::Changed(d) | Reason::Drifted(d) | Reason::NeedsReplacement(d) if d.what.starts_with("env.") => {
            format!("{}: changed", d.what)
        }
        Reason::Unconfirmed { .. }
        | Reason::NotReached(_)
        | Reason::NotCompared(_)
        | Reason::Blocked(_)
        | Reason::Changed(_)
        | Reason::Drifted(_)
        | Reason::NeedsReplacement(_) => without_passwords(&reason.to_string()),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provisioner::Difference;

    /// C6: a history is read by many, and lies there for years.
    #[test]
    fn nothing_that_may_be_secret_is_kept() {
        let difference = |what: &str| {
            let value = |text: &str| Some(format!("http://u:{text}@h"));
            Difference { what: what.to_owned(), found: value("S3CRET-1"), wanted: value("S3CRET-2") }
        };
        let kinds = [Reason::Changed, Reason::Drifted, Reason::NeedsReplacement];
        for reason in kinds.map(|kind| kind(difference("env.TOKEN"))) {
            assert_eq!(told(&reason), "env.TOKEN: changed");
        }
        for reason in kinds.map(|kind| kind(difference("mirror"))) {
            let said = told(&reason);
            assert!(said.contains("mirror") && said.contains("u:***@h") && !said.contains("S3CRET"), "{said}");
        }
        let said = first_line("cannot reach http://u:S3CRET@h/x\nS3CRET");
        assert_eq!(said, "cannot reach http://u:***@h/x");
        assert_eq!(first_line(&"x".repeat(1 << 20)).len(), FAILURE);
    }
}
