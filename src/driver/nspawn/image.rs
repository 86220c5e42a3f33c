//! Root file systems that machines stand on: built once with `mmdebstrap`, or the user's own.
//!
//! An image in the cache is complete and never changes; building happens beside it and ends with a rename.

use super::{files, place::Place, program::Program, tree};
use crate::{driver::DriverError, fault};
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{MetadataExt, symlink},
    path::{Path, PathBuf},
};
use tokio::time::Instant;

/// Images that can be built: name, suite, and whether the suite has one for security.
const SUITES: [(&str, &str, bool); 4] = [
    ("debian-11", "bullseye", true),
    ("debian-12", "bookworm", true),
    ("debian-13", "trixie", true),
    ("debian-sid", "sid", false),
];

/// Counts recipes: an image made by another one is not reused for new machines.
const RECIPE: u32 = 1;

/// What a host has beyond Debian's minimum: boots, can be logged in to, and has what dockerd calls.
const PACKAGES: &str =
    "systemd-sysv,udev,dbus,iproute2,iputils-ping,openssh-server,ca-certificates,sudo,iptables,curl,procps,kmod,gnupg";

/// Fetched into the image but not installed, so that installing an engine needs little or no network.
const PRELOAD: &str = r#"echo "I: fetching packages of the engine" >&2
chroot "$1" apt-get clean
chroot "$1" apt-get --yes --quiet --download-only install docker.io
! chroot "$1" apt-cache show docker-cli >/dev/null 2>&1 || chroot "$1" apt-get --yes --quiet --download-only install docker.io docker-cli"#;

/// What `mmdebstrap` and [`PRELOAD`] say they do, in this order, one after the other.
const STAGES: [&str; 6] = [
    "running apt-get update",
    "downloading packages",
    "extracting archives",
    "installing essential packages",
    "installing remaining packages",
    "fetching packages of the engine",
];

/// Units that have no sense in a machine, or hold locks of apt when they like.
const MASKED: [&str; 7] = [
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "dpkg-db-backup.timer",
    "systemd-networkd-wait-online.service",
    "console-getty.service",
];

/// What the option `image` means.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Image {
    /// One we build.
    Built {
        /// As the user names it.
        name: &'static str,
        /// What Debian calls it.
        suite: &'static str,
        /// Whether Debian has a security suite for it.
        security: bool,
    },
    /// A folder or tar file of the user.
    Own(PathBuf),
}

impl Image {
    /// Pure. Reads the option; the error says what would be legal.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with('/') {
            // The kernel's options for an overlay end at these.
            if text.contains([',', ':', '\\', '"']) {
                return Err(format!("`{text}` holds a comma, colon, quote or backslash, which overlays do not take"));
            }
            return Ok(Self::Own(text.into()));
        }
        let known = if text == "sid" { "debian-sid" } else { text };
        SUITES
            .iter()
            .find(|(name, suite, _)| *name == known || *suite == known)
            .map(|&(name, suite, security)| Self::Built { name, suite, security })
            .ok_or_else(|| format!("`{text}` is no image"))
    }

    /// What is legal, for help.
    pub(super) fn legal() -> String {
        let names: Vec<String> = SUITES.iter().map(|(name, ..)| format!("`{name}`")).collect();
        format!("use one of {}, or the full path of a root file system, as a folder or tar file", names.join(", "))
    }
}

/// The folder of an image, built or unpacked first if it is not there yet.
pub(super) async fn ensure(
    place: &Place,
    image: &Image,
    progress: &(dyn Fn(&str) + Send + Sync),
) -> Result<PathBuf, DriverError> {
    let (label, key) = match image {
        Image::Built { name, .. } => ((*name).to_owned(), format!("{name}-{}.{RECIPE}", std::env::consts::ARCH)),
        Image::Own(path) => {
            let data = fs::metadata(path).map_err(files::because("reading the image", path))?;
            if data.is_dir() {
                return path.canonicalize().map_err(files::because("reading the image", path));
            }
            let text = format!("{} {} {} {}", path.display(), data.size(), data.mtime(), data.mtime_nsec());
            let digest = crate::digest::sha256_hex(text.as_bytes());
            (path.display().to_string(), format!("tar-{}", &digest[..12]))
        }
    };
    let done = place.images.join(&key);
    if done.is_dir() {
        return Ok(done);
    }
    files::folder(&place.images, 0o700)?;
    let waiting = || progress(&format!("waiting for another run to build image {label}"));
    let lock = files::lock(&place.images.join(format!(".{key}.lock")), waiting).await?;
    if done.is_dir() {
        return Ok(done);
    }
    // No run works in it any more: it would hold the lock, and so would its children.
    let unfinished = place.images.join(format!(".{key}.new"));
    tree::remove(&unfinished).await?;
    match image {
        Image::Built { suite, security, .. } => {
            build(&unfinished, &label, suite, *security, &lock, progress).await?;
            finish(&unfinished)?;
        }
        Image::Own(path) => {
            progress(&format!("unpacking image {label}"));
            files::folder(&unfinished, 0o755)?;
            let tar = Program::new("tar", format!("unpacking {}", path.display()));
            let how = [
                "--extract",
                "--preserve-permissions",
                "--same-owner",
                "--numeric-owner",
                "--xattrs-include=*",
                "--file",
            ];
            tar.args(how)
                .args([path])
                .args(["--directory".as_ref(), unfinished.as_path()])
                .watch(&lock, |_| {})
                .await?;
            if !unfinished.join("sbin/init").is_symlink() && !unfinished.join("sbin/init").exists() {
                return Err(DriverError::Refused {
                    doing: format!("using image {label}"),
                    why: "it holds no /sbin/init".to_owned(),
                    help: "give a tar file of a whole root file system with systemd and an SSH server".to_owned(),
                });
            }
        }
    }
    files::sync(&unfinished).await?;
    fault::point("nspawn.rename", &done)
        .and_then(|()| fs::rename(&unfinished, &done))
        .map_err(files::because("renaming", &unfinished))?;
    Ok(done)
}

async fn build(
    root: &Path,
    label: &str,
    suite: &str,
    security: bool,
    lock: &fs::File,
    progress: &(dyn Fn(&str) + Send + Sync),
) -> Result<(), DriverError> {
    let doing = format!("building image {label}");
    let begun = Instant::now();
    progress(&format!("building image {label} (1/{}): {}", STAGES.len(), STAGES[0]));
    let configured = Program::new("apt-config", &*doing).args(["dump"]).run("").await?;
    let own = tempfile::Builder::new()
        .prefix("machine-apt-")
        .tempfile()
        .map_err(files::because("writing in", &std::env::temp_dir()))?;
    files::write(own.path(), 0o600, carried(&configured).as_bytes())?;
    let mirrors = Mirrors::of(&sources()?);
    let mut args: Vec<String> = [
        "--variant=minbase",
        "--format=directory",
        "--skip=cleanup/apt",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
        // A machine that loses power is made anew: synchronising every package is time for nothing.
        "--dpkgopt=force-unsafe-io",
        "--aptopt=APT::Install-Recommends \"false\"",
    ]
    .map(str::to_owned)
    .into();
    args.push(format!("--aptopt={}", own.path().display()));
    args.push(format!("--include={PACKAGES}"));
    args.push(format!("--customize-hook={PRELOAD}"));
    let keyring = Path::new("/usr/share/keyrings/debian-archive-keyring.gpg");
    if keyring.exists() {
        args.push(format!("--keyring={}", keyring.display()));
    }
    args.push(suite.to_owned());
    args.push(root.display().to_string());
    args.extend(mirrors.lines(suite, security));
    let mut stage = 0;
    let tell = |line: &str| {
        let Some(said) = line.strip_prefix("I: ") else { return };
        let Some(reached) = STAGES.iter().position(|s| said.starts_with(s)) else { return };
        if reached > stage {
            stage = reached;
            let (n, of, seconds) = (stage + 1, STAGES.len(), begun.elapsed().as_secs());
            progress(&format!("building image {label} ({n}/{of}): {}, {seconds} s so far", STAGES[stage]));
        }
    };
    // In a mount namespace of its own, so that what it mounts goes with it when it is killed.
    let own = ["--mount", "--propagation", "slave", "mmdebstrap"];
    Program::new("unshare", doing).args(own).args(args).watch(lock, tell).await
}

/// What is left to do to a fresh Debian so that many machines can stand on it.
fn finish(root: &Path) -> Result<(), DriverError> {
    let removed = |path: PathBuf| match fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(files::because("removing", &path)(e)),
        _ => Ok(()),
    };
    // Identities are each machine's own.
    for kind in ["rsa", "ecdsa", "ed25519"] {
        removed(root.join(format!("etc/ssh/ssh_host_{kind}_key")))?;
        removed(root.join(format!("etc/ssh/ssh_host_{kind}_key.pub")))?;
    }
    for path in ["etc/machine-id", "var/lib/dbus/machine-id", "etc/hostname", "etc/resolv.conf"] {
        removed(root.join(path))?;
    }
    let link = |target: &str, path: PathBuf| {
        removed(path.clone())?;
        symlink(target, &path).map_err(files::because("writing", &path))
    };
    let units = root.join("etc/systemd/system");
    files::folder(&units, 0o755)?;
    for unit in MASKED {
        link("/dev/null", units.join(unit))?;
    }
    link("/lib/systemd/system/multi-user.target", units.join("default.target"))
}

/// Settings of this computer's apt that its machines need to fetch packages as well.
///
/// A proxy on a loopback address is not carried over: in a machine that address is the machine.
fn carried(dump: &str) -> String {
    const KEYS: [&str; 7] = [
        "Acquire::http::Proxy",
        "Acquire::https::Proxy",
        "Acquire::Check-Valid-Until",
        "Acquire::Check-Date",
        "Acquire::Retries",
        "Acquire::http::Timeout",
        "Acquire::https::Timeout",
    ];
    let mut text = String::new();
    for line in dump.lines() {
        let Some((key, value)) = line.split_once(' ') else { continue };
        let wanted = KEYS.iter().any(|k| key == *k || key.strip_prefix(k).is_some_and(|rest| rest.starts_with("::")));
        let local = ["//127.", "//localhost", "//[::1]"].iter().any(|l| value.contains(l));
        if wanted && !local && value != "\"\";" {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// Where packages come from.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Mirrors {
    main: String,
    security: String,
}

impl Mirrors {
    /// The mirrors that this computer's apt uses for Debian, else Debian's own.
    fn of(sources: &[Source]) -> Self {
        let debian: BTreeSet<&str> =
            SUITES.iter().map(|(_, suite, _)| *suite).chain(["stable", "testing", "unstable", "forky"]).collect();
        let find = |wanted: &dyn Fn(&str) -> bool| {
            sources.iter().find(|s| s.main && s.suites.iter().any(|suite| wanted(suite))).map(|s| s.uri.clone())
        };
        let main = find(&|suite| debian.contains(suite));
        let security = find(&|suite| suite.strip_suffix("-security").is_some_and(|s| debian.contains(s)));
        Self {
            main: main.unwrap_or_else(|| "http://deb.debian.org/debian".to_owned()),
            security: security.unwrap_or_else(|| "http://deb.debian.org/debian-security".to_owned()),
        }
    }

    fn lines(&self, suite: &str, security: bool) -> Vec<String> {
        let mut lines = vec![format!("deb {} {suite} main", self.main)];
        if security {
            lines.push(format!("deb {} {suite}-updates main", self.main));
            lines.push(format!("deb {} {suite}-security main", self.security));
        }
        lines
    }
}

/// One source of packages of this computer.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Source {
    uri: String,
    suites: Vec<String>,
    main: bool,
}

/// All sources of this computer (sources.list(5)), in the order apt reads them.
fn sources() -> Result<Vec<Source>, DriverError> {
    let list = Path::new("/etc/apt/sources.list");
    let mut all = lines_of(&files::read(list)?.unwrap_or_default());
    let parts = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|e| e.path());
    for path in parts.collect::<BTreeSet<_>>() {
        let text = files::read(&path)?.unwrap_or_default();
        match path.extension().and_then(|e| e.to_str()) {
            Some("list") => all.extend(lines_of(&text)),
            Some("sources") => all.extend(stanzas_of(&text)),
            _ => {}
        }
    }
    Ok(all)
}

/// `deb [options] URI SUITE COMPONENT…`
fn lines_of(text: &str) -> Vec<Source> {
    let one = |line: &str| {
        let rest = line.trim().strip_prefix("deb ")?.trim_start();
        let rest = if rest.starts_with('[') { rest.split_once(']')?.1 } else { rest };
        let mut words = rest.split_whitespace();
        let (uri, suite) = (words.next()?.to_owned(), words.next()?.to_owned());
        Some(Source { uri, suites: vec![suite], main: words.any(|w| w == "main") })
    };
    text.lines().filter_map(one).collect()
}

/// deb822: `Types:`, `URIs:`, `Suites:`, `Components:`, stanzas parted by empty lines.
fn stanzas_of(text: &str) -> Vec<Source> {
    let one = |stanza: &str| {
        let field = |name: &str| -> Vec<String> {
            let value =
                stanza.lines().filter_map(|l| l.split_once(':')).find(|(key, _)| key.eq_ignore_ascii_case(name));
            value.map(|(_, v)| v.split_whitespace().map(str::to_owned).collect()).unwrap_or_default()
        };
        let enabled = field("Enabled").first().is_none_or(|v| v != "no");
        let binary = field("Types").iter().any(|t| t == "deb");
        let uri = field("URIs").into_iter().next().filter(|_| enabled && binary)?;
        Some(Source { uri, suites: field("Suites"), main: field("Components").iter().any(|c| c == "main") })
    };
    text.split("\n\n").filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_a_name_we_know_or_a_full_path() {
        for (text, suite) in
            [("debian-12", "bookworm"), ("bookworm", "bookworm"), ("sid", "sid"), ("debian-13", "trixie")]
        {
            let Ok(Image::Built { suite: found, .. }) = Image::parse(text) else { panic!("{text}") };
            assert_eq!(found, suite);
        }
        assert_eq!(Image::parse("/srv/x.tar"), Ok(Image::Own("/srv/x.tar".into())));
        for bad in ["", "debian-10", "x.tar", "ubuntu", "/srv/a,b", "/srv/a:b"] {
            assert!(Image::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_mirror_of_this_computer_is_used_in_either_format() {
        let old = "# deb http://no.example/debian bookworm main\n\
                   deb-src http://no.example/debian bookworm main\n\
                   deb https://other.example/apt stable-x contrib\n\
                   deb [arch=amd64 signed-by=/k] http://one.example/debian bookworm main contrib\n\
                   deb http://two.example/sec bookworm-security main\n";
        let new = "Types: deb\nURIs: http://off.example/debian\nSuites: sid\nComponents: main\nEnabled: no\n\n\
                   Types: deb deb-src\n# why\nURIs: http://three.example/debian\nSuites: trixie trixie-updates\nComponents: main\n";
        let case = |sources: Vec<Source>, main: &str, security: &str| {
            assert_eq!(Mirrors::of(&sources), Mirrors { main: main.to_owned(), security: security.to_owned() });
        };
        case(lines_of(old), "http://one.example/debian", "http://two.example/sec");
        case(stanzas_of(new), "http://three.example/debian", "http://deb.debian.org/debian-security");
        case(
            lines_of("deb http://archive.example/ubuntu jammy main\n"),
            "http://deb.debian.org/debian",
            "http://deb.debian.org/debian-security",
        );
    }

    #[test]
    fn apt_in_machines_is_told_of_proxies_that_machines_can_reach() {
        let dump = "APT \"\";\nAcquire::http::Proxy \"http://proxy.example:3142\";\nAcquire::https::Proxy \"http://127.0.0.1:3142\";\n\
                    Acquire::http::Proxy::deb.example \"DIRECT\";\nAcquire::http::ProxyX \"no\";\nAcquire::Check-Date \"false\";\n\
                    DPkg::Post-Invoke:: \"rm -rf /\";\nAcquire::Retries \"\";\n";
        assert_eq!(
            carried(dump),
            "Acquire::http::Proxy \"http://proxy.example:3142\";\nAcquire::http::Proxy::deb.example \"DIRECT\";\nAcquire::Check-Date \"false\";\n"
        );
    }
}
