//! `diff`: what is recorded against what is desired.

use super::{FleetFile, limited, look};
use crate::{
    cli::{CliError, Cx, Exit, Group, Out, Run},
    plan::unified,
};

/// Show the unified diff of recorded against desired; exit with 2 if there is any
#[derive(clap::Args)]
pub(in crate::cli) struct Diff {
    #[command(flatten)]
    fleet: FleetFile,
}

impl Run for Diff {
    const NAME: &'static str = "diff";
    const GROUP: Group = Group::Fleet;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let fleet = self.fleet.load()?;
        let world = limited(cx.world()?, &fleet);
        let snapshot = look(cx, &world, &fleet, true)?;
        let diff = unified::diff(&fleet, &snapshot, &world.drivers);
        out.text(&diff)?;
        Ok(if diff.is_empty() { Exit::Done } else { Exit::ChangesPending })
    }
}
