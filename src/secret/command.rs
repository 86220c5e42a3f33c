//! The program that prints a secret, as words or as a line for a shell. It runs nothing.

use crate::quote::quote;
use serde_json::Value;
use std::fmt;

/// What is run.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum SecretCommand {
    /// A program and its arguments; never empty.
    Words(Vec<String>),
    /// A line for `sh -c`.
    Line(String),
}

impl SecretCommand {
    /// Reads a text or a list of texts; `None`: it is neither, or empty.
    pub(super) fn from_json(value: &Value) -> Option<Self> {
        let fine = |text: &&str| !text.contains('\0');
        if let Some(line) = value.as_str() {
            return Some(line)
                .filter(fine)
                .filter(|line| !line.trim().is_empty())
                .map(|line| Self::Line(line.to_owned()));
        }
        let words: Option<Vec<String>> =
            value.as_array()?.iter().map(|word| word.as_str().filter(fine).map(str::to_owned)).collect();
        words.filter(|words| words.first().is_some_and(|program| !program.is_empty())).map(Self::Words)
    }

    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Words(words) => words.as_slice().into(),
            Self::Line(line) => line.as_str().into(),
        }
    }

    /// The program, and its arguments.
    #[must_use]
    pub fn argv(&self) -> Vec<&str> {
        match self {
            Self::Words(words) => words.iter().map(String::as_str).collect(),
            Self::Line(line) => vec!["sh", "-c", line],
        }
    }

    /// As it is typed into a shell.
    #[must_use]
    pub fn line(&self) -> String {
        match self {
            Self::Words(words) => words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" "),
            Self::Line(line) => line.clone(),
        }
    }
}

impl fmt::Display for SecretCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Words(words) => write!(f, "[{}]", words.join(", ")),
            Self::Line(line) => f.write_str(line),
        }
    }
}
