//! Texts within quotes, and for HTML, JavaScript and URLs.

use std::fmt::Write as _;

/// Whether Go prints a character as it is.
pub(super) fn is_print(c: char) -> bool {
    match c {
        ' ' => true,
        c if c.is_ascii() => c.is_ascii_graphic(),
        // After a letter, a mark that joins it is printable as well.
        c => !format!("a{c}").escape_debug().any(|c| c == '\\'),
    }
}

/// As Go's `%q`.
pub(super) fn quoted(text: &str) -> String {
    quote(text, '"', false)
}

/// Within `mark`; `ascii` leaves nothing else.
pub(super) fn quote(text: &str, mark: char, ascii: bool) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push(mark);
    for c in text.chars() {
        match c {
            c if c == mark || c == '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if is_print(c) && (!ascii || c.is_ascii()) => out.push(c),
            c if u32::from(c) < 0x20 || c == '\u{7f}' => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c if u32::from(c) < 0x1_0000 => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => {
                let _ = write!(out, "\\U{:08x}", u32::from(c));
            }
        }
    }
    out.push(mark);
    out
}

/// What a literal within `"` or backquotes means.
pub(super) fn unquote(literal: &str) -> Option<String> {
    if let Some(raw) = literal.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')) {
        return Some(raw.replace('\r', ""));
    }
    let mut rest = literal.strip_prefix('"')?.strip_suffix('"')?;
    let mut bytes = Vec::new();
    while !rest.is_empty() {
        if let Some((byte, after)) = byte_escape(rest) {
            bytes.push(byte);
            rest = after;
            continue;
        }
        let (c, after) = unquote_char(rest, '"')?;
        bytes.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
        rest = after;
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// `\x41` and `\101` are bytes, not characters.
fn byte_escape(text: &str) -> Option<(u8, &str)> {
    let rest = text.strip_prefix('\\')?;
    let (digits, base, skip) = match rest.as_bytes() {
        [b'x', ..] => (rest.get(1..3)?, 16, 3),
        [b'0'..=b'7', ..] => (rest.get(..3)?, 8, 3),
        _ => return None,
    };
    if !digits.chars().all(|c| c.is_digit(base)) {
        return None;
    }
    Some((u8::from_str_radix(digits, base).ok()?, &rest[skip..]))
}

/// The first character of the inside of a literal, and the rest.
pub(super) fn unquote_char(text: &str, mark: char) -> Option<(char, &str)> {
    let mut chars = text.chars();
    let first = chars.next()?;
    if first == mark {
        return None;
    }
    if first != '\\' {
        return Some((first, chars.as_str()));
    }
    if let Some((byte, rest)) = byte_escape(text) {
        return Some((char::from(byte), rest));
    }
    let code = |length: usize| {
        let digits = text.get(2..2 + length)?;
        let plain = digits.chars().all(|c| c.is_ascii_hexdigit());
        let code = u32::from_str_radix(digits, 16).ok().filter(|_| plain)?;
        Some((char::from_u32(code)?, &text[2 + length..]))
    };
    let c = match chars.next()? {
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        '\\' => '\\',
        'u' => return code(4),
        'U' => return code(8),
        c if c == mark => c,
        _ => return None,
    };
    Some((c, chars.as_str()))
}

/// For HTML.
pub(super) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => out.push('\u{fffd}'),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

/// For a text of JavaScript.
pub(super) fn js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '\'' | '"' => {
                out.push('\\');
                out.push(c);
            }
            '<' | '>' | '&' | '=' => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c if c < ' ' || (!c.is_ascii() && !is_print(c)) => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// For the query of a URL.
pub(super) fn url_query(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            byte => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}
