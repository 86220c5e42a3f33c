//! A channel as a stream of bytes, fit to carry another protocol.
//!
//! russh stops reading the whole connection while one channel's queue is full, window adjustments included. A reader
//! that is itself waiting to write would then wait for ever, so a task of its own empties the queue.

use russh::{Channel, ChannelMsg, client::Msg};
use std::{
    any::Any,
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{mpsc, oneshot},
};

/// How much may wait to be read before the channel is given up. What travels in it has windows of its own, far smaller.
const MOST_WAITING: usize = 64 << 20;

/// Both directions of a channel.
pub(super) struct Pipe {
    incoming: mpsc::UnboundedReceiver<Vec<u8>>,
    current: Vec<u8>,
    read: usize,
    waiting: Arc<AtomicUsize>,
    outgoing: Pin<Box<dyn AsyncWrite + Send>>,
    /// Resolves when the channel has ended: russh does not wake writers that wait for a window then.
    ended: oneshot::Receiver<()>,
    has_ended: bool,
    /// Tells the task that the reader has gone.
    _alive: oneshot::Sender<()>,
}

impl Pipe {
    /// Takes over `channel`, and keeps `with` until the channel is closed. Needs a runtime.
    pub(super) fn new<T: Any + Send>(channel: Channel<Msg>, with: T) -> Self {
        let (mut read, write) = channel.split();
        let outgoing = Box::pin(write.make_writer());
        let (sender, incoming) = mpsc::unbounded_channel::<Vec<u8>>();
        let (end, ended) = oneshot::channel();
        let (alive, mut dropped) = oneshot::channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&waiting);
        tokio::spawn(async move {
            let _with = with;
            let mut sender = Some(sender);
            loop {
                let message = tokio::select! {
                    message = read.wait() => message,
                    _ = &mut dropped => None,
                };
                match message {
                    Some(ChannelMsg::Data { data }) => {
                        let total = counter.fetch_add(data.len(), Ordering::Relaxed) + data.len();
                        let sent = sender.as_ref().is_some_and(|s| s.send(data.to_vec()).is_ok());
                        if !sent || total > MOST_WAITING {
                            break;
                        }
                    }
                    Some(ChannelMsg::Eof) => sender = None,
                    Some(ChannelMsg::Close) | None => break,
                    Some(_) => {}
                }
            }
            // The other side knows already, or the connection is gone.
            let _ = write.close().await;
            let _ = end.send(());
        });
        Self { incoming, current: Vec::new(), read: 0, waiting, outgoing, ended, has_ended: false, _alive: alive }
    }

    fn poll_ended(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if !self.has_ended && Pin::new(&mut self.ended).poll(cx).is_ready() {
            self.has_ended = true;
        }
        if self.has_ended { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }
}

impl AsyncRead for Pipe {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.read == this.current.len() {
            match ready!(this.incoming.poll_recv(cx)) {
                Some(data) => {
                    this.waiting.fetch_sub(data.len(), Ordering::Relaxed);
                    (this.current, this.read) = (data, 0);
                }
                None => return Poll::Ready(Ok(())),
            }
        }
        let rest = &this.current[this.read..];
        let n = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..n]);
        this.read += n;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_ended(cx)?;
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.outgoing.as_mut().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.poll_ended(cx).is_err() {
            return Poll::Ready(Ok(()));
        }
        self.outgoing.as_mut().poll_shutdown(cx)
    }
}
