//! `create`: one machine, by the words of a command line. It is planned and applied as a host of a fleet is.

mod engine;
mod flags;

use super::{
    CliError, Cx, Exit, Group, Out, Run, claim,
    error::NamesError,
    fleet, signals,
    stored::{settled, stored},
    story,
};
use crate::{
    apply::{self, Interrupt, StepError, preflight},
    driver::{AnyDriver, DriverError, Drivers},
    fleet::{HostSpec, sets_up_engine},
    hook::Hooks,
    name::MachineName,
    plan::Plan,
    record::{
        MachineRecord, OptionValues, Snapshot,
        docker_machine::ConfigFile,
        docker_machine::{EngineOptions, SwarmOptions},
    },
    store::{Area, Expect, MachineChange, Mode, authority},
    world::World,
};
use clap::{ArgMatches, Command};
use std::{collections::BTreeSet, path::PathBuf, sync::Arc};
use tokio::sync::mpsc::unbounded_channel;

pub(super) use engine::port as engine_port;

/// Create a machine
pub(super) struct Create(ArgMatches);

/// Flag that docker-machine does not have: a machine that cannot be finished is removed again.
const ROLLBACK: &str = "rollback-on-failure";

const EXAMPLES: &str = "\
Examples:
  machine create -d generic --generic-ip-address 192.0.2.10 --generic-ssh-key ~/.ssh/id_ed25519 web-1
  machine create -d nspawn --engine-label tier=test x
  machine create -d none --url tcp://192.0.2.20:2376 theirs

With --driver, help shows that driver's flags as well. If a creation is cut off, `provision` finishes it.";

impl clap::FromArgMatches for Create {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self(matches.clone()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0 = matches.clone();
        Ok(())
    }
}

impl clap::Args for Create {
    fn augment_args(command: Command) -> Command {
        command.about("Create a machine").after_help(EXAMPLES)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// With all its flags, which depend on what drivers there are; help shows those that `words` ask for.
pub(super) fn with_flags(command: Command, words: &[String], drivers: &Drivers) -> Command {
    let rollback = clap::Arg::new(ROLLBACK)
        .long(ROLLBACK)
        .action(clap::ArgAction::SetTrue)
        .help("Remove the machine again if it cannot be finished");
    flags::show(flags::define(command, drivers).arg(rollback).arg(flags::names()), words, drivers)
}

impl Run for Create {
    const NAME: &'static str = "create";
    const GROUP: Group = Group::Machine;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let name = self.name(cx, out)?;
        let asked = Asked::read(&flags::Given::new(&self.0, cx))?;
        let world = cx.world()?;
        // Before anything is made, so that a name that is taken costs nothing.
        if stored(world.store.records.version(&name))?.is_some() {
            return Err(CliError::Store(crate::store::StoreError::Exists(name)));
        }
        let spec = asked.host()?;
        let files = cx.tls.files(world.store.files.root());
        let (_, deeds) = settled(authority::ensure(&world.store, &files, &*world.clock))?
            .map_err(|e| CliError::Authority(e).doing("Error generating certificates"))?;
        for deed in deeds {
            out.line(&deed.to_string())?;
        }
        let lock = claim::machines(cx, &world, [&name])?;
        let snapshot = remains(&world, &name)?;
        out.line("Running pre-create checks...")?;
        // Before there is a record, so that a provider that says no leaves nothing behind.
        let had = cx.block_on(preflight::provider(&name, &spec, &world))?;
        had.map_err(|e| CliError::Precheck(Arc::new(e)))?;
        let record = MachineRecord::new(name.clone(), None, asked.driver.name(), asked.options.clone());
        let seed = |config: &mut ConfigFile| {
            config.set_engine_options(&asked.engine);
            config.set_swarm(&asked.swarm);
            config.set_tls_sans(&asked.sans);
            config.set_auth_files(&files);
        };
        let first = MachineChange { record: &record, files: &[], seed: &seed };
        stored(world.store.records.put_if(first, Expect::Absent))?;
        // What an earlier machine of the name left goes first: the new one would be found by the same tag.
        let plan = Plan::machine(&name, &spec, &snapshot, &fleet::inputs(&world, false));
        let made = make(cx, out, &world, &name, &plan)?;
        if let Err(error) = made {
            return Err(self.failed(&world, cx, out, &name, error));
        }
        drop(lock);
        cx.keep_contexts(&world);
        if spec.engine.is_some() {
            out.line("Docker is up and running!")?;
        }
        let argv0 = cx.words.first().map_or(cx.program.as_str(), String::as_str);
        out.line(&format!(
            "To see how to connect your Docker Client to the Docker Engine running on this virtual machine, run: {argv0} env {name}"
        ))?;
        Ok(Exit::Done)
    }
}

/// Removals that were not confirmed. An error if it is unknown what an earlier machine of the name left.
fn remains(world: &World, name: &MachineName) -> Result<Snapshot, CliError> {
    let mut snapshot = Snapshot::default();
    snapshot.add_tombstones(stored(world.store.records.tombstones())?);
    match snapshot.unreadable_remains(name) {
        None => Ok(snapshot),
        Some(why) => Err(CliError::said(format!("`{name}` cannot be made: {why}"))),
    }
}

/// Carries out the plan, telling on standard output what happens.
fn make(
    cx: &Cx,
    out: &mut Out,
    world: &World,
    name: &MachineName,
    plan: &Plan,
) -> Result<Result<(), CliError>, CliError> {
    cx.block_on_hearing(async {
        let interrupt = Interrupt::default();
        let listening = signals::listen(&interrupt);
        let (lines, mut told) = unbounded_channel::<String>();
        let work = async {
            // The receiver lives until the sender is gone.
            let made =
                story::carry_out(world, Create::NAME, name, plan, &interrupt, &|line| drop(lines.send(line))).await;
            drop(lines);
            made
        };
        let telling = async {
            let mut written = Ok(());
            while let Some(line) = told.recv().await {
                // A reader that has gone does not stop what was begun.
                written = written.and_then(|()| out.line(&line)).and_then(|()| out.flush());
            }
            written
        };
        let (made, written) = tokio::join!(work, telling);
        drop(listening);
        written.map(|()| made)
    })?
}

impl Create {
    fn name(&self, cx: &Cx, out: &mut Out) -> Result<MachineName, CliError> {
        let names: Vec<String> = self.0.get_many::<String>("NAME").into_iter().flatten().cloned().collect();
        let names = if names == [""] { &[][..] } else { &names };
        match names {
            [] => {
                out.text(&super::help::of(cx, Self::NAME))?;
                Err(CliError::Names(NamesError::NoName))
            }
            [name] => MachineName::new(name).map_err(|e| {
                let what = "Invalid hostname specified. Allowed hostname chars are: 0-9a-zA-Z . -".to_owned();
                CliError::Said { what, help: Some(e.to_string()) }.doing("Error creating machine")
            }),
            [_, extra @ ..] => Err(CliError::Said {
                what: format!("Invalid command line. Found extra arguments [{}]", extra.join(" ")),
                help: Some("a creation makes one machine; for several, write a fleet file".to_owned()),
            }),
        }
    }

    /// What stays of a machine that could not be made, and how to go on.
    fn failed(&self, world: &World, cx: &Cx, out: &mut Out, name: &MachineName, error: CliError) -> CliError {
        if let CliError::Step { error: cause, .. } = &error
            && let StepError::Driver(DriverError::Unprepared { .. }) = &**cause
            && stored(world.store.get(name)).is_ok_and(|record| record.instance.is_none())
        {
            // Nothing was made, so nothing is kept; if that fails, `rm` will do it.
            let _ = stored(world.store.remove(name));
            return CliError::Precheck(Arc::clone(cause));
        }
        if self.0.get_flag(ROLLBACK) {
            // It goes with the machine's folder, and would be the only place that tells everything.
            let log = stored(world.store.files.read(Area::Machine(name), apply::LOG)).ok().flatten();
            let machine = super::machine::Machine::load(world, name.as_str());
            let removed = machine.and_then(|machine| cx.block_on(machine.rm(&|_| ()))?).and_then(|()| {
                stored(world.store.remove(name))?;
                out.line(&format!("Successfully removed {name}"))
            });
            if let Err(second) = removed {
                return CliError::Many(vec![error.doing("Error creating machine"), second.doing("Error removing it")]);
            }
            let error = match (error, log) {
                (CliError::Step { machine, error, .. }, Some(log)) => {
                    CliError::Step { machine, error, log: keep_log(world, name, &log) }
                }
                (error, _) => error,
            };
            return CliError::RolledBack(Box::new(error)).doing("Error creating machine");
        }
        error.doing("Error creating machine")
    }
}

/// Keeps what a script printed when its machine is gone; where it is then.
fn keep_log(world: &World, name: &MachineName, log: &[u8]) -> Option<PathBuf> {
    let root = world.store.files.root();
    let file = format!("{name}-{}", apply::LOG);
    // Its last lines are told anyhow.
    stored(world.store.files.write(Area::Outside(root), &[(&file, log, Mode::Private)])).ok()?;
    Some(root.join(file))
}

/// What is to be made.
struct Asked<'d> {
    driver: &'d dyn AnyDriver,
    options: OptionValues,
    engine: EngineOptions,
    swarm: SwarmOptions,
    sans: Vec<String>,
}

impl<'d> Asked<'d> {
    fn read(given: &flags::Given<'d>) -> Result<Self, CliError> {
        let swarm = SwarmOptions {
            agent: given.switch("swarm"),
            master: given.switch("swarm-master"),
            address: given.text("swarm-addr"),
            discovery: given.text("swarm-discovery"),
            host: given.text("swarm-host"),
            image: given.text("swarm-image"),
            strategy: given.text("swarm-strategy"),
            flags: given.list("swarm-opt"),
            join_flags: given.list("swarm-join-opt"),
            experimental: given.switch("swarm-experimental"),
        };
        if !swarm.discovery.is_empty() && !swarm.discovery.contains("://") {
            return Err(CliError::said(format!(
                "Error parsing swarm discovery: Swarm Discovery URL was in the wrong format: {}",
                swarm.discovery
            )));
        }
        if swarm.agent || swarm.master {
            CliError::warn(
                "classic swarm ended in 2017 and is not set up; what was said of it is recorded.",
                "for a cluster, run `docker swarm init` on one machine and join the others to it",
            );
        }
        let driver = given.driver()?;
        let options = given.options(driver)?;
        Ok(Self { driver, options, engine: engine::options(given), swarm, sans: given.list("tls-san") })
    }

    /// As a fleet would have it.
    fn host(&self) -> Result<HostSpec, CliError> {
        // What cannot be is refused whatever becomes of it: it is recorded even where no engine is set up.
        let engine = engine::spec(&self.engine, self.driver, &self.options)?;
        let engine = sets_up_engine(self.driver.name()).then_some(engine);
        Ok(HostSpec {
            driver: self.driver.name().to_owned(),
            options: self.options.clone(),
            engine,
            tls_names: self.sans.iter().cloned().collect(),
            depends_on: BTreeSet::new(),
            protect: false,
            optional: false,
            hooks: Hooks::default(),
        })
    }
}
