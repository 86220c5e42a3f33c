//! `mount`: a folder of a machine as a folder here, through sshfs.

use super::{
    CliError, Cx, Exit, Group, Out, Run, help,
    login::Login,
    machine::Machine,
    operand::{Operand, local_word},
    program::Program,
    scp::needed,
};
use crate::world::World;
use std::ffi::OsString;

/// Mount a folder of a machine, or unmount it
#[derive(clap::Args)]
#[command(after_help = "\
The folder is [user@]machine:path; without a machine it is one of `default`. Without a second PATH it appears under \
the path it has on the machine.")]
pub(super) struct Mount {
    /// Unmount instead
    #[arg(short, long)]
    unmount: bool,
    /// The folder on the machine, and the one here
    #[arg(value_name = "PATH")]
    operands: Vec<String>,
}

impl Run for Mount {
    const NAME: &'static str = "mount";
    const GROUP: Group = Group::Machine;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let (remote, place) = match self.operands.as_slice() {
            [remote] => (remote, None),
            [remote, place] => (remote, Some(place.as_str())),
            _ => return help::improper(cx, out, Self::NAME),
        };
        let world = cx.world()?;
        let remote = match Operand::parse(remote, false, |_| false) {
            Operand::Local(path) => Operand::Remote { user: None, machine: "default".to_owned(), path },
            remote @ Operand::Remote { .. } => remote,
        };
        let (Operand::Remote { path, machine: name, .. }, place) = (&remote, place) else {
            unreachable!("what is mounted is on a machine")
        };
        let place = place.unwrap_or(path);
        if place.is_empty() {
            return Err(CliError::Said {
                what: format!("there is no mount point for `{name}:`"),
                help: Some("name a folder of this computer as well".to_owned()),
            });
        }
        out.flush()?;
        if self.unmount {
            let without = "You must have a copy of the fusermount binary locally to use the unmount option";
            let program = match Program::find(cx, "fusermount3") {
                Some(program) => program,
                None => needed(cx, "fusermount", without)?,
            };
            // A machine that is not there was never mounted; one that is off may still be.
            load(&world, name)?;
            return cx.block_on(program.run(vec!["-u".into(), local_word(place).into()]))?;
        }
        let program = needed(cx, "sshfs", "You must have a copy of the sshfs binary locally to use the mount feature")?;
        let mut login = Login::of(cx, &world, load(&world, name)?)?;
        cx.block_on(async {
            login.check("Cannot mount").await?;
            let config = login.config().await?;
            let mut words: Vec<OsString> = vec!["-F".into(), config.path.into()];
            words.extend(["-o", "LogLevel=ERROR"].map(OsString::from));
            words.extend([remote.word().into(), local_word(place).into()]);
            program.run(words).await
        })?
    }
}

fn load(world: &World, name: &str) -> Result<Machine, CliError> {
    Machine::load(world, name).map_err(|e| e.doing("Error loading host"))
}
