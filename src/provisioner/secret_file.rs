//! Secret variables of dockerd's environment, in a file that root alone reads: systemd shows `Environment=` to everybody
//! on a host, and what is in an `EnvironmentFile=` is not shown.
//!
//! A value is compared by a digest of the whole file, whose first line has a salt made on the host.

use super::{Difference, Facts, Op, Unsupported};
use crate::{
    digest::sha256_hex_of,
    engine::{EngineSpec, env},
    quote::Sh,
};
use std::collections::{BTreeMap, BTreeSet};
use zeroize::Zeroizing;

/// Where it is on hosts.
pub(super) const PATH: &str = "/etc/docker/machine.env";

/// What the file should hold, and what of it it does not.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct SecretFile {
    /// In words, without any value.
    pub(super) differences: Vec<Difference>,
    /// What makes it right; `None`: it is, as far as is known.
    pub(super) op: Option<Op>,
}

/// The beginning of the first line; the salt and the names of the variables follow.
const HEAD: &str = "# machine ";

/// Everything but the first line is an argument: it is quoted, whatever it holds.
const WRITE: &str = "salt=$(od -An -v -N32 -tx1 /dev/urandom | tr -d ' \\n')
names={}
content={}
put 0600 {} \"# machine $salt$names
$content\"";

impl SecretFile {
    /// Compares; values only if they were revealed.
    pub(super) fn of(facts: &Facts, want: &EngineSpec) -> Result<Self, Unsupported> {
        let names: BTreeSet<&str> = want.secrets().map(|(name, _)| name.as_str()).collect();
        let content = content(want)?;
        let differences = differences(facts, want, &names, content.as_deref().map(String::as_str));
        let op = match (names.is_empty(), &content) {
            _ if differences.is_empty() => None,
            (true, _) => Some(Op::new(format!("remove {PATH}"), Sh::template("rm -f {}", &[PATH]))),
            (false, Some(content)) => {
                let listed = names.iter().fold(String::new(), |all, name| all + " " + name);
                let title = format!("write {PATH} ({})", names.iter().copied().collect::<Vec<_>>().join(", "));
                Some(Op::new(title, Sh::template(WRITE, &[&listed, content, PATH])))
            }
            // A look has no need to know.
            (false, None) => None,
        };
        Ok(Self { differences, op })
    }
}

/// The lines below the first; `None`: a value is not known.
fn content(want: &EngineSpec) -> Result<Option<Zeroizing<String>>, Unsupported> {
    let mut text = Zeroizing::new(String::new());
    for (name, secret) in want.secrets() {
        let Some(value) = secret.value() else { return Ok(None) };
        if let Some(what) = env::problem(name, value.expose()) {
            return Err(Unsupported { what, help: format!("correct what {} gives", secret.secret) });
        }
        push(&mut text, name, value.expose());
    }
    Ok(Some(text))
}

/// In double quotes only `\` and `"` need a backslash (systemd.exec(5), `EnvironmentFile=`).
fn push(text: &mut String, name: &str, value: &str) {
    text.push_str(name);
    text.push_str("=\"");
    for c in value.chars() {
        if matches!(c, '"' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
    text.push_str("\"\n");
}

fn differences(facts: &Facts, want: &EngineSpec, names: &BTreeSet<&str>, content: Option<&str>) -> Vec<Difference> {
    let difference = |what: String, found: Option<String>, wanted: Option<String>| Difference { what, found, wanted };
    let file = facts.files.get(PATH);
    let head = facts.secret_head.as_deref().filter(|_| file.is_some());
    let words = head.and_then(|head| head.strip_prefix(HEAD)).unwrap_or_default();
    let here: BTreeSet<&str> = words.split(' ').skip(1).filter(|name| !name.is_empty()).collect();
    let references: BTreeMap<&str, String> =
        want.secrets().map(|(name, secret)| (name.as_str(), secret.secret.to_string())).collect();
    let mut all: Vec<Difference> = here
        .symmetric_difference(names)
        .map(|name| {
            let found = here.contains(name).then(|| "a secret".to_owned());
            difference(format!("env {name}"), found, references.get(name).cloned())
        })
        .collect();
    let Some(file) = file else { return all };
    if names.is_empty() && all.is_empty() {
        all.push(difference(format!("file {PATH}"), Some("there".to_owned()), None));
    }
    if !all.is_empty() {
        return all;
    }
    if file.mode.trim_start_matches('0') != "600" {
        all.push(difference(format!("mode of {PATH}"), Some(file.mode.clone()), Some("600".to_owned())));
    }
    let same = |content: &str| {
        let head = head.unwrap_or_default();
        file.sha256 == sha256_hex_of(&[head.as_bytes(), b"\n", content.as_bytes()])
    };
    if content.is_some_and(|content| !same(content)) {
        let (names, at): (Vec<&str>, Vec<String>) = references.into_iter().unzip();
        all.push(difference(
            format!("env {}", names.join(", ")),
            Some("another value".to_owned()),
            Some(format!("that of {}", at.join(", "))),
        ));
    }
    all
}

#[cfg(test)]
#[path = "secret_file_tests.rs"]
mod tests;
