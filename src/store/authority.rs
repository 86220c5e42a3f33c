//! The certificates of a store, in docker-machine's layout: `certs/{ca,ca-key,cert,key}.pem` and, for each
//! machine, `server.pem`, `server-key.pem` and copies of `ca.pem`, `cert.pem`, `key.pem`.
//!
//! An authority and the client's identity change together or not at all: a chain is never broken, in no
//! order of crashes (pains 10 and 17). What is about to be written is noted first, in one file, and
//! whoever comes next finishes it.
//!
//! This module decides nothing about engines: after an authority was replaced, it is the plan that gives
//! them new certificates. Until then the copies in their machines' folders keep working.

use super::{Area, Mode, Store, StoreError};
use crate::{
    clock::{Clock, Timestamp},
    name::MachineName,
    provisioner::HostCertificate,
    record::CertificateRecord,
    tls::{self, Authority, Purpose, TlsError},
};
use std::{collections::BTreeMap, collections::BTreeSet};
use thiserror::Error;

/// How long before the end of its validity an authority or client identity is replaced, in days.
pub const RENEW_DAYS: i64 = 30;

const CA: &str = "ca.pem";
const CA_KEY: &str = "ca-key.pem";
const CERT: &str = "cert.pem";
const KEY: &str = "key.pem";
const SERVER: &str = "server.pem";
const SERVER_KEY: &str = "server-key.pem";
/// Files that are being written, as a JSON object of their texts; empty when none are.
const PENDING: &str = "pending.json";

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
    /// One of two files that make sense only together.
    #[error("{present} is there, but {missing} is not")]
    Half {
        /// The path that is there.
        present: String,
        /// The path that is not.
        missing: String,
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
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Store(e) => e.help(),
            Self::Half { present, missing } => Some(format!(
                "restore {missing} from a backup, or move {present} away to have both made anew; \
                 engines then get new certificates when they are applied"
            )),
            Self::File { source, .. } | Self::Issue { source, .. } => source.help(),
        }
    }
}

/// The store's authority and client identity, made or renewed as needed. Writes nothing when all is well.
///
/// # Errors
/// When files are there that make no sense (nothing is changed then), or cannot be read or written.
pub fn ensure(store: &dyn Store, clock: &dyn Clock) -> Result<Identity, AuthorityError> {
    Ok(ensure_both(store, clock.now())?.1)
}

/// Issues a certificate for the engine of a machine and puts it and what clients need into the machine's folder.
///
/// # Errors
/// As [`ensure`], and when a name cannot be in a certificate.
pub fn server_certificate(
    store: &dyn Store,
    machine: &MachineName,
    names: &BTreeSet<String>,
    now: Timestamp,
) -> Result<(CertificateRecord, HostCertificate), AuthorityError> {
    let (authority, identity) = ensure_both(store, now)?;
    let issue = |source| AuthorityError::Issue { machine: machine.to_string(), source };
    let pair = tls::issue_server(&authority, machine.as_str(), names, now, tls::LEAF_DAYS).map_err(issue)?;
    let about = tls::inspect(&pair.cert).map_err(issue)?;
    for (file, text) in [
        (SERVER_KEY, &pair.key),
        (SERVER, &pair.cert),
        (KEY, &identity.key),
        (CERT, &identity.cert),
        (CA, &identity.ca),
    ] {
        store.write(Area::Machine(machine), file, text.as_bytes(), mode_of(file))?;
    }
    let record = CertificateRecord {
        sha256: about.sha256,
        ca_sha256: authority.about.sha256,
        names: about.names,
        not_after: about.not_after,
    };
    Ok((record, HostCertificate { ca: identity.ca, cert: pair.cert, key: pair.key }))
}

/// A key is for us alone.
fn mode_of(file: &str) -> Mode {
    if file.ends_with("key.pem") || file == PENDING { Mode::Private } else { Mode::Public }
}

fn ensure_both(store: &dyn Store, now: Timestamp) -> Result<(Authority, Identity), AuthorityError> {
    // Another process may be in the middle of it: only "all is well" counts without the lock.
    if let Ok(Look { authority: Some(authority), identity: Some(identity), pending: None }) = look(store, now) {
        return Ok((authority, identity));
    }
    let mut result = None;
    store.with_certs_locked(&mut || result = Some(make(store, now)))?;
    result.expect("`with_certs_locked` runs its work before it succeeds")
}

/// What is there and good.
struct Look {
    authority: Option<Authority>,
    identity: Option<Identity>,
    pending: Option<BTreeMap<String, String>>,
}

fn look(store: &dyn Store, now: Timestamp) -> Result<Look, AuthorityError> {
    let pending = read(store, PENDING)?.filter(|text| !text.is_empty());
    if let Some(text) = pending {
        // Unreadable is impossible, since it is written atomically, but must not be fatal: files may be whole.
        let pending = serde_json::from_str(&text).unwrap_or_default();
        return Ok(Look { authority: None, identity: None, pending: Some(pending) });
    }
    let Some((ca, ca_key)) = read_pair(store, CA, CA_KEY)? else {
        // Without an authority, a client's identity is of no use; one of a half is still reported.
        read_pair(store, CERT, KEY)?;
        return Ok(Look { authority: None, identity: None, pending: None });
    };
    let file = |file: &str| {
        let path = path_of(store, file);
        move |source| AuthorityError::File { path, source }
    };
    let authority = tls::load_authority(&ca, &ca_key).map_err(|e| match e {
        TlsError::Key | TlsError::Mismatch => file(CA_KEY)(e),
        other => file(CA)(other),
    })?;
    if authority.about.not_after <= now.plus_days(RENEW_DAYS) {
        read_pair(store, CERT, KEY)?;
        return Ok(Look { authority: None, identity: None, pending: None });
    }
    let identity = match read_pair(store, CERT, KEY)? {
        None => None,
        Some((cert, key)) => {
            let good = match tls::check_pair(&cert, &key) {
                // docker-machine leaves such when two first runs race; the authority can always sign another.
                Err(TlsError::Mismatch) => false,
                Err(e @ TlsError::Key) => return Err(file(KEY)(e)),
                Err(e) => return Err(file(CERT)(e)),
                Ok(about) => {
                    about.valid_for(Purpose::Client, now, RENEW_DAYS)
                        && about.signed_by(&authority.about).map_err(file(CERT))?
                }
            };
            good.then_some(Identity { ca, cert, key })
        }
    };
    Ok(Look { authority: Some(authority), identity, pending: None })
}

/// Makes what is missing. The lock is held.
fn make(store: &dyn Store, now: Timestamp) -> Result<(Authority, Identity), AuthorityError> {
    let mut seen = look(store, now)?;
    if let Some(files) = seen.pending {
        write_all(store, &files)?;
        seen = look(store, now)?;
    }
    let authority = match (seen.authority, seen.identity) {
        (Some(authority), Some(identity)) => return Ok((authority, identity)),
        (authority, _) => authority,
    };
    let made = |source| AuthorityError::File { path: path_of(store, CA), source };
    let mut files = BTreeMap::new();
    let authority = if let Some(authority) = authority {
        authority
    } else {
        let id = store.id()?;
        let pair = tls::new_authority(&format!("store {}", id.get(..8).unwrap_or(&id)), now).map_err(made)?;
        let authority = tls::load_authority(&pair.cert, &pair.key).map_err(made)?;
        files.insert(CA.to_owned(), pair.cert);
        files.insert(CA_KEY.to_owned(), pair.key);
        authority
    };
    let client = tls::issue_client(&authority, "client", now, tls::LEAF_DAYS).map_err(made)?;
    let identity = Identity { ca: authority.cert_pem.clone(), cert: client.cert, key: client.key };
    files.insert(CERT.to_owned(), identity.cert.clone());
    files.insert(KEY.to_owned(), identity.key.clone());
    let note = serde_json::to_string(&files).expect("texts by name are plain data");
    store.write(Area::Certs, PENDING, note.as_bytes(), mode_of(PENDING))?;
    write_all(store, &files)?;
    Ok((authority, identity))
}

/// Writes all files and says that it is done.
fn write_all(store: &dyn Store, files: &BTreeMap<String, String>) -> Result<(), StoreError> {
    for (file, text) in files.iter().filter(|(file, _)| [CA, CA_KEY, CERT, KEY].contains(&file.as_str())) {
        store.write(Area::Certs, file, text.as_bytes(), mode_of(file))?;
    }
    store.write(Area::Certs, PENDING, b"", mode_of(PENDING))
}

fn read(store: &dyn Store, file: &str) -> Result<Option<String>, AuthorityError> {
    let Some(bytes) = store.read(Area::Certs, file)? else { return Ok(None) };
    let text = String::from_utf8(bytes);
    text.map(Some).map_err(|_| AuthorityError::File { path: path_of(store, file), source: TlsError::NotPem })
}

fn read_pair(store: &dyn Store, cert: &str, key: &str) -> Result<Option<(String, String)>, AuthorityError> {
    let half = |present, missing| {
        Err(AuthorityError::Half { present: path_of(store, present), missing: path_of(store, missing) })
    };
    match (read(store, cert)?, read(store, key)?) {
        (Some(cert), Some(key)) => Ok(Some((cert, key))),
        (None, None) => Ok(None),
        (Some(_), None) => half(cert, key),
        (None, Some(_)) => half(key, cert),
    }
}

fn path_of(store: &dyn Store, file: &str) -> String {
    store.root().join("certs").join(file).display().to_string()
}

#[cfg(test)]
#[path = "authority_tests.rs"]
mod tests;
