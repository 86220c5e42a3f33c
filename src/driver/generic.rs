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
    const CREATES: bool = false;
    type Options = Options;

    fn options() -> Vec<OptionSpec> {
        vec![
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
            // Where it is not written, as for docker-machine's machines, the recorded address is used.
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
        ]
    }

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
    /// It makes none.
    async fn place(&self, _: &DriverContext<'_>, _: &Options) -> Result<Option<String>, DriverError> {
        Ok(None)
    }

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
                Err(DriverError::cannot(Self::NAME, action.what()))
            }
            PowerAction::Restart => {
                let target = target(cx, instance, options).ok_or_else(|| DriverError::cannot(Self::NAME, "restart"))?;
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
#[path = "generic_tests.rs"]
mod tests;
