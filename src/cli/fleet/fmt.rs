//! `fmt`: fleet files in one form, comments kept.

use super::fleet_file::{FleetFile, is_stdin};
use crate::{
    cli::{CliError, Cx, Exit, Group, Out, Run, file},
    fleet,
};

/// Bring a fleet file into its usual form
#[derive(clap::Args)]
pub(in crate::cli) struct Fmt {
    #[command(flatten)]
    fleet: FleetFile,
    /// Change nothing; exit with 2 if something would change
    #[arg(long)]
    check: bool,
}

impl Run for Fmt {
    const NAME: &'static str = "fmt";
    const GROUP: Group = Group::Fleet;

    fn run(self, _: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let mut exit = Exit::Done;
        for path in self.fleet.paths()? {
            let source = self.fleet.source(&path)?;
            let formatted = fleet::format(&source.name, &source.text).map_err(|e| CliError::Fleet(Box::new(e)))?;
            let changes = formatted != source.text;
            if self.check {
                if changes {
                    out.line(&source.name)?;
                    exit = Exit::ChangesPending;
                }
            } else if is_stdin(&path) {
                out.text(&formatted)?;
            } else if changes {
                file::replace(&path, formatted.as_bytes())?;
                out.line(&source.name)?;
            }
        }
        Ok(exit)
    }
}
