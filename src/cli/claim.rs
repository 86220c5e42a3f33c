//! Taking locks for a command: at once, or after those who have them, for as long as `--lock-timeout` says.

use super::{CliError, Cx, rm::holder};
use crate::{
    duration,
    name::{FleetName, MachineName},
    record::MachineRecord,
    store::{Lock, PASS, StoreError},
    world::World,
};
use clap::{Arg, ArgMatches, Command};
use std::{
    collections::BTreeSet,
    io::Write as _,
    thread,
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

const TIMEOUT: &str = "lock-timeout";
/// How often one who waits looks.
const LOOK: Duration = Duration::from_millis(100);

/// Gives a command that takes locks its flag. docker-machine has none, so there it is not shown.
pub(super) fn define(command: Command, drop_in: bool) -> Command {
    if !LOCKING.contains(&command.get_name()) {
        return command;
    }
    let help = "Wait this long for another run to end; 0 does not wait [$MACHINE_LOCK_TIMEOUT]";
    let read = |text: &str| duration::parse(text).map_err(|e| e.to_string());
    command.arg(Arg::new(TIMEOUT).long(TIMEOUT).value_name("DURATION").hide(drop_in).help(help).value_parser(read))
}

/// How long a command waits for locks.
pub(super) fn timeout(matches: &ArgMatches) -> Result<Duration, CliError> {
    let Some((name, matches)) = matches.subcommand().filter(|(name, _)| LOCKING.contains(name)) else {
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
    waiting(cx, || world.store.lock(fleet, &holder(cx, world)))
}

/// Takes the lock of a machine, which is that of its fleet if it has one.
pub(super) fn machine(cx: &Cx, world: &World, record: &MachineRecord) -> Result<Box<dyn Lock>, CliError> {
    match &record.fleet {
        Some(name) => fleet(cx, world, name),
        None => single(cx, world, &record.name),
    }
}

/// Takes the lock of a machine without a fleet.
pub(super) fn single(cx: &Cx, world: &World, name: &MachineName) -> Result<Box<dyn Lock>, CliError> {
    waiting(cx, || world.store.lock_machine(name, &holder(cx, world)))
}

/// Takes the locks of all these machines, in one order for all who do: two who wait for each other wait for ever.
pub(super) fn machines<'a>(
    cx: &Cx,
    world: &World,
    records: impl Iterator<Item = &'a MachineRecord> + Clone,
) -> Result<Vec<Box<dyn Lock>>, CliError> {
    let fleets: BTreeSet<&FleetName> = records.clone().filter_map(|record| record.fleet.as_ref()).collect();
    let alone: BTreeSet<&MachineName> =
        records.filter(|record| record.fleet.is_none()).map(|record| &record.name).collect();
    let fleets = fleets.into_iter().map(|name| fleet(cx, world, name));
    fleets.chain(alone.into_iter().map(|name| single(cx, world, name))).collect()
}

fn waiting(cx: &Cx, take: impl Fn() -> Result<Box<dyn Lock>, StoreError>) -> Result<Box<dyn Lock>, CliError> {
    let begun = Instant::now();
    let own = cx.var(PASS).unwrap_or_default();
    let mut told = None;
    loop {
        let (subject, holder, pass) = match take() {
            Ok(lock) => return Ok(lock),
            Err(StoreError::Locked { subject, holder, pass }) => (subject, holder, pass),
            Err(e) => return Err(CliError::Store(e)),
        };
        if own.split(' ').any(|own| own == pass) {
            return Err(CliError::Store(StoreError::LockedByOwn { subject, holder }));
        }
        let left = cx.lock_timeout.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return Err(CliError::Store(StoreError::Locked { subject, holder, pass }));
        }
        if told.as_ref() != Some(&pass) {
            let at_most = duration::text(Duration::from_secs(left.as_secs().max(1)));
            // Where standard error is closed there is nobody to tell.
            let _ =
                writeln!(anstream::stderr(), "waiting up to {at_most} for {subject}: held by {}", holder.describe());
            told = Some(pass);
        }
        thread::sleep(LOOK.min(left));
    }
}
