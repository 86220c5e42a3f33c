//! A list of commands with titles, as one POSIX shell program that reports where it is.

use crate::quote::Sh;

/// One thing to do on a host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Op {
    /// What a person is told while it runs, as `install docker.io 28.2`.
    pub title: String,
    /// What to run, as root.
    pub run: Sh,
}

/// What to do on a host, in order; the first failure ends it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Script(pub Vec<Op>);
