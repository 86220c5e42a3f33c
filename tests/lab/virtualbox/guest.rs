//! Real hosts that stand for what runs in a VM, told who they are as the VM is.

use super::{Run, Vms, of_seed};
use crate::cloud_host::{self, Cloud};
use serde_json::json;
use std::{
    collections::BTreeMap,
    fs, io,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// What a guest is told: by its CD, or, where that is boot2docker's, by what its disk begins with.
fn told(vms: &Vms, vm: &str) -> Vec<u8> {
    let info = vms.info(vm);
    if info["SATA-0-0"].ends_with("seed.iso") {
        return of_seed(vms, vm, "user-data");
    }
    let dir = tempfile::tempdir_in(Path::new(&info["SATA-1-0"]).parent().unwrap()).unwrap();
    let raw = dir.path().join("raw").display().to_string();
    vms.list(&["clonemedium", "disk", &info["SATA-1-0"], &raw, "--format", "RAW"]);
    vms.list(&["closemedium", "disk", &raw]);
    // So much of it boot2docker reads, when it begins with these words.
    let start = fs::read(&raw).unwrap()[..4096].to_vec();
    assert!(start.starts_with(b"boot2docker, please format-me"));
    fs::write(dir.path().join("userdata.tar"), start).unwrap();
    let tar = Command::new("tar").arg("-xf").arg(dir.path().join("userdata.tar")).arg("-C").arg(dir.path()).status();
    assert!(tar.unwrap().success());
    let key = fs::read_to_string(dir.path().join(".ssh/authorized_keys")).unwrap();
    let user = json!({ "name": "docker", "shell": "/bin/bash", "sudo": "ALL=(ALL) NOPASSWD:ALL", "ssh_authorized_keys": [key.trim()] });
    format!("#cloud-config\n{}\n", json!({ "users": [user] })).into_bytes()
}

/// VMs that are hosts of `cloud`, with what their CD says done by real cloud-init.
pub(crate) fn hosts(cloud: Arc<Cloud>, address: Ipv4Addr) -> Run {
    let mut ports: BTreeMap<String, Arc<AtomicBool>> = BTreeMap::new();
    Box::new(move |vms, what, vm| {
        if let Some(open) = ports.remove(vm) {
            open.store(false, Ordering::Relaxed);
        }
        match what {
            "start" => {
                if cloud.file("web", "/").exists() {
                    cloud.start("web");
                } else {
                    cloud.boot("web", address, &told(vms, vm));
                }
                // It is the card of VirtualBox's that has the address.
                cloud_host::until("ssh", Duration::from_secs(90), || cloud_host::open(address, 22));
                let neighbours = Command::new("ip").args(["neighbour", "show", &address.to_string()]).output().unwrap();
                let text = String::from_utf8(neighbours.stdout).unwrap();
                let mac = text.split_whitespace().skip_while(|word| *word != "lladdr").nth(1).unwrap().replace(':', "");
                vms.list(&["modifyvm", vm, "--macaddress2", &mac]);
                ports.insert(vm.to_owned(), forward(vms.port(vm), address));
            }
            "stop" => cloud.stop("web"),
            _ => cloud.kill("web"),
        }
        Ok(())
    })
}

/// Lets a port of this computer lead to a host's SSH server, as VirtualBox does.
fn forward(port: u16, to: Ipv4Addr) -> Arc<AtomicBool> {
    let open = Arc::new(AtomicBool::new(true));
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let still = Arc::clone(&open);
    thread::spawn(move || {
        while still.load(Ordering::Relaxed) {
            let Ok((here, _)) = listener.accept() else {
                thread::sleep(Duration::from_millis(5));
                continue;
            };
            here.set_nonblocking(false).unwrap();
            let Ok(there) = TcpStream::connect((to, 22)) else { continue };
            for (mut from, mut into) in [(here.try_clone().unwrap(), there.try_clone().unwrap()), (there, here)] {
                thread::spawn(move || {
                    let _ = io::copy(&mut from, &mut into);
                    let _ = into.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
    open
}
