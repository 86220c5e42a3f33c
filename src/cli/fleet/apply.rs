//! `apply`: makes it so.

use super::{
    Contents, FleetFile, inputs, limited, look_within,
    narrow::{self, Narrow},
    perform::{How, equipped, perform},
    saved::{self, Left, SavedPlan},
    show,
};
use crate::{
    cli::{CliError, Cx, Exit, Group, Out, Run, claim, prompt},
    fleet::{Fleet, OnError, Policy},
    name::FleetName,
    plan::{
        Action, Plan,
        guard::{self, Consent, Refusal},
    },
    report::Style,
};
use std::path::PathBuf;

/// Make machines as the fleet file says, or do exactly what a saved plan says
#[derive(clap::Args)]
#[command(
    after_help = "FILE may be a plan that `plan --out` saved. It is refused with exit code 4 when something it touches
has moved since; applied again it does nothing.

Examples:
  machine apply fleet.yaml --target web-1
  machine apply plan.json --yes"
)]
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
    #[command(flatten)]
    narrow: Narrow,
    /// The fleet file that a saved plan must still agree with, if it is not where it was
    #[arg(long = "fleet", value_name = "FILE")]
    of: Option<PathBuf>,
    /// Work on this many hosts at once
    #[arg(long, value_name = "N")]
    parallel: Option<usize>,
    /// Start nothing more after a failure
    #[arg(long, conflicts_with = "keep_going")]
    fail_fast: bool,
    /// Go on after a failure even with what depends on it
    #[arg(long)]
    keep_going: bool,
    /// Exit with 2 when something was done
    #[arg(long)]
    detailed_exitcode: bool,
    /// Print events as JSON, one a line
    #[arg(long)]
    json: bool,
}

/// A plan that is about to be applied.
struct Ready<'a> {
    fleet: &'a FleetName,
    plan: &'a Plan,
    refusals: Vec<Refusal>,
    /// A line after the plan.
    told: Option<String>,
}

impl Run for Apply {
    const NAME: &'static str = "apply";
    const GROUP: Group = Group::Fleet;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        match self.fleet.contents(&cx.drivers)? {
            Contents::Plan(plan) => self.saved(cx, out, &plan),
            Contents::Fleet(_) if self.of.is_some() => Err(CliError::Said {
                what: format!("{} is a fleet file, and --fleet goes with a saved plan", self.fleet.name()?),
                help: Some("leave --fleet out".to_owned()),
            }),
            Contents::Fleet(fleet) => self.fleet(cx, out, &fleet),
        }
    }
}

impl Apply {
    fn consent(&self) -> Consent {
        Consent { replace: self.allow_replace, delete: self.allow_delete, destroy: false }
    }

    fn style(&self) -> Style {
        if self.json { Style::Json } else { Style::Human }
    }

    fn fleet(&self, cx: &Cx, out: &mut Out, fleet: &Fleet) -> Result<Exit, CliError> {
        let world = limited(self.fleet.world(cx)?, &fleet.policy);
        let (_lease, snapshot) = claim::fleet(cx, &world, &fleet.name, fleet.hosts.keys())?;
        // One runtime for looking and doing, so that connections made to look are there to do.
        let runtime = cx.runtime()?;
        let scope = self.narrow.scope(fleet, &snapshot)?;
        let snapshot = runtime.block_on(look_within(&world, snapshot, fleet, &scope));
        let plan = Plan::new(fleet, &snapshot, &inputs(&world, self.prune || fleet.policy.prune));
        let (plan, left_out) = scope.of(plan);
        let refusals = guard::refusals(&plan, &snapshot, fleet.policy.max_delete, self.consent());
        let ready = Ready { fleet: &fleet.name, plan: &plan, refusals, told: narrow::told(&left_out) };
        if !self.agreed(cx, out, &ready)? {
            return Ok(Exit::Done);
        }
        runtime.block_on(equipped(&world, &plan))?;
        let exit = runtime.block_on(perform(&world, &plan, &self.how(&fleet.policy, self.consent()), out))?;
        runtime.shutdown_background();
        self.ended(cx, out, &ready, exit)
    }

    /// Exactly what was planned, or nothing.
    fn saved(&self, cx: &Cx, out: &mut Out, file: &SavedPlan) -> Result<Exit, CliError> {
        if self.prune || self.narrow.is_given() {
            return Err(CliError::Said {
                what: format!("{} is a saved plan, and is applied as it is or not at all", file.name),
                help: Some("--prune, --target and --exclude are for `plan --out`".to_owned()),
            });
        }
        let Some(fleet) = file.document().fleet.clone() else {
            return Err(CliError::said(format!("{} is of no fleet", file.name)));
        };
        let world = limited(self.place(file).world(cx)?, file.policy());
        let (_lease, snapshot) = claim::fleet(cx, &world, &fleet, file.document().machines())?;
        let runtime = cx.runtime()?;
        if let Some(when) = file.done(&world)? {
            return self.nothing(out, file, Some(when));
        }
        let opened = self.told(out, file.open(&world, &snapshot, &self.fleet, self.of.as_deref()))?;
        let snapshot = runtime.block_on(opened.look(&world, snapshot));
        let plan = match self.told(out, opened.left(&world, &snapshot))? {
            Left::Nothing => {
                opened.end(&world)?;
                return self.nothing(out, file, None);
            }
            Left::Some(plan) => plan,
        };
        let policy = &opened.saved.policy;
        let consent = opened.saved.consent.and(self.consent());
        // Guards judge the whole: what an earlier run has done of it was agreed to as one.
        let refusals = guard::refusals(&opened.plan, &snapshot, policy.max_delete, consent);
        let ready = Ready { fleet: &fleet, plan: &plan, refusals, told: None };
        if !self.agreed(cx, out, &ready)? {
            return Ok(Exit::Done);
        }
        runtime.block_on(equipped(&world, &plan))?;
        // Where nothing is to be done nothing is written.
        let busy = !plan.is_noop();
        if busy {
            opened.begin(&world)?;
        }
        let exit = runtime.block_on(perform(&world, &plan, &self.how(policy, consent), out))?;
        runtime.shutdown_background();
        if exit == Exit::Done && busy {
            opened.end(&world)?;
        }
        self.ended(cx, out, &ready, exit)
    }

    /// The file in whose folder hooks run: the fleet file, as long as it is known where that is.
    fn place(&self, file: &SavedPlan) -> FleetFile {
        let source = file.document().saved.as_ref().and_then(|saved| saved.source.files.first());
        let there = source.map(|source| PathBuf::from(&source.path)).filter(|path| path.exists());
        match self.of.clone().or(there) {
            Some(place) => self.fleet.others(vec![place]),
            None => self.fleet.others(self.fleet.paths().unwrap_or_default()),
        }
    }

    /// Tells a program that a plan is stale, before the error ends the run.
    fn told<T>(&self, out: &mut Out, result: Result<T, CliError>) -> Result<T, CliError> {
        if let (true, Err(CliError::Stale { moved, .. })) = (self.json, &result) {
            out.line(&saved::stale_event(moved))?;
        }
        result
    }

    fn nothing(
        &self,
        out: &mut Out,
        file: &SavedPlan,
        when: Option<crate::clock::Timestamp>,
    ) -> Result<Exit, CliError> {
        match self.style() {
            Style::Human => out.line(&saved::done_before(&file.name, when))?,
            Style::Json => out.line(&serde_json::json!({ "event": "already-applied", "at": when }).to_string())?,
        }
        Ok(Exit::Done)
    }

    /// Whether the plan may be applied: no guard refuses it, and who is asked says yes.
    fn agreed(&self, cx: &Cx, out: &mut Out, ready: &Ready<'_>) -> Result<bool, CliError> {
        let tell = |out: &mut Out| -> Result<(), CliError> {
            show(out, ready.plan, self.style())?;
            match (&ready.told, self.style()) {
                (Some(told), Style::Human) => out.line(told),
                _ => Ok(()),
            }
        };
        if !ready.refusals.is_empty() {
            tell(out)?;
            return Err(CliError::Refused(ready.refusals.clone()));
        }
        if !ready.plan.is_noop() && !self.yes {
            tell(out)?;
            let question = format!("Apply this to fleet `{}`? (y/n): ", ready.fleet);
            if !prompt::confirmed(cx, out, &question, "applying a fleet")? {
                out.line("Nothing was changed.")?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn how(&self, policy: &Policy, consent: Consent) -> How {
        let on_error = match (self.fail_fast, self.keep_going) {
            (true, _) => OnError::FailFast,
            (_, true) => OnError::KeepGoing,
            _ => policy.on_error,
        };
        let prune = self.prune.then(|| "--prune".to_owned());
        How {
            parallel: self.parallel.unwrap_or(policy.parallel),
            on_error,
            style: self.style(),
            origin: self.fleet.origin(Self::NAME).allowed(consent.flags().into_iter().chain(prune)),
        }
    }

    fn ended(&self, cx: &Cx, out: &mut Out, ready: &Ready<'_>, exit: Exit) -> Result<Exit, CliError> {
        if exit != Exit::Done {
            return Ok(exit);
        }
        if self.style() == Style::Human && ready.plan.count(Action::Create) > 0 {
            go_on(cx, out, ready.plan)?;
        }
        Ok(if self.detailed_exitcode && !ready.plan.is_noop() { Exit::ChangesPending } else { Exit::Done })
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
