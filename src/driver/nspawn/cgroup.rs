//! The control groups of a machine: they know all its processes, however they were started, and limit them.
//!
//! The group in the unified hierarchy (version 2) is what says whether a machine runs; its name is ours
//! alone. Where controllers are still in hierarchies of version 1, there are groups of the same name.

use super::{files, tree};
use crate::driver::event;
use crate::{driver::DriverError, fault};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::io::Interest;

/// Where control groups are mounted on this computer.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Hierarchies {
    unified: Option<PathBuf>,
    memory: Option<PathBuf>,
    cpu: Option<PathBuf>,
    /// All, these included: `systemd-nspawn` makes groups in those it knows.
    all: Vec<PathBuf>,
}

impl Hierarchies {
    /// From /proc/self/mountinfo (proc(5)): mount point in field 5; type and options after ` - `.
    fn parse(mountinfo: &str) -> Self {
        let mut found = Self::default();
        for line in mountinfo.lines() {
            let Some((left, right)) = line.split_once(" - ") else { continue };
            let (Some(point), mut right) = (left.split(' ').nth(4), right.split(' ')) else { continue };
            let (kind, options) = (right.next(), right.nth(1).unwrap_or_default());
            let point = PathBuf::from(point);
            match kind {
                Some("cgroup2") if found.unified.is_none() => found.unified = Some(point.clone()),
                Some("cgroup") => {
                    for option in options.split(',') {
                        match option {
                            "memory" => found.memory = Some(point.clone()),
                            "cpu" => found.cpu = Some(point.clone()),
                            _ => {}
                        }
                    }
                }
                _ => continue,
            }
            found.all.push(point);
        }
        found
    }
}

/// The control groups of one machine.
pub(super) struct Cgroup {
    unified: PathBuf,
    memory: Option<PathBuf>,
    cpu: Option<PathBuf>,
    all: Vec<PathBuf>,
    machines: PathBuf,
}

impl Cgroup {
    /// Those of the machine with this tag, made or not.
    pub(super) fn of(tag: &str) -> Result<Self, DriverError> {
        let text = files::read(Path::new("/proc/self/mountinfo"))?.unwrap_or_default();
        let Hierarchies { unified, memory, cpu, all } = Hierarchies::parse(&text);
        let unified = unified.ok_or_else(|| DriverError::Unprepared {
            what: "control groups of version 2 are not mounted on this computer".to_owned(),
            help: "mount them:\n  mount -t cgroup2 none /sys/fs/cgroup/unified".to_owned(),
        })?;
        let name = format!("machine-{tag}");
        Ok(Self {
            machines: unified.clone(),
            unified: unified.join(&name),
            memory: memory.map(|p| p.join(&name)),
            cpu: cpu.map(|p| p.join(&name)),
            all: all.into_iter().map(|p| p.join(&name)).collect(),
        })
    }

    /// How many machines of this driver run on this computer, whatever their base folder.
    pub(super) fn count(&self) -> usize {
        let entries = fs::read_dir(&self.machines).into_iter().flatten().flatten();
        entries.filter(|e| e.file_name().to_string_lossy().starts_with("machine-m")).count()
    }

    /// Makes the groups: `keep` below is for the process that keeps the machine, which itself is in `run`.
    pub(super) fn make(&self) -> Result<(), DriverError> {
        for group in self.limiting().map(PathBuf::as_path).chain([self.unified(), &self.unified.join("keep")]) {
            files::folder(group, 0o755)?;
        }
        for group in [&self.machines, &self.unified] {
            for controller in ["cpuset", "cpu", "io", "memory", "pids"] {
                // Refused where the controller is of version 1 or not ours to give: `limit` finds out.
                let _ = tree::put(&group.join("cgroup.subtree_control"), &format!("+{controller}"));
            }
        }
        Ok(())
    }

    /// The group in the unified hierarchy.
    pub(super) fn unified(&self) -> &Path {
        &self.unified
    }

    /// Groups of version 1 that limit the machine; its first process must join each.
    pub(super) fn limiting(&self) -> impl Iterator<Item = &PathBuf> {
        // Often the same: both controllers in one hierarchy.
        let cpu = self.cpu.as_ref().filter(|cpu| Some(*cpu) != self.memory.as_ref());
        self.memory.iter().chain(cpu)
    }

    /// Limits memory in bytes and processors; `None` is without limit. What this kernel cannot do is returned.
    pub(super) fn limit(&self, memory: Option<u64>, cpus: Option<u64>) -> Vec<&'static str> {
        const PERIOD_US: u64 = 100_000;
        let quota = cpus.map(|n| n.saturating_mul(PERIOD_US).to_string());
        let bytes = memory.map(|b| b.to_string());
        let memory_done = if let Some(group) = &self.memory {
            tree::put(&group.join("memory.limit_in_bytes"), bytes.as_deref().unwrap_or("-1"))
        } else {
            tree::put(&self.unified.join("memory.max"), bytes.as_deref().unwrap_or("max"))
        };
        let cpus_done = if let Some(group) = &self.cpu {
            tree::put(&group.join("cpu.cfs_quota_us"), quota.as_deref().unwrap_or("-1"))
        } else {
            let quota = format!("{} {PERIOD_US}", quota.as_deref().unwrap_or("max"));
            tree::put(&self.unified.join("cpu.max"), &quota)
        };
        let mut cannot = Vec::new();
        if memory.is_some() && memory_done.is_err() {
            cannot.push("memory");
        }
        if cpus.is_some() && cpus_done.is_err() {
            cannot.push("cpus");
        }
        cannot
    }

    /// Processes that run the machine, not those within it. `systemd-nspawn` moves itself down to `supervisor`.
    pub(super) fn supervisors(&self) -> io::Result<Vec<i32>> {
        let found = ["run", "run/supervisor"].map(|below| members(&self.unified.join(below)));
        Ok(found.into_iter().collect::<io::Result<Vec<_>>>()?.concat())
    }

    /// Whether any process is left; one that cannot be looked at may have some.
    fn populated(&self) -> bool {
        let events = there(fs::read_to_string(self.unified.join("cgroup.events")));
        events.map_or(true, |events| events.is_some_and(|text| text.contains("populated 1")))
    }

    /// Kills every process, whatever it is doing.
    pub(super) fn kill(&self) -> io::Result<()> {
        match tree::put(&self.unified.join("cgroup.kill"), "1") {
            Err(e) if e.kind() == io::ErrorKind::NotFound && self.unified.exists() => {
                // Linux before 5.14: all known now; with the first process of the machine the others go.
                for pid in all_members(&self.unified).into_iter().filter_map(Pid::from_raw) {
                    let _ = kill_process(pid, Signal::KILL);
                }
                Ok(())
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Waits until no process is left; whether that came true within `limit`.
    pub(super) async fn emptied(&self, limit: Duration) -> bool {
        let wait = async {
            let file = fs::File::open(self.unified.join("cgroup.events"))?;
            // The kernel reports a change of this file as urgent data (cgroups(7)).
            let events = event::watch(file, Interest::PRIORITY)?;
            while self.populated() {
                events.ready(Interest::PRIORITY).await?.clear_ready();
            }
            io::Result::Ok(())
        };
        // A group that is not there cannot be opened, and is empty.
        let _ = tokio::time::timeout(limit, wait).await;
        !self.populated()
    }

    /// Removes the groups, which have no process any more, in every hierarchy.
    pub(super) fn remove(&self) -> Result<(), DriverError> {
        self.all.iter().try_for_each(|group| remove(group).map_err(files::because("removing", group)))
    }
}

fn members(group: &Path) -> io::Result<Vec<i32>> {
    let text = there(fs::read_to_string(group.join("cgroup.procs")))?.unwrap_or_default();
    Ok(text.lines().filter_map(|l| l.parse().ok()).collect())
}

/// What was read of a group; `None` when the group is not there, or goes in this moment.
fn there(read: io::Result<String>) -> io::Result<Option<String>> {
    match read {
        Ok(text) => Ok(Some(text)),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) if e.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) => Ok(None),
        Err(e) => Err(e),
    }
}

fn below(group: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()).collect()
}

fn all_members(group: &Path) -> Vec<i32> {
    // Whether any is left is looked at afterwards.
    let mut pids = members(group).unwrap_or_default();
    pids.extend(below(group).iter().flat_map(|g| all_members(g)));
    pids
}

fn remove(group: &Path) -> io::Result<()> {
    below(group).iter().try_for_each(|g| remove(g))?;
    match fault::point("nspawn.cgroup", group).and_then(|()| fs::remove_dir(group)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_control_groups_are_found_where_they_are_mounted() {
        let hybrid = "\
            30 29 0:26 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
            31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
            32 30 0:28 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n\
            33 30 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
            34 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let found = Hierarchies::parse(hybrid);
        assert_eq!(found.unified, Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(found.memory, Some("/sys/fs/cgroup/memory".into()));
        assert_eq!(found.cpu, Some("/sys/fs/cgroup/cpu,cpuacct".into()));
        assert_eq!(found.all.len(), 4);

        let unified = Hierarchies::parse("31 23 0:27 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n");
        assert_eq!((unified.unified, unified.memory, unified.cpu), (Some("/sys/fs/cgroup".into()), None, None));
        assert_eq!(Hierarchies::parse("garbage\n\n"), Hierarchies::default());
    }
}
