//! `ssh`: a shell or a command on a machine, with the host key that is recorded for it.

use super::{CliError, Cx, Exit, Group, Out, Run, machine::Machine, names};
use crate::{quote::Sh, record::Power, transport::Limits};
use std::time::Duration;

/// Log in to a machine, or run a command on it
#[derive(clap::Args)]
pub(super) struct Ssh {
    /// The machine, then the command; no command: a login shell
    #[arg(value_name = "NAME", trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// As long as it takes.
const UNBOUNDED: Limits = Limits { total: Duration::MAX, idle: Duration::MAX };

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
        let words = words.strip_prefix(&["--".to_owned()]).unwrap_or(words);
        let machine = Machine::load(&world, &name)?;
        let output = cx.block_on(async {
            if !matches!(machine.power().await, Ok(Power::Running | Power::Unknown) | Err(CliError::NoDriver(_))) {
                return Err(CliError::said(format!("Error: Cannot run SSH command: Host \"{name}\" is not running")));
            }
            let transport = machine.connect(Duration::ZERO).await?;
            let command = Sh::from_user(words);
            transport.run(&command, b"", UNBOUNDED, &mut |_| ()).await.map_err(CliError::Transport)
        })??;
        out.text(&output.stdout)?;
        Ok(if output.status == 0 { Exit::Done } else { Exit::Remote(u8::try_from(output.status).unwrap_or(255)) })
    }
}
