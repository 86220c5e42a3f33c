//! Debian and its derivatives: apt and systemd.

use super::{
    Difference, Facts, HostCertificate, Op, Provisioner, Script, Unsupported, facts::CloudInit, firewall,
    install_script, systemd, upgrade,
};
use crate::{
    engine::{EngineSpec, Source},
    quote::Sh,
};

pub(super) struct Debian;

/// Where Docker publishes its packages.
const DOCKER_LAYOUT: &str = "https://download.docker.com/linux";
/// What an engine and its dependencies take, with the archives they come in.
const NEEDED_KIB: u64 = 600 * 1024;

impl Provisioner for Debian {
    fn name(&self) -> &'static str {
        "debian"
    }

    fn knows(&self, id: &str) -> bool {
        matches!(id, "debian" | "ubuntu")
    }

    fn differences(&self, facts: &Facts, want: &EngineSpec) -> Vec<Difference> {
        let mut all = Vec::new();
        match install(facts, want) {
            Some(Install::New) => {
                let wanted = Some(wanted_version(want));
                return vec![Difference { what: "engine".to_owned(), found: None, wanted }];
            }
            Some(Install::Other(found)) => {
                let wanted = want.version.as_ref().map(ToString::to_string);
                all.push(Difference { what: "version".to_owned(), found: Some(found), wanted });
            }
            None => {}
        }
        match systemd::config(facts, want, &assumed(facts, want)) {
            Ok(config) => all.extend(config.differences(facts, want)),
            Err(why) => {
                all.push(Difference { what: "configuration".to_owned(), found: Some(why.what), wanted: None });
            }
        }
        all.extend(firewall::difference(facts, want));
        all
    }

    fn engine(&self, facts: &Facts, want: &EngineSpec) -> Result<Script, Unsupported> {
        if self.differences(facts, want).is_empty() {
            return Ok(Script::default());
        }
        let install = install(facts, want);
        possible(facts, want, install.as_ref())?;
        let config = systemd::config(facts, want, &assumed(facts, want))?;
        let mut ops = Vec::new();
        if install == Some(Install::New) {
            ops.extend(wait_for_cloud_init(facts));
        }
        if install.is_some() {
            // What cannot be had is found out before anything is changed.
            if want.source == Source::DockerCe {
                ops.push(add_layout(facts, want)?);
            }
            ops.extend(find_version(facts, want));
        }
        let install_op = match (&install, want.source) {
            (None, _) => None,
            (Some(_), Source::Script) => Some(install_script::op(want.install_url.as_deref())?),
            (Some(_), Source::DockerCe | Source::Distro | Source::Present) => Some(install_op(facts, want)),
        };
        let restarts = install.is_some() || config.must_restart(facts, want);
        ops.extend(systemd::spare_containers(facts, want).filter(|_| restarts));
        // Before the packages: their own first start of the service then finds everything in place.
        ops.extend(config.write(facts, want));
        if let Some(install) = install_op {
            ops.push(install);
            ops.extend(config.fit_drop_in());
            ops.push(Op::new("start docker", Sh::text("engine_start")));
            ops.push(systemd::enable());
        } else {
            ops.extend(config.load(facts, want));
        }
        ops.extend(firewall::op(facts, want));
        Ok(Script(ops))
    }

    fn upgrade(&self, facts: &Facts, want: &EngineSpec) -> Result<Script, Unsupported> {
        if facts.dockerd.is_some() {
            possible(facts, want, None)?;
            enough_space(facts)?;
        }
        upgrade::script(facts, want, &system(facts))
    }

    fn certificate(&self, facts: &Facts, certificate: &HostCertificate) -> Script {
        systemd::certificate(facts, certificate)
    }
}

/// Why packages are to be installed.
#[derive(Debug, Eq, PartialEq)]
enum Install {
    /// There is no engine.
    New,
    /// There is one of this version, and another is wanted.
    Other(String),
}

/// An engine of any source is as good as another, as long as its version is right: `source` says where packages
/// come from when some are needed.
fn install(facts: &Facts, want: &EngineSpec) -> Option<Install> {
    if facts.dockerd.is_none() {
        return Some(Install::New);
    }
    let pin = want.version.as_ref()?;
    let found = facts.engine_version.clone().unwrap_or_else(|| "unknown".to_owned());
    (!pin.matches(&found)).then_some(Install::Other(found))
}

fn package(source: Source) -> &'static str {
    match source {
        Source::DockerCe => "docker-ce",
        Source::Distro => "docker.io",
        Source::Script | Source::Present => "dockerd",
    }
}

fn wanted_version(want: &EngineSpec) -> String {
    let name = match want.source {
        Source::DockerCe | Source::Distro | Source::Present => package(want.source),
        Source::Script => "dockerd of a script",
    };
    want.version.as_ref().map_or_else(|| name.to_owned(), |pin| format!("{name} {pin}"))
}

/// `debian` or `ubuntu`: whose packages fit; and the name of that release.
fn release(facts: &Facts) -> Option<(&'static str, &str)> {
    let os = facts.os.as_ref()?;
    let ids = || std::iter::once(os.id.as_str()).chain(os.id_like.iter().map(String::as_str));
    let base = ids().find_map(|id| ["debian", "ubuntu"].into_iter().find(|known| *known == id))?;
    let codename = if os.id == base { &os.codename } else { &os.base_codename };
    (!codename.is_empty()).then_some((base, codename))
}

/// The command line in the unit that the packages bring.
fn assumed(facts: &Facts, want: &EngineSpec) -> String {
    let containerd = "-H fd:// --containerd=/run/containerd/containerd.sock";
    let ubuntu = facts.os.as_ref().is_some_and(|os| os.id == "ubuntu" || os.id_like.iter().any(|id| id == "ubuntu"));
    if matches!(want.source, Source::DockerCe | Source::Script) || ubuntu {
        return format!("/usr/bin/dockerd {containerd}");
    }
    format!("/usr/sbin/dockerd {containerd} $DOCKER_OPTS")
}

/// What stands in the way of any script.
fn possible(facts: &Facts, want: &EngineSpec, install: Option<&Install>) -> Result<(), Unsupported> {
    let refuse = |what: String, help: &str| Err(Unsupported { what, help: help.to_owned() });
    if !facts.root {
        return refuse(
            "the user who logs in is not root and cannot become root without a password".to_owned(),
            "log in as root, or let the user run `sudo` with NOPASSWD",
        );
    }
    if !facts.systemd {
        return refuse(
            "the host was not booted with systemd".to_owned(),
            "boot it with systemd, or tell its engine to machine with driver `none`",
        );
    }
    if install != Some(&Install::New) && facts.vendor_exec_start.is_none() {
        return refuse(
            format!("{} is not run by a docker.service of systemd", facts.dockerd.as_deref().unwrap_or("dockerd")),
            "remove it, so that it can be installed from packages, or give it a docker.service",
        );
    }
    match (install, want.source) {
        (Some(Install::New), Source::Present) => {
            return refuse(
                "there is no engine on the host, and `source: present` installs none".to_owned(),
                "install one there, or set `source` to where it is to come from",
            );
        }
        (Some(Install::Other(found)), Source::Present | Source::Script) => {
            return refuse(
                format!("{} is wanted and {found} is there; this source has no versions", wanted_version(want)),
                "take `version` out, or set `source` to packages that have it",
            );
        }
        _ => {}
    }
    if install.is_some() {
        enough_space(facts)?;
    }
    let other_family = ["docker-ce", "docker.io", "moby-engine", "docker-engine"]
        .into_iter()
        .find(|name| *name != package(want.source) && facts.packages.contains_key(*name));
    if let (Some(Install::Other(found)), Some(name)) = (install, other_family) {
        return refuse(
            format!(
                "{} is wanted and {name} {found} is installed; one does not replace the other",
                wanted_version(want)
            ),
            "set `source` to where the installed engine came from, or remove it on the host first (images and containers stay in /var/lib/docker)",
        );
    }
    if let (Some(Install::Other(found)), true) = (install, !facts.packages.contains_key(package(want.source))) {
        return refuse(
            format!("{} is wanted and dockerd {found}, which is of no package, is there", wanted_version(want)),
            "remove it on the host, or take `version` out of the fleet file",
        );
    }
    Ok(())
}

fn enough_space(facts: &Facts) -> Result<(), Unsupported> {
    match facts.free_kib.filter(|free| *free < NEEDED_KIB) {
        None => Ok(()),
        Some(free) => Err(Unsupported {
            what: format!(
                "only {} MiB are free on /var/lib, and the engine needs about {}",
                free / 1024,
                NEEDED_KIB / 1024
            ),
            help: "free some space on the host, or give it a larger disk".to_owned(),
        }),
    }
}

/// The first boot of a cloud image is not over, or went wrong: nothing can be built on it.
fn wait_for_cloud_init(facts: &Facts) -> Option<Op> {
    const WAIT: &str = "note 'cloud-init is at work'
status=0
# Its dots show that it lives.
cloud-init status --wait || status=$?
# 2: it ended with errors it could recover from.
if [ $status -ne 0 ] && [ $status -ne 2 ]; then
    cloud-init status --long >&2 || :
    cat /run/cloud-init/result.json >&2 2>/dev/null || :
    echo 'cloud-init failed, so the host may be incomplete; correct it, or run: touch /etc/cloud/cloud-init.disabled' >&2
    exit 1
fi";
    let at_fault = matches!(facts.cloud_init, CloudInit::Running | CloudInit::Failed(_));
    at_fault.then(|| Op::new("wait for cloud-init", Sh::text(WAIT)))
}

/// Tells apt of Docker's layout, unless it knows already.
fn add_layout(facts: &Facts, want: &EngineSpec) -> Result<Op, Unsupported> {
    const ADD: &str = "layout={}
codename={}
if grep -rqsF \"$layout\" /etc/apt/sources.list /etc/apt/sources.list.d; then
    exit 0
fi
if ! command -v curl >/dev/null || [ ! -e /etc/ssl/certs/ca-certificates.crt ]; then
    apt_install curl ca-certificates
fi
curl -fsSL --retry 3 --connect-timeout 20 -o \"$apt_dir/key\" \"$layout/gpg\"
put 0644 /etc/apt/keyrings/docker.asc \"$(cat \"$apt_dir/key\")
\"
put 0644 /etc/apt/sources.list.d/docker.list \"deb [arch=$(dpkg --print-architecture) signed-by=/etc/apt/keyrings/docker.asc] $layout $codename stable
\"
if ! apt_get update -o Dir::Etc::sourcelist=sources.list.d/docker.list -o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0 --error-on=any; then
    rm -f /etc/apt/sources.list.d/docker.list
    echo \"apt cannot use $layout $codename\" >&2
    exit 1
fi";
    let Some((base, codename)) = release(facts) else {
        return Err(Unsupported {
            what: format!(
                "Docker publishes no packages for {}",
                facts.os.as_ref().map_or("this system", |os| os.pretty_name.as_str())
            ),
            help: "set `source: distro` to take the distribution's own engine".to_owned(),
        });
    };
    let layout = want.mirror.clone().unwrap_or_else(|| format!("{DOCKER_LAYOUT}/{base}"));
    let layout = layout.trim_end_matches('/');
    // The line in sources.list has no way to quote.
    if !layout.bytes().all(|b| b.is_ascii_graphic() && !b"[]#".contains(&b)) || !layout.contains("://") {
        return Err(Unsupported {
            what: format!("`mirror` {layout:?} is not a URL that apt can use"),
            help: format!("write it like {DOCKER_LAYOUT}/{base}"),
        });
    }
    let codename: String = codename.chars().filter(|c| c.is_ascii_alphanumeric() || "-._".contains(*c)).collect();
    let run = Sh::text(include_str!("apt.sh").trim_ascii_end()).then(&Sh::template(ADD, &[layout, &codename]));
    Ok(Op::new(format!("add {layout} to apt"), run))
}

/// Sets `exact` to `=` and the version that the pin chooses on this host.
fn choose(facts: &Facts, want: &EngineSpec) -> Option<Sh> {
    // What upstream writes with a hyphen is compared with a hyphen.
    let pin = want.version.as_ref()?.as_str().replace('~', "-");
    let choose = "exact=$(apt_pinned {} {} {})\nexact=\"=$exact\"";
    Some(Sh::template(choose, &[package(want.source), &pin, &system(facts)]))
}

/// `debian bookworm`.
fn system(facts: &Facts) -> String {
    let os = facts.os.as_ref().map(|os| format!("{} {}", os.id, os.codename)).unwrap_or_default();
    os.trim_end().to_owned()
}

fn find_version(facts: &Facts, want: &EngineSpec) -> Option<Op> {
    let run = Sh::text(include_str!("apt.sh").trim_ascii_end()).then(&choose(facts, want)?);
    Some(Op::new(format!("look for {}", wanted_version(want)), run))
}

/// Installs, upgrades or downgrades.
fn install_op(facts: &Facts, want: &EngineSpec) -> Op {
    const DOCKER_CE: &str = "set -- \"docker-ce$exact\" \"docker-ce-cli$exact\" containerd.io";
    // Newer releases have the client in a package of its own. A kernel with AppArmor needs its tools.
    const DISTRO: &str = "set -- \"docker.io$exact\" iptables ca-certificates
for version in $(apt_versions docker-cli); do
    if [ -z \"$exact\" ] || [ \"=$version\" = \"$exact\" ]; then set -- \"$@\" \"docker-cli$exact\"; break; fi
done
if [ \"$(cat /sys/module/apparmor/parameters/enabled 2>/dev/null)\" = Y ]; then set -- \"$@\" apparmor; fi";
    // Packages that leave a running engine alone would leave the old one in force.
    const INSTALL: &str = "main_pid() { systemctl show -p MainPID docker.service 2>/dev/null || :; }
before=$(main_pid)
apt_install \"$@\"
case $before in MainPID=0 | '') ;; \"$(main_pid)\") engine_restart ;; esac";
    let mut run = Sh::text(include_str!("apt.sh").trim_ascii_end());
    run = match choose(facts, want) {
        None => run.then(&Sh::text("apt_fresh || apt_update\nexact=")),
        Some(choose) => run.then(&choose),
    };
    let packages = match want.source {
        Source::DockerCe => DOCKER_CE,
        Source::Distro | Source::Script | Source::Present => DISTRO,
    };
    Op::new(format!("install {}", wanted_version(want)), run.then(&Sh::text(packages)).then(&Sh::text(INSTALL)))
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{self, facts, want, want_ce};
    use super::*;
    use crate::engine::Api;

    fn titles(facts: &Facts, want: &EngineSpec) -> Vec<String> {
        Debian.engine(facts, want).unwrap().titles().map(str::to_owned).collect()
    }

    #[track_caller]
    fn refused(facts: &Facts, want: &EngineSpec, why: &str) {
        assert_eq!(Debian.engine(facts, want).unwrap_err().to_string(), why);
    }

    /// What the ops say themselves: the functions they share are in files of their own.
    fn own_text(facts: &Facts, want: &EngineSpec) -> String {
        let script = Debian.engine(facts, want).unwrap();
        let apt = include_str!("apt.sh").trim_ascii_end();
        let op = |op: &Op| format!("# {}\n{}\n", op.title, op.run.as_str().replace(apt, ". apt.sh"));
        script.0.iter().map(op).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn scripts_read_as_they_are_meant() {
        insta::assert_snapshot!("blank_distro", own_text(&facts("debian-12-blank"), &want()));
        insta::assert_snapshot!("blank_docker_ce_pinned", own_text(&facts("debian-12-blank"), &want_ce("28.2")));
        let mut label = want();
        label.labels.insert("tier".to_owned(), "db".to_owned());
        label.daemon.insert("log-driver".to_owned(), serde_json::json!("local"));
        insta::assert_snapshot!("label_change", own_text(&facts("debian-12-by-machine"), &label));
        insta::assert_snapshot!("adopt_users_daemon_json", own_text(&facts("debian-12-users-daemon-json"), &want()));
        insta::assert_snapshot!("adopt_docker_machine", own_text(&facts("debian-12-docker-machine"), &want()));
    }

    /// Pain 18: a label takes no restart, and nothing takes nothing.
    #[test]
    fn the_least_disturbing_way_is_taken() {
        let mut host = facts("debian-12-by-machine");
        let mut as_it_is = want();
        as_it_is.labels.insert("tier".to_owned(), "x".to_owned());
        as_it_is.daemon.insert("log-driver".to_owned(), "local".into());
        assert_eq!(titles(&host, &as_it_is), [""; 0]);
        let label = EngineSpec { labels: want().labels, ..as_it_is.clone() };
        assert_eq!(titles(&host, &label), ["write /etc/docker/daemon.json (labels)", "reload docker"]);
        let mtu = |mut want: EngineSpec| {
            want.daemon.insert("mtu".to_owned(), 1400.into());
            want
        };
        let write = "write /etc/docker/daemon.json (mtu)";
        assert_eq!(titles(&host, &mtu(as_it_is.clone())), [write, "restart docker"]);
        host.pending = true;
        assert_eq!(titles(&host, &as_it_is), ["restart docker"], "an apply was killed before");
        (host.pending, host.service_active, host.service_enabled) = (false, false, false);
        assert_eq!(titles(&host, &as_it_is), ["start docker", "start docker at boot"]);
        // It may be on its way up with the files of before: what is written now needs a restart.
        let started = |want: &EngineSpec, host: &Facts| {
            let script = Debian.engine(host, want).unwrap();
            script.0.iter().find(|op| op.title == "start docker").unwrap().run.as_str().to_owned()
        };
        assert_eq!(started(&as_it_is, &host), "engine_start");
        assert_eq!(started(&mtu(as_it_is.clone()), &host), "engine_restart");
        (host.service_active, host.service_enabled, host.listening) = (true, true, false);
        assert_eq!(titles(&host, &as_it_is), ["restart docker"]);
    }

    #[test]
    fn containers_are_spared_before_a_restart() {
        let mut host = facts("debian-12-users-daemon-json");
        host.running_containers = 3;
        let spare = "let containers run while docker restarts (live-restore)";
        assert_eq!(titles(&host, &want())[0], spare);
        let ssh = EngineSpec { api: Api::Ssh, ..want() };
        assert_eq!(titles(&host, &ssh).last().unwrap(), "reload docker", "that restarts nothing");
        host.swarm = true;
        assert_ne!(titles(&host, &want())[0], spare);
    }

    /// Pain 15: the version is looked for before anything is changed, and a pin that matches needs nothing.
    #[test]
    fn a_version_that_is_there_is_not_installed_again() {
        let host = facts("debian-12-by-machine");
        let pinned = |pin: &str| EngineSpec { version: Some(pin.parse().unwrap()), ..want() };
        let differs = |pin: &str| Debian.differences(&host, &pinned(pin)).iter().any(|d| d.what == "version");
        assert!(!differs("20") && !differs("20.10.24") && differs("28.2") && differs("20.1"));
        assert_eq!(titles(&host, &pinned("28.2"))[0], "look for docker.io 28.2");
        assert!(titles(&host, &pinned("28.2")).contains(&"install docker.io 28.2".to_owned()));
    }

    /// Pain 22.
    #[test]
    fn the_first_boot_is_waited_for_before_an_installation() {
        let mut host = facts("ubuntu-24.04-booting");
        assert_eq!(titles(&host, &want())[0], "wait for cloud-init");
        host.cloud_init = CloudInit::Failed("x".to_owned());
        assert_eq!(titles(&host, &want())[0], "wait for cloud-init", "it tells cloud-init's error");
        host.cloud_init = CloudInit::Done;
        assert_ne!(titles(&host, &want())[0], "wait for cloud-init");
        let mut host = facts("debian-12-docker-io");
        host.cloud_init = CloudInit::Failed("long ago".to_owned());
        assert_ne!(titles(&host, &want())[0], "wait for cloud-init", "there is an engine already");
    }

    #[test]
    fn a_firewall_is_opened_only_when_told_to() {
        let mut host = facts("debian-12-by-machine");
        host.firewall = Some(super::super::facts::Firewall::Ufw);
        let mut spec = want();
        let advice = super::super::firewall_advice(&host, &spec).unwrap();
        assert!(advice.ends_with("\n  ufw allow 2376/tcp"), "{advice}");
        assert!(!titles(&host, &spec).iter().any(|title| title.contains("ufw")));
        spec.open_firewall = true;
        assert_eq!(super::super::firewall_advice(&host, &spec), None);
        assert_eq!(titles(&host, &spec).last().unwrap(), "open port 2376 in ufw");
        host.firewall_open = true;
        assert!(!titles(&host, &spec).iter().any(|title| title.contains("ufw")));
    }

    #[test]
    fn what_cannot_be_done_is_refused_with_its_reason() {
        let blank = facts("debian-12-blank");
        refused(
            &Facts { root: false, ..blank.clone() },
            &want(),
            "the user who logs in is not root and cannot become root without a password",
        );
        refused(&Facts { systemd: false, ..blank.clone() }, &want(), "the host was not booted with systemd");
        refused(
            &Facts { free_kib: Some(100 << 10), ..blank },
            &want(),
            "only 100 MiB are free on /var/lib, and the engine needs about 600",
        );
        refused(
            &facts("debian-12-by-machine"),
            &want_ce("28.2"),
            "docker-ce 28.2 is wanted and docker.io 20.10.24+dfsg1 is installed; one does not replace the other",
        );
        let mut kali = facts("debian-12-blank");
        kali.os = Some(super::super::OsRelease::parse(
            "ID=kali\nID_LIKE=debian\nVERSION_CODENAME=kali-rolling\nPRETTY_NAME=Kali",
        ));
        refused(&kali, &want_ce("28.2"), "Docker publishes no packages for Kali");
        assert!(Debian.engine(&kali, &want()).is_ok(), "pain 23: the distribution has its own");
    }

    #[test]
    fn an_engine_may_come_from_a_script_or_be_there_already() {
        let url = Some("https://u:s3cret@get.example.org/install.sh".to_owned());
        let script = EngineSpec { source: Source::Script, install_url: url, ..want() };
        insta::assert_snapshot!("blank_script", own_text(&facts("debian-12-blank"), &script));
        let titles = titles(&facts("debian-12-blank"), &script).join("\n");
        assert!(titles.contains("install an engine by https://u:***@get.example.org/install.sh"), "{titles}");
        let there = facts("debian-12-docker-io");
        assert!(!own_text(&there, &script).contains("install.sh"), "there is an engine");
        let present = EngineSpec { source: Source::Present, ..want() };
        assert!(Debian.engine(&there, &present).is_ok());
        refused(
            &facts("debian-12-blank"),
            &present,
            "there is no engine on the host, and `source: present` installs none",
        );
    }

    #[test]
    fn an_engine_of_no_package_is_not_upgraded() {
        let refused = |facts: &Facts| Debian.upgrade(facts, &want()).unwrap_err().to_string();
        assert_eq!(refused(&facts("debian-12-blank")), "there is no engine to upgrade");
        let mut host = facts("debian-12-docker-io");
        assert_eq!(Debian.upgrade(&host, &want()).unwrap().titles().collect::<Vec<_>>(), ["upgrade docker.io"]);
        host.packages.clear();
        assert_eq!(refused(&host), "/usr/sbin/dockerd is of no package, so nothing knows a newer one");
        host.root = false;
        assert_eq!(refused(&host), "the user who logs in is not root and cannot become root without a password");
    }

    /// Pain 23: a derivative takes the packages of what it is built on.
    #[test]
    fn a_derivative_uses_the_layout_of_its_base() {
        let mut mint = facts("debian-12-blank");
        let text = "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\nVERSION_CODENAME=xia\nUBUNTU_CODENAME=noble";
        mint.os = Some(super::super::OsRelease::parse(text));
        assert_eq!(
            super::super::detect(super::super::PROVISIONERS, mint.os.as_ref().unwrap()).unwrap().name(),
            "debian"
        );
        let script = own_text(&mint, &want_ce("28.2"));
        assert!(script.contains("layout=https://download.docker.com/linux/ubuntu\ncodename=noble\n"), "{script}");
    }

    /// Runs functions of `apt.sh` with programs that say what they are told to.
    fn apt(programs: &str, run: &str) -> (i32, String, String) {
        let prelude = "set -e\nnote() { echo \"note: $*\"; }\nsleep() { :; }\nfind() { echo fresh; }\n";
        fixtures::sh(&["sh", "-s"], &format!("{prelude}{}{programs}\n{run}\n", include_str!("apt.sh")))
    }

    #[test]
    fn the_newest_version_that_matches_the_pin_is_chosen() {
        let madison = "apt_versions() { printf '%s\\n' 5:29.0.0~rc.1-1~deb 5:28.20.0-1~deb 5:28.2.2-1~deb 5:28.2.1-1~deb 20.10.24+dfsg1-1+b6; }\napt_get() { :; }";
        for (pin, want) in [
            ("28.2", "5:28.2.2-1~deb\n"),
            ("28", "5:28.20.0-1~deb\n"),
            ("28.2.1", "5:28.2.1-1~deb\n"),
            ("29.0.0-rc.1", "5:29.0.0~rc.1-1~deb\n"),
            ("20.10.24", "20.10.24+dfsg1-1+b6\n"),
        ] {
            let (status, stdout, stderr) = apt(madison, &format!("apt_pinned docker-ce {pin} 'debian bookworm'"));
            assert_eq!((status, stdout.as_str(), stderr.as_str()), (0, want, ""), "{pin}");
        }
        let (status, _, stderr) = apt(madison, "apt_pinned docker-ce 27.9 'debian bookworm' >/dev/null");
        let why = "note: fetching the lists of packages\ndocker-ce 27.9 is not available for debian bookworm; available: 29.0.0~rc.1 28.20.0 28.2.2 28.2.1 20.10.24+dfsg1\n";
        assert_eq!((status, stderr.as_str()), (69, why));
    }

    /// Pain 22: a lock is waited for, and said.
    #[test]
    fn a_lock_of_apt_is_waited_for() {
        let busy = "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 12 (unattended-upgr)";
        let program = |times: u32| {
            format!(
                "tries=$(mktemp)\napt-get() {{ echo x >>\"$tries\"; if [ $(wc -l <\"$tries\") -le {times} ]; then echo '{busy}'; return 100; fi; echo done; }}"
            )
        };
        // A function cannot have this name in every shell, so it is put in the way as a program.
        let dir = tempfile::tempdir().unwrap();
        let run = |times: u32| {
            let count = dir.path().join(times.to_string());
            let stub = program(times).replace("tries=$(mktemp)\napt-get() { ", &format!("tries={}\n", count.display()));
            let stub = format!("#!/bin/sh\n{}", stub.trim_end_matches('}').replace("return 100", "exit 100"));
            let path = dir.path().join("apt-get");
            fixtures::sh(&["tee", path.to_str().unwrap()], &stub);
            fixtures::sh(&["chmod", "+x", path.to_str().unwrap()], "");
            apt(&format!("PATH={}:$PATH", dir.path().display()), "apt_patience=4\napt_get install x 3>&1")
        };
        let (status, stdout, stderr) = run(2);
        assert_eq!(status, 0, "{stderr}");
        assert_eq!(stdout.matches("note: waiting for another program to release apt: Could not get lock").count(), 1);
        assert!(stderr.ends_with("done\n"));
        let (status, _, stderr) = run(1000);
        assert_eq!(status, 100);
        assert!(stderr.contains("apt was locked by another program for 4 s: Could not get lock"), "{stderr}");
    }
}
