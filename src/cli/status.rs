//! `status`: whether a machine runs.

use super::{
    CliError, Cx, Exit, Group, Out, Run, answer,
    machine::{self, Machine},
    names,
};

/// Print whether a machine runs
#[derive(clap::Args)]
pub(super) struct Status {
    /// Print it as JSON
    #[arg(long)]
    json: bool,
    /// The machine; `default` if none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl Run for Status {
    const NAME: &'static str = "status";
    const GROUP: Group = Group::Machine;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let world = cx.world()?;
        let machine = Machine::load(&world, &names::one(&world.store, &self.names)?)?;
        let power = cx.block_on(machine.power())?;
        let power = power.map_err(|e| e.doing(format!("error getting state for host {}", machine.name())))?;
        let state = machine::state(power);
        if self.json {
            let machine = machine.name().to_string();
            answer::print(out, &answer::Status { machine, state: state.to_owned() })?;
            return Ok(Exit::Done);
        }
        out.line(state)?;
        Ok(Exit::Done)
    }
}
