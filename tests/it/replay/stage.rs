//! Where command lines are played: a home and stores of their own for each, and servers that machines stand for.

use super::case::{Case, Said};
use crate::{
    sshd::{self, Server as Sshd},
    tls_engine::{Authority, Behaviour, PING, Server as Engine, json},
};
use rcgen::ExtendedKeyUsagePurpose;
use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::{Command, Stdio},
};

/// The engine docker-machine 0.16 was made for.
const VERSION: &str = r#"{"Version":"18.09.7","ApiVersion":"1.39","MinAPIVersion":"1.12"}"#;

/// A machine of a prepared store: its name, its driver and what its config.json says in other places than usual.
struct Machine {
    name: &'static str,
    driver: &'static str,
    /// Text of the `Driver` object beyond the base, and the base fields that are not empty.
    ip: &'static str,
    ssh: &'static str,
    more: &'static str,
    labels: &'static str,
    swarm: &'static str,
}

const fn none(name: &'static str, url: &'static str, ip: &'static str) -> Machine {
    Machine { name, driver: "none", ip, ssh: "", more: url, labels: "[]", swarm: "" }
}

/// In the order of `ls`. `{LIVE}` is the port of an engine, `{CLOSED}` one without a listener.
const MIXED: &[Machine] = &[
    Machine {
        name: "box",
        driver: "generic",
        ip: "127.0.0.1",
        ssh: "{SSHD}",
        more: r#""EnginePort": {LIVE}, "SSHKey": """#,
        labels: r#"["tier=web", "Zone=A"]"#,
        swarm: "",
    },
    none("foo", r#""URL": "tcp://127.0.0.1:{CLOSED}""#, "127.0.0.1:{CLOSED}"),
    none("live", r#""URL": "tcp://127.0.0.1:{LIVE}""#, "127.0.0.1:{LIVE}"),
    Machine {
        name: "master",
        driver: "none",
        ip: "127.0.0.1:{LIVE}",
        ssh: "",
        more: r#""URL": "tcp://127.0.0.1:{LIVE}""#,
        labels: "[]",
        swarm: "master",
    },
    Machine {
        name: "off",
        driver: "generic",
        ip: "127.0.0.1",
        ssh: "{CLOSED}",
        more: r#""EnginePort": 2376, "SSHKey": """#,
        labels: r#"["tier=db"]"#,
        swarm: "",
    },
];

/// Names that sort in another order as bytes, without regard to case, and by their numbers.
const NAMES: &[&str] = &["10x", "2x", "a", "a.b", "a-b", "B", "m1", "m2", "M10", "Zeta"];

pub(crate) struct Stage {
    authority: Authority,
    server: (String, String),
    client: (String, String),
    sshd: Sshd,
    live: u16,
    closed: u16,
    hanging: TcpListener,
    _runtime: tokio::runtime::Runtime,
}

impl Stage {
    /// `None`, having said why, when there is no `sshd`.
    pub(crate) fn build() -> Option<Self> {
        let sshd = Sshd::start_for("Subsystem sftp internal-sftp\nMaxStartups 500", None)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let authority = Authority::new("tester");
        let server = authority.issue("127.0.0.1", ExtendedKeyUsagePurpose::ServerAuth, false);
        let client = authority.client();
        let answers = Behaviour::Answers(PING.to_owned(), json("200 OK", VERSION));
        let engine = runtime.block_on(Engine::tls(answers, &authority, server.clone(), &rustls::version::TLS12));
        let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
        Some(Self {
            authority,
            server,
            client,
            sshd,
            live: engine.port,
            closed: sshd::free_port(),
            hanging,
            _runtime: runtime,
        })
    }

    /// Plays a command line with a program in docker-machine's place.
    pub(crate) fn play(&self, case: &Case, program: &Path) -> Said {
        self.play_as("docker-machine", case, program)
    }

    /// The same, and the program is called otherwise.
    pub(crate) fn play_as(&self, name: &str, case: &Case, program: &Path) -> Said {
        let home = tempfile::tempdir().unwrap();
        let store = home.path().join("store");
        self.furnish(&store, &case.store);
        let bin = home.path().join("bin");
        fs::create_dir(&bin).unwrap();
        symlink(program, bin.join(name)).unwrap();
        #[expect(clippy::disallowed_methods, reason = "command lines are lines of a shell")]
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", &self.filled(&case.line, &store)])
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
            .env("HOME", home.path())
            .env("USER", "tester")
            .env("SHELL", "/bin/bash")
            .env("LC_ALL", "C.UTF-8")
            .env("MACHINE_STORAGE_PATH", &store)
            .env("MACHINE_BUGSNAG_API_TOKEN", "no-report")
            .current_dir(home.path())
            .stdin(Stdio::null());
        let output = command.output().unwrap();
        let named = |bytes: &[u8]| self.named(&String::from_utf8_lossy(bytes), home.path());
        Said {
            status: output.status.code().unwrap_or(-1),
            stdout: named(&output.stdout),
            stderr: named(&output.stderr),
        }
    }

    /// A store as docker-machine leaves it.
    fn furnish(&self, store: &Path, kind: &str) {
        if kind == "empty" {
            return;
        }
        let machines = store.join("machines");
        fs::create_dir_all(&machines).unwrap();
        match kind {
            "names" => {
                for name in NAMES {
                    let machine = none(name, r#""URL": "tcp://127.0.0.1:{CLOSED}""#, "127.0.0.1:{CLOSED}");
                    self.put(store, &machine);
                }
                return;
            }
            "old" => return self.furnish_old(store),
            _ => {}
        }
        let certs = store.join("certs");
        fs::create_dir_all(&certs).unwrap();
        let (cert, key) = &self.client;
        for (file, text) in [("ca.pem", &self.authority.pem), ("cert.pem", cert), ("key.pem", key)] {
            write(&certs.join(file), text);
        }
        write(&certs.join("ca-key.pem"), self.authority.issuer.key().serialize_pem());
        for machine in MIXED {
            let folder = machines.join(machine.name);
            fs::create_dir(&folder).unwrap();
            let (server, server_key) = &self.server;
            if machine.driver != "none" {
                for (file, text) in [
                    ("ca.pem", &self.authority.pem),
                    ("cert.pem", cert),
                    ("key.pem", key),
                    ("server.pem", server),
                    ("server-key.pem", server_key),
                ] {
                    write(&folder.join(file), text);
                }
                write(&folder.join("id_test"), fs::read_to_string(self.sshd.key()).unwrap());
            }
            write(&folder.join("config.json"), self.filled(&config(machine), store));
        }
        match kind {
            "mixed" => {}
            "broken" => {
                write(&machines.join("foo/config.json"), "{ not json");
                fs::create_dir(machines.join("hollow")).unwrap();
            }
            "hanging" => {
                self.put(store, &none("hang", r#""URL": "tcp://127.0.0.1:{HANGING}""#, "127.0.0.1:{HANGING}"));
            }
            "default" => {
                self.put(store, &none("default", r#""URL": "tcp://127.0.0.1:{LIVE}""#, "127.0.0.1:{LIVE}"));
            }
            other => panic!("there is no store `{other}`"),
        }
    }

    /// A machine's folder with nothing but its record.
    fn put(&self, store: &Path, machine: &Machine) {
        let folder = store.join("machines").join(machine.name);
        fs::create_dir(&folder).unwrap();
        write(&folder.join("config.json"), self.filled(&config(machine), store));
    }

    /// Records of the versions 0 to 2. Their driver is one that both programs have, and they are off.
    fn furnish_old(&self, store: &Path) {
        for (version, name) in [("v0", "v0"), ("v1", "v1"), ("v2", "v2"), ("v2", "v2-bare")] {
            let file = format!("tests/stores/{version}/machines/{name}/config.json");
            let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
            let text = text.replace("/home/u/.docker/machine", "{STORE}").replace("virtualbox", "generic");
            let text = ["10.0.0.9", "10.0.0.1", "10.0.0.2"].iter().fold(text, |t, ip| t.replace(ip, "127.0.0.1"));
            let text = text.replace("\"SSHPort\": 2022", "\"SSHPort\": {CLOSED}");
            let text = text.replace("\"SSHPort\": 22", "\"SSHPort\": {CLOSED}");
            let folder = store.join("machines").join(name);
            fs::create_dir(&folder).unwrap();
            write(&folder.join("config.json"), self.filled(&text, store));
        }
    }

    fn ports(&self) -> [(&'static str, u16); 4] {
        let hanging = self.hanging.local_addr().unwrap().port();
        [("{LIVE}", self.live), ("{CLOSED}", self.closed), ("{SSHD}", self.sshd.port), ("{HANGING}", hanging)]
    }

    fn filled(&self, text: &str, store: &Path) -> String {
        let text = text.replace("{STORE}", &store.display().to_string());
        let text = text.replace("{SSHUSER}", &self.sshd.target().ssh.user);
        self.ports().iter().fold(text, |text, (name, port)| text.replace(name, &port.to_string()))
    }

    /// What changes from run to run, by its name.
    fn named(&self, text: &str, home: &Path) -> String {
        // What a crash of a Go program says where it stood.
        let text = text.split_once("\ngoroutine ").map_or(text, |(said, _)| said);
        let text = text.replace("\r\n", "\n");
        let text = text.replace(&home.join("store").display().to_string(), "{STORE}");
        let text = text.replace(&home.display().to_string(), "{HOME}");
        self.ports().iter().fold(text, |text, (name, port)| text.replace(&port.to_string(), name))
    }
}

/// A config.json, every key as docker-machine 0.16 writes it.
fn config(machine: &Machine) -> String {
    let Machine { name, driver, ip, ssh, more, labels, swarm } = machine;
    let (user, port, key) = match *ssh {
        "" => ("", "0", String::new()),
        port => ("{SSHUSER}", port, format!("{{STORE}}/machines/{name}/id_test")),
    };
    let (is_swarm, master, discovery) = match *swarm {
        "" => (false, false, ""),
        _ => (true, true, "token://abc"),
    };
    let text = format!(
        r#"{{"ConfigVersion": 3, "Driver": {{"IPAddress": "{ip}", "MachineName": "{name}", "SSHUser": "{user}",
        "SSHPort": {port}, "SSHKeyPath": "{key}", "StorePath": "{{STORE}}", "SwarmMaster": false, "SwarmHost": "",
        "SwarmDiscovery": "", {more}}}, "DriverName": "{driver}", "HostOptions": {{"Driver": "", "Memory": 0,
        "Disk": 0, "EngineOptions": {{"ArbitraryFlags": [], "Dns": null, "GraphDir": "", "Env": [], "Ipv6": false,
        "InsecureRegistry": [], "Labels": {labels}, "LogLevel": "", "StorageDriver": "", "SelinuxEnabled": false,
        "TlsVerify": true, "RegistryMirror": [], "InstallURL": "https://get.docker.com"}}, "SwarmOptions":
        {{"IsSwarm": {is_swarm}, "Address": "", "Discovery": "{discovery}", "Agent": false, "Master": {master},
        "Host": "tcp://0.0.0.0:3376", "Image": "swarm:latest", "Strategy": "spread", "Heartbeat": 0,
        "Overcommit": 0, "ArbitraryFlags": [], "ArbitraryJoinFlags": [], "Env": null, "IsExperimental": false}},
        "AuthOptions": {{"CertDir": "{{STORE}}/certs", "CaCertPath": "{{STORE}}/certs/ca.pem", "CaPrivateKeyPath":
        "{{STORE}}/certs/ca-key.pem", "CaCertRemotePath": "", "ServerCertPath":
        "{{STORE}}/machines/{name}/server.pem", "ServerKeyPath": "{{STORE}}/machines/{name}/server-key.pem",
        "ClientKeyPath": "{{STORE}}/certs/key.pem", "ServerCertRemotePath": "", "ServerKeyRemotePath": "",
        "ClientCertPath": "{{STORE}}/certs/cert.pem", "ServerCertSANs": [],
        "StorePath": "{{STORE}}/machines/{name}"}}}}, "Name": "{name}"}}"#
    );
    // Ports are no JSON yet; they become numbers when they are filled in.
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

#[expect(clippy::disallowed_methods, reason = "a fixture's files need not survive a crash")]
fn write(path: &Path, text: impl AsRef<str>) {
    fs::write(path, text.as_ref()).unwrap();
    let secret = path.extension().is_none() || path.to_string_lossy().contains("key") || path.ends_with("config.json");
    fs::set_permissions(path, fs::Permissions::from_mode(if secret { 0o600 } else { 0o644 })).unwrap();
}
