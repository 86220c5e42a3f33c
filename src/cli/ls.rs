//! `ls`: all machines of the store, looked at at once.

use super::{
    CliError, Cx, Exit, Group, Out, Run,
    filter::Filters,
    look::{self, Found, Look},
    row::Row,
    stored::stored,
    table,
};
use crate::{
    name::FleetName,
    record::Tombstone,
    template::{self, Template, value::Value},
    world::World,
};
use serde_json::json;
use std::{collections::BTreeSet, time::Duration};

/// List machines
#[derive(clap::Args)]
#[command(after_help = "Examples:
  machine ls -q --filter driver=nspawn
  machine ls --filter name='^web-[0-9]+$' --format 'table {{.Name}}\\t{{.State}}\\t{{.URL}}'
  machine ls --format '{{.Name}}{{if .Error}}: {{.Error}}{{end}}'")]
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
    /// List removals that were not confirmed instead
    #[arg(long)]
    tombstones: bool,
    #[arg(hide = true)]
    ignored: Vec<String>,
}

const HEADER: &str = "NAME\tACTIVE\tDRIVER\tSTATE\tURL\tSWARM\tDOCKER\tERRORS\n";

impl Run for Ls {
    const NAME: &'static str = "ls";
    const GROUP: Group = Group::Machine;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let filters = Filters::parse(&self.filter)?;
        let world = cx.world()?;
        if self.tombstones {
            return self.tombstones(&world, out);
        }
        if self.quiet && self.filter.is_empty() {
            let readable = look::readable(&world)?;
            return names(out, readable.iter().map(String::as_str));
        }
        let snapshot = stored(world.store.records.snapshot())?;
        // A caller of docker-machine expects that it lists and ends well all the same.
        let exit = if snapshot.broken.is_empty() || cx.drop_in() { Exit::Done } else { Exit::Error };
        let found = Found::read(&world, snapshot, &filters, !self.quiet);
        if self.quiet && !filters.need_state() {
            return names(out, found.names());
        }
        let look = Look {
            timeout: Duration::from_secs(self.timeout),
            docker_host: cx.var("DOCKER_HOST"),
            engine: !self.quiet,
            drop_in: cx.drop_in(),
        };
        // A broken template is found before anything is waited for.
        let format = self.format.as_deref().filter(|format| !format.is_empty() && *format != "json");
        let format = format.filter(|_| !self.quiet && !self.json).map(Format::parse).transpose()?;
        let readable: BTreeSet<String> = found.names().map(str::to_owned).collect();
        let mut rows = cx.block_on(found.look(&world, &look))?;
        rows.retain(|row| !readable.contains(&row.name) || filters.pass_state(row.state.word()));
        if self.quiet {
            let shown: BTreeSet<&str> = rows.iter().map(|row| row.name.as_str()).collect();
            return names(out, readable.iter().map(String::as_str).filter(|name| shown.contains(name)));
        }
        if self.json || self.format.as_deref() == Some("json") {
            let machines: Vec<_> = rows.iter().map(Row::json).collect();
            out.line(&template::json::document(&json!({ "version": 1, "machines": machines })))?;
            return Ok(exit);
        }
        if let Some(format) = format {
            let (text, done) = format.render(&rows);
            // What came before a mistake is printed all the same.
            out.text(&text)?;
            return done.map(|()| exit);
        }
        let lines = rows.iter().map(|row| row.line() + "\n");
        out.text(&table::aligned(&std::iter::once(HEADER.to_owned()).chain(lines).collect::<String>()))?;
        Ok(exit)
    }
}

impl Ls {
    /// What earlier machines may have left, and why that is unknown.
    fn tombstones(&self, world: &World, out: &mut Out) -> Result<Exit, CliError> {
        let (mut found, mut broken) = (Vec::new(), Vec::new());
        for (id, stone) in stored(world.store.records.tombstones())? {
            match stone {
                Ok(stone) => found.push(stone),
                Err(why) => broken.push((id, why)),
            }
        }
        if self.json || self.format.as_deref() == Some("json") {
            let broken: Vec<_> = broken.iter().map(|(id, why)| json!({ "id": id, "why": why })).collect();
            out.line(&template::json::document(&json!({ "version": 1, "tombstones": found, "broken": broken })))?;
        } else if self.quiet {
            names(out, found.iter().map(|stone| stone.machine.as_str()))?;
        } else {
            let line = |stone: &Tombstone| {
                let Tombstone { machine, fleet, driver, since, why, .. } = stone;
                let fleet = fleet.as_ref().map_or("", FleetName::as_str);
                let id = stone.instance.as_ref().map_or("", |instance| instance.id.as_str());
                format!("{machine}\t{fleet}\t{driver}\t{id}\t{since}\t{why}\n")
            };
            let lines = std::iter::once("NAME\tFLEET\tDRIVER\tINSTANCE\tSINCE\tWHY\n".to_owned());
            out.text(&table::aligned(&lines.chain(found.iter().map(line)).collect::<String>()))?;
            for (id, why) in &broken {
                let help = format!("mend it, or forget it:\n  machine rm --tombstone -f {id}");
                CliError::warn(&format!("a tombstone cannot be read: {why}"), &help);
            }
        }
        Ok(if broken.is_empty() { Exit::Done } else { Exit::Error })
    }
}

fn names<'n>(out: &mut Out, names: impl Iterator<Item = &'n str>) -> Result<Exit, CliError> {
    let text: String = names.flat_map(|name| [name, "\n"]).collect();
    out.text(&text)?;
    Ok(Exit::Done)
}

/// What `--format` asks for.
struct Format {
    table: bool,
    template: Template,
}

impl Format {
    fn parse(text: &str) -> Result<Self, CliError> {
        let (table, text) = text.strip_prefix("table").map_or((false, text), |rest| (true, rest));
        // The end of the line belongs to the template, as errors tell.
        let text = text.trim_matches(' ').replace("\\t", "\t").replace("\\n", "\n") + "\n";
        let template = Template::parse(&text).map_err(|e| CliError::said(e.to_string()))?;
        Ok(Self { table, template })
    }

    fn render(&self, rows: &[Row]) -> (String, Result<(), CliError>) {
        let mut text = String::new();
        let mut write = |value: &Value| self.template.execute(value, &mut text);
        let header = if self.table { write(&Row::header()) } else { Ok(()) };
        let done = header.and_then(|()| rows.iter().try_for_each(|row| write(&row.value())));
        let text = if self.table { table::aligned(&text) } else { text };
        (text, done.map_err(|e| CliError::said(e.to_string())))
    }
}
