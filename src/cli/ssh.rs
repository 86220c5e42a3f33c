//! `ssh`: a shell or a command on a machine, with the host key that is recorded for it.

use super::{CliError, Cx, Exit, Group, Out, Run, machine::Machine, names, world};
use crate::{
    quote::Sh,
    record::Power,
    transport::{self, ssh::Tty},
};

/// Log in to a machine, or run a command on it
#[derive(clap::Args)]
pub(super) struct Ssh {
    /// The machine, then the command; no command: a login shell
    #[arg(value_name = "NAME", trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

impl Run for Ssh {
    const NAME: &'static str = "ssh";
    const GROUP: Group = Group::Machine;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let world = cx.world()?;
        let (name, words) = match self.words.split_first() {
            Some((name, words)) => (name.clone(), words),
            None => (names::one(&*world.store, &[])?, &[][..]),
        };
        let (words, tty) = options(words)?;
        let machine = Machine::load(&world, &name)?;
        let command = (!words.is_empty()).then(|| Sh::from_user(words));
        // From here on standard output belongs to the host.
        out.flush()?;
        let status = cx.block_on(session(&machine, command.as_ref(), tty))??;
        Ok(if status == 0 { Exit::Done } else { Exit::Remote(u8::try_from(status).unwrap_or(u8::MAX)) })
    }
}

/// What `ssh` would take for itself in front of the command: of its options only `-t` is known here, and `--` ends them.
fn options(mut words: &[String]) -> Result<(&[String], Tty), CliError> {
    let mut asked = false;
    while let Some((word, rest)) = words.split_first().filter(|(word, _)| word.starts_with('-')) {
        match word.as_str() {
            "-t" | "-tt" => asked = true,
            "--" => {
                words = rest;
                break;
            }
            _ => {
                return Err(CliError::Said {
                    what: format!("`{word}` is an option of another ssh program"),
                    help: Some("log in with that program if you need its options; see `machine inspect`".to_owned()),
                });
            }
        }
        words = rest;
    }
    // As with `ssh`: a person gets a terminal, a command gets one only if asked for.
    Ok((words, if words.is_empty() || asked { Tty::Ours } else { Tty::Never }))
}

async fn session(machine: &Machine, command: Option<&Sh>, tty: Tty) -> Result<i32, CliError> {
    let target = machine.target()?;
    // Whether it runs is asked first, because only the driver can tell "switched off" from "not reachable".
    if !matches!(machine.power().await, Ok(Power::Running | Power::Unknown) | Err(CliError::NoDriver(_))) {
        let what = format!("Error: Cannot run SSH command: Host \"{}\" is not running", machine.name());
        return Err(CliError::said(what));
    }
    let session = world::ssh().open(&target).await.map_err(CliError::Transport)?;
    machine.pin(&*session).map_err(CliError::Store)?;
    transport::ssh::interactive(&session, command, tty).await.map_err(CliError::Transport)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_in_front_of_the_command_are_for_ssh() {
        for (line, command, tty) in [
            ("", "", Tty::Ours),
            ("ls -la", "ls -la", Tty::Never),
            ("-- ls", "ls", Tty::Never),
            ("-t htop", "htop", Tty::Ours),
            ("-t -- -x", "-x", Tty::Ours),
            ("-- -t", "-t", Tty::Never),
        ] {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            let (rest, wanted) = options(&words).unwrap();
            assert_eq!((rest.join(" ").as_str(), wanted), (command, tty), "{line}");
        }
        assert!(options(&["-L".to_owned(), "8080:localhost:80".to_owned()]).is_err());
    }
}
