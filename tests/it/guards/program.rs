//! The same from the command line: files that are empty or wrong, `rm` that tells what is there, and the history.

use super::fakes::name;
use crate::home::{Home, Run};
use crate::plain::{self, Plain};
use machine::{
    clock::Timestamp,
    history::{History, Pick},
    name::FleetName,
    record::{Instance, MachineRecord, OptionValues, Tombstone},
    store::folder::FolderStore,
};
use std::{
    fs,
    io::Write as _,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const TWO: &str = "fleet: shop\ndefaults: { driver: none }\nhosts:\n  a: { url: 'tcp://192.0.2.1:2376' }\n  b: { url: 'tcp://192.0.2.2:2376' }\n";

#[expect(clippy::disallowed_methods, reason = "a fixture's files need not survive a crash")]
fn file(home: &Home, name: &str, text: &str) -> String {
    let path = home.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn machine(home: &Home, words: &[&str]) -> Run {
    let instances = home.path().join("nspawn").display().to_string();
    let store = home.store().display().to_string();
    home.run("machine", &[&["-s", &store], words].concat(), &[("MACHINE_NSPAWN_DIR", &instances)], "")
}

fn store(home: &Home) -> Plain<FolderStore> {
    plain::folder(home.store())
}

#[track_caller]
fn ends(run: &Run, status: i32) {
    assert_eq!(run.status, status, "{}{}", run.stdout, run.stderr);
}

/// Pain 14: an empty file, one of nothing, one that will not parse and a foreign one remove nothing, even where
/// pruning is what the file asks for.
#[test]
fn an_empty_or_wrong_file_deletes_nothing() {
    let home = Home::new();
    ends(&machine(&home, &["apply", "-y", &file(&home, "fleet.yaml", TWO)]), 0);
    let prune = "policy: { prune: true, max_delete: 100 }\n";
    for (text, status) in [
        ("", 1),
        ("\n# nothing\n", 1),
        ("{}", 1),
        ("hosts:\n", 1),
        ("fleet: shop\n", 1),
        ("fleet: shop\nhosts: {}\n", 6),
        ("fleet: shop\nhosts: {\n", 1),
        ("fleet: shop\nhosts: { c: { driver: none, url: 'tcp://192.0.2.3:2376' } }\n", 6),
        ("fleet: blog\nhosts: {}\n", 0),
        ("<<<<<<< HEAD\nfleet: shop\n=======\n", 1),
        ("\u{0}", 1),
    ] {
        for policy in ["", prune] {
            let path = file(&home, "shop/fleet.yaml", &format!("{text}{policy}"));
            let run = machine(&home, &["apply", "-y", "--prune", &path]);
            // What the policy is appended to need not be a file any more; it must not be a removal either.
            assert!(
                run.status == status || !policy.is_empty() && run.status != 0 || text.contains("blog"),
                "{text:?}: {run:?}"
            );
            assert_eq!(machine(&home, &["ls", "-q"]).stdout, "a\nb\n", "{text:?}: {run:?}");
        }
    }
    let none = file(&home, "none.yaml", "fleet: shop\nhosts: {}\n");
    let run = machine(&home, &["apply", "-y", "--prune", &none]);
    assert!(run.stderr.contains("all 2 machines of the fleet would be removed"), "{run:?}");
    assert!(machine(&home, &["plan", "--prune", &none]).stdout.contains("--allow-delete=2"));
    ends(&machine(&home, &["apply", "-y", "--prune", "--allow-delete=2", &none]), 0);
}

/// `destroy` asks with the number, and refuses another than the one that is named.
#[test]
fn destroying_asks_with_numbers() {
    let home = Home::new();
    let path = file(&home, "fleet.yaml", TWO);
    ends(&machine(&home, &["apply", "-y", &path]), 0);
    let asked = machine(&home, &["destroy", &path]);
    ends(&asked, 6);
    let other = machine(&home, &["destroy", "-y", "--allow-delete=3", &path]);
    ends(&other, 6);
    assert!(other.stderr.contains("2 machines would be removed, but `--allow-delete=3` was given"), "{other:?}");
    assert_eq!(machine(&home, &["ls", "-q"]).stdout, "a\nb\n");
    ends(&machine(&home, &["destroy", "-y", "--allow-delete=2", &path]), 0);
}

/// A machine of driver nspawn as it was recorded; whether there is one, its folder says.
fn recorded(home: &Home, machine: &str, fleet: Option<&str>) -> MachineRecord {
    let fleet = fleet.map(|fleet| FleetName::new(fleet).unwrap());
    let options = OptionValues::from([("image".to_owned(), "debian-12".into())]);
    let mut record = MachineRecord::new(name(machine), fleet, "nspawn", options);
    record.instance = Some(Instance {
        id: format!("{machine}-0123456789"),
        address: "192.0.2.7".to_owned(),
        ssh: None,
        url: None,
        host_keys: Vec::new(),
        jump_keys: Vec::new(),
    });
    store(home).put(&record).unwrap();
    record
}

/// Makes the recorded instance one of another store.
fn of_another_store(home: &Home, machine: &str) -> PathBuf {
    let folder = home.path().join(format!("nspawn/instances/{machine}-0123456789"));
    let instance = serde_json::json!({
        "version": 1, "store-id": "f".repeat(32), "fleet": null, "machine": machine, "phase": "prepared",
        "lower": "/nowhere", "address": "192.0.2.7", "host-key": "ssh-ed25519 AAAA", "login-key": "ssh-ed25519 BBBB",
        "process": null
    });
    file(home, &format!("nspawn/instances/{machine}-0123456789/instance.json"), &instance.to_string());
    folder
}

/// Pain 5: removing what is gone already is no error, and is said; docker-machine's words stay what they are.
#[test]
fn a_machine_whose_instance_is_gone_is_removed() {
    let home = Home::new();
    recorded(&home, "web", None);
    let run = machine(&home, &["rm", "-y", "web"]);
    ends(&run, 0);
    assert!(run.stdout.ends_with("The instance of web was already gone\nSuccessfully removed web\n"), "{run:?}");
    assert_eq!(machine(&home, &["ls", "-q"]).stdout, "");
    recorded(&home, "web", None);
    let run = home.in_store("docker-machine", &["rm", "-y", "web"]);
    ends(&run, 0);
    assert_eq!(
        run.stdout,
        "About to remove web\nWARNING: This action will delete both local reference and remote instance.\nSuccessfully removed web\n"
    );
}

/// Pains 5 and 13: what `rm -f` could not confirm is remembered, listed, planned, and tried until it is; and an
/// instance of another store is not touched in all that.
#[test]
fn what_rm_could_not_confirm_leaves_a_tombstone() {
    let home = Home::new();
    let record = recorded(&home, "web", Some("shop"));
    let theirs = of_another_store(&home, "web");
    let refused = machine(&home, &["rm", "-y", "web"]);
    ends(&refused, 1);
    assert!(refused.stderr.contains("it belongs to the store"), "{refused:?}");
    assert_eq!(store(&home).get(&record.name).unwrap(), record);

    let forced = machine(&home, &["rm", "-f", "web"]);
    ends(&forced, 0);
    assert!(forced.stdout.ends_with("Successfully removed web\n"), "{forced:?}");
    assert!(forced.stderr.contains("it is not confirmed that the instance of `web` is gone"), "{forced:?}");
    assert!(forced.stderr.contains("machine rm --tombstone web"), "{forced:?}");
    assert_eq!(machine(&home, &["ls", "-q"]).stdout, "", "it is no machine any more");
    let listed = machine(&home, &["ls", "--tombstones"]);
    assert!(listed.stdout.contains("web    shop    nspawn   web-0123456789"), "{listed:?}");
    let json: serde_json::Value =
        serde_json::from_str(&machine(&home, &["ls", "--tombstones", "--json"]).stdout).unwrap();
    assert_eq!(json["tombstones"][0]["instance"]["id"], "web-0123456789");
    let kept = fs::read_dir(home.store().join("tombstones")).unwrap().next().unwrap().unwrap();
    assert_eq!(kept.metadata().unwrap().permissions().mode() & 0o777, 0o600);

    // The fleet plans to look again, and does not end well while that is unknown.
    let path = file(&home, "fleet.yaml", "fleet: shop\nhosts: {}\n");
    let planned = machine(&home, &["plan", &path]);
    assert!(planned.stdout.contains("- rm      remains      its removal on "), "{planned:?}");
    ends(&machine(&home, &["apply", "-y", &path]), 1);
    ends(&machine(&home, &["rm", "--tombstone", "web"]), 1);
    assert!(theirs.join("instance.json").exists(), "another store's instance was touched");
    // Another fleet has nothing to do with it.
    let other = file(&home, "other.yaml", "fleet: blog\nhosts: {}\n");
    assert!(!machine(&home, &["plan", &other]).stdout.contains("remains"));

    fs::remove_dir_all(theirs).unwrap();
    ends(&machine(&home, &["apply", "-y", &path]), 0);
    assert!(machine(&home, &["plan", &path]).stdout.starts_with("Nothing to do"));
    let none = machine(&home, &["rm", "--tombstone", "web"]);
    ends(&none, 1);
    assert!(none.stderr.contains("ls --tombstones"), "{none:?}");
}

/// docker-machine's machines of drivers this program does not have are remembered as well; so are records that will
/// not parse. The user has the last word.
#[test]
fn a_removed_machine_of_an_unknown_driver_is_remembered_until_the_user_forgets_it() {
    let home = Home::new();
    home.config(
        "box",
        "vmwarefusion",
        r#"{"IPAddress": "192.0.2.9", "MachineName": "box", "Password": "s3cret-s3cret"}"#,
        "{}",
    );
    home.write("machines/bad/record.json", "{{{");
    home.none("plain", "tcp://192.0.2.1:2376");
    let run = home.in_store("docker-machine", &["rm", "-f", "box", "bad", "plain"]);
    ends(&run, 0);
    assert!(!run.stderr.contains("tombstone") && !run.stdout.contains("tombstone"), "{run:?}");
    assert_eq!(machine(&home, &["ls", "-q"]).stdout, "");
    assert_eq!(machine(&home, &["ls", "--tombstones", "-q"]).stdout, "bad\nbox\n", "driver none leaves nothing");
    for (of, bytes) in all_files(&home) {
        assert!(!String::from_utf8_lossy(&bytes).contains("s3cret"), "{}", of.display());
    }
    ends(&machine(&home, &["rm", "--tombstone", "box"]), 1);
    for gone in ["box", "bad"] {
        let run = machine(&home, &["rm", "--tombstone", "-f", gone]);
        ends(&run, 0);
        assert!(run.stdout.starts_with(&format!("Forgot the earlier {gone}")), "{run:?}");
    }
    assert_eq!(machine(&home, &["ls", "--tombstones", "-q"]).stdout, "");
}

fn all_files(home: &Home) -> Vec<(PathBuf, Vec<u8>)> {
    let (mut folders, mut found) = (vec![home.store().to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push((path.clone(), fs::read(&path).unwrap()));
            }
        }
    }
    found
}

/// A tombstone that cannot be read is told of, and keeps only machines of its name from being made.
#[test]
fn a_damaged_tombstone_disturbs_no_other_machine() {
    let home = Home::new();
    ends(&machine(&home, &["apply", "-y", &file(&home, "fleet.yaml", TWO)]), 0);
    home.write("tombstones/x-0123456789.json", "{");
    let stone = Tombstone::unknown(name("y"), Timestamp(1), "moved");
    home.write("tombstones/z-0123456789.json", &stone.encode());
    ends(&machine(&home, &["ls"]), 0);
    ends(&machine(&home, &["apply", "-y", &file(&home, "fleet.yaml", TWO)]), 0);
    let listed = machine(&home, &["ls", "--tombstones"]);
    ends(&listed, 1);
    assert!(listed.stderr.contains("x-0123456789.json") && listed.stderr.contains("under another name"), "{listed:?}");
    let x = ["create", "-d", "none", "--url", "tcp://127.0.0.1:1", "x"];
    let refused = machine(&home, &x);
    ends(&refused, 1);
    assert!(refused.stderr.contains("machine rm --tombstone -f x-0123456789"), "{refused:?}");
    let fleet = file(&home, "x.yaml", "fleet: x\nhosts:\n  x: { driver: none, url: 'tcp://127.0.0.1:1' }\n");
    let blocked = machine(&home, &["plan", &fleet]);
    assert!(blocked.stdout.contains("its tombstone cannot be read"), "{blocked:?}");
    ends(&machine(&home, &["rm", "--tombstone", "-f", "x-0123456789", "z-0123456789"]), 0);
    ends(&machine(&home, &x), 0);
    ends(&machine(&home, &["ls", "--tombstones"]), 0);
}

fn history(home: &Home, words: &[&str]) -> serde_json::Value {
    let run = machine(home, &[&["history", "--json"], words].concat());
    ends(&run, 0);
    let document: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let schema = serde_json::from_str(&fs::read_to_string("schema/history.schema.json").unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(&document).map(|e| e.to_string()).collect();
    assert_eq!(errors, [""; 0], "{document:#}");
    document
}

/// Who, when, from which commit, what, and how it ended; never a command line, which may hold secrets.
#[test]
fn every_run_is_in_the_history() {
    let home = Home::new();
    let sha = "0123456789abcdef0123456789abcdef01234567";
    file(&home, ".git/HEAD", "ref: refs/heads/main\n");
    file(&home, ".git/packed-refs", &format!("# pack-refs with: peeled\n{sha} refs/heads/main\n"));
    let path = file(&home, "deep/fleet.yaml", &TWO.replace("192.0.2.1", "${var.ip}"));
    let path = path.as_str();
    let apply = |ip: &str| machine(&home, &["apply", "-y", "--var", &format!("ip={ip}"), path]);
    file(&home, "deep/fleet.yaml", &format!("vars: {{ ip: x }}\n{}", TWO.replace("192.0.2.1", "${var.ip}")));
    ends(&apply("192.0.2.1"), 0);
    ends(&apply("192.0.2.1"), 0);
    ends(&machine(&home, &["create", "-d", "none", "--url", "tcp://192.0.2.5:2376", "c"]), 0);
    ends(&machine(&home, &["rm", "-y", "c"]), 0);
    ends(&machine(&home, &["destroy", "-y", path, "--var", "ip=192.0.2.1"]), 0);
    let all = history(&home, &[]);
    let runs = all["runs"].as_array().unwrap();
    let commands: Vec<&str> = runs.iter().map(|run| run["command"].as_str().unwrap()).collect();
    assert_eq!(commands, ["destroy", "rm", "create", "apply"], "what did nothing is not worth remembering");
    let first = &runs[3];
    assert!(first["who"].as_str().unwrap().starts_with("tester@"), "{first}");
    assert_eq!(first["commit"], serde_json::json!({ "sha": sha, "from": "git" }));
    assert_eq!((&first["fleet"], &first["file"]), (&"shop".into(), &path.into()));
    assert_eq!(first["ended"]["result"], "done");
    assert_eq!(first["ended"]["hosts"], serde_json::json!({ "a": "converged", "b": "converged" }));
    assert_eq!(first["steps"][0]["reasons"], serde_json::json!(["not recorded"]));
    assert_eq!(runs[1]["steps"][0]["action"], "rm");
    assert_eq!(history(&home, &["shop"])["runs"].as_array().unwrap().len(), 2);
    assert_eq!(history(&home, &["c", "--limit", "1"])["runs"][0]["command"], "rm");
    assert_eq!(history(&home, &["nobody"])["runs"], serde_json::json!([]));
    let told = machine(&home, &["history", "shop"]).stdout;
    assert!(told.contains("  at 0123456789: done in ") && told.contains("    a  removed\n"), "{told}");
    let mode = fs::metadata(home.store().join("history.jsonl")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = fs::read_to_string(home.store().join("history.jsonl")).unwrap();
    assert!(!text.contains("--var"), "{text}");
}

/// Pain 8: a run that was killed shows as one that did not end; half a line spoils no other.
#[test]
fn a_killed_run_did_not_end() {
    let home = Home::new();
    // It takes connections and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port().to_string();
    #[expect(clippy::disallowed_methods, reason = "the test kills the program")]
    let mut child = Command::new(env!("CARGO_BIN_EXE_machine"))
        .env_clear()
        .env("HOME", home.path())
        .env("MACHINE_STORAGE_PATH", home.store())
        .args(["create", "-d", "generic", "--generic-ip-address", "127.0.0.1", "--generic-ssh-port", &port, "web"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let log = home.store().join("history.jsonl");
    let deadline = Instant::now() + Duration::from_mins(1);
    while !fs::read_to_string(&log).is_ok_and(|text| text.contains("begin")) {
        assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none(), "it never began");
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(history(&home, &[])["runs"][0]["ended"], serde_json::Value::Null);
    assert!(machine(&home, &["history"]).stdout.contains("did not end"));
    // A writer that was killed in the middle of a line.
    fs::OpenOptions::new().append(true).open(&log).unwrap().write_all(b"{\"event\":\"begin\",\"ru").unwrap();
    ends(&machine(&home, &["rm", "-f", "-y", "web"]), 0);
    let after = history(&home, &[]);
    assert_eq!((after["runs"].as_array().unwrap().len(), &after["unreadable"]), (2, &1.into()));
    assert_eq!(after["runs"][0]["ended"]["result"], "done");
    assert!(fs::read_to_string(&log).unwrap().contains("\"ru\n"), "what was torn is kept");
    let told = machine(&home, &["history"]);
    assert!(told.stderr.contains("1 line of the history could not be read"), "{told:?}");
}

/// Several processes write at once, and every line is whole.
#[test]
fn lines_of_several_writers_are_whole() {
    let home = Home::new();
    std::thread::scope(|scope| {
        for writer in 0..6 {
            let home = &home;
            scope.spawn(move || {
                let store = store(home);
                for line in 0..40 {
                    let text = "y".repeat(5_000);
                    let line = format!("{{\"writer\":{writer},\"line\":{line},\"x\":\"{text}\"}}");
                    plain::now(store.journal.append(&line)).unwrap();
                }
            });
        }
    });
    let bytes = fs::read(home.store().join("history.jsonl")).unwrap();
    let lines: Vec<&[u8]> = bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.len(), 240);
    for line in lines {
        serde_json::from_slice::<serde_json::Value>(line).unwrap();
    }
}

/// A history of years is read as fast as one of a day; all of it takes seconds.
#[test]
fn a_hundred_thousand_runs_are_read() {
    let run = |n: usize| {
        format!(
            "{{\"event\":\"begin\",\"run\":\"{n:016x}\",\"at\":\"2026-11-21T00:00:00Z\",\"who\":\"a@b\",\"pid\":1,\"command\":\"create\",\"version\":\"0.1.0\",\"steps\":[{{\"machine\":\"m{n}\",\"part\":\"instance\",\"action\":\"create\",\"reasons\":[\"not recorded\"]}}]}}\n{{\"event\":\"end\",\"run\":\"{n:016x}\",\"at\":\"2026-11-21T00:00:09Z\",\"result\":\"done\",\"hosts\":{{\"m{n}\":\"converged\"}}}}\n"
        )
    };
    let text: String = (0..100_000).map(run).collect();
    let begun = Instant::now();
    let all = History::read(text.as_bytes(), &Pick::default());
    println!("100,000 runs ({} MB) in {:?}", text.len() >> 20, begun.elapsed());
    assert_eq!((all.runs.len(), all.unreadable), (100_000, 0));
    let begun = Instant::now();
    let last = History::read(text.as_bytes(), &Pick { about: None, limit: Some(20) });
    println!("the last 20 of them in {:?}", begun.elapsed());
    assert_eq!(last.runs.len(), 20);
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[test]
fn the_committed_schema_is_current() {
    let schema = schemars::schema_for!(History);
    let want = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    let path = "schema/history.schema.json";
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        #[expect(clippy::disallowed_methods, reason = "a file of the repository, on request of its author")]
        fs::write(path, &want).unwrap();
    }
    let have = fs::read_to_string(path).unwrap_or_default();
    assert!(have == want, "{path} is not current: run `UPDATE_SCHEMA=1 cargo test --test it schema`");
}
