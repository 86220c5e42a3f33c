//! YAML text to a tree of [`Node`]s. Alone in knowing YAML: another format would make the same tree.
//!
//! One parser gives values and places, so that both cannot disagree. It resolves aliases and merge keys,
//! refuses a key that is there twice, and bounds what a small file can unfold into.

use super::{
    node::{Entry, Node, Place, Scalar, Style, Value},
    places::Places,
    problem::{Code, Problem, Problems},
};
use crate::panicked::{caught, joined};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};
use std::{
    collections::{HashMap, HashSet},
    sync::mpsc::{SyncSender, sync_channel},
};

/// A fleet file is six deep; daemon.json a few more.
pub(super) const MAX_DEPTH: usize = 64;
/// Values that aliases may copy: 10,000 hosts with ten options each, five times over.
const MAX_COPIED: usize = 500_000;
/// Values of a file: 100,000 hosts with a dozen options each.
pub(super) const MAX_VALUES: usize = 2_000_000;

/// Bytes of a text that is worth a second thread.
const LARGE: usize = 1 << 18;
/// What the parser found, many at once.
const BATCH: usize = 4096;

type Found<'a> = Result<(Event<'a>, Span), ScanError>;

/// Reads the only document of a text. `None`: the problems say why there is no tree. `file` is for places.
pub(super) fn parse(file: u16, text: &str, problems: &mut Problems) -> Option<Node> {
    let offset = text.len() - text.trim_start_matches('\u{feff}').len();
    let parser = Parser::new_from_str(&text[offset..]);
    if text.len() < LARGE {
        return build(file, text, offset, parser, problems);
    }
    // Half of the work is the parser's; half a file must not pass for a whole one.
    std::thread::scope(|scope| {
        let (send, received) = sync_channel(8);
        let reading = scope.spawn(move || caught(|| pass_on(parser, &send)));
        let built = build(file, text, offset, received.into_iter().flatten(), problems);
        joined(reading.join());
        built
    })
}

/// Sends what a parser finds, until the first error, or until the receiver has gone.
fn pass_on<'a>(parser: impl Iterator<Item = Found<'a>>, to: &SyncSender<Vec<Found<'a>>>) {
    let mut batch = Vec::with_capacity(BATCH);
    for found in parser {
        let failed = found.is_err();
        batch.push(found);
        if failed {
            break;
        }
        if batch.len() == BATCH && to.send(std::mem::replace(&mut batch, Vec::with_capacity(BATCH))).is_err() {
            return;
        }
    }
    // If the receiver has gone, it is not missed.
    let _ = to.send(batch);
}

fn build<'a>(
    file: u16,
    text: &str,
    offset: usize,
    events: impl Iterator<Item = Found<'a>>,
    problems: &mut Problems,
) -> Option<Node> {
    let places = Places::new(file, text, offset);
    let mut builder = Builder {
        places: &places,
        text,
        open: Vec::new(),
        anchors: HashMap::new(),
        copied: 0,
        anchored: 0,
        values: 0,
        last: 0,
        problems,
    };
    let mut root = None;
    let mut documents = 0;
    for event in events {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                builder.problems.push(syntax(&error, &places));
                return None;
            }
        };
        match event {
            Event::DocumentStart(_) if documents > 0 => {
                let problem = Problem::new(Code::SeveralDocuments, "there is a second document")
                    .at(places.of(span), "a new document starts here")
                    .help("a fleet file holds one fleet: put the other into a file of its own");
                builder.problems.push(problem);
                return None;
            }
            Event::DocumentStart(_) => documents += 1,
            event => match builder.count(&event, span).and_then(|()| builder.take(event, span)) {
                Ok(Some(done)) => root = Some(done),
                Ok(None) => {}
                Err(problem) => {
                    builder.problems.push(problem);
                    return None;
                }
            },
        }
    }
    if root.as_ref().is_none_or(Node::is_null) {
        builder.problems.push(empty_file(file));
        return None;
    }
    root
}

/// There is nothing in a file but comments.
pub(super) fn empty_file(file: u16) -> Problem {
    if file > 0 {
        return Problem::new(Code::Empty, "this file is empty")
            .at(Place::new(file, 0, 0), "nothing to lay over the files before it")
            .help("leave the file out");
    }
    Problem::new(Code::Empty, "the fleet file is empty")
        .help("a fleet needs a name and hosts, for example:\nfleet: shop\nhosts: { web: { driver: nspawn } }")
}

/// Refuses a file of more values than any fleet has.
fn refuse_many(values: usize, at: Place) -> Result<(), Box<Problem>> {
    if values <= MAX_VALUES { Ok(()) } else { Err(Box::new(too_many(at))) }
}

pub(super) fn too_many(at: Place) -> Problem {
    Problem::new(Code::TooLarge, format!("the file has more than {MAX_VALUES} values"))
        .at(at, "here it becomes too many")
        .help("use `count` for hosts that are alike, or split the fleet")
}

fn syntax(error: &ScanError, places: &Places<'_>) -> Problem {
    let at = places.byte(error.marker().index());
    if error.info().contains("recursion limit") {
        return too_deep(places.between(at, places.byte(error.marker().index() + 1)));
    }
    Problem::new(Code::Syntax, format!("this is not YAML: {}", error.info()))
        .at(places.between(at, places.byte(error.marker().index() + 1)), "it cannot be read from here")
        .help("look at the indentation, quotes and brackets here and on the line before")
}

pub(super) fn too_deep(at: Place) -> Problem {
    Problem::new(Code::TooDeep, format!("this is nested more than {MAX_DEPTH} deep"))
        .at(at, "one too many")
        .help("a fleet file is about six levels deep: look for brackets that are not closed")
}

/// Whether a text that parses has aliases.
pub(super) fn has_aliases(text: &str) -> bool {
    Parser::new_from_str(text).map_while(Result::ok).any(|(event, _)| matches!(event, Event::Alias(_)))
}

/// What stands in a text, in order, for code that moves it around without changing it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Token {
    /// A scalar in one of the inline styles, or an alias.
    Scalar,
    /// A scalar after `|` or `>`.
    Block,
    /// Begins a list.
    List,
    /// Begins a mapping.
    Map,
    /// Ends what was begun last.
    Close,
}

/// The tokens of a text that parses, and their places. What has no characters of its own (blocks, empty
/// scalars) has a length of zero.
pub(super) fn tokens(text: &str) -> Vec<(Token, Place)> {
    let places = Places::new(0, text, 0);
    let mut last = 0;
    let mut flows = Vec::new();
    let mut tokens = Vec::new();
    for (event, span) in Parser::new_from_str(text).map_while(Result::ok) {
        let place = places.of(span);
        let token = match event {
            Event::Scalar(_, ScalarStyle::Literal | ScalarStyle::Folded, ..) => Token::Block,
            Event::Scalar(..) | Event::Alias(_) => Token::Scalar,
            Event::SequenceStart(..) => Token::List,
            Event::MappingStart(..) => Token::Map,
            Event::SequenceEnd | Event::MappingEnd => Token::Close,
            _ => continue,
        };
        let place = match token {
            Token::List | Token::Map => {
                let flow = text[place.start()..].starts_with(['{', '[']);
                flows.push(flow);
                place.with_len(usize::from(flow))
            }
            Token::Close if flows.pop().unwrap_or_default() => {
                let end = closing(text, last);
                places.between(end - 1, end)
            }
            Token::Close => place.with_len(0),
            Token::Scalar => place,
            // Blanks and empty lines at its end may be part of it.
            Token::Block => places.between(place.start(), places.byte(span.end.index())),
        };
        if !place.is_empty() {
            last = place.end();
        }
        tokens.push((token, place));
    }
    tokens
}

/// Where the bracket ends that closes a collection whose last token ends at `last`: the parser's mark for it may
/// be off by the blanks before. Between them are only blanks, commas and comments.
fn closing(text: &str, last: usize) -> usize {
    let mut comment = false;
    let mut before = ' ';
    for (n, c) in text[last..].char_indices() {
        match c {
            '\n' => comment = false,
            '#' if before.is_whitespace() => comment = true,
            '}' | ']' if !comment => return last + n + 1,
            _ => {}
        }
        before = c;
    }
    text.len()
}

/// A collection that is not closed yet.
struct Open {
    anchor: usize,
    start: Place,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        merges: Vec<Node>,
        key: Option<Key>,
        /// Whether a key was no text.
        bad: bool,
    },
}

struct Key {
    text: String,
    at: Place,
    merge: bool,
}

struct Builder<'a> {
    places: &'a Places<'a>,
    text: &'a str,
    open: Vec<Open>,
    /// `None`: the anchor's value is not complete yet.
    anchors: HashMap<usize, Option<Node>>,
    copied: usize,
    /// Values that anchors keep.
    anchored: usize,
    values: usize,
    /// Where the last token ends that has characters of its own.
    last: usize,
    problems: &'a mut Problems,
}

impl Builder<'_> {
    fn count(&mut self, event: &Event<'_>, span: Span) -> Result<(), Problem> {
        self.values +=
            usize::from(matches!(event, Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..)));
        // Keys are scalars, too.
        if self.values > 2 * MAX_VALUES {
            return refuse_many(self.values, self.places.of(span)).map_err(|problem| *problem);
        }
        Ok(())
    }

    /// Takes one event. Gives the root when it is complete.
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<Option<Node>, Problem> {
        let place = self.places.of(span);
        if matches!(event, Event::Scalar(..) | Event::Alias(_)) && !place.is_empty() {
            self.last = place.end();
        }
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let style = self.style(style, tag.as_deref(), place);
                if style != Style::Quoted && text.contains('\0') {
                    return Err(Problem::new(Code::Syntax, "a null byte is no text").at(place, ""));
                }
                // A copy: the parser's own text has room for much more, and a tree of them takes five times the memory.
                let text = text.as_ref().to_owned();
                let node = Node { at: place, value: Value::Scalar(Scalar { text, style }) };
                Ok(self.place(node, anchor))
            }
            Event::Alias(id) => {
                let node = self.copy(id, place)?;
                Ok(self.place(node, 0))
            }
            Event::SequenceStart(anchor, tag) => {
                self.begin(OpenKind::List(Vec::new()), anchor, tag.as_deref(), place)?;
                Ok(None)
            }
            Event::MappingStart(anchor, tag) => {
                let kind = OpenKind::Map { entries: Vec::new(), merges: Vec::new(), key: None, bad: false };
                self.begin(kind, anchor, tag.as_deref(), place)?;
                Ok(None)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let open = self.open.pop().expect("the parser ends what it began");
                let (anchor, node) = (open.anchor, self.close(open));
                Ok(self.place(node, anchor))
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Ok(None)
            }
        }
    }

    fn begin(&mut self, kind: OpenKind, anchor: usize, tag: Option<&Tag>, start: Place) -> Result<(), Problem> {
        if let (Some(tag), false) = (tag, matches!(tag, Some(t) if t.is_yaml_core_schema())) {
            self.unknown_tag(tag, start);
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(start.with_len(1)));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, None);
        }
        self.open.push(Open { anchor, start, kind });
        Ok(())
    }

    fn style(&mut self, style: ScalarStyle, tag: Option<&Tag>, place: Place) -> Style {
        match tag {
            Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => return Style::Quoted,
            Some(tag) if !tag.is_yaml_core_schema() => self.unknown_tag(tag, place),
            Some(_) | None => {}
        }
        if style == ScalarStyle::Plain { Style::Plain } else { Style::Quoted }
    }

    fn unknown_tag(&mut self, tag: &Tag, place: Place) {
        let problem = Problem::new(Code::UnknownTag, format!("the tag `{tag}` means nothing here"))
            .at(place, "this value has the tag")
            .help("remove the tag; a variable is written `${var.name}`, the environment `${env.NAME}`");
        self.problems.push(problem);
    }

    /// What an alias stands for.
    fn copy(&mut self, id: usize, place: Place) -> Result<Node, Problem> {
        if self.anchored > MAX_VALUES {
            return Err(Problem::new(Code::TooLarge, format!("anchors hold more than {MAX_VALUES} values"))
                .at(place, "used here")
                .help("put anchors on small values, not around each other"));
        }
        let Some(Some(node)) = self.anchors.get(&id) else {
            return Err(Problem::new(Code::BadAlias, "this alias stands for something that contains it")
                .at(place, "it never ends")
                .help("write out what is meant instead of the alias"));
        };
        self.copied += node.size();
        if self.copied > MAX_COPIED {
            return Err(Problem::new(Code::TooLarge, format!("aliases copy more than {MAX_COPIED} values"))
                .at(place, "here it becomes too much")
                .help("use fewer aliases, or `count` for hosts that are alike"));
        }
        Ok(node.clone())
    }

    /// Puts a complete value where it belongs; gives it back when it is the root.
    fn place(&mut self, mut node: Node, anchor: usize) -> Option<Node> {
        if anchor != 0 {
            self.anchored += node.size();
            // Anchors inside each other would keep the same values again and again. Without one, its aliases are refused.
            let kept = (self.anchored <= MAX_VALUES).then(|| node.clone());
            self.anchors.insert(anchor, kept);
        }
        let Some(open) = self.open.last_mut() else {
            return Some(node);
        };
        match &mut open.kind {
            OpenKind::List(items) => items.push(node),
            OpenKind::Map { entries, merges, key, bad } => match key.take() {
                None => *key = Some(read_key(node, self.problems, bad)),
                Some(Key { merge: true, .. }) => merges.push(node),
                Some(Key { text, at, merge: false }) => {
                    if node.at.is_empty() {
                        node.at = at;
                    }
                    entries.push(Entry { key: text, key_at: at, node });
                }
            },
        }
        None
    }

    fn close(&mut self, open: Open) -> Node {
        let flow = self.text[open.start.start()..].starts_with(['{', '[']);
        let end = if flow { closing(self.text, self.last.max(open.start.start() + 1)) } else { 0 };
        self.last = self.last.max(end);
        match open.kind {
            OpenKind::List(items) => {
                let at = items.first().map_or(open.start, |first| first.at);
                Node { at: whole(flow, open.start, end, at), value: Value::List(items) }
            }
            OpenKind::Map { mut entries, merges, key: _, bad } => {
                let at = whole(flow, open.start, end, entries.first().map_or(open.start, |first| first.key_at));
                if bad {
                    return Node { at, value: Value::Scalar(Scalar { text: String::new(), style: Style::Unknown }) };
                }
                self.refuse_duplicates(&mut entries);
                for merge in merges {
                    self.merge(&mut entries, merge);
                }
                Node { at, value: Value::Map(entries) }
            }
        }
    }

    fn refuse_duplicates(&mut self, entries: &mut Vec<Entry>) {
        let mut order: Vec<usize> = (0..entries.len()).collect();
        order.sort_by(|&a, &b| entries[a].key.cmp(&entries[b].key));
        // Equal keys stand in file order, for the sort is stable.
        let mut again = Vec::new();
        for same in order.chunk_by(|&a, &b| entries[a].key == entries[b].key) {
            for &n in &same[1..] {
                let problem = Problem::new(Code::DuplicateKey, format!("`{}` is here twice", entries[n].key))
                    .at(entries[n].key_at, "again here")
                    .at(entries[same[0]].key_at, "first here")
                    .help("rename or remove one: only one of them could count");
                self.problems.push(problem);
                again.push(n);
            }
        }
        if !again.is_empty() {
            again.sort_unstable();
            let mut n = 0;
            entries.retain(|_| {
                n += 1;
                again.binary_search(&(n - 1)).is_err()
            });
        }
    }

    /// `<<: *a` and `<<: [*a, *b]`: what is already there counts, then the first that has a key.
    fn merge(&mut self, entries: &mut Vec<Entry>, from: Node) {
        let at = from.at;
        match from.value {
            Value::Map(more) => {
                let there: HashSet<String> = entries.iter().map(|e| e.key.clone()).collect();
                entries.extend(more.into_iter().filter(|entry| !there.contains(&entry.key)));
            }
            Value::List(list) if list.iter().all(|n| matches!(n.value, Value::Map(_))) => {
                for node in list {
                    self.merge(entries, node);
                }
            }
            Value::List(_) | Value::Scalar(_) => {
                let problem = Problem::new(Code::BadAlias, "`<<` can only merge mappings")
                    .at(at, "this is not a mapping")
                    .help("write `<<: *name` or `<<: [*one, *two]`, where each name anchors a mapping");
                self.problems.push(problem);
            }
        }
    }
}

/// The place of a collection: all of it between brackets, else where it begins, since a label under many
/// lines is no help.
fn whole(flow: bool, start: Place, end: usize, first: Place) -> Place {
    if flow { start.with_len(end.saturating_sub(start.start())) } else { first }
}

fn read_key(node: Node, problems: &mut Problems, bad: &mut bool) -> Key {
    let at = node.at;
    match node.value {
        Value::Scalar(Scalar { text, style }) => {
            let merge = style == Style::Plain && text == "<<";
            Key { text, at, merge }
        }
        Value::List(_) | Value::Map(_) => {
            let problem = Problem::new(Code::BadKey, "a key must be a text")
                .at(at, "this is a list or mapping")
                .help("put values that hold `{` or `[` in quotes, as in `\"${var.name}\"`");
            problems.push(problem);
            *bad = true;
            Key { text: String::new(), at, merge: false }
        }
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
