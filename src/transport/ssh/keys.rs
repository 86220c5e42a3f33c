//! Public keys as text, and the private keys a login may use.

use super::{SshConfig, Target, TransportError, io_text};
use crate::secret::{Reveal, Secret, SecretError};
use russh::keys::{
    HashAlg, PrivateKey, PublicKey, PublicKeyBase64,
    agent::{AgentIdentity, client::AgentClient},
    decode_secret_key,
};
use std::{
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::time::timeout;
use zeroize::Zeroizing;

/// Files in `~/.ssh` that are tried when no key is given, best first (the agent comes before them).
const DEFAULT_KEYS: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];
/// How long an agent may take to list its keys; it answers from memory.
const AGENT_LIMIT: Duration = Duration::from_secs(5);
/// Larger files are no keys.
const LARGEST_KEY: u64 = 64 * 1024;

/// The fingerprint of a public key given as `ssh-ed25519 AAAA…`, as OpenSSH prints it: `SHA256:…`. `None`: not a key.
#[must_use]
pub fn fingerprint(line: &str) -> Option<String> {
    parse(line).map(|key| key.fingerprint(HashAlg::Sha256).to_string())
}

/// Reads `ssh-ed25519 AAAA… comment`.
pub(super) fn parse(line: &str) -> Option<PublicKey> {
    let (kind, data) = kind_and_data(line)?;
    PublicKey::from_openssh(&format!("{kind} {data}")).ok()
}

/// The key as `ssh-ed25519 AAAA…`, without a comment.
pub(super) fn line(key: &PublicKey) -> String {
    format!("{} {}", key.algorithm().as_str(), key.public_key_base64())
}

/// Whether `pin` is this key; comments do not count.
pub(super) fn same(pin: &str, key: &PublicKey) -> bool {
    let shown = line(key);
    kind_and_data(pin).is_some() && kind_and_data(pin) == kind_and_data(&shown)
}

fn kind_and_data(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split_whitespace();
    Some((words.next()?, words.next()?))
}

/// One key that may open the door.
pub(super) enum Identity {
    /// From a file.
    File { path: String, key: Arc<PrivateKey> },
    /// Held by the agent; `path` when a file said which.
    Agent { key: PublicKey, path: Option<String> },
}

/// What a login may try, in this order.
pub(super) struct Credentials {
    pub(super) identities: Vec<Identity>,
    /// Socket of the agent that holds the agent's keys.
    pub(super) agent: Option<PathBuf>,
    /// What was looked for and could not be used, for the text of a refusal.
    pub(super) notes: Vec<String>,
}

impl Credentials {
    /// Finds the keys for `target`: the one given, else those of the agent and the default files.
    pub(super) async fn gather(
        config: &SshConfig,
        secrets: &Arc<dyn Reveal>,
        target: &Target,
    ) -> Result<Self, TransportError> {
        match &target.ssh.key {
            Some(path) => Self::given(config, secrets, target, path).await,
            None => Ok(Self::found(config).await),
        }
    }

    async fn given(
        config: &SshConfig,
        secrets: &Arc<dyn Reveal>,
        target: &Target,
        path: &str,
    ) -> Result<Self, TransportError> {
        let error = |why: String| TransportError::Key { machine: target.machine.clone(), path: path.to_owned(), why };
        let file = expand(path, config.home.as_deref()).ok_or_else(|| error("there is no home directory".into()))?;
        let identity = match read_key(&file).await.map_err(error)? {
            Found::Plain(key) => Identity::File { path: path.to_owned(), key: Arc::new(*key) },
            Found::Encrypted(_) if let Some(passphrase) = &target.ssh.passphrase => {
                let key = decrypt(&file, passphrase, secrets).await.map_err(|e| match e {
                    Locked::Secret(error) => {
                        TransportError::Passphrase { machine: target.machine.clone(), path: path.to_owned(), error }
                    }
                    Locked::Key(why) => error(why),
                })?;
                Identity::File { path: path.to_owned(), key: Arc::new(key) }
            }
            Found::Encrypted(public) => {
                let held = agent_keys(config).await;
                match (public, held) {
                    (Some(public), Ok(held)) if held.iter().any(|k| k.key_data() == public.key_data()) => {
                        Identity::Agent { key: public, path: Some(path.to_owned()) }
                    }
                    (_, Ok(_)) => return Err(error("it is encrypted, and the agent does not hold it".into())),
                    (_, Err(why)) => {
                        return Err(error(format!("it is encrypted, and there is no agent for it ({why})")));
                    }
                }
            }
            Found::Public(public) => {
                let held = agent_keys(config)
                    .await
                    .map_err(|why| error(format!("it is a public key, and there is no agent for it ({why})")))?;
                if !held.iter().any(|k| k.key_data() == public.key_data()) {
                    return Err(error("it is a public key, and the agent does not hold the private one".into()));
                }
                Identity::Agent { key: public, path: Some(path.to_owned()) }
            }
        };
        Ok(Self { identities: vec![identity], agent: config.agent.clone(), notes: Vec::new() })
    }

    async fn found(config: &SshConfig) -> Self {
        let mut all = Self { identities: Vec::new(), agent: config.agent.clone(), notes: Vec::new() };
        let mut held = Vec::new();
        match agent_keys(config).await {
            Ok(keys) if keys.is_empty() => all.notes.push("the agent holds no key".into()),
            Ok(keys) => held = keys,
            Err(why) => all.notes.push(why),
        }
        all.identities.extend(held.iter().map(|key| Identity::Agent { key: key.clone(), path: None }));
        let Some(ssh) = config.home.as_ref().map(|home| home.join(".ssh")) else {
            all.notes.push("no home directory".into());
            return all;
        };
        for name in DEFAULT_KEYS {
            let file = ssh.join(name);
            let path = file.display().to_string();
            let is_held = |key: &PublicKey| held.iter().any(|k| k.key_data() == key.key_data());
            match read_key(&file).await {
                // The agent's copy is tried already; a second refusal would only use up the host's patience.
                Ok(Found::Plain(key)) if is_held(key.public_key()) => {}
                Ok(Found::Plain(key)) => all.identities.push(Identity::File { path, key: Arc::new(*key) }),
                Ok(Found::Encrypted(Some(key))) if is_held(&key) => {}
                Ok(Found::Encrypted(_)) => all.notes.push(format!("{path} is encrypted")),
                Ok(Found::Public(_)) => all.notes.push(format!("{path} is a public key")),
                Err(_) if !file.exists() => {}
                Err(why) => all.notes.push(format!("{path}: {why}")),
            }
        }
        if all.identities.is_empty() {
            all.notes.push(format!("none of {} is a usable key in {}", DEFAULT_KEYS.join(", "), ssh.display()));
        }
        all
    }
}

/// A key path with `~/` replaced; `None`: there is no home directory to replace it with.
fn expand(path: &str, home: Option<&Path>) -> Option<PathBuf> {
    match path.strip_prefix("~/") {
        Some(rest) => home.map(|home| home.join(rest)),
        None => Some(PathBuf::from(path)),
    }
}

/// What a key file holds.
enum Found {
    Plain(Box<PrivateKey>),
    /// With its public key, if the file or the one beside it tells.
    Encrypted(Option<PublicKey>),
    /// Names a key of the agent.
    Public(PublicKey),
}

async fn read_key(file: &Path) -> Result<Found, String> {
    let missing = |e: &io::Error| match e.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => io_text(e),
    };
    let about = tokio::fs::metadata(file).await.map_err(|e| missing(&e))?;
    if !about.is_file() {
        return Err("it is not a file".into());
    }
    if about.len() > LARGEST_KEY {
        return Err("it is too large to be a key".into());
    }
    let bytes = tokio::fs::read(file).await.map_err(|e| missing(&e))?;
    let text = String::from_utf8(bytes).map_err(|_| "it is not a private key".to_owned())?;
    if let Some(public) = parse(&text) {
        return Ok(Found::Public(public));
    }
    let mode = about.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!("its mode {mode:04o} lets others read it"));
    }
    if is_encrypted(&text) {
        // OpenSSH's own format has the public key in clear.
        let inside = PrivateKey::from_openssh(&text).ok().map(|key| key.public_key().clone());
        return Ok(Found::Encrypted(inside.or(public_beside(file).await)));
    }
    match decode_secret_key(&text, None) {
        Ok(key) => Ok(Found::Plain(Box::new(key))),
        Err(russh::keys::Error::KeyIsEncrypted) => Ok(Found::Encrypted(public_beside(file).await)),
        // The text of the error is about formats, and may quote the file.
        Err(_) => Err("it is not a private key of a kind that is understood".into()),
    }
}

fn is_encrypted(text: &str) -> bool {
    text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----")
        || text.lines().any(|l| l.starts_with("Proc-Type:") && l.contains("ENCRYPTED"))
        || PrivateKey::from_openssh(text).is_ok_and(|key| key.is_encrypted())
}

/// Why an encrypted key stays closed.
enum Locked {
    /// There is no passphrase.
    Secret(SecretError),
    /// It is not the one.
    Key(String),
}

/// Opens an encrypted key. Finding out the passphrase may take a program, and using it takes a while.
async fn decrypt(file: &Path, passphrase: &Secret, secrets: &Arc<dyn Reveal>) -> Result<PrivateKey, Locked> {
    let (file, at, from) = (file.to_owned(), passphrase.clone(), Arc::clone(secrets));
    let opened = tokio::task::spawn_blocking(move || {
        let passphrase = at.reveal(&*from).map_err(Locked::Secret)?;
        let text = std::fs::read_to_string(file).map(Zeroizing::new).map_err(|e| Locked::Key(io_text(&e)))?;
        // The text of the error may quote the file.
        let wrong = |_| Locked::Key(format!("{at} is not its passphrase"));
        decode_secret_key(&text, Some(passphrase.expose())).map_err(wrong)
    });
    opened.await.expect("opening a key does not panic")
}

async fn public_beside(file: &Path) -> Option<PublicKey> {
    let mut name = file.as_os_str().to_owned();
    name.push(".pub");
    parse(&tokio::fs::read_to_string(name).await.ok()?)
}

/// Connects to the agent. The error is a fragment such as `no agent`.
pub(super) async fn agent(socket: Option<&Path>) -> Result<AgentClient<tokio::net::UnixStream>, String> {
    let socket = socket.ok_or("no agent")?;
    match timeout(AGENT_LIMIT, AgentClient::connect_uds(socket)).await {
        Ok(Ok(agent)) => Ok(agent),
        Ok(Err(_)) => Err(format!("no agent answers at {}", socket.display())),
        Err(_) => Err(format!("the agent at {} does not answer", socket.display())),
    }
}

async fn agent_keys(config: &SshConfig) -> Result<Vec<PublicKey>, String> {
    let mut agent = agent(config.agent.as_deref()).await?;
    let listed = timeout(AGENT_LIMIT, agent.request_identities()).await;
    let identities = listed.map_err(|_| "the agent does not answer")?.map_err(|_| "the agent lists no keys")?;
    // Certificates are left out: what they allow is the authority's business, and none of ours issues them.
    let plain = |identity| match identity {
        AgentIdentity::PublicKey { key, .. } => Some(key),
        AgentIdentity::Certificate { .. } => None,
    };
    Ok(identities.into_iter().filter_map(plain).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    // The key and its fingerprint as `ssh-keygen -lf` printed it.
    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqrOOcFoe9E/+N+DZJA5m+P8jQAysZpNbfWGyydC+YF user@host";

    #[test]
    fn a_pin_is_compared_without_its_comment() {
        let key = parse(KEY).unwrap();
        assert!(same(KEY, &key));
        assert!(same(&line(&key), &key));
        assert!(line(&key).ends_with("dC+YF"));
        for other in ["", "ssh-ed25519", "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIIqrOOcFoe9E/+N+DZJA5m+P8jQAysZpNbfWGyydC+YF"]
        {
            assert!(!same(other, &key), "{other}");
        }
    }

    #[test]
    fn fingerprints_are_as_openssh_prints_them() {
        assert_eq!(fingerprint(KEY).unwrap(), "SHA256:ccwoKg/gIRiR4PV6DtbAOmrFy9L4JBN/wRvBNCsHm00");
        assert_eq!(fingerprint("not a key"), None);
    }

    #[test]
    fn a_tilde_is_the_home_directory_only_in_front_of_a_slash() {
        let home = Some(Path::new("/home/u"));
        assert_eq!(expand("~/.ssh/k", home), Some("/home/u/.ssh/k".into()));
        assert_eq!(expand("/k", None), Some("/k".into()));
        assert_eq!(expand("~other/k", home), Some("~other/k".into()));
        assert_eq!(expand("~/k", None), None);
    }
}
