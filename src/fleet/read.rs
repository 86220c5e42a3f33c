//! Nodes as serde's input, so that the raw types stay plain and every error still has a place.
//!
//! serde stops at the first error. [`read`] notes it, leaves that value out and reads again: a few wrong
//! values cost a few readings of one host or section, not of the file.

use super::{
    node::{Entry, Meaning, Node, Place, Scalar, Value},
    problem::{Code, Problem, Problems},
    reference,
};
use serde::de::{self, Deserialize, DeserializeSeed, IntoDeserializer, Unexpected, Visitor};
use std::{cell::RefCell, fmt, ptr};

/// The name of a newtype that is a text as it was written, or a mapping.
pub(super) const TEXT_OR_MAPPING: &str = "TextOrMapping";

/// A key that the type being read does not have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strange<'a> {
    /// The key and its value.
    pub(super) entry: &'a Entry,
    /// Keys the type has.
    pub(super) known: &'static [&'static str],
    /// Whether it is in the node that was asked for, not in one further in.
    pub(super) top: bool,
}

/// Wrong values that are told of one thing: each is another reading of it.
const MOST: usize = 100;

/// Reads what stands under `key` as far as it can be read. The rest is in the problems, and in the strange keys.
pub(super) fn read<'a, T>(key: &str, node: &'a Node, problems: &mut Problems) -> (T, Vec<Strange<'a>>)
where
    T: Deserialize<'a> + Default,
{
    let reading = Reading { root: node, left_out: RefCell::default(), strange: RefCell::default() };
    if node.is_unknown() {
        return (T::default(), Vec::new());
    }
    loop {
        reading.strange.borrow_mut().clear();
        match T::deserialize(From { node, reading: &reading }) {
            Ok(value) => return (value, reading.strange.into_inner()),
            Err(error) => {
                let wrong = error.0.node.unwrap_or(ptr::from_ref(node));
                problems.push(error.on(node, Some(key)).problem());
                let told = reading.left_out.borrow().len();
                if wrong == ptr::from_ref(node) || told >= MOST || reading.left_out.borrow().contains(&wrong) {
                    return (T::default(), reading.strange.into_inner());
                }
                reading.left_out.borrow_mut().push(wrong);
            }
        }
    }
}

/// One call of [`read`].
struct Reading<'a> {
    root: &'a Node,
    /// Values known to be wrong, by identity.
    left_out: RefCell<Vec<*const Node>>,
    strange: RefCell<Vec<Strange<'a>>>,
}

impl Reading<'_> {
    fn is_left_out(&self, node: &Node) -> bool {
        node.is_unknown() || self.left_out.borrow().contains(&ptr::from_ref(node))
    }
}

#[derive(Clone, Copy)]
struct From<'a, 'r> {
    node: &'a Node,
    reading: &'r Reading<'a>,
}

/// What serde found wrong, and where once that is known. Boxed, because it is in every result on the way.
#[derive(Debug)]
struct ReadError(Box<Wrong>);

#[derive(Debug)]
struct Wrong {
    node: Option<*const Node>,
    at: Option<Place>,
    key: Option<String>,
    /// Whether it is an item of a list.
    item: bool,
    code: Code,
    /// `must be …`, or a whole fragment.
    text: String,
    label: String,
    help: Option<String>,
}

impl ReadError {
    fn new(code: Code, text: impl Into<String>) -> Self {
        Self(Box::new(Wrong {
            node: None,
            at: None,
            key: None,
            item: false,
            code,
            text: text.into(),
            label: String::new(),
            help: None,
        }))
    }

    fn on(mut self, node: &Node, key: Option<&str>) -> Self {
        if self.0.node.is_none() {
            self.0.node = Some(ptr::from_ref(node));
            self.0.at = Some(node.at);
            if self.0.label.is_empty() && self.0.code == Code::WrongType {
                self.0.label = match node.noun() {
                    "empty" => "there is no value".to_owned(),
                    noun => format!("this is {noun}"),
                };
            }
        }
        // The innermost key names it; an item of a list is named by the list's key.
        if self.0.key.is_none() {
            self.0.key = key.map(str::to_owned);
        }
        self
    }

    fn problem(self) -> Problem {
        let wrong = *self.0;
        let key = wrong.key.unwrap_or_default();
        let message = match (wrong.text.starts_with("must be"), wrong.item) {
            (true, false) => format!("`{key}` {}", wrong.text),
            (true, true) => format!("an item of `{key}` {}", wrong.text),
            (false, _) => wrong.text,
        };
        let about = reference::about(&key).map(|about| format!("`{key}`: {about}"));
        let help = wrong.help.or(about).unwrap_or_else(|| "`machine schema` says what every key takes".to_owned());
        let problem = Problem::new(wrong.code, message).help(help);
        match wrong.at {
            Some(at) => problem.at(at, wrong.label),
            None => problem,
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl std::error::Error for ReadError {}

/// serde's words for what it wants, in ours.
fn wanted(expected: &dyn de::Expected) -> String {
    match expected.to_string().as_str() {
        "a string" => "a text".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a mapping".to_owned(),
        "usize" | "u32" | "u64" | "i64" => "a whole number, not negative".to_owned(),
        // The only 16-bit number in a fleet is a port, and only a degree of parallelism cannot be zero.
        "u16" | "a nonzero u16" => "a port from 1 to 65535".to_owned(),
        "a nonzero usize" => "a whole number from 1".to_owned(),
        other if other.starts_with("struct ") => "a mapping".to_owned(),
        other => other.to_owned(),
    }
}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::new(Code::BadValue, text.to_string())
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(Code::WrongType, format!("must be {}", wanted(expected)))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(Code::BadValue, format!("must be {}", wanted(expected)))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let mut error = Self::new(Code::BadValue, format!("must be {}", one_of(expected)));
        error.0.help =
            super::suggest::closest(variant, expected.iter().copied()).map(|v| format!("did you mean `{v}`?"));
        error
    }
}

fn one_of(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|w| format!("`{w}`")).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

impl<'a> From<'a, '_> {
    fn wrong(self, expected: &dyn de::Expected) -> ReadError {
        <ReadError as de::Error>::invalid_type(Unexpected::Unit, expected).on(self.node, None)
    }

    fn list<V: Visitor<'a>>(self, items: &'a [Node], visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_seq(Items { items: items.iter(), reading: self.reading })
    }

    fn map<V: Visitor<'a>>(self, known: Option<&'static [&'static str]>, visitor: V) -> Result<V::Value, ReadError> {
        let left = self.node.entries().iter();
        let top = ptr::eq(self.node, self.reading.root);
        visitor.visit_map(Entries { left, known, top, value: None, reading: self.reading })
    }

    fn mapping<V: Visitor<'a>>(
        self,
        known: Option<&'static [&'static str]>,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        // `web:` with nothing after it is a host that takes every default.
        if matches!(self.node.value, Value::Map(_)) || self.node.is_null() {
            self.map(known, visitor)
        } else {
            Err(self.wrong(&visitor))
        }
    }
}

impl<'a> de::Deserializer<'a> for From<'a, '_> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let result = match &self.node.value {
            Value::List(items) => self.list(items, visitor),
            Value::Map(_) => self.map(None, visitor),
            Value::Scalar(scalar) => match scalar.meaning() {
                Meaning::Null => visitor.visit_unit(),
                Meaning::Flag(b) => visitor.visit_bool(b),
                Meaning::Whole(n) => visitor.visit_i64(n),
                Meaning::Real(n) => visitor.visit_f64(n),
                Meaning::Text(text) => visitor.visit_borrowed_str(text),
            },
        };
        result.map_err(|e: ReadError| e.on(self.node, None))
    }

    /// A text is taken as it was written, so that `version: 28.20` keeps its zero.
    fn deserialize_str<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Scalar(scalar) if scalar.meaning() != Meaning::Null => {
                visitor.visit_borrowed_str(&scalar.text).map_err(|e: ReadError| e.on(self.node, None))
            }
            _ => Err(self.wrong(&visitor)),
        }
    }

    fn deserialize_string<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(self, name: &'static str, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.value {
            // A text as it was written, or a mapping: what no other method asks for.
            Value::Scalar(_) if name == TEXT_OR_MAPPING => self.deserialize_str(visitor),
            Value::List(_) | Value::Map(_) if name == TEXT_OR_MAPPING => self.deserialize_any(visitor),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::List(items) => self.list(items, visitor),
            Value::Map(_) => Err(self.wrong(&visitor)),
            Value::Scalar(Scalar { text, .. }) => {
                let mut error = self.wrong(&visitor);
                if !self.node.is_null() && !text.contains(['[', '{', '\n']) {
                    error.0.help = Some(format!("write it as a list: `[{text}]`"));
                }
                Err(error)
            }
        }
    }

    fn deserialize_map<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.mapping(None, visitor)
    }

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.mapping(Some(fields), visitor)
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Scalar(scalar) => visitor
                .visit_enum(scalar.text.as_str().into_deserializer())
                .map_err(|e: ReadError| e.on(self.node, None)),
            Value::List(_) | Value::Map(_) => {
                Err(ReadError::new(Code::WrongType, format!("must be {}", one_of(variants))).on(self.node, None))
            }
        }
    }

    /// A section that is read by itself is not looked into.
    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        <V: Visitor<'a>> bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct
        tuple tuple_struct identifier
    }
}

struct Items<'a, 'r> {
    items: std::slice::Iter<'a, Node>,
    reading: &'r Reading<'a>,
}

impl<'a> de::SeqAccess<'a> for Items<'a, '_> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        let reading = self.reading;
        let Some(node) = self.items.find(|node| !reading.is_left_out(node)) else {
            return Ok(None);
        };
        seed.deserialize(From { node, reading }).map(Some).map_err(|mut e| {
            e.0.item |= e.0.key.is_none();
            e.on(node, None)
        })
    }
}

struct Entries<'a, 'r> {
    left: std::slice::Iter<'a, Entry>,
    known: Option<&'static [&'static str]>,
    top: bool,
    value: Option<&'a Entry>,
    reading: &'r Reading<'a>,
}

impl<'a> de::MapAccess<'a> for Entries<'a, '_> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        for entry in self.left.by_ref() {
            if let Some(known) = self.known
                && !known.contains(&entry.key.as_str())
            {
                self.reading.strange.borrow_mut().push(Strange { entry, known, top: self.top });
            } else if !self.reading.is_left_out(&entry.node) {
                self.value = Some(entry);
                return seed.deserialize(de::value::BorrowedStrDeserializer::new(&entry.key)).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let entry = self.value.take().expect("serde asks for a key first");
        let reading = self.reading;
        seed.deserialize(From { node: &entry.node, reading }).map_err(|e| e.on(&entry.node, Some(&entry.key)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, rename_all = "kebab-case")]
    struct Thing {
        text: String,
        count: Option<u32>,
        inner: Inner,
        list: Vec<String>,
        labels: BTreeMap<String, String>,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default)]
    struct Inner {
        flag: bool,
    }

    fn thing(text: &str) -> (Thing, Vec<String>, Vec<String>) {
        let mut problems = Problems::default();
        let node = super::super::parse::parse(0, text, &mut problems).unwrap();
        let (thing, strange) = read("thing", &node, &mut problems);
        let strange = strange.iter().map(|s| format!("{} {}", s.entry.key, s.top)).collect();
        let all = super::super::FleetProblems::new("x", text, problems);
        let messages = all
            .problems()
            .iter()
            .map(|p| {
                let (line, column) = all.line_and_column(p).unwrap();
                format!("{line}:{column} {p}")
            })
            .collect();
        (thing, strange, messages)
    }

    #[test]
    fn every_wrong_value_is_named_and_the_rest_is_read() {
        let (thing, strange, messages) = thing(
            "text: [x]\ncount: -1\ninner: {flag: maybe, odd: 1}\nlist: [a, {}, b]\nlabels: {n: 1, f: true}\nnew: 1\n",
        );
        assert_eq!(
            messages,
            [
                "1:7 `text` must be a text",
                "2:8 `count` must be a whole number, not negative",
                "3:15 `flag` must be true or false",
                "4:11 an item of `list` must be a text"
            ]
        );
        assert_eq!(strange, ["odd false", "new true"]);
        assert_eq!(thing.list, ["a", "b"]);
        assert_eq!(thing.labels["n"], "1");
        assert_eq!(thing.labels["f"], "true");
    }

    #[test]
    fn texts_are_taken_as_written() {
        assert_eq!(thing("text: 28.20").0.text, "28.20");
        assert_eq!(thing("text: 0x1F").0.text, "0x1F");
        assert_eq!(thing("text:").2, ["1:1 `text` must be a text"]);
        assert_eq!(thing("inner:").2, [""; 0], "an empty section is a section with nothing in it");
    }
}
