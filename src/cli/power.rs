//! `start`, `stop`, `kill`, `restart`: several machines at once, in docker-machine's words.

use super::{
    CliError, Cx, Exit, Group, Out, Run, claim,
    machine::{self, Machine},
    names,
};
use crate::{driver::PowerAction, record::Power};
use std::{future::Future, time::Duration};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// How long a machine that starts has to answer over SSH, and how long its engine has.
const SSH_PATIENCE: Duration = Duration::from_mins(3);
const ENGINE_TRIES: u32 = 10;
const ENGINE_PAUSE: Duration = Duration::from_secs(3);
/// How long one question may take: an emulated machine that has just started is slow to shake hands.
const ENGINE_ANSWER: Duration = Duration::from_secs(10);

macro_rules! power_command {
    ($(#[$about:meta])* $command:ident, $name:literal, $work:ident) => {
        $(#[$about])*
        #[derive(clap::Args)]
        pub(super) struct $command {
            /// The machines; `default` if none is named
            #[arg(value_name = "NAME")]
            names: Vec<String>,
        }

        impl Run for $command {
            const NAME: &'static str = $name;
            const GROUP: Group = Group::Machine;

            fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
                together(cx, out, &self.names, Hold::Fleets, $work)
            }
        }
    };
}

power_command! {
    /// Start machines
    Start, "start", start
}
power_command! {
    /// Stop machines
    Stop, "stop", stop
}
power_command! {
    /// Pull the plug of machines
    Kill, "kill", kill
}
power_command! {
    /// Restart machines
    Restart, "restart", restart
}

/// Where lines for the person go while several machines are worked on.
pub(super) type Lines = UnboundedSender<String>;

/// What nobody else may work on meanwhile.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Hold {
    /// Fleets of the machines: another run that applies one must not find them half changed. A machine without a fleet
    /// can be switched whatever else is done to it, for that is how one that hangs is ended.
    Fleets,
    /// And machines without one.
    All,
}

/// Works on all machines at once. The failure of one stops no other.
pub(super) fn together<F>(
    cx: &Cx,
    out: &mut Out,
    given: &[String],
    hold: Hold,
    work: impl Fn(Machine, Lines) -> F,
) -> Result<Exit, CliError>
where
    F: Future<Output = Result<Changed, CliError>> + Send + 'static,
{
    let world = cx.world()?;
    let names = names::any(&*world.store, given)?;
    let machines = Machine::load_all(&world, &names)?;
    let records = machines.iter().map(|machine| &machine.record);
    let _locks = match hold {
        Hold::All => claim::machines(cx, &world, records)?,
        Hold::Fleets => claim::machines(cx, &world, records.filter(|record| record.fleet.is_some()))?,
    };
    // What was read before the locks were taken may be old.
    let machines = Machine::load_all(&world, &names)?;
    let (mut errors, mut addresses) = (Vec::new(), false);
    cx.block_on(async {
        let (lines, mut told) = unbounded_channel();
        let tasks: Vec<_> = machines.into_iter().map(|machine| tokio::spawn(work(machine, lines.clone()))).collect();
        drop(lines);
        let mut written = Ok(());
        while let Some(line) = told.recv().await {
            // A reader that has gone does not stop what was begun.
            written = written.and_then(|()| out.line(&line));
        }
        for task in tasks {
            match task.await.expect("a task that panics is a mistake in this program") {
                Ok(Changed::Addresses) => addresses = true,
                Ok(Changed::Nothing) => {}
                Err(e) => errors.push(e),
            }
        }
        written
    })??;
    crate::context::sync_if_used(&world);
    CliError::all(errors)?;
    if addresses {
        out.line(&format!(
            "Started machines may have new IP addresses. You may need to re-run the `{} env` command.",
            cx.program
        ))?;
    }
    Ok(Exit::Done)
}

/// What a person must know afterwards.
pub(super) enum Changed {
    Nothing,
    Addresses,
}

async fn start(machine: Machine, lines: Lines) -> Result<Changed, CliError> {
    start_from(machine, lines, true).await
}

async fn start_from(mut machine: Machine, lines: Lines, checked: bool) -> Result<Changed, CliError> {
    say(&lines, format!("Starting \"{}\"...", machine.name()));
    if checked {
        refuse(&machine, Power::Running).await?;
    }
    machine.set_power(PowerAction::Start, &progress(&machine, &lines)).await?;
    say(&lines, format!("Machine \"{}\" was started.", machine.name()));
    answers(&machine, &lines).await?;
    Ok(Changed::Addresses)
}

async fn stop(mut machine: Machine, lines: Lines) -> Result<Changed, CliError> {
    say(&lines, format!("Stopping \"{}\"...", machine.name()));
    refuse(&machine, Power::Stopped).await?;
    machine.set_power(PowerAction::Stop, &progress(&machine, &lines)).await?;
    say(&lines, format!("Machine \"{}\" was stopped.", machine.name()));
    Ok(Changed::Nothing)
}

async fn kill(mut machine: Machine, lines: Lines) -> Result<Changed, CliError> {
    say(&lines, format!("Killing \"{}\"...", machine.name()));
    refuse(&machine, Power::Stopped).await?;
    machine.set_power(PowerAction::Kill, &progress(&machine, &lines)).await?;
    say(&lines, format!("Machine \"{}\" was killed.", machine.name()));
    Ok(Changed::Nothing)
}

async fn restart(mut machine: Machine, lines: Lines) -> Result<Changed, CliError> {
    say(&lines, format!("Restarting \"{}\"...", machine.name()));
    match machine.power().await? {
        Power::Stopped | Power::Paused | Power::Saved => return start_from(machine, lines, false).await,
        Power::Running | Power::Unknown => {
            machine.set_power(PowerAction::Restart, &progress(&machine, &lines)).await?;
        }
        // It is on its way already.
        Power::Starting | Power::Stopping | Power::Gone => {}
    }
    answers(&machine, &lines).await?;
    Ok(Changed::Addresses)
}

pub(super) fn say(lines: &Lines, line: String) {
    // The receiver lives until all senders are gone.
    let _ = lines.send(line);
}

/// Lines of a driver, as docker-machine shows them.
pub(super) fn progress(machine: &Machine, lines: &Lines) -> impl Fn(&str) + Send + Sync + 'static {
    let (name, lines) = (machine.name().clone(), lines.clone());
    move |line: &str| say(&lines, format!("({name}) {line}"))
}

async fn refuse(machine: &Machine, already: Power) -> Result<(), CliError> {
    if machine.power().await? == already {
        let state = machine::state(already).to_lowercase();
        return Err(CliError::said(format!("Machine \"{}\" is already {state}.", machine.name())));
    }
    Ok(())
}

/// Waits until a machine that was started can be logged in to and its engine answers.
async fn answers(machine: &Machine, lines: &Lines) -> Result<(), CliError> {
    if machine.target().is_ok() {
        say(lines, "Waiting for SSH to be available...".to_owned());
        machine.connect(SSH_PATIENCE).await?;
    }
    // A machine on which no engine was set up has none to wait for.
    if machine.record.engine.is_none() {
        return Ok(());
    }
    let mut tries = 1;
    while let Err(e) = machine.engine_version(ENGINE_ANSWER).await {
        if tries == ENGINE_TRIES {
            return Err(e
                .doing(format!("Maximum number of retries ({tries}) exceeded"))
                .doing("Unable to verify the Docker daemon is listening"));
        }
        tries += 1;
        tokio::time::sleep(ENGINE_PAUSE).await;
    }
    Ok(())
}
