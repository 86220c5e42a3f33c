//! Recordings of [`super::facts::probe`] for tests, and a shell without effects to run ops in.

use super::{Facts, Op, facts};
use crate::engine::{EngineSpec, Source};
use std::{io::Write, process::Stdio};

/// Every recording, by name. Those of Debian are from real hosts.
pub(super) const ALL: &[(&str, &str)] = &[
    ("debian-12-blank", include_str!("fixtures/debian-12-blank.txt")),
    ("debian-12-docker-io", include_str!("fixtures/debian-12-docker-io.txt")),
    ("debian-12-by-machine", include_str!("fixtures/debian-12-by-machine.txt")),
    ("debian-12-users-daemon-json", include_str!("fixtures/debian-12-users-daemon-json.txt")),
    ("debian-12-docker-machine", include_str!("fixtures/debian-12-docker-machine.txt")),
    ("debian-12-docker-ce", include_str!("fixtures/debian-12-docker-ce.txt")),
    ("ubuntu-24.04-booting", include_str!("fixtures/ubuntu-24.04-booting.txt")),
];

#[track_caller]
pub(super) fn facts(name: &str) -> Facts {
    facts::parse(ALL.iter().find(|(n, _)| *n == name).expect("a recording of that name").1).unwrap()
}

/// A TLS engine on the usual port with one label.
pub(super) fn want() -> EngineSpec {
    let labels = [("tier".to_owned(), "web".to_owned())].into();
    EngineSpec { port: 2376, labels, ..EngineSpec::default() }
}

/// The same, from Docker's own packages, pinned.
pub(super) fn want_ce(pin: &str) -> EngineSpec {
    EngineSpec { source: Source::DockerCe, version: Some(pin.parse().unwrap()), ..want() }
}

/// Runs a program in `sh`; returns status, standard output and standard error.
pub(super) fn sh(shell: &[&str], program: &str) -> (i32, String, String) {
    #[expect(clippy::disallowed_methods, reason = "what a real shell makes of it is what is tested")]
    let mut child = std::process::Command::new(shell[0])
        .args(&shell[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(program.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (out.status.code().unwrap_or(-1), text(out.stdout), text(out.stderr))
}

/// Whether a shell is on this computer.
pub(super) fn is_here(program: &str) -> bool {
    sh(&["sh"], &format!("command -v {program}")).0 == 0
}

/// What an op would write and remove: `(mode, path, content)`, content `None` for removal. Everything else it
/// would do is left out: the functions and programs it calls do nothing.
pub(super) fn effects(op: &Op) -> Vec<(String, String, Option<String>)> {
    const WITHOUT_EFFECT: &str = r#"set -e
put() { printf '%s\0' "$@"; }
rm() { shift; printf -- '-\0%s\0-\0' "$1"; }
note() { :; }; need_certificate() { :; }; engine_change() { :; }; engine_reload() { :; }; engine_restart() { :; }
engine_start() { :; }; systemctl() { :; }; ufw() { :; }
alias cloud-init=: firewall-cmd=:
"#;
    if op.run.as_str().contains("apt_dir=") || op.run.as_str().contains("FragmentPath") {
        return Vec::new();
    }
    let (status, stdout, stderr) = sh(&["sh", "-s"], &format!("{WITHOUT_EFFECT}{}\n", op.run));
    assert_eq!((status, stderr.as_str()), (0, ""), "{}:\n{}", op.title, op.run);
    let words: Vec<&str> = stdout.split_terminator('\0').collect();
    let effect = |three: &[&str]| {
        let content = (three[0] != "-").then(|| three[2].to_owned());
        (three[0].to_owned(), three[1].to_owned(), content)
    };
    words.chunks(3).map(effect).collect()
}
