//! KDL 2 text, as records need it: JSON values that come back exactly, and errors with a place.
//!
//! Texts are always quoted and written in one form, so that a record changes only where its content
//! does. This module knows nothing of what a record holds; that is [`super::codec`].

use ::kdl::{KdlDocument, KdlNode, KdlValue};
use serde_json::{Map, Number, Value};
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

/// Parses a document.
pub(super) fn parse(text: &str) -> Result<KdlDocument, CodecError> {
    KdlDocument::parse_v2(text).map_err(|e| {
        let Some(first) = e.diagnostics.first() else {
            return CodecError::at(text, 0, "this is not KDL");
        };
        let why = first.message.as_deref().or(first.label.as_deref()).unwrap_or("this is not KDL");
        CodecError::at(text, first.span.offset(), lower_first(why))
    })
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
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

/// Reads nodes of one text.
#[derive(Clone, Copy)]
pub(super) struct Reader<'t> {
    text: &'t str,
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text }
    }

    /// An error that points at `node`.
    pub(super) fn err(&self, node: &KdlNode, why: impl Into<String>) -> CodecError {
        // A node's span may begin with the blanks and comments before it; its name's does not.
        CodecError::at(self.text, node.name().span().offset(), why)
    }

    /// The nodes inside; none when there is no block.
    pub(super) fn inside<'n>(&self, node: &'n KdlNode) -> &'n [KdlNode] {
        node.children().map_or(&[], KdlDocument::nodes)
    }

    fn values<'n>(&self, node: &'n KdlNode) -> Result<Vec<&'n KdlValue>, CodecError> {
        if node.entries().iter().any(|e| e.name().is_some()) {
            return Err(self.err(node, format!("`{}` cannot have properties", node.name().value())));
        }
        Ok(node.entries().iter().map(::kdl::KdlEntry::value).collect())
    }

    fn one<'n>(&self, node: &'n KdlNode) -> Result<&'n KdlValue, CodecError> {
        match self.values(node)?.as_slice() {
            [one] => Ok(one),
            other => Err(self.err(node, format!("`{}` needs one value, but has {}", node.name().value(), other.len()))),
        }
    }

    fn wrong(&self, node: &KdlNode, want: &str) -> CodecError {
        self.err(node, format!("`{}` must be {want}", node.name().value()))
    }

    pub(super) fn text(&self, node: &KdlNode) -> Result<String, CodecError> {
        match self.one(node)? {
            KdlValue::String(text) => Ok(text.clone()),
            _ => Err(self.wrong(node, "a text in quotes")),
        }
    }

    pub(super) fn texts(&self, node: &KdlNode) -> Result<Vec<String>, CodecError> {
        self.values(node)?
            .into_iter()
            .map(|v| v.as_string().map(str::to_owned).ok_or_else(|| self.wrong(node, "texts in quotes")))
            .collect()
    }

    pub(super) fn flag(&self, node: &KdlNode) -> Result<bool, CodecError> {
        self.one(node)?.as_bool().ok_or_else(|| self.wrong(node, "#true or #false"))
    }

    pub(super) fn number<N: TryFrom<i128>>(&self, node: &KdlNode) -> Result<N, CodecError> {
        let number = self.one(node)?.as_integer().and_then(|n| N::try_from(n).ok());
        number.ok_or_else(|| self.wrong(node, "a whole number in range"))
    }

    /// A text that some type checks, such as a name.
    pub(super) fn checked<T: TryFrom<String, Error: std::fmt::Display>>(
        &self,
        node: &KdlNode,
    ) -> Result<T, CodecError> {
        T::try_from(self.text(node)?).map_err(|e| self.err(node, e.to_string()))
    }

    /// Any value, as [`Writer::value`] wrote it.
    pub(super) fn value(&self, node: &KdlNode) -> Result<Value, CodecError> {
        match node.ty().map(::kdl::KdlIdentifier::value) {
            None => self.scalar(node, self.one(node)?),
            Some("map") => Ok(Value::Object(self.map(node)?)),
            Some("list") => {
                let mut items = Vec::new();
                for value in self.values(node)? {
                    items.push(self.scalar(node, value)?);
                }
                for child in self.inside(node) {
                    items.push(self.value(child)?);
                }
                Ok(Value::Array(items))
            }
            Some(other) => Err(self.err(node, format!("`({other})` is neither `(list)` nor `(map)`"))),
        }
    }

    /// The nodes inside as a map.
    pub(super) fn map(&self, node: &KdlNode) -> Result<Map<String, Value>, CodecError> {
        let mut map = Map::new();
        for child in self.inside(node) {
            if map.insert(child.name().value().to_owned(), self.value(child)?).is_some() {
                return Err(self.err(child, format!("`{}` is there twice", child.name().value())));
            }
        }
        Ok(map)
    }

    fn scalar(&self, node: &KdlNode, value: &KdlValue) -> Result<Value, CodecError> {
        let number = match value {
            KdlValue::String(text) => return Ok(Value::String(text.clone())),
            KdlValue::Bool(flag) => return Ok(Value::Bool(*flag)),
            KdlValue::Null => return Ok(Value::Null),
            KdlValue::Integer(n) => {
                i64::try_from(*n).map(Number::from).or_else(|_| u64::try_from(*n).map(Number::from)).ok()
            }
            KdlValue::Float(f) => Number::from_f64(*f),
        };
        number.map(Value::Number).ok_or_else(|| self.wrong(node, "a number of at most 64 bits"))
    }
}
