//! `provision`: finishes a machine, and makes its engine as recorded again.

use super::{
    CliError, Cx, Exit, Group, Out, Run,
    create::engine_port,
    fleet,
    machine::Machine,
    power::{Changed, Hold, Lines, say, together},
    stored::stored,
    story,
};
use crate::{
    engine::{EngineSpec, Variable},
    fleet::{HostSpec, sets_up_engine},
    observe::observe,
    plan::Plan,
    record::{Known, Reach, Snapshot},
    store::auth,
};

/// Make engines as they are recorded again, and finish creations that were cut off
#[derive(clap::Args)]
pub(super) struct Provision {
    /// The machines; `default` if none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl Run for Provision {
    const NAME: &'static str = "provision";
    const GROUP: Group = Group::Machine;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        together(cx, out, &self.names, Hold::All, provision)
    }
}

async fn provision(machine: Machine, lines: Lines) -> Result<Changed, CliError> {
    let world = machine.world().clone();
    let name = machine.name().clone();
    let spec = desired(&machine)?;
    let known = Known { record: machine.record.clone(), observed: None };
    let snapshot = Snapshot { machines: [(name.clone(), known)].into(), ..Snapshot::default() };
    let snapshot = observe(&world, snapshot, 1, |_| true, |_, _, _| ()).await;
    let plan = Plan::machine(&name, &spec, &snapshot, &fleet::inputs(&world, false));
    if let Some(why) = plan.not_reached().or_else(|| plan.blocked()) {
        return Err(CliError::said(why.to_owned()));
    }
    let asked = snapshot.machines[&name].observed.as_ref().is_some_and(|seen| seen.host != Reach::NotAsked);
    if plan.is_noop() && spec.engine.is_some() && !asked {
        return Err(CliError::Said {
            what: format!("`{name}` could not be looked at: its record names no host to log in to"),
            help: Some(format!("see what is recorded of it:\n  machine inspect {name}")),
        });
    }
    if plan.is_noop() {
        say(&lines, format!("({name}) nothing to do: it is as recorded"));
        return Ok(Changed::Nothing);
    }
    story::carry_out(&world, Provision::NAME, &name, &plan, &lines.interrupt, &|line| say(&lines, line)).await?;
    Ok(Changed::Nothing)
}

/// What a machine should be. Of one that no fleet owns, config.json says so, which people edit by hand.
pub(super) fn desired(machine: &Machine) -> Result<HostSpec, CliError> {
    let mut spec = HostSpec::recorded(&machine.record);
    if machine.record.fleet.is_some() || !sets_up_engine(&machine.record.driver) {
        return Ok(spec);
    }
    let auth = stored(auth::of(&machine.world().store, machine.name()))?;
    spec.tls_names.extend(auth.names);
    let Some(config) = machine.config()? else { return Ok(spec) };
    let recorded = spec.engine.take();
    let port = recorded.as_ref().map_or_else(|| engine_port(&spec.options), |recorded| recorded.port);
    let mut engine = config.engine_options().as_found(port, Some(&machine.record.driver));
    // What config.json has no words for is as it was applied.
    if let Some(EngineSpec { version, source, mirror, install_url, api, env, open_firewall, .. }) = recorded {
        engine = EngineSpec { version, source, mirror, install_url, api, open_firewall, ..engine };
        let secrets = env.into_iter().filter(|(_, variable)| matches!(variable, Variable::Secret(_)));
        engine.env.extend(secrets);
    }
    spec.engine = Some(engine);
    Ok(spec)
}
