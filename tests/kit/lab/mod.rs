//! The lab: real hosts on this computer, made by the program itself, in folders of the test's own.
//!
//! Needs root, `systemd-nspawn` and packages of Debian. Without them a test says `SKIPPED` and why, unless
//! `MACHINE_LAB=required`. Images are shared and stay: `MACHINE_NSPAWN_IMAGES`, or the usual cache, and [`golden`] ones.

#![expect(clippy::disallowed_methods, reason = "the lab looks at this computer with its own programs")]

pub(crate) mod golden;
pub(crate) mod running;

use crate::skip::skipped;
use machine::provisioner::{self, Facts, Provisioner};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// Whether `programs` are there and we may use the lab; says why not.
pub(crate) fn ready(programs: &[&str]) -> bool {
    let base = ["systemd-nspawn", "mmdebstrap", "iptables", "ip", "ssh"];
    let there = |p: &&str| {
        ["/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"].iter().any(|d| Path::new(d).join(p).exists())
    };
    let missing = base.iter().chain(programs).find(|p| !there(p));
    let why = match missing {
        _ if !rustix::process::geteuid().is_root() => "not root".to_owned(),
        Some(program) => format!("`{program}` is not installed"),
        None => return true,
    };
    skipped(why);
    false
}

/// Where the lab keeps what takes long to make.
pub(crate) fn cache() -> PathBuf {
    let home = std::env::var_os("HOME").unwrap_or_else(|| "/root".into());
    Path::new(&home).join(".cache/machine-lab")
}

/// The image of virtual machines, built when it is not there or its recipe has changed.
pub(crate) fn vm_image() -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/lab-vm-image.sh");
    let recipe = machine::digest::sha256_hex(&fs::read(script).unwrap());
    let image = cache().join(format!("debian-12-{}.qcow2", &recipe[..12]));
    fs::create_dir_all(cache()).unwrap();
    let lock = fs::File::create(cache().join("vm-image.lock")).unwrap();
    lock.lock().unwrap();
    if !image.exists() {
        Said::of(&Command::new("sh").arg(script).arg(&image).output().unwrap()).ok();
    }
    image
}

/// How a program ended, and what it said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// That it ended with `code`; shows everything it said otherwise.
    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n--- stdout\n{}\n--- stderr\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.code(0)
    }

    /// That standard output or error holds `text`.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(
            self.out.contains(text) || self.err.contains(text),
            "no `{text}` in\n--- stdout\n{}\n--- stderr\n{}",
            self.out,
            self.err
        );
        self
    }
}

/// A home, a store and machines of one test. Dropped, nothing of it stays on this computer.
pub(crate) struct Lab {
    dir: tempfile::TempDir,
    images: PathBuf,
}

impl Lab {
    /// One whose hosts are as distributions give them out, without an engine.
    pub(crate) fn new() -> Self {
        Self::with(golden::plain())
    }

    /// One whose hosts of `debian-12` have the packages of an engine, for what is not about installing them.
    pub(crate) fn golden() -> Self {
        Self::with(golden::images())
    }

    fn with(images: PathBuf) -> Self {
        Self { dir: tempfile::Builder::new().prefix("machine-lab-").tempdir().unwrap(), images }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Folder with everything driver `nspawn` makes for this lab.
    pub(crate) fn base(&self) -> PathBuf {
        self.path("nspawn")
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// Writes a file into the lab's folder and says where it is.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// A program with nothing of the caller's environment but what this lab needs.
    pub(crate) fn command(&self, program: &str) -> Command {
        let home = self.path("home");
        fs::create_dir_all(&home).unwrap();
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", home)
            .env("USER", "lab")
            .env("MACHINE_STORAGE_PATH", self.store())
            .env("MACHINE_NSPAWN_DIR", self.base())
            .env("MACHINE_NSPAWN_IMAGES", &self.images)
            .env("MACHINE_QEMU_DIR", self.path("qemu"))
            .env("MACHINE_QEMU_IMAGES", cache().join("images"))
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs `machine`.
    pub(crate) fn machine(&self, args: &[&str]) -> Said {
        Said::of(&self.command(env!("CARGO_BIN_EXE_machine")).args(args).output().unwrap())
    }

    /// The program under docker-machine's name.
    pub(crate) fn docker_machine(&self) -> Command {
        let link = self.path("docker-machine");
        // Another thread of the test may have made it just now.
        let _ = std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_machine"), &link);
        self.command(link.to_str().unwrap())
    }

    /// Runs a command line of docker-machine, words separated by blanks.
    pub(crate) fn dm(&self, line: &str) -> Said {
        Said::of(&self.docker_machine().args(line.split(' ')).output().unwrap())
    }

    /// Runs the docker client as `eval $(machine env NAME)` would have it.
    pub(crate) fn docker(&self, machine: &str, args: &[&str]) -> Said {
        let env = self.machine(&["env", "--shell", "sh", machine]).ok().out;
        let mut command = self.command("docker");
        for line in env.lines().filter_map(|l| l.strip_prefix("export ")) {
            let (name, value) = line.split_once('=').unwrap();
            command.env(name, value.trim_matches('"'));
        }
        Said::of(&command.args(args).output().unwrap())
    }

    /// Runs a command on a machine, as root, and gives what it printed.
    #[track_caller]
    pub(crate) fn on(&self, machine: &str, command: &str) -> String {
        self.machine(&["ssh", machine, "--", command]).ok().out
    }

    /// One look at a machine, as the program does it.
    #[track_caller]
    pub(crate) fn look(&self, machine: &str) -> (&'static dyn Provisioner, Facts) {
        let facts = provisioner::facts::parse(&self.on(machine, provisioner::facts::probe(2376).as_str())).unwrap();
        let known = provisioner::detect(provisioner::PROVISIONERS, facts.os.as_ref().unwrap()).unwrap();
        (known, facts)
    }

    /// Runs a script of a provisioner on a machine.
    pub(crate) fn script(&self, machine: &str, script: &provisioner::Script) -> Said {
        let program = self.file("script.sh", script.render().as_str());
        let mut command = self.command(env!("CARGO_BIN_EXE_machine"));
        command.args(["ssh", machine, "--", "sh", "-s"]).stdin(fs::File::open(program).unwrap());
        Said::of(&command.output().unwrap())
    }

    /// Makes an image `tiny` with a static busybox on a machine, for no registry can be reached.
    #[track_caller]
    pub(crate) fn tiny_image(&self, machine: &str) {
        let root = self.path("tiny");
        if !root.exists() {
            fs::create_dir_all(root.join("bin")).unwrap();
            fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
            for name in ["sh", "sleep", "echo", "cat", "true"] {
                std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).unwrap();
            }
        }
        let tar = self.path("tiny.tar");
        Said::of(&self.command("tar").arg("-C").arg(&root).arg("-cf").arg(&tar).arg(".").output().unwrap()).ok();
        self.docker(machine, &["import", tar.to_str().unwrap(), "tiny"]).ok();
    }

    /// Processes, mounts, interfaces, firewall rules and folders of this lab that are still there.
    pub(crate) fn left(&self) -> Vec<String> {
        let base = self.base();
        let word = base.to_str().unwrap();
        let run = |program: &str, args: &[&str]| Said::of(&Command::new(program).args(args).output().unwrap()).out;
        let mut text = run("ps", &["-eo", "pid,args", "-ww"]);
        text += &run("iptables-save", &[]);
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            text += &fs::read_to_string(entry.path().join("mountinfo")).unwrap_or_default();
        }
        let mut left: Vec<String> = text.lines().filter(|l| l.contains(word)).map(str::to_owned).collect();
        let instances = fs::read_dir(base.join("instances")).into_iter().flatten().flatten();
        left.extend(instances.map(|e| e.path().display().to_string()));
        // The bridge is there as long as any machine is.
        if let Ok(network) = fs::read_to_string(base.join("network.json")) {
            left.push(format!("network.json: {network}"));
        }
        left
    }
}

/// After a failure too, nothing stays on this computer.
impl Drop for Lab {
    fn drop(&mut self) {
        let names = fs::read_dir(self.store().join("machines")).into_iter().flatten().flatten();
        let names: Vec<String> =
            names.filter_map(|e| e.file_name().into_string().ok()).filter(|n| !n.starts_with('.')).collect();
        if !names.is_empty() {
            if std::thread::panicking() {
                eprintln!("removing {} after a failure", names.join(", "));
            }
            let mut args = vec!["rm", "-f"];
            args.extend(names.iter().map(String::as_str));
            self.machine(&args);
        }
    }
}
