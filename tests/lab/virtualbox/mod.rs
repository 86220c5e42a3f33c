//! A computer with VirtualBox: the real `VBoxManage` of Debian sid in namespaces of its own, with only that emulated which
//! needs VirtualBox's kernel module. What runs as a VM is up to the test: see [`VirtualBox::new`].

#![expect(clippy::disallowed_methods, reason = "it builds a computer with this computer's own programs")]

mod child;
mod guest;
mod host;
mod real;
mod sshd;
mod versions;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Does what is done to a VM: `start`, `stop` or `kill`, and its UUID. An error is what VirtualBox says.
pub(crate) type Run = Box<dyn FnMut(&Vms, &str, &str) -> Result<(), String> + Send>;

/// Where VMs are looked at: `VBoxManage`, as the driver runs it.
#[derive(Clone)]
pub(crate) struct Vms {
    lab: PathBuf,
}

impl Vms {
    /// Runs `VBoxManage`.
    pub(crate) fn manage(&self, args: &[&str]) -> Output {
        Command::new(self.lab.join("bin/VBoxManage")).args(args).stdin(Stdio::null()).output().unwrap()
    }

    /// What `VBoxManage` printed, without Debian's warning.
    pub(crate) fn list(&self, args: &[&str]) -> String {
        let out = self.manage(args);
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(out.status.success(), "{args:?}: {said}{}", String::from_utf8_lossy(&out.stderr));
        said.split("until this problem is fixed.").last().unwrap().trim().to_owned()
    }

    /// What it says of a VM.
    pub(crate) fn info(&self, vm: &str) -> BTreeMap<String, String> {
        let text = self.list(&["showvminfo", vm, "--machinereadable"]);
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(k, v)| (k.trim_matches('"').to_owned(), v.trim_matches('"').to_owned())).collect()
    }

    /// The port of this computer that leads to a VM's SSH server.
    pub(crate) fn port(&self, vm: &str) -> u16 {
        let rule = self.info(vm).remove("Forwarding(0)").expect("a rule for SSH");
        rule.split(',').nth(3).unwrap().parse().unwrap()
    }

    /// VMs, disks, CDs and DHCP servers that VirtualBox knows, and interfaces.
    pub(crate) fn all(&self) -> Vec<String> {
        ["vms", "hdds", "dvds", "hostonlyifs"]
            .iter()
            .flat_map(|what| {
                let list = self.list(&["list", what]);
                let lines =
                    list.lines().filter(|l| l.starts_with('"') || l.starts_with("Location") || l.starts_with("Name:"));
                lines.map(str::to_owned).collect::<Vec<_>>()
            })
            .collect()
    }
}

/// The computer. Dropped, nothing of it stays but the root file system in the user's cache.
pub(crate) struct VirtualBox {
    pub(crate) vms: Vms,
    holder: Option<Child>,
    done: Arc<AtomicBool>,
    answers: Option<JoinHandle<()>>,
}

impl VirtualBox {
    /// One whose files are in `lab`, where the store must be, too: both sides see it at the same place.
    pub(crate) fn new(lab: &Path, run: Run) -> Self {
        let root = cache().join("virtualbox/sid");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/lab-virtualbox.sh");
        let lock = lock();
        let made = Command::new("sh").arg(script).arg(&root).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        drop(lock);
        for folder in ["bin", "vbox", "state", "asked", "answered"] {
            fs::create_dir_all(lab.join(folder)).unwrap();
        }
        let (lab, root) = (lab.display().to_string(), root.display().to_string());
        let program = include_str!("VBoxManage").replace("@LAB@", &lab).replace("@ROOT@", &root);
        let path = Path::new(&lab).join("bin/VBoxManage");
        fs::write(&path, program).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let mounts = "set -e; mount -t proc proc \"$1/proc\"; mount -t sysfs sys \"$1/sys\"; mount --rbind /dev \"$1/dev\"; \
                      mount -t tmpfs tmp \"$1/tmp\"; mount -t tmpfs run \"$1/run\"; mkdir -p \"$1$2\"; \
                      mount --bind \"$2\" \"$1$2\"; ip link set lo up; touch \"$2/ready\"; exec sleep infinity";
        let mut holder = Command::new("unshare")
            .args(["--mount", "--pid", "--net", "--ipc", "--fork", "--kill-child=KILL", "--propagation", "slave"])
            .args(["sh", "-c", mounts, "sh", &root, &lab])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let lab = PathBuf::from(lab);
        let children = format!("/proc/{0}/task/{0}/children", holder.id());
        for _ in 0..500 {
            if lab.join("ready").exists() {
                break;
            }
            assert!(holder.try_wait().unwrap().is_none(), "the namespaces could not be made");
            thread::sleep(Duration::from_millis(20));
        }
        let child = fs::read_to_string(children).unwrap();
        fs::write(lab.join("pid"), child.trim()).unwrap();
        Self::of(lab, Some(holder), run)
    }

    /// One of a version that is not here: its program is a script that says what that version says.
    pub(crate) fn playing(version: &str, lab: &Path, run: Run) -> Self {
        for folder in ["bin", "asked", "answered"] {
            fs::create_dir_all(lab.join(folder)).unwrap();
        }
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/virtualbox").join(version);
        let program = include_str!("play").replace("@LAB@", &lab.display().to_string());
        let program = program.replace("@GOLDEN@", &golden.display().to_string()).replace("@VERSION@", version);
        let path = lab.join("bin/VBoxManage");
        fs::write(&path, program).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self::of(lab.to_owned(), None, run)
    }

    fn of(lab: PathBuf, holder: Option<Child>, run: Run) -> Self {
        let vms = Vms { lab };
        let done = Arc::new(AtomicBool::new(false));
        let answers = thread::spawn({
            let (vms, done) = (vms.clone(), Arc::clone(&done));
            move || answer(&vms, &done, run)
        });
        Self { vms, holder, done, answers: Some(answers) }
    }

    /// PATH with `VBoxManage` in it.
    pub(crate) fn path(&self) -> String {
        format!("{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", self.vms.lab.join("bin").display())
    }

    /// All calls that were made, one to a line.
    pub(crate) fn calls(&self) -> String {
        fs::read_to_string(self.vms.lab.join("calls")).unwrap_or_default()
    }
}

/// Does what `VBoxManage` asks for, until the end.
fn answer(vms: &Vms, done: &AtomicBool, mut run: Run) {
    let (asked, answered) = (vms.lab.join("asked"), vms.lab.join("answered"));
    while !done.load(Ordering::Relaxed) {
        for entry in fs::read_dir(&asked).into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().unwrap();
            if name.starts_with('.') {
                continue;
            }
            let text = fs::read_to_string(entry.path()).unwrap();
            let (what, vm) = text.trim().split_once(' ').unwrap();
            let said = run(vms, what, vm).map_or_else(|why| why, |()| "ok".to_owned());
            fs::remove_file(entry.path()).unwrap();
            fs::write(answered.join(format!(".{name}")), format!("{said}\n")).unwrap();
            fs::rename(answered.join(format!(".{name}")), answered.join(&name)).unwrap();
        }
        thread::sleep(Duration::from_millis(10));
    }
}

impl Drop for VirtualBox {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(mut holder) = self.holder.take() {
            let _ = holder.kill();
            let _ = holder.wait();
        }
        if let Some(answers) = self.answers.take() {
            let _ = answers.join();
        }
    }
}

/// One test at a time makes the root file system.
fn lock() -> fs::File {
    fs::create_dir_all(cache().join("virtualbox")).unwrap();
    let file = fs::File::create(cache().join("virtualbox/.lock")).unwrap();
    file.lock().unwrap();
    file
}

fn cache() -> PathBuf {
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(|| home.join(".cache"), PathBuf::from);
    cache.join("machine-lab")
}

/// A file of the CD that is plugged into a VM.
pub(crate) fn of_seed(vms: &Vms, vm: &str, file: &str) -> Vec<u8> {
    let cd = vms.info(vm).remove("SATA-0-0").expect("a CD");
    let out = Command::new("isoinfo").args(["-R", "-i", &cd, "-x", &format!("/{file}")]).output().unwrap();
    assert!(out.status.success(), "{out:?}");
    out.stdout
}
