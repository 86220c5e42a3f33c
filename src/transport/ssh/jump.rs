//! Hosts behind jump hosts: few connections to a jump host carry those to many hosts behind it.

use super::{
    Failure, Peer, SshConfig, Stream, TransportError,
    handshake::{Hop, error_text, other_host_key},
    keys::{self, Credentials},
    login, pipe, proxy, tcp,
};
use crate::transport::{
    address,
    route::{Route, Stop},
};
use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

/// How many hosts one connection to a jump host carries before there is a second.
const HOSTS_PER_LINK: usize = 64;
/// How many connections to one jump host there are at most, unless configured.
const LINKS: usize = 2;

/// Connections to jump hosts.
pub(super) struct Jumps {
    keepalive: Duration,
    links: AtomicUsize,
    slots: Mutex<BTreeMap<Vec<Stop>, Arc<tokio::sync::Mutex<Slot>>>>,
}

/// All connections to one jump host, by one way.
#[derive(Default)]
struct Slot {
    links: Vec<Arc<Link>>,
    /// When the last attempt failed, where and why: what waited for it meanwhile need not try again.
    failed: Option<(Instant, String, String)>,
}

struct Link {
    hop: Hop,
    /// Keys of the jump hosts on the way, this one's last.
    met: Vec<String>,
    room: Arc<Semaphore>,
}

/// One host more on a connection. Without a permit it is one more than was meant.
type Seat = (Arc<Link>, Option<OwnedSemaphorePermit>);

impl Slot {
    /// A connection with room for one more host; the emptiest when there may be no more connections than `most`.
    fn free(&mut self, most: usize) -> Option<Seat> {
        self.links.retain(|link| !link.hop.handle.is_closed());
        let roomy = self
            .links
            .iter()
            .find_map(|link| Some((Arc::clone(link), Some(Arc::clone(&link.room).try_acquire_owned().ok()?))));
        // A host more than was meant is no harm where a connection more is.
        let any = || self.links.iter().min_by_key(|link| Arc::strong_count(link)).map(|link| (Arc::clone(link), None));
        roomy.or_else(|| if self.links.len() < most { None } else { any() })
    }
}

/// What one attempt to reach a host goes by.
#[derive(Clone, Copy)]
pub(super) struct Way<'a> {
    pub(super) config: &'a SshConfig,
    pub(super) peer: &'a Peer,
    pub(super) route: &'a Route,
    /// Pinned keys of the jump hosts.
    pub(super) pins: &'a [String],
    pub(super) limit: Duration,
}

impl Way<'_> {
    /// The pinned keys of the jump host at this place: one each if they are as many, else any of them.
    fn pins_at(&self, place: usize) -> &[String] {
        let jumps = self.route.through().len();
        if jumps > 1 && self.pins.len() == jumps { &self.pins[place..=place] } else { self.pins }
    }

    fn limit_at(&self, stop: &Stop) -> Duration {
        stop.connect_timeout.unwrap_or(self.limit)
    }
}

type Reached = Result<(Pin<Box<dyn Stream>>, Vec<String>), Failure>;

impl Jumps {
    /// None yet. `links`: how many connections to one jump host there may be.
    pub(super) fn new(keepalive: Duration, links: Option<usize>) -> Self {
        Self { keepalive, links: AtomicUsize::new(links.unwrap_or(LINKS)), slots: Mutex::default() }
    }

    /// From now on there are at most this many connections to one jump host.
    pub(super) fn limit(&self, most: usize) {
        self.links.store(most, Ordering::Relaxed);
    }

    /// A stream to the stop at `place` of the way, and the keys of the jump hosts before it.
    pub(super) fn reach<'a>(
        &'a self,
        way: Way<'a>,
        place: usize,
    ) -> Pin<Box<dyn Future<Output = Reached> + Send + 'a>> {
        Box::pin(async move {
            let stop = &way.route.stops[place];
            let peer = peer_at(way, place);
            let limit = way.limit_at(stop);
            let Some(before) = place.checked_sub(1) else {
                let stream = match &stop.command {
                    Some(command) => proxy::stream(command).map_err(|why| Failure::Final(peer.connect(why)))?,
                    None => tcp(&peer, &stop.host, stop.port, limit).await?,
                };
                return Ok((stream, Vec::new()));
            };
            let (link, room) = self.link(way, before).await?;
            // The connection may be older than this target, and opened for one that pinned nothing.
            for (n, met) in link.met.iter().enumerate() {
                let pins = way.pins_at(n);
                if !pins.is_empty() && !keys::parse(met).is_some_and(|key| pins.iter().any(|pin| keys::same(pin, &key)))
                {
                    return Err(Failure::Final(other_host_key(&peer_at(way, n), pins, met)));
                }
            }
            let (host, port) = (stop.host.trim_matches(['[', ']']), u32::from(stop.port));
            let opening = link.hop.handle.channel_open_direct_tcpip(host, port, "127.0.0.1", 0);
            match timeout(limit, opening).await {
                Ok(Ok(channel)) => {
                    let met = link.met.clone();
                    Ok((Box::pin(pipe::Pipe::new(channel, (room, link))), met))
                }
                Ok(Err(russh::Error::ChannelOpenFailure(russh::ChannelOpenFailure::AdministrativelyProhibited))) => {
                    let why = "the jump host forbids forwarding; in its sshd_config it needs `AllowTcpForwarding yes`";
                    Err(Failure::Final(peer.connect(why)))
                }
                Ok(Err(russh::Error::ChannelOpenFailure(_))) => {
                    Err(Failure::Transient(peer.connect("the jump host cannot connect to it")))
                }
                Ok(Err(e)) => Err(Failure::Transient(peer.connect(link.hop.why(&error_text(&e)).await))),
                Err(_) => {
                    let why = format!("the jump host had no answer within {} s", limit.as_secs().max(1));
                    Err(Failure::Transient(peer.connect(why)))
                }
            }
        })
    }

    /// The connection to the jump host at `place`, opened if need be; those who ask meanwhile wait for it.
    async fn link(&self, way: Way<'_>, place: usize) -> Result<Seat, Failure> {
        let asked = Instant::now();
        let key = way.route.stops[..=place].to_vec();
        let slot = Arc::clone(self.slots.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default());
        let mut slot = slot.lock().await;
        if let Some(free) = slot.free(self.links.load(Ordering::Relaxed).max(1)) {
            return Ok(free);
        }
        if let Some((at, address, why)) = &slot.failed
            && *at > asked
        {
            let at_jump = Peer { machine: way.peer.machine.clone(), address: address.clone() };
            return Err(Failure::Transient(at_jump.connect(why)));
        }
        let opened = self.open(way, place).await;
        if let Err(
            Failure::Transient(TransportError::Connect { address, why, .. })
            | Failure::RefusedHere(TransportError::Connect { address, why, .. }),
        ) = &opened
        {
            slot.failed = Some((Instant::now(), address.clone(), why.clone()));
        }
        let (hop, met) = opened?;
        let link = Arc::new(Link { hop, met, room: Arc::new(Semaphore::new(HOSTS_PER_LINK)) });
        let room = Arc::clone(&link.room).try_acquire_owned();
        slot.links.push(Arc::clone(&link));
        Ok((link, Some(room.expect("a semaphore that is new and not closed has room"))))
    }

    async fn open(&self, way: Way<'_>, place: usize) -> Result<(Hop, Vec<String>), Failure> {
        let (stop, peer) = (&way.route.stops[place], peer_at(way, place));
        let limit = way.limit_at(stop);
        let credentials = Credentials::gather(way.config, &peer.machine, stop, None).await.map_err(Failure::Final)?;
        let (stream, mut met) = self.reach(way, place).await?;
        let keepalive = stop.keepalive.unwrap_or(self.keepalive);
        let mut hop = Hop::shake(&peer, stream, way.pins_at(place), limit, keepalive).await?;
        login::log_in(&peer, &mut hop, &stop.user, &credentials, limit).await?;
        met.push(hop.key.clone());
        Ok((hop, met))
    }
}

/// As messages name the host at this place.
fn peer_at(way: Way<'_>, place: usize) -> Peer {
    if place + 1 == way.route.stops.len() {
        return way.peer.clone();
    }
    let stop = &way.route.stops[place];
    Peer { machine: way.peer.machine.clone(), address: format!("{} (jump host)", address(&stop.host, stop.port)) }
}
