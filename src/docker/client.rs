//! The engine's API over HTTP/1.1 on one connection: TLS, SSH, TCP or a Unix socket. No retries.

use super::{DockerApi, DockerError, Endpoint, EngineVersion, tls};
use crate::{name::MachineName, transport::Stream};
use async_trait::async_trait;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1::{self, SendRequest},
    header::HOST,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::{error::Error, io, pin::Pin, time::Duration};
use tokio::{
    net::{TcpStream, UnixStream},
    task::JoinHandle,
    time::timeout,
};

/// The newest API version this program was written for (Docker 28).
const NEWEST_API: &str = "1.51";
/// Longer answers are not those of an engine, bytes.
const LONGEST_ANSWER: usize = 1 << 20;
/// How much of an unexpected answer is shown, characters.
const SHOWN: usize = 200;
/// How long a connection may take to tell why it ended, after a request on it has failed.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Asks real engines.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpDocker;

#[async_trait]
impl DockerApi for HttpDocker {
    async fn version(
        &self,
        machine: &MachineName,
        endpoint: &Endpoint,
        limit: Duration,
    ) -> Result<EngineVersion, DockerError> {
        let peer = Peer { machine: machine.clone(), address: address(endpoint) };
        let Ok(result) = timeout(limit, ask(&peer, endpoint)).await else {
            return Err(peer.unreachable(format!("no answer within {} s", limit.as_secs().max(1))));
        };
        result
    }
}

/// Whom we speak to, for error texts.
pub(super) struct Peer {
    pub(super) machine: MachineName,
    pub(super) address: String,
}

impl Peer {
    pub(super) fn unreachable(&self, why: impl Into<String>) -> DockerError {
        DockerError::Unreachable { machine: self.machine.clone(), address: self.address.clone(), why: why.into() }
    }

    pub(super) fn tls(&self, why: impl Into<String>) -> DockerError {
        DockerError::Tls { machine: self.machine.clone(), address: self.address.clone(), why: why.into() }
    }

    fn answer(&self, why: impl Into<String>) -> DockerError {
        DockerError::Answer { machine: self.machine.clone(), address: self.address.clone(), why: why.into() }
    }
}

fn address(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Tls { host, port, .. } => format!("tcp://{}", host_and_port(host, *port)),
        Endpoint::Ssh { socket, .. } => format!("{socket} over SSH"),
        Endpoint::Plain(url) => url.clone(),
    }
}

fn host_and_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

async fn ask(peer: &Peer, endpoint: &Endpoint) -> Result<EngineVersion, DockerError> {
    let mut connection = Connection::open(peer, endpoint).await?;
    let ping = connection.get(peer, "/_ping").await?;
    let offered = ping.headers.get("api-version").and_then(|v| v.to_str().ok()).map(str::to_owned);
    // Without a version in the path every engine answers with its own.
    let answer = connection.get(peer, "/version").await?;
    let Ok(told) = serde_json::from_slice::<Value>(&answer.body) else {
        return Err(peer.answer(format!("{} to `/version`, but not in JSON: {}", answer.status, shown(&answer.body))));
    };
    let field = |name: &str| told.get(name).and_then(Value::as_str).map(str::to_owned);
    let Some(version) = field("Version") else {
        return Err(peer.answer(format!("no `Version` to `/version`: {}", shown(&answer.body))));
    };
    let Some(newest) = field("ApiVersion").or(offered) else {
        return Err(peer.answer(format!("no `ApiVersion` to `/version`: {}", shown(&answer.body))));
    };
    let api = agree(&newest, field("MinAPIVersion").as_deref());
    Ok(EngineVersion { version, api })
}

/// The newest API version both sides speak, but none that the engine has given up.
fn agree(newest: &str, oldest: Option<&str>) -> String {
    let ours = if number(newest) < number(NEWEST_API) { newest } else { NEWEST_API };
    match oldest {
        Some(oldest) if number(ours) < number(oldest) => oldest.to_owned(),
        Some(_) | None => ours.to_owned(),
    }
}

/// `1.51` as numbers; parts that are none count as 0.
fn number(version: &str) -> (u32, u32) {
    let mut parts = version.split('.').map(|p| p.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

struct Answer {
    status: StatusCode,
    headers: hyper::HeaderMap,
    body: Bytes,
}

/// One HTTP connection, with the task that drives it.
struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    driver: Option<JoinHandle<hyper::Result<()>>>,
    host: String,
    /// Whether the other side may still refuse our certificate: in TLS 1.3 it does so after the handshake.
    refusable: bool,
}

impl Connection {
    async fn open(peer: &Peer, endpoint: &Endpoint) -> Result<Self, DockerError> {
        let (stream, host, refusable) = dial(peer, endpoint).await?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|e| peer.unreachable(text(&e)))?;
        Ok(Self { sender, driver: Some(tokio::spawn(connection)), host, refusable })
    }

    async fn get(&mut self, peer: &Peer, path: &'static str) -> Result<Answer, DockerError> {
        let request = Request::get(path)
            .header(HOST, &self.host)
            .body(Empty::new())
            .map_err(|e| peer.unreachable(format!("`{}` is not a host name: {e}", self.host)))?;
        let answer = match self.send(request).await {
            Ok(answer) => answer,
            Err(e) => return Err(self.failed(peer, e).await),
        };
        self.refusable = false;
        let (parts, body) = answer.into_parts();
        let body = match Limited::new(body, LONGEST_ANSWER).collect().await {
            Ok(body) => body.to_bytes(),
            Err(e) => return Err(peer.answer(format!("{} to `{path}`, cut off: {e}", parts.status))),
        };
        if !parts.status.is_success() {
            return Err(peer.answer(format!("{} to `{path}`: {}", parts.status, shown(&body))));
        }
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    async fn send(&mut self, request: Request<Empty<Bytes>>) -> hyper::Result<Response<Incoming>> {
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }

    /// Why a request failed: what the connection says, since the request itself may only say that it was cancelled.
    async fn failed(&mut self, peer: &Peer, of_request: hyper::Error) -> DockerError {
        let of_connection = match self.driver.take() {
            Some(driver) => match timeout(LAST_WORDS, driver).await {
                Ok(Ok(Err(e))) => Some(e),
                Ok(Ok(Ok(())) | Err(_)) | Err(_) => None,
            },
            None => None,
        };
        for error in of_connection.iter().chain([&of_request]) {
            if let Some(error) = tls::find(error) {
                return tls::refusal(peer, error, &self.host);
            }
            if error.is_parse() {
                return peer.answer("something that is not HTTP; it may want TLS");
            }
        }
        if self.refusable {
            // Closing with data unread resets the connection, and the reset can overtake the alert.
            return peer.tls("it hung up right after the handshake, as engines do that refuse our certificate");
        }
        let error = of_connection.as_ref().unwrap_or(&of_request);
        if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
            return peer.unreachable("it hung up without an answer");
        }
        peer.unreachable(text(error))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(driver) = &self.driver {
            driver.abort();
        }
    }
}

type Dialled = (Pin<Box<dyn Stream>>, String, bool);

/// Opens the stream; returns it with the name for the `Host` header, and whether our certificate may still be refused.
async fn dial(peer: &Peer, endpoint: &Endpoint) -> Result<Dialled, DockerError> {
    match endpoint {
        Endpoint::Tls { host, port, ca, cert, key } => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            // Reading keys is dear: not before a server is there to show them to.
            let stream = tcp(peer, host, *port).await?;
            let config = tls::config(peer, ca, cert, key)?;
            Ok((tls::shake(peer, config, host, stream).await?, host_and_port(host, *port), true))
        }
        Endpoint::Ssh { transport, socket } => {
            let stream = transport.open_unix(socket).await.map_err(|e| peer.unreachable(unnamed(&e.to_string())))?;
            Ok((stream, "docker".to_owned(), false))
        }
        Endpoint::Plain(url) => match Url::parse(url) {
            Some(Url::Unix(path)) => {
                let stream = UnixStream::connect(path).await.map_err(|e| peer.unreachable(io_text(&e)))?;
                Ok((Box::pin(stream), "docker".to_owned(), false))
            }
            Some(Url::Tcp(host, port)) => {
                let stream = tcp(peer, host, port).await?;
                Ok((Box::pin(stream), host_and_port(host, port), false))
            }
            None => Err(peer.unreachable("it is not a URL such as `tcp://host:2375` or `unix:///path`")),
        },
    }
}

async fn tcp(peer: &Peer, host: &str, port: u16) -> Result<TcpStream, DockerError> {
    let stream = TcpStream::connect((host, port)).await.map_err(|e| peer.unreachable(io_text(&e)))?;
    // A failure costs speed only.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

enum Url<'a> {
    Unix(&'a str),
    Tcp(&'a str, u16),
}

impl<'a> Url<'a> {
    fn parse(url: &'a str) -> Option<Self> {
        if let Some(path) = url.strip_prefix("unix://") {
            return path.starts_with('/').then_some(Self::Unix(path));
        }
        let rest = url.strip_prefix("tcp://").or_else(|| url.strip_prefix("http://"))?;
        let rest = rest.trim_end_matches('/');
        let (host, port) = match rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map_or(Some(2375), |p| p.parse().ok())?;
        (!host.is_empty() && !host.contains('/')).then_some(Self::Tcp(host, port))
    }
}

/// What came back, on one line and cut.
fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * SHOWN)]).into_owned();
    // Engines put their errors into `{"message": "…"}`.
    let message = serde_json::from_slice::<Value>(body).ok();
    let message = message.as_ref().and_then(|v| v.get("message")).and_then(Value::as_str);
    let words: Vec<&str> = message.unwrap_or(&text).split_whitespace().collect();
    let line: String = words.join(" ").chars().filter(|c| !c.is_control()).collect();
    if line.is_empty() {
        return "(nothing)".to_owned();
    }
    match line.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line,
    }
}

/// The text of an error and of what caused it.
fn text(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// The text of an I/O error as a lowercase fragment, without the number of the error.
pub(super) fn io_text(e: &io::Error) -> String {
    let text = e.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

/// An error of the transport without the name of the machine, which ours begins with.
fn unnamed(text: &str) -> String {
    text.strip_prefix('`').and_then(|t| t.split_once("`: ")).map_or(text, |(_, rest)| rest).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_both_sides_speak_is_agreed_on() {
        for (newest, oldest, want) in [
            ("1.50", Some("1.24"), "1.50"),
            ("1.51", Some("1.24"), "1.51"),
            ("1.60", Some("1.44"), "1.51"),
            ("1.60", Some("1.55"), "1.55"),
            ("1.9", None, "1.9"),
            ("1.24", Some("1.12"), "1.24"),
        ] {
            assert_eq!(agree(newest, oldest), want, "{newest} {oldest:?}");
        }
    }

    #[test]
    fn urls_are_those_docker_takes() {
        let read = |url| match Url::parse(url) {
            Some(Url::Tcp(host, port)) => format!("{host} {port}"),
            Some(Url::Unix(path)) => path.to_owned(),
            None => "none".to_owned(),
        };
        for (url, want) in [
            ("tcp://10.0.0.1:2375", "10.0.0.1 2375"),
            ("tcp://h/", "h 2375"),
            ("http://h:80", "h 80"),
            ("tcp://[::1]:2376", "::1 2376"),
            ("unix:///run/docker.sock", "/run/docker.sock"),
            ("unix://docker.sock", "none"),
            ("tcp://", "none"),
            ("tcp://h:x", "none"),
            ("tcp://h:1/path", "none"),
            ("ssh://h", "none"),
        ] {
            assert_eq!(read(url), want, "{url}");
        }
    }

    #[test]
    fn an_answer_is_shown_on_one_short_line() {
        assert_eq!(shown(b""), "(nothing)");
        assert_eq!(shown(br#"{"message":"no such\nthing"}"#), "no such thing");
        assert_eq!(shown(b"<html>\n  <b>\x1b[31mno</b>"), "<html> <b>[31mno</b>");
        assert_eq!(shown("ä".repeat(500).as_bytes()).chars().count(), SHOWN + 1);
    }

    #[test]
    fn a_machine_is_named_once() {
        assert_eq!(unnamed("`m`: the connection broke"), "the connection broke");
        assert_eq!(unnamed("other"), "other");
    }
}
