//! What this program was given open beside its standard streams stays with it: neither hooks nor virtual machines hold a
//! file, or a lock, of the caller.

use crate::home::{Home, Run};
use std::{fs, os::unix::fs::PermissionsExt as _, process::Stdio};

/// In a shell that has numbers 3 to 9 open on a file that is called `mine`, as a file, for reading, and as a pipe.
fn within(home: &Home, script: &str) -> Run {
    let mut sh = home.command("bash");
    let path = format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", home.path().join("bin").display());
    sh.env("PATH", path).env("M", env!("CARGO_BIN_EXE_machine")).env("MACHINE_STORAGE_PATH", home.store());
    let open = "exec 3<>mine 4>>mine 5<mine 6<mine 7> >(cat >/dev/null) 8<>mine 9>mine; flock 9;";
    let output = sh.args(["-c", &format!("{open}\n{script}")]).stdin(Stdio::null()).output().unwrap();
    Run {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// What a process has open beside its standard streams, and the script that it runs.
const LIST: &str = "for fd in /proc/$$/fd/*; do case $fd in */[012]) ;; *) readlink $fd;; esac; done";

/// Programs that note what they have open, and do nothing else.
fn stubs(home: &Home, names: &[&str]) {
    for name in names {
        let (log, path) = (home.path().join("open"), home.path().join("bin").join(name));
        home.write(
            &format!("../bin/{name}"),
            &format!("#!/bin/sh\necho {name} >>{log}\n({LIST}) >>{log}\nexit 1\n", log = log.display()),
        );
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn programs_of_drivers_get_three_streams() {
    let home = Home::new();
    let qemu = ["qemu-system-x86_64", "qemu-system-aarch64", "qemu-img"];
    let nspawn = ["ip", "iptables", "mmdebstrap", "setsid", "systemd-nspawn", "unshare", "mount"];
    stubs(&home, &[&qemu[..], &nspawn, &["VBoxManage"]].concat());
    for driver in ["qemu", "virtualbox", "nspawn"] {
        within(&home, &format!("MACHINE_QEMU_DIR=$PWD/q MACHINE_NSPAWN_DIR=$PWD/n $M create -d {driver} {driver}"));
    }
    let open = fs::read_to_string(home.path().join("open")).unwrap();
    assert!(open.contains("qemu-") && open.contains("VBoxManage\n"), "{open}");
    assert!(!open.contains("mine") && !open.contains("pipe:"), "{open}");
}

#[test]
fn hooks_get_three_streams_and_hold_no_lock_of_the_caller() {
    let home = Home::new();
    // What is left running on purpose lives longer than the run, and than its caller.
    let hook = format!("({LIST}) >open; (setsid sleep 60 >/dev/null 2>&1 & echo $! >left)");
    home.write(
        "../fleet.yaml",
        &format!(
            "fleet: f\nhosts:\n  a: {{ driver: none, url: 'tcp://127.0.0.1:1', hooks: {{ post-create: [{{ run: '{hook}' }}] }} }}\n"
        ),
    );
    let run = within(&home, "$M apply -y fleet.yaml");
    assert_eq!(run.status, 0, "{}", run.stderr);
    let open = fs::read_to_string(home.path().join("open")).unwrap();
    assert!(!open.contains("mine") && !open.contains("pipe:"), "{open}");
    let left = fs::read_to_string(home.path().join("left")).unwrap();
    assert!(fs::exists(format!("/proc/{}", left.trim())).unwrap(), "it lives");
    let free = home.command("flock").args(["-n", "mine", "true"]).status().unwrap();
    let _ = home.command("kill").arg(left.trim()).status();
    assert!(free.success(), "who called us has ended, and its lock is held");
}

/// What a shell hands over by such a number can be read all the same.
#[test]
fn a_file_that_a_shell_hands_over_is_read() {
    let home = Home::new();
    let text = "fleet: f\\nhosts: { a: { driver: none, url: tcp://127.0.0.1:1 } }\\n";
    let run = within(&home, &format!("$M apply -y <(printf '{text}') && $M url a"));
    assert_eq!((run.status, run.stdout.lines().last()), (0, Some("tcp://127.0.0.1:1")), "{}{}", run.stdout, run.stderr);
}
