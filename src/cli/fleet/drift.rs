//! `drift`: what happened to machines behind our back, as far as it would make `apply` act.

use super::{FleetFile, inputs, limited, look, recorded};
use crate::{
    cli::{CliError, Cx, Exit, Group, Out, Run},
    plan::{Plan, Reason},
};

/// Show how machines differ from what was applied to them; exit with 2 if they do
#[derive(clap::Args)]
pub(in crate::cli) struct Drift {
    #[command(flatten)]
    fleet: FleetFile,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

impl Run for Drift {
    const NAME: &'static str = "drift";
    const GROUP: Group = Group::Fleet;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let fleet = self.fleet.load()?;
        let world = limited(cx.world()?, &fleet);
        let snapshot = look(cx, &world, &fleet, false)?;
        // Compared with itself, a record differs only by what is observed.
        let plan = Plan::new(&recorded(&fleet, &snapshot), &snapshot, &inputs(&world, false));
        if self.json {
            out.line(&serde_json::to_string_pretty(&plan.to_json()).expect("a plan is plain data"))?;
            return Ok(if plan.is_noop() { Exit::Done } else { Exit::ChangesPending });
        }
        for (id, step) in plan.steps.nodes() {
            for reason in &step.reasons {
                match reason {
                    Reason::UpToDate | Reason::Restarted | Reason::Rebuilt => {}
                    other => out.line(&format!("{} {}: {other}", id.machine, id.part))?,
                }
            }
        }
        if plan.is_noop() {
            out.line("No drift: every machine that answered is as it was applied.")?;
            return Ok(Exit::Done);
        }
        Ok(Exit::ChangesPending)
    }
}
