//! Waiting for what the kernel reports through a file: the end of a process, a change of a control group.

use std::{io, os::fd::OwnedFd};
use tokio::io::{Interest, unix::AsyncFd};

/// A file that can be waited for.
#[expect(
    deprecated,
    reason = "sound for an `OwnedFd`, which stays open as long as it lives; the successor is unsafe to call"
)]
pub(in crate::driver) fn watch(file: impl Into<OwnedFd>, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(file.into(), interest)
}
