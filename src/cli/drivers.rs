//! `drivers`: what machines can be made with, and the options of each.

use super::{CliError, Cx, Exit, Group, Out, Run};
use crate::{
    driver::{AnyDriver, Kind, OptionSpec, Secrecy, When},
    fleet::suggest,
    template,
};
use serde_json::{Value, json};

/// List drivers, or show the options of one
#[derive(clap::Args)]
#[command(after_help = "Examples:
  machine drivers
  machine drivers nspawn
  machine drivers --json")]
pub(super) struct DriversCommand {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// The driver; without one, all are listed
    #[arg(value_name = "DRIVER")]
    driver: Option<String>,
}

/// Options that are named beside a driver in the list.
const NAMED: usize = 6;
/// Columns of a line of running text.
const WIDTH: usize = 100;

impl Run for DriversCommand {
    const NAME: &'static str = "drivers";
    const GROUP: Group = Group::Fleet;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let all = || {
            let mut all: Vec<&dyn AnyDriver> = cx.drivers.iter().collect();
            all.sort_by_key(|driver| driver.name());
            all
        };
        let Some(name) = &self.driver else {
            if self.json {
                let drivers: Vec<Value> = all().into_iter().map(document).collect();
                out.text(&template::json::document(&json!({ "version": 1, "drivers": drivers })))?;
                return Ok(Exit::Done);
            }
            out.text(&list(&all(), &cx.program))?;
            return Ok(Exit::Done);
        };
        let driver = cx.drivers.get(name).ok_or_else(|| unknown(name, &all()))?;
        if self.json {
            out.text(&template::json::document(&json!({ "version": 1, "drivers": [document(driver)] })))?;
        } else {
            out.text(&page(driver, &cx.program))?;
        }
        Ok(Exit::Done)
    }
}

fn unknown(name: &str, all: &[&dyn AnyDriver]) -> CliError {
    let names = || all.iter().map(|driver| driver.name());
    let meant = suggest::closest(name, names()).map_or(String::new(), |meant| format!("did you mean `{meant}`? "));
    CliError::Said {
        what: format!("there is no driver {name:?}"),
        help: Some(format!("{meant}there are {}", suggest::list(names()))),
    }
}

/// All drivers, a paragraph each.
fn list(drivers: &[&dyn AnyDriver], program: &str) -> String {
    let widest = drivers.iter().map(|driver| driver.name().len()).max().unwrap_or_default();
    let mut text = String::new();
    for driver in drivers {
        text.push_str(&format!("{:widest$}  {}\n", driver.name(), driver.about()));
        let keys: Vec<&str> = driver.options().iter().map(|spec| spec.key.as_str()).collect();
        let more = keys.len().saturating_sub(NAMED);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let named = keys.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
        text.push_str(&format!("{:widest$}  {named}{more}\n", ""));
    }
    text.push_str(&format!("\nThe options of one, and how to use it:\n  {program} drivers NAME\n"));
    text
}

/// One driver: how it is used, and its options as a person wants to read them.
fn page(driver: &dyn AnyDriver, program: &str) -> String {
    let name = driver.name();
    let mut text = format!("{name}: {}\n", driver.about());
    if !driver.creates() {
        text.push_str("It makes no instances: what it is told of is there already, and stays.\n");
    }
    let required: Vec<&OptionSpec> = driver.options().iter().filter(|spec| spec.required).collect();
    text.push_str(&format!("\nBy name:\n  {program} create -d {name}"));
    for spec in required.iter().filter(|spec| spec.secrecy == Secrecy::Plain) {
        text.push_str(&format!(" --{} …", spec.flag));
    }
    text.push_str(" web\n");
    text.push_str(&format!("\nIn a fleet file:\n  hosts:\n    web:\n      driver: {name}\n"));
    for spec in required {
        match spec.secrecy {
            Secrecy::Secret => text.push_str(&format!("      {}: {{ env: {} }}\n", spec.key, spec.env)),
            Secrecy::Plain => text.push_str(&format!("      {}: …\n", spec.key)),
        }
    }
    text.push_str("\nOptions, by their keys in a fleet file:\n");
    for spec in driver.options() {
        text.push_str(&format!("\n  {}\n", head(spec)));
        for line in wrapped(&spec.help, WIDTH - 6) {
            text.push_str(&format!("      {line}\n"));
        }
        let env = if spec.env.is_empty() { String::new() } else { format!("   ${}", spec.env) };
        text.push_str(&format!("      --{}{env}\n", spec.flag));
    }
    text
}

/// `region (text, required): a change makes a new machine`.
fn head(spec: &OptionSpec) -> String {
    let mut of = vec![match (spec.secrecy, spec.kind) {
        (Secrecy::Secret, _) => "secret, by reference".to_owned(),
        (_, Kind::Text) if !spec.choices.is_empty() => spec.choices.join(" | "),
        (_, Kind::Text) => "text".to_owned(),
        (_, Kind::Path) => "path".to_owned(),
        (_, Kind::Number) => "number".to_owned(),
        (_, Kind::Port) => "port".to_owned(),
        (_, Kind::Flag) => "true or false".to_owned(),
        (_, Kind::Size) => "amount, as 512MiB".to_owned(),
        (_, Kind::List) => "list".to_owned(),
    }];
    match (spec.required, spec.default.as_deref().or(spec.fallback.as_deref())) {
        (true, _) => of.push("required".to_owned()),
        (false, Some(default)) if !default.is_empty() => of.push(format!("default {default}")),
        _ => {}
    }
    format!("{} ({}): {}", spec.key, of.join(", "), change(spec))
}

fn change(spec: &OptionSpec) -> &'static str {
    match spec.when {
        When::InPlace => "a change is made in place",
        When::Replace => "a change makes a new machine",
        When::Recorded => "a change is only recorded",
    }
}

/// The words of a text in lines of at most `width` columns.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A driver for programs.
fn document(driver: &dyn AnyDriver) -> Value {
    let options: Vec<Value> = driver
        .options()
        .iter()
        .map(|spec| {
            json!({
                "key": spec.key,
                "flag": format!("--{}", spec.flag),
                "env": (!spec.env.is_empty()).then_some(&spec.env),
                "kind": format!("{:?}", spec.kind).to_lowercase(),
                "choices": (!spec.choices.is_empty()).then_some(&spec.choices),
                "default": spec.default.as_ref().or(spec.fallback.as_ref()),
                "required": spec.required,
                "secret": spec.secrecy == Secrecy::Secret,
                "change": match spec.when {
                    When::InPlace => "in-place",
                    When::Replace => "replace",
                    When::Recorded => "recorded",
                },
                "help": spec.help,
            })
        })
        .collect();
    json!({ "name": driver.name(), "about": driver.about(), "creates": driver.creates(), "options": options })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::Drivers;

    #[test]
    fn every_option_of_every_driver_is_on_its_page_and_in_its_document() {
        for driver in Drivers::built_in().iter() {
            let (page, document) = (page(driver, "machine"), document(driver).to_string());
            for spec in driver.options() {
                assert!(page.contains(&format!("\n  {} (", spec.key)), "{}: {}", driver.name(), spec.key);
                assert!(page.contains(&format!("--{}", spec.flag)) && document.contains(&spec.flag));
            }
            assert!(page.lines().all(|line| line.chars().count() <= 140), "{page}");
        }
    }

    #[test]
    fn one_that_is_misspelt_is_guessed() {
        let drivers = Drivers::built_in();
        let all: Vec<_> = drivers.iter().collect();
        let CliError::Said { help: Some(help), .. } = unknown("nspwan", &all) else { panic!("it says what to do") };
        assert!(help.starts_with("did you mean `nspawn`?"), "{help}");
        let CliError::Said { help: Some(help), .. } = unknown("xyz", &all) else { panic!("it says what to do") };
        assert!(help.starts_with("there are "), "{help}");
    }
}
