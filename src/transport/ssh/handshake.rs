//! The handshake with one host: algorithms, and whether its key is the pinned one. No login.

use super::{Failure, Peer, Stream, TransportError, io_text, is_transient, keys};
use crate::spoken::spoken;
use russh::{
    Preferred,
    client::{self, DisconnectReason, Handle},
    keys::{Algorithm, HashAlg, PublicKey, PublicKeyOrCertificate},
};
use std::{borrow::Cow, io, pin::Pin, sync::Arc, time::Duration};
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

/// How many questions may stay without an answer.
const KEEPALIVE_MAX: usize = 3;
/// After how many intervals without any traffic, keepalives included, a connection is given up; this also ends
/// handshakes and writes that hang, which keepalives do not see.
const SILENT_INTERVALS: u32 = 6;

/// An encrypted connection to a host whose key was checked.
pub(super) struct Hop {
    pub(super) handle: Handle<Client>,
    /// The host's key, as `ssh-ed25519 AAAA…`.
    pub(super) key: String,
    /// Why the connection ended, once it has.
    pub(super) ended: watch::Receiver<Option<String>>,
}

impl Hop {
    /// Shakes hands over `stream`. With no `pins` any key is accepted; [`Hop::key`] tells which it was.
    pub(super) async fn shake(
        peer: &Peer,
        stream: Pin<Box<dyn Stream>>,
        pins: &[String],
        limit: Duration,
        keepalive: Duration,
    ) -> Result<Self, Failure> {
        let (ended_tell, ended) = watch::channel(None);
        let (met_tell, met) = oneshot::channel();
        let client = Client { pins: pins.to_vec(), met: Some(met_tell), ended: ended_tell };
        let shaking = client::connect_stream(Arc::new(config(pins, keepalive)), stream, client);
        let handle = match timeout(limit, shaking).await {
            Ok(Ok(handle)) => handle,
            Ok(Err(refusal)) => return Err(refusal.failure(peer, pins)),
            Err(_) => {
                let why = format!("no SSH handshake within {} s", limit.as_secs().max(1));
                return Err(Failure::Transient(peer.connect(why)));
            }
        };
        let key = met.await.map_err(|_| Failure::Final(peer.connect("the host showed no host key")))?;
        Ok(Self { handle, key, ended })
    }

    /// Why the connection ended, or what `error` says if it has not.
    pub(super) async fn why(&self, error: &str) -> String {
        let mut ended = self.ended.clone();
        // Our side of a channel may hear of the end a moment before the reason is told.
        match timeout(Duration::from_secs(1), ended.wait_for(Option::is_some)).await {
            Ok(Ok(reason)) => reason.clone().unwrap_or_default(),
            Ok(Err(_)) | Err(_) => error.to_owned(),
        }
    }
}

fn config(pins: &[String], keepalive: Duration) -> client::Config {
    client::Config {
        keepalive_interval: Some(keepalive),
        keepalive_max: KEEPALIVE_MAX,
        inactivity_timeout: Some(keepalive * SILENT_INTERVALS),
        preferred: Preferred { key: Cow::Owned(host_key_algorithms(pins)), ..Preferred::DEFAULT },
        ..client::Config::default()
    }
}

/// The order in which kinds of host keys are asked for: the pinned ones first, so that a host with several keys shows
/// the one we know. The others stay, so that a changed host can be told from one that does not answer.
fn host_key_algorithms(pins: &[String]) -> Vec<Algorithm> {
    let pinned: Vec<Algorithm> = pins.iter().filter_map(|p| keys::parse(p)).map(|k| k.algorithm()).collect();
    let is_pinned = |offered: &Algorithm| match offered {
        // One RSA key signs with either hash.
        Algorithm::Rsa { .. } => pinned.iter().any(|p| matches!(p, Algorithm::Rsa { .. })),
        other => pinned.contains(other),
    };
    // RSA with SHA-1, as OpenSSH since 8.8 has it, is out.
    let offered = Preferred::DEFAULT.key.iter().filter(|a| **a != Algorithm::Rsa { hash: None }).cloned();
    let (mut first, rest): (Vec<_>, Vec<_>) = offered.partition(is_pinned);
    first.extend(rest);
    first
}

/// Our side of the handshake.
pub(super) struct Client {
    pins: Vec<String>,
    met: Option<oneshot::Sender<String>>,
    ended: watch::Sender<Option<String>>,
}

impl client::Handler for Client {
    type Error = Refusal;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Refusal> {
        let key = shown.public_key();
        if !self.pins.is_empty() && !self.pins.iter().any(|pin| keys::same(pin, &key)) {
            return Err(Refusal::HostKey(key));
        }
        if let Some(tell) = self.met.take() {
            // There is no receiver when the attempt was given up.
            let _ = tell.send(keys::line(&key));
        }
        Ok(true)
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Refusal>) -> Result<(), Refusal> {
        let text = match reason {
            DisconnectReason::ReceivedDisconnect(info) if info.message.is_empty() => "the host ended it".to_owned(),
            DisconnectReason::ReceivedDisconnect(info) => format!("the host ended it: {}", info.message),
            DisconnectReason::Error(refusal) => refusal.text(),
        };
        self.ended.send_replace(Some(text));
        Ok(())
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum Refusal {
    Ssh(russh::Error),
    HostKey(PublicKey),
}

impl From<russh::Error> for Refusal {
    fn from(e: russh::Error) -> Self {
        Self::Ssh(e)
    }
}

impl Refusal {
    fn failure(self, peer: &Peer, pins: &[String]) -> Failure {
        match self {
            Self::HostKey(met) => Failure::Final(other_host_key(peer, pins, &keys::line(&met))),
            Self::Ssh(ref e) => {
                let transient = match e {
                    russh::Error::IO(e) => is_transient(e),
                    russh::Error::Disconnect
                    | russh::Error::HUP
                    | russh::Error::ConnectionTimeout
                    | russh::Error::InactivityTimeout
                    | russh::Error::RecvError
                    | russh::Error::SendError => true,
                    _ => false,
                };
                let error = peer.connect(self.text());
                if transient { Failure::Transient(error) } else { Failure::Final(error) }
            }
        }
    }

    fn text(&self) -> String {
        match self {
            Self::HostKey(met) => format!("another host key: {}", met.fingerprint(HashAlg::Sha256)),
            Self::Ssh(e) => error_text(e),
        }
    }
}

/// The error for a host that shows `met` instead of one of `pins`.
pub(super) fn other_host_key(peer: &Peer, pins: &[String], met: &str) -> TransportError {
    let told = |line: &String| keys::fingerprint(line).unwrap_or_else(|| format!("an unreadable key (`{line}`)"));
    TransportError::HostKey {
        machine: peer.machine.clone(),
        address: peer.address.clone(),
        expected: pins.iter().map(told).collect(),
        met: told(&met.to_owned()),
    }
}

/// What a host does that ends a connection before it is one.
const CLOSED: &str = "the host closed the connection";

/// What russh says, as a fragment for people.
pub(super) fn error_text(e: &russh::Error) -> String {
    match e {
        // Whether reading or writing meets it first is chance.
        russh::Error::IO(e) if matches!(e.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof) => {
            CLOSED.to_owned()
        }
        russh::Error::IO(e) => io_text(e),
        russh::Error::Disconnect | russh::Error::HUP | russh::Error::RecvError | russh::Error::SendError => {
            CLOSED.to_owned()
        }
        russh::Error::KeepaliveTimeout | russh::Error::InactivityTimeout => "the host stopped answering".to_owned(),
        russh::Error::Version => "it does not speak SSH".to_owned(),
        russh::Error::NoCommonAlgo { kind, theirs, .. } => {
            let kind = spoken(&format!("{kind:?}"));
            format!("no {} algorithm in common; it offers {}", kind.to_lowercase(), theirs.join(", "))
        }
        russh::Error::ChannelOpenFailure(reason) => {
            format!("the host refused to open a channel ({})", spoken(&format!("{reason:?}")))
        }
        other => spoken(&other.to_string()).to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqrOOcFoe9E/+N+DZJA5m+P8jQAysZpNbfWGyydC+YF";

    #[test]
    fn pinned_kinds_are_asked_for_first_and_sha1_never() {
        let unpinned = host_key_algorithms(&[]);
        assert!(!unpinned.contains(&Algorithm::Rsa { hash: None }));
        let ecdsa = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBFk/Il5OFlR+6hx1bIskXH+pjOVTPw6UjUXEILAtZPK2dlNsP3cL3cZap9iBdcpZl58e6oREKdNwAkwYtIHpv80=";
        let pinned = host_key_algorithms(&[ecdsa.to_owned()]);
        assert_eq!(pinned[0].as_str(), "ecdsa-sha2-nistp256");
        assert_eq!(pinned.len(), unpinned.len());
        assert_eq!(host_key_algorithms(&[ED25519.to_owned()])[0], Algorithm::Ed25519);
    }

    #[test]
    fn a_host_that_hangs_up_is_told_the_same_by_readers_and_writers() {
        for kind in [io::ErrorKind::BrokenPipe, io::ErrorKind::UnexpectedEof] {
            assert_eq!(error_text(&russh::Error::IO(kind.into())), error_text(&russh::Error::Disconnect), "{kind}");
        }
        assert_eq!(error_text(&russh::Error::IO(io::ErrorKind::TimedOut.into())), "timed out");
    }

    #[test]
    fn a_pin_that_cannot_be_read_is_no_pin_for_everything() {
        let peer = Peer { machine: crate::name::MachineName::new("m").unwrap(), address: "h:22".into() };
        let TransportError::HostKey { expected, met, .. } = other_host_key(&peer, &["nonsense".into()], ED25519) else {
            panic!("another error")
        };
        assert_eq!(expected, ["an unreadable key (`nonsense`)"]);
        assert!(met.starts_with("SHA256:"), "{met}");
    }
}
