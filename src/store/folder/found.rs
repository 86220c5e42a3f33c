//! What lies in a machine's folder, and how it is read: always all files of a record, such that they belong together.

use super::{CONFIG, EARLIER, FolderStore, RECORD};
use crate::{
    digest::sha256_hex,
    name::MachineName,
    record::{
        CertificateRecord, MachineRecord, Version,
        codec::{self, Document},
        docker_machine::{ConfigError, ConfigFile},
        folder, kdl,
    },
    store::{
        StoreError,
        folder::disk::{Disk, failed},
    },
    tls,
};
use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path};

/// What lies in a machine's folder.
pub(super) struct Found {
    pub(super) record: Option<Vec<u8>>,
    pub(super) earlier: Earlier,
    pub(super) config: Option<Config>,
}

/// What is in the place where earlier versions have the record.
pub(super) enum Earlier {
    Absent,
    /// What we leave there, so that an earlier version does not take the machine for one without a record.
    Stub,
    Record(Vec<u8>),
}

/// A config.json as it is.
pub(super) struct Config {
    pub(super) text: Vec<u8>,
    pub(super) sha256: String,
}

impl Found {
    /// A folder that is not there yet.
    pub(super) fn nothing() -> Self {
        Self { record: None, earlier: Earlier::Absent, config: None }
    }

    /// Which state of the machine this is.
    pub(super) fn version(&self) -> Version {
        let earlier = match (&self.record, &self.earlier) {
            (None, Earlier::Record(text)) => Some(text.as_slice()),
            _ => None,
        };
        version(self.record.as_deref(), earlier, self.config.as_ref().map(|config| config.text.as_slice()))
    }
}

/// The state of a machine with these documents: our record, that of an earlier version, docker-machine's.
pub(super) fn version(record: Option<&[u8]>, earlier: Option<&[u8]>, config: Option<&[u8]>) -> Version {
    Version::of(&[record, earlier, config])
}

/// Tells one writing of a file from the next: each makes a new file.
fn stamp(path: &Path) -> Option<(u64, i64, i64)> {
    let about = fs::symlink_metadata(path).ok()?;
    Some((about.ino(), about.ctime(), about.ctime_nsec()))
}

impl FolderStore {
    /// Reads the files such that they belong together, though another process may be writing them.
    pub(super) fn find(&self, name: &MachineName) -> Result<Found, StoreError> {
        let dir = self.dir_of(name);
        let (json, kdl) = (dir.join(RECORD), dir.join(EARLIER));
        loop {
            let before = stamp(&json).or_else(|| stamp(&kdl));
            let record = Disk::read(&json)?;
            let earlier = earlier(&kdl)?;
            let config = Disk::read(&dir.join(CONFIG))?.map(|text| Config { sha256: sha256_hex(&text), text });
            let own = match (&record, &earlier) {
                (Some(record), _) | (None, Earlier::Record(record)) => Some(record.as_slice()),
                (None, Earlier::Absent | Earlier::Stub) => None,
            };
            let settled = match (own, &config) {
                (Some(own), Some(config)) => mentions(own, &config.sha256),
                // A stub is written after the record.
                (None, config) => config.is_none() && !matches!(earlier, Earlier::Stub),
                (Some(_), None) => true,
            };
            // The record is written first: if it is still the same file, docker-machine wrote the other. Its bytes
            // would not tell, for a third writer may have put the first one's back.
            if settled || stamp(&json).or_else(|| stamp(&kdl)) == before {
                return Ok(Found { record, earlier, config });
            }
        }
    }

    pub(super) fn broken(&self, name: &str, file: &str, why: impl Into<String>) -> StoreError {
        let path = self.machines().join(name).join(file);
        StoreError::Broken { machine: name.to_owned(), path, why: why.into() }
    }

    /// The record that was found, as it is written; `None`: we have written none.
    pub(super) fn decode(&self, name: &MachineName, found: &Found) -> Result<Option<Document>, StoreError> {
        let broken = |file: &str, why: String| self.broken(name.as_str(), file, why);
        let read = |file, text: &[u8], decode: fn(&str) -> Result<Document, codec::CodecError>| {
            let text = std::str::from_utf8(text).map_err(|e| broken(file, e.to_string()))?;
            let document = decode(text).map_err(|e| broken(file, e.to_string()))?;
            if document.record.name != *name {
                let why = format!("it is the record of `{}`, in the folder of another machine", document.record.name);
                return Err(broken(file, why));
            }
            Ok(document)
        };
        match (&found.record, &found.earlier) {
            (Some(text), earlier) => {
                let document = read(RECORD, text, codec::decode)?;
                match earlier {
                    // That it replaces this very text is noted until it has.
                    Earlier::Record(text) if document.beside.kdl != Some(sha256_hex(text)) => {
                        Err(StoreError::TwoRecords { machine: name.to_string(), dir: self.dir_of(name) })
                    }
                    Earlier::Absent | Earlier::Stub | Earlier::Record(_) => Ok(Some(document)),
                }
            }
            (None, Earlier::Record(text)) => read(EARLIER, text, kdl::decode).map(Some),
            (None, Earlier::Stub) => {
                let why = format!(
                    "it is not there, and the {EARLIER} beside it says that it should be: the folder was copied half"
                );
                Err(broken(RECORD, why))
            }
            (None, Earlier::Absent) => Ok(None),
        }
    }

    pub(super) fn parse_config(&self, name: &MachineName, text: &[u8]) -> Result<ConfigFile, ConfigError> {
        let text = std::str::from_utf8(text).map_err(|e| ConfigError::Shape(e.to_string()))?;
        ConfigFile::parse(text, self.place(name))
    }

    /// A record, and which state of it that is.
    pub(super) fn load(&self, name: &MachineName) -> Result<(MachineRecord, Version), StoreError> {
        let found = self.find(name)?;
        let version = found.version();
        Ok((self.record_of(name, found)?, version))
    }

    /// The record in what was found.
    pub(super) fn record_of(&self, name: &MachineName, found: Found) -> Result<MachineRecord, StoreError> {
        if let Some(Document { mut record, beside }) = self.decode(name, &found)? {
            self.settle_paths(&mut record, &found);
            let changed = found.config.filter(|config| !beside.covers(&config.sha256));
            // One that will not parse says nothing; the next `put` writes it anew.
            if let Some(Ok(config)) = changed.map(|config| self.parse_config(name, &config.text)) {
                config.overlay(&mut record);
            }
            return Ok(record);
        }
        let Some(Config { text, .. }) = found.config else {
            let dir = self.dir_of(name);
            return match fs::symlink_metadata(&dir) {
                Ok(_) => {
                    let why = format!(
                        "there is neither a {RECORD} nor a {CONFIG}: the folder was copied half, or is none of a machine"
                    );
                    Err(self.broken(name.as_str(), "", why))
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => Err(StoreError::Absent(name.to_string())),
                Err(e) => Err(failed("read", &dir)(e)),
            };
        };
        let config = self.parse_config(name, &text).map_err(|e| self.broken(name.as_str(), CONFIG, e.to_string()))?;
        let mut record = config.to_record(self.place(name), self.fields.options_of(&config));
        record.certificate = self.certificate_of(name)?;
        Ok(record)
    }

    /// Paths into the machine's folder lead there, wherever the store was when they were written.
    fn settle_paths(&self, record: &mut MachineRecord, found: &Found) {
        let dir = self.dir_text(&record.name);
        if found.record.is_some() {
            return folder::read(record, &dir);
        }
        // Earlier versions wrote whole paths. Where the store was then is in config.json.
        if folder::is_elsewhere(record, &dir)
            && let Some(Ok(config)) = found.config.as_ref().map(|config| self.parse_config(&record.name, &config.text))
            && let Some(from) = config.moved_from()
        {
            folder::moved(record, from, &self.root_text);
        }
    }

    /// What docker-machine issued for a machine's engine, as far as it can be read.
    fn certificate_of(&self, name: &MachineName) -> Result<Option<CertificateRecord>, StoreError> {
        let read = |file: &str| -> Result<Option<tls::Inspected>, StoreError> {
            let content = Disk::read(&self.dir_of(name).join(file))?;
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

/// Reads what lies in the place of an earlier version's record. Of our stub the length is enough, for a store may hold many;
/// no record is as short.
pub(super) fn earlier(path: &Path) -> Result<Earlier, StoreError> {
    match fs::symlink_metadata(path) {
        Ok(about) if about.is_file() && about.len() == STUB_SIZE => return Ok(Earlier::Stub),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Earlier::Absent),
        Ok(_) | Err(_) => {}
    }
    Ok(match Disk::read(path)? {
        None => Earlier::Absent,
        Some(text) if kdl::is_stub(&text) => Earlier::Stub,
        Some(text) => Earlier::Record(text),
    })
}

const STUB_SIZE: u64 = kdl::STUB.len() as u64;

/// Whether a record names a digest, told without parsing it.
fn mentions(record: &[u8], digest: &str) -> bool {
    record.windows(digest.len()).any(|window| window == digest.as_bytes())
}
