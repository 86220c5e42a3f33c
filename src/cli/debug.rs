//! `--debug`: what is asked of hosts and engines, and how long they take, on standard error.
//!
//! What goes in on standard input is never shown: scripts carry keys.

use super::{CliError, Cx};
use crate::{
    docker::{DockerApi, DockerError, Endpoint, EngineVersion},
    engine::env::without_passwords,
    harmless::harmless,
    name::MachineName,
    quote::Sh,
    transport::{Connect, Limits, LineSink, Output, Stream, Target, Transport, TransportError},
    world::World,
};
use async_trait::async_trait;
use std::{fmt::Display, io::Write as _, pin::Pin, sync::Arc, time::Duration};
use tokio::time::Instant;

/// The variable that decides, whatever the command line says.
const VARIABLE: &str = "MACHINE_DEBUG";

/// Whether to tell what is done.
///
/// # Errors
/// When the variable is no boolean, in docker-machine's words.
pub(super) fn wanted(flag: bool) -> Result<bool, CliError> {
    let Ok(value) = std::env::var(VARIABLE) else { return Ok(flag) };
    match value.as_str() {
        "" => Ok(flag),
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        other => Err(CliError::Said {
            what: format!(
                "Error parsing boolean value from {VARIABLE}: strconv.ParseBool: parsing {other:?}: invalid syntax"
            ),
            help: Some("set it to 1 or 0, or unset it".to_owned()),
        }),
    }
}

/// The same world, which tells what is asked of it.
pub(super) fn traced(cx: &Cx, world: World) -> World {
    if !cx.debug {
        return world;
    }
    say(format_args!("store {}", world.store.files.root().display()));
    World { connect: Arc::new(Connecting(world.connect)), docker: Arc::new(Asking(world.docker)), ..world }
}

fn say(what: impl Display) {
    // A closed standard error stops nothing.
    let _ = writeln!(std::io::stderr(), "DBG | {}", harmless(&what.to_string()));
}

fn ended<T, E: Display>(begun: Instant, result: &Result<T, E>, well: impl FnOnce(&T) -> String) -> String {
    let how = match result {
        Ok(value) => well(value),
        Err(e) => format!("failed: {e}"),
    };
    format!("{how} after {} ms", begun.elapsed().as_millis())
}

/// What a command runs. All behind it may be secret: words of `machine ssh` may be any.
fn program(command: &str) -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || "/._-".contains(*c);
    let word: String = command.trim_start().chars().take_while(is_plain).take(40).collect();
    // What is not followed by a blank is an assignment, or something else that is no program.
    let ends = command.trim_start()[word.len()..].chars().next().is_none_or(char::is_whitespace);
    if word.is_empty() || !ends { "a script".to_owned() } else { word }
}

struct Connecting(Arc<dyn Connect>);

#[async_trait]
impl Connect for Connecting {
    async fn connect(&self, target: &Target) -> Result<Arc<dyn Transport>, TransportError> {
        let begun = Instant::now();
        let result = self.0.connect(target).await;
        let how = ended(begun, &result, |_| "connected".to_owned());
        let (ssh, machine) = (&target.ssh, &target.machine);
        let through = ssh.jump.as_ref().map_or(String::new(), |jump| format!(" through {jump}"));
        say(format_args!("({machine}) ssh {}@{} port {}{through}: {how}", ssh.user, ssh.host, ssh.port));
        Ok(Arc::new(Running { machine: machine.clone(), inner: result? }))
    }

    fn limit_bastions(&self, most: usize) {
        self.0.limit_bastions(most);
    }
}

struct Running {
    machine: MachineName,
    inner: Arc<dyn Transport>,
}

#[async_trait]
impl Transport for Running {
    async fn run(
        &self,
        command: &Sh,
        stdin: &[u8],
        limits: Limits,
        lines: LineSink<'_>,
    ) -> Result<Output, TransportError> {
        let begun = Instant::now();
        let result = self.inner.run(command, stdin, limits, lines).await;
        let how = ended(begun, &result, |output| {
            let (out, err) = (output.stdout.len(), output.stderr.len());
            format!("status {}, {out} bytes on stdout, {err} on stderr", output.status)
        });
        let program = program(command.as_str());
        say(format_args!("({}) run `{program}` with {} bytes of input: {how}", self.machine, stdin.len()));
        result
    }

    async fn open_unix(&self, path: &str) -> Result<Pin<Box<dyn Stream>>, TransportError> {
        let begun = Instant::now();
        let result = self.inner.open_unix(path).await;
        say(format_args!("({}) socket {path}: {}", self.machine, ended(begun, &result, |_| "open".to_owned())));
        result
    }

    fn host_key(&self) -> String {
        self.inner.host_key()
    }

    fn jump_key(&self) -> Option<String> {
        self.inner.jump_key()
    }

    fn jump_keys(&self) -> Vec<String> {
        self.inner.jump_keys()
    }

    fn needs_sudo(&self) -> bool {
        self.inner.needs_sudo()
    }

    fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }
}

struct Asking(Arc<dyn DockerApi>);

#[async_trait]
impl DockerApi for Asking {
    async fn version(
        &self,
        machine: &MachineName,
        endpoint: &Endpoint,
        timeout: Duration,
    ) -> Result<EngineVersion, DockerError> {
        let begun = Instant::now();
        let result = self.0.version(machine, endpoint, timeout).await;
        let how = ended(begun, &result, |version| format!("{} (API {})", version.version, version.api));
        let place = match endpoint {
            Endpoint::Tls { host, port, .. } => format!("{host} port {port} with TLS"),
            Endpoint::Ssh { socket, .. } => format!("{socket} over SSH"),
            Endpoint::Plain(url) => without_passwords(url),
        };
        say(format_args!("({machine}) engine at {place}: {how}"));
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_program_of_a_command_is_told() {
        for (command, want) in [
            ("sh -s", "sh"),
            ("mysql -pSECRET", "mysql"),
            ("/usr/bin/env TOKEN=SECRET x", "/usr/bin/env"),
            ("TOKEN=SECRET x", "a script"),
            ("'a b' SECRET", "a script"),
            ("SECRET=", "a script"),
            ("cat\nSECRET", "cat"),
            ("", "a script"),
        ] {
            assert_eq!(program(command), want, "{command}");
        }
    }
}
