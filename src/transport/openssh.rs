//! What OpenSSH's programs are told of a machine: its part of an `ssh_config`, and its `known_hosts`.
//!
//! Texts only: nothing is read, written or run here. As everywhere, a host shows a pinned key or is refused.

use super::{Target, ssh::JumpHost};
use crate::quote::quote;
use std::path::Path;
use thiserror::Error;

/// The texts of the two files.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OpenSsh {
    /// `Host` blocks: one for the machine, by its name, and one for its jump host.
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
    /// A jump host that cannot be read.
    #[error("{0}")]
    Jump(String),
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
    /// The texts for a machine.
    ///
    /// # Errors
    /// When a path or a name cannot be written in such a file.
    pub fn of(target: &Target, files: Files<'_>) -> Result<Self, OpenSshError> {
        let (ssh, name) = (&target.ssh, &target.machine);
        let alias = format!("machine-{name}");
        let host = ssh.host.trim_matches(['[', ']']);
        let mut text = Block::new(name.as_str(), host, ssh.port, &ssh.user)?;
        text.login(&alias, files, target.connect_timeout.as_secs().max(1))?;
        let mut known_hosts = lines(&alias, &target.host_keys);
        if let Some(jump) = &ssh.jump {
            let jump = JumpHost::parse(jump, &ssh.user).map_err(OpenSshError::Jump)?;
            // No machine can have a name with an underscore.
            let (jump_name, jump_alias) = (format!("{name}_jump"), format!("{alias}_jump"));
            // `ProxyJump` would give its ssh the path of this file without quoting it. The command is for a shell.
            let path = plain("the path of the store", &files.config.to_string_lossy())?;
            text.line("ProxyCommand", &format!("ssh -F {} -W '[%h]:%p' {jump_name}", quote(&path)));
            let mut block = Block::new(&jump_name, jump.host(), jump.port(), jump.user())?;
            block.login(&jump_alias, files, target.connect_timeout.as_secs().max(1))?;
            text.0.push_str(&block.0);
            known_hosts.push_str(&lines(&jump_alias, &target.jump_keys));
        }
        Ok(Self { config: text.0, known_hosts })
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
    fn login(&mut self, alias: &str, files: Files<'_>, connect_s: u64) -> Result<(), OpenSshError> {
        self.line("HostKeyAlias", alias);
        self.line("UserKnownHostsFile", &value("the path of the store", &files.known_hosts.to_string_lossy())?);
        self.line("GlobalKnownHostsFile", "/dev/null");
        self.line("StrictHostKeyChecking", "yes");
        // What is pinned is ours to write.
        self.line("UpdateHostKeys", "no");
        self.line("CheckHostIP", "no");
        if let Some(key) = files.key {
            self.line("IdentityFile", &value("the path of the key", &key.to_string_lossy())?);
            self.line("IdentitiesOnly", "yes");
        }
        self.line("PasswordAuthentication", "no");
        self.line("KbdInteractiveAuthentication", "no");
        self.line("ConnectTimeout", &connect_s.to_string());
        self.line("ConnectionAttempts", "3");
        self.line("ServerAliveInterval", "15");
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
