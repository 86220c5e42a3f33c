//! The options: docker-machine's sixteen, and those of cloud images.

use super::hostonly::Cidr;
use crate::driver::{
    Kind, OptionProblem, OptionSpec,
    local::{Arch, Hardware, Image, here},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Every option, in the order help shows them.
#[expect(clippy::too_many_lines, reason = "it is a table: a line or two for each option")]
pub(super) fn table() -> Vec<OptionSpec> {
    vec![
        OptionSpec::new(
            "image",
            "virtualbox-image",
            Kind::Text,
            "Cloud image: debian-13, debian-12, ubuntu-24.04, ubuntu-22.04, a URL, or a file's path",
        )
        .env("VIRTUALBOX_IMAGE")
        .default("debian-13"),
        OptionSpec::new(
            "image-checksum",
            "virtualbox-image-checksum",
            Kind::Text,
            "SHA-256 or SHA-512 of the image, in hex; needed for a URL",
        )
        .env("VIRTUALBOX_IMAGE_CHECKSUM"),
        OptionSpec::new("memory", "virtualbox-memory", Kind::Size, "Memory, as 2GiB or in MiB")
            .env("VIRTUALBOX_MEMORY_SIZE")
            .default("1024")
            .field("Memory")
            .in_place(),
        OptionSpec::new(
            "cpu-count",
            "virtualbox-cpu-count",
            Kind::Number,
            "Processors; -1: as many as this computer has",
        )
        .env("VIRTUALBOX_CPU_COUNT")
        .default("1")
        .field("CPU")
        .in_place(),
        OptionSpec::new("disk-size", "virtualbox-disk-size", Kind::Size, "Disk, as 40GiB or in MiB; it can grow later")
            .env("VIRTUALBOX_DISK_SIZE")
            .default("20000")
            .field("DiskSize")
            .in_place(),
        OptionSpec::new(
            "user-data",
            "virtualbox-user-data",
            Kind::Path,
            "File for cloud-init, which is obeyed together with our own",
        )
        .env("VIRTUALBOX_USER_DATA"),
        OptionSpec::new(
            "ssh-user",
            "virtualbox-ssh-user",
            Kind::Text,
            "User that is made in a cloud image, and logged in as",
        )
        .env("VIRTUALBOX_SSH_USER")
        .default("docker")
        .field("SSHUser"),
        OptionSpec::new(
            "boot2docker-url",
            "virtualbox-boot2docker-url",
            Kind::Text,
            "ISO of boot2docker to start instead of a cloud image: a path, a URL, or releases on GitHub",
        )
        .env("VIRTUALBOX_BOOT2DOCKER_URL")
        .field("Boot2DockerURL"),
        OptionSpec::new(
            "import-boot2docker-vm",
            "virtualbox-import-boot2docker-vm",
            Kind::Text,
            "Old VM of boot2docker whose disk and key are taken over",
        )
        .env("VIRTUALBOX_BOOT2DOCKER_IMPORT_VM")
        .field("Boot2DockerImportVM"),
        OptionSpec::new(
            "host-dns-resolver",
            "virtualbox-host-dns-resolver",
            Kind::Flag,
            "Let VirtualBox ask this computer's resolver for names",
        )
        .env("VIRTUALBOX_HOST_DNS_RESOLVER")
        .field("HostDNSResolver")
        .in_place(),
        OptionSpec::new(
            "nat-nictype",
            "virtualbox-nat-nictype",
            Kind::Text,
            "Kind of network card for the way out, as virtio",
        )
        .env("VIRTUALBOX_NAT_NICTYPE")
        .default("82540EM")
        .field("NatNicType")
        .in_place(),
        OptionSpec::new(
            "hostonly-cidr",
            "virtualbox-hostonly-cidr",
            Kind::Text,
            "This computer's address in the network with its machines, and the mask",
        )
        .env("VIRTUALBOX_HOSTONLY_CIDR")
        .default("192.168.60.1/24")
        .field("HostOnlyCIDR")
        .in_place(),
        OptionSpec::new(
            "hostonly-nictype",
            "virtualbox-hostonly-nictype",
            Kind::Text,
            "Kind of network card for the network with this computer",
        )
        .env("VIRTUALBOX_HOSTONLY_NIC_TYPE")
        .default("82540EM")
        .field("HostOnlyNicType")
        .in_place(),
        OptionSpec::new(
            "hostonly-nicpromisc",
            "virtualbox-hostonly-nicpromisc",
            Kind::Text,
            "Whether that card may listen to others: deny, allow-vms, allow-all",
        )
        .env("VIRTUALBOX_HOSTONLY_NIC_PROMISC")
        .default("deny")
        .field("HostOnlyPromiscMode")
        .one_of(&["deny", "allow-vms", "allow-all"])
        .in_place(),
        OptionSpec::new(
            "ui-type",
            "virtualbox-ui-type",
            Kind::Text,
            "How its screen is shown: headless, gui, sdl, separate",
        )
        .env("VIRTUALBOX_UI_TYPE")
        .default("headless")
        .field("UIType")
        .one_of(&["gui", "sdl", "headless", "separate"])
        .recorded(),
        OptionSpec::new(
            "hostonly-no-dhcp",
            "virtualbox-hostonly-no-dhcp",
            Kind::Flag,
            "No DHCP there: user data sets up that card",
        )
        .env("VIRTUALBOX_HOSTONLY_NO_DHCP")
        .field("HostOnlyNoDHCP")
        .in_place(),
        OptionSpec::new("no-share", "virtualbox-no-share", Kind::Flag, "Let it see no folder of this computer")
            .env("VIRTUALBOX_NO_SHARE")
            .field("NoShare")
            .in_place(),
        OptionSpec::new(
            "no-dns-proxy",
            "virtualbox-no-dns-proxy",
            Kind::Flag,
            "Let names be asked for outside, not through VirtualBox",
        )
        .env("VIRTUALBOX_NO_DNS_PROXY")
        .in_place(),
        OptionSpec::new(
            "no-vtx-check",
            "virtualbox-no-vtx-check",
            Kind::Flag,
            "Go on where this computer cannot run VMs in hardware, or hides that it can",
        )
        .env("VIRTUALBOX_NO_VTX_CHECK")
        .field("NoVTXCheck")
        .recorded(),
        OptionSpec::new(
            "share-folder",
            "virtualbox-share-folder",
            Kind::Text,
            "Folder it sees instead of the homes, as FOLDER:NAME",
        )
        .env("VIRTUALBOX_SHARE_FOLDER")
        .field("ShareFolder")
        .in_place(),
    ]
}

/// The options, typed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(clippy::struct_excessive_bools, reason = "they are docker-machine's switches, one by one")]
pub(crate) struct Options {
    pub(super) image: String,
    pub(super) image_checksum: Option<String>,
    pub(super) memory: u64,
    pub(super) cpu_count: i64,
    pub(super) disk_size: u64,
    pub(super) user_data: Option<String>,
    pub(super) ssh_user: String,
    #[serde(default)]
    boot2docker_url: String,
    #[serde(default)]
    import_boot2docker_vm: String,
    #[serde(default)]
    pub(super) host_dns_resolver: bool,
    pub(super) nat_nictype: String,
    pub(super) hostonly_cidr: String,
    pub(super) hostonly_nictype: String,
    pub(super) hostonly_nicpromisc: String,
    pub(super) ui_type: String,
    #[serde(default)]
    pub(super) hostonly_no_dhcp: bool,
    #[serde(default)]
    no_share: bool,
    #[serde(default)]
    pub(super) no_dns_proxy: bool,
    #[serde(default)]
    pub(super) no_vtx_check: bool,
    #[serde(default)]
    share_folder: String,
}

/// What a new machine is made from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Origin<'a> {
    /// A cloud image.
    Cloud(&'a str),
    /// A CD to boot from, and an empty disk that it makes its own.
    Boot2Docker(&'a str),
    /// The disk of an old VM, and a CD to boot from; without a URL, the newest.
    Import(&'a str, &'a str),
}

/// A folder of this computer, and what it is called in the machine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Share {
    pub(super) name: String,
    pub(super) folder: String,
}

impl Options {
    pub(super) fn origin(&self) -> Origin<'_> {
        match (self.import_boot2docker_vm.as_str(), self.boot2docker_url.as_str()) {
            ("", "") => Origin::Cloud(&self.image),
            ("", url) => Origin::Boot2Docker(url),
            (vm, url) => Origin::Import(vm, url),
        }
    }

    /// Processors; docker-machine's -1 is all there are, at most 32.
    pub(super) fn cpus(&self) -> u64 {
        let all = || std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
        u64::try_from(self.cpu_count).ok().filter(|n| *n > 0).unwrap_or_else(all).min(32)
    }

    /// The folder it sees.
    pub(super) fn share(&self) -> Option<Share> {
        if self.no_share {
            return None;
        }
        let share = |folder: &str, name: &str| Some(Share { name: name.to_owned(), folder: folder.to_owned() });
        if self.share_folder.is_empty() {
            return match std::env::consts::OS {
                "macos" => share("/Users", "Users"),
                "windows" => share(r"\\?\c:\Users", "c/Users"),
                _ => share("/home", "hosthome"),
            };
        }
        let (folder, name) = match self.share_folder.rsplit_once(':') {
            // The letter of a Windows disk is no folder.
            Some((folder, name)) if folder.len() > 1 => (folder, name),
            _ => (self.share_folder.as_str(), ""),
        };
        share(folder, if name.is_empty() { folder.trim_start_matches('/') } else { name })
    }

    /// What the table cannot express.
    pub(super) fn check(&self) -> Vec<OptionProblem> {
        let mut problems = match self.origin() {
            Origin::Cloud(image) => self.check_image(image),
            Origin::Boot2Docker(_) | Origin::Import(..) => Vec::new(),
        };
        let mut problem = |key: &str, message: String, help: &str| {
            problems.push(OptionProblem { key: Some(key.to_owned()), message, help: Some(help.to_owned()) });
        };
        if let Err(why) = Cidr::parse(&self.hostonly_cidr) {
            problem("hostonly-cidr", why, "write this computer's own address in the network, as `192.168.60.1/24`");
        }
        if self.memory < 64 << 20 {
            problem("memory", "too little for Linux and an engine".to_owned(), "give `512MiB` or more");
        }
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
        if !self.ssh_user.starts_with(|c: char| c.is_ascii_lowercase()) || !self.ssh_user.chars().all(plain) {
            problem("ssh-user", format!("`{}` is not a user", self.ssh_user), "write a login name in small letters");
        }
        if self.user_data.is_some() && !matches!(self.origin(), Origin::Cloud(_)) {
            problem("user-data", "boot2docker does not read it".to_owned(), "leave it out, or use a cloud image");
        }
        problems
    }

    fn check_image(&self, image: &str) -> Vec<OptionProblem> {
        let (hardware, arch) = (Hardware::Real, Arch::X86_64);
        let mut problems = Image::check(image, self.image_checksum.as_deref(), hardware, arch);
        if let Ok(Image::File(path)) = Image::parse(image, hardware, arch)
            && !here(image).is_absolute()
        {
            problems.push(OptionProblem {
                key: Some("image".to_owned()),
                message: format!("where `{}` is depends on where one stands", path.display()),
                help: Some("write the whole path of the file".to_owned()),
            });
        }
        problems
    }

    /// Fields of docker-machine's object that are not one option each.
    pub(super) fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("VBoxManager", json!({})),
            ("HostInterfaces", json!({})),
            ("DNSProxy", json!(!self.no_dns_proxy)),
            // All of its fields are always there: one that is absent would stay as it was.
            ("Boot2DockerURL", json!(self.boot2docker_url)),
            ("Boot2DockerImportVM", json!(self.import_boot2docker_vm)),
            ("HostDNSResolver", json!(self.host_dns_resolver)),
            ("HostOnlyNoDHCP", json!(self.hostonly_no_dhcp)),
            ("NoShare", json!(self.no_share)),
            ("NoVTXCheck", json!(self.no_vtx_check)),
            ("ShareFolder", json!(self.share_folder)),
        ]
    }
}

/// Options that follow from such fields in what docker-machine wrote.
pub(super) fn of_fields(driver: &Map<String, Value>) -> crate::record::OptionValues {
    let proxy = driver.get("DNSProxy").and_then(Value::as_bool);
    proxy.filter(|proxy| !proxy).map(|_| ("no-dns-proxy".to_owned(), json!(true))).into_iter().collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::driver::{Typed, options};

    pub(in crate::driver::virtualbox) fn options(values: Value) -> Options {
        let Value::Object(values) = values else { panic!("options are an object") };
        let complete = options::with_defaults(&table(), &values.into_iter().collect());
        Typed::new(super::super::VirtualBox).read(&complete).unwrap()
    }

    #[test]
    fn a_folder_is_shared_by_the_last_colon() {
        let share = |text: &str| options(json!({ "share-folder": text })).share().map(|s| (s.folder, s.name)).unwrap();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(share("/srv/a:data"), pair("/srv/a", "data"));
        assert_eq!(share("/srv/a:b:data"), pair("/srv/a:b", "data"));
        assert_eq!(share("/srv/a"), pair("/srv/a", "srv/a"));
        assert_eq!(share("/srv/a:"), pair("/srv/a", "srv/a"));
        assert_eq!(options(json!({})).share().unwrap().name, "hosthome");
        assert_eq!(options(json!({ "no-share": true })).share(), None);
    }

    #[test]
    fn no_cpu_is_all_of_them_and_32_the_most() {
        assert_eq!(options(json!({ "cpu-count": 99 })).cpus(), 32);
        assert!(options(json!({ "cpu-count": -1 })).cpus() >= 1);
        assert_eq!(options(json!({ "cpu-count": 3 })).cpus(), 3);
    }

    #[test]
    fn what_a_machine_is_made_from() {
        assert_eq!(options(json!({})).origin(), Origin::Cloud("debian-13"));
        assert_eq!(options(json!({ "boot2docker-url": "x.iso" })).origin(), Origin::Boot2Docker("x.iso"));
        assert_eq!(options(json!({ "import-boot2docker-vm": "old" })).origin(), Origin::Import("old", ""));
    }

    #[test]
    fn the_proxy_is_the_other_way_round_in_config_json() {
        let fields =
            |value: Value| options(value).fields().into_iter().map(|(k, v)| (k.to_owned(), v)).collect::<Map<_, _>>();
        assert_eq!(fields(json!({}))["DNSProxy"], json!(true));
        assert_eq!(fields(json!({ "no-dns-proxy": true }))["DNSProxy"], json!(false));
    }

    #[test]
    fn problems_name_their_option() {
        let keys = |value: Value| options(value).check().into_iter().filter_map(|p| p.key).collect::<Vec<_>>();
        assert_eq!(keys(json!({})), Vec::<String>::new());
        assert_eq!(keys(json!({ "hostonly-cidr": "192.168.60.0/24" })), ["hostonly-cidr"]);
        for good in ["debian-13", "/srv/x.qcow2", "~/x.img"] {
            assert_eq!(keys(json!({ "image": good })), Vec::<String>::new(), "{good}");
        }
        for bad in ["", "debian-1", "x.qcow2", "./x"] {
            assert_eq!(keys(json!({ "image": bad })), ["image"], "{bad}");
        }
        assert_eq!(keys(json!({ "image": "https://example.com/x.qcow2" })), ["image-checksum"]);
        assert_eq!(keys(json!({ "memory": 1, "ssh-user": "a b" })), ["memory", "ssh-user"]);
        assert_eq!(keys(json!({ "boot2docker-url": "x", "user-data": "/x" })), ["user-data"]);
    }
}
