//! `start`, `stop`, `kill`, `restart`: several machines at once, in docker-machine's words.

use super::{
    CliError, Cx, Exit, Group, Out, Run, claim,
    machine::{self, Machine},
    names, signals,
};
use crate::{apply::Interrupt, driver::PowerAction, panicked::caught_async, record::Power};
use std::{future::Future, time::Duration};
use tokio::{
    sync::mpsc::{UnboundedSender, unbounded_channel},
    task::JoinSet,
};

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

/// Where lines for the person go while several machines are worked on, and what tells all of them to end.
#[derive(Clone)]
pub(super) struct Lines {
    to: UnboundedSender<String>,
    pub(super) interrupt: Interrupt,
}

/// What no other run may work on meanwhile.
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
    let names = names::any(&world.store, given)?;
    let machines = Machine::load_all(&world, &names)?;
    let taken = machines.iter().filter(|machine| hold == Hold::All || machine.record.fleet.is_some());
    let _lease = claim::machines(cx, &world, taken.map(Machine::name))?;
    // What was read before the locks were taken may be old.
    let machines = Machine::load_all(&world, &names)?;
    let (mut errors, mut addresses) = (Vec::new(), false);
    let interrupt = Interrupt::default();
    let ends = cx.block_on_hearing(all(machines, hold, &interrupt, out, work))?;
    for end in ends {
        match end {
            Ok(Changed::Addresses) => addresses = true,
            Ok(Changed::Nothing) => {}
            Err(e) => errors.push(e),
        }
    }
    cx.keep_contexts(&world);
    CliError::all(errors)?;
    if addresses {
        out.line(&format!(
            "Started machines may have new IP addresses. You may need to re-run the `{} env` command.",
            cx.program
        ))?;
    }
    Ok(Exit::Done)
}

/// How it ended for each machine. A signal cuts off what has no steps that could be ended one by one.
async fn all<F>(
    machines: Vec<Machine>,
    hold: Hold,
    interrupt: &Interrupt,
    out: &mut Out,
    work: impl Fn(Machine, Lines) -> F,
) -> Vec<Result<Changed, CliError>>
where
    F: Future<Output = Result<Changed, CliError>> + Send + 'static,
{
    let listening = signals::listen(interrupt);
    let (to, mut told) = unbounded_channel();
    let lines = Lines { to, interrupt: interrupt.clone() };
    let (mut tasks, total) = (JoinSet::new(), machines.len());
    for (place, machine) in machines.into_iter().enumerate() {
        // A mistake on one machine concerns no other.
        let work = caught_async(work(machine, lines.clone()));
        tasks.spawn(async move { (place, work.await) });
    }
    drop(lines);
    // Twice is heard by the steps themselves, which note what was cut off.
    let patience = if hold == Hold::All { 3 } else { 1 };
    let mut cut = false;
    loop {
        tokio::select! {
            line = told.recv() => match line {
                // A reader that has gone does not stop what was begun.
                Some(line) => drop(out.line(&line)),
                None => break,
            },
            () = interrupt.asked_times(patience), if !cut => {
                cut = true;
                tasks.abort_all();
            }
        }
    }
    let mut ends: Vec<Option<Result<Changed, CliError>>> = std::iter::repeat_with(|| None).take(total).collect();
    while let Some(joined) = tasks.join_next().await {
        if let Ok((place, end)) = joined {
            ends[place] = Some(end.unwrap_or_else(|panicked| Err(CliError::Panicked(panicked))));
        }
    }
    drop(listening);
    let ended = || Err(CliError::Ended(interrupt.by().unwrap_or("a signal")));
    ends.into_iter().map(|end| end.unwrap_or_else(ended)).collect()
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
    let _ = lines.to.send(line);
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
