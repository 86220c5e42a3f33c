//! A tree as KDL. [`super::kdl`] has the mapping; this is its other direction.

use super::{
    convert::{end_of, on_one_line},
    node::{Entry, Meaning, Node, Place, Scalar, Value},
    remarks::Remarks,
    shape::Shape,
    yaml_write,
};
use crate::kdl::{is_blank, is_newline, is_reserved, is_word, looks_like_number, number, quoted};

/// Lines are broken beyond this.
const WIDTH: usize = 100;

/// The document; `text` is what the places of the tree are in.
pub(super) fn write(root: &Node, text: &str, remarks: Remarks) -> String {
    let mut writer = Writer { text, remarks, out: String::new() };
    for entry in root.entries() {
        writer.entry(entry, Shape::fleet().key(&entry.key), 0);
    }
    let rest = writer.remarks.rest();
    writer.comments(&rest, 0);
    yaml_write::trimmed(writer.out)
}

/// One key and its value on one line, for help; `None`: it needs several.
pub(super) fn line(key: &str, node: &Node) -> Option<String> {
    let scalars =
        |entries: &[Entry]| entries.iter().all(|e| matches!(e.node.value, Value::Scalar(_)) && !e.node.is_null());
    let name = word(key);
    match &node.value {
        Value::Scalar(scalar) if node.is_null() && scalar.text.is_empty() => Some(name),
        Value::Scalar(scalar) => Some(format!("{name} {}", value(scalar))),
        Value::List(items) => {
            let texts = items.iter().map(|item| match &item.value {
                Value::Scalar(scalar) => Some(value(scalar)),
                _ => None,
            });
            Some([name].into_iter().chain(texts.collect::<Option<Vec<_>>>()?).collect::<Vec<_>>().join(" "))
        }
        Value::Map(entries) if entries.is_empty() => Some(format!("{name} {{}}")),
        Value::Map(entries) if scalars(entries) => Some(format!("{name} {}", properties(entries))),
        Value::Map(entries) => {
            let inner = entries.iter().map(|e| line(&e.key, &e.node)).collect::<Option<Vec<_>>>()?;
            Some(format!("{name} {{ {} }}", inner.join("; ")))
        }
    }
}

struct Writer<'a> {
    text: &'a str,
    remarks: Remarks,
    out: String,
}

impl Writer<'_> {
    fn entry(&mut self, entry: &Entry, shape: Shape, indent: usize) {
        self.node(Some(&entry.key), entry.key_at, &entry.node, shape, indent);
    }

    fn comments(&mut self, lines: &[String], indent: usize) {
        for line in lines {
            if line.is_empty() {
                yaml_write::push_empty(&mut self.out);
            } else {
                self.out.push_str(&format!("{:indent$}//{}\n", "", line.trim_end()));
            }
        }
    }

    /// One node with its comments, of an item without a key; `at` is where its key or item begins in the source.
    fn node(&mut self, key: Option<&str>, at: Place, node: &Node, shape: Shape, indent: usize) {
        let name = &key.map_or_else(|| "-".to_owned(), word);
        let above = self.remarks.above(at);
        self.comments(&above, indent);
        let mut beside = self.remarks.beside(at);
        let below = self.remarks.below(at);
        // On the line is room for one.
        let first = if beside.is_empty() { None } else { Some(beside.remove(0)) };
        self.comments(&beside, indent);
        let comment = first.map(|c| format!(" //{}", c.trim_end())).unwrap_or_default();
        let quiet = !self.remarks.any_within(at.start() + 1, end_of(node));
        // A line of this form that none of YAML could be would be several when it comes back.
        let one_line = self.short(name, at, node, shape, quiet, indent);
        let one_line = one_line.filter(|_| node.entries().is_empty() || yaml_write::fits(key, node, indent));
        match (one_line, &node.value) {
            (Some(line), _) => self.out.push_str(&format!("{:indent$}{line}{comment}\n", "")),
            (None, Value::Scalar(scalar)) => self.lines(name, scalar, &comment, indent),
            (None, Value::List(items)) => {
                self.out.push_str(&format!("{:indent$}{name} {{{comment}\n", ""));
                for item in items {
                    self.node(None, item.at, item, shape.item(), indent + 2);
                }
                self.out.push_str(&format!("{:indent$}}}\n", ""));
            }
            (None, Value::Map(entries)) => {
                let forced = if entries.iter().any(|e| e.key == "-") { "(map)" } else { "" };
                self.out.push_str(&format!("{:indent$}{forced}{name} {{{comment}\n", ""));
                for entry in entries {
                    self.entry(entry, shape.key(&entry.key), indent + 2);
                }
                self.out.push_str(&format!("{:indent$}}}\n", ""));
            }
        }
        self.comments(&below, indent);
    }

    /// The node on one line, where that can be and is how it was.
    fn short(&self, name: &str, at: Place, node: &Node, shape: Shape, quiet: bool, indent: usize) -> Option<String> {
        let fits = |line: &String| indent + line.chars().count() <= WIDTH;
        match &node.value {
            Value::Scalar(scalar) if node.is_null() && scalar.text.is_empty() => Some(name.to_owned()),
            Value::Scalar(scalar) => {
                (!scalar.text.contains('\n') || !dedents(&scalar.text)).then(|| format!("{name} {}", value(scalar)))
            }
            Value::List(items) if items.is_empty() => Some(format!("(list){name}")),
            Value::List(items) => {
                let texts = items.iter().map(|item| match &item.value {
                    Value::Scalar(scalar) if !scalar.text.contains('\n') => Some(value(scalar)),
                    _ => None,
                });
                let texts = texts.collect::<Option<Vec<String>>>().filter(|_| quiet)?.join(" ");
                let plain = items.len() > 1 || (shape.is_list() && !items[0].is_null());
                let line = format!("{}{name} {texts}", if plain { "" } else { "(list)" });
                Some(line).filter(|line| fits(line) || items.len() == 1)
            }
            Value::Map(entries) if entries.is_empty() => Some(format!("{name} {{}}")),
            Value::Map(entries) => {
                let simple = |e: &Entry| {
                    matches!(&e.node.value, Value::Scalar(s) if !s.text.contains('\n')) && !e.node.is_null()
                };
                // An item with one key has one line in YAML, however it was written here.
                let is_line = (name == "-" && entries.len() == 1) || on_one_line(self.text, at.start(), node);
                let inline = quiet && entries.iter().all(simple) && is_line;
                inline.then(|| format!("{name} {}", properties(entries))).filter(fits)
            }
        }
    }

    /// A text of several lines.
    fn lines(&mut self, name: &str, scalar: &Scalar, comment: &str, indent: usize) {
        // Behind `"""` there is no room for a comment.
        if !comment.is_empty() {
            self.out.push_str(&format!("{:indent$}{}\n", "", comment.trim_start()));
        }
        self.out.push_str(&format!("{:indent$}{name} \"\"\"\n", ""));
        for line in scalar.text.split('\n') {
            let line = line.replace('\\', "\\\\").replace("\"\"\"", "\\\"\\\"\\\"");
            let pad = if line.is_empty() { 0 } else { indent + 2 };
            self.out.push_str(&format!("{:pad$}{line}\n", ""));
        }
        self.out.push_str(&format!("{:1$}\"\"\"\n", "", indent + 2));
    }
}

/// Whether a text can stand between `"""` as it is.
fn dedents(text: &str) -> bool {
    text.split('\n').all(|line| {
        (line.is_empty() || !line.chars().all(is_blank))
            && !line
                .chars()
                .any(|c| is_newline(c) || (c.is_control() && c != '\t') || quoted(&c.to_string()).contains("\\u"))
    })
}

fn properties(entries: &[Entry]) -> String {
    let all = entries.iter().map(|e| match &e.node.value {
        Value::Scalar(scalar) => format!("{}={}", word(&e.key), value(scalar)),
        Value::List(_) | Value::Map(_) => String::new(),
    });
    all.collect::<Vec<_>>().join(" ")
}

/// A scalar as a value.
fn value(scalar: &Scalar) -> String {
    let text = scalar.text.as_str();
    match scalar.meaning() {
        Meaning::Null => "#null".to_owned(),
        Meaning::Flag(_) if matches!(text, "true" | "false") => format!("#{text}"),
        Meaning::Whole(_) | Meaning::Real(_) if number(text).as_deref() == Some(text) => text.to_owned(),
        Meaning::Flag(_) | Meaning::Whole(_) | Meaning::Real(_) => format!("(plain){}", quoted(text)),
        Meaning::Text(_) => word(text),
    }
}

/// A string, in quotes unless it is a simple word.
fn word(text: &str) -> String {
    let simple = !text.is_empty()
        && text.chars().all(|c| is_word(c) && (c.is_alphanumeric() || matches!(c, '-' | '_' | '.')))
        && !is_reserved(text)
        && !looks_like_number(text)
        && !(text.starts_with(['-', '.']));
    if simple { text.to_owned() } else { quoted(text) }
}
