//! Where a driver keeps its machines on this computer, what each is called, and what is written down of it.

use crate::{
    digest::sha256_hex_of,
    driver::{DriverContext, DriverError, files},
    fault,
    name::{FleetName, MachineName},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::BTreeMap,
    fs, io,
    marker::PhantomData,
    path::{Path, PathBuf},
};

/// The folders of a driver; what only it keeps there it says in an `impl` of its own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::driver) struct Place<O> {
    /// Everything but images.
    pub(in crate::driver) base: PathBuf,
    /// Images, shared by all machines, and by several bases if told so.
    pub(in crate::driver) images: PathBuf,
    own: PhantomData<O>,
}

/// What a driver knows of its machines beyond what all know.
pub(in crate::driver) trait Own: Serialize + DeserializeOwned {
    /// The driver.
    const DRIVER: &'static str;
    /// The version of `instance.json` that is written.
    const VERSION: u32;
    /// The point that is passed before a record is removed.
    const FORGET: &'static str;
}

/// A folder that a variable names.
pub(in crate::driver) fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from)
}

impl<O: Own> Place<O> {
    pub(in crate::driver) fn new(base: impl Into<PathBuf>, images: impl Into<PathBuf>) -> Self {
        Self { base: base.into(), images: images.into(), own: PhantomData }
    }

    /// Folder of all machines.
    pub(in crate::driver) fn instances(&self) -> PathBuf {
        self.base.join("instances")
    }

    /// The machine with this id, made or not.
    ///
    /// # Errors
    /// When the id, which may come from an edited record, is no plain file name.
    pub(in crate::driver) fn folder(&self, id: &str) -> Result<Folder<O>, DriverError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
        if id.is_empty() || id.starts_with('.') || !id.chars().all(plain) {
            return Err(DriverError::Refused {
                doing: "looking for the instance".to_owned(),
                why: format!("`{id}` is not an id that driver `{}` gives", O::DRIVER),
                help: "correct the instance id in the machine's record".to_owned(),
            });
        }
        Ok(self.named(id))
    }

    fn named(&self, id: &str) -> Folder<O> {
        let (id, path) = (id.to_owned(), self.instances().join(id));
        Folder { base: self.base.clone(), id, path, own: PhantomData }
    }

    /// Records of all machines, by id. One that cannot be read is an error: its address, or its ports, are taken.
    pub(in crate::driver) fn records(&self) -> Result<BTreeMap<String, Record<O>>, DriverError> {
        let entries = match fs::read_dir(self.instances()) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(e) => return Err(files::because("reading", &self.instances())(e)),
        };
        let mut records = BTreeMap::new();
        for entry in entries {
            let entry = entry.map_err(files::because("reading", &self.instances()))?;
            let Ok(id) = entry.file_name().into_string() else { continue };
            let record = self.named(&id).load()?;
            records.extend(record.map(|record| (id, record)));
        }
        Ok(records)
    }
}

/// `prefix` and so many hex digits of the digest of `parts`.
pub(in crate::driver) fn short(prefix: &str, digits: usize, parts: &[&str]) -> String {
    // A NUL is in no name and no path, so different parts never make the same text.
    let parts: Vec<&[u8]> = parts.iter().flat_map(|part| [part.as_bytes(), &[0]]).collect();
    format!("{prefix}{}", &sha256_hex_of(&parts)[..digits])
}

/// Id of a machine: its name for people, and a digest so that equal names of other fleets and stores differ.
pub(in crate::driver) fn id(cx: &DriverContext<'_>) -> String {
    id_of(cx.store_id, cx.fleet, cx.machine)
}

fn id_of(store: &str, fleet: Option<&FleetName>, machine: &MachineName) -> String {
    let fleet = fleet.map_or("", FleetName::as_str);
    short(&format!("{machine}-"), 10, &[store, fleet, machine.as_str()])
}

/// How far the making of a machine has come.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::driver) enum Phase {
    /// It has an id, a host key, and an address or ports.
    Allocated,
    /// Its files are complete: it can be started.
    Prepared,
}

/// What `instance.json` holds.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::driver) struct Record<O> {
    /// Version of this format.
    version: u32,
    /// The store whose machine it is.
    pub(in crate::driver) store_id: String,
    /// The fleet, if any.
    fleet: Option<FleetName>,
    /// The machine.
    pub(in crate::driver) machine: MachineName,
    /// How far it is made.
    pub(in crate::driver) phase: Phase,
    /// What only its driver knows.
    #[serde(flatten)]
    pub(in crate::driver) own: O,
    /// Its public host key.
    pub(in crate::driver) host_key: String,
    /// The public key that may log in.
    pub(in crate::driver) login_key: String,
}

impl<O: Own> Record<O> {
    /// That of a machine of which there are no files yet.
    pub(in crate::driver) fn new(cx: &DriverContext<'_>, host_key: String, login_key: String, own: O) -> Self {
        Self {
            version: O::VERSION,
            store_id: cx.store_id.to_owned(),
            fleet: cx.fleet.cloned(),
            machine: cx.machine.clone(),
            phase: Phase::Allocated,
            own,
            host_key,
            login_key,
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let record: Self = serde_json::from_str(text).map_err(|e| e.to_string())?;
        if record.version != O::VERSION {
            return Err(format!("version {} is not known, {} is", record.version, O::VERSION));
        }
        Ok(record)
    }

    fn text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("names and numbers are JSON");
        text.push('\n');
        text
    }
}

/// The folder of one machine.
#[derive(Clone, Debug)]
pub(in crate::driver) struct Folder<O> {
    /// What the machine is called here.
    pub(in crate::driver) id: String,
    /// Where it is.
    pub(in crate::driver) path: PathBuf,
    base: PathBuf,
    own: PhantomData<O>,
}

impl<O: Own> Folder<O> {
    /// One that is no machine's place, for what is made as a machine is.
    pub(in crate::driver) fn at(id: &str, path: &Path) -> Self {
        Self { id: id.to_owned(), path: path.to_owned(), base: PathBuf::new(), own: PhantomData }
    }

    /// The folder of its driver.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "driver `nspawn` asks for it"))]
    pub(in crate::driver) fn base(&self) -> &Path {
        &self.base
    }

    /// What the machine printed on its console.
    pub(in crate::driver) fn console(&self) -> PathBuf {
        self.path.join("console.log")
    }

    /// The record's file. A folder without it is rubbish of a run that was killed.
    pub(in crate::driver) fn json(&self) -> PathBuf {
        self.path.join("instance.json")
    }

    /// The record; `None` when there is no such machine.
    pub(in crate::driver) fn load(&self) -> Result<Option<Record<O>>, DriverError> {
        let Some(text) = files::read(&self.json())? else { return Ok(None) };
        Record::parse(&text).map(Some).map_err(|why| DriverError::Refused {
            doing: format!("reading {}", self.json().display()),
            why,
            help: "use the version of machine that wrote it, or remove its folder if the machine is not wanted"
                .to_owned(),
        })
    }

    /// The record of a machine of this store; that of another store is not ours to touch.
    pub(in crate::driver) fn owned(&self, cx: &DriverContext<'_>) -> Result<Option<Record<O>>, DriverError> {
        match self.load()? {
            Some(record) if record.store_id != cx.store_id => Err(DriverError::Refused {
                doing: format!("looking at {}", self.path.display()),
                why: format!("it belongs to the store `{}`, not to `{}`", record.store_id, cx.store_id),
                help: "use the store that made it".to_owned(),
            }),
            other => Ok(other),
        }
    }

    /// Writes the record.
    pub(in crate::driver) fn save(&self, record: &Record<O>) -> Result<(), DriverError> {
        files::write(&self.json(), 0o600, record.text().as_bytes())
    }

    /// Removes the record, before all else of a machine: what is left when we are killed then is rubbish, and known to be.
    pub(in crate::driver) fn forget(&self) -> Result<(), DriverError> {
        match fault::point(O::FORGET, self.json()).and_then(|()| fs::remove_file(self.json())) {
            Err(e) if !matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Err(files::because("removing", &self.json())(e))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "place_tests.rs"]
mod tests;
