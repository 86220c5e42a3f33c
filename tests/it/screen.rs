//! A terminal with a shell in it, such as a person has: by tmux.

use crate::hosts::installed;
use std::{
    fs,
    path::Path,
    process::{Command, Output},
    time::{Duration, Instant},
};

/// A terminal of a test. Dropped, it is closed.
pub(crate) struct Screen {
    socket: tempfile::TempDir,
}

impl Screen {
    /// Opens one with a shell in `dir`; `None`, having said why, without tmux.
    pub(crate) fn open(dir: &Path, columns: u16, rows: u16) -> Option<Self> {
        if !installed("tmux") {
            return None;
        }
        let screen = Self { socket: tempfile::tempdir().unwrap() };
        #[expect(clippy::disallowed_methods, reason = "a fixture needs no durability")]
        fs::write(screen.socket.path().join("conf"), "set -g status off\n").unwrap();
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let dir = dir.display().to_string();
        let shell = "env -i HOME=/nowhere PATH=/usr/bin:/bin TERM=$TERM PS1='%' sh";
        let words = ["new-session", "-d", "-x", &columns, "-y", &rows, "-c", &dir, shell];
        let opened = screen.tmux(&words);
        assert!(opened.status.success(), "{opened:?}");
        screen.tmux(&["set", "-g", "window-size", "manual"]);
        Some(screen)
    }

    fn tmux(&self, words: &[&str]) -> Output {
        #[expect(clippy::disallowed_methods, reason = "the fixture is tmux")]
        let mut tmux = Command::new("tmux");
        tmux.arg("-S").arg(self.socket.path().join("s")).arg("-f").arg(self.socket.path().join("conf"));
        tmux.args(words).env("TERM", "xterm").env_remove("TMUX").output().unwrap()
    }

    /// Types a line.
    pub(crate) fn types(&self, line: &str) {
        self.tmux(&["send-keys", "-l", "--", line]);
        self.key("Enter");
    }

    /// Presses a key.
    pub(crate) fn key(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        let done = self.tmux(&["resize-window", "-x", &columns.to_string(), "-y", &rows.to_string()]);
        assert!(done.status.success(), "{done:?}");
    }

    /// Waits until the screen shows it.
    #[track_caller]
    pub(crate) fn shows(&self, text: &str) {
        let started = Instant::now();
        loop {
            let shown = String::from_utf8_lossy(&self.tmux(&["capture-pane", "-p", "-J"]).stdout).into_owned();
            if shown.contains(text) {
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(30), "`{text}` is not shown:\n{}", shown.trim_end());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Waits for the second file, and compares.
#[track_caller]
pub(crate) fn same(dir: &Path, one: &str, two: &str) {
    let started = Instant::now();
    let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap_or_default();
    while !read(two).ends_with('\n') {
        assert!(started.elapsed() < Duration::from_secs(10), "`{two}` is not written");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(read(one), read(two));
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}
