//! SSH against a real OpenSSH server on loopback, run as the user who runs the tests.
//!
//! Without `sshd` the tests say `SKIPPED` and why; `MACHINE_LAB=required` makes that a failure.

use crate::{
    skip::skipped,
    sshd::{self, Agent, Keys, Server, new_key, user},
};
use machine::{
    quote::Sh,
    transport::{
        Connect, Limits, Output, Transport, TransportError,
        pool::Pool,
        ssh::{SshConfig, SshConnect, fingerprint},
    },
};
use std::{
    os::unix::fs::PermissionsExt,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Starts a server, or ends the test saying why there is none.
macro_rules! server {
    ($config:expr) => {
        server!($config, None)
    };
    ($config:expr, $key:expr) => {
        match Server::start_for($config, $key) {
            Some(server) => server,
            None => return,
        }
    };
}

// After the macro, which it uses.
mod people;

const LIMITS: Limits = Limits { total: Duration::from_secs(30), idle: Duration::from_secs(20) };

fn connect(config: SshConfig) -> SshConnect {
    SshConnect::new(config)
}

fn bare() -> SshConnect {
    connect(SshConfig::default())
}

async fn run(host: &Arc<dyn Transport>, command: &'static str) -> Result<Output, TransportError> {
    host.run(&Sh::text(command), b"", LIMITS, &mut |_| ()).await
}

#[tokio::test]
async fn a_command_gives_its_output_its_lines_and_its_status() {
    let server = server!("");
    let host = bare().connect(&server.target()).await.unwrap();
    let mut lines = Vec::new();
    let command = Sh::text("echo one; echo two; printf three; echo wrong >&2; exit 3");
    let output = host.run(&command, b"", LIMITS, &mut |l| lines.push(l.to_owned())).await.unwrap();
    assert_eq!(output, Output { status: 3, stdout: "one\ntwo\nthree".into(), stderr: "wrong\n".into() });
    assert_eq!(lines, ["one", "two", "three"]);
    assert_eq!(host.needs_sudo(), user() != "root");
    assert!(!host.is_closed());
}

#[tokio::test]
async fn lines_are_told_while_the_command_runs() {
    let server = server!("");
    let host = bare().connect(&server.target()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let seen = dir.path().join("seen");
    // The command waits for a file that is made when its first line is told.
    let command =
        Sh::template("echo go; while ! test -e {}; do sleep 0.05; done; echo gone", &[seen.to_str().unwrap()]);
    let mut told = Vec::new();
    let output = host
        .run(&command, b"", LIMITS, &mut |line| {
            if line == "go" {
                std::fs::File::create(&seen).unwrap();
            }
            told.push(line.to_owned());
        })
        .await
        .unwrap();
    assert_eq!((output.status, told), (0, vec!["go".to_owned(), "gone".to_owned()]));
}

#[tokio::test]
async fn a_signal_is_a_status_as_shells_have_it() {
    let server = server!("");
    let host = bare().connect(&server.target()).await.unwrap();
    assert_eq!(run(&host, "kill -KILL $$").await.unwrap().status, 137);
    assert_eq!(run(&host, "kill -TERM $$").await.unwrap().status, 143);
}

#[tokio::test]
async fn megabytes_go_both_ways_at_once() {
    let server = server!("");
    let host = bare().connect(&server.target()).await.unwrap();
    echo_megabytes(&host).await;
}

/// 5 MB through `cat`, which answers before it has read all, and through a digest.
async fn echo_megabytes(host: &Arc<dyn Transport>) {
    let line = b"0123456789abcdef0123456789abcdef0123456789abcdef\n";
    let stdin: Vec<u8> = line.iter().copied().cycle().take(line.len() * 110_000).collect();
    assert!(stdin.len() > 5_000_000);
    let mut lines = 0;
    let output = host.run(&Sh::text("cat"), &stdin, LIMITS, &mut |_| lines += 1).await.unwrap();
    assert_eq!((output.status, lines), (0, 110_000));
    assert!(stdin.ends_with(output.stdout.as_bytes()), "what is kept is the end");
    assert_eq!(output.stdout.len(), 4 << 20);
    let counted = host.run(&Sh::text("cat | wc -c"), &stdin, LIMITS, &mut |_| ()).await.unwrap();
    assert_eq!(counted.stdout.trim(), stdin.len().to_string());
    // Its output is far more than any window while its input still comes.
    let both = Sh::text("dd if=/dev/zero bs=65536 count=100 2>/dev/null; sha256sum");
    let both = host.run(&both, &stdin, LIMITS, &mut |_| ()).await.unwrap();
    let digest = machine::digest::sha256_hex(&stdin);
    assert!(both.stdout.ends_with(&format!("{digest}  -\n")), "{}", &both.stdout[both.stdout.len() - 80..]);
}

#[tokio::test]
async fn a_command_that_does_not_read_its_input_ends_all_the_same() {
    let server = server!("");
    let host = bare().connect(&server.target()).await.unwrap();
    let stdin = vec![b'x'; 5_000_000];
    let output = host.run(&Sh::text("exit 7"), &stdin, LIMITS, &mut |_| ()).await.unwrap();
    assert_eq!(output.status, 7);
    assert_eq!(run(&host, "echo still here").await.unwrap().stdout, "still here\n");
}

#[tokio::test]
async fn a_script_as_root_is_not_seen_in_the_list_of_processes() {
    let server = server!("");
    if user() != "root" {
        skipped("it needs root");
        return;
    }
    let host = bare().connect(&server.target()).await.unwrap();
    let script = Sh::text("secret=hunter2; ps -ef | grep -c 'hunter[2]'; true");
    let output = host.run_as_root(&script, LIMITS, &mut |_| ()).await.unwrap();
    assert_eq!(output.stdout.trim(), "0");
}

#[tokio::test]
async fn what_a_command_leaves_in_the_background_does_not_hold_us() {
    let server = server!("");
    let host = bare().connect(&server.target()).await.unwrap();
    let started = Instant::now();
    let limits = Limits { total: Duration::from_secs(20), idle: Duration::from_secs(4) };
    let output = host.run(&Sh::text("sleep 15 & echo started"), b"", limits, &mut |_| ()).await.unwrap();
    assert_eq!((output.status, output.stdout.as_str()), (0, "started\n"));
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_commands_share_one_connection_whatever_the_host_allows() {
    for allowed in ["", "MaxSessions 2\n"] {
        let server = server!(allowed);
        let host = bare().connect(&server.target()).await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..20 {
            let host = Arc::clone(&host);
            tasks.spawn(async move {
                let n = n.to_string();
                let command = Sh::template("sleep 0.1; echo $PPID {}", &[&n]);
                (n, host.run(&command, b"", LIMITS, &mut |_| ()).await.unwrap())
            });
        }
        for (n, output) in tasks.join_all().await {
            assert_eq!(output.stdout.split_whitespace().last(), Some(n.as_str()));
        }
        assert_eq!(server.logins(), 1, "{}", server.log());
    }
}

#[tokio::test]
async fn commands_that_are_given_up_make_room_for_others() {
    let server = server!("");
    let host = bare().connect(&server.target()).await.unwrap();
    for _ in 0..12 {
        let given_up =
            tokio::time::timeout(Duration::from_millis(100), run(&host, "while echo; do sleep 0.1; done")).await;
        assert!(given_up.is_err());
    }
    assert_eq!(run(&host, "echo room").await.unwrap().stdout, "room\n");
}

/// Pain 20: a changed host key stops with the two fingerprints.
#[tokio::test]
async fn another_host_key_than_the_pinned_one_is_refused_with_both_fingerprints() {
    let server = server!("");
    let dir = tempfile::tempdir().unwrap();
    let other = new_key(&dir.path().join("other"), "ed25519", "");
    let mut target = server.target();
    target.host_keys = vec![other.clone()];
    target.patience = Duration::from_secs(30);
    let started = Instant::now();
    let error = bare().connect(&target).await.err().unwrap();
    let TransportError::HostKey { expected, met, .. } = &error else { panic!("{error}") };
    assert_eq!(*expected, [fingerprint(&other).unwrap()]);
    assert_eq!(*met, server.fingerprint("ed25519"));
    let text = error.to_string();
    assert!(text.contains(met.as_str()) && text.contains(&expected[0]), "{text}");
    assert!(error.help().contains("machine trust"), "{}", error.help());
    assert!(!error.is_transient() && started.elapsed() < Duration::from_secs(5), "not worth a second attempt");
    assert_eq!(server.logins(), 0);
}

#[tokio::test]
async fn an_unpinned_host_tells_its_key_and_each_pinned_kind_is_shown() {
    let server = server!("");
    let host = bare().connect(&server.target()).await.unwrap();
    assert_eq!(host.host_key(), server.host_key("ed25519"));
    assert_eq!(host.jump_key(), None);
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let mut target = server.target();
        target.host_keys = vec![format!("{} a comment", server.host_key(kind))];
        let host = bare().connect(&target).await.unwrap();
        assert_eq!(host.host_key(), server.host_key(kind));
    }
}

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
        let mut target = sshd::is_unreachable(&path);
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
        let error = bare().connect(&sshd::is_unreachable(&path)).await.err().unwrap();
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

/// Pain 21: many hosts behind one bastion, one connection to it.
#[tokio::test]
async fn hosts_behind_a_jump_host_share_one_connection_to_it() {
    let jump = server!("");
    let key = Some(jump.key());
    let (one, two) = (server!("", key), server!("", key));
    let ssh = bare();
    let through = |server: &Server| {
        let mut target = server.target();
        target.ssh.jump = Some(format!("{}@127.0.0.1:{}", user(), jump.port));
        target
    };
    let (first, second) = (through(&one), through(&two));
    let (a, b) = tokio::join!(ssh.connect(&first), ssh.connect(&second));
    let (a, b) = (a.unwrap(), b.unwrap());
    for (host, behind) in [(&a, &one), (&b, &two)] {
        assert_eq!(host.host_key(), behind.host_key("ed25519"));
        assert_eq!(host.jump_key(), Some(jump.host_key("ed25519")));
        assert_eq!(
            run(host, "echo $SSH_CONNECTION").await.unwrap().stdout.split(' ').nth(3).unwrap().trim(),
            behind.port.to_string()
        );
    }
    assert_eq!(jump.logins(), 1, "{}", jump.log());
    tokio::join!(echo_megabytes(&a), echo_megabytes(&b));

    // Keys of both are checked, on a shared connection too.
    let mut wrong = through(&one);
    wrong.jump_keys = vec![one.host_key("ecdsa")];
    let error = ssh.connect(&wrong).await.err().unwrap();
    assert!(matches!(&error, TransportError::HostKey { address, .. } if address.contains("jump host")), "{error}");
    let mut wrong = through(&one);
    wrong.jump_keys = vec![jump.host_key("ed25519")];
    wrong.host_keys = vec![jump.host_key("ed25519")];
    let error = ssh.connect(&wrong).await.err().unwrap();
    assert!(matches!(&error, TransportError::HostKey { .. }), "{error}");
    assert_eq!(jump.logins(), 1);

    // Nothing listens behind it.
    let mut closed = through(&one);
    closed.ssh.port = sshd::free_port();
    let text = ssh.connect(&closed).await.err().unwrap().to_string();
    assert!(text.contains("the jump host cannot connect") && text.contains("through"), "{text}");

    // The jump host dies: what is behind it is lost, and told.
    let cut = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        jump.kill();
    };
    let (broken, ()) = tokio::join!(run(&a, "sleep 20"), cut);
    assert!(matches!(broken, Err(TransportError::Broken { .. })), "{broken:?}");
    assert!(a.is_closed());
}

/// What goes in and what comes out must not wait for each other, however many packets are under way.
#[tokio::test]
async fn a_crowd_of_small_packets_passes_a_jump_host_both_ways() {
    let jump = server!("");
    let behind = server!("", Some(jump.key()));
    let mut target = behind.target();
    target.ssh.jump = Some(format!("127.0.0.1:{}", jump.port));
    let host = bare().connect(&target).await.unwrap();
    let stdin = vec![b'x'; 3_000_000];
    let crowd = || async {
        // Blocks of one byte are packets of one byte.
        let command = Sh::text("dd if=/dev/zero bs=1 count=40000 2>/dev/null & wc -c; wait");
        let output = host.run(&command, &stdin, LIMITS, &mut |_| ()).await.unwrap();
        assert_eq!(output.status, 0);
        assert!(output.stdout.replace('\0', "").trim() == stdin.len().to_string());
    };
    tokio::join!(crowd(), crowd(), crowd(), crowd(), crowd(), crowd());
}

#[tokio::test]
async fn a_command_is_stopped_when_it_takes_too_long_or_falls_silent() {
    let server = server!("");
    let host = bare().connect(&server.target()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let ended = dir.path().join("ended");
    // By the signal, or for root, to whom OpenSSH passes none, by writing to a pipe that is closed.
    let noisy = Sh::template(
        "trap '' PIPE; trap 'touch {}; exit' TERM; while echo .; do sleep 0.1; done; touch {}",
        &[ended.to_str().unwrap(), ended.to_str().unwrap()],
    );
    let limits = Limits { total: Duration::from_secs(1), idle: Duration::from_secs(20) };
    let error = host.run(&noisy, b"", limits, &mut |_| ()).await.unwrap_err();
    assert_eq!(error.to_string(), "`m1`: no answer within 1 s while waiting for a command to end");
    let limits = Limits { total: Duration::from_secs(20), idle: Duration::from_secs(2) };
    let error = host.run(&Sh::text("sleep 30"), b"", limits, &mut |_| ()).await.unwrap_err();
    assert_eq!(error.to_string(), "`m1`: no answer within 2 s while waiting for a command to print something");
    // The host was asked to end it.
    let waited = Instant::now();
    while !ended.exists() {
        assert!(waited.elapsed() < Duration::from_secs(10), "the command runs on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(run(&host, "echo still here").await.unwrap().stdout, "still here\n");
}

#[tokio::test]
async fn a_connection_that_breaks_is_told_and_the_pool_opens_another() {
    let server = server!("");
    let pool = Pool::new(Arc::new(bare()));
    let target = server.target();
    let host = pool.connect(&target).await.unwrap();
    assert!(Arc::ptr_eq(&host, &pool.connect(&target).await.unwrap()));
    let pid = run(&host, "echo $PPID").await.unwrap().stdout.trim().to_owned();
    let error = run(&host, "kill -KILL $PPID; sleep 20").await.unwrap_err();
    assert!(matches!(&error, TransportError::Broken { .. }), "{error}");
    assert!(host.is_closed() && error.is_transient());
    let text = run(&host, "true").await.unwrap_err().to_string();
    assert!(text.starts_with("`m1`: the connection broke while running a command: "), "{text}");
    let again = pool.connect(&target).await.unwrap();
    assert_ne!(run(&again, "echo $PPID").await.unwrap().stdout.trim(), pid);
}

/// Neither end closes anything: power loss, or a partition.
#[tokio::test]
async fn a_host_that_falls_silent_is_noticed_whether_we_read_or_write() {
    let server = server!("");
    let ssh = connect(SshConfig { keepalive: Some(Duration::from_millis(300)), ..SshConfig::default() });
    for stdin in [0, 5_000_000] {
        let host = ssh.connect(&server.target()).await.unwrap();
        let started = Instant::now();
        let error =
            host.run(&Sh::text("kill -STOP $PPID; cat"), &vec![b'x'; stdin], LIMITS, &mut |_| ()).await.unwrap_err();
        assert!(error.to_string().ends_with("the host stopped answering"), "{error}");
        assert!(host.is_closed() && started.elapsed() < Duration::from_secs(10));
    }
    server.kill();
}

#[tokio::test]
async fn nobody_listening_is_told_with_address_and_reason() {
    let keys = Keys::new();
    let target = sshd::is_unreachable(&keys.path());
    let error = bare().connect(&target).await.err().unwrap();
    assert_eq!(error.to_string(), format!("`m1`: cannot connect to 127.0.0.1:{}: connection refused", target.ssh.port));
    let mut unknown = target;
    unknown.ssh.host = "no-such-host.invalid".into();
    unknown.patience = Duration::from_secs(30);
    let started = Instant::now();
    let text = bare().connect(&unknown).await.err().unwrap().to_string();
    assert!(text.contains("cannot be resolved"), "{text}");
    assert!(started.elapsed() < Duration::from_secs(20), "a wrong name is not waited for");
}

#[tokio::test]
async fn a_host_that_does_not_speak_ssh_or_hangs_up_is_told() {
    let keys = Keys::new();
    for (greeting, hangs_up, want) in [
        ("", true, "the host closed the connection"),
        ("HTTP/1.0 400 Bad Request\r\n\r\n", true, "the host closed the connection"),
        ("", false, "no SSH handshake within 1 s"),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut target = sshd::is_unreachable(&keys.path());
        target.ssh.port = listener.local_addr().unwrap().port();
        target.connect_timeout = Duration::from_secs(1);
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(greeting.as_bytes()).await.unwrap();
            // Read what the client sends, so that closing is no reset.
            let _ = stream.read(&mut [0; 1024]).await;
            if !hangs_up {
                std::future::pending::<()>().await;
            }
        });
        let error = bare().connect(&target).await.err().unwrap();
        serving.abort();
        assert!(error.to_string().contains(want), "{error}");
        assert!(error.is_transient());
    }
}

#[tokio::test]
async fn a_host_that_boots_is_waited_for() {
    let Some(mut server) = Server::prepare("", None) else { return };
    let mut target = server.target();
    target.patience = Duration::from_secs(20);
    let ssh = bare();
    let boot = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        server.boot();
    };
    let (host, ()) = tokio::join!(ssh.connect(&target), boot);
    assert_eq!(run(&host.unwrap(), "echo up").await.unwrap().stdout, "up\n");
}

#[tokio::test]
async fn patience_has_an_end() {
    let keys = Keys::new();
    let mut target = sshd::is_unreachable(&keys.path());
    target.patience = Duration::from_millis(700);
    let started = Instant::now();
    assert!(bare().connect(&target).await.is_err());
    let waited = started.elapsed();
    assert!(waited >= Duration::from_millis(700) && waited < Duration::from_secs(4), "{waited:?}");
}

#[tokio::test]
async fn this_computer_refusing_is_not_waited_for_as_long_as_a_boot() {
    let keys = Keys::new();
    let mut target = sshd::is_unreachable(&keys.path());
    target.patience = Duration::from_mins(3);
    let started = Instant::now();
    let error = bare().connect(&target).await.err().unwrap().to_string();
    assert!(error.ends_with("connection refused"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_socket_on_the_host_is_a_stream() {
    let server = server!("");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (mut from, mut to) = stream.into_split();
        tokio::io::copy(&mut from, &mut to).await.unwrap();
    });
    let host = bare().connect(&server.target()).await.unwrap();
    let stream = host.open_unix(path.to_str().unwrap()).await.unwrap();
    let (mut from, mut to) = tokio::io::split(stream);
    let sent = vec![b'x'; 3_000_000];
    let sending = async {
        to.write_all(&sent).await.unwrap();
        to.shutdown().await.unwrap();
    };
    let mut back = Vec::new();
    let (read, ()) = tokio::join!(from.read_to_end(&mut back), sending);
    assert_eq!(read.unwrap(), sent.len());
    assert!(back == sent);
    serving.await.unwrap();

    let error = host.open_unix("/nowhere/docker.sock").await.err().unwrap();
    assert!(error.to_string().contains("/nowhere/docker.sock"), "{error}");
    assert_eq!(run(&host, "echo still here").await.unwrap().stdout, "still here\n");
}

/// Without a terminal (tests have none) an interactive session passes bytes and gives the status back.
#[tokio::test]
async fn an_interactive_session_gives_the_status_of_its_command() {
    let server = server!("");
    let session = bare().open(&server.target()).await.unwrap();
    if std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        skipped("standard input is a terminal");
        return;
    }
    let status = machine::transport::ssh::interactive(
        &session,
        Some(&Sh::text("test -t 0 || exit 42")),
        machine::transport::ssh::Tty::Ours,
    )
    .await
    .unwrap();
    assert_eq!(status, 42);
    let status = machine::transport::ssh::interactive(
        &session,
        Some(&Sh::text("kill -INT $$")),
        machine::transport::ssh::Tty::Ours,
    )
    .await
    .unwrap();
    assert_eq!(status, 130);
}

/// Whether another test runs this one on a terminal; by itself it has nothing to do.
fn is_child() -> bool {
    std::env::var_os("TEST_PORT").is_some()
}

/// What [`a_terminal_is_passed_on_and_restored`] runs on a terminal of its own.
#[tokio::test]
async fn child_on_a_terminal() {
    if !is_child() {
        return;
    }
    let read = |name| std::env::var(name).unwrap();
    let mut target = sshd::is_unreachable(std::path::Path::new(&read("TEST_KEY")));
    target.ssh.port = read("TEST_PORT").parse().unwrap();
    let ssh = connect(SshConfig { term: Some("vt100".into()), ..SshConfig::default() });
    let session = ssh.open(&target).await.unwrap();
    let command = Sh::text("stty size; echo term=$TERM; read word; echo word=$word; exit 5");
    let status = machine::transport::ssh::interactive(&session, Some(&command), machine::transport::ssh::Tty::Ours)
        .await
        .unwrap();
    println!("status={status}");
}

/// What [`a_terminal_is_restored_when_we_are_ended`] runs on a terminal of its own.
#[tokio::test]
async fn child_that_is_ended() {
    if !is_child() {
        return;
    }
    let mut target = sshd::is_unreachable(std::path::Path::new(&std::env::var("TEST_KEY").unwrap()));
    target.ssh.port = std::env::var("TEST_PORT").unwrap().parse().unwrap();
    let session = bare().open(&target).await.unwrap();
    let us = std::process::id().to_string();
    let command = Sh::template("kill -TERM {}; sleep 20", &[&us]);
    let status = machine::transport::ssh::interactive(&session, Some(&command), machine::transport::ssh::Tty::Ours)
        .await
        .unwrap();
    println!("status={status}");
}

#[tokio::test]
async fn a_terminal_is_restored_when_we_are_ended() {
    let server = server!("");
    let Some(output) = server.on_a_terminal("ssh::child_that_is_ended", "") else { return };
    assert!(output.contains("status=143"), "{output}");
    same_settings(&output);
}

#[tokio::test]
async fn a_terminal_is_passed_on_and_restored() {
    let server = server!("");
    let Some(output) = server.on_a_terminal("ssh::child_on_a_terminal", "a word\r") else { return };
    for want in ["33 101", "term=vt100", "word=a word", "status=5"] {
        assert!(output.contains(want), "{want}: {output}");
    }
    same_settings(&output);
}

/// The settings as `stty -g` prints them, before and after.
#[track_caller]
fn same_settings(output: &str) {
    let settings: Vec<&str> = output.lines().filter_map(|l| l.trim().strip_prefix("settings=")).collect();
    assert_eq!(settings.len(), 2, "{output}");
    assert_eq!(settings[0], settings[1]);
}
