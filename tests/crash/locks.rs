//! Locks and first runs with several real processes (pains 10 and 11). Those are this program, and this test binary
//! itself: started again with `LOCKS_ROLE` it plays a part instead of testing.

use crate::plain::{self, Plain, now};
use crate::{
    home::Home,
    tls_engine::{Authority, Server, healthy},
};
use machine::{
    clock::{Clock as _, SystemClock, Timestamp},
    docker::{DockerApi as _, Endpoint, client::HttpDocker},
    name::{FleetName, MachineName},
    record::{MachineRecord, OptionValues},
    store::{Doing, Held, Holder, StoreError, authority, folder::FolderStore, issued},
};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, OpenOptions},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The part that this process plays instead of testing.
pub(crate) const ROLE: &str = "LOCKS_ROLE";

const FLEET: &str = "fleet: shop\nhosts:\n  a: { driver: none, url: 'tcp://127.0.0.1:1' }\n";
/// The real one is a minute.
const LEASE: Duration = Duration::from_secs(1);
const ROUNDS: u64 = 10_000;

fn shop() -> FleetName {
    FleetName::new("shop").unwrap()
}

fn holder() -> Holder {
    Holder {
        who: "ci@build-7".to_owned(),
        pid: std::process::id(),
        doing: Doing::fleet("apply", &shop()),
        since: Timestamp(1_800_000_000),
    }
}

fn record(serial: u64) -> MachineRecord {
    let options = OptionValues::from([("url".to_owned(), format!("tcp://127.0.0.1:{serial}").into())]);
    MachineRecord::new(MachineName::new("web").unwrap(), Some(shop()), "none", options)
}

/// In memory where the system has such a place: ten thousand times fsync is not what is tested here.
fn temp() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// This program in another part.
#[expect(clippy::disallowed_methods, reason = "two processes are what is tested")]
fn part(role: &str, store: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).env(ROLE, role).env("LOCKS_STORE", store);
    command
}

/// What another process does; `None` when this is the test.
pub(crate) fn main() -> Option<ExitCode> {
    let role = std::env::var(ROLE).ok()?;
    let root = PathBuf::from(std::env::var_os("LOCKS_STORE").unwrap());
    match role.as_str() {
        "rounds" => rounds(&root),
        "late" => late(&root),
        name => create(&root, name),
    }
    Some(ExitCode::SUCCESS)
}

/// Takes the lock until the count is full, and sees each time that no other process is inside.
fn rounds(root: &Path) {
    let store = plain::folder(root);
    let (inside, count) = (root.join("inside"), root.join("count"));
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    loop {
        let lock = match store.lock(&shop(), &holder()) {
            Ok(lock) => lock,
            Err(StoreError::Locked { .. }) => {
                thread::sleep(Duration::from_micros(100));
                continue;
            }
            Err(e) => panic!("{e}"),
        };
        let mut left = String::new();
        // What a killed one left is no sign of life.
        if let Ok(mut file) = fs::File::open(&inside) {
            file.read_to_string(&mut left).unwrap();
            assert!(!left.is_empty() && !lives(&left), "{left} is inside as well");
            fs::remove_file(&inside).unwrap();
        }
        write_new(&inside, &std::process::id().to_string());
        let mut file = options.open(&count).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        let done: u64 = text.trim().parse().unwrap();
        if done < ROUNDS {
            use std::os::unix::fs::FileExt as _;
            file.write_all_at(format!("{:020}", done + 1).as_bytes(), 0).unwrap();
        }
        fs::remove_file(&inside).unwrap();
        drop(lock);
        if done >= ROUNDS {
            return;
        }
    }
}

/// Appears with its content.
fn write_new(path: &Path, text: &str) {
    let beside = path.with_extension(text);
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&beside)
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    fs::hard_link(&beside, path).expect("no other process is inside");
    fs::remove_file(&beside).unwrap();
}

/// Whether a process runs: one that was killed and not yet buried does not.
fn lives(pid: &str) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Holds the lock, and writes a record whenever it is told to.
fn late(root: &Path) {
    let store = plain::impatient(root, LEASE);
    let _lock = store.lock(&shop(), &holder()).unwrap();
    println!("held");
    for line in std::io::stdin().lines() {
        match store.put(&record(line.unwrap().parse().unwrap())) {
            Ok(()) => println!("written"),
            Err(e) => println!("refused: {e}"),
        }
    }
}

/// As `create` with a driver that sets up engines: this program, and then what it does for a certificate.
fn create(root: &Path, name: &str) {
    #[expect(clippy::disallowed_methods, reason = "it is what is tested")]
    let mut create = Command::new(env!("CARGO_BIN_EXE_machine"));
    create.arg("-s").arg(root).args(["create", "-d", "none", "--url", "tcp://127.0.0.1:9", name]);
    let made = create.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (store, name) = (plain::folder(root), MachineName::new(name).unwrap());
    let names = BTreeSet::from(["127.0.0.1".to_owned()]);
    let issued = now(authority::issue(&store, &name, &names, SystemClock.now())).unwrap();
    now(issued.keep(&store, &name)).unwrap();
}

fn line(output: &mut impl std::io::BufRead) -> String {
    loop {
        let mut line = String::new();
        assert!(output.read_line(&mut line).unwrap() > 0, "the other process ended");
        // The test runner has words of its own.
        if let Some(at) = ["held", "written", "refused"].iter().find_map(|word| line.find(word)) {
            return line[at..].trim().to_owned();
        }
    }
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

fn taken(store: &Plain<FolderStore>, limit: Duration) -> Box<dyn Held> {
    let begun = Instant::now();
    loop {
        match store.lock(&shop(), &holder()) {
            Ok(lock) => return lock,
            Err(e) => assert!(begun.elapsed() < limit, "after {:?}: {e}", begun.elapsed()),
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// pain 11: ten thousand rounds of four processes, of which one after the other is killed, and never two inside.
pub(crate) fn never_two_hold_a_lock() {
    let dir = temp();
    let count = dir.path().join("count");
    write_new(&count, &format!("{:020}", 0));
    let (mut killed, mut victim, begun) = (0, 0, Instant::now());
    let mut children: Vec<Child> = (0..4).map(|_| part("rounds", dir.path()).spawn().unwrap()).collect();
    loop {
        let done: u64 = fs::read_to_string(&count).unwrap().parse().unwrap();
        if done >= ROUNDS {
            break;
        }
        assert!(begun.elapsed() < Duration::from_mins(5), "{done} rounds in five minutes");
        thread::sleep(Duration::from_millis(500));
        for child in &mut children {
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success() && fs::read_to_string(&count).unwrap().parse::<u64>().unwrap() >= ROUNDS);
            }
        }
        let child = &mut children[victim % 4];
        victim += 1;
        // In whatever it is doing.
        if child.try_wait().unwrap().is_none() {
            child.kill().unwrap();
            child.wait().unwrap();
            killed += 1;
        }
        *child = part("rounds", dir.path()).spawn().unwrap();
    }
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    println!("{ROUNDS} rounds and {killed} killed in {:?}", begun.elapsed());
    assert!(killed > 0);
    assert_eq!(plain::folder(dir.path()).locks().unwrap(), []);
}

/// pain 11: who is killed loses its lock at once, who is stopped after its lease; and that one, woken, writes nothing.
pub(crate) fn a_stopped_holder_loses_its_lock_and_cannot_write() {
    let dir = temp();
    let store = plain::impatient(dir.path(), LEASE);
    let mut child = part("late", dir.path()).spawn().unwrap();
    let (mut say, mut hear) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    assert_eq!(line(&mut hear), "held");
    say.write_all(b"1\n").unwrap();
    assert_eq!(line(&mut hear), "written");
    // It beats: time alone takes nothing from it.
    let begun = Instant::now();
    while begun.elapsed() < LEASE * 2 {
        assert!(store.lock(&shop(), &holder()).is_err());
        thread::sleep(Duration::from_millis(20));
    }
    signal(&child, Signal::STOP);
    let begun = Instant::now();
    let lock = taken(&store, LEASE * 20);
    let after = begun.elapsed();
    assert!(after > LEASE / 2, "after {after:?}");
    store.put(&record(2)).unwrap();
    signal(&child, Signal::CONT);
    say.write_all(b"3\n").unwrap();
    let answer = line(&mut hear);
    let by = format!("pid {}", std::process::id());
    assert!(answer.contains("the lock of fleet `shop` was lost to ci@build-7") && answer.contains(&by), "{answer}");
    assert_eq!(store.get(&record(2).name).unwrap(), record(2));
    drop(lock);
    say.write_all(b"4\n").unwrap();
    assert!(line(&mut hear).starts_with("refused"));
    drop(say);
    child.wait().unwrap();

    let mut child = part("late", dir.path()).spawn().unwrap();
    assert_eq!(line(&mut BufReader::new(child.stdout.take().unwrap())), "held");
    assert!(store.lock(&shop(), &holder()).is_err());
    child.kill().unwrap();
    child.wait().unwrap();
    drop(store.lock(&shop(), &holder()).expect("a killed holder's lock is free at once"));
}

/// pain 11: one who waits says for whom, goes on as soon as it can, and ends with 5 when it cannot.
pub(crate) fn one_can_wait_for_a_lock() {
    let home = Home::new();
    let store = plain::folder(home.store());
    home.write("../fleet.yaml", FLEET);
    let fleet = home.store().join("../fleet.yaml").display().to_string();
    let lock = store.lock(&shop(), &holder()).unwrap();
    let begun = Instant::now();
    let run = home.in_store("machine", &["apply", "-y", "--lock-timeout", "1s", &fleet]);
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(run.status, 5, "{}", run.stderr);
    let waiting = "waiting up to 1s for fleet `shop`: held by ci@build-7 (pid ";
    assert!(run.stderr.starts_with(waiting) && run.stderr.contains("is being applied by ci@build-7"), "{}", run.stderr);

    let root = home.store().display().to_string();
    let mut waits = home.command(env!("CARGO_BIN_EXE_machine"));
    waits.args(["-s", &root, "apply", "-y", &fleet]).env("MACHINE_LOCK_TIMEOUT", "10m");
    let mut waits = waits.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = String::new();
    BufReader::new(waits.stderr.as_mut().unwrap()).read_line(&mut told).unwrap();
    assert!(told.starts_with("waiting up to 9m59s for fleet `shop`") || told.contains("10m for"), "{told}");
    drop(lock);
    assert!(waits.wait().unwrap().success());
    assert!(store.get(&MachineName::new("a").unwrap()).is_ok());

    for words in [&["apply", "--lock-timeout", "soon"][..], &["rm", "--lock-timeout", "-1s", "x"]] {
        let run = home.in_store("machine", words);
        assert!(run.status == 1 && run.stderr.contains("lock-timeout"), "{words:?}: {}", run.stderr);
    }
    let run = home.run("machine", &["-s", &root, "rm", "-y", "a"], &[("MACHINE_LOCK_TIMEOUT", "soon")], "");
    assert!(run.status == 1 && run.stderr.contains("MACHINE_LOCK_TIMEOUT is \"soon\""), "{}", run.stderr);
}

/// pain 11: who holds what can be seen, in words and in JSON, and taken away.
pub(crate) fn locks_are_listed_and_broken() {
    let home = Home::new();
    let store = plain::folder(home.store());
    let run = home.in_store("machine", &["lock", "ls"]);
    assert_eq!((run.status, run.stdout.as_str()), (0, "No lock is held.\n"));
    assert_eq!(home.in_store("machine", &["lock", "ls", "--json"]).stdout, "{\"version\":1,\"locks\":[]}\n");
    let lock = store.lock(&shop(), &holder()).unwrap();
    let web = MachineName::new("web").unwrap();
    let other = store.lock_machine(&web, &holder()).unwrap();
    let run = home.in_store("machine", &["lock"]);
    for word in ["fleet", "shop", "machine", "web", "ci@build-7", "2027-01-15T08:00:00Z", "held", "apply shop"] {
        assert!(run.stdout.contains(word), "{word}: {}", run.stdout);
    }
    let run = home.in_store("machine", &["lock", "ls", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let first = &json["locks"][0];
    for (key, want) in [
        ("kind", serde_json::json!("fleet")),
        ("name", "shop".into()),
        ("user", "ci".into()),
        ("host", "build-7".into()),
        ("pid", std::process::id().into()),
        ("command", "apply shop".into()),
        ("since", "2027-01-15T08:00:00Z".into()),
        ("machines", serde_json::json!([])),
        ("alive", true.into()),
    ] {
        assert_eq!(first[key], want, "{key}");
    }
    let run = home.in_store("machine", &["lock", "break", "shop"]);
    assert_eq!(run.status, 6, "there is no terminal to ask at: {}", run.stderr);
    store.put(&record(1)).unwrap();
    let run = home.in_store("machine", &["lock", "break", "--yes", "shop"]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    assert!(run.stdout.ends_with("fleet `shop` is free.\n"), "{}", run.stdout);
    assert!(matches!(store.put(&record(2)), Err(StoreError::LostLock { .. })));
    let run = home.in_store("machine", &["lock", "break", "shop"]);
    assert_eq!((run.status, run.stdout.as_str()), (0, "fleet `shop` is not locked.\n"));
    let run = home.in_store("machine", &["lock", "break", "-y", "--machine", "web"]);
    assert!(run.stdout.ends_with("machine `web` is free.\n"), "{}{}", run.stdout, run.stderr);
    for words in [&["lock", "break"][..], &["lock", "ls", "shop"], &["lock", "take", "shop"]] {
        assert_eq!(home.in_store("machine", words).status, 1, "{words:?}");
    }
    drop((lock, other));
}

/// pain 11: a hook that applies its own fleet is told at once, however long it would wait; it can read.
pub(crate) fn a_child_of_the_holder_is_not_left_waiting() {
    let home = Home::new();
    let store = plain::folder(home.store());
    home.write("../fleet.yaml", FLEET);
    let fleet = home.store().join("../fleet.yaml").display().to_string();
    let root = home.store().display().to_string();
    let _lock = store.lock(&shop(), &holder()).unwrap();
    let passes = store.passes();
    let run = |words: &[&str]| {
        home.run("machine", &[&["-s", root.as_str()], words].concat(), &[("MACHINE_LOCK_PASS", &passes)], "")
    };
    let begun = Instant::now();
    let applied = run(&["apply", "-y", "--lock-timeout", "1h", &fleet]);
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert_eq!(applied.status, 5, "{}", applied.stderr);
    assert!(applied.stderr.contains("is held by the run that started this command"), "{}", applied.stderr);
    assert_eq!(run(&["plan", "--offline", &fleet]).status, 0);
    assert_eq!(run(&["ls"]).status, 0);
}

/// pain 10: a machine that is worked on is closed to other runs meanwhile, but can be switched off.
pub(crate) fn a_machine_without_a_fleet_has_a_lock_of_its_own() {
    let home = Home::new();
    home.none("web", "tcp://127.0.0.1:1");
    let store = plain::folder(home.store());
    let lock = store.lock_machine(&MachineName::new("web").unwrap(), &holder()).unwrap();
    for words in
        [&["provision", "web"][..], &["rm", "-f", "web"], &["regenerate-certs", "-f", "web"], &["upgrade", "web"]]
    {
        let run = home.in_store("machine", words);
        assert_eq!(run.status, 5, "{words:?}: {}", run.stderr);
        assert!(run.stderr.contains("machine `web` is being worked on by ci@build-7"), "{}", run.stderr);
    }
    assert_ne!(home.in_store("machine", &["stop", "web"]).status, 5);
    drop(lock);
    assert_eq!(home.in_store("machine", &["rm", "-y", "web"]).status, 0);
    assert!(!home.store().join("locks/web").exists());
}

/// pain 10: fifty first creations at once make one authority, by which all fifty engines and their clients know
/// each other.
#[tokio::main(flavor = "multi_thread")]
pub(crate) async fn fifty_creations_at_once_make_one_authority() {
    let dir = temp();
    let names: Vec<String> = (0..50).map(|n| format!("m{n}")).collect();
    let children: Vec<Child> =
        names.iter().map(|name| part(name, dir.path()).stderr(Stdio::piped()).spawn().unwrap()).collect();
    for child in children {
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
    let store = plain::folder(dir.path());
    let ca = fs::read_to_string(dir.path().join("certs/ca.pem")).unwrap();
    assert_eq!(store.names().unwrap().len(), 50);
    for name in &names {
        let machine = MachineName::new(name).unwrap();
        let of = |file: &str| fs::read_to_string(dir.path().join("machines").join(name).join(file)).unwrap();
        assert_eq!(of("ca.pem"), ca, "{name}");
        let authority = Authority { pem: ca.clone(), ..Authority::new("its key is not asked for") };
        let pair = (of("server.pem"), of("server-key.pem"));
        let server = Server::tls(healthy(), &authority, pair, &rustls::version::TLS13).await;
        let authority::Identity { ca, cert, key } = now(issued::identity(&store, &machine)).unwrap().unwrap();
        let endpoint = Endpoint::Tls { host: "127.0.0.1".to_owned(), port: server.port, ca, cert, key };
        let answer = HttpDocker.version(&machine, &endpoint, Duration::from_secs(20)).await;
        assert_eq!(answer.unwrap().version, "28.2.2", "{name}");
    }
}

/// Everything below a folder, with when it was last written.
fn tree(root: &Path) -> BTreeMap<PathBuf, (u64, std::time::SystemTime)> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(root).unwrap().map(Result::unwrap) {
        let about = entry.metadata().unwrap();
        if about.is_dir() {
            all.extend(tree(&entry.path()));
        }
        all.insert(entry.path(), (about.len(), about.modified().unwrap()));
    }
    all
}

/// pain 10: looking never writes, nor waits for who holds a lock.
pub(crate) fn read_only_commands_write_nothing_and_wait_for_nobody() {
    let home = Home::new();
    home.write("../fleet.yaml", FLEET);
    let fleet = home.store().join("../fleet.yaml").display().to_string();
    assert_eq!(home.in_store("machine", &["apply", "-y", &fleet]).status, 0);
    let store = plain::folder(home.store());
    let _lock = store.lock(&shop(), &holder()).unwrap();
    // The holder's heart beats into one file.
    let looked = || -> BTreeMap<_, _> {
        let all = tree(home.store()).into_iter();
        all.filter(|(path, _)| !path.to_string_lossy().contains("alive-")).collect()
    };
    let before = looked();
    for words in [
        &["ls"][..],
        &["ls", "-q"],
        &["status", "a"],
        &["url", "a"],
        &["ip", "a"],
        &["inspect", "a"],
        &["active"],
        &["config", "a"],
        &["env", "a"],
        &["version", "a"],
        &["plan", &fleet],
        &["plan", "--offline", &fleet],
        &["diff", &fleet],
        &["drift", &fleet],
        &["validate", &fleet],
        &["graph", &fleet],
        &["lock", "ls"],
        &["lock", "ls", "--json"],
        &["context", "ls"],
    ] {
        let run = home.in_store("machine", words);
        assert_ne!(run.status, 5, "{words:?}: {}", run.stderr);
        assert_eq!(looked(), before, "{words:?}");
    }
}
