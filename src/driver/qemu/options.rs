//! The options of a virtual machine: the table, the same typed, and what the table cannot express.

use super::{
    command::Arch,
    network::{Forward, Network},
};
use crate::driver::{
    Kind, OptionProblem, OptionSpec,
    local::{Hardware, Image},
};
use serde::Deserialize;
use std::net::IpAddr;

/// The options, typed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Options {
    pub(super) image: String,
    pub(super) image_checksum: Option<String>,
    pub(super) arch: Option<String>,
    pub(super) memory: u64,
    pub(super) cpus: u64,
    pub(super) disk_size: u64,
    pub(super) accel: String,
    pub(super) cpu: Option<String>,
    pub(super) network: String,
    pub(super) address: Option<String>,
    pub(super) gateway: Option<String>,
    pub(super) dns: Option<Vec<String>>,
    pub(super) ssh_port: Option<u16>,
    pub(super) engine_port: Option<u16>,
    pub(super) forward: Option<Vec<String>>,
    pub(super) ssh_user: String,
    pub(super) user_data: Option<String>,
    pub(super) firmware: Option<String>,
    pub(super) kernel: Option<String>,
    pub(super) initrd: Option<String>,
    pub(super) append: Option<String>,
    pub(super) clone: Option<String>,
}

/// The least memory with which a cloud image and dockerd start, in bytes.
const LEAST_MEMORY: u64 = 256 << 20;

/// The table.
#[expect(clippy::too_many_lines, reason = "it is a table: a line or two for each option")]
pub(super) fn table() -> Vec<OptionSpec> {
    vec![
        OptionSpec::new(
            "image",
            "qemu-image",
            Kind::Text,
            "Cloud image: debian-13, debian-12, ubuntu-24.04, ubuntu-22.04, fedora-43, a URL or a file",
        )
        .env("QEMU_IMAGE")
        .default("debian-13")
        .field("Image"),
        OptionSpec::new(
            "image-checksum",
            "qemu-image-checksum",
            Kind::Text,
            "SHA-256 or SHA-512 of the image, in hex; needed for a URL",
        )
        .env("QEMU_IMAGE_CHECKSUM")
        .field("ImageChecksum"),
        OptionSpec::new(
            "arch",
            "qemu-arch",
            Kind::Text,
            "Processor: x86_64 or aarch64; without it, that of this computer",
        )
        .env("QEMU_ARCH")
        .one_of(&["x86_64", "aarch64"])
        .field("Arch"),
        OptionSpec::new("memory", "qemu-memory", Kind::Size, "Memory; a change takes effect at the next start")
            .env("QEMU_MEMORY")
            .default("2GiB")
            .field("Memory")
            .in_place(),
        OptionSpec::new("cpus", "qemu-cpus", Kind::Number, "Processors; a change takes effect at the next start")
            .env("QEMU_CPUS")
            .default("2")
            .field("CPUs")
            .in_place(),
        OptionSpec::new("disk-size", "qemu-disk-size", Kind::Size, "Size of the disk, which can grow and never shrink")
            .env("QEMU_DISK_SIZE")
            .default("20GiB")
            .field("DiskSize")
            .in_place(),
        OptionSpec::new(
            "accel",
            "qemu-accel",
            Kind::Text,
            "Accelerator: auto, kvm, hvf, whpx, or tcg, which emulates; auto is the best that works",
        )
        .env("QEMU_ACCEL")
        .one_of(&["auto", "kvm", "hvf", "whpx", "tcg"])
        .default("auto")
        .field("Accel")
        .in_place(),
        OptionSpec::new(
            "cpu",
            "qemu-cpu",
            Kind::Text,
            "Model of the processor, as `qemu-system-x86_64 -cpu help` has them",
        )
        .env("QEMU_CPU")
        .field("CPUModel")
        .in_place(),
        OptionSpec::new(
            "network",
            "qemu-network",
            Kind::Text,
            "user: ports on this computer; bridge=NAME or tap=NAME: an address of its own",
        )
        .env("QEMU_NETWORK")
        .default("user")
        .field("Network"),
        OptionSpec::new(
            "address",
            "qemu-address",
            Kind::Text,
            "With bridge or tap: its address, as 192.168.1.10/24, not DHCP",
        )
        .env("QEMU_ADDRESS")
        .field("Address"),
        OptionSpec::new("gateway", "qemu-gateway", Kind::Text, "With an address: the router")
            .env("QEMU_GATEWAY")
            .field("Gateway"),
        OptionSpec::new("dns", "qemu-dns", Kind::List, "With an address: name servers").field("DNS"),
        OptionSpec::new("ssh-port", "qemu-ssh-port", Kind::Port, "Port here that leads to SSH; without it, a free one")
            .env("QEMU_SSH_PORT")
            .field("LocalSSHPort")
            .in_place(),
        OptionSpec::new(
            "engine-port",
            "qemu-engine-port",
            Kind::Port,
            "Port here that leads to the engine's port 2376",
        )
        .env("QEMU_ENGINE_PORT")
        .field("LocalEnginePort")
        .in_place(),
        OptionSpec::new(
            "forward",
            "qemu-forward",
            Kind::List,
            "More ports that lead in, each as HERE:THERE, ADDRESS:HERE:THERE, with /udp for UDP",
        )
        .env("QEMU_FORWARD")
        .field("Forward")
        .in_place(),
        OptionSpec::new("ssh-user", "qemu-ssh-user", Kind::Text, "Who logs in; is made with sudo")
            .env("QEMU_SSH_USER")
            .default("machine")
            .field("User"),
        OptionSpec::new("user-data", "qemu-user-data", Kind::Path, "Your own file for cloud-init, obeyed beside ours")
            .env("QEMU_USER_DATA")
            .field("UserData"),
        OptionSpec::new(
            "firmware",
            "qemu-firmware",
            Kind::Text,
            "bios, uefi, or the file of one; without it, bios, and uefi on aarch64",
        )
        .env("QEMU_FIRMWARE")
        .field("Firmware"),
        OptionSpec::new("kernel", "qemu-kernel", Kind::Path, "A kernel to boot instead of the image's own loader")
            .env("QEMU_KERNEL")
            .field("Kernel")
            .in_place(),
        OptionSpec::new("initrd", "qemu-initrd", Kind::Path, "With a kernel: its initial RAM disk")
            .env("QEMU_INITRD")
            .field("Initrd")
            .in_place(),
        OptionSpec::new("append", "qemu-append", Kind::Text, "With a kernel: its command line")
            .env("QEMU_APPEND")
            .field("Append")
            .in_place(),
        OptionSpec::new(
            "clone",
            "qemu-clone",
            Kind::Text,
            "frozen: go on from a machine of the same image that was booted once and frozen, instead of booting",
        )
        .env("QEMU_CLONE")
        .one_of(&["frozen"])
        .field("Clone")
        .recorded(),
    ]
}

impl Options {
    /// The architecture of the machine.
    pub(super) fn arch(&self) -> Arch {
        self.arch.as_deref().and_then(Arch::parse).unwrap_or_else(Arch::here)
    }

    /// What the table cannot express.
    pub(super) fn problems(&self) -> Vec<OptionProblem> {
        let checksum = self.image_checksum.as_deref();
        let mut problems = Image::check(&self.image, checksum, Hardware::Cloud, self.arch());
        let mut problem = |key: &str, message: String, help: &str| {
            problems.push(OptionProblem { key: Some(key.to_owned()), message, help: Some(help.to_owned()) });
        };
        if self.memory < LEAST_MEMORY {
            problem("memory", "too little for a cloud image and an engine".to_owned(), "give `256MiB` or more");
        }
        if self.cpus == 0 {
            problem("cpus", "a machine cannot run on no processor".to_owned(), "give 1 or more");
        }
        let network = Network::parse(&self.network);
        match &network {
            Err(message) => problem("network", message.clone(), "write `user`, `bridge=NAME` or `tap=NAME`"),
            Ok(Network::User) => {
                for (key, given) in [("address", self.address.is_some()), ("gateway", self.gateway.is_some())] {
                    if given {
                        problem(
                            key,
                            "with network `user` a machine has no address of its own".to_owned(),
                            "take it away, or give `network: bridge=NAME`",
                        );
                    }
                }
            }
            Ok(Network::Bridge(_) | Network::Tap(_)) => {
                for (key, given) in [
                    ("ssh-port", self.ssh_port.is_some()),
                    ("engine-port", self.engine_port.is_some()),
                    ("forward", self.forward.as_ref().is_some_and(|list| !list.is_empty())),
                ] {
                    if given {
                        problem(
                            key,
                            "a machine with an address of its own needs no ports of this computer".to_owned(),
                            "take it away, or give `network: user`",
                        );
                    }
                }
            }
        }
        if let Some(address) = &self.address
            && super::network::cidr(address).is_none()
        {
            problem(
                "address",
                format!("`{}` is no address with its prefix", address.escape_default()),
                "write it as 192.168.1.10/24",
            );
        }
        for (key, values) in [("gateway", self.gateway.as_slice()), ("dns", self.dns.as_deref().unwrap_or_default())] {
            for value in values {
                if value.parse::<IpAddr>().is_err() {
                    problem(key, format!("`{}` is no address", value.escape_default()), "write it as 192.168.1.1");
                }
            }
        }
        for text in self.forward.iter().flatten() {
            if let Err(message) = Forward::parse(text) {
                problem("forward", message, "write HERE:THERE, as `8080:80`, or ADDRESS:HERE:THERE");
            }
        }
        if self.clone.is_some() {
            // What a frozen machine cannot give to those that go on from it.
            for (key, given, why) in [
                ("network", network != Ok(Network::User), "needs the network `user`"),
                ("user-data", self.user_data.is_some(), "boots nothing that would read your `user-data`"),
                ("firmware", self.firmware.as_deref().is_some_and(|f| f != "bios"), "goes on from a BIOS only"),
                ("arch", self.arch() != Arch::X86_64, "is for x86_64 only"),
            ] {
                if given {
                    problem(key, format!("a machine with `clone: frozen` {why}"), "take one of them away");
                }
            }
        }
        if self.kernel.is_none() {
            for (key, given) in [("initrd", self.initrd.is_some()), ("append", self.append.is_some())] {
                if given {
                    problem(key, "only a `kernel` has one".to_owned(), "give `kernel`, too");
                }
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[expect(clippy::needless_pass_by_value, reason = "it is written where it is called")]
    fn options(more: serde_json::Value) -> Options {
        let mut all = json!({
            "image": "debian-12", "memory": 2_u64 << 30, "cpus": 2, "disk-size": 20_u64 << 30, "accel": "auto",
            "network": "user", "ssh-user": "machine",
        });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn options_that_do_not_fit_together_are_found() {
        let keys =
            |more| -> Vec<String> { options(more).problems().into_iter().filter_map(|problem| problem.key).collect() };
        for (more, want) in [
            (json!({}), &[][..]),
            (json!({"image": "debian-7"}), &["image"]),
            (json!({"image": "https://x.example/a.qcow2"}), &["image-checksum"]),
            (json!({"image": "https://x.example/a.qcow2", "image-checksum": "ab".repeat(32)}), &[]),
            (json!({"image-checksum": "xy"}), &["image-checksum"]),
            (json!({"memory": 1, "cpus": 0}), &["memory", "cpus"]),
            (json!({"network": "nat"}), &["network"]),
            (json!({"address": "10.0.0.2/24"}), &["address"]),
            (json!({"network": "tap=t0", "address": "10.0.0.2/24", "gateway": "10.0.0.1", "dns": ["10.0.0.1"]}), &[]),
            (json!({"network": "tap=t0", "address": "10.0.0.2", "gateway": "x"}), &["address", "gateway"]),
            (json!({"network": "bridge=br0", "ssh-port": 2222, "forward": ["1:2"]}), &["ssh-port", "forward"]),
            (json!({"forward": ["80"]}), &["forward"]),
            (json!({"append": "quiet"}), &["append"]),
            (json!({"clone": "frozen", "arch": "x86_64"}), &[]),
            (
                json!({"clone": "frozen", "arch": "aarch64", "user-data": "x", "firmware": "uefi"}),
                &["user-data", "firmware", "arch"],
            ),
            (json!({"clone": "frozen", "arch": "x86_64", "network": "tap=t0"}), &["network"]),
        ] {
            assert_eq!(keys(more.clone()), want, "{more}");
        }
    }
}
