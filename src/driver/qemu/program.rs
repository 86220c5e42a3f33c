//! The programs of qemu: run in one place, so that each failure says what was being done, what the program said and, if
//! it is missing, which package brings it.

use crate::{driver::DriverError, fault};
use std::{ffi::OsStr, fs::File, io, path::Path, process::Stdio};
use tokio::process::Command;

/// Packages by what `/etc/os-release` calls the family of a system.
const PACKAGES: [(&str, &str); 6] = [
    ("debian", "apt-get install --no-install-recommends qemu-system-x86 qemu-utils"),
    ("fedora", "dnf install qemu-system-x86-core qemu-img"),
    ("suse", "zypper install qemu-x86 qemu-tools"),
    ("arch", "pacman -S qemu-base"),
    ("alpine", "apk add qemu-system-x86_64 qemu-img"),
    ("macos", "brew install qemu"),
];

/// A program, its arguments, and what it is run for.
pub(super) struct Program {
    command: Command,
    name: String,
    doing: String,
}

impl Program {
    #[expect(clippy::disallowed_methods, reason = "the programs of this driver are run here")]
    pub(super) fn new(name: &str, doing: impl Into<String>) -> Self {
        let mut command = Command::new(name);
        command.env("LC_ALL", "C").stdin(Stdio::null());
        Self { command, name: name.to_owned(), doing: doing.into() }
    }

    /// Appends arguments.
    pub(super) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Runs it in a folder.
    pub(super) fn within(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Lets it hold a lock, as its standard input, until it has ended or runs in the background: when we are killed
    /// meanwhile, the next run waits for it instead of doing the same beside it.
    pub(super) fn holding(mut self, lock: &File) -> Result<Self, DriverError> {
        let lock = lock.try_clone().map_err(|e| refused(&self.doing, &self.name, &e.to_string(), ""))?;
        self.command.stdin(lock);
        Ok(self)
    }

    /// Runs it to its end; its standard output, or both outputs as the error's reason.
    pub(super) async fn run(mut self) -> Result<String, DriverError> {
        fault::pass("qemu.program", &self.name);
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let child = self.command.spawn().map_err(|e| self.not_started(&e))?;
        fault::pass("qemu.program.started", &self.name);
        let output = child.wait_with_output().await.map_err(|e| self.not_started(&e))?;
        fault::pass("qemu.program.done", &self.name);
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(refused(&self.doing, &self.name, said.trim(), &output.status.to_string()))
    }

    fn not_started(&self, error: &io::Error) -> DriverError {
        if error.kind() != io::ErrorKind::NotFound {
            return refused(&self.doing, &self.name, &error.to_string(), "it was not started");
        }
        let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        DriverError::Unprepared {
            what: format!("`{}` is not installed on this computer", self.name),
            help: install(&release, std::env::consts::OS, &self.name),
        }
    }
}

/// How to install it here.
fn install(os_release: &str, system: &str, program: &str) -> String {
    let like = os_release.lines().filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")));
    let words: Vec<String> =
        like.flat_map(|v| v.trim_matches('"').split(' ').map(str::to_owned).collect::<Vec<_>>()).collect();
    let named = |(family, _): &&(&str, &str)| {
        *family == system || words.iter().any(|w| w.trim_start_matches("open").starts_with(family))
    };
    let command = PACKAGES.iter().find(named).map(|(_, command)| *command);
    match command {
        Some(command) if program.ends_with("aarch64") => {
            format!(
                "install qemu for ARM:\n  {}",
                command
                    .replace("x86_64", "aarch64")
                    .replace("system-x86", "system-arm")
                    .replace("qemu-x86", "qemu-arm")
            )
        }
        Some(command) => format!("install qemu:\n  {command}"),
        None => "install qemu, with its program `qemu-img`, and see that both are found in PATH".to_owned(),
    }
}

/// What a program of qemu said, as an error with a next step.
fn refused(doing: &str, name: &str, said: &str, status: &str) -> DriverError {
    let said_ = if said.is_empty() { status } else { said };
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let help = if has(&["No space left", "Disk quota"]) {
        "make room on the disk that holds the machines, or set MACHINE_QEMU_DIR to a folder on another".to_owned()
    } else if has(&["cannot set up guest memory", "Cannot allocate memory"]) {
        "give the machine less `memory`, or stop others".to_owned()
    } else if has(&["Could not set up host forwarding rule"]) {
        "take another port, or end what listens there:\n  ss -ltnp".to_owned()
    } else if has(&["failed to parse default acl file", "access denied by acl file", "bridge helper failed"]) {
        "allow the bridge: a line `allow NAME` in /etc/qemu/bridge.conf".to_owned()
    } else if has(&["could not configure /dev/net/tun", "could not open /dev/net/tun"]) {
        "make the tap interface for this user first:\n  ip tuntap add dev NAME mode tap user \"$USER\"".to_owned()
    } else if has(&["Failed to get \"write\" lock", "Failed to get shared"]) {
        "another process uses the machine's disk: end it, then run the same command again".to_owned()
    } else {
        format!("correct what `{name}` complains about, then run the same command again")
    };
    let last: Vec<&str> = said_.lines().rev().take(12).collect();
    let last: Vec<&str> = last.into_iter().rev().collect();
    DriverError::Refused { doing: doing.to_owned(), why: format!("`{name}` said: {}", last.join("\n")), help }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_installed_as_the_system_does() {
        for (release, system, want) in [
            ("ID=debian\n", "linux", "apt-get"),
            ("ID=ubuntu\nID_LIKE=debian\n", "linux", "apt-get"),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", "linux", "dnf"),
            ("ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n", "linux", "zypper"),
            ("", "macos", "brew"),
            ("ID=plan9\n", "linux", "in PATH"),
        ] {
            let help = install(release, system, "qemu-system-x86_64");
            assert!(help.contains(want), "{release}: {help}");
        }
        assert!(install("ID=debian\n", "linux", "qemu-system-aarch64").contains("qemu-system-arm qemu-utils"));
    }

    #[test]
    fn what_qemu_says_has_a_next_step() {
        for (said, want) in [
            ("qemu-img: x: Could not resize file: No space left on device", "make room"),
            ("qemu-system-x86_64: cannot set up guest memory 'pc.ram': Cannot allocate memory", "less `memory`"),
            ("qemu: Could not set up host forwarding rule 'tcp:127.0.0.1:22-:22'", "another port"),
            ("access denied by acl file\nqemu: bridge helper failed", "bridge.conf"),
            ("something else", "complains about"),
        ] {
            let error = refused("starting the machine", "qemu", said, "1");
            assert!(error.help().unwrap().contains(want), "{said}");
            assert!(error.to_string().contains(said));
        }
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_says_so() {
        let error = Program::new("qemu-system-none", "x").run().await.unwrap_err();
        assert_eq!(error.to_string(), "`qemu-system-none` is not installed on this computer");
    }
}
