//! What a command can end with, and how it is told: to a person, or in the words of docker-machine.

use super::{
    go,
    tell::{chain, indented, tell, told_in_place},
};
use crate::{
    apply::{StepError, WITHIN_HOOK},
    clock::Timestamp,
    docker::DockerError,
    driver::DriverError,
    excerpt,
    fleet::FleetProblems,
    harmless::harmless,
    name::MachineName,
    panicked::{self, Panicked},
    plan::{guard::Refusal, moved::Moved},
    store::{StoreError, authority::AuthorityError},
    transport::TransportError,
};
use miette::Diagnostic;
use std::{
    fmt, io,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};
use thiserror::Error;

/// Names on the command line that do not fit the command.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum NamesError {
    /// None was given, and there is no machine called `default`.
    #[error("No machine name(s) specified and no \"default\" machine exists")]
    NoDefault,
    /// More than one was given.
    #[error("Expected one machine name as an argument")]
    One,
    /// None was given where one must be.
    #[error("Expected to get one or more machine names as arguments")]
    Some,
    /// None was given to `create`.
    #[error("No machine name specified")]
    NoName,
    /// One was given where none may be.
    #[error("Too many arguments given")]
    None,
    /// One was given to `env --unset`.
    #[error("Expected no machine name when the -u flag is present")]
    Unset,
}

/// So many things that moved are told.
const MOVED: usize = 20;

fn moved_text(moved: &[Moved]) -> String {
    let mut text = moved.iter().take(MOVED).map(|moved| format!("\n  {moved}")).collect::<Vec<_>>().concat();
    if moved.len() > MOVED {
        text.push_str(&format!("\n  and {} more", moved.len() - MOVED));
    }
    text
}

/// What a command ends with when it does not end well.
#[derive(Debug, Error)]
pub enum CliError {
    /// The words of the command line make no sense.
    #[error("{}", .0.render().to_string().trim_end().trim_start_matches("error: "))]
    Usage(clap::Error),
    /// No such command.
    #[error("{program}: '{word}' is not a {program} command. See '{argv0} --help'.")]
    UnknownCommand {
        /// Base name of the program.
        program: String,
        /// What was typed.
        word: String,
        /// The program as it was called.
        argv0: String,
        /// The command that was probably meant.
        close: Option<String>,
    },
    /// Too few or too many names.
    #[error("{0}")]
    Names(NamesError),
    /// Something that is said once, where it happens.
    #[error("{what}")]
    Said {
        /// What is wrong.
        what: String,
        /// What to do about it.
        help: Option<String>,
    },
    /// What was being done when `cause` came.
    #[error("{doing}")]
    Doing {
        /// What was being done, as docker-machine says it: `Error getting IP address`.
        doing: String,
        /// Why it failed.
        #[source]
        cause: Box<CliError>,
    },
    /// An engine that does not let us in, or does not answer at all.
    #[error("There was an error validating certificates for host {place:?}")]
    Certs {
        /// The machine.
        machine: MachineName,
        /// `host:port` of the engine.
        place: String,
        /// What came back.
        #[source]
        cause: Box<CliError>,
    },
    /// Several, one for each machine.
    #[error("{} machines failed", .0.len())]
    Many(Vec<CliError>),
    /// A step on one machine.
    #[error("{}", step_text(.error, .log.as_deref()))]
    Step {
        /// The machine.
        machine: MachineName,
        /// What failed.
        error: Arc<StepError>,
        /// Where everything is that a failed script printed.
        log: Option<PathBuf>,
    },
    /// This program made a mistake.
    #[error(transparent)]
    Panicked(Panicked),
    /// A signal ended it.
    #[error("ended by {0}")]
    Ended(&'static str),
    /// The steps of a machine were not all begun, as after Ctrl-C.
    #[error("`{0}`: the run was ended before all was done")]
    Unfinished(MachineName),
    /// A creation failed, and what it had made was removed again.
    #[error("{0}")]
    RolledBack(Box<CliError>),
    /// A creation was cut off before the driver had made anything.
    #[error("`{0}` has no instance yet")]
    NoInstance(MachineName),
    /// The driver found that it cannot make the machine here, and made nothing.
    #[error("Error with pre-create check: {:?}", .0.to_string())]
    Precheck(Arc<StepError>),
    /// A fleet file with problems.
    #[error("{0}")]
    Fleet(Box<FleetProblems>),
    /// A plan that a guard refuses.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Refused(Vec<Refusal>),
    /// A saved plan that does not hold any more.
    #[error("{plan} is stale: since it was made ({created}) this has moved:{}", moved_text(.moved))]
    Stale {
        /// The file.
        plan: String,
        /// When it was made.
        created: Timestamp,
        /// What has moved.
        moved: Vec<Moved>,
    },
    /// A machine that must not be removed.
    #[error("`{0}` is protected")]
    Protected(MachineName),
    /// A question without a terminal to ask it at.
    #[error("{what} needs a confirmation, and there is no terminal to ask on")]
    Unconfirmed {
        /// What was to be done, as `removing web-1`.
        what: String,
    },
    /// Secrets that would go out as they are, or stay shut: no key was given, and there is no terminal to ask at.
    #[error("{what}, and there is no terminal to ask for a passphrase on")]
    Keyless {
        /// What needs a key, as `an export holds private keys`.
        what: &'static str,
        /// How to give one.
        help: String,
    },
    /// A record of a driver that this program does not have.
    #[error("Driver {0:?} not found. Do you have the plugin binary accessible in your PATH?")]
    NoDriver(String),
    /// The store.
    #[error(transparent)]
    Store(StoreError),
    /// The store's certificates.
    #[error(transparent)]
    Authority(AuthorityError),
    /// The driver.
    #[error(transparent)]
    Driver(DriverError),
    /// SSH.
    #[error(transparent)]
    Transport(TransportError),
    /// SSH, after a session was begun.
    #[error(transparent)]
    Lost(TransportError),
    /// The engine.
    #[error(transparent)]
    Docker(DockerError),
    /// Neither an option nor the environment says where the store is.
    #[error("there is no home directory to find the machine store in")]
    NoHome,
    /// The system gives us no threads.
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
    /// Standard output cannot be written.
    #[error("cannot write to standard output")]
    Stdout(#[source] io::Error),
}

impl CliError {
    /// Something that is said once, without advice.
    pub(super) fn said(what: impl Into<String>) -> Self {
        Self::Said { what: what.into(), help: None }
    }

    /// Tells something that is no error, on standard error.
    pub(super) fn warn(what: &str, help: &str) {
        let text = format!("warning: {}\n  help: {}\n", excerpt::lines(what), excerpt::lines(help));
        let _ = anstream::stderr().write_all(harmless(&text).as_bytes());
    }

    /// The same, with what was being done.
    pub(super) fn doing(self, doing: impl Into<String>) -> Self {
        Self::Doing { doing: doing.into(), cause: Box::new(self) }
    }

    /// One for several; the only one for itself.
    pub(super) fn all(mut errors: Vec<Self>) -> Result<(), Self> {
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(Self::Many(errors)),
        }
    }

    /// What is kept of it in the history.
    pub(super) fn brief(&self) -> String {
        match self {
            Self::Step { error, .. } => error.brief(),
            other => other.to_string(),
        }
    }

    /// What to do about it.
    fn advice(&self) -> Option<String> {
        match self {
            Self::Said { help, .. } => help.clone(),
            Self::Protected(_) => {
                Some("set `protect: false` in its fleet file and apply that, or remove it there".to_owned())
            }
            Self::Keyless { help, .. } => Some(help.clone()),
            Self::RolledBack(_) => {
                Some("the machine was removed again, as you wished; mend the cause, then create it anew".to_owned())
            }
            Self::Unfinished(machine) | Self::NoInstance(machine) => {
                Some(format!("finish it:\n  machine provision {machine}"))
            }
            Self::Unconfirmed { .. } => Some("say so beforehand with `-y`".to_owned()),
            Self::Certs { machine, cause, .. } => matches!(**cause, Self::Docker(DockerError::Tls { .. })).then(|| {
                format!(
                    "give its engine new certificates; containers go on running:\n  machine regenerate-certs {machine}"
                )
            }),
            Self::UnknownCommand { close: Some(close), program, .. } => {
                Some(format!("did you mean `{close}`?\n  {program} {close} --help"))
            }
            Self::UnknownCommand { word, .. } if word == "use" => Some(
                "a program cannot set variables of your shell; a function can, which this makes:\n  \
                 eval \"$(machine shell-init bash)\""
                    .to_owned(),
            ),
            Self::Panicked(_) => Some(panicked::HELP.to_owned()),
            Self::NoHome => Some("say where it is, with `--storage-path` or MACHINE_STORAGE_PATH".to_owned()),
            Self::Refused(refusals) => {
                let mut helps: Vec<String> = refusals.iter().map(Refusal::help).collect();
                helps.dedup();
                Some(helps.join("\n"))
            }
            Self::Stale { .. } => Some(
                "nothing was done. Make a new plan, and have it reviewed again:\n  machine plan --out plan.json fleet.yaml"
                    .to_owned(),
            ),
            Self::Authority(e) => e.help(),
            Self::Driver(e) => e.help(),
            Self::Transport(e) | Self::Lost(e) => Some(e.help()),
            Self::Store(e @ StoreError::Locked { .. }) => within_hook().or_else(|| e.help()),
            Self::Store(e) => e.help(),
            Self::Docker(e) => Some(e.help()),
            Self::Step { error, .. } | Self::Precheck(error) => error.help(),
            Self::Usage(_)
            | Self::UnknownCommand { .. }
            | Self::Ended(_)
            | Self::Names(_)
            | Self::Doing { .. }
            | Self::Many(_)
            | Self::Fleet(_)
            | Self::NoDriver(_)
            | Self::Runtime(_)
            | Self::Stdout(_) => None,
        }
    }

    /// In docker-machine's words: one line for each error, what was being done in front.
    fn drop_in_text(&self) -> String {
        match self {
            Self::Usage(error) => excerpt::lines(&go::usage(error)).into_owned(),
            Self::Names(names) => format!("Error: {names}"),
            Self::Many(errors) => errors.iter().map(Self::drop_in_text).collect::<Vec<_>>().join("\n"),
            Self::Doing { doing, cause } => format!("{doing}: {}", cause.drop_in_text()),
            Self::Certs { place, cause, .. } => {
                let cause = match &**cause {
                    Self::Docker(e) => go::words(e, place),
                    other => other.drop_in_text(),
                };
                format!(
                    "{self}: {cause}\n\
                     You can attempt to regenerate them using 'docker-machine regenerate-certs [name]'.\n\
                     Be advised that this will trigger a Docker daemon restart which might stop running containers.\n"
                )
            }
            Self::Driver(DriverError::Cannot { driver, what }) if driver == "none" => {
                let done = match what.as_str() {
                    "stop" => "stopped".to_owned(),
                    verb => format!("{verb}ed"),
                };
                format!("hosts without a driver cannot be {done}")
            }
            Self::Driver(DriverError::Cannot { driver, what }) => format!("{driver} driver does not support {what}"),
            Self::Store(StoreError::Absent(name)) => format!(
                "Docker machine \"{name}\" does not exist. Use \"docker-machine ls\" to list machines. \
                 Use \"docker-machine create\" to add a new one."
            ),
            other => excerpt::lines(&chain(other).join(": ")).into_owned(),
        }
    }

    /// What to do next, below docker-machine's words. Where those are all there is, scripts have them alone.
    fn drop_in_help(&self) -> Option<String> {
        match self {
            Self::Doing { cause, .. } => cause.drop_in_help(),
            Self::Many(errors) => {
                let mut helps: Vec<String> = errors.iter().filter_map(Self::drop_in_help).collect();
                helps.dedup();
                (!helps.is_empty()).then(|| helps.join("\n"))
            }
            Self::Step { .. }
            | Self::Unfinished(_)
            | Self::NoInstance(_)
            | Self::RolledBack(_)
            | Self::Panicked(_)
            | Self::Transport(_) => {
                let help = self.advice()?.replace("\n  machine ", "\n  docker-machine ");
                Some(format!("help: {}", indented(&excerpt::lines(&help))))
            }
            _ => None,
        }
    }

    /// Tells it on standard error.
    pub(super) fn print(&self, drop_in: bool) {
        if matches!(self, Self::Stdout(e) if e.kind() == io::ErrorKind::BrokenPipe) {
            return;
        }
        let mut text = String::new();
        if drop_in {
            self.drop_in_text().split('\n').for_each(|line| text = format!("{text}{}\n", excerpt::line(line)));
            if let Some(help) = self.drop_in_help() {
                text = text + &help + "\n";
            }
        } else {
            match self {
                Self::Fleet(problems) => told_in_place(&mut text, problems),
                other => tell(&mut text, other),
            }
            .expect("a string can be written to");
        }
        // A closed standard error stops nothing.
        let _ = anstream::stderr().write_all(harmless(&text).as_bytes());
    }
}

impl Diagnostic for CliError {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.advice()?))
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        match self {
            Self::Many(errors) => Some(Box::new(errors.iter().map(|error| error as &dyn Diagnostic))),
            _ => None,
        }
    }

    fn diagnostic_source(&self) -> Option<&dyn Diagnostic> {
        match self {
            Self::Doing { cause, .. } | Self::Certs { cause, .. } => Some(&**cause),
            _ => None,
        }
    }
}

/// What to do about a lock when we are what its holder runs: it waits for us, so we must not wait for it (pain 11).
fn within_hook() -> Option<String> {
    let hook = std::env::var(WITHIN_HOOK).ok()?;
    Some(format!(
        "this is run by hook `{hook}`, whose run holds the lock until the hook has ended; a hook may look (env, ip, inspect, ssh), and change only other fleets"
    ))
}

/// A failed step, with the last lines the host printed.
fn step_text(error: &StepError, log: Option<&Path>) -> String {
    let mut text = error.to_string();
    for line in error.stderr().unwrap_or_default().lines() {
        text = text + "\n| " + line;
    }
    if let (StepError::Op { .. }, Some(log)) = (error, log) {
        text = format!("{text}\nall it printed: {}", log.display());
    }
    text
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
