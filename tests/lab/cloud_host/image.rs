//! The image of the cloud's hosts: Debian with cloud-init and an SSH server. Each host adds the unit that sets its address.

use super::{cache, run};
use crate::lab::golden;
use std::{fs, os::unix::fs::symlink, path::PathBuf};

/// Part of the image's name: another number where it is built in another way.
const VERSION: u32 = 4;

const PACKAGES: &str = "systemd-sysv,udev,dbus,iproute2,openssh-server,ca-certificates,sudo,iptables,cloud-init,\
                        procps,curl,gpg";

/// The same with an engine.
pub(super) fn with_engine() -> PathBuf {
    let below = ensure();
    let image = cache().join(format!("cloud-host-{VERSION}-engine"));
    let lock = fs::File::create(cache().join("cloud-host-engine.lock")).unwrap();
    lock.lock().unwrap();
    if !image.is_dir() {
        let new = cache().join("cloud-host-engine.new");
        golden::with_engine(&below, &new);
        fs::rename(&new, &image).unwrap();
    }
    image
}

/// The root file system, built if it is not there. One process builds; others wait.
pub(super) fn ensure() -> PathBuf {
    let cache = cache();
    fs::create_dir_all(&cache).unwrap();
    let image = cache.join(format!("cloud-host-{VERSION}"));
    let lock = fs::File::create(cache.join("cloud-host.lock")).unwrap();
    lock.lock().unwrap();
    if image.is_dir() {
        return image;
    }
    let new = cache.join("cloud-host.new");
    if new.exists() {
        run("rm", &["-rf", new.to_str().unwrap()]);
    }
    let root = new.to_str().unwrap();
    println!("building {}", image.display());
    run(
        "mmdebstrap",
        &[
            "--mode=root",
            "--variant=minbase",
            "--components=main",
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-exclude=/usr/share/man/*",
            &format!("--include={PACKAGES}"),
            "bookworm",
            root,
        ],
    );
    let put = |path: &str, text: &str| {
        let path = new.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put("etc/cloud/cloud.cfg.d/90-lab.cfg", "datasource_list: [NoCloud]\nlocale: false\n");
    put("etc/.updated", "");
    put("var/.updated", "");
    put("etc/systemd/system.conf.d/10-lab.conf", "[Manager]\nDefaultTimeoutStopSec=15s\n");
    let units = new.join("etc/systemd/system");
    fs::create_dir_all(units.join("sysinit.target.wants")).unwrap();
    symlink("../cloud-network.service", units.join("sysinit.target.wants/cloud-network.service")).unwrap();
    for timer in ["apt-daily.timer", "apt-daily-upgrade.timer", "fstrim.timer", "e2scrub_all.timer"] {
        symlink("/dev/null", units.join(timer)).unwrap();
    }
    // Every host makes its own, or is given them.
    run("sh", &["-c", "rm -f \"$1\"/etc/ssh/ssh_host_* \"$1\"/etc/machine-id", "sh", root]);
    fs::rename(&new, &image).unwrap();
    image
}
