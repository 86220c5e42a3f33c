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
    refused(&facts("debian-12-blank"), &present, "there is no engine on the host, and `source: present` installs none");
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
    assert_eq!(super::super::detect(super::super::PROVISIONERS, mint.os.as_ref().unwrap()).unwrap().name(), "debian");
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
