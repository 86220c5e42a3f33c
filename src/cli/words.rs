//! The words of a command line as Go's `flag` package reads them, for scripts written for docker-machine.
//!
//! `-name` is `--name`, a value may begin with a dash, and a boolean may be written `--name=false`.

use clap::{Arg, ArgAction, Command};

/// The words in the form clap reads. The first is the program.
pub(super) fn normal(root: &Command, words: &[String]) -> Vec<String> {
    let mut normal: Vec<String> = words.iter().take(1).cloned().collect();
    let mut rest = words.iter().skip(1);
    let mut command = root;
    let mut in_root = true;
    while let Some(word) = rest.next() {
        if word == "--" {
            normal.push(word.clone());
            break;
        }
        let Some((name, value)) = flag(word) else {
            normal.push(word.clone());
            if in_root {
                in_root = false;
                match root.find_subcommand(word) {
                    // What follows is for the remote shell.
                    Some(found) if found.get_name() == "ssh" => break,
                    Some(found) => command = found,
                    None => break,
                }
            }
            continue;
        };
        let Some(arg) = find(command, word, name) else {
            normal.push(word.clone());
            continue;
        };
        let switch = matches!(
            arg.get_action(),
            ArgAction::SetTrue | ArgAction::SetFalse | ArgAction::Count | ArgAction::Help | ArgAction::Version
        );
        let spelled = if word.starts_with("--") || name.len() > 1 { format!("--{name}") } else { format!("-{name}") };
        // One whose value may be left out takes none from the next word.
        if arg.get_num_args().is_some_and(|range| range.min_values() == 0) && !switch {
            normal.push(value.map_or_else(|| spelled.clone(), |value| format!("{spelled}={value}")));
            continue;
        }
        match (switch, value.map(|value| (value, truth(value)))) {
            (true, None | Some((_, Some(true)))) => normal.push(spelled),
            (true, Some((_, Some(false)))) => {}
            (true, Some((_, None))) => normal.push(word.clone()),
            (false, Some((value, _))) => normal.push(format!("{spelled}={value}")),
            (false, None) => match rest.next() {
                Some(value) => normal.push(format!("{spelled}={value}")),
                None => normal.push(spelled),
            },
        }
    }
    normal.extend(rest.cloned());
    normal
}

/// What Go's `strconv.ParseBool` makes of a word.
pub(super) fn truth(word: &str) -> Option<bool> {
    match word {
        "true" | "1" | "t" | "T" | "TRUE" | "True" => Some(true),
        "false" | "0" | "f" | "F" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Name and value of a word that looks like a flag.
pub(super) fn flag(word: &str) -> Option<(&str, Option<&str>)> {
    let text = word.strip_prefix("--").or_else(|| word.strip_prefix('-'))?;
    let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
    (!name.is_empty()).then_some((name, value))
}

/// The option of a command that a word names.
pub(super) fn find<'a>(command: &'a Command, word: &str, name: &str) -> Option<&'a Arg> {
    let short = name.chars().next().filter(|_| name.chars().count() == 1 && !word.starts_with("--"));
    command.get_arguments().find(|arg| {
        let long = name.chars().count() > 1 && arg.get_long() == Some(name);
        long || short.is_some() && arg.get_short() == short
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn case(line: &str, want: &str) {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        assert_eq!(normal(&super::super::root("m"), &words).join(" "), want, "{line}");
    }

    #[test]
    fn flags_are_read_as_go_reads_them() {
        case("m -s /x ls -q", "m -s=/x ls -q");
        case("m -storage-path /x ls -filter state=Running", "m --storage-path=/x ls --filter=state=Running");
        case("m --native-ssh=true ls --quiet=false", "m --native-ssh=true ls");
        case("m --native-ssh ls", "m --native-ssh ls");
        case("m -native-ssh=false ls --quiet=true", "m --native-ssh=false ls --quiet");
        case("m ls --filter -x", "m ls --filter=-x");
        case("m rm a b -y", "m rm a b -y");
        case("m rm -y -- -a", "m rm -y -- -a");
    }

    #[test]
    fn what_is_for_the_remote_shell_is_left_alone() {
        case("m -s /x ssh web-1 ls -filter -f=x", "m -s=/x ssh web-1 ls -filter -f=x");
    }

    #[test]
    fn what_is_unknown_is_left_to_be_refused() {
        case("m ls -bogus", "m ls -bogus");
        case("m bogus -x", "m bogus -x");
    }
}
