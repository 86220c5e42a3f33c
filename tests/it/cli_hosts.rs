//! Commands on machines of driver `generic`, with a real OpenSSH server on loopback, and on records of fleets.
//!
//! Without `sshd` the tests that need it say `SKIPPED` and why.

use crate::plain::{self, Plain};
use crate::{home::Home, sshd::Server};
use machine::{
    clock::Timestamp,
    driver,
    name::{FleetName, MachineName},
    record::{Instance, MachineRecord, OptionValues, SshEndpoint},
    store::{Doing, Holder, Scope, folder::FolderStore},
};

fn store(home: &Home) -> Plain<FolderStore> {
    plain::folder(home.store())
}

fn record(name: &str, fleet: Option<&str>, ssh: Option<SshEndpoint>) -> MachineRecord {
    let mut options = OptionValues::from([("ip".to_owned(), "127.0.0.1".into())]);
    if let Some(ssh) = &ssh {
        options.insert("ssh-port".to_owned(), ssh.port.into());
        options.insert("ssh-user".to_owned(), ssh.user.clone().into());
    }
    let options = driver::options::with_defaults(driver::Drivers::built_in().options("generic"), &options);
    let fleet = fleet.map(|fleet| FleetName::new(fleet).unwrap());
    let mut record = MachineRecord::new(MachineName::new(name).unwrap(), fleet, "generic", options);
    record.instance = Some(Instance {
        id: "127.0.0.1".to_owned(),
        address: "127.0.0.1".to_owned(),
        ssh,
        url: None,
        host_keys: Vec::new(),
        jump_keys: Vec::new(),
    });
    record
}

/// A machine that is this server, or the end of the test.
macro_rules! machine {
    ($home:expr, $name:expr) => {
        match Server::start_for("", None) {
            Some(server) => {
                store(&$home).put(&record($name, None, Some(server.target().ssh))).unwrap();
                server
            }
            None => return,
        }
    };
}

#[test]
fn ssh_runs_a_command_and_ends_as_it_does() {
    let home = Home::new();
    let _server = machine!(home, "web-1");
    // The first contact is told of.
    assert_eq!(home.in_store("machine", &["ssh", "web-1", "true"]).status, 0);
    for (words, status, stdout, stderr) in [
        (&["echo", "one;", "echo", "two", ">&2;", "exit", "7"][..], 7, "one\n", "two\n"),
        (&["--", "echo", "-n", "x"], 0, "x", ""),
        (&["printf", "'%s|'", "'a  b'"], 0, "a  b|", ""),
        (&["kill", "-9", "$$"], 137, "", ""),
    ] {
        for program in ["machine", "docker-machine"] {
            let run = home.in_store(program, &[&["ssh", "web-1"], words].concat());
            assert_eq!((run.status, run.stdout.as_str(), run.stderr.as_str()), (status, stdout, stderr), "{words:?}");
        }
    }
    // What is piped in arrives, and nothing is added to what comes out.
    let at = home.store().display().to_string();
    let run = home.run("machine", &["-s", &at, "ssh", "web-1", "cat"], &[], "a\r\nb\0\n");
    assert_eq!(run.stdout, "a\r\nb\0\n");
}

/// The host that was met first is expected from then on.
#[test]
fn ssh_pins_the_host_key_at_first_contact() {
    let home = Home::new();
    let server = machine!(home, "web-1");
    assert_eq!(home.in_store("machine", &["ssh", "web-1", "true"]).status, 0);
    let name = MachineName::new("web-1").unwrap();
    let mut known = store(&home).get(&name).unwrap();
    let pinned = known.instance.clone().unwrap().host_keys;
    assert_eq!(pinned, [server.host_key("ed25519")]);

    let other = Server::start_for("", None).expect("the first one could be started");
    known.instance.as_mut().unwrap().host_keys = vec![other.host_key("ed25519")];
    store(&home).put(&known).unwrap();
    let run = home.in_store("machine", &["ssh", "web-1", "true"]);
    assert_eq!((run.status, run.stdout.as_str()), (1, ""));
    assert!(run.stderr.contains("another host key than the recorded one"), "{}", run.stderr);
}

#[test]
fn the_state_of_a_host_is_whether_its_ssh_port_answers() {
    let home = Home::new();
    let server = machine!(home, "web-1");
    let docker_machine = |words: &[&str]| home.in_store("docker-machine", words);
    assert_eq!(docker_machine(&["status", "web-1"]).stdout, "Running\n");
    let run = docker_machine(&["start", "web-1"]);
    assert_eq!((run.status, run.stderr.as_str()), (1, "Machine \"web-1\" is already running.\n"));
    let run = docker_machine(&["stop", "web-1"]);
    assert_eq!((run.status, run.stderr.as_str()), (1, "generic driver does not support stop\n"));

    server.kill();
    assert_eq!(docker_machine(&["status", "web-1"]).stdout, "Stopped\n");
    assert_eq!(docker_machine(&["ip", "web-1"]).stdout, "127.0.0.1\n", "the address is known all the same");
    for (words, want) in [
        (&["stop", "web-1"][..], "Machine \"web-1\" is already stopped.\n"),
        (&["start", "web-1"], "generic driver does not support start\n"),
        (&["url", "web-1"], "Host is not running\n"),
        (&["ssh", "web-1", "ls"], "Error: Cannot run SSH command: Host \"web-1\" is not running\n"),
    ] {
        let run = docker_machine(words);
        assert_eq!((run.status, run.stderr.as_str()), (1, want), "{words:?}");
    }
}

#[test]
fn what_is_protected_is_not_removed_not_even_by_force() {
    let home = Home::new();
    let mut protected = record("db", Some("shop"), None);
    protected.protect = true;
    store(&home).put(&protected).unwrap();
    for words in [&["rm", "-y", "db"][..], &["rm", "-f", "db"]] {
        let run = home.in_store("machine", words);
        assert_eq!(run.status, 6, "{words:?}: {}", run.stderr);
        assert!(run.stderr.starts_with("error: `db` is protected\n  help: "), "{}", run.stderr);
    }
    assert!(store(&home).get(&protected.name).is_ok());
    protected.protect = false;
    store(&home).put(&protected).unwrap();
    assert_eq!(home.in_store("machine", &["rm", "-y", "db"]).status, 0);
    assert!(store(&home).get(&protected.name).is_err());
}

/// A machine of a fleet that is being applied is in the hands of that run.
#[test]
fn rm_waits_for_nobody_who_holds_the_fleet() {
    let home = Home::new();
    let fleet = FleetName::new("shop").unwrap();
    store(&home).put(&record("web-1", Some("shop"), None)).unwrap();
    let holder = Holder {
        who: "ci@build-7".to_owned(),
        pid: std::process::id(),
        doing: Doing::fleet("apply", &fleet),
        since: Timestamp(0),
    };
    let held = Scope::of_fleet(&fleet, [&MachineName::new("web-1").unwrap()]);
    let lock = store(&home).take(&held, &holder).unwrap();
    for words in [&["rm", "-y", "web-1"][..], &["rm", "-f", "web-1"]] {
        let run = home.in_store("machine", words);
        assert_eq!(run.status, 5, "{words:?}: {}", run.stderr);
        assert!(run.stderr.contains("ci@build-7"), "{}", run.stderr);
    }
    drop(lock);
    assert_eq!(home.in_store("machine", &["rm", "-y", "web-1"]).status, 0);
}

/// Not everything that a record can hold is there yet: a creation that was cut off can be removed.
#[test]
fn a_machine_without_an_instance_is_shown_and_can_be_removed() {
    let home = Home::new();
    let mut half = record("web-1", Some("shop"), None);
    half.instance = None;
    store(&home).put(&half).unwrap();
    let run = home.in_store("docker-machine", &["ls", "--format", "{{.Name}} {{.State}} {{.Error}}"]);
    assert_eq!((run.status, run.stdout.as_str()), (0, "web-1 Error `web-1` has no instance yet\n"));
    let run = home.in_store("docker-machine", &["ip", "web-1"]);
    assert_eq!(run.stderr, "Error getting IP address: IP address is not set\n");
    assert_eq!(home.in_store("machine", &["rm", "-y", "web-1"]).status, 0);
}

/// A host that was reinstalled: both fingerprints are shown, and nothing is taken over unless it is said so.
#[test]
fn trust_shows_both_keys_and_records_the_new_one() {
    let home = Home::new();
    let server = machine!(home, "web-1");
    let name = MachineName::new("web-1").unwrap();
    let other = Server::start_for("", None).expect("the first one could be started");
    let pin = |key: String| {
        let mut known = store(&home).get(&name).unwrap();
        known.instance.as_mut().unwrap().host_keys = vec![key];
        store(&home).put(&known).unwrap();
    };
    let pinned = || store(&home).get(&name).unwrap().instance.unwrap().host_keys;
    let fingerprint = |key: &str| machine::transport::ssh::fingerprint(key).unwrap();
    let (old, new) = (other.host_key("ed25519"), server.host_key("ed25519"));
    pin(old.clone());

    let refused = home.in_store("machine", &["ssh", "web-1", "true"]);
    assert!(refused.stderr.contains(&fingerprint(&old)) && refused.stderr.contains(&fingerprint(&new)));
    assert!(refused.stderr.contains("machine trust web-1"), "{}", refused.stderr);

    let asked = home.in_store("machine", &["trust", "web-1"]);
    assert_eq!(asked.status, 6, "there is no terminal to say yes at: {}", asked.stderr);
    let shown = format!("host key\n  recorded: {}\n  met now:  {}\n", fingerprint(&old), fingerprint(&new));
    assert!(asked.stdout.starts_with(&shown), "{}", asked.stdout);
    assert_eq!(pinned(), [old]);

    let told = home.in_store("machine", &["trust", "-y", "web-1"]);
    assert_eq!((told.status, told.stdout.ends_with("Recorded for `web-1`.\n")), (0, true), "{}", told.stdout);
    assert_eq!(pinned(), [new]);
    assert_eq!(home.in_store("machine", &["ssh", "web-1", "true"]).status, 0);

    // A key of another kind that the host has as well is no other host.
    pin(server.host_key("ecdsa"));
    let same = home.in_store("machine", &["trust", "web-1"]);
    assert_eq!(
        (same.status, same.stdout.ends_with("These keys are recorded already.\n")),
        (0, true),
        "{}",
        same.stdout
    );
    assert_eq!(pinned(), [server.host_key("ecdsa")]);
}
