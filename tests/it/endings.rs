//! Runs that are told to end: by a terminal that is closed, by signals, by readers that leave (C10). Locks are given back,
//! what was started here ends with its group, the history says so, and the next run goes on from there.

use crate::home::Home;
use crate::plain::{self};
use machine::name::MachineName;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{self, File, OpenOptions},
    io::Read as _,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// A hook that goes on until it is ended, with a child, and says who they are.
const SLOW: &str = "sleep 300 & echo $$ $! >pids.new; mv pids.new pids; wait";

fn fleet(home: &Home) -> String {
    home.write(
        "../fleet.yaml",
        &format!(
            "fleet: shop\nhosts:\n  a: {{ driver: none, url: 'tcp://127.0.0.1:1', hooks: {{ pre-create: [{{ run: '{SLOW}', timeout: 10m }}] }} }}\n  b: {{ driver: none, url: 'tcp://127.0.0.1:2', depends_on: [a] }}\n"
        ),
    );
    home.path().join("fleet.yaml").display().to_string()
}

fn apply(home: &Home, fleet: &str) -> Command {
    let mut command = home.command("env");
    // The caller of these tests may ignore signals.
    command.args(["--default-signal=HUP,INT,TERM", env!("CARGO_BIN_EXE_machine"), "-s"]).arg(home.store());
    command.args(["apply", "-y", fleet]).stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(File::create(home.path().join("said")).unwrap());
    command
}

/// Waits until it has told that it heard a signal.
#[track_caller]
fn heard(home: &Home) {
    let said = || fs::read_to_string(home.path().join("said")).unwrap_or_default();
    until("a word on the signal", || said().contains("No new step starts"));
}

/// Waits until it is so.
#[track_caller]
pub(crate) fn until(what: &str, is: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < Duration::from_mins(1), "{what} did not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The hook and its child, once they run.
#[track_caller]
fn pids(home: &Home) -> Vec<String> {
    until("the hook", || home.path().join("pids").exists());
    let text = fs::read_to_string(home.path().join("pids")).unwrap();
    text.split_whitespace().map(str::to_owned).collect()
}

fn lives(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

#[track_caller]
fn ended(child: &mut Child, limit: Duration) -> ExitStatus {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(begun.elapsed() < limit, "it goes on after {limit:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// That a run ended in good order, with nothing left of it but what it recorded.
#[track_caller]
fn cancelled(home: &Home, fleet: &str, pids: &[String], by: &str) {
    until("the end of the hook's group", || !pids.iter().any(|pid| lives(pid)));
    assert_eq!(home.in_store("machine", &["lock", "ls"]).stdout, "No lock is held.\n");
    let told = home.in_store("machine", &["history"]).stdout;
    assert!(told.contains(&format!("cancelled by {by}, ")), "{told}");
    let json: serde_json::Value =
        serde_json::from_str(&home.in_store("machine", &["history", "--json"]).stdout).unwrap();
    assert_eq!(json["runs"][0]["ended"]["cancelled"], by);
    assert_eq!(json["runs"][0]["ended"]["hosts"]["b"], "not started");
    // What was begun is due, and what depends on it was not begun.
    let store = plain::folder(home.store());
    let record = store.get(&MachineName::new("a").unwrap()).unwrap();
    assert_eq!(record.hooks.pending.len(), 1, "{:?}", record.hooks);
    assert!(store.get(&MachineName::new("b").unwrap()).is_err());
    let plan = home.in_store("machine", &["plan", fleet]);
    assert!(plan.stdout.contains("due since an earlier run"), "{}", plan.stdout);
}

/// A terminal of its own. Dropped, it is closed.
struct Terminal(File);

impl Terminal {
    fn open() -> (Self, File) {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = OpenOptions::new().read(true).write(true).open(Path::new(name.to_str().unwrap())).unwrap();
        (Self(master.into()), slave)
    }

    /// Lets a command run in it, as its own.
    fn start(slave: &File, command: &Command) -> Child {
        #[expect(clippy::disallowed_methods, reason = "it makes the terminal that of the run")]
        let mut setsid = Command::new("setsid");
        setsid.arg("--ctty").arg(command.get_program()).args(command.get_args()).env_clear();
        setsid.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        setsid.current_dir(command.get_current_dir().unwrap());
        let side = || Stdio::from(slave.try_clone().unwrap());
        setsid.stdin(side()).stdout(side()).stderr(side()).spawn().unwrap()
    }
}

/// C10: the terminal is closed in the middle of a hook.
#[test]
fn a_terminal_that_is_closed_cancels_the_run() {
    let home = Home::new();
    let fleet = fleet(&home);
    let (terminal, slave) = Terminal::open();
    let mut run = Terminal::start(&slave, &apply(&home, &fleet));
    drop(slave);
    let pids = pids(&home);
    drop(terminal);
    let status = ended(&mut run, Duration::from_secs(30));
    assert!(status.code().is_some(), "{status}");
    cancelled(&home, &fleet, &pids, "SIGHUP");
}

/// The same, by each signal that ends programs: once, what is under way goes on; twice, it is cut off.
#[test]
fn a_second_signal_ends_a_run_at_once() {
    for (first, name) in [(Signal::INT, "SIGINT"), (Signal::TERM, "SIGTERM"), (Signal::HUP, "SIGHUP")] {
        let home = Home::new();
        let fleet = fleet(&home);
        let mut run = apply(&home, &fleet).process_group(0).spawn().unwrap();
        let pids = pids(&home);
        signal(&run, first);
        heard(&home);
        assert!(run.try_wait().unwrap().is_none() && lives(&pids[0]), "{name} once cuts nothing off");
        signal(&run, Signal::TERM);
        let begun = Instant::now();
        let status = ended(&mut run, Duration::from_secs(30));
        assert!(status.code().is_some() && begun.elapsed() < Duration::from_secs(4), "{status} {:?}", begun.elapsed());
        cancelled(&home, &fleet, &pids, name);
    }
}

/// C10: who says `nohup` means it, and so does a shell that starts a job in the background.
#[test]
fn what_was_ignored_at_the_start_stays_ignored() {
    for (trap, ignored, other) in [("HUP", Signal::HUP, "SIGTERM"), ("INT", Signal::INT, "SIGTERM")] {
        let home = Home::new();
        let fleet = fleet(&home);
        let mut shell = home.command("env");
        shell.args(["--default-signal=HUP,INT,TERM", "sh", "-c", &format!("trap '' {trap}; exec \"$@\""), "sh"]);
        shell.args([env!("CARGO_BIN_EXE_machine"), "-s"]).arg(home.store()).args(["apply", "-y", &fleet]);
        let said = File::create(home.path().join("said")).unwrap();
        let mut run = shell.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(said).spawn().unwrap();
        let pids = pids(&home);
        for _ in 0..3 {
            signal(&run, ignored);
        }
        // Longer than the time after a hangup.
        std::thread::sleep(Duration::from_secs(6));
        assert!(run.try_wait().unwrap().is_none() && lives(&pids[0]), "{trap} is ignored");
        signal(&run, Signal::TERM);
        heard(&home);
        signal(&run, Signal::TERM);
        ended(&mut run, Duration::from_secs(30));
        until("the end of the hook's group", || !pids.iter().any(|pid| lives(pid)));
        let told = home.in_store("machine", &["history"]).stdout;
        assert!(told.contains(&format!("cancelled by {other}, ")), "{told}");
    }
}

/// Commands without a plan, too: their hooks end with them, and `-f` does not turn an end into a removal.
#[test]
fn a_removal_that_is_ended_removes_nothing() {
    for force in ["-y", "-f"] {
        let home = Home::new();
        home.write(
            "../fleet.yaml",
            &format!(
                "fleet: shop\nhosts:\n  a: {{ driver: none, url: 'tcp://127.0.0.1:1', hooks: {{ pre-rm: [{{ run: '{SLOW}', timeout: 10m }}] }} }}\n"
            ),
        );
        let fleet = home.path().join("fleet.yaml").display().to_string();
        assert_eq!(home.in_store("machine", &["apply", "-y", &fleet]).status, 0);
        let mut rm = home.command("env");
        rm.args(["--default-signal=TERM", env!("CARGO_BIN_EXE_machine"), "-s"]).arg(home.store());
        rm.args(["rm", force, "a"]).stdin(Stdio::null()).process_group(0);
        let mut rm = rm.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let pids = pids(&home);
        signal(&rm, Signal::TERM);
        let status = ended(&mut rm, Duration::from_secs(20));
        assert_eq!(status.code(), Some(143), "{force}");
        until("the end of the hook's group", || !pids.iter().any(|pid| lives(pid)));
        assert!(plain::folder(home.store()).get(&MachineName::new("a").unwrap()).is_ok(), "{force}");
        let told = home.in_store("machine", &["history"]).stdout;
        assert!(told.contains("rm  shop") && told.contains("cancelled by SIGTERM, "), "{told}");
        assert_eq!(home.in_store("machine", &["lock", "ls"]).stdout, "No lock is held.\n");
    }
}

/// Between two steps, too: `x` is removed, and the lock of `a` is waited for.
#[test]
fn a_signal_ends_the_wait_for_a_lock_in_the_middle_of_a_command() {
    let home = Home::new();
    let fleet = fleet(&home);
    assert_eq!(home.in_store("machine", &["create", "-d", "none", "--url", "tcp://127.0.0.1:1", "x"]).status, 0);
    let mut run = apply(&home, &fleet).process_group(0).spawn().unwrap();
    let pids = pids(&home);
    let mut rm = home.command("env");
    rm.args(["--default-signal=TERM", env!("CARGO_BIN_EXE_machine"), "-s"]).arg(home.store());
    rm.args(["rm", "-y", "--lock-timeout", "5m", "x", "a"]).stdin(Stdio::null()).stdout(Stdio::null());
    let waiting = home.path().join("waiting");
    let mut rm = rm.stderr(File::create(&waiting).unwrap()).spawn().unwrap();
    until("the wait", || fs::read_to_string(&waiting).is_ok_and(|said| said.contains("waiting up to ")));
    signal(&rm, Signal::TERM);
    assert_eq!(ended(&mut rm, Duration::from_secs(20)).code(), Some(143));
    assert_eq!(plain::folder(home.store()).names().unwrap(), ["a"]);
    signal(&run, Signal::TERM);
    heard(&home);
    signal(&run, Signal::TERM);
    ended(&mut run, Duration::from_secs(30));
    until("the end of the hook's group", || !pids.iter().any(|pid| lives(pid)));
}

/// A reader that leaves ends what only tells, and nothing of what is done.
#[test]
fn a_reader_that_leaves_stops_no_change_half_way() {
    let home = Home::new();
    let names: Vec<String> = (1..=5).map(|n| format!("m{n}")).collect();
    for name in &names {
        let run = home.without_reader(&["create", "-d", "none", "--url", "tcp://127.0.0.1:1", name]);
        assert_eq!((run.status, run.stderr.as_str()), (0, ""), "{name}");
    }
    let store = plain::folder(home.store());
    assert_eq!(store.names().unwrap(), names);
    let run = home.without_reader(&["ls"]);
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
    let words: Vec<&str> = ["rm", "-y"].into_iter().chain(names.iter().map(String::as_str)).collect();
    assert_eq!(home.without_reader(&words).status, 0);
    assert_eq!(store.names().unwrap(), Vec::<String>::new());
    // An end that is not good is told by its code all the same.
    assert_eq!(home.without_reader(&["rm", "-y", "gone"]).status, 1);
}

/// A terminal that hangs up while lines are written to it: an error at every write, and no panic.
#[test]
fn words_that_go_nowhere_end_nothing() {
    let home = Home::new();
    for n in 1..=3 {
        let run = home.in_store("machine", &["create", "-d", "none", "--url", "tcp://127.0.0.1:1", &format!("m{n}")]);
        assert_eq!(run.status, 0, "{}", run.stderr);
    }
    let (terminal, slave) = Terminal::open();
    drop(terminal);
    let mut rm = home.command(env!("CARGO_BIN_EXE_machine"));
    rm.arg("-s").arg(home.store()).args(["rm", "-y", "m1", "m2", "m3"]).stdin(Stdio::null());
    let side = || Stdio::from(slave.try_clone().unwrap());
    let status = rm.stdout(side()).stderr(side()).status().unwrap();
    // All is done; only the words about it could not be written.
    assert_eq!(status.code(), Some(1));
    assert_eq!(plain::folder(home.store()).names().unwrap(), Vec::<String>::new());
}

#[test]
fn a_terminal_of_these_tests_is_one() {
    let (mut terminal, slave) = Terminal::open();
    #[expect(clippy::disallowed_methods, reason = "it only says whether it has a terminal")]
    let mut asks = Command::new("sh");
    asks.args(["-c", "[ -t 0 ] && [ -t 1 ] && echo it is"]).env("PATH", "/usr/bin:/bin").current_dir("/");
    let status = Terminal::start(&slave, &asks).wait().unwrap();
    assert!(status.success());
    let mut said = [0; 5];
    terminal.0.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"it is");
}
