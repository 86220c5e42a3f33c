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
        ssh::{SshConfig, SshConnect, fingerprint},
    },
};
use std::{
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

// After the macro, which they use.
mod breaks;
mod logins;
mod people;
mod terminals;

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
