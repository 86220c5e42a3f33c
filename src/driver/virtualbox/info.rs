//! What VirtualBox says of a VM (`showvminfo --machinereadable`), and of lists of things.

use crate::record::Power;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// A VM, as VirtualBox sees it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Info(BTreeMap<String, String>);

/// What a VM is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// It runs.
    Running,
    /// It is on its way up.
    Starting,
    /// It is on its way down.
    Stopping,
    /// It stands still, in memory.
    Paused,
    /// It stands still, on disk.
    Saved,
    /// It is off.
    Off,
    /// It runs no more and is not off: VirtualBox gave up on it.
    Stuck,
    /// A word we do not know.
    Unknown,
}

impl State {
    fn of(word: &str) -> Self {
        match word {
            "running" | "teleporting" | "livesnapshotting" => Self::Running,
            "starting" | "restoring" | "teleportingpausedvm" | "teleportingin" => Self::Starting,
            "stopping" | "saving" => Self::Stopping,
            "paused" => Self::Paused,
            "saved" | "aborted-saved" => Self::Saved,
            "poweroff" | "aborted" | "teleported" => Self::Off,
            "gurumeditation" | "stuck" => Self::Stuck,
            _ => Self::Unknown,
        }
    }

    /// In our words.
    pub(super) fn power(self) -> Power {
        match self {
            Self::Running => Power::Running,
            Self::Starting => Power::Starting,
            Self::Stopping => Power::Stopping,
            Self::Paused => Power::Paused,
            Self::Saved => Power::Saved,
            Self::Off | Self::Stuck => Power::Stopped,
            Self::Unknown => Power::Unknown,
        }
    }
}

impl Info {
    /// Reads what was printed. The first of each key counts: what users wrote of the VM comes last.
    pub(super) fn parse(text: &str) -> Self {
        let mut keys = BTreeMap::new();
        for line in text.lines() {
            let Some((key, value)) = pair(line) else { continue };
            keys.entry(key).or_insert(value);
        }
        Self(keys)
    }

    /// A value; absent when empty or `none`.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str).filter(|value| !value.is_empty() && *value != "none")
    }

    /// Its identity.
    pub(super) fn uuid(&self) -> &str {
        self.get("UUID").unwrap_or_default()
    }

    /// What it is doing.
    pub(super) fn state(&self) -> State {
        State::of(self.get("VMState").unwrap_or_default())
    }

    /// The file of its settings.
    pub(super) fn settings(&self) -> Option<&Path> {
        self.get("CfgFile").map(Path::new)
    }

    /// The log of its last start.
    pub(super) fn log(&self) -> Option<PathBuf> {
        self.get("LogFldr").map(|folder| Path::new(folder).join("VBox.log"))
    }

    /// The port of this computer that leads to its SSH server.
    pub(super) fn ssh_port(&self) -> Option<u16> {
        let mut rules = self.0.iter().filter(|(key, _)| key.starts_with("Forwarding("));
        rules.find_map(|(_, rule)| {
            let mut fields = rule.split(',');
            (fields.next() == Some("ssh")).then(|| fields.nth(2)?.parse().ok())?
        })
    }

    /// The network card on the host-only network, and what it is plugged into.
    pub(super) fn hostonly(&self) -> Option<(u8, &str)> {
        (1..=8).find_map(|n| {
            let keys = [format!("hostonlyadapter{n}"), format!("hostonly-network{n}")];
            keys.iter().find_map(|key| Some((n, self.get(key)?)))
        })
    }

    /// The address of a network card, as Linux writes it.
    pub(super) fn mac(&self, card: u8) -> Option<String> {
        let digits = self.get(&format!("macaddress{card}"))?.to_ascii_lowercase();
        let pairs = digits.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).into_owned());
        (digits.len() == 12).then(|| pairs.collect::<Vec<_>>().join(":"))
    }

    /// Whether it has a controller for disks of that name.
    pub(super) fn has_controller(&self, name: &str) -> bool {
        (0..8).any(|n| self.get(&format!("storagecontrollername{n}")) == Some(name))
    }

    /// What is plugged into a port of the controller.
    pub(super) fn medium(&self, controller: &str, port: u8) -> Option<&str> {
        self.get(&format!("{controller}-{port}-0")).filter(|medium| *medium != "emptydrive")
    }

    /// All files that are plugged in as disks.
    pub(super) fn media(&self) -> impl Iterator<Item = &str> {
        let medium = |key: &str| {
            let mut parts = key.rsplit('-');
            let number = |part: Option<&str>| part.is_some_and(|p| p.parse::<u8>().is_ok());
            number(parts.next()) && number(parts.next()) && !key.contains("ImageUUID") && !key.contains("Ejected")
        };
        let files = self.0.iter().filter(move |(key, _)| medium(key)).map(|(_, value)| value.as_str());
        files.filter(|file| file.starts_with('/') || file.as_bytes().get(1) == Some(&b':'))
    }

    /// The folders of this computer it sees, by name.
    pub(super) fn shares(&self) -> BTreeMap<&str, &str> {
        (1..=64)
            .map_while(|n| {
                let name = self.get(&format!("SharedFolderNameMachineMapping{n}"))?;
                Some((name, self.get(&format!("SharedFolderPathMachineMapping{n}"))?))
            })
            .collect()
    }

    /// A number.
    pub(super) fn number(&self, key: &str) -> Option<u64> {
        self.get(key)?.parse().ok()
    }
}

/// `key=value`, `key="value"` or `"key"="value"`.
fn pair(line: &str) -> Option<(String, String)> {
    let line = line.trim_end();
    let (key, value) = match line.strip_prefix('"') {
        Some(rest) => rest.split_once("\"=")?,
        None => line.split_once('=')?,
    };
    let inner = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
    // Newer versions write quotes and backslashes with a backslash before them, older ones do not.
    let plain = inner.replace("\\\"", "\"").replace("\\\\", "\\");
    Some((key.trim().to_owned(), plain))
}

/// Records of `Key: value` lines, as VirtualBox lists things; keys in small letters. A record ends with an empty line, or
/// where its first key comes again, for not all versions part them.
pub(super) fn records(text: &str) -> Vec<BTreeMap<String, String>> {
    let mut all: Vec<BTreeMap<String, String>> = Vec::new();
    let mut open = false;
    let mut first = String::new();
    for line in text.lines() {
        if line.trim().is_empty() {
            open = false;
            continue;
        }
        // What is indented says more of the line before.
        let Some((key, value)) = line.split_once(':').filter(|_| !line.starts_with([' ', '\t'])) else { continue };
        let key = key.trim().to_ascii_lowercase();
        if !open || key == first {
            all.push(BTreeMap::new());
            first.clone_from(&key);
            open = true;
        }
        let record = all.last_mut().expect("one was pushed just now");
        record.entry(key).or_insert_with(|| value.trim().to_owned());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of `VBoxManage` 7.2 of Debian.
    const SEVEN: &str = include_str!("../../../tests/golden/virtualbox/7.2/showvminfo.txt");

    #[test]
    fn what_virtualbox_7_says_of_a_vm() {
        let info = Info::parse(SEVEN);
        assert_eq!(info.uuid(), "6ba7b810-9dad-41d1-80b4-00c04fd430c8");
        assert_eq!(info.state(), State::Off);
        assert_eq!(info.settings(), Some(Path::new("/store/machines/web/web/web.vbox")));
        assert_eq!(info.ssh_port(), Some(2222));
        assert_eq!(info.hostonly(), Some((2, "vboxnet0")));
        assert_eq!(info.mac(2).as_deref(), Some("08:00:27:69:1f:1e"));
        assert_eq!(info.medium("SATA", 0), Some("/store/machines/web/seed.iso"));
        assert_eq!(info.medium("SATA", 2), None);
        assert_eq!(info.media().collect::<Vec<_>>(), ["/store/machines/web/seed.iso", "/store/machines/web/disk.vdi"]);
        assert!(info.has_controller("SATA") && !info.has_controller("IDE"));
        assert_eq!(info.shares(), BTreeMap::from([("hosthome", "/home")]));
        assert_eq!((info.number("memory"), info.number("cpus")), (Some(1024), Some(1)));
    }

    #[test]
    fn what_users_wrote_of_a_vm_is_not_believed() {
        let info = Info::parse("VMState=\"poweroff\"\ndescription=\"x\nVMState=\"running\"\n\"");
        assert_eq!(info.state(), State::Off);
    }

    #[test]
    fn windows_paths_are_read_from_old_and_new_versions() {
        let old = Info::parse("CfgFile=\"C:\\Users\\x\\m.vbox\"\r\n");
        let new = Info::parse("CfgFile=\"C:\\\\Users\\\\x\\\\m.vbox\"\r\n");
        assert_eq!(old.settings(), new.settings());
    }

    #[test]
    fn every_state_has_a_word_of_ours() {
        for (word, power) in [
            ("running", Power::Running),
            ("paused", Power::Paused),
            ("saved", Power::Saved),
            ("aborted-saved", Power::Saved),
            ("aborted", Power::Stopped),
            ("gurumeditation", Power::Stopped),
            ("starting", Power::Starting),
            ("saving", Power::Stopping),
            ("somethingnew", Power::Unknown),
        ] {
            assert_eq!(State::of(word).power(), power, "{word}");
        }
    }

    #[test]
    fn lists_are_read_whether_or_not_lines_part_them() {
        let parted = "NetworkName:    a\nDhcpd IP:       1\nGlobal Configuration:\n    minLeaseTime:     default\n\nNetworkName:    b\n";
        let joined = "NetworkName: a\nIP: 1\nNetworkName: b\n";
        let names = |text: &str| records(text).iter().map(|r| r["networkname"].clone()).collect::<Vec<_>>();
        assert_eq!(names(parted), ["a", "b"]);
        assert_eq!(names(joined), ["a", "b"]);
        assert!(records("").is_empty());
    }
}
