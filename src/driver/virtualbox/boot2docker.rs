//! Machines as docker-machine made them: a CD to boot from, and a disk that the CD's system makes its own.

use super::{
    disk,
    info::Info,
    manage::Manage,
    vm::{CONTROLLER, Seen, Vm},
};
use crate::driver::{DriverContext, DriverError, files, local::here};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The CD's file in the machine's folder.
pub(super) const FILE: &str = "boot2docker.iso";
/// By this name boot2docker knows a disk that it may format.
const FORMAT_ME: &str = "boot2docker, please format-me";

/// What an empty disk begins with, so that boot2docker formats it and lets the key in: a tar file.
pub(super) fn key_disk(public: &str) -> Vec<u8> {
    let line = format!("{}\n", public.trim_end());
    let mut tar = Vec::new();
    entry(&mut tar, FORMAT_ME, b'0', 0, FORMAT_ME.as_bytes());
    entry(&mut tar, ".ssh/", b'5', 0o700, b"");
    entry(&mut tar, ".ssh/authorized_keys", b'0', 0o644, line.as_bytes());
    entry(&mut tar, ".ssh/authorized_keys2", b'0', 0o644, line.as_bytes());
    tar.resize(tar.len() + 1024, 0);
    tar
}

/// One entry of a tar file (POSIX ustar), without an owner and a time.
fn entry(tar: &mut Vec<u8>, name: &str, kind: u8, mode: u32, content: &[u8]) {
    let mut head = [0_u8; 512];
    let mut put = |at: usize, text: &[u8]| head[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, format!("{mode:07o}\0").as_bytes());
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{:011o}\0", content.len()).as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    tar.extend(head);
    tar.extend(content);
    tar.resize(tar.len().next_multiple_of(512), 0);
}

/// The version that a CD's label names, as `v19.03.12` in `Boot2Docker-v19.03.12`.
pub(super) fn version(iso: &[u8]) -> Option<String> {
    let label = String::from_utf8_lossy(iso.get(0x8028..0x8028 + 32)?).trim_matches([' ', '\0']).to_owned();
    label.find("-v").map(|at| label[at + 1..].to_owned())
}

/// A project's releases, where the newest is asked for: `https://HOST[/api/v3]/repos/ORG/REPO/releases`.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Releases {
    /// Where the newest is asked for.
    pub(super) newest: String,
    download: String,
}

impl Releases {
    pub(super) fn of(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://").filter(|(scheme, _)| ["http", "https"].contains(scheme))?;
        let (host, path) = rest.split_once('/')?;
        let path = path.strip_prefix("api/v3/").unwrap_or(path);
        let (org, repo) = path.strip_prefix("repos/")?.strip_suffix("/releases")?.split_once('/')?;
        let named = |name: &str| !name.is_empty() && !name.contains('/');
        if !named(org) || !named(repo) {
            return None;
        }
        let host = if host == "api.github.com" { "github.com" } else { host };
        let download = format!("{scheme}://{host}/{org}/{repo}/releases/download");
        Some(Self { newest: format!("{url}/latest"), download })
    }

    /// Where the CD of a release is.
    pub(super) fn cd(&self, tag: &str) -> String {
        format!("{}/{tag}/{FILE}", self.download)
    }
}

/// The releases that docker-machine took its CD from.
pub(super) const RELEASES: &str = "https://api.github.com/repos/boot2docker/boot2docker/releases";

/// Brings the CD into the machine's folder.
pub(super) async fn cd(cx: &DriverContext<'_>, url: &str) -> Result<PathBuf, DriverError> {
    let to = cx.dir.join(FILE);
    let url = if url.is_empty() { RELEASES } else { url };
    let from = match url.split_once("://") {
        Some(("http" | "https", _)) => super::fetch::cd(cx, url).await?,
        Some(("file", path)) => Some(PathBuf::from(path)),
        _ => Some(PathBuf::from(url)),
    };
    if let Some(from) = from {
        let content = fs::read(&from).map_err(files::because("reading", &from))?;
        files::write(&to, 0o600, &content)?;
    }
    Ok(to)
}

/// An old VM, with what of it is taken over.
pub(super) struct Old {
    disk: PathBuf,
    pub(super) memory: Option<u64>,
    pub(super) cpus: Option<u64>,
}

impl Old {
    /// Looks at it, after it was switched off: its disk must not change while it is copied.
    pub(super) async fn find(manage: &Manage, name: &str) -> Result<Self, DriverError> {
        let vm = Vm::new(manage, name);
        let Seen::There(info) = vm.look().await? else {
            return Err(DriverError::Refused {
                doing: format!("importing the VM `{name}`"),
                why: "machine does not exist".to_owned(),
                help: "choose one of those that this shows:\n  VBoxManage list vms".to_owned(),
            });
        };
        super::boot::kill(&vm).await?;
        Self::of(&info).ok_or_else(|| DriverError::Refused {
            doing: format!("importing the VM `{name}`"),
            why: format!("it has no disk at port 1 of a controller `{CONTROLLER}`"),
            help: "import a VM that boot2docker made, or copy its disk yourself and give it as `image`".to_owned(),
        })
    }

    fn of(info: &Info) -> Option<Self> {
        let disk = info.medium(CONTROLLER, 1)?;
        Some(Self { disk: disk.into(), memory: info.number("memory"), cpus: info.number("cpus") })
    }

    /// Copies its disk and its key.
    pub(super) async fn copy(&self, manage: &Manage, cx: &DriverContext<'_>) -> Result<PathBuf, DriverError> {
        let key = here("~/.ssh/id_boot2docker");
        let own = files::read(&key)?.ok_or_else(|| DriverError::Refused {
            doing: "taking over the key of boot2docker".to_owned(),
            why: format!("{} is not there", key.display()),
            help: "put the key there that logs in to the old VM".to_owned(),
        })?;
        files::write(&cx.dir.join(KEY), 0o600, own.as_bytes())?;
        let to = cx.dir.join(disk::FILE);
        disk::forget(manage, &to).await;
        disk::of_own(manage, cx, &self.disk, &to, 0).await
    }
}

/// The key of machines that docker-machine made, and of those that were boot2docker's.
pub(super) const KEY: &str = "id_rsa";

/// The private key in a machine's folder.
pub(super) fn key(dir: &Path) -> PathBuf {
    let own = dir.join("id_ed25519");
    let old = dir.join(KEY);
    if old.exists() && !own.exists() { old } else { own }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_disk_says_that_it_may_be_formatted_and_who_may_come_in() {
        let tar = key_disk("ssh-ed25519 AAAA machine web\n");
        assert_eq!(tar.len(), 4608, "as docker-machine's is");
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tar");
        files::write(&file, 0o600, &tar).unwrap();
        let list = |args: &[&str]| {
            #[expect(clippy::disallowed_methods, reason = "a tar of others reads it")]
            let said = std::process::Command::new("tar").args(args).arg(&file).output().unwrap();
            assert!(said.status.success(), "{said:?}");
            String::from_utf8(said.stdout).unwrap()
        };
        let names = list(&["-tf"]);
        assert_eq!(
            names.lines().collect::<Vec<_>>(),
            ["boot2docker, please format-me", ".ssh/", ".ssh/authorized_keys", ".ssh/authorized_keys2"]
        );
        assert!(list(&["--to-stdout", "-xf"]).contains("ssh-ed25519 AAAA machine web\n"));
    }

    #[test]
    fn a_cd_says_which_version_it_is() {
        let mut iso = vec![0; 0x9000];
        iso[0x8028..0x8028 + 21].copy_from_slice(b"Boot2Docker-v19.03.12");
        assert_eq!(version(&iso).as_deref(), Some("v19.03.12"));
        assert_eq!(version(&[0; 10]), None);
    }

    #[test]
    fn releases_are_those_of_github_and_of_its_kind_elsewhere() {
        let at = |url: &str| Releases::of(url).map(|r| r.cd("v1"));
        assert_eq!(
            at(RELEASES).as_deref(),
            Some("https://github.com/boot2docker/boot2docker/releases/download/v1/boot2docker.iso")
        );
        assert_eq!(
            at("https://ghe.example/api/v3/repos/a/b/releases").as_deref(),
            Some("https://ghe.example/a/b/releases/download/v1/boot2docker.iso")
        );
        assert_eq!(at("https://example.com/boot2docker.iso"), None);
        assert_eq!(at("/srv/boot2docker.iso"), None);
    }
}
