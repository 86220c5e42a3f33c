//! Open files of this process: which it passes on, and how many it may have.

use rustix::{
    io::fcntl_dupfd_cloexec,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use std::{
    fs::{self, File},
    io,
    os::fd::{AsRawFd as _, IntoRawFd as _, OwnedFd, RawFd},
};

/// Where the system lists what this process has open.
const OPEN: &str = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };

/// Keeps to ourselves what we inherited beside the three standard streams, such as a lock that the runner of a CI holds:
/// a virtual machine that we start would hold it for as long as it lives. What we open ourselves is ours alone anyway.
/// We can still read it: `/dev/fd/63` on our command line is what a shell makes of `<(command)`.
///
/// To be called first, when there is no other thread and nothing of ours is open.
pub(super) fn keep() {
    for number in inherited() {
        // One that is not there any more is that of the list itself.
        let Ok(copy) = copy(number) else {
            let _ = nix::unistd::close(number);
            continue;
        };
        let closed = nix::unistd::close(number).is_ok();
        if closed
            && let Ok(own) = fcntl_dupfd_cloexec(&copy, number)
            && own.as_raw_fd() == number
        {
            // Open to the end, as it was.
            let _ = own.into_raw_fd();
        }
    }
}

fn inherited() -> Vec<RawFd> {
    let names = fs::read_dir(OPEN).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.to_str()?.parse().ok()).filter(|number| *number > 2).collect()
}

/// The same open file under another number, which no program that we start gets.
#[cfg(target_os = "linux")]
fn copy(number: RawFd) -> io::Result<OwnedFd> {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
    let ours = pidfd_open(getpid(), PidfdFlags::empty());
    ours.and_then(|ours| pidfd_getfd(ours, number, PidfdGetfdFlags::empty())).or_else(|e| again(number, e.into()))
}

/// Where that is not allowed, as in some containers: what can only be read is opened once more.
#[cfg(target_os = "linux")]
fn again(number: RawFd, error: io::Error) -> io::Result<OwnedFd> {
    let about = fs::read_to_string(format!("/proc/self/fdinfo/{number}"))?;
    let flags = about.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    match flags {
        Some(flags) if flags % 4 == 0 => File::open(format!("{OPEN}/{number}")).map(Into::into),
        _ => Err(error),
    }
}

/// There, opening such a path is copying the number.
#[cfg(not(target_os = "linux"))]
fn copy(number: RawFd) -> io::Result<OwnedFd> {
    File::open(format!("{OPEN}/{number}")).map(Into::into)
}

/// Raises the limit to what this user may have. The usual 1,024 are for programs that use `select`; a fleet of 500
/// hosts needs two connections each. If it cannot be raised, things go on, and what then fails says so.
pub(super) fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::io::Read as _;

    /// Where a file cannot be copied, one that can only be read is opened again, and no other: that would be another file.
    #[test]
    fn only_what_can_only_be_read_is_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let mut options = fs::OpenOptions::new();
        let write = options.write(true).create(true).truncate(true).open(&path).unwrap();
        let both = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let read = File::open(&path).unwrap();
        for file in [&write, &both] {
            assert_eq!(again(file.as_raw_fd(), io::Error::other("no")).unwrap_err().to_string(), "no");
        }
        std::io::Write::write_all(&mut &write, b"text").unwrap();
        let mut text = String::new();
        File::from(again(read.as_raw_fd(), io::Error::other("no")).unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
    }
}
