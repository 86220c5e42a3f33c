//! A real `sshd` and `ssh-agent`, each with keys and files of its own.

use crate::skip::skipped;
use machine::{name::MachineName, record::SshEndpoint, transport::Target};
use std::{
    fs,
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        LazyLock, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};
use tempfile::TempDir;

const SSHD: &str = "/usr/sbin/sshd";

/// An RSA key is slow to make, so all servers have the same one.
static RSA: LazyLock<TempDir> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    new_key(&dir.path().join("rsa"), "rsa", "");
    dir
});

#[expect(clippy::disallowed_methods, reason = "the fixture runs OpenSSH's programs")]
fn command(program: &str) -> Command {
    Command::new(program)
}

#[expect(clippy::disallowed_methods, reason = "a fixture's files need not survive a crash")]
fn write(path: &Path, text: impl AsRef<[u8]>) {
    fs::write(path, text).unwrap();
}

/// A port without a listener, which is given out once: below those the kernel hands out. A file of its number is
/// locked as long as this process lives, so that neither another test of it nor another process is given the same.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    static TAKEN: Mutex<Vec<fs::File>> = Mutex::new(Vec::new());
    let folder = std::env::temp_dir().join("machine-test-ports");
    fs::create_dir_all(&folder).unwrap();
    let first = u16::try_from(std::process::id() % 220).unwrap() * 100;
    loop {
        let port = 10_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 22_000;
        let file = fs::OpenOptions::new().create(true).append(true).open(folder.join(port.to_string())).unwrap();
        if file.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            TAKEN.lock().unwrap().push(file);
            return port;
        }
    }
}

/// Makes a key pair with `ssh-keygen`; returns the public key without its comment.
pub(crate) fn new_key(path: &Path, kind: &str, passphrase: &str) -> String {
    new_key_as(path, kind, passphrase, "RFC4716")
}

/// As [`new_key`], in this format of private keys.
pub(crate) fn new_key_as(path: &Path, kind: &str, passphrase: &str, format: &str) -> String {
    let mut keygen = command("ssh-keygen");
    keygen.args(["-q", "-t", kind, "-N", passphrase, "-C", "", "-m", format, "-f"]).arg(path);
    if kind == "rsa" {
        keygen.args(["-b", "2048"]);
    }
    assert!(keygen.status().unwrap().success());
    public(path)
}

fn public(path: &Path) -> String {
    let mut file = path.as_os_str().to_owned();
    file.push(".pub");
    let line = fs::read_to_string(file).unwrap();
    line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

/// A client's key.
pub(crate) struct Keys(TempDir);

impl Keys {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        new_key(&dir.path().join("id"), "ed25519", "");
        Self(dir)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("id")
    }
}

/// A target without a listener.
pub(crate) fn unreachable_target(key: &Path) -> Target {
    target(free_port(), key)
}

fn target(port: u16, key: &Path) -> Target {
    Target {
        machine: MachineName::new("m1").unwrap(),
        ssh: SshEndpoint {
            host: "127.0.0.1".into(),
            port,
            user: user(),
            key: Some(key.display().to_string()),
            passphrase: None,
            jump: None,
        },
        host_keys: Vec::new(),
        jump_keys: Vec::new(),
        connect_timeout: Duration::from_secs(10),
        patience: Duration::ZERO,
        lookup: None,
    }
}

/// Who runs the tests, and logs in.
pub(crate) fn user() -> String {
    let id = command("id").arg("-un").output().unwrap();
    String::from_utf8(id.stdout).unwrap().trim().to_owned()
}

/// An OpenSSH server on loopback with host keys of three kinds.
pub(crate) struct Server {
    pub(crate) port: u16,
    dir: TempDir,
    child: Option<Child>,
    key: PathBuf,
}

impl Server {
    /// Starts one; `None`, having said why, when there is no `sshd`. `config` is added to its configuration;
    /// `key`: the client's key to let in, instead of a new one.
    pub(crate) fn start_for(config: &str, key: Option<&Path>) -> Option<Self> {
        let mut server = Self::prepare(config, key)?;
        server.boot();
        Some(server)
    }

    /// Makes everything but the process.
    pub(crate) fn prepare(config: &str, key: Option<&Path>) -> Option<Self> {
        if !Path::new(SSHD).exists() {
            skipped(format_args!("{SSHD} is not installed"));
            return None;
        }
        // Where sshd, run as root, wants an empty directory to be.
        let _ = fs::create_dir_all("/run/sshd");
        let dir = tempfile::tempdir().unwrap();
        for kind in ["ed25519", "ecdsa"] {
            new_key(&dir.path().join(kind), kind, "");
        }
        for name in ["rsa", "rsa.pub"] {
            fs::copy(RSA.path().join(name), dir.path().join(name)).unwrap();
        }
        let key = key.map_or_else(
            || {
                let own = dir.path().join("client");
                new_key(&own, "ed25519", "");
                own
            },
            Path::to_path_buf,
        );
        let port = free_port();
        let at = dir.path().display();
        // Another home: what the user's own start-up files do is slow, and must not be killed half-way.
        write(
            &dir.path().join("sshd_config"),
            format!(
                "ListenAddress 127.0.0.1:{port}\nHostKey {at}/ed25519\nHostKey {at}/ecdsa\nHostKey {at}/rsa\n\
                 AuthorizedKeysFile {at}/authorized_keys\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n\
                 KbdInteractiveAuthentication no\nPermitRootLogin yes\nPidFile none\nLogLevel VERBOSE\nSetEnv HOME={at}\n{config}"
            ),
        );
        let server = Self { port, dir, child: None, key };
        server.allow_only(&public(&server.key));
        Some(server)
    }

    /// Starts the process and waits until it answers.
    pub(crate) fn boot(&mut self) {
        let log = fs::File::create(self.dir.path().join("log")).unwrap();
        let config = self.dir.path().join("sshd_config");
        let mut sshd = command(SSHD);
        sshd.args(["-D", "-e", "-f"]).arg(config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(sshd.spawn().unwrap());
        let started = Instant::now();
        while !self.log().contains("Server listening on") {
            assert!(started.elapsed() < Duration::from_secs(10), "sshd does not start: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// How to reach it, with nothing pinned.
    pub(crate) fn target(&self) -> Target {
        target(self.port, &self.key)
    }

    /// The key it lets in.
    pub(crate) fn key(&self) -> &Path {
        &self.key
    }

    /// Lets one more key in.
    pub(crate) fn allow(&self, key: &str) {
        let path = self.dir.path().join("authorized_keys");
        let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
        writeln!(file, "{key}").unwrap();
    }

    /// Lets this key in and no other.
    pub(crate) fn allow_only(&self, key: &str) {
        write(&self.dir.path().join("authorized_keys"), format!("{key}\n"));
    }

    pub(crate) fn host_key(&self, kind: &str) -> String {
        public(&self.dir.path().join(kind))
    }

    /// As OpenSSH itself prints it.
    pub(crate) fn fingerprint(&self, kind: &str) -> String {
        let printed = command("ssh-keygen").arg("-lf").arg(self.dir.path().join(kind)).output().unwrap();
        let printed = String::from_utf8(printed.stdout).unwrap();
        printed.split_whitespace().nth(1).unwrap().to_owned()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// How many logins succeeded.
    pub(crate) fn logins(&self) -> usize {
        self.log().lines().filter(|l| l.starts_with("Accepted publickey")).count()
    }

    /// Runs the test of this name, on a terminal of 33 rows and 101 columns, types
    /// `input`, and returns all that was printed. `None`, having said why, without `script` of util-linux.
    pub(crate) fn on_a_terminal(&self, test: &str, input: &str) -> Option<String> {
        if command("script").arg("--version").stdout(Stdio::null()).status().is_err() {
            skipped("`script` is not installed");
            return None;
        }
        let exe = std::env::current_exe().unwrap();
        let inner = format!(
            "stty rows 33 cols 101; echo settings=$(stty -g); {} --exact {test} --nocapture; echo settings=$(stty -g)",
            exe.display()
        );
        let mut script = command("script");
        script.args(["-q", "-e", "-c", &inner, "/dev/null"]);
        script.env("TEST_KEY", &self.key).env("TEST_PORT", self.port.to_string());
        let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        // Open until it has ended: the end of input would end the terminal.
        let output = child.wait_with_output().unwrap();
        drop(stdin);
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Pulls the plug: the listener and all that came of it, at once.
    pub(crate) fn kill(&self) {
        let mut pids = vec![self.child.as_ref().unwrap().id()];
        let mut next = 0;
        while next < pids.len() {
            pids.extend(children(pids[next]));
            next += 1;
        }
        command("kill").arg("-KILL").args(pids.iter().map(u32::to_string)).stderr(Stdio::null()).status().unwrap();
    }
}

/// The processes a process has started (proc(5): the parent is the second field after the name).
fn children(parent: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_child = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        after_name.split_whitespace().nth(1) == Some(parent.to_string().as_str())
    };
    all.filter(is_child).collect()
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.is_some() {
            // Sessions that were stopped by a test would stay for ever.
            self.kill();
        }
        if let Some(child) = &mut self.child {
            let _ = child.wait();
        }
    }
}

/// An SSH agent.
pub(crate) struct Agent {
    pub(crate) socket: PathBuf,
    child: Child,
}

impl Agent {
    pub(crate) fn start(dir: &Path) -> Self {
        let socket = dir.join("agent.sock");
        let mut agent = command("ssh-agent");
        agent.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).stderr(Stdio::null());
        let child = agent.spawn().unwrap();
        let started = Instant::now();
        while !socket.exists() {
            assert!(started.elapsed() < Duration::from_secs(10), "ssh-agent does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { socket, child }
    }

    /// Loads a key.
    pub(crate) fn add(&self, key: &Path, passphrase: &str) {
        let ask = key.with_extension("askpass");
        write(&ask, format!("#!/bin/sh\necho '{passphrase}'\n"));
        assert!(command("chmod").arg("700").arg(&ask).status().unwrap().success());
        let mut add = command("ssh-add");
        add.arg("-q").arg(key).env("SSH_AUTH_SOCK", &self.socket).env("SSH_ASKPASS", &ask);
        add.env("SSH_ASKPASS_REQUIRE", "force").stdin(Stdio::null()).stderr(Stdio::null());
        assert!(add.status().unwrap().success());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
