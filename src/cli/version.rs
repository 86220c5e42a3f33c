//! `version`: of this program, or of a machine's engine.

use super::{CliError, Cx, Exit, Group, Out, Run, answer, error::NamesError, look::unreachable, machine::Machine, url};
use std::time::Duration;

/// What follows the program's name, in docker-machine's form. In its place we are the version that we stand in for,
/// because scripts compare it; which program it is stands where docker-machine names its commit.
pub(super) fn phrase(program: &str) -> &'static str {
    if super::drop_in(program) {
        concat!("version 0.16.2, build machine-", env!("CARGO_PKG_VERSION"))
    } else {
        concat!("version ", env!("CARGO_PKG_VERSION"), ", build HEAD")
    }
}

/// Print the version of this program, or of a machine's engine
#[derive(clap::Args)]
pub(super) struct Version {
    /// Print it as JSON
    #[arg(long)]
    json: bool,
    /// The machine; without, the version of this program
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl Run for Version {
    const NAME: &'static str = "version";
    const GROUP: Group = Group::Machine;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        match self.names.as_slice() {
            [] if self.json => {
                let release = env!("CARGO_PKG_VERSION").to_owned();
                answer::print(out, &answer::Version { machine: None, program: "machine".to_owned(), release })?;
            }
            [] => out.line(&format!("{} {}", cx.program, phrase(&cx.program)))?,
            [name] => {
                let machine = Machine::load(&cx.world()?, name)?;
                let version = cx.block_on(async {
                    let url = url::running(&machine).await?;
                    machine.engine_version_at(&url, Duration::from_secs(30)).await
                })?;
                let told = |e: CliError| match e {
                    e @ CliError::Docker(_) if cx.drop_in() => CliError::said(unreachable(&e, true)),
                    e => e,
                };
                let release = version.map_err(|e| told(e).doing("Unable to query docker version"))?.version;
                if self.json {
                    let (machine, program) = (Some(name.clone()), "docker".to_owned());
                    answer::print(out, &answer::Version { machine, program, release })?;
                } else {
                    out.line(&release)?;
                }
            }
            _ => return Err(CliError::Names(NamesError::One)),
        }
        Ok(Exit::Done)
    }
}
