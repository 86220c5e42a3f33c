//! Which folder of which computer a driver makes machines in.

use crate::digest::sha256_hex_of;
use std::{
    fs,
    path::{self, Path, PathBuf},
};

/// What a system is known by for as long as it is installed (machine-id(5)).
const ID: &str = "/etc/machine-id";

/// A folder on this computer, as a place: `folder /var/lib/x on computer 0123456789ab`. Folders of one path on two computers
/// are two places, as with a store in a home directory that both mount.
pub(in crate::driver) fn folder(path: &Path) -> String {
    let id = fs::read_to_string(ID).ok();
    words(&real(path), id.as_deref())
}

fn words(path: &Path, id: Option<&str>) -> String {
    let path = path.display();
    match id.map(str::trim).filter(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())) {
        // Others may not be told the id itself.
        Some(id) => {
            let digest = sha256_hex_of(&[b"place of a machine", &[0], id.as_bytes()]);
            format!("folder {path} on computer {}", &digest[..12])
        }
        // Not Linux, or a container. Names of computers change with the network they are in, so none is taken.
        None => format!("folder {path}"),
    }
}

/// Without links, as far as it is there: it is made with the first machine, and is the same place before.
fn real(path: &Path) -> PathBuf {
    let whole = path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for above in whole.ancestors() {
        if let (Ok(real), Ok(rest)) = (fs::canonicalize(above), whole.strip_prefix(above)) {
            // Joining nothing would add a slash.
            return if rest.as_os_str().is_empty() { real } else { real.join(rest) };
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_worded_the_same_in_every_version() {
        let path = Path::new("/var/lib/machine/nspawn");
        let id = "0123456789abcdef0123456789abcdef";
        let known = words(path, Some(&format!("{id}\n")));
        assert_eq!(known, format!("folder /var/lib/machine/nspawn on computer {DIGEST}"));
        assert!(!known.contains(&id[..12]));
        for none in [None, Some(""), Some("uninitialized\n")] {
            assert_eq!(words(path, none), "folder /var/lib/machine/nspawn");
        }
    }

    /// As it stands in records: another one would make another place of every folder.
    const DIGEST: &str = "6252159b3afa";

    #[test]
    fn a_folder_is_the_same_before_it_is_made_and_by_whichever_way() {
        let dir = tempfile::tempdir().unwrap();
        let whole = dir.path().join("base/deep");
        let before = folder(&whole);
        crate::driver::files::folder(&whole, 0o700).unwrap();
        std::os::unix::fs::symlink(dir.path().join("base"), dir.path().join("link")).unwrap();
        for way in [whole, dir.path().join("link/deep"), dir.path().join("./base//deep/")] {
            assert_eq!(folder(&way), before);
        }
        assert_ne!(folder(&dir.path().join("other")), before);
    }
}
