//! `upgrade`: the newest engine that a machine's package source has.

use super::{
    CliError, Cx, Exit, Group, Out, Run,
    machine::{self, Machine},
    power::{Changed, Hold, Lines, progress, say, together},
    provision::desired,
    story,
};
use crate::{driver::PowerAction, plan::Plan, record::Power};

/// Upgrade engines to the newest version there is
#[derive(clap::Args)]
pub(super) struct Upgrade {
    /// The machines; `default` if none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl Run for Upgrade {
    const NAME: &'static str = "upgrade";
    const GROUP: Group = Group::Machine;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        together(cx, out, &self.names, Hold::All, upgrade)
    }
}

async fn upgrade(mut machine: Machine, lines: Lines) -> Result<Changed, CliError> {
    let name = machine.name().clone();
    let mut changed = Changed::Nothing;
    // A driver that this program does not have cannot be asked; the login tells whether it runs.
    let power = match machine.power().await {
        Err(CliError::NoDriver(_)) => Power::Unknown,
        asked => asked?,
    };
    match power {
        Power::Stopped | Power::Paused | Power::Saved => {
            say(&lines, "Starting machine so machine can be upgraded...".to_owned());
            machine.set_power(PowerAction::Start, &progress(&machine, &lines)).await?;
            changed = Changed::Addresses;
        }
        Power::Running | Power::Starting | Power::Unknown => {}
        power @ (Power::Stopping | Power::Gone) => {
            return Err(CliError::said(format!("`{name}` cannot be upgraded: it is {}", machine::state(power))));
        }
    }
    let Some(engine) = desired(&machine)?.engine else {
        return Err(CliError::Said {
            what: format!("no engine was set up on `{name}`, so there is none to upgrade"),
            help: Some(format!("driver `{}` only knows where it is", machine.record.driver)),
        });
    };
    let world = machine.world().clone();
    let before = machine.record.engine.as_ref().map(|engine| engine.version.clone()).unwrap_or_default();
    say(&lines, "Upgrading docker...".to_owned());
    let plan = Plan::upgrade(&machine.record, engine);
    story::carry_out(&world, Upgrade::NAME, &name, &plan, &lines.interrupt, &|line| say(&lines, line)).await?;
    let record = world.store.get(&name).await.map_err(CliError::Store)?;
    let after = record.engine.map(|engine| engine.version).unwrap_or_default();
    say(
        &lines,
        match before.as_str() {
            same if same == after => format!("({name}) engine {after} is the newest there is"),
            "" => format!("({name}) engine is now {after}"),
            before => format!("({name}) engine {before} → {after}"),
        },
    );
    Ok(changed)
}
