//! Regular expressions of `ls --filter name=…`: Go's syntax, and Go's words for what is wrong with it.
//!
//! Names of machines are ASCII, so classes of Unicode characters are refused. What is read here is written anew for
//! the engine that matches, whose own syntax differs in small things.

use regex_lite::Regex;

/// Go's limit for `{n}`.
const MOST: u32 = 1000;

/// A pattern that matches anywhere in a name.
#[derive(Debug)]
pub(super) struct Pattern(Regex);

impl Pattern {
    /// Whether it matches anywhere in a text.
    pub(super) fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

/// Reads a pattern.
///
/// # Errors
/// Says what is wrong, as Go does after `error parsing regexp: `.
pub(super) fn parse(text: &str) -> Result<Pattern, String> {
    let mut reader = Reader { text, at: 0, open: 0, operand: false, repeated: None, out: String::new() };
    while reader.at < text.len() {
        reader.piece()?;
    }
    if reader.open > 0 {
        return Err(format!("missing closing ): `{text}`"));
    }
    Regex::new(&reader.out).map(Pattern).map_err(|_| format!("expression too large or not supported: `{text}`"))
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    /// Open parentheses.
    open: usize,
    /// Whether there is something to repeat.
    operand: bool,
    /// Where the repetition just before stands.
    repeated: Option<usize>,
    out: String,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn take(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn literal(&mut self, c: char) {
        self.out.push_str(&regex_lite::escape(&c.to_string()));
        self.operand = true;
    }

    fn piece(&mut self) -> Result<(), String> {
        let start = self.at;
        let repeated = self.repeated.take();
        let Some(c) = self.take() else { return Ok(()) };
        match c {
            '(' => self.group(start)?,
            ')' if self.open == 0 => return Err(format!("unexpected ): `{}`", self.text)),
            ')' => {
                self.open -= 1;
                self.out.push(')');
                self.operand = true;
            }
            '|' => {
                self.out.push('|');
                self.operand = false;
            }
            '*' | '+' | '?' => self.repeat(start, &c.to_string(), repeated)?,
            '{' => match counts(self.rest()) {
                Some((length, least, most)) => {
                    self.at += length;
                    let operator = &self.text[start..self.at];
                    if least > MOST || most.is_some_and(|most| most > MOST || most < least) {
                        return Err(format!("invalid repeat count: `{operator}`"));
                    }
                    self.repeat(start, operator, repeated)?;
                }
                None => self.literal('{'),
            },
            '[' => self.class(start)?,
            '\\' => self.escape(start)?,
            '.' | '^' | '$' => {
                self.out.push(c);
                self.operand = true;
            }
            c => self.literal(c),
        }
        Ok(())
    }

    fn repeat(&mut self, start: usize, operator: &str, repeated: Option<usize>) -> Result<(), String> {
        self.out.push_str(operator);
        if self.rest().starts_with('?') {
            self.at += 1;
            self.out.push('?');
        }
        if !self.operand {
            return Err(format!("missing argument to repetition operator: `{}`", &self.text[start..self.at]));
        }
        if let Some(before) = repeated {
            return Err(format!("invalid nested repetition operator: `{}`", &self.text[before..self.at]));
        }
        self.repeated = Some(start);
        Ok(())
    }

    /// `(`, `(?:`, `(?i)`, `(?P<name>`
    fn group(&mut self, start: usize) -> Result<(), String> {
        self.operand = false;
        let Some(flags) = self.rest().strip_prefix('?') else {
            self.open += 1;
            self.out.push('(');
            return Ok(());
        };
        if let Some(name) = flags.strip_prefix("P<") {
            let Some(length) = name.find('>') else {
                return Err(format!("invalid named capture: `{}`", &self.text[start..]));
            };
            self.at += "?P<".len() + length + 1;
            let word = name[..length].bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if length == 0 || !word {
                return Err(format!("invalid named capture: `{}`", &self.text[start..self.at]));
            }
            // The name is not asked for.
            self.open += 1;
            self.out.push('(');
            return Ok(());
        }
        self.at += 1;
        loop {
            match self.take() {
                Some('i' | 'm' | 's' | 'U' | '-') => {}
                Some(end @ (':' | ')')) => {
                    self.open += usize::from(end == ':');
                    self.out.push_str(&self.text[start..self.at]);
                    return Ok(());
                }
                _ => return Err(format!("invalid or unsupported Perl syntax: `{}`", &self.text[start..self.at])),
            }
        }
    }

    fn escape(&mut self, start: usize) -> Result<(), String> {
        match self.take() {
            None => return Err("trailing backslash at end of expression: ``".to_owned()),
            Some('Q') => {
                let rest = self.rest();
                let (quoted, length) = rest.find("\\E").map_or((rest, rest.len()), |end| (&rest[..end], end + 2));
                quoted.chars().for_each(|c| self.literal(c));
                self.at += length;
            }
            Some('A' | 'b' | 'B' | 'z' | 'd' | 'D' | 's' | 'S' | 'w' | 'W' | 'a' | 'f' | 'n' | 'r' | 't' | 'v') => {
                let word = &self.text[start..self.at];
                self.out.push_str(word);
                self.operand = true;
            }
            Some('p' | 'P') => {
                let name = self.rest().chars().next().map_or(0, char::len_utf8);
                let end = self.rest().find('}').filter(|_| self.rest().starts_with('{')).map_or(name, |end| end + 1);
                return Err(format!("invalid character class range: `{}`", &self.text[start..self.at + end]));
            }
            Some('x') => {
                let Some(c) = self.hex() else {
                    let end = self.rest().chars().take(2).map(char::len_utf8).sum::<usize>();
                    return Err(format!("invalid escape sequence: `{}`", &self.text[start..self.at + end]));
                };
                self.literal(c);
            }
            Some(c) if c.is_ascii_punctuation() => self.literal(c),
            Some(_) => return Err(format!("invalid escape sequence: `{}`", &self.text[start..self.at])),
        }
        Ok(())
    }

    /// `7F` or `{10FFFF}`.
    fn hex(&mut self) -> Option<char> {
        let rest = self.rest();
        let (digits, length) = match rest.strip_prefix('{') {
            Some(inside) => inside.split_once('}').map(|(digits, _)| (digits, digits.len() + 2))?,
            None => (rest.get(..2)?, 2),
        };
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let c = u32::from_str_radix(digits, 16).ok().filter(|_| plain).and_then(char::from_u32)?;
        self.at += length;
        Some(c)
    }

    /// `[a-z]`, `[^[:digit:]]`
    fn class(&mut self, start: usize) -> Result<(), String> {
        let unclosed = || format!("missing closing ]: `{}`", &self.text[start..]);
        if !self.text[self.at..].contains(']') {
            return Err(unclosed());
        }
        self.out.push('[');
        if self.rest().starts_with('^') {
            self.at += 1;
            self.out.push('^');
        }
        let mut first = true;
        while first || !self.rest().starts_with(']') {
            first = false;
            if let Some(length) = self.rest().strip_prefix("[:").and_then(|inside| inside.find(":]")) {
                let word = &self.rest()[..length + 4];
                if !NAMED.contains(&word[2..length + 2].trim_start_matches('^')) {
                    return Err(format!("invalid character class range: `{word}`"));
                }
                self.out.push_str(word);
                self.at += word.len();
                continue;
            }
            let from = self.at;
            let Some(low) = self.member(start)? else { continue };
            let mut high = low;
            let mut ahead = self.rest().chars();
            if (ahead.next(), ahead.next().is_some_and(|c| c != ']')) == (Some('-'), true) {
                self.at += 1;
                let to = self.member(start)?;
                high = to
                    .filter(|to| *to >= low)
                    .ok_or_else(|| format!("invalid character class range: `{}`", &self.text[from..self.at]))?;
            }
            let [low, high] = [low, high].map(|c| format!("\\x{{{:X}}}", u32::from(c)));
            self.out.push_str(&format!("{low}-{high}"));
        }
        self.at += 1;
        self.out.push(']');
        self.operand = true;
        Ok(())
    }

    /// A character of a class; `None` for a class within it, which is written already.
    fn member(&mut self, start: usize) -> Result<Option<char>, String> {
        let from = self.at;
        match self.take() {
            None => Err(format!("missing closing ]: `{}`", &self.text[start..])),
            Some('\\') => match self.take() {
                None => Err(format!("missing closing ]: `{}`", &self.text[start..])),
                Some('d' | 'D' | 's' | 'S' | 'w' | 'W') => {
                    let word = &self.text[from..self.at];
                    self.out.push_str(word);
                    Ok(None)
                }
                Some('n') => Ok(Some('\n')),
                Some('r') => Ok(Some('\r')),
                Some('t') => Ok(Some('\t')),
                Some('f') => Ok(Some('\u{c}')),
                Some('v') => Ok(Some('\u{b}')),
                Some('a') => Ok(Some('\u{7}')),
                Some('x') => match self.hex() {
                    Some(c) => Ok(Some(c)),
                    None => Err(format!("invalid escape sequence: `{}`", &self.text[from..self.at])),
                },
                Some(c) if c.is_ascii_punctuation() => Ok(Some(c)),
                Some(_) => Err(format!("invalid escape sequence: `{}`", &self.text[from..self.at])),
            },
            Some(c) => Ok(Some(c)),
        }
    }
}

const NAMED: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];

/// What stands after a `{` if it is a count: its length, the least and the most. Anything else is text.
fn counts(rest: &str) -> Option<(usize, u32, Option<u32>)> {
    let (inside, _) = rest.split_once('}')?;
    let number = |text: &str| {
        let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        // One with more digits is too large, whatever it is.
        plain.then(|| text.parse().unwrap_or(u32::MAX))
    };
    let (least, most) = match inside.split_once(',') {
        None => {
            let count = number(inside)?;
            (count, Some(count))
        }
        Some((least, "")) => (number(least)?, None),
        Some((least, most)) => (number(least)?, Some(number(most)?)),
    };
    Some((inside.len() + 1, least, most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::properties;
    use proptest::prelude::*;

    #[test]
    fn patterns_match_anywhere_unless_anchored() {
        for (pattern, text, want) in [
            ("web", "my-web-1", true),
            ("^web", "my-web-1", false),
            ("^web-[0-9]+$", "web-12", true),
            ("^web-[0-9]+$", "web-1a", false),
            ("^[^a]", "abc", false),
            ("a.*?z", "abcz", true),
            ("db|^x$", "cache", false),
            (r"a\.b", "axb", false),
            ("", "anything", true),
            ("[a-]", "-", true),
            ("[]a]", "]", true),
            ("[a&&b]", "&", true),
            ("^(web|db)-[[:digit:]]{2}$", "db-12", true),
            ("^(?:web){2,}$", "webwebweb", true),
            ("(?i)WEB", "my-web", true),
            ("(?P<n>w)eb", "web", true),
            (r"^\w+-\d$", "web-1", true),
            (r"^[\w-]+$", "web-1", true),
            (r"\Qa.b\E", "axb", false),
            (r"\x61", "a", true),
            ("a{,2}", "a{,2}", true),
            ("a{,2}", "aa", false),
            (r"\<a\>", "a", false),
        ] {
            assert_eq!(parse(pattern).unwrap().matches(text), want, "{pattern} on {text}");
        }
    }

    /// As Go has them.
    #[test]
    fn what_is_wrong_is_said_in_gos_words() {
        for (bad, want) in [
            ("[", "missing closing ]: `[`"),
            ("x[a", "missing closing ]: `[a`"),
            ("[]a", "missing closing ]: `[]a`"),
            ("a(", "missing closing ): `a(`"),
            ("a)", "unexpected ): `a)`"),
            ("*", "missing argument to repetition operator: `*`"),
            ("(+)", "missing argument to repetition operator: `+`"),
            ("a**", "invalid nested repetition operator: `**`"),
            ("a+??", "invalid nested repetition operator: `+??`"),
            ("x{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
            ("a{1001}", "invalid repeat count: `{1001}`"),
            ("a{2,1}", "invalid repeat count: `{2,1}`"),
            ("[z-a]", "invalid character class range: `z-a`"),
            ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
            ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
            ("(?z)", "invalid or unsupported Perl syntax: `(?z`"),
            ("(?P<n", "invalid named capture: `(?P<n`"),
            (r"\", "trailing backslash at end of expression: ``"),
            (r"\y", r"invalid escape sequence: `\y`"),
            (r"\8", r"invalid escape sequence: `\8`"),
            (r"\pX", r"invalid character class range: `\pX`"),
        ] {
            assert_eq!(parse(bad).err().as_deref(), Some(want), "{bad}");
        }
    }

    #[test]
    fn no_pattern_takes_long() {
        assert!(!parse("^(a*)*$").unwrap().matches(&format!("{}b", "a".repeat(60))));
    }

    proptest! {

        #![proptest_config(properties(256))]

        #[test]
        fn no_text_makes_it_panic(text in any::<String>(), signs in r"[\[\](){}?*+^$|\\a-c0-9,:<>P-]{0,20}") {
            let _ = parse(&text);
            let _ = parse(&signs);
        }

        #[test]
        fn what_is_quoted_matches_itself(text in r"[ -~]{0,20}") {
            let pattern = parse(&format!("^{}$", regex_lite::escape(&text))).unwrap();
            prop_assert!(pattern.matches(&text));
        }
    }
}
