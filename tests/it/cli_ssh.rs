//! `ssh` and `ssh-config` with a real OpenSSH server on loopback, by the built-in client and by OpenSSH's.
//!
//! Without `sshd`, `ssh` or `tmux` the tests that need them say `SKIPPED` and why.

use crate::{
    home::Home,
    hosts::{self, add, change, installed, instance, machine, start},
    screen::{self, Screen},
    sshd::{self, Server},
};
use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::PermissionsExt as _,
    process::Stdio,
};

const CLIENTS: [&str; 2] = ["--native-ssh", "--native-ssh=false"];

/// Whichever client does the work, the same comes out.
#[test]
fn both_clients_behave_alike() {
    let home = Home::with_store("my store's");
    let Some(_server) = start(&home, "web-1") else { return };
    if !installed("ssh") {
        return;
    }
    home.in_store("machine", &["ssh", "web-1", "true"]);
    for client in CLIENTS {
        for (words, input, status, stdout, stderr) in [
            (&["echo", "one;", "echo", "two", ">&2;", "exit", "7"][..], "", 7, "one\n", "two\n"),
            (&["--", "echo", "-n", "x"], "", 0, "x", ""),
            (&["printf", "'%s|'", "'a  b'", "*"], "", 0, "a  b|*|", ""),
            (&["cat"], "a\r\nb\0\n", 0, "a\r\nb\0\n", ""),
            (&["-T", "--", "cat; exit 3"], "x", 3, "x", ""),
            (&["test -t 0 || echo none"], "", 0, "none\n", ""),
            (&["exit 255"], "", 255, "", ""),
            (&["ls -d /; exit"], "", 0, "/\n", ""),
        ] {
            for program in ["machine", "docker-machine"] {
                let at = home.store().display().to_string();
                let run = home.run(program, &[&["-s", &at, client, "ssh", "web-1"], words].concat(), &[], input);
                let got = (run.status, run.stdout.as_str(), run.stderr.as_str());
                assert_eq!(got, (status, stdout, stderr), "{client} {words:?}");
            }
        }
    }
}

#[test]
fn a_megabyte_of_anything_goes_there_and_comes_back() {
    let home = Home::new();
    let Some(_server) = start(&home, "web-1") else { return };
    if !installed("ssh") {
        return;
    }
    let sent: Vec<u8> = (0..1_u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()[0]).collect();
    for client in CLIENTS {
        let mut command = machine(&home, &[client, "ssh", "web-1", "cat; echo end >&2"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = sent.clone();
        let sending = std::thread::spawn(move || stdin.write_all(&input).unwrap());
        let output = child.wait_with_output().unwrap();
        sending.join().unwrap();
        assert!(output.stdout == sent, "{client}: {} bytes", output.stdout.len());
        assert!(output.stderr.ends_with(b"end\n"), "{client}");
    }
}

#[test]
fn the_environment_chooses_a_client_and_the_command_line_overrides_it() {
    let home = Home::new();
    let Some(_server) = start(&home, "web-1") else { return };
    home.in_store("machine", &["ssh", "web-1", "true"]);
    let at = home.store().display().to_string();
    // Stand-ins cannot be run by the built-in client.
    let bin = hosts::stand_in(&home, "ssh", "exit 42");
    for (variable, option, status) in [
        ("", None, 0),
        ("false", None, 42),
        ("0", None, 42),
        ("1", None, 0),
        ("nonsense", None, 0),
        ("true", Some("--native-ssh=false"), 42),
        ("false", Some("-native-ssh"), 0),
    ] {
        let words: Vec<&str> = ["-s", &at].into_iter().chain(option).chain(["ssh", "web-1", "true"]).collect();
        let run = home.run("machine", &words, &[("PATH", &bin), ("MACHINE_NATIVE_SSH", variable)], "");
        assert_eq!(run.status, status, "{variable} {option:?}: {}", run.stderr);
    }
}

#[test]
fn options_of_openssh_are_passed_to_it() {
    let home = Home::with_store("a b");
    let Some(server) = start(&home, "web-1") else { return };
    if !installed("ssh") {
        return;
    }
    let run = home.in_store("machine", &["ssh", "web-1", "-C", "echo", "foo;", "exit", "4"]);
    assert_eq!((run.status, run.stdout.as_str()), (4, "foo\n"), "{}", run.stderr);
    assert_eq!(instance(&home, "web-1").host_keys, [server.host_key("ed25519")], "pinned before OpenSSH was asked");
    // A port of the host, through the connection.
    let place = format!("127.0.0.1:{}", server.port);
    let run = home.in_store("docker-machine", &["ssh", "web-1", "-W", &place]);
    assert!(run.stdout.starts_with("SSH-2.0-OpenSSH"), "{run:?}");
    let run = home.in_store("machine", &["ssh", "web-1", "-tt", "test -t 0 && echo terminal"]);
    assert_eq!(run.stdout, "terminal\r\n");

    let run = home.in_store("machine", &["--native-ssh", "ssh", "web-1", "-A", "true"]);
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("`-A` is an option of OpenSSH's ssh"), "{}", run.stderr);
    // The host says who it is; no option of the user makes another of it.
    let other = Server::start_for("", None).expect("the first one could be started");
    change(&home, "web-1", |instance| instance.host_keys = vec![other.host_key("ed25519")]);
    let run = home.in_store("machine", &["ssh", "web-1", "-o", "StrictHostKeyChecking=no", "echo", "in"]);
    assert_eq!((run.status, run.stdout.as_str()), (255, ""), "{}", run.stderr);
    assert!(run.stderr.contains("Host key verification failed"), "{}", run.stderr);
}

#[test]
fn without_openssh_the_client_is_built_in() {
    let home = Home::new();
    let Some(_server) = start(&home, "web-1") else { return };
    let at = home.store().display().to_string();
    for option in [&[][..], &["--native-ssh=false"]] {
        let words = [&["-s", &at], option, &["ssh", "web-1", "echo", "in"]].concat();
        let run = home.run("docker-machine", &words, &[("PATH", "/nowhere")], "");
        assert_eq!((run.status, run.stdout.as_str(), run.stderr.as_str()), (0, "in\n", ""));
    }
    let run = home.run("machine", &["-s", &at, "ssh", "web-1", "-A"], &[("PATH", "/nowhere")], "");
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("there is no `ssh` in the PATH"), "{}", run.stderr);
}

#[test]
fn a_jump_host_is_gone_through_and_pinned_as_well() {
    let home = Home::with_store("it's a store");
    let Some(server) = start(&home, "web-1") else { return };
    if !installed("ssh") {
        return;
    }
    let gate = Server::start_for("", Some(server.key())).expect("the first one could be started");
    let mut ssh = server.target().ssh;
    ssh.jump = Some(format!("{}@127.0.0.1:{}", sshd::user(), gate.port));
    add(&home, "web-1", ssh);
    for client in CLIENTS {
        let run = home.in_store("docker-machine", &[client, "ssh", "web-1", "echo", "through"]);
        assert_eq!((run.status, run.stdout.as_str(), run.stderr.as_str()), (0, "through\n", ""), "{client}");
    }
    assert!(gate.logins() >= 2, "{}", gate.log());
    assert_eq!(instance(&home, "web-1").jump_keys, [gate.host_key("ed25519")]);
    change(&home, "web-1", |instance| instance.jump_keys = vec![server.host_key("ed25519")]);
    for client in CLIENTS {
        let run = home.in_store("machine", &[client, "ssh", "web-1", "echo", "through"]);
        assert_eq!(run.stdout, "", "{client}: the jump host has another key than the recorded one");
        assert_ne!(run.status, 0, "{client}");
    }
}

#[test]
fn a_first_contact_is_told_once() {
    let home = Home::new();
    let Some(server) = start(&home, "web-1") else { return };
    let run = home.in_store("machine", &["ssh", "web-1", "true"]);
    let want = format!("`web-1`: first contact; from now on its host key must be {}\n", server.fingerprint("ed25519"));
    assert_eq!((run.status, run.stderr.as_str()), (0, want.as_str()));
    assert_eq!(home.in_store("machine", &["ssh", "web-1", "true"]).stderr, "");
}

#[test]
fn keys_that_nobody_would_take_are_refused_in_docker_machines_words() {
    let home = Home::new();
    let Some(server) = start(&home, "web-1") else { return };
    let key = server.key().display().to_string();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let open = format!("permissions 0644 for '{key}' are too open\n");
    let missing = format!("stat {key}: no such file or directory\n");
    for want in [&open, &missing] {
        for words in [&["ssh", "web-1", "true"][..], &["ssh", "web-1", "-C", "true"], &["scp", "web-1:/x", "y"]] {
            let run = home.in_store("docker-machine", words);
            assert_eq!((run.status, run.stdout.as_str(), &run.stderr), (1, "", want), "{words:?}");
        }
        if want == &open {
            fs::remove_file(&key).unwrap();
        }
    }
}

#[test]
fn help_is_asked_for_where_a_name_would_be() {
    let home = Home::new();
    for word in ["-h", "-help", "--help"] {
        let run = home.docker_machine(&["ssh", word]);
        assert!(run.stdout.contains("Usage: docker-machine ssh"), "{word}: {run:?}");
        assert_eq!((run.status, run.stderr.as_str()), (0, ""), "{word}");
    }
    let run = home.docker_machine(&["ssh"]);
    assert_eq!(run.stderr, "Error: No machine name(s) specified and no \"default\" machine exists\n");
}

#[test]
fn a_lost_connection_is_255_and_says_so() {
    let home = Home::new();
    let Some(server) = start(&home, "web-1") else { return };
    home.in_store("machine", &["ssh", "web-1", "true"]);
    let mut command = machine(&home, &["ssh", "web-1", "echo up; sleep 60"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "up\n");
    server.kill();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(255), "{stderr}");
    assert!(stderr.starts_with("error: `web-1`: the connection broke"), "{stderr}");
}

/// A person: size and its changes, Ctrl-C and Ctrl-Z, the status, and a terminal that is as it was.
#[test]
fn a_login_shell_has_the_whole_terminal() {
    let home = Home::new();
    let Some(server) = start(&home, "web-1") else { return };
    home.in_store("machine", &["ssh", "web-1", "true"]);
    let Some(screen) = Screen::open(home.path(), 90, 30) else { return };
    let login = format!("./machine -s {} ssh web-1; echo ended=$?; stty -g > after", home.store().display());
    screen.types("stty -g > before");
    screen.types(&login);
    // What is typed is on the screen too, so nothing that is waited for is typed as it is.
    screen.types("PS1='%'; clear; echo at=$(stty size) of=$TERM");
    screen.shows("at=30 90 of=");
    screen.resize(120, 40);
    screen.types("clear; echo at=$(stty size)");
    screen.shows("at=40 120");
    screen.types("clear; echo s''leeping; sleep 1000");
    screen.shows("sleeping");
    screen.key("C-c");
    screen.types("echo status=$?");
    screen.shows("status=130");
    screen.types("clear; echo s''leeping; sleep 1001");
    screen.shows("sleeping");
    screen.key("C-z");
    screen.shows("Stopped");
    screen.types("kill -9 %1; wait %1; clear; echo g''one");
    screen.shows("gone");
    screen.types("exit 7");
    screen.shows("ended=7");
    screen::same(home.path(), "before", "after");

    // And when the other side goes without a word.
    screen.types("clear");
    screen.types(&login);
    screen.types("clear; echo over=${SSH_CONNECTION:+ssh}");
    screen.shows("over=ssh");
    server.kill();
    screen.shows("the connection broke");
    screen.shows("ended=255");
    screen::same(home.path(), "before", "after");
}

/// Ended from outside, it leaves the terminal as it was.
#[test]
fn a_terminal_is_restored_whatever_ends_the_session() {
    let home = Home::new();
    let Some(_server) = start(&home, "web-1") else { return };
    home.in_store("machine", &["ssh", "web-1", "true"]);
    let Some(screen) = Screen::open(home.path(), 90, 30) else { return };
    screen.types("stty -g > before");
    for (signal, status) in [("INT", 130), ("QUIT", 131), ("TERM", 143), ("HUP", 129)] {
        // Our side is signalled: its number is handed to the host in the command line.
        let inner = format!("exec ./machine -s {} ssh web-1 -t kill -{signal} $$\\; sleep 100", home.store().display());
        screen.types(&format!("clear; rm -f after; sh -c '{inner}'; echo ended=$?; stty -g > after"));
        screen.shows(&format!("ended={status}"));
        screen::same(home.path(), "before", "after");
    }
}

#[test]
fn machines_are_exported_for_openssh() {
    let home = Home::with_store("my store");
    let Some(server) = start(&home, "web-1") else { return };
    if !installed("ssh") {
        return;
    }
    home.none("other", "tcp://192.0.2.1:2376");
    add(&home, "web-2", server.target().ssh);
    home.in_store("machine", &["ssh", "web-1", "true"]);
    let run = home.in_store("machine", &["ssh-config"]);
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
    let hosts: Vec<&str> =
        run.stdout.lines().filter(|line| line.starts_with("Host ") || line.starts_with('#')).collect();
    assert_eq!(
        hosts,
        ["Host web-1", "# web-2 was never met, and is refused until then: machine ssh web-2 true", "Host web-2"]
    );
    let path = home.path().join("config");
    fs::File::create(&path).unwrap().write_all(run.stdout.as_bytes()).unwrap();
    let ssh = |name: &str| {
        #[expect(clippy::disallowed_methods, reason = "the export is for the real program")]
        let mut command = std::process::Command::new("ssh");
        command.arg("-F").arg(&path).args([name, "echo", "in"]).env("HOME", home.path()).output().unwrap()
    };
    assert_eq!(ssh("web-1").stdout, b"in\n");
    assert_eq!(ssh("web-2").stdout, b"", "it was never met");
    let run = home.in_store("machine", &["ssh-config", "other"]);
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("`other` cannot be logged in to"), "{}", run.stderr);
}

/// Pain 21: a machine whose address is a `Host` of ~/.ssh/config, by both clients, and in the lines for OpenSSH.
#[test]
fn a_host_of_the_users_ssh_config_is_a_machine() {
    let home = Home::new();
    let Some(server) = Server::start_for(hosts::SFTP, None) else { return };
    if !installed("ssh") {
        return;
    }
    add(&home, "web", server.target().ssh);
    let store = hosts::store(&home);
    let mut record = store.get(&machine::name::MachineName::new("web").unwrap()).unwrap();
    let ssh = record.instance.as_mut().unwrap().ssh.as_mut().unwrap();
    (ssh.host, ssh.port, ssh.key) = ("web1".to_owned(), 22, None);
    record.options = [("ip", "web1"), ("ssh-config", "~/.ssh/config")].map(|(k, v)| (k.to_owned(), v.into())).into();
    store.put(&record).unwrap();
    fs::create_dir(home.path().join(".ssh")).unwrap();
    let path = home.path().join(".ssh/config");
    let write = |text: &str| fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
    let block = format!(
        "Match exec true\n  Port 1\nHost web?\n  HostName 127.0.0.1\n  Port {}\n  User {}\n  IdentityFile {}\n",
        server.port,
        sshd::user(),
        server.key().display()
    );
    write(&block);
    for client in CLIENTS {
        let run = home.in_store("machine", &[client, "ssh", "web", "echo", "in"]);
        assert_eq!((run.status, run.stdout.as_str()), (0, "in\n"), "{}", run.stderr);
    }
    let run = home.in_store("machine", &["ssh-config", "web"]);
    for want in ["HostName 127.0.0.1", "IdentityFile", "StrictHostKeyChecking yes"] {
        assert!(run.stdout.contains(want), "{want}: {}", run.stdout);
    }
    // Another host at the other end of the name: both fingerprints, and no login.
    let Some(other) = Server::start_for("", Some(server.key())) else { return };
    write(&block.replace(&server.port.to_string(), &other.port.to_string()));
    let run = home.in_store("machine", &["ssh", "web", "true"]);
    assert_ne!(run.status, 0);
    assert!(run.stderr.contains(&server.fingerprint("ed25519")), "{}", run.stderr);
    assert!(run.stderr.contains(&other.fingerprint("ed25519")), "{}", run.stderr);
    let run = home.in_store("machine", &["--native-ssh=false", "ssh", "web", "true"]);
    assert!(run.status != 0 && run.stderr.contains("Host key verification failed"), "{}", run.stderr);
    assert_eq!(other.logins(), 0);
    // A wrong line is told with its place.
    write("Host web1\n  Port many\n");
    let run = home.in_store("machine", &["ssh", "web", "true"]);
    assert!(run.stderr.contains(".ssh/config line 2: `many` is not a port"), "{}", run.stderr);
    // Commands that log in nowhere do not read it.
    for words in [&["--version"][..], &["ip", "web"], &["inspect", "web"]] {
        assert_eq!(home.in_store("machine", words).status, 0, "{words:?}");
    }
}
