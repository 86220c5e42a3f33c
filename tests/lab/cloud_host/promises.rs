//! What our user data does to a real cloud-init: the promises of `machine::cloud_init`, and of `tests/lab/cloud_host`.

#![expect(clippy::disallowed_methods, reason = "the tests look at hosts with this computer's own programs")]

use super::{Cloud, open, until};
use crate::lab;
use machine::cloud_init::{FirstBoot, HostKey};
use std::{fs, process::Command, time::Duration};

/// A new pair of keys: the private half's file, its text, the public line.
fn key(dir: &std::path::Path, name: &str) -> (String, String, String) {
    let path = dir.join(name).display().to_string();
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", &path]).status();
    assert!(made.unwrap().success());
    let read = |path: &str| fs::read_to_string(path).unwrap();
    (path.clone(), read(&path), read(&format!("{path}.pub")).trim().to_owned())
}

#[test]
fn a_host_has_our_key_lets_us_in_and_obeys_the_users_own_data_too() {
    if !lab::ready(&["ssh-keygen"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (login, _, login_public) = key(dir.path(), "login");
    let (_, host_private, host_public) = key(dir.path(), "host");
    let cloud = Cloud::new();
    let own = b"#cloud-config\nwrite_files:\n- {path: /etc/own, content: mine}\nhostname: theirs\nssh_keys: {}\n\
                users: [{name: extra, shell: /bin/sh}]\nruncmd: [[touch, /etc/ran]]\n";
    let script = b"#!/bin/sh\necho said > /etc/script\n";
    let hosts: [(&str, u8, &str, Option<&[u8]>); 3] =
        [("plain", 11, "root", None), ("config", 12, "debian", Some(own)), ("script", 13, "", Some(script))];
    for (id, last, user, own) in hosts {
        let boot = FirstBoot {
            hostname: id,
            user,
            authorized_keys: &[&login_public],
            host_key: Some(HostKey { private: &host_private, public: &host_public }),
        };
        cloud.boot(id, cloud.address(last), &boot.user_data(own).unwrap());
    }
    let known = dir.path().join("known");
    for (id, last, user, _) in hosts {
        let address = cloud.address(last);
        // From the first answer on: nothing else than our key is ever met.
        fs::write(&known, format!("{address} {host_public}\n")).unwrap();
        let user = if user.is_empty() { "debian" } else { user };
        let ssh = |command: &str| {
            let out = Command::new("ssh")
                .args(["-F", "none", "-i", &login, "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"])
                .args(["-o", &format!("UserKnownHostsFile={}", known.display()), "-o", "ConnectTimeout=5"])
                .args([&format!("{user}@{address}"), command])
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&out.stderr).into_owned();
            if !out.status.success() {
                println!("{id}: {said}");
            }
            assert!(!said.contains("verification failed") && !said.contains("CHANGED"), "{id}: {said}");
            out.status.success().then(|| String::from_utf8(out.stdout).unwrap())
        };
        until(&format!("ssh of {id}"), Duration::from_secs(90), || open(address, 22) && ssh("true").is_some());
        let look = "cloud-init status --wait --long; sudo grep -i -e error -e warn /var/log/cloud-init.log; true";
        let status = ssh(look).unwrap();
        assert!(status.contains("status: done"), "{id}: {status}");
        assert_eq!(ssh("hostname").unwrap().trim(), id);
        assert_eq!(ssh("sudo -n id -u").unwrap().trim(), "0");
        let keys = ssh("ls /etc/ssh").unwrap();
        assert_eq!(keys.matches("ssh_host_").count(), 2, "one key, and its public half: {keys}");
        match id {
            "config" => {
                assert_eq!(ssh("cat /etc/own; test -e /etc/ran; id -un extra").unwrap(), "mineextra\n");
            }
            "script" => assert_eq!(ssh("cat /etc/script").unwrap(), "said\n"),
            _ => {}
        }
    }
    cloud.reboot("plain");
    until("ssh after a reboot", Duration::from_mins(1), || open(cloud.address(11), 22));
    cloud.kill("plain");
    assert!(!cloud.runs("plain") && !open(cloud.address(11), 22));
}
