//! A plan in words for people and as JSON for programs.

use super::{Action, Plan, Reason, Step, StepId, Work, document::Document};
use crate::{excerpt::line, provisioner::Difference};
use std::fmt;

/// Version of the JSON form; grows when a field changes its meaning or goes.
pub const JSON_VERSION: u32 = 1;

impl Action {
    /// One character, as diffs have it.
    #[must_use]
    pub fn sign(self) -> char {
        match self {
            Self::Keep => ' ',
            Self::Create => '+',
            Self::Upgrade => '~',
            Self::Rm => '-',
            Self::Run => '>',
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Keep => "keep",
            Self::Create => "create",
            Self::Upgrade => "upgrade",
            Self::Rm => "rm",
            Self::Run => "run",
        })
    }
}

/// `labels.tier: web → api`, `version: + 28.2`, `labels.tier: - web`.
fn change(d: &Difference) -> String {
    match (&d.found, &d.wanted) {
        (Some(old), Some(new)) => format!("{}: {} → {}", d.what, line(old), line(new)),
        (None, Some(new)) => format!("{}: (none) → {}", d.what, line(new)),
        (Some(old), None) => format!("{}: {} → (none)", d.what, line(old)),
        (None, None) => d.what.clone(),
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UpToDate => f.write_str("up to date"),
            Self::NotRecorded => f.write_str("not recorded"),
            Self::NotInFleet => f.write_str("not in the fleet file"),
            Self::Destroyed => f.write_str("the fleet is destroyed"),
            Self::Changed(d) => f.write_str(&change(d)),
            Self::Drifted(d) => write!(f, "drifted, {}", change(d)),
            Self::Interrupted(pending) => write!(f, "an earlier {pending} did not finish"),
            Self::NeedsReplacement(d) => write!(f, "cannot change in place, {}", change(d)),
            Self::Rebuilt => f.write_str("the instance is new"),
            Self::Restarted => f.write_str("checked once the instance is up"),
            Self::Expires(at) => write!(f, "ends {at}"),
            Self::Local(flawed) => f.write_str(&line(&flawed.to_string())),
            Self::Asked => f.write_str("asked for"),
            Self::Adopted => f.write_str("adopted from the store"),
            Self::Hook => f.write_str("goes with what is done"),
            Self::HookAgain => f.write_str("due since an earlier run"),
            Self::NotPruned => f.write_str("not in the fleet file; kept without --prune"),
            Self::Unconfirmed { what, since, why } => {
                write!(f, "its removal on {since} was not confirmed: {what}: {why}")
            }
            Self::NotReached(why) => write!(f, "not reached: {}", line(why)),
            Self::NotCompared(why) => write!(f, "up to date but for what could not be compared: {}", line(why)),
            Self::Blocked(why) => write!(f, "blocked: {}", line(why)),
        }
    }
}

impl Reason {
    /// Whether it says more than that all is well, or that something follows from something else.
    #[must_use]
    pub fn is_drift(&self) -> bool {
        !matches!(self, Self::UpToDate | Self::Restarted | Self::Rebuilt | Self::Hook)
    }
}

/// Whether a person needs to read a step that does nothing.
pub(super) fn worth_saying(step: &Step) -> bool {
    step.reasons.iter().any(|r| {
        matches!(
            r,
            Reason::NotPruned
                | Reason::Unconfirmed { .. }
                | Reason::NotReached(_)
                | Reason::NotCompared(_)
                | Reason::Blocked(_)
        )
    })
}

/// What is said of a step: its reasons; of a hook what it runs, which is reason enough unless it is run again.
pub(super) fn texts(step: &Step) -> impl Iterator<Item = String> {
    let hook = match &step.work {
        Work::Hook(hook) => Some(hook.to_string()),
        _ => None,
    };
    let reasons = step.reasons.iter().filter(|reason| **reason != Reason::Hook).map(ToString::to_string);
    hook.into_iter().chain(reasons)
}

/// Host by host, only what is done or in the way; then one line that counts.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps: Vec<(&StepId, &Step)> = self.steps.nodes().collect();
        for of_host in steps.chunk_by(|(a, _), (b, _)| a.machine == b.machine) {
            let said = |(_, s): &&(&StepId, &Step)| s.action != Action::Keep || worth_saying(s);
            let steps: Vec<_> = of_host.iter().filter(said).collect();
            if let [(id, _), ..] = steps.as_slice() {
                writeln!(f, "  {}", id.machine)?;
            }
            // The longest point is longer than any part.
            let wide = steps.iter().filter_map(|(id, _)| id.hook.as_ref()).map(|hook| hook.point.word().len()).max();
            let width = wide.unwrap_or(0).max(11);
            for (id, step) in steps {
                let sign = if step.action == Action::Keep { '!' } else { step.action.sign() };
                write!(f, "    {sign} {:<7} ", step.action)?;
                match &id.hook {
                    Some(hook) => write!(f, "{:<width$}  ", hook.point)?,
                    None => write!(f, "{:<width$}  ", id.part)?,
                }
                for (n, text) in texts(step).enumerate() {
                    let indent = if n == 0 { 0 } else { width + 16 };
                    writeln!(f, "{:indent$}{text}", "")?;
                }
            }
        }
        f.write_str(&self.summary())
    }
}

impl Plan {
    /// `9 to create, 1 to upgrade, 2 to rm, 4 to keep.`, counted in steps.
    #[must_use]
    pub fn summary(&self) -> String {
        let hosts = self.machines(|_| true);
        if self.is_noop() {
            return self.why_nothing(hosts);
        }
        let of = |action: Action| format!("{} to {action}", self.count(action));
        let counts: Vec<String> = [Action::Create, Action::Upgrade, Action::Rm, Action::Run, Action::Keep]
            .into_iter()
            .filter(|a| self.count(*a) > 0)
            .map(of)
            .collect();
        format!(
            "{} on {} of {}: {}.",
            count(self.changes().count(), "step", "steps"),
            self.machines(|step| step.action != Action::Keep),
            count(hosts, "host", "hosts"),
            counts.join(", ")
        )
    }

    /// How many machines have a step that `pick` picks.
    fn machines(&self, pick: impl Fn(&Step) -> bool) -> usize {
        // Steps stand by machine.
        let mut names: Vec<_> = self.steps.nodes().filter(|(_, s)| pick(s)).map(|(id, _)| &id.machine).collect();
        names.dedup();
        names.len()
    }

    /// Nothing is to be done because all is well, or because something is in the way.
    fn why_nothing(&self, hosts: usize) -> String {
        let with = |kind: fn(&Reason) -> bool| self.machines(|step| step.reasons.iter().any(kind));
        let blocked = with(|r| matches!(r, Reason::Blocked(_)));
        let unreached = with(|r| matches!(r, Reason::NotReached(_)));
        let kept = with(|r| matches!(r, Reason::NotPruned));
        let well = hosts - blocked - unreached - kept;
        let mut parts = vec![count(well, "host is as planned", "hosts are as planned")];
        if unreached > 0 {
            parts.push(format!("{unreached} could not be reached"));
        }
        if blocked > 0 {
            parts.push(format!("{blocked} {} blocked", if blocked == 1 { "is" } else { "are" }));
        }
        if kept > 0 {
            parts.push(format!("{kept} left the file and {} kept", if kept == 1 { "is" } else { "are" }));
        }
        format!("Nothing to do: {}.", parts.join(", "))
    }

    /// The plan for programs. Steps stand so that each is after all it needs.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(Document::of(self)).expect("a plan is plain data")
    }
}

/// `1 host`, `2 hosts`.
#[must_use]
pub(crate) fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}
