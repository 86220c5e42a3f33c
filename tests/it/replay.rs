//! docker-machine's command lines, replayed: what each prints on standard output and standard error, and how it
//! ends, on a store of mixed machines.
//!
//! The files in `tests/replay/` say of every command line that it is the *same*, byte for byte, or that it
//! *differs*, and why. What docker-machine 0.16 does was recorded from docker-machine itself:
//!
//! ```text
//! REPLAY_DOCKER_MACHINE=/path/to/docker-machine cargo test --test it replay::           # holds what is recorded of it
//! REPLAY_DOCKER_MACHINE=/path/to/docker-machine UPDATE_REPLAY=1 cargo test --test it replay::   # records both anew
//! ```
//!
//! `REPLAY_ONLY=ls` takes only the files with that in their name. Without the first variable only our own half is
//! replayed. A new case is a title, a store and a line that begins with `$`; recording adds the rest, and the reason
//! of a difference is written by hand.

mod case;
mod stage;

use crate::sample::sample;
use case::{Case, Compared, Said};
use stage::Stage;
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
};

fn corpus() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replay");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let only = std::env::var("REPLAY_ONLY").unwrap_or_default();
    let wanted =
        |path: &PathBuf| path.extension().is_some_and(|end| end == "txt") && path.to_string_lossy().contains(&only);
    let mut files: Vec<PathBuf> = files.filter(wanted).collect();
    files.sort();
    files
}

/// Does the cases side by side; the results stand in their order.
fn side_by_side<T: Send>(cases: &[Case], work: impl Fn(&Case) -> T + Sync) -> Vec<T> {
    let next = Mutex::new(cases.iter().enumerate());
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some((number, case)) = next.lock().unwrap().next() else { break };
                    let result = work(case);
                    done.lock().unwrap().push((number, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

#[test]
fn command_lines_of_docker_machine_do_what_they_did() {
    let Some(stage) = Stage::build() else { return };
    let theirs = std::env::var_os("REPLAY_DOCKER_MACHINE").map(PathBuf::from);
    let update = std::env::var_os("UPDATE_REPLAY").is_some();
    assert!(!update || theirs.is_some(), "recording needs REPLAY_DOCKER_MACHINE");
    let ours = PathBuf::from(env!("CARGO_BIN_EXE_machine"));
    let mut wrong = String::new();
    let mut count = (0, 0);
    for path in corpus() {
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut cases = case::parse(&fs::read_to_string(&path).unwrap()).unwrap_or_else(|why| panic!("{file}: {why}"));
        let found = side_by_side(&cases, |case| {
            (stage.play(case, &ours), theirs.as_deref().map(|theirs| stage.play(case, theirs)))
        });
        for (case, (ours, theirs)) in cases.iter_mut().zip(found) {
            if update {
                case.record(ours, theirs.expect("it was asserted above"));
                continue;
            }
            let check = |wrong: &mut String, who: &str, found: &Said, want: &Said| {
                if found != want {
                    let _ = writeln!(wrong, "{file}: {}: {who}\n{}", case.title, case::difference(want, found));
                }
            };
            check(&mut wrong, "we", &ours, &case.ours);
            match &case.compared {
                Compared::Same => count.0 += 1,
                Compared::Differs { why, .. } => {
                    count.1 += 1;
                    if why.is_empty() {
                        let _ = writeln!(wrong, "{file}: {}: it differs, and it does not say why", case.title);
                    }
                }
            }
            if let Some(found) = theirs {
                check(&mut wrong, "docker-machine", &found, case.theirs());
            }
        }
        if update {
            #[expect(clippy::disallowed_methods, reason = "a recording is looked at before it is committed")]
            fs::write(&path, case::print(&cases)).unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    if !update {
        let (same, differs) = count;
        println!("{same} command lines are the same, {differs} differ for a reason");
        assert!(same > differs, "a drop-in is the same more often than not");
    }
}

/// Called as `machine`, no answer sends the user to docker-machine: it is not there, and what is asked is ours.
#[test]
fn called_as_machine_no_answer_sends_people_to_docker_machine() {
    let Some(stage) = Stage::build() else { return };
    let ours = PathBuf::from(env!("CARGO_BIN_EXE_machine"));
    let mut wrong = String::new();
    let mut count = 0;
    for path in corpus() {
        let cases = case::parse(&fs::read_to_string(&path).unwrap()).unwrap();
        count += cases.len();
        // The lines are played whole under the other name; here the first of each command, and some.
        let cases = sample(cases, 10, |case| (command(&case.line), case.title.clone()));
        let cases: Vec<Case> = cases.into_iter().map(|case| Case { line: as_machine(&case.line), ..case }).collect();
        let said = side_by_side(&cases, |case| stage.play_as("machine", case, &ours));
        for (case, Said { stdout, stderr, .. }) in cases.iter().zip(said) {
            // What the line itself names, and what help says of docker-machine's forms, is no advice.
            let asked = case.line.contains("docker-machine") || case.line.contains("help") || case.line.contains(" -h");
            let lines = stdout.lines().chain(stderr.lines());
            for line in lines
                .filter(|line| !asked && line.contains("docker-machine") && !NAMES_IT.iter().any(|n| line.contains(n)))
            {
                let _ = writeln!(wrong, "{}: {line}", case.title);
            }
        }
    }
    assert!(count > 900, "{count} command lines");
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// The command of a line, which follows the program's name.
fn command(line: &str) -> String {
    let mut words = line.split("docker-machine").nth(1).unwrap_or_default().split_whitespace();
    words.find(|word| !word.starts_with('-')).unwrap_or_default().to_owned()
}

/// Lines that speak of docker-machine because they are about it.
const NAMES_IT: &[&str] = &["docker-machine-driver-"];

/// The line with the program under its other name; files of docker-machine's keep theirs.
fn as_machine(line: &str) -> String {
    let mut text = String::new();
    for (at, piece) in line.split("docker-machine").enumerate() {
        let before = text.chars().next_back().is_none_or(|c| " ;&|($`\n".contains(c));
        let after = piece.chars().next().is_none_or(|c| " ;&|)`\n".contains(c));
        match at {
            0 => {}
            _ if before && after => text.push_str("machine"),
            _ => text.push_str("docker-machine"),
        }
        text.push_str(piece);
    }
    text
}

/// Every reason stands in the document for people, and the document has no reason that nothing shows.
#[test]
fn every_difference_is_in_the_document() {
    let document = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/differences.md")).unwrap();
    let mut missing = Vec::new();
    for path in corpus() {
        for case in case::parse(&fs::read_to_string(&path).unwrap()).unwrap() {
            if let Compared::Differs { why, .. } = case.compared
                && !document.contains(&format!("`{why}`"))
            {
                missing.push(format!("{}: {why}", case.title));
            }
        }
    }
    assert!(missing.is_empty(), "not in docs/differences.md:\n{}", missing.join("\n"));
}
