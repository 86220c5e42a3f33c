//! JSON as Go's `encoding/json` writes it.

use super::{number::float_text, value::Value};
use std::fmt::Write as _;

/// On one line.
pub(super) fn compact(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value, None, 0);
    out
}

/// Indented by four blanks.
pub(super) fn pretty(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value, Some("    "), 0);
    out
}

/// `value`, with keys in their order, as docker-machine prints documents.
#[must_use]
pub fn document(value: &serde_json::Value) -> String {
    let mut out = String::new();
    write_json(&mut out, value, 0);
    out
}

fn write(out: &mut String, value: &Value, indent: Option<&str>, depth: usize) {
    match value {
        Value::Absent | Value::Nil | Value::Pointer(_, None) => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Int(number) => out.push_str(&number.to_string()),
        Value::Byte(byte) => out.push_str(&byte.to_string()),
        Value::Float(number) => out.push_str(&float(*number)),
        Value::Text(text) => string(out, text),
        Value::Named(named) => string(out, &named.text),
        Value::List(list) => {
            let items = list.items.iter().map(|item| (None, item));
            group(out, ['[', ']'], items, indent, depth);
        }
        Value::Map(map) => {
            let items = map.entries.iter().map(|(key, item)| (Some(key.as_str()), item));
            group(out, ['{', '}'], items, indent, depth);
        }
        Value::Record(record) | Value::Pointer(_, Some(record)) => {
            let items = record.fields.iter().map(|(key, item)| (Some(*key), item));
            group(out, ['{', '}'], items, indent, depth);
        }
    }
}

fn group<'v>(
    out: &mut String,
    [open, close]: [char; 2],
    items: impl ExactSizeIterator<Item = (Option<&'v str>, &'v Value)>,
    indent: Option<&str>,
    depth: usize,
) {
    out.push(open);
    let empty = items.len() == 0;
    for (n, (key, item)) in items.enumerate() {
        if n > 0 {
            out.push(',');
        }
        line(out, indent, depth + 1);
        if let Some(key) = key {
            string(out, key);
            out.push_str(if indent.is_some() { ": " } else { ":" });
        }
        write(out, item, indent, depth + 1);
    }
    if !empty {
        line(out, indent, depth);
    }
    out.push(close);
}

fn line(out: &mut String, indent: Option<&str>, depth: usize) {
    if let Some(indent) = indent {
        out.push('\n');
        out.extend(std::iter::repeat_n(indent, depth));
    }
}

fn write_json(out: &mut String, value: &serde_json::Value, depth: usize) {
    use serde_json::Value as Json;
    match value {
        Json::String(text) => string(out, text),
        Json::Array(items) if !items.is_empty() => {
            for (n, item) in items.iter().enumerate() {
                out.push(if n == 0 { '[' } else { ',' });
                line(out, Some("    "), depth + 1);
                write_json(out, item, depth + 1);
            }
            line(out, Some("    "), depth);
            out.push(']');
        }
        Json::Object(fields) if !fields.is_empty() => {
            for (n, (key, item)) in fields.iter().enumerate() {
                out.push(if n == 0 { '{' } else { ',' });
                line(out, Some("    "), depth + 1);
                string(out, key);
                out.push_str(": ");
                write_json(out, item, depth + 1);
            }
            line(out, Some("    "), depth);
            out.push('}');
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => {
            out.push_str(&value.to_string());
        }
    }
}

/// As JavaScript has it: an exponent only for the very small and the very large.
fn float(number: f64) -> String {
    let absolute = number.abs();
    if absolute != 0.0 && !(1e-6..1e21).contains(&absolute) {
        let text = float_text(number, 'e', None);
        return match text.rsplit_once("e-0") {
            Some((mantissa, digit)) if digit.len() == 1 => format!("{mantissa}e-{digit}"),
            _ => text,
        };
    }
    float_text(number, 'f', None)
}

/// Within quotes; `<`, `>` and `&` cannot be taken for HTML.
fn string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' || matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}') => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
