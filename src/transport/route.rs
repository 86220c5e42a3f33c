//! The way to a host: which hosts to go through, and how each of them is reached and logged in to.
//!
//! It is found from what is recorded, or looked up in an `ssh_config` each time it is needed. Nothing is read here.

use super::{
    Target,
    ssh_config::{Ask, Rules, Settings, SshConfigError, Tokens, files::Source},
};
use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

/// The hosts on the way, in the order they are met; the last is the machine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Route {
    /// At least one.
    pub stops: Vec<Stop>,
    /// What of an `ssh_config` could not be honoured.
    pub warnings: Vec<String>,
}

/// One host on the way.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Stop {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whom to log in.
    pub user: String,
    /// With which keys.
    pub keys: Keys,
    /// Which agent holds keys.
    pub agent: Agent,
    /// Command whose input and output lead there, instead of a TCP connection.
    pub command: Option<String>,
    /// How long a connection may take; `None`: as long as the target says.
    pub connect_timeout: Option<Duration>,
    /// How often it is asked whether it is there, when silent.
    pub keepalive: Option<Duration>,
}

/// Private keys.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Keys {
    /// This file, and no other.
    Given(String),
    /// Those of the agent, and the usual files.
    Usual,
    /// These files first; then those of the agent, unless `only` these are wanted.
    Listed {
        /// Paths.
        files: Vec<String>,
        /// Whether the agent's other keys are left alone.
        only: bool,
    },
}

/// An SSH agent.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Agent {
    /// That of the environment.
    Usual,
    /// None.
    Never,
    /// The one that listens here.
    At(PathBuf),
}

/// The name a host is looked up by, and what was given beside it and therefore counts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lookup {
    /// As it was written.
    pub alias: String,
    /// The user.
    pub user: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// Hosts to go through, as `user@host:port,…`.
    pub jump: Option<String>,
    /// Where to look.
    pub source: Source,
}

/// Who looks something up.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Asker {
    /// Login name.
    pub user: String,
    /// Home directory.
    pub home: String,
    /// Variables of the environment.
    pub vars: BTreeMap<String, String>,
}

/// The login when none is given.
pub const USER: &str = "root";
/// Where SSH servers listen when no port is given.
pub const PORT: u16 = 22;
/// How often a jump host may be behind another by its own settings.
const DEEPEST: usize = 8;
/// Files in `~/.ssh` that are tried when no key is given, best first.
pub(super) const USUAL_KEYS: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];

impl Route {
    /// As it is recorded: each jump host is logged in to with the key of the machine.
    ///
    /// # Errors
    /// When the jump hosts cannot be read.
    pub fn recorded(target: &Target) -> Result<Self, String> {
        let ssh = &target.ssh;
        let stop = |host: &str, port, user: &str| Stop {
            host: host.to_owned(),
            port,
            user: user.to_owned(),
            keys: ssh.key.clone().map_or(Keys::Usual, Keys::Given),
            agent: Agent::Usual,
            command: None,
            connect_timeout: None,
            keepalive: None,
        };
        let jumps = ssh.jump.as_deref().map(jumps).transpose()?.unwrap_or_default();
        let mut stops: Vec<Stop> =
            jumps.iter().map(|j| stop(&j.host, j.port.unwrap_or(PORT), j.user.as_ref().unwrap_or(&ssh.user))).collect();
        stops.push(stop(&ssh.host, ssh.port, &ssh.user));
        Ok(Self { stops, warnings: Vec::new() })
    }

    /// As `rules` have it. A name they do not know is on another computer than the one that knew it: then what is
    /// recorded counts.
    ///
    /// # Errors
    /// When the rules for one of the hosts on the way cannot be used.
    pub fn looked_up(target: &Target, lookup: &Lookup, rules: &Rules, asker: &Asker) -> Result<Self, SshConfigError> {
        let finder = Finder { rules, asker };
        let wrong = |why: String| SshConfigError::File { path: lookup.alias.clone(), why };
        let mut found = finder.ask(&lookup.alias, lookup.user.clone(), lookup.port)?;
        let mut route = Self { stops: Vec::new(), warnings: std::mem::take(&mut found.warnings) };
        let mut jumps = lookup.jump.clone().or_else(|| found.jumps().map(str::to_owned));
        let mut place = (lookup.alias.clone(), PORT, USER.to_owned());
        if found.host_name.is_none() && target.ssh.host != lookup.alias {
            place = (target.ssh.host.clone(), target.ssh.port, target.ssh.user.clone());
            jumps = jumps.or_else(|| target.ssh.jump.clone());
        }
        let mut stop = finder.stop(&lookup.alias, place, &found)?;
        if let Some(key) = &target.ssh.key {
            stop.keys = Keys::Given(key.clone());
        }
        if let Some(jumps) = jumps.filter(|jumps| !jumps.eq_ignore_ascii_case("none")) {
            let tokens = finder.tokens(&lookup.alias, &stop);
            let jumps = tokens.expand(&jumps, "hnpr").map_err(wrong)?;
            // A user and a key beside a jump host are meant for both.
            let (user, key) = match &lookup.jump {
                Some(_) => (stop.user.as_str(), target.ssh.key.as_ref()),
                None => (asker.user.as_str(), None),
            };
            stop.command = None;
            route.stops = finder.jumps(&jumps, user, key, 0, &mut route.warnings)?;
        }
        route.stops.push(stop);
        Ok(route)
    }

    /// The machine itself.
    #[must_use]
    pub fn last(&self) -> &Stop {
        self.stops.last().expect("a route leads somewhere")
    }

    /// The hosts to go through.
    #[must_use]
    pub fn through(&self) -> &[Stop] {
        self.stops.split_last().map_or(&[], |(_, through)| through)
    }

    /// The hosts to go through as they are recorded; `None`: there are none.
    #[must_use]
    pub fn jump(&self) -> Option<String> {
        let through: Vec<String> = self.through().iter().map(Stop::to_string).collect();
        (!through.is_empty()).then(|| through.join(","))
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.user, super::address(&self.host, self.port))
    }
}

struct Finder<'a> {
    rules: &'a Rules,
    asker: &'a Asker,
}

impl Finder<'_> {
    fn ask(&self, alias: &str, user: Option<String>, port: Option<u16>) -> Result<Settings, SshConfigError> {
        let Asker { user: local_user, home, vars } = self.asker.clone();
        self.rules.settings(&Ask { alias: alias.to_owned(), user, port, local_user, home, vars })
    }

    fn tokens(&self, alias: &str, stop: &Stop) -> Tokens {
        Tokens {
            host: stop.host.clone(),
            name: alias.to_owned(),
            port: stop.port,
            remote_user: stop.user.clone(),
            local_user: self.asker.user.clone(),
            home: self.asker.home.clone(),
            vars: self.asker.vars.clone(),
        }
    }

    /// A host by its settings; `place` is what counts where they say nothing.
    fn stop(
        &self,
        alias: &str,
        (host, port, user): (String, u16, String),
        found: &Settings,
    ) -> Result<Stop, SshConfigError> {
        let mut stop = Stop {
            host: found.host_name.clone().unwrap_or(host),
            port: found.port.unwrap_or(port),
            user: found.user.clone().unwrap_or(user),
            keys: Keys::Usual,
            agent: Agent::Usual,
            command: None,
            connect_timeout: found.connect_timeout.filter(|limit| !limit.is_zero()),
            keepalive: found.alive_interval.filter(|every| !every.is_zero()),
        };
        let tokens = self.tokens(alias, &stop);
        let path = |what: &str, text: &str| {
            let wrong = |why| SshConfigError::File { path: format!("{what} {text} of `{alias}`"), why };
            tokens.path(text).map_err(wrong)
        };
        let named = found.identity_files.iter().filter(|file| !file.eq_ignore_ascii_case("none"));
        let files: Vec<String> = named.map(|file| path("IdentityFile", file)).collect::<Result<_, _>>()?;
        stop.keys = match (found.identity_files.is_empty(), found.identities_only) {
            (true, false) => Keys::Usual,
            (true, true) => Keys::Listed {
                files: USUAL_KEYS.iter().map(|name| format!("{}/.ssh/{name}", self.asker.home)).collect(),
                only: true,
            },
            (false, only) => Keys::Listed { files, only },
        };
        stop.agent = match found.identity_agent.as_deref() {
            None | Some("SSH_AUTH_SOCK") => Agent::Usual,
            Some("none") => Agent::Never,
            Some(text) => match text.strip_prefix('$').filter(|rest| !rest.starts_with('{')) {
                Some(name) => self.asker.vars.get(name).map_or(Agent::Never, |at| Agent::At(at.into())),
                None => Agent::At(path("IdentityAgent", text)?.into()),
            },
        };
        let wrong = |why| SshConfigError::File { path: format!("ProxyCommand of `{alias}`"), why };
        stop.command = found.command().map(|text| tokens.expand(text, "hnpru").map_err(wrong)).transpose()?;
        Ok(stop)
    }

    /// The hosts `text` names, each by its own settings; the first may be behind others by these.
    fn jumps(
        &self,
        text: &str,
        user: &str,
        key: Option<&String>,
        depth: usize,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<Stop>, SshConfigError> {
        let wrong = |why: String| SshConfigError::File { path: format!("ProxyJump {text}"), why };
        if depth == DEEPEST {
            return Err(wrong("jump hosts lead through each other without an end".to_owned()));
        }
        let mut stops = Vec::new();
        for (n, Jump { user: given, host, port }) in jumps(text).map_err(wrong)?.into_iter().enumerate() {
            let mut found = self.ask(&host, given, port)?;
            warnings.append(&mut found.warnings);
            warnings.dedup();
            let mut stop = self.stop(&host, (host.clone(), PORT, user.to_owned()), &found)?;
            if let (Some(key), Keys::Usual) = (key, &stop.keys) {
                stop.keys = Keys::Listed { files: vec![key.clone()], only: false };
            }
            if n == 0
                && let Some(before) = found.jumps()
            {
                let before = self.tokens(&host, &stop).expand(before, "hnpr").map_err(wrong)?;
                stops = self.jumps(&before, &self.asker.user, None, depth + 1, warnings)?;
            } else if n > 0 {
                stop.command = None;
            }
            stops.push(stop);
        }
        Ok(stops)
    }
}

/// A jump host as it is written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Jump {
    pub(crate) user: Option<String>,
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
}

/// Reads `user@host:port,…`; `ssh://` may stand in front of each.
pub(crate) fn jumps(text: &str) -> Result<Vec<Jump>, String> {
    text.split(',').map(|one| jump(one.trim())).collect()
}

fn jump(text: &str) -> Result<Jump, String> {
    let wrong = || format!("`{text}` is not a jump host; write `user@host:port`");
    let rest = text.strip_prefix("ssh://").map_or(text, |rest| rest.trim_end_matches('/'));
    let (user, rest) = rest.rsplit_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
    let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or_else(wrong)?)),
        // More than one colon without brackets is an IPv6 address.
        None if rest.matches(':').count() > 1 => (rest, None),
        None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
    };
    // What other programs might take for an option, or for two words.
    let plain = |word: &str| {
        !word.is_empty()
            && !word.starts_with('-')
            && !word.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/')
    };
    let port = port.map(|port| port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)).transpose()?;
    if !plain(host) || !user.is_none_or(plain) {
        return Err(wrong());
    }
    Ok(Jump { user: user.map(str::to_owned), host: host.to_owned(), port })
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
