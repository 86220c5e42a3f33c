//! Fleet commands from the command line, on machines that need nothing to be made (driver `none`): what is printed
//! where, how it ends, and what is written.

#![expect(clippy::disallowed_methods, reason = "the test runs the program and writes its input files")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn fleet(&self, text: &str) -> String {
        let path = self.0.path().join("fleet.yaml");
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn store(&self) -> PathBuf {
        self.0.path().join("store")
    }

    /// Exit code, standard output, standard error.
    fn run(&self, args: &[&str]) -> (i32, String, String) {
        let out = Command::new(env!("CARGO_BIN_EXE_machine"))
            .args(args)
            .env_clear()
            .env("HOME", self.0.path())
            .env("MACHINE_STORAGE_PATH", self.store())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (out.status.code().unwrap(), text(out.stdout), text(out.stderr))
    }

    /// Every file of the store and its content.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        fn walk(dir: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
            for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    walk(&path, found);
                } else {
                    drop(found.insert(path.clone(), fs::read(path).unwrap()));
                }
            }
        }
        let mut found = BTreeMap::new();
        walk(&self.store(), &mut found);
        // It counts who took the lock.
        found.retain(|path, _| !path.ends_with("lock"));
        found
    }
}

const TWO: &str = "fleet: shop\ndefaults: { driver: none }\nhosts:\n  a: { url: 'tcp://192.0.2.1:2376' }\n  b: { url: 'tcp://192.0.2.2:2376', depends_on: [a] }\n";

#[test]
fn apply_then_nothing_to_do() {
    let home = Home::new();
    let file = home.fleet(TWO);
    let (code, out, _) = home.run(&["plan", "--detailed-exitcode", &file]);
    assert_eq!(code, 2, "{out}");
    insta::assert_snapshot!(out, @r"
      a
        + create  instance     not recorded
      b
        + create  instance     not recorded
    2 steps on 2 of 2 hosts: 2 to create.
    ");
    let (code, out, err) = home.run(&["apply", "--yes", &file]);
    assert_eq!(code, 0, "{out}{err}");
    insta::assert_snapshot!(out, @r"
    a  converged
    b  converged
    2 converged.
    ");
    let before = home.files();
    let (code, out, err) = home.run(&["apply", &file]);
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (0, "Nothing to do: 2 hosts are as planned.\n", ""),
        "no --yes is needed"
    );
    assert_eq!(home.files(), before, "nothing is written when nothing is done");
    assert_eq!(home.run(&["plan", "--detailed-exitcode", &file]).0, 0);
    assert_eq!(home.run(&["diff", &file]), (0, String::new(), String::new()));
    assert_eq!(home.run(&["drift", &file]).0, 0);
    assert!(home.run(&["ls"]).1.contains("tcp://192.0.2.2:2376"));
    let (code, out, _) = home.run(&["destroy", "--yes", &file]);
    assert_eq!((code, out.lines().last()), (0, Some("2 removed.")));
    assert_eq!(home.run(&["ls", "-q"]).1, "");
}

/// Pain 10: commands that only look never write the store.
#[test]
fn looking_writes_nothing() {
    let home = Home::new();
    let file = home.fleet(TWO);
    for args in [
        &["plan"][..],
        &["plan", "--json"],
        &["plan", "--offline"],
        &["diff"],
        &["drift"],
        &["graph"],
        &["validate"],
        &["fmt", "--check"],
    ] {
        home.run(&[args, &[file.as_str()]].concat());
        assert!(!home.store().exists(), "{args:?} wrote {:?}", home.files().keys());
    }
    home.run(&["ls"]);
    home.run(&["schema"]);
    assert!(!home.store().exists());
}

#[test]
fn without_a_terminal_consent_is_given_beforehand() {
    let home = Home::new();
    let file = home.fleet(TWO);
    let (code, out, err) = home.run(&["apply", &file]);
    assert_eq!(code, 6, "{out}{err}");
    assert!(err.contains("confirmation") && err.contains("`-y`"), "{err}");
    assert_eq!(home.run(&["ls", "-q"]).1, "", "nothing was applied");
}

/// Pains 13 and 14: an emptied file removes nothing, and what may be removed is limited.
#[test]
fn removal_is_asked_for_limited_and_refused_where_protected() {
    let home = Home::new();
    let file = home.fleet(&TWO.replace("tcp://192.0.2.1:2376'", "tcp://192.0.2.1:2376', protect: true"));
    assert_eq!(home.run(&["apply", "--yes", &file]).0, 0);
    let file = home.fleet("fleet: shop\nhosts: {}\n");
    let (code, out, _) = home.run(&["apply", "--yes", &file]);
    assert_eq!(code, 0);
    insta::assert_snapshot!(out, @r"
      a
        ! keep    instance     not in the fleet file; kept without --prune
      b
        ! keep    instance     not in the fleet file; kept without --prune
    Nothing to do: 0 hosts are as planned, 2 left the file and are kept.
    ");
    let (code, _, err) = home.run(&["apply", "--yes", "--prune", &file]);
    assert_eq!(code, 6);
    insta::assert_snapshot!(err, @r"
    error: `a` is protected and would be removed
        all 2 machines of the fleet would be removed, and none of those it has would be left
      help: set `protect: false` for `a` in the fleet file and apply that first
        if that is wanted, name the exact number:
          --allow-delete=2
    ");
    assert_eq!(home.run(&["destroy", "--yes", &file]).0, 6, "protection holds for destroy too");
    assert_eq!(home.run(&["ls", "-q"]).1, "a\nb\n");
    // The way out is the one the message names.
    let file = home.fleet(TWO);
    assert_eq!(home.run(&["apply", "--yes", &file]).0, 0);
    let file = home.fleet("fleet: shop\nhosts: {}\n");
    assert_eq!(home.run(&["apply", "--yes", "--prune", "--allow-delete=1", &file]).0, 6, "another number");
    assert_eq!(home.run(&["apply", "--yes", "--prune", "--allow-delete=2", &file]).0, 0);
    assert_eq!(home.run(&["ls", "-q"]).1, "");
}

#[test]
fn a_url_changes_in_place_and_another_driver_is_a_replacement() {
    let home = Home::new();
    let file = home.fleet(TWO);
    home.run(&["apply", "--yes", &file]);
    let file = home.fleet(&TWO.replace("192.0.2.1", "192.0.2.9"));
    let (code, out, _) = home.run(&["diff", &file]);
    assert_eq!(code, 2);
    assert!(out.contains("-url: tcp://192.0.2.1:2376\n+url: tcp://192.0.2.9:2376"), "{out}");
    assert_eq!(home.run(&["apply", "--yes", &file]).0, 0);
    assert_eq!(home.run(&["url", "a"]).1, "tcp://192.0.2.9:2376\n");
    let file = home.fleet(&TWO.replace("url: 'tcp://192.0.2.1:2376'", "driver: generic, ip: 192.0.2.1"));
    let (code, out, err) = home.run(&["apply", "--yes", &file]);
    assert_eq!(code, 6, "{out}{err}");
    assert!(err.contains("--allow-replace") && err.contains("driver: none → generic"), "{err}");
    assert_eq!(home.run(&["url", "a"]).1, "tcp://192.0.2.9:2376\n", "nothing was touched");
}

#[test]
fn problems_go_to_standard_error_and_end_with_1() {
    let home = Home::new();
    let file = home.fleet(&TWO.replace("driver: none", "driver: nonw"));
    for command in ["validate", "plan", "apply", "diff", "drift", "destroy", "graph"] {
        let (code, out, err) = home.run(&[command, &file]);
        assert_eq!((code, out.as_str()), (1, ""), "{command}");
        assert!(err.contains("nonw") && err.contains("none"), "{command}: {err}");
    }
    let (code, _, err) = home.run(&["plan", "/nowhere/fleet.yaml"]);
    assert_eq!(code, 1);
    assert!(err.contains("cannot read /nowhere/fleet.yaml") && err.contains("help:"), "{err}");
}

#[test]
fn events_for_programs_are_json_a_line() {
    let home = Home::new();
    let file = home.fleet(TWO);
    let (code, out, _) = home.run(&["apply", "--yes", "--json", &file]);
    assert_eq!(code, 0);
    let events: Vec<serde_json::Value> = out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let kinds: Vec<&str> = events.iter().map(|e| e["event"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["started", "finished", "started", "finished", "ended"]);
    assert_eq!(events[4]["hosts"], serde_json::json!({ "a": "converged", "b": "converged" }));
}
