//! A plan in words for people and as JSON for programs.

use super::{Action, Plan, Reason, Step, StepId};
use crate::provisioner::Difference;
use serde::Serialize;
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
        })
    }
}

/// `labels.tier: web → api`, `version: + 28.2`, `labels.tier: - web`.
fn change(d: &Difference) -> String {
    match (&d.found, &d.wanted) {
        (Some(old), Some(new)) => format!("{}: {old} → {new}", d.what),
        (None, Some(new)) => format!("{}: (none) → {new}", d.what),
        (Some(old), None) => format!("{}: {old} → (none)", d.what),
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
            Self::Asked => f.write_str("asked for"),
            Self::Adopted => f.write_str("adopted from the store"),
            Self::NotPruned => f.write_str("not in the fleet file; kept without --prune"),
            Self::NotReached(why) => write!(f, "not reached: {why}"),
            Self::NotCompared(why) => write!(f, "up to date but for what could not be compared: {why}"),
            Self::Blocked(why) => write!(f, "blocked: {why}"),
        }
    }
}

/// Whether a person needs to read a step that does nothing.
fn worth_saying(step: &Step) -> bool {
    step.reasons
        .iter()
        .any(|r| matches!(r, Reason::NotPruned | Reason::NotReached(_) | Reason::NotCompared(_) | Reason::Blocked(_)))
}

/// Host by host, only what is done or in the way; then one line that counts.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps: Vec<(&StepId, &Step)> = self.steps.nodes().collect();
        for of_host in steps.chunk_by(|(a, _), (b, _)| a.machine == b.machine) {
            let said = |(_, s): &&(&StepId, &Step)| s.action != Action::Keep || worth_saying(s);
            let mut steps: Vec<_> = of_host.iter().filter(said).collect();
            // In the order they are done: a removal is its replacement's first half.
            steps.sort_by_key(|(id, _)| (!id.rm, id.part));
            if let [(id, _), ..] = steps.as_slice() {
                writeln!(f, "  {}", id.machine)?;
            }
            for (id, step) in steps {
                let sign = if step.action == Action::Keep { '!' } else { step.action.sign() };
                write!(f, "    {sign} {:<7} {:<11}  ", step.action, id.part)?;
                for (n, reason) in step.reasons.iter().enumerate() {
                    let indent = if n == 0 { 0 } else { 27 };
                    writeln!(f, "{:indent$}{reason}", "")?;
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
        let counts: Vec<String> = [Action::Create, Action::Upgrade, Action::Rm, Action::Keep]
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
        let steps: Vec<JsonStep> = self
            .steps
            .waves()
            .into_iter()
            .flatten()
            .map(|id| {
                let step = self.steps.get(&id).expect("waves name nodes of the graph");
                JsonStep {
                    reasons: step.reasons.iter().map(json_reason).collect(),
                    needs: self.steps.needs(&id).map(ToString::to_string).collect(),
                    id: id.to_string(),
                    machine: id.machine.to_string(),
                    part: id.part.to_string(),
                    action: step.action,
                }
            })
            .collect();
        serde_json::json!({
            "version": JSON_VERSION,
            "fleet": self.fleet,
            "changes": self.changes().count(),
            "summary": {
                "create": self.count(Action::Create),
                "upgrade": self.count(Action::Upgrade),
                "rm": self.count(Action::Rm),
                "keep": self.count(Action::Keep),
            },
            "steps": steps,
        })
    }
}

/// `1 host`, `2 hosts`.
#[must_use]
pub(crate) fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

#[derive(Serialize)]
struct JsonStep {
    id: String,
    machine: String,
    part: String,
    action: Action,
    reasons: Vec<serde_json::Value>,
    needs: Vec<String>,
}

fn json_reason(reason: &Reason) -> serde_json::Value {
    let (kind, difference) = match reason {
        Reason::UpToDate => ("up-to-date", None),
        Reason::NotRecorded => ("not-recorded", None),
        Reason::NotInFleet => ("not-in-fleet", None),
        Reason::Destroyed => ("destroyed", None),
        Reason::Changed(d) => ("changed", Some(d)),
        Reason::Drifted(d) => ("drifted", Some(d)),
        Reason::Interrupted(_) => ("interrupted", None),
        Reason::NeedsReplacement(d) => ("needs-replacement", Some(d)),
        Reason::Rebuilt => ("rebuilt", None),
        Reason::Restarted => ("restarted", None),
        Reason::Expires(_) => ("expires", None),
        Reason::Asked => ("asked", None),
        Reason::Adopted => ("adopted", None),
        Reason::NotPruned => ("not-pruned", None),
        Reason::NotReached(_) => ("not-reached", None),
        Reason::NotCompared(_) => ("not-compared", None),
        Reason::Blocked(_) => ("blocked", None),
    };
    let mut json = serde_json::json!({ "kind": kind, "text": reason.to_string() });
    if let Some(Difference { what, found, wanted }) = difference {
        json["what"] = what.clone().into();
        json["old"] = found.clone().into();
        json["new"] = wanted.clone().into();
    }
    json
}
