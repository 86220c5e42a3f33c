//! The names of steps, and the order of those of one machine.

use crate::{hook::HookId, name::MachineName, record::Part};
use serde::{Deserialize, Serialize};
use std::{cmp::Ordering, fmt, str::FromStr};

/// What a step is about. There is at most one step for each. Steps of a machine stand in the order they are made.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct StepId {
    /// The machine.
    pub machine: MachineName,
    /// Its part. Hooks are about no part: theirs is [`Part::Instance`].
    pub part: Part,
    /// A replacement is a removal, then a creation, of the same part.
    pub rm: bool,
    /// The hook, when this is one.
    pub hook: Option<HookId>,
}

impl StepId {
    /// A part of a machine that is made, changed or kept.
    #[must_use]
    pub fn part(machine: &MachineName, part: Part) -> Self {
        Self { machine: machine.clone(), part, rm: false, hook: None }
    }

    /// The removal of a machine.
    #[must_use]
    pub fn rm(machine: &MachineName) -> Self {
        Self { machine: machine.clone(), part: Part::Instance, rm: true, hook: None }
    }

    /// A hook of a machine.
    #[must_use]
    pub fn hook(machine: &MachineName, hook: HookId) -> Self {
        Self { machine: machine.clone(), part: Part::Instance, rm: hook.point.is_rm(), hook: Some(hook) }
    }

    /// What it is about, without the machine: `engine`, `post-create dns`.
    #[must_use]
    pub fn what(&self) -> String {
        self.hook.as_ref().map_or_else(|| self.part.to_string(), |hook| format!("{} {}", hook.point, hook.name))
    }

    /// Where it stands among the steps of its machine: a removal first; hooks before the parts, and after them.
    fn place(&self) -> (bool, u8, Part, Option<&HookId>) {
        let stage = match &self.hook {
            Some(hook) if hook.point.is_before() => 0,
            None => 1,
            Some(_) => 2,
        };
        (!self.rm, stage, self.part, self.hook.as_ref())
    }
}

impl Ord for StepId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.machine.cmp(&other.machine).then_with(|| self.place().cmp(&other.place()))
    }
}

impl PartialOrd for StepId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hook {
            Some(hook) => write!(f, "{}/{hook}", self.machine),
            None => write!(f, "{}/{}{}", self.machine, self.part, if self.rm { " (rm)" } else { "" }),
        }
    }
}

impl FromStr for StepId {
    type Err = String;
    /// Reads what [`Display`](fmt::Display) writes.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not the name of a step");
        let (machine, rest) = text.split_once('/').ok_or_else(wrong)?;
        if let Ok(hook) = rest.parse() {
            return Ok(Self::hook(&machine.parse().map_err(|e| format!("{}: {e}", wrong()))?, hook));
        }
        let (part, rm) = rest.strip_suffix(" (rm)").map_or((rest, false), |part| (part, true));
        let part = [Part::Remains].into_iter().chain(Part::ALL).find(|p| p.to_string() == part).ok_or_else(wrong)?;
        Ok(Self { machine: machine.parse().map_err(|e| format!("{}: {e}", wrong()))?, part, rm, hook: None })
    }
}

impl TryFrom<String> for StepId {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<StepId> for String {
    fn from(id: StepId) -> Self {
        id.to_string()
    }
}
