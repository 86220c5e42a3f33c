//! Machines that go on from a frozen one, for real: each is its own from the first answer on, and stays it.
//!
//! Where the processor is emulated, the one boot that all of them share and the later boot of one of them take minutes,
//! so this runs with `MACHINE_CRASH=full` only.

use super::child::{Die, TASK, Task};
use crate::{
    full::full,
    lab::{self, Lab, Said, running::await_that},
};
use std::{
    collections::BTreeSet,
    fs,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

const NEEDED: [&str; 4] = ["qemu-system-x86_64", "qemu-img", "grub-mkimage", "docker"];

/// A fleet whose images, and what is frozen, are its own.
struct Story {
    lab: Lab,
    begun: Instant,
}

impl Story {
    fn command(&self, program: &str) -> Command {
        let mut command = self.lab.command(program);
        command.env("MACHINE_QEMU_IMAGES", self.images());
        command
    }

    fn images(&self) -> PathBuf {
        self.lab.path("images")
    }

    fn machine(&self, words: &[&str]) -> Said {
        Said::of(&self.command(env!("CARGO_BIN_EXE_machine")).args(words).output().unwrap())
    }

    #[track_caller]
    fn on(&self, machine: &str, command: &str) -> String {
        self.machine(&["ssh", machine, "--", command]).ok().out
    }

    fn fleet(&self, memory: &str, hosts: &[&str]) -> String {
        let hosts = hosts.iter().fold(String::new(), |hosts, host| hosts + "  " + host + ": {}\n");
        let image = lab::vm_image();
        let vm = format!("driver: qemu, image: {}, disk-size: 6GiB, memory: {memory}, clone: frozen", image.display());
        self.lab.file(
            "fleet.yaml",
            &format!("fleet: vms\ndefaults: {{ driver: vm }}\ndrivers:\n  vm: {{ {vm} }}\nhosts:\n{hosts}"),
        )
    }

    /// Runs the program until it dies at a point.
    #[track_caller]
    fn killed(&self, words: &[&str], point: &str) {
        let task = Task {
            call: "machine".to_owned(),
            words: words.iter().map(|&word| word.to_owned()).collect(),
            machine: String::new(),
            dir: PathBuf::new(),
            options: serde_json::Map::new(),
            instance: None,
            die: Die::On(point.to_owned(), String::new()),
            trace: None,
        };
        let mut command = self.command(std::env::current_exe().unwrap().to_str().unwrap());
        command.args(["--exact", "qemu::child::child", "--nocapture", "--test-threads=1"]);
        let output = command.env(TASK, serde_json::to_string(&task).unwrap()).output().unwrap();
        assert_eq!(output.status.signal(), Some(9), "at {point}: {:?}", Said::of(&output));
    }

    /// What is frozen, complete ones only.
    fn frozen(&self) -> Vec<PathBuf> {
        let all = fs::read_dir(self.images()).unwrap().flatten().map(|entry| entry.path());
        all.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("frozen-")).collect()
    }

    /// Processes of qemu with something below this folder.
    fn running(below: &Path) -> usize {
        let word = below.display().to_string();
        let line = |entry: fs::DirEntry| fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let all = fs::read_dir("/proc").unwrap().flatten().map(line);
        let text = all.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
        text.filter(|line| line.contains("qemu-system-") && line.contains(&format!("-pidfile {word}"))).count()
    }

    fn lap(&mut self, what: &str) {
        println!("{what}: {:.1} s", self.begun.elapsed().as_secs_f64());
        self.begun = Instant::now();
    }
}

/// All that makes a machine itself.
fn identity(story: &Story, machine: &str) -> Vec<String> {
    let known = fs::read_to_string(story.lab.store().join(format!("machines/{machine}/record.json"))).unwrap();
    // The program speaks with no host whose key is not the recorded one.
    let key =
        story.on(machine, "sudo cat /etc/ssh/ssh_host_ed25519_key.pub").split(' ').nth(1).unwrap().trim().to_owned();
    assert!(known.contains(&key), "{machine}: {key}\n{known}");
    assert_eq!(story.on(machine, "ls /etc/ssh | grep -c '_key$'"), "1\n", "no unknown key");
    assert_eq!(story.on(machine, "hostname; cat /etc/hostname"), format!("{machine}\n{machine}\n"));
    assert_eq!(story.on(machine, "grep -c frozen /etc/hosts || true"), "0\n");
    let logins = story.on(machine, "cat ~/.ssh/authorized_keys");
    assert_eq!(logins.trim().lines().count(), 1, "{logins}");
    vec![key, story.on(machine, "cat /etc/machine-id"), logins]
}

/// Pains 1 and 2, faster: a second machine costs seconds where the first costs a boot.
#[test]
fn machines_go_on_from_a_frozen_one_and_are_themselves() {
    if !full() {
        println!("left to `just lab-full`: it takes minutes where the processor is emulated");
        return;
    }
    if !lab::ready(&NEEDED) {
        return;
    }
    let mut story = Story { lab: Lab::new(), begun: Instant::now() };
    let file = story.fleet("768MiB", &["a"]);

    // Killed while it is made: what is half done is not used, and what runs ends itself.
    story.killed(&["apply", "-y", &file], "qemu.freeze");
    assert_eq!(story.frozen(), Vec::<PathBuf>::new());
    story.lap("killed while it is frozen");
    // Killed before it was written down that the machine knows who it is.
    story.killed(&["apply", "-y", &file], "qemu.clone.told");
    assert_eq!(story.frozen().len(), 1);
    assert_eq!(Story::running(&story.images()), 0, "what was killed in the making");
    story.lap("frozen, and the first one killed on its way");
    story.machine(&["apply", "-y", &file]).ok().says("going on from a frozen machine").says("1 converged");
    story.lap("applied again, to an engine");

    let file = story.fleet("768MiB", &["a", "b"]);
    story.machine(&["apply", "-y", &file]).ok().says("b  converged");
    story.lap("a second one, to an engine");
    assert_eq!((story.frozen().len(), Story::running(&story.lab.path("qemu"))), (1, 2));
    story.machine(&["apply", "-y", &file]).ok().says("Nothing to do");
    let (a, b) = (identity(&story, "a"), identity(&story, "b"));
    let all: BTreeSet<&String> = a.iter().chain(&b).collect();
    assert_eq!(all.len(), a.len() + b.len(), "nothing is the same in both: {a:?} {b:?}");
    story.lap("both are themselves");

    // A snapshot with memory, of one that was never booted.
    story.on("b", "sudo sh -c 'echo kept >/var/tmp/kept; sync; echo mark >/dev/shm/memory'");
    story.machine(&["snapshot", "create", "b", "before"]).ok();
    story.on("b", "sudo rm /var/tmp/kept /dev/shm/memory");
    story.machine(&["snapshot", "restore", "b", "before"]).ok();
    assert_eq!(story.on("b", "cat /var/tmp/kept /dev/shm/memory"), "kept\nmark\n");
    story.lap("a snapshot, there and back");

    // Its next start is a boot, with what was changed meanwhile; it is who it was.
    let before: u64 = story.on("b", "cat /proc/meminfo").split_whitespace().nth(1).unwrap().parse().unwrap();
    let file = story.fleet("1GiB", &["a", "b"]);
    story.machine(&["apply", "-y", &file]).ok();
    story.machine(&["stop", "b"]).ok();
    let _ = story.machine(&["start", "b"]);
    story.lap("stopped and booted");
    let after: u64 = story.on("b", "cat /proc/meminfo").split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(after > before + 100_000, "{before} → {after}");
    assert_eq!(identity(&story, "b"), b);
    assert_eq!(story.on("b", "cat /var/tmp/kept"), "kept\n");
    await_that("its engine", || story.machine(&["version", "b"]).code == 0);

    story.machine(&["destroy", "-y", "--allow-delete=2", &file]).ok();
    assert!(!story.lab.path("qemu/instances").exists(), "nothing of the machines is left");
    assert_eq!(story.frozen().len(), 1, "as images, it stays");
}
