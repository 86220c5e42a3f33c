//! UEFI, where distributions and qemu itself keep it.

use super::{command::Arch, place::Folder};
use crate::driver::{DriverError, files};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Code, and settings as they are at first.
const KNOWN: [(Arch, &str, &str); 9] = [
    (Arch::X86_64, "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    (Arch::X86_64, "/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    (Arch::X86_64, "/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    (Arch::X86_64, "/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    (Arch::X86_64, "/opt/homebrew/share/qemu/edk2-x86_64-code.fd", "/opt/homebrew/share/qemu/edk2-i386-vars.fd"),
    (Arch::X86_64, "/usr/local/share/qemu/edk2-x86_64-code.fd", "/usr/local/share/qemu/edk2-i386-vars.fd"),
    (Arch::Aarch64, "/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),
    (Arch::Aarch64, "/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw", "/usr/share/edk2/aarch64/vars-template-pflash.raw"),
    (Arch::Aarch64, "/opt/homebrew/share/qemu/edk2-aarch64-code.fd", "/opt/homebrew/share/qemu/edk2-arm-vars.fd"),
];

/// The file of the firmware's code, and one with its first settings; `None`: the machine starts by a BIOS.
pub(super) fn find(wanted: Option<&str>, arch: Arch, kernel: bool) -> Result<Option<(PathBuf, PathBuf)>, DriverError> {
    match (wanted, arch) {
        (Some("bios"), _) | (None, Arch::X86_64) => Ok(None),
        // A kernel that is given needs no firmware to find it.
        (None, Arch::Aarch64) if kernel => Ok(None),
        (Some("uefi") | None, _) => {
            let there = KNOWN
                .iter()
                .find(|(of, code, vars)| *of == arch && Path::new(code).is_file() && Path::new(vars).is_file());
            let there = there.map(|(_, code, vars)| Some((PathBuf::from(code), PathBuf::from(vars))));
            there.ok_or_else(|| DriverError::Unprepared {
                what: format!("no UEFI for {} was found on this computer", arch.name()),
                help: match arch {
                    Arch::X86_64 => "install it:\n  apt-get install ovmf",
                    Arch::Aarch64 => "install it:\n  apt-get install qemu-efi-aarch64",
                }
                .to_owned(),
            })
        }
        (Some(path), _) => {
            let (code, vars) =
                (PathBuf::from(path), PathBuf::from(path.replace("CODE", "VARS").replace("code", "vars")));
            if code.is_file() && vars.is_file() && code != vars {
                return Ok(Some((code, vars)));
            }
            Err(DriverError::Refused {
                doing: "looking for the firmware".to_owned(),
                why: format!("{} and {} are not both there", code.display(), vars.display()),
                help: "give `uefi`, `bios`, or the full path of a file with CODE in its name beside one with VARS"
                    .to_owned(),
            })
        }
    }
}

/// Gives a machine settings of its own, once.
pub(super) fn settle(folder: &Folder, first: &Path) -> Result<(), DriverError> {
    if folder.variables().exists() {
        return Ok(());
    }
    let content = fs::read(first).map_err(files::because("reading", first))?;
    files::write(&folder.variables(), 0o600, &content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pc_has_a_bios_unless_told_otherwise_and_a_pair_of_files_is_taken() {
        assert_eq!(find(None, Arch::X86_64, false).unwrap(), None);
        assert_eq!(find(Some("bios"), Arch::Aarch64, false).unwrap(), None);
        assert_eq!(find(None, Arch::Aarch64, true).unwrap(), None);
        let dir = tempfile::tempdir().unwrap();
        let (code, vars) = (dir.path().join("MY_CODE.fd"), dir.path().join("MY_VARS.fd"));
        assert!(find(code.to_str(), Arch::X86_64, false).unwrap_err().to_string().contains("not both there"));
        files::write(&code, 0o600, b"code").unwrap();
        files::write(&vars, 0o600, b"vars").unwrap();
        assert_eq!(find(code.to_str(), Arch::X86_64, false).unwrap(), Some((code, vars.clone())));
        let folder = Folder::at("x", dir.path());
        settle(&folder, &vars).unwrap();
        files::write(&vars, 0o600, b"newer").unwrap();
        settle(&folder, &vars).unwrap();
        assert_eq!(files::read(&folder.variables()).unwrap().unwrap(), "vars");
    }
}
