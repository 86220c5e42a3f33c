//! What a machine has over its image before it boots: who it is, where it is, and who may log in.

use super::{
    files,
    place::{Folder, Record},
};
use crate::{digest::hex, driver::DriverError, fault};
use std::{
    fs,
    net::Ipv4Addr,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

/// A container that an engine leaves running when it stops, and that does not heed SIGTERM, would hold up the end of
/// the machine for systemd's 90 s. Engines give containers 10 s.
const MANAGER: &str = "[Manager]\nDefaultTimeoutStopSec=15s\n";

/// Where the private host key is.
pub(super) fn host_key(folder: &Folder) -> Result<std::path::PathBuf, DriverError> {
    // The folder becomes `/` of the machine, which others than root must be able to enter.
    files::folder(&folder.upper(), 0o755)?;
    files::folder(&folder.upper().join("etc/ssh"), 0o755)?;
    Ok(folder.upper().join("etc/ssh/ssh_host_ed25519_key"))
}

/// Writes everything. The machine must not run. May be repeated.
pub(super) fn prepare(folder: &Folder, record: &Record, gateway: Ipv4Addr, mtu: u32) -> Result<(), DriverError> {
    host_key(folder)?;
    let upper = folder.upper();
    let put = |path: &str, mode: u32, text: &str| files::write(&upper.join(path), mode, text.as_bytes());
    let name = &record.machine;
    put("etc/hostname", 0o644, &format!("{name}\n"))?;
    put("etc/hosts", 0o644, &hosts(name.as_str(), record.own.address))?;
    if !upper.join("etc/machine-id").exists() {
        put("etc/machine-id", 0o444, &machine_id()?)?;
    }
    // The image is complete: no first boot has to rebuild caches for a changed /usr (systemd-update-done.service(8)).
    files::folder(&upper.join("var"), 0o755)?;
    put("etc/.updated", 0o644, "")?;
    put("var/.updated", 0o644, "")?;
    files::folder(&upper.join("root/.ssh"), 0o700)?;
    fs::set_permissions(upper.join("root"), fs::Permissions::from_mode(0o700))
        .map_err(files::because("protecting", &upper.join("root")))?;
    put("root/.ssh/authorized_keys", 0o600, &format!("{}\n", record.login_key))?;
    let manager = upper.join("etc/systemd/system.conf.d");
    files::folder(&manager, 0o755)?;
    put("etc/systemd/system.conf.d/10-machine.conf", 0o644, MANAGER)?;
    let wants = upper.join("etc/systemd/system/sysinit.target.wants");
    files::folder(&wants, 0o755)?;
    put("etc/systemd/system/machine-network.service", 0o644, &unit(record.own.address, gateway, mtu))?;
    let link = wants.join("machine-network.service");
    match fault::point("nspawn.link", &link).and_then(|()| symlink("../machine-network.service", link)) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(files::because("writing", &wants)(e)),
        _ => Ok(()),
    }
}

/// Gives the machine the name servers this computer has now. The machine must not run.
pub(super) fn resolver(folder: &Folder) -> Result<(), DriverError> {
    let path = folder.upper().join("etc/resolv.conf");
    // A link was put there on purpose.
    if path.is_symlink() {
        return Ok(());
    }
    let plain = files::read(Path::new("/etc/resolv.conf"))?.unwrap_or_default();
    // systemd-resolved listens on a loopback address, which in a machine is the machine; it writes down whom it asks.
    let text = if plain.contains("nameserver 127.") {
        files::read(Path::new("/run/systemd/resolve/resolv.conf"))?.unwrap_or(plain)
    } else {
        plain
    };
    files::write(&path, 0o644, text.as_bytes())
}

fn hosts(name: &str, address: Ipv4Addr) -> String {
    format!("127.0.0.1 localhost\n{address} {name}\n::1 localhost ip6-localhost ip6-loopback\n")
}

/// 32 lowercase hexadecimal digits (machine-id(5)).
fn machine_id() -> Result<String, DriverError> {
    let mut bytes = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|e| DriverError::Refused {
        doing: "making a machine id".to_owned(),
        why: e.to_string(),
        help: "run the same command again".to_owned(),
    })?;
    Ok(format!("{}\n", hex(&bytes)))
}

/// The address is set by a unit of our own: it takes 0.1 s and works whatever the image has for networks.
fn unit(address: Ipv4Addr, gateway: Ipv4Addr, mtu: u32) -> String {
    format!(
        "[Unit]\n\
         Description=Address of this machine\n\
         DefaultDependencies=no\n\
         Wants=network.target\n\
         Before=network-pre.target network.target network-online.target shutdown.target\n\
         Conflicts=shutdown.target\n\n\
         [Service]\n\
         Type=oneshot\n\
         RemainAfterExit=yes\n\
         ExecStart=ip link set host0 mtu {mtu}\n\
         ExecStart=ip address replace {address}/24 dev host0\n\
         ExecStart=ip link set host0 up\n\
         ExecStart=ip route replace default via {gateway}\n\n\
         [Install]\n\
         WantedBy=sysinit.target\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_id_is_what_systemd_accepts_and_its_own() {
        let id = machine_id().unwrap();
        assert_eq!(id.len(), 33);
        assert!(id.trim_end().chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c)), "{id}");
        assert_ne!(id, machine_id().unwrap());
    }

    #[test]
    fn a_name_resolves_to_the_address_others_reach_it_at() {
        assert!(hosts("web-1", Ipv4Addr::new(10, 210, 3, 2)).contains("\n10.210.3.2 web-1\n"));
    }
}
