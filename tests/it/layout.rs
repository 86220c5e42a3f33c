//! One layout for a file, however it was written: `fmt` changes nothing a second time, and a file that went to the other
//! form and back goes the same way ever after, comments included. Files are written here in all ways that come to mind:
//! any indentation, in brackets or not, with comments and empty lines anywhere, keys and texts of any sort.

use crate::properties::properties;
use machine::fleet::{self, Form, Source};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

/// Bytes that decide; when they are used up, everything is as plain as can be.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn of(&mut self, many: usize) -> usize {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(*first) % many
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.of(many) == many - 1
    }
}

/// Lines of a file that is being written.
struct Sheet<'a> {
    choices: Choices<'a>,
    out: String,
    comments: usize,
}

impl Sheet<'_> {
    fn comment(&mut self, mark: &str) -> String {
        self.comments += 1;
        let blank = ["", " ", "  "][self.choices.of(3)];
        format!("{mark}{blank}c{}", self.comments)
    }

    /// What may stand between two lines.
    fn between(&mut self, mark: &str, indent: usize) {
        while self.choices.one_in(6) {
            if self.choices.one_in(2) {
                self.out.push_str(["\n", "\n\n", "  \n"][self.choices.of(3)]);
            } else {
                let pad = match self.choices.of(4) {
                    0 => 0,
                    1 => indent + 1,
                    _ => indent,
                };
                let comment = self.comment(mark);
                self.out.push_str(&format!("{:pad$}{comment}\n", ""));
            }
        }
    }

    fn end(&mut self, mark: &str) {
        if self.choices.one_in(6) {
            let comment = self.comment(mark);
            self.out.push_str(&format!(" {comment}"));
        } else if self.choices.one_in(12) {
            self.out.push_str("  ");
        }
        self.out.push('\n');
    }
}

fn plain_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !["true", "null", "yes"].contains(&text)
}

/// YAML.
impl Sheet<'_> {
    fn yaml_scalar(&mut self, value: &Json) -> String {
        match value {
            Json::String(text) if plain_word(text) && !self.choices.one_in(3) => text.clone(),
            Json::String(text)
                if !text.contains(['\n', '\'', '\t']) && !text.chars().any(odd) && self.choices.one_in(3) =>
            {
                format!("'{text}'")
            }
            Json::Null => ["null", "~"][self.choices.of(2)].to_owned(),
            other => other.to_string(),
        }
    }

    fn yaml_flow(&mut self, value: &Json) -> String {
        let blank = |sheet: &mut Self| ["", " ", "  "][sheet.choices.of(3)];
        match value {
            Json::Array(items) => {
                let items: Vec<String> = items.iter().map(|item| self.yaml_flow(item)).collect();
                let (open, between) = (blank(self), blank(self));
                format!("[{open}{}{open}]", items.join(&format!(",{between}")))
            }
            Json::Object(map) => {
                let entries: Vec<String> = map
                    .iter()
                    .map(|(key, value)| {
                        let key = self.yaml_scalar(&json!(key));
                        format!("{key}: {}{}", blank(self), self.yaml_flow(value))
                    })
                    .collect();
                let (open, between) = (blank(self), blank(self));
                format!("{{{open}{}{open}}}", entries.join(&format!(",{between}")))
            }
            scalar => self.yaml_scalar(scalar),
        }
    }

    /// A value behind `key:` or `-`, whose line is begun.
    fn yaml_value(&mut self, value: &Json, indent: usize, dash: bool) {
        let step = 1 + self.choices.of(4);
        match value {
            Json::Array(items) if !items.is_empty() && !self.choices.one_in(3) => {
                if dash && self.choices.one_in(2) {
                    let column = self.out.len() - self.out.rfind('\n').map_or(0, |n| n + 1) + 1;
                    self.out.push(' ');
                    self.yaml_items(items, column, true);
                    return;
                }
                self.end("#");
                let within = if dash || self.choices.one_in(2) { indent + step } else { indent };
                self.yaml_items(items, within, false);
            }
            Json::Object(map) if !map.is_empty() && !self.choices.one_in(3) => {
                if dash && !self.choices.one_in(3) {
                    let column = self.out.len() - self.out.rfind('\n').map_or(0, |n| n + 1) + 1;
                    self.out.push(' ');
                    self.yaml_entries(map, column, true);
                    return;
                }
                self.end("#");
                self.yaml_entries(map, indent + step, false);
            }
            Json::String(text) if blocky(text) && !self.choices.one_in(3) => {
                let mark = if text.ends_with('\n') { "|" } else { "|-" };
                self.out.push_str(&format!(" {mark}\n"));
                let pad = indent + step;
                for line in text.trim_end_matches('\n').split('\n') {
                    if line.is_empty() {
                        self.out.push('\n');
                    } else {
                        self.out.push_str(&format!("{:pad$}{line}\n", ""));
                    }
                }
            }
            Json::Null if self.choices.one_in(2) => self.end("#"),
            other => {
                let flow = self.yaml_flow(other);
                self.out.push_str(&format!(" {flow}"));
                self.end("#");
            }
        }
    }

    fn yaml_items(&mut self, items: &[Json], indent: usize, mut begun: bool) {
        for item in items {
            if !std::mem::take(&mut begun) {
                self.between("#", indent);
                self.out.push_str(&" ".repeat(indent));
            }
            self.out.push('-');
            self.yaml_value(item, indent, true);
        }
    }

    fn yaml_entries(&mut self, map: &serde_json::Map<String, Json>, indent: usize, mut begun: bool) {
        for (key, value) in map {
            if !std::mem::take(&mut begun) {
                self.between("#", indent);
                self.out.push_str(&" ".repeat(indent));
            }
            let key = self.yaml_scalar(&json!(key));
            self.out.push_str(&format!("{key}:"));
            self.yaml_value(value, indent, false);
        }
    }
}

/// KDL, by the mapping of `fleet/kdl.rs`.
impl Sheet<'_> {
    fn kdl_scalar(&mut self, value: &Json) -> String {
        match value {
            Json::String(text)
                if plain_word(text) && !["inf", "nan"].contains(&text.as_str()) && self.choices.one_in(2) =>
            {
                text.clone()
            }
            Json::String(text) => kdl_quoted(text),
            Json::Number(number) => number.to_string(),
            other => format!("#{other}"),
        }
    }

    fn kdl_node(&mut self, name: &str, value: &Json, indent: usize) {
        self.between("//", indent);
        self.out.push_str(&" ".repeat(indent));
        let step = 1 + self.choices.of(4);
        let scalar = |value: &Json| !(value.is_array() || value.is_object());
        match value {
            Json::Array(items) if items.is_empty() => self.out.push_str(&format!("(list){name}")),
            Json::Array(items) if items.iter().all(scalar) && self.choices.one_in(2) => {
                let items: Vec<String> = items.iter().map(|item| self.kdl_scalar(item)).collect();
                self.out.push_str(&format!("(list){name} {}", items.join([" ", "  "][self.choices.of(2)])));
            }
            Json::Object(map) if map.is_empty() => self.out.push_str(&format!("{name} {{}}")),
            Json::Object(map) if map.values().all(|v| scalar(v) && !v.is_null()) && self.choices.one_in(2) => {
                let all: Vec<String> =
                    map.iter().map(|(key, v)| format!("{}={}", kdl_quoted(key), self.kdl_scalar(v))).collect();
                self.out.push_str(&format!("{name} {}", all.join(" ")));
            }
            Json::Array(items) => {
                self.out.push_str(&format!("{name} {{"));
                self.end("//");
                for item in items {
                    self.kdl_node("-", item, indent + step);
                }
                self.between("//", indent + step);
                self.out.push_str(&format!("{:indent$}}}", ""));
            }
            Json::Object(map) => {
                let forced = if map.contains_key("-") { "(map)" } else { "" };
                self.out.push_str(&format!("{forced}{name} {{"));
                self.end("//");
                for (key, v) in map {
                    self.kdl_node(&kdl_quoted(key), v, indent + step);
                }
                self.between("//", indent + step);
                self.out.push_str(&format!("{:indent$}}}", ""));
            }
            other => {
                let value = self.kdl_scalar(other);
                self.out.push_str(&format!("{name} {value}"));
            }
        }
        self.end("//");
    }
}

fn kdl_quoted(text: &str) -> String {
    let escaped = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        '\n' => "\\n".to_owned(),
        '\t' => "\\t".to_owned(),
        c if odd(c) => format!("\\u{{{:x}}}", u32::from(c)),
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(escaped).collect::<String>())
}

fn odd(c: char) -> bool {
    c.is_control() || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// What can be written line by line.
fn blocky(text: &str) -> bool {
    let lines = text.strip_suffix('\n').unwrap_or(text);
    text.contains('\n')
        && !text.starts_with([' ', '\n', '\t'])
        && !lines.ends_with('\n')
        && lines.split('\n').all(|line| line.trim_end() == line && !line.chars().any(odd))
}

fn yaml(tree: &Json, choices: &[u8]) -> String {
    let mut sheet = Sheet { choices: Choices(choices), out: String::new(), comments: 0 };
    sheet.yaml_entries(tree.as_object().unwrap(), 0, false);
    sheet.between("#", 0);
    sheet.out
}

fn kdl(tree: &Json, choices: &[u8]) -> String {
    let mut sheet = Sheet { choices: Choices(choices), out: String::new(), comments: 0 };
    tree.as_object().unwrap().iter().for_each(|(key, value)| sheet.kdl_node(&kdl_quoted(key), value, 0));
    sheet.between("//", 0);
    sheet.out
}

fn word() -> BoxedStrategy<String> {
    let odd = [
        "",
        "-",
        "true",
        "null",
        "~",
        "1",
        "1.50",
        "- x",
        "a: b",
        "x #y",
        "// c",
        "/-",
        "{",
        "}",
        "[a]",
        "\"",
        "'",
        "\\",
        "a\nb\n",
        "a\nb",
        "a\n  b\n\nc\n",
        " a",
        "a ",
        "é",
        "\u{2028}",
        "\t",
        "#true",
        "<<",
        "yes",
        "@",
        "`",
        "=",
        "a\n",
        "\n",
        "---",
        "...",
        "- ",
        "a b",
        "|",
        ">",
        "---\na\n",
        "# a\nb\n",
        "- a\n- b\n",
        "a: |\n  b\n",
        "日本語",
        "x:y",
    ];
    prop_oneof![
        3 => prop::sample::select(odd.to_vec()).prop_map(str::to_owned),
        3 => "[a-z]{1,6}",
        1 => "[a-z ]{30,60}",
    ]
    .boxed()
}

fn leaf() -> BoxedStrategy<Json> {
    prop_oneof![
        4 => word().prop_map(Json::from),
        1 => (-5_i64..70_000).prop_map(Json::from),
        1 => any::<bool>().prop_map(Json::from),
        1 => Just(Json::Null),
    ]
    .boxed()
}

/// A document: nested lists and mappings, many of them empty or of one.
fn tree() -> BoxedStrategy<Json> {
    let inner = leaf().prop_recursive(5, 24, 4, |inner| {
        let map = prop::collection::btree_map(word(), inner.clone(), 0..4);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Json::Array),
            map.prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    });
    // Keys that have a shape of their own in KDL, and some that have none.
    let key = prop::sample::select(vec!["fleet", "hosts", "daemon", "depends_on", "run", "x", "-", "a b"]);
    prop::collection::btree_map(key, inner, 1..4)
        .prop_map(|map| Json::Object(map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()))
        .boxed()
}

fn source(form: Form, text: &str) -> Source {
    Source::new(if form == Form::Kdl { "x.kdl" } else { "x.yaml" }, text)
}

/// What must hold of every text that can be read; `Err` is what does not.
fn settles(form: Form, text: &str) -> Result<(), String> {
    let format = |form: Form, text: &str| {
        fleet::format_source(&source(form, text))
            .map_err(|e| format!("not read:\n{text}\n{:?}", miette::Report::new(e)))
    };
    let to = |form: Form, text: &str, into: Form| fleet::convert(&source(form, text), into).map(|done| done.text);
    let same = |what: &str, a: &str, b: &str| {
        if a == b { Ok(()) } else { Err(format!("{what}:\n--- of\n{text}\n--- first\n{a}\n--- then\n{b}")) }
    };
    let once = format(form, text)?;
    same("fmt", &once, &format(form, &once)?)?;
    // What cannot be written in the other form without loss is refused; nothing follows from that.
    let Ok(there) = to(form, text, form.other()) else { return Ok(()) };
    same("fmt of the other form", &there, &format(form.other(), &there)?)?;
    let back = to(form.other(), &there, form).map_err(|_| format!("no way back:\n{there}"))?;
    same("fmt of the way back", &back, &format(form, &back)?)?;
    let again = to(form, &back, form.other()).map_err(|_| format!("no way there again:\n{back}"))?;
    same("there, and there again", &there, &again)?;
    let twice = to(form.other(), &again, form).map_err(|_| format!("no way back again:\n{again}"))?;
    same("back, and back again", &back, &twice)
}

proptest! {
    #![proptest_config(properties(256))]

    #[test]
    fn yaml_settles_at_once(tree in tree(), choices in prop::collection::vec(any::<u8>(), 0..160)) {
        let text = yaml(&tree, &choices);
        settles(Form::Yaml, &text).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn kdl_settles_at_once(tree in tree(), choices in prop::collection::vec(any::<u8>(), 0..160)) {
        let text = kdl(&tree, &choices);
        settles(Form::Kdl, &text).map_err(TestCaseError::fail)?;
    }
}

/// What the tests above have found.
#[test]
fn what_did_not_settle_once_settles() {
    for text in [
        "a:\n  - x: |\n      a\n  -\n    - b: 1\n      c: 2\n",
        "daemon:\n  x:\n    - x: |\n        a\n        b\n    -\n      - \"-\": \"\"\n        x: \"\"\n",
    ] {
        settles(Form::Yaml, text).unwrap();
        let done = fleet::format("x.yaml", text).unwrap();
        assert_eq!(done, text, "it is laid out already");
    }
    let json = json!({ "daemon": { "x": [{ "x": "a\nb\n" }, [{ "-": "", "x": "" }]] } });
    settles(Form::Yaml, &serde_json::to_string_pretty(&json).unwrap()).unwrap();
}
