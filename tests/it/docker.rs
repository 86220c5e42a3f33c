//! The engine's API against small servers of our own: mutual TLS as dockerd does it, answers written by hand.

use crate::tls_engine::{Authority, Behaviour, PING, Server, healthy, json, serve};
use machine::{
    docker::{DockerApi, DockerError, Endpoint, EngineVersion, client::HttpDocker},
    name::MachineName,
    quote::Sh,
    transport::{Limits, LineSink, Output, Stream, Transport, TransportError},
};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair};
use rustls::version::{TLS12, TLS13};
use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

fn plain_endpoint(server: &Server) -> Endpoint {
    Endpoint::Plain(format!("tcp://127.0.0.1:{}", server.port))
}

fn endpoint(host: &str, port: u16, ca: &Authority, (cert, key): (String, String)) -> Endpoint {
    Endpoint::Tls { host: host.into(), port, ca: ca.pem.clone(), cert, key }
}

async fn ask(endpoint: &Endpoint) -> Result<EngineVersion, DockerError> {
    HttpDocker.version(&MachineName::new("m1").unwrap(), endpoint, Duration::from_secs(10)).await
}

fn well() -> EngineVersion {
    EngineVersion { version: "28.2.2".into(), api: "1.50".into() }
}

#[tokio::test]
async fn an_engine_with_mutual_tls_answers_on_one_connection() {
    let ca = Authority::new("ours");
    for version in [&TLS12, &TLS13] {
        for name in ["127.0.0.1", "localhost"] {
            let server = Server::tls(healthy(), &ca, ca.server(name), version).await;
            assert_eq!(ask(&endpoint(name, server.port, &ca, ca.client())).await.unwrap(), well());
            assert_eq!(server.connections.load(Ordering::Relaxed), 1);
        }
    }
}

#[tokio::test]
async fn client_keys_are_read_in_every_format_docker_writes() {
    let ca = Authority::new("ours");
    let server = Server::tls(healthy(), &ca, ca.server("127.0.0.1"), &TLS13).await;
    for (algorithm, label) in
        [(&rcgen::PKCS_RSA_SHA256, "RSA PRIVATE KEY"), (&rcgen::PKCS_ECDSA_P256_SHA256, "EC PRIVATE KEY")]
    {
        let mut params = CertificateParams::new(vec!["client".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate_for(algorithm).unwrap();
        let cert = params.signed_by(&key, &ca.issuer).unwrap().pem();
        let old = pem(label, inner_key(&key.serialize_der()));
        for key in [key.serialize_pem(), old] {
            let endpoint = endpoint("127.0.0.1", server.port, &ca, (cert.clone(), key));
            assert_eq!(ask(&endpoint).await.unwrap(), well(), "{label}");
        }
    }
}

/// The key inside PKCS#8: the only OCTET STRING of `SEQUENCE { INTEGER, SEQUENCE, OCTET STRING }` (RFC 5208).
fn inner_key(pkcs8: &[u8]) -> &[u8] {
    fn value(der: &[u8]) -> (&[u8], &[u8]) {
        let (length, start) = match usize::from(der[1]) {
            short @ 0..128 => (short, 2),
            long => {
                let bytes = long - 128;
                (der[2..2 + bytes].iter().fold(0, |n, b| n << 8 | usize::from(*b)), 2 + bytes)
            }
        };
        (&der[start..start + length], &der[start + length..])
    }
    let (sequence, _) = value(pkcs8);
    let (_, rest) = value(sequence);
    let (_, rest) = value(rest);
    assert_eq!(rest[0], 0x04);
    value(rest).0
}

fn pem(label: &str, der: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in der.chunks(48) {
        for three in line.chunks(3) {
            let bits = three.iter().fold(0_u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - three.len()));
            for place in 0..4 {
                let letter = LETTERS[(bits >> (18 - 6 * place)) as usize & 63];
                text.push(if place <= three.len() { char::from(letter) } else { '=' });
            }
        }
        text.push('\n');
    }
    format!("{text}-----END {label}-----\n")
}

/// The text of a TLS failure, which must name the address and not be a riddle.
#[track_caller]
fn tls_failure(result: Result<EngineVersion, DockerError>, port: u16) -> String {
    let error = result.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, DockerError::Tls { .. }), "{text}");
    assert!(text.contains(&format!(":{port}")) && !text.contains("cancel"), "{text}");
    text
}

#[tokio::test]
async fn a_client_certificate_of_another_authority_is_told_as_refused() {
    let (ca, other) = (Authority::new("ours"), Authority::new("other"));
    for version in [&TLS12, &TLS13] {
        let server = Server::tls(healthy(), &ca, ca.server("127.0.0.1"), version).await;
        // The alert may be lost to a reset; either text says whose certificate it is about.
        for _ in 0..10 {
            let text = tls_failure(ask(&endpoint("127.0.0.1", server.port, &ca, other.client())).await, server.port);
            assert!(text.contains("refuse") && text.contains("our certificate"), "{text}");
        }
        let expired = ca.issue("client", ExtendedKeyUsagePurpose::ClientAuth, true);
        let text = tls_failure(ask(&endpoint("127.0.0.1", server.port, &ca, expired)).await, server.port);
        assert!(text.contains("our certificate"), "{text}");
    }
}

#[tokio::test]
async fn a_server_certificate_that_does_not_fit_says_how() {
    let (ca, other) = (Authority::new("ours"), Authority::new("other"));
    let expired = ca.issue("127.0.0.1", ExtendedKeyUsagePurpose::ServerAuth, true);
    for (certificate, wants) in [
        (other.server("127.0.0.1"), vec!["not signed by the recorded authority"]),
        (expired, vec!["expired at 2021-02-03T00:00:00Z"]),
        (ca.server("10.9.8.7"), vec!["not for `127.0.0.1`", "10.9.8.7"]),
    ] {
        let server = Server::tls(healthy(), &ca, certificate, &TLS13).await;
        let text = tls_failure(ask(&endpoint("127.0.0.1", server.port, &ca, ca.client())).await, server.port);
        for want in wants {
            assert!(text.contains(want), "{want}: {text}");
        }
    }
}

#[tokio::test]
async fn plain_http_and_tls_that_meet_are_told() {
    let ca = Authority::new("ours");
    // As Go's server answers what it cannot read.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n400 Bad Request").await;
    });
    let text = tls_failure(ask(&endpoint("127.0.0.1", port, &ca, ca.client())).await, port);
    assert!(text.contains("does not speak TLS"), "{text}");

    let server = Server::tls(healthy(), &ca, ca.server("127.0.0.1"), &TLS13).await;
    let text = ask(&plain_endpoint(&server)).await.unwrap_err().to_string();
    assert!(text.contains("not HTTP; it may want TLS") || text.contains("hung up"), "{text}");
}

#[tokio::test]
async fn secrets_that_are_none_are_told_before_anything_is_sent() {
    let ca = Authority::new("ours");
    let (cert, key) = ca.client();
    let other = ca.client().1;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let tls = |ca: &str, cert: &str, key: &str| {
        let (ca, cert, key) = (ca.to_owned(), cert.to_owned(), key.to_owned());
        Endpoint::Tls { host: "127.0.0.1".into(), port, ca, cert, key }
    };
    for (endpoint, want) in [
        (tls("", &cert, &key), "the recorded authority is not a certificate"),
        (tls(&ca.pem, "x", &key), "our certificate"),
        (tls(&ca.pem, &cert, "hunter2"), "our private key is not one in PEM"),
        (tls(&ca.pem, &cert, &other), "our certificate and key cannot be used"),
    ] {
        let text = tls_failure(ask(&endpoint).await, port);
        assert!(text.contains(want) && !text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn what_is_no_engine_is_told_with_what_it_answered() {
    let error = r#"{"message":"the daemon is ill"}"#;
    for (ping, version, want) in [
        (
            json("500 Internal Server Error", error),
            String::new(),
            "500 Internal Server Error to `/_ping`: the daemon is ill",
        ),
        (PING.into(), json("503 Service Unavailable", ""), "503 Service Unavailable to `/version`: (nothing)"),
        (PING.into(), json("200 OK", "<html>"), "200 OK to `/version`, but not in JSON: <html>"),
        (PING.into(), json("200 OK", "{}"), "no `Version` to `/version`: {}"),
        ("SSH-2.0-OpenSSH_9.2\r\n".into(), String::new(), "something that is not HTTP"),
    ] {
        let server = Server::plain(Behaviour::Answers(ping, version)).await;
        let error = ask(&plain_endpoint(&server)).await.unwrap_err();
        assert!(matches!(error, DockerError::Answer { .. }), "{error}");
        assert!(error.to_string().contains(want), "{error}");
    }
}

#[tokio::test]
async fn an_engine_without_api_version_in_its_body_is_asked_by_header() {
    let server = Server::plain(Behaviour::Answers(PING.into(), json("200 OK", r#"{"Version":"1.0"}"#))).await;
    assert_eq!(ask(&plain_endpoint(&server)).await.unwrap().api, "1.50");
}

#[tokio::test]
async fn an_engine_that_never_answers_is_given_up() {
    let ca = Authority::new("ours");
    let plain = Server::plain(Behaviour::Silent).await;
    let tls = Server::tls(Behaviour::Silent, &ca, ca.server("127.0.0.1"), &TLS13).await;
    // Takes connections and says nothing, not even in TLS.
    let mute = Server::plain(Behaviour::Silent).await;
    for endpoint in [
        plain_endpoint(&plain),
        endpoint("127.0.0.1", tls.port, &ca, ca.client()),
        endpoint("127.0.0.1", mute.port, &ca, ca.client()),
    ] {
        let started = Instant::now();
        let machine = MachineName::new("m1").unwrap();
        let error = HttpDocker.version(&machine, &endpoint, Duration::from_millis(300)).await.unwrap_err();
        assert!(matches!(error, DockerError::Unreachable { .. }), "{error}");
        assert!(error.to_string().ends_with("no answer within 1 s"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(3));
    }
}

#[tokio::test]
async fn nobody_listening_and_hanging_up_are_told() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let error = ask(&Endpoint::Plain(format!("tcp://127.0.0.1:{free}"))).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("`m1`: cannot reach the engine at tcp://127.0.0.1:{free}: connection refused")
    );
    let server = Server::plain(Behaviour::HangsUp).await;
    let text = ask(&plain_endpoint(&server)).await.unwrap_err().to_string();
    assert!(text.contains("hung up without an answer"), "{text}");
    let text = ask(&Endpoint::Plain("ftp://host".into())).await.unwrap_err().to_string();
    assert!(text.contains("not a URL"), "{text}");
}

/// A transport that only opens sockets: those of this computer.
struct Local;

#[async_trait::async_trait]
impl Transport for Local {
    async fn run(&self, _: &Sh, _: &[u8], _: Limits, _: LineSink<'_>) -> Result<Output, TransportError> {
        panic!("the engine is asked without commands")
    }
    async fn open_unix(&self, path: &str) -> Result<Pin<Box<dyn Stream>>, TransportError> {
        match tokio::net::UnixStream::connect(path).await {
            Ok(stream) => Ok(Box::pin(stream)),
            Err(e) => Err(TransportError::Broken {
                machine: MachineName::new("m1").unwrap(),
                doing: format!("opening {path} on the host"),
                why: e.kind().to_string(),
            }),
        }
    }
    fn host_key(&self) -> String {
        String::new()
    }
    fn jump_key(&self) -> Option<String> {
        None
    }
    fn needs_sudo(&self) -> bool {
        false
    }
    fn is_closed(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn an_engine_on_a_unix_socket_answers_here_and_over_a_transport() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("docker.sock").display().to_string();
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move { serve(stream, &healthy()).await });
        }
    });
    let ssh = |socket: &str| Endpoint::Ssh { transport: Arc::new(Local), socket: socket.into() };
    assert_eq!(ask(&Endpoint::Plain(format!("unix://{path}"))).await.unwrap(), well());
    assert_eq!(ask(&ssh(&path)).await.unwrap(), well());
    let text = ask(&ssh("/nowhere.sock")).await.unwrap_err().to_string();
    assert_eq!(text.matches("m1").count(), 1, "{text}");
    assert!(text.contains("/nowhere.sock over SSH: the connection broke while opening"), "{text}");
}
