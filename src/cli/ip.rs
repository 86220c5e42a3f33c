//! `ip`: where machines are.

use super::{CliError, Cx, Exit, Group, Out, Run, answer, machine::Machine, names};

/// Print the address of machines
#[derive(clap::Args)]
pub(super) struct Ip {
    /// Print it as JSON
    #[arg(long)]
    json: bool,
    /// The machines; `default` if none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl Run for Ip {
    const NAME: &'static str = "ip";
    const GROUP: Group = Group::Machine;

    /// As recorded; docker-machine's own drivers do not ask either, but for those of local VMs, and theirs
    /// is recorded when a machine starts.
    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let world = cx.world()?;
        let machines = Machine::load_all(&world, &names::any(&world.store, &self.names)?)?;
        let (mut errors, mut found) = (Vec::new(), Vec::new());
        for machine in &machines {
            match machine.address() {
                Ok(ip) if self.json => {
                    found.push(answer::Address { machine: machine.name().to_string(), ip: ip.to_owned() });
                }
                Ok(address) => out.line(address)?,
                // What is known by a word or a socket has none, which docker-machine did not call an error.
                Err(_) if cx.drop_in() && machine.is_told() => out.line("")?,
                Err(e) => errors.push(e.doing("Error getting IP address")),
            }
        }
        if self.json {
            answer::print(out, &answer::Ip { machines: found })?;
        }
        CliError::all(errors).map(|()| Exit::Done)
    }
}
