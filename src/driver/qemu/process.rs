//! The process of a machine: started so that it outlives this one, found again, stopped, killed.
//!
//! Nothing is signalled unless it is certain to be ours: the process whose number qemu wrote down, if its command line
//! names that very file. A number of before this computer's last start leads to no such process.

use super::{
    command::{AGENT, CLONE, SOCKET},
    place::Folder,
    program::Program,
    qmp::Qmp,
};
use crate::{
    driver::{DriverError, files, process::Held},
    fault,
};
use rustix::process::Signal;
use serde_json::Value;
use std::{ffi::OsString, fs, fs::File, io, path::Path, time::Duration};
use tokio::time::{Instant, sleep, timeout};

/// How long a machine may take to shut down; systemd gives services 90 s.
const SHUTDOWN: Duration = Duration::from_secs(100);
/// After which it is asked once more: one that was just starting may not have heard.
const AGAIN: Duration = Duration::from_secs(15);
/// How long a killed process may take to be gone.
const DEATH: Duration = Duration::from_secs(20);

/// How long a look waits for a number that is being written.
const PAUSE: Duration = Duration::from_millis(20);

/// A running qemu that was found to be ours.
pub(super) struct Process(Held);

impl Process {
    /// The process of a machine, if it runs.
    pub(super) fn find(folder: &Folder) -> Result<Option<Self>, DriverError> {
        let path = folder.pid();
        let number = || Ok::<_, DriverError>(files::read(&path)?.map(|text| text.trim().parse().ok()));
        let pid = match number()? {
            // It may just be written.
            Some(None) => {
                std::thread::sleep(PAUSE);
                number()?
            }
            read => read,
        };
        let Some(pid) = pid else { return Ok(None) };
        let pid = pid.ok_or_else(|| DriverError::Refused {
            doing: "looking for the process of the machine".to_owned(),
            why: format!("{} holds no process number, so it is unknown whether the machine runs", path.display()),
            help: format!(
                "see whether a qemu with that file on its command line runs, and end it; then remove the file:\n  \
                 ps -A -ww -o pid,args | grep qemu-system\n  rm {}",
                path.display()
            ),
        })?;
        Self::open(pid, &folder.pid()).map_err(files::because("looking at the process of", &folder.path))
    }

    fn open(pid: i32, file: &Path) -> io::Result<Option<Self>> {
        Ok(Held::open(pid)?.filter(|held| is_ours(&held.command, file)).map(Self))
    }

    /// Waits until it has ended.
    pub(super) async fn ended(&self) -> io::Result<()> {
        self.0.ended().await
    }

    /// Asks the machine to shut down, as its power button does, and waits; pulls the plug when it does not.
    pub(super) async fn stop(
        &self,
        folder: &Folder,
        progress: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<(), DriverError> {
        let end = Instant::now() + SHUTDOWN;
        loop {
            fault::pass("qemu.powerdown", &folder.id);
            let asked = async { Qmp::connect(&folder.path, SOCKET).await?.ask("system_powerdown", Value::Null).await };
            // One that has just ended does not answer.
            if let (Err(e), false) = (asked.await, timeout(Duration::ZERO, self.ended()).await.is_ok()) {
                progress(&format!("cannot ask it to shut down ({e}): pulling its plug"));
                return self.kill().await;
            }
            let left = end.saturating_duration_since(Instant::now());
            if timeout(left.min(AGAIN), self.ended()).await.is_ok() {
                return Ok(());
            }
            if left.is_zero() {
                progress(&format!("it did not shut down within {} s: pulling its plug", SHUTDOWN.as_secs()));
                return self.kill().await;
            }
        }
    }

    /// Pulls the plug, and waits until it is gone.
    pub(super) async fn kill(&self) -> Result<(), DriverError> {
        fault::pass("qemu.kill", "qemu");
        let failed = |why: String| DriverError::Refused {
            doing: "killing the machine".to_owned(),
            why,
            help: "see what its process is doing:\n  ps -C qemu-system-x86_64 -o pid,stat,args".to_owned(),
        };
        self.0.signal(Signal::KILL).map_err(|e| failed(e.to_string()))?;
        let gone = timeout(DEATH, self.ended()).await;
        gone.map_err(|_| failed("the kernel still has its process".to_owned()))?.map_err(|e| failed(e.to_string()))
    }
}

/// Starts qemu with these arguments and returns when the machine runs. What qemu does not like it says before.
///
/// It holds the lock of the folder until it has written its number: no other run looks for it before.
pub(super) async fn launch(
    folder: &Folder,
    lock: &File,
    program: &str,
    arguments: Vec<OsString>,
) -> Result<Process, DriverError> {
    // Of a qemu that was killed. Sockets of one that was not are its own; there is none, or we would not be here.
    for name in [SOCKET, AGENT, CLONE, "qemu.pid"] {
        match fs::remove_file(folder.path.join(name)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(files::because("removing", &folder.path.join(name))(e));
            }
            _ => {}
        }
    }
    // Only what it says from now on tells of this start.
    files::write(&folder.console(), 0o600, b"")?;
    Program::new(program, "starting the machine").args(arguments).within(&folder.path).holding(lock)?.run().await?;
    // It writes its number before the program we started ends; a machine that ended at once leaves none.
    for _ in 0..50 {
        if let Some(process) = Process::find(folder)? {
            return Ok(process);
        }
        sleep(Duration::from_millis(20)).await;
    }
    Err(DriverError::Refused {
        doing: "starting the machine".to_owned(),
        why: "it ended at once".to_owned(),
        help: format!("see its console:\n  cat {}", folder.console().display()),
    })
}

/// Whether a command line is that of the qemu which writes its number into this file. Its words may stand between zeros
/// or between blanks; the file's path may hold blanks, too.
fn is_ours(command: &[u8], file: &Path) -> bool {
    let line = String::from_utf8_lossy(command).replace('\0', " ");
    let program = line.split(' ').next().unwrap_or_default();
    let program = program.rsplit('/').next().unwrap_or_default();
    program.starts_with("qemu-system-") && line.contains(&format!(" -pidfile {} ", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_qemu_that_writes_this_file_is_ours() {
        let file = Path::new("/b/instances/web-1-00/qemu.pid");
        for (line, want) in [
            ("qemu-system-x86_64 -m 1 -pidfile /b/instances/web-1-00/qemu.pid -daemonize ", true),
            ("/usr/bin/qemu-system-aarch64 -pidfile /b/instances/web-1-00/qemu.pid -daemonize", true),
            ("qemu-system-x86_64 -pidfile /b/instances/web-2-00/qemu.pid ", false),
            ("qemu-system-x86_64 /b/instances/web-1-00/qemu.pid ", false),
            ("vi -pidfile /b/instances/web-1-00/qemu.pid ", false),
            ("", false),
        ] {
            assert_eq!(is_ours(line.replace(' ', "\0").as_bytes(), file), want, "{line}");
            assert_eq!(is_ours(line.as_bytes(), file), want, "{line}");
        }
    }

    /// A file that is left of before this computer was started again may name any process.
    #[test]
    fn a_number_that_means_another_process_now_is_no_machine() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::at("x", dir.path());
        assert!(Process::find(&folder).unwrap().is_none());
        for text in [std::process::id().to_string(), "1".to_owned(), "999999999".to_owned()] {
            files::write(&folder.pid(), 0o600, text.as_bytes()).unwrap();
            assert!(Process::find(&folder).unwrap().is_none(), "{text}");
        }
    }

    #[test]
    fn a_file_without_a_number_does_not_say_that_the_machine_is_off() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::at("x", dir.path());
        for text in ["", "x", "12 34", "\0\0\0"] {
            files::write(&folder.pid(), 0o600, text.as_bytes()).unwrap();
            let error = Process::find(&folder).err().unwrap();
            assert!(error.to_string().contains("it is unknown whether the machine runs"), "{text:?}: {error}");
            assert!(error.help().unwrap().contains("qemu.pid"), "{text:?}");
        }
    }
}
