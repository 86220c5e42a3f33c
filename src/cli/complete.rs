//! `complete`: what may stand next on a command line, for the shells' scripts in `contrib/completion`.

use super::stored::stored;
use super::{
    CliError, Cx, Exit, Group, Out, Run,
    candidate::{self, Files, Sources},
    default_storage,
    place::Place,
    root,
};
use crate::{driver::Drivers, fleet, name::MachineName, store::Store};
use std::path::{Path, PathBuf};

/// Print what may stand next on a command line
#[derive(clap::Args)]
#[command(hide = true, alias = "__complete")]
pub(super) struct Complete {
    /// The word to complete is empty, and not among the words
    #[arg(long)]
    next: bool,
    /// The words after the program, the last one unfinished
    #[arg(value_name = "WORD", trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

impl Run for Complete {
    const NAME: &'static str = "complete";
    const GROUP: Group = Group::Shell;

    /// One candidate a line, a tab and what it is; then `:` and a number: 2, no blank after it; 4, no files; 16, only
    /// folders. That is what docker understands, whose plugin we can be.
    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let mut words = self.words;
        if self.next || words.is_empty() {
            words.push(String::new());
        }
        let mut root = root(&cx.program, &cx.drivers);
        root.build();
        let sources = Sources {
            machines: &|place| machines(place, &cx.drivers),
            hosts: &hosts,
            drivers: &cx.drivers,
            driver: cx.var("MACHINE_DRIVER"),
            wrapped: cx.var("DOCKER_MACHINE_WRAPPED").is_some_and(|value| value == "true"),
        };
        let offer = candidate::offer(&root, &words, &sources);
        let mut number = match offer.files {
            Files::None => 4,
            Files::All => 0,
            Files::Folders => 16,
        };
        let open = |text: &str| text.ends_with(['=', ':']);
        if !offer.candidates.is_empty() && offer.candidates.iter().all(|candidate| open(&candidate.text)) {
            number += 2;
        }
        for candidate in &offer.candidates {
            let about = if candidate.about.is_empty() { String::new() } else { format!("\t{}", candidate.about) };
            out.line(&format!("{}{about}", candidate.text))?;
        }
        out.line(&format!(":{number}"))?;
        Ok(Exit::Done)
    }
}

/// Without reading a record. Where nothing can be read, nothing is offered: an error would tear up the prompt.
fn machines(place: &Place<'_>, drivers: &Drivers) -> Vec<String> {
    let root = place.storage.map(path).or_else(|| default_storage().ok());
    let store = root.and_then(|root| Store::folder(root, drivers.clone()).ok());
    let names = store.and_then(|store| stored(store.records.names()).ok()).unwrap_or_default();
    names.into_iter().filter(|name| MachineName::new(name).is_ok()).collect()
}

/// Hosts of the fleet that the line names, if that can be read.
fn hosts(place: &Place<'_>) -> Vec<String> {
    let given = place.file.or(place.words.first().copied());
    let usual = || fleet::DEFAULT_FILES.into_iter().find(|name| Path::new(name).exists());
    let Some(file) = given.or_else(usual) else { return Vec::new() };
    let Ok(text) = std::fs::read_to_string(path(file)) else { return Vec::new() };
    let mut names: Vec<String> = fleet::host_names(&[fleet::Source::new(file, text)], &fleet::Inputs::default())
        .iter()
        .map(ToString::to_string)
        .collect();
    names.sort();
    names
}

/// A word that the shell has not expanded yet.
fn path(word: &str) -> PathBuf {
    match (word.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => Path::new(word).to_owned(),
    }
}
