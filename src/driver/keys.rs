//! Ed25519 keys for SSH: made here, so that a machine is known before it has answered for the first time.

use super::{DriverContext, DriverError, files};
use russh::keys::{
    PrivateKey,
    ssh_key::{LineEnding, private::Ed25519Keypair},
};
use std::path::{Path, PathBuf};

/// What the private key of a login is called in its machine's folder.
const LOGIN: &str = "id_ed25519";

/// What docker-machine called it, and scripts and tutorials still do.
const USUAL: &str = "id_rsa";

/// Path of the private key that is made for logins to a machine.
pub(in crate::driver) fn login_path(cx: &DriverContext<'_>) -> PathBuf {
    cx.dir.join(LOGIN)
}

/// The key for logins to a machine, made when there is none; its public half, with a comment.
///
/// Both halves are also there under docker-machine's names, as links, unless a file of that name exists.
pub(in crate::driver) fn login(cx: &DriverContext<'_>) -> Result<String, DriverError> {
    let public = ensure(&login_path(cx), &format!("machine {}", cx.machine))?;
    for end in ["", ".pub"] {
        files::link(&format!("{LOGIN}{end}"), &cx.dir.join(format!("{USUAL}{end}")))?;
    }
    Ok(public)
}

/// The key in `path`, made when there is none; its public half, as `ssh-ed25519 AAAA… comment`.
///
/// The public half is also kept in `path` with `.pub` appended, as `ssh-keygen` does.
pub(in crate::driver) fn ensure(path: &Path, comment: &str) -> Result<String, DriverError> {
    let refused = |why: String| DriverError::Refused {
        doing: format!("making the SSH key {}", path.display()),
        why,
        help: "remove that file if it is none of yours, then run the same command again".to_owned(),
    };
    let key = if let Some(text) = files::read(path)? {
        PrivateKey::from_openssh(text.as_bytes()).map_err(|e| refused(e.to_string()))?
    } else {
        let mut seed = [0_u8; 32];
        aws_lc_rs::rand::fill(&mut seed).map_err(|e| refused(e.to_string()))?;
        let mut key = PrivateKey::from(Ed25519Keypair::from_seed(&seed));
        key.set_comment(comment);
        let text = key.to_openssh(LineEnding::LF).map_err(|e| refused(e.to_string()))?;
        files::write(path, 0o600, text.as_bytes())?;
        key
    };
    let public = key.public_key().to_openssh().map_err(|e| refused(e.to_string()))?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".pub");
    files::write(Path::new(&beside), 0o644, format!("{public}\n").as_bytes())?;
    Ok(public)
}

/// A public key without its comment, as host keys are recorded.
pub(in crate::driver) fn bare(public: &str) -> String {
    public.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_made_once_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("id_ed25519");
        let first = ensure(&path, "machine web-1").unwrap();
        assert_eq!(ensure(&path, "other").unwrap(), first);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(first.starts_with("ssh-ed25519 ") && first.ends_with(" machine web-1"), "{first}");
        assert_eq!(bare(&first).split(' ').count(), 2);
        assert_ne!(ensure(&dir.path().join("other"), "machine web-1").unwrap(), first);
    }

    #[test]
    fn a_file_that_is_no_key_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("id_ed25519");
        files::write(&path, 0o600, b"precious").unwrap();
        assert!(ensure(&path, "x").is_err());
        assert_eq!(files::read(&path).unwrap().unwrap(), "precious");
    }
}
