//! Taking locks for a command: at once, or after those who have them, for as long as `--lock-timeout` says.

use super::{
    CliError, Cx, copied,
    stored::{settled, stored},
};
use crate::{
    duration,
    harmless::harmless,
    name::{FleetName, MachineName},
    record::Snapshot,
    store::{Doing, Held, Holder, PASS, Scope, StoreError},
    world::World,
};
use clap::{Arg, ArgMatches, Command};
use std::{
    collections::BTreeSet,
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

/// Takes a fleet with all its machines, and those of `hosts` that it could adopt; what is recorded then. No other run
/// works on any of them, and none joins it.
pub(super) fn fleet<'a>(
    cx: &Cx,
    world: &World,
    fleet: &FleetName,
    hosts: impl IntoIterator<Item = &'a MachineName>,
) -> Result<(Box<dyn Held>, Snapshot), CliError> {
    let doing = Doing::fleet(cx.command, fleet);
    let hosts: BTreeSet<&MachineName> = hosts.into_iter().collect();
    let scope = |snapshot: &Snapshot| {
        let of = |name: &MachineName| snapshot.machines.get(name).and_then(|known| known.record.fleet.as_ref());
        let own = snapshot.machines.keys().filter(|name| of(name) == Some(fleet));
        let hosts = hosts.iter().copied().filter(|name| of(name).is_none_or(|other| other == fleet));
        let mut scope = Scope::of_fleet(fleet, own);
        scope.machines.extend(hosts.cloned());
        scope
    };
    let mut snapshot = stored(world.store.records.snapshot())?;
    loop {
        let wanted = scope(&snapshot);
        let held = waiting(cx, world, &wanted, &doing)?;
        // What was read before it was taken may be old, also which machines there are.
        snapshot = stored(world.store.records.snapshot())?;
        if wanted.covers(&scope(&snapshot)) {
            return Ok((held, snapshot));
        }
    }
}

/// Takes machines, whichever fleet they are of.
pub(super) fn machines<'a>(
    cx: &Cx,
    world: &World,
    machines: impl IntoIterator<Item = &'a MachineName>,
) -> Result<Box<dyn Held>, CliError> {
    all(cx, world, &Scope::of_machines(machines))
}

/// Takes all of a scope, for work on its machines.
pub(super) fn all(cx: &Cx, world: &World, scope: &Scope) -> Result<Box<dyn Held>, CliError> {
    waiting(cx, world, scope, &Doing::machines(cx.command, &scope.machines))
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

/// Takes a scope, or waits for it. A signal ends the wait.
fn waiting(cx: &Cx, world: &World, scope: &Scope, doing: &Doing) -> Result<Box<dyn Held>, CliError> {
    let take = || settled(world.store.leases.take(scope, &holder(cx, world, doing.clone())));
    copied::tell(cx, world);
    let begun = Instant::now();
    let own = cx.var(PASS).unwrap_or_default();
    let mut told = None;
    // The lock, or how long to wait until the next attempt.
    let mut attempt = || {
        let error = match take()? {
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
