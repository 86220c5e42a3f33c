//! The files of an `ssh_config`: reading them, and what they include.

use super::{
    Rules, SshConfigError, pattern,
    rules::{Line, What},
};
use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Component, Path, PathBuf},
};

/// Larger files are no configurations.
const LARGEST: u64 = 1 << 20;
/// How deep files may include each other, as OpenSSH has it.
const DEEPEST: usize = 16;
/// How many files there may be in all: each may include all others.
const MOST: usize = 1_000;
/// The system's file.
const SYSTEM: &str = "/etc/ssh/ssh_config";

/// Where an `ssh_config` is.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Source {
    /// `~/.ssh/config`, then the system's.
    Usual,
    /// This file alone.
    File(PathBuf),
}

/// Reads the files. A usual one that is not there says nothing; one that was named must be there.
///
/// # Errors
/// When a file cannot be used; wrong lines are told later, when they matter.
pub fn read(source: &Source, home: Option<&Path>) -> Result<Rules, SshConfigError> {
    let ssh = home.map(|home| home.join(".ssh"));
    let reader = |base: Option<&Path>| Reader {
        home: home.map(Path::to_path_buf),
        base: base.map(Path::to_path_buf),
        left: MOST,
    };
    match source {
        Source::File(path) => {
            let found = reader(ssh.as_deref()).file(path, Trust::Any, 0)?;
            found.ok_or_else(|| problem(path, "there is no such file"))
        }
        Source::Usual => {
            let own = match &ssh {
                Some(ssh) => reader(Some(ssh)).file(&ssh.join("config"), Trust::OursAlone, 0)?,
                None => None,
            };
            let system = Path::new(SYSTEM);
            let system = reader(system.parent()).file(system, Trust::Any, 0)?;
            Ok(match (own, system) {
                (Some(own), Some(system)) => own.then(system),
                (own, system) => own.or(system).unwrap_or_default(),
            })
        }
    }
}

/// Who we are, as the system knows us, or else as the environment says.
pub fn local_user(vars: &BTreeMap<String, String>) -> String {
    let us = rustix::process::getuid().as_raw().to_string();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let known = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == us).then(|| name.to_owned())
    });
    known.or_else(|| ["USER", "LOGNAME"].iter().find_map(|name| vars.get(*name).cloned())).unwrap_or_default()
}

fn problem(path: &Path, why: impl Into<String>) -> SshConfigError {
    SshConfigError::File { path: path.display().to_string(), why: why.into() }
}

/// Who may have written a file.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Trust {
    Any,
    /// Only we and root may write it: commands and keys are named in it.
    OursAlone,
}

struct Reader {
    home: Option<PathBuf>,
    /// Where included files are that have no absolute path.
    base: Option<PathBuf>,
    left: usize,
}

impl Reader {
    /// `None`: there is no such file.
    fn file(&mut self, path: &Path, trust: Trust, depth: usize) -> Result<Option<Rules>, SshConfigError> {
        let about = match fs::metadata(path) {
            Ok(about) => about,
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
            Err(e) => return Err(problem(path, super::super::ssh::io_text(&e))),
        };
        if about.is_dir() {
            return Err(problem(path, "it is a directory"));
        }
        if about.len() > LARGEST {
            return Err(problem(path, "it is too large to be an ssh_config"));
        }
        let us = rustix::process::geteuid().as_raw();
        if trust == Trust::OursAlone && ((about.uid() != us && about.uid() != 0) || about.mode() & 0o022 != 0) {
            return Err(problem(path, "others may write it, so it is not followed"));
        }
        let bytes = fs::read(path).map_err(|e| problem(path, super::super::ssh::io_text(&e)))?;
        let mut rules = Rules::parse(&path.display().to_string(), &String::from_utf8_lossy(&bytes))?;
        for Line { place, what } in &mut rules.lines {
            let What::Include { patterns, files } = what else { continue };
            if depth == DEEPEST {
                let why = format!("files include each other more than {DEEPEST} deep");
                return Err(SshConfigError::Line { place: place.clone(), why });
            }
            let found: Vec<PathBuf> = patterns.iter().flat_map(|pattern| self.glob(pattern)).collect();
            for found in found {
                self.left = self.left.saturating_sub(1);
                if self.left == 0 {
                    let why = format!("more than {MOST} files are included");
                    return Err(SshConfigError::Line { place: place.clone(), why });
                }
                files.extend(self.file(&found, trust, depth + 1)?);
            }
        }
        Ok(Some(rules))
    }

    /// The files a pattern of `Include` means, by name.
    fn glob(&self, pattern: &str) -> Vec<PathBuf> {
        let path = match (pattern.strip_prefix("~/"), &self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => PathBuf::from(pattern),
        };
        let path = match &self.base {
            Some(base) => base.join(path),
            None => path,
        };
        let mut found = vec![PathBuf::new()];
        for part in path.components() {
            let name = part.as_os_str().to_string_lossy();
            if !matches!(part, Component::Normal(_)) || !name.contains(['*', '?']) {
                for path in &mut found {
                    path.push(part);
                }
                continue;
            }
            found = found.iter().flat_map(|dir| matching(dir, &name)).take(MOST).collect();
        }
        found
    }
}

/// The entries of a directory that match, by name; those with a dot in front only if the pattern has it too.
fn matching(dir: &Path, name: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    let names = entries.map(|entry| entry.file_name());
    let fits = |entry: &str| (!entry.starts_with('.') || name.starts_with('.')) && pattern::matches(name, entry);
    let mut names: Vec<_> = names.filter(|entry| fits(&entry.to_string_lossy())).collect();
    names.sort();
    names.into_iter().map(|entry| dir.join(entry)).collect()
}
