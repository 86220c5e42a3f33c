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
#[path = "debian_tests.rs"]
mod tests;
