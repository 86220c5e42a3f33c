//! Go's `text/template` over JSON and over rows of `ls`, for `--format`: scripts written for docker-machine use it.
//!
//! It prints what Go 1.19 prints and says Go's words of mistakes. It has no complex numbers, no functions as values,
//! and limits to how deep things may be nested. It does not know where values come from.

mod escape;
mod execute;
mod format;
mod function;
pub mod json;
mod number;
mod parse;
mod token;
mod tree;
pub mod value;

use std::collections::BTreeMap;
use thiserror::Error;
use value::Value;

/// Templates by name; the text itself is the one without a name.
type Set = BTreeMap<String, tree::Body>;

/// A parsed template.
#[derive(Clone, Debug)]
pub struct Template {
    text: String,
    set: Set,
}

/// What is wrong with a template, in Go's words.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum TemplateError {
    /// It cannot be read.
    #[error("{0}")]
    Parse(String),
    /// It does not fit the value.
    #[error("{0}")]
    Execute(String),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// When it cannot be read; the line is named.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let set = parse::parse(text).map_err(TemplateError::Parse)?;
        Ok(Self { text: text.to_owned(), set })
    }

    /// Writes what it makes of `value`. After an error, `out` has what came before it.
    ///
    /// # Errors
    /// When it does not fit the value; the place is named.
    pub fn execute(&self, value: &Value, out: &mut String) -> Result<(), TemplateError> {
        execute::execute(self, value, out).map_err(TemplateError::Execute)
    }
}
