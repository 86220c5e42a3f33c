//! `help`, and how the help of the whole program looks.

use super::{COMMANDS, CliError, Cx, Exit, Group, Out, Run, drop_in, exit, root};
use std::fmt::Write as _;

/// Print the help of a command
#[derive(clap::Args)]
#[command(alias = "h")]
pub(super) struct Help {
    /// The command; without, all of them
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

impl Run for Help {
    const NAME: &'static str = "help";
    const GROUP: Group = Group::Machine;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let help = match &self.command {
            None => root(&cx.program).render_help().ansi().to_string(),
            Some(word) => match command(&cx.program, word) {
                Some(help) => help,
                None => {
                    return Err(CliError::UnknownCommand {
                        program: cx.program.clone(),
                        word: word.clone(),
                        argv0: cx.words.first().cloned().unwrap_or_default(),
                    });
                }
            },
        };
        out.text(&help)?;
        Ok(Exit::Done)
    }
}

/// The help of a command, if there is one of this name.
fn command(program: &str, name: &str) -> Option<String> {
    let mut root = root(program);
    root.build();
    Some(root.find_subcommand_mut(name)?.render_help().ansi().to_string())
}

/// The help of a command of the table.
pub(super) fn of(program: &str, name: &str) -> String {
    command(program, name).unwrap_or_default()
}

/// The help of a command that was given too few words or too many, and that it was.
pub(super) fn improper(cx: &Cx, out: &mut Out, name: &str) -> Result<Exit, CliError> {
    out.text(&of(&cx.program, name))?;
    Err(CliError::said("Improper number of arguments"))
}

/// The layout of the program's help. Commands are grouped, which clap has no words for.
pub(super) fn template(program: &str) -> String {
    let mut text = String::from("{usage-heading} {usage}\n\n{about}\n\nOptions:\n{options}\n");
    // Shell completions made for docker-machine look for the line `Commands:`.
    let machines = if drop_in(program) { "Commands:" } else { "Machine commands:" };
    for (group, title) in [(Group::Fleet, "Fleet commands:"), (Group::Machine, machines)] {
        let mut entries = COMMANDS.iter().filter(|entry| entry.group == group).peekable();
        if entries.peek().is_none() {
            continue;
        }
        let _ = writeln!(text, "\n{title}");
        for entry in entries {
            let about = entry.command().get_about().map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(text, "  {:<18}{about}", entry.name);
        }
    }
    let _ = write!(text, "\nExit codes:\n{}\n\nRun '{program} COMMAND --help' for more on a command.", exit::TABLE);
    text
}
