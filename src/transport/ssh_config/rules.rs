//! The lines of an `ssh_config`, understood but not yet asked about a host.

use super::{SshConfigError, words};
use std::{fmt, sync::Arc};

/// A file, or several that are read one after the other.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Rules {
    pub(super) lines: Vec<Line>,
}

/// A line of a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    /// The file.
    pub file: Arc<str>,
    /// Counted from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} line {}", self.file, self.line)
    }
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Line {
    pub(super) place: Place,
    pub(super) what: What,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum What {
    /// Patterns of names.
    Host(Vec<String>),
    /// Conditions, as words.
    Match(Vec<String>),
    /// Patterns of paths, and what was read there: one entry for each file.
    Include { patterns: Vec<String>, files: Vec<Rules> },
    /// A setting.
    Set(Keyword, String),
    /// A line that ends the reading if the host it is for is asked about.
    Wrong(String),
}

/// The keywords that are honoured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Keyword {
    ConnectTimeout,
    HostName,
    IdentitiesOnly,
    IdentityAgent,
    IdentityFile,
    Port,
    ProxyCommand,
    ProxyJump,
    ServerAliveCountMax,
    ServerAliveInterval,
    User,
}

impl Keyword {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "connecttimeout" => Self::ConnectTimeout,
            "hostname" => Self::HostName,
            "identitiesonly" => Self::IdentitiesOnly,
            "identityagent" => Self::IdentityAgent,
            "identityfile" => Self::IdentityFile,
            "port" => Self::Port,
            "proxycommand" => Self::ProxyCommand,
            "proxyjump" => Self::ProxyJump,
            "serveralivecountmax" => Self::ServerAliveCountMax,
            "serveraliveinterval" => Self::ServerAliveInterval,
            "user" => Self::User,
            _ => return None,
        })
    }

    /// Whether the value is the rest of the line as it stands: a command, or what becomes part of one.
    fn takes_the_line(self) -> bool {
        matches!(self, Self::ProxyCommand | Self::ProxyJump)
    }
}

impl Rules {
    /// Reads the text of `file`. What cannot be understood is told when a host is asked about that it is for.
    ///
    /// # Errors
    /// When it is no text at all.
    pub fn parse(file: &str, text: &str) -> Result<Self, SshConfigError> {
        if text.contains('\0') {
            return Err(SshConfigError::File { path: file.to_owned(), why: "it is not a text".to_owned() });
        }
        let file: Arc<str> = Arc::from(file);
        let mut lines = Vec::new();
        for (number, text) in text.split('\n').enumerate() {
            let Some((keyword, rest)) = words::keyword(text) else { continue };
            let place = Place { file: Arc::clone(&file), line: number + 1 };
            if let Some(what) = what(&keyword, rest) {
                lines.push(Line { place, what });
            }
        }
        Ok(Self { lines })
    }

    /// These, then those of `later`, which do not belong to the last block of these.
    #[must_use]
    pub fn then(mut self, later: Self) -> Self {
        let place = Place { file: Arc::from(""), line: 0 };
        for part in [std::mem::take(&mut self.lines), later.lines] {
            let files = vec![Self { lines: part }];
            self.lines.push(Line { place: place.clone(), what: What::Include { patterns: Vec::new(), files } });
        }
        self
    }
}

/// `None`: a keyword that is none of ours.
fn what(keyword: &str, rest: &str) -> Option<What> {
    let words = match keyword {
        "host" | "match" | "include" => words::split(rest),
        _ => {
            let known = Keyword::parse(keyword)?;
            if known.takes_the_line() {
                return Some(if rest.is_empty() { missing(keyword) } else { What::Set(known, rest.to_owned()) });
            }
            return Some(match words::split(rest).as_deref() {
                Ok([]) => missing(keyword),
                Ok([value]) if value.is_empty() => missing(keyword),
                Ok([value]) => What::Set(known, value.clone()),
                Ok([_, extra, ..]) => What::Wrong(format!("`{extra}` is too much for `{keyword}`")),
                Err(why) => What::Wrong(why.clone()),
            });
        }
    };
    Some(match (keyword, words) {
        (_, Err(why)) => What::Wrong(why),
        (_, Ok(words)) if words.iter().all(String::is_empty) => missing(keyword),
        ("host", Ok(words)) => What::Host(words),
        ("match", Ok(words)) => What::Match(words),
        (_, Ok(patterns)) => What::Include { patterns, files: Vec::new() },
    })
}

fn missing(keyword: &str) -> What {
    What::Wrong(format!("`{keyword}` has no value"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_keywords_are_passed_over_and_wrong_lines_kept_for_later() {
        let rules = Rules::parse("f", "ForwardAgent yes\nPort\nPort 1 2\nUser \"x\nHost\nHost a\n  user=b\n").unwrap();
        let shown: Vec<String> = rules.lines.iter().map(|l| format!("{}: {:?}", l.place, l.what)).collect();
        assert_eq!(
            shown,
            [
                "f line 2: Wrong(\"`port` has no value\")",
                "f line 3: Wrong(\"`2` is too much for `port`\")",
                "f line 4: Wrong(\"a quote is not closed\")",
                "f line 5: Wrong(\"`host` has no value\")",
                "f line 6: Host([\"a\"])",
                "f line 7: Set(User, \"b\")",
            ]
        );
        assert!(Rules::parse("f", "Host a\0").is_err());
    }
}
