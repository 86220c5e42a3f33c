//! The certificates of a store, in docker-machine's layout: `certs/{ca,ca-key,cert,key}.pem` and, for each
//! machine, `server.pem`, `server-key.pem` and copies of `ca.pem`, `cert.pem`, `key.pem`. A machine may go by other
//! files than those of `certs/` (`--tls-ca-cert` and its like): [`AuthFiles`] says where they lie.
//!
//! An authority and the client's identity change together or not at all: a chain is never broken, in no
//! order of crashes (pains 10 and 17). What is about to be written is noted first, in one file, and
//! the next run finishes it.
//!
//! This module decides nothing about engines: after an authority was replaced, it is the plan that gives
//! them new certificates. Until then the copies in their machines' folders keep working.

use super::{
    Area, Mode, Store, StoreError, auth, copies, kept,
    kit::{Kit, Made, Wish},
};
use crate::{
    clock::{Clock, Timestamp},
    name::MachineName,
    provisioner::HostCertificate,
    record::{CertificateRecord, auth::AuthFiles},
    tls::{self, Flaw, Flawed, Purpose, TlsError, judge},
};
use std::{collections::BTreeSet, fmt, path::PathBuf};
use thiserror::Error;

/// How long before the end of its validity an authority or client identity is replaced, in days.
pub const RENEW_DAYS: i64 = 30;

const SERVER: &str = "server.pem";
const SERVER_KEY: &str = "server-key.pem";

/// By what engines know this store's user, and the user knows them: PEM texts.
#[derive(Clone, Eq, PartialEq)]
pub struct Identity {
    /// The authority's certificate.
    pub ca: String,
    /// The client's certificate.
    pub cert: String,
    /// The client's private key. Secret.
    pub key: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("ca", &self.ca).field("cert", &self.cert).finish_non_exhaustive()
    }
}

/// What ends badly with the certificates of a store.
#[derive(Debug, Error)]
pub enum AuthorityError {
    /// A file could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key of the authority is lost, so it can issue nothing.
    #[error("the authority can issue no certificate: {path}: {flaw}")]
    Lost {
        /// The file that is wrong.
        path: String,
        /// What is wrong with it.
        flaw: Flaw,
        /// Machines that go by this authority.
        machines: Vec<MachineName>,
    },
    /// A file that has to be made anew, and is not the store's.
    #[error("{path}: {flaw}")]
    Foreign {
        /// The path.
        path: String,
        /// What is wrong with it.
        flaw: Flaw,
    },
    /// A file is not what it should be.
    #[error("{path}: {source}")]
    File {
        /// The path.
        path: String,
        /// What is wrong with it.
        #[source]
        source: TlsError,
    },
    /// All was done, and still files are not as they should be.
    #[error("not sound after all was done: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Unsound(Vec<Flawed>),
    /// A certificate could not be made.
    #[error("a certificate for `{machine}` could not be made: {source}")]
    Issue {
        /// For whom.
        machine: String,
        /// Why not.
        #[source]
        source: TlsError,
    },
}

impl AuthorityError {
    /// What to do about it; a command to copy stands on a line of its own.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Store(e) => e.help(),
            Self::Lost { path, machines, .. } if machines.is_empty() => {
                Some(format!("restore {path} from a backup, or move the authority's files away to have a new one made"))
            }
            Self::Lost { path, machines, .. } => {
                let names: Vec<&str> = machines.iter().map(MachineName::as_str).collect();
                Some(format!(
                    "restore {path} from a backup. Without its key only a new authority helps; this makes one, and gives \
                     the engines certificates of it:\n  {NEW_AUTHORITY} {}",
                    names.join(" ")
                ))
            }
            Self::Foreign { path, .. } => Some(foreign_help(path)),
            Self::Unsound(_) => Some("another run may have changed them meanwhile; run the command again".to_owned()),
            Self::File { source, .. } | Self::Issue { source, .. } => source.help(),
        }
    }
}

/// The command that makes a new authority, without the names of machines.
pub const NEW_AUTHORITY: &str = "machine regenerate-certs --new-authority";

/// What becomes of a file that is not the store's.
#[must_use]
pub fn foreign_help(path: &str) -> String {
    format!(
        "{path} is not the store's, so it is left as it is: replace it, or move it away together with its key to have \
         both made there"
    )
}

/// What was done to the files. As text, in docker-machine's words where it has any.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Deed {
    /// There was no authority.
    CreatedAuthority(PathBuf),
    /// The authority had ended, or was about to, or a new one was asked for.
    ReplacedAuthority,
    /// The authority was given a certificate again, for the key it has.
    RenewedAuthority(PathBuf, Flaw),
    /// The authority's certificate was put back from the folder of this machine.
    RestoredAuthority(PathBuf, MachineName),
    /// There was no client identity, or a new one was asked for.
    CreatedClient(PathBuf),
    /// The client's identity had ended, was about to, or was not of this authority.
    ReplacedClient,
    /// The client's identity was damaged.
    RepairedClient(PathBuf, Flaw),
    /// What was damaged and replaced is here.
    Kept(PathBuf),
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreatedAuthority(path) => write!(f, "Creating CA: {}", path.display()),
            Self::ReplacedAuthority => f.write_str("CA certificate is outdated and needs to be regenerated"),
            Self::RenewedAuthority(path, flaw) => {
                write!(f, "Making the CA certificate again, for the same key: {}: {flaw}", path.display())
            }
            Self::RestoredAuthority(path, machine) => {
                write!(f, "Putting the CA certificate back from the copy of `{machine}`: {}", path.display())
            }
            Self::CreatedClient(path) => write!(f, "Creating client certificate: {}", path.display()),
            Self::ReplacedClient => f.write_str("Client certificate is outdated and needs to be regenerated"),
            Self::RepairedClient(path, flaw) => {
                write!(f, "Making the client certificate again: {}: {flaw}", path.display())
            }
            Self::Kept(path) => write!(f, "Keeping what was damaged: {}", path.display()),
        }
    }
}

/// Authority and client identity, made or renewed as needed, and what was done. Writes nothing when all is well.
///
/// # Errors
/// When files are there that make no sense (nothing is changed then), or cannot be read or written.
pub async fn ensure(
    store: &Store,
    files: &AuthFiles,
    clock: &dyn Clock,
) -> Result<(Identity, Vec<Deed>), AuthorityError> {
    let Made { identity, deeds, .. } = Kit { store, files, now: clock.now() }.ensure().await?;
    Ok((identity, deeds))
}

/// As [`ensure`], with a client identity that is new in any case. The old one stays good for engines.
///
/// # Errors
/// As [`ensure`].
pub async fn renew_client(
    store: &Store,
    files: &AuthFiles,
    clock: &dyn Clock,
) -> Result<(Identity, Vec<Deed>), AuthorityError> {
    let Made { identity, deeds, .. } = Kit { store, files, now: clock.now() }.locked(Wish::NewClient).await?;
    Ok((identity, deeds))
}

/// As [`renew_client`], with an authority that is new, too. What was there is kept beside it.
///
/// # Errors
/// As [`ensure`].
pub async fn renew_authority(
    store: &Store,
    files: &AuthFiles,
    clock: &dyn Clock,
) -> Result<(Identity, Vec<Deed>), AuthorityError> {
    let Made { identity, deeds, .. } = Kit { store, files, now: clock.now() }.locked(Wish::NewAuthority).await?;
    Ok((identity, deeds))
}

/// As [`ensure`], but content with an authority that can issue nothing while the client's identity is good.
///
/// # Errors
/// As [`ensure`].
pub async fn identity(
    store: &Store,
    files: &AuthFiles,
    clock: &dyn Clock,
) -> Result<(Identity, Vec<Deed>), AuthorityError> {
    let kit = Kit { store, files, now: clock.now() };
    let seen = kit.look().await?;
    match seen.identity() {
        Some(identity) if seen.pending.is_none() => Ok((identity, Vec::new())),
        _ => ensure(store, files, clock).await,
    }
}

/// A copy of a damaged certificate of an authority: one that was made for its key, from the folder of a machine that
/// goes by it.
///
/// # Errors
/// When the store cannot be read.
pub async fn twin(
    store: &Store,
    files: &AuthFiles,
    key: &str,
    now: Timestamp,
) -> Result<Option<(MachineName, String)>, StoreError> {
    let mut best: Option<(Timestamp, MachineName, String)> = None;
    for machine in auth::users(store, files).await? {
        let found = Ok(store.files.read(Area::Machine(&machine), "ca.pem").await?);
        let Ok(about) = judge::copy(&found) else { continue };
        let good = judge::in_time(&about, now, RENEW_DAYS).is_none() && judge::belongs(&about, key);
        // Of several the newest, for it is the last that was made.
        if let Ok(Some(pem)) = found
            && good
            && best.as_ref().is_none_or(|(from, ..)| *from < about.not_before)
            && let Ok(pem) = String::from_utf8(pem)
        {
            best = Some((about.not_before, machine, pem));
        }
    }
    Ok(best.map(|(_, machine, pem)| (machine, pem)))
}

/// A certificate for the engine of a machine, and what goes with it. Nothing of it is written yet.
#[derive(Debug)]
pub struct Issued {
    /// What is recorded of it.
    pub record: CertificateRecord,
    /// What the host is given.
    pub host: HostCertificate,
    /// What was done to the authority and the client's identity for it.
    pub deeds: Vec<Deed>,
    identity: Identity,
    now: Timestamp,
}

/// Issues a certificate for the engine of a machine.
///
/// # Errors
/// As [`ensure`], and when a name cannot be in a certificate.
pub async fn issue(
    store: &Store,
    machine: &MachineName,
    names: &BTreeSet<String>,
    now: Timestamp,
) -> Result<Issued, AuthorityError> {
    let auth = auth::of(store, machine).await?;
    let Made { authority, identity, deeds } = Kit { store, files: &auth.files, now }.ensure().await?;
    let failed = |source| AuthorityError::Issue { machine: machine.to_string(), source };
    let purposes: &[Purpose] = if auth.swarm_master { &[Purpose::Server, Purpose::Client] } else { &[Purpose::Server] };
    let pair = tls::issue_server(&authority, machine.as_str(), names, purposes, now, tls::LEAF_DAYS).map_err(failed)?;
    let about = tls::inspect(&pair.cert).map_err(failed)?;
    let record = CertificateRecord {
        sha256: about.sha256,
        ca_sha256: authority.about.sha256,
        names: about.names,
        not_after: about.not_after,
    };
    let host = HostCertificate { ca: identity.ca.clone(), cert: pair.cert, key: pair.key };
    Ok(Issued { record, host, deeds, identity, now })
}

impl Issued {
    /// Puts it, and what clients need, into the machine's folder: once the host has it, for until then the engine
    /// knows us by what is there. Damaged files are kept beside it.
    ///
    /// # Errors
    /// When it cannot be written; the old files are still there then.
    pub async fn keep(&self, store: &Store, machine: &MachineName) -> Result<(), StoreError> {
        kept::of_machine(store, machine, self.now).await?;
        let server =
            [(SERVER_KEY, self.host.key.as_bytes(), Mode::Private), (SERVER, self.host.cert.as_bytes(), Mode::Public)];
        store.files.write(Area::Machine(machine), &[&server[..], &copies::pems(&self.identity)].concat()).await
    }
}

#[cfg(test)]
#[path = "authority_tests.rs"]
mod tests;
