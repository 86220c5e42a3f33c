//! Pure. The command line of qemu, as data.

use super::network::{Forward, Network};
pub(super) use crate::driver::local::Arch;
use crate::quote::quote;
use serde_json::json;
use std::{ffi::OsString, path::Path};

impl Arch {
    /// The program that is such a computer.
    pub(super) fn program(self) -> &'static str {
        match self {
            Self::X86_64 => "qemu-system-x86_64",
            Self::Aarch64 => "qemu-system-aarch64",
        }
    }
}

/// What runs the instructions of a machine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Accelerator {
    /// Linux.
    Kvm,
    /// macOS.
    Hvf,
    /// Windows.
    Whpx,
    /// qemu itself, by translating.
    Tcg,
}

impl Accelerator {
    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Kvm, Self::Hvf, Self::Whpx, Self::Tcg].into_iter().find(|a| a.name() == text)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Hvf => "hvf",
            Self::Whpx => "whpx",
            Self::Tcg => "tcg",
        }
    }

    /// The one of a system, as Rust calls it.
    pub(super) fn of(system: &str) -> Option<Self> {
        match system {
            "linux" => Some(Self::Kvm),
            "macos" => Some(Self::Hvf),
            "windows" => Some(Self::Whpx),
            _ => None,
        }
    }

    /// As after `-accel`.
    pub(super) fn argument(self) -> &'static str {
        match self {
            Self::Tcg => "tcg,thread=multi",
            other => other.name(),
        }
    }
}

/// UEFI in files: the code, and where settings are kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Firmware<'a> {
    /// Shared and never written.
    pub(super) code: &'a Path,
    /// The machine's own.
    pub(super) variables: &'a Path,
}

/// Whether a machine has to do with one that is frozen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Frozen<'a> {
    /// No.
    Not,
    /// It is going to be frozen: it has no network in either direction.
    Becomes,
    /// It goes on from this memory.
    GoesOn(&'a Path),
    /// It once did; its devices stay what they were.
    Was,
}

/// Everything a command line says.
#[derive(Clone, Debug)]
pub(super) struct Computer<'a> {
    pub(super) name: &'a str,
    pub(super) arch: Arch,
    pub(super) accelerator: Accelerator,
    pub(super) cpu: Option<&'a str>,
    pub(super) memory: u64,
    pub(super) cpus: u64,
    pub(super) disk: &'a Path,
    pub(super) seed: &'a Path,
    pub(super) network: &'a Network,
    pub(super) mac: &'a str,
    pub(super) forwards: &'a [Forward],
    pub(super) firmware: Option<Firmware<'a>>,
    pub(super) kernel: Option<&'a Path>,
    pub(super) initrd: Option<&'a Path>,
    pub(super) append: Option<&'a str>,
    pub(super) console: &'a Path,
    pub(super) pid: &'a Path,
    pub(super) frozen: Frozen<'a>,
}

/// Name of the socket for commands, in the machine's folder, where qemu is started: a full path may be too long for one.
pub(super) const SOCKET: &str = "qmp.sock";
/// That of the guest agent, if the image has one.
pub(super) const AGENT: &str = "agent.sock";
/// That by which a machine that goes on from a frozen one is told who it is.
pub(super) const CLONE: &str = "clone.sock";
/// What the machine's network and its device are called in commands.
pub(super) const NETWORK: &str = "net";
pub(super) const NETWORK_DEVICE: &str = "nic";
/// What the machine's disk is called in commands.
pub(super) const DISK: &str = "disk";
/// The device of that disk.
pub(super) const DISK_DEVICE: &str = "disk0";

impl Computer<'_> {
    /// The words after the program's name.
    pub(super) fn arguments(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        let mut add = |words_: &[&str]| words.extend(words_.iter().map(OsString::from));
        let process = if cfg!(target_os = "linux") { format!(",process=machine-{}", self.name) } else { String::new() };
        // Elsewhere qemu ends when it is told to call its process something else.
        add(&["-name", &format!("guest={}{process}", self.name)]);
        add(&["-nodefaults", "-no-user-config", "-display", "none"]);
        let machine = match self.arch {
            Arch::X86_64 => "q35,vmport=off",
            Arch::Aarch64 => "virt,gic-version=max",
        };
        add(&["-machine", machine, "-accel", self.accelerator.argument(), "-cpu", self.model()]);
        add(&["-m", &format!("{}M", self.memory >> 20), "-smp", &self.cpus.to_string()]);
        // As JSON, in which any path can be written; qemu's own form ends at a comma.
        let drive = |node: &str, format: &str, path: &Path, writable: bool| {
            let file = json!({ "driver": "file", "filename": path.to_string_lossy() });
            let mut drive = json!({ "node-name": node, "driver": format, "read-only": !writable, "file": file });
            if writable {
                // What the machine frees becomes room on this computer.
                drive["discard"] = json!("unmap");
                drive["detect-zeroes"] = json!("unmap");
            }
            drive.to_string()
        };
        add(&["-blockdev", &drive(DISK, "qcow2", self.disk, true)]);
        add(&["-device", &format!("virtio-blk-pci,drive={DISK},id={DISK_DEVICE},bootindex=1")]);
        add(&["-blockdev", &drive("seed", "raw", self.seed, false), "-device", "virtio-blk-pci,drive=seed"]);
        let net = match self.network {
            Network::User => {
                let ports = self.forwards.iter().map(|forward| format!(",hostfwd={forward}"));
                let alone = if self.frozen == Frozen::Becomes { ",restrict=on" } else { "" };
                format!("user,id={NETWORK}{alone}{}", ports.collect::<String>())
            }
            Network::Bridge(name) => format!("bridge,id={NETWORK},br={name}"),
            Network::Tap(name) => format!("tap,id={NETWORK},ifname={name},script=no,downscript=no"),
        };
        let card = format!("virtio-net-pci,netdev={NETWORK},id={NETWORK_DEVICE},mac={},romfile=", self.mac);
        add(&["-netdev", &net, "-device", &card]);
        add(&["-device", "virtio-rng-pci"]);
        add(&["-chardev", &format!("file,id=console,append=on,path={}", escaped(self.console))]);
        add(&["-serial", "chardev:console"]);
        add(&["-device", "virtio-serial-pci"]);
        add(&["-chardev", &format!("socket,id=agent,path={AGENT},server=on,wait=off")]);
        add(&["-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"]);
        if self.frozen != Frozen::Not {
            add(&["-chardev", &format!("socket,id=clone,path={CLONE},server=on,wait=off")]);
            add(&["-device", "virtserialport,chardev=clone,name=machine.clone"]);
        }
        if let Frozen::GoesOn(memory) = self.frozen {
            add(&["-incoming", &format!("exec:cat {}", quote(&memory.to_string_lossy()))]);
        }
        add(&["-qmp", &format!("unix:{SOCKET},server=on,wait=off")]);
        if let Some(firmware) = &self.firmware {
            let flash = |unit: u8, path: &Path, only: &str| {
                format!("if=pflash,unit={unit},format=raw,readonly={only},file={}", escaped(path))
            };
            add(&["-drive", &flash(0, firmware.code, "on"), "-drive", &flash(1, firmware.variables, "off")]);
        }
        for (flag, path) in [("-kernel", self.kernel), ("-initrd", self.initrd)] {
            if let Some(path) = path {
                add(&[flag, &path.to_string_lossy()]);
            }
        }
        if let Some(text) = self.append {
            add(&["-append", text]);
        }
        add(&["-pidfile", &self.pid.to_string_lossy(), "-daemonize"]);
        words
    }

    /// The model of the processor. Translated, `max` promises more than translates fast; `Nehalem` is what
    /// distributions ask for (x86-64-v2), and boots in less than half the time.
    fn model(&self) -> &str {
        model(self.cpu, self.accelerator, self.arch)
    }
}

/// The model of the processor; see [`Computer::model`].
pub(super) fn model(given: Option<&str>, accelerator: Accelerator, arch: Arch) -> &str {
    match (given, accelerator, arch) {
        (Some(model), ..) => model,
        (None, Accelerator::Tcg, Arch::X86_64) => "Nehalem",
        (None, Accelerator::Tcg, Arch::Aarch64) => "cortex-a72",
        (None, ..) => "host",
    }
}

/// A path inside a value of several, where a comma is written twice.
fn escaped(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn computer<'a>(network: &'a Network, forwards: &'a [Forward]) -> Computer<'a> {
        Computer {
            name: "web-1",
            arch: Arch::X86_64,
            accelerator: Accelerator::Tcg,
            cpu: None,
            memory: 512 << 20,
            cpus: 2,
            disk: Path::new("/b/a,b/disk.qcow2"),
            seed: Path::new("/b/seed.iso"),
            network,
            mac: "52:54:00:01:02:03",
            forwards,
            firmware: None,
            kernel: None,
            initrd: None,
            append: None,
            console: Path::new("/b/a,b/console.log"),
            pid: Path::new("/b/a,b/pid"),
            frozen: Frozen::Not,
        }
    }

    fn line(computer: &Computer<'_>) -> String {
        computer.arguments().iter().map(|w| w.to_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ports_lead_in_from_this_computer_alone() {
        let forwards = [Forward::local(20022, 22), Forward::local(22376, 2376)];
        let line = line(&computer(&Network::User, &forwards));
        assert!(
            line.contains("user,id=net,hostfwd=tcp:127.0.0.1:20022-:22,hostfwd=tcp:127.0.0.1:22376-:2376 "),
            "{line}"
        );
        assert!(line.contains("-accel tcg,thread=multi -cpu Nehalem -m 512M -smp 2"), "{line}");
    }

    #[test]
    fn a_comma_in_a_path_ends_no_value() {
        let line = line(&computer(&Network::User, &[]));
        assert!(line.contains(r#""filename":"/b/a,b/disk.qcow2""#), "{line}");
        assert!(line.contains("path=/b/a,,b/console.log"), "{line}");
        assert!(line.contains("-pidfile /b/a,b/pid"), "a word of its own needs no escape");
    }

    #[test]
    fn what_is_given_is_said_and_what_is_not_is_not() {
        let bridge = Network::Bridge("br0".to_owned());
        let plain = computer(&bridge, &[]);
        assert!(line(&plain).contains("-netdev bridge,id=net,br=br0 "));
        for word in ["-kernel", "-initrd", "-append", "pflash"] {
            assert!(!line(&plain).contains(word), "{word}");
        }
        let firmware = Firmware { code: Path::new("/c.fd"), variables: Path::new("/v.fd") };
        let other = Computer {
            arch: Arch::Aarch64,
            accelerator: Accelerator::Hvf,
            firmware: Some(firmware),
            kernel: Some(Path::new("/k")),
            append: Some("root=/dev/vda1 quiet"),
            ..plain
        };
        let words = other.arguments();
        let after = |flag: &str| words[words.iter().position(|w| w == flag).unwrap() + 1].to_str().unwrap().to_owned();
        assert_eq!(
            (after("-cpu"), after("-kernel"), after("-append")),
            ("host".into(), "/k".into(), "root=/dev/vda1 quiet".into())
        );
        assert!(line(&other).contains("if=pflash,unit=1,format=raw,readonly=off,file=/v.fd"));
    }

    #[test]
    fn what_is_to_be_frozen_reaches_nobody_and_what_goes_on_has_the_same_devices() {
        let with = |frozen| Computer { frozen, ..computer(&Network::User, &[]) };
        let becomes = line(&with(Frozen::Becomes));
        assert!(becomes.contains("-netdev user,id=net,restrict=on "), "{becomes}");
        let goes_on = line(&with(Frozen::GoesOn(Path::new("/b/it's/memory"))));
        assert!(goes_on.contains(r"-incoming exec:cat '/b/it'\''s/memory' "), "{goes_on}");
        let devices = |line: &str| line.matches("-device").count();
        assert_eq!(devices(&becomes), devices(&goes_on));
        assert_eq!(devices(&becomes), devices(&line(&with(Frozen::Was))));
        assert_eq!(devices(&becomes), devices(&line(&with(Frozen::Not))) + 1);
    }

    #[test]
    fn each_system_has_its_accelerator() {
        for (system, want) in
            [("linux", Some("kvm")), ("macos", Some("hvf")), ("windows", Some("whpx")), ("netbsd", None)]
        {
            assert_eq!(Accelerator::of(system).map(Accelerator::name), want);
        }
    }
}
