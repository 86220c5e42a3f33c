//! Machine names on the command line, and the rule that `default` is meant when none is given.

use super::{CliError, error::NamesError, stored::stored};
use crate::{
    name::MachineName,
    store::{Store, StoreError},
};

/// The machine called this. A text that is no name is the name of no machine.
pub(super) fn parse(text: &str) -> Result<MachineName, CliError> {
    // As Go's %q shows it, so that what was typed cannot change the look of a terminal.
    MachineName::new(text).map_err(|_| CliError::Store(StoreError::Absent(text.escape_debug().to_string())))
}

/// The names given, or `default` if there is such a machine and none was given.
pub(super) fn any(store: &Store, given: &[String]) -> Result<Vec<String>, CliError> {
    if !given.is_empty() {
        return Ok(given.to_vec());
    }
    if stored(store.records.names())?.iter().any(|name| name == "default") {
        return Ok(vec!["default".to_owned()]);
    }
    Err(CliError::Names(NamesError::NoDefault))
}

/// One name, or `default`.
pub(super) fn one(store: &Store, given: &[String]) -> Result<String, CliError> {
    if given.len() > 1 {
        return Err(CliError::Names(NamesError::One));
    }
    Ok(any(store, given)?.remove(0))
}
