//! `inspect`: docker-machine's document of a machine, or our own record of it.

use super::{CliError, Cx, Exit, Group, Out, Run, document::Document, error::NamesError, names, stored::stored};
use crate::{
    record::OptionFields as _,
    template::{self, Template, value::Value},
};
use serde_json::json;

/// Print what is recorded of a machine, as docker-machine's JSON
#[derive(clap::Args)]
#[command(after_help = "Examples:
  machine inspect web-1 --format '{{.Driver.IPAddress}}'
  machine inspect web-1 --format '{{range .HostOptions.EngineOptions.Labels}}{{println .}}{{end}}'
  machine inspect web-1 --json")]
pub(super) struct Inspect {
    /// Print only this, as `{{.Driver.IPAddress}}` or `{{json .Driver}}`; `json` is our own record as JSON
    #[arg(short, long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Print our own record as JSON: what config.json cannot hold is in it
    #[arg(long)]
    json: bool,
    /// The machine; `default` if none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl Run for Inspect {
    const NAME: &'static str = "inspect";
    const GROUP: Group = Group::Machine;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        if self.names.len() > 1 {
            return Err(CliError::Names(NamesError::One));
        }
        let world = cx.world()?;
        let name = names::parse(&names::one(&world.store, &self.names)?)?;
        let format = self.format.as_deref().filter(|format| !format.is_empty());
        if self.json || format == Some("json") {
            let record = stored(world.store.get(&name))?;
            let record = cx.drivers.without_secrets(&record);
            let document = json!({ "version": 1, "url": record.url(), "machine": record });
            out.line(&template::json::document(&document))?;
            return Ok(Exit::Done);
        }
        let document = Document::inspect(&world.store, &name, &cx.drivers)?;
        let Some(format) = format else {
            out.line(&template::json::document(&document.0))?;
            return Ok(Exit::Done);
        };
        let template = Template::parse(format).map_err(|e| CliError::said(format!("template parsing error: {e}")))?;
        let mut text = String::new();
        let done = template.execute(&Value::from(&document.0), &mut text);
        // What came before a mistake is printed all the same.
        out.text(&text)?;
        done.map_err(|e| CliError::said(e.to_string()))?;
        out.text("\n")?;
        Ok(Exit::Done)
    }
}
