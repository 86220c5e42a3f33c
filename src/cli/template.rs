//! The part of Go's templates that scripts use with docker-machine: `{{.A.B}}`, `{{json .A}}`, `{{prettyjson .A}}`.
//!
//! It has no pipelines, conditions or loops; they are refused, not misread.

use super::CliError;
use serde::Serialize;
use serde_json::Value;

/// A parsed template.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug, Eq, PartialEq)]
enum Piece {
    Text(String),
    Field(Style, Vec<String>),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Style {
    Plain,
    Json,
    Pretty,
}

/// Reads a template.
///
/// # Errors
/// Names what this program cannot do.
pub(super) fn parse(text: &str) -> Result<Template, CliError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        let Some((action, after)) = after.split_once("}}") else {
            return Err(CliError::said("template parsing error: template: :1: unclosed action"));
        };
        pieces.push(self::action(action).ok_or_else(|| CliError::Said {
            what: format!("template parsing error: cannot do `{{{{{action}}}}}`"),
            help: Some("what can be done: `{{.Field.Field}}`, `{{json .Field}}`, `{{prettyjson .}}`".to_owned()),
        })?);
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(Template(pieces))
}

fn action(text: &str) -> Option<Piece> {
    let mut words = text.split_whitespace();
    let (style, path) = match (words.next()?, words.next(), words.next()) {
        (path, None, _) => (Style::Plain, path),
        ("json", Some(path), None) => (Style::Json, path),
        ("prettyjson", Some(path), None) => (Style::Pretty, path),
        _ => return None,
    };
    let path = path.strip_prefix('.')?;
    let fields: Vec<String> = path.split('.').filter(|field| !field.is_empty()).map(str::to_owned).collect();
    let plain = fields.iter().all(|field| field.chars().all(|c| c.is_alphanumeric() || c == '_'));
    (plain && fields.join(".") == path).then_some(Piece::Field(style, fields))
}

impl Template {
    /// The text it makes of `value`.
    pub(super) fn render(&self, value: &Value) -> String {
        let render = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Field(style, path) => {
                let found = path.iter().try_fold(value, |value, field| value.get(field));
                match (style, found) {
                    (Style::Plain, found) => found.map_or_else(|| "<no value>".to_owned(), go),
                    (Style::Json, found) => escape(&sorted(found.unwrap_or(&Value::Null)).to_string()),
                    (Style::Pretty, found) => pretty(&sorted(found.unwrap_or(&Value::Null))),
                }
            }
        };
        self.0.iter().map(render).collect()
    }

    /// The top-level fields it names, for the header of a table.
    pub(super) fn headers(&self, header: impl Fn(&str) -> String) -> String {
        let title = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Field(_, path) => path.first().map_or_else(String::new, |field| header(field)),
        };
        self.0.iter().map(title).collect()
    }
}

/// A value as Go's `%v` has it, after its way through JSON.
fn go(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(go).collect::<Vec<_>>().join(" ")),
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(key, _)| *key);
            let fields: Vec<_> = fields.into_iter().map(|(key, value)| format!("{key}:{}", go(value))).collect();
            format!("map[{}]", fields.join(" "))
        }
        Value::Number(number) => match number.as_i64() {
            // Every number is a float64 after its way through JSON, and `%v` shows those with an exponent.
            Some(n) if n.unsigned_abs() >= 1_000_000 => exponent(n),
            _ => number.to_string(),
        },
        Value::Bool(_) => value.to_string(),
    }
}

/// `1234567` as `1.234567e+06`.
fn exponent(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let power = digits.len() - 1;
    let (first, rest) = digits.split_at(1);
    let rest = rest.trim_end_matches('0');
    let (sign, dot) = (if n < 0 { "-" } else { "" }, if rest.is_empty() { "" } else { "." });
    format!("{sign}{first}{dot}{rest}e+{power:02}")
}

/// Go sorts the keys of a map.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            fields.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

/// JSON as Go writes it with an indent of four blanks.
pub(super) fn pretty(value: &Value) -> String {
    let mut bytes = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    value
        .serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, format))
        .expect("JSON that was read can be written to memory");
    escape(&String::from_utf8_lossy(&bytes))
}

/// Go's encoder escapes these, which stand only within strings.
fn escape(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' => text.push_str("\\u003c"),
            '>' => text.push_str("\\u003e"),
            '&' => text.push_str("\\u0026"),
            '\u{2028}' => text.push_str("\\u2028"),
            '\u{2029}' => text.push_str("\\u2029"),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn templates_that_scripts_use_work() {
        let value =
            json!({"Driver": {"Z": 1, "IPAddress": "192.0.2.1", "A": ["x", "<y>"]}, "Size": 1_234_567, "No": null});
        for (template, want) in [
            ("{{.Driver.IPAddress}}", "192.0.2.1"),
            ("{{ .Driver.IPAddress }}:2376", "192.0.2.1:2376"),
            ("{{json .Driver.A}}", r#"["x","\u003cy\u003e"]"#),
            ("{{json .Driver}}", r#"{"A":["x","\u003cy\u003e"],"IPAddress":"192.0.2.1","Z":1}"#),
            ("{{prettyjson .Driver.A}}", "[\n    \"x\",\n    \"\\u003cy\\u003e\"\n]"),
            ("{{.Nope.Nope}}", "<no value>"),
            ("{{.No}}", "<no value>"),
            ("{{.Size}}", "1.234567e+06"),
            ("{{.Driver}}", "map[A:[x <y>] IPAddress:192.0.2.1 Z:1]"),
            ("plain", "plain"),
        ] {
            assert_eq!(parse(template).unwrap().render(&value), want, "{template}");
        }
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        for bad in ["{{range .X}}", "{{.X | json}}", "{{X}}", "{{json}}", "{{.X", "{{end}}", "{{..}}", "{{.A..B}}"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
