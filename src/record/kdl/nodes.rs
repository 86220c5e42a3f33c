//! Reading KDL 2 into nodes that know where they stand.
//!
//! The `kdl` crate decides what is KDL and what is wrong with it. It takes more than a millisecond for a
//! record, though, and a store may hold a thousand, so the plain form in which records were written is read
//! by hand first; whatever is not exactly of that form goes to the crate. A property test holds that
//! both read the same.

use crate::{
    panicked::{caught, joined},
    record::codec::CodecError,
};
use ::kdl::{KdlDocument, KdlNode, KdlValue};
use serde_json::{Map, Number, Value};

/// One node of a text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    ty: Option<String>,
    name: String,
    values: Vec<KdlValue>,
    properties: bool,
    children: Vec<Node>,
    /// Byte offset of the name.
    at: usize,
}

impl Node {
    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The nodes inside; none when there is no block.
    pub(super) fn inside(&self) -> &[Self] {
        &self.children
    }
}

/// Parses a text.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, CodecError> {
    Quick { text, at: 0, depth: 0 }.nodes().map_or_else(|| parse_any(text), Ok)
}

/// More blocks and comments in a text are no record. The crate calls itself for each one within another, and a thread
/// has only so much stack.
const BLOCKS: usize = 512;
/// Enough for that many, one within another, in a build without optimisation.
const STACK: usize = 64 << 20;

fn parse_any(text: &str) -> Result<Vec<Node>, CodecError> {
    let mut openings = text.match_indices('{').chain(text.match_indices("/*"));
    if let Some((at, _)) = openings.nth(BLOCKS) {
        return Err(CodecError::at(text, at, format!("no record has more than {BLOCKS} blocks")));
    }
    std::thread::scope(|scope| {
        let reader = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || caught(|| read(text)));
        match reader.map(std::thread::ScopedJoinHandle::join) {
            Ok(read) => joined(read),
            Err(e) => Err(CodecError::at(text, 0, format!("no thread to read it with: {e}"))),
        }
    })
}

/// What the crate makes of it.
fn read(text: &str) -> Result<Vec<Node>, CodecError> {
    match KdlDocument::parse_v2(text) {
        Ok(document) => Ok(document.nodes().iter().map(from_kdl).collect()),
        Err(e) => {
            let Some(first) = e.diagnostics.first() else {
                return Err(CodecError::at(text, 0, "this is not KDL"));
            };
            let why = first.message.as_deref().or(first.label.as_deref()).unwrap_or("this is not KDL");
            Err(CodecError::at(text, first.span.offset(), lower_first(why)))
        }
    }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
}

fn from_kdl(node: &KdlNode) -> Node {
    Node {
        ty: node.ty().map(|t| t.value().to_owned()),
        name: node.name().value().to_owned(),
        values: node.entries().iter().map(|e| e.value().clone()).collect(),
        properties: node.entries().iter().any(|e| e.name().is_some()),
        children: node.children().map(|d| d.nodes().iter().map(from_kdl).collect()).unwrap_or_default(),
        // A node's span may begin with the blanks and comments before it; its name's does not.
        at: node.name().span().offset(),
    }
}

/// Reads the form the writer writes; `None` at the first thing it does not know.
struct Quick<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl Quick<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek() == Some(byte)).then(|| self.at += 1)
    }

    fn blanks(&mut self) {
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
    }

    /// Nodes up to the end of the text or of the block.
    fn nodes(&mut self) -> Option<Vec<Node>> {
        let mut nodes = Vec::new();
        loop {
            self.blanks();
            match self.peek() {
                None if self.depth == 0 => return Some(nodes),
                Some(b'}') if self.depth > 0 => return Some(nodes),
                Some(b'/') if self.depth == 0 && self.text[self.at..].starts_with("// ") => {
                    let line = self.text[self.at..].split_once('\n')?.0;
                    // Anything but plain text may end a comment earlier in KDL than it does here.
                    if !line.bytes().all(|b| matches!(b, b' '..=b'~')) {
                        return None;
                    }
                    self.at += line.len() + 1;
                }
                Some(_) => nodes.push(self.node()?),
                None => return None,
            }
        }
    }

    fn node(&mut self) -> Option<Node> {
        let mut ty = None;
        if self.take(b'(').is_some() {
            ty = Some(self.bare()?);
            self.take(b')')?;
        }
        let at = self.at;
        let name = if self.peek() == Some(b'"') { self.quoted()? } else { self.bare()? };
        let (mut values, mut children) = (Vec::new(), Vec::new());
        while self.take(b' ').is_some() {
            if self.take(b'{').is_some() {
                self.take(b'\n')?;
                self.depth += 1;
                if self.depth > 32 {
                    return None;
                }
                children = self.nodes()?;
                self.take(b'}')?;
                self.depth -= 1;
                break;
            }
            values.push(self.value()?);
        }
        self.take(b'\n')?;
        Some(Node { ty, name, values, properties: false, children, at })
    }

    /// `-`, or a word that needs no quotes.
    fn bare(&mut self) -> Option<String> {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))).unwrap_or(rest.len());
        let word = &rest[..end];
        let plain = word == "-"
            || (word.starts_with(|c: char| c.is_ascii_alphabetic())
                && !matches!(word, "true" | "false" | "null" | "inf" | "nan"));
        self.at += end;
        plain.then(|| word.to_owned())
    }

    fn quoted(&mut self) -> Option<String> {
        self.take(b'"')?;
        let mut text = String::new();
        loop {
            let rest = &self.text[self.at..];
            let end = rest.find(['"', '\\', '\n', '\r'])?;
            let plain = &rest[..end];
            if !plain.chars().all(|c| matches!(c, ' '..='~') || c.is_alphanumeric()) {
                return None;
            }
            text.push_str(plain);
            self.at += end + 1;
            match rest.as_bytes()[end] {
                // `""` before another quote would begin a multi-line text.
                b'"' if self.peek() == Some(b'"') => return None,
                b'"' => return Some(text),
                b'\\' => text.push(self.escape()?),
                _ => return None,
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        let letter = self.peek()?;
        self.at += 1;
        Some(match letter {
            b'"' => '"',
            b'\\' => '\\',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.take(b'{')?;
                let (hex, _) = self.text[self.at..].split_once('}')?;
                self.at += hex.len() + 1;
                let digits = (1..=6).contains(&hex.len()) && hex.bytes().all(|b| b.is_ascii_hexdigit());
                char::from_u32(u32::from_str_radix(hex, 16).ok().filter(|_| digits)?)?
            }
            _ => return None,
        })
    }

    fn value(&mut self) -> Option<KdlValue> {
        if self.peek()? == b'"' {
            return self.quoted().map(KdlValue::String);
        }
        let rest = &self.text[self.at..];
        let word = &rest[..rest.find([' ', '\n'])?];
        self.at += word.len();
        match word {
            "#true" => Some(KdlValue::Bool(true)),
            "#false" => Some(KdlValue::Bool(false)),
            "#null" => Some(KdlValue::Null),
            _ => number(word),
        }
    }
}

/// A number as JSON has it.
fn number(word: &str) -> Option<KdlValue> {
    let digits = word.strip_prefix('-').unwrap_or(word);
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        return word.parse().ok().map(KdlValue::Integer);
    }
    let json: Number = serde_json::from_str(word).ok()?;
    json.as_f64()?;
    word.parse().ok().map(KdlValue::Float)
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
    pub(super) fn err(&self, node: &Node, why: impl Into<String>) -> CodecError {
        CodecError::at(self.text, node.at, why)
    }

    fn values<'n>(&self, node: &'n Node) -> Result<Vec<&'n KdlValue>, CodecError> {
        if node.properties {
            return Err(self.err(node, format!("`{}` cannot have properties", node.name)));
        }
        Ok(node.values.iter().collect())
    }

    fn one<'n>(&self, node: &'n Node) -> Result<&'n KdlValue, CodecError> {
        match self.values(node)?.as_slice() {
            [one] => Ok(one),
            other => Err(self.err(node, format!("`{}` needs one value, but has {}", node.name, other.len()))),
        }
    }

    fn wrong(&self, node: &Node, want: &str) -> CodecError {
        self.err(node, format!("`{}` must be {want}", node.name))
    }

    pub(super) fn text(&self, node: &Node) -> Result<String, CodecError> {
        match self.one(node)? {
            KdlValue::String(text) => Ok(text.clone()),
            _ => Err(self.wrong(node, "a text in quotes")),
        }
    }

    pub(super) fn texts(&self, node: &Node) -> Result<Vec<String>, CodecError> {
        self.values(node)?
            .into_iter()
            .map(|v| v.as_string().map(str::to_owned).ok_or_else(|| self.wrong(node, "texts in quotes")))
            .collect()
    }

    pub(super) fn flag(&self, node: &Node) -> Result<bool, CodecError> {
        self.one(node)?.as_bool().ok_or_else(|| self.wrong(node, "#true or #false"))
    }

    pub(super) fn number<N: TryFrom<i128>>(&self, node: &Node) -> Result<N, CodecError> {
        let number = self.one(node)?.as_integer().and_then(|n| N::try_from(n).ok());
        number.ok_or_else(|| self.wrong(node, "a whole number in range"))
    }

    /// A text that some type checks, such as a name.
    pub(super) fn checked<T: TryFrom<String, Error: std::fmt::Display>>(&self, node: &Node) -> Result<T, CodecError> {
        T::try_from(self.text(node)?).map_err(|e| self.err(node, e.to_string()))
    }

    /// Any value, as JSON-in-KDL has it.
    pub(super) fn value(&self, node: &Node) -> Result<Value, CodecError> {
        match node.ty.as_deref() {
            None => self.scalar(node, self.one(node)?),
            Some("map") => Ok(Value::Object(self.map(node)?)),
            Some("list") => {
                let mut items = Vec::new();
                for value in self.values(node)? {
                    items.push(self.scalar(node, value)?);
                }
                for child in node.inside() {
                    items.push(self.value(child)?);
                }
                Ok(Value::Array(items))
            }
            Some(other) => Err(self.err(node, format!("`({other})` is neither `(list)` nor `(map)`"))),
        }
    }

    /// The nodes inside as a map.
    pub(super) fn map(&self, node: &Node) -> Result<Map<String, Value>, CodecError> {
        let mut map = Map::new();
        for child in node.inside() {
            if map.insert(child.name.clone(), self.value(child)?).is_some() {
                return Err(self.err(child, format!("`{}` is there twice", child.name)));
            }
        }
        Ok(map)
    }

    fn scalar(&self, node: &Node, value: &KdlValue) -> Result<Value, CodecError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::properties;
    use crate::record::kdl::tests::SAMPLES;
    use proptest::prelude::*;

    #[track_caller]
    fn both_agree(text: &str) {
        let Some(quick) = (Quick { text, at: 0, depth: 0 }).nodes() else { return };
        let slow = parse_any(text).unwrap_or_else(|e| panic!("only we can read this: {e}\n{text}"));
        assert_eq!(quick, slow, "{text}");
    }

    /// Found by fuzzing: the crate has no end of its stack in mind.
    #[test]
    fn a_text_that_nests_without_end_is_refused() {
        for opening in ["a {", "a { ", "a {\n", "/*", "/- a {"] {
            for times in [BLOCKS / 2, BLOCKS, BLOCKS + 1, 100_000] {
                let refused = parse(&opening.repeat(times)).unwrap_err();
                assert_eq!(refused.why.starts_with("no record has more"), times > BLOCKS, "{refused}");
            }
            // `*/*` would open another comment.
            let closing = if opening == "/*" { "*/ " } else { "\n}\n" };
            let text = opening.repeat(BLOCKS) + &closing.repeat(BLOCKS);
            let closed = parse(&text);
            assert!(closed.is_ok(), "{opening}: {}", closed.unwrap_err());
        }
    }

    #[test]
    fn all_that_was_written_is_read_by_hand() {
        for text in SAMPLES {
            assert!((Quick { text, at: 0, depth: 0 }).nodes().is_some(), "too slow a form:\n{text}");
            both_agree(text);
        }
    }

    proptest! {
        #![proptest_config(properties(96))]
        /// The law: reading by hand is reading.
        #[test]
        fn what_is_read_by_hand_is_what_kdl_says(text in prop::sample::select(SAMPLES.to_vec()), at in any::<usize>(), put in ".{0,2}|[\"\\\\{}()#0-9 \n-]{1,2}") {
            let mut at = at % text.len();
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            both_agree(&format!("{}{put}{}", &text[..at], &text[at..]));
            both_agree(&format!("{}{put}", &text[..at]));
        }
    }
}
