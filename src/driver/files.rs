//! Files on this computer: written whole or not at all, private ones from the first byte.

use super::DriverError;
use crate::fault;
use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

/// Says what was being done to which path.
pub(in crate::driver) fn because(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> DriverError {
    let doing = format!("{doing} {}", path.display());
    move |e| match e.kind() {
        io::ErrorKind::PermissionDenied => DriverError::Unprepared {
            what: format!("{doing}: {e}"),
            help: "run it as a user who may do that, or correct the permissions there".to_owned(),
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

/// Makes a link to a file beside it. What is there already stays as it is.
pub(in crate::driver) fn link(to: &str, path: &Path) -> Result<(), DriverError> {
    match fault::point("driver.file.link", path).and_then(|()| std::os::unix::fs::symlink(to, path)) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(because("linking", path)),
    }
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
pub(in crate::driver) async fn blocking<T: Send + 'static>(
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

/// Makes everything written below `path` durable, before a rename says that it is complete.
pub(in crate::driver) async fn sync(path: &Path) -> Result<(), DriverError> {
    #[cfg(target_os = "linux")]
    let all = |path: &Path| Ok(rustix::fs::syncfs(File::open(path)?)?);
    // Two disks on one file system cannot be told apart.
    #[cfg(not(target_os = "linux"))]
    let all = |_: &Path| {
        rustix::fs::sync();
        Ok(())
    };
    blocking("synchronising", path, all).await
}

/// Removes a folder and all below it. Nothing to do when it is gone.
pub(in crate::driver) async fn remove(path: &Path) -> Result<(), DriverError> {
    blocking("removing", path, remove_once).await
}

/// As [`remove`], at once.
pub(in crate::driver) fn remove_once(path: &Path) -> io::Result<()> {
    match fault::point("driver.file.remove", path).and_then(|()| fs::remove_dir_all(path)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
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
    fn a_link_leads_to_the_file_beside_it_and_replaces_nothing() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("own"), 0o600, b"ours").unwrap();
        for _ in 0..2 {
            link("own", &dir.path().join("alias")).unwrap();
            assert_eq!(read(&dir.path().join("alias")).unwrap().unwrap(), "ours");
        }
        write(&dir.path().join("theirs"), 0o600, b"theirs").unwrap();
        link("own", &dir.path().join("theirs")).unwrap();
        assert_eq!(read(&dir.path().join("theirs")).unwrap().unwrap(), "theirs");
    }

    #[tokio::test]
    async fn removing_what_is_gone_succeeds() {
        let dir = tempfile::tempdir().unwrap();
        remove(&dir.path().join("absent")).await.unwrap();
    }
}
