//! KDL 2 text to tokens, each with its place. It knows words, strings and comments, and no structure.

use super::{
    Flaw, Limits, Step,
    string::{Quoted, quoted},
};

/// More of them are of no use, and a file of mistakes must not exhaust memory.
const FLAWS: usize = 10_000;

/// A piece of the text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// What a piece is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// The end of a line that is not continued.
    Newline,
    Semicolon,
    Open,
    Close,
    Equals,
    OpenType,
    CloseType,
    /// `/-`: what follows is out.
    Slashdash,
    /// A string without quotes.
    Bare,
    /// A string in quotes, as it reads.
    Text(String),
    /// A number, as YAML would write it.
    Number(String),
    /// `#true` or `#false`.
    Flag,
    Null,
    /// `#inf`, `#-inf` or `#nan`.
    NotFinite,
    /// A value that a flaw is about.
    Unknown,
    /// `//` to the end of the line, or `/* */`.
    Comment,
}

/// The tokens of a text. `None`: the flaws say where it cannot be read any further.
pub(crate) fn tokens(text: &str, limits: Limits, flaws: &mut Vec<Flaw>) -> Option<Vec<Token>> {
    let mut lexer = Lexer { text, limits, at: 0, tokens: Vec::new(), depth: 0, values: 0, flaws };
    if text.starts_with('\u{feff}') {
        lexer.at = '\u{feff}'.len_utf8();
    }
    while let Some(c) = lexer.peek() {
        let before = lexer.tokens.len();
        // Here already, for megabytes of nonsense would make a tree before it is refused.
        if let Err(flaw) = lexer.next(c).and_then(|()| lexer.bounded(before)) {
            lexer.flaws.push(flaw);
            return None;
        }
    }
    Some(lexer.tokens)
}

pub(crate) fn is_newline(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{b}' | '\u{c}' | '\u{2028}' | '\u{2029}')
}

pub(crate) fn is_blank(c: char) -> bool {
    matches!(c, '\t' | ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

/// How long the end of a line is that `rest` begins with.
fn newline(rest: &str, first: char) -> usize {
    if rest.starts_with("\r\n") { 2 } else { first.len_utf8() }
}

/// Characters that no KDL text may have: they show as nothing, or turn the direction of what follows.
pub(super) fn is_banned(c: char) -> bool {
    matches!(c, '\0'..='\u{8}' | '\u{e}'..='\u{1f}' | '\u{7f}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

pub(crate) fn is_word(c: char) -> bool {
    !(is_blank(c)
        || is_newline(c)
        || is_banned(c)
        || matches!(c, '\\' | '/' | '(' | ')' | '{' | '}' | '[' | ']' | ';' | '"' | '#' | '='))
}

/// A word that is no string although it looks like one.
pub(crate) fn is_reserved(word: &str) -> bool {
    matches!(word, "true" | "false" | "null" | "inf" | "-inf" | "nan")
}

/// Whether a word begins as a number does.
pub(crate) fn looks_like_number(word: &str) -> bool {
    let rest = word.strip_prefix(['-', '+']).unwrap_or(word);
    rest.strip_prefix('.').unwrap_or(rest).starts_with(|c: char| c.is_ascii_digit())
}

struct Lexer<'a> {
    text: &'a str,
    limits: Limits,
    at: usize,
    tokens: Vec<Token>,
    /// Blocks that are open.
    depth: usize,
    /// Keys and values so far.
    values: usize,
    flaws: &'a mut Vec<Flaw>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn push(&mut self, kind: Kind, start: usize) {
        self.tokens.push(Token { kind, start, end: self.at });
    }

    /// Notes what is wrong with one value, and goes on.
    fn note(&mut self, flaw: Flaw) {
        if self.flaws.len() < FLAWS {
            self.flaws.push(flaw);
        }
    }

    /// Refuses what is deeper or larger than its reader wants. `before` is how many tokens there were.
    fn bounded(&mut self, before: usize) -> Step<()> {
        let Some(last) = self.tokens.get(before..).and_then(<[Token]>::last) else { return Ok(()) };
        let at = last.start..last.end;
        match last.kind {
            Kind::Open => self.depth += 1,
            Kind::Close => self.depth = self.depth.saturating_sub(1),
            Kind::Bare
            | Kind::Text(_)
            | Kind::Number(_)
            | Kind::Flag
            | Kind::Null
            | Kind::NotFinite
            | Kind::Unknown => {
                self.values += 1;
            }
            // A property is one value, and an annotation none.
            Kind::Equals | Kind::OpenType => self.values = self.values.saturating_sub(1),
            _ => {}
        }
        if self.depth > self.limits.depth {
            return Err(Flaw::TooDeep(at));
        }
        if self.values > self.limits.values {
            return Err(Flaw::TooMany(at));
        }
        Ok(())
    }

    /// Takes what begins with `c`.
    fn next(&mut self, c: char) -> Step<()> {
        let start = self.at;
        let rest = self.rest();
        let single = match c {
            ';' => Some(Kind::Semicolon),
            '{' => Some(Kind::Open),
            '}' => Some(Kind::Close),
            '=' => Some(Kind::Equals),
            '(' => Some(Kind::OpenType),
            ')' => Some(Kind::CloseType),
            _ => None,
        };
        if let Some(kind) = single {
            self.at += 1;
            self.push(kind, start);
        } else if is_blank(c) {
            self.at += rest.find(|c| !is_blank(c)).unwrap_or(rest.len());
        } else if is_newline(c) {
            self.at += newline(rest, c);
            self.push(Kind::Newline, start);
        } else if rest.starts_with("//") {
            self.line_comment(start);
        } else if rest.starts_with("/*") {
            self.block_comment(start)?;
        } else if rest.starts_with("/-") {
            self.at += 2;
            self.push(Kind::Slashdash, start);
        } else if c == '\\' {
            self.continued(start)?;
        } else if c == '"' {
            self.string(start, 0)?;
        } else if c == '#' {
            self.hash(start)?;
        } else if is_word(c) {
            self.word(start);
        } else if is_banned(c) {
            let message = format!("the character U+{:04X} is no text", c as u32);
            return Err(Flaw::syntax(
                start..start + c.len_utf8(),
                &message,
                "not seen, and not allowed",
                "remove it; in a string write it as `\\u{…}`",
            ));
        } else {
            let help = if matches!(c, '[' | ']') {
                "a list is written as values with blanks between, as `depends_on db cache`"
            } else {
                "put a text that has this character in quotes"
            };
            return Err(Flaw::syntax(
                start..start + c.len_utf8(),
                format!("`{c}` means nothing in KDL"),
                "it cannot be read from here",
                help,
            ));
        }
        Ok(())
    }

    fn line_comment(&mut self, start: usize) {
        let rest = self.rest();
        self.at += rest.find(is_newline).unwrap_or(rest.len());
        self.push(Kind::Comment, start);
    }

    fn block_comment(&mut self, start: usize) -> Step<()> {
        let bytes = self.text.as_bytes();
        let mut depth = 0_usize;
        let mut at = start;
        // They nest. `/` and `*` are one byte each, wherever they stand.
        while let Some(two) = bytes.get(at..at + 2) {
            match two {
                b"/*" => {
                    depth += 1;
                    at += 2;
                }
                b"*/" => {
                    depth -= 1;
                    at += 2;
                    if depth == 0 {
                        self.at = at;
                        self.push(Kind::Comment, start);
                        return Ok(());
                    }
                }
                _ => at += 1,
            }
        }
        Err(Flaw::syntax(start..start + 2, "this comment is not closed", "it begins here", "close it with `*/`"))
    }

    /// A line that goes on in the next one.
    fn continued(&mut self, start: usize) -> Step<()> {
        self.at += 1;
        loop {
            let rest = self.rest();
            self.at += rest.find(|c| !is_blank(c)).unwrap_or(rest.len());
            if !self.rest().starts_with("/*") {
                break;
            }
            self.block_comment(self.at)?;
        }
        if self.rest().starts_with("//") {
            self.line_comment(self.at);
        }
        let rest = self.rest();
        match rest.chars().next() {
            None => {}
            Some(c) if is_newline(c) => self.at += newline(rest, c),
            Some(_) => {
                return Err(Flaw::syntax(
                    start..start + 1,
                    "`\\` only continues a line",
                    "more follows it on this line",
                    "put a text that has this character in quotes, and write it twice there: `\\\\`",
                ));
            }
        }
        Ok(())
    }

    fn hash(&mut self, start: usize) -> Step<()> {
        let hashes = self.rest().bytes().take_while(|b| *b == b'#').count();
        if self.rest()[hashes..].starts_with('"') {
            return self.string(start, hashes);
        }
        let word = &self.rest()[1..];
        let word = &word[..word.find(|c| !is_word(c)).unwrap_or(word.len())];
        let kind = match word {
            "true" | "false" => Kind::Flag,
            "null" => Kind::Null,
            "inf" | "-inf" | "nan" => Kind::NotFinite,
            _ => {
                // A comment of YAML, most likely.
                let line = self.rest().find(is_newline).unwrap_or(self.rest().len());
                self.note(Flaw::syntax(
                    start..start + 1,
                    "`#` begins no comment in KDL",
                    "not `#true`, `#false` or `#null` either",
                    "a comment begins with `//`",
                ));
                self.at += line;
                return Ok(());
            }
        };
        self.at += 1 + word.len();
        self.push(kind, start);
        Ok(())
    }

    fn word(&mut self, start: usize) {
        let rest = self.rest();
        let word = &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())];
        self.at += word.len();
        let help = format!("write `#{word}` for the value, or `\"{word}\"` for the text");
        let kind = if is_reserved(word) {
            self.note(Flaw::syntax(
                start..self.at,
                format!("`{word}` alone is neither a value nor a text"),
                "a word that KDL keeps for itself",
                &help,
            ));
            Kind::Unknown
        } else if !looks_like_number(word) {
            Kind::Bare
        } else if let Some(number) = number(word) {
            Kind::Number(number)
        } else {
            // `/` may follow, as in a network: all of it is meant.
            let more = &self.rest()[..self
                .rest()
                .find(|c: char| is_blank(c) || is_newline(c) || matches!(c, ';' | '{' | '}'))
                .unwrap_or(self.rest().len())];
            if !more.starts_with("//") && !more.starts_with("/*") {
                self.at += more.len();
            }
            let all = &self.text[start..self.at];
            self.note(Flaw::syntax(
                start..self.at,
                format!("`{all}` begins as a number and is none"),
                "a text that begins with a digit",
                format!("put it in quotes: `{}`", quoted(all)),
            ));
            Kind::Unknown
        };
        self.push(kind, start);
    }

    /// A string in quotes: on one line or between `"""`, raw between as many `#`.
    fn string(&mut self, start: usize, hashes: usize) -> Step<()> {
        let open = start + hashes;
        let many = self.text[open..].starts_with("\"\"\"");
        let quotes = if many { "\"\"\"" } else { "\"" };
        let close = closing(quotes, hashes);
        let from = open + quotes.len();
        let mut at = from;
        let end = loop {
            let rest = &self.text[at..];
            if rest.starts_with(&close) {
                break at;
            }
            match rest.chars().next() {
                None => return Err(Self::unclosed(start, from, &close)),
                Some(c) if is_newline(c) && !many => return Err(Self::unclosed(start, from, &close)),
                Some('\\') if hashes == 0 => {
                    let escaped = rest[1..].chars().next();
                    at += 1 + escaped.map_or(0, char::len_utf8);
                    if escaped.is_some_and(|c| is_blank(c) || is_newline(c)) {
                        let blanks = &self.text[at..];
                        at += blanks.find(|c| !is_blank(c) && !is_newline(c)).unwrap_or(blanks.len());
                    }
                }
                Some(c) if is_banned(c) => {
                    let message = format!("the character U+{:04X} is no text", c as u32);
                    return Err(Flaw::syntax(
                        at..at + c.len_utf8(),
                        &message,
                        "not seen, and not allowed",
                        "remove it, or write it as `\\u{…}`",
                    ));
                }
                Some(c) => at += c.len_utf8(),
            }
        };
        let string = Quoted { text: self.text, start, from, end };
        let text = if many {
            string.dedented(hashes == 0)?
        } else if hashes > 0 {
            string.body().to_owned()
        } else {
            string.unescaped()?
        };
        self.at = end + close.len();
        self.push(Kind::Text(text), start);
        Ok(())
    }

    fn unclosed(start: usize, from: usize, close: &str) -> Flaw {
        Flaw::syntax(
            start..from,
            "this string is not closed",
            "it begins here",
            format!("end it with `{close}`; a string of several lines stands between `\"\"\"`"),
        )
    }
}

fn closing(quotes: &str, hashes: usize) -> String {
    format!("{quotes}{}", "#".repeat(hashes))
}

/// A word that is a number, as YAML would write it.
pub(crate) fn number(word: &str) -> Option<String> {
    let (sign, unsigned) = match word.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", word.strip_prefix('+').unwrap_or(word)),
    };
    let digits = |text: &str, radix: u32| {
        !text.starts_with('_') && !text.is_empty() && text.chars().all(|c| c == '_' || c.is_digit(radix))
    };
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        let Some(rest) = unsigned.strip_prefix(prefix) else { continue };
        if !digits(rest, radix) {
            return None;
        }
        let plain = rest.replace('_', "");
        if sign.is_empty() && radix != 2 && !word.starts_with('+') {
            return Some(format!("{prefix}{plain}"));
        }
        return Some(format!("{sign}{}", i64::from_str_radix(&plain, radix).ok()?));
    }
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).map_or((unsigned, None), |(m, e)| (m, Some(e)));
    let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(w, f)| (w, Some(f)));
    let exponent_fine = exponent.is_none_or(|e| digits(e.strip_prefix(['-', '+']).unwrap_or(e), 10));
    (digits(whole, 10) && fraction.is_none_or(|f| digits(f, 10)) && exponent_fine).then(|| word.replace('_', ""))
}
