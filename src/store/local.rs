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
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

/// One look at a store. What machines share is read once.
pub struct Locals {
    store: Arc<dyn Store>,
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
    pub fn new(store: Arc<dyn Store>, now: Timestamp) -> Self {
        Self { store, now, originals: Mutex::default() }
    }

    /// All that is wrong with the files of a machine. Nothing is needed for an engine without a certificate.
    #[must_use]
    pub fn judge(&self, record: &MachineRecord) -> Vec<Flawed> {
        let Some(certificate) = &record.certificate else { return Vec::new() };
        // What config.json says is in the record as well: one that cannot be read is told by that.
        let Ok(auth) = auth::of(&*self.store, &record.name) else { return Vec::new() };
        let Originals { authority, client, twin } = self.originals(&auth.files);
        let own = |name: &str| self.own(&record.name, name);
        let shared = own("ca.pem").name == authority[0].name;
        let files = Files {
            authority,
            client,
            copies: (!shared).then(|| [own("ca.pem"), own("cert.pem"), own("key.pem")]),
            server: [own("server.pem"), own("server-key.pem")],
            twin,
        };
        let CertificateRecord { sha256, ca_sha256, .. } = certificate;
        let recorded = Recorded { server: sha256, authority: ca_sha256 };
        flawed::judge(&files, recorded, When { now: self.now, renew: RENEW_DAYS })
    }

    fn originals(&self, files: &AuthFiles) -> Originals {
        let mut known = self.originals.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(files.clone()).or_insert_with(|| self.read(files)).clone()
    }

    fn read(&self, files: &AuthFiles) -> Originals {
        let AuthFiles { ca_cert, ca_key, client_cert, client_key } = files;
        let authority = [self.file(ca_cert), self.file(ca_key)];
        let [cert, key] = authority.each_ref().map(|file| &file.found);
        let judged = judge::authority(cert, key, self.now, RENEW_DAYS);
        let standing = judge::standing(&judged);
        let damaged = judged.cert.as_ref().is_none_or(|flaw| !flaw.is_of_time());
        let wanted = damaged && matches!(standing, Standing::Again | Standing::Mixed);
        let key = key.as_ref().ok().and_then(|key| std::str::from_utf8(key.as_deref()?).ok());
        let twin = key.filter(|_| wanted).and_then(|key| {
            let found = authority::twin(&*self.store, files, key, self.now).ok()?;
            found.map(|(_, pem)| pem.into_bytes())
        });
        Originals { client: [self.file(client_cert), self.file(client_key)], twin, authority }
    }

    fn file(&self, path: &Path) -> File {
        let root = self.store.root();
        let within = path.strip_prefix(&root).ok();
        File {
            name: within.unwrap_or(path).display().to_string(),
            found: auth::read(&*self.store, path).map_err(|e| said(&e)),
            foreign: within.is_none(),
        }
    }

    fn own(&self, machine: &MachineName, name: &str) -> File {
        let found: Found = self.store.read(Area::Machine(machine), name).map_err(|e| said(&e));
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
