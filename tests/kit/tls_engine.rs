//! An engine that answers a little of the Docker API, behind mutual TLS as dockerd has it; and who vouches for it.

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};

pub(crate) const PING: &str = "HTTP/1.1 200 OK\r\nApi-Version: 1.50\r\nContent-Length: 2\r\n\r\nOK";
/// Unknown fields, and fields of kinds an older client does not expect, do no harm.
pub(crate) const VERSION: &str =
    r#"{"Platform":{"Name":"x"},"Version":"28.2.2","ApiVersion":"1.50","MinAPIVersion":"1.24","New":[1,{"a":null}]}"#;

/// An authority and what it vouches for.
pub(crate) struct Authority {
    pub(crate) pem: String,
    pub(crate) issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate and its key, both PEM.
    pub(crate) fn issue(&self, name: &str, usage: ExtendedKeyUsagePurpose, expired: bool) -> (String, String) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        if expired {
            (params.not_before, params.not_after) =
                (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 2, 3));
        }
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    pub(crate) fn server(&self, name: &str) -> (String, String) {
        self.issue(name, ExtendedKeyUsagePurpose::ServerAuth, false)
    }

    pub(crate) fn client(&self) -> (String, String) {
        self.issue("client", ExtendedKeyUsagePurpose::ClientAuth, false)
    }
}

/// What the server does with a connection.
#[derive(Clone)]
pub(crate) enum Behaviour {
    /// Answers `/_ping` and `/version` with these.
    Answers(String, String),
    /// Reads and never writes.
    Silent,
    /// Reads a request and hangs up.
    HangsUp,
}

pub(crate) fn json(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

pub(crate) fn healthy() -> Behaviour {
    Behaviour::Answers(PING.into(), json("200 OK", VERSION))
}

pub(crate) async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, behaviour: &Behaviour) {
    let mut head = Vec::new();
    while let Ok(byte) = stream.read_u8().await {
        head.push(byte);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8(std::mem::take(&mut head)).unwrap();
        assert!(text.to_lowercase().contains("\r\nhost: "), "{text}");
        let answer = match behaviour {
            Behaviour::Answers(ping, _) if text.starts_with("GET /_ping HTTP/1.1\r\n") => ping,
            Behaviour::Answers(_, version) if is_version(&text) => version,
            Behaviour::Answers(..) => panic!("an unexpected request: {text}"),
            Behaviour::Silent => continue,
            Behaviour::HangsUp => return,
        };
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
    }
}

/// A server on loopback; counts its connections.
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) connections: Arc<AtomicUsize>,
}

impl Server {
    pub(crate) async fn plain(behaviour: Behaviour) -> Self {
        Self::start(behaviour, None).await
    }

    /// As dockerd with `--tlsverify`: clients must show a certificate by `clients`.
    pub(crate) async fn tls(
        behaviour: Behaviour,
        clients: &Authority,
        (cert, key): (String, String),
        version: &'static SupportedProtocolVersion,
    ) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(clients.pem.as_bytes()).unwrap()).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
        let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .unwrap();
        Self::start(behaviour, Some(tokio_rustls::TlsAcceptor::from(Arc::new(config)))).await
    }

    pub(crate) async fn start(behaviour: Behaviour, tls: Option<tokio_rustls::TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counter.fetch_add(1, Ordering::Relaxed);
                let (behaviour, tls) = (behaviour.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, &behaviour).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, &behaviour).await;
                            }
                        }
                    }
                });
            }
        });
        Self { port, connections }
    }
}

/// docker-machine asks for a version of the API, we do not.
fn is_version(request: &str) -> bool {
    request.starts_with("GET /version HTTP/1.1\r\n") || request.starts_with("GET /v1.15/version HTTP/1.1\r\n")
}
