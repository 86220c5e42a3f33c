//! A computer with VirtualBox and a store on it, where the driver is asked in a process of its own.

use super::{
    Run, VirtualBox, Vms,
    child::{self, Answer, Task},
    sshd,
};
use crate::lab::Lab;
use machine::record::Instance;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

/// The image as distributions give them out, where there is a program for that.
fn packed(image: &Path) -> PathBuf {
    let to = image.with_extension("qcow2");
    let made =
        Command::new("qemu-img").args(["convert", "-c", "-f", "raw", "-O", "qcow2"]).arg(image).arg(&to).status();
    if made.is_ok_and(|status| status.success()) { to } else { image.to_owned() }
}

/// A computer with VirtualBox, and a store on it.
pub(crate) struct Host {
    pub(crate) lab: Lab,
    pub(crate) computer: VirtualBox,
    image: String,
    pub(crate) more: serde_json::Map<String, Value>,
}

impl Host {
    pub(crate) fn new() -> Self {
        Self::with(VirtualBox::new)
    }

    /// One whose VirtualBox is a version that is not here, and is played.
    pub(crate) fn playing(version: &str) -> Self {
        Self::with(|lab, run| VirtualBox::playing(version, lab, run))
    }

    fn with(computer: impl FnOnce(&Path, Run) -> VirtualBox) -> Self {
        let lab = Lab::new();
        let image = lab.path("image.raw");
        fs::write(&image, vec![7; 3 << 20]).unwrap();
        let image = packed(&image);
        let computer = computer(&lab.path(""), sshd::run(&lab.path("sshd")));
        Self { lab, computer, image: image.display().to_string(), more: serde_json::Map::new() }
    }

    pub(crate) fn dir(&self, machine: &str) -> PathBuf {
        let dir = self.lab.store().join("machines").join(machine);
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// Asks the driver; `None`: it was killed at the point.
    pub(crate) fn try_ask(
        &self,
        call: &str,
        machine: &str,
        instance: Option<&Instance>,
        die_at: u32,
    ) -> Option<Answer> {
        let mut options = serde_json::Map::new();
        for (key, value) in [("image", self.image.as_str()), ("ssh-user", "root"), ("disk-size", "64")] {
            options.insert(key.to_owned(), json!(value));
        }
        options.extend([("no-vtx-check".to_owned(), json!(true)), ("no-share".to_owned(), json!(true))]);
        options.extend(self.more.clone());
        let (call, machine, dir) = (call.to_owned(), machine.to_owned(), self.dir(machine));
        let task = Task { call, machine, dir, options, instance: instance.cloned(), die_at };
        let out = self
            .lab
            .command(std::env::current_exe().unwrap().to_str().unwrap())
            .args(["--exact", "virtualbox::child::child", "--nocapture", "--test-threads=1"])
            .env("PATH", self.computer.path())
            .env(child::TASK, serde_json::to_string(&task).unwrap())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stdout);
        let answer = text.lines().find_map(|line| line.strip_prefix("ANSWER "));
        assert!(!(answer.is_none() && die_at == 0), "{}\n{text}\n{}", task.call, String::from_utf8_lossy(&out.stderr));
        answer.map(|text| serde_json::from_str(text).unwrap())
    }

    pub(crate) fn ask(&self, call: &str, machine: &str, instance: Option<&Instance>) -> Answer {
        self.try_ask(call, machine, instance, 0).unwrap()
    }

    #[track_caller]
    pub(crate) fn done(&self, call: &str, machine: &str, instance: Option<&Instance>) -> Answer {
        let answer = self.ask(call, machine, instance);
        assert_eq!((answer.error.as_str(), answer.help.as_str()), ("", ""), "{call}: {:?}", answer.said);
        answer
    }

    #[track_caller]
    pub(crate) fn create(&self, machine: &str) -> Instance {
        self.done("create", machine, None).instance.unwrap()
    }

    pub(crate) fn power(&self, machine: &str, instance: &Instance) -> String {
        self.done("power", machine, Some(instance)).power
    }

    pub(crate) fn vms(&self) -> &Vms {
        &self.computer.vms
    }

    /// Kills a creation at every so many-th of its points, and a removal as well: there is one VM, and then none.
    pub(crate) fn killed_everywhere(&self, every: u32) {
        let (mut point, mut killed, begun) = (1, 0, Instant::now());
        while self.try_ask("create", "web", None, point).is_none() {
            killed += 1;
            let web = self.create("web");
            let all = self.vms().all();
            let count = |what: &str| all.iter().filter(|line| line.contains(what)).count();
            assert_eq!(
                (count("\"web\""), count("disk.vdi"), count("seed.iso"), all.len()),
                (1, 1, 1, 4),
                "at {point}: {all:?}"
            );
            assert_eq!(self.done("find", "web", None).instance.as_ref(), Some(&web));
            // Removing is killed as well.
            let _ = self.try_ask("rm", "web", Some(&web), point % 40 + 1);
            self.done("rm", "web", Some(&web));
            assert_eq!(self.vms().all(), Vec::<String>::new(), "at {point}");
            fs::remove_dir_all(self.dir("web")).unwrap();
            point += every;
        }
        println!("{killed} runs were killed, of {point} points, in {:?}", begun.elapsed());
        assert!(killed * every > 40, "the points are passed: {point}");
    }
}
