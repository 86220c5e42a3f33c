//! `schema`: the JSON Schema of fleet files, for editors.

use crate::{
    cli::{CliError, Cx, Exit, Group, Out, Run},
    fleet,
};

/// Print the JSON Schema of fleet files
#[derive(clap::Args)]
pub(in crate::cli) struct Schema {}

impl Run for Schema {
    const NAME: &'static str = "schema";
    const GROUP: Group = Group::Fleet;

    fn run(self, _: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let text = serde_json::to_string_pretty(&fleet::schema()).expect("a schema is plain data");
        out.line(&text)?;
        Ok(Exit::Done)
    }
}
