//! Hosts that exist already, Docker's own packages, and twenty machines at once, on real hosts.
//!
//! The machines of the lab are made by one store and then treated, by their addresses and keys alone, as hosts of
//! other people by a second store with driver `generic`.

use crate::{
    lab::{self, Lab, Said},
    mirror::Mirror,
};
use machine::engine::EngineSpec;
use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
    time::Instant,
};

/// A second store, which knows nothing of the first.
struct Ours<'a>(&'a Lab);

impl Ours<'_> {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.0.command(env!("CARGO_BIN_EXE_machine"));
        command.env("MACHINE_STORAGE_PATH", self.0.path("ours")).args(args);
        command
    }

    fn machine(&self, args: &[&str]) -> Said {
        Said::of(&self.command(args).output().unwrap())
    }

    fn plan(&self, fleet: &str) -> Said {
        let file = self.0.file("ours.yaml", fleet);
        self.machine(&["plan", "--detailed-exitcode", &file])
    }

    fn apply(&self, fleet: &str) -> Said {
        let file = self.0.file("ours.yaml", fleet);
        self.machine(&["apply", "-y", &file])
    }

    /// Applies; a second plan is empty then.
    #[track_caller]
    fn settle(&self, fleet: &str) -> Said {
        let said = self.apply(fleet).ok();
        self.plan(fleet).ok().says("Nothing to do");
        said
    }

    #[track_caller]
    fn on(&self, machine: &str, command: &str) -> String {
        self.machine(&["ssh", machine, "--", command]).ok().out
    }

    /// The docker client, pointed to a machine by `machine env`.
    #[track_caller]
    fn docker(&self, machine: &str, args: &[&str]) -> String {
        let mut command = self.0.command("docker");
        for line in self.machine(&["env", "--shell", "sh", machine]).ok().out.lines() {
            if let Some((name, value)) = line.strip_prefix("export ").and_then(|l| l.split_once('=')) {
                command.env(name, value.trim_matches('"'));
            } else if let Some(name) = line.strip_prefix("unset ") {
                command.env_remove(name);
            }
        }
        Said::of(&command.args(args).output().unwrap()).ok().out
    }

    fn record(&self, machine: &str) -> String {
        fs::read_to_string(self.0.path("ours").join("machines").join(machine).join("record.json")).unwrap()
    }
}

/// A timed part of a test, by its name.
fn part(name: &str, work: impl FnOnce()) {
    let begun = Instant::now();
    work();
    println!("{name}: {:.1} s", begun.elapsed().as_secs_f32());
}

/// An image without a registry: the C library and one program.
const TINY: &str = "cd / && tar c --dereference lib/*/libc.so.6 lib64 usr/bin/sleep | docker import - tiny";
/// Everything about a container that a restart would change.
const CONTAINER: &str = "docker inspect -f '{{.Id}} {{.State.Pid}} {{.State.StartedAt}} {{.State.Running}}' theirs";
/// Main processes: a number changes when a service was restarted.
const DOCKERD: &str = "systemctl show -P MainPID docker";

/// What must be the same before and after a host is adopted: its name, packages, other services, container.
const UNTOUCHED: &str = "hostname; dpkg -l | sha256sum; systemctl show -P MainPID ssh containerd; cat /etc/hosts \
    /etc/hostname | sha256sum; docker inspect -f '{{.Id}} {{.State.Pid}} {{.State.StartedAt}} {{.State.Running}}' theirs";

/// What others wrote into daemon.json.
const THEIR_DAEMON_JSON: &str =
    r#"{"log-opts": {"max-size": "5m"}, "labels": ["owner=them"], "max-concurrent-downloads": 2}"#;

/// The hosts of [`hosts_of_other_people`]: `web` runs an engine, `inner` is reached through `web` alone.
struct Hosts<'a> {
    lab: &'a Lab,
    ours: Ours<'a>,
    web: String,
    inner: String,
}

impl Hosts<'_> {
    /// A fleet of both; `web` and `inner` are their engines.
    fn fleet(&self, web: &str, inner: &str) -> String {
        let key = |machine: &str| self.lab.store().join("machines").join(machine).join("id_ed25519");
        let (web_key, inner_key) = (key("a"), key("b"));
        format!(
            "fleet: ours\nhosts:\n  web:\n    driver: generic\n    ip: {}\n    ssh-key: {}\n    engine: {{ {web} }}\n  \
             inner:\n    driver: generic\n    ip: {}\n    ssh-key: {}\n    jump: root@{}\n    depends_on: [web]\n    engine: {{ {inner} }}\n",
            self.web,
            web_key.display(),
            self.inner,
            inner_key.display(),
            self.web
        )
    }

    /// As [`Self::fleet`], with `web` alone.
    fn web(&self, engine: &str) -> String {
        let both = self.fleet(engine, "");
        both.split("  inner:").next().unwrap().to_owned()
    }
}

#[test]
fn hosts_of_other_people() {
    if !lab::ready(&["docker", "ssh-keygen"]) {
        return;
    }
    let lab = Lab::new();
    // `b` stays without an engine, for there is no such version; pain 15: that is said with what there is.
    let theirs = "fleet: theirs\ndefaults: { driver: nspawn, engine: { api: ssh } }\nhosts:\n  a:\n  b: { engine: { version: \"99\" } }\n";
    part("two hosts, one with an engine", || {
        let theirs = lab.file("theirs.yaml", theirs);
        let said =
            lab.machine(&["apply", "-y", &theirs]).code(3).says("b: engine failed").says("look for docker.io 99");
        said.says("docker.io 99 is not available for debian bookworm; available: ");
    });
    let address = |machine: &str| lab.machine(&["ip", machine]).ok().out.trim().to_owned();
    let hosts = Hosts { lab: &lab, ours: Ours(&lab), web: address("a"), inner: address("b") };
    part("a running engine is adopted", || adoption(&hosts));
    part("behind a jump host, a derivative of Ubuntu, apt locked", || behind_a_jump_host(&hosts));
    part("api: tls, ssh and back", || api_over_ssh(&hosts));
    part("a changed host key", || changed_host_key(&hosts));
    part("firewalls", || firewalls(&hosts));
    part("destroying the fleet", || destroyed(&hosts));
    lab.machine(&["rm", "-f", "a", "b"]).ok();
    assert_eq!(lab.left(), [""; 0]);
}

/// Pain 18: nothing that runs is restarted that need not be, and no configuration is lost.
fn adoption(hosts: &Hosts<'_>) {
    let Hosts { lab, ours, .. } = hosts;
    // As if we had never been there: their daemon.json, nothing of ours.
    lab.on("a", "rm -f /etc/docker/machine.json; mkdir -p /etc/docker; systemctl stop docker docker.socket");
    lab.on("a", &format!("printf '%s\\n' '{THEIR_DAEMON_JSON}' >/etc/docker/daemon.json; systemctl start docker"));
    lab.on("a", &format!("{TINY} && docker run -d --name theirs tiny /usr/bin/sleep infinity"));
    let before = lab.on("a", UNTOUCHED);
    assert!(before.trim().ends_with("true"), "{before}");

    let fleet = hosts.web("labels: { tier: web }");
    ours.plan(&fleet).code(2).says("+ create  engine");
    ours.settle(&fleet);
    assert_eq!(lab.on("a", UNTOUCHED), before);
    assert_eq!(ours.docker("web", &["ps", "--format", "{{.Names}}"]), "theirs\n", "TLS is set up");
    let daemon: serde_json::Value = serde_json::from_str(&lab.on("a", "cat /etc/docker/daemon.json")).unwrap();
    assert_eq!(daemon["log-opts"], serde_json::json!({ "max-size": "5m" }));
    assert_eq!(daemon["max-concurrent-downloads"], 2);
    assert_eq!(daemon["labels"], serde_json::json!(["owner=them", "tier=web"]));

    // Without a change nothing at all is touched; a label restarts not even dockerd.
    let dockerd = lab.on("a", DOCKERD);
    ours.apply(&fleet).ok().says("Nothing to do");
    let fleet = hosts.web("labels: { tier: api }");
    ours.plan(&fleet).code(2).says("labels.tier: web → api");
    ours.settle(&fleet);
    assert_eq!((lab.on("a", UNTOUCHED), lab.on("a", DOCKERD)), (before, dockerd));
    let labels = ours.docker("web", &["info", "-f", "{{range .Labels}}{{.}} {{end}}"]);
    let labels: BTreeSet<&str> = labels.split_whitespace().collect();
    assert_eq!(labels, BTreeSet::from(["owner=them", "tier=api"]));
}

/// Holds the lock of dpkg as dpkg does (fcntl, not flock) until it is stopped.
const HOLD: &str = r#"systemd-run --quiet --unit hold-apt perl -e 'open(my $f, "+>>", "/var/lib/dpkg/lock-frontend") or die;
my $lock = pack("s s x4 q q i x4", 1, 0, 0, 0, 0); fcntl($f, 6, $lock) or die $!; open(my $h, ">", "/run/held") or die; sleep'
timeout 60 sh -c 'until [ -e /run/held ]; do sleep 0.1; done'"#;

/// Pains 22 and 23, and a host that only another one reaches.
fn behind_a_jump_host(hosts: &Hosts<'_>) {
    let Hosts { lab, ours, web, inner } = hosts;
    let mint = "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\nPRETTY_NAME=\"Linux Mint 22\"\nVERSION_CODENAME=wilma\nUBUNTU_CODENAME=noble\n";
    lab.on("b", &format!("rm /etc/os-release && printf '%s' '{mint}' >/etc/os-release"));
    lab.on("b", HOLD);
    let may = lab.on("b", "cat /root/.ssh/authorized_keys");
    lab.on("a", &format!("printf '%s\\n' '{}' >>/root/.ssh/authorized_keys", may.trim()));
    lab.on("b", &format!("iptables -I INPUT -p tcp --dport 22 -m conntrack --ctstate NEW ! -s {web} -j REJECT"));
    assert!(std::net::TcpStream::connect((inner.as_str(), 22)).is_err(), "there is no direct way");

    let fleet = hosts.fleet("labels: { tier: api }", "labels: { tier: db }");
    let file = lab.file("ours.yaml", &fleet);
    let mut apply =
        ours.command(&["apply", "-y", &file]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(apply.stderr.take().unwrap());
    let mut said = String::new();
    while stderr.read_line(&mut said).unwrap() > 0 {
        if said.lines().last().is_some_and(|line| line.contains("waiting for another program to release apt")) {
            break;
        }
    }
    assert!(said.contains("Could not get lock /var/lib/dpkg/lock-frontend"), "{said}");
    assert!(said.contains("inner"), "{said}");
    ours.on("inner", "! command -v dockerd && systemctl stop hold-apt");
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    let ended = apply.wait_with_output().unwrap();
    assert!(ended.status.success(), "{said}{rest}{}", String::from_utf8_lossy(&ended.stdout));
    ours.plan(&fleet).ok().says("Nothing to do");

    // Who logged in there came from the jump host, whose key is pinned as well.
    let came = ours.on("inner", "echo $SSH_CONNECTION");
    assert!(came.starts_with(&format!("{web} ")) && came.contains(&format!(" {inner} ")), "{came}");
    let key_of = |machine: &str| {
        let line = ours.on(machine, "cat /etc/ssh/ssh_host_ed25519_key.pub");
        line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    };
    let record = ours.record("inner");
    assert!(record.contains(&format!("\"jump-keys\": [\n      \"{}\"", key_of("web"))), "{record}");
    assert!(record.contains(&format!("\"host-keys\": [\n      \"{}\"", key_of("inner"))), "{record}");
    assert!(record.contains("\"os\": \"Linux Mint 22\""), "{record}");
    assert_eq!(ours.docker("inner", &["info", "-f", "{{.Labels}}"]), "[tier=db]\n");
}

/// No TCP port is open then, and everything goes through SSH, here through the jump host as well.
fn api_over_ssh(hosts: &Hosts<'_>) {
    let Hosts { ours, inner, .. } = hosts;
    let fleet = |inner: &str| hosts.fleet("labels: { tier: api }", inner);
    let listening = || ours.on("inner", "ss -ltnH '( sport = :2375 or sport = :2376 )'");
    assert_ne!(listening(), "");
    let ssh = fleet("labels: { tier: db }, api: ssh");
    ours.plan(&ssh).code(2).says("api: tls → ssh").says("1 step on 1 of 2 hosts: 1 to upgrade");
    ours.settle(&ssh);
    assert_eq!(listening(), "");
    let env = ours.machine(&["env", "--shell", "sh", "inner"]).ok().out;
    assert!(env.contains(&format!("export DOCKER_HOST=\"ssh://root@{inner}:22\"")), "{env}");
    assert!(env.contains("unset DOCKER_TLS_VERIFY\n") && env.contains("unset DOCKER_CERT_PATH\n"), "{env}");
    let config = ours.machine(&["config", "inner"]).ok().out;
    assert_eq!(config, format!("-H=ssh://root@{inner}:22\n"), "the client would look for certificates");
    let asked = ours.machine(&["ls", "--format", "{{.Name}} {{.State}} {{.URL}} {{.DockerVersion}}"]).ok().out;
    assert!(asked.contains(&format!("inner Running ssh://root@{inner}:22 v20.10")), "{asked}");

    // An engine that does not answer is noticed through SSH too.
    ours.on("inner", "systemctl stop docker.socket docker");
    ours.plan(&ssh).code(2).says("drifted, service: stopped → running");
    ours.settle(&ssh);

    let tls = fleet("labels: { tier: db }");
    ours.plan(&tls).code(2).says("api: ssh → tls");
    ours.settle(&tls);
    assert_ne!(listening(), "");
    assert_eq!(ours.docker("inner", &["info", "-f", "{{.Labels}}"]), "[tier=db]\n");
}

/// A host that answers with another key than that of the first contact gets nothing from us.
fn changed_host_key(hosts: &Hosts<'_>) {
    let Hosts { ours, .. } = hosts;
    let fleet = hosts.fleet("labels: { tier: api }", "labels: { tier: db }");
    let fingerprint = "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub | cut -d ' ' -f 2";
    let old = ours.on("web", fingerprint).trim().to_owned();
    let state =
        "systemctl show -P MainPID docker; sha256sum /etc/docker/*; who -b; last -n 1 -F -w 2>/dev/null | head -n 1";
    let before = ours.on("web", state);
    let new = "cd /etc/ssh && mkdir old && mv ssh_host_* old && ssh-keygen -q -t ed25519 -N '' -f ssh_host_ed25519_key && systemctl restart ssh";
    let new = ours.on("web", &format!("({new}) >&2; {fingerprint}")).trim().to_owned();
    assert_ne!(old, new);

    // The host behind is not reached through one that may be another.
    ours.apply(&fleet).code(1).says("(jump host) has another host key");
    let changed = hosts.fleet("labels: { tier: other }", "labels: { tier: other }");
    for said in [ours.plan(&fleet), ours.apply(&fleet).code(1), ours.apply(&changed).code(1), ours.plan(&changed)] {
        said.says(&format!("expected {old}, met {new}"));
    }
    let refused = ours.apply(&changed).code(1).says("machine trust web");
    assert!(!refused.out.contains("converged"), "{}", refused.out);
    ours.machine(&["ssh", "web", "--", "touch /root/here"]).code(1).says(&new);

    ours.machine(&["trust", "web"]).code(6).says(&format!("recorded: {old}")).says(&format!("met now:  {new}"));
    ours.machine(&["ssh", "web", "--", "true"]).code(1);
    ours.machine(&["trust", "-y", "web"]).ok().says("Recorded for `web`.");
    assert_eq!(ours.on("web", &format!("test ! -e /root/here; {state}")), before, "nothing had happened there");
    // Trust in one machine is no trust in another, whose jump host it is.
    ours.apply(&fleet).code(3).says("(jump host) has another host key").says("web    converged");
    ours.machine(&["trust", "-y", "inner"]).ok().says("jump host's key").says(&new);
    ours.settle(&fleet);
}

/// A firewall that keeps clients from the engine is named, with what to do; it is opened only when told so.
fn firewalls(hosts: &Hosts<'_>) {
    let Hosts { ours, .. } = hosts;
    let install = "DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends nftables ufw >&2";
    ours.on("web", install);
    let fleet = hosts.fleet("labels: { tier: api }", "labels: { tier: db }");
    let before = ours.on("web", DOCKERD);
    let rules = "add table inet wall; add chain inet wall in { type filter hook input priority 0; policy drop; }; \
        add rule inet wall in ct state established,related accept; add rule inet wall in tcp dport 22 accept";
    ours.on("web", &format!("nft '{rules}'"));
    let said = ours.apply(&fleet).code(1).says("rules of nftables or iptables seem to keep port 2376 closed");
    said.says("tcp dport 2376 accept");
    ours.on("web", "nft delete table inet wall");
    ours.settle(&fleet);

    ours.on("web", "ufw allow 22/tcp && ufw --force enable");
    let said = ours.apply(&fleet).code(1).says("ufw keeps port 2376 closed; set `open-firewall: true`");
    said.says("\n    ufw allow 2376/tcp\n");
    let open = hosts.fleet("labels: { tier: api }, open-firewall: true", "labels: { tier: db }");
    ours.settle(&open);
    assert_eq!(ours.docker("web", &["ps", "--format", "{{.Names}}"]), "theirs\n");
    assert_eq!(ours.on("web", DOCKERD), before, "a port is opened without a restart");
}

/// Hosts of other people stay as they are when our fleet goes.
fn destroyed(hosts: &Hosts<'_>) {
    let Hosts { lab, ours, web, .. } = hosts;
    let state = &format!("{DOCKERD}; {CONTAINER}; sha256sum /etc/docker/*; uptime -s");
    let key = lab.store().join("machines/a/id_ed25519");
    let theirs = |command: &str| {
        let known = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"];
        let mut ssh = lab.command("ssh");
        ssh.args(["-F", "none", "-o", "BatchMode=yes"]).args(known).arg("-i").arg(&key);
        Said::of(&ssh.arg(format!("root@{web}")).arg(command).output().unwrap()).ok().out
    };
    let before = theirs(state);
    let file = lab.file("ours.yaml", &hosts.fleet("", ""));
    ours.machine(&["destroy", "-y", &file]).ok();
    assert_eq!(ours.machine(&["ls", "-q"]).ok().out, "");
    assert_eq!(theirs(state), before);
}

/// Pain 15: an engine of a version that was named, from Docker's own layout.
#[test]
fn versions_of_docker_ce_are_pinned() {
    if !lab::ready(&["docker", "gpg", "dpkg-deb"]) {
        return;
    }
    let lab = Lab::new();
    let fleet = |mirror: &str, version: &str| {
        let engine = format!("{{ source: docker-ce, mirror: \"{mirror}\", version: \"{version}\" }}");
        lab.file("fleet.yaml", &format!("fleet: ce\nhosts:\n  c: {{ driver: nspawn, engine: {engine} }}\n"))
    };
    let apply = |mirror: &str, version: &str| lab.machine(&["apply", "-y", &fleet(mirror, version)]);
    let plan = |mirror: &str, version: &str| lab.machine(&["plan", "--detailed-exitcode", &fleet(mirror, version)]);
    part("a mirror that is not there", || {
        let closed = "http://127.0.0.1:9/linux/debian";
        apply(closed, "28.1").code(1).says(&format!("`add {closed} to apt` failed")).says("127.0.0.1");
    });
    let begun = Instant::now();
    let mirror = Mirror::start(&lab, "c");
    println!("packages and mirror: {:.1} s", begun.elapsed().as_secs_f32());
    let url = mirror.url();
    let version = || lab.docker("c", &["version", "-f", "{{.Server.Version}}"]).ok().out;
    part("a version that does not exist", || {
        let said = apply(&url, "28.9").code(1).says("c: engine failed").says("look for docker-ce 28.9");
        said.says("docker-ce 28.9 is not available for debian bookworm; available: 28.2.1 28.1.1");
        lab.on("c", "! command -v dockerd");
    });
    part("28.1", || {
        apply(&url, "28.1").ok();
        plan(&url, "28.1").ok().says("Nothing to do");
        assert_eq!(version(), "28.1.1+repacks\n");
        assert_eq!(lab.on("c", "readlink /proc/$(systemctl show -P MainPID docker)/exe"), "/usr/bin/dockerd\n");
        let drop_in = lab.on("c", "cat /etc/systemd/system/docker.service.d/10-machine.conf");
        assert!(drop_in.contains("ExecStart=/usr/bin/dockerd -H fd://"), "{drop_in}");
    });
    lab.on("c", &format!("{TINY} && docker run -d --name theirs tiny /usr/bin/sleep infinity"));
    let container = lab.on("c", CONTAINER);
    part("28.1 → 28.2", || {
        let said = plan(&url, "28.2").code(2).says("~ upgrade engine       version: 28.1 → 28.2");
        said.says("1 step on 1 of 1 host: 1 to upgrade, 2 to keep.");
        apply(&url, "28.2").ok();
        plan(&url, "28.2").ok().says("Nothing to do");
        assert_eq!(version(), "28.2.1+repacks\n");
        assert_eq!(lab.on("c", CONTAINER), container, "containers run on while their engine is upgraded");
    });
    part("a version that is gone", || {
        let dockerd = lab.on("c", DOCKERD);
        let said = apply(&url, "27.5").code(1).says("docker-ce 27.5 is not available for debian bookworm");
        said.says("available: 28.2.1 28.1.1");
        assert_eq!(lab.on("c", DOCKERD), dockerd);
        apply(&url, "28.2").ok();
        plan(&url, "28").code(2).says("version: 28.2 → 28");
        assert_eq!((lab.on("c", DOCKERD), lab.on("c", CONTAINER)), (dockerd, container));
    });
    part("upgrades", || upgrades(&lab, || apply(&url, "28.1").ok().out));
    lab.machine(&["destroy", "-y", &fleet(&url, "28.2")]).ok();
    assert_eq!(lab.left(), [""; 0]);
}

/// To the newest that matches, or the newest there is; what is held back stays; containers run on.
fn upgrades(lab: &Lab, back: impl Fn() -> String) {
    back();
    let version = || lab.docker("c", &["version", "-f", "{{.Server.Version}}"]).ok().out;
    assert_eq!(version(), "28.1.1+repacks\n");
    let (dockerd, container) = (lab.on("c", DOCKERD), lab.on("c", CONTAINER));
    let upgrade = |pin: Option<&str>| {
        let want = EngineSpec { version: pin.map(|pin| pin.parse().unwrap()), port: 2376, ..EngineSpec::default() };
        let (provisioner, facts) = lab.look("c");
        lab.script("c", &provisioner.upgrade(&facts, &want).unwrap())
    };
    upgrade(Some("28.1")).ok().says("note docker-ce 28.1.1 is the newest 28.1 there is");
    upgrade(Some("27")).code(69).says("docker-ce 27 is not available for debian bookworm; available: 28.2.1 28.1.1");
    lab.on("c", "apt-mark hold docker-ce docker-ce-cli >&2");
    upgrade(None).code(1).says("apt-mark unhold docker-ce docker-ce-cli");
    lab.on("c", "apt-mark unhold docker-ce docker-ce-cli >&2");
    assert_eq!((version().as_str(), lab.on("c", DOCKERD)), ("28.1.1+repacks\n", dockerd.clone()));
    upgrade(None).ok().says("note docker-ce 28.1.1 was upgraded to 28.2.1");
    assert_eq!((version().as_str(), lab.on("c", CONTAINER)), ("28.2.1+repacks\n", container));
    let upgraded = lab.on("c", DOCKERD);
    assert_ne!(upgraded, dockerd);
    assert!(lab.on("c", "docker --version").contains("28.2.1"), "the client as well");
    upgrade(None).ok().says("note docker-ce 28.2.1 is the newest there is");
    assert_eq!(lab.on("c", DOCKERD), upgraded, "nothing is restarted for nothing");
}

#[test]
fn twenty_machines_in_one_apply() {
    if !lab::ready(&["docker"]) {
        return;
    }
    let lab = Lab::golden();
    let text = "fleet: many\nhosts:\n  node: { driver: nspawn, image: debian-12, count: 20 }\n";
    let fleet = lab.file("many.yaml", text);
    part("20 machines", || {
        lab.machine(&["apply", "-y", &fleet]).ok().says("20 converged");
    });
    part("second plan", || {
        lab.machine(&["plan", "--detailed-exitcode", &fleet]).ok().says("Nothing to do: 20 hosts are as planned.");
    });
    part("all answer over TLS", || {
        let said = lab.machine(&["ls", "--format", "{{.Name}} {{.URL}} {{.DockerVersion}}"]).ok().out;
        let answers = |line: &&str| line.starts_with("node-") && line.contains(" tcp://") && line.contains(":2376 v");
        assert_eq!(said.lines().filter(answers).count(), 20, "{said}");
    });
    part("destroy", || {
        lab.machine(&["destroy", "-y", &fleet]).ok().says("20 removed");
    });
    assert_eq!(lab.left(), [""; 0]);
}
