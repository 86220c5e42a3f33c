//! How commands reach a host. The traits; [`ssh`] is the real one.
//!
//! It knows nothing of fleets, plans or engines.

pub mod limited;
pub mod openssh;
pub mod pool;
pub mod route;
pub mod ssh;
pub mod ssh_config;

use crate::{
    name::MachineName,
    quote::{Sh, quote},
    record::{Instance, SshEndpoint},
    secret::SecretError,
};
use async_trait::async_trait;
use std::{path::Path, pin::Pin, sync::Arc, time::Duration};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use zeroize::Zeroizing;

/// A host, and what is known of how to reach it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    /// Whom messages name.
    pub machine: MachineName,
    /// Where and as whom.
    pub ssh: SshEndpoint,
    /// Pinned public host keys; empty: this is the first contact, and what is met is told.
    pub host_keys: Vec<String>,
    /// Pinned public keys of the jump host; empty: as for `host_keys`.
    pub jump_keys: Vec<String>,
    /// How long one attempt to connect may take.
    pub connect_timeout: Duration,
    /// Keep trying until this long has passed, for a host that is booting; zero: one attempt.
    pub patience: Duration,
    /// The name to look up in an `ssh_config` before each login; `None`: what is recorded is all.
    pub lookup: Option<route::Lookup>,
}

impl Target {
    /// How to reach a recorded instance, with one attempt of ten seconds; `None` when there is no way to log
    /// in. A key that is not an absolute path lies in `dir`, the machine's folder in the store.
    #[must_use]
    pub fn of(machine: &MachineName, instance: &Instance, dir: &Path) -> Option<Self> {
        let mut ssh = instance.ssh.clone()?;
        // Joining an absolute path gives that path; one that starts at home is replaced when the key is read.
        let whole = |key: String| {
            if key.starts_with("~/") { key } else { dir.join(key).to_string_lossy().into_owned() }
        };
        ssh.key = ssh.key.filter(|key| !key.is_empty()).map(whole);
        Some(Self {
            machine: machine.clone(),
            ssh,
            host_keys: instance.host_keys.clone(),
            jump_keys: instance.jump_keys.clone(),
            connect_timeout: Duration::from_secs(10),
            patience: Duration::ZERO,
            lookup: None,
        })
    }
}

/// `host:port`, with brackets where the host is an IPv6 address.
fn address(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// How a remote command ended.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Output {
    /// Exit status; `128 + n` when signal `n` ended it, as shells have it.
    pub status: i32,
    /// Standard output, lossily decoded.
    pub stdout: String,
    /// Standard error, lossily decoded.
    pub stderr: String,
}

/// What ends badly between us and a host. Every text says which host, what was tried and what came back.
#[derive(Debug, Error)]
pub enum TransportError {
    /// No TCP connection or no SSH handshake.
    #[error("`{machine}`: cannot connect to {address}: {why}")]
    Connect {
        /// The machine.
        machine: MachineName,
        /// `host:port`, and through which jump host.
        address: String,
        /// What came back.
        why: String,
    },
    /// The host key is not the pinned one.
    #[error(
        "`{machine}`: {address} has another host key than the recorded one: expected {}, met {met}",
        expected.join(" or ")
    )]
    HostKey {
        /// The machine.
        machine: MachineName,
        /// `host:port`.
        address: String,
        /// SHA-256 fingerprints that were expected.
        expected: Vec<String>,
        /// SHA-256 fingerprint that was met.
        met: String,
    },
    /// No key was accepted.
    #[error("`{machine}`: {address} refused to log in `{user}` ({tried})")]
    Auth {
        /// The machine.
        machine: MachineName,
        /// `host:port`.
        address: String,
        /// The user.
        user: String,
        /// What was tried, as `key /home/u/.ssh/id_ed25519, agent (2 keys)`.
        tried: String,
    },
    /// The private key cannot be used.
    #[error("`{machine}`: cannot use the key {path}: {why}")]
    Key {
        /// The machine.
        machine: MachineName,
        /// The file.
        path: String,
        /// Not there, encrypted, loose permissions, not a key.
        why: String,
    },
    /// The user's `ssh_config` cannot be followed.
    #[error("`{machine}`: the way there cannot be looked up: {why}")]
    Config {
        /// The machine.
        machine: MachineName,
        /// File, line and what is wrong there.
        why: String,
    },
    /// The passphrase of the private key is not to be had.
    #[error("`{machine}`: cannot use the key {path}: {error}")]
    Passphrase {
        /// The machine.
        machine: MachineName,
        /// The file.
        path: String,
        /// Why.
        error: SecretError,
    },
    /// Nothing came back for too long.
    #[error("`{machine}`: no answer within {limit_s} s while {doing}")]
    Timeout {
        /// The machine.
        machine: MachineName,
        /// What was being done.
        doing: String,
        /// The limit, seconds.
        limit_s: u64,
    },
    /// The connection broke.
    #[error("`{machine}`: the connection broke while {doing}: {why}")]
    Broken {
        /// The machine.
        machine: MachineName,
        /// What was being done.
        doing: String,
        /// What came back.
        why: String,
    },
}

impl TransportError {
    /// Whether the same attempt may succeed a little later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Timeout { .. } | Self::Broken { .. })
    }

    /// Adds what of the user's `ssh_config` was not honoured, where that may be why the login failed.
    fn with_notes(mut self, notes: &[String]) -> Self {
        if let Self::Connect { why: text, .. } | Self::Auth { tried: text, .. } = &mut self {
            for note in notes {
                text.push_str("; ");
                text.push_str(note);
            }
        }
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Connect { machine, .. } => {
                format!(
                    "check that the host is up and that its address and SSH port are right:\n  machine status {machine}"
                )
            }
            Self::HostKey { machine, .. } => format!(
                "someone may be in between; if the host was reinstalled, compare its key and take it over:\n  machine trust {machine}"
            ),
            Self::Auth { user, .. } => {
                format!("make sure that a key of yours is in the authorized_keys of `{user}` on the host")
            }
            Self::Passphrase { error, .. } => error.help(),
            Self::Key { path, why, .. } if why.contains("encrypted") => {
                format!("load it into the agent, or give a key without a passphrase:\n  ssh-add {}", quote(path))
            }
            Self::Key { path, why, .. } if why.contains("its mode") => {
                format!("let only its owner read it:\n  chmod 600 {}", quote(path))
            }
            Self::Key { .. } => {
                "give the path of a private key, or load one into ssh-agent and leave `ssh-key` out".to_owned()
            }
            Self::Config { .. } => {
                "correct that place; or give address, user and key yourself and set `ssh-config: false`".to_owned()
            }
            Self::Timeout { .. } | Self::Broken { .. } => {
                "run the same command again; what was done is recorded".to_owned()
            }
        }
    }
}

/// A stream to a socket on the host.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Called with each line the host prints on standard output while a command runs.
pub type LineSink<'a> = &'a mut (dyn FnMut(&str) + Send);

/// How long a command may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// In all.
    pub total: Duration,
    /// Without a byte from the host.
    pub idle: Duration,
}

impl Limits {
    /// For commands that answer at once.
    pub const SHORT: Self = Self { total: Duration::from_mins(1), idle: Duration::from_secs(30) };
    /// For installations.
    pub const LONG: Self = Self { total: Duration::from_hours(1), idle: Duration::from_mins(10) };
}

/// An open connection to one host; commands on it are multiplexed.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Runs `command` through the login shell, with `stdin` as standard input.
    async fn run(
        &self,
        command: &Sh,
        stdin: &[u8],
        limits: Limits,
        lines: LineSink<'_>,
    ) -> Result<Output, TransportError>;

    /// Opens a Unix socket on the host.
    async fn open_unix(&self, path: &str) -> Result<Pin<Box<dyn Stream>>, TransportError>;

    /// The host's public key, as `ssh-ed25519 AAAA…`.
    fn host_key(&self) -> String;

    /// The jump host's public key, if there is one in between.
    fn jump_key(&self) -> Option<String>;

    /// The public keys of all jump hosts on the way, in the order they were met.
    fn jump_keys(&self) -> Vec<String> {
        self.jump_key().into_iter().collect()
    }

    /// Whether commands must be prefixed to run as root: the login user is not root.
    fn needs_sudo(&self) -> bool;

    /// Whether the connection is known to be dead, so that a pool opens another.
    fn is_closed(&self) -> bool;
}

impl dyn Transport + '_ {
    /// Runs `script` as root with `sh`, given on standard input so that it shows in no process list.
    ///
    /// # Errors
    /// As [`Transport::run`].
    pub async fn run_as_root(
        &self,
        script: &Sh,
        limits: Limits,
        lines: LineSink<'_>,
    ) -> Result<Output, TransportError> {
        let shell = if self.needs_sudo() { Sh::text("sudo -n sh -s") } else { Sh::text("sh -s") };
        // A final newline, so that the last command is complete for shells that read line by line.
        let script = Zeroizing::new(format!("{script}\n"));
        self.run(&shell, script.as_bytes(), limits, lines).await
    }
}

/// Opens connections.
#[async_trait]
pub trait Connect: Send + Sync {
    /// Connects and logs in.
    async fn connect(&self, target: &Target) -> Result<Arc<dyn Transport>, TransportError>;

    /// From now on there are at most this many connections to one jump host.
    fn limit_bastions(&self, _most: usize) {}
}
