//! Writing KDL 2, as records need it: JSON values that come back exactly.
//!
//! Texts are always quoted and everything has one form, so that a record changes only where its content
//! does. Reading is [`super::nodes`]; what a record holds is [`super::codec`].

use serde_json::Value;
use std::fmt::Write as _;
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
}

/// Writes nodes, two blanks deeper for each level.
#[derive(Default)]
pub(super) struct Writer {
    out: String,
    depth: usize,
}

impl Writer {
    pub(super) fn finish(self) -> String {
        self.out
    }

    /// One line of its own, as it is.
    pub(super) fn raw(&mut self, line: &str) {
        self.indent();
        self.out.push_str(line);
        self.out.push('\n');
    }

    fn indent(&mut self) {
        self.out.extend(std::iter::repeat_n("  ", self.depth));
    }

    fn head(&mut self, name: &str) {
        self.indent();
        push_name(&mut self.out, name);
    }

    /// `name "text" …`.
    pub(super) fn texts<S: AsRef<str>>(&mut self, name: &str, texts: impl IntoIterator<Item = S>) {
        self.head(name);
        for text in texts {
            self.out.push(' ');
            push_text(&mut self.out, text.as_ref());
        }
        self.out.push('\n');
    }

    /// `name "text"`.
    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.texts(name, [text]);
    }

    /// `name {` … `}`.
    pub(super) fn children(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        self.head(name);
        self.block(inside);
    }

    fn block(&mut self, inside: impl FnOnce(&mut Self)) {
        self.out.push_str(" {\n");
        self.depth += 1;
        inside(self);
        self.depth -= 1;
        self.indent();
        self.out.push_str("}\n");
    }

    /// Any value: `name 1`, `(list)name "a" "b"`, `(map)name { … }`, as JSON-in-KDL has it.
    pub(super) fn value(&mut self, name: &str, value: &Value) {
        match value {
            Value::Array(items) => {
                self.indent();
                self.out.push_str("(list)");
                push_name(&mut self.out, name);
                if items.iter().any(|i| i.is_array() || i.is_object()) {
                    self.block(|w| items.iter().for_each(|i| w.value("-", i)));
                } else {
                    for item in items {
                        self.out.push(' ');
                        push_scalar(&mut self.out, item);
                    }
                    self.out.push('\n');
                }
            }
            Value::Object(entries) => {
                self.indent();
                self.out.push_str("(map)");
                push_name(&mut self.out, name);
                self.block(|w| entries.iter().for_each(|(k, v)| w.value(k, v)));
            }
            scalar => {
                self.head(name);
                self.out.push(' ');
                push_scalar(&mut self.out, scalar);
                self.out.push('\n');
            }
        }
    }
}

/// Lists and maps are written as nodes, never here.
fn push_scalar(out: &mut String, value: &Value) {
    match value {
        Value::String(text) => push_text(out, text),
        Value::Bool(flag) => out.push_str(if *flag { "#true" } else { "#false" }),
        Value::Number(number) => {
            let _ = write!(out, "{number}");
        }
        Value::Null | Value::Array(_) | Value::Object(_) => out.push_str("#null"),
    }
}

fn push_name(out: &mut String, name: &str) {
    let plain = name == "-"
        || (name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !matches!(name, "true" | "false" | "null" | "inf" | "nan"));
    if plain { out.push_str(name) } else { push_text(out, name) }
}

/// Everything that is not plainly visible is escaped: KDL forbids some of it, and people cannot see the rest.
fn push_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' '..='~' => out.push(c),
            c if c.is_alphanumeric() => out.push(c),
            c => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
        }
    }
    out.push('"');
}
