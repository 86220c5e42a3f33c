//! A server for tests, on this computer: says what it is told to, drops connections when it is told to.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What is done with one request.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// Answers with these bytes, whole as they are, and hangs up.
    Say(Vec<u8>),
    /// Answers, with so long between its bytes.
    Drip(Vec<u8>, Duration),
    /// Hangs up after the request was read.
    Drop,
    /// Says nothing.
    Hang,
}

/// `HTTP/1.1 200 OK` with headers and a body.
pub(super) fn say(status: &str, headers: &str, body: &str) -> Act {
    Act::Say(format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len()).into_bytes())
}

/// Requests as they came, and where.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// One that acts as `act` says, told the number of the request, from 0, and its text.
    pub(super) async fn start(act: impl Fn(usize, &str) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let (own, act) = (Arc::clone(&seen), Arc::new(act));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&own), Arc::clone(&act)));
            }
        });
        Self { address, seen }
    }

    /// One that acts in this order, and then as the last.
    pub(super) async fn acts(acts: Vec<Act>) -> Self {
        Self::start(move |n, _| acts.get(n).or(acts.last()).unwrap().clone()).await
    }

    pub(super) fn url(&self, path: &str) -> reqwest::Url {
        format!("http://{}{path}", self.address).parse().unwrap()
    }

    pub(super) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Vec<String>>>, act: Arc<impl Fn(usize, &str) -> Act>) {
    let Some(request) = read(&mut stream).await else { return };
    let number = {
        let mut seen = seen.lock().unwrap();
        seen.push(request.clone());
        seen.len() - 1
    };
    match act(number, &request) {
        Act::Say(bytes) => {
            let _ = stream.write_all(&bytes).await;
        }
        Act::Drip(bytes, wait) => {
            for byte in bytes {
                let _ = stream.write_all(&[byte]).await;
                tokio::time::sleep(wait).await;
            }
        }
        Act::Drop => {}
        Act::Hang => tokio::time::sleep(Duration::from_hours(1)).await,
    }
    let _ = stream.shutdown().await;
}

/// Head and body of one request.
async fn read(stream: &mut TcpStream) -> Option<String> {
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let n = stream.read(&mut buffer).await.ok().filter(|n| *n > 0)?;
        text.extend_from_slice(&buffer[..n]);
        let so_far = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = so_far.split_once("\r\n\r\n") else { continue };
        let length = head.to_ascii_lowercase().lines().find_map(|l| l.strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return Some(so_far);
        }
    }
}
