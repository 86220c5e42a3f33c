//! `schema`: the JSON Schema of fleet files, for editors; of plans and of all other output, for programs.

use crate::{
    cli::{CliError, Cx, Exit, Group, Out, Run, answer},
    fleet,
    plan::document,
};

/// Print the JSON Schema of fleet files, of plans, or of what commands print with --json
#[derive(clap::Args)]
pub(in crate::cli) struct Schema {
    /// Of what
    #[arg(value_enum, value_name = "FORM", default_value_t)]
    of: Form,
}

/// Something with a schema.
#[derive(Clone, Copy, Default, clap::ValueEnum)]
enum Form {
    /// Fleet files
    #[default]
    Fleet,
    /// Plans, saved or printed
    Plan,
    /// What commands print with --json
    Output,
}

impl Run for Schema {
    const NAME: &'static str = "schema";
    const GROUP: Group = Group::Fleet;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let schema = match self.of {
            Form::Fleet => fleet::schema(&cx.drivers),
            Form::Plan => document::schema(),
            Form::Output => answer::schema(),
        };
        let text = serde_json::to_string_pretty(&schema).expect("a schema is plain data");
        out.line(&text)?;
        Ok(Exit::Done)
    }
}
