//! `lock`: who holds which fleet or machine, and taking a lock away.

use super::{CliError, Cx, Exit, Group, Out, Run, names, prompt, suggest, table};
use crate::{
    duration,
    name::FleetName,
    store::{Seen, Sight, Subject, Unreadable},
    world::World,
};
use std::time::Duration;

/// Show who is at work on fleets, or take a lock away from a run that hangs
#[derive(clap::Args)]
#[command(
    override_usage = "machine lock ls [--json]\n       machine lock break [--machine] [--yes] NAME",
    after_help = "  ls     list the locks that are held (the default)\n  break  take the lock of a fleet away from the run that holds it: that run can write nothing more"
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
                help: Some(format!(
                    "{told}as in:\n  {0} lock ls\n  {0} lock break FLEET",
                    cx.program,
                    told = suggest::told(Self::NAME, self.words.first(), &["ls", "break"])
                )),
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
            out.line("No lock is held.")?;
            return Ok(Exit::Done);
        }
        let mut rows = vec!["WHAT\tNAME\tHOLDER\tPID\tSINCE\tSTATE\tCOMMAND".to_owned()];
        rows.extend(locks.iter().map(row));
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
            out.line(&format!("{subject} is not locked."))?;
            return Ok(Exit::Done);
        };
        match &seen.state {
            Sight::Held { holder, .. } => {
                out.line(&format!("{subject} {} by {}", subject.doing(), plain(&holder.describe())))?;
            }
            Sight::Unreadable(Unreadable { path, why }) => out.line(&plain(&format!(
                "It is unknown whether a run works on {subject}: {} cannot be read: {why}",
                path.display()
            )))?,
        }
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

fn row(seen: &Seen) -> String {
    let (kind, name) = (seen.subject.kind(), seen.subject.name());
    match &seen.state {
        Sight::Held { holder, silent, alive, .. } => {
            let state =
                if *alive { "held".to_owned() } else { format!("silent for {}: can be taken", seconds(*silent)) };
            let (who, pid, since, command) = (&holder.who, holder.pid, holder.since, plain(&holder.doing.to_string()));
            format!("{kind}\t{name}\t{who}\t{pid}\t{since}\t{state}\t{command}")
        }
        Sight::Unreadable(Unreadable { path, why }) => {
            let why = plain(&format!("unreadable: {}: {why}", path.display()));
            format!("{kind}\t{name}\t-\t-\t-\t{why}\t-")
        }
    }
}

fn seconds(time: Duration) -> String {
    duration::text(Duration::from_secs(time.as_secs()))
}

/// Without what moves a cursor: the file of a lock may hold any text.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Every lock has every field; of one that cannot be read most are null.
fn json(seen: &Seen) -> serde_json::Value {
    let (kind, name) = (seen.subject.kind(), seen.subject.name());
    match &seen.state {
        Sight::Held { token, holder, silent, alive } => {
            let (user, host) = holder.who.rsplit_once('@').unwrap_or(("", &holder.who));
            serde_json::json!({
                "kind": kind, "name": name, "holder": holder.who, "user": user, "host": host, "pid": holder.pid,
                "command": holder.doing.to_string(), "since": holder.since, "token": token, "silent_seconds": silent.as_secs(),
                "alive": alive, "unreadable": null,
            })
        }
        Sight::Unreadable(Unreadable { path, why }) => serde_json::json!({
            "kind": kind, "name": name, "holder": null, "user": null, "host": null, "pid": null, "command": null,
            "since": null, "token": null, "silent_seconds": null, "alive": null,
            "unreadable": { "path": path, "why": why },
        }),
    }
}
