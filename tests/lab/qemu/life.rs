//! Virtual machines, for real: an image the test builds, booted by qemu, to a container that runs in it, and through all
//! that may happen to a machine on a desk.
//!
//! Where the accelerator does not work, and so in most of CI, every instruction is emulated and a boot takes minutes: it
//! is left to `just lab-full`.

use crate::{
    full::full,
    lab::{self, Lab, Said},
};
use std::{
    fs,
    time::{Duration, Instant},
};

/// The image has no program that loads profiles of `AppArmor`.
const RUN: [&str; 5] = ["run", "--rm", "--security-opt", "apparmor=unconfined", "tiny"];

const NEEDED: [&str; 4] = ["qemu-system-x86_64", "qemu-img", "grub-mkimage", "docker"];

/// Says how long each part of the story took.
struct Watch(Instant);

impl Watch {
    fn lap(&mut self, what: &str) {
        println!("{what}: {:.1} s", self.0.elapsed().as_secs_f64());
        self.0 = Instant::now();
    }
}

fn fleet(more: &str) -> String {
    format!(
        "fleet: vms\nhosts:\n  vm:\n    driver: qemu\n    image: {}\n    disk-size: 6GiB\n{more}",
        lab::vm_image().display()
    )
}

/// The id of the qemu of a machine, if it runs.
fn pid(lab: &Lab) -> Option<String> {
    let mut instances = fs::read_dir(lab.path("qemu/instances")).ok()?.flatten();
    let pid = instances.find_map(|e| fs::read_to_string(e.path().join("qemu.pid")).ok())?;
    let pid = pid.trim().to_owned();
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty()).then_some(pid)
}

/// Switches the machine on, and waits for its engine. `start` asks ten times, as docker-machine did; an engine on an
/// emulated processor may need longer, which must be all it complains of.
fn start(lab: &Lab) {
    let said = lab.machine(&["start", "vm"]);
    if said.code == 0 {
        return;
    }
    said.code(1).says("Machine \"vm\" was started.").says("Unable to verify the Docker daemon is listening");
    let deadline = Instant::now() + Duration::from_mins(8);
    while lab.machine(&["version", "vm"]).code != 0 {
        assert!(Instant::now() < deadline, "the engine does not come up: {}", lab.on("vm", "systemctl status docker"));
    }
}

fn memory(lab: &Lab) -> u64 {
    lab.on("vm", "cat /proc/meminfo").split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Pains 1, 2 and 13: one command to a local engine, nothing to do after that, and no state that lies.
#[test]
fn a_virtual_machine_from_nothing_to_a_container_and_back() {
    if !full() {
        println!("left to `just lab-full`: it takes minutes where the processor is emulated");
        return;
    }
    if !lab::ready(&NEEDED) {
        return;
    }
    let lab = Lab::new();
    let file = lab.file("fleet.yaml", &fleet("    memory: 768MiB\n"));
    let mut watch = Watch(Instant::now());
    lab.machine(&["apply", "-y", &file]).ok().says("1 converged");
    watch.lap("from nothing to an engine");

    // The host key was known before the first contact, and the engine is at a port of this computer.
    let url = lab.machine(&["url", "vm"]).ok().out.trim().to_owned();
    assert!(url.starts_with("tcp://127.0.0.1:2") && !url.ends_with(":2376"), "{url}");
    let known = fs::read_to_string(lab.store().join("machines/vm/record.json")).unwrap();
    let host_key = lab.on("vm", "sudo cat /etc/ssh/ssh_host_ed25519_key.pub");
    assert!(known.contains(host_key.split(' ').nth(1).unwrap().trim()), "{host_key}\n{known}");
    assert_eq!(lab.on("vm", "ls /etc/ssh | grep -c '_key$'"), "1\n", "no unknown key");
    assert_eq!(lab.on("vm", "hostname"), "vm\n");
    lab.tiny_image("vm");
    assert_eq!(lab.docker("vm", &[&RUN[..], &["echo", "hello"]].concat()).ok().out, "hello\n");
    watch.lap("a container");

    lab.machine(&["apply", "-y", &file]).ok().says("Nothing to do");
    lab.machine(&["plan", "--detailed-exitcode", &file]).ok();
    lab.machine(&["drift", &file]).ok();
    watch.lap("nothing to do, three times");

    // With its memory: what ran goes on, what was written after is gone.
    lab.on("vm", "sudo sh -c 'echo first >/var/tmp/kept; sync; echo mark >/dev/shm/memory'");
    lab.machine(&["snapshot", "create", "vm", "before"]).ok().says("Made snapshot \"before\"");
    lab.machine(&["snapshot", "create", "vm", "before"]).code(1).says("there is one of this name");
    lab.machine(&["snapshot", "ls", "vm"]).ok().says("before").says("yes");
    lab.on("vm", "sudo rm /var/tmp/kept /dev/shm/memory");
    lab.machine(&["snapshot", "restore", "vm", "before"]).ok();
    assert_eq!(lab.on("vm", "cat /var/tmp/kept /dev/shm/memory"), "first\nmark\n");
    lab.machine(&["snapshot", "restore", "vm", "after"]).code(1).says("has none of this name").says("it has before");
    lab.machine(&["snapshot", "rm", "vm", "before"]).ok();
    assert!(!lab.machine(&["snapshot", "ls", "vm"]).ok().out.contains("before"));
    watch.lap("a snapshot, there and back");

    // Memory changes in place, at the next start; address and data stay.
    let before = memory(&lab);
    lab.file("fleet.yaml", &fleet("    memory: 1GiB\n"));
    lab.machine(&["plan", &file]).ok().says("memory");
    lab.machine(&["apply", "-y", &file]).ok().says("1 converged");
    assert_eq!(memory(&lab), before, "not while it runs");
    lab.machine(&["stop", "vm"]).ok();
    assert_eq!(lab.machine(&["status", "vm"]).ok().out, "Stopped\n");
    assert_eq!(pid(&lab), None);
    watch.lap("stop");
    comes_back(&lab, &file, &url, before, &mut watch);

    lab.machine(&["destroy", "-y", &file]).ok();
    assert_eq!(pid(&lab), None);
    assert!(!lab.path("qemu/instances").exists(), "nothing of the machine is left");
    watch.lap("removed");
}

/// Whether there is time for everything: an emulated processor takes minutes for each start.
/// What was changed while it was off, data and address after a start; and a start after the end of the whole computer.
fn comes_back(lab: &Lab, file: &str, url: &str, before: u64, watch: &mut Watch) {
    start(lab);
    watch.lap("start");
    assert!(memory(lab) > before + 100_000, "{before} → {}", memory(lab));
    assert_eq!(lab.machine(&["url", "vm"]).ok().out.trim(), url);
    assert_eq!(lab.on("vm", "cat /var/tmp/kept"), "first\n");
    lab.docker("vm", &["image", "inspect", "tiny"]).ok();

    // As after a crash of the whole computer: the files say it runs, and nothing does.
    let qemu = pid(lab).unwrap();
    assert!(Said::of(&lab.command("kill").args(["-9", &qemu]).output().unwrap()).code == 0);
    let deadline = Instant::now() + Duration::from_secs(20);
    while pid(lab).is_some() && Instant::now() < deadline {
        std::thread::yield_now();
    }
    lab.machine(&["ls"]).ok().says("Stopped");
    // Another program takes its port meanwhile.
    let port = url.rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
    // What was killed gives its memory back before its sockets.
    let deadline = Instant::now() + Duration::from_secs(20);
    let _busy = loop {
        match std::net::TcpListener::bind(("127.0.0.1", port)) {
            Ok(listener) => break listener,
            Err(e) => assert!(Instant::now() < deadline, "{e}"),
        }
        std::thread::yield_now();
    };
    lab.machine(&["apply", "-y", file]).ok().says("1 converged");
    watch.lap("killed, and applied again");
    assert_ne!(lab.machine(&["url", "vm"]).ok().out.trim(), url, "its port was taken");
    assert_eq!(lab.docker("vm", &[&RUN[..], &["echo", "again"]].concat()).ok().out, "again\n");
    lab.machine(&["apply", "-y", file]).ok().says("Nothing to do");
}
