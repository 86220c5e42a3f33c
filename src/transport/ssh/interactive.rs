//! A person at a terminal, or a pipe, connected to a shell or a command on a host.

use super::{SshSession, TransportError, session::Ending, session::number};
use crate::quote::Sh;
use russh::ChannelMsg;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    termios::{self, OptionalActions, Termios, Winsize},
};
use std::{
    io::{self, Stdin},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{
        AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf,
        unix::{AsyncFd, AsyncFdReadyGuard},
    },
    signal::unix::{Signal, SignalKind, signal},
};

const DOING: &str = "running an interactive session";
/// How long the host may take to open a session.
const OPEN_LIMIT: Duration = Duration::from_secs(30);

/// Whether the host allocates a terminal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tty {
    /// When we have one: for a person.
    Ours,
    /// Never: what a command prints must arrive byte for byte, also where it is started from a terminal.
    Never,
}

/// Runs `command`, or the login shell, with our standard streams; returns its exit status.
///
/// With [`Tty::Ours`] and a terminal on standard input the host allocates one too, ours is raw meanwhile, and changes of
/// its size are passed on. Otherwise bytes pass unchanged. The terminal is restored however this ends.
///
/// # Errors
/// When the connection breaks or the host starts nothing.
pub async fn interactive(session: &SshSession, command: Option<&Sh>, tty: Tty) -> Result<i32, TransportError> {
    let output = tokio::io::stdout();
    let error = tokio::io::stderr();
    let local = |e: io::Error| session.peer.broken(DOING, format!("the terminal: {e}"));
    let before = if tty == Tty::Ours { termios::tcgetattr(io::stdin()).ok() } else { None };
    let Some(before) = before else {
        return match Polled::stdin() {
            Ok(input) => forward(session, command, None, input, output, error).await,
            // A file or /dev/null cannot be polled, but never keeps a reader waiting either.
            Err(_) => forward(session, command, None, tokio::io::stdin(), output, error).await,
        };
    };
    let terminal = Terminal {
        term: session.term.clone().unwrap_or_else(|| "xterm".to_owned()),
        size: termios::tcgetwinsize(io::stdin()).unwrap_or(UNKNOWN_SIZE),
        resized: signal(SignalKind::window_change()).map_err(local)?,
        interrupted: signal(SignalKind::interrupt()).map_err(local)?,
        quit: signal(SignalKind::quit()).map_err(local)?,
        terminated: signal(SignalKind::terminate()).map_err(local)?,
        hung_up: signal(SignalKind::hangup()).map_err(local)?,
    };
    let input = Polled::stdin().map_err(local)?;
    let _raw = Raw::set(before).map_err(local)?;
    forward(session, command, Some(terminal), input, output, error).await
}

const UNKNOWN_SIZE: Winsize = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };

/// The terminal the host is told of.
struct Terminal {
    term: String,
    size: Winsize,
    resized: Signal,
    interrupted: Signal,
    quit: Signal,
    terminated: Signal,
    hung_up: Signal,
}

/// What a signal to us asks for.
enum Asked {
    Resize,
    /// To end as the signal of this number would have ended us, but with the terminal restored.
    End(i32),
}

/// Puts the terminal back as it was.
struct Raw(Termios);

impl Raw {
    fn set(before: Termios) -> io::Result<Self> {
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // When even this fails the terminal is gone, and so is the user.
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Drain, &self.0);
    }
}

/// Standard input, asked whether it has something before it is read. tokio's own reads in a thread, and the program
/// could not end before one more key is pressed.
struct Polled(AsyncFd<Stdin>);

impl Polled {
    #[expect(deprecated, reason = "its successor is unsafe for owners that may close early; standard input stays open")]
    fn stdin() -> io::Result<Self> {
        AsyncFd::with_interest(io::stdin(), tokio::io::Interest::READABLE).map(Self)
    }
}

impl AsyncRead for Polled {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // We are told of what arrives only once, so being told is forgotten only when nothing is left; what arrives
        // after the question is told anew.
        loop {
            let mut ready: AsyncFdReadyGuard<'_, Stdin> = ready!(self.0.poll_read_ready(cx))?;
            if has_input()? {
                break;
            }
            ready.clear_ready();
        }
        let mut bytes = [0; 4096];
        let most = bytes.len().min(buf.remaining());
        // A terminal or pipe that is ready gives what it has and does not wait for more.
        let n = rustix::io::read(io::stdin(), &mut bytes[..most])?;
        buf.put_slice(&bytes[..n]);
        Poll::Ready(Ok(()))
    }
}

/// Whether reading standard input would not wait.
fn has_input() -> io::Result<bool> {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let stdin = io::stdin();
    Ok(poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&now))? > 0)
}

async fn forward(
    session: &SshSession,
    command: Option<&Sh>,
    mut terminal: Option<Terminal>,
    mut input: impl AsyncRead + Unpin,
    mut output: impl AsyncWrite + Unpin,
    mut error: impl AsyncWrite + Unpin,
) -> Result<i32, TransportError> {
    let mut channel = session.session(DOING, OPEN_LIMIT).await?;
    let (read, write) = channel.halves();
    let started = async {
        if let Some(Terminal { term, size, .. }) = &terminal {
            let (cols, rows) = (u32::from(size.ws_col), u32::from(size.ws_row));
            write.request_pty(false, term, cols, rows, size.ws_xpixel.into(), size.ws_ypixel.into(), &[]).await?;
        }
        match command {
            Some(command) => write.exec(true, command.as_str()).await,
            None => write.request_shell(true).await,
        }
    };
    if let Err(e) = started.await {
        return Err(session.broken(DOING, &e).await);
    }
    let upload = async {
        let mut buffer = vec![0; 32 << 10];
        loop {
            match input.read(&mut buffer).await {
                // Errors of writing: the channel is gone, which the reading side tells better.
                Ok(n) if n > 0 => {
                    if write.data_bytes(buffer[..n].to_vec()).await.is_err() {
                        break;
                    }
                }
                Ok(_) | Err(_) => {
                    let _ = write.eof().await;
                    break;
                }
            }
        }
    };
    let mut upload = Box::pin(upload);
    let mut uploading = true;
    let mut status = None;
    let ending = loop {
        let message = tokio::select! {
            message = read.wait() => message,
            () = upload.as_mut(), if uploading => { uploading = false; continue }
            asked = asked(&mut terminal) => {
                if let Asked::End(signal) = asked {
                    return Ok(128 + signal);
                }
                if let Ok(size) = termios::tcgetwinsize(io::stdin()) {
                    let (cols, rows) = (u32::from(size.ws_col), u32::from(size.ws_row));
                    let _ = write.window_change(cols, rows, size.ws_xpixel.into(), size.ws_ypixel.into()).await;
                }
                continue;
            }
        };
        let written = match message {
            Some(ChannelMsg::Data { data }) => write_out(&mut output, &data).await,
            Some(ChannelMsg::ExtendedData { data, ext: 1 }) => write_out(&mut error, &data).await,
            Some(ChannelMsg::ExitStatus { exit_status }) => {
                status = Some(i32::try_from(exit_status).unwrap_or(i32::MAX));
                Ok(())
            }
            Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                status = Some(128 + number(&signal_name));
                Ok(())
            }
            Some(ChannelMsg::Failure) => return Err(session.peer.broken(DOING, "the host refused to start it")),
            Some(ChannelMsg::Close) => break Ending::Closed,
            None => break Ending::Lost,
            Some(_) => Ok(()),
        };
        if let Err(e) = written {
            // As `ssh host yes | head` ends: the reader has gone, and the host is asked to stop.
            if e.kind() == io::ErrorKind::BrokenPipe {
                return Ok(128 + 13);
            }
            return Err(session.peer.broken(DOING, format!("our output: {e}")));
        }
    };
    drop(upload);
    channel.over(ending);
    match status {
        Some(status) => Ok(status),
        None => Err(session.cut_off(DOING, ending).await),
    }
}

async fn write_out(to: &mut (impl AsyncWrite + Unpin), data: &[u8]) -> io::Result<()> {
    to.write_all(data).await?;
    to.flush().await
}

/// Waits for a signal; for ever without a terminal, when signals do what they always do.
async fn asked(terminal: &mut Option<Terminal>) -> Asked {
    let Some(terminal) = terminal else { return std::future::pending().await };
    tokio::select! {
        _ = terminal.resized.recv() => Asked::Resize,
        // Sent by another program: what is typed goes to the host.
        _ = terminal.interrupted.recv() => Asked::End(2),
        _ = terminal.quit.recv() => Asked::End(3),
        _ = terminal.terminated.recv() => Asked::End(15),
        _ = terminal.hung_up.recv() => Asked::End(1),
    }
}
