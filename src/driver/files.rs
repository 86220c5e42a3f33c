//! Files on this computer: written whole or not at all, private ones from the first byte.

use super::DriverError;
use crate::fault;
use rustix::{
    fs::{IFlags, ioctl_getflags, ioctl_setflags},
    mount::{UnmountFlags, unmount},
};
use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Says what was being done to which path.
pub(in crate::driver) fn because(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> DriverError {
    let doing = format!("{doing} {}", path.display());
    move |e| match e.kind() {
        io::ErrorKind::PermissionDenied => DriverError::Unprepared {
            what: format!("{doing}: {e}"),
            help: "run it as a user who may do that; driver `nspawn` must run as root".to_owned(),
        },
        _ => DriverError::Refused {
            doing,
            why: e.to_string(),
            help: "make room or correct the permissions there, then run the same command again".to_owned(),
        },
    }
}

/// How the names of files begin that are being written.
const UNFINISHED: &str = ".new-";

/// Whether a name is that of a file that is being written, or was when the one who wrote it was killed.
pub(in crate::driver) fn is_unfinished(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(UNFINISHED.as_bytes())
}

/// Writes a file: a temporary one beside it, synchronised and renamed.
pub(in crate::driver) fn write(path: &Path, mode: u32, content: &[u8]) -> Result<(), DriverError> {
    let inner = || -> io::Result<()> {
        let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        fault::point("driver.file.create", path)?;
        let mut file = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .permissions(fs::Permissions::from_mode(0o600))
            .tempfile_in(folder)?;
        fault::point("driver.file.write", path)?;
        file.write_all(content)?;
        file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
        file.as_file().sync_all()?;
        fault::point("driver.file.rename", path)?;
        file.persist(path)?;
        fault::point("driver.file.sync-dir", path)?;
        File::open(folder)?.sync_all()
    };
    inner().map_err(because("writing", path))
}

/// Makes a folder and those above it; new ones get `mode`.
pub(in crate::driver) fn folder(path: &Path, mode: u32) -> Result<(), DriverError> {
    use std::os::unix::fs::DirBuilderExt;
    let create_all = || fs::DirBuilder::new().recursive(true).mode(mode).create(path);
    fault::point("driver.file.mkdir", path).and_then(|()| create_all()).map_err(because("making", path))
}

/// Reads a text; `None` when there is no such file.
pub(in crate::driver) fn read(path: &Path) -> Result<Option<String>, DriverError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(because("reading", path)(e)),
    }
}

/// Writes to a file of the kernel (below /proc/sys or /sys), which takes one write and no rename.
pub(in crate::driver) fn put(path: &Path, value: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all(value.as_bytes())
}

/// Opens a file to append, private to us.
pub(in crate::driver) fn append(path: &Path) -> Result<File, DriverError> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(because("writing", path))
}

/// Opens a file and waits until no other process holds it; dropping it gives it free.
pub(in crate::driver) async fn lock(path: &Path, waiting: impl FnOnce()) -> Result<File, DriverError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .read(true)
        .mode(0o600)
        .open(path)
        .map_err(because("locking", path))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(fs::TryLockError::WouldBlock) => waiting(),
        Err(fs::TryLockError::Error(e)) => return Err(because("locking", path)(e)),
    }
    blocking("locking", path, move |_| file.lock().map(|()| file)).await
}

/// Runs what may take long on a thread of its own.
async fn blocking<T: Send + 'static>(
    doing: &str,
    path: &Path,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T, DriverError> {
    let owned = path.to_owned();
    tokio::task::spawn_blocking(move || work(&owned))
        .await
        .unwrap_or_else(|e| Err(io::Error::other(e)))
        .map_err(because(doing, path))
}

/// Removes a folder and all below it, also what was made immutable. Nothing to do when it is gone.
///
/// What is mounted below it is detached first, or nothing is removed: it may be this computer's own /sys.
pub(in crate::driver) async fn remove(path: &Path) -> Result<(), DriverError> {
    blocking("removing", path, |path| {
        // Mount points are listed without symbolic links.
        let Ok(real) = path.canonicalize() else { return remove_once(path) };
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
    match remove_once(path) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            make_mutable(path)?;
            remove_once(path)
        }
        other => other,
    }
}

/// Mount points at and below `path`, innermost first, from /proc/self/mountinfo (proc(5)).
fn mounted_below(mountinfo: &str, path: &Path) -> Vec<PathBuf> {
    let points = mountinfo.lines().filter_map(|line| line.split(' ').nth(4));
    // Blanks are written as \040; our folders hold none, but what somebody mounted below them may.
    let points = points.map(|p| PathBuf::from(p.replace("\\040", " ").replace("\\134", "\\")));
    let mut below: Vec<PathBuf> = points.filter(|p| p.starts_with(path)).collect();
    below.reverse();
    below
}

/// Makes everything written below `path` durable, before a rename says that it is complete.
pub(in crate::driver) async fn sync(path: &Path) -> Result<(), DriverError> {
    blocking("synchronising", path, |path| Ok(rustix::fs::syncfs(File::open(path)?)?)).await
}

fn remove_once(path: &Path) -> io::Result<()> {
    match fault::point("driver.file.remove", path).and_then(|()| fs::remove_dir_all(path)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
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
    fn a_private_file_is_replaced_whole_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        write(&path, 0o600, b"long old content").unwrap();
        write(&path, 0o600, b"new").unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

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
