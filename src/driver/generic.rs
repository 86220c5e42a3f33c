//! Driver `generic`: a host that exists already and is reached over SSH.
//!
//! It makes, renames and removes nothing on the host; it only knows where the host is.

use super::{Driver, DriverContext, DriverError, Kind, OptionProblem, OptionSpec, PowerAction};
use crate::{
    fault,
    name::MachineName,
    quote::Sh,
    record::{Instance, Power, SshEndpoint},
    secret::Secret,
    transport::{
        Limits, Target, Transport, TransportError,
        route::{self, Lookup, Stop},
        ssh::SshConnect,
        ssh_config::files::Source,
    },
};
use async_trait::async_trait;
use serde::Deserialize;
use std::{
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{net::TcpStream, time::Instant};

pub(super) struct Generic;

/// How long a host has to accept a TCP connection before it counts as stopped.
const REACH: Duration = Duration::from_secs(5);
/// How long a host has to come back after a restart. Servers with much memory take minutes to test it.
const REBOOT: Duration = Duration::from_mins(10);
/// Between two looks at a host that restarts.
const POLL: Duration = Duration::from_secs(1);

/// Value of `ssh-config` for the user's file and the system's.
const USUAL_CONFIG: &str = "~/.ssh/config";
/// Value of `ssh-config` for no file.
const NO_CONFIG: &str = "none";
/// Value of `jump` for no host, whatever an `ssh_config` says.
const NO_JUMP: &str = "none";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Options {
    ip: String,
    ssh_user: Option<String>,
    ssh_port: Option<u16>,
    ssh_key: Option<String>,
    ssh_key_passphrase: Option<Secret>,
    jump: Option<String>,
    ssh_config: Option<String>,
    #[serde(rename = "engine-port")]
    _engine_port: u16,
}

impl Options {
    /// The endpoint as it is recorded: as it is looked up now. The key's path is made absolute, so that it means the
    /// same in every directory the program is started from.
    fn endpoint(&self, machine: &MachineName) -> Result<SshEndpoint, DriverError> {
        let key = self.ssh_key.as_deref().filter(|key| !key.is_empty()).map(key_path).transpose()?;
        let written = SshEndpoint {
            host: self.ip.clone(),
            port: self.ssh_port.unwrap_or(route::PORT),
            user: self.ssh_user.clone().unwrap_or_else(|| route::USER.to_owned()),
            key,
            jump: self.jump().filter(|jump| jump != NO_JUMP),
            passphrase: self.ssh_key_passphrase.clone(),
        };
        let Some(lookup) = self.lookup() else { return Ok(written) };
        let target = Target {
            machine: machine.clone(),
            ssh: written,
            host_keys: Vec::new(),
            jump_keys: Vec::new(),
            connect_timeout: REACH,
            patience: Duration::ZERO,
            lookup: Some(lookup),
        };
        let route = SshConnect::from_env().route(&target).map_err(|e| match e {
            TransportError::Config { why, .. } => DriverError::Unprepared {
                what: format!("the way to `{}` cannot be looked up: {why}", self.ip),
                help: "correct that place, or give address, user and key yourself and set `ssh-config: false`"
                    .to_owned(),
            },
            other => DriverError::Transport(other),
        })?;
        let Stop { host, port, user, .. } = route.last().clone();
        let SshEndpoint { key, passphrase, .. } = target.ssh;
        Ok(SshEndpoint { host, port, user, key, passphrase, jump: route.jump() })
    }

    fn jump(&self) -> Option<String> {
        self.jump.clone().filter(|jump| !jump.is_empty())
    }

    fn lookup(&self) -> Option<Lookup> {
        let source = match self.ssh_config.as_deref() {
            None | Some(NO_CONFIG | "") => return None,
            Some(USUAL_CONFIG) => Source::Usual,
            Some(path) => {
                let path = match (path.strip_prefix("~/"), std::env::home_dir()) {
                    (Some(rest), Some(home)) => home.join(rest),
                    _ => PathBuf::from(path),
                };
                Source::File(path)
            }
        };
        Some(Lookup {
            alias: self.ip.clone(),
            user: self.ssh_user.clone(),
            port: self.ssh_port,
            jump: self.jump(),
            source,
        })
    }

    fn instance(&self, machine: &MachineName) -> Result<Instance, DriverError> {
        let ssh = self.endpoint(machine)?;
        Ok(Instance {
            id: self.ip.clone(),
            address: ssh.host.clone(),
            ssh: Some(ssh),
            url: None,
            host_keys: Vec::new(),
            jump_keys: Vec::new(),
        })
    }
}

/// The absolute path of a key file that exists.
pub(super) fn key_path(text: &str) -> Result<String, DriverError> {
    let path = match (text.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        (Some(_), None) => {
            return Err(DriverError::Unprepared {
                what: format!("`~` in `{text}` cannot be replaced: there is no home directory"),
                help: "write the whole path of the key".to_owned(),
            });
        }
        (None, _) => PathBuf::from(text),
    };
    let path = std::path::absolute(&path).unwrap_or(path);
    if !path.is_file() {
        return Err(DriverError::Unprepared {
            what: format!("SSH key does not exist: \"{}\"", path.display()),
            help: "correct `ssh-key`, or leave it out to use the keys in ssh-agent".to_owned(),
        });
    }
    path.into_os_string().into_string().map_err(|path| DriverError::Unprepared {
        what: format!("the path of the SSH key is not UTF-8: {}", Path::new(&path).display()),
        help: "move the key to a path that is".to_owned(),
    })
}

/// Copies a private key into a folder, readable by us alone from the first byte on; its public half too, if
/// there is one. Gives the path of the copy.
pub(super) fn copy_key(key: &Path, dir: &Path) -> Result<String, DriverError> {
    let unprepared = |what: String| DriverError::Unprepared {
        what,
        help: "correct `ssh-key`, or leave it out to use the keys in ssh-agent".to_owned(),
    };
    let name = key.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| unprepared(format!("the SSH key has no file name: {}", key.display())))?;
    // The copy must not take the place of what else lies in the folder.
    let name = if [".pem", ".json", ".kdl"].iter().any(|end| name.ends_with(end)) {
        format!("{name}.key")
    } else {
        name.to_owned()
    };
    let copy = |from: &Path, to: &Path| -> std::io::Result<()> {
        let content = std::fs::read(from)?;
        fault::point("key.create", to)?;
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        fault::point("key.write", to)?;
        file.write_all(&content)?;
        file.as_file().sync_all()?;
        fault::point("key.rename", to)?;
        file.persist(to)?;
        Ok(())
    };
    let to = dir.join(&name);
    copy(key, &to)
        .map_err(|e| unprepared(format!("the SSH key {} cannot be copied to {}: {e}", key.display(), to.display())))?;
    let public = key.with_file_name(format!("{}.pub", key.file_name().unwrap_or_default().to_string_lossy()));
    if public.is_file() {
        // Only for people and other programs; we need it for nothing.
        let _ = copy(&public, &dir.join(format!("{name}.pub")));
    }
    Ok(to.to_string_lossy().into_owned())
}

/// Whether a text can be a host or a user: not empty, no option, no blank.
fn plain(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/' || c == '@')
}

fn problem(key: &str, message: String, help: &str) -> OptionProblem {
    OptionProblem { key: Some(key.to_owned()), message, help: Some(help.to_owned()) }
}

#[async_trait]
impl Driver for Generic {
    const NAME: &'static str = "generic";
    const ABOUT: &'static str = "a host that exists already, reached over SSH";
    const OPTIONS: &'static [OptionSpec] = &[
        // Another address is another host.
        OptionSpec::new(
            "ip",
            "generic-ip-address",
            Kind::Text,
            "address or name of the host, or a Host of the ssh_config",
        )
        .env("GENERIC_IP_ADDRESS")
        .required()
        .field("IPAddress"),
        OptionSpec::new(
            "ssh-user",
            "generic-ssh-user",
            Kind::Text,
            "user to log in as; root, or one who may run sudo without a password",
        )
        .env("GENERIC_SSH_USER")
        .fallback(route::USER)
        .field("SSHUser")
        .in_place(),
        OptionSpec::new("ssh-port", "generic-ssh-port", Kind::Port, "TCP port of the SSH server")
            .env("GENERIC_SSH_PORT")
            .fallback("22")
            .field("SSHPort")
            .in_place(),
        OptionSpec::new(
            "ssh-key",
            "generic-ssh-key",
            Kind::Path,
            "private key to log in with; without it, the keys in ssh-agent",
        )
        .env("GENERIC_SSH_KEY")
        .field("SSHKey")
        .in_place(),
        OptionSpec::new(
            "ssh-key-passphrase",
            "generic-ssh-key-passphrase",
            Kind::Text,
            "passphrase of that key, by reference",
        )
        .env("GENERIC_SSH_KEY_PASSPHRASE")
        .secret()
        .in_place(),
        OptionSpec::new(
            "jump",
            "generic-jump",
            Kind::Text,
            "hosts to go through, as user@host:port, comma between them; none: no host",
        )
        .env("GENERIC_JUMP")
        .in_place(),
        // A machine of which nobody wrote it, as docker-machine's are, is reached as it is recorded.
        OptionSpec::new(
            "ssh-config",
            "generic-ssh-config",
            Kind::Path,
            "ssh_config that says the rest about the host and hosts to go through; none: nothing is looked up",
        )
        .env("GENERIC_SSH_CONFIG")
        .default(USUAL_CONFIG)
        .fallback(NO_CONFIG)
        .in_place(),
        OptionSpec::new("engine-port", "generic-engine-port", Kind::Port, "TCP port of the engine")
            .env("GENERIC_ENGINE_PORT")
            .default("2376")
            .field("EnginePort")
            .recorded(),
    ];
    const CREATES: bool = false;
    type Options = Options;

    fn check(options: &Options) -> Vec<OptionProblem> {
        let mut problems = Vec::new();
        if !plain(&options.ip) {
            problems.push(problem("ip", format!("`{}` is not an address", options.ip), "write an address or a name"));
        }
        if let Some(user) = options.ssh_user.as_deref().filter(|user| !plain(user)) {
            problems.push(problem("ssh-user", format!("`{user}` is not a user"), "write a login name"));
        }
        // In a fleet file it would mean another file in every directory.
        let whole = |path: &str| ["", NO_CONFIG].contains(&path) || path.starts_with(['/', '~']);
        if let Some(path) = options.ssh_config.as_deref().filter(|path| !whole(path)) {
            let help = "write its whole path, one that starts with `~/`, or `false` for none";
            problems.push(problem("ssh-config", format!("`{path}` means another file in every directory"), help));
        }
        if let Some(jump) = options.jump().filter(|jump| route::jumps(jump).is_err()) {
            problems.push(problem("jump", format!("`{jump}` is not a host"), "write it as `user@host:port`"));
        }
        problems
    }

    fn lookup(options: &Options) -> Option<Lookup> {
        options.lookup()
    }

    /// The host is there whether we know it or not.
    async fn find(&self, cx: &DriverContext<'_>, options: &Options) -> Result<Option<Instance>, DriverError> {
        options.instance(cx.machine).map(Some)
    }

    /// Of a machine that no fleet owns the key is copied into the machine's folder, as docker-machine does: its
    /// original may be a temporary one. In a fleet the key stays where its file says it is.
    async fn create(&self, cx: &DriverContext<'_>, options: &Options) -> Result<Instance, DriverError> {
        let mut instance = options.instance(cx.machine)?;
        let key = instance.ssh.as_mut().and_then(|ssh| ssh.key.as_mut()).filter(|_| cx.fleet.is_none());
        if let Some(key) = key {
            *key = copy_key(Path::new(key.as_str()), cx.dir)?;
        }
        Ok(instance)
    }

    async fn change(
        &self,
        cx: &DriverContext<'_>,
        instance: &Instance,
        options: &Options,
    ) -> Result<Instance, DriverError> {
        let ssh = options.endpoint(cx.machine)?;
        // What is pinned is the key of the jump host of before.
        let same_jump = instance.ssh.as_ref().is_some_and(|before| before.jump == ssh.jump);
        let jump_keys = if same_jump { instance.jump_keys.clone() } else { Vec::new() };
        // What docker-machine wrote of the address stays where nothing else knows better.
        let address = options.lookup().map_or_else(|| instance.address.clone(), |_| ssh.host.clone());
        Ok(Instance { address, ssh: Some(ssh), jump_keys, ..instance.clone() })
    }

    /// A host whose SSH port answers runs; one that does not, counts as stopped.
    async fn power(
        &self,
        cx: &DriverContext<'_>,
        instance: &Instance,
        options: &Options,
    ) -> Result<Power, DriverError> {
        let mut place = instance.ssh.as_ref().map_or_else(
            || (options.ip.clone(), options.ssh_port.unwrap_or(route::PORT)),
            |ssh| (ssh.host.clone(), ssh.port),
        );
        if let Some(target) = target(cx, instance, options) {
            let Ok(route) = SshConnect::from_env().route(&target) else { return Ok(Power::Unknown) };
            if !route.through().is_empty() || route.last().command.is_some() {
                return Ok(match cx.connect.connect(&target).await {
                    Ok(_) | Err(TransportError::Auth { .. } | TransportError::HostKey { .. }) => Power::Running,
                    Err(TransportError::Key { .. } | TransportError::Config { .. }) => Power::Unknown,
                    Err(_) => Power::Stopped,
                });
            }
            place = (route.last().host.clone(), route.last().port);
        }
        let answered = tokio::time::timeout(REACH, TcpStream::connect(place)).await;
        Ok(if matches!(answered, Ok(Ok(_))) { Power::Running } else { Power::Stopped })
    }

    async fn set_power(
        &self,
        cx: &DriverContext<'_>,
        instance: &Instance,
        options: &Options,
        action: PowerAction,
    ) -> Result<Instance, DriverError> {
        match action {
            PowerAction::Start | PowerAction::Stop | PowerAction::Kill => {
                Err(DriverError::Cannot { driver: "generic", what: action.what() })
            }
            PowerAction::Restart => {
                let target =
                    target(cx, instance, options).ok_or(DriverError::Cannot { driver: "generic", what: "restart" })?;
                reboot(cx, &target, POLL).await?;
                Ok(instance.clone())
            }
        }
    }

    async fn rm(&self, _: &DriverContext<'_>, _: &Instance, _: &Options) -> Result<(), DriverError> {
        Ok(())
    }
}

/// How to log in.
fn target(cx: &DriverContext<'_>, instance: &Instance, options: &Options) -> Option<Target> {
    let target = Target::of(cx.machine, instance, cx.dir)?;
    Some(Target { lookup: options.lookup(), ..target })
}

/// Restarts a host and waits until it has started anew, which its boot id tells.
async fn reboot(cx: &DriverContext<'_>, target: &Target, poll: Duration) -> Result<(), DriverError> {
    let transport = cx.connect.connect(target).await.map_err(DriverError::Transport)?;
    let before = boot_id(&*transport).await.map_err(DriverError::Transport)?;
    match transport.run_as_root(&Sh::text("systemctl reboot"), Limits::SHORT, &mut |_| ()).await {
        Ok(output) if output.status != 0 && output.status < 128 => {
            return Err(DriverError::Refused {
                doing: "restarting the host".to_owned(),
                why: format!("`systemctl reboot` ended with status {}: {}", output.status, output.stderr.trim()),
                help: "log in and restart it by hand".to_owned(),
            });
        }
        // A broken connection is what a restart looks like from here.
        Ok(_) | Err(TransportError::Broken { .. } | TransportError::Timeout { .. }) => {}
        Err(e) => return Err(DriverError::Transport(e)),
    }
    drop(transport);
    (cx.progress)("waiting for the host to come back");
    let deadline = Instant::now() + REBOOT;
    let mut last = "it still answers as before".to_owned();
    while Instant::now() < deadline {
        tokio::time::sleep(poll).await;
        let look = async { boot_id(&*cx.connect.connect(target).await?).await };
        match tokio::time::timeout(REACH + target.connect_timeout, look).await {
            Ok(Ok(now)) if now != before => return Ok(()),
            Ok(Err(e)) if !e.is_transient() => return Err(DriverError::Transport(e)),
            Ok(Err(e)) => last = e.to_string(),
            Ok(Ok(_)) | Err(_) => {}
        }
    }
    Err(DriverError::Lost { doing: "waiting for the host to come back after a restart".to_owned(), why: last })
}

/// What tells one start of a host from another.
pub(super) async fn boot_id(transport: &dyn Transport) -> Result<String, TransportError> {
    let ask = Sh::text("cat /proc/sys/kernel/random/boot_id");
    Ok(transport.run(&ask, b"", Limits::SHORT, &mut |_| ()).await?.stdout.trim().to_owned())
}

#[cfg(test)]
mod tests {
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
                (other, _) => panic!("nobody may run `{other}`"),
            }
        }
        async fn open_unix(&self, _: &str) -> Result<Pin<Box<dyn Stream>>, TransportError> {
            panic!("nobody may open a socket")
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
}
