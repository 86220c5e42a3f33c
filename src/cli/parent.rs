//! The process that called us: which shell it is, where the system can tell.

use super::shell::Shell;

/// Programs that stand between a shell and us and pass on what we print.
const BETWEEN: [&str; 5] = ["docker", "doas", "sudo", "time", "timeout"];

/// The shell that called us. `None`: no shell that is known.
pub(super) fn shell() -> Option<Shell> {
    let mut pid = std::os::unix::process::parent_id();
    loop {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        let name = name.trim_end();
        if !BETWEEN.contains(&name) {
            return Shell::of(name);
        }
        pid = parent(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
    }
}

/// The fourth field of `/proc/PID/stat` (proc(5)); the second is in brackets, and may hold anything.
fn parent(stat: &str) -> Option<u32> {
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_found_whatever_the_name_of_the_process() {
        assert_eq!(parent("12 (a) (b c) ) S 7 12 12 0 -1"), Some(7));
        assert_eq!(parent("12"), None);
        let own = std::fs::read_to_string("/proc/self/stat").unwrap();
        assert_eq!(parent(&own), Some(std::os::unix::process::parent_id()));
    }
}
