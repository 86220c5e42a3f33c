use super::*;
use crate::transport::{Connect, LineSink, Output, Stream};
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

/// A host that loses the connection while it restarts, refuses two more, then answers anew.
struct Restarting {
    refusals: AtomicU32,
    boots: Arc<AtomicU32>,
}

struct Up(Arc<AtomicU32>);

fn broken(doing: &str) -> TransportError {
    let machine = MachineName::new("web-1").unwrap();
    TransportError::Broken { machine, doing: doing.to_owned(), why: "end of file".to_owned() }
}

#[async_trait]
impl Connect for Restarting {
    async fn connect(&self, _: &Target) -> Result<Arc<dyn Transport>, TransportError> {
        let restarting = self.boots.load(Ordering::SeqCst) > 0;
        if restarting && self.refusals.fetch_sub(1, Ordering::SeqCst) > 1 {
            return Err(broken("connecting"));
        }
        Ok(Arc::new(Up(self.boots.clone())))
    }
}

#[async_trait]
impl Transport for Up {
    async fn run(&self, command: &Sh, stdin: &[u8], _: Limits, _: LineSink<'_>) -> Result<Output, TransportError> {
        match (command.as_str(), stdin) {
            ("cat /proc/sys/kernel/random/boot_id", b"") => {
                let stdout = format!("boot-{}\n", self.0.load(Ordering::SeqCst));
                Ok(Output { stdout, ..Output::default() })
            }
            ("sudo -n sh -s", b"systemctl reboot\n") => {
                self.0.fetch_add(1, Ordering::SeqCst);
                Err(broken("running a command"))
            }
            (other, _) => panic!("`{other}` must not be run"),
        }
    }
    async fn open_unix(&self, _: &str) -> Result<Pin<Box<dyn Stream>>, TransportError> {
        panic!("no socket must be opened")
    }
    fn host_key(&self) -> String {
        "ssh-ed25519 AAAA".to_owned()
    }
    fn jump_key(&self) -> Option<String> {
        None
    }
    fn needs_sudo(&self) -> bool {
        true
    }
    fn is_closed(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn a_restart_has_ended_when_the_host_answers_with_another_boot_id() {
    let boots = Arc::new(AtomicU32::new(0));
    let host = Restarting { refusals: AtomicU32::new(3), boots: boots.clone() };
    let instance = options().instance(&name()).unwrap();
    super::super::compliance::with_context(async |cx| {
        let cx = DriverContext { connect: &host, ..*cx };
        let target = Target::of(cx.machine, &instance, cx.dir).unwrap();
        reboot(&cx, &target, Duration::ZERO).await.unwrap();
    })
    .await;
    assert_eq!(boots.load(Ordering::SeqCst), 1, "restarted once");
    assert_eq!(host.refusals.load(Ordering::SeqCst), 0, "asked until it answered");
}

fn name() -> MachineName {
    MachineName::new("web-1").unwrap()
}

fn options() -> Options {
    Options {
        ip: "192.0.2.10".to_owned(),
        ssh_user: None,
        ssh_port: None,
        ssh_key: None,
        ssh_key_passphrase: None,
        jump: None,
        ssh_config: None,
        _engine_port: 2376,
    }
}

#[test]
fn a_missing_key_is_named_with_its_whole_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("id_none");
    let error = Options { ssh_key: Some(path.display().to_string()), ..options() }.instance(&name()).unwrap_err();
    assert_eq!(error.to_string(), format!("SSH key does not exist: \"{}\"", path.display()));
    assert!(error.help().unwrap().contains("ssh-agent"));
}

#[test]
fn a_key_is_recorded_by_its_absolute_path() {
    let key =
        Options { ssh_key: Some("Cargo.toml".to_owned()), ..options() }.instance(&name()).unwrap().ssh.unwrap().key;
    assert!(Path::new(&key.unwrap()).is_absolute());
}

/// Pain 21: an alias is what was written; what it stands for is recorded, and looked up again at each login.
#[test]
fn an_alias_is_recorded_as_what_it_stands_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config");
    let text = "Host web1\n HostName 192.0.2.7\n Port 2200\n User deploy\n ProxyJump me@gate\n IdentityFile /k\n";
    std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), text.as_bytes()).unwrap();
    let file = Some(path.display().to_string());
    let written = Options { ip: "web1".to_owned(), ssh_config: file, ..options() };
    let instance = written.instance(&name()).unwrap();
    assert_eq!((instance.id.as_str(), instance.address.as_str()), ("web1", "192.0.2.7"));
    let want = SshEndpoint {
        host: "192.0.2.7".to_owned(),
        port: 2200,
        user: "deploy".to_owned(),
        key: None,
        jump: Some("me@gate:22".to_owned()),
        passphrase: None,
    };
    assert_eq!(instance.ssh, Some(want));
    assert_eq!(written.lookup().unwrap().alias, "web1");
    let given = Options { ssh_user: Some("root".to_owned()), jump: Some("none".to_owned()), ..written };
    let ssh = given.instance(&name()).unwrap().ssh.unwrap();
    assert_eq!((ssh.user.as_str(), ssh.port, ssh.jump), ("root", 2200, None), "what is given counts");
    for none in [None, Some("none".to_owned())] {
        let plain = Options { ip: "web1".to_owned(), ssh_config: none, ..options() };
        assert!(plain.lookup().is_none());
        assert_eq!(plain.instance(&name()).unwrap().address, "web1");
    }
    let missing = Options { ssh_config: Some("/nowhere/config".to_owned()), ..options() };
    let error = missing.instance(&name()).unwrap_err();
    assert!(error.to_string().contains("/nowhere/config: there is no such file"), "{error}");
}

#[tokio::test]
async fn another_jump_host_is_a_first_contact() {
    let via = |jump: &str| Options { jump: Some(jump.to_owned()), ..options() };
    let mut instance = via("root@192.0.2.1").instance(&name()).unwrap();
    instance.pin("ssh-ed25519 AAAA".to_owned(), Some("ssh-ed25519 BBBB".to_owned()));
    super::super::compliance::with_context(async |cx| {
        let same = Generic.change(cx, &instance, &via("root@192.0.2.1")).await.unwrap();
        assert_eq!(same, instance);
        let other = Generic.change(cx, &instance, &via("root@192.0.2.2")).await.unwrap();
        assert_eq!((other.host_keys, other.jump_keys), (instance.host_keys.clone(), Vec::new()));
    })
    .await;
}

#[test]
fn what_could_be_an_option_or_two_words_is_no_host() {
    for bad in ["", "-oProxyCommand=x", "a b", "a\n", "u@h"] {
        assert_eq!(Generic::check(&Options { ip: bad.to_owned(), ..options() }).len(), 1, "{bad:?}");
    }
    for good in ["192.0.2.10", "2001:db8::1", "web.example"] {
        assert!(Generic::check(&Options { ip: good.to_owned(), ..options() }).is_empty(), "{good}");
    }
}

#[test]
fn a_jump_host_is_user_host_and_port() {
    let problems = |jump: &str| Generic::check(&Options { jump: Some(jump.to_owned()), ..options() });
    for good in ["h", "u@h", "u@h:22", "[2001:db8::1]:22", "u@[::1]", "u@h:22,other", "none"] {
        assert!(problems(good).is_empty(), "{good}");
    }
    for bad in ["@h", "u@", "h:0", "h:port", "-h", "u@h:22 -x", "[::1]x"] {
        assert_eq!(problems(bad).len(), 1, "{bad}");
    }
}

#[tokio::test]
async fn a_host_runs_while_its_ssh_port_accepts() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let options = Options { ip: "127.0.0.1".to_owned(), ssh_port: Some(port), ..options() };
    let instance = options.instance(&name()).unwrap();
    super::super::compliance::with_context(async |cx| {
        assert_eq!(Generic.power(cx, &instance, &options).await.unwrap(), Power::Running);
        drop(listener);
        assert_eq!(Generic.power(cx, &instance, &options).await.unwrap(), Power::Stopped);
    })
    .await;
}
