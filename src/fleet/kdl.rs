//! KDL 2 to the tree that YAML makes, too. This is the mapping, and [`super::kdl_write`] its other direction:
//!
//! ```text
//! KDL                                YAML
//! fleet shop                         fleet: shop              a node is a key, its argument the value
//! hosts { web; db { count 2 } }      hosts: { web: , db: { count: 2 } }     children are a mapping
//! db count=2 protect=#true           db: { count: 2, protect: true }        so are properties
//! depends_on db cache                depends_on: [db, cache]  several arguments are a list
//! hooks { - "a"; - run="b" }         hooks: ["a", { run: b }] so are children called `-`
//! (list)dns "1.1.1.1"                dns: ["1.1.1.1"]         a list of one, or of none
//! (map)labels { - 1 }                labels: { "-": 1 }       a mapping with a key `-`
//! n (plain)".5"                      n: .5                    what YAML reads as no text, and KDL cannot write
//! web            web {}              web:           web: {}   nothing; a mapping with nothing in it
//! ```
//! Where a fleet wants a list and nothing else, one argument is one, too: `depends_on db`.

use super::{
    node::{Entry, Node, Place, Scalar, Style, Value},
    parse::{MAX_DEPTH, MAX_VALUES, empty_file, too_deep, too_many},
    problem::{Code, Problem, Problems},
    shape::Shape,
};
use crate::kdl::{self, Flaw, Limits, Reading, Said, Token, Word};
use std::{collections::HashMap, ops::Range};

const LIMITS: Limits = Limits { depth: MAX_DEPTH, values: MAX_VALUES };

/// Reads a fleet file. `None`: the problems say why there is no tree.
pub(super) fn parse(file: u16, text: &str, problems: &mut Problems) -> Option<Node> {
    let mut root = document(file, text, problems)?;
    Shape::fleet().complete(&mut root);
    Some(root)
}

/// Reads any document, as it is written.
pub(super) fn document(file: u16, text: &str, problems: &mut Problems) -> Option<Node> {
    read(file, text, problems).map(|(root, _)| root)
}

/// Reads any document, and where the stretches are that `/-` leaves out.
pub(super) fn read(file: u16, text: &str, problems: &mut Problems) -> Option<(Node, Vec<Range<usize>>)> {
    let mut mapping = Mapping { file, text, problems: Problems::default() };
    let Reading { nodes, dropped, flaws } = kdl::read(text, LIMITS, |node| mapping.child(node));
    let found = !flaws.is_empty() || !mapping.problems.is_empty();
    for flaw in flaws {
        problems.push(told(file, flaw));
    }
    let Some(children) = nodes.filter(|children| !children.is_empty()) else {
        problems.append(mapping.problems);
        // What was passed over is more than nothing.
        if !found {
            problems.push(empty_file(file));
        }
        return None;
    };
    let root = mapping.map(children.into_iter().map(|child| child.entry).collect());
    problems.append(mapping.problems);
    Some((root, dropped))
}

/// What a text is made of, comments too; nothing when it cannot be read.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    kdl::tokens(text, LIMITS, &mut Vec::new()).unwrap_or_default()
}

/// What is wrong with the text, as a problem.
fn told(file: u16, flaw: Flaw) -> Problem {
    let place = |at: Range<usize>| Place::new(file, at.start, at.end);
    match flaw {
        Flaw::Syntax { at, message, label, help } => {
            Problem::new(Code::Syntax, message).at(place(at), label).help(help)
        }
        Flaw::TooDeep(at) => too_deep(place(at)),
        Flaw::TooMany(at) => too_many(place(at)),
    }
}

fn wrong(at: Place, message: impl Into<String>, label: &str, help: impl Into<String>) -> Problem {
    Problem::new(Code::Syntax, message).at(at, label).help(help)
}

/// A node that is read, and whether it can be an item of a list.
struct Child {
    entry: Entry,
    dash: bool,
}

/// What `(list)` and `(map)` say.
#[derive(Clone, Copy, PartialEq)]
enum Forced {
    List,
    Map,
}

/// Makes the tree of the nodes, each when it has been read.
struct Mapping<'a> {
    file: u16,
    text: &'a str,
    problems: Problems,
}

impl Mapping<'_> {
    fn place(&self, at: &Range<usize>) -> Place {
        Place::new(self.file, at.start, at.end)
    }

    fn unknown_annotation(&mut self, Word { text, at }: &Word, known: &str) {
        let problem = Problem::new(Code::UnknownTag, format!("the annotation `({text})` means nothing here"))
            .at(self.place(at), "not known")
            .help(format!("remove it; known here is {known}"));
        self.problems.push(problem);
    }

    fn forced(&mut self, annotation: Option<&Word>) -> Option<Forced> {
        let word = annotation?;
        match word.text.as_str() {
            "list" => Some(Forced::List),
            "map" => Some(Forced::Map),
            _ => {
                self.unknown_annotation(word, "`(list)` and `(map)` before a key");
                None
            }
        }
    }

    fn value(&mut self, value: kdl::Value) -> Node {
        let at = self.place(&value.at);
        let (text, style) = match value.said {
            Said::Text(text) => (text, Style::Quoted),
            Said::Number(text) => (text, Style::Plain),
            Said::Flag(flag) => (flag.to_string(), Style::Plain),
            Said::Null => ("null".to_owned(), Style::Plain),
            Said::NotFinite => {
                let message = format!("`{}` is no value of a fleet", &self.text[value.at]);
                self.problems.push(wrong(at, message, "no key wants this", "write a number"));
                (String::new(), Style::Unknown)
            }
            Said::Unknown => (String::new(), Style::Unknown),
        };
        let style = match value.annotation {
            Some(word) if word.text != "plain" => {
                self.unknown_annotation(&word, "`(plain)` before a value");
                style
            }
            Some(_) if style != Style::Unknown => Style::Plain,
            _ => style,
        };
        Node { at, value: Value::Scalar(Scalar { text, style }) }
    }

    /// The entry that a node makes.
    fn child(&mut self, node: kdl::Node<Child>) -> Child {
        let kind = self.forced(node.annotation.as_ref());
        let name = node.name.text;
        let name_at = self.place(&node.name.at);
        let dash = node.bare && name == "-";
        let mut arguments: Vec<Node> = node.arguments.into_iter().map(|value| self.value(value)).collect();
        let properties: Vec<Entry> = node
            .properties
            .into_iter()
            .map(|(key, value)| Entry { key_at: self.place(&key.at), key: key.text, node: self.value(value) })
            .collect();
        let has_children = node.block.is_some();
        let (children, block) = node.block.map_or((Vec::new(), name_at), |b| (b.children, self.place(&b.at)));
        let dashes = children.iter().filter(|child| child.dash).count();
        let items =
            kind != Some(Forced::Map) && (kind == Some(Forced::List) || (dashes > 0 && dashes == children.len()));
        if let (false, true, Some(argument)) = (items, has_children || !properties.is_empty(), arguments.first()) {
            let first = properties.first().map(|e| e.key_at);
            let first = first.or(children.iter().find(|c| !c.dash).map(|c| c.entry.key_at)).unwrap_or(block);
            let help = "a key has a value, or keys with values: write `driver nspawn` into the block if that is meant";
            let problem = wrong(first, format!("`{name}` has a value and keys"), "a key of it", help);
            self.problems.push(problem.at(argument.at, "a value of it"));
        }
        let node = if items {
            self.list(&name, arguments, &properties, children, block)
        } else if kind == Some(Forced::Map) || has_children || !properties.is_empty() {
            if dashes > 0
                && kind != Some(Forced::Map)
                && let Some(item) = children.iter().find(|c| c.dash)
            {
                let problem = wrong(
                    item.entry.key_at,
                    format!("`{name}` has items and keys"),
                    "an item of a list",
                    "call all of them `-`, or none; for a key of that name write `(map)` before the key of the block",
                );
                self.problems.push(problem);
            }
            let at = properties
                .iter()
                .map(|e| e.key_at)
                .chain(children.iter().map(|c| c.entry.key_at))
                .next()
                .unwrap_or(block);
            let entries = properties.into_iter().chain(children.into_iter().map(|c| c.entry)).collect();
            Node { at, ..self.map(entries) }
        } else {
            match arguments.len() {
                0 => Node { at: name_at, value: Value::Scalar(Scalar { text: String::new(), style: Style::Plain }) },
                1 => arguments.remove(0),
                n => {
                    let at = Place::new(self.file, arguments[0].at.start(), arguments[n - 1].at.end());
                    Node { at, value: Value::List(arguments) }
                }
            }
        };
        Child { entry: Entry { key: name, key_at: name_at, node }, dash }
    }

    fn list(
        &mut self,
        name: &str,
        arguments: Vec<Node>,
        properties: &[Entry],
        children: Vec<Child>,
        block: Place,
    ) -> Node {
        let strange =
            properties.first().map(|e| e.key_at).or(children.iter().find(|c| !c.dash).map(|c| c.entry.key_at));
        if let (Some(at), true) = (strange, arguments.is_empty()) {
            let problem = wrong(
                at,
                format!("`{name}` is a list, and this is no item"),
                "a key",
                "write items as values on the line, or as `- …` in the block",
            );
            self.problems.push(problem);
        }
        let items: Vec<Node> = arguments.into_iter().chain(children.into_iter().map(|c| c.entry.node)).collect();
        Node { at: items.first().map_or(block, |first| first.at), value: Value::List(items) }
    }

    /// A mapping; a key that is there twice is refused.
    fn map(&mut self, entries: Vec<Entry>) -> Node {
        let mut first: HashMap<&str, Place> = HashMap::with_capacity(entries.len());
        let mut again = Vec::new();
        for (n, entry) in entries.iter().enumerate() {
            if let Some(before) = first.get(entry.key.as_str()) {
                let problem = Problem::new(Code::DuplicateKey, format!("`{}` is here twice", entry.key))
                    .at(entry.key_at, "again here")
                    .at(*before, "first here")
                    .help("rename or remove one: only one of them could count; items of a list are called `-`");
                self.problems.push(problem);
                again.push(n);
            } else {
                first.insert(&entry.key, entry.key_at);
            }
        }
        let at = entries.first().map_or(Place::new(self.file, 0, 0), |entry| entry.key_at);
        let mut n = 0;
        let entries = entries.into_iter().filter(|_| {
            n += 1;
            again.binary_search(&(n - 1)).is_err()
        });
        Node { at, value: Value::Map(entries.collect()) }
    }
}

#[cfg(test)]
#[path = "kdl_tests.rs"]
mod tests;
