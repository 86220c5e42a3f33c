//! Looking at the files that the TLS of machines needs on this computer. It changes nothing, and asks nothing else.

use super::{
    Area, Store, auth,
    authority::{self, RENEW_DAYS},
};
use crate::{
    clock::Timestamp,
    name::MachineName,
    record::{CertificateRecord, MachineRecord, auth::AuthFiles},
    tls::{
        Flawed, Found,
        flawed::{self, File, Files, Recorded, When},
        judge::{self, Standing},
    },
};
use std::{collections::BTreeMap, path::Path};
use tokio::sync::Mutex;

/// One look at a store. What machines share is read once.
pub struct Locals {
    store: Store,
    now: Timestamp,
    originals: Mutex<BTreeMap<AuthFiles, Originals>>,
}

/// The authority and the client, as the machines that go by them share them.
#[derive(Clone)]
struct Originals {
    authority: [File; 2],
    client: [File; 2],
    twin: Option<Vec<u8>>,
}

impl Locals {
    /// A look at a moment.
    #[must_use]
    pub fn new(store: Store, now: Timestamp) -> Self {
        Self { store, now, originals: Mutex::default() }
    }

    /// All that is wrong with the files of a machine. Nothing is needed for an engine without a certificate.
    #[must_use]
    pub async fn judge(&self, record: &MachineRecord) -> Vec<Flawed> {
        let Some(certificate) = &record.certificate else { return Vec::new() };
        // What config.json says is in the record as well: one that cannot be read is told by that.
        let Ok(auth) = auth::of(&self.store, &record.name).await else { return Vec::new() };
        let Originals { authority, client, twin } = self.originals(&auth.files).await;
        let own = async |name: &str| self.own(&record.name, name).await;
        let ca = own("ca.pem").await;
        let copies =
            if ca.name == authority[0].name { None } else { Some([ca, own("cert.pem").await, own("key.pem").await]) };
        let server = [own("server.pem").await, own("server-key.pem").await];
        let files = Files { authority, client, copies, server, twin };
        let CertificateRecord { sha256, ca_sha256, .. } = certificate;
        let recorded = Recorded { server: sha256, authority: ca_sha256 };
        flawed::judge(&files, recorded, When { now: self.now, renew: RENEW_DAYS })
    }

    async fn originals(&self, files: &AuthFiles) -> Originals {
        let mut known = self.originals.lock().await;
        if let Some(found) = known.get(files) {
            return found.clone();
        }
        let found = self.read(files).await;
        known.insert(files.clone(), found.clone());
        found
    }

    async fn read(&self, files: &AuthFiles) -> Originals {
        let AuthFiles { ca_cert, ca_key, client_cert, client_key } = files;
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
        Originals { client: [self.file(client_cert).await, self.file(client_key).await], twin, authority }
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
