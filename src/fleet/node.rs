//! A document as a tree in which every key and value knows its place. It knows no format and no fleet.

use serde_json::{Map, Number, Value as Json};

/// A stretch of the text of one file, in bytes. Small, for every key and value has one.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Place {
    /// Which file: the first is 0. It decides the order of places first.
    file: u16,
    start: u32,
    len: u32,
}

impl Place {
    pub(crate) fn new(file: u16, start: usize, end: usize) -> Self {
        // `load` takes no text that is larger.
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self { file, start: small(start), len: small(end.saturating_sub(start)) }
    }

    pub(crate) fn file(self) -> usize {
        self.file.into()
    }

    pub(crate) fn start(self) -> usize {
        self.start as usize
    }

    pub(crate) fn len(self) -> usize {
        self.len as usize
    }

    pub(crate) fn end(self) -> usize {
        self.start() + self.len()
    }

    /// Whether it is a position only.
    pub(crate) fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The same beginning with another length.
    pub(crate) fn with_len(self, len: usize) -> Self {
        Self::new(self.file, self.start(), self.start() + len)
    }
}

/// A value and where it stands. A value behind an alias stands where its anchor is.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: Place,
    pub(crate) value: Value,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    /// In file order; no key is there twice.
    Map(Vec<Entry>),
}

/// One key of a mapping, and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_at: Place,
    pub(crate) node: Node,
}

/// A value without parts, as it was written: what it means depends on what is wanted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    pub(crate) style: Style,
}

/// How a scalar was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Style {
    /// Bare: may be a number, true, false or nothing.
    Plain,
    /// In quotes or as a block: a text and nothing else.
    Quoted,
    /// From outside the file: a number where one is wanted, else a text, never nothing.
    Given,
    /// What it should be is not known, which has been said: readers pass it over.
    Unknown,
}

/// What a scalar means by itself (YAML 1.2, core schema).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Meaning<'a> {
    Null,
    Flag(bool),
    Whole(i64),
    Real(f64),
    Text(&'a str),
}

impl Scalar {
    pub(crate) fn meaning(&self) -> Meaning<'_> {
        if matches!(self.style, Style::Quoted | Style::Unknown) {
            return Meaning::Text(&self.text);
        }
        match self.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" if self.style == Style::Plain => Meaning::Null,
            "true" | "True" | "TRUE" => Meaning::Flag(true),
            "false" | "False" | "FALSE" => Meaning::Flag(false),
            text => number(text).unwrap_or(Meaning::Text(text)),
        }
    }
}

/// Decimal, `0x` and `0o` whole numbers, and decimal fractions. Infinities and NaN are texts here: no key wants them.
fn number(text: &str) -> Option<Meaning<'_>> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let radix = |prefix, radix| text.strip_prefix(prefix).and_then(|digits| i64::from_str_radix(digits, radix).ok());
    if let Some(n) = radix("0x", 16).or_else(|| radix("0o", 8)) {
        return text.as_bytes()[2].is_ascii_hexdigit().then_some(Meaning::Whole(n));
    }
    if unsigned.bytes().all(|b| b.is_ascii_digit()) {
        // A number too large for any key stays a text, which keeps all its digits.
        return text.parse().ok().map(Meaning::Whole);
    }
    let plain = unsigned.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    text.parse().ok().filter(|n: &f64| plain && n.is_finite()).map(Meaning::Real)
}

impl Node {
    /// The entries of a mapping; nothing for anything else.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            Value::Scalar(_) | Value::List(_) => &[],
        }
    }

    /// The entry under `key`.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|e| e.key == key)
    }

    /// The items of a list; nothing for anything else.
    pub(crate) fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            Value::Scalar(_) | Value::Map(_) => &[],
        }
    }

    /// The items of a list that can be read as texts.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&Self, &str)> {
        self.items().iter().filter_map(|item| match &item.value {
            Value::Scalar(scalar) if !item.is_null() && !item.is_unknown() => Some((item, scalar.text.as_str())),
            _ => None,
        })
    }

    /// Whether it is a scalar that means nothing, as in `web:` and no more.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.meaning() == Meaning::Null)
    }

    /// Whether a problem has already said that its value is not known.
    pub(crate) fn is_unknown(&self) -> bool {
        matches!(&self.value, Value::Scalar(Scalar { style: Style::Unknown, .. }))
    }

    /// What it is, for a person.
    pub(crate) fn noun(&self) -> &'static str {
        match &self.value {
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
            Value::Scalar(scalar) => match scalar.meaning() {
                Meaning::Null => "empty",
                Meaning::Flag(true) => "`true`",
                Meaning::Flag(false) => "`false`",
                Meaning::Whole(_) | Meaning::Real(_) => "a number",
                Meaning::Text(_) => "a text",
            },
        }
    }

    /// How many values it is made of, itself included.
    pub(crate) fn size(&self) -> usize {
        1 + match &self.value {
            Value::Scalar(_) => 0,
            Value::List(items) => items.iter().map(Self::size).sum::<usize>(),
            Value::Map(entries) => entries.iter().map(|e| e.node.size()).sum(),
        }
    }

    /// The same value, without places.
    pub(crate) fn to_json(&self) -> Json {
        match &self.value {
            Value::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Value::Map(entries) => {
                Json::Object(entries.iter().map(|e| (e.key.clone(), e.node.to_json())).collect::<Map<_, _>>())
            }
            Value::Scalar(scalar) => match scalar.meaning() {
                Meaning::Null => Json::Null,
                Meaning::Flag(b) => Json::Bool(b),
                Meaning::Whole(n) => Json::from(n),
                Meaning::Real(n) => Number::from_f64(n).map_or(Json::Null, Json::Number),
                Meaning::Text(text) => Json::from(text),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn plain(text: &str, want: Meaning<'_>) {
        assert_eq!(Scalar { text: text.to_owned(), style: Style::Plain }.meaning(), want);
    }

    #[test]
    fn bare_scalars_mean_what_yaml_1_2_says() {
        for null in ["", "~", "null", "Null", "NULL"] {
            plain(null, Meaning::Null);
        }
        plain("true", Meaning::Flag(true));
        plain("FALSE", Meaning::Flag(false));
        for (text, n) in [("0", 0), ("-7", -7), ("+7", 7), ("0x1F", 31), ("0o17", 15), ("017", 17)] {
            plain(text, Meaning::Whole(n));
        }
        for (text, n) in [("1.5", 1.5), (".5", 0.5), ("28.20", 28.2), ("1e3", 1000.0), ("-1.0", -1.0)] {
            plain(text, Meaning::Real(n));
        }
        // `no` and `on` are texts since YAML 1.2; addresses and versions never were numbers.
        for text in ["no", "on", "yes", "192.0.2.1", "1.2.3", "0x", "0x-1", "0o9", "1e999", ".", "-", "inf", "12ab"] {
            plain(text, Meaning::Text(text));
        }
        plain("99999999999999999999", Meaning::Text("99999999999999999999"));
    }

    #[test]
    fn quotes_make_a_text_and_given_values_are_never_nothing() {
        let mean = |text: &str, style| match (Scalar { text: text.to_owned(), style }).meaning() {
            Meaning::Text(_) => "text",
            Meaning::Null => "null",
            _ => "other",
        };
        assert_eq!(mean("5", Style::Quoted), "text");
        assert_eq!(mean("", Style::Quoted), "text");
        assert_eq!(mean("", Style::Given), "text");
        assert_eq!(mean("5", Style::Given), "other");
    }
}
