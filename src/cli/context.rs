//! `context`: docker's contexts, one for each machine.

use super::{
    CliError, Cx, Exit, Group, Out, Run, names,
    stored::{settled, stored},
    suggest,
};
use crate::{
    context::{self, Change, ContextError, Report, Scope, Shelf},
    name::MachineName,
    store::StoreError,
    world::World,
};
use std::{collections::BTreeSet, io::Write as _};

/// Keep a docker context for each machine, as in `docker --context NAME ps`
#[derive(clap::Args)]
#[command(
    override_usage = "machine context [sync] [--prefix PREFIX] [NAME]...\n       machine context ls\n       machine context rm NAME...\n       machine context use NAME",
    after_help = "  sync  bring contexts in step with machines (of all machines, and those to come, if none is named)\n  ls    list the contexts of machines of this store\n  rm    remove the contexts of these machines\n  use   make the context of a machine docker's current one; `default` is docker's own\n\nOnce there is a context, other commands keep it in step. None of them switches the current one."
)]
pub(super) struct Context {
    /// Call contexts PREFIX and then the machine's name
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// sync, ls, rm or use, and names of machines
    #[arg(value_name = "NAME")]
    words: Vec<String>,
}

fn told(error: ContextError) -> CliError {
    let help = error.help();
    match error {
        ContextError::Store(e) => CliError::Store(e),
        other => CliError::Said { what: other.to_string(), help },
    }
}

impl Run for Context {
    const NAME: &'static str = "context";
    const GROUP: Group = Group::Machine;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let world = cx.world()?;
        let docker = Shelf::of_environment().map_err(told)?;
        let prefix = self.prefix.as_deref();
        match self.words.split_first().map(|(word, rest)| (word.as_str(), rest)) {
            Some(("ls", [])) => list(&world, &docker, out),
            Some(("rm", rest)) if !rest.is_empty() => remove(&world, &docker, rest, out),
            Some(("use", [name])) => switch(cx, &world, &docker, name, prefix, out),
            Some(("ls" | "rm" | "use", _)) => {
                let help = Some(format!("as in:\n  {0} context ls\n  {0} context use NAME", cx.program));
                Err(CliError::Said { what: "`context ls` takes no name, `rm` some, and `use` one".to_owned(), help })
            }
            Some(("sync", rest)) => sync(&world, &docker, rest, prefix, out),
            _ => {
                let close = suggest::told(Self::NAME, self.words.first(), &["ls", "rm", "use", "sync"]);
                sync(&world, &docker, &self.words, prefix, out).map_err(|error| match error {
                    // A word that is no machine may be meant as one of these.
                    CliError::Store(StoreError::Absent(name)) if !close.is_empty() => CliError::Said {
                        what: StoreError::Absent(name).to_string(),
                        help: Some(close.trim_end().to_owned()),
                    },
                    other => other,
                })
            }
        }
    }
}

fn sync(world: &World, shelf: &Shelf, names: &[String], prefix: Option<&str>, out: &mut Out) -> Result<Exit, CliError> {
    let report = settled(context::sync::sync(world, shelf, &scope(world, names)?, prefix))?.map_err(told)?;
    show(&report, out)?;
    for machine in &report.without_engine {
        out.line(&format!("{machine} has no engine to reach yet"))?;
    }
    if report.changes.is_empty() {
        out.line(&match report.kept {
            1 => "1 context is in step".to_owned(),
            n => format!("{n} contexts are in step"),
        })?;
    }
    let refused = |(machine, why): (&String, &String)| CliError::Said {
        what: format!("`{machine}` has no context: {why}"),
        help: Some(format!(
            "call the contexts of machines otherwise:\n  machine context sync --prefix m-{}",
            if names.is_empty() { String::new() } else { format!(" {machine}") }
        )),
    };
    CliError::all(report.refused.iter().map(refused).collect()).map(|()| Exit::Done)
}

/// The machines meant; each must be there.
fn scope(world: &World, names: &[String]) -> Result<Scope, CliError> {
    if names.is_empty() {
        return Ok(Scope::All);
    }
    let (mut found, mut errors) = (BTreeSet::<MachineName>::new(), Vec::new());
    for name in names {
        match names::parse(name).and_then(|name| stored(world.store.get(&name))) {
            Ok(record) => drop(found.insert(record.name)),
            Err(e) => errors.push(e),
        }
    }
    CliError::all(errors).map(|()| Scope::Only(found))
}

fn show(report: &Report, out: &mut Out) -> Result<(), CliError> {
    for change in &report.changes {
        out.line(&match change {
            Change::Create(name) => format!("+ {name}"),
            Change::Update(name) => format!("~ {name}"),
            Change::Remove(name) => format!("- {name}"),
        })?;
    }
    if let Some(name) = &report.current_removed {
        // A closed standard error stops nothing.
        let _ = writeln!(
            anstream::stderr(),
            "warning: `{name}` was docker's current context, and still is: docker will not find it. To go on:\n  docker context use default"
        );
    }
    Ok(())
}

fn list(world: &World, shelf: &Shelf, out: &mut Out) -> Result<Exit, CliError> {
    let id = stored(world.store.records.id())?;
    let current = shelf.current().map_err(told)?;
    let mut table = vec![["NAME", "MACHINE", "CURRENT", "ENDPOINT"].map(str::to_owned)];
    for context in shelf.all().map_err(told)? {
        let Some(mark) = context.mark.filter(|mark| mark.store == id) else { continue };
        let star = if current.as_deref() == Some(context.name.as_str()) { "*" } else { "" };
        table.push([context.name, mark.machine, star.to_owned(), context.host]);
    }
    let widths: [usize; 4] = std::array::from_fn(|i| table.iter().map(|row| row[i].len()).max().unwrap_or_default());
    for row in &table {
        let [a, b, c, d] = row;
        out.line(format!("{a:0$}   {b:1$}   {c:2$}   {d}", widths[0], widths[1], widths[2]).trim_end())?;
    }
    Ok(Exit::Done)
}

fn remove(world: &World, shelf: &Shelf, names: &[String], out: &mut Out) -> Result<Exit, CliError> {
    let machines = names.iter().cloned().collect();
    let (report, missing) = settled(context::sync::remove(world, shelf, &machines))?.map_err(told)?;
    show(&report, out)?;
    let absent = |name: &String| CliError::said(format!("no context of a machine `{}` is there", name.escape_debug()));
    CliError::all(missing.iter().map(absent).collect()).map(|()| Exit::Done)
}

/// The only command that touches what docker's current context is.
fn switch(
    cx: &Cx,
    world: &World,
    shelf: &Shelf,
    name: &str,
    prefix: Option<&str>,
    out: &mut Out,
) -> Result<Exit, CliError> {
    let machine = names::parse(name)?;
    let known = stored(world.store.records.names())?.iter().any(|known| known == name);
    if name == "default" && !known {
        shelf.set_current(None).map_err(told)?;
    } else {
        sync(world, shelf, &[machine.to_string()], prefix, &mut Out::new())?;
        let id = stored(world.store.records.id())?;
        let all = shelf.all().map_err(told)?;
        let own = all.iter().find(|c| c.mark.as_ref().is_some_and(|m| m.store == id && m.machine == name));
        let own = own.ok_or_else(|| CliError::said(format!("`{name}` has no engine to reach yet")))?;
        shelf.set_current(Some(&own.name)).map_err(told)?;
    }
    let current = shelf.current().map_err(told)?.unwrap_or_else(|| "default".to_owned());
    out.line(&format!("docker's current context is `{current}`"))?;
    if let Some(variable) = ["DOCKER_HOST", "DOCKER_CONTEXT"].into_iter().find(|name| cx.var(name).is_some()) {
        // As above.
        let _ = writeln!(
            anstream::stderr(),
            "warning: {variable} is set in this shell, and goes before it:\n  unset {variable}"
        );
    }
    Ok(Exit::Done)
}
