//! What moved since a plan was made, and what of that the plan itself explains.

use super::{
    Plan, StepId, Work,
    basis::{self, ANSWERED, Fields, HOOKS_DUE, IN_STORE, LOOKED, ON_HOST, RECORDED, Use},
    sealed::Seal,
};
use crate::{
    excerpt,
    name::MachineName,
    record::{OptionValues, Part},
};
use serde::Serialize;
use serde_json::Value;
use std::{collections::BTreeSet, fmt};

/// Something that moved since the plan was made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Moved {
    /// The host; `None`: what the whole plan stands on.
    pub host: Option<String>,
    /// What moved.
    pub field: String,
    /// How it was.
    pub old: Option<String>,
    /// How it is.
    pub new: Option<String>,
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = &self.host {
            write!(f, "`{host}`: ")?;
        }
        write!(f, "{}", self.field)?;
        let none = if self.field.starts_with(ON_HOST) {
            "(as planned for)"
        } else if self.field.starts_with(IN_STORE) {
            "(sound)"
        } else {
            "(none)"
        };
        let side = |side: &Option<String>| excerpt::line(side.as_deref().unwrap_or(none)).into_owned();
        match (&self.old, &self.new) {
            (None, None) => Ok(()),
            _ => write!(f, ": {} → {}", side(&self.old), side(&self.new)),
        }
    }
}

/// Anything that serde can say.
pub(super) fn plain(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("what a plan is made of is plain data")
}

/// Fields that differ. What was not known then or is not known now has not moved.
pub(super) fn compare(machine: &MachineName, old: &Fields, new: &Fields) -> Vec<Moved> {
    let missing = |key: &str| !(old.contains_key(key) && new.contains_key(key));
    let observed =
        ["power", "instance id, as", "address, as", "server.pem in the store", "ca.pem in the store", IN_STORE];
    let unknown = |key: &str| {
        (missing(LOOKED) && observed.iter().any(|start| key.starts_with(start)))
            || (missing(ANSWERED) && key.starts_with(ON_HOST))
            || (missing("power") && key == "power")
            || [LOOKED, ANSWERED].contains(&key)
    };
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut differs = Vec::new();
    for key in keys.into_iter().filter(|key| old.get(*key) != new.get(*key) && !unknown(key)) {
        let side = |fields: &Fields| fields.get(key).cloned();
        let moved = Moved { host: Some(machine.to_string()), field: key.clone(), old: side(old), new: side(new) };
        if key == RECORDED {
            // All else follows from that.
            return vec![moved];
        }
        differs.push(moved);
    }
    differs
}

/// What a host should be, under the names that [`basis`] has for it.
pub(super) fn of_host(
    driver: &str,
    depends_on: &BTreeSet<MachineName>,
    protect: bool,
    options: &OptionValues,
    fields: &mut Fields,
) {
    fields.insert("driver".to_owned(), driver.to_owned());
    let list: Vec<String> = depends_on.iter().map(ToString::to_string).collect();
    fields.insert("depends_on".to_owned(), list.join(", "));
    fields.insert("protect".to_owned(), protect.to_string());
    for (key, value) in options {
        basis::flat(key, value, fields);
    }
}

/// What may differ on a host because the plan itself was begun there.
pub(super) struct Ends {
    how: Use,
    pub(super) wanted: Fields,
    /// Whether an engine is among what the plan sets up.
    engine: bool,
}

impl Ends {
    pub(super) fn of(plan: &Plan, machine: &MachineName, seal: &Seal) -> Self {
        let mut wanted = Fields::new();
        if let Some(host) = plan.hosts.get(machine) {
            wanted.extend(plan.fleet.iter().map(|fleet| ("fleet".to_owned(), fleet.to_string())));
            of_host(&host.driver, &host.depends_on, host.protect, &host.options, &mut wanted);
        }
        let engine = StepId::part(machine, Part::Engine);
        let engine = plan.steps.get(&engine).and_then(|step| match &step.work {
            Work::Engine(spec) | Work::NewestEngine(spec) => Some(spec),
            _ => None,
        });
        if let Some(spec) = engine {
            basis::flat("engine", &plain(spec), &mut wanted);
        }
        let wanted = wanted.into_iter().map(|(key, value)| (key, seal.text(&value))).collect();
        Self { how: Use::of(plan, machine), wanted, engine: engine.is_some() }
    }

    /// Whether the plan makes this difference.
    pub(super) fn explains(&self, moved: &Moved) -> bool {
        let field = moved.field.as_str();
        let Use { instance, certificate, engine, .. } = self.how;
        if field == RECORDED {
            return if self.how.only_rm() { moved.new.as_deref() == Some("no") } else { self.how.create };
        }
        if field == "instance id" {
            return self.how.create || moved.old.is_none();
        }
        if field == HOOKS_DUE {
            return true;
        }
        if field.starts_with("unfinished ") {
            return match field.trim_start_matches("unfinished ") {
                "instance" => instance,
                "certificate" => certificate,
                _ => engine,
            };
        }
        if ["address", "power"].iter().any(|start| field.starts_with(start)) || field.starts_with("instance id, as") {
            return instance;
        }
        if ["certificate", "authority", "server.pem in the store", "ca.pem in the store"].contains(&field)
            || field.starts_with(IN_STORE)
        {
            return certificate;
        }
        if field.starts_with(ON_HOST) {
            return engine || certificate;
        }
        if field.starts_with("engine.") && !self.engine {
            return false;
        }
        // A machine that was made anew has no engine until it gets that of the plan.
        let none_yet = self.how.create && field.starts_with("engine.") && moved.new.is_none();
        none_yet || self.wanted.get(field) == moved.new.as_ref()
    }
}
