//! What this computer must have before anything is made: a VirtualBox that is new enough, and a processor for VMs.

use super::{advice, manage::Manage, options::Options};
use crate::driver::{DriverContext, DriverError, local::variable};
use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// The oldest that is looked after; what is before it is refused from 4.2 down, as docker-machine did.
const GOOD: (u32, u32) = (5, 0);
const LEAST: (u32, u32) = (4, 3);

impl Manage {
    /// The first number of its version.
    pub(super) async fn major(&self) -> Result<u32, DriverError> {
        Ok(self.version().await?.0)
    }

    async fn version(&self) -> Result<(u32, u32), DriverError> {
        let said = self.ask("asking VirtualBox for its version", &["--version"]).await?;
        let line = last(&said);
        parse(line).ok_or_else(|| old(line))
    }
}

/// Where VirtualBox keeps its settings, as it looks for them itself (its manual, "Technical Background"); `None` where
/// no user has a home.
pub(super) fn settings() -> Option<PathBuf> {
    let is_there = |path: &Path| path.is_dir();
    variable("VBOX_USER_HOME")
        .or_else(|| Some(usual(&env::home_dir()?, variable("XDG_CONFIG_HOME"), cfg!(target_os = "macos"), &is_there)))
}

fn usual(home: &Path, config: Option<PathBuf>, is_mac: bool, is_there: &dyn Fn(&Path) -> bool) -> PathBuf {
    if is_mac {
        return home.join("Library/VirtualBox");
    }
    let old = home.join(".VirtualBox");
    if is_there(&old) { old } else { config.unwrap_or_else(|| home.join(".config")).join("VirtualBox") }
}

/// The version in what was printed; what stands before it are warnings.
pub(super) fn last(said: &str) -> &str {
    said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().trim()
}

pub(super) fn parse(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(|n| n.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

fn old(version: &str) -> DriverError {
    DriverError::Unprepared {
        what: format!("VirtualBox {version:?} is too old: 5 or newer is needed"),
        help: "install a newer one from https://www.virtualbox.org/wiki/Downloads".to_owned(),
    }
}

/// Looks at this computer.
pub(super) async fn check(manage: &Manage, cx: &DriverContext<'_>, options: &Options) -> Result<(), DriverError> {
    let version = manage.version().await?;
    if version < LEAST {
        return Err(old(&format!("{}.{}", version.0, version.1)));
    }
    if version < GOOD {
        (cx.progress)(&format!("warning: VirtualBox {}.{} is old: 5 or newer is better", version.0, version.1));
    }
    if !options.no_vtx_check && cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        // Where it cannot be read, VirtualBox itself will say.
        let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        if !processors.is_empty() && !can_virtualize(&processors) {
            return Err(DriverError::Unprepared {
                what: "this computer's processor offers no VT-x or AMD-V".to_owned(),
                help: advice::on("VERR_VMX_NO_VMX"),
            });
        }
    }
    Ok(())
}

/// Whether processors can run VMs (`/proc/cpuinfo`).
fn can_virtualize(cpuinfo: &str) -> bool {
    let flags = cpuinfo.lines().filter_map(|line| line.strip_prefix("flags")).flat_map(str::split_whitespace);
    flags.into_iter().any(|flag| flag == "vmx" || flag == "svm")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `VBoxManage` of 7.2 makes its folder there; with an older one's folder in the home it takes that.
    #[test]
    fn settings_are_where_virtualbox_keeps_them() {
        let (home, none) = (Path::new("/home/u"), |_: &Path| false);
        assert_eq!(usual(home, None, false, &none), Path::new("/home/u/.config/VirtualBox"));
        assert_eq!(usual(home, Some("/c".into()), false, &none), Path::new("/c/VirtualBox"));
        assert_eq!(usual(home, None, false, &|path| path.ends_with(".VirtualBox")), Path::new("/home/u/.VirtualBox"));
        assert_eq!(usual(home, None, true, &none), Path::new("/home/u/Library/VirtualBox"));
    }

    #[test]
    fn versions_of_all_kinds_are_read() {
        assert_eq!(parse("7.2.22_Debianr175245"), Some((7, 2)));
        assert_eq!(parse("6.1.0r0"), Some((6, 1)));
        assert_eq!(parse("5.2.44r139111"), Some((5, 2)));
        assert_eq!(parse("VirtualBox"), None);
        assert!(parse("4.2.8r1").unwrap() < LEAST);
    }

    #[test]
    fn processors_say_whether_they_run_vms() {
        assert!(can_virtualize("processor : 0\nflags\t\t: fpu vmx sse\n"));
        assert!(can_virtualize("flags: svm\n"));
        assert!(!can_virtualize("flags: fpu sse vmx_not\nmodel: vmx\n"));
    }
}
