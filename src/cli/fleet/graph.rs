//! `graph`: the fleet with its order, as a picture or as text for one.

use super::FleetFile;
use crate::{
    cli::{
        CliError, Cx, Exit, Group, Out, Run,
        answer::{self, GraphHost},
        file,
    },
    fleet::{Fleet, draw},
};
use std::path::PathBuf;

/// Draw the fleet with its order
#[derive(clap::Args)]
pub(in crate::cli) struct Graph {
    #[command(flatten)]
    fleet: FleetFile,
    /// What to draw it in
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Print it as JSON
    #[arg(long, conflicts_with_all = ["format", "output"])]
    json: bool,
    /// Write it to this file instead of standard output
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
}

/// A language for graphs.
#[derive(Clone, Copy, Default, clap::ValueEnum)]
enum Format {
    /// Graphviz
    #[default]
    Dot,
    /// For Markdown
    Mermaid,
    /// A picture
    Svg,
}

impl Run for Graph {
    const NAME: &'static str = "graph";
    const GROUP: Group = Group::Fleet;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let fleet = self.fleet.load(&cx.drivers)?;
        if self.json {
            answer::print(out, &graph(&fleet))?;
            return Ok(Exit::Done);
        }
        let text = match self.format {
            Format::Dot => draw::dot(&fleet),
            Format::Mermaid => draw::mermaid(&fleet),
            Format::Svg => draw::svg(&fleet).map_err(CliError::said)?,
        };
        match &self.output {
            Some(path) => file::replace(path, text.as_bytes())?,
            None => out.text(&text)?,
        }
        Ok(Exit::Done)
    }
}

fn graph(fleet: &Fleet) -> answer::Graph {
    let hosts = fleet.hosts.iter().map(|(name, spec)| GraphHost {
        host: name.to_string(),
        driver: spec.driver.clone(),
        depends_on: spec.depends_on.iter().map(ToString::to_string).collect(),
    });
    answer::Graph { fleet: fleet.name.to_string(), hosts: hosts.collect() }
}
