//! The figures of the README, in one run and one table: `just bench`, or `cargo bench --bench figures`.
//!
//! Times are medians, with the least and the most. What is compared runs in at least 15 alternating turns, so that a
//! busy moment meets both; quoted is the median of the turns' ratios with the interval that holds the true one nine
//! times in ten. Only an interval that lies above 1.05 as a whole means slower.
//!
//! Names of parts after `--` (`start plans lists far hosts peers quickstart qemu beside`) take only those;
//! `MACHINE_BENCH_BESIDE=FILE` compares with another build of the program, `MACHINE_BENCH=quick` takes fewer turns,
//! `MACHINE_BENCH_BUILD=1` also times a build from nothing. What needs real hosts needs what the tests' lab needs, and
//! says `SKIPPED` without.

#![expect(clippy::disallowed_methods, reason = "it runs the program, and what the program is compared with")]

#[expect(dead_code, reason = "it serves tests as well")]
#[path = "../../tests/kit/farm/mod.rs"]
mod farm;
#[expect(dead_code, reason = "it serves tests as well")]
#[path = "../../tests/kit/lab/mod.rs"]
mod lab;
#[expect(dead_code, reason = "it serves tests as well")]
#[path = "../../tests/kit/plain.rs"]
mod plain;
#[path = "../../tests/kit/skip.rs"]
mod skip;

mod beside;
mod far;
mod pairs;
mod peers;
mod qemu;

use lab::{Lab, ready};
use machine::{
    clock::{Clock, SystemClock},
    fleet::{self, Fleet, HostSpec, Inputs},
    name::{FleetName, MachineName},
    record::{CertificateRecord, EngineRecord, Instance, MachineRecord, SshEndpoint, certificate_names},
    store::{Area, Expect, MachineChange, Mode, authority, folder::FolderStore},
};
use pairs::{Pairs, Ratio};
use plain::Plain;
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

fn main() {
    // `cargo test --all-targets` starts benches, too.
    if !std::env::args().any(|arg| arg == "--bench") {
        println!("SKIPPED: not called by cargo bench");
        return;
    }
    let quick = std::env::var_os("MACHINE_BENCH").is_some_and(|v| v == "quick");
    let asked: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let wanted = |part: &str| asked.is_empty() || asked.iter().any(|asked| asked == part);
    pairs::check();
    let mut table = Table::default();
    if wanted("start") {
        start(&mut table, if quick { 20 } else { 200 });
    }
    if wanted("plans") {
        plans(&mut table, quick);
        alike(&mut table, if quick { 2 } else { 7 });
    }
    if wanted("lists") {
        lists(&mut table, if quick { 5 } else { 21 });
    }
    if wanted("far") {
        far::far(&mut table, if quick { 2 } else { 5 });
    }
    if ready(&[]) {
        if wanted("hosts") {
            no_op(&mut table, if quick { 5 } else { 21 });
        }
        if wanted("peers") {
            peers::peers(&mut table, 20, if quick { 3 } else { pairs::TURNS });
        }
        if wanted("quickstart") {
            quickstart(&mut table, if quick { 1 } else { 3 });
        }
        if wanted("qemu") && ready(&["qemu-system-x86_64", "qemu-img", "grub-mkimage"]) {
            qemu::figures(&mut table, if quick { 1 } else { 3 });
        }
    } else {
        table.0.push("| no-op `apply`, quickstart | SKIPPED: see above | | | | |".to_owned());
    }
    match beside::other() {
        Some(other) if wanted("beside") => beside::beside(&mut table, &other),
        None if asked.iter().any(|part| part == "beside") => {
            table.0.push("| beside another build | SKIPPED: MACHINE_BENCH_BESIDE names none | | | | |".to_owned());
        }
        _ => {}
    }
    if std::env::var_os("MACHINE_BENCH_BUILD").is_some_and(|v| v == "1") {
        build(&mut table);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("\n{}, {cores} cores. Median (least – most); ratios: median [90 % interval].\n", SystemClock.now());
    println!("| what | median | goal | beside it | ratio | peak memory |\n| --- | --- | --- | --- | --- | --- |");
    println!("{}", table.0.join("\n"));
}

/// Lines of the table.
#[derive(Default)]
struct Table(Vec<String>);

impl Table {
    fn line(&mut self, what: &str, times: &[Duration], goal: &str, beside: &str, ratio: &str, memory: &str) {
        eprintln!("{what}: {}", spread(times));
        self.0.push(format!("| {what} | {} | {goal} | {beside} | {ratio} | {memory} |", spread(times)));
    }
}

fn middle(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values
}

/// `12.3 ms (11.8 – 14.0)`.
fn spread(times: &[Duration]) -> String {
    let all = sorted(times.iter().map(Duration::as_secs_f64));
    let (factor, unit) = if middle(&all) < 1.0 { (1e3, "ms") } else { (1.0, "s") };
    let [low, mid, high] = [all[0], middle(&all), all[all.len() - 1]].map(|v| v * factor);
    if mid < 100.0 {
        format!("{mid:.1} {unit} ({low:.1} – {high:.1})")
    } else {
        format!("{mid:.0} {unit} ({low:.0} – {high:.0})")
    }
}

fn timed(mut command: Command) -> Duration {
    let start = Instant::now();
    let output = command.output().expect("the program starts");
    let took = start.elapsed();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    took
}

const MACHINE: &str = env!("CARGO_BIN_EXE_machine");

fn start(table: &mut Table, turns: usize) {
    let run = |program: &str, args: &[&str]| {
        let mut command = Command::new(program);
        command.args(args);
        timed(command)
    };
    let pairs = Pairs::run(turns, || run(MACHINE, &["--version"]), || run("/bin/true", &[]));
    let beside = format!("`/bin/true`: {}", spread(&pairs.theirs));
    table.line("`machine --version`", &pairs.ours, "≤ 10 ms", &beside, &pairs.ratio().to_string(), "");
}

/// A fleet of so many hosts with ten keys each; with `count` it would be cheap.
fn large(hosts: usize) -> String {
    let mut text = "fleet: large\ndefaults: { driver: generic, engine: { version: \"28.2\" } }\nhosts:\n".to_owned();
    for n in 0..hosts {
        // Nine hosts in ten wait for the tenth.
        let waits = if n % 10 == 0 { String::new() } else { format!("web-{}", n / 10 * 10) };
        let [a, b, c] = [n >> 16, n >> 8 & 255, n & 255];
        writeln!(
            text,
            "  web-{n}:\n    ip: 10.{a}.{b}.{c}\n    ssh-user: admin\n    ssh-port: 2222\n    ssh-key: ~/.ssh/id_ed25519\n    \
             jump: admin@192.0.2.1\n    depends_on: [{waits}]\n    protect: true\n    optional: false\n    \
             tls-names: [web-{n}.example.org]\n    engine: {{ labels: {{ n: {n} }} }}",
        )
        .expect("a text takes all");
    }
    text
}

/// A fleet of so many hosts that say no more than their address.
fn brief(hosts: usize) -> String {
    let mut text = "fleet: large\ndrivers: { vm: { driver: generic, ssh-user: admin } }\n\
                    defaults: { driver: vm, engine: { version: \"28.2\" } }\nhosts:\n"
        .to_owned();
    for n in 0..hosts {
        writeln!(text, "  web-{n}: {{ ip: 10.{}.{}.{} }}", n >> 16, n >> 8 & 255, n & 255).expect("a text takes all");
    }
    text
}

/// Fleets in which hosts are alike.
fn alike(table: &mut Table, turns: usize) {
    let counted = "fleet: large\nhosts: { web: { driver: nspawn, count: 100000 } }\n".to_owned();
    for (what, text) in [("100000 hosts of one option", brief(100_000)), ("`count: 100000`", counted)] {
        let dir = folder();
        let file = dir.path().join("large.yaml");
        fs::write(&file, &text).expect("the fleet file is written");
        let args = ["plan", "--offline", file.to_str().expect("a plain path")];
        let times: Vec<Duration> = (0..turns).map(|_| timed(machine(dir.path(), &args))).collect();
        let what = format!("`plan --offline`, {what}, nothing recorded");
        table.line(&what, &times, "≤ 3 s", "", "", &peak(machine(dir.path(), &args)));
    }
}

/// What the store knows of a host after it was applied.
/// A store in which a fleet is as it was applied. One certificate does for all: what is in it is read as often.
fn record_all(store: &Plain<FolderStore>, fleet: &Fleet) {
    let Some((first, _)) = fleet.hosts.first_key_value() else { return };
    let names = certificate_names(first, "", &BTreeSet::new());
    let issued = plain::now(authority::issue(store, first, &names, SystemClock.now())).expect("a certificate");
    let [cert, key] = ["cert.pem", "key.pem"]
        .map(|file| store.read(Area::Certs, file).expect("the store can be read").expect("the client has an identity"));
    let files = [
        ("ca.pem", issued.host.ca.as_bytes(), Mode::Public),
        ("cert.pem", &cert[..], Mode::Public),
        ("key.pem", &key[..], Mode::Private),
        ("server.pem", issued.host.cert.as_bytes(), Mode::Public),
        ("server-key.pem", issued.host.key.as_bytes(), Mode::Private),
    ];
    for (name, host) in &fleet.hosts {
        let mut record = applied(name, &fleet.name, host);
        let names = record.certificate.take().map(|certificate| certificate.names).unwrap_or_default();
        record.certificate = Some(CertificateRecord { names, ..issued.record.clone() });
        let change = MachineChange { record: &record, files: &files, seed: &|_| {} };
        plain::now(store.records.put_if(change, Expect::Absent)).expect("a record is kept");
    }
}

fn applied(name: &MachineName, fleet: &FleetName, host: &HostSpec) -> MachineRecord {
    let address = host.options["ip"].as_str().unwrap_or_default().to_owned();
    let names = certificate_names(name, &address, &host.tls_names);
    let mut record = MachineRecord::new(name.clone(), Some(fleet.clone()), &host.driver, host.options.clone());
    record.depends_on.clone_from(&host.depends_on);
    record.protect = host.protect;
    let ssh = SshEndpoint {
        host: address.clone(),
        port: 2222,
        user: "admin".to_owned(),
        key: Some("/home/admin/.ssh/id_ed25519".to_owned()),
        passphrase: None,
        jump: Some("admin@192.0.2.1".to_owned()),
    };
    let key = format!("ssh-ed25519 {}", "A".repeat(68));
    record.instance = Some(Instance {
        id: address.clone(),
        address,
        ssh: Some(ssh),
        url: None,
        host_keys: vec![key.clone()],
        jump_keys: vec![key],
    });
    let (sha256, ca_sha256) = ("1".repeat(64), "2".repeat(64));
    let not_after = SystemClock.now().plus_days(365);
    record.certificate = Some(CertificateRecord { sha256, ca_sha256, names, not_after });
    record.engine = host.engine.as_ref().map(|spec| EngineRecord {
        spec: spec.clone(),
        version: "28.2.2".to_owned(),
        provisioner: "debian".to_owned(),
        os: "Debian GNU/Linux 12 (bookworm)".to_owned(),
    });
    record
}

/// A folder in memory where there is one: making records is not what is timed, and syncs to disk take minutes.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let at = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("machine-bench-").tempdir_in(at).expect("a temporary folder")
}

fn machine(store: &Path, args: &[&str]) -> Command {
    machine_of(Path::new(MACHINE), store, args)
}

fn machine_of(program: &Path, store: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("HOME", store).arg("-s").arg(store).args(args);
    command
}

fn plans(table: &mut Table, quick: bool) {
    let sizes: &[usize] = if quick { &[100, 1_000, 10_000] } else { &[10, 100, 1_000, 10_000, 100_000] };
    for &hosts in sizes {
        // The largest take long, and vary less.
        let turns = if quick || hosts > 10_000 { 5 } else { 15 };
        let dir = folder();
        let text = large(hosts);
        let file = dir.path().join("large.yaml");
        fs::write(&file, &text).expect("the fleet file is written");
        let (empty, full) = (dir.path().join("empty"), dir.path().join("full"));
        let fleet = fleet::load("large.yaml", &text, &Inputs::default(), &machine::driver::Drivers::built_in())
            .expect("a sound fleet");
        record_all(&plain::folder(&full), &fleet);
        let args = ["plan", "--offline", file.to_str().expect("a plain path")];
        let said = machine(&full, &args).output().expect("machine starts");
        let words = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(words.starts_with("Nothing to do"), "the records are not what the fleet wants: {words}");
        let mut times = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..turns {
            times[0].push(timed(machine(&empty, &args)));
            times[1].push(timed(machine(&full, &args)));
            times[2].push(timed(machine(&full, &["ls", "-q"])));
        }
        let goal = match hosts {
            1_000 => "≤ 25 ms",
            10_000 => "≤ 250 ms, ≤ 200 MB",
            100_000 => "≤ 3 s",
            _ => "linear",
        };
        let each = |times: &[Duration]| {
            let micros = middle(&sorted(times.iter().map(Duration::as_secs_f64))) * 1e6;
            format!("{:.1} µs a host", micros / f64::from(u32::try_from(hosts).unwrap_or(u32::MAX)))
        };
        let first = format!("`plan --offline`, {hosts} hosts, nothing recorded");
        table.line(&first, &times[0], goal, &each(&times[0]), "", &peak(machine(&empty, &args)));
        let second = format!("`plan --offline`, {hosts} hosts, all recorded");
        table.line(&second, &times[1], "linear", &each(&times[1]), "", &peak(machine(&full, &args)));
        let third = format!("`ls -q`, {hosts} machines");
        table.line(&third, &times[2], "linear", &each(&times[2]), "", &peak(machine(&full, &["ls", "-q"])));
        if hosts == 10_000 {
            wrong(table, &text, turns);
        }
    }
}

/// Machines whose engines are not there: what is timed is our own work, not waiting.
fn lists(table: &mut Table, turns: usize) {
    for machines in [100, 1_000] {
        let dir = folder();
        let store = plain::folder(dir.path());
        for n in 0..machines {
            let name = MachineName::new(format!("web-{n}")).expect("a name");
            let url = "tcp://127.0.0.1:1".to_owned();
            let options = [("url".to_owned(), url.clone().into())].into();
            let mut record = MachineRecord::new(name, None, "none", options);
            record.instance = Some(Instance {
                id: url.clone(),
                address: "127.0.0.1".to_owned(),
                ssh: None,
                url: Some(url),
                host_keys: Vec::new(),
                jump_keys: Vec::new(),
            });
            store.put(&record).expect("a record is kept");
        }
        let template = "{{.Name}} {{.State}} {{if .Error}}{{.Error}}{{end}}";
        for (what, args, goal) in [
            ("`ls`", &["ls"][..], "≤ 300 ms"),
            ("`ls --format`", &["ls", "--format", template], "≤ 300 ms"),
            ("`ls -q`", &["ls", "-q"], "≤ 20 ms"),
        ] {
            let said = machine(dir.path(), args).output().expect("machine starts");
            let lines = String::from_utf8_lossy(&said.stdout).lines().count();
            assert!(lines >= machines, "{}", String::from_utf8_lossy(&said.stderr));
            let times: Vec<Duration> = (0..turns).map(|_| timed(machine(dir.path(), args))).collect();
            let what = format!("{what}, {machines} machines of driver none, nothing listens");
            table.line(
                &what,
                &times,
                if machines == 1_000 { goal } else { "" },
                "",
                "",
                &peak(machine(dir.path(), args)),
            );
        }
    }
}

/// The same file, wrong in every host: nothing that is said of it may take time in its square.
fn wrong(table: &mut Table, text: &str, turns: usize) {
    let text = text.replace("ssh-port: 2222", "ssh-prot: 2222").replace("depends_on: [web-", "depends_on: [wed-");
    let once = || {
        let start = Instant::now();
        let problems = fleet::load("large.yaml", &text, &Inputs::default(), &machine::driver::Drivers::built_in())
            .expect_err("it is wrong");
        let took = start.elapsed();
        assert!(!problems.problems().is_empty());
        took
    };
    let times: Vec<Duration> = (0..turns).map(|_| once()).collect();
    table.line("reading 10000 hosts that are all wrong", &times, "linear", "", "", "");
}

/// The most memory a run had resident: the kernel's own mark, `VmHWM`, read until the run is over.
fn peak(mut command: Command) -> String {
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the program starts");
    let mut stdout = child.stdout.take().expect("it is piped");
    let reader = std::thread::spawn(move || stdout.read_to_end(&mut Vec::new()));
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0_u64;
    while child.try_wait().expect("it is ours to wait for").is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let kib = text.lines().find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse().ok());
        most = most.max(kib.unwrap_or(0));
        std::thread::sleep(Duration::from_micros(100));
    }
    reader.join().expect("reading does not panic").expect("its output can be read");
    format!("{} MB", most * 1024 / 1_000_000)
}

/// Eight real hosts on which nothing is to do, beside the OpenSSH client on all eight at once.
fn no_op(table: &mut Table, turns: usize) {
    let lab = Lab::new();
    let fleet = "fleet: bench\npolicy: { parallel: 8 }\nhosts: { web: { driver: nspawn, count: 8 } }\n";
    let file = lab.file("bench.yaml", fleet);
    eprintln!("making eight hosts");
    lab.machine(&["apply", "--yes", &file]).ok();
    let store = plain::folder(lab.store());
    let mut known = String::new();
    let mut hosts = Vec::new();
    for n in 1..=8 {
        let name = MachineName::new(format!("web-{n}")).expect("a name");
        let instance = store.get(&name).expect("a record").instance.expect("an instance");
        let ssh = instance.ssh.expect("a login");
        writeln!(known, "{} {}", ssh.host, instance.host_keys[0]).expect("a text takes all");
        hosts.push((ssh.host, ssh.key.expect("a key")));
    }
    let known = format!("UserKnownHostsFile={}", lab.file("known_hosts", &known));
    let ssh = || {
        let start = Instant::now();
        let of = |(host, key): &(String, String)| {
            let mut command = lab.command("ssh");
            command.args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", &known]);
            command.args(["-o", "IdentitiesOnly=yes", "-i", key, "-l", "root", host, "true"]);
            command.spawn().expect("ssh starts")
        };
        let running: Vec<_> = hosts.iter().map(of).collect();
        for mut child in running {
            assert!(child.wait().expect("it is ours to wait for").success());
        }
        start.elapsed()
    };
    let apply = || {
        let start = Instant::now();
        let said = lab.machine(&["apply", &file]).ok();
        let took = start.elapsed();
        assert!(said.out.starts_with("Nothing to do"), "{}", said.out);
        took
    };
    // Both once before, so that neither pays for what the other finds warm.
    apply();
    ssh();
    let pairs = Pairs::run(turns, apply, ssh);
    let beside = format!("`ssh HOST true` on all at once: {}", spread(&pairs.theirs));
    table.line("no-op `apply`, 8 hosts", &pairs.ours, "≤ 1.3 × ssh", &beside, &pairs.ratio().to_string(), "");
}

/// The quickstart on an empty store, its image at hand; and the time in which some host was installing packages.
fn quickstart(table: &mut Table, turns: usize) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/fleets/quickstart.yaml");
    let file = file.to_str().expect("a plain path");
    let (mut all, mut installing) = (Vec::new(), Vec::new());
    for _ in 0..turns {
        let lab = Lab::new();
        let start = Instant::now();
        let mut child = lab
            .command(MACHINE)
            .args(["apply", "--yes", "--json", file])
            .stdout(Stdio::piped())
            .spawn()
            .expect("machine starts");
        let stdout = child.stdout.take().expect("it is piped");
        let (mut busy, mut last, mut sum) = (std::collections::BTreeSet::new(), start, Duration::ZERO);
        for line in BufReader::new(stdout).lines() {
            let line = line.expect("events are texts");
            let event: serde_json::Value = serde_json::from_str(&line).expect("events are JSON");
            let now = Instant::now();
            if !busy.is_empty() {
                sum += now - last;
            }
            last = now;
            let machine = event["step"]["machine"].as_str().unwrap_or_default().to_owned();
            // What a host says next means that the installation is over.
            busy.remove(&machine);
            if event["text"].as_str().is_some_and(|text| text.starts_with("install ")) {
                busy.insert(machine);
            }
        }
        assert!(child.wait().expect("it is ours to wait for").success(), "the quickstart failed");
        all.push(start.elapsed());
        installing.push(sum);
    }
    let beside = format!("with apt at work: {}", spread(&installing));
    let share = Ratio::of(&installing, &all).to_string();
    table.line("quickstart: 3 hosts from nothing, cached image", &all, "", &beside, &share, "");
}

fn build(table: &mut Table) {
    let target = tempfile::tempdir().expect("a temporary folder");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--release", "--locked", "--target-dir"]).arg(target.path());
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    table.line("`cargo build --release` from nothing", &[timed(cargo)], "", "", "", "");
}
