//! A program that runs while the test goes on: read as it speaks, typed at, signalled.

use super::Lab;
use std::{
    io::{Read, Write as _},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

/// How long anything that is waited for may take, on the slowest of computers.
pub(crate) const PATIENCE: Duration = Duration::from_mins(5);

/// Waits for a condition; says what it was when it never comes.
#[track_caller]
pub(crate) fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < PATIENCE, "it never came: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// A program that runs, and what it has said so far on standard output and error together.
pub(crate) struct Running {
    pub(crate) child: Child,
    said: Arc<Mutex<String>>,
    readers: Vec<thread::JoinHandle<()>>,
}

impl Running {
    pub(crate) fn new(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let read = |mut from: Box<dyn Read + Send>| {
            let said = said.clone();
            thread::spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(n @ 1..) = from.read(&mut bytes) {
                    said.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..n]));
                }
            })
        };
        let readers = vec![read(Box::new(child.stdout.take().unwrap())), read(Box::new(child.stderr.take().unwrap()))];
        Self { child, said, readers }
    }

    /// `machine` in a pipe.
    pub(crate) fn piped(lab: &Lab, args: &[&str]) -> Self {
        let mut command = lab.command(env!("CARGO_BIN_EXE_machine"));
        command.args(args);
        Self::new(command)
    }

    /// `machine` on a terminal of its own, 100 columns wide.
    pub(crate) fn on_terminal(lab: &Lab, args: &str) -> Self {
        let line = format!("stty cols 100 rows 40; exec {} {args}", env!("CARGO_BIN_EXE_machine"));
        let mut command = lab.command("script");
        command.args(["-qefc", &line, "/dev/null"]).env("TERM", "xterm").env("SHELL", "/bin/sh").stdin(Stdio::piped());
        Self::new(command)
    }

    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits until it has said something, or has ended, which then is a failure.
    #[track_caller]
    pub(crate) fn until(&mut self, text: &str) {
        let since = Instant::now();
        while !self.said().contains(text) {
            let ended = self.child.try_wait().unwrap();
            // What it said last may not have been read yet.
            let late = ended.is_some() && self.readers.iter().all(thread::JoinHandle::is_finished);
            assert!(!late || self.said().contains(text), "ended without `{text}`:\n{}", self.said());
            assert!(since.elapsed() < PATIENCE, "never said `{text}`:\n{}", self.said());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Types on its terminal.
    pub(crate) fn types(&mut self, keys: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(keys.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Its end: exit code (-1 when killed), and all it said.
    pub(crate) fn end(mut self) -> (i32, String) {
        let mut status = None;
        await_that("the end of the program", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        for reader in self.readers {
            reader.join().unwrap();
        }
        let said = self.said.lock().unwrap().clone();
        (status.unwrap().code().unwrap_or(-1), said)
    }
}
