//! What this computer must have before a machine is made on it, and what of it we may set ourselves.

use super::{cgroup::Cgroup, files, place::Place, program, tree};
use crate::driver::DriverError;
use std::path::Path;

/// `f_type` of an overlay (`OVERLAYFS_SUPER_MAGIC`, linux/magic.h).
const OVERLAY: u64 = 0x794c_7630;

/// Finds what is missing, before anything is begun.
pub(super) async fn check(place: &Place) -> Result<(), DriverError> {
    let unprepared = |what: String, help: &str| Err(DriverError::Unprepared { what, help: help.to_owned() });
    if !rustix::process::geteuid().is_root() {
        return unprepared(
            "driver `nspawn` makes machines on this computer and must run as root".to_owned(),
            "run the same command as root, for example with sudo",
        );
    }
    let missing: Vec<&str> = program::NEEDED.into_iter().filter(|n| program::search(n).is_none()).collect();
    if !missing.is_empty() {
        return unprepared(format!("this computer lacks {}", missing.join(", ")), program::INSTALL);
    }
    // Where the kernel's options for an overlay end is told by these characters.
    for path in [&place.base, &place.images] {
        if !path.is_absolute() || path.to_string_lossy().contains([',', ':', '\\', '"', ' ', '\n']) {
            return unprepared(
                format!("the folder {} is not usable for machines", path.display()),
                "set MACHINE_NSPAWN_DIR and MACHINE_NSPAWN_IMAGES to full paths without blanks, commas, colons and quotes",
            );
        }
    }
    if !has_overlay() {
        // Being a module, it may only have to be loaded; the list says whether that helped.
        if program::search("modprobe").is_some() {
            let _ = program::Program::new("modprobe", "loading overlay").args(["overlay"]).holds().await;
        }
        if !has_overlay() {
            return unprepared(
                "this computer's kernel has no overlay file system".to_owned(),
                "use a kernel with CONFIG_OVERLAY_FS",
            );
        }
    }
    files::folder(&place.base, 0o700)?;
    let kind = rustix::fs::statfs(&place.base).map_err(|e| files::because("looking at", &place.base)(e.into()))?.f_type;
    if u64::try_from(kind) == Ok(OVERLAY) {
        return unprepared(
            format!("{} is on an overlay, and an overlay cannot be written over another", place.base.display()),
            "set MACHINE_NSPAWN_DIR to a folder on a disk, or mount a volume there",
        );
    }
    Cgroup::of("").map(drop)
}

fn has_overlay() -> bool {
    let list = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    list.split_whitespace().any(|word| word == "overlay")
}

/// A limit of the kernel that all machines on this computer share.
struct Limit {
    /// As sysctl(8) names it.
    name: &'static str,
    /// What one machine with an engine takes at most, by experience.
    each: u64,
    /// What this computer itself may need.
    base: u64,
    /// What it is raised to: enough for hundreds.
    enough: u64,
}

/// At Linux's own values about ten machines boot, and the rest hang without a word.
const LIMITS: [Limit; 3] = [
    Limit { name: "fs.inotify.max_user_instances", each: 24, base: 64, enough: 8192 },
    Limit { name: "fs.inotify.max_user_watches", each: 8192, base: 8192, enough: 1_048_576 },
    Limit { name: "kernel.keys.maxkeys", each: 40, base: 40, enough: 20_000 },
];

impl Limit {
    /// Whether `now` is not enough for so many machines.
    fn is_low(&self, now: u64, machines: u64) -> bool {
        now < self.enough && now < self.base + self.each.saturating_mul(machines)
    }
}

/// Raises limits that are too low for one machine more than now run.
pub(super) fn raise_limits(progress: &(dyn Fn(&str) + Send + Sync)) -> Result<(), DriverError> {
    let machines = u64::try_from(Cgroup::of("")?.count()).unwrap_or(u64::MAX).saturating_add(1);
    for limit in LIMITS {
        let path = Path::new("/proc/sys").join(limit.name.replace('.', "/"));
        let Some(now) = files::read(&path)?.and_then(|text| text.trim().parse().ok()) else { continue };
        if !limit.is_low(now, machines) {
            continue;
        }
        tree::put(&path, &limit.enough.to_string()).map_err(|e| DriverError::Unprepared {
            what: format!("`{}` is {now}, too low for {machines} machines, and cannot be raised: {e}", limit.name),
            help: format!("raise it:\n  sysctl {}={}", limit.name, limit.enough),
        })?;
        progress(&format!("raised {} from {now} to {}, for {machines} machines", limit.name, limit.enough));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_raised_before_machines_hang_and_not_sooner() {
        let [instances, ..] = LIMITS;
        let case =
            |now: u64, machines: u64, want: bool| assert_eq!(instances.is_low(now, machines), want, "{now} {machines}");
        case(128, 1, false);
        case(128, 3, true);
        case(8192, 1000, false);
        case(1024, 20, false);
    }

    #[test]
    fn what_a_limit_is_raised_to_serves_a_hundred_machines() {
        for limit in LIMITS {
            let need = limit.base + 100 * limit.each;
            assert!(limit.enough >= need, "{} needs {need}", limit.name);
        }
    }
}
