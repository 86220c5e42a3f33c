//! `url`: where the engine of a machine listens.

use super::{CliError, Cx, Exit, Group, Out, Run, answer, machine::Machine, names};
use crate::{driver::DriverError, record::Power};

/// Print the URL of a machine's engine
#[derive(clap::Args)]
pub(super) struct Url {
    /// Print it as JSON
    #[arg(long)]
    json: bool,
    /// The machine; `default` if none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl Run for Url {
    const NAME: &'static str = "url";
    const GROUP: Group = Group::Machine;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let world = cx.world()?;
        let machine = Machine::load(&world, &names::one(&world.store, &self.names)?)?;
        let url = cx.block_on(running(&machine))??;
        if self.json {
            answer::print(out, &answer::Url { machine: machine.name().to_string(), url })?;
            return Ok(Exit::Done);
        }
        out.line(&url)?;
        Ok(Exit::Done)
    }
}

/// The URL of a machine that runs. One whose driver we lack is believed to, and one whose driver cannot be asked without
/// a secret that is not set: who only uses a machine needs no credentials of its provider.
pub(super) async fn running(machine: &Machine) -> Result<String, CliError> {
    let power = match machine.power().await {
        Err(CliError::NoDriver(_) | CliError::Driver(DriverError::Secret(_) | DriverError::Stranger { .. })) => {
            Power::Running
        }
        other => other?,
    };
    machine.url().filter(|_| power == Power::Running).ok_or_else(|| CliError::said("Host is not running"))
}
