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

use super::{Area, Mode, Store, StoreError, auth, copies};
use crate::{
    clock::{Clock, Timestamp},
    name::MachineName,
    provisioner::HostCertificate,
    record::{CertificateRecord, auth::AuthFiles},
    tls::{self, Authority, Purpose, TlsError},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// How long before the end of its validity an authority or client identity is replaced, in days.
pub const RENEW_DAYS: i64 = 30;

const SERVER: &str = "server.pem";
const SERVER_KEY: &str = "server-key.pem";
/// In the store's `certs`, files that are being written: a JSON object of their texts by path; empty when none are.
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

/// What was done to the files. As text, in docker-machine's words.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Deed {
    /// There was no authority.
    CreatedAuthority(PathBuf),
    /// The authority had ended, or was about to.
    ReplacedAuthority,
    /// There was no client identity, or a new one was asked for.
    CreatedClient(PathBuf),
    /// The client's identity had ended, was about to, or was not of this authority.
    ReplacedClient,
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreatedAuthority(path) => write!(f, "Creating CA: {}", path.display()),
            Self::ReplacedAuthority => f.write_str("CA certificate is outdated and needs to be regenerated"),
            Self::CreatedClient(path) => write!(f, "Creating client certificate: {}", path.display()),
            Self::ReplacedClient => f.write_str("Client certificate is outdated and needs to be regenerated"),
        }
    }
}

/// Authority and client identity, made or renewed as needed, and what was done. Writes nothing when all is well.
///
/// # Errors
/// When files are there that make no sense (nothing is changed then), or cannot be read or written.
pub fn ensure(
    store: &dyn Store,
    files: &AuthFiles,
    clock: &dyn Clock,
) -> Result<(Identity, Vec<Deed>), AuthorityError> {
    let Made { identity, deeds, .. } = Kit { store, files, now: clock.now() }.ensure()?;
    Ok((identity, deeds))
}

/// As [`ensure`], with a client identity that is new in any case. The old one stays good for engines.
///
/// # Errors
/// As [`ensure`].
pub fn renew_client(
    store: &dyn Store,
    files: &AuthFiles,
    clock: &dyn Clock,
) -> Result<(Identity, Vec<Deed>), AuthorityError> {
    let Made { identity, deeds, .. } = Kit { store, files, now: clock.now() }.locked(Client::New)?;
    Ok((identity, deeds))
}

/// A certificate for the engine of a machine, and what goes with it. Nothing of it is written yet.
#[derive(Debug)]
pub struct Issued {
    /// What is recorded of it.
    pub record: CertificateRecord,
    /// What the host is given.
    pub host: HostCertificate,
    identity: Identity,
}

/// Issues a certificate for the engine of a machine.
///
/// # Errors
/// As [`ensure`], and when a name cannot be in a certificate.
pub fn issue(
    store: &dyn Store,
    machine: &MachineName,
    names: &BTreeSet<String>,
    now: Timestamp,
) -> Result<Issued, AuthorityError> {
    let auth = auth::of(store, machine)?;
    let Made { authority, identity, .. } = Kit { store, files: &auth.files, now }.ensure()?;
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
    Ok(Issued { record, host: HostCertificate { ca: identity.ca.clone(), cert: pair.cert, key: pair.key }, identity })
}

impl Issued {
    /// Puts it, and what clients need, into the machine's folder: once the host has it, for until then the engine
    /// knows us by what is there.
    ///
    /// # Errors
    /// When it cannot be written; the old files are still there then.
    pub fn keep(&self, store: &dyn Store, machine: &MachineName) -> Result<(), StoreError> {
        let server =
            [(SERVER_KEY, self.host.key.as_bytes(), Mode::Private), (SERVER, self.host.cert.as_bytes(), Mode::Public)];
        store.write_together(Area::Machine(machine), &[&server[..], &copies::pems(&self.identity)].concat())
    }
}

/// Whether a client identity that is good is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Client {
    Good,
    New,
}

/// What there is in the end, and what was done for it.
struct Made {
    authority: Authority,
    identity: Identity,
    deeds: Vec<Deed>,
}

/// What is there and good.
struct Look {
    authority: Option<Authority>,
    identity: Option<Identity>,
    pending: Option<BTreeMap<String, String>>,
}

/// The files of one authority and its client, and when it is.
struct Kit<'a> {
    store: &'a dyn Store,
    files: &'a AuthFiles,
    now: Timestamp,
}

impl Kit<'_> {
    fn ensure(&self) -> Result<Made, AuthorityError> {
        // Another process may be in the middle of it: only "all is well" counts without the lock.
        if let Ok(Look { authority: Some(authority), identity: Some(identity), pending: None }) = self.look() {
            return Ok(Made { authority, identity, deeds: Vec::new() });
        }
        self.locked(Client::Good)
    }

    fn locked(&self, client: Client) -> Result<Made, AuthorityError> {
        let mut result = None;
        let outside = auth::outside(&self.store.root(), self.files);
        self.store.with_certs_locked(&outside, &mut || result = Some(self.make(client)))?;
        result.expect("`with_certs_locked` runs its work before it succeeds")
    }

    fn look(&self) -> Result<Look, AuthorityError> {
        let AuthFiles { ca_cert, ca_key, client_cert, client_key } = self.files;
        let nothing = |pending| Look { authority: None, identity: None, pending };
        let pending = self.store.read(Area::Certs, PENDING)?.filter(|text| !text.is_empty());
        if let Some(text) = pending {
            // Unreadable is impossible, since it is written atomically, but must not be fatal: files may be whole.
            return Ok(nothing(Some(serde_json::from_slice(&text).unwrap_or_default())));
        }
        let Some((ca, key)) = self.pair(ca_cert, ca_key)? else {
            // Without an authority, a client's identity is of no use; one of a half is still reported.
            self.pair(client_cert, client_key)?;
            return Ok(nothing(None));
        };
        let authority = tls::load_authority(&ca, &key).map_err(|e| match e {
            TlsError::Key | TlsError::Mismatch => wrong(ca_key)(e),
            other => wrong(ca_cert)(other),
        })?;
        if authority.about.not_after <= self.now.plus_days(RENEW_DAYS) {
            self.pair(client_cert, client_key)?;
            return Ok(nothing(None));
        }
        let Some((cert, key)) = self.pair(client_cert, client_key)? else {
            return Ok(Look { authority: Some(authority), identity: None, pending: None });
        };
        let good = match tls::check_pair(&cert, &key) {
            // docker-machine leaves such when two first runs race; the authority can always sign another.
            Err(TlsError::Mismatch) => false,
            Err(e @ TlsError::Key) => return Err(wrong(client_key)(e)),
            Err(e) => return Err(wrong(client_cert)(e)),
            Ok(about) => {
                about.valid_for(Purpose::Client, self.now, RENEW_DAYS)
                    && about.signed_by(&authority.about).map_err(wrong(client_cert))?
            }
        };
        Ok(Look { authority: Some(authority), identity: good.then_some(Identity { ca, cert, key }), pending: None })
    }

    /// Makes what is missing. The lock is held.
    fn make(&self, client: Client) -> Result<Made, AuthorityError> {
        let AuthFiles { ca_cert, ca_key, client_cert, client_key } = self.files;
        let mut seen = self.look()?;
        if let Some(noted) = seen.pending {
            self.write_noted(&noted)?;
            seen = self.look()?;
        }
        let authority = match (seen.authority, seen.identity) {
            (Some(authority), Some(identity)) if client == Client::Good => {
                return Ok(Made { authority, identity, deeds: Vec::new() });
            }
            (authority, _) => authority,
        };
        let made = wrong(ca_cert);
        let (mut note, mut deeds) = (BTreeMap::new(), Vec::new());
        let mut to_write = |path: &Path, text: &str| note.insert(path.to_string_lossy().into_owned(), text.to_owned());
        let authority = if let Some(authority) = authority {
            authority
        } else {
            if self.read(ca_cert)?.is_some() {
                deeds.push(Deed::ReplacedAuthority);
                // Engines go on knowing the old identity alone: it must not be lost with the files.
                for machine in auth::users(self.store, self.files)? {
                    copies::fill(self.store, &machine)?;
                }
            } else {
                deeds.push(Deed::CreatedAuthority(ca_cert.clone()));
            }
            let id = self.store.id()?;
            let pair = tls::new_authority(&format!("store {}", id.get(..8).unwrap_or(&id)), self.now).map_err(&made)?;
            let authority = tls::load_authority(&pair.cert, &pair.key).map_err(&made)?;
            to_write(ca_cert, &pair.cert);
            to_write(ca_key, &pair.key);
            authority
        };
        let outdated = client == Client::Good && self.read(client_cert)?.is_some();
        deeds.push(if outdated { Deed::ReplacedClient } else { Deed::CreatedClient(client_cert.clone()) });
        let client = tls::issue_client(&authority, "client", self.now, tls::LEAF_DAYS).map_err(&made)?;
        let identity = Identity { ca: authority.cert_pem.clone(), cert: client.cert, key: client.key };
        to_write(client_cert, &identity.cert);
        to_write(client_key, &identity.key);
        let text = serde_json::to_string(&note).expect("texts by path are plain data");
        self.store.write(Area::Certs, PENDING, text.as_bytes(), Mode::Private)?;
        self.write_noted(&note)?;
        Ok(Made { authority, identity, deeds })
    }

    /// Writes all that was noted, by this run or another, and says that it is done.
    fn write_noted(&self, note: &BTreeMap<String, String>) -> Result<(), StoreError> {
        let root = self.store.root();
        for (path, text) in note {
            // Earlier versions noted names of files in `certs`.
            let path = root.join("certs").join(path);
            let (area, name) = auth::place(&root, &path);
            self.store.write(area, name, text.as_bytes(), mode_of(text))?;
        }
        self.store.write(Area::Certs, PENDING, b"", Mode::Private)
    }

    fn read(&self, path: &Path) -> Result<Option<String>, AuthorityError> {
        let Some(bytes) = auth::read(self.store, path)? else { return Ok(None) };
        String::from_utf8(bytes).map(Some).map_err(|_| wrong(path)(TlsError::NotPem))
    }

    fn pair(&self, cert: &Path, key: &Path) -> Result<Option<(String, String)>, AuthorityError> {
        let half = |present: &Path, missing: &Path| {
            let (present, missing) = (present.display().to_string(), missing.display().to_string());
            Err(AuthorityError::Half { present, missing })
        };
        match (self.read(cert)?, self.read(key)?) {
            (Some(cert), Some(key)) => Ok(Some((cert, key))),
            (None, None) => Ok(None),
            (Some(_), None) => half(cert, key),
            (None, Some(_)) => half(key, cert),
        }
    }
}

/// A key is for us alone, whatever its file is called.
fn mode_of(text: &str) -> Mode {
    if text.contains("PRIVATE KEY-") { Mode::Private } else { Mode::Public }
}

/// Makes `map_err` of what is wrong with a file.
fn wrong(path: &Path) -> impl Fn(TlsError) -> AuthorityError {
    let path = path.display().to_string();
    move |source| AuthorityError::File { path: path.clone(), source }
}

#[cfg(test)]
#[path = "authority_tests.rs"]
mod tests;
