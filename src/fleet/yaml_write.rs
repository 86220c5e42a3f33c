//! A tree as YAML, in the layout that `machine fmt` keeps.

use super::{
    convert::{end_of, on_one_line},
    node::{Entry, Meaning, Node, Place, Scalar, Style, Value},
    remarks::Remarks,
};

/// Lines are broken beyond this.
const WIDTH: usize = 100;

/// The document; `text` is what the places of the tree are in.
pub(super) fn write(root: &Node, text: &str, remarks: Remarks) -> String {
    let mut writer = Writer { text, remarks, out: String::new() };
    writer.map(root.entries(), 0);
    if root.entries().is_empty() {
        writer.out.push_str("{}\n");
    }
    let rest = writer.remarks.rest();
    writer.comments(&rest, 0);
    trimmed(writer.out)
}

/// An empty line, unless there is one or nothing is above it.
pub(super) fn push_empty(out: &mut String) {
    if !(out.is_empty() || out.ends_with("\n\n")) {
        out.push('\n');
    }
}

/// No empty line at the end.
pub(super) fn trimmed(mut out: String) -> String {
    while out.ends_with("\n\n") {
        out.pop();
    }
    out
}

/// Whether a value behind its key, or behind the dash of an item, has room on one line.
pub(super) fn fits(name: Option<&str>, node: &Node, indent: usize) -> bool {
    let head = indent + name.map_or(1, |name| key(name).chars().count() + 1);
    flow(node).is_some_and(|line| has_room(head, &line))
}

fn has_room(head: usize, line: &str) -> bool {
    head + line.chars().count() < WIDTH
}

struct Writer<'a> {
    text: &'a str,
    remarks: Remarks,
    out: String,
}

impl Writer<'_> {
    fn comments(&mut self, lines: &[String], indent: usize) {
        for line in lines {
            if line.is_empty() {
                push_empty(&mut self.out);
            } else {
                self.out.push_str(&format!("{:indent$}#{}\n", "", line.trim_end()));
            }
        }
    }

    fn map(&mut self, entries: &[Entry], indent: usize) {
        for entry in entries {
            let key = key(&entry.key);
            let head = format!("{:indent$}{key}:", "");
            self.value(&head, entry.key_at, &entry.node, indent);
        }
    }

    /// A value behind its key or dash, with its comments.
    fn value(&mut self, head: &str, at: Place, node: &Node, indent: usize) {
        let above = self.remarks.above(at);
        self.comments(&above, indent);
        let mut beside = self.remarks.beside(at);
        let below = self.remarks.below(at);
        let first = if beside.is_empty() { None } else { Some(beside.remove(0)) };
        self.comments(&beside, indent);
        let comment = first.map(|c| format!(" #{}", c.trim_end())).unwrap_or_default();
        let quiet = !self.remarks.any_within(at.start() + 1, end_of(node));
        let flat = flow(node).filter(|line| {
            let simple =
                matches!(&node.value, Value::List(items) if items.iter().all(|i| matches!(i.value, Value::Scalar(_))));
            let small = matches!(&node.value, Value::Scalar(_)) || node.items().len() + node.entries().len() == 0;
            let short = has_room(head.chars().count(), line);
            small || (quiet && short && (simple || on_one_line(self.text, at.start(), node)))
        });
        match (flat, &node.value) {
            (_, Value::Scalar(scalar)) if blocks(scalar) => {
                let mark = if scalar.text.ends_with('\n') { "|" } else { "|-" };
                self.out.push_str(&format!("{head} {mark}{comment}\n"));
                for line in scalar.text.trim_end_matches('\n').split('\n') {
                    let pad = if line.is_empty() { 0 } else { indent + 2 };
                    self.out.push_str(&format!("{:pad$}{line}\n", ""));
                }
            }
            (Some(line), _) if line.is_empty() => self.out.push_str(&format!("{head}{comment}\n")),
            (Some(line), _) => self.out.push_str(&format!("{head} {line}{comment}\n")),
            (None, Value::Map(entries)) => {
                let dash = head.ends_with('-') && comment.is_empty();
                if !dash {
                    self.out.push_str(&format!("{head}{comment}\n"));
                }
                let start = self.out.len();
                self.map(entries, indent + 2);
                if dash {
                    // The first key stands behind the dash, unless a comment is above it.
                    if self.out[start..].trim_start().starts_with('#') {
                        self.out.insert_str(start, &format!("{head}\n"));
                    } else {
                        self.out.replace_range(start + indent..=start + indent, "-");
                    }
                }
            }
            (None, Value::List(items)) => {
                self.out.push_str(&format!("{head}{comment}\n"));
                let inner = indent + 2;
                for item in items {
                    self.value(&format!("{:inner$}-", ""), item.at, item, inner);
                }
            }
            (None, Value::Scalar(_)) => self.out.push_str(&format!("{head}{comment}\n")),
        }
        self.comments(&below, indent);
    }
}

/// A value on one line; nothing for nothing; `None`: it cannot be.
fn flow(node: &Node) -> Option<String> {
    Some(match &node.value {
        Value::Scalar(scalar) => value(scalar),
        Value::List(items) => {
            let items = items.iter().map(|item| flow(item).map(|t| if t.is_empty() { "null".to_owned() } else { t }));
            format!("[{}]", items.collect::<Option<Vec<_>>>()?.join(", "))
        }
        Value::Map(entries) if entries.is_empty() => "{}".to_owned(),
        Value::Map(entries) => {
            let entries = entries.iter().map(|e| {
                let value = flow(&e.node)?;
                Some(format!("{}:{}{value}", key(&e.key), if value.is_empty() { "" } else { " " }))
            });
            format!("{{ {} }}", entries.collect::<Option<Vec<_>>>()?.join(", "))
        }
    })
}

fn value(scalar: &Scalar) -> String {
    match scalar.meaning() {
        Meaning::Null | Meaning::Flag(_) | Meaning::Whole(_) | Meaning::Real(_) => scalar.text.clone(),
        Meaning::Text(words) => text(words),
    }
}

/// Whether a text is best written line by line.
fn blocks(scalar: &Scalar) -> bool {
    let text = scalar.text.strip_suffix('\n').unwrap_or(&scalar.text);
    matches!(scalar.meaning(), Meaning::Text(_))
        && text.contains('\n')
        && !text.starts_with([' ', '\n'])
        && !text.ends_with('\n')
        && text.split('\n').all(|line| line.trim_end() == line && !line.starts_with('\t') && !line.chars().any(odd))
}

fn odd(c: char) -> bool {
    c.is_control() || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// A text, in quotes unless it can be nothing else.
fn text(words: &str) -> String {
    // What readers of YAML 1.1 take for true and false.
    let switch = matches!(words.to_ascii_lowercase().as_str(), "yes" | "no" | "on" | "off");
    if switch { quoted(words) } else { key(words) }
}

fn key(words: &str) -> String {
    let scalar = Scalar { text: words.to_owned(), style: Style::Plain };
    let plain = |word: &str| {
        word.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '/' | '~' | '.' | '_'))
            && !word.ends_with(':')
            && word.chars().all(|c| c.is_alphanumeric() || "/~._+-:@%=$".contains(c))
    };
    let safe = words.split(' ').all(plain) && matches!(scalar.meaning(), Meaning::Text(_)) && words != "...";
    if safe { words.to_owned() } else { quoted(words) }
}

fn quoted(words: &str) -> String {
    let mut out = String::from("\"");
    for c in words.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if odd(c) && (c as u32) < 0x100 => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if odd(c) => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
