//! `active`: which machine the docker client speaks to now.

use super::{CliError, Cx, Exit, Group, Out, Run, answer, error::NamesError, look, row::State, stored::stored};
use std::time::Duration;

/// Print the machine that the docker client is pointed to
#[derive(clap::Args)]
pub(super) struct Active {
    /// Seconds to wait for an answer
    #[arg(short, long, value_name = "SECONDS", default_value_t = 10)]
    timeout: u64,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
    #[arg(hide = true)]
    names: Vec<String>,
}

impl Run for Active {
    const NAME: &'static str = "active";
    const GROUP: Group = Group::Machine;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        if !self.names.is_empty() {
            return Err(CliError::Names(NamesError::None));
        }
        let world = cx.world()?;
        let snapshot = stored(world.store.records.snapshot())?;
        let look = look::Look {
            timeout: Duration::from_secs(self.timeout),
            docker_host: cx.var("DOCKER_HOST"),
            engine: false,
            drop_in: cx.drop_in(),
        };
        let rows = cx.block_on(look::look(&world, snapshot, &look))?;
        if let Some(row) = rows.iter().find(|row| row.is_active()) {
            if self.json {
                answer::print(out, &answer::Active { machine: row.name.clone() })?;
            } else {
                out.line(&row.name)?;
            }
            return Ok(Exit::Done);
        }
        let timed_out = rows.iter().any(|row| row.state == State::Timeout);
        Err(CliError::said(if timed_out { "Error getting active host: timeout" } else { "No active host found" }))
    }
}
