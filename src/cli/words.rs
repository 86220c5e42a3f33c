//! The words of a command line as Go's `flag` package reads them, for scripts written for docker-machine.
//!
//! `-name` is `--name`, `--n` is `-n`, a value may begin with a dash, and a boolean may be written `--name=false`.

use super::CliError;
use clap::{Arg, ArgAction, Command};
use std::{any::TypeId, num::IntErrorKind};

/// The words in the form clap reads. The first is the program.
pub(super) fn normal(root: &Command, words: &[String]) -> Result<Vec<String>, CliError> {
    let mut normal: Vec<String> = words.iter().take(1).cloned().collect();
    let mut rest = words.iter().skip(1);
    let mut command = root;
    let mut in_root = true;
    while let Some(word) = rest.next() {
        if word == "--" {
            if in_root {
                // It ends the options of the program, and its command follows.
                continue;
            }
            normal.push(word.clone());
            break;
        }
        if in_root && word.is_empty() {
            // No command.
            return Ok(normal);
        }
        if is_malformed(word) {
            return Err(CliError::said(format!("bad flag syntax: {word}")));
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
        let Some(arg) = find(command, name) else {
            normal.push(word.clone());
            continue;
        };
        let switch = matches!(
            arg.get_action(),
            ArgAction::SetTrue | ArgAction::SetFalse | ArgAction::Count | ArgAction::Help | ArgAction::Version
        );
        let spelled = if name.chars().count() > 1 { format!("--{name}") } else { format!("-{name}") };
        // One whose value may be left out takes none from the next word.
        if arg.get_num_args().is_some_and(|range| range.min_values() == 0) && !switch {
            if let Some(value) = value.filter(|value| truth(value).is_none()) {
                return Err(no_boolean(name, value));
            }
            normal.push(value.map_or_else(|| spelled.clone(), |value| format!("{spelled}={value}")));
            continue;
        }
        match (switch, value.map(|value| (value, truth(value)))) {
            (true, None | Some((_, Some(true)))) => normal.push(spelled),
            (true, Some((_, Some(false)))) => {}
            (true, Some((value, None))) => return Err(no_boolean(name, value)),
            (false, value) => match value.map(|(value, _)| value).or_else(|| rest.next().map(String::as_str)) {
                Some(value) => normal.push(format!("{spelled}={}", counted(arg, name, value)?)),
                None => return Err(CliError::said(format!("flag needs an argument: -{name}"))),
            },
        }
    }
    normal.extend(rest.cloned());
    Ok(normal)
}

/// Whether a word begins as a flag and can be none.
fn is_malformed(word: &str) -> bool {
    let name = word.strip_prefix("--").or_else(|| word.strip_prefix('-'));
    name.is_some_and(|name| name.starts_with('=') || word.starts_with("--") && name.starts_with('-'))
}

fn no_boolean(name: &str, value: &str) -> CliError {
    CliError::said(format!("invalid boolean value {value:?} for -{name}: parse error"))
}

/// The value of an option; one that counts is brought to the form that everybody reads.
fn counted(arg: &Arg, name: &str, value: &str) -> Result<String, CliError> {
    if arg.get_value_parser().type_id() != TypeId::of::<u64>() {
        return Ok(value.to_owned());
    }
    let wrong = |why| CliError::said(format!("invalid value {value:?} for flag -{name}: {why}"));
    // Less than nothing is nothing.
    integer(value).map(|number| number.max(0).to_string()).map_err(wrong)
}

/// A number as Go's `strconv.ParseInt` reads it: `0x10`, `010` and `0b1` count in other bases. Else what it says.
fn integer(text: &str) -> Result<i64, &'static str> {
    let (minus, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (digits, base) = match lower.as_str() {
        "0" => ("0", 10),
        text if text.starts_with("0x") => (&text[2..], 16),
        text if text.starts_with("0b") => (&text[2..], 2),
        text if text.starts_with("0o") => (&text[2..], 8),
        text if text.starts_with('0') => (&text[1..], 8),
        text => (text, 10),
    };
    if digits.starts_with(['+', '-']) {
        return Err("parse error");
    }
    i64::from_str_radix(&format!("{minus}{digits}"), base).map_err(|e| match e.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
        _ => "parse error",
    })
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

/// The option of a command that has this name, long or short.
pub(super) fn find<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    let short = name.chars().next().filter(|_| name.chars().count() == 1);
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
        assert_eq!(
            normal(&super::super::root("m", &crate::driver::Drivers::built_in()), &words).unwrap().join(" "),
            want,
            "{line}"
        );
    }

    #[test]
    fn what_cannot_be_read_is_named_as_it_was_spelled() {
        for (line, want) in [
            ("m ls ---q", "bad flag syntax: ---q"),
            ("m ls --=x", "bad flag syntax: --=x"),
            ("m ls -q=maybe", "invalid boolean value \"maybe\" for -q: parse error"),
            ("m --native-ssh=x ls", "invalid boolean value \"x\" for -native-ssh: parse error"),
            ("m ls -t x", "invalid value \"x\" for flag -t: parse error"),
            ("m ls -t 9999999999999999999", "invalid value \"9999999999999999999\" for flag -t: value out of range"),
            ("m ls -f", "flag needs an argument: -f"),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(
                normal(&super::super::root("m", &crate::driver::Drivers::built_in()), &words).unwrap_err().to_string(),
                want,
                "{line}"
            );
        }
    }

    #[test]
    fn numbers_are_counted_as_go_counts() {
        for (text, want) in [("0", Ok(0)), ("010", Ok(8)), ("0x1F", Ok(31)), ("-5", Ok(-5)), ("+7", Ok(7))] {
            assert_eq!(integer(text), want, "{text}");
        }
        for text in ["", "-", "08", "0x", "5s", "--1", "0x-1", "1.5"] {
            assert_eq!(integer(text), Err("parse error"), "{text}");
        }
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
        case("m rm --y a", "m rm -y a");
        case("m -- ls --f x --timeout 0x10", "m ls -f=x --timeout=16");
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
