//! Values of a `record.kdl`, each with its place when it is not what it must be.

use crate::{
    kdl::{self, Flaw, Limits, Reading, Said},
    record::codec::CodecError,
};
use serde_json::{Map, Number, Value};

/// A record becomes a `record.json`, and more inside each other than this could not be read from there again.
const LIMITS: Limits = Limits { depth: 100, values: 1_000_000 };

/// One node of a text.
#[derive(Debug)]
pub(super) struct Node(kdl::Node<Node>);

impl Node {
    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.0.name.text
    }

    /// The nodes inside; none when there is no block.
    pub(super) fn inside(&self) -> &[Self] {
        self.0.block.as_ref().map_or(&[], |block| &block.children)
    }
}

/// The nodes of a text.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, CodecError> {
    let Reading { nodes, flaws, .. } = kdl::read(text, LIMITS, Node);
    let Some(first) = flaws.into_iter().min_by_key(|flaw| flaw.at().start) else {
        return Ok(nodes.unwrap_or_default());
    };
    let at = first.at().start;
    let why = match first {
        Flaw::Syntax { message, .. } => message,
        Flaw::TooDeep(_) => format!("no record has more than {} blocks inside each other", LIMITS.depth),
        Flaw::TooMany(_) => format!("no record has more than {} values", LIMITS.values),
    };
    Err(CodecError::at(text, at, why))
}

/// A whole number as it is written.
fn whole(text: &str) -> Option<i128> {
    match (text.strip_prefix("0x"), text.strip_prefix("0o")) {
        (Some(digits), _) => i128::from_str_radix(digits, 16).ok(),
        (_, Some(digits)) => i128::from_str_radix(digits, 8).ok(),
        _ => text.parse().ok(),
    }
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
        CodecError::at(self.text, node.0.name.at.start, why)
    }

    fn values<'n>(&self, node: &'n Node) -> Result<impl Iterator<Item = &'n Said> + use<'n>, CodecError> {
        if !node.0.properties.is_empty() {
            return Err(self.err(node, format!("`{}` cannot have properties", node.name())));
        }
        Ok(node.0.arguments.iter().map(|value| &value.said))
    }

    fn one<'n>(&self, node: &'n Node) -> Result<&'n Said, CodecError> {
        match self.values(node)?.collect::<Vec<_>>()[..] {
            [one] => Ok(one),
            ref other => Err(self.err(node, format!("`{}` needs one value, but has {}", node.name(), other.len()))),
        }
    }

    fn wrong(&self, node: &Node, want: &str) -> CodecError {
        self.err(node, format!("`{}` must be {want}", node.name()))
    }

    pub(super) fn text(&self, node: &Node) -> Result<String, CodecError> {
        match self.one(node)? {
            Said::Text(text) => Ok(text.clone()),
            _ => Err(self.wrong(node, "a text in quotes")),
        }
    }

    pub(super) fn texts(&self, node: &Node) -> Result<Vec<String>, CodecError> {
        let text = |said: &Said| match said {
            Said::Text(text) => Ok(text.clone()),
            _ => Err(self.wrong(node, "texts in quotes")),
        };
        self.values(node)?.map(text).collect()
    }

    pub(super) fn flag(&self, node: &Node) -> Result<bool, CodecError> {
        match self.one(node)? {
            Said::Flag(flag) => Ok(*flag),
            _ => Err(self.wrong(node, "#true or #false")),
        }
    }

    pub(super) fn number<N: TryFrom<i128>>(&self, node: &Node) -> Result<N, CodecError> {
        let number = match self.one(node)? {
            Said::Number(text) => whole(text).and_then(|n| N::try_from(n).ok()),
            _ => None,
        };
        number.ok_or_else(|| self.wrong(node, "a whole number in range"))
    }

    /// A text that some type checks, such as a name.
    pub(super) fn checked<T: TryFrom<String, Error: std::fmt::Display>>(&self, node: &Node) -> Result<T, CodecError> {
        T::try_from(self.text(node)?).map_err(|e| self.err(node, e.to_string()))
    }

    /// Any value, as JSON-in-KDL has it.
    pub(super) fn value(&self, node: &Node) -> Result<Value, CodecError> {
        match node.0.annotation.as_ref().map(|word| word.text.as_str()) {
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
            if map.insert(child.name().to_owned(), self.value(child)?).is_some() {
                return Err(self.err(child, format!("`{}` is there twice", child.name())));
            }
        }
        Ok(map)
    }

    fn scalar(&self, node: &Node, said: &Said) -> Result<Value, CodecError> {
        let number = match said {
            Said::Text(text) => return Ok(Value::String(text.clone())),
            Said::Flag(flag) => return Ok(Value::Bool(*flag)),
            Said::Null => return Ok(Value::Null),
            Said::Number(text) => match whole(text) {
                Some(n) => i64::try_from(n).map(Number::from).or_else(|_| u64::try_from(n).map(Number::from)).ok(),
                // Of a whole number that is too large, a fraction has not all digits.
                None if text.contains(['.', 'e', 'E']) => text.parse().ok().and_then(Number::from_f64),
                None => None,
            },
            Said::NotFinite | Said::Unknown => None,
        };
        number.map(Value::Number).ok_or_else(|| self.wrong(node, "a number of at most 64 bits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{codec, kdl::decode};

    #[track_caller]
    fn value(written: &str, want: Result<Value, &str>) {
        let nodes = parse(&format!("x {written}")).unwrap();
        let read = Reader::new("").value(&nodes[0]);
        assert_eq!(read.map_err(|e| e.why), want.map_err(|why| format!("`x` must be {why}")), "{written}");
    }

    #[test]
    fn numbers_are_those_of_json() {
        for (written, want) in [
            ("9007199254740993", Value::from(9_007_199_254_740_993_u64)),
            ("18446744073709551615", Value::from(u64::MAX)),
            ("-9223372036854775808", Value::from(i64::MIN)),
            ("+7", Value::from(7)),
            ("0x1F", Value::from(31)),
            ("-0x1F", Value::from(-31)),
            ("0o17", Value::from(15)),
            ("1_000", Value::from(1000)),
            ("0.5", Value::from(0.5)),
            ("1e3", Value::from(1000.0)),
        ] {
            value(written, Ok(want));
        }
        for written in ["18446744073709551616", "-9223372036854775809", "#inf", "1e999", &"9".repeat(50)] {
            value(written, Err("a number of at most 64 bits"));
        }
    }

    /// The first write makes JSON of it, whose reader has an end, too.
    #[test]
    fn a_record_that_nests_is_read_as_deep_as_it_can_be_written() {
        let nested = |times: usize| {
            let maps = "(map)a {\n".repeat(times - 1);
            format!("record 1\nname \"a\"\ndriver \"none\"\noptions {{\n{maps}{}", "}\n".repeat(times))
        };
        let read = decode(&nested(LIMITS.depth)).unwrap();
        let json = codec::encode(&read.record, &read.beside, &codec::Unknown::default());
        assert_eq!(codec::decode(&json).unwrap().record, read.record);
        for times in [LIMITS.depth + 1, 100_000] {
            let refused = decode(&nested(times)).unwrap_err();
            assert_eq!((refused.line, refused.column), (4 + LIMITS.depth, 8));
            assert_eq!(refused.why, "no record has more than 100 blocks inside each other");
        }
    }

    #[test]
    fn the_first_of_several_mistakes_is_told() {
        let refused = parse("record 1\nname \"\\q\"\nprotect true\n}").unwrap_err();
        assert_eq!(refused.to_string(), "line 2, column 7: `\\q` means nothing in a string");
    }
}
