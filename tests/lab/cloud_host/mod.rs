//! Hosts of a cloud that is this computer: `systemd-nspawn` with real cloud-init, each at the address and with the user
//! data a test gives it. What a provider's emulator says it has started can so be logged in to.
//!
//! It needs root. The image is built once, in the user's cache, and stays; all else goes with [`Cloud`].

#![expect(clippy::disallowed_methods, reason = "it builds hosts with this computer's own programs")]

mod image;
mod promises;

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

/// Runs a program, which must succeed.
#[track_caller]
fn run(program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{program} {args:?}: {}\n{said}", out.status);
    String::from_utf8(out.stdout).unwrap()
}

/// A network with hosts in it. Dropped, nothing of it stays.
pub(crate) struct Cloud {
    dir: tempfile::TempDir,
    image: PathBuf,
    bridge: String,
    /// The first three bytes of all its addresses.
    net: [u8; 3],
    hosts: Mutex<Vec<String>>,
}

impl Cloud {
    /// A bridge with an unused /24, and a way out.
    pub(crate) fn new() -> Self {
        Self::of(image::ensure())
    }

    /// Whose hosts have an engine, for tests that are not about installing one.
    pub(crate) fn golden() -> Self {
        Self::of(image::with_engine())
    }

    fn of(image: PathBuf) -> Self {
        let dir = tempfile::Builder::new().prefix("machine-cloud-").tempdir().unwrap();
        let tag = std::process::id() % 100_000;
        // Other tests look for theirs in the same way: one looks and takes at a time.
        let lock = fs::File::create(cache().join("cloud-network.lock")).unwrap();
        lock.lock().unwrap();
        for third in 0..=255_u8 {
            let net = [10, 213, third.wrapping_add(u8::try_from(tag % 251).unwrap())];
            let [a, b, c] = net;
            let (bridge, cidr) = (format!("mc{tag}x{c}"), format!("{a}.{b}.{c}.0/24"));
            if run("ip", &["-4", "-o", "address"]).contains(&format!(" {a}.{b}.{c}.")) {
                continue;
            }
            run("ip", &["link", "add", &bridge, "type", "bridge"]);
            let cloud = Self { dir, image, bridge: bridge.clone(), net, hosts: Mutex::default() };
            run("ip", &["address", "add", &format!("{a}.{b}.{c}.1/24"), "dev", &bridge]);
            run("ip", &["link", "set", &bridge, "up"]);
            fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
            run(
                "iptables",
                &["-w", "-t", "nat", "-A", "POSTROUTING", "-s", &cidr, "!", "-d", &cidr, "-j", "MASQUERADE"],
            );
            return cloud;
        }
        panic!("all of 10.213.0.0/16 is in use");
    }

    /// An address in it; `last` is from 2 to 254.
    pub(crate) fn address(&self, last: u8) -> Ipv4Addr {
        let [a, b, c] = self.net;
        Ipv4Addr::new(a, b, c, last)
    }

    /// Its network, as `10.213.7.0/24`.
    pub(crate) fn cidr(&self) -> String {
        format!("{}/24", self.address(0))
    }

    fn home(&self, id: &str) -> PathBuf {
        self.dir.path().join(id)
    }

    /// Makes the host `id`, which must be a plain name, and starts it. cloud-init obeys `user_data`.
    pub(crate) fn boot(&self, id: &str, address: Ipv4Addr, user_data: &[u8]) {
        let home = self.home(id);
        let upper = home.join("upper");
        for dir in ["upper/var/lib/cloud/seed/nocloud", "upper/etc", "work", "root", "docker", "containerd"] {
            fs::create_dir_all(home.join(dir)).unwrap();
        }
        let seed = upper.join("var/lib/cloud/seed/nocloud");
        fs::write(seed.join("user-data"), user_data).unwrap();
        fs::write(seed.join("meta-data"), format!("instance-id: {id}\nlocal-hostname: {id}\n")).unwrap();
        // The network is the provider's business, not cloud-init's.
        fs::write(seed.join("network-config"), "network: {version: 1, config: disabled}\n").unwrap();
        fs::write(upper.join("etc/machine-id"), "").unwrap();
        fs::copy("/etc/resolv.conf", upper.join("etc/resolv.conf")).unwrap();
        fs::create_dir_all(upper.join("etc/systemd/system")).unwrap();
        fs::write(upper.join("etc/systemd/system/cloud-network.service"), network(address, self.address(1))).unwrap();
        self.hosts.lock().unwrap().push(id.to_owned());
        self.start(id);
    }

    /// Switches a host on; nothing to do when it runs.
    pub(crate) fn start(&self, id: &str) {
        if self.runs(id) {
            return;
        }
        let home = self.home(id);
        let path = |name: &str| home.join(name).display().to_string();
        let overlay = format!("lowerdir={},upperdir={},workdir={}", self.image.display(), path("upper"), path("work"));
        // Mounted in a namespace of its own: it goes with the host.
        // So are its control groups: two hosts in one would take each other's.
        let script = "mkdir -p \"$3\" && echo $$ > \"$3/cgroup.procs\" && \
                      mount -t overlay overlay -o \"$1\" \"$2\" && shift 3 && exec systemd-nspawn \"$@\"";
        self.clear(id);
        let group = self.group(id).display().to_string();
        let log = fs::OpenOptions::new().create(true).append(true).open(home.join("console")).unwrap();
        let child: Child = Command::new("setsid")
            .args([
                "unshare",
                "--mount",
                "--propagation",
                "slave",
                "sh",
                "-c",
                script,
                "sh",
                &overlay,
                &path("root"),
                &group,
            ])
            .args(["--quiet", "--boot", "--register=no", "--keep-unit", "--resolv-conf=off", "--timezone=off"])
            .args(["--capability=all", "--system-call-filter=add_key keyctl bpf"])
            .args([format!("--directory={}", path("root")), format!("--network-bridge={}", self.bridge)])
            .args([format!("--bind={}:/var/lib/docker", path("docker"))])
            .args([format!("--bind={}:/var/lib/containerd", path("containerd"))])
            .args([format!("--machine={}", self.tag(id)), format!("--hostname={id}")])
            .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        fs::write(home.join("pid"), child.id().to_string()).unwrap();
        // It is not waited for: let it be reaped.
        thread::spawn(move || {
            let mut child = child;
            child.wait()
        });
    }

    /// Its control group.
    fn group(&self, id: &str) -> PathBuf {
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        let unified = mounts.lines().find(|line| line.contains(" cgroup2 ")).expect("control groups of version 2");
        Path::new(unified.split(' ').nth(1).unwrap()).join(format!("machine-cloud-{}", self.tag(id)))
    }

    /// Takes away what the kernel and `systemd-nspawn` have left of a host that is off.
    fn clear(&self, id: &str) {
        let (group, began) = (self.group(id), Instant::now());
        // Processes that were killed leave their group a moment later.
        while group.exists() && began.elapsed() < Duration::from_secs(5) {
            let _ = Command::new("find").arg(&group).args(["-depth", "-type", "d", "-delete"]).output();
        }
        let _ = Command::new("rm").args(["-rf", &format!("/run/systemd/nspawn/propagate/{}", self.tag(id))]).status();
    }

    fn tag(&self, id: &str) -> String {
        format!("{}-{id}", self.bridge)
    }

    fn pid(&self, id: &str) -> Option<i32> {
        let pid: i32 = fs::read_to_string(self.home(id).join("pid")).ok()?.parse().ok()?;
        let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        command.contains(&self.tag(id)).then_some(pid)
    }

    /// Whether a host is on.
    pub(crate) fn runs(&self, id: &str) -> bool {
        self.pid(id).is_some()
    }

    fn signal(&self, id: &str, signal: &str) {
        if let Some(pid) = self.pid(id) {
            let _ = Command::new("kill").args([signal, &pid.to_string()]).status();
        }
    }

    /// Kills all processes of a host at once.
    fn destroy(&self, id: &str) {
        let _ = fs::write(self.group(id).join("cgroup.kill"), "1");
        self.wait_off(id, Duration::from_secs(10));
        self.clear(id);
    }

    fn wait_off(&self, id: &str, most: Duration) -> bool {
        let began = Instant::now();
        while self.runs(id) && began.elapsed() < most {
            thread::sleep(Duration::from_millis(50));
        }
        !self.runs(id)
    }

    /// Asks a host to switch off and waits for it; one that does not is killed.
    pub(crate) fn stop(&self, id: &str) {
        self.signal(id, "-TERM");
        if !self.wait_off(id, Duration::from_mins(1)) {
            self.kill(id);
        }
    }

    /// Pulls the plug.
    pub(crate) fn kill(&self, id: &str) {
        self.destroy(id);
        assert!(!self.runs(id), "{id} does not die");
    }

    /// Switches a host off and on again.
    pub(crate) fn reboot(&self, id: &str) {
        self.stop(id);
        self.start(id);
    }

    /// Takes a host away, with its disk.
    pub(crate) fn remove(&self, id: &str) {
        self.kill(id);
        let _ = fs::remove_dir_all(self.home(id));
        self.hosts.lock().unwrap().retain(|other| other != id);
    }

    /// A file of a host, as it is on its disk.
    pub(crate) fn file(&self, id: &str, path: &str) -> PathBuf {
        self.home(id).join("upper").join(path.trim_start_matches('/'))
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        for id in self.hosts.lock().unwrap().clone() {
            self.destroy(&id);
        }
        let cidr = self.cidr();
        let quiet = |program: &str, args: &[&str]| {
            let _ = Command::new(program).args(args).stderr(Stdio::null()).status();
        };
        quiet("iptables", &["-w", "-t", "nat", "-D", "POSTROUTING", "-s", &cidr, "!", "-d", &cidr, "-j", "MASQUERADE"]);
        quiet("ip", &["link", "delete", &self.bridge]);
        // Immutable files of the image's overlay are root's to remove.
        let _ = fs::remove_dir_all(self.dir.path());
    }
}

/// The unit that sets the address which the provider gave.
fn network(address: Ipv4Addr, gateway: Ipv4Addr) -> String {
    format!(
        "[Unit]\n\
         Description=Address that the provider gave\n\
         DefaultDependencies=no\n\
         Wants=network.target\n\
         Before=network-pre.target network.target network-online.target cloud-init-local.service\n\n\
         [Service]\n\
         Type=oneshot\n\
         RemainAfterExit=yes\n\
         ExecStart=ip address replace {address}/24 dev host0\n\
         ExecStart=ip link set host0 up\n\
         ExecStart=ip route replace default via {gateway}\n"
    )
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn until(what: &str, most: Duration, mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < most, "{what}: not within {most:?}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Whether something accepts a TCP connection.
pub(crate) fn open(address: Ipv4Addr, port: u16) -> bool {
    std::net::TcpStream::connect_timeout(&(address, port).into(), Duration::from_millis(500)).is_ok()
}

fn cache() -> PathBuf {
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(|| home.join(".cache"), PathBuf::from);
    Path::new(&cache).join("machine-lab")
}
