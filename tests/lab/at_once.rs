//! Two runs on one machine at the same moment, on a real host, every pair of what changes one: either of them is refused
//! as locked, or both effects are there.
//!
//! The usual run tries the pairs that lost an update once, and a sample of the others; `just lab-full` tries all.

use crate::{
    full::full,
    lab::{self, Lab, Said},
    plain,
    sample::{SEED, draw},
};
use machine::{name::MachineName, record::MachineRecord, store::StoreError};
use serde_json::Value;
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

/// What changes a machine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Run {
    Apply,
    Adopt,
    Upgrade,
    Provision,
    Create,
    Rm,
    Start,
    Import,
    /// docker-machine itself, which knows no lock: it replaces its document.
    DockerMachine,
}

const ALL: [Run; 9] = [
    Run::Apply,
    Run::Adopt,
    Run::Upgrade,
    Run::Provision,
    Run::Create,
    Run::Rm,
    Run::Start,
    Run::Import,
    Run::DockerMachine,
];

/// An adoption, or an apply, and what others write at the same time (C4).
const ALWAYS: [(Run, Run); 4] =
    [(Run::Adopt, Run::Upgrade), (Run::Apply, Run::Provision), (Run::Apply, Run::Rm), (Run::Adopt, Run::DockerMachine)];

const LOCKED: i32 = 5;

/// One host, and a machine that stands for it in a store that is put back before each pair.
struct Stage {
    lab: Lab,
    create: Vec<String>,
    archive: String,
    pair: usize,
}

impl Stage {
    fn new() -> Self {
        let lab = Lab::golden();
        let hosts = lab.file("hosts.yaml", "fleet: hosts\nhosts:\n  box: { driver: nspawn }\n");
        lab.machine(&["apply", "-y", &hosts]).ok();
        let ip = lab.machine(&["ip", "box"]).ok().out.trim().to_owned();
        let key = lab.path("box.key").display().to_string();
        fs::copy(lab.store().join("machines/box/id_ed25519"), &key).unwrap();
        let create = ["create", "-d", "generic", "--generic-ip-address", &ip, "--generic-ssh-key", &key, "web"];
        let create: Vec<String> = create.map(str::to_owned).to_vec();
        let archive = lab.path("web.txt").display().to_string();
        let stage = Self { lab, create, archive, pair: 0 };
        let words: Vec<&str> = stage.create.iter().map(String::as_str).collect();
        stage.lab.machine(&words).ok();
        stage.lab.machine(&["export", "--plain", "-o", &stage.archive, "web"]).ok();
        stage.copy(&stage.lab.store(), &stage.lab.path("store.kept"));
        stage
    }

    fn copy(&self, from: &Path, to: &Path) {
        let _ = fs::remove_dir_all(to);
        Said::of(&self.lab.command("cp").arg("-a").arg(from).arg(to).output().unwrap()).ok();
    }

    /// The value of the label that the fleet file of this pair gives its engine.
    fn label(&self) -> String {
        format!("number-{}-", self.pair)
    }

    fn fleet(&self) -> String {
        let (ip, key, label) = (&self.create[4], &self.create[6], self.label());
        let host =
            format!("{{ driver: generic, ip: {ip}, ssh-key: '{key}', engine: {{ labels: {{ pair: '{label}' }} }} }}");
        self.lab.file("shop.yaml", &format!("fleet: shop\nhosts:\n  web: {host}\n"))
    }

    fn command(&self, run: Run) -> Command {
        let mut command = self.lab.command(env!("CARGO_BIN_EXE_machine"));
        match run {
            Run::Apply => command.args(["apply", "-y", &self.fleet()]),
            Run::Adopt => command.args(["adopt", "--fleet", "shop", "web"]),
            Run::Upgrade => command.args(["upgrade", "web"]),
            Run::Provision => command.args(["provision", "web"]),
            Run::Create => command.args(&self.create),
            Run::Rm => command.args(["rm", "-y", "web"]),
            Run::Start => command.args(["start", "web"]),
            Run::Import => command.args(["import", &self.archive]),
            Run::DockerMachine => {
                // As it does it: read, a file beside, renamed; what it does not know it drops, and this it knows.
                command = self.lab.command("python3");
                let script = "import json,os,sys\np=sys.argv[1]\nd=json.load(open(p))\n\
                    d['HostOptions'].setdefault('SwarmOptions',{})['Strategy']='docker-machine'\n\
                    open(p+'.tmp','w').write(json.dumps(d,indent=4))\nos.rename(p+'.tmp',p)";
                command.args(["-c", script]).arg(self.config())
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn config(&self) -> std::path::PathBuf {
        self.lab.store().join("machines/web/config.json")
    }

    fn record(&self) -> Option<MachineRecord> {
        match plain::folder(self.lab.store()).get(&MachineName::new("web").unwrap()) {
            Ok(record) => Some(record),
            Err(StoreError::Absent(_)) => None,
            Err(e) => panic!("the record is spoilt: {e}"),
        }
    }

    /// Whether what a run has done is there.
    fn has(&self, run: Run, record: Option<&MachineRecord>) -> bool {
        let in_shop = |record: &MachineRecord| record.fleet.as_ref().is_some_and(|fleet| fleet.as_str() == "shop");
        match run {
            Run::Apply => record.is_some_and(in_shop) && self.daemon().contains(&self.label()),
            Run::Adopt => record.is_some_and(in_shop),
            Run::Upgrade | Run::Provision | Run::Start => record.is_some_and(|record| record.pending.is_empty()),
            Run::Create | Run::Import => record.is_some(),
            Run::Rm => record.is_none(),
            Run::DockerMachine => {
                let text = fs::read_to_string(self.config()).unwrap_or_default();
                let config: Value = serde_json::from_str(&text).unwrap_or_default();
                config["HostOptions"]["SwarmOptions"]["Strategy"] == "docker-machine"
            }
        }
    }

    fn daemon(&self) -> String {
        self.lab.on("box", "cat /etc/docker/daemon.json")
    }

    fn try_pair(&mut self, first: Run, second: Run) {
        self.pair += 1;
        let context = format!("{first:?} beside {second:?}, pair {}", self.pair);
        let lab = &self.lab;
        // The host's own machine is in the kept store, too.
        self.copy(&lab.path("store.kept"), &lab.store());
        let after = Duration::from_millis(draw(*SEED, &context) % 400);
        let runs = [self.command(first).spawn().unwrap(), {
            thread::sleep(after);
            self.command(second).spawn().unwrap()
        }]
        .map(|run| Said::of(&run.wait_with_output().unwrap()));
        let codes = runs.each_ref().map(|run| run.code);
        let said = runs.each_ref().map(|run| format!("--- {}\n{}{}", run.code, run.out, run.err)).concat();
        let record = self.record();
        assert_ne!(codes, [LOCKED, LOCKED], "{context}: both were refused\n{said}");
        for (run, code, other, of_other) in [(first, codes[0], second, codes[1]), (second, codes[1], first, codes[0])] {
            match code {
                0 => {
                    // What makes or removes a machine may come after whatever was done to it.
                    let over = of_other == 0 && matches!(other, Run::Rm | Run::Create | Run::Import);
                    let there = self.has(run, record.as_ref());
                    assert!(there || over, "{context}: what {run:?} did is lost ({after:?})\n{record:?}\n{said}");
                }
                LOCKED => {}
                // Which is what was asked for.
                1 if run == Run::Start && said.contains("is already running") => {}
                // What is there already is not made, and what is not there is not changed.
                _ => {
                    let made = matches!(run, Run::Create | Run::Import);
                    assert!(made || other == Run::Rm, "{context}: {run:?} ended with {code}\n{said}");
                    assert!(said.contains("exist") || said.contains("No such file"), "{context}: {said}");
                }
            }
        }
        lab.machine(&["lock", "ls"]).ok().says("No lock is held.");
        lab.machine(&["ls", "--timeout", "20"]).ok();
        // Whatever it was, one apply ends it.
        if full() {
            lab.machine(&["apply", "-y", &self.fleet()]).ok();
            lab.machine(&["plan", "--detailed-exitcode", &self.fleet()]).ok();
        }
    }
}

#[test]
fn two_runs_on_one_machine_lose_nothing() {
    if !lab::ready(&["python3"]) {
        return;
    }
    let mut stage = Stage::new();
    for (n, first) in ALL.into_iter().enumerate() {
        for second in ALL.into_iter().skip(n) {
            let drawn = draw(*SEED, &format!("{first:?} {second:?}")).is_multiple_of(12);
            if full() || drawn || ALWAYS.contains(&(first, second)) || ALWAYS.contains(&(second, first)) {
                stage.try_pair(first, second);
            }
        }
    }
    println!("{} pairs", stage.pair);
    let Stage { lab, .. } = stage;
    lab.machine(&["rm", "-f", "web", "box"]);
    assert_eq!(lab.left(), [""; 0]);
}
