//! What an `ssh_config` says of one host.

use super::{
    SshConfigError, Tokens, pattern,
    rules::{Keyword, Line, Place, Rules, What},
};
use std::{collections::BTreeMap, time::Duration};

/// What is known before the file is asked.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ask {
    /// The name of the host as it was written.
    pub alias: String,
    /// The user, if given elsewhere; that of the file does not count then.
    pub user: Option<String>,
    /// The port, if given elsewhere.
    pub port: Option<u16>,
    /// Who asks.
    pub local_user: String,
    /// The home directory of the user who asks.
    pub home: String,
    /// Variables of the environment.
    pub vars: BTreeMap<String, String>,
}

/// What the file says of a host. The first value that is found counts; of key files all.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Settings {
    /// Where the host is, tokens replaced.
    pub host_name: Option<String>,
    /// TCP port.
    pub port: Option<u16>,
    /// Whom to log in.
    pub user: Option<String>,
    /// Private keys, as written: `~` and tokens stand for what [`Tokens::path`] makes of them. `none`: no file.
    pub identity_files: Vec<String>,
    /// Whether other keys of the agent are left alone.
    pub identities_only: bool,
    /// Socket of the agent, as written.
    pub identity_agent: Option<String>,
    /// Hosts to go through, as written; `none` counts.
    pub proxy_jump: Option<String>,
    /// A command to go through; `none` counts.
    pub proxy_command: Option<String>,
    /// How long a connection may take to open.
    pub connect_timeout: Option<Duration>,
    /// How often a silent host is asked; zero: never.
    pub alive_interval: Option<Duration>,
    /// What could not be honoured, and where.
    pub warnings: Vec<String>,
    count_max: Option<u32>,
    only: Option<bool>,
}

impl Settings {
    /// The hosts to go through, as written; `None` also where the file says `none`.
    #[must_use]
    pub fn jumps(&self) -> Option<&str> {
        self.proxy_jump.as_deref().filter(|jump| !jump.eq_ignore_ascii_case("none"))
    }

    /// The command to go through, in the same way.
    #[must_use]
    pub fn command(&self) -> Option<&str> {
        self.proxy_command.as_deref().filter(|command| !command.eq_ignore_ascii_case("none"))
    }
}

impl Rules {
    /// What these rules say of a host.
    ///
    /// # Errors
    /// When a line that is for this host cannot be understood.
    pub fn settings(&self, ask: &Ask) -> Result<Settings, SshConfigError> {
        let mut asking = Asking { ask, host: ask.alias.clone(), is_final: false, wants_final: false };
        let mut found = Settings { user: ask.user.clone(), port: ask.port, ..Settings::default() };
        asking.walk(self, &mut found)?;
        if let Some(name) = &found.host_name {
            let why = |why| SshConfigError::File { path: format!("HostName {name}"), why };
            found.host_name = Some(asking.expand(name).map_err(why)?);
        }
        if asking.wants_final {
            // `Match final`: all is read once more, and the name that was found is neither found again nor changed.
            let named = found.host_name.clone();
            asking.host = named.clone().unwrap_or(asking.host);
            asking.is_final = true;
            found.host_name = Some(asking.host.replace('%', "%%"));
            asking.walk(self, &mut found)?;
            found.host_name = named;
        }
        found.identities_only = found.only.unwrap_or_default();
        if found.count_max == Some(0) {
            found.alive_interval = Some(Duration::ZERO);
        }
        Ok(found)
    }
}

struct Asking<'a> {
    ask: &'a Ask,
    /// What `Host` is compared with.
    host: String,
    is_final: bool,
    wants_final: bool,
}

impl Asking<'_> {
    fn walk(&mut self, rules: &Rules, found: &mut Settings) -> Result<(), SshConfigError> {
        let mut active = true;
        for Line { place, what } in &rules.lines {
            match what {
                What::Host(patterns) => active = pattern::any(patterns.iter().map(String::as_str), &self.host),
                What::Match(words) => active = self.conditions(words, place, found)?,
                What::Include { files, .. } if active => {
                    for file in files {
                        self.walk(file, found)?;
                    }
                }
                What::Set(keyword, value) if active => {
                    set(found, *keyword, value).map_err(|why| wrong(place, why))?;
                }
                What::Wrong(why) if active => return Err(wrong(place, why.clone())),
                What::Include { .. } | What::Set(..) | What::Wrong(_) => {}
            }
        }
        Ok(())
    }

    /// Where the host is as far as is known by now.
    fn host_now(&self, found: &Settings) -> String {
        found.host_name.as_ref().and_then(|name| self.expand(name).ok()).unwrap_or_else(|| self.host.clone())
    }

    fn expand(&self, name: &str) -> Result<String, String> {
        Tokens { host: self.host.clone(), ..Tokens::default() }.expand(name, "h")
    }

    /// Whether all conditions of a `Match` hold.
    fn conditions(&mut self, words: &[String], place: &Place, found: &mut Settings) -> Result<bool, SshConfigError> {
        let mut holds = true;
        let mut words = words.iter().map(String::as_str);
        while let Some(word) = words.next() {
            let (word, inline) = word.split_once('=').map_or((word, None), |(word, value)| (word, Some(value)));
            let lower = word.to_ascii_lowercase();
            let (negated, attribute) = lower.strip_prefix('!').map_or((false, &*lower), |rest| (true, rest));
            let is = match attribute {
                "all" => !negated,
                "final" | "canonical" => {
                    self.wants_final |= attribute == "final";
                    self.is_final != negated
                }
                _ => {
                    let value = inline.filter(|v| !v.is_empty()).or_else(|| words.next());
                    let value = value.ok_or_else(|| wrong(place, format!("`{attribute}` of `Match` has no value")))?;
                    if let Some(is) = self.condition(attribute, value, found) {
                        is != negated
                    } else {
                        let text =
                            format!("{place}: `Match {attribute}` is not looked at; its block counts as not matching");
                        // Only if the rest would have made the block count.
                        if holds && !found.warnings.contains(&text) {
                            found.warnings.push(text);
                        }
                        false
                    }
                }
            };
            holds &= is;
        }
        Ok(holds)
    }

    /// `None`: we do not look at that.
    fn condition(&self, attribute: &str, value: &str, found: &Settings) -> Option<bool> {
        let named = |name: &str| {
            let (value, name) = (value.to_ascii_lowercase(), name.to_ascii_lowercase());
            pattern::any(value.split(','), &name)
        };
        Some(match attribute {
            "host" => named(&self.host_now(found)),
            "originalhost" => named(&self.ask.alias),
            "user" => pattern::any(value.split(','), found.user.as_ref().unwrap_or(&self.ask.local_user)),
            "localuser" => pattern::any(value.split(','), &self.ask.local_user),
            _ => return None,
        })
    }
}

fn wrong(place: &Place, why: String) -> SshConfigError {
    SshConfigError::Line { place: place.clone(), why }
}

/// Takes a value over if it is the first.
fn set(found: &mut Settings, keyword: Keyword, value: &str) -> Result<(), String> {
    match keyword {
        Keyword::HostName => first(&mut found.host_name, value.to_owned()),
        Keyword::User => first(&mut found.user, value.to_owned()),
        Keyword::Port => {
            let port = value.parse().ok().filter(|port| *port != 0);
            first(&mut found.port, port.ok_or_else(|| format!("`{value}` is not a port"))?);
        }
        Keyword::IdentityFile => {
            if !found.identity_files.iter().any(|known| known == value) {
                found.identity_files.push(value.to_owned());
            }
        }
        Keyword::IdentitiesOnly => first(&mut found.only, yes(value)?),
        Keyword::IdentityAgent => first(&mut found.identity_agent, value.to_owned()),
        // Of the two ways through another host the first one that is met counts.
        Keyword::ProxyJump if found.proxy_command.is_none() => first(&mut found.proxy_jump, value.to_owned()),
        Keyword::ProxyCommand if found.jumps().is_none() => first(&mut found.proxy_command, value.to_owned()),
        Keyword::ProxyJump | Keyword::ProxyCommand => {}
        Keyword::ConnectTimeout => found.connect_timeout = found.connect_timeout.or(time(value)?),
        Keyword::ServerAliveInterval => found.alive_interval = found.alive_interval.or(time(value)?),
        Keyword::ServerAliveCountMax => {
            first(&mut found.count_max, value.parse().map_err(|_| format!("`{value}` is not a number"))?);
        }
    }
    Ok(())
}

fn first<T>(slot: &mut Option<T>, value: T) {
    slot.get_or_insert(value);
}

fn yes(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err(format!("`{value}` is neither yes nor no")),
    }
}

/// `90`, `1m30s`; `none` is as if the line were not there.
fn time(value: &str) -> Result<Option<Duration>, String> {
    let wrong = || format!("`{value}` is not a time");
    if value.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    let (mut total, mut rest) = (0_u64, value);
    while !rest.is_empty() {
        let (digits, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
        let factor = match after.chars().next().map(|c| c.to_ascii_lowercase()) {
            None | Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3_600,
            Some('d') => 86_400,
            Some('w') => 604_800,
            Some(_) => return Err(wrong()),
        };
        let seconds = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(factor)).ok_or_else(wrong)?;
        total = total.checked_add(seconds).ok_or_else(wrong)?;
        rest = after.get(1..).unwrap_or_default();
    }
    // OpenSSH keeps them in 31 bits.
    if value.is_empty() || total > 0x7fff_ffff { Err(wrong()) } else { Ok(Some(Duration::from_secs(total))) }
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
