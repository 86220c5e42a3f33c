//! `status`: whether a machine runs.

use super::{
    CliError, Cx, Exit, Group, Out, Run,
    machine::{self, Machine},
    names,
};

/// Print whether a machine runs
#[derive(clap::Args)]
pub(super) struct Status {
    /// The machine; `default` if none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl Run for Status {
    const NAME: &'static str = "status";
    const GROUP: Group = Group::Machine;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let world = cx.world()?;
        let machine = Machine::load(&world, &names::one(&*world.store, &self.names)?)?;
        let power = cx.block_on(machine.power())?;
        let power = power.map_err(|e| e.doing(format!("error getting state for host {}", machine.name())))?;
        out.line(machine::state(power))?;
        Ok(Exit::Done)
    }
}
