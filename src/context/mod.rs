//! docker's contexts: one for each machine, so that `docker --context web-1 ps` works without any variable set.
//!
//! This file and [`sync`] are values and comparisons; [`shelf`] is docker's folder. Only contexts that bear our mark
//! for this very store are ever changed or removed, and only the user switches the current one.

pub mod shelf;
pub mod sync;

pub use shelf::Shelf;
pub use sync::{Change, Report, Scope, sync_if_used};

use crate::{
    name::MachineName,
    record::MachineRecord,
    store::{Area, Store, StoreError, authority::Identity, issued},
};
use serde_json::{Value, json};
use std::path::PathBuf;
use thiserror::Error;

/// Why contexts cannot be kept.
#[derive(Debug, Error)]
pub enum ContextError {
    /// A file or folder of docker's could not be read or written.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// docker's config.json makes no sense, and is left alone.
    #[error("{} is not what docker writes: {why}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Neither `DOCKER_CONFIG` nor a home directory.
    #[error("there is no home directory to find docker's contexts in")]
    NoHome,
    /// The machine store.
    #[error(transparent)]
    Store(StoreError),
}

impl ContextError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Io { path, .. } => Some(format!("let your user read and write {}", path.display())),
            Self::Config { path, .. } => Some(format!("correct {}, then run the command again", path.display())),
            Self::NoHome => Some("say where docker's folder is, with DOCKER_CONFIG".to_owned()),
            Self::Store(e) => e.help(),
        }
    }
}

/// Whose a context is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mark {
    /// The store the machine is in.
    pub store: String,
    /// The machine.
    pub machine: String,
    /// Whether new machines of that store get contexts as well.
    pub all: bool,
}

/// A context of docker's.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Context {
    /// Its name.
    pub name: String,
    /// Where the engine is, as `tcp://192.0.2.10:2376`.
    pub host: String,
    /// What the client shows the engine.
    pub identity: Option<Identity>,
    /// `None`: it is foreign.
    pub mark: Option<Mark>,
}

/// Key of our mark in the context's metadata. docker keeps keys it does not know.
const MARK: &str = "machine";

/// The folder of a context is called by the digest of its name.
pub(crate) fn folder(name: &str) -> String {
    crate::digest::sha256_hex(name.as_bytes())
}

/// docker's rule for names (`docker context create`): two characters at least, and `default` is taken.
pub(crate) fn is_name(text: &str) -> bool {
    let rest = |b: u8| b.is_ascii_alphanumeric() || b"_.+-".contains(&b);
    text != "default"
        && text.len() >= 2
        && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && text.bytes().all(rest)
}

impl Context {
    /// The context of a machine; `None` while there is no engine that could be reached.
    ///
    /// # Errors
    /// When its certificates cannot be read.
    pub async fn of(
        store: &Store,
        record: &MachineRecord,
        prefix: &str,
        mark: Mark,
    ) -> Result<Option<Self>, StoreError> {
        let Some(host) = record.url() else { return Ok(None) };
        let told = record.instance.as_ref().is_some_and(|instance| instance.url.is_some());
        let identity = match (host.starts_with("tcp://"), told) {
            (false, _) => None,
            // An engine that we only know of may want no TLS: certificates of its own say that it does.
            (true, true) => own_identity(store, &record.name).await?,
            (true, false) => match issued::identity(store, &record.name).await? {
                None => return Ok(None),
                identity => identity,
            },
        };
        Ok(Some(Self { name: format!("{prefix}{}", record.name), host, identity, mark: Some(mark) }))
    }

    /// `meta.json`, as docker 28 writes it.
    #[must_use]
    pub fn meta(&self) -> String {
        let mut metadata = json!({});
        if let Some(Mark { store, machine, all }) = &self.mark {
            metadata = json!({
                "Description": format!("machine {machine}"),
                MARK: { "store": store, "name": machine, "all": all },
            });
        }
        let endpoint = json!({ "Host": self.host, "SkipTLSVerify": false });
        json!({ "Name": self.name, "Metadata": metadata, "Endpoints": { "docker": endpoint } }).to_string()
    }

    /// Reads a `meta.json`, of ours or foreign; `None` when it is none.
    #[must_use]
    pub fn from_meta(text: &str, identity: Option<Identity>) -> Option<Self> {
        let meta: Value = serde_json::from_str(text).ok()?;
        let name = meta["Name"].as_str()?.to_owned();
        let host = meta["Endpoints"]["docker"]["Host"].as_str().unwrap_or_default().to_owned();
        let mark = &meta["Metadata"][MARK];
        let mark = mark["store"].as_str().zip(mark["name"].as_str()).map(|(store, machine)| Mark {
            store: store.to_owned(),
            machine: machine.to_owned(),
            all: mark["all"].as_bool().unwrap_or(false),
        });
        Some(Self { name, host, identity, mark })
    }
}

/// What lies in the machine's own folder.
async fn own_identity(store: &Store, machine: &MachineName) -> Result<Option<Identity>, StoreError> {
    if store.files.read(Area::Machine(machine), "key.pem").await?.is_none() {
        return Ok(None);
    }
    issued::identity(store, machine).await
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
