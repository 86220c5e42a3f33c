//! Asking an engine whether it is well, through its own API (Docker Engine API, `/_ping` and `/version`).

pub mod client;
mod tls;

use crate::{name::MachineName, transport::Transport};
use async_trait::async_trait;
use std::{sync::Arc, time::Duration};
use thiserror::Error;

/// Where an engine listens and who may speak to it.
pub enum Endpoint {
    /// Mutual TLS over TCP. PEM texts.
    Tls {
        /// Address to connect to.
        host: String,
        /// TCP port.
        port: u16,
        /// The authority's certificate: the only root that is trusted.
        ca: String,
        /// The client's certificate.
        cert: String,
        /// The client's private key.
        key: String,
    },
    /// Through SSH to a Unix socket on the host.
    Ssh {
        /// An open connection.
        transport: Arc<dyn Transport>,
        /// Path of the socket.
        socket: String,
    },
    /// A plain TCP or Unix URL, as driver `none` may be given.
    Plain(String),
}

/// What an engine says of itself.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct EngineVersion {
    /// Engine version, as `28.2.2`.
    pub version: String,
    /// API version that was agreed on, as `1.50`.
    pub api: String,
}

/// Why an engine did not answer.
#[derive(Debug, Error)]
pub enum DockerError {
    /// It could not be reached.
    #[error("`{machine}`: cannot reach the engine at {address}: {why}")]
    Unreachable {
        /// The machine.
        machine: MachineName,
        /// `tcp://host:port` or the socket.
        address: String,
        /// What came back.
        why: String,
    },
    /// TLS refused one side.
    #[error("`{machine}`: TLS with the engine at {address} failed: {why}")]
    Tls {
        /// The machine.
        machine: MachineName,
        /// `tcp://host:port`.
        address: String,
        /// What came back.
        why: String,
    },
    /// It answered something else than an engine does.
    #[error("`{machine}`: the engine at {address} answered {why}")]
    Answer {
        /// The machine.
        machine: MachineName,
        /// `tcp://host:port` or the socket.
        address: String,
        /// Status and body, cut.
        why: String,
    },
}

impl DockerError {
    /// The machine whose engine it is.
    #[must_use]
    pub const fn machine(&self) -> &MachineName {
        match self {
            Self::Unreachable { machine, .. } | Self::Tls { machine, .. } | Self::Answer { machine, .. } => machine,
        }
    }

    /// What to do about it; a command to copy stands on a line of its own.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Unreachable { machine, .. } => format!(
                "see whether it runs and what it says, and whether a firewall is in between:\n  machine ssh {machine} -- systemctl status docker"
            ),
            Self::Tls { machine, .. } => format!(
                "each side takes the certificate of the other or refuses it; see what the engine says of it:\n  \
                 machine ssh {machine} -- sudo journalctl -u docker -n 50"
            ),
            Self::Answer { machine, .. } => {
                format!("see what listens there:\n  machine ssh {machine} -- ss -ltnp")
            }
        }
    }
}

/// Asks engines.
#[async_trait]
pub trait DockerApi: Send + Sync {
    /// Pings the engine and asks its version with the newest API version both sides speak, on one connection.
    async fn version(
        &self,
        machine: &MachineName,
        endpoint: &Endpoint,
        timeout: Duration,
    ) -> Result<EngineVersion, DockerError>;
}
