//! `plan`: what `apply` would do, and why.

use super::super::stored::stored;
use super::{
    Contents, FleetFile, inputs, limited, look_within,
    narrow::{self, Narrow},
    painted,
    saved::{self, Origin, SavedPlan},
};
use crate::{
    cli::{CliError, Cx, Exit, Group, Out, Run},
    fleet::Fleet,
    plan::{
        Plan as Steps,
        document::Document,
        guard::{self, Consent, Refusal},
        markdown::{self, Around, markdown},
        saved::Given,
    },
};
use std::{io::Write as _, mem, path::PathBuf};

/// Show what apply would do, and why
#[derive(clap::Args)]
#[command(after_help = "FILE may also be a plan that was saved; it is shown as it is.

Examples:
  machine plan --out plan.json && machine apply plan.json
  machine plan --markdown --max-bytes 60000 > comment.md
  machine plan --target web-1 --detailed-exitcode")]
#[expect(clippy::struct_excessive_bools, reason = "one for each flag")]
pub(in crate::cli) struct Plan {
    #[command(flatten)]
    fleet: FleetFile,
    /// Plan the removal of hosts that left the file
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
    /// Plan from the records and the files on this computer, without looking at machines
    #[arg(long)]
    offline: bool,
    /// Exit with 2 when there is something to do
    #[arg(long)]
    detailed_exitcode: bool,
    /// Keep the plan in this file, for `apply FILE` to do exactly that
    #[arg(short, long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Print the plan as JSON
    #[arg(long)]
    json: bool,
    /// Print the plan as Markdown for a pull request, what is removed first
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Print at most this many bytes of Markdown, and say what was cut
    #[arg(long, value_name = "N", requires = "markdown", value_parser = least)]
    max_bytes: Option<usize>,
}

fn least(text: &str) -> Result<usize, String> {
    let bytes: usize = text.parse().map_err(|_| "write a number of bytes".to_owned())?;
    if bytes < markdown::LEAST { Err(format!("a plan takes at least {} bytes", markdown::LEAST)) } else { Ok(bytes) }
}

impl Run for Plan {
    const NAME: &'static str = "plan";
    const GROUP: Group = Group::Fleet;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        match self.fleet.contents(&cx.drivers)? {
            Contents::Plan(plan) => self.show(out, &plan),
            Contents::Fleet(fleet) => {
                let exit = self.make(cx, out, &fleet);
                mem::forget(fleet);
                exit
            }
        }
    }
}

impl Plan {
    /// A plan that was saved.
    fn show(&self, out: &mut Out, saved: &SavedPlan) -> Result<Exit, CliError> {
        if self.out.is_some() || self.prune || self.narrow.is_given() || self.offline {
            return Err(CliError::Said {
                what: format!("{} is a saved plan, and is shown as it is", saved.name),
                help: Some("to make another plan, name the fleet file".to_owned()),
            });
        }
        let plan = saved.shown()?;
        if self.json {
            out.line(&serde_json::to_string_pretty(saved.document()).expect("a plan is plain data"))?;
        } else if self.markdown {
            out.text(&markdown(&plan, &Around::default(), self.max_bytes.unwrap_or(markdown::USUAL)))?;
        } else {
            out.line(&painted(&plan))?;
        }
        Ok(self.exit(&plan))
    }

    fn make(&self, cx: &Cx, out: &mut Out, fleet: &Fleet) -> Result<Exit, CliError> {
        let world = limited(cx.world()?, &fleet.policy);
        let snapshot = stored(world.store.records.snapshot())?;
        let scope = self.narrow.scope(fleet, &snapshot)?;
        let snapshot = if self.offline { snapshot } else { cx.block_on(look_within(&world, snapshot, fleet, &scope))? };
        let prune = self.prune || fleet.policy.prune;
        let inputs = inputs(&world, prune);
        let (plan, left_out) = scope.of(Steps::new(fleet, &snapshot, &inputs));
        let consent = Consent { replace: self.allow_replace, delete: self.allow_delete, destroy: false };
        let refusals = guard::refusals(&plan, &snapshot, fleet.policy.max_delete, consent);
        if self.json {
            let mut document = Document::of(&plan).with_refusals(&refusals);
            document.left_out = left_out.iter().map(ToString::to_string).collect();
            out.line(&serde_json::to_string_pretty(&document).expect("a plan is plain data"))?;
        } else if self.markdown {
            let around = Around { refusals: &refusals, left_out: &left_out };
            out.text(&markdown(&plan, &around, self.max_bytes.unwrap_or(markdown::USUAL)))?;
        } else {
            out.line(&painted(&plan))?;
            if let Some(told) = narrow::told(&left_out) {
                out.line(&told)?;
            }
            for refusal in &refusals {
                out.line(&refused(refusal))?;
            }
        }
        if let Some(path) = &self.out {
            let consent = Given { prune, replace: self.allow_replace, delete: self.allow_delete, destroy: false };
            let origin = Origin {
                file: &self.fleet,
                fleet,
                snapshot: &snapshot,
                consent,
                refusals: &refusals,
                left_out: &left_out,
            };
            saved::write(&world, path, &plan, &origin, &inputs)?;
            let (program, path) = (&cx.program, path.display());
            // A closed standard error stops nothing.
            writeln!(anstream::stderr(), "Saved. To do exactly this:\n  {program} apply {path}").ok();
        }
        let exit = self.exit(&plan);
        // The process ends here, and gives back at once what would take long to free piece by piece.
        mem::forget((plan, snapshot));
        Ok(exit)
    }

    fn exit(&self, plan: &Steps) -> Exit {
        if self.detailed_exitcode && !plan.is_noop() { Exit::ChangesPending } else { Exit::Done }
    }
}

fn refused(refusal: &Refusal) -> String {
    format!("\napply will refuse: {refusal}\n  {}", refusal.help())
}
