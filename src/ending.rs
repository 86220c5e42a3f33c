//! How a program ended that should have ended well, in words.

use std::fmt;

/// The exit status of a program that failed, or that did not do what it was for. It stands behind the program's name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ending(pub i32);

/// Signals that end programs, by their numbers on Linux.
const SIGNALS: [(i32, &str); 11] = [
    (1, "SIGHUP"),
    (2, "SIGINT"),
    (3, "SIGQUIT"),
    (4, "SIGILL"),
    (6, "SIGABRT"),
    (7, "SIGBUS"),
    (8, "SIGFPE"),
    (9, "SIGKILL"),
    (11, "SIGSEGV"),
    (13, "SIGPIPE"),
    (15, "SIGTERM"),
];

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(status) = *self;
        match status {
            // Nothing failed that could say so: what was to be run was not run, or not to its end.
            0 => f.write_str("ended early: its exit status is 0, and it never said that it was done"),
            126 => f.write_str("could not be run (exit status 126)"),
            127 => f.write_str("failed: a program it needs was not found (exit status 127)"),
            // As shells tell of a signal.
            129..=192 => match SIGNALS.iter().find(|(number, _)| *number == status - 128) {
                Some((_, name)) => write!(f, "was ended by {name} (exit status {status})"),
                None => write!(f, "was ended by signal {} (exit status {status})", status - 128),
            },
            _ => write!(f, "failed with exit status {status}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_of_0_is_no_failure_and_a_signal_no_number() {
        for (status, want) in [
            (0, "ended early: its exit status is 0, and it never said that it was done"),
            (1, "failed with exit status 1"),
            (100, "failed with exit status 100"),
            (126, "could not be run (exit status 126)"),
            (127, "failed: a program it needs was not found (exit status 127)"),
            (128, "failed with exit status 128"),
            (137, "was ended by SIGKILL (exit status 137)"),
            (143, "was ended by SIGTERM (exit status 143)"),
            (190, "was ended by signal 62 (exit status 190)"),
            (255, "failed with exit status 255"),
            (-1, "failed with exit status -1"),
        ] {
            assert_eq!(Ending(status).to_string(), want);
        }
    }
}
