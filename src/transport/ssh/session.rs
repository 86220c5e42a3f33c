//! An open connection to one host: commands and sockets multiplexed on it.

use super::{
    Peer, Stream, Transport, TransportError,
    handshake::{Hop, error_text},
    output::{Lines, Tail},
    pipe::Pipe,
};
use crate::{
    quote::Sh,
    transport::{Limits, LineSink, Output},
};
use async_trait::async_trait;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig, client::Msg};
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, sleep_until, timeout},
};

/// Commands at a time. OpenSSH's `MaxSessions` is 10 unless set; the rest is for those that are just ending there.
const SESSIONS: usize = 8;
/// How long to ask for a session when the host refuses even one.
const SLOT_LIMIT: Duration = Duration::from_secs(10);
/// Pause between two such questions.
const SLOT_PAUSE: Duration = Duration::from_millis(200);
/// How long the output may stay open after the command has ended, silent: what it left in the background holds it.
const AFTER_EXIT: Duration = Duration::from_secs(5);
/// How long a host may take to open a socket.
const OPEN_LIMIT: Duration = Duration::from_secs(30);

/// An open connection to one host.
pub struct SshSession {
    pub(super) peer: Peer,
    pub(super) term: Option<String>,
    hop: Hop,
    jump_keys: Vec<String>,
    user: String,
    slots: Arc<Semaphore>,
    /// How many sessions the host allows, as far as we know.
    allowed: AtomicUsize,
}

impl SshSession {
    pub(super) fn new(peer: Peer, hop: Hop, jump_keys: Vec<String>, user: String, term: Option<String>) -> Self {
        let slots = Arc::new(Semaphore::new(SESSIONS));
        Self { peer, term, hop, jump_keys, user, slots, allowed: AtomicUsize::new(SESSIONS) }
    }

    /// Opens a session on the host, once there is a slot for it; opening itself may take `limit`.
    pub(super) async fn session(&self, doing: &str, limit: Duration) -> Result<Session, TransportError> {
        let mut deadline = None;
        loop {
            let slot = Arc::clone(&self.slots).acquire_owned().await.expect("the semaphore is never closed");
            match timeout(limit, self.hop.handle.channel_open_session()).await {
                Ok(Ok(channel)) => return Ok(Session::new(channel, slot)),
                // The host allows fewer than we thought: keep the slot from ever being used again.
                Ok(Err(russh::Error::ChannelOpenFailure(_))) if self.learn_fewer() => slot.forget(),
                // Commands that were given up count until they have ended there, of which we are not told.
                Ok(Err(russh::Error::ChannelOpenFailure(_)))
                    if Instant::now() < *deadline.get_or_insert_with(|| Instant::now() + limit.min(SLOT_LIMIT)) =>
                {
                    sleep(SLOT_PAUSE).await;
                }
                Ok(Err(e)) => return Err(self.broken(doing, &e).await),
                Err(_) => return Err(self.peer.timeout(doing, limit)),
            }
        }
    }

    /// Whether there was more than one session to allow.
    fn learn_fewer(&self) -> bool {
        let fewer = |n: usize| (n > 1).then(|| n - 1);
        self.allowed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer).is_ok()
    }

    pub(super) async fn broken(&self, doing: &str, error: &russh::Error) -> TransportError {
        let text = error_text(error);
        if matches!(error, russh::Error::ChannelOpenFailure(_)) {
            return self.peer.broken(doing, text);
        }
        self.peer.broken(doing, self.hop.why(&text).await)
    }

    /// The error for a channel that ended without saying how the command did.
    pub(super) async fn cut_off(&self, doing: &str, ending: Ending) -> TransportError {
        match ending {
            Ending::Closed => self.peer.broken(doing, "the host closed the channel without an exit status"),
            Ending::Lost => self.peer.broken(doing, self.hop.why("the connection was lost").await),
        }
    }
}

/// How a channel ended.
#[derive(Clone, Copy)]
pub(super) enum Ending {
    /// By the host.
    Closed,
    /// With the connection.
    Lost,
}

/// A session channel. Dropped before its command has ended, it asks the host to end it.
pub(super) struct Session {
    pub(super) read: ChannelReadHalf,
    write: Option<(ChannelWriteHalf<Msg>, OwnedSemaphorePermit)>,
    running: bool,
}

impl Session {
    fn new(channel: Channel<Msg>, slot: OwnedSemaphorePermit) -> Self {
        let (read, write) = channel.split();
        Self { read, write: Some((write, slot)), running: true }
    }

    /// Both halves, to use at the same time.
    pub(super) fn halves(&mut self) -> (&mut ChannelReadHalf, &ChannelWriteHalf<Msg>) {
        let (write, _) = self.write.as_ref().expect("the half is taken only when the session is over");
        (&mut self.read, write)
    }

    /// The command has ended: there is nothing to end on the host.
    pub(super) fn over(mut self, ending: Ending) {
        self.running = false;
        if matches!(ending, Ending::Closed) {
            self.write = None;
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some((write, slot)) = self.write.take() else { return };
        // Outside a runtime the connection is gone too.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let running = self.running;
        runtime.spawn(async move {
            // Closing alone lets a silent command run on: OpenSSH only closes its pipes. It passes signals to all
            // but root's commands; those end at their next write. Errors: it is gone already.
            if running {
                let _ = write.signal(Sig::TERM).await;
            }
            let _ = write.close().await;
            drop(slot);
        });
    }
}

#[async_trait]
impl Transport for SshSession {
    async fn run(
        &self,
        command: &Sh,
        stdin: &[u8],
        limits: Limits,
        lines: LineSink<'_>,
    ) -> Result<Output, TransportError> {
        // The command itself is not named: it may hold a secret.
        let doing = "running a command";
        let mut session = self.session(doing, limits.idle).await?;
        let total = Instant::now() + limits.total;
        let (read, write) = session.halves();
        if let Err(e) = write.exec(true, command.as_str()).await {
            return Err(self.broken(doing, &e).await);
        }
        let (mut stdout, mut stderr, mut told) = (Tail::default(), Tail::default(), Lines::default());
        let mut status = None;
        let upload = async {
            // An error means that the channel is gone, which the reading side tells better.
            if write.data_bytes(stdin.to_vec()).await.is_ok() {
                let _ = write.eof().await;
            }
        };
        let mut upload = Box::pin(upload);
        let mut uploading = true;
        let mut idle = Instant::now() + limits.idle;
        let ending = loop {
            let message = tokio::select! {
                message = read.wait() => message,
                // Polled in the same breath as reading: a full window on one side never keeps us from the other.
                () = upload.as_mut(), if uploading => { uploading = false; continue }
                () = sleep_until(total.min(idle)) => {
                    if status.is_some() {
                        break Ending::Lost;
                    }
                    return Err(if total <= idle {
                        self.peer.timeout("waiting for a command to end", limits.total)
                    } else {
                        self.peer.timeout("waiting for a command to print something", limits.idle)
                    });
                }
            };
            let wait = if status.is_some() { limits.idle.min(AFTER_EXIT) } else { limits.idle };
            idle = Instant::now() + wait;
            match message {
                Some(ChannelMsg::Data { data }) => {
                    told.push(&data, lines);
                    stdout.push(&data);
                }
                Some(ChannelMsg::ExtendedData { data, ext: 1 }) => stderr.push(&data),
                Some(ChannelMsg::ExitStatus { exit_status }) => {
                    status = Some(i32::try_from(exit_status).unwrap_or(i32::MAX));
                    idle = Instant::now() + limits.idle.min(AFTER_EXIT);
                }
                Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                    status = Some(128 + number(&signal_name));
                    idle = Instant::now() + limits.idle.min(AFTER_EXIT);
                }
                Some(ChannelMsg::Failure) => {
                    return Err(self.peer.broken(doing, "the host refused to start it"));
                }
                Some(ChannelMsg::Close) => break Ending::Closed,
                None => break Ending::Lost,
                Some(_) => {}
            }
        };
        drop(upload);
        told.finish(lines);
        session.over(ending);
        match status {
            Some(status) => Ok(Output { status, stdout: stdout.into_text(), stderr: stderr.into_text() }),
            None => Err(self.cut_off(doing, ending).await),
        }
    }

    async fn open_unix(&self, path: &str) -> Result<Pin<Box<dyn Stream>>, TransportError> {
        let doing = format!("opening {path} on the host");
        match timeout(OPEN_LIMIT, self.hop.handle.channel_open_direct_streamlocal(path)).await {
            Ok(Ok(channel)) => Ok(Box::pin(Pipe::new(channel, ()))),
            Ok(Err(e)) => Err(self.broken(&doing, &e).await),
            Err(_) => Err(self.peer.timeout(doing, OPEN_LIMIT)),
        }
    }

    fn host_key(&self) -> String {
        self.hop.key.clone()
    }

    fn jump_key(&self) -> Option<String> {
        self.jump_keys.last().cloned()
    }

    fn jump_keys(&self) -> Vec<String> {
        self.jump_keys.clone()
    }

    fn needs_sudo(&self) -> bool {
        self.user != "root"
    }

    fn is_closed(&self) -> bool {
        self.hop.handle.is_closed()
    }
}

/// The number of a signal on Linux (signal(7)), which is what hosts run; 0 when the name says nothing.
pub(super) fn number(signal: &Sig) -> i32 {
    match signal {
        Sig::HUP => 1,
        Sig::INT => 2,
        Sig::QUIT => 3,
        Sig::ILL => 4,
        Sig::ABRT => 6,
        Sig::FPE => 8,
        Sig::KILL => 9,
        Sig::USR1 => 10,
        Sig::SEGV => 11,
        Sig::PIPE => 13,
        Sig::ALRM => 14,
        Sig::TERM => 15,
        // OpenSSH adds `@openssh.com` to names that RFC 4254 does not have.
        Sig::Custom(name) => match name.split('@').next().unwrap_or_default() {
            "TRAP" => 5,
            "BUS" => 7,
            "USR2" => 12,
            "XCPU" => 24,
            "XFSZ" => 25,
            "SYS" => 31,
            _ => 0,
        },
    }
}
