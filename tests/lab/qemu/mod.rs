//! A desk with virtual machines on it that boot in a third of a second: real qemu, with a guest of 33 bytes.
//!
//! The guest prints `u` on its console and waits for its power button; sleeping, so that many of them need no processor.
//! What answers in place of its SSH server is a listener of the test's own at the address the machine is given.

#![expect(clippy::disallowed_methods, reason = "the tests look at this computer with its own programs")]

mod child;
mod frozen;
mod killed;
mod life;

use crate::lab::{Lab, Said};
use child::{Answer, Die, TASK, Task};
use machine::record::Instance;
use serde_json::{Map, Value, json};
use std::{
    fs,
    io::Write as _,
    net::{Ipv4Addr, TcpListener},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

/// Enables the power button (ACPI, `PM1a` of a q35 as its BIOS sets it), says `u`, sleeps until it is pressed, and ends.
const GUEST: [u8; 33] = [
    0xba, 0x02, 0x06, 0xb8, 0x00, 0x01, 0xef, // 0x100 to port 0x602
    0xba, 0xf8, 0x03, 0xb0, 0x75, 0xee, // 'u' to the serial port
    0xba, 0x00, 0x06, 0xfb, 0xf4, 0xed, // sti; hlt until the timer's next tick; read port 0x600
    0xf6, 0xc4, 0x01, 0x74, 0xf8, // bit 8, or sleep again
    0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, // 0x2000 to port 0x604
    0xeb, 0xfe,
];

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// A desk: a folder with a store, images and machines.
pub(crate) struct Desk {
    pub(crate) lab: Lab,
    /// Options of all machines.
    pub(crate) options: Map<String, Value>,
}

impl Desk {
    /// A desk whose machine answers at an unused address of this computer, and is on a tap interface of its
    /// own, as is needed to have an address. The interface comes and goes with its qemu.
    pub(crate) fn new() -> Self {
        let lab = Lab::new();
        let mut disk = vec![0; 1 << 20];
        disk[..GUEST.len()].copy_from_slice(&GUEST);
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        fs::write(lab.path("guest.img"), disk).unwrap();
        // Other tests, and other runs of this one, look for theirs in the same way.
        let free = |n: u8| Some((n, TcpListener::bind((Ipv4Addr::new(127, 0, 40, n), 22)).ok()?));
        let (n, listener) = (1..=250).find_map(free).expect("an address is free");
        greet(listener);
        let address = Ipv4Addr::new(127, 0, 40, n);
        let options = json!({
            "image": lab.path("guest.img").display().to_string(), "memory": "256", "cpus": 1, "disk-size": "64",
            "accel": "tcg", "network": format!("tap={}", tap(n)), "address": format!("{address}/8"),
        });
        Self { lab, options: options.as_object().unwrap().clone() }
    }

    /// The machine's folder in the store.
    pub(crate) fn dir(&self, machine: &str) -> PathBuf {
        let dir = self.lab.store().join("machines").join(machine);
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// What the driver does in a process that dies somewhere, ready to be started.
    pub(crate) fn command(&self, task: &Task) -> Command {
        let mut command = self.lab.command(std::env::current_exe().unwrap().to_str().unwrap());
        command.args(["--exact", "qemu::child::child", "--nocapture", "--test-threads=1"]);
        command.env(TASK, serde_json::to_string(task).unwrap()).env("MACHINE_QEMU_IMAGES", self.images());
        command
    }

    pub(crate) fn task(&self, call: &str, instance: Option<&Instance>, die: Die) -> Task {
        Task {
            call: call.to_owned(),
            words: Vec::new(),
            machine: "web".to_owned(),
            dir: self.dir("web"),
            options: self.options.clone(),
            instance: instance.cloned(),
            die,
            trace: None,
        }
    }

    /// Asks the driver; `None`: it was killed.
    pub(crate) fn try_ask(&self, call: &str, instance: Option<&Instance>, die: Die) -> Option<Answer> {
        answer(call, &self.command(&self.task(call, instance, die)).output().unwrap())
    }

    #[track_caller]
    pub(crate) fn done(&self, call: &str, instance: Option<&Instance>) -> Answer {
        let answer = self.try_ask(call, instance, Die::Never).unwrap();
        assert_eq!(answer.error, "", "{call}: {:?}", answer.said);
        answer
    }

    /// The points that a call passes until it ends so.
    pub(crate) fn points_until(&self, call: &str, die: Die) -> Vec<String> {
        let trace = self.lab.path("trace");
        let task = Task { trace: Some(trace.clone()), ..self.task(call, None, die) };
        if let Some(answer) = answer(call, &self.command(&task).output().unwrap()) {
            assert_eq!(answer.error, "", "{call}");
        }
        let text = fs::read_to_string(&trace).unwrap();
        fs::remove_file(trace).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    pub(crate) fn base(&self) -> PathBuf {
        self.lab.path("qemu")
    }

    pub(crate) fn images(&self) -> PathBuf {
        self.lab.path("images")
    }

    /// The folder of the one machine there is.
    pub(crate) fn folder(&self) -> PathBuf {
        let mut all: Vec<_> = fs::read_dir(self.base().join("instances")).unwrap().flatten().collect();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0).path()
    }

    /// Waits until the machine's guest is up: before, its power button has no effect.
    pub(crate) fn booted(&self) {
        let console = self.folder().join("console.log");
        until("the guest is up", || fs::read(&console).is_ok_and(|text| !text.is_empty()));
    }

    /// Processes that are machines of this desk.
    pub(crate) fn running(&self) -> Vec<String> {
        let word = self.lab.path("").display().to_string();
        let line = |entry: fs::DirEntry| {
            let text = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            format!("{} {}", entry.file_name().display(), String::from_utf8_lossy(&text).replace('\0', " "))
        };
        let all = fs::read_dir("/proc").unwrap().flatten().map(line);
        all.filter(|line| line.contains("qemu-system-") && line.contains(&word)).collect()
    }

    /// What is left of machines on this computer: processes, interfaces and files.
    pub(crate) fn left(&self) -> Vec<String> {
        let mut left = self.running();
        let keeps = |path: &Path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            [".lock", "accelerator.json", "images"].contains(&name.as_str())
        };
        let entries = fs::read_dir(self.base()).into_iter().flatten().flatten().map(|entry| entry.path());
        left.extend(entries.filter(|path| !keeps(path)).map(|path| path.display().to_string()));
        let network = self.options["network"].as_str().unwrap();
        let tap = network.strip_prefix("tap=").map(|tap| Path::new("/sys/class/net").join(tap));
        left.extend(tap.filter(|path| path.exists()).map(|path| path.display().to_string()));
        left
    }
}

/// Nothing of a desk stays, after a failure too.
impl Drop for Desk {
    fn drop(&mut self) {
        for line in self.running() {
            let pid = line.split(' ').next().unwrap_or_default();
            let _ = Said::of(&self.lab.command("kill").args(["-9", pid]).output().unwrap());
        }
    }
}

/// What a process answered; `None`: it was killed.
pub(crate) fn answer(call: &str, out: &Output) -> Option<Answer> {
    if out.status.signal() == Some(9) {
        return None;
    }
    let text = String::from_utf8_lossy(&out.stdout);
    let answer = text.lines().find_map(|line| line.strip_prefix("ANSWER "));
    let answer = answer.unwrap_or_else(|| panic!("{call}:\n{text}\n{}", String::from_utf8_lossy(&out.stderr)));
    Some(serde_json::from_str(answer).unwrap())
}

#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "it never came: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn tap(n: u8) -> String {
    format!("mq{}-{n}", std::process::id())
}

/// Greets all who come as SSH servers do, to the end of the test.
fn greet(listener: TcpListener) {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = (&stream).write_all(b"SSH-2.0-stands-in\r\n");
        }
    });
}
