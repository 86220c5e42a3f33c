//! Public keys as text, and the private keys a login may use.

use super::{SshConfig, TransportError, io_text};
use crate::{
    name::MachineName,
    secret::{Reveal, Secret, SecretError},
    transport::route::{Agent, Keys, Stop, USUAL_KEYS},
};
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

/// How many keys are offered. OpenSSH's servers hang up after six (`MaxAuthTries`), and some after fewer.
const MOST_OFFERED: usize = 5;
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
    /// Finds the keys for a host, before it is spoken to. An unusable key that was asked for ends it.
    pub(super) async fn gather(
        config: &SshConfig,
        machine: &MachineName,
        stop: &Stop,
        unlock: Option<Unlock<'_>>,
    ) -> Result<Self, TransportError> {
        let agent = match &stop.agent {
            Agent::Usual => config.agent.clone(),
            Agent::Never => None,
            Agent::At(socket) => Some(socket.clone()),
        };
        let finder = Finder { home: config.home.as_deref(), agent: agent.as_deref(), machine, unlock };
        let (identities, notes) = match &stop.keys {
            Keys::Given(path) => (vec![finder.given(path).await?], Vec::new()),
            Keys::Usual => finder.usual().await,
            Keys::Listed { files, only } => finder.listed(files, *only).await?,
        };
        Ok(Self { identities, agent, notes })
    }
}

/// How the key that was given is opened.
#[derive(Clone, Copy)]
pub(super) struct Unlock<'a> {
    pub(super) secrets: &'a Arc<dyn Reveal>,
    pub(super) passphrase: &'a Secret,
}

/// Looks for keys.
struct Finder<'a> {
    home: Option<&'a Path>,
    agent: Option<&'a Path>,
    machine: &'a MachineName,
    unlock: Option<Unlock<'a>>,
}

impl Finder<'_> {
    fn error(&self, path: &str, why: impl Into<String>) -> TransportError {
        TransportError::Key { machine: self.machine.clone(), path: path.to_owned(), why: why.into() }
    }

    async fn given(&self, path: &str) -> Result<Identity, TransportError> {
        let error = |why: &str| self.error(path, why);
        let file = expand(path, self.home).ok_or_else(|| error("there is no home directory"))?;
        match read_key(&file).await.map_err(|why| error(&why))? {
            Found::Plain(key) => Ok(Identity::File { path: path.to_owned(), key: Arc::new(*key) }),
            Found::Encrypted(_) if let Some(unlock) = self.unlock => {
                let key = decrypt(&file, unlock).await.map_err(|e| match e {
                    Locked::Secret(error) => {
                        TransportError::Passphrase { machine: self.machine.clone(), path: path.to_owned(), error }
                    }
                    Locked::Key(why) => error(&why),
                })?;
                Ok(Identity::File { path: path.to_owned(), key: Arc::new(key) })
            }
            Found::Encrypted(public) => match (public, agent_keys(self.agent).await) {
                (Some(public), Ok(held)) if holds(&held, &public) => {
                    Ok(Identity::Agent { key: public, path: Some(path.to_owned()) })
                }
                (_, Ok(_)) => Err(error("it is encrypted, and the agent does not hold it")),
                (_, Err(why)) => Err(error(&format!("it is encrypted, and there is no agent for it ({why})"))),
            },
            Found::Public(public) => {
                let held = agent_keys(self.agent)
                    .await
                    .map_err(|why| error(&format!("it is a public key, and there is no agent for it ({why})")))?;
                if !holds(&held, &public) {
                    return Err(error("it is a public key, and the agent does not hold the private one"));
                }
                Ok(Identity::Agent { key: public, path: Some(path.to_owned()) })
            }
        }
    }

    /// Those of the agent, and the usual files; of too many the last of the agent are left out.
    async fn usual(&self) -> (Vec<Identity>, Vec<String>) {
        let mut notes = Vec::new();
        let held = self.held(&mut notes).await;
        let Some(ssh) = self.home.map(|home| home.join(".ssh")) else {
            notes.push("no home directory".into());
            let identities = in_agent(held.iter(), MOST_OFFERED, &mut notes);
            return (identities, notes);
        };
        let mut files = Vec::new();
        for name in USUAL_KEYS {
            let file = ssh.join(name);
            let path = file.display().to_string();
            match read_key(&file).await {
                // The agent's copy is tried already; a second refusal would only use up the host's patience.
                Ok(Found::Plain(key)) if holds(&held, key.public_key()) => {}
                Ok(Found::Plain(key)) => files.push(Identity::File { path, key: Arc::new(*key) }),
                Ok(Found::Encrypted(Some(key))) if holds(&held, &key) => {}
                Ok(Found::Encrypted(_)) => notes.push(format!("{path} is encrypted")),
                Ok(Found::Public(_)) => notes.push(format!("{path} is a public key")),
                Err(_) if !file.exists() => {}
                Err(why) => notes.push(format!("{path}: {why}")),
            }
        }
        let mut identities = in_agent(held.iter(), MOST_OFFERED - files.len(), &mut notes);
        identities.append(&mut files);
        if identities.is_empty() {
            notes.push(format!("none of {} is a usable key in {}", USUAL_KEYS.join(", "), ssh.display()));
        }
        (identities, notes)
    }

    /// The files in their order, then what else the agent holds.
    async fn listed(&self, files: &[String], only: bool) -> Result<(Vec<Identity>, Vec<String>), TransportError> {
        let mut notes = Vec::new();
        let held = self.held(&mut notes).await;
        let (mut identities, mut named, mut unusable) = (Vec::new(), Vec::new(), None);
        for path in files {
            let Some(file) = expand(path, self.home) else { continue };
            let key = match read_key(&file).await {
                Ok(Found::Plain(key)) => {
                    named.push(key.public_key().clone());
                    identities.push(Identity::File { path: path.clone(), key: Arc::new(*key) });
                    continue;
                }
                Ok(Found::Encrypted(key)) => {
                    let held = key.filter(|key| holds(&held, key));
                    held.ok_or("it is encrypted, and the agent does not hold it".to_owned())
                }
                Ok(Found::Public(key)) if holds(&held, &key) => Ok(key),
                Ok(Found::Public(_)) => Err("it is a public key, and the agent does not hold the private one".into()),
                // The private half may be elsewhere, and only the agent may have it.
                Err(why) => public_beside(&file).await.filter(|key| holds(&held, key)).ok_or(why),
            };
            match key {
                Ok(key) => {
                    named.push(key.clone());
                    identities.push(Identity::Agent { key, path: Some(path.clone()) });
                }
                Err(why) => {
                    notes.push(format!("{path}: {why}"));
                    unusable = unusable.or(Some((path, why)));
                }
            }
        }
        identities.truncate(MOST_OFFERED);
        if !only {
            let others = held.iter().filter(|key| !holds(&named, key));
            let left = MOST_OFFERED - identities.len();
            identities.extend(in_agent(others, left, &mut notes));
        }
        match unusable {
            Some((path, why)) if identities.is_empty() => Err(self.error(path, why)),
            _ => Ok((identities, notes)),
        }
    }

    /// What the agent holds; what there is to say of it goes to `notes`.
    async fn held(&self, notes: &mut Vec<String>) -> Vec<PublicKey> {
        match agent_keys(self.agent).await {
            Ok(keys) if keys.is_empty() => notes.push("the agent holds no key".into()),
            Ok(keys) => return keys,
            Err(why) => notes.push(why),
        }
        Vec::new()
    }
}

fn holds(held: &[PublicKey], key: &PublicKey) -> bool {
    held.iter().any(|k| k.key_data() == key.key_data())
}

/// As many keys of the agent as may be offered.
fn in_agent<'a>(held: impl Iterator<Item = &'a PublicKey>, most: usize, notes: &mut Vec<String>) -> Vec<Identity> {
    let all: Vec<&PublicKey> = held.collect();
    if all.len() > most {
        notes.push(format!(
            "the agent holds {} keys, of which {most} were offered; say which one is meant with `ssh-key`",
            all.len()
        ));
    }
    all.into_iter().take(most).map(|key| Identity::Agent { key: key.clone(), path: None }).collect()
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

/// Whether a key file is one that needs a passphrase. `~/` is the home directory.
pub async fn is_shut(path: &str) -> bool {
    let file = expand(path, std::env::home_dir().as_deref());
    match file {
        Some(file) => matches!(read_key(&file).await, Ok(Found::Encrypted(_))),
        None => false,
    }
}

/// Why an encrypted key stays closed.
enum Locked {
    /// There is no passphrase.
    Secret(SecretError),
    /// It is not the one.
    Key(String),
}

/// Opens an encrypted key. Finding out the passphrase may take a program, and using it takes a while.
async fn decrypt(file: &Path, unlock: Unlock<'_>) -> Result<PrivateKey, Locked> {
    let (file, at, from) = (file.to_owned(), unlock.passphrase.clone(), Arc::clone(unlock.secrets));
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

async fn agent_keys(socket: Option<&Path>) -> Result<Vec<PublicKey>, String> {
    let mut agent = agent(socket).await?;
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
