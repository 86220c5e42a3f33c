//! What one look at a host finds: gathered by one script (`probe.sh`), read by one parser.

use super::{OsRelease, unit};
use crate::{clock::Timestamp, quote::Sh};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A file as found.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct FileFact {
    /// SHA-256 of the content, in hex.
    pub sha256: String,
    /// Permission bits, octal, as `600`.
    pub mode: String,
}

/// How far cloud-init has come.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CloudInit {
    /// Not installed, or switched off.
    #[default]
    Absent,
    /// Still at work on this boot.
    Running,
    /// At its end, without an error.
    Done,
    /// At its end, with this error of its own.
    Failed(String),
}

/// A firewall at work on the host.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Firewall {
    /// `ufw`.
    Ufw,
    /// `firewalld`.
    Firewalld,
    /// Rules of nftables (or of iptables on top of it) that drop what is not named.
    Nftables,
}

impl std::fmt::Display for Firewall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Ufw => "ufw",
            Self::Firewalld => "firewalld",
            Self::Nftables => "nftables",
        })
    }
}

/// What one look at a host found.
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are answers to questions that have nothing to do with each other"
)]
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Facts {
    /// `None` when the host has no os-release file.
    pub os: Option<OsRelease>,
    /// `uname -m`.
    pub arch: String,
    /// The host's own name for itself.
    pub hostname: String,
    /// Distinguishes one start of the host from the next (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: String,
    /// The user id that logged in.
    pub uid: u32,
    /// Whether the user is root or may become root without a password.
    pub root: bool,
    /// Whether systemd is PID 1.
    pub systemd: bool,
    /// Path of dockerd; `None` when there is none.
    pub dockerd: Option<String>,
    /// Upstream version of dockerd, such as `28.2.2` or `20.10.24+dfsg1`.
    pub engine_version: Option<String>,
    /// Packages of an engine that are installed, with their versions.
    pub packages: BTreeMap<String, String>,
    /// `systemctl is-active docker.service`.
    pub service_active: bool,
    /// `systemctl is-enabled docker.service`.
    pub service_enabled: bool,
    /// Whether docker.socket is active, so that a connection would start the service.
    pub socket_active: bool,
    /// Process id of dockerd; `None` when it does not run under its service.
    pub main_pid: Option<u32>,
    /// When the service was started last, as systemd writes it; empty when it was not.
    pub active_since: String,
    /// `ExecStart` of docker.service as the *vendor* ships it, without any drop-in.
    pub vendor_exec_start: Option<String>,
    /// `ExecStart` now in force.
    pub exec_start: Option<String>,
    /// Drop-ins of docker.service, ours included: content by path.
    pub drop_ins: BTreeMap<String, String>,
    /// Content of `/etc/docker/daemon.json`; `None` when there is none.
    pub daemon_json: Option<String>,
    /// Content of `/etc/docker/machine.json`: what in daemon.json is ours.
    pub machine_json: Option<String>,
    /// Files were changed and dockerd has not been made to read them yet.
    pub pending: bool,
    /// Files we manage, by path; absent ones are absent.
    pub files: BTreeMap<String, FileFact>,
    /// First line of the file with secret variables: its salt, and their names.
    pub secret_head: Option<String>,
    /// How many containers run; zero when that cannot be known (no root).
    pub running_containers: u32,
    /// Whether the engine is a member of a swarm.
    pub swarm: bool,
    /// Whether something listens on the engine's port.
    pub listening: bool,
    /// Free space where packages and images go, KiB; `None` when it is not known.
    pub free_kib: Option<u64>,
    /// How far cloud-init has come.
    pub cloud_init: CloudInit,
    /// An active firewall.
    pub firewall: Option<Firewall>,
    /// Whether `firewall` lets the engine's port through, as far as it can tell.
    pub firewall_open: bool,
    /// What time it is on the host; `None` when it does not say.
    pub clock: Option<Timestamp>,
}

/// Clocks that differ by more than this, in seconds, are told of: certificates begin that much before now.
const SKEW: i64 = 300;

/// Two clocks that do not agree: one of two computers takes certificates of the other for not valid yet, or for ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Clocks {
    /// What time it is on the host.
    pub host: Timestamp,
    /// What time it is here.
    pub here: Timestamp,
}

impl std::fmt::Display for Clocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the host's clock says {}, that of this computer {}", self.host, self.here)
    }
}

impl Facts {
    /// The clocks of the host and of this computer, if they do not agree.
    #[must_use]
    pub fn other_time(&self, here: Timestamp) -> Option<Clocks> {
        let host = self.clock?;
        (host.0.abs_diff(here.0) > SKEW.unsigned_abs()).then_some(Clocks { host, here })
    }
}

/// The command that gathers [`Facts`] for an engine on `port`. Read-only, POSIX sh, needs no root, though
/// it becomes root where that takes no password, to see more.
#[must_use]
pub fn probe(port: u16) -> Sh {
    const AS_ROOT_IF_POSSIBLE: &str =
        r#"if [ "$(id -u)" != 0 ] && sudo -n true 2>/dev/null; then exec sudo -n sh -c "$@"; else exec sh -c "$@"; fi"#;
    Sh::words(["sh", "-c", AS_ROOT_IF_POSSIBLE, "probe", include_str!("probe.sh"), "probe", &port.to_string()])
}

/// Reads what [`probe`] printed. Whatever a login shell printed before is passed over.
///
/// # Errors
/// Says what is missing when the output is not that of a whole probe.
pub fn parse(output: &str) -> Result<Facts, String> {
    const START: &str = "@machine-probe 1\n";
    let start = match output.rfind(&format!("\n{START}")) {
        Some(at) => at + 1,
        None if output.starts_with(START) => 0,
        None => return Err("the host did not run the probe: its output has no beginning".to_owned()),
    };
    let (sections, whole) = sections(&output[start + START.len()..]);
    if !whole {
        return Err("the host did not finish the probe: its output has no end".to_owned());
    }
    Ok(facts(&Sections(sections)))
}

struct Sections<'a>(BTreeMap<&'a str, Vec<&'a str>>);

/// Sections by name, and whether the end was seen.
fn sections(text: &str) -> (BTreeMap<&str, Vec<&str>>, bool) {
    let mut sections: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut current = "";
    for line in text.split('\n') {
        if line == "@end" {
            return (sections, true);
        } else if let Some(name) = line.strip_prefix('@') {
            current = name;
            sections.entry(name).or_default();
        } else if let Some(content) = line.strip_prefix('|') {
            sections.entry(current).or_default().push(content);
        }
    }
    (sections, false)
}

impl Sections<'_> {
    fn lines(&self, name: &str) -> &[&str] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }
    fn value(&self, name: &str) -> &str {
        self.lines(name).first().copied().unwrap_or_default()
    }
    fn is(&self, name: &str, wanted: &str) -> bool {
        self.value(name) == wanted
    }
    /// The text of a file; `None` when there is no such file.
    fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|lines| lines.iter().fold(String::new(), |text, line| text + line + "\n"))
    }
}

fn facts(all: &Sections<'_>) -> Facts {
    let units = units(all.lines("units"));
    let unit = |name: &str, key: &str| units.get(&(name, key)).copied().unwrap_or_default();
    let service = |key: &str| unit("docker.service", key);
    let packages = packages(all.lines("packages"));
    let dockerd = Some(all.value("dockerd")).filter(|path| !path.is_empty()).map(str::to_owned);
    let engine_version = dockerd.as_ref().and_then(|_| engine_version(all.value("dockerd-version"), &packages));
    let (firewall, firewall_open) = firewall(all);
    Facts {
        os: all.text("os-release").map(|text| OsRelease::parse(&text)),
        arch: all.value("arch").to_owned(),
        hostname: all.value("hostname").to_owned(),
        boot_id: all.value("boot-id").to_owned(),
        uid: all.value("uid").parse().unwrap_or(u32::MAX),
        root: all.is("root", "0"),
        systemd: all.is("systemd", "yes"),
        dockerd,
        engine_version,
        packages,
        service_active: matches!(service("ActiveState"), "active" | "reloading"),
        service_enabled: service("UnitFileState").starts_with("enabled"),
        socket_active: unit("docker.socket", "ActiveState") == "active",
        main_pid: service("MainPID").parse().ok().filter(|pid| *pid != 0),
        active_since: service("ActiveEnterTimestamp").to_owned(),
        vendor_exec_start: all.text("unit").and_then(|text| unit::exec_start(&text)),
        exec_start: unit::shown_argv(service("ExecStart")),
        drop_ins: drop_ins(all),
        daemon_json: all.text("daemon.json"),
        machine_json: all.text("machine.json"),
        pending: all.0.contains_key("pending"),
        files: files(all.lines("sha256"), all.lines("modes")),
        secret_head: all.0.contains_key("secret-head").then(|| all.value("secret-head").to_owned()),
        running_containers: all.value("containers").parse().unwrap_or_default(),
        swarm: all.is("swarm", "yes"),
        listening: all.is("listening", "yes"),
        free_kib: all.value("free-kib").parse().ok(),
        cloud_init: cloud_init(all.value("cloud-init"), all.text("cloud-init-result").as_deref()),
        firewall,
        firewall_open,
        clock: all.value("clock").parse().ok().map(Timestamp),
    }
}

/// `systemctl show` of several units: `Key=Value` lines, a blank line between units, `Id` anywhere.
fn units<'a>(lines: &[&'a str]) -> BTreeMap<(&'a str, &'a str), &'a str> {
    let mut all = BTreeMap::new();
    for unit in lines.split(|line| line.is_empty()) {
        let pairs: Vec<(&str, &str)> = unit.iter().filter_map(|line| line.split_once('=')).collect();
        let id = pairs.iter().find(|(key, _)| *key == "Id").map_or("", |(_, id)| *id);
        // The first of several ExecStart lines is the one that counts for Type=notify: there is only one.
        for (key, value) in pairs.into_iter().rev() {
            all.insert((id, key), value);
        }
    }
    all
}

/// Lines of dpkg-query `STATUS NAME VERSION`; only what is installed counts (`ii`, `hi`).
fn packages(lines: &[&str]) -> BTreeMap<String, String> {
    let installed = lines.iter().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [status, name, version] = words[..] else { return None };
        (status.as_bytes().get(1) == Some(&b'i')).then(|| (name.to_owned(), version.to_owned()))
    });
    installed.collect()
}

fn engine_version(printed: &str, packages: &BTreeMap<String, String>) -> Option<String> {
    let package =
        ["docker-ce", "docker.io", "moby-engine", "docker-engine"].iter().find_map(|name| packages.get(*name));
    if let Some(version) = package {
        return Some(upstream(version));
    }
    // `Docker version 28.2.2, build e6534b4`
    let version = printed.strip_prefix("Docker version ")?.split([',', ' ']).next()?;
    Some(version.to_owned())
}

/// The upstream part of a Debian version: without epoch and revision (deb-version(7)), candidates as upstream
/// writes them (`-rc.1`, not `~rc.1`).
pub(super) fn upstream(version: &str) -> String {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    version.rsplit_once('-').map_or(version, |(upstream, _)| upstream).replace('~', "-")
}

fn drop_ins(all: &Sections<'_>) -> BTreeMap<String, String> {
    let paths = all.0.keys().filter_map(|name| Some((*name, name.strip_prefix("drop-in ")?)));
    paths.map(|(name, path)| (path.to_owned(), all.text(name).unwrap_or_default())).collect()
}

fn files(sums: &[&str], modes: &[&str]) -> BTreeMap<String, FileFact> {
    let mut files: BTreeMap<String, FileFact> = BTreeMap::new();
    // `SUM  PATH`, or `SUM *PATH` where files are read as binary.
    for (sum, path) in sums.iter().filter_map(|line| line.split_once(' ')) {
        sum.clone_into(&mut files.entry(path.trim_start_matches([' ', '*']).to_owned()).or_default().sha256);
    }
    for (mode, path) in modes.iter().filter_map(|line| line.split_once(' ')) {
        mode.clone_into(&mut files.entry(path.to_owned()).or_default().mode);
    }
    files
}

/// `result.json` holds `{"v1": {"errors": […]}}` once cloud-init has ended.
fn cloud_init(state: &str, result: Option<&str>) -> CloudInit {
    let errors = || {
        let result: serde_json::Value = serde_json::from_str(result?).ok()?;
        let errors = result.get("v1")?.get("errors")?.as_array()?;
        let texts: Vec<&str> = errors.iter().filter_map(serde_json::Value::as_str).collect();
        (!errors.is_empty()).then(|| texts.join("; "))
    };
    match state {
        "running" => CloudInit::Running,
        "done" => errors().map_or(CloudInit::Done, CloudInit::Failed),
        _ => CloudInit::Absent,
    }
}

fn firewall(all: &Sections<'_>) -> (Option<Firewall>, bool) {
    let port = all.value("port");
    if all.lines("ufw").iter().any(|line| line.trim().eq_ignore_ascii_case("ENABLED=yes")) {
        return (Some(Firewall::Ufw), all.lines("ufw-rules").iter().any(|rule| ufw_opens(rule, port)));
    }
    if all.0.contains_key("firewalld") {
        return (Some(Firewall::Firewalld), all.is("firewalld", "yes"));
    }
    let rules = all.lines("nft");
    if rules.iter().any(|rule| rule.contains("hook input") && rule.contains("policy drop")) {
        let opens = |rule: &&str| rule.contains("accept") && rule.split([' ', ',']).any(|word| word == port);
        return (Some(Firewall::Nftables), rules.iter().any(opens));
    }
    (None, false)
}

/// `### tuple ### allow tcp 22,2376 0.0.0.0/0 any 0.0.0.0/0 in`: action, protocol, port, to, from-port, from.
fn ufw_opens(rule: &str, port: &str) -> bool {
    let words: Vec<&str> = rule.split_whitespace().skip(3).collect();
    let [action, protocol, ports, to, _, from, ..] = words[..] else { return false };
    let covers = |range: &str| match range.split_once(':') {
        Some((low, high)) => {
            let number = |text: &str| text.parse::<u16>().unwrap_or_default();
            (number(low)..=number(high)).contains(&number(port))
        }
        None => range == port || range == "any",
    };
    matches!(action, "allow" | "limit")
        && matches!(protocol, "tcp" | "any")
        && ports.split(',').any(covers)
        && matches!(to, "0.0.0.0/0" | "::/0")
        && matches!(from, "0.0.0.0/0" | "::/0")
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;
    use crate::properties::properties;
    use proptest::prelude::*;
    use std::time::{Duration, Instant};

    #[test]
    fn a_blank_host_is_read() {
        let facts = fixtures::facts("debian-12-blank");
        assert_eq!(facts.os.as_ref().unwrap().codename, "bookworm");
        assert_eq!((facts.root, facts.systemd, facts.dockerd.is_some()), (true, true, false));
        assert_eq!((facts.service_active, facts.service_enabled, facts.running_containers), (false, false, 0));
        assert!(facts.free_kib.unwrap() > 1 << 20 && facts.boot_id.len() == 36 && facts.packages.is_empty());
        assert_eq!((facts.daemon_json, facts.cloud_init, facts.firewall), (None, CloudInit::Absent, None));
    }

    #[test]
    fn a_host_of_docker_machine_is_read() {
        let facts = fixtures::facts("debian-12-docker-machine");
        assert_eq!(facts.engine_version.as_deref(), Some("20.10.24+dfsg1"));
        assert_eq!((facts.service_active, facts.service_enabled, facts.listening), (true, true, true));
        assert_eq!((facts.running_containers, facts.main_pid.is_some()), (1, true));
        assert!(facts.exec_start.as_ref().unwrap().contains("--label provider=generic"));
        let vendor = "/usr/sbin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock $DOCKER_OPTS";
        assert_eq!(facts.vendor_exec_start.as_deref(), Some(vendor));
        assert!(facts.drop_ins["/etc/systemd/system/docker.service.d/10-machine.conf"].contains("HTTP_PROXY"));
        assert_eq!(facts.files["/etc/docker/server-key.pem"].mode, "600");
        assert_eq!(facts.files["/etc/docker/ca.pem"].sha256.len(), 64);
        assert_eq!(facts.packages.keys().map(String::as_str).collect::<Vec<_>>(), ["containerd", "docker.io"]);
    }

    #[test]
    fn a_host_that_boots_behind_a_firewall_is_read() {
        let facts = fixtures::facts("ubuntu-24.04-booting");
        assert_eq!(facts.os.as_ref().unwrap().id_like, ["debian"]);
        assert_eq!((facts.uid, facts.root, facts.cloud_init), (1000, true, CloudInit::Running));
        assert_eq!((facts.firewall, facts.firewall_open), (Some(Firewall::Ufw), false));
    }

    #[test]
    fn versions_of_packages_become_those_of_upstream() {
        for (package, want) in [
            ("5:28.2.2-1~debian.12~bookworm", "28.2.2"),
            ("5:29.0.0~rc.1-1~ubuntu.24.04~noble", "29.0.0-rc.1"),
            ("20.10.24+dfsg1-1+deb12u1+b6", "20.10.24+dfsg1"),
            ("28.2.2-0ubuntu1~24.04.1", "28.2.2"),
            ("28.2.2", "28.2.2"),
            ("", ""),
        ] {
            assert_eq!(upstream(package), want);
        }
        let none = BTreeMap::new();
        assert_eq!(engine_version("Docker version 28.2.2, build e6534b4", &none).as_deref(), Some("28.2.2"));
        assert_eq!(engine_version("nonsense", &none), None);
    }

    #[test]
    fn rules_of_ufw_open_a_port_only_for_everybody() {
        for (rule, opens) in [
            ("allow tcp 2376 0.0.0.0/0 any 0.0.0.0/0 in", true),
            ("allow any 22,2376 0.0.0.0/0 any 0.0.0.0/0 in", true),
            ("limit tcp 2000:3000 ::/0 any ::/0 in", true),
            ("allow any any 0.0.0.0/0 any 0.0.0.0/0 in", true),
            ("allow udp 2376 0.0.0.0/0 any 0.0.0.0/0 in", false),
            ("deny tcp 2376 0.0.0.0/0 any 0.0.0.0/0 in", false),
            ("allow tcp 2376 0.0.0.0/0 any 10.0.0.0/8 in", false),
            ("allow tcp 23760 0.0.0.0/0 any 0.0.0.0/0 in", false),
            ("", false),
        ] {
            assert_eq!(ufw_opens(&format!("### tuple ### {rule}"), "2376"), opens, "{rule}");
        }
    }

    #[test]
    fn the_end_of_cloud_init_is_told_with_its_own_error() {
        let result = r#"{"v1": {"datasource": "x", "errors": ["('scripts_user', RuntimeError('1 failed'))"]}}"#;
        let failed = CloudInit::Failed("('scripts_user', RuntimeError('1 failed'))".to_owned());
        assert_eq!(cloud_init("done", Some(result)), failed);
        assert_eq!(cloud_init("done", Some("{\"v1\": {\"errors\": []}}")), CloudInit::Done);
        assert_eq!(cloud_init("done", Some("not json")), CloudInit::Done);
        assert_eq!(cloud_init("disabled", None), CloudInit::Absent);
    }

    #[test]
    fn a_chain_that_drops_is_a_firewall() {
        let probe = |rules: &str| {
            let facts = parse(&format!("@machine-probe 1\n@port\n|2376\n@nft\n{rules}\n@end\n")).unwrap();
            (facts.firewall, facts.firewall_open)
        };
        let drop = "|\t\ttype filter hook input priority filter; policy drop;";
        assert_eq!(probe(drop), (Some(Firewall::Nftables), false));
        assert_eq!(probe(&format!("{drop}\n|\ttcp dport 2376 accept")), (Some(Firewall::Nftables), true));
        assert_eq!(probe("|type filter hook input priority filter; policy accept;"), (None, false));
    }

    #[test]
    fn content_cannot_pass_for_a_section() {
        let evil = "@machine-probe 1\n@port\n|2376\n@daemon.json\n|{}\n|@root\n||0\n|@end\n@root\n|1000\n@end\n";
        let facts = parse(evil).unwrap();
        assert_eq!((facts.root, facts.daemon_json.as_deref()), (false, Some("{}\n@root\n|0\n@end\n")));
    }

    #[test]
    fn clocks_that_do_not_agree_are_both_named() {
        let host = |clock: &str| parse(&format!("@machine-probe 1\n@clock\n|{clock}\n@end\n")).unwrap();
        let here = Timestamp(1_800_000_000);
        for near in ["1800000000", "1800000300", "1799999700", "", "no"] {
            assert_eq!(host(near).other_time(here), None, "{near}");
        }
        let said = host("1800000301").other_time(here).unwrap().to_string();
        assert_eq!(said, "the host's clock says 2027-01-15T08:05:01Z, that of this computer 2027-01-15T08:00:00Z");
    }

    #[test]
    fn half_a_probe_is_an_error() {
        let whole = fixtures::ALL[0].1;
        for (output, why) in [
            ("", "the host did not run the probe: its output has no beginning"),
            ("sh: not found\n", "the host did not run the probe: its output has no beginning"),
            (&whole[..whole.len() / 2], "the host did not finish the probe: its output has no end"),
        ] {
            assert_eq!(parse(output).unwrap_err(), why);
        }
    }

    /// The real script on the real computer, in every shell that is here: they agree, and none takes long.
    #[test]
    fn the_probe_runs_in_every_shell() {
        let mut seen = 0;
        // As a login shell runs it: it may become root, and then sees more.
        let whole = parse(&fixtures::sh(&["sh", "-c", probe(2376).as_str()], "").1).unwrap();
        let direct =
            |shell: &[&str]| fixtures::sh(&[shell, &["-c", include_str!("probe.sh"), "probe", "2376"]].concat(), "");
        let reference = parse(&direct(&["sh"]).1).unwrap();
        assert_eq!((&whole.boot_id, whole.uid), (&reference.boot_id, reference.uid));
        for shell in [&["dash"][..], &["bash", "--posix"], &["bash"], &["busybox", "sh"]] {
            if !fixtures::is_here(shell[0]) {
                continue;
            }
            let start = Instant::now();
            let out = direct(shell);
            assert_eq!((out.0, out.2.as_str()), (0, ""), "{shell:?}");
            // Ten times what it takes, for a computer that is busy with other tests.
            assert!(start.elapsed() < Duration::from_secs(1), "{shell:?} took {:?}", start.elapsed());
            let mut facts = parse(&out.1).unwrap();
            (facts.free_kib, facts.clock) = (reference.free_kib, reference.clock);
            assert_eq!(facts, reference, "{shell:?}");
            seen += 1;
        }
        assert!(seen > 0 && reference.boot_id.len() == 36 && !reference.arch.is_empty());
    }

    proptest! {
        #![proptest_config(properties(256))]
        #[test]
        fn whatever_a_host_prints_is_an_answer_or_an_error(lines in proptest::collection::vec(
            "(@(units|sha256|packages|ufw|ufw-rules|unit|drop-in x|cloud-init)|\\|(Id=|ExecStart=\\{ argv\\[\\]=|ENABLED=yes|allow )?)?\\PC{0,12}", 0..20)) {
            let _ = parse(&lines.join("\n"));
            let _ = parse(&format!("@machine-probe 1\n{}\n@end", lines.join("\n")));
        }
    }
}
