//! `ls`: all machines of the store, looked at at once.

use super::{
    CliError, Cx, Exit, Group, Out, Run,
    filter::Filters,
    row::{self, Row},
    table, template,
};
use serde_json::json;
use std::time::Duration;

/// List machines
#[derive(clap::Args)]
pub(super) struct Ls {
    /// Print only names
    #[arg(short, long)]
    quiet: bool,
    /// Only machines with driver=, state=, name=, swarm= or label=KEY=VALUE
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Seconds to wait for one machine
    #[arg(short, long, value_name = "SECONDS", default_value_t = 10)]
    timeout: u64,
    /// Print this for each machine, as `{{.Name}}: {{.URL}}`; `table …` aligns; `json` is JSON
    #[arg(short, long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[arg(hide = true)]
    ignored: Vec<String>,
}

const HEADER: &str = "NAME\tACTIVE\tDRIVER\tSTATE\tURL\tSWARM\tDOCKER\tERRORS";

impl Run for Ls {
    const NAME: &'static str = "ls";
    const GROUP: Group = Group::Machine;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let filters = Filters::parse(&self.filter)?;
        let world = cx.world()?;
        let snapshot = world.store.snapshot().map_err(CliError::Store)?;
        // Whoever called us as docker-machine expects that it lists and ends well all the same.
        let exit = if snapshot.broken.is_empty() || cx.drop_in() { Exit::Done } else { Exit::Error };
        let order: Vec<String> = snapshot.machines.keys().map(ToString::to_string).collect();
        let found = row::Found::read(&world, snapshot, &filters);
        if self.quiet && !filters.need_state() {
            return lines(out, &found.names());
        }
        let look = row::Look {
            timeout: Duration::from_secs(self.timeout),
            docker_host: cx.var("DOCKER_HOST"),
            engine: !self.quiet,
        };
        // A broken template is found before anybody waits.
        let format = self.format.as_deref().filter(|format| !format.is_empty() && *format != "json");
        let format = format.filter(|_| !self.quiet && !self.json).map(Format::parse).transpose()?;
        let mut rows = cx.block_on(found.look(&world, &look))?;
        rows.retain(|row| !order.contains(&row.name) || filters.pass_state(&row.state));
        if self.quiet {
            let shown = |name: &&String| rows.iter().any(|row| row.name == **name);
            return lines(out, &order.iter().filter(shown).cloned().collect::<Vec<_>>());
        }
        if self.json || self.format.as_deref() == Some("json") {
            let machines: Vec<_> = rows.iter().map(Row::json).collect();
            out.line(&template::pretty(&json!({ "version": 1, "machines": machines })))?;
            return Ok(exit);
        }
        if let Some(format) = format {
            out.text(&format.render(&rows))?;
            return Ok(exit);
        }
        let lines: Vec<_> = std::iter::once(HEADER.to_owned()).chain(rows.iter().map(Row::line)).collect();
        out.text(&table::aligned(&lines))?;
        Ok(exit)
    }
}

fn lines(out: &mut Out, lines: &[String]) -> Result<Exit, CliError> {
    for line in lines {
        out.line(line)?;
    }
    Ok(Exit::Done)
}

/// What `--format` asks for.
struct Format {
    table: bool,
    template: template::Template,
}

impl Format {
    fn parse(text: &str) -> Result<Self, CliError> {
        let (table, text) = text.strip_prefix("table").map_or((false, text), |rest| (true, rest.trim()));
        let text = text.replace("\\t", "\t").replace("\\n", "\n");
        Ok(Self { table, template: template::parse(&text)? })
    }

    fn render(&self, rows: &[Row]) -> String {
        let mut lines: Vec<String> = Vec::new();
        if self.table {
            lines.push(self.template.headers(|field| header(field).to_owned()));
        }
        lines.extend(rows.iter().map(|row| self.template.render(&row.fields())));
        if self.table { table::aligned(&lines) } else { lines.join("\n") + if lines.is_empty() { "" } else { "\n" } }
    }
}

fn header(field: &str) -> &'static str {
    match field {
        "Name" => "NAME",
        "Active" => "ACTIVE",
        "ActiveHost" => "ACTIVE_HOST",
        "ActiveSwarm" => "ACTIVE_SWARM",
        "DriverName" => "DRIVER",
        "State" => "STATE",
        "URL" => "URL",
        "Swarm" => "SWARM",
        "Error" => "ERRORS",
        "DockerVersion" => "DOCKER",
        "ResponseTime" => "RESPONSE",
        _ => "<no value>",
    }
}
