//! `validate`: whether a fleet file is right, without looking at anything else.

use super::{FleetFile, count};
use crate::cli::{CliError, Cx, Exit, Group, Out, Run};

/// Check a fleet file
#[derive(clap::Args)]
pub(in crate::cli) struct Validate {
    #[command(flatten)]
    fleet: FleetFile,
}

impl Run for Validate {
    const NAME: &'static str = "validate";
    const GROUP: Group = Group::Fleet;

    fn run(self, _: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let fleet = self.fleet.load()?;
        out.line(&format!(
            "{}: fleet `{}` with {} is valid",
            self.fleet.name()?,
            fleet.name,
            count(fleet.hosts.len(), "host")
        ))?;
        Ok(Exit::Done)
    }
}
