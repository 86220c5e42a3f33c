//! Which accelerator really works here. `/dev/kvm` being there is not enough: below other virtual machines it may start
//! guests and then not run them. So a guest of a few instructions tells, once for each start of this computer.

use super::{
    command::{Accelerator, Arch},
    place::Place,
    program::Program,
};
use crate::{
    digest::sha256_hex_of,
    driver::{DriverError, files},
    fault,
};
use serde::{Deserialize, Serialize};
use std::{fs, io, path::Path, time::Duration};
use tokio::time::timeout;

/// How long the guest of a few instructions may take; one that works needs a second.
const PROBE: Duration = Duration::from_secs(20);

/// A boot sector: makes page tables, enters long mode, asks `cpuid`, uses the stack a hundred thousand times, and ends
/// qemu through its exit device. What does that runs operating systems, unless proven otherwise.
const GUEST: [u8; 166] = [
    // cli; zero ds, es, ss; zero 0x1000 to 0x4000
    0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0xbf, 0x00, 0x10, 0xb9, 0x00, 0x18, 0xfc, 0xf3, 0xab,
    // three levels of tables, the last with one page of 2 MiB
    0x66, 0xc7, 0x06, 0x00, 0x10, 0x03, 0x20, 0x00, 0x00, 0x66, 0xc7, 0x06, 0x00, 0x20, 0x03, 0x30, 0x00, 0x00, 0x66,
    0xc7, 0x06, 0x00, 0x30, 0x83, 0x00, 0x00, 0x00, // cr3; PAE in cr4; LME in EFER
    0x66, 0xb8, 0x00, 0x10, 0x00, 0x00, 0x0f, 0x22, 0xd8, 0x0f, 0x20, 0xe0, 0x66, 0x83, 0xc8, 0x20, 0x0f, 0x22, 0xe0,
    0x66, 0xb9, 0x80, 0x00, 0x00, 0xc0, 0x0f, 0x32, 0x66, 0x0d, 0x00, 0x01, 0x00, 0x00, 0x0f, 0x30,
    // lgdt; PE and PG in cr0; far jump into 64-bit code
    0x0f, 0x01, 0x16, 0xa0, 0x7c, 0x0f, 0x20, 0xc0, 0x66, 0x0d, 0x01, 0x00, 0x00, 0x80, 0x0f, 0x22, 0xc0, 0xea, 0x66,
    0x7c, 0x08, 0x00, // segments, a stack, cpuid
    0xb8, 0x10, 0x00, 0x00, 0x00, 0x8e, 0xd8, 0x8e, 0xd0, 0xbc, 0x00, 0x70, 0x00, 0x00, 0x31, 0xc0, 0x0f, 0xa2,
    // push and pop 100000 times; 0x31 to port 0xf4; hlt for ever
    0xb9, 0xa0, 0x86, 0x01, 0x00, 0x51, 0x58, 0xe2, 0xfc, 0xb0, 0x31, 0xe6, 0xf4, 0xf4, 0xeb, 0xfd, 0x00, 0x00,
    // descriptors, and where they are
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0x00, 0x00, 0x00, 0x9a, 0xaf, 0x00, 0xff, 0xff, 0x00, 0x00, 0x00,
    0x92, 0xcf, 0x00, 0x17, 0x00, 0x88, 0x7c, 0x00, 0x00,
];

/// What qemu ends with when the guest has written 0x31 to its exit device: twice that, and one.
const WORKS: &str = "exit status: 99";

/// What was found out about this computer's accelerator.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Found {
    /// What it was found out of: this start of this computer, and this qemu.
    of: String,
    /// Why it does not work; `None`: it does.
    broken: Option<String>,
}

/// The accelerator of a machine: the one that was asked for, or the best that works.
pub(super) async fn choose(
    place: &Place,
    wanted: &str,
    arch: Arch,
    progress: &(dyn Fn(&str) + Send + Sync),
) -> Result<Accelerator, DriverError> {
    if let Some(given) = Accelerator::parse(wanted) {
        return if given == Accelerator::Kvm {
            device().map(|()| given).map_err(|why| unusable(&why))
        } else {
            Ok(given)
        };
    }
    // Another processor than ours can only be emulated.
    let Some(native) = Accelerator::of(std::env::consts::OS).filter(|_| arch == Arch::here()) else {
        return Ok(Accelerator::Tcg);
    };
    let of = here(arch).await?;
    if let Some(known) = remembered(place)?.filter(|known| known.of == of) {
        return Ok(if known.broken.is_none() { native } else { Accelerator::Tcg });
    }
    let broken = match device() {
        Err(why) if native == Accelerator::Kvm => Some(why),
        _ => probe(place, native, arch).await?,
    };
    remember(place, of, native, broken, progress)
}

/// Notes that it does not work after all: a real machine did not come up on it.
pub(super) async fn distrust(
    place: &Place,
    native: Accelerator,
    arch: Arch,
    why: String,
    progress: &(dyn Fn(&str) + Send + Sync),
) -> Result<Accelerator, DriverError> {
    remember(place, here(arch).await?, native, Some(why), progress)
}

fn remember(
    place: &Place,
    of: String,
    native: Accelerator,
    broken: Option<String>,
    progress: &(dyn Fn(&str) + Send + Sync),
) -> Result<Accelerator, DriverError> {
    if let Some(why) = &broken {
        progress(&format!(
            "{} does not work here ({why}): emulating the processor, which is far slower",
            native.name()
        ));
    }
    let found = Found { of, broken };
    let text = serde_json::to_string_pretty(&found).expect("texts are JSON");
    files::write(&place.accelerator(), 0o600, text.as_bytes())?;
    Ok(if found.broken.is_none() { native } else { Accelerator::Tcg })
}

/// One that cannot be read is none: it is found out again.
fn remembered(place: &Place) -> Result<Option<Found>, DriverError> {
    Ok(files::read(&place.accelerator())?.and_then(|text| serde_json::from_str(&text).ok()))
}

/// This start of this computer, and this qemu: while both are the same, so is the answer.
pub(super) async fn here(arch: Arch) -> Result<String, DriverError> {
    let boot = files::read(Path::new("/proc/sys/kernel/random/boot_id"))?.unwrap_or_default();
    let version = Program::new(arch.program(), "looking for qemu").args(["--version"]).run().await?;
    let device = match device() {
        Ok(()) => "usable".to_owned(),
        Err(why) => why,
    };
    Ok(sha256_hex_of(&[boot.as_bytes(), version.as_bytes(), device.as_bytes()])[..16].to_owned())
}

/// Whether KVM's device can be opened; why not.
fn device() -> Result<(), String> {
    let opened = fs::OpenOptions::new().read(true).write(true).open("/dev/kvm");
    opened.map(drop).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => "there is no /dev/kvm".to_owned(),
        io::ErrorKind::PermissionDenied => "this user may not use /dev/kvm".to_owned(),
        _ => format!("/dev/kvm: {e}"),
    })
}

fn unusable(why: &str) -> DriverError {
    let help = if why.contains("may not") {
        "join its group, log in again, and run the same command:\n  sudo usermod --append --groups kvm \"$USER\""
    } else {
        "switch virtualisation on in this computer's firmware and load the module kvm, or give `accel: tcg`, which is slow"
    };
    DriverError::Unprepared { what: format!("kvm cannot be used: {why}"), help: help.to_owned() }
}

/// Runs the guest of a few instructions; why it did not run.
async fn probe(place: &Place, accelerator: Accelerator, arch: Arch) -> Result<Option<String>, DriverError> {
    if arch != Arch::X86_64 {
        // There it is the machine's own boot that tells.
        return Ok(None);
    }
    let disk = place.base.join("probe.img");
    let mut image = vec![0; 1 << 20];
    image[..GUEST.len()].copy_from_slice(&GUEST);
    image[510..512].copy_from_slice(&[0x55, 0xaa]);
    files::write(&disk, 0o600, &image)?;
    let arguments = ["-accel", accelerator.argument(), "-m", "64", "-nodefaults", "-display", "none", "-no-reboot"];
    let run = Program::new(arch.program(), "trying the accelerator")
        .args(arguments)
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-drive", "format=raw,file=probe.img"])
        .within(&place.base)
        .run();
    let why = match timeout(PROBE, run).await {
        Err(_) => Some("a small guest does not get on".to_owned()),
        // Only the guest itself ends it like this.
        Ok(Err(DriverError::Refused { why, .. })) if why.contains(WORKS) => None,
        Ok(Err(DriverError::Refused { why, .. })) => Some(why.replace('\n', "; ")),
        Ok(Err(other)) => return Err(other),
        Ok(Ok(_)) => Some("a small guest ended at once".to_owned()),
    };
    fault::point("qemu.remove", &disk)
        .and_then(|()| fs::remove_file(&disk))
        .map_err(files::because("removing", &disk))?;
    Ok(why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::qemu::place::Place;

    fn place(dir: &Path) -> Place {
        Place::new(dir, dir.join("images"))
    }

    /// The guest runs where guests run: on qemu's own emulation.
    #[tokio::test]
    async fn the_small_guest_runs_where_guests_run() {
        let dir = tempfile::tempdir().unwrap();
        match probe(&place(dir.path()), Accelerator::Tcg, Arch::X86_64).await {
            Ok(why) => assert_eq!(why, None),
            Err(DriverError::Unprepared { what: e, .. }) => {
                crate::skip::skipped(e);
                return;
            }
            Err(e) => panic!("{e}"),
        }
        assert!(!dir.path().join("probe.img").exists());
    }

    #[test]
    fn what_was_found_out_is_said_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let said = std::sync::Mutex::new(Vec::new());
        let tell = |line: &str| said.lock().unwrap().push(line.to_owned());
        let why = Some("there is no /dev/kvm".to_owned());
        let chosen = remember(&place(dir.path()), "x".to_owned(), Accelerator::Kvm, why.clone(), &tell).unwrap();
        assert_eq!(chosen, Accelerator::Tcg);
        assert_eq!(remembered(&place(dir.path())).unwrap(), Some(Found { of: "x".to_owned(), broken: why }));
        assert_eq!(
            said.into_inner().unwrap(),
            ["kvm does not work here (there is no /dev/kvm): emulating the processor, which is far slower"]
        );
        files::write(&dir.path().join("accelerator.json"), 0o600, b"{").unwrap();
        assert_eq!(remembered(&place(dir.path())).unwrap(), None);
    }

    #[tokio::test]
    async fn what_is_asked_for_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let tcg = choose(&place(dir.path()), "tcg", Arch::here(), &|_| ()).await;
        assert_eq!(tcg.unwrap(), Accelerator::Tcg);
        let error = unusable("there is no /dev/kvm");
        assert_eq!(error.to_string(), "kvm cannot be used: there is no /dev/kvm");
    }
}
