//! Where things stand in YAML: the parser's marks, turned into bytes of the text.

use super::node::Place;
use saphyr_parser::Span;

/// The parser counts characters, all else counts bytes.
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

    /// The place of a token, without what is behind it that the parser counts to a quoted scalar: blanks and comments.
    pub(super) fn of(&self, span: Span) -> Place {
        let (start, end) = (self.byte(span.start.index()), self.byte(span.end.index()));
        let token = self.text.get(start..end).unwrap_or_default();
        self.between(start, start + quoted(token).unwrap_or_else(|| token.trim_end().len()))
    }
}

/// How long the quoted scalar is that a text begins with; `None`: it begins with none, or with one that has no end.
fn quoted(text: &str) -> Option<usize> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut rest = text.char_indices().skip(1).peekable();
    while let Some((n, c)) = rest.next() {
        match c {
            '\\' if quote == '"' => drop(rest.next()),
            // Two of them are one within.
            c if c == quote && quote == '\'' && rest.peek().is_some_and(|(_, c)| *c == quote) => drop(rest.next()),
            c if c == quote => return Some(n + 1),
            _ => {}
        }
    }
    None
}
