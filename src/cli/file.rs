//! Files of the user that a command writes: all of it, or none.

use super::CliError;
use crate::fault;
use std::{fs, io, io::Write as _, path::Path};

/// Replaces a file in one go; its permissions stay as they are.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<(), CliError> {
    written(path, content).map_err(|e| CliError::Said {
        what: format!("cannot write {}: {e}", path.display()),
        help: Some("check that its folder is there and may be written".to_owned()),
    })
}

fn written(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().permissions(mode(path)).tempfile_in(folder)?;
    fault::point("file.write", path)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    fault::point("file.rename", path)?;
    file.persist(path)?;
    Ok(())
}

/// The permissions of the file that is there, or those of any new file of a user.
fn mode(path: &Path) -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).map_or_else(|_| fs::Permissions::from_mode(0o644), |m| m.permissions())
}
