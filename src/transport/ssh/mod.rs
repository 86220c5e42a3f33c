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
mod proxy;
mod session;

pub use interactive::{Tty, interactive};
pub use keys::{fingerprint, is_shut};
pub use session::SshSession;

use super::{
    Connect, Stream, Target, Transport, TransportError, address,
    route::{Asker, Route, Stop},
    ssh_config::{Rules, SshConfigError, files},
};
use crate::{
    name::MachineName,
    secret::{NoSecrets, Reveal},
};
use async_trait::async_trait;
use handshake::Hop;
use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
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
    /// How many connections to one jump host there may be; `None`: two.
    pub bastion_sessions: Option<usize>,
    /// Variables that an `ssh_config` may refer to.
    pub vars: BTreeMap<String, String>,
}

/// Opens SSH connections; those through one jump host share a connection to it.
pub struct SshConnect {
    config: SshConfig,
    jumps: jump::Jumps,
    /// Each `ssh_config` is read once.
    rules: Mutex<BTreeMap<files::Source, Result<Arc<Rules>, SshConfigError>>>,
    secrets: Arc<dyn Reveal>,
}

impl SshConnect {
    /// With these surroundings and no others.
    #[must_use]
    pub fn new(config: SshConfig) -> Self {
        let jumps = jump::Jumps::new(config.keepalive.unwrap_or(KEEPALIVE), config.bastion_sessions);
        Self { config, jumps, rules: Mutex::default(), secrets: Arc::new(NoSecrets) }
    }

    /// The same, able to find out the passphrases of keys.
    #[must_use]
    pub fn with_secrets(self, secrets: Arc<dyn Reveal>) -> Self {
        Self { secrets, ..self }
    }

    /// With those of this process: `HOME`, `SSH_AUTH_SOCK`, `TERM`, `MACHINE_BASTION_SESSIONS`, and what an `ssh_config`
    /// refers to. Nothing else here reads the environment.
    #[must_use]
    pub fn from_env() -> Self {
        let path = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        Self::new(SshConfig {
            home: path("HOME"),
            agent: path("SSH_AUTH_SOCK"),
            term: std::env::var("TERM").ok(),
            keepalive: None,
            bastion_sessions: std::env::var("MACHINE_BASTION_SESSIONS").ok().and_then(|n| n.parse().ok()),
            vars: std::env::vars_os()
                .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
                .collect(),
        })
    }

    /// The way to a host, looked up in an `ssh_config` if it is to be.
    ///
    /// # Errors
    /// When what is recorded or looked up leads nowhere.
    pub fn route(&self, target: &Target) -> Result<Route, TransportError> {
        let wrong = |why: String| TransportError::Config { machine: target.machine.clone(), why };
        let Some(lookup) = &target.lookup else { return Route::recorded(target).map_err(wrong) };
        let home = self.config.home.as_deref();
        let mut known = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let rules = known
            .entry(lookup.source.clone())
            .or_insert_with(|| files::read(&lookup.source, home).map(Arc::new))
            .clone();
        drop(known);
        let asker = Asker {
            user: files::local_user(&self.config.vars),
            home: home.map(|home| home.display().to_string()).unwrap_or_default(),
            vars: self.config.vars.clone(),
        };
        rules.and_then(|rules| Route::looked_up(target, lookup, &rules, &asker)).map_err(|e| wrong(e.to_string()))
    }

    /// Connects and logs in, as [`Connect::connect`], but returns the type that [`interactive`] needs.
    ///
    /// # Errors
    /// Transient ones are retried until `target.patience` has passed; a wrong host key, an unusable key or a refused
    /// login are told at once.
    pub async fn open(&self, target: &Target) -> Result<Arc<SshSession>, TransportError> {
        // Before anything is sent: an unusable key must not be found out after minutes of waiting for a boot.
        let route = self.route(target)?;
        let passphrase = target.ssh.passphrase.as_ref();
        let unlock = passphrase.map(|passphrase| keys::Unlock { secrets: &self.secrets, passphrase });
        let credentials = keys::Credentials::gather(&self.config, &target.machine, route.last(), unlock).await?;
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            match self.attempt(target, &route, &credentials).await {
                Ok(session) => return Ok(Arc::new(session)),
                Err(Failure::Final(error)) => return Err(error.with_notes(&route.warnings)),
                Err(failure @ (Failure::Transient(_) | Failure::RefusedHere(_))) => {
                    let (error, patience) = match failure {
                        Failure::RefusedHere(error) => (error, target.patience.min(REFUSED_HERE)),
                        Failure::Transient(error) | Failure::Final(error) => (error, target.patience),
                    };
                    let left = patience.saturating_sub(begun.elapsed());
                    if left.is_zero() {
                        return Err(error.with_notes(&route.warnings));
                    }
                    sleep(pause.min(left)).await;
                    pause = (pause * 3 / 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    async fn attempt(
        &self,
        target: &Target,
        route: &Route,
        credentials: &keys::Credentials,
    ) -> Result<SshSession, Failure> {
        let stop = route.last();
        let through: Vec<String> = route.through().iter().map(Stop::to_string).collect();
        let mut at = address(&stop.host, stop.port);
        if !through.is_empty() {
            at = format!("{at} through {}", through.join(", "));
        }
        let peer = Peer { machine: target.machine.clone(), address: at };
        let limit = stop.connect_timeout.unwrap_or(target.connect_timeout);
        let way = jump::Way {
            config: &self.config,
            peer: &peer,
            route,
            pins: &target.jump_keys,
            limit: target.connect_timeout,
        };
        let (stream, jump_keys) = self.jumps.reach(way, route.stops.len() - 1).await?;
        let keepalive = stop.keepalive.or(self.config.keepalive).unwrap_or(KEEPALIVE);
        let mut hop = Hop::shake(&peer, stream, &target.host_keys, limit, keepalive).await?;
        login::log_in(&peer, &mut hop, &stop.user, credentials, limit).await?;
        Ok(SshSession::new(peer, hop, jump_keys, stop.user.clone(), self.config.term.clone()))
    }
}

#[async_trait]
impl Connect for SshConnect {
    async fn connect(&self, target: &Target) -> Result<Arc<dyn Transport>, TransportError> {
        Ok(self.open(target).await?)
    }

    fn limit_bastions(&self, most: usize) {
        self.jumps.limit(most);
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
pub(super) fn io_text(e: &io::Error) -> String {
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
