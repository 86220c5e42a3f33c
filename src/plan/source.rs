//! The fleet file that a plan was made from, as far as a plan is bound to it.

use super::{
    Plan,
    basis::{self, Fields},
    moved::{Ends, Moved, of_host, plain},
    sealed::Seal,
};
use crate::{
    digest::sha256_hex,
    fleet::{Fleet, HostSpec},
    name::MachineName,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The fleet file a plan was made from.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct Source {
    /// The files that were read; none when it came through standard input.
    pub files: Vec<SourceFile>,
    /// SHA-256 of what they mean, so that comments and layout do not matter.
    pub digest: String,
    /// The beginning of the same for each host, to name those that changed.
    pub hosts: BTreeMap<String, String>,
    /// The commit, where the file is in a git repository and that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

/// One file that was read.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct SourceFile {
    /// Where it was, absolute.
    pub path: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

impl Source {
    /// What a fleet means, without the files it came from.
    #[must_use]
    pub fn of(fleet: &Fleet, seal: &Seal) -> Self {
        let digest = |value: &Value| {
            let mut value = seal.value(value);
            value.sort_all_objects();
            sha256_hex(value.to_string().as_bytes())
        };
        let host = |spec: &HostSpec| digest(&serde_json::to_value(spec).expect("a host is plain data"));
        let hosts: BTreeMap<String, String> =
            fleet.hosts.iter().map(|(name, spec)| (name.to_string(), host(spec))).collect();
        let whole = serde_json::json!({ "name": fleet.name, "policy": fleet.policy, "hosts": hosts });
        let short = |(name, digest): (String, String)| (name, digest[..16].to_owned());
        Self { files: Vec::new(), digest: digest(&whole), hosts: hosts.into_iter().map(short).collect(), commit: None }
    }

    /// How a fleet differs from the one that `plan` was made from; empty when it means the same.
    #[must_use]
    pub fn moved(&self, plan: &Plan, fleet: &Fleet, seal: &Seal) -> Vec<Moved> {
        let now = Self::of(fleet, seal);
        if now.digest == self.digest {
            return Vec::new();
        }
        let whole = |field: &str| Moved { host: None, field: field.to_owned(), old: None, new: None };
        let mut moved = Vec::new();
        let names: BTreeSet<&String> = self.hosts.keys().chain(now.hosts.keys()).collect();
        for name in names.into_iter().filter(|name| self.hosts.get(*name) != now.hosts.get(*name)) {
            let there = |hosts: &BTreeMap<String, String>| hosts.contains_key(name).then(|| "there".to_owned());
            let (old, new) = (there(&self.hosts), there(&now.hosts));
            let host = Moved { host: Some(name.clone()), field: "in the fleet file".to_owned(), old, new };
            let spec = name.parse::<MachineName>().ok().and_then(|machine| Some((fleet.hosts.get(&machine)?, machine)));
            let fields = spec.filter(|_| host.old.is_some()).map(|(spec, machine)| {
                let planned = Ends::of(plan, &machine, seal).wanted;
                let mut now = Fields::new();
                of_host(&spec.driver, &spec.depends_on, spec.protect, &spec.options, &mut now);
                if let Some(engine) = spec.engine.as_ref() {
                    basis::flat("engine", &plain(engine), &mut now);
                }
                let now: Fields = now.into_iter().map(|(key, value)| (key, seal.text(&value))).collect();
                let has_engine = planned.keys().any(|key| key.starts_with("engine."));
                let keys: BTreeSet<&String> = planned.keys().chain(now.keys()).collect();
                let told = |key: &&String| key.as_str() != "fleet" && (has_engine || !key.starts_with("engine."));
                let differs = keys.into_iter().filter(told).filter(|key| planned.get(*key) != now.get(*key));
                let moved = |key: &String| Moved {
                    field: format!("{key} in the fleet file"),
                    old: planned.get(key).cloned(),
                    new: now.get(key).cloned(),
                    ..host.clone()
                };
                differs.map(moved).collect::<Vec<_>>()
            });
            match fields.filter(|fields| !fields.is_empty()) {
                Some(fields) => moved.extend(fields),
                None if host.old == host.new => moved.push(Moved { old: None, new: None, ..host }),
                None => moved.push(host),
            }
        }
        if moved.is_empty() {
            moved.push(whole("`fleet` or `policy` in the fleet file"));
        }
        moved
    }
}
