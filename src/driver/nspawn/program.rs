//! The one place where this driver runs programs of this computer, so that each failure says what
//! was being done, what the program printed and, if it is missing, which package brings it.

use crate::{driver::DriverError, fault};
use std::{ffi::OsStr, io, path::Path, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
};

/// Programs this driver needs. A test of the computer looks for each before anything is begun.
pub(super) const NEEDED: [&str; 8] =
    ["systemd-nspawn", "mmdebstrap", "ip", "iptables", "setsid", "unshare", "mount", "apt-config"];

/// What to say when one of [`NEEDED`] is missing.
pub(super) const INSTALL: &str = "install what this driver stands on:\n  \
     apt-get install --no-install-recommends systemd-container mmdebstrap iptables iproute2 util-linux";

/// How many of the last lines of a failed program are shown.
const SHOWN: usize = 12;

/// A program, its arguments, and what it is run for.
pub(super) struct Program {
    command: Command,
    name: String,
    doing: String,
}

impl Program {
    /// `name` is searched in PATH and where administrators' programs are, which PATH of a user may lack.
    #[expect(clippy::disallowed_methods, reason = "the programs of this driver are run here")]
    pub(super) fn new(name: &str, doing: impl Into<String>) -> Self {
        let path = search(name).unwrap_or_else(|| name.into());
        let mut command = Command::new(path);
        command.env("LC_ALL", "C").stdin(Stdio::null());
        Self { command, name: name.to_owned(), doing: doing.into() }
    }

    /// Appends arguments.
    pub(super) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a variable of its environment.
    pub(super) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    fn missing(&self, error: &io::Error) -> DriverError {
        if error.kind() == io::ErrorKind::NotFound {
            return DriverError::Unprepared {
                what: format!("`{}` is not installed on this computer", self.name),
                help: INSTALL.to_owned(),
            };
        }
        self.failed(&error.to_string())
    }

    fn failed(&self, why: &str) -> DriverError {
        let lines: Vec<&str> = why.lines().collect();
        DriverError::Refused {
            doing: self.doing.clone(),
            why: format!("`{}` said: {}", self.name, lines[lines.len().saturating_sub(SHOWN)..].join("\n")),
            help: format!("correct what `{}` complains about, then run the same command again", self.name),
        }
    }

    /// Runs it to its end with `input` on standard input; its standard output.
    pub(super) async fn run(mut self, input: &str) -> Result<String, DriverError> {
        fault::pass("nspawn.program", &self.name);
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = self.command.spawn().map_err(|e| self.missing(&e))?;
        if let Some(mut pipe) = child.stdin.take() {
            // A program that ends without reading its input says why on standard error.
            let _ = pipe.write_all(input.as_bytes()).await;
        }
        let output = child.wait_with_output().await.map_err(|e| self.failed(&e.to_string()))?;
        fault::pass("nspawn.program.done", &self.name);
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(self.failed(&format!("{} ({})", String::from_utf8_lossy(&output.stderr).trim(), output.status)))
    }

    /// Whether it ends well, for questions such as `iptables -C`.
    pub(super) async fn holds(mut self) -> Result<bool, DriverError> {
        self.command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let status = self.command.status().await.map_err(|e| self.missing(&e))?;
        Ok(status.success())
    }

    /// Runs it to its end and gives each line of its standard error to `line`.
    ///
    /// `lock` is its standard input too, so that the lock stays held while it or a child of it runs,
    /// even when this process is killed.
    pub(super) async fn watch(mut self, lock: &std::fs::File, mut line: impl FnMut(&str)) -> Result<(), DriverError> {
        let held = lock.try_clone().map_err(|e| self.failed(&e.to_string()))?;
        fault::pass("nspawn.program", &self.name);
        self.command.stdin(held).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = self.command.spawn().map_err(|e| self.missing(&e))?;
        let mut said = Vec::new();
        if let Some(pipe) = child.stderr.take() {
            let mut lines = BufReader::new(pipe).split(b'\n');
            while let Ok(Some(bytes)) = lines.next_segment().await {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                line(&text);
                said.push(text);
            }
        }
        let status = child.wait().await.map_err(|e| self.failed(&e.to_string()))?;
        if status.success() { Ok(()) } else { Err(self.failed(&format!("{}\n({status})", said.join("\n")))) }
    }

    /// Starts it and lets it go: it outlives this process. What it prints goes to `log`.
    pub(super) fn leave(mut self, log: std::fs::File) -> Result<Child, DriverError> {
        let other = log.try_clone().map_err(|e| self.failed(&e.to_string()))?;
        self.command.stdout(log).stderr(other);
        fault::pass("nspawn.program", &self.name);
        let child = self.command.spawn().map_err(|e| self.missing(&e))?;
        fault::pass("nspawn.program.done", &self.name);
        Ok(child)
    }
}

/// Where a program is, or nothing.
pub(super) fn search(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(Into::into))
        .map(|folder| folder.join(name))
        .find(|file| Path::is_file(file))
}
