//! What a KDL string in quotes says, and texts in quotes.

use super::{
    Flaw, Step,
    token::{is_banned, is_blank, is_newline},
};

/// A string of a text, whose ends are known.
pub(super) struct Quoted<'a> {
    pub(super) text: &'a str,
    /// Where its quotes begin.
    pub(super) start: usize,
    /// Where it begins between them, and ends.
    pub(super) from: usize,
    pub(super) end: usize,
}

impl<'a> Quoted<'a> {
    /// What stands between its quotes.
    pub(super) fn body(&self) -> &'a str {
        &self.text[self.from..self.end]
    }

    /// What is wrong with all of it, said where it begins.
    fn wrong(&self, message: &str, label: &'static str, help: &str) -> Flaw {
        Flaw::syntax(self.start..self.from, message, label, help)
    }

    /// The lines between `"""` without what the last one begins with.
    pub(super) fn dedented(&self, escapes: bool) -> Step<String> {
        let body = self.body();
        let joined = if escapes { without_blank_escapes(body) } else { body.to_owned() };
        let normal = joined.replace("\r\n", "\n").replace(is_newline, "\n");
        let lines: Vec<&str> = normal.split('\n').collect();
        let [first, inner @ .., last] = &lines[..] else {
            return Err(self.wrong(
                "a string between `\"\"\"` begins on the next line",
                "a new line must follow",
                "break the line after it, and before the closing one",
            ));
        };
        if !first.is_empty() || last.contains(|c| !is_blank(c)) {
            return Err(self.wrong(
                "`\"\"\"` stands alone on its line",
                "text beside it, or beside the closing one",
                "break the line after it, and before the closing one",
            ));
        }
        let mut text = String::with_capacity(normal.len());
        for (n, line) in inner.iter().enumerate() {
            if n > 0 {
                text.push('\n');
            }
            if line.chars().all(is_blank) {
                continue;
            }
            let Some(line) = line.strip_prefix(last) else {
                return Err(self.wrong(
                    "a line of this string begins before its end",
                    "in this string",
                    "begin all lines with the blanks that stand before the closing `\"\"\"`",
                ));
            };
            text.push_str(&if escapes { self.without_escapes(line)? } else { line.to_owned() });
        }
        Ok(text)
    }

    /// What it says on one line.
    pub(super) fn unescaped(&self) -> Step<String> {
        self.without_escapes(self.body())
    }

    fn without_escapes(&self, body: &str) -> Step<String> {
        if !body.contains('\\') {
            return Ok(body.to_owned());
        }
        let body = without_blank_escapes(body);
        let mut text = String::with_capacity(body.len());
        let mut rest = body.as_str();
        while let Some(at) = rest.find('\\') {
            text.push_str(&rest[..at]);
            let mut after = rest[at + 1..].chars();
            let escape = after.next().unwrap_or_default();
            rest = after.as_str();
            text.push(match escape {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'b' => '\u{8}',
                'f' => '\u{c}',
                's' => ' ',
                '\\' | '"' => escape,
                'u' => {
                    let code = rest.strip_prefix('{').and_then(|r| r.split_once('}'));
                    let c = code.filter(|(digits, _)| (1..=6).contains(&digits.len()));
                    let c = c.and_then(|(digits, after)| {
                        Some((char::from_u32(u32::from_str_radix(digits, 16).ok()?)?, after))
                    });
                    let Some((c, after)) = c else { return Err(self.bad_escape("\\u")) };
                    rest = after;
                    c
                }
                _ => return Err(self.bad_escape(&format!("\\{escape}"))),
            });
        }
        text.push_str(rest);
        Ok(text)
    }

    fn bad_escape(&self, escape: &str) -> Flaw {
        let at = self.from + self.body().find(escape).unwrap_or_default();
        Flaw::syntax(
            at..at + escape.len(),
            format!("`{escape}` means nothing in a string"),
            "not an escape",
            "write `\\` for the character itself; a raw string stands between `#\"` and `\"#`",
        )
    }
}

/// `\` and the blanks and line ends after it are nothing.
fn without_blank_escapes(body: &str) -> String {
    let mut text = String::with_capacity(body.len());
    let mut rest = body;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        match after.chars().next() {
            Some(c) if is_blank(c) || is_newline(c) => {
                rest = after.trim_start_matches(|c| is_blank(c) || is_newline(c));
            }
            Some(c) => {
                text.push('\\');
                text.push(c);
                rest = &after[c.len_utf8()..];
            }
            None => rest = after,
        }
    }
    text.push_str(rest);
    text
}

/// A text in quotes, on one line.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_newline(c) || is_banned(c) => out.push_str(&format!("\\u{{{:x}}}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
