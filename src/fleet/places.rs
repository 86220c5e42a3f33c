//! Where things stand in YAML: the parser's marks, turned into bytes of the text.

use super::node::Place;
use saphyr_parser::Span;

/// The parser counts characters, everybody else counts bytes.
pub(super) struct Places<'a> {
    file: u16,
    text: &'a str,
    /// Byte of each character; empty: all characters are one byte.
    bytes: Vec<usize>,
    offset: usize,
    end: usize,
}

impl<'a> Places<'a> {
    pub(super) fn new(file: u16, text: &'a str, offset: usize) -> Self {
        let bytes = if text[offset..].is_ascii() {
            Vec::new()
        } else {
            text[offset..].char_indices().map(|(byte, _)| byte).collect()
        };
        Self { file, text, bytes, offset, end: text.len() }
    }

    pub(super) fn byte(&self, character: usize) -> usize {
        if self.bytes.is_empty() {
            return (self.offset + character).min(self.end);
        }
        self.bytes.get(character).map_or(self.end, |byte| self.offset + byte)
    }

    pub(super) fn between(&self, start: usize, end: usize) -> Place {
        Place::new(self.file, start, end)
    }

    /// The place of a token, without the blanks behind it that the parser counts to a quoted scalar.
    pub(super) fn of(&self, span: Span) -> Place {
        let (start, end) = (self.byte(span.start.index()), self.byte(span.end.index()));
        self.between(start, start + self.text.get(start..end).map_or(0, |token| token.trim_end().len()))
    }
}
