//! Cloud images of distributions, by name: the one list of them.

/// An image of a distribution. `{}` is the architecture, as the distribution calls it.
pub(super) struct Preset {
    /// As the user names it.
    pub(super) name: &'static str,
    folder: &'static str,
    /// The file with drivers for what clouds have (virtio) and nothing else: smaller, and it starts sooner.
    cloud: &'static str,
    /// The file with drivers for hardware that exists; `None`: not tried.
    real: Option<&'static str>,
    /// The file of checksums beside it.
    sums: &'static str,
    arch: fn(Arch) -> &'static str,
}

/// What a machine looks like from within.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::driver) enum Hardware {
    /// Like those of clouds.
    Cloud,
    /// Like one that can be bought.
    Real,
}

/// Processors that machines have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::driver) enum Arch {
    /// 64-bit PCs.
    X86_64,
    /// 64-bit ARM.
    Aarch64,
}

const PRESETS: [Preset; 5] = [
    Preset {
        name: "debian-13",
        folder: "https://cloud.debian.org/images/cloud/trixie/latest/",
        cloud: "debian-13-genericcloud-{}.qcow2",
        real: Some("debian-13-generic-{}.qcow2"),
        sums: "SHA512SUMS",
        arch: Arch::debian,
    },
    Preset {
        name: "debian-12",
        folder: "https://cloud.debian.org/images/cloud/bookworm/latest/",
        cloud: "debian-12-genericcloud-{}.qcow2",
        real: Some("debian-12-generic-{}.qcow2"),
        sums: "SHA512SUMS",
        arch: Arch::debian,
    },
    Preset {
        name: "ubuntu-24.04",
        folder: "https://cloud-images.ubuntu.com/releases/noble/release/",
        cloud: "ubuntu-24.04-server-cloudimg-{}.img",
        real: Some("ubuntu-24.04-server-cloudimg-{}.img"),
        sums: "SHA256SUMS",
        arch: Arch::debian,
    },
    Preset {
        name: "ubuntu-22.04",
        folder: "https://cloud-images.ubuntu.com/releases/jammy/release/",
        cloud: "ubuntu-22.04-server-cloudimg-{}.img",
        real: Some("ubuntu-22.04-server-cloudimg-{}.img"),
        sums: "SHA256SUMS",
        arch: Arch::debian,
    },
    Preset {
        name: "fedora-43",
        folder: "https://download.fedoraproject.org/pub/fedora/linux/releases/43/Cloud/{}/images/",
        cloud: "Fedora-Cloud-Base-Generic-43-1.6.{}.qcow2",
        real: None,
        sums: "Fedora-Cloud-43-1.6-{}-CHECKSUM",
        arch: Arch::name,
    },
];

impl Preset {
    /// Those there are for a kind of machine, in the order they are named to people.
    pub(super) fn all(hardware: Hardware) -> impl Iterator<Item = &'static Self> {
        PRESETS.iter().filter(move |preset| preset.file(hardware).is_some())
    }

    fn file(&self, hardware: Hardware) -> Option<&'static str> {
        match hardware {
            Hardware::Cloud => Some(self.cloud),
            Hardware::Real => self.real,
        }
    }

    /// Where it is, what it is called, and where its checksum is.
    pub(super) fn places(&self, hardware: Hardware, arch: Arch) -> Option<(String, String, String)> {
        let of = |text: &str| text.replace("{}", (self.arch)(arch));
        let (folder, file) = (of(self.folder), of(self.file(hardware)?));
        Some((format!("{folder}{file}"), file, format!("{folder}{}", of(self.sums))))
    }
}

impl Arch {
    pub(in crate::driver) fn parse(text: &str) -> Option<Self> {
        match text {
            "x86_64" => Some(Self::X86_64),
            "aarch64" => Some(Self::Aarch64),
            _ => None,
        }
    }

    /// That of this computer; of one that is neither, the more common one, emulated.
    pub(in crate::driver) fn here() -> Self {
        Self::parse(std::env::consts::ARCH).unwrap_or(Self::X86_64)
    }

    /// As Linux and Fedora call it.
    pub(in crate::driver) fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// As Debian and Ubuntu call it.
    fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }
}
