//! `ssh`: a shell or a command on a machine, with the host key that is recorded for it.

use super::{CliError, Cx, Exit, Group, Out, Run, machine::Machine, names, world};
use crate::{quote::Sh, record::Power, transport};

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
        // `ssh web-1 -- ls` is `ssh web-1 ls`.
        let words = match words.split_first() {
            Some((dashes, words)) if dashes == "--" => words,
            Some((option, _)) if option.starts_with('-') => {
                return Err(CliError::Said {
                    what: format!("`{option}` is an option of another ssh program"),
                    help: Some("log in with that program if you need its options; see `machine inspect`".to_owned()),
                });
            }
            _ => words,
        };
        let machine = Machine::load(&world, &name)?;
        let command = (!words.is_empty()).then(|| Sh::from_user(words));
        // From here on standard output belongs to the host.
        out.flush()?;
        let status = cx.block_on(session(&machine, command.as_ref()))??;
        Ok(if status == 0 { Exit::Done } else { Exit::Remote(u8::try_from(status).unwrap_or(u8::MAX)) })
    }
}

async fn session(machine: &Machine, command: Option<&Sh>) -> Result<i32, CliError> {
    let target = machine.target()?;
    // Whether it runs is asked first, because only the driver can tell "switched off" from "not reachable".
    if !matches!(machine.power().await, Ok(Power::Running | Power::Unknown) | Err(CliError::NoDriver(_))) {
        let what = format!("Error: Cannot run SSH command: Host \"{}\" is not running", machine.name());
        return Err(CliError::said(what));
    }
    let session = world::ssh().open(&target).await.map_err(CliError::Transport)?;
    if target.host_keys.is_empty() {
        machine.pin(transport::Transport::host_key(&*session)).map_err(CliError::Store)?;
    }
    transport::ssh::interactive(&session, command).await.map_err(CliError::Transport)
}
