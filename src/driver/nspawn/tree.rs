//! What only Linux has of files: folders with things mounted below them, attributes that forbid, files of the kernel.

use crate::{
    driver::{DriverError, files},
    fault,
};
use rustix::{
    fs::{IFlags, ioctl_getflags, ioctl_setflags},
    mount::{UnmountFlags, unmount},
};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Writes to a file of the kernel (below /proc/sys or /sys), which takes one write and no rename.
pub(super) fn put(path: &Path, value: &str) -> io::Result<()> {
    fault::point("nspawn.put", path)?;
    OpenOptions::new().write(true).open(path)?.write_all(value.as_bytes())
}

/// Opens a file to append, private to us.
pub(super) fn append(path: &Path) -> Result<File, DriverError> {
    let open = || OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    fault::point("nspawn.append", path).and_then(|()| open()).map_err(files::because("writing", path))
}

/// Removes a folder and all below it, also what was made immutable. Nothing to do when it is gone.
///
/// What is mounted below it is detached first, or nothing is removed: it may be this computer's own /sys.
pub(super) async fn remove(path: &Path) -> Result<(), DriverError> {
    files::blocking("removing", path, |path| {
        // Mount points are listed without symbolic links.
        let Ok(real) = path.canonicalize() else { return files::remove_once(path) };
        let text = fs::read_to_string("/proc/self/mountinfo")?;
        for point in mounted_below(&text, &real) {
            unmount(&point, UnmountFlags::DETACH)?;
        }
        if !mounted_below(&fs::read_to_string("/proc/self/mountinfo")?, &real).is_empty() {
            return Err(io::Error::other("something is still mounted below it"));
        }
        remove_unmounted(path)
    })
    .await
}

fn remove_unmounted(path: &Path) -> io::Result<()> {
    match files::remove_once(path) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            make_mutable(path)?;
            files::remove_once(path)
        }
        other => other,
    }
}

/// Mount points at and below `path`, innermost first, from /proc/self/mountinfo (proc(5)).
fn mounted_below(mountinfo: &str, path: &Path) -> Vec<PathBuf> {
    let points = mountinfo.lines().filter_map(|line| line.split(' ').nth(4));
    // Blanks are written as \040; our folders hold none, but what is mounted below them may.
    let points = points.map(|p| PathBuf::from(p.replace("\\040", " ").replace("\\134", "\\")));
    let mut below: Vec<PathBuf> = points.filter(|p| p.starts_with(path)).collect();
    below.reverse();
    below
}

/// Takes away the attributes that keep even root from removing (`chattr +i`, `+a`).
fn make_mutable(path: &Path) -> io::Result<()> {
    let kind = fs::symlink_metadata(path)?.file_type();
    // Other kinds of file cannot be opened without consequences, nor can they have the attributes.
    if !kind.is_dir() && !kind.is_file() {
        return Ok(());
    }
    if let Ok(file) = File::open(path)
        && let Ok(flags) = ioctl_getflags(&file)
        && flags.intersects(IFlags::IMMUTABLE | IFlags::APPEND)
    {
        ioctl_setflags(&file, flags - (IFlags::IMMUTABLE | IFlags::APPEND))?;
    }
    if kind.is_dir() {
        for entry in fs::read_dir(path)? {
            make_mutable(&entry?.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_below_a_folder_are_found_and_no_others() {
        let info = "1 0 8:1 / / rw - ext4 /dev/sda rw\n\
                    2 1 0:5 / /b/i/x rw - proc proc rw\n\
                    3 2 0:6 / /b/i/x/a\\040b rw - sysfs sysfs rw\n\
                    4 1 0:7 / /b/i/xy rw - tmpfs tmpfs rw\n";
        let below: Vec<PathBuf> = ["/b/i/x/a b", "/b/i/x"].map(Into::into).into();
        assert_eq!(mounted_below(info, Path::new("/b/i/x")), below);
        assert_eq!(mounted_below(info, Path::new("/b/i/z")), Vec::<PathBuf>::new());
    }

    #[tokio::test]
    async fn removing_what_is_gone_succeeds() {
        let dir = tempfile::tempdir().unwrap();
        remove(&dir.path().join("absent")).await.unwrap();
    }
}
