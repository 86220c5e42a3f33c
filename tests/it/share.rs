//! A machine in two accounts: exported by one, imported by another, with a real OpenSSH server and docker client.
//!
//! Without `sshd`, `age` or `docker` the tests that need them say `SKIPPED` and why.

use crate::plain::{self, Plain};
use crate::{
    home::{Home, Run},
    http_engine,
    skip::skipped,
    sshd::Server,
};
use machine::{
    driver,
    name::MachineName,
    record::{Instance, MachineRecord, OptionValues},
    store::{Area, Mode, folder::FolderStore},
};
use std::{fs, os::unix::fs::PermissionsExt};

const PASSPHRASE: (&str, &str) = ("MACHINE_EXPORT_PASSPHRASE", "correct horse");

fn store(home: &Home) -> Plain<FolderStore> {
    plain::folder(home.store())
}

fn name(text: &str) -> MachineName {
    MachineName::new(text).unwrap()
}

/// A machine that is this server, with the server's key outside the store, and certificates.
fn machine(home: &Home, server: &Server) {
    let ssh = server.target().ssh;
    let given =
        serde_json::json!({ "ip": "127.0.0.1", "ssh-port": ssh.port, "ssh-user": ssh.user, "ssh-key": ssh.key });
    let given: OptionValues = serde_json::from_value(given).unwrap();
    let options = driver::options::with_defaults(driver::Drivers::built_in().options("generic"), &given);
    let mut record = MachineRecord::new(name("web"), None, "generic", options);
    record.instance = Some(Instance {
        id: "127.0.0.1".to_owned(),
        address: "127.0.0.1".to_owned(),
        ssh: Some(ssh),
        url: None,
        host_keys: vec![server.host_key("ed25519")],
        jump_keys: Vec::new(),
    });
    let store = store(home);
    store.put(&record).unwrap();
    for (file, mode) in [("ca.pem", Mode::Public), ("cert.pem", Mode::Public), ("key.pem", Mode::Private)] {
        store.write(Area::Machine(&record.name), file, file.as_bytes(), mode).unwrap();
    }
}

fn run(home: &Home, words: &[&str], variables: &[(&str, &str)], input: &str) -> Run {
    let store = home.store().display().to_string();
    home.run("machine", &[&["-s", &store], words].concat(), variables, input)
}

#[track_caller]
fn ok(run: Run) -> Run {
    assert_eq!(run.status, 0, "{run:?}");
    run
}

#[test]
fn a_machine_works_in_two_accounts() {
    let Some(server) = Server::start_for("", None) else { return };
    let (alice, bob) = (Home::with_store("alices"), Home::with_store("bobs"));
    machine(&alice, &server);

    let export = ok(run(&alice, &["export", "web"], &[PASSPHRASE], ""));
    assert!(export.stdout.starts_with("-----BEGIN AGE ENCRYPTED FILE-----\n"), "{}", export.stdout);
    assert!(export.stderr.contains("goes along, and opens whatever else it opens"), "{}", export.stderr);

    let wrong = run(&bob, &["import"], &[(PASSPHRASE.0, "wrong")], &export.stdout);
    assert_eq!((wrong.status, store(&bob).names().unwrap().len()), (1, 0));
    assert!(wrong.stderr.contains("the passphrase does not open it"), "{}", wrong.stderr);
    let imported = ok(run(&bob, &["import", "-"], &[PASSPHRASE], &export.stdout));
    assert!(imported.stdout.contains("machine ssh web"), "{}", imported.stdout);

    let there = bob.store().join("machines/web");
    for file in fs::read_dir(&there).unwrap() {
        let file = file.unwrap();
        let public = ["ca.pem", "cert.pem"].contains(&file.file_name().to_str().unwrap());
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if public { 0o644 } else { 0o600 }, "{file:?}");
        let text = fs::read_to_string(file.path()).unwrap();
        assert!(!text.contains(alice.path().to_str().unwrap()), "{file:?}: {text}");
    }
    assert!(there.join("id_ssh").exists(), "the key lies in the store now");
    for home in [&alice, &bob] {
        assert_eq!(ok(run(home, &["ssh", "web", "echo", "here"], &[], "")).stdout, "here\n");
        assert_eq!(ok(run(home, &["ip", "web"], &[], "")).stdout, "127.0.0.1\n");
        assert!(ok(run(home, &["ls", "-q"], &[], "")).stdout.contains("web"));
    }

    let again = run(&bob, &["import"], &[PASSPHRASE], &export.stdout);
    assert_eq!(again.status, 1);
    assert!(again.stderr.contains(r#"Docker machine "web" already exists"#), "{}", again.stderr);
    ok(run(&bob, &["import", "--name", "theirs"], &[PASSPHRASE], &export.stdout));
    assert_eq!(ok(run(&bob, &["ssh", "theirs", "echo", "here"], &[], "")).stdout, "here\n");
    // An import of several machines that was cut off is gone on with, and nothing else is taken for one.
    alice.none("db", "tcp://192.0.2.1:2376");
    let both = ok(run(&alice, &["export", "web", "db"], &[PASSPHRASE], "")).stdout;
    let rest = ok(run(&bob, &["import"], &[PASSPHRASE], &both)).stdout;
    assert!(rest.contains("`web` is here already.") && rest.contains("Imported `db`"), "{rest}");
    ok(run(&bob, &["rm", "-y", "db"], &[], ""));
    store(&bob).write(Area::Machine(&name("web")), "key.pem", b"another", Mode::Private).unwrap();
    let other = run(&bob, &["import"], &[PASSPHRASE], &both);
    assert!(other.status == 1 && other.stderr.contains(r#""web" already exists"#), "{other:?}");
    assert!(!bob.store().join("machines/db").exists(), "all or none");
    // What is removed there is only forgotten.
    ok(run(&bob, &["rm", "-y", "web", "theirs"], &[], ""));
    assert_eq!(ok(run(&alice, &["ssh", "web", "true"], &[], "")).status, 0);
}

#[test]
fn plain_exports_go_through_a_pipe_and_hold_nothing_of_the_account() {
    let Some(server) = Server::start_for("", None) else { return };
    let (alice, bob) = (Home::with_store("alices"), Home::with_store("bobs"));
    machine(&alice, &server);
    let export = ok(run(&alice, &["export", "web", "--plain"], &[("USER", "alice-of-wonderland")], ""));
    let text = &export.stdout;
    for word in
        [alice.path().to_str().unwrap(), alice.store().to_str().unwrap(), "alice", &server.key().display().to_string()]
    {
        assert!(!text.contains(word), "{word} in {text}");
    }
    assert!(text.contains("PRIVATE KEY-"));
    ok(run(&bob, &["import"], &[], text));
    assert_eq!(ok(run(&bob, &["ssh", "web", "echo", "here"], &[], "")).stdout, "here\n");

    let without = ok(run(&alice, &["export", "web", "--plain", "--without-ssh-key"], &[], "")).stdout;
    assert!(!without.contains("PRIVATE KEY-"));
    let key = server.key().file_name().unwrap().to_str().unwrap();
    let hostile = text.replace(&format!("\"{key}\": "), &format!("\"../../{key}\": "));
    let refused = run(&Home::new(), &["import"], &[], &hostile);
    assert_eq!(refused.status, 1);
    assert!(refused.stderr.contains("no name of a file"), "{}", refused.stderr);
}

#[test]
fn private_keys_never_leave_as_they_are_by_mistake() {
    let home = Home::new();
    home.none("web", "tcp://192.0.2.1:2376");
    let kept = run(&home, &["export", "web"], &[], "");
    assert_eq!((kept.status, kept.stdout.as_str()), (6, ""));
    for word in ["private keys", "--recipient", "--passphrase-file", "--plain"] {
        assert!(kept.stderr.contains(word), "{}", kept.stderr);
    }
    let file = home.path().join("out.age");
    ok(run(&home, &["export", "web", "-o", file.to_str().unwrap()], &[PASSPHRASE], ""));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let shut = run(&home, &["import", file.to_str().unwrap()], &[], "");
    assert_eq!(shut.status, 6, "{}", shut.stderr);
    let nothing = run(&home, &["import"], &[], "hello");
    assert!(nothing.stderr.contains("this is not an export of machines"), "{}", nothing.stderr);
    let bad = run(&home, &["export", "web", "-r", "age1x"], &[], "");
    assert_eq!(bad.status, 1);
}

fn docker(home: &Home, words: &str) -> Run {
    home.shell("sh", &format!("PATH=/usr/local/bin:$PATH; docker {words}"))
}

#[test]
fn docker_reads_our_contexts_and_keeps_its_own() {
    let client = ["/usr/local/bin/docker", "/usr/bin/docker"].iter().any(|path| std::path::Path::new(path).exists());
    if !client {
        skipped("`docker` is not installed");
        return;
    }
    let home = Home::new();
    let first = http_engine::start("28.2.2");
    home.none("web-1", &first.url());
    home.none("db", "tcp://192.0.2.1:2376");
    ok(docker(&home, "context create theirs --docker host=tcp://192.0.2.9:2375"));
    ok(docker(&home, "context use theirs"));
    let before = fs::read_to_string(home.path().join(".docker/config.json")).unwrap();

    assert_eq!(ok(run(&home, &["context"], &[], "")).stdout, "+ db\n+ web-1\n");
    assert_eq!(ok(run(&home, &["context", "sync"], &[], "")).stdout, "2 contexts are in step\n");
    let listed = ok(docker(&home, "context ls --format '{{.Name}} {{.Description}} {{.Current}} {{.Error}}'")).stdout;
    assert!(listed.contains("web-1 machine web-1 false \n") && listed.contains("theirs  true \n"), "{listed}");
    assert_eq!(ok(docker(&home, "--context web-1 version --format '{{.Server.Version}}'")).stdout, "28.2.2\n");

    // docker rewrites a context without losing our mark; a machine that moved takes its context along.
    ok(docker(&home, "context update db --description mine"));
    let second = http_engine::start("29.0.0");
    home.none("web-1", &second.url());
    let synced = ok(run(&home, &["context", "sync", "web-1"], &[], ""));
    assert_eq!(synced.stdout, "~ web-1\n");
    assert_eq!(ok(docker(&home, "--context web-1 version --format '{{.Server.Version}}'")).stdout, "29.0.0\n");
    assert_eq!(fs::read_to_string(home.path().join(".docker/config.json")).unwrap(), before);

    // Names that are taken, or that docker has no place for.
    home.none("theirs", "tcp://192.0.2.2:2376");
    home.none("default", "tcp://192.0.2.3:2376");
    let taken = run(&home, &["context", "sync"], &[], "");
    assert_eq!(taken.status, 1);
    assert!(taken.stderr.contains("is not of this program") && taken.stderr.contains("--prefix"), "{}", taken.stderr);
    assert!(taken.stderr.contains("allows no context called `default`"), "{}", taken.stderr);
    ok(run(&home, &["context", "sync", "--prefix", "m-"], &[], ""));
    let listed = ok(run(&home, &["context", "ls"], &[], "")).stdout;
    let names: Vec<&str> = listed.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["m-db", "m-default", "m-theirs", "m-web-1"]);

    // Only who says so switches; a machine that goes takes its context along.
    ok(run(&home, &["context", "use", "web-1"], &[], ""));
    assert_eq!(ok(docker(&home, "context show")).stdout, "m-web-1\n");
    ok(run(&home, &["rm", "-y", "db"], &[], ""));
    let listed = ok(docker(&home, "context ls -q")).stdout;
    assert_eq!(listed.lines().collect::<Vec<_>>(), ["default", "m-default", "m-theirs", "m-web-1", "theirs"]);
    let removed = ok(run(&home, &["context", "rm", "web-1"], &[], ""));
    assert!(removed.stderr.contains("was docker's current context, and still is"), "{}", removed.stderr);
    assert!(fs::read_to_string(home.path().join(".docker/config.json")).unwrap().contains("m-web-1"));
    assert_eq!(run(&home, &["context", "rm", "web-1"], &[], "").status, 1);
}

#[test]
fn a_machine_is_adopted_once_and_given_back() {
    let home = Home::new();
    home.none("web", "tcp://192.0.2.1:2376");
    let fleet = || store(&home).get(&name("web")).unwrap().fleet.map(|fleet| fleet.to_string());
    let adopted = ok(run(&home, &["adopt", "web", "--fleet", "ours"], &[], ""));
    assert!(
        adopted.stdout.contains("\nhosts:\n  web: { driver: none, url: \"tcp://192.0.2.1:2376\" }\n"),
        "{}",
        adopted.stdout
    );
    assert_eq!(fleet().as_deref(), Some("ours"));
    let refused = run(&home, &["adopt", "web", "--fleet", "other"], &[], "");
    assert_eq!(refused.status, 1);
    assert!(refused.stderr.contains("--from ours"), "{}", refused.stderr);
    ok(run(&home, &["adopt", "web", "--fleet", "other", "--from", "ours"], &[], ""));
    assert_eq!(fleet().as_deref(), Some("other"));
    ok(run(&home, &["adopt", "web", "--release"], &[], ""));
    assert_eq!(fleet(), None);
    assert_eq!(run(&home, &["adopt", "web"], &[], "").status, 1);

    // The lines it prints are those of a file that changes nothing.
    let lines = adopted.stdout.split_once("hosts:").unwrap().1;
    #[expect(clippy::disallowed_methods, reason = "a fixture needs no durability")]
    fs::write(home.path().join("fleet.yaml"), format!("fleet: ours\nhosts:{lines}")).unwrap();
    let seen = ok(run(&home, &["adopt", "web", "-f", "fleet.yaml"], &[], ""));
    assert!(seen.stdout.contains("Nothing to do"), "{}", seen.stdout);
}
