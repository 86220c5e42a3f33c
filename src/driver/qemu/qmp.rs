//! Speaking with a running qemu (QMP: JSON lines over a socket in the machine's folder).

use crate::{driver::DriverError, fault};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{os::fd::AsRawFd, path::Path, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, ReadHalf, WriteHalf, split},
    net::UnixStream,
    time::timeout,
};

/// How long an answer may take. Another of our runs may be speaking with it just now, and qemu hears one at a time.
const ANSWER: Duration = Duration::from_secs(30);
/// Longer paths are none for a socket (unix(7): 108 bytes with the zero at the end; macOS has 104).
const LONGEST: usize = 100;

/// What qemu calls a machine that stands still until it is told to go on.
pub(super) const PAUSED: &str = "paused";

/// What is going on in qemu for us; one thing at a time.
const JOB: &str = "machine";

/// A conversation.
pub(super) struct Qmp<S = UnixStream> {
    from: BufReader<ReadHalf<S>>,
    to: WriteHalf<S>,
}

/// One line of qemu's.
#[derive(Debug, Deserialize)]
struct Line {
    #[serde(rename = "return")]
    answer: Option<Value>,
    error: Option<Refusal>,
    event: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    desc: String,
}

/// Connects to one of qemu's sockets in a folder.
pub(super) async fn connect(folder: &Path, socket: &str) -> Result<UnixStream, DriverError> {
    let path = folder.join(socket);
    let stream = async {
        if path.as_os_str().len() <= LONGEST {
            return UnixStream::connect(&path).await;
        }
        if !cfg!(target_os = "linux") {
            let why = format!("{} is too long for a socket: set MACHINE_QEMU_DIR to a shorter one", path.display());
            return Err(std::io::Error::other(why));
        }
        // A shorter way to the same: the folder as one of our open files.
        let open = std::fs::File::open(folder)?;
        UnixStream::connect(format!("/proc/self/fd/{}/{socket}", open.as_raw_fd())).await
    };
    stream.await.map_err(|e| lost("connecting to qemu", &e.to_string()))
}

impl Qmp {
    /// Begins to speak with the qemu that listens at `socket` in `folder`.
    pub(super) async fn connect(folder: &Path, socket: &str) -> Result<Self, DriverError> {
        Self::begin(connect(folder, socket).await?).await
    }
}

impl<S: AsyncRead + AsyncWrite> Qmp<S> {
    async fn begin(stream: S) -> Result<Self, DriverError> {
        let (from, to) = split(stream);
        let mut qmp = Self { from: BufReader::new(from), to };
        // The greeting comes when the client before has gone.
        qmp.line("greeting qemu").await?;
        qmp.ask("qmp_capabilities", Value::Null).await?;
        Ok(qmp)
    }

    /// Runs a command; what it answered.
    pub(super) async fn ask(&mut self, command: &str, arguments: Value) -> Result<Value, DriverError> {
        let mut message = json!({ "execute": command });
        if !arguments.is_null() {
            message["arguments"] = arguments;
        }
        let doing = format!("asking qemu for `{command}`");
        let text = format!("{message}\n");
        self.to.write_all(text.as_bytes()).await.map_err(|e| lost(&doing, &e.to_string()))?;
        loop {
            let line = self.line(&doing).await?;
            if let Some(Refusal { desc }) = line.error {
                return Err(DriverError::Refused { doing, why: desc, help: HELP.to_owned() });
            }
            if let Some(answer) = line.answer {
                return Ok(answer);
            }
        }
    }

    /// What the machine is doing: `running`, `paused`, `io-error`, `internal-error`, …
    pub(super) async fn status(&mut self) -> Result<String, DriverError> {
        let answer = self.ask("query-status", Value::Null).await?;
        Ok(answer["status"].as_str().unwrap_or_default().to_owned())
    }

    /// Runs a command that goes on after its answer, and waits for its end.
    pub(super) async fn job(
        &mut self,
        command: &str,
        mut arguments: Value,
        within: Duration,
    ) -> Result<(), DriverError> {
        let doing = format!("asking qemu for `{command}`");
        arguments["job-id"] = Value::from(JOB);
        self.ask(command, arguments).await?;
        fault::pass("qemu.job", command);
        let error = timeout(within, self.concluded()).await.map_err(|_| lost(&doing, "it takes too long"))??;
        match error {
            Some(why) => Err(DriverError::Refused { doing, why, help: HELP.to_owned() }),
            None => Ok(()),
        }
    }

    /// Waits for what was begun by [`Self::job`], maybe by a run that was killed; its error, if it ended in one.
    pub(super) async fn concluded(&mut self) -> Result<Option<String>, DriverError> {
        loop {
            let jobs = self.ask("query-jobs", Value::Null).await?;
            let ours = jobs.as_array().into_iter().flatten().find(|job| job["id"] == JOB);
            match ours {
                Some(job) if job["status"] == "concluded" => {
                    self.ask("job-dismiss", json!({ "id": JOB })).await?;
                    return Ok(job["error"].as_str().map(str::to_owned));
                }
                None => return Ok(None),
                Some(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    async fn line(&mut self, doing: &str) -> Result<Line, DriverError> {
        let mut text = String::new();
        loop {
            text.clear();
            let read = timeout(ANSWER, self.from.read_line(&mut text)).await;
            match read.map_err(|_| lost(doing, "it does not answer"))? {
                Ok(0) => return Err(lost(doing, "it has ended")),
                Ok(_) => {}
                Err(e) => return Err(lost(doing, &e.to_string())),
            }
            let line: Line =
                serde_json::from_str(&text).map_err(|e| lost(doing, &format!("its answer is not JSON: {e}")))?;
            // What happens meanwhile is asked for where it matters.
            if line.event.is_none() {
                return Ok(line);
            }
        }
    }
}

const HELP: &str = "see what the machine is doing:\n  machine ls";

fn lost(doing: &str, why: &str) -> DriverError {
    DriverError::Lost { doing: doing.to_owned(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, DuplexStream, duplex};

    const GREETING: &str = "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n{\"return\": {}}\r\n";

    /// A qemu that says all it will ever say at once; what it heard.
    async fn speak<T>(says: &str, ask: impl AsyncFnOnce(&mut Qmp<DuplexStream>) -> T) -> (T, String) {
        let (ours, mut theirs) = duplex(1 << 16);
        theirs.write_all(GREETING.as_bytes()).await.unwrap();
        theirs.write_all(says.as_bytes()).await.unwrap();
        let mut qmp = Qmp::begin(ours).await.unwrap();
        let answer = ask(&mut qmp).await;
        drop(qmp);
        let mut heard = String::new();
        theirs.read_to_string(&mut heard).await.unwrap();
        (answer, heard)
    }

    #[tokio::test]
    async fn events_between_question_and_answer_are_no_answers() {
        let says = "{\"event\": \"RESUME\", \"timestamp\": {}}\n{\"return\": {\"status\": \"running\"}}\n";
        let (status, heard) = speak(says, async |qmp| qmp.status().await.unwrap()).await;
        assert_eq!(status, "running");
        assert_eq!(heard, "{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"query-status\"}\n");
    }

    #[tokio::test]
    async fn a_refusal_says_what_qemu_said_and_an_end_may_have_had_its_effect() {
        let says = "{\"error\": {\"class\": \"GenericError\", \"desc\": \"Snapshot 'a' does not exist\"}}\n";
        let (error, _) = speak(says, async |qmp| qmp.ask("x", Value::Null).await.unwrap_err()).await;
        assert_eq!(error.to_string(), "asking qemu for `x`: Snapshot 'a' does not exist");
        assert!(!error.is_transient());
        let (ours, theirs) = duplex(64);
        drop(theirs);
        assert!(Qmp::begin(ours).await.err().unwrap().is_transient());
    }

    #[tokio::test]
    async fn the_error_of_a_job_is_that_of_its_command() {
        let says = "{\"return\": {}}\n\
            {\"return\": [{\"id\": \"machine\", \"status\": \"running\"}]}\n\
            {\"return\": [{\"id\": \"machine\", \"status\": \"concluded\", \"error\": \"disk full\"}]}\n\
            {\"return\": {}}\n";
        let save = async |qmp: &mut Qmp<DuplexStream>| {
            qmp.job("snapshot-save", json!({ "tag": "a" }), Duration::from_secs(9)).await
        };
        let (ended, heard) = speak(says, save).await;
        assert_eq!(ended.unwrap_err().to_string(), "asking qemu for `snapshot-save`: disk full");
        assert!(heard.contains(r#""job-id":"machine""#), "{heard}");
    }
}
