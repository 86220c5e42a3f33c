//! `regenerate-certs`: new certificates for engines, and for the client if that is asked for. Nothing else on the
//! hosts is touched, and containers live on.

use super::{
    CliError, Cx, Exit, Group, Out, Run, claim,
    machine::Machine,
    names, prompt,
    stored::{settled, stored},
};
use crate::{
    apply::{self, StepError},
    engine::Api,
    name::MachineName,
    panicked::caught_async,
    record::{Power, auth::AuthFiles},
    store::{auth, authority, copies},
    world::World,
};
use std::collections::{BTreeMap, BTreeSet};
use tokio::{
    sync::mpsc::{UnboundedSender, unbounded_channel},
    task::JoinSet,
};

/// Give the engines of machines new certificates; their containers go on running
#[derive(clap::Args)]
pub(super) struct RegenerateCerts {
    /// Do not ask
    #[arg(short, long, visible_short_alias = 'y')]
    force: bool,
    /// Make a new client certificate as well, and a new authority if it ends within 30 days
    #[arg(long)]
    client_certs: bool,
    /// Make a new authority as well, for one whose key is lost; what was there is kept beside it
    #[arg(long)]
    new_authority: bool,
    /// The machines; `default` if none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl Run for RegenerateCerts {
    const NAME: &'static str = "regenerate-certs";
    const GROUP: Group = Group::Machine;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let question = "Regenerate TLS machine certs?  Warning: this is irreversible. (y/n): ";
        if !(self.force || prompt::answered(cx, out, question, "regenerating certificates")?) {
            return Ok(Exit::Done);
        }
        let world = cx.world()?;
        out.line("Regenerating TLS certificates")?;
        let names = names::any(&world.store, &self.names)?;
        let machines = Machine::load_all(&world, &names)?;
        let locks = claim::machines(cx, &world, machines.iter().map(Machine::name))?;
        // What was read before the locks were taken may be old.
        let machines = Machine::load_all(&world, &names)?;
        let machines: BTreeMap<MachineName, Machine> =
            machines.into_iter().map(|machine| (machine.name().clone(), machine)).collect();
        let mut files = BTreeSet::new();
        for name in machines.keys() {
            files.insert(stored(auth::of(&world.store, name))?.files);
        }
        if self.client_certs || self.new_authority {
            for name in machines.keys() {
                out.line(&match machines.len() {
                    1 => "Regenerating local certificates".to_owned(),
                    _ => format!("Regenerating local certificates ({name})"),
                })?;
            }
            for files in &files {
                self.renew_client(&world, files, out)?;
            }
        }
        let errors = cx.block_on(renew_all(cx, &world, machines.into_values().collect(), out))??;
        drop(locks);
        cx.keep_contexts(&world);
        for files in &files {
            tell_outdated(cx, &world, files, out)?;
        }
        CliError::all(errors).map(|()| Exit::Done)
    }
}

impl RegenerateCerts {
    /// A new client identity, and its copies for all machines whose engines know its authority.
    fn renew_client(&self, world: &World, files: &AuthFiles, out: &mut Out) -> Result<(), CliError> {
        let (store, clock) = (&world.store, &*world.clock);
        let renewed = settled(async {
            if self.new_authority {
                authority::renew_authority(store, files, clock).await
            } else {
                authority::renew_client(store, files, clock).await
            }
        })?;
        let (identity, deeds) =
            renewed.map_err(|e| failed(&StepError::Authority(e)).doing("Error generating certificates"))?;
        for deed in deeds {
            out.line(&deed.to_string())?;
        }
        stored(copies::renew(&world.store, files, &identity, world.clock.now()))?;
        Ok(())
    }
}

/// All machines at once. The failure of one stops no other.
async fn renew_all(cx: &Cx, world: &World, machines: Vec<Machine>, out: &mut Out) -> Result<Vec<CliError>, CliError> {
    let (lines, mut told) = unbounded_channel();
    // Dropped, it ends all of them.
    let mut tasks = JoinSet::new();
    for (place, machine) in machines.into_iter().enumerate() {
        let (world, lines, program) = (world.clone(), lines.clone(), cx.program.clone());
        let work = async move { renew(&world, &machine, &program, &lines).await };
        tasks.spawn(async move { (place, caught_async(work).await) });
    }
    drop(lines);
    while let Some(line) = told.recv().await {
        // A reader that has gone does not stop what was begun.
        out.line(&line)?;
    }
    let mut ends = tasks.join_all().await;
    ends.sort_by_key(|(place, _)| *place);
    Ok(ends
        .into_iter()
        .filter_map(|(_, end)| end.unwrap_or_else(|panicked| Err(CliError::Panicked(panicked))).err())
        .collect())
}

async fn renew(
    world: &World,
    machine: &Machine,
    program: &str,
    lines: &UnboundedSender<String>,
) -> Result<(), CliError> {
    let name = machine.name();
    if machine.target().is_err() {
        return Err(CliError::said(format!(
            "`{name}`: driver `{}` cannot log in to the host, so its certificates are to be replaced there by hand",
            machine.record.driver
        )));
    }
    if machine.record.engine.as_ref().is_some_and(|engine| engine.spec.api == Api::Ssh) {
        return Err(CliError::said(format!("`{name}`: its engine is reached over SSH and has no certificates")));
    }
    let power = match machine.power().await {
        // A driver that we lack made it; how to log in is known all the same.
        Err(CliError::NoDriver(_)) => Power::Running,
        other => other?,
    };
    if power != Power::Running {
        return Err(CliError::said(format!(
            "`{name}` is not running; its engine gets new certificates when it runs: {program} start {name}"
        )));
    }
    // The receiver lives until all senders are gone.
    let progress = |text: &str| drop(lines.send(format!("({name}) {text}")));
    apply::renew_certificate(world, name, &progress).await.map_err(|e| failed(&e).doing(format!("{name}")))?;
    progress("the engine answers by its new certificate");
    Ok(())
}

/// A failed step, in one error with all that is known of it.
fn failed(error: &StepError) -> CliError {
    let said = error.stderr().map(|said| format!(":\n{said}")).unwrap_or_default();
    CliError::Said { what: format!("{error}{said}"), help: error.help() }
}

/// Names the machines whose engines still go by an authority that was replaced.
fn tell_outdated(cx: &Cx, world: &World, files: &AuthFiles, out: &mut Out) -> Result<(), CliError> {
    let outdated = stored(copies::outdated(&world.store, files))?;
    if outdated.is_empty() {
        return Ok(());
    }
    let names = outdated.iter().map(ToString::to_string).collect::<Vec<_>>();
    out.line(&format!(
        "{} still known by the authority that was there before: {}. With the old copies in their folders they \
         go on working. To give them certificates of the new one:\n  {} regenerate-certs {}",
        if names.len() == 1 { "One machine is" } else { "Some machines are" },
        names.join(", "),
        cx.program,
        names.join(" ")
    ))
}
