//! `trust`: takes over the host key that a machine shows now, after a person has compared it.

use super::{CliError, Cx, Exit, Group, Out, Run, claim, machine::Machine, names, prompt, stored::stored, world};
use crate::{
    record::Instance,
    transport::{Target, Transport, TransportError, ssh::fingerprint},
};

/// Record the host key that a machine shows now, such as after it was reinstalled
#[derive(clap::Args)]
pub(super) struct Trust {
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// The machine; `default` if none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl Run for Trust {
    const NAME: &'static str = "trust";
    const GROUP: Group = Group::Machine;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let world = cx.world()?;
        let name = names::one(&world.store, &self.names)?;
        // Another run must not write the record between what was shown and what is recorded.
        let lock = claim::machines(cx, &world, [Machine::load(&world, &name)?.name()])?;
        let machine = Machine::load(&world, &name)?;
        let recorded = machine.target()?;
        let Some(mut instance) = machine.record.instance.clone() else {
            return Err(CliError::NoInstance(machine.record.name.clone()));
        };
        instance.host_keys.clear();
        instance.jump_keys.clear();
        cx.block_on(meet(&recorded, &mut instance))??;
        let changed = [
            show(out, "host key", &recorded.host_keys, &instance.host_keys)?,
            show(out, "jump host's key", &recorded.jump_keys, &instance.jump_keys)?,
        ];
        // Of several recorded keys a host shows one; the others are no worse for that.
        if !changed[0] {
            instance.host_keys = recorded.host_keys;
        }
        if !changed[1] {
            instance.jump_keys = recorded.jump_keys;
        }
        if changed == [false, false] {
            out.line("These keys are recorded already.")?;
            return Ok(Exit::Done);
        }
        out.line("Compare with what the host itself says:\n  ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub")?;
        let what = format!("taking over the host key of {name}");
        if !(self.yes || prompt::confirmed(cx, out, "Record what was met? (y/n): ", &what)?) {
            out.line("Nothing was changed.")?;
            return Ok(Exit::Done);
        }
        stored(machine.keep(&instance))?;
        out.line(&format!("Recorded for `{name}`."))?;
        drop(lock);
        Ok(Exit::Done)
    }
}

/// Logs in, whatever host key it has, and notes that. A login by key gives away nothing that could be used elsewhere.
async fn meet(recorded: &Target, instance: &mut Instance) -> Result<(), CliError> {
    // As always first: a host with keys of several kinds shows the recorded one when it is asked for that.
    let session = match world::ssh().open(recorded).await {
        Err(TransportError::HostKey { .. }) => {
            let anyone = Target { host_keys: Vec::new(), jump_keys: Vec::new(), ..recorded.clone() };
            world::ssh().open(&anyone).await
        }
        other => other,
    };
    let session = session.map_err(CliError::Transport)?;
    instance.pin(session.host_key(), session.jump_keys());
    Ok(())
}

/// Tells the recorded keys and the one that was met; whether they differ.
fn show(out: &mut Out, what: &str, recorded: &[String], met: &[String]) -> Result<bool, CliError> {
    let told = |keys: &[String]| {
        let keys: Vec<String> = keys.iter().map(|key| fingerprint(key).unwrap_or_else(|| key.clone())).collect();
        if keys.is_empty() { "none".to_owned() } else { keys.join(" or ") }
    };
    let (old, new) = (told(recorded), told(met));
    if recorded.is_empty() && met.is_empty() {
        return Ok(false);
    }
    out.line(&format!("{what}\n  recorded: {old}\n  met now:  {new}"))?;
    Ok(!met.iter().all(|key| recorded.contains(key)) || met.is_empty())
}
