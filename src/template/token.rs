//! The words of a template. A mistake is a token as well: it counts only when the parser gets there.

use super::escape::quoted;
use std::borrow::Cow;

/// A word, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Token<'t> {
    pub(super) kind: Kind,
    pub(super) text: Cow<'t, str>,
    /// Byte of the template it begins at.
    pub(super) at: usize,
    /// Line it begins on, from 1.
    pub(super) line: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// What stands outside of actions.
    Text,
    /// `{{`
    Left,
    /// `}}`
    Right,
    Space,
    Pipe,
    /// `=`
    Assign,
    /// `:=`
    Declare,
    /// Some other sign.
    Sign,
    LeftParen,
    RightParen,
    Dot,
    Field,
    Variable,
    Identifier,
    Bool,
    Nil,
    Number,
    /// `'a'`
    Rune,
    Quoted,
    Raw,
    Keyword,
    Error,
    End,
}

impl Token<'_> {
    pub(super) fn is_keyword(&self, word: &str) -> bool {
        self.kind == Kind::Keyword && self.text == word
    }

    /// As errors name it.
    pub(super) fn shown(&self) -> String {
        match self.kind {
            Kind::End => "EOF".to_owned(),
            Kind::Error => self.text.to_string(),
            Kind::Keyword | Kind::Dot | Kind::Nil => format!("<{}>", self.text),
            _ if self.text.len() > 10 => format!("{}...", quoted(&self.text.chars().take(10).collect::<String>())),
            _ => quoted(&self.text),
        }
    }
}

/// Splits a template. The last token is an end or an error.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut lexer = Lexer { text, start: 0, pos: 0, counted: 0, line: 1, parens: 0, tokens: Vec::new() };
    while lexer.piece() {}
    lexer.tokens
}

const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];
const KEYWORDS: [&str; 10] = ["block", "break", "continue", "define", "else", "end", "if", "range", "template", "with"];

struct Lexer<'t> {
    text: &'t str,
    start: usize,
    pos: usize,
    counted: usize,
    line: usize,
    parens: usize,
    tokens: Vec<Token<'t>>,
}

/// Whether a letter or digit, as in names.
fn in_name(c: char) -> bool {
    c == '_' || c.is_alphabetic() || c.is_numeric()
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.pos..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    fn accept(&mut self, any: &str) -> bool {
        let taken = self.peek().is_some_and(|c| any.contains(c));
        if taken {
            self.pos += 1;
        }
        taken
    }

    fn accept_all(&mut self, any: &str) {
        while self.accept(any) {}
    }

    fn push(&mut self, kind: Kind, text: Cow<'t, str>) {
        self.line += self.text[self.counted..self.start].matches('\n').count();
        self.counted = self.start;
        self.tokens.push(Token { kind, text, at: self.start, line: self.line });
        self.start = self.pos;
    }

    fn emit(&mut self, kind: Kind) {
        self.push(kind, Cow::Borrowed(&self.text[self.start..self.pos]));
    }

    /// The end of it all.
    fn fail(&mut self, what: impl Into<String>) -> bool {
        self.push(Kind::Error, Cow::Owned(what.into()));
        false
    }

    /// Text up to the next action, and the action. Whether there is more.
    fn piece(&mut self) -> bool {
        let Some(to) = self.rest().find("{{") else {
            self.pos = self.text.len();
            if self.pos > self.start {
                self.emit(Kind::Text);
            }
            self.emit(Kind::End);
            return false;
        };
        let delimiter = self.pos + to;
        let after = &self.text[delimiter + 2..];
        let trims = after.starts_with('-') && after[1..].starts_with(SPACES);
        let before = &self.text[self.start..delimiter];
        self.pos = self.start + if trims { before.trim_end_matches(SPACES).len() } else { before.len() };
        if self.pos > self.start {
            self.emit(Kind::Text);
        }
        self.start = delimiter;
        let inside = delimiter + if trims { 4 } else { 2 };
        if self.text[inside..].starts_with("/*") {
            return self.comment(inside);
        }
        self.pos = delimiter + 2;
        self.emit(Kind::Left);
        (self.pos, self.start, self.parens) = (inside, inside, 0);
        loop {
            if let Some(trims) = self.right_delimiter() {
                if self.parens > 0 {
                    return self.fail("unclosed left paren");
                }
                return self.close(trims);
            }
            match self.word() {
                Some(true) => {}
                Some(false) => return false,
                None => return self.close(true),
            }
        }
    }

    fn comment(&mut self, from: usize) -> bool {
        self.start = from;
        let Some(length) = self.text[from + 2..].find("*/") else { return self.fail("unclosed comment") };
        self.pos = from + 2 + length + 2;
        let Some(trims) = self.right_delimiter() else {
            return self.fail("comment ends before closing delimiter");
        };
        self.skip_right(trims);
        true
    }

    /// Whether `}}` follows, and whether with a trim marker.
    fn right_delimiter(&self) -> Option<bool> {
        let rest = self.rest();
        if rest.starts_with("}}") {
            return Some(false);
        }
        let marked = rest.strip_prefix(SPACES).and_then(|rest| rest.strip_prefix('-'));
        marked.filter(|rest| rest.starts_with("}}")).map(|_| true)
    }

    fn close(&mut self, trims: bool) -> bool {
        if trims {
            self.pos += 2;
            self.start = self.pos;
        }
        self.pos += 2;
        self.emit(Kind::Right);
        if trims {
            self.pos = self.text.len() - self.rest().trim_start_matches(SPACES).len();
            self.start = self.pos;
        }
        true
    }

    fn skip_right(&mut self, trims: bool) {
        self.pos += if trims { 4 } else { 2 };
        if trims {
            self.pos = self.text.len() - self.rest().trim_start_matches(SPACES).len();
        }
        self.start = self.pos;
    }

    /// One word of an action; `Some(false)` after a mistake, `None` where a trimming end follows at once.
    fn word(&mut self) -> Option<bool> {
        let Some(c) = self.next() else { return Some(self.fail("unclosed action")) };
        Some(match c {
            c if SPACES.contains(&c) => return self.space(),
            '=' => self.sign(Kind::Assign),
            ':' => {
                if self.next() != Some('=') {
                    return Some(self.fail("expected :="));
                }
                self.sign(Kind::Declare)
            }
            '|' => self.sign(Kind::Pipe),
            '"' => self.quoted('"', Kind::Quoted, "unterminated quoted string"),
            '\'' => self.quoted('\'', Kind::Rune, "unterminated character constant"),
            '`' => match self.rest().find('`') {
                Some(length) => {
                    self.pos += length + 1;
                    self.sign(Kind::Raw)
                }
                None => self.fail("unterminated raw quoted string"),
            },
            '$' => self.name(Kind::Variable, Kind::Variable),
            '.' if !self.peek().is_some_and(|c| c.is_ascii_digit()) => self.name(Kind::Dot, Kind::Field),
            '.' | '+' | '-' | '0'..='9' => {
                self.pos -= 1;
                self.number()
            }
            c if in_name(c) => self.identifier(),
            '(' => {
                self.parens += 1;
                self.sign(Kind::LeftParen)
            }
            ')' => {
                self.sign(Kind::RightParen);
                if self.parens == 0 {
                    return Some(self.fail(format!("unexpected right paren {}", code_point(')'))));
                }
                self.parens -= 1;
                true
            }
            c if c.is_ascii_graphic() => self.sign(Kind::Sign),
            c => self.fail(format!("unrecognized character in action: {}", code_point(c))),
        })
    }

    fn sign(&mut self, kind: Kind) -> bool {
        self.emit(kind);
        true
    }

    fn space(&mut self) -> Option<bool> {
        let length = self.text[self.start..].len() - self.text[self.start..].trim_start_matches(SPACES).len();
        self.pos = self.start + length - 1;
        if self.right_delimiter() == Some(true) {
            // The last blank belongs to the delimiter.
            if length == 1 {
                return None;
            }
        } else {
            self.pos += 1;
        }
        self.emit(Kind::Space);
        Some(true)
    }

    fn quoted(&mut self, end: char, kind: Kind, unterminated: &str) -> bool {
        loop {
            match self.next() {
                Some('\\') => {
                    if matches!(self.next(), None | Some('\n')) {
                        return self.fail(unterminated);
                    }
                }
                None | Some('\n') => return self.fail(unterminated),
                Some(c) if c == end => return self.sign(kind),
                Some(_) => {}
            }
        }
    }

    /// Whether a name may end here.
    fn terminated(&self) -> bool {
        match self.peek() {
            None => true,
            Some(c) => SPACES.contains(&c) || ".,|:)(".contains(c) || self.rest().starts_with("}}"),
        }
    }

    fn name(&mut self, alone: Kind, kind: Kind) -> bool {
        if self.terminated() {
            return self.sign(alone);
        }
        while self.peek().is_some_and(in_name) {
            self.next();
        }
        if self.terminated() { self.sign(kind) } else { self.bad_character() }
    }

    fn bad_character(&mut self) -> bool {
        let c = self.peek().unwrap_or('\u{fffd}');
        self.fail(format!("bad character {}", code_point(c)))
    }

    fn identifier(&mut self) -> bool {
        while self.peek().is_some_and(in_name) {
            self.next();
        }
        if !self.terminated() {
            return self.bad_character();
        }
        let kind = match &self.text[self.start..self.pos] {
            "true" | "false" => Kind::Bool,
            "nil" => Kind::Nil,
            word if KEYWORDS.contains(&word) => Kind::Keyword,
            _ => Kind::Identifier,
        };
        self.sign(kind)
    }

    /// Imaginary numbers are refused.
    fn number(&mut self) -> bool {
        self.accept("+-");
        let (mut digits, mut exponent) = ("0123456789_", "eE");
        if self.accept("0") {
            if self.accept("xX") {
                (digits, exponent) = ("0123456789abcdefABCDEF_", "pP");
            } else if self.accept("oO") {
                (digits, exponent) = ("01234567_", "");
            } else if self.accept("bB") {
                (digits, exponent) = ("01_", "");
            }
        }
        self.accept_all(digits);
        if self.accept(".") {
            self.accept_all(digits);
        }
        if self.accept(exponent) {
            self.accept("+-");
            self.accept_all("0123456789_");
        }
        if self.peek().is_some_and(|c| in_name(c) || c == '+' || c == '-') {
            self.next();
            let word = quoted(&self.text[self.start..self.pos]);
            return self.fail(format!("bad number syntax: {word}"));
        }
        self.sign(Kind::Number)
    }
}

/// As Go's `%#U`: `U+0029 ')'`.
fn code_point(c: char) -> String {
    let code = format!("U+{:04X}", u32::from(c));
    if super::escape::is_print(c) { format!("{code} '{c}'") } else { code }
}
