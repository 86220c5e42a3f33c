//! From which commit a fleet file is, read from git's files: git itself need not be there, and would run what a
//! repository's configuration says. A commit does not say that the file was unchanged.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A commit, and who said so.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct Commit {
    /// Its hash, in hex.
    pub sha: String,
    /// Who said so.
    pub from: Source,
}

/// Who says which commit it is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Source {
    /// The repository that the file lies in.
    #[serde(rename = "git")]
    Git,
    /// GitHub's variable.
    #[serde(rename = "GITHUB_SHA")]
    GitHub,
    /// GitLab's variable.
    #[serde(rename = "CI_COMMIT_SHA")]
    GitLab,
}

/// How far a reference may lead to another one (git's own limit).
const DEPTH: usize = 5;

/// Most bytes that are read of a file: packed references of a large repository are a few megabytes.
const MOST: u64 = 64 << 20;

impl Commit {
    /// The commit of the folder that `file` lies in; else the one that `var`, an environment, names.
    #[must_use]
    pub fn of(file: &Path, var: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        let folder = std::path::absolute(file).ok().and_then(|path| path.parent().map(Path::to_owned));
        if let Some(sha) =
            folder.and_then(|folder| Repository::around(&folder)).and_then(|repository| repository.head())
        {
            return Some(Self { sha, from: Source::Git });
        }
        let given = |name, from| Some(Self { sha: var(name).and_then(|text| hash(&text))?, from });
        given("GITHUB_SHA", Source::GitHub).or_else(|| given("CI_COMMIT_SHA", Source::GitLab))
    }

    /// Enough of it for a person.
    #[must_use]
    pub fn short(&self) -> &str {
        self.sha.get(..10).unwrap_or(&self.sha)
    }
}

/// The folders of a repository; of a linked worktree they are two.
struct Repository {
    /// `HEAD` of this worktree.
    own: PathBuf,
    /// What all worktrees share.
    common: PathBuf,
}

impl Repository {
    /// The nearest one at or above `folder`.
    fn around(folder: &Path) -> Option<Self> {
        let dot = folder.ancestors().map(|folder| folder.join(".git")).find(|dot| dot.exists())?;
        let own = if dot.is_dir() {
            dot
        } else {
            // gitrepository-layout(5): `gitdir: PATH`, of worktrees and submodules.
            let text = text(&dot)?;
            dot.parent()?.join(text.strip_prefix("gitdir:")?.trim())
        };
        let common = text(&own.join("commondir")).map_or_else(|| own.clone(), |path| own.join(path.trim()));
        Some(Self { own, common })
    }

    fn head(&self) -> Option<String> {
        let mut name = "HEAD".to_owned();
        for _ in 0..DEPTH {
            let value = self.value(&name)?;
            match value.strip_prefix("ref:") {
                None => return hash(&value),
                Some(next) => next.trim().clone_into(&mut name),
            }
        }
        None
    }

    /// What a reference says: a hash, or another reference.
    fn value(&self, name: &str) -> Option<String> {
        // A name that leads out of the repository is none of git's.
        let is_plain = name.split('/').all(|part| !matches!(part, "" | "." | "..")) && !name.contains('\\');
        if !is_plain {
            return None;
        }
        let loose = [&self.own, &self.common].into_iter().find_map(|folder| text(&folder.join(name)));
        loose.map(|text| text.trim().to_owned()).or_else(|| self.packed(name))
    }

    fn packed(&self, name: &str) -> Option<String> {
        let packed = text(&self.common.join("packed-refs"))?;
        let of = |line: &str| line.split_once(' ').filter(|(_, of)| *of == name).map(|(sha, _)| sha.to_owned());
        packed.lines().find_map(of)
    }
}

/// A file as text, if it can be read and is not beyond reason.
fn text(path: &Path) -> Option<String> {
    let read = || -> io::Result<String> {
        let about = fs::metadata(path)?;
        if !about.is_file() || about.len() > MOST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        fs::read_to_string(path)
    };
    read().ok()
}

/// A SHA-1 or SHA-256 in hex, and nothing else.
fn hash(text: &str) -> Option<String> {
    let text = text.trim();
    let is_hash = matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit());
    is_hash.then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
#[path = "commit_tests.rs"]
mod tests;
