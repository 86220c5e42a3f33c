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
        match &self.command {
            None => out.text(&root(&cx.program).render_help().ansi().to_string())?,
            Some(word) => of_command(cx, word, out)?,
        }
        Ok(Exit::Done)
    }
}

/// Prints the help of a command.
pub(super) fn of_command(cx: &Cx, word: &str, out: &mut Out) -> Result<(), CliError> {
    let mut root = root(&cx.program);
    root.build();
    let Some(command) = root.find_subcommand_mut(word) else {
        return Err(CliError::UnknownCommand {
            program: cx.program.clone(),
            word: word.to_owned(),
            argv0: cx.words.first().cloned().unwrap_or_default(),
        });
    };
    out.text(&command.render_help().ansi().to_string())
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
