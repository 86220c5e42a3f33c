//! Bad days of real hosts: what a person reads then, what is recorded, and that mending the cause and applying again
//! is all it takes. The other hosts of the fleet are never touched.

use crate::lab::{self, Lab, Said};
use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, path::PathBuf};

/// A fleet of two: `good`, and `bad` with this engine.
fn fleet(lab: &Lab, good: &str, bad: &str) -> String {
    lab.file(
        "fleet.yaml",
        &format!(
            "fleet: bad-days
defaults: {{ driver: nspawn, engine: {{ source: distro }} }}
hosts:
  bad: {{ image: debian-12, engine: {{ {bad} }} }}
  good: {{ image: debian-12, engine: {{ {good} }} }}
"
        ),
    )
}

/// All files that record a machine.
fn record(lab: &Lab, name: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let dir = lab.store().join("machines").join(name);
    let files = ["record.json", "config.json", "server.pem", "server-key.pem", "id_ed25519"].map(|f| dir.join(f));
    files.into_iter().map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

/// One failure, told once, in full: host and part, what the host said, where there is more, what to do.
#[track_caller]
fn one_failure(said: &Said, part: &str, cause: &str, help: &str) {
    let text = &said.err;
    let from = text.find("error: ").unwrap_or_else(|| panic!("nothing failed:\n{}\n{text}", said.out));
    let block = &text[from..];
    println!("{block}");
    assert_eq!(text.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{text}");
    assert!(block.starts_with(&format!("error: bad: {part} failed")), "{block}");
    assert!(block.contains(cause), "no `{cause}` in {block}");
    assert!(block.contains("\n  help: ") && block.contains(help), "no `{help}` in {block}");
    assert!(block.lines().count() < 32, "{block}");
    assert!(said.out.lines().any(|line| line.split_whitespace().eq(["bad", "failed", part])), "{}", said.out);
    assert!(!text.contains("PRIVATE KEY") && !said.out.contains("PRIVATE KEY"));
}

/// The same, with a command on the host that failed: its whole output is kept, for us alone.
#[track_caller]
fn one_failed_command(lab: &Lab, said: &Said, cause: &str, help: &str) {
    one_failure(said, "engine", cause, help);
    let log = lab.store().join("machines/bad/last-failure.log");
    assert!(said.err.contains(&format!("  all it printed: {}\n", log.display())), "{}", said.err);
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.contains(cause), "{text}");
    let key = fs::read_to_string(lab.store().join("machines/bad/server-key.pem")).unwrap();
    let secret = key.lines().find(|l| l.len() > 20 && !l.contains("---")).unwrap();
    assert!(!text.contains(secret) && !said.err.contains(secret));
}

#[test]
fn whatever_is_wrong_with_a_host_is_told_once_and_mended_by_applying_again() {
    if !lab::ready(&["docker", "busybox"]) {
        return;
    }
    let lab = Lab::new();
    let apply = |file: &str| lab.machine(&["apply", "-y", file]);

    // A version that cannot be had, while the other host converges.
    let file = fleet(&lab, "", "version: '99.9'");
    let said = apply(&file).code(3);
    one_failed_command(
        &lab,
        &said,
        "docker.io 99.9 is not available for debian bookworm; available: 20.10",
        "versions that are available",
    );
    assert!(said.out.contains("good  converged"), "{}", said.out);
    let (good, bad) = (record(&lab, "good"), record(&lab, "bad"));
    let others_as_before = || {
        assert_eq!(record(&lab, "good"), good, "the other host was touched");
        let now = record(&lab, "bad");
        for (path, before) in &bad {
            assert_eq!(&now[path], before, "{} changed", path.display());
        }
    };

    // Its package mirror is gone, and nothing of it is left here.
    let file = fleet(&lab, "", "");
    lab.on(
        "bad",
        "mkdir /root/apt && mv /etc/apt/sources.list* /root/apt/ && mv /var/lib/apt/lists /root/apt/ && \
         mv /var/cache/apt/archives /root/apt/ && \
         mkdir -p /var/lib/apt/lists/partial /var/cache/apt/archives/partial /etc/apt/sources.list.d && \
         echo 'deb http://127.0.0.1:9/debian bookworm main' >/etc/apt/sources.list",
    );
    one_failed_command(&lab, &apply(&file).code(1), "127.0.0.1:9", "apt sources");
    others_as_before();
    lab.on(
        "bad",
        "rm -rf /etc/apt/sources.list* /var/lib/apt/lists /var/cache/apt/archives && mv /root/apt/lists /var/lib/apt/ && \
         mv /root/apt/archives /var/cache/apt/ && mv /root/apt/sources.list* /etc/apt/",
    );

    // Its package system was cut off in a way that cannot be finished.
    lab.on("bad", "echo nonsense >/var/lib/dpkg/updates/0001");
    one_failed_command(&lab, &apply(&file).code(1), "dpkg was interrupted", "dpkg --configure -a");
    others_as_before();
    lab.on("bad", "rm /var/lib/dpkg/updates/0001");

    // Its disk is too small, which is found out before anything is done.
    lab.on(
        "bad",
        "mkdir /root/small && mount -t tmpfs -o size=500m small /root/small && cp -a /var/lib/. /root/small/ && \
         mount --bind /root/small /var/lib",
    );
    one_failure(
        &apply(&file).code(1),
        "engine",
        "MiB are free on /var/lib, and the engine needs about 600",
        "free some space",
    );
    others_as_before();
    lab.on("bad", "umount /var/lib && umount /root/small");

    // Its disk fills up in the middle of the installation.
    lab.on(
        "bad",
        "mkdir -p /root/tiny && mount -t tmpfs -o size=40m tiny /root/tiny && mkdir /root/tiny/u /root/tiny/w && \
         mount -t overlay -o lowerdir=/usr,upperdir=/root/tiny/u,workdir=/root/tiny/w overlay /usr",
    );
    one_failed_command(&lab, &apply(&file).code(1), "No space left on device", "the host's disk is full");
    others_as_before();
    lab.on("bad", "mount -o remount,size=2g /root/tiny");

    // Another program has the engine's port.
    lab.on("bad", "systemd-run -q --unit=squatter systemd-socket-activate -l 0.0.0.0:2376 -a --inetd /bin/cat");
    one_failed_command(&lab, &apply(&file).code(1), "address already in use", "ss -ltnp");
    others_as_before();
    lab.on("bad", "systemctl stop squatter");

    // With the causes gone, applying again is all.
    let said = apply(&file).ok();
    assert!(said.out.lines().any(|line| line.split_whitespace().eq(["bad", "converged"])), "{}", said.out);
    assert_eq!(record(&lab, "good"), good);
    apply(&file).ok().says("Nothing to do");

    refused_configuration(&lab);
}

/// An engine that refuses its configuration: what it says is shown, the old configuration is back, and what runs in
/// containers has not noticed.
fn refused_configuration(lab: &Lab) {
    lab.tiny_image("bad");
    lab.docker("bad", &["run", "-d", "--name", "worker", "tiny", "sleep", "100000"]).ok();
    let started = || lab.docker("bad", &["inspect", "-f", "{{.State.StartedAt}} {{.State.Pid}}", "worker"]).ok().out;
    let (before, files) = (started(), lab.on("bad", "cat /etc/docker/daemon.json /etc/docker/machine.json"));
    let good = record(lab, "good");

    let file = fleet(lab, "", "daemon: { storage-driver: nonsense }");
    let said = lab.machine(&["apply", "-y", &file]).code(1);
    one_failed_command(lab, &said, "nonsense", "correct `engine` in the fleet file");
    assert!(said.err.contains("the previous configuration was put back"), "{}", said.err);
    assert_eq!(started(), before, "the container was not touched");
    assert_eq!(lab.on("bad", "cat /etc/docker/daemon.json /etc/docker/machine.json"), files);
    assert_eq!(lab.on("bad", "systemctl is-active docker; ls /etc/docker | grep -c previous || :").trim(), "active\n0");
    assert_eq!(record(lab, "good"), good);

    // What is recorded is what was applied last, and that something was begun; taking the value out is all.
    let file = fleet(lab, "", "");
    lab.machine(&["plan", &file]).ok().says("did not finish");
    lab.machine(&["apply", "-y", &file]).ok();
    assert_eq!(started(), before, "nor by the repair");
    lab.machine(&["apply", "-y", &file]).ok().says("Nothing to do");
}

const ONE: &str = "fleet: bad-days\nhosts:\n  m: { driver: nspawn, image: debian-12 }\n";

/// Runs `machine` where `mounts` were done, which only it sees.
fn among(lab: &Lab, mounts: &str, args: &[&str]) -> Said {
    let mut command = lab.command("unshare");
    command.args(["-m", "sh", "-c", &format!("{mounts} && exec \"$@\""), "sh", env!("CARGO_BIN_EXE_machine")]);
    Said::of(&command.args(args).output().unwrap())
}

#[test]
fn a_computer_that_lacks_programs_is_told_what_to_install() {
    if !lab::ready(&["unshare"]) {
        return;
    }
    let lab = Lab::new();
    let file = lab.file("fleet.yaml", ONE);
    // What is no plain file is no program.
    let hide = "mount --bind /dev/null /usr/bin/systemd-nspawn";
    let said = among(&lab, hide, &["apply", "-y", &file]).code(1);
    assert_eq!(
        &said.err[said.err.find("error: ").unwrap()..],
        "error: m: instance failed
  this computer lacks systemd-nspawn
  help: install what this driver stands on:
    apt-get install --no-install-recommends systemd-container mmdebstrap iptables iproute2 util-linux

"
    );
    // The intent is recorded, so that nothing that might have been made is lost; it can be given up.
    lab.machine(&["plan", &file]).ok().says("an earlier create did not finish");
    lab.machine(&["destroy", "-y", &file]).ok();
    assert_eq!(lab.left(), Vec::<String>::new());
}

#[test]
fn without_root_it_says_that_root_is_needed() {
    if !lab::ready(&["setpriv"]) {
        return;
    }
    let lab = Lab::new();
    let file = lab.file("fleet.yaml", ONE);
    let own = lab.path("other");
    fs::create_dir(&own).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_machine"), own.join("machine")).unwrap();
    std::os::unix::fs::chown(&own, Some(65534), Some(65534)).unwrap();
    fs::set_permissions(lab.path("."), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = lab.command("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(own.join("machine"));
    let store = own.join("store");
    let said = Said::of(&command.arg("-s").arg(&store).args(["apply", "-y", &file]).output().unwrap()).code(1);
    assert_eq!(
        &said.err[said.err.find("error: ").unwrap()..],
        "error: m: instance failed
  driver `nspawn` makes machines on this computer and must run as root
  help: run the same command as root, for example with sudo

"
    );
}

#[test]
fn a_store_that_is_read_only_is_told_before_anything_is_made() {
    if !lab::ready(&["unshare"]) {
        return;
    }
    let lab = Lab::new();
    let file = lab.file("fleet.yaml", ONE);
    fs::create_dir_all(lab.store()).unwrap();
    let at = lab.store().display().to_string();
    let said =
        among(&lab, &format!("mount --bind {at} {at} && mount -o remount,bind,ro {at}"), &["apply", "-y", &file]);
    let said = said.code(1);
    assert_eq!(said.out, "");
    assert_eq!(said.err.matches("ead-only file system").count(), 1, "{}", said.err);
    assert!(
        said.err.starts_with("error: cannot make ") && said.err.contains("\n  help: the store is read-only"),
        "{}",
        said.err
    );
    assert_eq!(lab.left(), Vec::<String>::new());
}

/// The disk of the store fills up: what was recorded is whole, and nothing is made that could not be recorded.
#[test]
fn a_store_on_a_full_disk_keeps_what_it_has() {
    if !lab::ready(&["unshare"]) {
        return;
    }
    let lab = Lab::new();
    let two = "fleet: f\nhosts:\n  a: { driver: none, url: 'tcp://127.0.0.1:1' }\n  m: { driver: nspawn, image: debian-12 }\n";
    let one = lab.file("one.yaml", "fleet: f\nhosts:\n  a: { driver: none, url: 'tcp://127.0.0.1:1' }\n");
    let file = lab.file("fleet.yaml", two);
    fs::create_dir_all(lab.store()).unwrap();
    let (at, machine) = (lab.store().display().to_string(), env!("CARGO_BIN_EXE_machine"));
    let copy = lab.path("copy").display().to_string();
    let full = format!(
        "mount -t tmpfs -o size=256k tmpfs {at} && {machine} apply -y {one} && cp -r {at}/machines {copy} && \
         (dd if=/dev/zero of={at}/filler bs=4k 2>/dev/null || :) && ! {machine} apply -y {file} 2>{at}/../err && \
         cat {at}/../err >&2 && diff -r {copy}/a {at}/machines/a && rm {at}/filler"
    );
    let said = among(&lab, &full, &["ls", "--format", "{{.Name}} {{.State}}"]).ok();
    assert!(said.err.contains("No space left on device"), "{}", said.err);
    assert!(said.err.contains("help: make room on the disk that holds "), "{}", said.err);
    assert!(said.out.contains("a "), "{}", said.out);
    assert_eq!(lab.left(), Vec::<String>::new(), "nothing was made that could not be recorded");
}
