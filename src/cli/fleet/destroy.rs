//! `destroy`: removes every machine of a fleet.

use super::{
    FleetFile, count, limited,
    narrow::{self, Narrow},
    perform::{How, equipped, perform},
    show,
};
use crate::{
    cli::{CliError, Cx, Exit, Group, Out, Run, claim, prompt},
    plan::{Plan, guard},
    record::Part,
    report::Style,
};

/// Remove every machine of a fleet
#[derive(clap::Args)]
pub(in crate::cli) struct Destroy {
    #[command(flatten)]
    fleet: FleetFile,
    #[command(flatten)]
    narrow: Narrow,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Refuse unless it is exactly this many machines
    #[arg(long, value_name = "N")]
    allow_delete: Option<usize>,
    /// Print events as JSON, one a line
    #[arg(long)]
    json: bool,
}

impl Run for Destroy {
    const NAME: &'static str = "destroy";
    const GROUP: Group = Group::Fleet;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let fleet = self.fleet.load(&cx.drivers)?;
        let world = limited(self.fleet.world(cx)?, &fleet.policy);
        let (_lease, snapshot) = claim::fleet(cx, &world, &fleet.name, [])?;
        let scope = self.narrow.scope(&fleet, &snapshot)?;
        let (plan, left_out) = scope.of(Plan::destroy(&fleet.name, &snapshot));
        let consent = guard::Consent { destroy: true, delete: self.allow_delete, replace: false };
        let refusals = guard::refusals(&plan, &snapshot, fleet.policy.max_delete, consent);
        let style = if self.json { Style::Json } else { Style::Human };
        if !refusals.is_empty() {
            show(out, &plan, style)?;
            return Err(CliError::Refused(refusals));
        }
        if plan.is_noop() && style == Style::Human {
            let which = if scope.is_all() { "" } else { " among these" };
            out.line(&format!("Nothing to do: fleet `{}` has no machines{which}.", fleet.name))?;
            return Ok(Exit::Done);
        }
        if !plan.is_noop() && !self.yes {
            show(out, &plan, style)?;
            if let (Some(told), Style::Human) = (narrow::told(&left_out), style) {
                out.line(&told)?;
            }
            let removed = plan.changes().filter(|(id, _)| id.part != Part::Remains).count();
            let machines = count(removed, "machine");
            let question = format!("Remove {machines} of fleet `{}` and all that is on them? (y/n): ", fleet.name);
            if !prompt::confirmed(cx, out, &question, "destroying a fleet")? {
                out.line("Nothing was changed.")?;
                return Ok(Exit::Done);
            }
        }
        let origin = self.fleet.origin(Self::NAME).allowed(consent.flags());
        let how = How { parallel: fleet.policy.parallel, on_error: fleet.policy.on_error, style, origin };
        let runtime = cx.runtime()?;
        runtime.block_on(equipped(&world, &plan))?;
        let exit = runtime.block_on(perform(&world, &plan, &how, out))?;
        runtime.shutdown_background();
        Ok(exit)
    }
}
