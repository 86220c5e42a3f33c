//! `apply`: makes it so.

use super::{
    FleetFile, inputs, limited, look_at,
    perform::{How, perform},
    show,
};
use crate::{
    cli::{CliError, Cx, Exit, Group, Out, Run, claim, prompt},
    fleet::{Fleet, OnError},
    plan::{Action, Plan, guard},
    report::Style,
};

/// Make machines as the fleet file says
#[derive(clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "one for each flag")]
pub(in crate::cli) struct Apply {
    #[command(flatten)]
    fleet: FleetFile,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Remove machines whose hosts left the file
    #[arg(long)]
    prune: bool,
    /// Allow machines to be removed and made anew
    #[arg(long)]
    allow_replace: bool,
    /// Allow the removal of exactly this many machines
    #[arg(long, value_name = "N")]
    allow_delete: Option<usize>,
    /// Work on this many hosts at once
    #[arg(long, value_name = "N")]
    parallel: Option<usize>,
    /// Start nothing more after a failure
    #[arg(long, conflicts_with = "keep_going")]
    fail_fast: bool,
    /// Go on after a failure even with what depends on it
    #[arg(long)]
    keep_going: bool,
    /// Print events as JSON, one a line
    #[arg(long)]
    json: bool,
}

impl Run for Apply {
    const NAME: &'static str = "apply";
    const GROUP: Group = Group::Fleet;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let fleet = self.fleet.load()?;
        let world = limited(cx.world()?, &fleet);
        let _lock = claim::fleet(cx, &world, &fleet.name)?;
        // One runtime for looking and doing, so that connections made to look are there to do.
        let runtime = cx.runtime()?;
        let snapshot = world.store.snapshot().map_err(CliError::Store)?;
        let hosts = fleet.hosts.keys().cloned().collect();
        let snapshot = runtime.block_on(look_at(&world, snapshot, &fleet, hosts));
        let plan = Plan::new(&fleet, &snapshot, &inputs(&world, self.prune || fleet.policy.prune));
        let consent = guard::Consent { replace: self.allow_replace, delete: self.allow_delete, destroy: false };
        let refusals = guard::refusals(&plan, &snapshot, fleet.policy.max_delete, consent);
        let style = if self.json { Style::Json } else { Style::Human };
        if !refusals.is_empty() {
            show(out, &plan, style)?;
            return Err(CliError::Refused(refusals));
        }
        if !plan.is_noop() && !self.yes {
            show(out, &plan, style)?;
            let question = format!("Apply this to fleet `{}`? (y/n): ", fleet.name);
            if !prompt::confirmed(cx, out, &question, "applying a fleet")? {
                out.line("Nothing was changed.")?;
                return Ok(Exit::Done);
            }
        }
        let how =
            How { parallel: self.parallel.unwrap_or(fleet.policy.parallel), on_error: self.on_error(&fleet), style };
        let exit = runtime.block_on(perform(&world, &plan, &how, out))?;
        runtime.shutdown_background();
        if exit == Exit::Done && style == Style::Human && plan.count(Action::Create) > 0 {
            go_on(cx, out, &plan)?;
        }
        Ok(exit)
    }
}

impl Apply {
    fn on_error(&self, fleet: &Fleet) -> OnError {
        match (self.fail_fast, self.keep_going) {
            (true, _) => OnError::FailFast,
            (_, true) => OnError::KeepGoing,
            _ => fleet.policy.on_error,
        }
    }
}

/// Says how to go on with what was made.
fn go_on(cx: &Cx, out: &mut Out, plan: &Plan) -> Result<(), CliError> {
    let Some((id, _)) = plan.changes().find(|(id, s)| s.action == Action::Create && plan.of(&id.machine).count() > 1)
    else {
        return Ok(());
    };
    let (program, name) = (&cx.program, &id.machine);
    out.line(&format!(
        "\nTo use `{name}` with docker:\n  eval $({program} env {name})\n  docker run hello-world\nTo see all machines, or log in:\n  {program} ls\n  {program} ssh {name}"
    ))
}
