//! `fmt`: fleet files in one form, comments kept.

use super::FleetFile;
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
        let text = self.fleet.text()?;
        let formatted = fleet::format(&self.fleet.name(), &text).map_err(|e| CliError::Fleet(Box::new(e)))?;
        let changes = formatted != text;
        if self.check {
            if changes {
                out.line(&self.fleet.name())?;
            }
            return Ok(if changes { Exit::ChangesPending } else { Exit::Done });
        }
        if self.fleet.is_stdin() {
            out.text(&formatted)?;
        } else if changes {
            file::replace(&self.fleet.file, formatted.as_bytes())?;
            out.line(&self.fleet.name())?;
        }
        Ok(Exit::Done)
    }
}
