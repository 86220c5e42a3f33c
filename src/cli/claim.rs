//! Taking locks for a command: at once, or after those who have them, for as long as `--lock-timeout` says.

use super::{CliError, Cx};
use crate::{
    duration,
    harmless::harmless,
    name::{FleetName, MachineName},
    record::MachineRecord,
    store::{Doing, Holder, Lock, PASS, StoreError},
    world::World,
};
use clap::{Arg, ArgMatches, Command};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    ops::ControlFlow,
    time::{Duration, Instant},
};

/// Commands that take locks.
const LOCKING: &[&str] = &[
    "adopt",
    "apply",
    "create",
    "destroy",
    "kill",
    "provision",
    "regenerate-certs",
    "restart",
    "rm",
    "snapshot",
    "start",
    "stop",
    "trust",
    "upgrade",
];

/// Whether a command takes locks, which is to say that it changes something.
pub(super) fn locks(command: &str) -> bool {
    LOCKING.contains(&command)
}

const TIMEOUT: &str = "lock-timeout";
/// How often one who waits looks.
const LOOK: Duration = Duration::from_millis(100);

/// Gives a command that takes locks its flag. docker-machine has none, so there it is not shown.
pub(super) fn define(command: Command, drop_in: bool) -> Command {
    if !locks(command.get_name()) {
        return command;
    }
    let help = "Wait this long for another run to end; 0 does not wait [$MACHINE_LOCK_TIMEOUT]";
    let read = |text: &str| duration::parse(text).map_err(|e| e.to_string());
    command.arg(Arg::new(TIMEOUT).long(TIMEOUT).value_name("DURATION").hide(drop_in).help(help).value_parser(read))
}

/// How long a command waits for locks.
pub(super) fn timeout(matches: &ArgMatches) -> Result<Duration, CliError> {
    let Some((name, matches)) = matches.subcommand().filter(|(name, _)| locks(name)) else {
        return Ok(Duration::ZERO);
    };
    if let Some(given) = matches.get_one::<Duration>(TIMEOUT) {
        return Ok(*given);
    }
    match std::env::var("MACHINE_LOCK_TIMEOUT").ok().filter(|text| !text.is_empty()) {
        None => Ok(Duration::ZERO),
        Some(text) => duration::parse(&text).map_err(|e| CliError::Said {
            what: format!("MACHINE_LOCK_TIMEOUT is {text:?}, which is no time"),
            help: Some(format!("{e}; for one command alone:\n  machine {name} --lock-timeout 10m")),
        }),
    }
}

/// Takes the lock of a fleet.
pub(super) fn fleet(cx: &Cx, world: &World, fleet: &FleetName) -> Result<Box<dyn Lock>, CliError> {
    let doing = Doing::fleet(cx.command, fleet);
    waiting(cx, || world.store.lock(fleet, &holder(cx, world, doing.clone())))
}

/// Takes the lock of a fleet for work on some of its machines.
pub(super) fn of_fleet<'a>(
    cx: &Cx,
    world: &World,
    fleet: &FleetName,
    machines: impl IntoIterator<Item = &'a MachineName>,
) -> Result<Box<dyn Lock>, CliError> {
    let doing = Doing::machines(cx.command, machines);
    waiting(cx, || world.store.lock(fleet, &holder(cx, world, doing.clone())))
}

/// Takes the lock of a machine, which is that of its fleet if it has one.
pub(super) fn machine(cx: &Cx, world: &World, record: &MachineRecord) -> Result<Box<dyn Lock>, CliError> {
    match &record.fleet {
        Some(fleet) => of_fleet(cx, world, fleet, [&record.name]),
        None => single(cx, world, &record.name),
    }
}

/// Takes the lock of a machine without a fleet.
pub(super) fn single(cx: &Cx, world: &World, name: &MachineName) -> Result<Box<dyn Lock>, CliError> {
    let doing = Doing::machines(cx.command, [name]);
    waiting(cx, || world.store.lock_machine(name, &holder(cx, world, doing.clone())))
}

/// Takes the locks of all these machines, in one order for all who do: two who wait for each other wait for ever.
pub(super) fn machines<'a>(
    cx: &Cx,
    world: &World,
    records: impl Iterator<Item = &'a MachineRecord>,
) -> Result<Vec<Box<dyn Lock>>, CliError> {
    let (mut fleets, mut alone): (BTreeMap<&FleetName, BTreeSet<&MachineName>>, BTreeSet<&MachineName>) =
        Default::default();
    for record in records {
        match &record.fleet {
            Some(fleet) => drop(fleets.entry(fleet).or_default().insert(&record.name)),
            None => drop(alone.insert(&record.name)),
        }
    }
    let fleets = fleets.into_iter().map(|(fleet, machines)| of_fleet(cx, world, fleet, machines));
    fleets.chain(alone.into_iter().map(|name| single(cx, world, name))).collect()
}

/// Describes this run to other runs that find a lock of it.
fn holder(cx: &Cx, world: &World, doing: Doing) -> Holder {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Holder {
        who: format!("{}@{host}", cx.var("USER").unwrap_or_else(|| "unknown".to_owned())),
        pid: std::process::id(),
        doing,
        since: world.clock.now(),
    }
}

/// Takes a lock, or waits for it. A signal ends the wait.
fn waiting(cx: &Cx, take: impl Fn() -> Result<Box<dyn Lock>, StoreError>) -> Result<Box<dyn Lock>, CliError> {
    let begun = Instant::now();
    let own = cx.var(PASS).unwrap_or_default();
    let mut told = None;
    // The lock, or how long to wait until the next attempt.
    let mut attempt = || {
        let error = match take() {
            Ok(lock) => return Ok(ControlFlow::Break(lock)),
            Err(StoreError::Locked { subject, holder, pass }) if own.split(' ').any(|own| own == pass) => {
                return Err(CliError::Store(StoreError::LockedByOwn { subject, holder }));
            }
            // What cannot be read may be free, or readable, a moment later.
            Err(e @ (StoreError::Locked { .. } | StoreError::UnreadableLock { .. })) => e,
            Err(e) => return Err(CliError::Store(e)),
        };
        let left = cx.lock_timeout.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return Err(CliError::Store(error));
        }
        let (subject, by) = match &error {
            StoreError::Locked { subject, holder, .. } => (subject, format!("held by {}", holder.describe())),
            StoreError::UnreadableLock { subject, .. } => (subject, error.to_string()),
            other => unreachable!("{other} ended the wait"),
        };
        if told.as_ref() != Some(&by) {
            let at_most = duration::text(Duration::from_secs(left.as_secs().max(1)));
            // A closed standard error stops nothing.
            let _ = writeln!(anstream::stderr(), "waiting up to {at_most} for {subject}: {}", harmless(&by));
            told = Some(by);
        }
        Ok(ControlFlow::Continue(LOOK.min(left)))
    };
    let mut pause = match attempt()? {
        ControlFlow::Break(lock) => return Ok(lock),
        ControlFlow::Continue(pause) => pause,
    };
    cx.block_on(async {
        loop {
            tokio::time::sleep(pause).await;
            match attempt()? {
                ControlFlow::Break(lock) => return Ok(lock),
                ControlFlow::Continue(next) => pause = next,
            }
        }
    })?
}
