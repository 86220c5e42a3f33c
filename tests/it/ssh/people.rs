//! SSH as people have it: names of an `ssh_config`, agents full of keys, bastions, and a man in the middle.

use super::*;
use machine::transport::{
    Target,
    openssh::{Files, OpenSsh},
    route::Lookup,
    ssh_config::files::Source,
};
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use tokio::net::{TcpListener, TcpStream};

/// A home directory with an `ssh_config`.
struct Own {
    dir: tempfile::TempDir,
}

impl Own {
    fn new(config: &str) -> Self {
        let own = Self { dir: tempfile::tempdir().unwrap() };
        own.write(config);
        own
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("config")
    }

    fn write(&self, config: &str) {
        #[expect(clippy::disallowed_methods, reason = "a fixture needs no durability")]
        std::fs::write(self.config(), config).unwrap();
    }

    /// A target that is to be looked up by this name, and of which nothing else is known.
    fn target(&self, alias: &str) -> Target {
        let mut target = sshd::unreachable_target(Path::new("/nowhere"));
        alias.clone_into(&mut target.ssh.host);
        target.ssh.key = None;
        let source = Source::File(self.config());
        target.lookup = Some(Lookup { alias: alias.to_owned(), user: None, port: None, jump: None, source });
        target
    }
}

/// A block for a server.
fn block(name: &str, server: &Server, more: &str) -> String {
    format!(
        "Host {name}\n  HostName 127.0.0.1\n  Port {}\n  User {}\n  IdentityFile {}\n  {more}\n",
        server.port,
        user(),
        server.key().display()
    )
}

/// Pain 21: `Host` aliases, `Port`, `IdentityFile` and `Include` are honoured, and what is given overrides them.
#[tokio::test]
async fn a_host_of_an_ssh_config_is_reached_by_its_name() {
    let server = server!("");
    let own = Own::new("");
    let part = own.dir.path().join("part");
    std::fs::rename(own.config(), &part).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a fixture needs no durability")]
    std::fs::write(&part, block("web-*", &server, "IdentitiesOnly yes")).unwrap();
    own.write(&format!("Include {}\nHost *\n  Port 9\n", part.display()));
    let host = bare().connect(&own.target("web-1")).await.unwrap();
    assert_eq!(run(&host, "echo in").await.unwrap().stdout, "in\n");

    let mut given = own.target("web-1");
    given.lookup.as_mut().unwrap().port = Some(sshd::free_port());
    let error = bare().connect(&given).await.err().unwrap().to_string();
    assert!(error.ends_with("connection refused"), "{error}");

    // It is looked up when it is used: another address is another way to the same host, whose key is known.
    let mut pinned = own.target("web-1");
    pinned.host_keys = vec![server.host_key("ed25519")];
    let (other, way) = (server!("", Some(server.key())), own.config());
    own.write(&block("web-1", &other, ""));
    let error = bare().connect(&pinned).await.err().unwrap();
    assert!(matches!(error, TransportError::HostKey { .. }), "{error}");
    assert_eq!(other.logins(), 0, "there is no login to an unknown host");

    own.write(&format!("Match exec true\n  Port 1\nHost web-1\n  HostName 127.0.0.1\n  Port {}\n", sshd::free_port()));
    let error = bare().connect(&own.target("web-1")).await.err().unwrap().to_string();
    assert!(error.contains("connection refused; ") && error.contains("`Match exec` is not looked at"), "{error}");

    own.write("Host web-1\n  HostName 127.0.0.1\n  Port nine\n");
    let error = bare().connect(&own.target("web-1")).await.err().unwrap();
    let want = format!("`m1`: the way there cannot be looked up: {} line 3: `nine` is not a port", way.display());
    assert_eq!(error.to_string(), want);
}

/// Pain 21: `ProxyJump`, here through two hosts, each with its own settings; both keys are pinned, each in its place.
#[tokio::test]
async fn a_chain_of_two_jump_hosts_is_followed() {
    let outer = server!("");
    let key = Some(outer.key());
    let (inner, web) = (server!("", key), server!("", key));
    let own = Own::new(&format!(
        "{}{}{}",
        block("outer", &outer, ""),
        block("inner", &inner, "ProxyJump outer"),
        block("web", &web, "ProxyJump inner"),
    ));
    let ssh = bare();
    let host = ssh.connect(&own.target("web")).await.unwrap();
    let at = run(&host, "echo $SSH_CONNECTION").await.unwrap().stdout;
    assert_eq!(at.split_whitespace().nth(3), Some(web.port.to_string().as_str()));
    let keys = [outer.host_key("ed25519"), inner.host_key("ed25519")];
    assert_eq!(host.jump_keys(), keys);
    echo_megabytes(&host).await;

    let mut pinned = own.target("web");
    pinned.jump_keys = keys.to_vec();
    ssh.connect(&pinned).await.unwrap();
    assert_eq!((outer.logins(), inner.logins()), (1, 1), "the way there is shared");
    pinned.jump_keys.reverse();
    for ssh in [&ssh, &bare()] {
        let error = ssh.connect(&pinned).await.err().unwrap();
        assert!(error.to_string().contains("(jump host) has another host key"), "{error}");
    }

    // The same by words, without any file.
    let mut words = web.target();
    words.ssh.jump = Some(format!("127.0.0.1:{},127.0.0.1:{}", outer.port, inner.port));
    assert_eq!(bare().connect(&words).await.unwrap().jump_keys(), keys);
}

/// Pain 21: 100 hosts behind one bastion use no more connections to it than `bastion_sessions`.
#[tokio::test]
async fn a_hundred_hosts_share_few_connections_to_their_bastion() {
    let bastion = server!("");
    let behind = server!("MaxStartups 500\n", Some(bastion.key()));
    for (most, limit) in [(None, 2), (Some(1), 1)] {
        let before = bastion.logins();
        let ssh = Arc::new(bare());
        // As a fleet file's `policy: { bastion_sessions: 1 }` does.
        if let Some(most) = most {
            ssh.limit_bastions(most);
        }
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let mut target = behind.target();
            target.ssh.jump = Some(format!("{}@127.0.0.1:{}", user(), bastion.port));
            target.connect_timeout = Duration::from_mins(1);
            let ssh = Arc::clone(&ssh);
            asking.spawn(async move { ssh.connect(&target).await });
        }
        let hosts: Vec<_> = asking.join_all().await.into_iter().map(|host| host.unwrap()).collect();
        assert_eq!(hosts.len(), 100);
        let used = bastion.logins() - before;
        assert!(used <= limit, "{used} connections to the bastion, {limit} are allowed");
        assert_eq!(run(&hosts[99], "echo in").await.unwrap().stdout, "in\n");
    }
}

/// Pain 21: sharing is also faster than a connection for each.
#[tokio::test]
async fn twenty_hosts_behind_a_bastion_are_reached_faster_together() {
    let bastion = server!("MaxStartups 500\n");
    let behind = server!("MaxStartups 500\n", Some(bastion.key()));
    let target = || {
        let mut target = behind.target();
        target.ssh.jump = Some(format!("{}@127.0.0.1:{}", user(), bastion.port));
        target.connect_timeout = Duration::from_mins(1);
        target
    };
    let mut times = Vec::new();
    for shared in [true, false] {
        let one = Arc::new(bare());
        let begun = Instant::now();
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let (ssh, target) = (if shared { Arc::clone(&one) } else { Arc::new(bare()) }, target());
            asking.spawn(async move { ssh.connect(&target).await.unwrap() });
        }
        drop(asking.join_all().await);
        times.push(begun.elapsed());
    }
    println!("20 hosts: {:?} together, {:?} with a connection each", times[0], times[1]);
    assert!(times[0] < times[1], "{times:?}");
}

#[tokio::test]
async fn a_bastion_that_forbids_forwarding_is_told_as_such() {
    let bastion = server!("AllowTcpForwarding no\n");
    let behind = server!("", Some(bastion.key()));
    let mut target = behind.target();
    target.ssh.jump = Some(format!("127.0.0.1:{}", bastion.port));
    target.patience = Duration::from_mins(1);
    let begun = Instant::now();
    let error = bare().connect(&target).await.err().unwrap().to_string();
    assert!(error.contains("the jump host forbids forwarding") && error.contains("AllowTcpForwarding yes"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(20), "it will not change its mind");
}

/// `MaxStartups`: a server that is busy shaking hands drops others, who try again.
#[tokio::test]
async fn a_server_that_drops_connections_when_busy_is_asked_again() {
    let server = server!("MaxStartups 2:100:2\n");
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut target = server.target();
        target.patience = Duration::from_mins(1);
        asking.spawn(async move { bare().connect(&target).await });
    }
    for host in asking.join_all().await {
        assert_eq!(run(&host.unwrap(), "echo in").await.unwrap().stdout, "in\n");
    }
}

/// Pain 21: an agent with twenty keys. Few are offered, the one that is meant first, and who is refused is told.
#[tokio::test]
async fn an_agent_with_twenty_keys_does_not_use_up_the_servers_patience() {
    let server = server!("");
    let own = Own::new("");
    let agent = Agent::start(own.dir.path());
    let mut last = String::new();
    for n in 0..20 {
        let path = own.dir.path().join(format!("key-{n}"));
        last = new_key(&path, "ed25519", "");
        agent.add(&path, "");
    }
    server.allow_only(&last);
    let name = own.dir.path().join("key-19");
    // Only its public half is there: the agent signs.
    std::fs::remove_file(&name).unwrap();
    let text = format!("Host web\n  HostName 127.0.0.1\n  Port {}\n  User {}\n", server.port, user());
    for (agent_line, only) in [(false, "no"), (true, "yes")] {
        let line = format!("IdentityAgent {}\n", agent.socket.display());
        let line = if agent_line { line.as_str() } else { "" };
        own.write(&format!("{text}  IdentityFile {}\n  IdentitiesOnly {only}\n  {line}", name.display()));
        let surroundings = (!agent_line).then(|| agent.socket.clone());
        let ssh = connect(SshConfig { agent: surroundings, ..SshConfig::default() });
        ssh.connect(&own.target("web")).await.unwrap_or_else(|e| panic!("{only}: {e}"));
    }
    own.write(&text);
    let ssh = connect(SshConfig { agent: Some(agent.socket.clone()), ..SshConfig::default() });
    let error = ssh.connect(&own.target("web")).await.err().unwrap().to_string();
    assert!(error.contains("the agent holds 20 keys, of which 5 were offered"), "{error}");
    assert!(!server.log().contains("Too many authentication failures"), "{}", server.log());
}

/// Pain 21: an encrypted key without an agent fails in less than two seconds and says so, also when a file names it.
#[tokio::test]
async fn an_encrypted_key_of_an_ssh_config_is_told_at_once() {
    let own = Own::new("");
    let key = own.dir.path().join("locked");
    new_key(&key, "ed25519", "a passphrase");
    own.write(&format!("Host web\n  HostName 192.0.2.1\n  IdentityFile {}\n", key.display()));
    let mut target = own.target("web");
    target.patience = Duration::from_mins(1);
    let begun = Instant::now();
    let error = bare().connect(&target).await.err().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(matches!(error, TransportError::Key { .. }) && error.to_string().contains("it is encrypted"), "{error}");
    assert!(error.help().contains("ssh-add"), "{}", error.help());
}

#[tokio::test]
async fn a_proxy_command_is_gone_through() {
    let (server, own) = (server!(""), Own::new(""));
    let gate = server!("", Some(server.key()));
    let command = format!(
        "ssh -F none -i {} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -p {} -W %h:%p {}@127.0.0.1",
        gate.key().display(),
        gate.port,
        user()
    );
    own.write(&block("web", &server, &format!("ProxyCommand {command}")));
    let host = bare().connect(&own.target("web")).await.unwrap();
    assert_eq!(run(&host, "echo in").await.unwrap().stdout, "in\n");
    assert_eq!(gate.logins(), 1);
    echo_megabytes(&host).await;
    own.write(&block("web", &server, "ProxyCommand false"));
    let error = bare().connect(&own.target("web")).await.err().unwrap().to_string();
    assert!(error.contains("the host closed the connection"), "{error}");
}

/// Pain 20: all key types are accepted.
#[tokio::test]
async fn host_keys_of_every_size_are_pinned_and_shown() {
    let own = Own::new("");
    for bits in ["384", "521"] {
        let path = own.dir.path().join(bits);
        #[expect(clippy::disallowed_methods, reason = "the fixture runs OpenSSH's programs")]
        let keygen =
            Command::new("ssh-keygen").args(["-q", "-t", "ecdsa", "-N", "", "-b", bits, "-f"]).arg(&path).status();
        if keygen.is_err() {
            skipped("`ssh-keygen` is not installed");
            return;
        }
        let server = server!(&format!("HostKey {}\n", path.display()));
        let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
        let key = public.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        assert!(key.starts_with(&format!("ecdsa-sha2-nistp{bits} ")), "{key}");
        let mut target = server.target();
        target.host_keys = vec![key.clone()];
        assert_eq!(bare().connect(&target).await.unwrap().host_key(), key);
        target.host_keys = vec![server.host_key("rsa")];
        assert_eq!(bare().connect(&target).await.unwrap().host_key(), server.host_key("rsa"));
    }
}

/// A man in the middle, who passes everything on where he likes.
struct Middle {
    port: u16,
    to: Arc<std::sync::atomic::AtomicU16>,
}

impl Middle {
    async fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let to = Arc::new(std::sync::atomic::AtomicU16::new(to));
        let current = Arc::clone(&to);
        tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                let to = current.load(std::sync::atomic::Ordering::SeqCst);
                tokio::spawn(async move {
                    let mut there = TcpStream::connect(("127.0.0.1", to)).await?;
                    tokio::io::copy_bidirectional(&mut from, &mut there).await
                });
            }
        });
        Self { port, to }
    }

    fn pass_to(&self, server: &Server) {
        self.to.store(server.port, std::sync::atomic::Ordering::SeqCst);
    }
}

/// Pain 20: first contact, then another host at the same address (an address that was given away, or a man in the
/// middle with a key of his own): the two fingerprints, and no login is even tried.
#[tokio::test]
async fn whoever_is_in_between_is_found_out_before_anything_is_said() {
    let server = server!("");
    let stranger = server!("", Some(server.key()));
    let middle = Middle::start(server.port).await;
    let mut target = server.target();
    target.ssh.port = middle.port;
    let met = bare().connect(&target).await.unwrap().host_key();
    assert_eq!(met, server.host_key("ed25519"), "who only passes things on is no harm");
    target.host_keys = vec![met];
    bare().connect(&target).await.unwrap();
    middle.pass_to(&stranger);
    let error = bare().connect(&target).await.err().unwrap().to_string();
    for print in [server.fingerprint("ed25519"), stranger.fingerprint("ed25519")] {
        assert!(error.contains(&print), "{print}: {error}");
    }
    assert_eq!(stranger.logins(), 0);
    assert!(!stranger.log().contains("ublickey"), "nothing was offered: {}", stranger.log());
    // The same behind a jump host, and with a jump host that is another.
    let jump = server!("", Some(server.key()));
    let mut behind = target.clone();
    behind.ssh.jump = Some(format!("127.0.0.1:{}", jump.port));
    let error = bare().connect(&behind).await.err().unwrap();
    assert!(matches!(error, TransportError::HostKey { .. }), "{error}");
    middle.pass_to(&server);
    let mut through = server.target();
    through.ssh.jump = Some(format!("127.0.0.1:{}", middle.port));
    through.jump_keys = vec![server.host_key("ed25519")];
    bare().connect(&through).await.unwrap();
    middle.pass_to(&stranger);
    let error = bare().connect(&through).await.err().unwrap();
    assert!(error.to_string().contains("(jump host) has another host key"), "{error}");
}

/// Pain 20: the same for OpenSSH's programs, by the files we write for them; a chain of jump hosts too.
#[tokio::test(flavor = "multi_thread")]
async fn openssh_finds_out_who_is_in_between_as_well() {
    let server = server!("Subsystem sftp internal-sftp\n");
    let key = Some(server.key());
    let (stranger, outer, inner) = (server!("", key), server!("", key), server!("", key));
    let middle = Middle::start(server.port).await;
    let own = Own::new("");
    let mut target = server.target();
    target.ssh.port = middle.port;
    target.ssh.jump = Some(format!("127.0.0.1:{},127.0.0.1:{}", outer.port, inner.port));
    target.host_keys = vec![server.host_key("ed25519")];
    target.jump_keys = vec![outer.host_key("ed25519"), inner.host_key("ed25519")];
    let known_hosts = own.dir.path().join("known_hosts");
    let write = |target: &Target| {
        let config = own.config();
        let files = Files { config: &config, known_hosts: &known_hosts, key: Some(server.key()) };
        let texts = OpenSsh::of(target, &bare().route(target).unwrap(), files).unwrap();
        own.write(&texts.config);
        #[expect(clippy::disallowed_methods, reason = "a fixture needs no durability")]
        std::fs::write(&known_hosts, &texts.known_hosts).unwrap();
    };
    let from = own.dir.path().join("from");
    #[expect(clippy::disallowed_methods, reason = "a fixture needs no durability")]
    std::fs::write(&from, "text").unwrap();
    let to = format!("m1:{}", own.dir.path().join("to").display());
    let run = |program: &str, words: &[&str]| {
        #[expect(clippy::disallowed_methods, reason = "the law is about the real programs")]
        let mut command = Command::new(program);
        let output = command.arg("-F").arg(own.config()).args(words).stdin(Stdio::null()).output();
        let output = output.unwrap_or_else(|e| panic!("{program}: {e}"));
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (copy, login) = ([from.to_str().unwrap(), to.as_str()], ["m1", "true"]);
    write(&target);
    for (program, words) in [("ssh", login), ("scp", copy)] {
        let (done, said) = run(program, &words);
        assert!(done, "{program}: {said}");
    }
    middle.pass_to(&stranger);
    for (program, words) in [("ssh", login), ("scp", copy)] {
        let (done, said) = run(program, &words);
        assert!(!done && said.contains("Host key verification failed"), "{program}: {said}");
    }
    assert_eq!(stranger.logins(), 0);
    // One of the jump hosts is another.
    middle.pass_to(&server);
    target.jump_keys.reverse();
    write(&target);
    let (done, said) = run("ssh", &login);
    assert!(!done && said.contains("Host key verification failed"), "{said}");
}
