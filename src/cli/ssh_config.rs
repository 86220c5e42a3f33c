//! `ssh-config`: machines as `Host` blocks, for editors, ansible and whatever else speaks through OpenSSH.

use super::{CliError, Cx, Exit, Group, Out, Run, login::Login, machine::Machine, stored::stored};

/// Print machines as Host blocks for OpenSSH
#[derive(clap::Args)]
#[command(after_help = "\
Written to a file, they are for `Include` in ~/.ssh/config, or for `ssh -F`. Of every machine the host key that is \
recorded is expected, and no other.")]
pub(super) struct SshConfig {
    /// The machines; all that can be logged in to if none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl Run for SshConfig {
    const NAME: &'static str = "ssh-config";
    const GROUP: Group = Group::Machine;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let world = cx.world()?;
        let machines = if self.names.is_empty() {
            let snapshot = stored(world.store.records.snapshot())?;
            let known = snapshot.machines.into_values().map(|known| Machine::of(&world, known.record));
            known.filter(|machine| machine.target().is_ok()).collect()
        } else {
            Machine::load_all(&world, &self.names)?
        };
        for machine in machines {
            out.text(&Login::of(cx, &world, machine)?.offline_config()?.text)?;
        }
        Ok(Exit::Done)
    }
}
