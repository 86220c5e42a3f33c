//! A process of this computer that is not our child: held, waited for, signalled.
//!
//! Linux gives a handle that stays with the process (`pidfd_open(2)`). Elsewhere there is the number alone, which may come
//! to mean another process, so the command line is compared before every use.

use rustix::process::{Pid, Signal};
use std::io;

#[cfg(target_os = "linux")]
use {super::event, std::fs, std::os::fd::OwnedFd, tokio::io::Interest};

/// A process that runs, or ran when it was opened.
pub(in crate::driver) struct Held {
    #[cfg(target_os = "linux")]
    handle: OwnedFd,
    #[cfg(not(target_os = "linux"))]
    pid: Pid,
    /// Its command line: words that each end with a zero; where only `ps` tells, with blanks between them.
    pub(in crate::driver) command: Vec<u8>,
}

#[cfg(target_os = "linux")]
impl Held {
    /// The process with this number, if there is one. It is opened first and looked at then, so that what is looked at
    /// is what is held. One that cannot be looked at is not one that has ended.
    pub(in crate::driver) fn open(pid: i32) -> io::Result<Option<Self>> {
        use rustix::process::{PidfdFlags, pidfd_open};
        let Some(number) = Pid::from_raw(pid) else { return Ok(None) };
        let handle = match pidfd_open(number, PidfdFlags::NONBLOCK) {
            Err(rustix::io::Errno::SRCH | rustix::io::Errno::INVAL) => return Ok(None),
            other => other?,
        };
        let command = of_process(fs::read(format!("/proc/{pid}/cmdline")))?;
        Ok(command.map(|command| Self { handle, command }))
    }

    /// Waits until it has ended.
    pub(in crate::driver) async fn ended(&self) -> io::Result<()> {
        let handle = event::watch(self.handle.try_clone()?, Interest::READABLE)?;
        handle.readable().await.map(drop)
    }

    /// Sends it a signal; nothing happens when it has ended.
    pub(in crate::driver) fn signal(&self, signal: Signal) -> io::Result<()> {
        match rustix::process::pidfd_send_signal(&self.handle, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}

/// What the system tells of a process; `None` when it has ended meanwhile.
#[cfg(target_os = "linux")]
pub(in crate::driver) fn of_process<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Ok(told) => Ok(Some(told)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) if e.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(not(target_os = "linux"))]
impl Held {
    /// The process with this number, if there is one.
    pub(in crate::driver) fn open(pid: i32) -> io::Result<Option<Self>> {
        let Some(number) = Pid::from_raw(pid) else { return Ok(None) };
        Ok(Self::command(pid)?.map(|command| Self { pid: number, command }))
    }

    #[expect(clippy::disallowed_methods, reason = "only `ps` tells a command line where there is no /proc")]
    fn command(pid: i32) -> io::Result<Option<Vec<u8>>> {
        let pid = pid.to_string();
        let said = std::process::Command::new("ps").args(["-ww", "-o", "command=", "-p", &pid]).output()?;
        let line = said.stdout.trim_ascii();
        Ok((said.status.success() && !line.is_empty()).then(|| line.to_vec()))
    }

    fn is_there(&self) -> bool {
        // Where `ps` cannot be run it may be.
        Self::command(self.pid.as_raw_nonzero().get()).map_or(true, |command| command.as_ref() == Some(&self.command))
    }

    /// Waits until it has ended.
    pub(in crate::driver) async fn ended(&self) -> io::Result<()> {
        while self.is_there() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Sends it a signal; nothing happens when it has ended.
    pub(in crate::driver) fn signal(&self, signal: Signal) -> io::Result<()> {
        if !self.is_there() {
            return Ok(());
        }
        match rustix::process::kill_process(self.pid, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_of_others_is_held_signalled_and_waited_for() {
        #[expect(clippy::disallowed_methods, reason = "a process of our own to watch")]
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let open = || Held::open(i32::try_from(child.id()).unwrap()).unwrap().unwrap();
        // The kernel lets us go on a moment before the new program has its words.
        let held = std::iter::repeat_with(open).find(|held| !held.command.is_empty()).unwrap();
        assert_eq!(held.command, b"sleep\x0060\0");
        held.signal(Signal::TERM).unwrap();
        held.ended().await.unwrap();
        assert!(!child.wait().unwrap().success());
        held.signal(Signal::KILL).unwrap();
        assert!(Held::open(0).unwrap().is_none() && Held::open(i32::MAX).unwrap().is_none());
    }
    #[cfg(target_os = "linux")]
    #[test]
    fn only_a_process_that_has_ended_is_not_there() {
        assert_eq!(of_process(io::Result::Ok(1)).unwrap(), Some(1));
        for (errno, gone) in [(rustix::io::Errno::NOENT, true), (rustix::io::Errno::SRCH, true)]
            .into_iter()
            .chain([rustix::io::Errno::ACCESS, rustix::io::Errno::MFILE, rustix::io::Errno::IO].map(|e| (e, false)))
        {
            let read = of_process::<()>(Err(errno.into()));
            assert_eq!(matches!(read, Ok(None)), gone, "{errno:?}");
        }
    }
}
