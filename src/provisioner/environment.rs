//! Variables of dockerd's environment, in the drop-in: which are ours, which are foreign.
//!
//! Ours stand below a line of comment, so that the file alone says whose they are.

use super::{Difference, Unsupported, secret_file, unit};
use crate::engine::{EngineSpec, env, flag::words};
use std::collections::{BTreeMap, BTreeSet};

type Variables = BTreeMap<String, String>;

/// The line above those that are ours.
const MARK: &str = "# Set by machine:";

/// Ours, as lines of a unit; empty when there are none.
pub(super) fn lines(want: &EngineSpec) -> String {
    let mut lines: String = want.plain_env().iter().map(|(name, value)| assignment(name, value) + "\n").collect();
    if want.secrets().next().is_some() {
        // An engine without its proxy is better than none, should the file be taken away.
        lines = lines + "EnvironmentFile=-" + secret_file::PATH + "\n";
    }
    if lines.is_empty() { lines } else { MARK.to_owned() + "\n" + &lines }
}

/// What others set in our drop-in, line by line, without the variables that are ours now.
pub(super) fn inherited(drop_in: &str, ours: &BTreeSet<&String>) -> Vec<String> {
    let (theirs, _) = divide(drop_in);
    unit::environment(&theirs).into_iter().filter_map(|line| without(line, ours)).collect()
}

/// How the variables that are ours differ. A foreign value counts as found.
pub(super) fn differences(drop_in: Option<&str>, ours: &Variables) -> Vec<Difference> {
    let (theirs, before) = divide(drop_in.unwrap_or_default());
    let (theirs, before) = (variables(&theirs), variables(&before));
    let mut names: Vec<&String> = before.keys().chain(ours.keys()).collect();
    names.sort();
    names.dedup();
    let mut all = Vec::new();
    for name in names {
        let found = before.get(name).or_else(|| theirs.get(name).filter(|_| ours.contains_key(name)));
        let wanted = ours.get(name);
        if found == wanted && (before.contains_key(name) || wanted.is_none()) {
            continue;
        }
        let (shown, mut becomes) = (found.map(|v| env::shown(v)), wanted.map(|v| env::shown(v)));
        if shown == becomes && found != wanted {
            becomes = becomes.map(|text| text + " (another password)");
        }
        if shown != becomes {
            all.push(Difference { what: format!("env {name}"), found: shown, wanted: becomes });
        }
    }
    all
}

/// What stands in the way: a foreign drop-in that is read after ours, or a variable that cannot be.
/// `later` are such drop-ins, in the order they are read.
pub(super) fn possible<'a>(
    ours: &Variables,
    later: impl Iterator<Item = (&'a String, &'a String)>,
) -> Result<(), Unsupported> {
    if let Some(what) = ours.iter().find_map(|(name, value)| env::problem(name, value)) {
        return Err(Unsupported { what, help: "write it like `HTTPS_PROXY`, with a value on one line".to_owned() });
    }
    for (path, text) in later {
        if !ours.is_empty() && unit::resets_environment(text) {
            return Err(Unsupported {
                what: format!("{path} empties the environment and has the last word, so no variable can be set"),
                help: "take the empty `Environment=` out of it".to_owned(),
            });
        }
        let theirs = variables(text);
        if let Some(name) = ours.iter().find_map(|(name, value)| (theirs.get(name)? != value).then_some(name)) {
            return Err(Unsupported {
                what: format!("{path} sets `{name}` as well and has the last word"),
                help: format!("take `{name}` out of it, or out of `env`"),
            });
        }
    }
    Ok(())
}

/// The text without ours, and ours.
fn divide(drop_in: &str) -> (String, String) {
    let (mut theirs, mut ours, mut within) = (String::new(), String::new(), false);
    for line in drop_in.lines() {
        let ours_too = line.starts_with("Environment=") || line.ends_with(secret_file::PATH);
        within = line == MARK || within && ours_too;
        let side = if within { &mut ours } else { &mut theirs };
        side.push_str(line);
        side.push('\n');
    }
    (theirs, ours)
}

/// A line without the variables that are ours; `None` when nothing is left.
fn without(line: String, ours: &BTreeSet<&String>) -> Option<String> {
    let Some(value) = line.strip_prefix("Environment=") else { return Some(line) };
    let all = words(value);
    let theirs: Vec<&str> = all
        .iter()
        .filter(|word| !word.text.split_once('=').is_some_and(|(name, _)| ours.contains(&name.to_owned())))
        .map(|word| word.written.as_str())
        .collect();
    if theirs.len() == all.len() {
        return Some(line);
    }
    (!theirs.is_empty()).then(|| format!("Environment={}", theirs.join(" ")))
}

/// Variables of the `Environment=` lines of a unit; the last of one name counts.
fn variables(text: &str) -> Variables {
    let lines = unit::environment(text);
    let values = lines.iter().filter_map(|line| line.strip_prefix("Environment="));
    let pairs = values.flat_map(words).filter_map(|word| {
        let (name, value) = word.text.split_once('=')?;
        Some((name.to_owned(), value.replace("%%", "%")))
    });
    pairs.collect()
}

/// One line of a unit. `$` means nothing there; `%` is doubled (systemd.exec(5), `Environment=`; systemd.syntax(7)).
fn assignment(name: &str, value: &str) -> String {
    let mut line = format!("Environment=\"{name}=");
    for c in value.chars() {
        match c {
            '"' | '\\' => line.extend(['\\', c]),
            '%' => line.push_str("%%"),
            '\n' => line.push_str("\\n"),
            '\t' => line.push_str("\\t"),
            plain => line.push(plain),
        }
    }
    line + "\""
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::properties;
    use proptest::prelude::*;

    /// An engine with these variables.
    fn want(pairs: &[(&str, &str)]) -> EngineSpec {
        of(&map(pairs))
    }

    fn of(ours: &Variables) -> EngineSpec {
        let env = ours.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
        EngineSpec { env, ..EngineSpec::default() }
    }

    fn map(pairs: &[(&str, &str)]) -> Variables {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn values_are_quoted_as_systemd_reads_them() {
        assert_eq!(
            lines(&want(&[("A", "a b$HOME 50% \"q\" \\ 'x'\n\ty")])),
            "# Set by machine:\nEnvironment=\"A=a b$HOME 50%% \\\"q\\\" \\\\ 'x'\\n\\ty\"\n"
        );
        assert_eq!(lines(&EngineSpec::default()), "");
    }

    /// docker-machine writes all on one line, and its remote shell took the quotes away.
    #[test]
    fn others_keep_theirs_and_lose_what_is_ours_now() {
        let theirs = "[Service]\nExecStart=\nExecStart=/x\nEnvironment=\"FOO=bar\" HTTP_PROXY=http://x:1 \"C=a b\" \nEnvironmentFile=/e\n";
        let all = "Environment=\"FOO=bar\" HTTP_PROXY=http://x:1 \"C=a b\"";
        assert_eq!(inherited(theirs, &BTreeSet::new()), [all, "EnvironmentFile=/e"]);
        let ours = map(&[("HTTP_PROXY", "http://y")]);
        assert_eq!(
            inherited(theirs, &ours.keys().collect()),
            ["Environment=\"FOO=bar\" \"C=a b\"", "EnvironmentFile=/e"]
        );
        let ours = map(&[("FOO", "1"), ("HTTP_PROXY", "2"), ("C", "3")]);
        assert_eq!(inherited(theirs, &ours.keys().collect()), ["EnvironmentFile=/e"]);
        let written =
            format!("[Service]\nEnvironment=X=1\n{}ExecStart=\nExecStart=/x\nEnvironment=Y=1\n", lines(&of(&ours)));
        assert_eq!(inherited(&written, &BTreeSet::new()), ["Environment=X=1", "Environment=Y=1"], "ours go");
    }

    #[test]
    fn differences_name_the_variable_and_hide_its_password() {
        let found = format!("Environment=FOO=bar\n{}", lines(&want(&[("A", "http://u:one@h"), ("GONE", "x")])));
        let ours = map(&[("A", "http://u:two@h"), ("FOO", "baz"), ("NEW", "y")]);
        let told = differences(Some(&found), &ours);
        let told: Vec<_> = told.iter().map(|d| (d.what.as_str(), d.found.as_deref(), d.wanted.as_deref())).collect();
        assert_eq!(
            told,
            [
                ("env A", Some("http://u:***@h"), Some("http://u:***@h (another password)")),
                ("env FOO", Some("bar"), Some("baz")),
                ("env GONE", Some("x"), None),
                ("env NEW", None, Some("y")),
            ]
        );
        assert_eq!(differences(Some(&lines(&of(&ours))), &ours), []);
    }

    #[test]
    fn whoever_has_the_last_word_stands_in_the_way() {
        let check = |text: &str, ours: &[(&str, &str)]| {
            let (path, text) = ("/etc/systemd/system/docker.service.d/proxy.conf".to_owned(), text.to_owned());
            possible(&map(ours), [(&path, &text)].into_iter()).map_err(|why| why.what)
        };
        let path = "/etc/systemd/system/docker.service.d/proxy.conf";
        assert_eq!(check("[Service]\nEnvironment=A=1 B=2\n", &[("C", "3"), ("B", "2")]), Ok(()));
        assert_eq!(
            check("[Service]\nEnvironment=A=1 B=2\n", &[("B", "3")]),
            Err(format!("{path} sets `B` as well and has the last word"))
        );
        assert!(check("Environment=\n", &[("B", "3")]).unwrap_err().starts_with(&format!("{path} empties")));
        assert_eq!(check("Environment=\n", &[]), Ok(()));
        assert_eq!(check("", &[("A", "\u{7}")]), Err("the value of `A` has control characters".to_owned()));
    }

    proptest! {
        #![proptest_config(properties(256))]
        #[test]
        fn what_is_written_is_read_back(ours in proptest::collection::btree_map("[A-C_]{1,2}", "[ -~é\n\t]{0,12}", 0..4)) {
            prop_assert_eq!(differences(Some(&lines(&of(&ours))), &ours), []);
            prop_assert_eq!(variables(&lines(&of(&ours))), ours);
        }
    }
}
