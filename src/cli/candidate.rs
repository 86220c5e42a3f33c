//! What may stand next on a command line. Nothing here looks at anything: names come from [`Sources`].
//!
//! All of it follows from the definitions of the commands and drivers, so a new one needs nothing here.

use super::{filter, place::Place, shell::Shell};
use crate::driver::{Drivers, Kind, OptionSpec};
use clap::{Arg, Command};

/// One that is offered, and what it is.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Candidate {
    pub(super) text: String,
    pub(super) about: String,
}

impl Candidate {
    fn new(text: impl Into<String>, about: impl Into<String>) -> Self {
        Self { text: text.into(), about: about.into() }
    }

    fn plain(text: impl Into<String>) -> Self {
        Self::new(text, "")
    }
}

/// What the shell offers besides, which knows files better than we do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Files {
    None,
    All,
    Folders,
}

/// What is offered.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) candidates: Vec<Candidate>,
    pub(super) files: Files,
}

/// What is not in the definitions of the commands.
pub(super) struct Sources<'a> {
    /// Names of the machines in the store that the line names.
    pub(super) machines: &'a dyn Fn(&Place<'_>) -> Vec<String>,
    /// Names of the hosts in the fleet file that the line names.
    pub(super) hosts: &'a dyn Fn(&Place<'_>) -> Vec<String>,
    /// What machines can be made with.
    pub(super) drivers: &'a Drivers,
    /// `MACHINE_DRIVER`.
    pub(super) driver: Option<String>,
    /// Whether the shell has `use`, which is `env` and more.
    pub(super) wrapped: bool,
}

/// What may stand in place of the last of `words`; the program is not among them.
pub(super) fn offer(root: &Command, words: &[String], sources: &Sources<'_>) -> Offer {
    let place = Place::of(root, words, sources.wrapped);
    let mut files = Files::None;
    if place.lost || place.is_remote() {
        return Offer { candidates: Vec::new(), files };
    }
    let mut candidates = match (place.value_of, place.command) {
        (Some(arg), _) => {
            files = files_for(arg);
            values(arg, &place, sources)
        }
        (None, None) if place.typed.starts_with('-') => flags(root, &place),
        (None, None) => commands(root, sources.wrapped),
        (None, Some(command)) if place.typed.starts_with('-') => {
            let mut found = flags(command, &place);
            if command.get_name() == "create" {
                found.extend(driver_flags(&place, sources));
            }
            found
        }
        (None, Some(command)) => positional(command, &place, sources, &mut files),
    };
    candidates.retain(|candidate| candidate.text.starts_with(place.typed));
    for candidate in &mut candidates {
        candidate.text.insert_str(0, place.prefix);
    }
    candidates.sort();
    candidates.dedup_by(|a, b| a.text == b.text);
    Offer { candidates, files }
}

fn commands(root: &Command, wrapped: bool) -> Vec<Candidate> {
    let shown = root.get_subcommands().filter(|command| !command.is_hide_set());
    let mut found: Vec<_> = shown.map(|command| Candidate::new(command.get_name(), about(command))).collect();
    if wrapped {
        found.push(Candidate::new("use", "Point docker in this shell to a machine"));
    }
    found
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

/// What is not hidden and not said yet.
fn flags(command: &Command, place: &Place<'_>) -> Vec<Candidate> {
    let open = |arg: &&Arg| {
        let repeats = matches!(arg.get_action(), clap::ArgAction::Append | clap::ArgAction::Count);
        !arg.is_positional() && !arg.is_hide_set() && (repeats || !place.given.contains(&arg.get_id().as_str()))
    };
    let mut found = Vec::new();
    for arg in command.get_arguments().filter(open) {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        match (arg.get_long(), arg.get_short()) {
            (Some(long), _) => found.push(Candidate::new(format!("--{long}"), help)),
            (None, Some(short)) => found.push(Candidate::new(format!("-{short}"), help)),
            (None, None) => {}
        }
    }
    found
}

/// Flags of the driver that the line or the environment names.
fn driver_flags(place: &Place<'_>, sources: &Sources<'_>) -> Vec<Candidate> {
    let options = driver_options(place, sources).iter();
    options.map(|spec| Candidate::new(format!("--{}", spec.flag), spec.help.as_str())).collect()
}

fn driver_options<'a>(place: &Place<'_>, sources: &Sources<'a>) -> &'a [OptionSpec] {
    let name = place.driver.or(sources.driver.as_deref()).unwrap_or_default();
    sources.drivers.options(name)
}

fn drivers(sources: &Sources<'_>) -> Vec<Candidate> {
    sources.drivers.iter().map(|driver| Candidate::new(driver.name(), driver.about())).collect()
}

fn plain<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Vec<Candidate> {
    texts.into_iter().map(Candidate::plain).collect()
}

/// By what the value is called in help.
fn files_for(arg: &Arg) -> Files {
    let called = arg.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
    match called {
        "DIR" => Files::Folders,
        "FILE" | "PATH" => Files::All,
        _ if arg.get_long().is_some_and(|long| long.starts_with("tls-") && long != "tls-san") => Files::All,
        _ => Files::None,
    }
}

/// Values of an option.
fn values(arg: &Arg, place: &Place<'_>, sources: &Sources<'_>) -> Vec<Candidate> {
    let possible = arg.get_possible_values();
    if !possible.is_empty() {
        let help = |value: &clap::builder::PossibleValue| value.get_help().map(ToString::to_string).unwrap_or_default();
        return possible.iter().map(|value| Candidate::new(value.get_name(), help(value))).collect();
    }
    match arg.get_id().as_str() {
        "shell" => plain(Shell::names()),
        "driver" => drivers(sources),
        "filter" => filters(place, sources),
        "target" | "host" => plain((sources.hosts)(place)),
        _ => Vec::new(),
    }
}

/// `ls --filter`: the keys, and the values of those that have known ones.
fn filters(place: &Place<'_>, sources: &Sources<'_>) -> Vec<Candidate> {
    let Some((key, _)) = place.typed.split_once('=') else {
        return filter::KEYS.iter().map(|(key, help)| Candidate::new(format!("{key}="), *help)).collect();
    };
    let values = match key.to_lowercase().as_str() {
        "driver" => drivers(sources),
        "state" => plain(filter::STATES),
        "name" | "swarm" => plain((sources.machines)(place)),
        _ => Vec::new(),
    };
    values.into_iter().map(|value| Candidate { text: format!("{key}={}", value.text), ..value }).collect()
}

/// Commands that work on one machine.
const OF_ONE: [&str; 9] = ["config", "create", "env", "inspect", "status", "trust", "url", "version", "ssh"];

fn positional(command: &Command, place: &Place<'_>, sources: &Sources<'_>, files: &mut Files) -> Vec<Candidate> {
    let machines = || -> Vec<Candidate> {
        let said = |name: &&String| !place.words.contains(&name.as_str());
        plain((sources.machines)(place).iter().filter(said).cloned().collect::<Vec<_>>())
    };
    let name = command.get_name();
    let count = place.words.len();
    let arg = command.get_positionals().nth(count).or_else(|| command.get_positionals().last());
    match name {
        "create" => {
            // Flags of drivers are none of the command's own.
            let flag = place.before.map(|word| word.trim_start_matches('-'));
            let spec = driver_options(place, sources).iter().find(|spec| Some(spec.flag.as_str()) == flag);
            if spec.is_some_and(|spec| spec.kind == Kind::Path) {
                *files = Files::All;
            }
            return Vec::new();
        }
        "help" => return if count == 0 { commands(place.root, false) } else { Vec::new() },
        // A copy is from or to a machine; a machine's folder is mounted on one of ours.
        "scp" | "mount" => {
            *files = if name == "scp" { Files::All } else { Files::Folders };
            if place.typed.contains(':') || name == "mount" && count > 0 {
                return Vec::new();
            }
            return machines().into_iter().map(|m| Candidate { text: m.text + ":", ..m }).collect();
        }
        _ => {}
    }
    let Some(arg) = arg.filter(|arg| !arg.is_hide_set()) else { return Vec::new() };
    *files = files_for(arg);
    if !arg.get_possible_values().is_empty() {
        return if count == 0 { values(arg, place, sources) } else { Vec::new() };
    }
    let called = arg.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
    // `env -u` takes no machine.
    if called != "NAME" || count > 0 && OF_ONE.contains(&name) || name == "env" && place.given.contains(&"unset") {
        return Vec::new();
    }
    machines()
}

#[cfg(test)]
#[path = "candidate_tests.rs"]
mod tests;
