//! A connection on which everything takes time.

use std::time::Duration;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream},
    net::TcpStream,
    sync::mpsc::unbounded_channel,
    time::{Instant, sleep_until},
};

/// What is written at one end of `stream` is read at the other this much later, in order.
pub(super) fn slow(stream: TcpStream, one_way: Duration) -> DuplexStream {
    stream.set_nodelay(true).expect("it is a TCP connection");
    let (near, far) = tokio::io::duplex(256 * 1024);
    let (from_client, to_client) = stream.into_split();
    let (from_server, to_server) = tokio::io::split(far);
    tokio::spawn(carry(from_client, to_server, one_way));
    // The handshake of TCP takes a round trip, too.
    let began = Instant::now() + one_way * 2;
    tokio::spawn(async move {
        sleep_until(began).await;
        carry(from_server, to_client, one_way).await;
    });
    near
}

async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, delay: Duration) {
    let (under_way, mut arriving) = unbounded_channel::<(Instant, Vec<u8>)>();
    let sending = async move {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(n @ 1..) = from.read(&mut buffer).await {
            if under_way.send((Instant::now() + delay, buffer[..n].to_vec())).is_err() {
                break;
            }
        }
    };
    let receiving = async move {
        while let Some((at, bytes)) = arriving.recv().await {
            sleep_until(at).await;
            if to.write_all(&bytes).await.is_err() || to.flush().await.is_err() {
                break;
            }
        }
        to.shutdown().await.ok();
    };
    tokio::join!(sending, receiving);
}
