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
        let mut root = root(&cx.program);
        root.build();
        let help = match &self.command {
            None => root.render_help(),
            Some(word) => match root.find_subcommand_mut(word) {
                Some(command) => command.render_help(),
                None => {
                    return Err(CliError::UnknownCommand {
                        program: cx.program.clone(),
                        word: word.clone(),
                        argv0: cx.words.first().cloned().unwrap_or_default(),
                    });
                }
            },
        };
        out.text(&help.ansi().to_string())?;
        Ok(Exit::Done)
    }
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
