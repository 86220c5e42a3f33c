//! This program beside another build of it, as that of the commit before: `MACHINE_BENCH_BESIDE=FILE just bench beside`.
//!
//! Each works in a store that it made itself, so that the form of a store may differ between them.

use super::{
    MACHINE, Table, brief, folder,
    lab::{Lab, ready},
    large, machine_of,
    pairs::{Pairs, TURNS},
    peak, spread, timed,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// The other program, if one is named.
pub(super) fn other() -> Option<PathBuf> {
    std::env::var_os("MACHINE_BENCH_BESIDE").map(PathBuf::from)
}

pub(super) fn beside(table: &mut Table, other: &Path) {
    let programs = [Path::new(MACHINE), other];
    let compare = |table: &mut Table, what: &str, turns: usize, run: &dyn Fn(usize) -> Command| {
        // Both once before: what the system reads from disk for the first time is not compared.
        let said = [0, 1].map(|which| run(which).output().expect("it starts"));
        assert_eq!(said[0].status, said[1].status, "{what}: {said:?}");
        let pairs = Pairs::run(turns, || timed(run(0)), || timed(run(1)));
        row(table, what, &pairs, &format!("{}, {}", peak(run(0)), peak(run(1))));
    };
    compare(table, "`--version`", 201, &|which| {
        let mut command = Command::new(programs[which]);
        command.arg("--version");
        command
    });
    let fleets = [("10,000 hosts of ten options", large(10_000)), ("10,000 hosts of one option", brief(10_000))];
    for (what, text) in fleets {
        let dir = folder();
        let file = dir.path().join("fleet.yaml");
        fs::write(&file, text).expect("the fleet file is written");
        let file = file.to_str().expect("a plain path");
        compare(table, &format!("`plan --offline`, {what}"), 21, &|which| {
            machine_of(programs[which], dir.path(), &["plan", "--offline", file])
        });
    }
    let stores = [folder(), folder()];
    let text = "fleet: many\nhosts: { web: { driver: none, url: \"tcp://127.0.0.1:1\", count: 1000 } }\n";
    let file = stores[0].path().join("many.yaml");
    fs::write(&file, text).expect("the fleet file is written");
    let file = file.to_str().expect("a plain path");
    for (program, store) in programs.iter().zip(&stores) {
        let made = machine_of(program, store.path(), &["apply", "--yes", file]).output().expect("it starts");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
    for words in [&["ls", "-q"][..], &["ls"], &["plan", "--offline", file], &["history"]] {
        let what = format!("`{}`, 1,000 machines of driver none", words[0..words.len().min(2)].join(" "));
        compare(table, &what, 31, &|which| machine_of(programs[which], stores[which].path(), words));
    }
    if ready(&[]) {
        hosts(table, programs);
    }
}

/// Eight hosts for each, on which nothing is to do.
fn hosts(table: &mut Table, programs: [&Path; 2]) {
    let labs = programs.map(|program| {
        let lab = Lab::new();
        let fleet = "fleet: bench\npolicy: { parallel: 8 }\nhosts: { web: { driver: nspawn, count: 8 } }\n";
        let file = lab.file("bench.yaml", fleet);
        eprintln!("making eight hosts");
        let made = lab.command(program.to_str().expect("a plain path")).args(["apply", "--yes", &file]).output();
        let made = made.expect("it starts");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        (lab, file)
    });
    let apply = |which: usize| {
        let (lab, file) = &labs[which];
        let mut command = lab.command(programs[which].to_str().expect("a plain path"));
        command.args(["apply", file]);
        let start = Instant::now();
        let said = command.output().expect("it starts");
        let took: Duration = start.elapsed();
        let words = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(words.starts_with("Nothing to do"), "{words}{}", String::from_utf8_lossy(&said.stderr));
        took
    };
    apply(0);
    apply(1);
    let pairs = Pairs::run(TURNS.max(21), || apply(0), || apply(1));
    row(table, "no-op `apply`, 8 hosts", &pairs, "");
}

fn row(table: &mut Table, what: &str, pairs: &Pairs, memory: &str) {
    let ratio = pairs.ratio();
    let before = format!("before: {}", spread(&pairs.theirs));
    table.line(what, &pairs.ours, ratio.verdict(), &before, &ratio.to_string(), memory);
}
