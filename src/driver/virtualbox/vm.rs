//! A VM: who it is, whose it is, and its settings.

use super::{
    hostonly::Plug,
    info::{Info, State},
    manage::{Failure, Manage},
    options::{Options, Origin, Share},
};
use crate::driver::{DriverContext, DriverError};
use std::path::Path;

/// The controller of its disks, as docker-machine calls it.
pub(super) const CONTROLLER: &str = "SATA";

/// What a VM is known by: a UUID, or the name that docker-machine gave it.
pub(super) struct Vm<'a> {
    pub(super) manage: &'a Manage,
    pub(super) id: String,
}

/// What VirtualBox knows of it.
#[derive(Debug)]
pub(super) enum Seen {
    /// Nothing.
    Absent,
    /// Only that it was there: its files are gone, or cannot be read.
    Broken,
    /// This.
    There(Box<Info>),
}

/// The UUID of the VM of a machine. It follows from store, fleet and name, so that the VM is found again with nothing
/// recorded, and VirtualBox itself takes care that there are no two.
pub(super) fn uuid(cx: &DriverContext<'_>) -> String {
    let fleet = cx.fleet.map_or("", |fleet| fleet.as_str());
    let text = format!("machine/{}/{fleet}/{}", cx.store_id, cx.machine);
    let hex = crate::digest::sha256_hex(text.as_bytes());
    // Version 8, of which everybody may make what they like (RFC 9562).
    format!("{}-{}-8{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
}

/// Whether it is a UUID, and no name.
pub(super) fn is_uuid(id: &str) -> bool {
    let groups: Vec<usize> = id.split('-').map(str::len).collect();
    groups == [8, 4, 4, 4, 12] && id.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}

impl<'a> Vm<'a> {
    pub(super) fn new(manage: &'a Manage, id: &str) -> Self {
        Self { manage, id: id.to_owned() }
    }

    /// What VirtualBox knows of it.
    pub(super) async fn look(&self) -> Result<Seen, DriverError> {
        match self.manage.ask("looking at the VM", &["showvminfo", &self.id, "--machinereadable"]).await {
            Ok(text) => {
                let info = Info::parse(&text);
                // VirtualBox goes on for a while with what it has in memory.
                let lost = info.settings().is_some_and(|settings| !settings.exists());
                let off = matches!(info.state(), State::Off | State::Saved);
                Ok(if lost && off { Seen::Broken } else { Seen::There(Box::new(info)) })
            }
            Err(failure) if failure.is_absent() => Ok(Seen::Absent),
            Err(failure) if failure.is_inaccessible() => Ok(Seen::Broken),
            Err(failure) => Err(failure.into()),
        }
    }

    /// What it is doing; off when it is not there at all.
    pub(super) async fn state(&self) -> Result<State, DriverError> {
        Ok(match self.look().await? {
            Seen::There(info) => info.state(),
            Seen::Absent | Seen::Broken => State::Off,
        })
    }

    /// Changes settings.
    pub(super) async fn modify(&self, args: &[&str]) -> Result<(), DriverError> {
        self.call("setting up the VM", "modifyvm", args).await?;
        Ok(())
    }

    /// `VBoxManage COMMAND VM ARGS`.
    pub(super) async fn call(&self, doing: &str, command: &str, args: &[&str]) -> Result<String, Failure> {
        let all: Vec<&str> = [command, &self.id].into_iter().chain(args.iter().copied()).collect();
        self.manage.run(doing, &all).await
    }

    /// Keeps a note with it.
    pub(super) async fn note(&self, key: &str, value: &str) -> Result<(), DriverError> {
        self.call("setting up the VM", "setextradata", &[&format!("machine/{key}"), value]).await?;
        Ok(())
    }

    /// A note that was kept with it.
    pub(super) async fn noted(&self, key: &str) -> Result<Option<String>, DriverError> {
        let said = self.manage.ask("looking at the VM", &["getextradata", &self.id, &format!("machine/{key}")]).await?;
        let value = said.lines().find_map(|line| line.strip_prefix("Value: "));
        Ok(value.map(|v| v.trim().to_owned()).filter(|v| !v.is_empty()))
    }

    /// Gives it all settings but its network and its disks. It must be off.
    pub(super) async fn configure(&self, info: &Info, options: &Options, dir: &Path) -> Result<(), DriverError> {
        let (cpus, memory) = (options.cpus().to_string(), (options.memory >> 20).to_string());
        let cloud = matches!(options.origin(), Origin::Cloud(_));
        let on = |yes: bool| if yes { "on" } else { "off" };
        let first = if cloud { "disk" } else { "dvd" };
        let (resolver, proxy) = (on(options.host_dns_resolver), on(!options.no_dns_proxy));
        let mut args =
            vec!["--cpus", &cpus, "--memory", &memory, "--acpi", "on", "--ioapic", "on", "--rtcuseutc", "on"];
        args.extend(["--natdnshostresolver1", resolver, "--natdnsproxy1", proxy, "--boot1", first]);
        if cfg!(target_arch = "x86_64") {
            args.extend(["--firmware", "bios", "--bioslogofadein", "off", "--bioslogofadeout", "off"]);
            args.extend(["--bioslogodisplaytime", "0", "--biosbootmenu", "disabled", "--ostype", "Linux26_64"]);
            args.extend(["--cpuhotplug", "off", "--pae", "on", "--hpet", "on", "--hwvirtex", "on"]);
            args.extend(["--nestedpaging", "on", "--largepages", "on", "--vtxvpid", "on", "--accelerate3d", "off"]);
        }
        self.modify(&args).await?;
        if cloud {
            // Their kernels write to it, and some wait for it; what it says is all there is when no login works.
            let log = dir.join("console.log").display().to_string();
            self.modify(&["--uart1", "0x3F8", "4", "--uartmode1", "file", &log]).await?;
        }
        self.modify(&["--nic1", "nat", "--nictype1", &options.nat_nictype, "--cableconnected1", "on"]).await?;
        self.share(info, options.share()).await
    }

    /// Lets it see one folder of this computer, or none.
    async fn share(&self, info: &Info, share: Option<Share>) -> Result<(), DriverError> {
        let doing = "sharing a folder";
        let share = share.filter(|share| Path::new(&share.folder).is_dir());
        let wanted = share.as_ref().map(|share| (share.name.as_str(), share.folder.as_str()));
        for (name, _) in info.shares().into_iter().filter(|there| Some(*there) != wanted) {
            self.manage.run(doing, &["sharedfolder", "remove", &self.id, "--name", name]).await?;
        }
        let Some((name, folder)) = wanted else { return Ok(()) };
        for key in ["MountPrefix", "MountDir"] {
            let path = format!("/VirtualBox/GuestAdd/SharedFolders/{key}");
            self.manage.run(doing, &["guestproperty", "set", &self.id, &path, "/"]).await?;
        }
        if !info.shares().contains_key(name) || info.shares().get(name) != Some(&folder) {
            let add = ["sharedfolder", "add", &self.id, "--name", name, "--hostpath", folder, "--automount"];
            self.manage.run(doing, &add).await?;
        }
        let links = format!("VBoxInternal2/SharedFoldersEnableSymlinksCreate/{name}");
        self.call(doing, "setextradata", &[&links, "1"]).await?;
        Ok(())
    }

    /// Plugs in its disks: what it boots from the first time, and its own.
    pub(super) async fn attach(&self, info: &Info, cd: Option<&Path>, disk: &Path) -> Result<(), DriverError> {
        let doing = "plugging in the disks";
        if !info.has_controller(CONTROLLER) {
            self.call(doing, "storagectl", &["--name", CONTROLLER, "--add", "sata", "--hostiocache", "on"]).await?;
        }
        let plugs = cd.map(|cd| ("0", "dvddrive", cd)).into_iter().chain([("1", "hdd", disk)]);
        for (port, kind, medium) in plugs {
            let medium = medium.display().to_string();
            let place = ["--storagectl", CONTROLLER, "--port", port, "--device", "0", "--type", kind];
            let args: Vec<&str> = place.into_iter().chain(["--medium", &medium]).collect();
            self.call(doing, "storageattach", &args).await?;
        }
        Ok(())
    }

    /// Plugs it into the host-only network.
    pub(super) async fn plug(&self, plug: &Plug, options: &Options) -> Result<(), DriverError> {
        let mut args = match plug {
            Plug::Interface(name) => vec!["--nic2", "hostonly", "--hostonlyadapter2", name.as_str()],
            Plug::Network(name) => vec!["--nic2", "hostonlynet", "--host-only-net2", name.as_str()],
        };
        args.extend(["--nictype2", &options.hostonly_nictype, "--nicpromisc2", &options.hostonly_nicpromisc]);
        args.extend(["--cableconnected2", "on"]);
        self.modify(&args).await
    }
}

/// Whether the VM that docker-machine's way of naming finds is this machine's: its settings are in the machine's folder.
pub(super) fn lives_in(info: &Info, dir: &Path) -> bool {
    let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    info.settings().is_some_and(|settings| whole(settings).starts_with(whole(dir)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::compliance::with_context;

    #[tokio::test]
    async fn a_vm_is_known_by_what_the_machine_is() {
        with_context(async |cx| {
            let one = uuid(cx);
            assert!(is_uuid(&one), "{one}");
            assert_eq!(one, uuid(cx));
            let other = crate::name::MachineName::new("web-2").unwrap();
            assert_ne!(one, uuid(&DriverContext { machine: &other, ..*cx }));
            assert_ne!(one, uuid(&DriverContext { fleet: None, ..*cx }));
            assert_ne!(one, uuid(&DriverContext { store_id: "other", ..*cx }));
        })
        .await;
        assert!(!is_uuid("web") && !is_uuid("zzzzzzzz-9dad-41d1-80b4-00c04fd430c8"));
    }

    #[test]
    fn a_vm_of_that_name_elsewhere_is_somebody_elses() {
        let info = |path: &str| Info::parse(&format!("CfgFile=\"{path}\""));
        let dir = Path::new("/store/machines/web");
        assert!(lives_in(&info("/store/machines/web/web/web.vbox"), dir));
        assert!(!lives_in(&info("/store/machines/web-2/web/web.vbox"), dir));
        assert!(!lives_in(&info("/home/u/VirtualBox VMs/web/web.vbox"), dir));
        assert!(!lives_in(&Info::default(), dir));
    }
}
