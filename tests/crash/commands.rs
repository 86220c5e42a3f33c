//! Commands on machines by name, killed at every write: the store can be listed, and giving the command again (after
//! `rm`, where it makes something) ends as if it had not been killed.

use crate::{
    chance::Share,
    child::{self, How, Point},
    points::{Bench, side_by_side},
};
use libtest_mimic::Trial;
use std::{
    collections::BTreeSet,
    fs,
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Command, Output},
};

/// Words of a command line, separated by blanks. `=` begins one that may fail, for then it has nothing to do; `?` one
/// that must find nothing to do; `!` what another program did.
type Line = &'static str;

struct Case {
    before: &'static [Line],
    command: Line,
    again: &'static [Line],
}

const CASES: &[Case] = &[
    Case {
        before: &[],
        command: "create -d none --url tcp://127.0.0.1:1 web",
        again: &["=rm -y web", "create -d none --url tcp://127.0.0.1:1 web"],
    },
    Case { before: &[CREATE_WEB, CREATE_DB], command: "rm -y web", again: &["=rm -y web"] },
    Case { before: &[CREATE_WEB, CREATE_DB], command: "context sync", again: &["context sync"] },
    // Keys of docker's contexts come and go with the machine.
    Case { before: &[CREATE_WEB, "!keys web", CREATE_DB], command: "context sync", again: &["context sync"] },
    Case {
        before: &[CREATE_WEB, "!keys web", CREATE_DB, "context sync"],
        command: "rm -y web",
        again: &["=rm -y web", "context sync"],
    },
    // With hooks, each of which leaves a file.
    Case { before: &[], command: "apply -y fleet.yaml", again: &["apply -y fleet.yaml", "?apply -y fleet.yaml"] },
    Case { before: &["apply -y fleet.yaml"], command: "destroy -y fleet.yaml", again: &["destroy -y fleet.yaml"] },
    Case { before: &["apply -y fleet.yaml"], command: "rm -y db", again: &["=rm -y db"] },
    // A plan is done once, and goes on where it was cut off.
    Case {
        before: &["plan --out plan.json fleet.yaml"],
        command: "apply -y plan.json",
        again: &["apply -y plan.json", "?apply -y fleet.yaml", "apply -y plan.json"],
    },
    Case { before: &[], command: "plan --out plan.json fleet.yaml", again: &["plan --out plan.json fleet.yaml"] },
    // It is unknown whether a machine of a driver that is not there has gone.
    Case { before: &["!box"], command: "rm -f box", again: &["=rm -f box"] },
    Case { before: &["!box", "rm -f box"], command: "rm --tombstone -f box", again: &["=rm --tombstone -f box"] },
    // The history begins a new file, and lets go of the oldest.
    Case { before: &[CREATE_WEB, "!history"], command: "rm -y web", again: &["=rm -y web"] },
    Case { before: &[CREATE_WEB], command: "adopt --fleet f web", again: &["adopt --fleet f web"] },
    Case { before: &[CREATE_WEB], command: "export --plain -o web.txt web", again: &["export --plain -o web.txt web"] },
    Case {
        before: &[CREATE_WEB, "!keys web", "context sync", "export --plain -o web.txt web"],
        command: "import --name zz web.txt",
        again: &["=import --name zz web.txt", "context sync"],
    },
    // Of several machines some may be there; the second import brings the others.
    Case {
        before: &[CREATE_WEB, "!keys web", CREATE_DB, "export --plain -o all.txt web db", "rm -y web", "rm -y db"],
        command: "import all.txt",
        again: &["=import all.txt"],
    },
];

const CREATE_WEB: Line = "create -d none --url tcp://127.0.0.1:1 web";
const CREATE_DB: Line = "create -d none --url tcp://127.0.0.1:2 db";
const FLEET: &str = "fleet: f\ndefaults: { hooks: { post-create: [{ run: ': >made-$MACHINE_NAME' }], pre-rm: [{ run: ': >goes-$MACHINE_NAME' }], post-rm: [{ run: ': >gone-$MACHINE_NAME' }] } }\nhosts:\n  web: { driver: none, url: 'tcp://127.0.0.1:1' }\n  db: { driver: none, url: 'tcp://127.0.0.1:2', depends_on: [web] }\n";

fn command(root: &Path, line: &str) -> Command {
    let mut command = child::command("machine", root);
    command
        .args(line.trim_start_matches(['=', '?']).split(' '))
        .env("HOME", root.join("home"))
        .env("DOCKER_CONFIG", root.join("docker"))
        .env("MACHINE_STORAGE_PATH", root.join("store"))
        .env("USER", "tester")
        .current_dir(root);
    command
}

#[track_caller]
fn given(root: &Path, line: &str, context: &str) -> Output {
    let output = command(root, line).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() || line.starts_with('='), "`{line}` {context}: {said}");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(!line.starts_with('?') || told.contains("Nothing to do"), "`{line}` {context}: {told}");
    output
}

/// What is there without the program: keys of a machine, or a machine of docker-machine's.
#[expect(clippy::disallowed_methods, reason = "a fixture needs no durability")]
fn found(root: &Path, line: &str) {
    let machines = root.join("store/machines");
    if let Some(name) = line.strip_prefix("!keys ") {
        for file in ["ca.pem", "cert.pem", "key.pem"] {
            fs::write(machines.join(name).join(file), format!("{file}\n")).unwrap();
        }
    } else if line == "!history" {
        // As after years: eight older files, and one that is full. One run has not ended.
        let begun = |run: &str, more: &str| {
            format!(
                r#"{{"event":"begin","run":"{run}","at":"2026-11-21T00:00:00Z","who":"a@b","pid":1,"command":"create","version":"0.1.0","steps":[],"file":"{more}"}}"#
            ) + "\n"
        };
        let ended = |run: &str| {
            format!(r#"{{"event":"end","run":"{run}","at":"2026-11-21T00:00:09Z","result":"done","hosts":{{}}}}"#)
                + "\n"
        };
        fs::write(root.join("store/history-00000001.jsonl"), begun("open", "")).unwrap();
        for number in 2..=8 {
            let run = format!("old{number}");
            let name = format!("store/history-{number:08}.jsonl");
            fs::write(root.join(name), begun(&run, "") + &ended(&run)).unwrap();
        }
        let full = begun("full", &"x".repeat(4 << 20)) + &ended("full");
        fs::write(root.join("store/history.jsonl"), full).unwrap();
    } else {
        fs::create_dir_all(machines.join("box")).unwrap();
        let config = r#"{"ConfigVersion": 3, "Driver": {"IPAddress": "192.0.2.9", "MachineName": "box"},
            "DriverName": "vmwarefusion", "HostOptions": {}, "Name": "box"}"#;
        fs::write(machines.join("box/config.json"), config).unwrap();
    }
}

/// Every file, without temporary ones, which are ignored.
fn tree(root: &Path) -> BTreeSet<String> {
    let (mut found, mut todo) = (BTreeSet::new(), vec![root.to_owned()]);
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                todo.push(path);
            } else if !path.file_name().unwrap().to_str().unwrap().starts_with('.') {
                found.insert(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }
    found
}

/// A bench on which all is as before the command of a case, also under the name `before`.
fn prepared(case: &Case) -> Bench {
    let bench = Bench::new();
    let root = bench.place().root;
    fs::create_dir_all(root.join("home")).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a fixture needs no durability")]
    fs::write(root.join("fleet.yaml"), FLEET).unwrap();
    for line in case.before {
        if line.starts_with('!') {
            found(&root, line);
        } else {
            given(&root, line, "");
        }
    }
    bench.save("before");
    bench
}

/// So many of a hundred points are tried in the usual run, besides one of each kind.
const PERCENT: u64 = 3;

/// Kills the command of a case at each of its points.
fn cut_off(share: &Share, case: &Case) {
    let Case { before, command: line, again } = case;
    println!("  `{line}`");
    let first = prepared(case);
    let root = first.place().root;
    let trace = first.path("trace");
    let mut dry = command(&root, line);
    child::traced(&mut dry, &trace);
    assert!(dry.output().unwrap().status.success(), "{line}");
    let want = tree(&root);
    let points: Vec<Point> = child::passed(&trace).into_iter().filter(|p| !child::is_look(&p.name)).collect();
    let picked = share.pick(points, PERCENT, |point| (point.name.clone(), point.to_string()));
    side_by_side(
        &picked,
        || prepared(case),
        |bench, point| {
            bench.restore("before");
            let root = bench.place().root;
            let mut killed = command(&root, line);
            child::faulty(&mut killed, point, How::Killed);
            let status = killed.output().unwrap().status;
            let context = format!("after a kill of `{line}` at {point}");
            assert_eq!(status.signal(), Some(9), "{context}");
            let listed = given(&root, "ls --format {{.Name}}|{{.Error}}", &context);
            assert!(!String::from_utf8_lossy(&listed.stdout).contains("will not parse"), "{context}");
            let told = given(&root, "history --json -n 0", &context).stdout;
            let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
            let runs: Vec<&str> =
                told["runs"].as_array().unwrap().iter().map(|run| run["run"].as_str().unwrap()).collect();
            let once: BTreeSet<&str> = runs.iter().copied().collect();
            assert_eq!(runs.len(), once.len(), "{context}: a run is told twice");
            let whole = once.contains("open") && once.contains("full");
            assert!(whole || !before.contains(&"!history"), "{context}: {once:?}");
            for line in *again {
                given(&root, line, &context);
            }
            let left = tree(&root);
            let differ: Vec<_> = left.symmetric_difference(&want).collect();
            assert!(differ.is_empty(), "{context}: {differ:?}");
        },
    );
}

/// Pain 4, pain 5, pain 9: what people type by hand may be cut off anywhere. A test for each command.
pub(crate) fn killed_at_any_point() -> impl Iterator<Item = Trial> {
    Share::each("commands::a_command_killed_at_any_point_can_be_given_again", CASES, cut_off)
}
