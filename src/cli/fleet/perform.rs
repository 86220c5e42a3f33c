//! Applying a plan for a person who watches and may press Ctrl-C.

use super::painted;
use crate::{
    apply::{Event, Interrupt, Options, apply, preflight},
    cli::{CliError, Exit, Out, signals, story},
    fleet::OnError,
    harmless::harmless,
    history::{self, Deed, Origin},
    name::MachineName,
    plan::Plan,
    report::{Style, reporter, summary},
    world::{self, World},
};
use std::{collections::BTreeMap, io::Write as _, path::PathBuf};
use tokio::sync::mpsc::unbounded_channel;

/// How a lost answer is met within a run.
const RETRIES: u32 = 2;

/// How a plan is applied.
pub(super) struct How {
    pub(super) parallel: usize,
    pub(super) on_error: OnError,
    pub(super) style: Style,
    /// What the history says of where it comes from.
    pub(super) origin: Origin,
}

/// Applies the plan, reports as it goes, and says at the end how it ended for every host.
pub(super) async fn perform(world: &World, plan: &Plan, how: &How, out: &mut Out) -> Result<Exit, CliError> {
    // A run without effects is nothing to remember.
    let open = if plan.is_noop() {
        None
    } else {
        let begun = history::begin(world, &how.origin, plan.fleet.as_ref(), Deed::of_plan(plan)).await;
        Some(begun.map_err(CliError::Store)?)
    };
    let (events, mut inbox) = unbounded_channel::<Event>();
    let interrupt = Interrupt::default();
    let listening = signals::listen(&interrupt);
    let mut reporter = reporter(how.style, plan);
    let reporting = tokio::spawn(async move {
        let mut took = BTreeMap::new();
        while let Some(event) = inbox.recv().await {
            reporter.event(&event);
            if let Event::Finished { step, elapsed, .. } = event {
                took.insert(step, elapsed);
            }
        }
        reporter.finish();
        took
    });
    let options = Options { parallel: how.parallel, on_error: how.on_error, retries: RETRIES };
    let outcome = apply(plan, world, &options, &interrupt, &events).await;
    drop(events);
    let noted = match open {
        Some(open) => open.end_of(world, plan, &outcome, interrupt.by()).await,
        None => Ok(()),
    };
    // A report that broke off takes nothing from what was done.
    let took = reporting.await.unwrap_or_default();
    drop(listening);
    if let Err(e) = noted {
        story::not_noted(&e);
    }
    crate::context::sync_if_used(world).await;
    let log_of = |name: &MachineName| -> Option<PathBuf> {
        let path = world::machine_dir(world, name).join(crate::apply::LOG);
        path.exists().then_some(path)
    };
    if how.style == Style::Human {
        if plan.is_noop() && summary::verdict(plan, &outcome) == summary::Verdict::Complete {
            // With what is in no need of work and yet worth knowing, as machines that left the file.
            out.line(&painted(plan))?;
        } else {
            // A closed standard error stops nothing.
            let failures = summary::failures(&outcome, &took, &log_of);
            anstream::stderr().write_all(harmless(&failures).as_bytes()).ok();
            out.text(&summary::table(plan, &outcome))?;
        }
    } else {
        let hosts: serde_json::Map<String, serde_json::Value> = summary::hosts(plan, &outcome)
            .into_iter()
            .map(|(name, end)| (name.to_string(), end.to_string().into()))
            .collect();
        out.line(&serde_json::json!({ "event": "ended", "hosts": hosts }).to_string())?;
    }
    Ok(match summary::verdict(plan, &outcome) {
        summary::Verdict::Complete => Exit::Done,
        summary::Verdict::Partial => Exit::PartlyApplied,
        summary::Verdict::Nothing => Exit::Error,
    })
}

/// Ends a run before it begins when a secret that it needs is not to be had.
pub(super) async fn equipped(world: &World, plan: &Plan) -> Result<(), CliError> {
    let missing = preflight::missing(plan, world).await;
    if missing.is_empty() {
        return Ok(());
    }
    let what: Vec<String> = missing.iter().map(|m| format!("`{}`, {}: {}", m.machine, m.key, m.error)).collect();
    let mut help = vec!["nothing was done".to_owned()];
    help.extend(missing.iter().map(|m| m.error.help()));
    let mut seen = std::collections::BTreeSet::new();
    help.retain(|line| seen.insert(line.clone()));
    Err(CliError::Said { what: what.join("\n"), help: Some(help.join("\n")) })
}
