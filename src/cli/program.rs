//! Programs of this computer that do what this one does not: `ssh`, `scp`, `rsync`, `sshfs`.

use super::{CliError, Cx, Exit};
use std::{
    ffi::OsString,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::PathBuf,
    process::ExitStatus,
};
use tokio::signal::unix::{SignalKind, signal};

/// A program that is installed.
pub(super) struct Program(PathBuf);

impl Program {
    /// Looks for it where a shell would.
    pub(super) fn find(cx: &Cx, name: &str) -> Option<Self> {
        let path = cx.var("PATH")?;
        let places = std::env::split_paths(&path).map(|dir| dir.join(name));
        let runs = |place: &PathBuf| place.is_file() && rustix::fs::access(place, rustix::fs::Access::EXEC_OK).is_ok();
        places.into_iter().find(runs).map(Self)
    }

    /// Ends this program and goes on as that one. Returns only if that cannot be.
    pub(super) fn replace_us(&self, words: Vec<OsString>) -> CliError {
        #[expect(clippy::disallowed_methods, reason = "a person's session is handed over whole")]
        let error = std::process::Command::new(&self.0).args(words).exec();
        self.cannot_start(&error)
    }

    /// Runs it with our standard streams, and waits for its end.
    pub(super) async fn run(&self, words: Vec<OsString>) -> Result<Exit, CliError> {
        #[expect(clippy::disallowed_methods, reason = "copies and mounts are made by these programs")]
        let child = tokio::process::Command::new(&self.0).args(words).spawn();
        let mut child = child.map_err(|e| self.cannot_start(&e))?;
        // A terminal tells the child as well, and we have to clean up after it. Who tells only us means it.
        let mut interrupted = signal(SignalKind::interrupt()).map_err(CliError::Runtime)?;
        let mut terminated = signal(SignalKind::terminate()).map_err(CliError::Runtime)?;
        let mut hung_up = signal(SignalKind::hangup()).map_err(CliError::Runtime)?;
        loop {
            tokio::select! {
                status = child.wait() => return Ok(exit(status.map_err(|e| self.cannot_start(&e))?)),
                _ = interrupted.recv() => {}
                _ = terminated.recv() => stop(&child),
                _ = hung_up.recv() => stop(&child),
            }
        }
    }

    fn cannot_start(&self, error: &std::io::Error) -> CliError {
        CliError::said(format!("cannot run {}: {error}", self.0.display()))
    }
}

/// Asks a child to end. It may have ended just now.
fn stop(child: &tokio::process::Child) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}

/// Its end as ours; `128 + n` after signal `n`, as shells have it.
fn exit(status: ExitStatus) -> Exit {
    let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    if code == 0 { Exit::Done } else { Exit::Remote(u8::try_from(code).unwrap_or(u8::MAX)) }
}
