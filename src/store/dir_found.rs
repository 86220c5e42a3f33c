//! What lies in a machine's folder, and how it is read: always both files, such that they belong together.

use super::{CONFIG, DirStore, RECORD};
use crate::{
    digest::sha256_hex,
    name::MachineName,
    record::{
        CertificateRecord, MachineRecord,
        codec::{self, Document},
        docker_machine::{ConfigError, ConfigFile},
    },
    store::{
        StoreError,
        file::{Files, failed},
    },
    tls,
};
use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path};

/// What lies in a machine's folder.
pub(super) struct Found {
    pub(super) record: Option<Vec<u8>>,
    pub(super) config: Option<Vec<u8>>,
}

/// Tells one writing of a file from the next: each makes a new file.
fn stamp(path: &Path) -> Option<(u64, i64, i64)> {
    let about = fs::symlink_metadata(path).ok()?;
    Some((about.ino(), about.ctime(), about.ctime_nsec()))
}

impl DirStore {
    /// Reads both files such that they belong together, though another process may be writing them.
    pub(super) fn find(&self, name: &MachineName) -> Result<Found, StoreError> {
        let dir = self.dir_of(name);
        loop {
            let before = stamp(&dir.join(RECORD));
            let record = Files::read(&dir.join(RECORD))?;
            let config = Files::read(&dir.join(CONFIG))?;
            let settled = match (&record, &config) {
                (Some(record), Some(config)) => mentions(record, &sha256_hex(config)),
                _ => record.is_some() || config.is_none(),
            };
            // The record is written first: if it is still the same file, docker-machine wrote the other. Its bytes
            // would not tell, for a third writer may have put the first one's back.
            if settled || stamp(&dir.join(RECORD)) == before {
                return Ok(Found { record, config });
            }
        }
    }

    pub(super) fn broken(&self, name: &str, file: &str, why: impl Into<String>) -> StoreError {
        let path = self.machines().join(name).join(file);
        StoreError::Broken { machine: name.to_owned(), path, why: why.into() }
    }

    pub(super) fn decode(&self, name: &MachineName, text: Vec<u8>) -> Result<Document, StoreError> {
        let text = String::from_utf8(text).map_err(|e| self.broken(name.as_str(), RECORD, e.to_string()))?;
        let document = codec::decode(&text).map_err(|e| self.broken(name.as_str(), RECORD, e.to_string()))?;
        if document.record.name != *name {
            let why = format!("it is the record of `{}`, in the folder of another machine", document.record.name);
            return Err(self.broken(name.as_str(), RECORD, why));
        }
        Ok(document)
    }

    pub(super) fn parse_config(&self, name: &MachineName, text: &[u8]) -> Result<ConfigFile, ConfigError> {
        let text = std::str::from_utf8(text).map_err(|e| ConfigError::Shape(e.to_string()))?;
        ConfigFile::parse(text, self.place(name))
    }

    pub(super) fn load(&self, name: &MachineName) -> Result<MachineRecord, StoreError> {
        match self.find(name)? {
            Found { record: Some(record), config } => {
                let Document { mut record, config: digest, unknown: _ } = self.decode(name, record)?;
                let changed = config.filter(|text| !digest.covers(&sha256_hex(text)));
                // One that will not parse says nothing; the next `put` writes it anew.
                if let Some(Ok(config)) = changed.map(|text| self.parse_config(name, &text)) {
                    config.overlay(&mut record);
                }
                Ok(record)
            }
            Found { record: None, config: Some(config) } => {
                let config =
                    self.parse_config(name, &config).map_err(|e| self.broken(name.as_str(), CONFIG, e.to_string()))?;
                let mut record = config.to_record(self.place(name), self.fields.options_of(&config));
                record.certificate = self.certificate_of(name)?;
                Ok(record)
            }
            Found { record: None, config: None } => {
                let dir = self.dir_of(name);
                match fs::symlink_metadata(&dir) {
                    Ok(_) => Err(self.broken(name.as_str(), "", "there is neither a record.kdl nor a config.json")),
                    Err(e) if e.kind() == io::ErrorKind::NotFound => Err(StoreError::Absent(name.to_string())),
                    Err(e) => Err(failed("read", &dir)(e)),
                }
            }
        }
    }

    /// What docker-machine issued for a machine's engine, as far as it can be read.
    fn certificate_of(&self, name: &MachineName) -> Result<Option<CertificateRecord>, StoreError> {
        let read = |file: &str| -> Result<Option<tls::Inspected>, StoreError> {
            let content = Files::read(&self.dir_of(name).join(file))?;
            Ok(content.and_then(|bytes| tls::inspect(&String::from_utf8(bytes).ok()?).ok()))
        };
        let (Some(server), Some(ca)) = (read("server.pem")?, read("ca.pem")?) else { return Ok(None) };
        Ok(Some(CertificateRecord {
            sha256: server.sha256,
            ca_sha256: ca.sha256,
            names: server.names,
            not_after: server.not_after,
        }))
    }
}

/// Whether a record names a digest, told without parsing it.
fn mentions(record: &[u8], digest: &str) -> bool {
    record.windows(digest.len()).any(|window| window == digest.as_bytes())
}
