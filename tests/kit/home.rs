//! A home directory, a store and nothing else of this computer: no variable, no configuration.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// How a program ended and what it said.
#[derive(Debug)]
pub(crate) struct Run {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A home of its own.
pub(crate) struct Home {
    dir: tempfile::TempDir,
    store: PathBuf,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self::with_store("store")
    }

    /// With a store whose folder is called this.
    pub(crate) fn with_store(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join(name);
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_machine"), dir.path().join("docker-machine")).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_machine"), dir.path().join("machine")).unwrap();
        Self { dir, store }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn store(&self) -> &Path {
        &self.store
    }

    pub(crate) fn default_store(&self) -> PathBuf {
        self.path().join(".docker")
    }

    pub(crate) fn docker_machine_path(&self) -> PathBuf {
        self.path().join("docker-machine")
    }

    pub(crate) fn machine(&self, words: &[&str]) -> Run {
        self.run("machine", words, &[], "")
    }

    pub(crate) fn docker_machine(&self, words: &[&str]) -> Run {
        self.run("docker-machine", words, &[], "")
    }

    /// On the prepared store.
    pub(crate) fn in_store(&self, program: &str, words: &[&str]) -> Run {
        let store = self.store.display().to_string();
        self.run(program, &[&["-s", &store], words].concat(), &[], "")
    }

    /// Nothing of the environment but what is given gets through.
    pub(crate) fn run(&self, program: &str, words: &[&str], variables: &[(&str, &str)], input: &str) -> Run {
        let mut command = self.command(&self.path().join(program).display().to_string());
        command.args(words).envs(variables.iter().copied());
        finish(command, input)
    }

    /// A script in a real shell; `$M` is the command that prints the environment of machine `default`.
    pub(crate) fn shell(&self, shell: &str, script: &str) -> Run {
        let mut command = self.command(shell);
        match shell {
            "zsh" | "tcsh" | "bsd-csh" => command.arg("-f"),
            "xonsh" => command.arg("--no-rc"),
            "fish" => command.arg("--no-config"),
            _ => &mut command,
        };
        command.args(["-c", script]);
        // Shells must take paths for UTF-8, as they do for a person.
        command.env("MACHINE_STORAGE_PATH", &self.store).env("LC_ALL", "C.UTF-8");
        let word = if shell == "bsd-csh" { "csh" } else { shell };
        command.env("M", format!("{} env --shell {word} default", self.docker_machine_path().display()));
        finish(command, "")
    }

    /// With a standard output without a reader.
    pub(crate) fn without_reader(&self, words: &[&str]) -> Run {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = self.command(&self.path().join("machine").display().to_string());
        command.arg("-s").arg(&self.store).args(words).stdout(writer);
        let output = command.stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        Run {
            status: output.status.code().unwrap_or(-1),
            stdout: String::new(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the tests run the program, and shells that read what it prints")]
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("HOME", self.path()).env("PATH", "/usr/bin:/bin").env("USER", "tester");
        command.current_dir(self.path());
        command
    }

    /// A file in the store.
    pub(crate) fn write(&self, path: &str, content: &str) {
        let path = self.store.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        #[expect(clippy::disallowed_methods, reason = "a fixture needs no durability")]
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// A machine of driver none, as docker-machine writes it.
    pub(crate) fn none(&self, name: &str, url: &str) {
        let store = serde_json::to_string(&self.store.display().to_string()).unwrap();
        let address = url.trim_start_matches("tcp://");
        let driver = format!(
            r#"{{"IPAddress": "{address}", "MachineName": "{name}", "SSHUser": "", "SSHPort": 0, "SSHKeyPath": "",
            "StorePath": {store}, "SwarmMaster": false, "SwarmHost": "", "SwarmDiscovery": "", "URL": "{url}"}}"#
        );
        self.config(name, "none", &driver, "{}");
    }

    /// A machine as docker-machine writes it; `options` are merged over the usual host options.
    pub(crate) fn config(&self, name: &str, driver_name: &str, driver: &str, options: &str) {
        let store = self.store.display().to_string();
        let at = |path: &str| format!("{store}/{path}");
        let mut host = serde_json::json!({
            "Driver": "", "Memory": 0, "Disk": 0,
            "EngineOptions": {
                "ArbitraryFlags": [], "Dns": null, "GraphDir": "", "Env": [], "Ipv6": false, "InsecureRegistry": [],
                "Labels": [], "LogLevel": "", "StorageDriver": "", "SelinuxEnabled": false, "TlsVerify": true,
                "RegistryMirror": [], "InstallURL": "https://get.docker.com"
            },
            "SwarmOptions": {
                "IsSwarm": false, "Address": "", "Discovery": "", "Agent": false, "Master": false,
                "Host": "tcp://0.0.0.0:3376", "Image": "swarm:latest", "Strategy": "spread", "Heartbeat": 0,
                "Overcommit": 0, "ArbitraryFlags": [], "ArbitraryJoinFlags": [], "Env": null, "IsExperimental": false
            },
            "AuthOptions": {
                "CertDir": at("certs"), "CaCertPath": at("certs/ca.pem"), "CaPrivateKeyPath": at("certs/ca-key.pem"),
                "CaCertRemotePath": "", "ServerCertPath": at(&format!("machines/{name}/server.pem")),
                "ServerKeyPath": at(&format!("machines/{name}/server-key.pem")), "ClientKeyPath": at("certs/key.pem"),
                "ServerCertRemotePath": "", "ServerKeyRemotePath": "", "ClientCertPath": at("certs/cert.pem"),
                "ServerCertSANs": [], "StorePath": at(&format!("machines/{name}"))
            }
        });
        let over: serde_json::Value = serde_json::from_str(options).unwrap();
        for (part, keys) in over.as_object().unwrap() {
            for (key, value) in keys.as_object().unwrap() {
                host[part][key] = value.clone();
            }
        }
        let driver: serde_json::Value = serde_json::from_str(driver).unwrap();
        let document = serde_json::json!({
            "ConfigVersion": 3, "Driver": driver, "DriverName": driver_name, "HostOptions": host, "Name": name
        });
        self.write(&format!("machines/{name}/config.json"), &serde_json::to_string_pretty(&document).unwrap());
    }
}

fn finish(mut command: Command, input: &str) -> Run {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A program that does not read its input may have ended already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Run {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Whether a program is installed.
pub(crate) fn available(program: &str) -> bool {
    ["/usr/bin", "/bin"].iter().any(|dir| Path::new(dir).join(program).exists())
}

/// Blanks at the end of lines made visible, so that a snapshot keeps them.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = String::new();
    for line in text.lines() {
        let trimmed = line.trim_end_matches(' ');
        shown.push_str(trimmed);
        shown.push_str(&"·".repeat(line.len() - trimmed.len()));
        shown.push('\n');
    }
    shown
}
