//! `diff`: what is recorded against what is desired.

use super::{FleetFile, limited, look};
use crate::{
    cli::{
        CliError, Cx, Exit, Group, Out, Run,
        answer::{self, HostDiff},
    },
    plan::unified,
};

/// Show the unified diff of recorded against desired; exit with 2 if there is any
#[derive(clap::Args)]
pub(in crate::cli) struct Diff {
    #[command(flatten)]
    fleet: FleetFile,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

impl Run for Diff {
    const NAME: &'static str = "diff";
    const GROUP: Group = Group::Fleet;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let fleet = self.fleet.load(&cx.drivers)?;
        let world = limited(cx.world()?, &fleet.policy);
        let snapshot = look(cx, &world, &fleet, true)?;
        let hosts = unified::hosts(&fleet, &snapshot, &world.drivers);
        let exit = if hosts.is_empty() { Exit::Done } else { Exit::ChangesPending };
        if self.json {
            let host = |(name, diff): (&crate::name::MachineName, String)| HostDiff { host: name.to_string(), diff };
            let hosts = hosts.into_iter().map(host).collect();
            answer::print(out, &answer::Diff { fleet: fleet.name.to_string(), hosts })?;
        } else {
            out.text(&hosts.into_iter().map(|(_, diff)| diff).collect::<String>())?;
        }
        Ok(exit)
    }
}
