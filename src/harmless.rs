//! Text for people, in which nothing can move a cursor, clear a screen, retitle a window or turn words around: what
//! hosts, providers and files say may hold anything. Our own colours stay.

use std::borrow::Cow;

/// The text with every character that a terminal would obey written as `\uXXXX`. JSON stays the same JSON.
#[must_use]
pub fn harmless(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut done = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(colour) = colour(rest) {
            done.push_str(&rest[..colour]);
            rest = &rest[colour..];
            continue;
        }
        if is_obeyed(c) {
            done.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            done.push(c);
        }
        rest = &rest[c.len_utf8()..];
    }
    Cow::Owned(done)
}

/// Controls but for the end of a line and the tab; the marks of Unicode that turn the direction of what follows, and
/// its other ends of lines.
fn is_obeyed(c: char) -> bool {
    c.is_control() && c != '\n' && c != '\t'
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// How long the colour is that the text begins with (ECMA-48, 8.3.117): it may colour words, not hide them.
fn colour(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\x1b[")?;
    let end = parameters.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    if !parameters[end..].starts_with('m') || end > 24 {
        return None;
    }
    let mut numbers = parameters[..end].split(';');
    while let Some(number) = numbers.next() {
        match number {
            // A colour out of 256, or by its parts.
            "38" | "48" => match numbers.next() {
                Some("5") => drop(numbers.next()),
                Some("2") => drop((numbers.next(), numbers.next(), numbers.next())),
                _ => return None,
            },
            "" | "0" | "1" | "2" | "3" | "4" | "22" | "23" | "24" | "39" | "49" => {}
            _ if number.len() == 2 && number.starts_with(['3', '4', '9']) => {}
            _ => return None,
        }
    }
    Some(2 + end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::properties;
    use proptest::prelude::*;

    #[test]
    fn what_a_terminal_obeys_is_written_out() {
        for (text, want) in [
            ("plain\n\tß → ✓", "plain\n\tß → ✓"),
            ("\x1b[2J\x1b]0;title\x07", "\\u001b[2J\\u001b]0;title\\u0007"),
            ("a\rb\x08c\0d\x7f", "a\\u000db\\u0008c\\u0000d\\u007f"),
            ("\u{9b}31m", "\\u009b31m"),
            ("user\u{202e}nimda", "user\\u202enimda"),
            ("\x1b[1;31mred\x1b[0m \x1b[38;5;8mgrey\x1b[m", "\x1b[1;31mred\x1b[0m \x1b[38;5;8mgrey\x1b[m"),
            // Hidden, black on black by swapping, blinking, and what only begins like a colour.
            ("\x1b[8mx\x1b[7my\x1b[5mz\x1b[3", "\\u001b[8mx\\u001b[7my\\u001b[5mz\\u001b[3"),
            ("\x1b[38;8mx", "\\u001b[38;8mx"),
        ] {
            assert_eq!(harmless(text), want, "{text:?}");
        }
    }

    proptest! {

        #![proptest_config(properties(256))]

        #[test]
        fn json_stays_what_it_is(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(serde_json::from_str::<String>(&harmless(&json)).unwrap(), text);
        }

        #[test]
        fn nothing_is_obeyed_but_colours(text in "[\x1b\u{9b}\\[\\]0-9;mJHa\u{202e}\r\n]{0,24}") {
            let left = anstream::adapter::strip_str(&harmless(&text)).to_string();
            prop_assert!(!left.chars().any(is_obeyed), "{left:?}");
        }
    }
}
