//! A list of commands with titles, as one POSIX shell program that reports where it is.

use crate::{ending::Ending, excerpt, quote::Sh};

/// One thing to do on a host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Op {
    /// What a person is told while it runs, as `install docker.io 28.2`.
    pub title: String,
    /// What to run, as root, within [`Script::render`]: it may use the functions of `prelude.sh`. The first
    /// command that fails ends it.
    pub run: Sh,
}

impl Op {
    pub(super) fn new(title: impl Into<String>, run: Sh) -> Self {
        Self { title: title.into(), run }
    }
}

/// What to do on a host, in order; the first failure ends it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Script(pub Vec<Op>);

/// Begins every line on standard output that is ours (ASCII record separator).
const MARK: &str = "\u{1e}machine ";

impl Script {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The titles, in order.
    pub fn titles(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|op| op.title.as_str())
    }

    /// One program for `sh -s`, to be run as root: marks of progress on standard output (see [`progress`]),
    /// everything else on standard error. It exits with the status of the op that failed.
    #[must_use]
    pub fn render(&self) -> Sh {
        let total = self.0.len().to_string();
        // One function around all: sh reads the program to its end before it runs a line, so that no op can
        // eat the rest of it from standard input.
        let mut program = Sh::text(
            "set -u\nLC_ALL=C\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nexport LC_ALL PATH",
        )
        .then(&Sh::text(include_str!("prelude.sh").trim_ascii_end()))
        .then(&Sh::text("machine_main() {\nexec 3>&1"));
        for (index, op) in self.0.iter().enumerate() {
            let index = (index + 1).to_string();
            let title = printable(&op.title);
            program = program
                .then(&Sh::template("printf '\\036machine start %s %s %s\\n' {} {} {} >&3\n(\nset -e", &[
                    &index, &total, &title,
                ]))
                .then(&op.run)
                .then(&Sh::template(
                    ") </dev/null >&2\nstatus=$?\nif [ $status -ne 0 ]; then\nprintf '\\036machine failed %s %s\\n' {} \"$status\" >&3\nexit $status\nfi",
                    &[&index],
                ));
        }
        program.then(&Sh::text("printf '\\036machine done\\n' >&3\n}\nmachine_main"))
    }

    /// What became of a run of [`Self::render`], from everything the host printed and its exit status.
    #[must_use]
    pub fn outcome(&self, status: i32, stdout: &str, stderr: &str) -> Outcome {
        let marks: Vec<Progress> = stdout.lines().filter_map(progress).collect();
        if status == 0 && (self.is_empty() || marks.contains(&Progress::Done)) {
            return Outcome::Done;
        }
        let started = marks.iter().rev().find_map(|mark| match mark {
            Progress::Start { index, .. } => Some(*index),
            _ => None,
        });
        let title = started.and_then(|index| self.0.get(index.checked_sub(1)?)).map(|op| op.title.clone());
        Outcome::Failed(Failure { title, status, said: last_lines(stderr, 20) })
    }
}

/// A title on one line.
fn printable(title: &str) -> String {
    title.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    // The log has all of it.
    lines[lines.len().saturating_sub(count)..].iter().map(|line| excerpt::line(line)).collect::<Vec<_>>().join("\n")
}

/// Where a running script is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Progress {
    /// An op begins.
    Start {
        /// Which, from 1.
        index: usize,
        /// Of how many.
        total: usize,
        /// Its title.
        title: String,
    },
    /// The op that runs says what it waits for.
    Note(String),
    /// An op failed; the script ends.
    Failed {
        /// Which, from 1.
        index: usize,
        /// Its exit status.
        status: i32,
    },
    /// All ops are done.
    Done,
}

/// Reads one line of a script's standard output; `None` when it is no mark of ours.
#[must_use]
pub fn progress(line: &str) -> Option<Progress> {
    let (word, rest) = line.strip_prefix(MARK)?.trim_end().split_once(' ').unwrap_or((&line[MARK.len()..], ""));
    match word.trim_end() {
        "start" => {
            let mut parts = rest.splitn(3, ' ');
            let (index, total) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            Some(Progress::Start { index, total, title: parts.next().unwrap_or_default().to_owned() })
        }
        "note" => Some(Progress::Note(printable(rest))),
        "failed" => {
            let (index, status) = rest.split_once(' ')?;
            Some(Progress::Failed { index: index.parse().ok()?, status: status.parse().ok()? })
        }
        "done" => Some(Progress::Done),
        _ => None,
    }
}

/// How a script ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// Every op succeeded.
    Done,
    /// An op failed, or the script did not even start.
    Failed(Failure),
}

/// An op that failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{} {}{}{said}", title.as_deref().unwrap_or("the script"), Ending(*status), if said.is_empty() { "" } else { ":\n" })]
pub struct Failure {
    /// Its title; `None` when not even the first op began.
    pub title: Option<String>,
    /// Exit status.
    pub status: i32,
    /// The last lines the host printed on standard error.
    pub said: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::properties;
    use proptest::prelude::*;
    use std::{io::Write, process::Stdio};

    fn run(script: &Script) -> (i32, String, String) {
        #[expect(clippy::disallowed_methods, reason = "the law is about a real shell")]
        let mut child = std::process::Command::new("sh")
            .arg("-s")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(format!("{}\n", script.render()).as_bytes()).unwrap();
        let out = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (out.status.code().unwrap(), text(out.stdout), text(out.stderr))
    }

    fn op(title: &str, run: &'static str) -> Op {
        Op::new(title, Sh::text(run))
    }

    #[test]
    fn ops_run_in_order_and_tell_where_they_are() {
        let script = Script(vec![op("one's $(id)", "echo a; note 'waits; for'"), op("two", "cat; echo b >&2")]);
        let (status, stdout, stderr) = run(&script);
        let marks: Vec<Progress> = stdout.lines().map(|line| progress(line).expect("only marks")).collect();
        let start = |index, title: &str| Progress::Start { index, total: 2, title: title.to_owned() };
        let note = Progress::Note("waits; for".to_owned());
        assert_eq!(marks, [start(1, "one's $(id)"), note, start(2, "two"), Progress::Done]);
        assert_eq!((status, stderr.as_str()), (0, "a\nb\n"));
        assert_eq!(script.outcome(status, &stdout, &stderr), Outcome::Done);
    }

    #[test]
    fn the_first_failure_ends_it_and_is_told_with_what_was_said() {
        let script =
            Script(vec![op("good", "true"), op("bad", "echo why >&2\nfalse\necho not here"), op("never", "echo no")]);
        let (status, stdout, stderr) = run(&script);
        let Outcome::Failed(failure) = script.outcome(status, &stdout, &stderr) else { panic!("it failed") };
        assert_eq!(failure, Failure { title: Some("bad".to_owned()), status: 1, said: "why".to_owned() });
        assert_eq!(failure.to_string(), "bad failed with exit status 1:\nwhy");
        assert!(stdout.contains("\u{1e}machine failed 2 1\n"));
    }

    #[test]
    fn an_op_exits_with_a_status_of_its_own() {
        assert_eq!(run(&Script(vec![op("x", "exit 69")])).0, 69);
    }

    #[test]
    fn a_file_is_put_with_its_mode_and_no_other_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/er/a 'b' $(c)");
        let content = "a\n$(touch x)\n'\"`\\n%s";
        let script =
            Script(vec![Op::new("put", Sh::template("put {} {} {}", &["0600", path.to_str().unwrap(), content]))]);
        let (status, _, stderr) = run(&script);
        assert_eq!((status, stderr.as_str()), (0, ""));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_script_that_never_began_says_so() {
        let script = Script(vec![op("x", "true")]);
        let Outcome::Failed(failure) = script.outcome(1, "", "sudo: a password is required\n") else {
            panic!("it failed")
        };
        assert_eq!(failure.to_string(), "the script failed with exit status 1:\nsudo: a password is required");
    }

    proptest! {
        #![proptest_config(properties(256))]
        #[test]
        fn any_line_can_be_read(line in "(\u{1e}machine )?(start|note|failed|done|x)? ?[0-9 ]{0,4}\\PC{0,8}") {
            let _ = progress(&line);
        }
    }
}
