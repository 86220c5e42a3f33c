//! Looking at the files that the TLS of machines needs on this computer. It changes nothing, and asks nothing else.

use super::{
    Area, Store, auth,
    authority::{self, RENEW_DAYS},
};
use crate::{
    clock::Timestamp,
    digest::sha256_hex,
    name::MachineName,
    record::{CertificateRecord, MachineRecord, auth::AuthFiles},
    tls::{
        Flawed, Found,
        flawed::{self, File, Own, Recorded, Shared, When},
        judge::{self, Standing},
    },
};
use std::{collections::BTreeMap, path::Path, sync::Arc};
use tokio::sync::Mutex;

/// One look at a store. What machines share is read once.
pub struct Locals {
    store: Store,
    now: Timestamp,
    shared: Mutex<BTreeMap<AuthFiles, Arc<Originals>>>,
}

/// The authority and the client, as the machines that go by them share them.
struct Originals {
    shared: Shared,
    /// Of the authority's certificate, if it can be read.
    authority: Option<String>,
}

/// What lies on this computer for a machine.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Local {
    /// SHA-256 of `server.pem`, in hex.
    pub certificate: Option<String>,
    /// SHA-256 of the certificate of the authority that it goes by now, in hex.
    pub authority: Option<String>,
    /// All that is wrong with the files of its TLS. Nothing is needed for an engine without a certificate.
    pub flawed: Vec<Flawed>,
}

impl Locals {
    /// A look at a moment.
    #[must_use]
    pub fn new(store: Store, now: Timestamp) -> Self {
        Self { store, now, shared: Mutex::default() }
    }

    /// What lies there for a machine.
    pub async fn of(&self, record: &MachineRecord) -> Local {
        let name = &record.name;
        let server = self.own(name, "server.pem").await;
        let digest = |file: &File| file.found.as_ref().ok().and_then(|found| found.as_deref().map(sha256_hex));
        let certificate = digest(&server);
        // What config.json says is in the record as well: one that cannot be read is told by that.
        let Ok(auth) = auth::of(&self.store, name).await else { return Local { certificate, ..Local::default() } };
        let originals = self.originals(&auth.files).await;
        let authority = originals.authority.clone();
        let Some(recorded) = &record.certificate else { return Local { certificate, authority, ..Local::default() } };
        let ca = self.own(name, "ca.pem").await;
        let copies = if ca.name == originals.shared.authority().name {
            None
        } else {
            Some([ca, self.own(name, "cert.pem").await, self.own(name, "key.pem").await])
        };
        let own = Own { copies, server: [server, self.own(name, "server-key.pem").await] };
        let CertificateRecord { sha256, ca_sha256, .. } = recorded;
        let flawed = flawed::judge(&originals.shared, &own, Recorded { server: sha256, authority: ca_sha256 });
        Local { certificate, authority, flawed }
    }

    async fn originals(&self, files: &AuthFiles) -> Arc<Originals> {
        let mut known = self.shared.lock().await;
        if let Some(found) = known.get(files) {
            return Arc::clone(found);
        }
        let found = Arc::new(self.read(files).await);
        known.insert(files.clone(), Arc::clone(&found));
        found
    }

    async fn read(&self, files: &AuthFiles) -> Originals {
        let AuthFiles { ca_cert, ca_key, client_cert, client_key } = files;
        let when = When { now: self.now, renew: RENEW_DAYS };
        let authority = [self.file(ca_cert).await, self.file(ca_key).await];
        let [cert, key] = authority.each_ref().map(|file| &file.found);
        let judged = judge::authority(cert, key, self.now, RENEW_DAYS);
        let standing = judge::standing(&judged);
        let damaged = judged.cert.as_ref().is_none_or(|flaw| !flaw.is_of_time());
        let wanted = damaged && matches!(standing, Standing::Again | Standing::Mixed);
        let key = key.as_ref().ok().and_then(|key| std::str::from_utf8(key.as_deref()?).ok()).filter(|_| wanted);
        let twin = match key {
            Some(key) => authority::twin(&self.store, files, key, self.now).await.ok().flatten(),
            None => None,
        };
        let twin = twin.map(|(_, pem)| pem.into_bytes());
        let digest = cert.as_ref().ok().and_then(|found| found.as_deref().map(sha256_hex));
        let client = [self.file(client_cert).await, self.file(client_key).await];
        Originals { shared: Shared::of(authority, client, twin, when), authority: digest }
    }

    async fn file(&self, path: &Path) -> File {
        let within = path.strip_prefix(self.store.files.root()).ok();
        File {
            name: within.unwrap_or(path).display().to_string(),
            found: auth::read(&self.store, path).await.map_err(|e| said(&e)),
            foreign: within.is_none(),
        }
    }

    async fn own(&self, machine: &MachineName, name: &str) -> File {
        let found: Found = self.store.files.read(Area::Machine(machine), name).await.map_err(|e| said(&e));
        File { name: format!("machines/{machine}/{name}"), found, foreign: false }
    }
}

/// What the system said, without the path that is told beside it.
fn said(error: &super::StoreError) -> String {
    match error {
        super::StoreError::Io { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}
