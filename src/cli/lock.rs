//! `lock`: who holds which fleet or machine, and taking a lock away.

use super::{CliError, Cx, Exit, Group, Out, Run, names, prompt, stored::stored, suggest, table};
use crate::{
    duration,
    name::FleetName,
    store::{Scope, Seen, Sight, Subject, Unreadable},
    world::World,
};
use std::time::Duration;

/// Show who is at work on fleets, or take a lock away from a run that hangs
#[derive(clap::Args)]
#[command(
    override_usage = "machine lock ls [--json]\n       machine lock break [--machine] [--yes] NAME",
    after_help = "  ls     list the locks that are held (the default)\n  break  take a fleet or machine away from the run that holds it: that run can write nothing more"
)]
pub(super) struct Lock {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// NAME is a machine
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
        let locks = stored(world.store.leases.held())?;
        if self.json {
            let locks: Vec<_> = locks.iter().flat_map(json).collect();
            out.line(&serde_json::json!({ "version": 1, "locks": locks }).to_string())?;
            return Ok(Exit::Done);
        }
        if locks.is_empty() {
            out.line("No lock is held.")?;
            return Ok(Exit::Done);
        }
        let mut rows = vec!["WHAT\tNAME\tHOLDER\tPID\tSINCE\tSTATE\tCOMMAND".to_owned()];
        rows.extend(locks.iter().flat_map(rows_of));
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
        let seen: Vec<Seen> =
            stored(world.store.leases.held())?.into_iter().filter(|seen| seen.may_hold(&subject)).collect();
        if seen.is_empty() {
            out.line(&format!("{subject} is not locked."))?;
            return Ok(Exit::Done);
        }
        for Seen { scope, state } in &seen {
            let told = scope.as_ref().map(Scope::told).unwrap_or_default();
            out.line(&plain(&match state {
                Sight::Held { holder, .. } => {
                    let with = told.iter().filter(|other| **other != subject).map(ToString::to_string);
                    let with = with.collect::<Vec<_>>().join(", ");
                    let with = if with.is_empty() { with } else { format!(", with {with},") };
                    format!("{subject}{with} {} by {}", subject.doing(), holder.describe())
                }
                Sight::Unreadable(Unreadable { path, why }) => {
                    format!("It is unknown whether a run works on {subject}: {} cannot be read: {why}", path.display())
                }
            }))?;
        }
        out.line("That run can write nothing more then; a step that is under way on a host goes on to its end there.")?;
        let what = format!("breaking the lock of {subject}");
        if !(self.yes || prompt::confirmed(cx, out, "Break its lock? (y/n): ", &what)?) {
            out.line("Nothing was changed.")?;
            return Ok(Exit::Done);
        }
        stored(world.store.leases.end(&subject))?;
        out.line(&format!("{subject} is free."))?;
        Ok(Exit::Done)
    }
}

/// What a lease is shown as: a row for each fleet, or else for each machine. Of one that cannot be read neither is known.
fn shown(seen: &Seen) -> Vec<Option<Subject>> {
    match &seen.scope {
        Some(scope) => scope.told().into_iter().map(Some).collect(),
        None => vec![None],
    }
}

fn rows_of(seen: &Seen) -> Vec<String> {
    let rest = match &seen.state {
        Sight::Held { holder, silent, alive, .. } => {
            let state =
                if *alive { "held".to_owned() } else { format!("silent for {}: can be taken", seconds(*silent)) };
            let (who, pid, since, command) = (&holder.who, holder.pid, holder.since, plain(&holder.doing.to_string()));
            format!("{who}\t{pid}\t{since}\t{state}\t{command}")
        }
        Sight::Unreadable(Unreadable { path, why }) => {
            let why = plain(&format!("unreadable: {}: {why}", path.display()));
            format!("-\t-\t-\t{why}\t-")
        }
    };
    let what = |subject: Option<Subject>| {
        subject.map_or_else(|| "-\t-".to_owned(), |subject| format!("{}\t{}", subject.kind(), subject.name()))
    };
    shown(seen).into_iter().map(|subject| format!("{}\t{rest}", what(subject))).collect()
}

fn seconds(time: Duration) -> String {
    duration::text(Duration::from_secs(time.as_secs()))
}

/// Without what moves a cursor: the file of a lock may hold any text.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Every lock has every field; of one that cannot be read most are null.
fn json(seen: &Seen) -> Vec<serde_json::Value> {
    let machines = seen.scope.as_ref().map(|scope| &scope.machines);
    let one = |subject: Option<Subject>| {
        let (kind, name) = (subject.as_ref().map(Subject::kind), subject.as_ref().map(Subject::name));
        match &seen.state {
            Sight::Held { holder, silent, alive } => {
                let (user, host) = holder.who.rsplit_once('@').unwrap_or(("", &holder.who));
                serde_json::json!({
                    "kind": kind, "name": name, "machines": machines, "holder": holder.who, "user": user, "host": host,
                    "pid": holder.pid, "command": holder.doing.to_string(), "since": holder.since,
                    "silent_seconds": silent.as_secs(), "alive": alive, "unreadable": null,
                })
            }
            Sight::Unreadable(Unreadable { path, why }) => serde_json::json!({
                "kind": kind, "name": name, "machines": machines, "holder": null, "user": null, "host": null,
                "pid": null, "command": null, "since": null, "silent_seconds": null, "alive": null,
                "unreadable": { "path": path, "why": why },
            }),
        }
    };
    shown(seen).into_iter().map(one).collect()
}
