//! Where this driver keeps things on this computer, and what each thing is called.

use super::{network::Forward, options::Options};
pub(super) use crate::driver::local::{Phase, id};
use crate::{
    digest::sha256_hex_of,
    driver::{
        DriverError, files,
        local::{self, Own, variable},
    },
    fault,
    name::MachineName,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
};

/// Ports that are given to machines: below those that systems give to programs that ask for any.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// The file of a disk.
const DISK: &str = "disk.qcow2";

/// The folders of this driver.
pub(super) type Place = local::Place<Guest>;
/// The folder of one machine.
pub(super) type Folder = local::Folder<Guest>;
/// What `instance.json` holds.
pub(super) type Record = local::Record<Guest>;

/// What this driver knows of a machine beyond what all know.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Guest {
    /// The image below its disk.
    pub(super) image: PathBuf,
    /// Ports that lead to it; `None`: it has an address of its own.
    pub(super) ports: Option<Ports>,
    /// That address, when it is known.
    pub(super) address: Option<String>,
    /// How often it was told what to become: each time under another id, or it would not listen.
    pub(super) told: u32,
    /// The frozen machine it goes on from, when it was made so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) origin: Option<Origin>,
}

impl Own for Guest {
    const DRIVER: &'static str = "qemu";
    const VERSION: u32 = 1;
    const FORGET: &'static str = "qemu.forget";
}

impl Place {
    /// As `MACHINE_QEMU_DIR` and `MACHINE_QEMU_IMAGES` say, else below the user's data; the only place that reads them.
    pub(super) fn of_environment() -> Result<Self, DriverError> {
        let data = || variable("XDG_DATA_HOME").or_else(|| Some(std::env::home_dir()?.join(".local/share")));
        let base = variable("MACHINE_QEMU_DIR").or_else(|| Some(data()?.join("machine/qemu")));
        let base = base.and_then(|base| std::path::absolute(base).ok()).ok_or_else(|| DriverError::Unprepared {
            what: "there is no home directory to keep virtual machines in".to_owned(),
            help: "set MACHINE_QEMU_DIR to a folder for them".to_owned(),
        })?;
        let images = variable("MACHINE_QEMU_IMAGES").unwrap_or_else(|| base.join("images"));
        Ok(Self::new(base, images))
    }

    /// Where it is written down whether the accelerator works.
    pub(super) fn accelerator(&self) -> PathBuf {
        self.base.join("accelerator.json")
    }

    /// Waits until no other process makes or removes machines here, or gives them ports.
    pub(super) async fn lock(&self) -> Result<File, DriverError> {
        files::folder(&self.base, 0o700)?;
        files::lock(&self.base.join(".lock"), || {}).await
    }

    /// Two ports for a machine: those that are given, else those it has, else free ones. Call it under the lock, and
    /// write down what it says before the lock goes. `fresh`: those it has are taken by another program.
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
            .filter_map(|(_, record)| Some((record.own.ports?, record.machine)))
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

/// Ports of this computer that lead to a machine.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Ports {
    /// To its SSH server.
    pub(super) ssh: u16,
    /// To its engine.
    pub(super) engine: u16,
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
    /// The image that its disk stands on.
    pub(super) fn below(&self) -> PathBuf {
        match &self.own.origin {
            Some(Origin::Ahead(frozen) | Origin::Behind(frozen)) => frozen.join(DISK),
            Some(Origin::Booted) | None => self.own.image.clone(),
        }
    }
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
    /// The record as it is now: any run may switch a machine on and off, and another one may have changed it
    /// before we had the lock.
    pub(super) fn reload(&self, record: Record) -> Result<Record, DriverError> {
        Ok(self.load()?.unwrap_or(record))
    }
}

#[cfg(test)]
#[path = "place_tests.rs"]
mod tests;
