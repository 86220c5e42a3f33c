//! `fmt`: fleet files in one form, comments kept.

use super::fleet_file::{FleetFile, Written, is_stdin};
use crate::{
    cli::{CliError, Cx, Exit, Group, Out, Run, file},
    fleet,
};
use std::io::Write as _;

/// Bring a fleet file into its usual form
#[derive(clap::Args)]
pub(in crate::cli) struct Fmt {
    #[command(flatten)]
    fleet: FleetFile,
    /// Change nothing; exit with 2 if something would change
    #[arg(long)]
    check: bool,
    /// Print it in this form, with its comments; no file is changed
    #[arg(long, value_enum, value_name = "FORM", conflicts_with = "check")]
    to: Option<Written>,
}

impl Run for Fmt {
    const NAME: &'static str = "fmt";
    const GROUP: Group = Group::Fleet;

    fn run(self, _: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let mut exit = Exit::Done;
        for path in self.fleet.paths()? {
            let source = self.fleet.source(&path)?;
            if let Some(to) = self.to {
                let converted = fleet::convert(&source, to.into()).map_err(|e| CliError::Fleet(Box::new(e)))?;
                out.text(&converted.text)?;
                for note in &converted.notes {
                    // A closed standard error stops nothing.
                    writeln!(anstream::stderr(), "note: {note}").ok();
                }
                continue;
            }
            let formatted = fleet::format_source(&source).map_err(|e| CliError::Fleet(Box::new(e)))?;
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
