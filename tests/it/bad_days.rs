//! What a person reads when something is wrong, and what is recorded then. No root and no network: hosts are
//! OpenSSH servers on loopback that answer every command as a file says, so that nothing is done to this computer.
//!
//! Without `sshd` the tests that need it say `SKIPPED` and why.

use crate::plain::{self, Plain};
use crate::{
    home::{Home, Run},
    sshd::{Keys, Server, free_port, new_key, user},
};
use machine::{
    clock::Timestamp,
    name::{FleetName, MachineName},
    store::{Doing, Holder, folder::FolderStore},
};
use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

#[expect(clippy::disallowed_methods, reason = "a fixture's files need not survive a crash")]
fn write(path: &Path, text: &str) -> String {
    fs::write(path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn store(home: &Home) -> Plain<FolderStore> {
    plain::folder(home.store())
}

fn name(text: &str) -> MachineName {
    MachineName::new(text).unwrap()
}

/// Applies a fleet file with this text.
fn apply(home: &Home, fleet: &str, words: &[&str]) -> Run {
    let file = write(&home.path().join("fleet.yaml"), fleet);
    home.in_store("machine", &[&["apply", "-y", &file], words].concat())
}

/// All files of the records of these machines.
fn records(home: &Home, names: &[&str]) -> BTreeMap<PathBuf, String> {
    let files = |name: &&str| ["record.json", "config.json"].map(|f| home.store().join("machines").join(name).join(f));
    names.iter().flat_map(files).map(|path| (path.clone(), fs::read_to_string(&path).unwrap())).collect()
}

/// What was told of failures, without progress, which is told in the order in which things happen.
#[track_caller]
fn failures(run: &Run) -> &str {
    let from = run.stderr.find("error: ").unwrap_or_else(|| panic!("nothing failed: {}{}", run.stdout, run.stderr));
    &run.stderr[from..]
}

/// Runs assertions with what differs from run to run cut out.
fn told(home: &Home, check: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(&regex_of(&home.path().display().to_string()), "HOME");
    settings.add_filter(r"/tmp/\.tmp\w+/", "TMP/");
    settings.add_filter(r"failed after \d+(\.\d)? s", "failed after N s");
    settings.add_filter(r"tried for \d+ s", "tried for N s");
    settings.add_filter(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT");
    settings.add_filter(&format!("`{}`", regex_of(&user())), "`USER`");
    settings.bind(check);
}

fn regex_of(text: &str) -> String {
    text.chars().map(|c| if c.is_alphanumeric() || c == '/' { c.to_string() } else { format!("\\{c}") }).collect()
}

/// A host that answers the probe with `facts`, takes certificates, and cannot install anything.
struct Host {
    server: Server,
    dir: tempfile::TempDir,
}

impl Host {
    /// `None`, having said why, when there is no `sshd`.
    fn start(key: &Path, facts: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().display();
        write(&dir.path().join("facts"), facts);
        write(
            &dir.path().join("host.sh"),
            &format!(
                "case $SSH_ORIGINAL_COMMAND in
*'sh -s')
    cat >{at}/script
    cat {at}/script >>{at}/scripts
    # What everybody on this computer can see meanwhile.
    cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' >>{at}/seen
    if grep -q '^apt_install' {at}/script; then
        printf '\\036machine start 1 6 write\\n\\036machine start 3 6 install docker.io\\n'
        echo 'Reading package lists...'  >&2
        echo 'E: Failed to fetch http://deb.example/docker.io.deb  Connection refused' >&2
        echo 'E: Unable to fetch some archives, maybe run apt-get update?' >&2
        printf '\\036machine failed 3 100\\n'
        exit 100
    fi
    printf '\\036machine done\\n' ;;
*) cat {at}/facts ;;
esac
"
            ),
        );
        let server = Server::start_for(&format!("ForceCommand sh {at}/host.sh\n"), Some(key))?;
        Some(Self { server, dir })
    }

    fn read(&self, file: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.path().join(file)).unwrap_or_default()).into_owned()
    }
}

const BLANK: &str = include_str!("../../src/provisioner/fixtures/debian-12-blank.txt");

/// The lines of a private key.
fn secrets(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let lines: Vec<String> = text.lines().filter(|l| l.len() > 20 && !l.contains("---")).map(str::to_owned).collect();
    assert!(!lines.is_empty(), "{} is a key", path.display());
    lines
}

/// Pain 30. Everything that may be wrong with single hosts, at once: each is told once and does not touch the others.
#[test]
fn every_bad_host_is_told_once_and_leaves_the_others_alone() {
    let home = Home::new();
    let keys = Keys::new();
    let at = |file: &str| home.path().join(file).display().to_string();
    new_key(&home.path().join("encrypted"), "ed25519", "passphrase");
    new_key(&home.path().join("loose"), "ed25519", "");
    new_key(&home.path().join("stranger"), "ed25519", "");
    fs::set_permissions(home.path().join("loose"), fs::Permissions::from_mode(0o644)).unwrap();
    let no_os = BLANK.replace("@os-release\n", "@other\n");
    let plan9 = BLANK.replace("|ID=debian", "|ID=plan9");
    let no_root = BLANK.replace("@root\n|0", "@root\n|1000");
    let full = BLANK.replace("|72800112", "|102400");
    let Some(apt) = Host::start(&keys.path(), BLANK) else { return };
    let host = |facts: &str| Host::start(&keys.path(), facts).expect("the first one could be started");
    let (no_os, plan9, no_root, full, odd) =
        (host(&no_os), host(&plan9), host(&no_root), host(&full), host("Hello.\n"));
    // It accepts connections and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = |host: &Host| host.server.port;
    let text = format!(
        "fleet: bad
drivers:
  here: {{ driver: generic, ip: 127.0.0.1, ssh-user: {user}, ssh-key: {key} }}
defaults: {{ driver: here, engine: {{ source: distro }} }}
hosts:
  apt: {{ ssh-port: {apt} }}
  down: {{ ssh-port: {down} }}
  encrypted: {{ ssh-port: {apt}, ssh-key: {encrypted} }}
  full: {{ ssh-port: {full} }}
  known: {{ driver: none, url: 'tcp://127.0.0.1:1' }}
  loose: {{ ssh-port: {apt}, ssh-key: {loose} }}
  missing: {{ ssh-port: {apt}, ssh-key: {missing} }}
  no-os: {{ ssh-port: {no_os} }}
  no-root: {{ ssh-port: {no_root} }}
  odd: {{ ssh-port: {odd} }}
  plan9: {{ ssh-port: {plan9} }}
  silent: {{ ssh-port: {silent} }}
  stranger: {{ ssh-port: {apt}, ssh-key: {stranger} }}
  waits: {{ driver: none, url: 'tcp://127.0.0.1:2', depends_on: [apt] }}
",
        user = user(),
        key = keys.path().display(),
        apt = port(&apt),
        down = free_port(),
        encrypted = at("encrypted"),
        full = port(&full),
        loose = at("loose"),
        missing = at("not-there"),
        no_os = port(&no_os),
        no_root = port(&no_root),
        odd = port(&odd),
        plan9 = port(&plan9),
        silent = silent.local_addr().unwrap().port(),
        stranger = at("stranger"),
    );
    let run = apply(&home, &text, &[]);
    assert_eq!(run.status, 3, "{}{}", run.stdout, run.stderr);
    told(&home, || {
        insta::assert_snapshot!("bad_hosts_table", run.stdout);
        insta::assert_snapshot!("bad_hosts", failures(&run));
    });
    for cause in ["another distribution", "Unable to fetch some archives", "its mode 0644", "refused to log in"] {
        assert!(run.stderr.matches(cause).count() <= 1, "`{cause}` is told more than once: {}", run.stderr);
    }

    // Nothing that could be seen holds a key; what did hold it shows that this would be noticed.
    let log = home.store().join("machines/apt/last-failure.log");
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
    let log = fs::read_to_string(&log).unwrap();
    assert!(log.contains("Reading package lists..."), "the log has all that was printed: {log}");
    let sent = secrets(&home.store().join("machines/apt/server-key.pem"));
    assert!(sent.iter().all(|line| apt.read("scripts").contains(line)), "the key came to the host on standard input");
    let seen = apt.read("seen");
    assert!(seen.contains("apply -y"), "our own process was seen: {seen}");
    let mut all = sent;
    for key in ["certs/ca-key.pem", "certs/key.pem"] {
        all.extend(secrets(&home.store().join(key)));
    }
    all.extend(secrets(&keys.path()));
    for (place, text) in [("stdout", &run.stdout), ("stderr", &run.stderr), ("the log", &log), ("ps", &seen)] {
        assert!(!all.iter().any(|line| text.contains(line)), "a private key is in {place}");
        assert!(!text.contains("PRIVATE KEY"), "a private key is in {place}");
    }

    // What was recorded stays: those that cannot be worked on change nothing of any machine.
    let names = ["apt", "encrypted", "known", "no-os", "stranger"];
    let before = records(&home, &names);
    let again = "fleet: bad\nhosts:\n  known: { driver: none, url: 'tcp://127.0.0.1:1' }\n";
    let run = apply(&home, again, &[]);
    assert_eq!(run.status, 0, "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("kept without --prune"), "{}", run.stdout);
    assert_eq!(records(&home, &names), before);
}

/// Events for programs hold what people are told.
#[test]
fn events_of_a_failure_hold_cause_help_and_what_the_host_said() {
    let home = Home::new();
    let keys = Keys::new();
    let Some(apt) = Host::start(&keys.path(), BLANK) else { return };
    let text = format!(
        "fleet: bad\nhosts:\n  apt: {{ driver: generic, ip: 127.0.0.1, ssh-user: {}, ssh-port: {}, ssh-key: {}, engine: {{ source: distro }} }}\n",
        user(),
        apt.server.port,
        keys.path().display()
    );
    let run = apply(&home, &text, &["--json"]);
    assert_eq!(run.status, 1, "{}{}", run.stdout, run.stderr);
    let events: Vec<serde_json::Value> = run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let failed = events.iter().find(|event| event["ok"] == false).expect("it failed");
    assert_eq!(failed["error"], "`install docker.io` failed with exit status 100");
    assert!(failed["help"].as_str().unwrap().contains("apt sources"), "{failed}");
    assert!(failed["stderr"].as_str().unwrap().contains("Connection refused"), "{failed}");
    let last = events.last().unwrap();
    assert_eq!((&last["event"], &last["hosts"]["apt"]), (&"ended".into(), &"failed".into()));
}

/// Another host answers at the address of a machine: nothing is sent there.
#[test]
fn a_host_with_another_key_is_not_talked_to() {
    let home = Home::new();
    let keys = Keys::new();
    let Some(host) = Host::start(&keys.path(), BLANK) else { return };
    let text = format!(
        "fleet: bad\nhosts:\n  known: {{ driver: none, url: 'tcp://127.0.0.1:1' }}\n  web: {{ driver: generic, ip: 127.0.0.1, ssh-user: {}, ssh-port: {}, ssh-key: {}, engine: {{ source: distro }} }}\n",
        user(),
        host.server.port,
        keys.path().display()
    );
    assert_eq!(apply(&home, &text, &[]).status, 3);
    let mut record = store(&home).get(&name("web")).unwrap();
    let pinned = new_key(&home.path().join("other"), "ed25519", "");
    record.instance.as_mut().unwrap().host_keys = vec![pinned.clone()];
    store(&home).put(&record).unwrap();
    let (before, scripts) = (records(&home, &["web", "known"]), host.read("scripts"));

    let run = apply(&home, &text, &[]);
    assert_eq!(run.status, 1, "nothing could be done: {}{}", run.stdout, run.stderr);
    assert_eq!(run.stderr.matches("another host key than the recorded one").count(), 1, "{}", run.stderr);
    let met = machine::transport::ssh::fingerprint(&host.server.host_key("ed25519")).unwrap();
    let expected = machine::transport::ssh::fingerprint(&pinned).unwrap();
    assert!(run.stderr.contains(&met) && run.stderr.contains(&expected), "{}", run.stderr);
    assert_eq!(host.read("scripts"), scripts);
    assert_eq!(records(&home, &["web", "known"]), before);
}

/// One problem of a file of each kind is in `problems.rs`; here is where the report goes.
#[test]
fn problems_of_a_file_go_to_standard_error_and_nothing_is_begun() {
    let home = Home::new();
    for (file, want) in [
        ("unknown_driver", "unknown driver"),
        ("missing_option", "needs `"),
        ("duplicate_key", "twice"),
        ("same_name", "two hosts are called"),
        ("dependency_cycle", "wait for each other"),
        ("bad_value", "is not a version"),
    ] {
        let path = format!("{}/tests/problems/{file}.yaml", env!("CARGO_MANIFEST_DIR"));
        for command in ["apply", "plan", "validate", "destroy", "drift", "diff", "graph"] {
            let run = home.in_store("machine", &[command, &path]);
            assert_eq!((run.status, run.stdout.as_str()), (1, ""), "{command} {file}");
            assert!(run.stderr.to_lowercase().contains(want), "{command} {file}: {}", run.stderr);
        }
    }
    assert!(!home.store().exists(), "no store is made for a file that is wrong");
}

#[test]
fn a_fleet_file_that_is_not_there_is_told_with_an_example() {
    let home = Home::new();
    let run = home.in_store("machine", &["apply", "nowhere.yaml"]);
    assert_eq!((run.status, run.stdout.as_str()), (1, ""));
    insta::assert_snapshot!(run.stderr, @r"
    error: cannot read nowhere.yaml: No such file or directory (os error 2)
      help: name the file, or write a first one:
          fleet: shop
          hosts:
            web: { driver: generic, ip: 192.0.2.10 }
    ");
    // What stands there is what is offered: nothing that only a checkout of this program has.
    write(&home.path().join("fleet.yml"), "fleet: f\nhosts: {}\n");
    let run = home.in_store("machine", &["plan", "flet.yml"]);
    assert!(run.stderr.ends_with("  help: did you mean fleet.yml?\n"), "{}", run.stderr);
    let run = home.in_store("machine", &["plan", "./flet.yml"]);
    assert!(run.stderr.ends_with("  help: did you mean ./fleet.yml?\n"), "{}", run.stderr);
    let run = home.in_store("machine", &["plan", "/"]);
    assert!(run.stderr.ends_with("  help: see what it is and who may read it:\n      ls -ld /\n"), "{}", run.stderr);
}

#[test]
fn a_store_that_cannot_be_written_is_told_with_its_path() {
    let home = Home::new();
    let file = write(&home.path().join("file"), "not a folder");
    let fleet = write(
        &home.path().join("fleet.yaml"),
        "fleet: f\nhosts:\n  known: { driver: none, url: 'tcp://127.0.0.1:1' }\n",
    );
    let run = home.machine(&["-s", &format!("{file}/store"), "apply", "-y", &fleet]);
    assert_eq!((run.status, run.stdout.as_str()), (1, ""));
    told(&home, || {
        insta::assert_snapshot!(run.stderr, @r"
        error: cannot read HOME/file/store/machines: Not a directory (os error 20)
          help: HOME/file must be a folder: move the file away, or choose another store with --storage-path
        ");
    });
    assert_eq!(fs::read_to_string(&file).unwrap(), "not a folder");
}

/// Pain 9: one bad file hides no machine, and nothing is done to the machine whose it is.
#[test]
fn a_record_that_will_not_parse_concerns_its_machine_alone() {
    let home = Home::new();
    let fleet = "fleet: f\nhosts:\n  a: { driver: none, url: 'tcp://127.0.0.1:1' }\n  b: { driver: none, url: 'tcp://127.0.0.1:1' }\n";
    assert_eq!(apply(&home, fleet, &[]).status, 0);
    let garbage = "{\n  \"record\": 2,\n  \"name\": \"b\" }{";
    home.write("machines/b/record.json", garbage);
    let path = home.store().join("machines/b/record.json");

    let run = home.in_store("machine", &["ls", "--format", "{{.Name}} {{.State}} {{.Error}}"]);
    assert_eq!(run.status, 1, "{}", run.stderr);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert!(lines[0].starts_with("a ") && !lines[0].contains("will not parse"), "{lines:?}");
    assert!(lines[1].starts_with("b Error ") && lines[1].contains(path.to_str().unwrap()), "{lines:?}");
    assert_eq!(home.in_store("docker-machine", &["ls"]).status, 0, "as docker-machine ends");

    let third = fleet.to_owned() + "  c: { driver: none, url: 'tcp://127.0.0.1:1' }\n";
    let file = write(&home.path().join("fleet.yaml"), &third);
    let run = home.in_store("machine", &["plan", &file]);
    assert_eq!(run.status, 0);
    told(&home, || insta::assert_snapshot!("broken_plan", run.stdout));
    let run = apply(&home, &third, &[]);
    assert_eq!(run.status, 3, "{}{}", run.stdout, run.stderr);
    told(&home, || insta::assert_snapshot!("broken_apply", failures(&run)));
    assert!(store(&home).get(&name("c")).is_ok(), "the others converge");
    assert_eq!(apply(&home, &third, &[]).status, 1, "nothing is left that could be done");
    assert_eq!(fs::read_to_string(&path).unwrap(), garbage, "it is left as it is");
    let run = home.in_store("machine", &["rm", "-y", "b"]);
    assert_eq!(run.status, 1, "{}{}", run.stdout, run.stderr);
    assert_eq!(fs::read_to_string(&path).unwrap(), garbage);
}

#[test]
fn who_holds_a_fleet_is_told() {
    let home = Home::new();
    let fleet = "fleet: shop\nhosts:\n  a: { driver: none, url: 'tcp://127.0.0.1:1' }\n";
    let holder = Holder {
        who: "ci@build-7".to_owned(),
        pid: 4711,
        doing: Doing::fleet("apply", &FleetName::new("shop").unwrap()),
        since: Timestamp(1_800_000_000),
    };
    let lock = store(&home).lock(&FleetName::new("shop").unwrap(), &holder).unwrap();
    let run = apply(&home, fleet, &[]);
    assert_eq!((run.status, run.stdout.as_str()), (5, ""));
    told(&home, || {
        insta::assert_snapshot!(run.stderr, @r"
    error: fleet `shop` is being applied by ci@build-7 (pid 4711, `apply shop`, since 2027-01-15T08:00:00Z)
      help: wait for it with `--lock-timeout 10m`. If it hangs, end process 4711 on that computer: the lock goes with it
    ");
    });
    assert!(store(&home).names().unwrap().is_empty());
    drop(lock);
    assert_eq!(apply(&home, fleet, &[]).status, 0);
}

#[test]
fn an_empty_fleet_removes_nothing_and_says_what_is_kept() {
    let home = Home::new();
    let fleet = "fleet: f\nhosts:\n  a: { driver: none, url: 'tcp://127.0.0.1:1' }\n  b: { driver: none, url: 'tcp://127.0.0.1:1' }\n";
    assert_eq!(apply(&home, fleet, &[]).status, 0);
    let before = records(&home, &["a", "b"]);
    let run = apply(&home, "fleet: f\nhosts: {}\n", &[]);
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
    insta::assert_snapshot!(run.stdout, @r"
      a
        ! keep    instance     not in the fleet file; kept without --prune
      b
        ! keep    instance     not in the fleet file; kept without --prune
    Nothing to do: 0 hosts are as planned, 2 left the file and are kept.
    ");
    assert_eq!(records(&home, &["a", "b"]), before);
}

/// What another version of this program made is neither lost nor in the way.
#[test]
fn a_machine_of_a_driver_that_is_not_there_is_told_and_stays() {
    let home = Home::new();
    let fleet = "fleet: f\nhosts:\n  a: { driver: none, url: 'tcp://127.0.0.1:1' }\n  b: { driver: none, url: 'tcp://127.0.0.1:1' }\n";
    assert_eq!(apply(&home, fleet, &[]).status, 0);
    let mut record = store(&home).get(&name("b")).unwrap();
    record.driver = "cloud9".to_owned();
    store(&home).put(&record).unwrap();
    let file = write(&home.path().join("fleet.yaml"), fleet);
    let run = home.in_store("machine", &["destroy", "-y", &file]);
    assert_eq!(run.status, 3, "{}{}", run.stdout, run.stderr);
    insta::assert_snapshot!(failures(&run), @r"
    error: b: instance failed
      driver `cloud9` is not known to this program
      help: use the version of machine that made it, or forget it, which leaves what the driver made:
        machine rm -f b
    ");
    assert_eq!(store(&home).names().unwrap(), ["b"]);
    assert_eq!(store(&home).get(&name("b")).unwrap().driver, "cloud9");
    // What the help says works.
    assert_eq!(home.in_store("machine", &["rm", "-f", "b"]).status, 0);
    assert!(store(&home).names().unwrap().is_empty());
}
