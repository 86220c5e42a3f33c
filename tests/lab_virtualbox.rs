//! Driver `virtualbox` with the real VBoxManage of Debian sid. Needs root, and packages of Debian.
//!
//! Only what needs VirtualBox's kernel module is emulated (`tests/virtualbox_lab/VBoxManage`).

#![expect(clippy::disallowed_methods, reason = "the tests look at this computer with its own programs")]

mod lab;
mod virtualbox_lab;

use lab::{Lab, Said};
use std::{fs, process::Command};
use virtualbox_lab::{VirtualBox, sshd};

const PROGRAMS: [&str; 4] = ["isoinfo", "sshd", "unshare", "nsenter"];

struct Host {
    lab: Lab,
    computer: VirtualBox,
    image: String,
}

impl Host {
    fn new() -> Self {
        let lab = Lab::new();
        let image = lab.path("image.raw");
        fs::write(&image, vec![7; 3 << 20]).unwrap();
        let computer = VirtualBox::new(&lab.path(""), sshd::run(&lab.path("sshd")));
        Self { lab, computer, image: image.display().to_string() }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = self.lab.command(program);
        command
            .env("PATH", self.computer.path())
            .env("VIRTUALBOX_IMAGE", &self.image)
            .env("VIRTUALBOX_NO_VTX_CHECK", "true")
            .env("VIRTUALBOX_NO_SHARE", "true")
            .env("VIRTUALBOX_SSH_USER", "root");
        command
    }

    fn machine(&self, line: &str) -> Said {
        Said::of(&self.command(env!("CARGO_BIN_EXE_machine")).args(line.split(' ')).output().unwrap())
    }
}

#[test]
fn by_hand() {
    if !lab::ready(&PROGRAMS) {
        return;
    }
    let host = Host::new();
    println!("{:?}", host.machine("create -d virtualbox web"));
    println!("{:?}", host.machine("ls"));
    println!("{:?}", host.machine("rm -y web"));
    println!("{}\n{:?}", host.computer.calls(), host.computer.vms.all());
}
