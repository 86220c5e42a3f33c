//! Commands of the user's own on this computer: started in a group of their own, heard, and ended when they take too
//! long. What they are for is not known here.

use crate::{hook::Command, transport::LineSink};
use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::Child,
    sync::mpsc::{UnboundedSender, unbounded_channel},
    time::{Instant, sleep_until, timeout_at},
};

/// How long what was told to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(5);
/// How long the output may stay open after the command has ended: what it left in the background holds it.
const AFTER_EXIT: Duration = Duration::from_secs(1);
/// Bytes of output that are kept; the end matters, for errors.
const KEPT: usize = 1 << 20;

/// What is to be run, with what, and for how long at most.
pub struct Job<'a> {
    /// The command.
    pub run: &'a Command,
    /// Variables beside those of this program.
    pub env: &'a [(&'static str, String)],
    /// Variables of this program that it does not get.
    pub without: &'a [&'static str],
    /// When it is ended.
    pub limit: Duration,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ended {
    /// By itself; `128 + n` when signal `n` ended it, as shells have it.
    Status(i32),
    /// By us, after its limit.
    TimedOut,
}

/// A command that could not be started.
#[derive(Debug, Error)]
#[error("cannot start `{program}` in {}: {why}", dir.display())]
pub struct NotStarted {
    /// The program.
    pub program: String,
    /// Where.
    pub dir: PathBuf,
    /// What the system said.
    pub why: std::io::Error,
}

/// Runs commands on this computer.
#[async_trait]
pub trait Local: Send + Sync {
    /// Runs a command to its end. Gives how it ended, and the last of what it printed, both streams as they came.
    async fn run(&self, job: &Job<'_>, lines: LineSink<'_>) -> Result<(Ended, String), NotStarted>;
}

/// This computer.
pub struct Here {
    /// Where commands are run.
    pub dir: PathBuf,
}

/// Ends a whole group, unless it has ended: a command that is not waited for any more leaves no process.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // An error says that no process is left.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// A path with a folder in it is looked for where the command runs, as a shell there would.
fn program(word: &str, dir: &Path) -> PathBuf {
    if word.contains('/') { dir.join(word) } else { PathBuf::from(word) }
}

impl Here {
    fn start(&self, job: &Job<'_>) -> Result<Child, NotStarted> {
        let dir = if self.dir.as_os_str().is_empty() { Path::new(".") } else { self.dir.as_path() };
        let (word, arguments) = match job.run {
            Command::Shell(text) => ("sh", vec!["-c", text.as_str()]),
            Command::Program(words) => {
                let mut words = words.iter().map(String::as_str);
                (words.next().unwrap_or_default(), words.collect())
            }
        };
        let failed = |why| NotStarted { program: word.to_owned(), dir: dir.to_owned(), why };
        // A relative program would be looked for in our own folder by some systems.
        let dir = std::path::absolute(dir).map_err(failed)?;
        #[expect(clippy::disallowed_methods, reason = "the user's own command, as the fleet file has it")]
        let mut command = tokio::process::Command::new(program(word, &dir));
        command.args(arguments).envs(job.env.iter().map(|(name, value)| (name, value)));
        job.without.iter().for_each(|name| {
            command.env_remove(name);
        });
        command.current_dir(&dir).process_group(0).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().map_err(failed)
    }
}

#[async_trait]
impl Local for Here {
    async fn run(&self, job: &Job<'_>, lines: LineSink<'_>) -> Result<(Ended, String), NotStarted> {
        let mut child = self.start(job)?;
        let mut group = Group::of(&child);
        let (told, mut heard) = unbounded_channel::<Vec<u8>>();
        let (out, err) = (child.stdout.take(), child.stderr.take());
        tokio::spawn(listen(out, told.clone()));
        tokio::spawn(listen(err, told));
        let mut output = Output::default();
        let mut deadline = Instant::now() + job.limit;
        let (mut ended, mut warned) = (None, false);
        while ended.is_none() {
            tokio::select! {
                status = child.wait() => ended = Some(status.map_or(Ended::Status(127), |s| Ended::Status(code(s)))),
                Some(bytes) = heard.recv() => output.push(&bytes, lines),
                () = sleep_until(deadline) => {
                    group.signal(if warned { Signal::KILL } else { Signal::TERM });
                    deadline = Instant::now() + GRACE;
                    warned = true;
                }
            }
        }
        let open_until = Instant::now() + AFTER_EXIT;
        while let Ok(Some(bytes)) = timeout_at(open_until, heard.recv()).await {
            output.push(&bytes, lines);
        }
        output.finish(lines);
        if warned {
            // Processes that ignored the first signal go too.
            group.signal(Signal::KILL);
            ended = Some(Ended::TimedOut);
        }
        // What a command that ended by itself left running on purpose stays.
        group.0 = None;
        Ok((ended.unwrap_or(Ended::TimedOut), output.into_text()))
    }
}

fn code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

async fn listen(stream: Option<impl AsyncRead + Unpin>, told: UnboundedSender<Vec<u8>>) {
    let Some(mut stream) = stream else { return };
    let mut buffer = vec![0; 8 << 10];
    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
        if told.send(buffer[..n].to_vec()).is_err() {
            return;
        }
    }
}

/// What a command printed: its end is kept, its lines are told.
#[derive(Default)]
struct Output {
    kept: Vec<u8>,
    line: Vec<u8>,
}

impl Output {
    fn push(&mut self, bytes: &[u8], lines: LineSink<'_>) {
        self.kept.extend_from_slice(bytes);
        if self.kept.len() > 2 * KEPT {
            self.kept.drain(..self.kept.len() - KEPT);
        }
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.line.len() > 8 << 10 {
                self.finish(lines);
            }
        }
    }

    fn finish(&mut self, lines: LineSink<'_>) {
        if !self.line.is_empty() {
            lines(String::from_utf8_lossy(&self.line).trim_end());
            self.line.clear();
        }
    }

    fn into_text(self) -> String {
        String::from_utf8_lossy(&self.kept).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(here: &Here, run: &Command, limit: Duration) -> (Ended, String, Vec<String>) {
        let mut seen = Vec::new();
        let env = [("MACHINE_NAME", "web-1; touch pwned".to_owned())];
        let job = Job { run, env: &env, without: &["HOME"], limit };
        let (ended, text) = here.run(&job, &mut |line| seen.push(line.to_owned())).await.unwrap();
        (ended, text, seen)
    }

    fn shell(text: &str) -> Command {
        Command::Shell(text.to_owned())
    }

    const LONG: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn a_command_is_run_in_its_folder_with_its_variables_and_heard() {
        let dir = tempfile::tempdir().unwrap();
        let here = Here { dir: dir.path().to_owned() };
        let text = "echo \"$MACHINE_NAME\"; echo two >&2; pwd; echo ${HOME-none}; exit 3";
        let (ended, _, mut seen) = run(&here, &shell(text), LONG).await;
        let folder = dir.path().canonicalize().unwrap().display().to_string();
        seen.sort();
        let mut want = vec!["web-1; touch pwned".to_owned(), "two".to_owned(), folder, "none".to_owned()];
        want.sort();
        assert_eq!((ended, seen), (Ended::Status(3), want));
        assert!(!dir.path().join("pwned").exists());
    }

    #[tokio::test]
    async fn words_reach_a_program_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/bin/echo", dir.path().join("say")).unwrap();
        let here = Here { dir: dir.path().to_owned() };
        let words = Command::Program(["./say", "$MACHINE_NAME", "a  b", "'"].map(str::to_owned).to_vec());
        let (ended, text, _) = run(&here, &words, LONG).await;
        assert_eq!((ended, text.as_str()), (Ended::Status(0), "$MACHINE_NAME a  b '\n"));
    }

    #[tokio::test]
    async fn what_cannot_be_started_says_where_and_why() {
        let here = Here { dir: PathBuf::from("/") };
        let words = Command::Program(vec!["./not-there".to_owned()]);
        let job = Job { run: &words, env: &[], without: &[], limit: LONG };
        let error = here.run(&job, &mut |_| ()).await.unwrap_err().to_string();
        assert_eq!(error, "cannot start `./not-there` in /: No such file or directory (os error 2)");
    }

    fn is_there(pid: &str) -> bool {
        // A zombie that init has not yet collected is not there any more.
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    }

    async fn gone(pid: &str) -> bool {
        for _ in 0..200 {
            if !is_there(pid) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }

    /// Everything the command started goes with it, also what does not want to.
    #[tokio::test]
    async fn a_command_that_takes_too_long_is_ended_with_all_it_started() {
        let here = Here { dir: PathBuf::from("/") };
        let begun = std::time::Instant::now();
        let text = "sleep 300 & echo $!; (trap '' TERM; while :; do sleep 1; done) & echo $!; wait";
        let (ended, _, seen) = run(&here, &shell(text), Duration::from_millis(500)).await;
        assert_eq!(ended, Ended::TimedOut);
        assert!(begun.elapsed() < Duration::from_secs(30));
        for pid in &seen {
            assert!(gone(pid).await, "{pid} is still there");
        }
        assert_eq!(seen.len(), 2);
    }

    #[tokio::test]
    async fn a_run_that_is_cut_off_takes_its_commands_with_it() {
        let here = Here { dir: PathBuf::from("/") };
        let (told, mut heard) = unbounded_channel();
        let running = tokio::spawn(async move {
            let run = Command::Shell("sleep 300 & echo $!; wait".to_owned());
            let job = Job { run: &run, env: &[], without: &[], limit: LONG };
            here.run(&job, &mut |line| told.send(line.to_owned()).unwrap()).await.map(|_| ())
        });
        let pid = heard.recv().await.unwrap();
        assert!(is_there(&pid));
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
        assert!(gone(&pid).await);
    }

    #[tokio::test]
    async fn what_is_left_running_on_purpose_does_not_hold_up_the_run() {
        let here = Here { dir: PathBuf::from("/") };
        let begun = std::time::Instant::now();
        let (ended, text, _) = run(&here, &shell("sleep 20 & echo $!"), LONG).await;
        assert_eq!(ended, Ended::Status(0));
        assert!(begun.elapsed() < Duration::from_secs(10));
        assert!(is_there(text.trim()));
    }
}
