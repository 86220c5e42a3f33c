//! `history`: who did what to which machines, and how it ended.

use super::{CliError, Cx, Exit, Group, Out, Run, error::NamesError, stored::stored};
use crate::{
    history::{self, Deed, History as Runs, Pick},
    name::MachineName,
    plan::render::count,
    report::duration,
    template,
};
use std::time::Duration;

/// How many runs are shown unless told otherwise.
const SHOWN: usize = 20;

/// Show who did what to which machines
#[derive(clap::Args)]
#[command(after_help = "Examples:
  machine history
  machine history web-1 --limit 3
  machine history shop --json")]
pub(super) struct History {
    /// Only runs about this fleet or machine
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Show at most so many runs, the newest; 0 shows all
    #[arg(short = 'n', long, value_name = "N", default_value_t = SHOWN)]
    limit: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Run for History {
    const NAME: &'static str = "history";
    const GROUP: Group = Group::Fleet;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let about = match self.names.as_slice() {
            [] => None,
            [name] => Some(name.clone()),
            [..] => return Err(CliError::Names(NamesError::One)),
        };
        let pick = Pick { about, limit: (self.limit > 0).then_some(self.limit) };
        let runs = stored(Runs::of(&cx.world()?.store, &pick))?;
        if self.json {
            let value = serde_json::to_value(&runs).expect("a history is plain data");
            out.line(&template::json::document(&value))?;
            return Ok(Exit::Done);
        }
        if runs.runs.is_empty() {
            let about = pick.about.map(|name| format!(" about `{name}`")).unwrap_or_default();
            out.line(&format!("Nothing is recorded{about}."))?;
        }
        for run in &runs.runs {
            out.text(&told(run))?;
        }
        if runs.unreadable > 0 {
            let lines = count(runs.unreadable, "line", "lines");
            CliError::warn(
                &format!("{lines} of the history could not be read"),
                "a run that was killed, or a full disk, leaves half a line; all others are shown",
            );
        }
        Ok(Exit::Done)
    }
}

/// A run in a few lines: the first says who, when and how it ended, the others what was done to whom.
fn told(run: &history::Run) -> String {
    let history::Run { begun, ended } = run;
    let mut words = vec![begun.at.to_string(), begun.command.clone()];
    words.extend(begun.fleet.as_ref().map(ToString::to_string));
    words.push(format!("by {}", begun.who));
    words.extend(begun.commit.as_ref().map(|commit| format!("at {}", commit.short())));
    words.extend(begun.consents.iter().cloned());
    let end = match ended {
        None => "did not end: it was killed, or is still under way".to_owned(),
        Some(end) => {
            let how = match end.ended.result {
                history::Result::Done => "done",
                history::Result::Partial => "done in part",
                history::Result::Failed => "failed",
            };
            // The history counts in whole seconds.
            let took = match end.seconds {
                seconds @ ..120 => format!("{seconds} s"),
                seconds => duration(Duration::from_secs(seconds.unsigned_abs())),
            };
            let cancelled = end.ended.cancelled.as_ref().map(|by| format!("cancelled by {by}, ")).unwrap_or_default();
            format!("{cancelled}{how} in {took}")
        }
    };
    let mut text = format!("{}: {end}\n", words.join("  "));
    for of_machine in begun.steps.chunk_by(|a, b| a.machine == b.machine) {
        let machine = &of_machine[0].machine;
        let how = ended.as_ref().and_then(|end| end.ended.hosts.get(machine)).map_or("", String::as_str);
        text.push_str(format!("    {machine}  {how}").trim_end());
        text.push('\n');
        for step in of_machine {
            text.push_str(&deed(step));
            let failure = ended.as_ref().and_then(|end| failure(&end.ended, machine, step));
            text.extend(failure.map(|why| format!("          failed: {why}\n")));
        }
    }
    text
}

fn deed(step: &Deed) -> String {
    format!("      {} {:<7} {:<11}  {}\n", step.action.sign(), step.action, step.part, step.reasons.join("; "))
}

fn failure<'a>(ended: &'a history::Ended, machine: &MachineName, step: &Deed) -> Option<&'a str> {
    let id = format!("{machine}/{}", step.part);
    let removal = step.action == crate::plan::Action::Rm;
    let keys = [removal.then(|| format!("{id} (rm)")), Some(id)];
    keys.into_iter().flatten().find_map(|key| ended.failures.get(&key)).map(String::as_str)
}
