//! `inspect`: docker-machine's document of a machine.

use super::{CliError, Cx, Exit, Group, Out, Run, document::Document, error::NamesError, names, template};

/// Print what is recorded of a machine, as docker-machine's JSON
#[derive(clap::Args)]
pub(super) struct Inspect {
    /// Print only this, as `{{.Driver.IPAddress}}` or `{{json .Driver}}`
    #[arg(short, long, value_name = "TEMPLATE")]
    format: Option<String>,
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
        let name = names::parse(&names::one(&*world.store, &self.names)?)?;
        // A machine without a document is either broken or not there at all; the store knows.
        let document = match Document::read(&*world.store, &name)? {
            Some(document) => document,
            None => match world.store.get(&name) {
                Ok(_) => Err(CliError::said(format!("`{name}` has no config.json")))?,
                Err(e) => Err(CliError::Store(e))?,
            },
        };
        match self.format.as_deref().filter(|format| !format.is_empty()) {
            Some(format) => out.line(&template::parse(format)?.render(&document.0))?,
            None => out.line(&template::pretty(&document.0))?,
        }
        Ok(Exit::Done)
    }
}
