//! Where copied files land: in a folder beside their place first, so that half a file never has the name of a whole.

use super::CliError;
use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// A copy that is being made.
pub(super) struct Landing {
    stage: TempDir,
    /// The name the copy is to have; `None`: those that the files have.
    name: Option<OsString>,
    /// The folder they belong in.
    folder: PathBuf,
}

impl Landing {
    /// Prepares one for what is to be at `path`: in it if that is a folder. `None` when it can only be written where
    /// it is, such as a device, or when the writer will say what is wrong.
    pub(super) fn beside(path: &Path) -> Option<Self> {
        let (folder, name) = match fs::metadata(path) {
            Ok(about) if about.is_dir() => (path.to_owned(), None),
            Ok(about) if about.is_file() => split(&fs::canonicalize(path).ok()?)?,
            // A link to nowhere is followed by the writer.
            Err(_) if fs::symlink_metadata(path).is_err() && !path.as_os_str().to_string_lossy().ends_with('/') => {
                split(path)?
            }
            Ok(_) | Err(_) => return None,
        };
        let stage = tempfile::Builder::new().prefix(".machine-scp-").tempdir_in(&folder).ok()?;
        Some(Self { stage, name, folder })
    }

    /// Where to write, for the one who does. A path that starts with a dash or has a colon is none to them.
    pub(super) fn word(&self) -> OsString {
        let path = match &self.name {
            Some(name) => self.stage.path().join(name),
            None => self.stage.path().join(""),
        };
        std::path::absolute(&path).unwrap_or(path).into()
    }

    /// Gives everything its name.
    pub(super) fn settle(self) -> Result<(), CliError> {
        for entry in fs::read_dir(self.stage.path()).map_err(|e| failed(self.stage.path(), &e))? {
            let entry = entry.map_err(|e| failed(self.stage.path(), &e))?;
            let place = self.folder.join(self.name.as_ref().unwrap_or(&entry.file_name()));
            place_file(&entry.path(), &place).map_err(|e| failed(&place, &e))?;
        }
        Ok(())
    }
}

/// Replaces what is at `place`: the file itself if it is a link, and with its permissions, as if it were written to.
fn place_file(from: &Path, place: &Path) -> io::Result<()> {
    let place = fs::canonicalize(place).unwrap_or_else(|_| place.to_owned());
    match fs::metadata(&place) {
        Ok(about) if about.is_file() => fs::set_permissions(from, about.permissions())?,
        // Neither a device nor a folder is replaced by a file.
        Ok(about) if !about.is_dir() => {
            let (mut whole, mut to) = (fs::File::open(from)?, fs::OpenOptions::new().write(true).open(&place)?);
            return io::copy(&mut whole, &mut to).map(|_| ());
        }
        Ok(_) | Err(_) => {}
    }
    match fs::rename(from, &place) {
        // A link may lead to another disk.
        Err(e) if e.kind() == io::ErrorKind::CrossesDevices => {
            let file = tempfile::NamedTempFile::new_in(place.parent().unwrap_or(Path::new("/")))?;
            fs::copy(from, file.path())?;
            file.persist(&place)?;
            Ok(())
        }
        other => other,
    }
}

/// Folder and name of a path.
fn split(path: &Path) -> Option<(PathBuf, Option<OsString>)> {
    let name = path.file_name()?.to_owned();
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some((folder.to_owned(), Some(name)))
}

fn failed(path: &Path, error: &io::Error) -> CliError {
    CliError::said(format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "fixtures need no durability")]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn names(dir: &Path) -> Vec<String> {
        let names = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_has_its_name_only_when_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new");
        let landing = Landing::beside(&path).unwrap();
        fs::write(landing.word(), "half").unwrap();
        assert!(!path.exists());
        drop(landing);
        assert!(names(dir.path()).is_empty(), "nothing is left");
        let landing = Landing::beside(&path).unwrap();
        fs::write(landing.word(), "whole").unwrap();
        landing.settle().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole");
        assert_eq!(names(dir.path()), ["new"]);
    }

    #[test]
    fn what_is_replaced_keeps_its_mode_and_links_stay_links() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("file", &link).unwrap();
        let landing = Landing::beside(&link).unwrap();
        fs::write(landing.word(), "new").unwrap();
        landing.settle().unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn into_a_folder_files_keep_their_names() {
        let dir = tempfile::tempdir().unwrap();
        let landing = Landing::beside(dir.path()).unwrap();
        let stage = PathBuf::from(landing.word());
        fs::write(stage.join("a"), "a").unwrap();
        fs::write(stage.join("b"), "b").unwrap();
        landing.settle().unwrap();
        assert_eq!(names(dir.path()), ["a", "b"]);
    }

    #[test]
    fn what_can_only_be_written_where_it_is_is() {
        for path in ["/dev/null", "/nowhere/x", "/tmp/no such folder/"] {
            assert!(Landing::beside(Path::new(path)).is_none(), "{path}");
        }
    }
}
