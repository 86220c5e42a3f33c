//! Where this driver keeps things on this computer, and what each thing is called.

use super::{network::Forward, options::Options};
use crate::{
    digest::sha256_hex_of,
    driver::{DriverContext, DriverError, files},
    fault,
    name::{FleetName, MachineName},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
};

/// Ports that are given to machines: below those that systems give to programs that ask for any.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// The file of a disk.
const DISK: &str = "disk.qcow2";

/// The folders of this driver.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Place {
    /// Everything but images.
    pub(super) base: PathBuf,
    /// Images, shared by all machines, and by several bases if told so.
    pub(super) images: PathBuf,
}

impl Place {
    /// As `MACHINE_QEMU_DIR` and `MACHINE_QEMU_IMAGES` say, else below the user's data; the only place that reads them.
    pub(super) fn of_environment() -> Result<Self, DriverError> {
        let variable = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let data = || variable("XDG_DATA_HOME").or_else(|| Some(std::env::home_dir()?.join(".local/share")));
        let base = variable("MACHINE_QEMU_DIR").or_else(|| Some(data()?.join("machine/qemu")));
        let base = base.and_then(|base| std::path::absolute(base).ok()).ok_or_else(|| DriverError::Unprepared {
            what: "there is no home directory to keep virtual machines in".to_owned(),
            help: "set MACHINE_QEMU_DIR to a folder for them".to_owned(),
        })?;
        let images = variable("MACHINE_QEMU_IMAGES").unwrap_or_else(|| base.join("images"));
        Ok(Self { base, images })
    }

    /// Folder of all machines.
    pub(super) fn instances(&self) -> PathBuf {
        self.base.join("instances")
    }

    /// Where it is written down whether the accelerator works.
    pub(super) fn accelerator(&self) -> PathBuf {
        self.base.join("accelerator.json")
    }

    /// The machine with this id, made or not.
    ///
    /// # Errors
    /// When the id, which may come from an edited record, is no plain file name.
    pub(super) fn folder(&self, id: &str) -> Result<Folder, DriverError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
        if id.is_empty() || id.starts_with('.') || !id.chars().all(plain) {
            return Err(DriverError::Refused {
                doing: "looking for the instance".to_owned(),
                why: format!("`{id}` is not an id that driver `qemu` gives"),
                help: "correct the instance id in the machine's record".to_owned(),
            });
        }
        Ok(Folder { id: id.to_owned(), path: self.instances().join(id) })
    }

    /// Records of all machines of this base, by id. One that cannot be read is an error: its ports are taken.
    fn records(&self) -> Result<BTreeMap<String, Record>, DriverError> {
        let entries = match fs::read_dir(self.instances()) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(e) => return Err(files::because("reading", &self.instances())(e)),
        };
        let mut records = BTreeMap::new();
        for entry in entries {
            let entry = entry.map_err(files::because("reading", &self.instances()))?;
            let Ok(id) = entry.file_name().into_string() else { continue };
            let record = Folder { id: id.clone(), path: entry.path() }.load()?;
            records.extend(record.map(|record| (id, record)));
        }
        Ok(records)
    }

    /// Waits until no other process makes or removes machines here, or gives them ports.
    pub(super) async fn lock(&self) -> Result<File, DriverError> {
        files::folder(&self.base, 0o700)?;
        files::lock(&self.base.join(".lock"), || {}).await
    }

    /// Two ports for a machine: those that are given, else those it has, else free ones. Call it under the lock, and
    /// write down what it says before the lock goes. `fresh`: those it has are taken by somebody else.
    pub(super) fn ports(
        &self,
        id: &str,
        options: &Options,
        now: Option<Ports>,
        fresh: bool,
    ) -> Result<Ports, DriverError> {
        let others: BTreeMap<u16, MachineName> = self
            .records()?
            .into_iter()
            .filter(|(other, _)| other != id)
            .filter_map(|(_, record)| Some((record.ports?, record.machine)))
            .flat_map(|(ports, machine)| [(ports.ssh, machine.clone()), (ports.engine, machine)])
            .collect();
        for given in [options.ssh_port, options.engine_port].into_iter().flatten() {
            if let Some(other) = others.get(&given) {
                return Err(DriverError::Refused {
                    doing: format!("taking port {given}"),
                    why: format!("machine `{other}` has it"),
                    help: "give another one, or none: a free one is found".to_owned(),
                });
            }
        }
        let wanted = [options.ssh_port, options.engine_port];
        let forwarded = options.forward.iter().flatten().filter_map(|text| Forward::parse(text).ok()).map(|f| f.here);
        let mut taken: Vec<u16> = others.into_keys().chain(wanted.into_iter().flatten()).chain(forwarded).collect();
        let digest = sha256_hex_of(&[id.as_bytes()]);
        // Each machine looks from somewhere else on, so that one that is made anew has the same ports more often than not.
        let start = u16::from_str_radix(&digest[..4], 16).unwrap_or_default() % (PORTS.end - PORTS.start);
        let mut free = || {
            let all = (PORTS.start + start..PORTS.end).chain(PORTS.start..PORTS.start + start);
            let found = all
                .into_iter()
                .find(|port| !taken.contains(port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
            taken.extend(found);
            found.ok_or_else(|| DriverError::Unprepared {
                what: format!("no port from {} to {} is free on this computer", PORTS.start, PORTS.end),
                help: "remove machines, or give `ssh-port` and `engine-port`".to_owned(),
            })
        };
        let now = now.filter(|_| !fresh);
        let ssh = options.ssh_port.or(now.map(|p| p.ssh)).map_or_else(&mut free, Ok)?;
        let engine = options.engine_port.or(now.map(|p| p.engine)).map_or_else(&mut free, Ok)?;
        Ok(Ports { ssh, engine })
    }
}

/// `prefix` and so many hex digits of the digest of `parts`.
fn short(prefix: &str, digits: usize, parts: &[&str]) -> String {
    // A NUL is in no name and no path, so different parts never make the same text.
    let parts: Vec<&[u8]> = parts.iter().flat_map(|part| [part.as_bytes(), &[0]]).collect();
    format!("{prefix}{}", &sha256_hex_of(&parts)[..digits])
}

/// Id of a machine: its name for people, and a digest so that equal names of other fleets and stores differ.
pub(super) fn id(cx: &DriverContext<'_>) -> String {
    let fleet = cx.fleet.map_or("", FleetName::as_str);
    short(&format!("{}-", cx.machine), 10, &[cx.store_id, fleet, cx.machine.as_str()])
}

/// How far the making of a machine has come.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Phase {
    /// It has an id, ports and a host key.
    Allocated,
    /// Its disk and its seed are complete: it can be started.
    Prepared,
}

/// Ports of this computer that lead to a machine.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Ports {
    /// To its SSH server.
    pub(super) ssh: u16,
    /// To its engine.
    pub(super) engine: u16,
}

/// What `instance.json` holds.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Record {
    /// Version of this format.
    pub(super) version: u32,
    /// The store whose machine it is.
    pub(super) store_id: String,
    /// The fleet, if any.
    pub(super) fleet: Option<FleetName>,
    /// The machine.
    pub(super) machine: MachineName,
    /// How far it is made.
    pub(super) phase: Phase,
    /// The image below its disk.
    pub(super) image: PathBuf,
    /// Ports that lead to it; `None`: it has an address of its own.
    pub(super) ports: Option<Ports>,
    /// That address, when it is known.
    pub(super) address: Option<String>,
    /// Its public host key.
    pub(super) host_key: String,
    /// The public key that may log in.
    pub(super) login_key: String,
    /// How often it was told what to become: each time under another id, or it would not listen.
    pub(super) told: u32,
    /// The frozen machine it goes on from, when it was made so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) origin: Option<Origin>,
}

/// Where a machine with `clone: frozen` began.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Origin {
    /// It will go on from the frozen machine in this folder, and does not know yet who it is.
    Ahead(PathBuf),
    /// It went on from that one, knows who it is, and boots like any other from now on.
    Behind(PathBuf),
    /// It could not, and booted.
    Booted,
}

impl Record {
    /// The version that is written.
    pub(super) const VERSION: u32 = 1;

    /// The image that its disk stands on.
    pub(super) fn below(&self) -> PathBuf {
        match &self.origin {
            Some(Origin::Ahead(frozen) | Origin::Behind(frozen)) => frozen.join(DISK),
            Some(Origin::Booted) | None => self.image.clone(),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let record: Self = serde_json::from_str(text).map_err(|e| e.to_string())?;
        if record.version != Self::VERSION {
            return Err(format!("version {} is not known, {} is", record.version, Self::VERSION));
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
pub(super) struct Folder {
    /// What the machine is called here.
    pub(super) id: String,
    /// Where it is.
    pub(super) path: PathBuf,
}

impl Folder {
    /// What the machine wrote over its image.
    pub(super) fn disk(&self) -> PathBuf {
        self.path.join(DISK)
    }
    /// What it is told at its first boot.
    pub(super) fn seed(&self) -> PathBuf {
        self.path.join("seed.iso")
    }
    /// What it printed on its console since its last start.
    pub(super) fn console(&self) -> PathBuf {
        self.path.join("console.log")
    }
    /// Where qemu writes its process id.
    pub(super) fn pid(&self) -> PathBuf {
        self.path.join("qemu.pid")
    }
    /// Settings of its UEFI.
    pub(super) fn variables(&self) -> PathBuf {
        self.path.join("uefi-vars.fd")
    }
    /// The private half of its host key.
    pub(super) fn host_key(&self) -> PathBuf {
        self.path.join("host_ed25519")
    }
    /// The record's file. A folder without it is rubbish of a run that was killed.
    pub(super) fn json(&self) -> PathBuf {
        self.path.join("instance.json")
    }

    /// Waits until no other process starts, stops or changes the machine.
    pub(super) async fn lock(&self, waiting: impl FnOnce()) -> Result<File, DriverError> {
        files::lock(&self.path.join(".lock"), waiting).await
    }

    /// Removes files that a run which was killed has not completed. Call it under the lock.
    pub(super) fn tidy(&self) -> Result<(), DriverError> {
        let entries = fs::read_dir(&self.path).map_err(files::because("reading", &self.path))?;
        for path in entries.flatten().filter(|entry| files::is_unfinished(&entry.file_name())).map(|entry| entry.path())
        {
            fault::point("qemu.tidy", &path)
                .and_then(|()| fs::remove_file(&path))
                .map_err(files::because("removing", &path))?;
        }
        Ok(())
    }

    /// The record; `None` when there is no such machine.
    pub(super) fn load(&self) -> Result<Option<Record>, DriverError> {
        let Some(text) = files::read(&self.json())? else { return Ok(None) };
        Record::parse(&text).map(Some).map_err(|why| DriverError::Refused {
            doing: format!("reading {}", self.json().display()),
            why,
            help: "use the version of machine that wrote it, or remove its folder if the machine is not wanted"
                .to_owned(),
        })
    }

    /// The record as it is now: switching a machine on and off is nobody's privilege, and another run may have changed it
    /// before we had the lock.
    pub(super) fn reload(&self, record: Record) -> Result<Record, DriverError> {
        Ok(self.load()?.unwrap_or(record))
    }

    /// Writes the record.
    pub(super) fn save(&self, record: &Record) -> Result<(), DriverError> {
        files::write(&self.json(), 0o600, record.text().as_bytes())
    }
}

#[cfg(test)]
#[path = "place_tests.rs"]
mod tests;
