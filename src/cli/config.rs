//! `config`: options for a docker client, and the check that they would work.

use super::{
    CliError, Cx, Exit, Group, Out, Run, answer,
    machine::{Machine, split_host_port},
    names, url,
};
use crate::record::host_port;
use std::time::Duration;

/// Print the options that point a docker client to a machine
#[derive(clap::Args)]
pub(super) struct Config {
    /// Point to the swarm master instead of the engine
    #[arg(long)]
    swarm: bool,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
    /// The machine; `default` if none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// As docker-machine has it.
const TIMEOUT: Duration = Duration::from_secs(20);

impl Run for Config {
    const NAME: &'static str = "config";
    const GROUP: Group = Group::Machine;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let world = cx.world()?;
        // Further names are ignored, as they always were.
        let name = names::any(&world.store, &self.names)?.remove(0);
        let machine = Machine::load(&world, &name)?;
        let url = cx.block_on(reachable_url(&machine, self.swarm))?;
        let url = url.map_err(|e| e.doing("Error running connection boilerplate"))?;
        let dir = cx.machine_dir(machine.name().as_str());
        let certificates = needs_certificates(cx, &machine, &url)?;
        let files = [("tlscacert", "ca.pem"), ("tlscert", "cert.pem"), ("tlskey", "key.pem")];
        if self.json {
            let mut arguments = Vec::new();
            if certificates {
                arguments.push("--tlsverify".to_owned());
                arguments.extend(files.map(|(option, file)| format!("--{option}={}", dir.join(file).display())));
            }
            arguments.push(format!("-H={url}"));
            answer::print(out, &answer::Config { machine: machine.name().to_string(), arguments })?;
            return Ok(Exit::Done);
        }
        if certificates {
            out.line("--tlsverify")?;
            for (option, file) in files {
                out.line(&format!("--{option}={:?}", dir.join(file).to_string_lossy()))?;
            }
        }
        out.line(&format!("-H={url}"))?;
        Ok(Exit::Done)
    }
}

/// Whether a docker client is to look for certificates in the machine's folder, where they are then. An engine that is
/// reached over SSH has none; one that answers without any has none either, though docker-machine would not believe it.
pub(super) fn needs_certificates(cx: &Cx, machine: &Machine, url: &str) -> Result<bool, CliError> {
    if url.starts_with("ssh://") {
        return Ok(false);
    }
    Ok(machine.fill_copies()? || cx.drop_in())
}

/// The URL of an engine (or of its swarm) that runs and lets us in.
pub(super) async fn reachable_url(machine: &Machine, swarm: bool) -> Result<String, CliError> {
    let mut url = url::running(machine).await?;
    if swarm {
        url = swarm_url(machine, &url)?;
    }
    let Err(cause) = machine.engine_version_at(&url, TIMEOUT).await else { return Ok(url) };
    if swarm && machine.engine_version(TIMEOUT).await.is_ok() {
        return Err(CliError::said(
            "Connection to Swarm cannot be checked but the certs are valid. Maybe swarm is not started",
        ));
    }
    let place = url.split_once("://").map_or(url.as_str(), |(_, place)| place);
    let (machine, place) = (machine.name().clone(), place.to_owned());
    Err(CliError::Certs { machine, place, cause: Box::new(cause) }
        .doing("Error checking and/or regenerating the certs"))
}

fn swarm_url(machine: &Machine, url: &str) -> Result<String, CliError> {
    let document = machine.document()?;
    let place = url.split_once("://").and_then(|(_, place)| split_host_port(place));
    match (document.is_swarm_master(), document.swarm_port(), place) {
        (true, Some(port), Some((host, _))) => Ok(format!("tcp://{}", host_port(host, port))),
        _ => Err(CliError::said(format!(
            "\"{}\" is not a swarm master. The --swarm flag is intended for use with swarm masters",
            machine.name()
        ))),
    }
}
