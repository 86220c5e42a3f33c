//! What a misspelt word of the command line was probably meant to be.

/// What other programs call some commands of ours.
const OTHERS: [(&str, &str); 6] = [
    ("delete", "rm"),
    ("list", "ls"),
    ("reboot", "restart"),
    ("remove", "rm"),
    ("shutdown", "stop"),
    ("update", "upgrade"),
];

/// The command that `word` was probably meant to be, by our name for it or by that of other programs.
pub(super) fn command<'a>(word: &str, ours: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let others = OTHERS.map(|(name, _)| name);
    let name = close(word, ours.into_iter().chain(others))?;
    Some(OTHERS.iter().find(|(other, _)| *other == name).map_or(name, |(_, ours)| (*ours).to_owned()))
}

/// What to add to the help of a command whose first word is none that it knows.
pub(super) fn told(command: &str, word: Option<&String>, among: &[&str]) -> String {
    let close = word.filter(|word| !among.contains(&word.as_str())).and_then(|word| close(word, among.iter().copied()));
    close.map(|close| format!("did you mean `{command} {close}`? ")).unwrap_or_default()
}

/// The candidate that a typing mistake makes of `word`: one letter too many, too few or wrong, or two that changed places;
/// of long words two such mistakes. Several that are as close are none.
pub(super) fn close<'a>(word: &str, among: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let most = match word.chars().count() {
        0..=2 => return None,
        3..=5 => 1,
        _ => 2,
    };
    let word = word.to_lowercase().replace('_', "-");
    let mut near: Vec<(usize, &str)> = among.into_iter().map(|name| (distance(&word, name), name)).collect();
    near.retain(|(far, _)| *far <= most);
    near.sort_unstable();
    match near.as_slice() {
        [(first, _), (second, _), ..] if first == second => None,
        [(_, name), ..] => Some((*name).to_owned()),
        [] => None,
    }
}

/// How many letters must be put in, taken out, replaced or exchanged with the next one to make one word of the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            let mut least = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + same);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_mistakes_are_understood_and_other_words_are_not() {
        let commands = super::super::COMMANDS.iter().map(|entry| entry.name);
        for (word, want) in [
            ("aply", Some("apply")),
            ("lits", Some("ls")),
            ("list", Some("ls")),
            ("remvoe", Some("rm")),
            ("crate", Some("create")),
            ("craete", Some("create")),
            ("Apply", Some("apply")),
            ("APPLY", Some("apply")),
            ("REGENERATE_CERTS", Some("regenerate-certs")),
            ("regenerate_certs", Some("regenerate-certs")),
            ("regenrate-cert", Some("regenerate-certs")),
            ("destory", Some("destroy")),
            ("statsu", Some("status")),
            ("stat", Some("start")),
            ("foo", None),
            ("l", None),
            ("", None),
            ("kubernetes", None),
            ("deploy", None),
        ] {
            assert_eq!(command(word, commands.clone()).as_deref(), want, "{word}");
        }
    }

    #[test]
    fn a_word_between_two_is_neither() {
        assert_eq!(close("stert", ["start", "stort"]), None);
        assert_eq!(close("stort", ["start", "stop"]).as_deref(), Some("start"));
    }
}
