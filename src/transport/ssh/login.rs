//! Logging in with keys, over a connection whose host was checked.

use super::{
    Failure, Peer, TransportError,
    handshake::Hop,
    keys::{self, Credentials, Identity},
};
use russh::{
    MethodKind,
    client::AuthResult,
    keys::{Algorithm, HashAlg, PrivateKeyWithHashAlg, agent::client::AgentClient},
};
use std::{sync::Arc, time::Duration};
use tokio::{net::UnixStream, time::timeout};

/// How long a login with keys of the agent may take: it may ask a person.
const AGENT_LOGIN: Duration = Duration::from_mins(1);

/// Logs in as `user` with the first key the host accepts.
pub(super) async fn log_in(
    peer: &Peer,
    hop: &mut Hop,
    user: &str,
    credentials: &Credentials,
    limit: Duration,
) -> Result<(), Failure> {
    let asks_agent = credentials.identities.iter().any(|i| matches!(i, Identity::Agent { .. }));
    let limit = if asks_agent { limit.max(AGENT_LOGIN) } else { limit };
    match timeout(limit, try_all(peer, hop, user, credentials)).await {
        Ok(result) => result,
        Err(_) => Err(Failure::Transient(peer.timeout(format!("logging in at {}", peer.address), limit))),
    }
}

async fn try_all(peer: &Peer, hop: &mut Hop, user: &str, credentials: &Credentials) -> Result<(), Failure> {
    let mut tried = Tried::default();
    let mut agent = None;
    for identity in &credentials.identities {
        let result = match identity {
            Identity::File { path, key } => {
                tried.steps.push(format!("key {path}"));
                let hash = hash_for(hop, key.algorithm()).await;
                hop.handle.authenticate_publickey(user, PrivateKeyWithHashAlg::new(Arc::clone(key), hash)).await.ok()
            }
            Identity::Agent { key, path } => {
                match path {
                    Some(path) => tried.steps.push(format!("key {path} in the agent")),
                    None => tried.agent_keys += 1,
                }
                if agent.is_none() {
                    agent = open_agent(hop, credentials).await;
                }
                let Some(agent) = agent.as_mut() else {
                    tried.remarks.push("the agent went away".into());
                    break;
                };
                let hash = hash_for(hop, key.algorithm()).await;
                match hop.handle.authenticate_publickey_with(user, key.clone(), hash, agent).await {
                    Ok(result) => Some(result),
                    Err(russh::AgentAuthError::Send(_)) => None,
                    Err(russh::AgentAuthError::Key(_)) => {
                        tried.remarks.push("the agent refused to sign".into());
                        continue;
                    }
                }
            }
        };
        match result {
            Some(AuthResult::Success) => return Ok(()),
            Some(AuthResult::Failure { remaining_methods, partial_success }) if !hop.handle.is_closed() => {
                if partial_success {
                    tried.remarks.push("a key was accepted, but the host wants more than a key".into());
                } else if !remaining_methods.contains(&MethodKind::PublicKey) {
                    tried.remarks.push("the host takes no keys".into());
                    break;
                }
                tried.refused += 1;
            }
            // Hanging up is how hosts answer too many keys, and what a host does that is still booting.
            Some(AuthResult::Failure { .. }) | None => {
                let why = hop.why("the host closed the connection").await;
                // OpenSSH says `Too many authentication failures`, after the first key if so configured.
                if tried.refused == 0 && !why.contains("authentication") {
                    return Err(Failure::Transient(peer.connect(format!("{why}, while logging in `{user}`"))));
                }
                tried.remarks.push("the host hung up after that".into());
                break;
            }
        }
    }
    Err(Failure::Final(TransportError::Auth {
        machine: peer.machine.clone(),
        address: peer.address.clone(),
        user: user.to_owned(),
        tried: tried.text(&credentials.notes),
    }))
}

/// RSA keys sign with SHA-2 (RFC 8332), as the host says or else the stronger; other keys have their own hash.
async fn hash_for(hop: &Hop, algorithm: Algorithm) -> Option<HashAlg> {
    if !algorithm.is_rsa() {
        return None;
    }
    let supported = hop.handle.best_supported_rsa_hash().await.ok().flatten().flatten();
    Some(supported.unwrap_or(HashAlg::Sha512))
}

async fn open_agent(hop: &Hop, credentials: &Credentials) -> Option<AgentClient<UnixStream>> {
    let mut agent = keys::agent(credentials.agent.as_deref()).await.ok()?;
    if let Some(binding) = hop.handle.agent_session_binding() {
        // Needed for keys that are bound to destinations; agents that do not know it say no, and nothing is lost.
        let _ = agent.bind_session(binding, false).await;
    }
    Some(agent)
}

#[derive(Default)]
struct Tried {
    agent_keys: usize,
    steps: Vec<String>,
    remarks: Vec<String>,
    refused: usize,
}

impl Tried {
    fn text(&self, notes: &[String]) -> String {
        let mut parts = Vec::new();
        match self.agent_keys {
            0 => {}
            1 => parts.push("agent (1 key)".to_owned()),
            n => parts.push(format!("agent ({n} keys)")),
        }
        parts.extend(self.steps.iter().cloned());
        if parts.is_empty() {
            parts.push("no key to try".to_owned());
        }
        let mut text = parts.join(", ");
        for remark in self.remarks.iter().chain(notes) {
            text.push_str("; ");
            text.push_str(remark);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_lists_what_was_tried_and_what_could_not_be() {
        let tried =
            Tried { agent_keys: 2, steps: vec!["key /k".into()], remarks: vec!["it hung up".into()], refused: 3 };
        assert_eq!(tried.text(&[]), "agent (2 keys), key /k; it hung up");
        assert_eq!(Tried::default().text(&["no agent".into()]), "no key to try; no agent");
    }
}
