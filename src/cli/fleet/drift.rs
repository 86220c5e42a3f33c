//! `drift`: what happened to machines behind our back, as far as it would make `apply` act.

use super::{FleetFile, inputs, limited, look, recorded};
use crate::{
    cli::{CliError, Cx, Exit, Group, Out, Run, answer},
    plan::{Plan, drift::Drift as Found},
};

/// Show how machines differ from what was applied to them; exit with 2 if they do
#[derive(clap::Args)]
pub(in crate::cli) struct Drift {
    #[command(flatten)]
    fleet: FleetFile,
    /// Show also what was seen and nothing follows from
    #[arg(long)]
    all: bool,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

impl Run for Drift {
    const NAME: &'static str = "drift";
    const GROUP: Group = Group::Fleet;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let fleet = self.fleet.load(&cx.drivers)?;
        let world = limited(cx.world()?, &fleet.policy);
        let snapshot = look(cx, &world, &fleet, false)?;
        // Compared with itself, a record differs only by what is observed.
        let plan = Plan::new(&recorded(&fleet, &snapshot), &snapshot, &inputs(&world, false));
        let mut drift = Found::of(&plan);
        if self.all {
            drift = drift.with_facts(&plan, &snapshot);
        }
        let exit = if plan.is_noop() { Exit::Done } else { Exit::ChangesPending };
        if self.json {
            answer::print(out, &drift)?;
            return Ok(exit);
        }
        for (id, step) in plan.steps.nodes() {
            for reason in step.reasons.iter().filter(|reason| reason.is_drift()) {
                out.line(&format!("{} {}: {reason}", id.machine, id.what()))?;
            }
        }
        for fact in &drift.facts {
            let recorded = fact.recorded.as_ref().filter(|recorded| **recorded != fact.found);
            let recorded = recorded.map(|recorded| format!(" (recorded: {recorded})")).unwrap_or_default();
            out.line(&format!("{} seen: {}: {}{recorded}", fact.machine, fact.what, fact.found))?;
        }
        if plan.is_noop() {
            out.line("No drift: every machine that answered is as it was applied.")?;
        }
        Ok(exit)
    }
}
