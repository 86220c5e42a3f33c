//! Why a record will not parse, and where.

use thiserror::Error;

/// Why a record will not parse, and where.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("line {line}, column {column}: {why}")]
pub struct CodecError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, as a lowercase fragment.
    pub why: String,
}

impl CodecError {
    /// An error at a byte offset of `text`.
    pub(super) fn at(text: &str, offset: usize, why: impl Into<String>) -> Self {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &text[..offset];
        let start = before.rfind('\n').map_or(0, |n| n + 1);
        Self { line: before.matches('\n').count() + 1, column: before[start..].chars().count() + 1, why: why.into() }
    }

    /// What serde found wrong with a JSON text. It counts bytes, and says the place after the cause.
    pub(super) fn of_json(text: &str, error: &serde_json::Error) -> Self {
        let (line, column) = (error.line().max(1), error.column().max(1));
        let said = error.to_string();
        let why = said.strip_suffix(&format!(" at line {} column {}", error.line(), error.column())).unwrap_or(&said);
        let why = match error.classify() {
            _ if text.trim().is_empty() => {
                "the file is empty: it was copied half, or written to a full disk".to_owned()
            }
            serde_json::error::Category::Eof => "the file ends too early: it was copied half, or cut off".to_owned(),
            _ => why.to_owned(),
        };
        let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
        Self { line, ..Self::at(text, start + column - 1, why) }
    }
}
