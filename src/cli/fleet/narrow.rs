//! `--target` and `--exclude`: a part of a fleet.

use crate::{cli::CliError, fleet::Fleet, name::MachineName, plan::scope::Scope, record::Snapshot};
use std::collections::BTreeSet;

/// Which hosts of the fleet a command is about.
#[derive(clap::Args)]
pub(super) struct Narrow {
    /// Only this host and what it depends on (several times; `*` stands for anything)
    #[arg(long = "target", value_name = "HOST")]
    targets: Vec<String>,
    /// Not this host, nor what depends on it (several times; `*` stands for anything)
    #[arg(long = "exclude", value_name = "HOST")]
    excluded: Vec<String>,
}

impl Narrow {
    /// Whether anything was said.
    pub(super) fn is_given(&self) -> bool {
        !(self.targets.is_empty() && self.excluded.is_empty())
    }

    /// The part that was named. Hosts that left the file can be named as well.
    pub(super) fn scope(&self, fleet: &Fleet, snapshot: &Snapshot) -> Result<Scope, CliError> {
        if !self.is_given() {
            return Ok(Scope::default());
        }
        let owned = snapshot.machines.iter().filter(|(_, k)| k.record.fleet.as_ref() == Some(&fleet.name));
        let hosts: BTreeSet<MachineName> = fleet.hosts.keys().chain(owned.map(|(name, _)| name)).cloned().collect();
        Scope::read(&self.targets, &self.excluded, &hosts).map_err(|(word, near)| CliError::Said {
            what: format!("fleet `{}` has no host `{word}`", fleet.name),
            help: Some(near.map_or_else(
                || "name a host of the fleet file, or a machine that the fleet has made".to_owned(),
                |near| format!("did you mean `{near}`?"),
            )),
        })
    }
}

/// What was left out, in a line; nothing when nothing was.
pub(super) fn told(left_out: &[MachineName]) -> Option<String> {
    let first = left_out.first()?;
    let names: Vec<&str> = left_out.iter().take(5).map(MachineName::as_str).collect();
    let more = left_out.len() - names.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(match left_out.len() {
        1 => format!("Left out: {first}."),
        _ => format!("Left out: {}{more}.", names.join(", ")),
    })
}
