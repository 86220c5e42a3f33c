//! Logins by keys: of a file, of an agent, of a home directory; and what is said when none will do.

use super::*;
use std::os::unix::fs::PermissionsExt;

#[tokio::test]
async fn every_kind_of_key_logs_in() {
    let server = server!("");
    let dir = tempfile::tempdir().unwrap();
    for (name, kind, format) in [
        ("ed25519", "ed25519", "RFC4716"),
        ("ecdsa", "ecdsa", "RFC4716"),
        ("rsa", "rsa", "RFC4716"),
        ("rsa-pem", "rsa", "PEM"),
        ("rsa-pkcs8", "rsa", "PKCS8"),
        ("ecdsa-pkcs8", "ecdsa", "PKCS8"),
    ] {
        let path = dir.path().join(name);
        server.allow(&sshd::new_key_as(&path, kind, "", format));
        let mut target = server.target();
        target.ssh.key = Some(path.display().to_string());
        let host = bare().connect(&target).await.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(run(&host, "echo in").await.unwrap().stdout, "in\n");
    }
}

/// Pain 21: an encrypted key without an agent fails in less than two seconds and says so.
#[tokio::test]
async fn an_encrypted_key_is_told_at_once_even_when_the_host_is_booting() {
    let dir = tempfile::tempdir().unwrap();
    for format in ["RFC4716", "PEM", "PKCS8"] {
        let path = dir.path().join(format);
        sshd::new_key_as(&path, "ecdsa", "a passphrase", format);
        let mut target = sshd::unreachable_target(&path);
        target.patience = Duration::from_mins(1);
        let started = Instant::now();
        let error = bare().connect(&target).await.err().unwrap();
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        assert!(matches!(&error, TransportError::Key { .. }), "{format}: {error}");
        assert!(error.to_string().contains("encrypted"), "{format}: {error}");
        assert!(error.help().ends_with(&format!("\n  ssh-add {}", path.display())), "{}", error.help());
    }
}

#[tokio::test]
async fn an_unusable_key_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let loose = dir.path().join("loose");
    new_key(&loose, "ed25519", "");
    std::fs::set_permissions(&loose, std::fs::Permissions::from_mode(0o644)).unwrap();
    let nonsense = dir.path().join("nonsense");
    std::fs::File::create(&nonsense).unwrap();
    std::fs::set_permissions(&nonsense, std::fs::Permissions::from_mode(0o600)).unwrap();
    let public = dir.path().join("loose.pub");
    for (path, want) in [
        (dir.path().join("missing"), "there is no such file"),
        (loose, "0644"),
        (nonsense, "not a private key"),
        (dir.path().to_owned(), "not a file"),
        (public, "public key"),
    ] {
        let error = bare().connect(&sshd::unreachable_target(&path)).await.err().unwrap();
        let TransportError::Key { path: named, why, .. } = &error else { panic!("{error}") };
        assert!(why.contains(want), "{error}");
        assert_eq!(*named, path.display().to_string());
    }
}

#[tokio::test]
async fn a_refused_login_lists_what_was_tried() {
    let server = server!("");
    let dir = tempfile::tempdir().unwrap();
    let given = dir.path().join("stranger");
    new_key(&given, "ed25519", "");
    let mut target = server.target();
    target.ssh.key = Some(given.display().to_string());
    target.patience = Duration::from_secs(30);
    let started = Instant::now();
    let error = bare().connect(&target).await.err().unwrap();
    assert!(matches!(error, TransportError::Auth { .. }), "{error}");
    assert!(error.to_string().contains(&format!("key {}", given.display())), "{error}");
    assert!(started.elapsed() < Duration::from_secs(10));

    // No key given: the default files of a home that has two, one of them encrypted; no agent.
    let home = dir.path().join("home");
    std::fs::create_dir_all(home.join(".ssh")).unwrap();
    new_key(&home.join(".ssh/id_ed25519"), "ed25519", "");
    new_key(&home.join(".ssh/id_ecdsa"), "ecdsa", "a passphrase");
    target.ssh.key = None;
    let config = SshConfig { home: Some(home), ..SshConfig::default() };
    let text = connect(config).connect(&target).await.err().unwrap().to_string();
    for want in ["id_ed25519", "id_ecdsa is encrypted", "no agent", user().as_str()] {
        assert!(text.contains(want), "{want}: {text}");
    }
    let text = bare().connect(&target).await.err().unwrap().to_string();
    assert!(text.contains("no key to try"), "{text}");
}

#[tokio::test]
async fn a_default_key_in_the_home_directory_logs_in() {
    let server = server!("");
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(home.path().join(".ssh")).unwrap();
    server.allow(&new_key(&home.path().join(".ssh/id_ecdsa"), "ecdsa", ""));
    let ssh = connect(SshConfig { home: Some(home.path().to_owned()), ..SshConfig::default() });
    for key in [None, Some("~/.ssh/id_ecdsa".to_owned())] {
        let mut target = server.target();
        target.ssh.key = key;
        let host = ssh.connect(&target).await.unwrap();
        assert_eq!(run(&host, "echo in").await.unwrap().stdout, "in\n");
    }
}

#[tokio::test]
async fn the_agent_logs_in_with_its_keys_and_for_encrypted_files() {
    let server = server!("");
    let dir = tempfile::tempdir().unwrap();
    let agent = Agent::start(dir.path());
    for (name, kind, passphrase) in [("plain", "rsa", ""), ("locked", "ed25519", "a passphrase")] {
        let path = dir.path().join(name);
        server.allow_only(&new_key(&path, kind, passphrase));
        let ssh = connect(SshConfig { agent: Some(agent.socket.clone()), ..SshConfig::default() });
        let mut target = server.target();
        target.ssh.key = (name == "locked").then(|| path.display().to_string());
        let before = ssh.connect(&target).await.err().unwrap();
        assert!(matches!(before, TransportError::Auth { .. } | TransportError::Key { .. }), "{before}");
        agent.add(&path, passphrase);
        let host = ssh.connect(&target).await.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(run(&host, "echo in").await.unwrap().stdout, "in\n");
    }
}

#[tokio::test]
async fn an_agent_that_holds_the_wrong_keys_is_named_with_their_number() {
    let server = server!("");
    let dir = tempfile::tempdir().unwrap();
    let agent = Agent::start(dir.path());
    for name in ["a", "b"] {
        new_key(&dir.path().join(name), "ed25519", "");
        agent.add(&dir.path().join(name), "");
    }
    let mut target = server.target();
    target.ssh.key = None;
    let ssh = connect(SshConfig { agent: Some(agent.socket.clone()), ..SshConfig::default() });
    let text = ssh.connect(&target).await.err().unwrap().to_string();
    assert!(text.contains("agent (2 keys)"), "{text}");
}

#[tokio::test]
async fn a_host_that_hangs_up_after_too_many_keys_has_refused_the_login() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Agent::start(dir.path());
    for name in ["a", "b", "c", "d"] {
        new_key(&dir.path().join(name), "ed25519", "");
        agent.add(&dir.path().join(name), "");
    }
    let ssh = connect(SshConfig { agent: Some(agent.socket.clone()), ..SshConfig::default() });
    for tries in ["MaxAuthTries 1\n", "MaxAuthTries 2\n"] {
        let server = server!(tries);
        let mut target = server.target();
        target.ssh.key = None;
        let error = ssh.connect(&target).await.err().unwrap();
        assert!(matches!(error, TransportError::Auth { .. }), "{error}");
        assert!(error.to_string().contains("the host hung up after that"), "{error}");
    }
}
