//! `lock`: who holds which fleet or machine, and taking a lock away.

use super::{CliError, Cx, Exit, Group, Out, Run, names, prompt, table};
use crate::{
    duration,
    name::FleetName,
    store::{Seen, Subject},
    world::World,
};
use std::time::Duration;

/// Show who is at work on fleets, or take a lock away from a run that hangs
#[derive(clap::Args)]
#[command(
    override_usage = "machine lock ls [--json]\n       machine lock break [--machine] [--yes] NAME",
    after_help = "  ls     list the locks that are held (the default)\n  break  take the lock of a fleet away from whoever holds it: that run can write nothing more"
)]
pub(super) struct Lock {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// NAME is a machine without a fleet
    #[arg(long)]
    machine: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// ls, or break and the name of a fleet
    #[arg(value_name = "NAME")]
    words: Vec<String>,
}

impl Run for Lock {
    const NAME: &'static str = "lock";
    const GROUP: Group = Group::Fleet;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let world = cx.world()?;
        match self.words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] | ["ls"] if !self.machine => self.ls(&world, out),
            ["break", name] => self.take_away(cx, &world, name, out),
            _ => Err(CliError::Said {
                what: "`lock ls` takes no name, and `lock break` takes one".to_owned(),
                help: Some(format!("as in:\n  {0} lock ls\n  {0} lock break FLEET", cx.program)),
            }),
        }
    }
}

impl Lock {
    fn ls(&self, world: &World, out: &mut Out) -> Result<Exit, CliError> {
        let locks = world.store.locks().map_err(CliError::Store)?;
        if self.json {
            let locks: Vec<_> = locks.iter().map(json).collect();
            out.line(&serde_json::json!({ "version": 1, "locks": locks }).to_string())?;
            return Ok(Exit::Done);
        }
        if locks.is_empty() {
            out.line("Nobody holds a lock.")?;
            return Ok(Exit::Done);
        }
        let mut rows = vec!["WHAT\tNAME\tHOLDER\tPID\tSINCE\tSTATE\tCOMMAND".to_owned()];
        rows.extend(locks.iter().map(|seen| {
            let Seen { subject, holder, .. } = seen;
            let (kind, name) = (subject.kind(), subject.name());
            let state = state(seen);
            format!(
                "{kind}\t{name}\t{}\t{}\t{}\t{state}\t{}",
                holder.who,
                holder.pid,
                holder.since,
                plain(&holder.command)
            )
        }));
        out.line(&table::aligned(&rows.join("\n")))?;
        Ok(Exit::Done)
    }

    fn take_away(&self, cx: &Cx, world: &World, name: &str, out: &mut Out) -> Result<Exit, CliError> {
        let subject = if self.machine {
            Subject::Machine(names::parse(name)?)
        } else {
            Subject::Fleet(
                FleetName::new(name).map_err(|e| CliError::said(format!("no fleet is called {name:?}: {e}")))?,
            )
        };
        let Some(seen) = world.store.locks().map_err(CliError::Store)?.into_iter().find(|seen| seen.subject == subject)
        else {
            out.line(&format!("Nobody holds {subject}."))?;
            return Ok(Exit::Done);
        };
        out.line(&format!("{subject} {} by {}", subject.doing(), plain(&seen.holder.describe())))?;
        out.line("That run can write nothing more then; a step that is under way on a host goes on to its end there.")?;
        let what = format!("breaking the lock of {subject}");
        if !(self.yes || prompt::confirmed(cx, out, "Break its lock? (y/n): ", &what)?) {
            out.line("Nothing was changed.")?;
            return Ok(Exit::Done);
        }
        world.store.break_lock(&subject).map_err(CliError::Store)?;
        out.line(&format!("{subject} is free."))?;
        Ok(Exit::Done)
    }
}

/// Whether it shows life.
fn state(seen: &Seen) -> String {
    let silent = duration::text(Duration::from_secs(seen.silent.as_secs()));
    if seen.alive { "held".to_owned() } else { format!("silent for {silent}: anybody's") }
}

/// Without what moves a cursor: the words of a command line are anybody's.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn json(seen: &Seen) -> serde_json::Value {
    let Seen { subject, token, holder, silent, alive } = seen;
    let (user, host) = holder.who.rsplit_once('@').unwrap_or(("", &holder.who));
    serde_json::json!({
        "kind": subject.kind(), "name": subject.name(), "holder": holder.who, "user": user, "host": host,
        "pid": holder.pid, "command": holder.command, "since": holder.since, "token": token,
        "silent_seconds": silent.as_secs(), "alive": alive,
    })
}
