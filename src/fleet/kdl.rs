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
    kdl_token::{Kind, Token, tokens},
    node::{Entry, Node, Place, Scalar, Style, Value},
    problem::{Code, Problem, Problems},
    shape::Shape,
};
use std::{collections::HashMap, ops::Range};

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
    let before = problems.len();
    let tokens: Vec<Token> = tokens(file, text, problems)?.into_iter().filter(|t| t.kind != Kind::Comment).collect();
    let mut parser = Parser { file, text, tokens, at: 0, dropped: Vec::new(), problems };
    let children = match parser.nodes(0) {
        Ok(children) => children,
        Err(problem) => {
            parser.problems.push(*problem);
            return None;
        }
    };
    if children.is_empty() {
        // What was passed over is more than nothing.
        if parser.problems.len() == before {
            parser.problems.push(super::parse::empty_file(file));
        }
        return None;
    }
    let entries = children.into_iter().map(|child| child.entry).collect();
    let root = parser.map(entries);
    Some((root, parser.dropped))
}

/// Values and keys stand apart.
fn no_blank(at: Place, help: &str) -> Problem {
    Parser::wrong(at, "a blank is missing before this", "it follows the text before at once", help)
}

/// A node that is read, and whether it can be an item of a list.
struct Child {
    entry: Entry,
    dash: bool,
}

/// What is known of a node while it is read.
struct Open {
    name: Name,
    kind: Option<Forced>,
    arguments: Vec<Node>,
    properties: Vec<Entry>,
    /// And where they begin and end.
    children: Option<(Vec<Child>, usize, usize)>,
}

struct Name {
    text: String,
    at: Place,
    bare: bool,
}

/// What `(list)` and `(map)` say.
#[derive(Clone, Copy, PartialEq)]
enum Forced {
    List,
    Map,
}

struct Parser<'a> {
    file: u16,
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    /// What `/-` leaves out.
    dropped: Vec<Range<usize>>,
    problems: &'a mut Problems,
}

type Step<T> = Result<T, Box<Problem>>;

impl Parser<'_> {
    fn kind(&self) -> Option<&Kind> {
        self.tokens.get(self.at).map(|t| &t.kind)
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.tokens.get_mut(self.at)?;
        self.at += 1;
        // The text is moved: nothing looks at a token that was taken, but for its place.
        Some(Token { kind: std::mem::replace(&mut token.kind, Kind::Unknown), ..*token })
    }

    fn place(&self, start: usize, end: usize) -> Place {
        Place::new(self.file, start, end)
    }

    fn here(&self) -> Place {
        let end = self.text.len();
        self.tokens.get(self.at).map_or(self.place(end, end), |t| self.place(t.start, t.end))
    }

    fn wrong(at: Place, message: impl Into<String>, label: &str, help: impl Into<String>) -> Problem {
        Problem::new(Code::Syntax, message).at(at, label).help(help)
    }

    fn skip(&mut self, what: impl Fn(&Kind) -> bool) {
        while self.kind().is_some_and(&what) {
            self.at += 1;
        }
    }

    fn skip_lines(&mut self) {
        self.skip(|k| matches!(k, Kind::Newline));
    }

    /// Nodes up to the end of the block, or of the text.
    fn nodes(&mut self, depth: usize) -> Step<Vec<Child>> {
        let mut children = Vec::new();
        loop {
            self.skip(|k| matches!(k, Kind::Newline | Kind::Semicolon));
            match self.kind() {
                None => return Ok(children),
                Some(Kind::Close) if depth > 0 => return Ok(children),
                Some(Kind::Close) => {
                    let help = "remove it, or look for a `}` too many above";
                    return Err(Box::new(Self::wrong(self.here(), "this `}` closes nothing", "no `{` is open", help)));
                }
                Some(Kind::Slashdash) => {
                    let from = self.here().start();
                    self.at += 1;
                    self.skip_lines();
                    self.node(depth)?;
                    self.dropped.push(from..self.tokens[self.at - 1].end);
                }
                Some(_) => {
                    let child = self.node(depth)?;
                    children.push(child);
                }
            }
        }
    }

    fn annotation(&mut self) -> Step<Option<(String, Place)>> {
        if self.kind() != Some(&Kind::OpenType) {
            return Ok(None);
        }
        let start = self.here();
        self.at += 1;
        let word = self.take();
        let text = word.as_ref().and_then(|word| self.string(word));
        let (Some(text), Some(Kind::CloseType)) = (text, self.kind()) else {
            let help = "write one word in it, as `(list)depends_on db`; put a text with brackets in quotes";
            return Err(Box::new(Self::wrong(start, "this annotation is not closed", "it begins here", help)));
        };
        let end = self.here().end();
        self.at += 1;
        Ok(Some((text, self.place(start.start(), end))))
    }

    /// What a token says as a string.
    fn string(&self, token: &Token) -> Option<String> {
        match &token.kind {
            Kind::Text(text) => Some(text.clone()),
            // The kind of a bare word was taken, too: its text is the word.
            Kind::Bare => Some(self.text[token.start..token.end].to_owned()),
            _ => None,
        }
    }

    fn unknown_annotation(&mut self, name: &str, at: Place, known: &str) {
        let problem = Problem::new(Code::UnknownTag, format!("the annotation `({name})` means nothing here"))
            .at(at, "not known")
            .help(format!("remove it; known here is {known}"));
        self.problems.push(problem);
    }

    fn node(&mut self, depth: usize) -> Step<Child> {
        let annotation = self.annotation()?;
        let kind = match &annotation {
            Some((name, _)) if name == "list" => Some(Forced::List),
            Some((name, _)) if name == "map" => Some(Forced::Map),
            Some((name, at)) => {
                self.unknown_annotation(name, *at, "`(list)` and `(map)` before a key");
                None
            }
            None => None,
        };
        let at = self.here();
        let name = self.take();
        let Some(text) = name.as_ref().and_then(|name| self.string(name)) else {
            let (message, label, help) = match name.map(|name| name.kind) {
                Some(Kind::Open) => (
                    "there is no key before this `{`",
                    "what is this block?",
                    "write the key on the same line, as `hosts {`",
                ),
                Some(Kind::Equals) => (
                    "there is no key before this `=`",
                    "what is given this value?",
                    "a property stands behind a key on the same line: `web count=3`",
                ),
                _ => (
                    "a key must be a text",
                    "this is none",
                    "begin every line with a key; put one that begins with a digit in quotes",
                ),
            };
            return Err(Box::new(Self::wrong(at, message, label, help)));
        };
        let bare = !self.text[at.start()..].starts_with(['"', '#']);
        let mut open =
            Open { name: Name { text, at, bare }, kind, arguments: Vec::new(), properties: Vec::new(), children: None };
        self.rest_of_node(&mut open, depth)?;
        Ok(self.close(open))
    }

    /// Arguments, properties and children.
    fn rest_of_node(&mut self, open: &mut Open, depth: usize) -> Step<()> {
        let mut last = open.name.at.end();
        loop {
            let out = self.kind() == Some(&Kind::Slashdash);
            let at = self.here();
            if at.start() == last && out {
                return Err(Box::new(no_blank(at, "put a blank before `/-`")));
            }
            let from = at.start();
            if out {
                self.at += 1;
                self.skip_lines();
            }
            let at = self.here();
            match self.kind() {
                None | Some(Kind::Newline | Kind::Semicolon | Kind::Close) if !out => return Ok(()),
                Some(Kind::Open) => {
                    self.at += 1;
                    let children = self.nodes(depth + 1)?;
                    if self.kind() != Some(&Kind::Close) {
                        let help = "close it with `}`; look at the blocks inside it, too";
                        return Err(Box::new(Self::wrong(at, "this `{` is not closed", "the block begins here", help)));
                    }
                    let end = self.here().end();
                    self.at += 1;
                    last = end;
                    if !out && open.children.replace((children, at.start(), end)).is_some() {
                        let help = "put all of it into one block";
                        return Err(Box::new(Self::wrong(at, "a key has one block", "a second block", help)));
                    }
                }
                Some(_) if at.start() == last && !out => {
                    let help = if self.kind() == Some(&Kind::Equals) {
                        "write a key and its value with a blank between: `driver nspawn`"
                    } else {
                        "put a blank between values, and before `{`"
                    };
                    return Err(Box::new(no_blank(at, help)));
                }
                Some(_) if open.children.is_some() && !out => {
                    let help = "break the line after `}`, or write `;`";
                    return Err(Box::new(Self::wrong(
                        at,
                        "nothing can follow a block on its line",
                        "more follows here",
                        help,
                    )));
                }
                _ => {
                    self.entry(open, out)?;
                    last = self.tokens[self.at - 1].end;
                }
            }
            if out {
                self.dropped.push(from..last);
            }
        }
    }

    /// An argument or a property; nothing of it counts when it is `out`.
    fn entry(&mut self, open: &mut Open, out: bool) -> Step<()> {
        let start = self.at;
        let annotated = self.kind() == Some(&Kind::OpenType);
        if !annotated && self.tokens.get(self.at + 1).is_some_and(|t| t.kind == Kind::Equals) {
            let key_at = self.here();
            let key = self.take().and_then(|token| self.string(&token));
            self.at += 1;
            let Some(key) = key else {
                let help = "write a key before `=`; put one that begins with a digit in quotes";
                return Err(Box::new(Self::wrong(
                    key_at,
                    "the key of a property must be a text",
                    "this is none",
                    help,
                )));
            };
            let node = self.value()?;
            if !out {
                open.properties.push(Entry { key, key_at, node });
            }
            return Ok(());
        }
        let node = self.value()?;
        debug_assert!(self.at > start, "a value has tokens");
        if !out {
            open.arguments.push(node);
        }
        Ok(())
    }

    fn value(&mut self) -> Step<Node> {
        let annotation = self.annotation()?;
        let at = self.here();
        let token = self.take();
        let source = &self.text[at.start()..at.end()];
        let (text, style) = match token.map(|t| t.kind) {
            Some(Kind::Text(text)) => (text, Style::Quoted),
            Some(Kind::Bare) => (source.to_owned(), Style::Quoted),
            Some(Kind::Number(text)) => (text, Style::Plain),
            Some(Kind::Flag | Kind::Null) => (source[1..].to_owned(), Style::Plain),
            Some(Kind::Unknown) => (String::new(), Style::Unknown),
            _ => {
                let help = "write a value: a text, a number, `#true`, `#false` or `#null`";
                return Err(Box::new(Self::wrong(at, "a value is missing here", "this is none", help)));
            }
        };
        let style = match annotation {
            Some((name, _)) if name == "plain" => Style::Plain,
            Some((name, at)) => {
                self.unknown_annotation(&name, at, "`(plain)` before a value");
                style
            }
            None => style,
        };
        Ok(Node { at, value: Value::Scalar(Scalar { text, style }) })
    }

    /// The entry that a node makes.
    fn close(&mut self, open: Open) -> Child {
        let Open { name, kind, mut arguments, properties, children } = open;
        let dash = name.bare && name.text == "-";
        let has_children = children.is_some();
        let (children, block) = children.map_or((Vec::new(), name.at), |(c, start, end)| (c, self.place(start, end)));
        let dashes = children.iter().filter(|child| child.dash).count();
        let items =
            kind != Some(Forced::Map) && (kind == Some(Forced::List) || (dashes > 0 && dashes == children.len()));
        if let (false, true, Some(argument)) = (items, has_children || !properties.is_empty(), arguments.first()) {
            let first = properties.first().map(|e| e.key_at);
            let first = first.or(children.iter().find(|c| !c.dash).map(|c| c.entry.key_at)).unwrap_or(block);
            let help = "a key has a value, or keys with values: write `driver nspawn` into the block if that is meant";
            let problem = Self::wrong(first, format!("`{}` has a value and keys", name.text), "a key of it", help);
            self.problems.push(problem.at(argument.at, "a value of it"));
        }
        let node = if items {
            self.list(&name, arguments, &properties, children, block)
        } else if kind == Some(Forced::Map) || has_children || !properties.is_empty() {
            if dashes > 0
                && kind != Some(Forced::Map)
                && let Some(item) = children.iter().find(|c| c.dash)
            {
                let problem = Self::wrong(
                    item.entry.key_at,
                    format!("`{}` has items and keys", name.text),
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
                0 => Node { at: name.at, value: Value::Scalar(Scalar { text: String::new(), style: Style::Plain }) },
                1 => arguments.remove(0),
                n => {
                    let at = self.place(arguments[0].at.start(), arguments[n - 1].at.end());
                    Node { at, value: Value::List(arguments) }
                }
            }
        };
        Child { entry: Entry { key: name.text, key_at: name.at, node }, dash }
    }

    fn list(
        &mut self,
        name: &Name,
        arguments: Vec<Node>,
        properties: &[Entry],
        children: Vec<Child>,
        block: Place,
    ) -> Node {
        let strange =
            properties.first().map(|e| e.key_at).or(children.iter().find(|c| !c.dash).map(|c| c.entry.key_at));
        if let (Some(at), true) = (strange, arguments.is_empty()) {
            let problem = Self::wrong(
                at,
                format!("`{}` is a list, and this is no item", name.text),
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
        let at = entries.first().map_or(self.place(0, 0), |entry| entry.key_at);
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
