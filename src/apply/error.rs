//! What can end badly in a step.

use crate::{
    docker::DockerError,
    driver::DriverError,
    ending::Ending,
    hook::{On, Point},
    name::MachineName,
    panicked::{self, Panicked},
    provisioner::{Difference, Unsupported, facts::Clocks},
    secret::SecretError,
    store::{StoreError, authority::AuthorityError},
    transport::TransportError,
};
use thiserror::Error;

/// Why a step failed. The report adds host, step, elapsed time and the log's path.
#[derive(Debug, Error)]
pub enum StepError {
    /// The driver failed.
    #[error(transparent)]
    Driver(DriverError),
    /// The record names a driver this program does not have.
    #[error("driver `{driver}` is not known to this program")]
    UnknownDriver {
        /// The driver.
        driver: String,
        /// The machine.
        machine: MachineName,
    },
    /// The host could not be reached.
    #[error(transparent)]
    Transport(TransportError),
    /// The engine does not answer as it should.
    #[error(transparent)]
    Docker(DockerError),
    /// The engine runs, but a firewall on the host may be in the way.
    #[error("{error}")]
    Firewall {
        /// What the client saw.
        error: DockerError,
        /// The firewall, and the command that opens the port.
        help: String,
    },
    /// One side takes the other's certificate for not valid yet, or for ended, and their clocks do not agree.
    #[error("{error}; {clocks}")]
    Clock {
        /// What the client saw.
        error: DockerError,
        /// What time it is on both sides.
        clocks: Clocks,
    },
    /// A secret is not to be had.
    #[error(transparent)]
    Secret(SecretError),
    /// The record could not be read or written.
    #[error(transparent)]
    Store(StoreError),
    /// No certificate could be issued.
    #[error(transparent)]
    Authority(AuthorityError),
    /// The host has no os-release file, so nothing can be known of it.
    #[error("the host has no /etc/os-release, so its distribution cannot be known")]
    NoOsRelease,
    /// No provisioner knows the distribution.
    #[error("no provisioner knows `{0}`")]
    UnknownDistribution(String),
    /// The distribution cannot offer what is wanted.
    #[error(transparent)]
    Unsupported(Unsupported),
    /// What the host printed is no answer to what was asked.
    #[error("the host's answer could not be read: {0}")]
    Facts(String),
    /// A command on the host failed.
    #[error("`{title}` {}", Ending(*.status))]
    Op {
        /// What was being done, as `install docker.io`.
        title: String,
        /// Its exit status.
        status: i32,
        /// The last lines of its standard error.
        stderr: String,
        /// What to do about it, when the cause is known.
        help: Option<String>,
    },
    /// A command of the user's own failed.
    #[error("{why}")]
    Hook {
        /// When it was run.
        point: Point,
        /// Where it was run.
        on: On,
        /// How it ended, or why it did not begin.
        why: String,
        /// The last lines of what it printed.
        output: String,
    },
    /// Everything ran, and still the host is not as it should be.
    #[error("the engine is not as wanted after all was done: {}", list(.0))]
    NotAsWanted(Vec<Difference>),
    /// The plan said so.
    #[error("{0}")]
    Blocked(String),
    /// There is no way to log in to a machine of this driver.
    #[error("machines of driver `{0}` cannot be logged in to")]
    NoLogin(String),
    /// The user may not become root on the host.
    #[error("`{0}` is neither root nor may become root without a password")]
    NoRoot(String),
    /// The step panicked: a mistake in this program.
    #[error(transparent)]
    Panicked(Panicked),
    /// A plan that contradicts itself: a mistake in this program.
    #[error("this is a mistake in machine: {0}")]
    Bug(&'static str),
}

fn list(differences: &[Difference]) -> String {
    differences.iter().map(|d| d.what.as_str()).collect::<Vec<_>>().join(", ")
}

/// What a failed hook kept from happening, and how one goes on.
fn hook_help(point: Point, on: On) -> String {
    let kept = match point {
        Point::PreCreate => "the machine was not made",
        Point::PreUpgrade => "nothing on the machine was changed",
        Point::PreRm => "the machine was not removed",
        Point::PostCreate | Point::PostUpgrade | Point::PostRm => "the hook is still due",
    };
    let place = if on == On::Host { "on the host, or the hook " } else { "here, or the hook " };
    format!("{kept}; mend what failed {place}in the fleet file, then apply again, which runs the hook again")
}

/// How the clock of a host is put right.
fn clock_help(machine: &MachineName) -> String {
    format!(
        "put the clock right that is wrong, then run the command again. On a host with systemd this lets it follow the \
         network's time:\n  machine ssh {machine} -- sudo timedatectl set-ntp true"
    )
}

impl StepError {
    /// What to do about it; a command to copy stands on a line of its own.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Driver(e) => e.help(),
            Self::Transport(e @ TransportError::Timeout { .. }) => Some(format!(
                "{}. Where hosts or networks are slow, give it longer with `policy: {{ timeouts: {{ install: 2h }} }}` in the \
                 fleet file",
                e.help()
            )),
            Self::Transport(e) => Some(e.help()),
            Self::Secret(e) => Some(e.help()),
            Self::Store(e) => e.help(),
            Self::Authority(e) => e.help(),
            Self::Unsupported(e) => Some(e.help.clone()),
            Self::Op { help, .. } => help.clone(),
            Self::Hook { point, on, .. } => Some(hook_help(*point, *on)),
            Self::Firewall { help, .. } => Some(help.clone()),
            Self::Clock { error, .. } => Some(clock_help(error.machine())),
            Self::UnknownDriver { machine, .. } => Some(format!(
                "use the version of machine that made it, or forget it, which leaves what the driver made:\n  machine rm -f {machine}"
            )),
            Self::NoOsRelease | Self::UnknownDistribution(_) => Some(format!(
                "engines can be set up on {} and what names one of them in ID_LIKE of /etc/os-release; one that is set up already is known by its URL, with driver `none`",
                crate::provisioner::PROVISIONERS.iter().map(|p| p.name()).collect::<Vec<_>>().join(", ")
            )),
            Self::NoRoot(user) => Some(format!("let `{user}` run sudo without a password, or set `ssh-user: root`")),
            Self::NotAsWanted(_) => {
                Some("look at the engine's own log on the host:\n  journalctl -u docker -n 50".to_owned())
            }
            Self::Docker(e) => Some(e.help()),
            Self::Facts(_) => Some("see what a login on the host prints and whether it has a POSIX shell".to_owned()),
            Self::Blocked(_) => Some("nothing was done to it; mend that, then apply again".to_owned()),
            Self::NoLogin(_) => Some("take `engine` out of the host, or use a driver that can log in".to_owned()),
            Self::Panicked(_) => Some(panicked::HELP.to_owned()),
            Self::Bug(_) => Some("please report it, with this message".to_owned()),
        }
    }

    /// What is kept of it in the history: without the text of a hook, in which a variable of the fleet file may stand.
    #[must_use]
    pub fn brief(&self) -> String {
        match self {
            Self::Hook { point, why, .. } => match why.rsplit_once("` ") {
                Some((text, how)) if text.starts_with('`') => format!("hook {point} {how}"),
                _ => why.clone(),
            },
            other => other.to_string(),
        }
    }

    /// The last lines the host printed on standard error, if the failure is one of a command there.
    #[must_use]
    pub fn stderr(&self) -> Option<&str> {
        match self {
            Self::Hook { output, .. } if !output.is_empty() => Some(output),
            Self::Op { stderr, .. } if !stderr.trim().is_empty() => Some(stderr.trim_end()),
            _ => None,
        }
    }
}

impl From<StoreError> for StepError {
    fn from(e: StoreError) -> Self {
        Self::Store(e)
    }
}

impl From<TransportError> for StepError {
    fn from(e: TransportError) -> Self {
        Self::Transport(e)
    }
}

impl From<AuthorityError> for StepError {
    fn from(e: AuthorityError) -> Self {
        Self::Authority(e)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C21: how a command on a host ended is told in words.
    #[test]
    fn a_command_that_ended_early_did_not_fail_with_status_0() {
        let op = |status| StepError::Op { title: "install".to_owned(), status, stderr: String::new(), help: None };
        assert!(op(0).to_string().starts_with("`install` ended early"), "{}", op(0));
        assert_eq!(op(137).to_string(), "`install` was ended by SIGKILL (exit status 137)");
        assert_eq!(op(100).to_string(), "`install` failed with exit status 100");
    }
}
