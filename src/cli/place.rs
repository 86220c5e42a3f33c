//! Where the last word of an unfinished command line stands.

use super::words;
use clap::{Arg, ArgAction, Command};

/// What has been said before the last word, and what that word is for.
pub(super) struct Place<'a> {
    /// The program.
    pub(super) root: &'a Command,
    /// The command, once there is one.
    pub(super) command: Option<&'a Command>,
    /// The word before the last one.
    pub(super) before: Option<&'a str>,
    /// The option whose value the last word is.
    pub(super) value_of: Option<&'a Arg>,
    /// What of the last word is given, as `--filter=`.
    pub(super) prefix: &'a str,
    /// The rest of the last word.
    pub(super) typed: &'a str,
    /// An unknown command was named, so it is unknown what may follow.
    pub(super) lost: bool,
    /// Ids of the options that were given to the command, or to the program as long as there is no command.
    pub(super) given: Vec<&'a str>,
    /// Words after the command that are no options.
    pub(super) words: Vec<&'a str>,
    /// The value of `--storage-path`.
    pub(super) storage: Option<&'a str>,
    /// The value of `--driver`.
    pub(super) driver: Option<&'a str>,
    /// The value of `--file`.
    pub(super) file: Option<&'a str>,
}

impl<'a> Place<'a> {
    /// Reads the words; the program is not among them. `wrapped`: `use` is known and reads as `env`.
    pub(super) fn of(root: &'a Command, line: &'a [String], wrapped: bool) -> Self {
        let (last, before) = line.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
        let mut place = Self {
            root,
            command: None,
            before: before.last().map(String::as_str),
            value_of: None,
            prefix: "",
            typed: last,
            lost: false,
            given: Vec::new(),
            words: Vec::new(),
            storage: None,
            driver: None,
            file: None,
        };
        let mut rest = before.iter();
        while let Some(word) = rest.next() {
            if place.is_remote() {
                place.words.push(word);
                continue;
            }
            match words::flag(word).and_then(|(name, value)| Some((place.find(name)?, value))) {
                Some((arg, value)) => {
                    place.given.push(arg.get_id().as_str());
                    let value = if takes_value(arg) { value.or_else(|| rest.next().map(String::as_str)) } else { None };
                    match (value, arg.get_id().as_str()) {
                        (Some(value), "storage-path") => place.storage = Some(value),
                        (Some(value), "driver") => place.driver = Some(value),
                        (Some(value), "file" | "files") => place.file = Some(value),
                        (None, _) if takes_value(arg) => place.value_of = Some(arg),
                        _ => {}
                    }
                }
                None if word.starts_with('-') => {}
                None if place.command.is_some() => place.words.push(word),
                None => {
                    let name = if wrapped && word == "use" { "env" } else { word };
                    place.command = root.find_subcommand(name);
                    place.given.clear();
                    place.lost = place.command.is_none();
                    if place.lost {
                        return place;
                    }
                }
            }
        }
        if let (None, Some((name, Some(value))), false) = (place.value_of, words::flag(last), place.is_remote())
            && let Some(arg) = place.find(name).filter(|arg| takes_value(arg))
        {
            place.value_of = Some(arg);
            (place.prefix, place.typed) = last.split_at(last.len() - value.len());
        }
        place
    }

    /// Whether what follows is for the shell of a machine.
    pub(super) fn is_remote(&self) -> bool {
        self.command.is_some_and(|command| command.get_name() == "ssh") && !self.words.is_empty()
    }

    fn find(&self, name: &str) -> Option<&'a Arg> {
        words::find(self.command.unwrap_or(self.root), name)
    }
}

fn takes_value(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
}
