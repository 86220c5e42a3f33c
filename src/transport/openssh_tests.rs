//! The files, as text and as OpenSSH reads them.

use super::*;
use crate::{name::MachineName, record::SshEndpoint};
use std::time::Duration;

fn target(host: &str, jump: Option<&str>) -> Target {
    Target {
        machine: MachineName::new("web-1").unwrap(),
        ssh: SshEndpoint {
            host: host.into(),
            port: 2222,
            user: "root".into(),
            key: None,
            passphrase: None,
            jump: jump.map(str::to_owned),
        },
        host_keys: vec!["ssh-ed25519 AAAA a comment\nevil".into()],
        jump_keys: vec!["ssh-rsa BBBB".into()],
        connect_timeout: Duration::from_secs(10),
        patience: Duration::ZERO,
        lookup: None,
    }
}

fn files<'a>(config: &'a str, known_hosts: &'a str, key: Option<&'a str>) -> Files<'a> {
    Files { config: Path::new(config), known_hosts: Path::new(known_hosts), key: key.map(Path::new) }
}

fn of(target: &Target, files: Files<'_>) -> Result<OpenSsh, OpenSshError> {
    let mut target = target.clone();
    target.ssh.key = files.key.map(|key| key.display().to_string());
    OpenSsh::of(&target, &Route::recorded(&target).unwrap(), files)
}

#[test]
fn a_machine_is_a_block_and_its_jump_host_another() {
    let texts = of(&target("192.0.2.1", Some("me@gate:24")), files("/s t/c", "/s t/k", Some("/k/100%"))).unwrap();
    insta::assert_snapshot!(texts.config, @r#"
    Host web-1
      HostName 192.0.2.1
      Port 2222
      User root
      HostKeyAlias machine-web-1
      UserKnownHostsFile "/s t/k"
      GlobalKnownHostsFile /dev/null
      StrictHostKeyChecking yes
      UpdateHostKeys no
      CheckHostIP no
      IdentityFile /k/100%%
      IdentitiesOnly yes
      PasswordAuthentication no
      KbdInteractiveAuthentication no
      ConnectTimeout 10
      ConnectionAttempts 3
      ServerAliveInterval 15
      ServerAliveCountMax 4
      ProxyCommand ssh -F '/s t/c' -W '[%h]:%p' web-1_jump
    Host web-1_jump
      HostName gate
      Port 24
      User me
      HostKeyAlias machine-web-1_jump
      UserKnownHostsFile "/s t/k"
      GlobalKnownHostsFile /dev/null
      StrictHostKeyChecking yes
      UpdateHostKeys no
      CheckHostIP no
      IdentityFile /k/100%%
      IdentitiesOnly yes
      PasswordAuthentication no
      KbdInteractiveAuthentication no
      ConnectTimeout 10
      ConnectionAttempts 3
      ServerAliveInterval 15
      ServerAliveCountMax 4
    "#);
    assert_eq!(texts.known_hosts, "machine-web-1 ssh-ed25519 AAAA\nmachine-web-1_jump ssh-rsa BBBB\n");
}

#[test]
fn what_would_be_read_as_something_else_is_refused() {
    for (host, key) in [("h\n  ProxyCommand x", None), ("${HOME}", None), ("h", Some("/k/${X}")), ("", None)] {
        assert!(of(&target(host, None), files("/c", "/k", key)).is_err(), "{host:?} {key:?}");
    }
    assert!(Route::recorded(&target("h", Some("h:port"))).is_err());
}

/// The law: OpenSSH reads the values that were meant.
#[test]
fn openssh_reads_what_was_meant() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config");
    for (host, key) in [
        ("192.0.2.1", "/k/id"),
        ("fe80::1%eth0", r#"/k/a b"c\d'e"#),
        ("[2001:db8::1]", "/k/%h #x"),
        ("web.example", "/k/ü$HOME `x`"),
    ] {
        let texts = of(&target(host, None), files("/c", "/s/a b/k", Some(key))).unwrap();
        #[expect(clippy::disallowed_methods, reason = "a fixture needs no durability")]
        std::fs::write(&path, &texts.config).unwrap();
        #[expect(clippy::disallowed_methods, reason = "the law is about the real program")]
        let Ok(read) = std::process::Command::new("ssh").arg("-G").arg("-F").arg(&path).arg("web-1").output() else {
            crate::skip::skipped("ssh is not installed");
            return;
        };
        let read = String::from_utf8(read.stdout).unwrap();
        let has = |line: String| assert!(read.lines().any(|l| l == line), "{line}\n{read}");
        has(format!("hostname {}", host.trim_matches(['[', ']'])));
        has(format!("identityfile {}", key.replace('%', "%%")));
        has("userknownhostsfile /s/a b/k".to_owned());
        has("port 2222".to_owned());
        has("hostkeyalias machine-web-1".to_owned());
        has("stricthostkeychecking true".to_owned());
    }
}
