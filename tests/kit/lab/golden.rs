//! An image with an engine in it, for all tests that are not about installing one: of the 30 s that a host takes to an
//! engine that answers, 28 are packages and their scripts.
//!
//! It lies in a folder of images of its own, under the name that the driver gives its `debian-12`, so that a fleet file
//! says nothing of it. It is made once, by the driver and the script below; another script makes another one.

use super::{Lab, Said, cache};
use machine::digest::sha256_hex;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What is done to the copy `$1` of the driver's image. Its packages were fetched when it was built.
const RECIPE: &str = r#"set -e
cp /etc/resolv.conf "$1/etc/resolv.conf"
printf '#!/bin/sh\nexit 101\n' >"$1/usr/sbin/policy-rc.d"
chmod 755 "$1/usr/sbin/policy-rc.d"
install="apt-get install -q -y --no-install-recommends docker.io"
export DEBIAN_FRONTEND=noninteractive
chroot "$1" sh -c "$install || { apt-get update -q && $install; }" >&2
chroot "$1" apt-get clean
rm "$1/usr/sbin/policy-rc.d" "$1/etc/resolv.conf"
rm -rf "$1"/var/lib/docker/* "$1"/var/lib/containerd/*
"#;

/// The usual folder of images.
pub(crate) fn plain() -> PathBuf {
    std::env::var_os("MACHINE_NSPAWN_IMAGES").map_or_else(|| "/var/lib/machine/nspawn/images".into(), PathBuf::from)
}

/// A folder of images whose `debian-12` has an engine. The first who asks makes it; others wait.
pub(crate) fn images() -> PathBuf {
    let name = format!("debian-12-{}.1", std::env::consts::ARCH);
    let below = plain().join(&name);
    let key = sha256_hex(format!("{}\n{RECIPE}", below.display()).as_bytes());
    let folder = cache().join(format!("golden-{}", &key[..12]));
    fs::create_dir_all(&folder).unwrap();
    let lock = fs::File::create(folder.join(".lock")).unwrap();
    lock.lock().unwrap();
    let done = folder.join(&name);
    if !done.is_dir() {
        make(&below, &folder.join(".new"), &done);
    }
    folder
}

fn make(below: &Path, new: &Path, done: &Path) {
    let lab = Lab::new();
    if !below.is_dir() {
        // Built by the driver itself, with a machine that gets no engine.
        let fleet = "fleet: f\nhosts: { m: { driver: nspawn, image: debian-12, engine: { source: present } } }\n";
        let file = lab.file("fleet.yaml", fleet);
        lab.machine(&["apply", "-y", &file]).code(1).says("there is no engine on the host");
        lab.machine(&["destroy", "-y", &file]).ok();
    }
    with_engine(below, new);
    fs::rename(new, done).unwrap();
}

/// Makes `new` a copy of the image `below`, with an engine. What an attempt before it left there goes.
pub(crate) fn with_engine(below: &Path, new: &Path) {
    for script in ["rm -rf \"$1\" && cp -a \"$2\" \"$1\"", RECIPE] {
        Said::of(&Command::new("sh").args(["-c", script, "sh"]).arg(new).arg(below).output().unwrap()).ok();
    }
}
