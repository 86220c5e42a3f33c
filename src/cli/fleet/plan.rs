//! `plan`: what `apply` would do, and why.

use super::{FleetFile, inputs, limited, look, painted};
use crate::{
    cli::{CliError, Cx, Exit, Group, Out, Run},
    plan::{Plan as Steps, guard},
};

/// Show what apply would do, and why
#[derive(clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "one for each flag")]
pub(in crate::cli) struct Plan {
    #[command(flatten)]
    fleet: FleetFile,
    /// Plan the removal of hosts that left the file
    #[arg(long)]
    prune: bool,
    /// Plan from the records alone, without looking at machines
    #[arg(long)]
    offline: bool,
    /// Exit with 2 when there is something to do
    #[arg(long)]
    detailed_exitcode: bool,
    /// Print the plan as JSON
    #[arg(long)]
    json: bool,
}

impl Run for Plan {
    const NAME: &'static str = "plan";
    const GROUP: Group = Group::Fleet;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let fleet = self.fleet.load()?;
        let world = limited(cx.world()?, &fleet);
        let snapshot = look(cx, &world, &fleet, self.offline)?;
        let plan = Steps::new(&fleet, &snapshot, &inputs(&world, self.prune || fleet.policy.prune));
        if self.json {
            out.line(&serde_json::to_string_pretty(&plan.to_json()).expect("a plan is plain data"))?;
        } else {
            out.line(&painted(&plan))?;
            for refusal in guard::refusals(&plan, &snapshot, fleet.policy.max_delete, guard::Consent::default()) {
                out.line(&format!("\napply will refuse: {refusal}\n  {}", refusal.help()))?;
            }
        }
        Ok(if self.detailed_exitcode && !plan.is_noop() { Exit::ChangesPending } else { Exit::Done })
    }
}
