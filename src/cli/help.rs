//! `help`, and how the help of the whole program looks.

use super::{COMMANDS, CliError, Cx, Entry, Exit, Group, Out, Run, exit, root, suggest};
use clap::{Arg, ArgAction, Command};
use std::fmt::Write as _;

/// Print the help of a command
#[derive(clap::Args)]
#[command(alias = "h")]
pub(super) struct Help {
    /// The command; without, all of them
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
    #[arg(hide = true)]
    ignored: Vec<String>,
}

impl Run for Help {
    const NAME: &'static str = "help";
    const GROUP: Group = Group::Machine;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let help = match &self.command {
            None => root(&cx.program, &cx.drivers).render_help().ansi().to_string(),
            Some(word) => match command(cx, word) {
                Some(help) => help,
                None => {
                    return Err(CliError::UnknownCommand {
                        program: cx.program.clone(),
                        word: word.clone(),
                        argv0: cx.words.first().cloned().unwrap_or_default(),
                        close: close(word),
                    });
                }
            },
        };
        out.text(&help)?;
        Ok(Exit::Done)
    }
}

/// The help of a command, if there is one of this name.
fn command(cx: &Cx, name: &str) -> Option<String> {
    let mut root = root(&cx.program, &cx.drivers);
    root.build();
    Some(root.find_subcommand_mut(name)?.render_help().ansi().to_string())
}

/// The command that a word was probably meant to be.
pub(super) fn close(word: &str) -> Option<String> {
    // A function that `shell-init` makes, and no misspelling of one of ours.
    if word == "use" {
        return None;
    }
    suggest::command(word, shown(|_| true).into_iter().map(|(name, _)| name))
}

/// What clap says, or that there is no such command.
pub(super) fn usage(error: clap::Error, program: &str, words: &[String]) -> CliError {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    match (error.kind(), error.get(ContextKind::InvalidSubcommand)) {
        (ErrorKind::InvalidSubcommand, Some(ContextValue::String(word))) => CliError::UnknownCommand {
            program: program.to_owned(),
            word: word.clone(),
            argv0: words.first().cloned().unwrap_or_else(|| program.to_owned()),
            close: close(word),
        },
        _ => CliError::Usage(error),
    }
}

/// The help of a command of the table.
pub(super) fn of(cx: &Cx, name: &str) -> String {
    command(cx, name).unwrap_or_default()
}

/// The help of a command that was given too few words or too many, and that it was.
pub(super) fn improper(cx: &Cx, out: &mut Out, name: &str) -> Result<Exit, CliError> {
    out.text(&of(cx, name))?;
    Err(CliError::said("Improper number of arguments"))
}

/// The layout of the program's help. Commands are grouped, which clap has no words for.
pub(super) fn template(program: &str) -> String {
    let mut text = String::from("{usage-heading} {usage}\n\n{about}\n\nOptions:\n{options}\n");
    for (group, title) in
        [(Group::Fleet, "Fleet commands:"), (Group::Machine, "Machine commands:"), (Group::Shell, "Shell commands:")]
    {
        let entries = shown(|entry| entry.group == group);
        if entries.is_empty() {
            continue;
        }
        let _ = writeln!(text, "\n{title}");
        for (name, about) in entries {
            let _ = writeln!(text, "  {name:<18}{about}");
        }
    }
    let _ = write!(text, "\nExit codes:\n{}\n\nRun '{program} COMMAND --help' for more on a command.", exit::TABLE);
    text
}

/// Names and first lines of the commands that are not hidden.
fn shown(pick: impl Fn(&Entry) -> bool) -> Vec<(&'static str, String)> {
    let picked = COMMANDS.iter().filter(|entry| pick(entry)).map(|entry| (entry.name, entry.command()));
    let picked = picked.filter(|(_, command)| !command.is_hide_set());
    picked.map(|(name, command)| (name, about(&command))).collect()
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

/// docker-machine's commands in its order.
const ORDER: [&str; 22] = [
    "active",
    "config",
    "create",
    "env",
    "inspect",
    "ip",
    "kill",
    "ls",
    "provision",
    "regenerate-certs",
    "restart",
    "rm",
    "ssh",
    "scp",
    "mount",
    "start",
    "status",
    "stop",
    "upgrade",
    "url",
    "version",
    "help",
];

/// The help of the program in docker-machine's layout. Completions made for it read what follows `Commands:`, so
/// nothing of ours stands there.
pub(super) fn program_as_docker_machine(root: Command) -> Command {
    let options = root.get_arguments().filter(|arg| !arg.is_hide_set()).map(|arg| option(arg, "  "));
    let help = ("  --help, -h".to_owned(), "Print help".to_owned());
    let line = |(name, about): (&str, String)| (format!("  {name}"), about);
    let ours = shown(|entry| !ORDER.contains(&entry.name));
    let theirs = ORDER.iter().flat_map(|name| shown(|entry| entry.name == *name));
    let text = format!(
        "Usage: {program} [OPTIONS] COMMAND [arg...]\n\n{about}.\n\nVersion: {version}\n\nOptions:\n{options}\n\
         Further commands:\n{ours}\nExit codes:\n{exits}\n\nCommands:\n{theirs}\n\
         Run '{program} COMMAND --help' for more information on a command.\n",
        program = root.get_name(),
        about = about(&root),
        version = root.get_version().unwrap_or_default().trim_start_matches("version "),
        options = tabbed(options.chain([help]).collect()),
        ours = tabbed(ours.into_iter().map(line).collect()),
        exits = exit::TABLE_AS_DOCKER_MACHINE,
        theirs = tabbed(theirs.map(line).collect()),
    );
    root.override_help(text)
}

/// The help of a command in docker-machine's layout: completions look for options after three blanks.
pub(super) fn as_docker_machine(command: Command) -> Command {
    let command = without_json(command);
    let options = command.get_arguments().filter(|arg| !arg.is_positional() && !arg.is_hide_set());
    let mut options: Vec<_> = options.map(|arg| option(arg, "   ")).collect();
    if command.get_name() == "create" {
        options.sort();
    }
    let mut text = format!("Usage: docker-machine {}", command.get_name());
    text.push_str(if options.is_empty() { " [arg...]" } else { " [OPTIONS] [arg...]" });
    let _ = writeln!(text, "\n\n{}", about(&command));
    let words: Vec<_> = command
        .get_positionals()
        .filter(|arg| !arg.is_hide_set())
        .map(|arg| (format!("   {}", value(arg)), arg.get_help().map(ToString::to_string).unwrap_or_default()))
        .collect();
    if !words.is_empty() {
        let _ = write!(text, "\nDescription:\n{}", tabbed(words));
    }
    if !options.is_empty() {
        let _ = write!(text, "\nOptions:\n   \n{}", tabbed(options));
    }
    command.override_help(text)
}

/// docker-machine refuses `--json` where it has none, and scripts find out by that what they speak to.
fn without_json(command: Command) -> Command {
    let ours = ["ls", "inspect"].contains(&command.get_name()) || !ORDER.contains(&command.get_name());
    if ours || !command.get_arguments().any(|arg| arg.get_id() == "json") {
        return command;
    }
    command.mut_arg("json", |arg| arg.long("as-json-for-machine").hide(true))
}

fn value(arg: &Arg) -> &str {
    arg.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str())
}

/// An option and what it does, as docker-machine notes both.
fn option(arg: &Arg, indent: &str) -> (String, String) {
    let long = arg.get_long().map(|long| format!("--{long}"));
    let short = arg.get_short().map(|short| format!("-{short}"));
    let names = [long.clone(), short].into_iter().flatten().collect::<Vec<_>>().join(", ");
    let value = match (arg.get_action(), arg.get_default_values()) {
        (ArgAction::Append, _) => {
            let name = long.unwrap_or_default();
            format!(" [{name} option {name} option]")
        }
        (ArgAction::Set, []) => " ".to_owned(),
        (ArgAction::Set, [default, ..]) => format!(" \"{}\"", default.to_string_lossy()),
        _ => String::new(),
    };
    // A default stands behind the name, not in the words.
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let told = help.split_once(" [default: ").and_then(|(before, rest)| Some((before, rest.split_once(']')?)));
    let (value, help) = match told {
        Some((before, (default, after))) => (format!(" \"{default}\""), format!("{before}{after}")),
        None => (value, help),
    };
    let env = arg.get_env().map(|env| format!(" [${}]", env.to_string_lossy())).unwrap_or_default();
    (format!("{indent}{names}{value}"), format!("{help}{env}"))
}

/// Two columns, the second at a tab stop behind the longest of the first.
fn tabbed(rows: Vec<(String, String)>) -> String {
    let longest = rows.iter().map(|(first, _)| first.chars().count()).max().unwrap_or(0);
    let stop = (longest + 1).div_ceil(8) * 8;
    let row = |(first, second): (String, String)| {
        let tabs = "\t".repeat((stop - first.chars().count()).div_ceil(8));
        format!("{first}{tabs}{second}\n")
    };
    rows.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::Drivers;

    #[test]
    fn options_stand_as_docker_machine_has_them() {
        let command = super::super::root("docker-machine", &Drivers::built_in());
        let help = |name: &str| {
            let mut command = command.find_subcommand(name).unwrap().clone();
            command.render_help().to_string()
        };
        let ls = help("ls");
        assert!(ls.starts_with("Usage: docker-machine ls [OPTIONS] [arg...]\n\nList machines\n"), "{ls}");
        assert!(ls.contains("\nOptions:\n   \n   --quiet, -q\t\t\t\t\tPrint"), "{ls}");
        assert!(ls.contains("\n   --filter [--filter option --filter option]\tOnly"), "{ls}");
        assert!(ls.contains("\n   --timeout, -t \"10\"\t"), "{ls}");
        assert!(help("ssh").starts_with("Usage: docker-machine ssh [arg...]\n"));
    }

    #[test]
    fn docker_machines_commands_are_listed_last_and_in_its_order() {
        let help = super::super::root("docker-machine", &Drivers::built_in()).render_help().to_string();
        let (before, block) = help.split_once("\nCommands:\n").unwrap();
        let names: Vec<&str> =
            block.lines().take_while(|l| l.starts_with("  ")).filter_map(|l| l.split_whitespace().next()).collect();
        let known: Vec<&str> =
            ORDER.into_iter().filter(|name| COMMANDS.iter().any(|entry| entry.name == *name)).collect();
        assert_eq!(names, known);
        assert!(before.contains("\n  apply\t") && !help.contains("  complete\t"), "{help}");
    }
}
