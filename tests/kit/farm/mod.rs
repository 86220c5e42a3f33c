//! A farm of hosts that only seem to be there: real SSH servers and engines behind mutual TLS, in this process, each
//! on an address of its own on loopback (127/8). What a host says of itself is a recording of a real one. Everything
//! on the way takes time, as between continents, and some hosts are black holes: they never answer, not even a TCP
//! connection.

mod slow;

use crate::plain::{self, now};
use machine::{
    clock::{Clock, SystemClock},
    fleet::{self, Fleet, Inputs},
    name::MachineName,
    record::{EngineRecord, Instance, MachineRecord, SshEndpoint, certificate_names},
    store::authority,
};
use russh::{
    Channel, ChannelId,
    keys::{
        PrivateKey, PublicKey,
        ssh_key::{LineEnding, private::Ed25519Keypair},
    },
    server::{self, Auth, Msg, PublicKeyOffer, Session, VerifiedPublicKey},
};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    runtime::Runtime,
};

/// What a real host said of itself after `machine` had set up its engine.
const RECORDING: &str = include_str!("../../../src/provisioner/fixtures/debian-12-by-machine.txt");
const SSH_PORT: u16 = 2222;
const TLS_PORT: u16 = 2376;

/// How a farm is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ground {
    /// How many hosts there are.
    pub(crate) hosts: usize,
    /// How many of them are black holes.
    pub(crate) black_holes: usize,
    /// How long a packet is under way, in each direction.
    pub(crate) one_way: Duration,
}

/// The hosts, a fleet file that lists them, and a store that knows them all. They are gone when it is dropped.
pub(crate) struct Farm {
    dir: tempfile::TempDir,
    _runtime: Runtime,
    counts: Arc<Counts>,
    /// Sockets that fill the queues of black holes.
    _stuffing: Vec<TcpStream>,
}

/// What was seen of clients.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    logins: AtomicUsize,
    commands: AtomicUsize,
}

impl Counts {
    /// Logins since this was asked last.
    pub(crate) fn logins(&self) -> usize {
        self.logins.swap(0, Ordering::Relaxed)
    }

    /// Commands since this was asked last.
    pub(crate) fn commands(&self) -> usize {
        self.commands.swap(0, Ordering::Relaxed)
    }
}

impl Farm {
    /// Puts it up.
    pub(crate) fn new(ground: Ground) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let key = key_of(0);
        key.write_openssh_file(dir.path().join("id"), LineEnding::LF).expect("the key is written");
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let counts = Arc::new(Counts::default());
        let (file, fleet) = fleet_of(dir.path(), ground);
        #[expect(clippy::disallowed_methods, reason = "a fixture needs no durability")]
        std::fs::write(dir.path().join("fleet.yaml"), &file).expect("the fleet file is written");
        let store = plain::folder(dir.path().join("store"));
        let mut stuffing = Vec::new();
        for (n, (name, host)) in fleet.hosts.iter().enumerate() {
            let at: Ipv4Addr = host.options["ip"].as_str().and_then(|ip| ip.parse().ok()).expect("an address");
            let names = certificate_names(name, &at.to_string(), &host.tls_names);
            let issued = now(authority::issue(&store, name, &names, SystemClock.now())).expect("a certificate");
            let host_key = key_of(n + 1);
            let pinned = host_key.public_key().to_openssh().expect("a public key has a text");
            if n < ground.black_holes {
                stuffing.extend(runtime.block_on(black_hole(SocketAddr::from((at, SSH_PORT)))));
                stuffing.extend(runtime.block_on(black_hole(SocketAddr::from((at, TLS_PORT)))));
            } else {
                let says = saying(&issued.record.sha256, &issued.record.ca_sha256, name);
                let one = Host { says: says.into(), key: key.public_key().clone(), counts: Arc::clone(&counts) };
                runtime.block_on(one.serve(at, host_key, ground.one_way));
                let (ca, host) = (&issued.host.ca, (&issued.host.cert, &issued.host.key));
                runtime.block_on(engine(SocketAddr::from((at, TLS_PORT)), acceptor(ca, host), ground.one_way));
            }
            let mut record =
                MachineRecord::new(name.clone(), Some(fleet.name.clone()), &host.driver, host.options.clone());
            record.instance = Some(instance(dir.path(), at, pinned));
            record.certificate = Some(issued.record.clone());
            record.engine = host.engine.as_ref().map(|spec| EngineRecord {
                spec: spec.clone(),
                version: "20.10.24+dfsg1".to_owned(),
                provisioner: "debian".to_owned(),
                os: "Debian GNU/Linux 12 (bookworm)".to_owned(),
            });
            store.put(&record).expect("a record is kept");
            now(issued.keep(&store, name)).expect("a certificate is kept");
        }
        Self { dir, _runtime: runtime, counts, _stuffing: stuffing }
    }

    /// The fleet file.
    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("fleet.yaml")
    }

    /// The store that knows all hosts.
    pub(crate) fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    /// What was seen of clients.
    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }
}

/// The client's key, and the n-th host's.
fn key_of(n: usize) -> PrivateKey {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&n.to_be_bytes());
    PrivateKey::from(Ed25519Keypair::from_seed(&seed))
}

/// The n-th host's address in the network of a farm.
fn address(network: u8, n: usize) -> Ipv4Addr {
    let n = u16::try_from(n).expect("a farm is not that large");
    let [high, low] = n.to_be_bytes();
    Ipv4Addr::new(127, network, high, low)
}

/// A network of this farm's own: several may be up at once, in this process and in others.
fn network() -> u8 {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let process = usize::try_from(std::process::id()).expect("a process id is small");
    u8::try_from(10 + (process * 7 + NEXT.fetch_add(1, Ordering::Relaxed)) % 240).expect("it is below 250")
}

fn fleet_of(dir: &Path, ground: Ground) -> (String, Fleet) {
    let key = dir.join("id");
    let mut text =
        "fleet: farm\npolicy: { parallel: 64 }\ndefaults:\n  driver: generic\n  engine:\n    labels: { tier: x }\n    \
         daemon: { log-driver: local }\nhosts:\n"
            .to_string();
    let network = network();
    for n in 0..ground.hosts {
        let (name, ip) = (name(n), address(network, n + 1));
        writeln!(text, "  {name}: {{ ip: {ip}, ssh-port: {SSH_PORT}, ssh-key: {} }}", key.display())
            .expect("a text takes all");
    }
    let fleet = fleet::load("fleet.yaml", &text, &Inputs::default(), &machine::driver::Drivers::built_in())
        .expect("a sound fleet");
    (text, fleet)
}

/// The n-th host's name; in the order of names, too.
pub(crate) fn name(n: usize) -> String {
    format!("host-{n:04}")
}

fn instance(dir: &Path, at: Ipv4Addr, host_key: String) -> Instance {
    let at = at.to_string();
    let key = Some(dir.join("id").display().to_string());
    let ssh =
        SshEndpoint { host: at.clone(), port: SSH_PORT, user: "root".to_owned(), key, passphrase: None, jump: None };
    Instance {
        id: at.clone(),
        address: at,
        ssh: Some(ssh),
        url: None,
        host_keys: vec![host_key],
        jump_keys: Vec::new(),
    }
}

/// The recording, as this host would say it.
fn saying(certificate: &str, ca: &str, name: &MachineName) -> String {
    let digests: BTreeMap<&str, &str> = [("/etc/docker/server.pem", certificate), ("/etc/docker/ca.pem", ca)].into();
    let line = |line: &str| match line.strip_prefix('|').and_then(|l| l.split_once("  ")) {
        Some((_, path)) if digests.contains_key(path) => format!("|{}  {path}\n", digests[path]),
        _ if line == "|prov1" => format!("|{name}\n"),
        _ => format!("{line}\n"),
    };
    RECORDING.lines().map(line).collect()
}

/// A host's SSH server.
#[derive(Clone)]
struct Host {
    says: Arc<str>,
    key: PublicKey,
    counts: Arc<Counts>,
}

impl Host {
    async fn serve(self, at: Ipv4Addr, key: PrivateKey, one_way: Duration) {
        let listener = TcpListener::bind((at, SSH_PORT)).await.expect("an address of loopback");
        let config = Arc::new(server::Config {
            keys: vec![key],
            auth_rejection_time: Duration::ZERO,
            auth_rejection_time_initial: Some(Duration::ZERO),
            nodelay: true,
            ..server::Config::default()
        });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (config, host) = (Arc::clone(&config), self.clone());
                tokio::spawn(async move {
                    let stream = slow::slow(stream, one_way);
                    if let Ok(session) = server::run_stream(config, stream, host).await {
                        session.await.ok();
                    }
                });
            }
        });
    }
}

impl server::Handler for Host {
    type Error = russh::Error;

    async fn auth_publickey_offered(&mut self, _: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Self::Error> {
        Ok(if offer.public_key.key_data() == self.key.key_data() { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(&mut self, _: &str, offer: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        self.counts.logins.fetch_add(1, Ordering::Relaxed);
        Ok(if offer.public_key.key_data() == self.key.key_data() { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: server::ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        Ok(())
    }

    /// Whatever it is told, it says what it is.
    async fn exec_request(&mut self, channel: ChannelId, _: &[u8], session: &mut Session) -> Result<(), Self::Error> {
        self.counts.commands.fetch_add(1, Ordering::Relaxed);
        session.channel_success(channel)?;
        session.data(channel, self.says.as_bytes().to_vec())?;
        session.exit_status_request(channel, 0)?;
        session.eof(channel)?;
        session.close(channel)?;
        Ok(())
    }
}

/// An address whose packets get lost: its queue of connections is full, and is not emptied.
async fn black_hole(at: SocketAddr) -> Vec<TcpStream> {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(at).expect("an address of loopback");
    let listener = socket.listen(0).expect("it listens");
    let mut stuffing = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(at)).await {
        stuffing.push(stream);
    }
    tokio::spawn(async move {
        std::future::pending::<()>().await;
        drop(listener);
    });
    stuffing
}

fn acceptor(ca: &str, (cert, key): (&String, &String)) -> tokio_rustls::TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).expect("a certificate")).expect("an authority");
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider speaks TLS 1.3")
        .with_client_cert_verifier(clients.expect("there is an authority"))
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(cert.as_bytes()).expect("a certificate")],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key"),
        );
    tokio_rustls::TlsAcceptor::from(Arc::new(config.expect("key and certificate are a pair")))
}

/// An engine that says its version, and nothing else.
async fn engine(at: SocketAddr, tls: tokio_rustls::TlsAcceptor, one_way: Duration) {
    const VERSION: &str = r#"{"Version":"20.10.24","ApiVersion":"1.41","MinAPIVersion":"1.12"}"#;
    let listener = TcpListener::bind(at).await.expect("an address of loopback");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = tls.accept(slow::slow(stream, one_way)).await else { return };
                let mut head = Vec::new();
                while let Ok(byte) = stream.read_u8().await {
                    head.push(byte);
                    if !head.ends_with(b"\r\n\r\n") {
                        continue;
                    }
                    let body = if head.starts_with(b"GET /_ping") { "OK" } else { VERSION };
                    head.clear();
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    if stream.write_all(answer.as_bytes()).await.is_err() || stream.flush().await.is_err() {
                        return;
                    }
                }
            });
        }
    });
}
