//! Twenty real hosts on which nothing is to do, beside those who check the same: the OpenSSH client (which checks
//! nothing, and is the limit), pyinfra, Ansible with raw commands, and Ansible with its own modules and facts.

use super::{MACHINE, Table, lab::Lab, pairs::Ratio, spread, timed};
use crate::plain;
use machine::name::MachineName;
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Files of a host that everybody checks, and where what they should hold lies in the folder of [`Peers`].
const SHARED: &[(&str, &str)] = &[
    ("daemon.json", "/etc/docker/daemon.json"),
    ("10-machine.conf", "/etc/systemd/system/docker.service.d/10-machine.conf"),
];

/// A host as its login is.
struct Host {
    name: String,
    address: String,
    key: String,
}

/// A program that checks, and how long it takes.
type Run = (&'static str, fn(&Peers) -> Duration);

struct Peers {
    lab: Lab,
    dir: PathBuf,
    fleet: String,
    hosts: Vec<Host>,
    /// Where the programs of the others are.
    programs: PathBuf,
}

/// Times all of them in turns. Needs a package index for Python.
pub(super) fn peers(table: &mut Table, hosts: usize, turns: usize) {
    let Some(programs) = programs() else {
        table.0.push("| no-op beside pyinfra and Ansible | SKIPPED: they could not be installed | | | | |".to_owned());
        return;
    };
    let peers = Peers::new(hosts, programs);
    let runs: [Run; 5] = [
        ("apply", Peers::apply),
        ("`ssh HOST true` on all at once", Peers::ssh),
        ("pyinfra", Peers::pyinfra),
        ("Ansible, `raw`, no facts", |p| p.ansible("raw.yaml")),
        ("Ansible, modules and facts", |p| p.ansible("modules.yaml")),
    ];
    let mut times: [Vec<Duration>; 5] = Default::default();
    for turn in 0..=turns {
        for (n, (_, run)) in runs.iter().enumerate() {
            // The last takes minutes, and is so far behind that two turns tell.
            if n + 1 == runs.len() && !(1..=2).contains(&turn) {
                continue;
            }
            let took = run(&peers);
            // The first turn warms all of them up.
            if turn > 0 {
                times[n].push(took);
            }
        }
    }
    let goals = ["≤ 1.2", "≤ 0.4", "≤ 0.4", "≤ 0.1"];
    for n in 1..runs.len() {
        let beside = format!("{}: {}", runs[n].0, spread(&times[n]));
        let what = format!("no-op `apply`, {hosts} hosts, beside {}", runs[n].0.split(',').next().unwrap_or_default());
        table.line(&what, &times[0], goals[n - 1], &beside, &Ratio::of(&times[0], &times[n]).to_string(), "");
    }
}

/// Installs the others once, into the build's folder.
fn programs() -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers");
    let bin = dir.join("bin");
    if !bin.join("pyinfra").exists() || !bin.join("ansible-playbook").exists() {
        eprintln!("installing pyinfra and ansible-core");
        let made = Command::new("python3").args(["-m", "venv"]).arg(&dir).status();
        let installed = Command::new(bin.join("pip")).args(["install", "-q", "pyinfra", "ansible-core"]).status();
        if !made.is_ok_and(|s| s.success()) || !installed.is_ok_and(|s| s.success()) {
            return None;
        }
    }
    Some(bin)
}

impl Peers {
    fn new(count: usize, programs: PathBuf) -> Self {
        let lab = Lab::new();
        let root = root(&lab);
        let fleet = format!(
            "fleet: peers\npolicy: {{ parallel: 64 }}\nhosts: {{ web: {{ driver: nspawn, image: {}, count: {count} }} }}\n",
            root.display()
        );
        let fleet = lab.file("peers.yaml", &fleet);
        eprintln!("making {count} hosts");
        lab.machine(&["apply", "--yes", &fleet]).ok();
        let dir = lab.path("peers");
        fs::create_dir_all(&dir).expect("a folder");
        let store = plain::folder(lab.store());
        let (mut hosts, mut known) = (Vec::new(), String::new());
        for n in 1..=count {
            let name = MachineName::new(format!("web-{n}")).expect("a name");
            let instance = store.get(&name).expect("a record").instance.expect("an instance");
            let ssh = instance.ssh.expect("a login");
            writeln!(known, "{} {}", ssh.host, instance.host_keys[0]).expect("a text takes all");
            hosts.push(Host { name: name.to_string(), address: ssh.host, key: ssh.key.expect("a key") });
        }
        fs::write(dir.join("known_hosts"), known).expect("a file is written");
        for (file, path) in SHARED {
            let said = lab.machine(&["ssh", "web-1", "cat", path]).ok();
            fs::write(dir.join(file), said.out).expect("a file is written");
        }
        let peers = Self { lab, dir, fleet, hosts, programs };
        peers.write_pyinfra();
        peers.write_ansible();
        peers
    }

    fn file(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    /// Where the certificate of a host lies here.
    fn certificate(&self, host: &str, file: &str) -> String {
        self.lab.store().join("machines").join(host).join(file).display().to_string()
    }

    fn write_pyinfra(&self) {
        let mut inventory = "hosts = [\n".to_owned();
        for Host { name, address, key } in &self.hosts {
            writeln!(
                inventory,
                "  ({name:?}, {{'ssh_hostname': {address:?}, 'ssh_user': 'root', 'ssh_key': {key:?}, \
                 'ssh_known_hosts_file': {:?}, 'ssh_strict_host_key_checking': 'yes'}}),",
                self.file("known_hosts")
            )
            .expect("a text takes all");
        }
        inventory.push_str("]\n");
        fs::write(self.dir.join("inventory.py"), inventory).expect("a file is written");
        let mut deploy = "from pyinfra import host\nfrom pyinfra.operations import apt, files, systemd\n\
             apt.packages(packages=['docker.io'])\n\
             systemd.service(service='docker.service', running=True, enabled=True)\n"
            .to_owned();
        for (file, path) in SHARED {
            writeln!(deploy, "files.put(src={:?}, dest={path:?})", self.file(file)).expect("a text takes all");
        }
        for file in ["ca.pem", "server.pem"] {
            let source = self.certificate("{host.name}", file);
            writeln!(deploy, "files.put(src=f{source:?}, dest='/etc/docker/{file}')").expect("a text takes all");
        }
        fs::write(self.dir.join("deploy.py"), deploy).expect("a file is written");
    }

    fn write_ansible(&self) {
        let mut inventory = "[web]\n".to_owned();
        for Host { name, address, key } in &self.hosts {
            writeln!(
                inventory,
                "{name} ansible_host={address} ansible_user=root ansible_ssh_private_key_file={key} \
                 ansible_python_interpreter=/usr/bin/python3"
            )
            .expect("a text takes all");
        }
        fs::write(self.dir.join("inventory.ini"), inventory).expect("a file is written");
        let config = format!(
            "[defaults]\nforks = 64\nhost_key_checking = True\nretry_files_enabled = False\n[ssh_connection]\n\
             pipelining = True\nssh_args = -F none -o ControlMaster=auto -o ControlPersist=60s -o UserKnownHostsFile={}\n",
            self.file("known_hosts")
        );
        fs::write(self.dir.join("ansible.cfg"), config).expect("a file is written");
        let raw = "- hosts: web\n  gather_facts: false\n  tasks:\n\
             \x20   - raw: dpkg-query -W docker.io\n      changed_when: false\n\
             \x20   - raw: systemctl is-active docker.service && systemctl is-enabled docker.service\n      changed_when: false\n\
             \x20   - raw: cat /etc/docker/daemon.json /etc/systemd/system/docker.service.d/10-machine.conf\n      changed_when: false\n\
             \x20   - raw: sha256sum /etc/docker/ca.pem /etc/docker/server.pem\n      changed_when: false\n";
        fs::write(self.dir.join("raw.yaml"), raw).expect("a file is written");
        let mut modules = "- hosts: web\n  gather_facts: true\n  tasks:\n\
             \x20   - ansible.builtin.apt: { name: docker.io, state: present }\n\
             \x20   - ansible.builtin.systemd_service: { name: docker.service, state: started, enabled: true }\n"
            .to_owned();
        for (file, path) in SHARED {
            writeln!(modules, "    - ansible.builtin.copy: {{ src: {:?}, dest: {path} }}", self.file(file))
                .expect("a text takes all");
        }
        for file in ["ca.pem", "server.pem"] {
            let source = self.certificate("{{ inventory_hostname }}", file);
            writeln!(modules, "    - ansible.builtin.copy: {{ src: {source:?}, dest: /etc/docker/{file} }}")
                .expect("a text takes all");
        }
        fs::write(self.dir.join("modules.yaml"), modules).expect("a file is written");
    }

    fn apply(&self) -> Duration {
        let start = Instant::now();
        let said = self.lab.machine(&["apply", &self.fleet]).ok();
        let took = start.elapsed();
        assert!(said.out.starts_with("Nothing to do"), "{}", said.out);
        took
    }

    fn ssh(&self) -> Duration {
        let known = format!("UserKnownHostsFile={}", self.file("known_hosts"));
        let start = Instant::now();
        let of = |Host { address, key, .. }: &Host| {
            let mut command = self.lab.command("ssh");
            command.args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", &known]);
            command.args(["-o", "IdentitiesOnly=yes", "-i", key, "-l", "root", address, "true"]);
            command.spawn().expect("ssh starts")
        };
        let running: Vec<_> = self.hosts.iter().map(of).collect();
        for mut child in running {
            assert!(child.wait().expect("it is ours to wait for").success());
        }
        start.elapsed()
    }

    fn pyinfra(&self) -> Duration {
        let mut command = Command::new(self.programs.join("pyinfra"));
        command.args(["-y", "inventory.py", "deploy.py"]).current_dir(&self.dir);
        timed(command)
    }

    fn ansible(&self, playbook: &str) -> Duration {
        // Connections that were kept open would leave out what everybody else does.
        let sockets = self.lab.path("home").join(".ansible/cp");
        let mut command = self.lab.command(self.programs.join("ansible-playbook").to_str().expect("a plain path"));
        command.args(["-i", "inventory.ini", playbook]).current_dir(&self.dir);
        command.env("ANSIBLE_CONFIG", self.file("ansible.cfg")).env("LC_ALL", "C.UTF-8");
        command.env("ANSIBLE_SSH_CONTROL_PATH_DIR", &sockets);
        let took = timed(command);
        let mut end = self.lab.command("pkill");
        end.args(["-f", &format!("ssh: {}", sockets.display())]).stdout(Stdio::null());
        end.status().expect("pkill starts");
        took
    }
}

/// The image of the driver with an engine and Python, so that twenty hosts need not install them.
fn root(lab: &Lab) -> PathBuf {
    let seed =
        lab.file("seed.yaml", "fleet: seed\nhosts: { seed: { driver: nspawn } }\ndefaults: { engine: { api: ssh } }\n");
    eprintln!("making the image");
    lab.machine(&["apply", "--yes", &seed]).ok();
    let install = "apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
                   docker.io python3 python3-apt";
    lab.machine(&["ssh", "seed", install]).ok();
    // Without what a host has of its own: names and keys are made anew for each.
    let root = lab.path("root.tar");
    let pack = "tar -C / --one-file-system --exclude=./proc --exclude=./sys --exclude=./run --exclude=./tmp --exclude=./dev \
                --exclude=./var/lib/docker --exclude=./var/lib/containerd --exclude=./etc/docker --exclude=./root/.ssh \
                --exclude=./etc/ssh/ssh_host_* --exclude=./etc/systemd/system/docker.service.d -cf - .";
    let mut command = lab.command(MACHINE);
    command.args(["ssh", "seed", pack]).stdout(fs::File::create(&root).expect("a file"));
    assert!(command.status().expect("machine starts").success(), "the image could not be packed");
    lab.machine(&["destroy", "--yes", &seed]).ok();
    root
}
