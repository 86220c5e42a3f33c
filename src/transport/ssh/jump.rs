//! Hosts behind a jump host: one connection to the jump host carries those to many hosts behind it.

use super::{
    Failure, Peer, Stream, Target, TransportError, address,
    handshake::{Hop, error_text, other_host_key},
    keys::{self, Credentials},
    login, pipe, tcp,
};
use std::{
    collections::BTreeMap,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

/// How many hosts one connection to a jump host carries; for more there is a second.
const HOSTS_PER_LINK: usize = 64;

/// Where to jump, and as whom.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(in crate::transport) struct JumpHost {
    user: String,
    host: String,
    port: u16,
}

impl JumpHost {
    /// Reads `user@host:port`. Without a user it is `user`, the one of the host behind; without a port, 22.
    pub(in crate::transport) fn parse(text: &str, user: &str) -> Result<Self, String> {
        let (user, rest) = text.rsplit_once('@').unwrap_or((user, text));
        let (host, port) = match rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
            Some((host, "")) => (host, "22"),
            Some((host, port)) => (host, port.trim_start_matches(':')),
            // More than one colon without brackets is an IPv6 address.
            None if rest.matches(':').count() > 1 => (rest, "22"),
            None => rest.split_once(':').unwrap_or((rest, "22")),
        };
        match port.parse() {
            Ok(port) if port != 0 && !host.is_empty() && !user.is_empty() => {
                Ok(Self { user: user.to_owned(), host: host.to_owned(), port })
            }
            _ => Err(format!("`{text}` is not a jump host; write `user@host:port`")),
        }
    }

    /// Whom it logs in.
    pub(in crate::transport) fn user(&self) -> &str {
        &self.user
    }

    /// Its name or address.
    pub(in crate::transport) fn host(&self) -> &str {
        &self.host
    }

    /// Where its SSH server listens.
    pub(in crate::transport) fn port(&self) -> u16 {
        self.port
    }
}

/// As messages name it.
impl fmt::Display for JumpHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.user, address(&self.host, self.port))
    }
}

/// Connections to jump hosts.
pub(super) struct Jumps {
    keepalive: Duration,
    slots: Mutex<BTreeMap<Route, Arc<tokio::sync::Mutex<Slot>>>>,
}

/// A jump host, and the key that opens it.
type Route = (JumpHost, Option<String>);

/// All connections to one jump host.
#[derive(Default)]
struct Slot {
    links: Vec<Arc<Link>>,
    /// When the last attempt failed, where and why: what waited for it meanwhile need not try again.
    failed: Option<(Instant, String, String)>,
}

struct Link {
    hop: Hop,
    room: Arc<Semaphore>,
}

impl Slot {
    /// A connection with room for one more host.
    fn free(&mut self) -> Option<(Arc<Link>, OwnedSemaphorePermit)> {
        self.links.retain(|link| !link.hop.handle.is_closed());
        self.links.iter().find_map(|link| Some((Arc::clone(link), Arc::clone(&link.room).try_acquire_owned().ok()?)))
    }
}

impl Jumps {
    /// None yet.
    pub(super) fn new(keepalive: Duration) -> Self {
        Self { keepalive, slots: Mutex::default() }
    }

    /// The connection to use, opened if need be; those who ask meanwhile wait for it.
    async fn link(
        &self,
        target: &Target,
        jump: &JumpHost,
        peer: &Peer,
        credentials: &Credentials,
    ) -> Result<(Arc<Link>, OwnedSemaphorePermit), Failure> {
        let asked = Instant::now();
        let route = (jump.clone(), target.ssh.key.clone());
        let slot = Arc::clone(self.slots.lock().unwrap_or_else(PoisonError::into_inner).entry(route).or_default());
        let mut slot = slot.lock().await;
        if let Some(free) = slot.free() {
            return Ok(free);
        }
        if let Some((at, address, why)) = &slot.failed
            && *at > asked
        {
            let at_jump = Peer { machine: peer.machine.clone(), address: address.clone() };
            return Err(Failure::Transient(at_jump.connect(why)));
        }
        let opened = self.open(target, jump, peer, credentials).await;
        if let Err(
            Failure::Transient(TransportError::Connect { address, why, .. })
            | Failure::RefusedHere(TransportError::Connect { address, why, .. }),
        ) = &opened
        {
            slot.failed = Some((Instant::now(), address.clone(), why.clone()));
        }
        let link = Arc::new(Link { hop: opened?, room: Arc::new(Semaphore::new(HOSTS_PER_LINK)) });
        let room = Arc::clone(&link.room).try_acquire_owned();
        slot.links.push(Arc::clone(&link));
        Ok((link, room.expect("a semaphore that is new and not closed has room")))
    }

    async fn open(
        &self,
        target: &Target,
        jump: &JumpHost,
        peer: &Peer,
        credentials: &Credentials,
    ) -> Result<Hop, Failure> {
        let peer = Peer { machine: peer.machine.clone(), address: at_jump(jump) };
        let limit = target.connect_timeout;
        let stream = tcp(&peer, &jump.host, jump.port, limit).await?;
        let mut hop = Hop::shake(&peer, stream, &target.jump_keys, limit, self.keepalive).await?;
        login::log_in(&peer, &mut hop, &jump.user, credentials, limit).await?;
        Ok(hop)
    }

    /// A stream to `target` through `jump`, and the jump host's key.
    pub(super) async fn reach(
        &self,
        target: &Target,
        jump: &JumpHost,
        peer: &Peer,
        credentials: &Credentials,
    ) -> Result<(Pin<Box<dyn Stream>>, String), Failure> {
        let (link, room) = self.link(target, jump, peer, credentials).await?;
        // The connection may be older than this target, and opened for one that pinned nothing.
        let met = &link.hop.key;
        if !target.jump_keys.is_empty() {
            let known = keys::parse(met).is_some_and(|key| target.jump_keys.iter().any(|pin| keys::same(pin, &key)));
            if !known {
                let at_jump = Peer { machine: peer.machine.clone(), address: at_jump(jump) };
                return Err(Failure::Final(other_host_key(&at_jump, &target.jump_keys, met)));
            }
        }
        let (host, port) = (target.ssh.host.trim_matches(['[', ']']), u32::from(target.ssh.port));
        let opening = link.hop.handle.channel_open_direct_tcpip(host, port, "127.0.0.1", 0);
        match timeout(target.connect_timeout, opening).await {
            Ok(Ok(channel)) => Ok((Box::pin(pipe::Pipe::new(channel, Some((room, Arc::clone(&link))))), met.clone())),
            Ok(Err(russh::Error::ChannelOpenFailure(russh::ChannelOpenFailure::AdministrativelyProhibited))) => {
                Err(Failure::Final(peer.connect("the jump host forbids forwarding")))
            }
            Ok(Err(russh::Error::ChannelOpenFailure(_))) => {
                Err(Failure::Transient(peer.connect("the jump host cannot connect to it")))
            }
            Ok(Err(e)) => Err(Failure::Transient(peer.connect(link.hop.why(&error_text(&e)).await))),
            Err(_) => {
                let why = format!("the jump host had no answer within {} s", target.connect_timeout.as_secs().max(1));
                Err(Failure::Transient(peer.connect(why)))
            }
        }
    }
}

fn at_jump(jump: &JumpHost) -> String {
    format!("{} (jump host)", address(&jump.host, jump.port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_host_is_read_with_and_without_user_and_port() {
        for (text, want) in [
            ("u@h:2222", "u@h:2222"),
            ("h", "me@h:22"),
            ("h:24", "me@h:24"),
            ("u@[fe80::1]:24", "u@[fe80::1]:24"),
            ("[::1]", "me@[::1]:22"),
            ("::1", "me@[::1]:22"),
        ] {
            assert_eq!(JumpHost::parse(text, "me").unwrap().to_string(), want, "{text}");
        }
        for wrong in ["", "u@", "h:x", "h:0", "@h", "h:99999"] {
            assert!(JumpHost::parse(wrong, "me").is_err(), "{wrong}");
        }
    }
}
