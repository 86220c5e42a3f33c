//! Where this driver keeps things on this computer, and what each thing is called.

use super::files;
pub(super) use crate::driver::local::{Phase, id};
use crate::driver::{
    DriverError,
    local::{self, Own, short, variable},
};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

/// The folders of this driver.
pub(super) type Place = local::Place<Host>;
/// The folder of one machine.
pub(super) type Folder = local::Folder<Host>;
/// What `instance.json` holds.
pub(super) type Record = local::Record<Host>;

/// What this driver knows of a machine beyond what all know.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Host {
    /// The root file system below its own.
    pub(super) lower: PathBuf,
    /// Its address on the bridge.
    pub(super) address: Ipv4Addr,
    /// Its process when it was last started by us.
    pub(super) process: Option<Recorded>,
}

impl Own for Host {
    const DRIVER: &'static str = "nspawn";
    const VERSION: u32 = 1;
    const FORGET: &'static str = "nspawn.forget";
}

impl Place {
    /// As `MACHINE_NSPAWN_DIR` and `MACHINE_NSPAWN_IMAGES` say; the only place that reads them.
    pub(super) fn of_environment() -> Self {
        let base = variable("MACHINE_NSPAWN_DIR").unwrap_or_else(|| "/var/lib/machine/nspawn".into());
        let images = variable("MACHINE_NSPAWN_IMAGES").unwrap_or_else(|| base.join("images"));
        Self::new(base, images)
    }

    /// Name of the bridge of this base; interfaces have at most 15 characters (IFNAMSIZ).
    pub(super) fn bridge(&self) -> String {
        short("mbr-", 8, &[&self.base.to_string_lossy()])
    }

    /// Where the subnet of this base is written down.
    pub(super) fn network(&self) -> PathBuf {
        self.base.join("network.json")
    }

    /// Waits until no other process on this computer makes or removes networks, addresses or machines.
    pub(super) async fn lock() -> Result<File, DriverError> {
        let folder = Path::new("/run/lock");
        files::folder(folder, 0o755)?;
        files::lock(&folder.join("machine-nspawn.lock"), || {}).await
    }
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

impl Folder {
    /// What the kernel's things of it are called (cgroup, interface): 12 characters, unique on this computer.
    pub(super) fn tag(&self) -> String {
        short("m", 11, &[&self.base().to_string_lossy(), &self.id])
    }
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
    /// Folders that must not be on an overlay because overlays are stacked on them: here, and in the machine.
    pub(super) fn plain(&self) -> [(PathBuf, &'static str); 2] {
        [(self.path.join("docker"), "/var/lib/docker"), (self.path.join("containerd"), "/var/lib/containerd")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn names_in_the_kernel_fit_and_differ_between_bases() {
        let place = |base: &str| Place::new(base, "/images");
        let (a, b) = (place("/a"), place("/b"));
        assert_eq!(a.bridge().len(), 12);
        assert_ne!(a.bridge(), b.bridge());
        let tag = a.folder("web-1-0123456789").unwrap().tag();
        assert!(format!("vb-{tag}").len() <= 15, "systemd-nspawn cuts longer names");
        assert_ne!(tag, b.folder("web-1-0123456789").unwrap().tag());
    }

    #[test]
    fn a_record_of_an_earlier_version_of_machine_is_read_and_written_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Place::new(dir.path(), "/images").folder("web-1").unwrap();
        fs::create_dir_all(&folder.path).unwrap();
        let old = r#"{
  "version": 1,
  "store-id": "s",
  "fleet": "shop",
  "machine": "web-1",
  "phase": "prepared",
  "lower": "/images/debian-12",
  "address": "10.210.3.2",
  "host-key": "ssh-ed25519 AAAA",
  "login-key": "ssh-ed25519 BBBB",
  "process": { "pid": 7, "started": 99 }
}
"#;
        files::write(&folder.json(), 0o600, old.as_bytes()).unwrap();
        let record = folder.load().unwrap().unwrap();
        let host = Host {
            lower: "/images/debian-12".into(),
            address: Ipv4Addr::new(10, 210, 3, 2),
            process: Some(Recorded { pid: 7, started: 99 }),
        };
        assert_eq!((record.own.clone(), record.phase, record.machine.as_str()), (host, Phase::Prepared, "web-1"));
        folder.save(&record).unwrap();
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&fs::read_to_string(folder.json()).unwrap()), value(old));
    }
}
