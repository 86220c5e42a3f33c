//! What OpenSSH's programs are told of a machine: its part of an `ssh_config`, and its `known_hosts`.
//!
//! Texts only: nothing is read, written or run here. As everywhere, a host shows a pinned key or is refused.

use super::{
    Target,
    route::{Agent, Keys, Route, Stop},
};
use crate::quote::quote;
use std::path::Path;
use thiserror::Error;

/// The texts of the two files.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OpenSsh {
    /// `Host` blocks: one for the machine, by its name, and one for each jump host.
    pub config: String,
    /// The pinned keys, under names that nothing else has.
    pub known_hosts: String,
}

/// What an `ssh_config` cannot say.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum OpenSshError {
    /// A value that would be read as another one.
    #[error("{what} cannot be written in an ssh_config: `{}`", value.escape_debug())]
    Value {
        /// What it is.
        what: &'static str,
        /// The value.
        value: String,
    },
}

/// Where the files of a machine lie, and the key it is logged in to with.
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    /// The `ssh_config` itself: a jump host is reached by another ssh, which reads it too.
    pub config: &'a Path,
    /// The `known_hosts`.
    pub known_hosts: &'a Path,
    /// The private key, `~` replaced; `None`: those of the agent, and the usual ones.
    pub key: Option<&'a Path>,
}

impl OpenSsh {
    /// The texts for a machine that is reached by this way.
    ///
    /// # Errors
    /// When a path or a name cannot be written in such a file.
    pub fn of(target: &Target, route: &Route, files: Files<'_>) -> Result<Self, OpenSshError> {
        let (mut config, mut known_hosts) = (String::new(), String::new());
        let limit = target.connect_timeout.as_secs().max(1);
        let jumps = route.through().len();
        for (place, stop) in route.stops.iter().enumerate().rev() {
            let name = block_name(target, jumps - place);
            let alias = format!("machine-{name}");
            let mut block = Block::new(&name, stop.host.trim_matches(['[', ']']), stop.port, &stop.user)?;
            block.login(&alias, stop, files, limit)?;
            if place > 0 {
                // `ProxyJump` would give its ssh the path of this file without quoting it. The command is for a shell.
                let path = plain("the path of the store", &files.config.to_string_lossy())?;
                let next = block_name(target, jumps - place + 1);
                block.line("ProxyCommand", &format!("ssh -F {} -W '[%h]:%p' {next}", quote(&path)));
            } else if let Some(command) = &stop.command {
                block.line("ProxyCommand", &plain("the ProxyCommand", command)?);
            }
            config.push_str(&block.0);
            let keys = if place == jumps {
                &target.host_keys[..]
            } else if jumps > 1 && target.jump_keys.len() == jumps {
                &target.jump_keys[place..=place]
            } else {
                &target.jump_keys[..]
            };
            known_hosts.push_str(&lines(&alias, keys));
        }
        Ok(Self { config, known_hosts })
    }
}

/// What a block is called: the machine's name, and for the jump hosts, the nearest first, others. No machine can have a
/// name with an underscore.
fn block_name(target: &Target, away: usize) -> String {
    match away {
        0 => target.machine.to_string(),
        1 => format!("{}_jump", target.machine),
        n => format!("{}_jump{n}", target.machine),
    }
}

/// A `Host` block.
struct Block(String);

impl Block {
    fn new(name: &str, host: &str, port: u16, user: &str) -> Result<Self, OpenSshError> {
        let mut block = Self(format!("Host {name}\n"));
        block.line("HostName", &value("the address", host)?);
        block.line("Port", &port.to_string());
        block.line("User", &quoted("the user", user)?);
        Ok(block)
    }

    fn line(&mut self, key: &str, value: &str) {
        self.0.push_str(&format!("  {key} {value}\n"));
    }

    /// How to know the host, and how to be known by it.
    fn login(&mut self, alias: &str, stop: &Stop, files: Files<'_>, connect_s: u64) -> Result<(), OpenSshError> {
        self.line("HostKeyAlias", alias);
        self.line("UserKnownHostsFile", &value("the path of the store", &files.known_hosts.to_string_lossy())?);
        self.line("GlobalKnownHostsFile", "/dev/null");
        self.line("StrictHostKeyChecking", "yes");
        // What is pinned is ours to write.
        self.line("UpdateHostKeys", "no");
        self.line("CheckHostIP", "no");
        let (keys, only) = match &stop.keys {
            Keys::Given(path) => {
                (vec![files.key.map_or_else(|| path.clone(), |key| key.to_string_lossy().into_owned())], true)
            }
            Keys::Usual => (Vec::new(), false),
            Keys::Listed { files, only } => (files.clone(), *only),
        };
        for key in keys {
            self.line("IdentityFile", &value("the path of the key", &key)?);
        }
        if only {
            self.line("IdentitiesOnly", "yes");
        }
        match &stop.agent {
            Agent::Usual => {}
            Agent::Never => self.line("IdentityAgent", "none"),
            Agent::At(socket) => self.line("IdentityAgent", &value("the agent's socket", &socket.to_string_lossy())?),
        }
        self.line("PasswordAuthentication", "no");
        self.line("KbdInteractiveAuthentication", "no");
        self.line("ConnectTimeout", &stop.connect_timeout.map_or(connect_s, |limit| limit.as_secs()).to_string());
        self.line("ConnectionAttempts", "3");
        self.line("ServerAliveInterval", &stop.keepalive.map_or(15, |every| every.as_secs()).to_string());
        self.line("ServerAliveCountMax", "4");
        Ok(())
    }
}

/// Lines of a `known_hosts`: without comments, for those may hold anything.
fn lines(alias: &str, keys: &[String]) -> String {
    let line = |key: &String| {
        let mut words = key.split_whitespace();
        Some(format!("{alias} {} {}\n", words.next()?, words.next()?))
    };
    keys.iter().filter_map(line).collect()
}

/// A value with `%` doubled, for keywords that replace `%h` and the like (TOKENS in its manual).
fn value(what: &'static str, text: &str) -> Result<String, OpenSshError> {
    quoted(what, &plain(what, text)?)
}

/// `%` doubled. A variable cannot be escaped.
fn plain(what: &'static str, text: &str) -> Result<String, OpenSshError> {
    if text.contains("${") || text.contains(char::is_control) {
        return Err(OpenSshError::Value { what, value: text.to_owned() });
    }
    Ok(text.replace('%', "%%"))
}

/// In double quotes, where only `\` and `"` mean something.
fn quoted(what: &'static str, text: &str) -> Result<String, OpenSshError> {
    if text.is_empty() || text.contains(char::is_control) {
        return Err(OpenSshError::Value { what, value: text.to_owned() });
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-:%@+,".contains(c);
    if text.chars().all(is_plain) && !text.starts_with('-') {
        return Ok(text.to_owned());
    }
    Ok(format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\"")))
}

#[cfg(test)]
#[path = "openssh_tests.rs"]
mod tests;
