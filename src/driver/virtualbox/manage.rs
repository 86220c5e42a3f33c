//! `VBoxManage`, VirtualBox's own program: where it is, how it is run, and how it fails.

use super::advice;
use crate::{driver::DriverError, fault};
use std::{
    env,
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::process::Command;

/// What it says of VMs for a moment after other calls; the same call succeeds then.
const NOT_READY: &str = "The object is not ready";
/// What it says while the last session of a VM is being closed, or its settings are open.
const LOCKED: [&str; 2] = ["already locked", "being unlocked"];
const PAUSE: Duration = Duration::from_millis(100);
const TRIES: u32 = 5;
const LOCKED_TRIES: u32 = 50;

/// The program.
pub(super) struct Manage {
    program: PathBuf,
}

/// How a call ended badly.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) doing: String,
    pub(super) said: String,
}

impl Failure {
    /// Whether that is what the program said.
    pub(super) fn says(&self, text: &str) -> bool {
        self.said.contains(text)
    }

    /// Whether there is no such VM (6 and 7 name it by UUID in another way than by name).
    pub(super) fn is_absent(&self) -> bool {
        self.says("Could not find a registered machine")
    }

    /// Whether the files of the VM cannot be read: VirtualBox knows nothing but its UUID.
    pub(super) fn is_inaccessible(&self) -> bool {
        self.says("The object functionality is limited")
    }
}

impl From<Failure> for DriverError {
    fn from(failure: Failure) -> Self {
        let Failure { doing, said } = failure;
        // The service behind the program died during the call.
        if ["0x800706be", "0x800706ba", "NS_ERROR_CALL_FAILED"].iter().any(|code| said.contains(code)) {
            return Self::Lost { doing, why: lines(&said) };
        }
        Self::Refused { doing, why: lines(&said), help: advice::on(&said) }
    }
}

impl Manage {
    /// Where it is.
    ///
    /// # Errors
    /// When it is nowhere.
    pub(super) fn find() -> Result<Self, DriverError> {
        let places = places(env::consts::OS, |name| env::var_os(name));
        let program = places.into_iter().find(|place| place.is_file()).ok_or_else(|| DriverError::Unprepared {
            what: "VBoxManage not found: VirtualBox is not installed, or its folder is not in the path".to_owned(),
            help: "install VirtualBox from https://www.virtualbox.org/wiki/Downloads, or choose another driver: \
                   `machine drivers` lists them"
                .to_owned(),
        })?;
        Ok(Self { program })
    }

    /// Asks for something; what it printed.
    pub(super) async fn ask<S: AsRef<OsStr>>(&self, doing: &str, args: &[S]) -> Result<String, Failure> {
        let mut tries = 0;
        loop {
            tries += 1;
            let failure = match self.once(doing, args).await {
                Ok(text) => return Ok(text),
                Err(failure) => failure,
            };
            let locked = LOCKED.iter().any(|text| failure.says(text));
            let most = if locked { LOCKED_TRIES } else { TRIES };
            if tries >= most || !(locked || failure.says(NOT_READY)) {
                return Err(failure);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Lets it change something; what it printed.
    pub(super) async fn run<S: AsRef<OsStr>>(&self, doing: &str, args: &[S]) -> Result<String, Failure> {
        let about = args.first().map_or_else(OsString::new, |arg| arg.as_ref().to_owned());
        let point =
            |name| fault::point(name, &about).map_err(|e| Failure { doing: doing.to_owned(), said: e.to_string() });
        point("virtualbox.run")?;
        let said = self.ask(doing, args).await?;
        point("virtualbox.run.done")?;
        Ok(said)
    }

    #[expect(clippy::disallowed_methods, reason = "the one program of this driver is run here")]
    async fn once<S: AsRef<OsStr>>(&self, doing: &str, args: &[S]) -> Result<String, Failure> {
        let failure = |said: String| Failure { doing: doing.to_owned(), said };
        let mut command = Command::new(&self.program);
        // Its words are read here, so they must be English; what it starts outlives us by itself.
        command.args(args).env("LC_ALL", "C").stdin(Stdio::null()).kill_on_drop(true);
        let output = command.output().await.map_err(|e| failure(e.to_string()))?;
        let (said, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        // It ends well at times although it failed.
        if output.status.success() && !complaints.contains("error:") {
            return Ok(without_warning(&said));
        }
        let all = if complaints.trim().is_empty() { without_warning(&said) } else { complaints.into_owned() };
        Err(failure(if all.trim().is_empty() { format!("`VBoxManage` ended with {}", output.status) } else { all }))
    }
}

/// Where the program may be, best first.
fn places(os: &str, var: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let name = if os == "windows" { "VBoxManage.exe" } else { "VBoxManage" };
    let mut folders: Vec<PathBuf> = Vec::new();
    if os == "windows" {
        folders.extend(["VBOX_INSTALL_PATH", "VBOX_MSI_INSTALL_PATH"].iter().filter_map(|v| var(v)).map(PathBuf::from));
        folders.push(PathBuf::from(r"C:\Program Files\Oracle\VirtualBox"));
    }
    folders.extend(var("PATH").iter().flat_map(env::split_paths));
    match os {
        // Where its installer puts it, which the PATH of a service or of cron lacks.
        "macos" => folders.extend(["/usr/local/bin", "/Applications/VirtualBox.app/Contents/MacOS"].map(PathBuf::from)),
        "windows" => {}
        _ => folders.extend(["/usr/bin", "/usr/local/bin"].map(PathBuf::from)),
    }
    folders.iter().filter(|folder| **folder != Path::new("")).map(|folder| folder.join(name)).collect()
}

/// What was printed, without what Debian's start script prints before it where the kernel module is missing.
pub(super) fn without_warning(text: &str) -> String {
    let Some(at) = text.find("WARNING: The ") else { return text.to_owned() };
    let end = "until this problem is fixed.";
    let Some(length) = text[at..].find(end) else { return text.to_owned() };
    let rest = text[at + length + end.len()..].trim_start_matches(['\r', '\n']);
    format!("{}{rest}", &text[..at])
}

/// What a person needs of it: without the program's name, and where in its source it happened.
pub(super) fn lines(said: &str) -> String {
    let errors = said.lines().filter_map(|line| line.split_once("error: ")).map(|(_, text)| text.trim());
    let plain: Vec<&str> =
        errors.filter(|text| !["Details: ", "Context: "].iter().any(|head| text.starts_with(head))).collect();
    if plain.is_empty() { said.trim().to_owned() } else { plain.join("; ") }
}

/// Why a call could not be made at all.
pub(super) fn io(doing: &str, error: &io::Error) -> DriverError {
    DriverError::Refused {
        doing: doing.to_owned(),
        why: error.to_string(),
        help: "make room or correct the permissions there, then run the same command again".to_owned(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A program in `dir` that runs a script of the shell, and what it was called with.
    #[expect(clippy::disallowed_methods, reason = "a program for the time of a test")]
    pub(in crate::driver::virtualbox) fn played(dir: &Path, script: &str) -> (Manage, impl Fn() -> Vec<String>) {
        use std::{fs, os::unix::fs::PermissionsExt};
        let (program, calls) = (dir.join("VBoxManage"), dir.join("calls"));
        fs::write(&program, format!("#!/bin/sh\necho \"$*\" >> {}\n{script}\n", calls.display())).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let read = move || fs::read_to_string(&calls).unwrap_or_default().lines().map(str::to_owned).collect();
        (Manage { program }, read)
    }

    const WARNED: &str = "WARNING: The character device /dev/vboxdrv does not exist.\n\t Please install the virtualbox-dkms \
                          package and the appropriate\n\t headers, most likely linux-headers-amd64.\n\n\t You will not be able \
                          to start VMs until this problem is fixed.\n7.2.22_Debianr175245\n";

    #[test]
    fn a_warning_before_the_answer_is_no_part_of_it() {
        assert_eq!(without_warning(WARNED), "7.2.22_Debianr175245\n");
        assert_eq!(without_warning("7.2.22\n"), "7.2.22\n");
    }

    #[test]
    fn errors_are_what_happened_and_not_where_in_the_source() {
        let said = "VBoxManage: error: Storage controller named 'SATA' already exists\n\
                    VBoxManage: error: Details: code VBOX_E_OBJECT_IN_USE (0x80bb000c), component SessionMachine\n\
                    VBoxManage: error: Context: \"AddStorageController(…)\" at line 1088 of file X.cpp\n";
        assert_eq!(lines(said), "Storage controller named 'SATA' already exists");
        assert_eq!(lines("VBoxManage.exe: error: a\r\nVBoxManage.exe: error: b\r\n"), "a; b");
        assert_eq!(lines("Segmentation fault\n"), "Segmentation fault");
    }

    #[test]
    fn each_system_has_its_places() {
        let var = |name: &str| match name {
            "PATH" => Some(OsString::from("/a")),
            "VBOX_MSI_INSTALL_PATH" => Some(OsString::from("/msi")),
            _ => None,
        };
        let first = |os: &str| places(os, var).first().cloned().unwrap();
        assert_eq!(first("linux"), Path::new("/a/VBoxManage"));
        assert_eq!(first("windows"), Path::new("/msi/VBoxManage.exe"));
        assert!(places("macos", var).iter().any(|p| p.starts_with("/Applications")));
    }

    #[test]
    fn a_service_that_died_is_a_lost_answer_and_anything_else_a_refusal() {
        let failure = |said: &str| DriverError::from(Failure { doing: "x".to_owned(), said: said.to_owned() });
        assert!(failure("VBoxManage: error: Code NS_ERROR_CALL_FAILED (0x800706be)").is_transient());
        assert!(!failure("VBoxManage: error: A NAT rule of this name already exists").is_transient());
    }
}
