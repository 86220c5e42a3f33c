//! Hosts that do not answer, fall silent, hang up or boot, and connections that break: what is said, and how long they
//! are waited for.

use super::*;
use machine::transport::pool::Pool;

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
async fn a_port_without_a_listener_is_told_with_address_and_reason() {
    let keys = Keys::new();
    let target = sshd::unreachable_target(&keys.path());
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
        let mut target = sshd::unreachable_target(&keys.path());
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
    // What hears the first attempt and hangs up, as a host does that is not yet up.
    let early = tokio::net::TcpListener::bind(("127.0.0.1", server.port)).await.unwrap();
    let boot = async {
        drop(early.accept().await.unwrap());
        drop(early);
        server.boot();
    };
    let (host, ()) = tokio::join!(ssh.connect(&target), boot);
    assert_eq!(run(&host.unwrap(), "echo up").await.unwrap().stdout, "up\n");
}

#[tokio::test]
async fn patience_has_an_end() {
    let keys = Keys::new();
    let mut target = sshd::unreachable_target(&keys.path());
    target.patience = Duration::from_millis(700);
    let started = Instant::now();
    assert!(bare().connect(&target).await.is_err());
    let waited = started.elapsed();
    assert!(waited >= Duration::from_millis(700) && waited < Duration::from_secs(4), "{waited:?}");
}

#[tokio::test]
async fn this_computer_refusing_is_not_waited_for_as_long_as_a_boot() {
    let keys = Keys::new();
    let mut target = sshd::unreachable_target(&keys.path());
    target.patience = Duration::from_mins(3);
    let started = Instant::now();
    let error = bare().connect(&target).await.err().unwrap().to_string();
    assert!(error.ends_with("connection refused"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}
