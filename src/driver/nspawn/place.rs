//! Where this driver keeps things on this computer, and what each thing is called.

use super::files;
use crate::{
    digest::sha256_hex_of,
    driver::DriverError,
    name::{FleetName, MachineName},
};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

/// The folders of this driver.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Place {
    /// Everything but images.
    pub(super) base: PathBuf,
    /// Unpacked root file systems, shared by all machines, and by several bases if told so.
    pub(super) images: PathBuf,
}

impl Place {
    /// As `MACHINE_NSPAWN_DIR` and `MACHINE_NSPAWN_IMAGES` say; the only place that reads them.
    pub(super) fn of_environment() -> Self {
        let variable = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let base = variable("MACHINE_NSPAWN_DIR").unwrap_or_else(|| "/var/lib/machine/nspawn".into());
        let images = variable("MACHINE_NSPAWN_IMAGES").unwrap_or_else(|| base.join("images"));
        Self { base, images }
    }

    /// Folder of all machines.
    pub(super) fn instances(&self) -> PathBuf {
        self.base.join("instances")
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
                why: format!("`{id}` is not an id that driver `nspawn` gives"),
                help: "correct the instance id in the machine's record".to_owned(),
            });
        }
        Ok(Folder { path: self.instances().join(id), tag: short("m", 11, &[&self.base.to_string_lossy(), id]) })
    }

    /// Name of the bridge of this base; interfaces have at most 15 characters (IFNAMSIZ).
    pub(super) fn bridge(&self) -> String {
        short("mbr-", 8, &[&self.base.to_string_lossy()])
    }

    /// Where the subnet of this base is written down.
    pub(super) fn network(&self) -> PathBuf {
        self.base.join("network.json")
    }

    /// Records of all machines of this base. One that cannot be read is an error: its address is taken.
    pub(super) fn records(&self) -> Result<Vec<Record>, DriverError> {
        let entries = match fs::read_dir(self.instances()) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(files::because("reading", &self.instances())(e)),
        };
        let mut records = Vec::new();
        for entry in entries {
            let entry = entry.map_err(files::because("reading", &self.instances()))?;
            records.extend(Folder { path: entry.path(), tag: String::new() }.load()?);
        }
        Ok(records)
    }

    /// Waits until no other process on this computer makes or removes networks, addresses or machines.
    pub(super) async fn lock() -> Result<File, DriverError> {
        let folder = Path::new("/run/lock");
        files::folder(folder, 0o755)?;
        files::lock(&folder.join("machine-nspawn.lock"), || {}).await
    }
}

/// `prefix` and so many hex digits of the digest of `parts`.
fn short(prefix: &str, digits: usize, parts: &[&str]) -> String {
    // A NUL is in no name and no path, so different parts never make the same text.
    let parts: Vec<&[u8]> = parts.iter().flat_map(|part| [part.as_bytes(), &[0]]).collect();
    format!("{prefix}{}", &sha256_hex_of(&parts)[..digits])
}

/// Id of a machine: its name for people, and a digest so that equal names of other fleets and stores differ.
pub(super) fn id(store: &str, fleet: Option<&FleetName>, machine: &MachineName) -> String {
    let fleet = fleet.map_or("", FleetName::as_str);
    short(&format!("{machine}-"), 10, &[store, fleet, machine.as_str()])
}

/// How far the making of a machine has come.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Phase {
    /// It has an id, an address and a host key.
    Allocated,
    /// Its files are complete: it can be started.
    Prepared,
}

/// The process `systemd-nspawn` of a machine. The number alone may mean another process by now.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Recorded {
    /// Process id.
    pub(super) pid: i32,
    /// When it was started, clock ticks since boot: field 22 of /proc/PID/stat (proc(5)).
    pub(super) started: u64,
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
    /// The root file system below its own.
    pub(super) lower: PathBuf,
    /// Its address on the bridge.
    pub(super) address: Ipv4Addr,
    /// Its public host key.
    pub(super) host_key: String,
    /// The public key that may log in.
    pub(super) login_key: String,
    /// Its process when it was last started by us.
    pub(super) process: Option<Recorded>,
}

impl Record {
    /// The version that is written.
    pub(super) const VERSION: u32 = 1;

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
    /// Where it is.
    pub(super) path: PathBuf,
    /// What the kernel's things of it are called (cgroup, interface): 12 characters, unique on this computer.
    pub(super) tag: String,
}

impl Folder {
    /// What the machine wrote over its image.
    pub(super) fn upper(&self) -> PathBuf {
        self.path.join("upper")
    }
    /// The kernel's own folder for the overlay.
    pub(super) fn work(&self) -> PathBuf {
        self.path.join("work")
    }
    /// Where the overlay is mounted, in the mount namespace of the machine only.
    pub(super) fn root(&self) -> PathBuf {
        self.path.join("root")
    }
    /// What the machine printed on its console.
    pub(super) fn console(&self) -> PathBuf {
        self.path.join("console.log")
    }
    /// Folders that must not be on an overlay because overlays are stacked on them: here, and in the machine.
    pub(super) fn plain(&self) -> [(PathBuf, &'static str); 2] {
        [(self.path.join("docker"), "/var/lib/docker"), (self.path.join("containerd"), "/var/lib/containerd")]
    }
    /// The record's file. A folder without it is rubbish of a run that was killed.
    pub(super) fn json(&self) -> PathBuf {
        self.path.join("instance.json")
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

    /// Writes the record.
    pub(super) fn save(&self, record: &Record) -> Result<(), DriverError> {
        files::write(&self.json(), 0o600, record.text().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(name: &str) -> MachineName {
        MachineName::new(name).unwrap()
    }

    #[test]
    fn ids_differ_by_store_fleet_and_machine_and_never_change() {
        let (web, shop, blog) = (machine("web-1"), FleetName::new("shop").unwrap(), FleetName::new("blog").unwrap());
        let all = [
            id("s1", Some(&shop), &web),
            id("s2", Some(&shop), &web),
            id("s1", Some(&blog), &web),
            id("s1", None, &web),
            id("s1", Some(&shop), &machine("web-2")),
        ];
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), all.len());
        // Found again by every later version.
        assert_eq!(all[0], "web-1-9bc58ceb76");
    }

    #[test]
    fn names_in_the_kernel_fit_and_differ_between_bases() {
        let place = |base: &str| Place { base: base.into(), images: "/images".into() };
        let (a, b) = (place("/a"), place("/b"));
        assert_eq!(a.bridge().len(), 12);
        assert_ne!(a.bridge(), b.bridge());
        let tag = a.folder("web-1-0123456789").unwrap().tag;
        assert!(format!("vb-{tag}").len() <= 15, "systemd-nspawn cuts longer names");
        assert_ne!(tag, b.folder("web-1-0123456789").unwrap().tag);
    }

    #[test]
    fn an_id_that_leads_elsewhere_is_refused() {
        let place = Place { base: "/b".into(), images: "/i".into() };
        for bad in ["", "..", ".", "../x", "a/b", "/etc", "a b"] {
            assert!(place.folder(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_record_reads_back_and_other_versions_are_refused() {
        let record = Record {
            version: Record::VERSION,
            store_id: "s".to_owned(),
            fleet: None,
            machine: machine("web-1"),
            phase: Phase::Prepared,
            lower: "/images/debian-12".into(),
            address: Ipv4Addr::new(10, 210, 3, 2),
            host_key: "ssh-ed25519 AAAA".to_owned(),
            login_key: "ssh-ed25519 BBBB".to_owned(),
            process: Some(Recorded { pid: 7, started: 99 }),
        };
        assert_eq!(Record::parse(&record.text()).unwrap(), record);
        let newer = record.text().replace("\"version\": 1", "\"version\": 2");
        assert_eq!(Record::parse(&newer).unwrap_err(), "version 2 is not known, 1 is");
        assert!(Record::parse("{").is_err());
    }
}
