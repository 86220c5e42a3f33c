//! `validate`: whether a fleet file is right, without looking at anything else.

use super::{FleetFile, count};
use crate::{
    cli::{CliError, Cx, Exit, Group, Out, Run, answer},
    fleet::FleetProblems,
};

/// Check a fleet file
#[derive(clap::Args)]
pub(in crate::cli) struct Validate {
    #[command(flatten)]
    fleet: FleetFile,
    /// Print what is wrong as JSON
    #[arg(long)]
    json: bool,
}

impl Run for Validate {
    const NAME: &'static str = "validate";
    const GROUP: Group = Group::Fleet;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let fleet = match self.fleet.load(&cx.drivers) {
            Err(CliError::Fleet(problems)) if self.json => {
                answer::print(out, &wrong(&problems))?;
                return Ok(Exit::Error);
            }
            other => other?,
        };
        if self.json {
            let (name, hosts) = (Some(fleet.name.to_string()), fleet.hosts.len());
            answer::print(out, &answer::Validate { valid: true, fleet: name, hosts, problems: Vec::new() })?;
            return Ok(Exit::Done);
        }
        out.line(&format!(
            "{}: fleet `{}` with {} is valid",
            self.fleet.name()?,
            fleet.name,
            count(fleet.hosts.len(), "host")
        ))?;
        Ok(Exit::Done)
    }
}

/// Problems that are listed: a file of mistakes has as many as it has words.
const LISTED: usize = 200;

fn wrong(problems: &FleetProblems) -> answer::Validate {
    let problem = |problem: &crate::fleet::Problem| {
        let place = problems.line_and_column(problem);
        answer::Problem {
            code: problem.code.as_str().to_owned(),
            message: problem.message.clone(),
            line: place.map(|(line, _)| line),
            column: place.map(|(_, column)| column),
            help: problem.help.clone(),
        }
    };
    let problems = problems.problems().iter().take(LISTED).map(problem).collect();
    answer::Validate { valid: false, fleet: None, hosts: 0, problems }
}
