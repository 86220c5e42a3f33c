//! SSH by russh: host keys pinned, one connection per host, commands multiplexed on it.
//!
//! [`SshConnect`] opens connections and knows nothing of caching: [`super::pool::Pool`] keeps one per host.
//! russh changes often; nothing outside this folder names it.

mod handshake;
mod interactive;
mod jump;
mod keys;
mod login;
mod output;
mod pipe;
mod session;

pub use interactive::{Tty, interactive};
pub(super) use jump::JumpHost;
pub use keys::fingerprint;
pub use session::SshSession;

use super::{Connect, Stream, Target, Transport, TransportError};
use crate::{
    name::MachineName,
    secret::{NoSecrets, Reveal},
};
use async_trait::async_trait;
use handshake::Hop;
use std::{io, path::PathBuf, pin::Pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpStream, lookup_host},
    time::{Instant, sleep, timeout},
};

/// First pause between two attempts to reach a host that is booting; each is half again as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// How long it is tried again where this computer itself refuses: it has booted, and only a program on it may be late.
const REFUSED_HERE: Duration = Duration::from_secs(10);
/// How often a silent host is asked whether it is there, unless configured.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// What SSH takes from the surroundings of the user.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SshConfig {
    /// Home directory: `~/` in key paths, and where the default keys are.
    pub home: Option<PathBuf>,
    /// Socket of the SSH agent.
    pub agent: Option<PathBuf>,
    /// Type of the terminal, for interactive sessions.
    pub term: Option<String>,
    /// How often a silent host is asked whether it is there; four questions without an answer end the connection.
    /// `None`: every 15 seconds.
    pub keepalive: Option<Duration>,
}

/// Opens SSH connections; those through one jump host share a connection to it.
pub struct SshConnect {
    config: SshConfig,
    jumps: jump::Jumps,
    secrets: Arc<dyn Reveal>,
}

impl SshConnect {
    /// With these surroundings and no others.
    #[must_use]
    pub fn new(config: SshConfig) -> Self {
        let jumps = jump::Jumps::new(config.keepalive.unwrap_or(KEEPALIVE));
        Self { config, jumps, secrets: Arc::new(NoSecrets) }
    }

    /// The same, able to find out the passphrases of keys.
    #[must_use]
    pub fn with_secrets(self, secrets: Arc<dyn Reveal>) -> Self {
        Self { secrets, ..self }
    }

    /// With those of this process: `HOME`, `SSH_AUTH_SOCK`, `TERM`. Nothing else here reads the environment.
    #[must_use]
    pub fn from_env() -> Self {
        let path = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        Self::new(SshConfig {
            home: path("HOME"),
            agent: path("SSH_AUTH_SOCK"),
            term: std::env::var("TERM").ok(),
            keepalive: None,
        })
    }

    /// Connects and logs in, as [`Connect::connect`], but returns the type that [`interactive`] needs.
    ///
    /// # Errors
    /// Transient ones are retried until `target.patience` has passed; a wrong host key, an unusable key or a refused
    /// login are told at once.
    pub async fn open(&self, target: &Target) -> Result<Arc<SshSession>, TransportError> {
        // Before anything is sent: an unusable key must not be found out after minutes of waiting for a boot.
        let credentials = keys::Credentials::gather(&self.config, &self.secrets, target).await?;
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            match self.attempt(target, &credentials).await {
                Ok(session) => return Ok(Arc::new(session)),
                Err(Failure::Final(error)) => return Err(error),
                Err(failure @ (Failure::Transient(_) | Failure::RefusedHere(_))) => {
                    let (error, patience) = match failure {
                        Failure::RefusedHere(error) => (error, target.patience.min(REFUSED_HERE)),
                        Failure::Transient(error) | Failure::Final(error) => (error, target.patience),
                    };
                    let left = patience.saturating_sub(begun.elapsed());
                    if left.is_zero() {
                        return Err(error);
                    }
                    sleep(pause.min(left)).await;
                    pause = (pause * 3 / 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    async fn attempt(&self, target: &Target, credentials: &keys::Credentials) -> Result<SshSession, Failure> {
        let ssh = &target.ssh;
        let mut peer = Peer { machine: target.machine.clone(), address: address(&ssh.host, ssh.port) };
        let (stream, jump_key) = match &ssh.jump {
            None => (tcp(&peer, &ssh.host, ssh.port, target.connect_timeout).await?, None),
            Some(jump) => {
                let jump = jump::JumpHost::parse(jump, &ssh.user).map_err(|why| Failure::Final(peer.connect(why)))?;
                peer.address = format!("{} through {jump}", peer.address);
                let (stream, key) = self.jumps.reach(target, &jump, &peer, credentials).await?;
                (stream, Some(key))
            }
        };
        let keepalive = self.config.keepalive.unwrap_or(KEEPALIVE);
        let mut hop = Hop::shake(&peer, stream, &target.host_keys, target.connect_timeout, keepalive).await?;
        login::log_in(&peer, &mut hop, &ssh.user, credentials, target.connect_timeout).await?;
        Ok(SshSession::new(peer, hop, jump_key, ssh.user.clone(), self.config.term.clone()))
    }
}

#[async_trait]
impl Connect for SshConnect {
    async fn connect(&self, target: &Target) -> Result<Arc<dyn Transport>, TransportError> {
        Ok(self.open(target).await?)
    }
}

/// Whom we speak to, for error texts.
#[derive(Clone, Debug)]
struct Peer {
    machine: MachineName,
    address: String,
}

impl Peer {
    fn connect(&self, why: impl Into<String>) -> TransportError {
        TransportError::Connect { machine: self.machine.clone(), address: self.address.clone(), why: why.into() }
    }

    fn broken(&self, doing: impl Into<String>, why: impl Into<String>) -> TransportError {
        TransportError::Broken { machine: self.machine.clone(), doing: doing.into(), why: why.into() }
    }

    fn timeout(&self, doing: impl Into<String>, limit: Duration) -> TransportError {
        // A limit below a second exists in tests only; "0 s" would read as a mistake.
        TransportError::Timeout { machine: self.machine.clone(), doing: doing.into(), limit_s: limit.as_secs().max(1) }
    }
}

/// Whether the same attempt may succeed a little later.
#[derive(Debug)]
enum Failure {
    Transient(TransportError),
    /// Transient, but not for as long as a boot takes: nothing listens at an address of this computer.
    RefusedHere(TransportError),
    Final(TransportError),
}

/// `host:port`, with brackets where the host is an IPv6 address.
fn address(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Opens a TCP connection, trying each address the name has.
async fn tcp(peer: &Peer, host: &str, port: u16, limit: Duration) -> Result<Pin<Box<dyn Stream>>, Failure> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<_> = match timeout(limit, lookup_host((host, port))).await {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(e)) => {
            return Err(Failure::Final(peer.connect(format!("the name cannot be resolved: {}", io_text(&e)))));
        }
        Err(_) => return Err(Failure::Transient(peer.timeout(format!("resolving {host}"), limit))),
    };
    let mut last = Failure::Final(peer.connect("the name has no address"));
    // One address that swallows packets must not use up the time of all others.
    let each = limit / u32::try_from(addresses.len().max(1)).unwrap_or(1);
    for address in addresses {
        last = match timeout(each, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Without it small writes wait for the answer to the one before (Nagle); a failure costs speed only.
                let _ = stream.set_nodelay(true);
                return Ok(Box::pin(stream));
            }
            Ok(Err(e)) if e.kind() == io::ErrorKind::ConnectionRefused && address.ip().is_loopback() => {
                Failure::RefusedHere(peer.connect(io_text(&e)))
            }
            Ok(Err(e)) if is_transient(&e) => Failure::Transient(peer.connect(io_text(&e))),
            Ok(Err(e)) => Failure::Final(peer.connect(io_text(&e))),
            Err(_) => Failure::Transient(peer.connect(format!("no answer within {} s", limit.as_secs().max(1)))),
        };
    }
    Err(last)
}

/// Whether a host that is booting may answer so.
fn is_transient(e: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        e.kind(),
        Kind::ConnectionRefused
            | Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::TimedOut
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::BrokenPipe
            | Kind::UnexpectedEof
            | Kind::Interrupted
    )
}

/// The text of an I/O error as a lowercase fragment, without the number of the error.
fn io_text(e: &io::Error) -> String {
    let text = e.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_clients_take_them() {
        for (host, want) in
            [("h", "h:22"), ("10.0.0.1", "10.0.0.1:22"), ("fe80::1", "[fe80::1]:22"), ("[::1]", "[::1]:22")]
        {
            assert_eq!(address(host, 22), want);
        }
    }

    #[test]
    fn io_errors_read_as_fragments() {
        assert_eq!(io_text(&io::Error::from_raw_os_error(111)), "connection refused");
        assert_eq!(io_text(&io::Error::from_raw_os_error(113)), "no route to host");
    }

    #[test]
    fn only_what_a_booting_host_does_is_transient() {
        for (number, want) in
            [(111, true), (104, true), (110, true), (113, true), (101, true), (13, false), (99, false)]
        {
            assert_eq!(is_transient(&io::Error::from_raw_os_error(number)), want, "{number}");
        }
    }
}
