//! A line of an `ssh_config` as words. It knows no keywords.

/// The keyword, in lower case, and what follows it. `None`: the line is empty or a comment.
pub(super) fn keyword(line: &str) -> Option<(String, &str)> {
    let line = line.trim_matches([' ', '\t', '\r', '\u{c}']);
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let (word, rest) = match line.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
        Some(quoted) => quoted,
        None => line.split_at(line.find([' ', '\t', '\r', '=']).unwrap_or(line.len())),
    };
    // Blanks and at most one `=` stand between a keyword and its value.
    let rest = rest.trim_start_matches(BLANKS);
    let rest = rest.strip_prefix('=').unwrap_or(rest).trim_start_matches(BLANKS);
    Some((word.to_ascii_lowercase(), rest))
}

const BLANKS: [char; 3] = [' ', '\t', '\r'];

/// Splits a value into words: quotes of both kinds, escapes, and a comment at the end.
pub(super) fn split(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| matches!(c, ' ' | '\t')).is_some() {}
        if matches!(chars.peek(), None | Some('#')) {
            return Ok(words);
        }
        let (mut word, mut quote) = (String::new(), None);
        while let Some(&c) = chars.peek() {
            if quote.is_none() && matches!(c, ' ' | '\t') {
                break;
            }
            chars.next();
            match (c, quote) {
                ('\\', _) => {
                    let escaped = chars.next_if(|c| matches!(c, '\'' | '"' | '\\') || (quote.is_none() && *c == ' '));
                    // Before anything else a backslash stands for itself.
                    word.push(escaped.unwrap_or('\\'));
                }
                ('"' | '\'', None) => quote = Some(c),
                (c, Some(open)) if c == open => quote = None,
                (c, _) => word.push(c),
            }
        }
        if quote.is_some() {
            return Err("a quote is not closed".to_owned());
        }
        words.push(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyword_ends_at_a_blank_or_an_equals_sign() {
        for (line, want) in [
            ("  Port 22 ", Some(("port", "22"))),
            ("PORT=22", Some(("port", "22"))),
            ("port = 22", Some(("port", "22"))),
            ("port == 22", Some(("port", "= 22"))),
            ("\tHost\ta  b\r", Some(("host", "a  b"))),
            ("\"User\" me", Some(("user", "me"))),
            ("Port", Some(("port", ""))),
            ("# Port 22", None),
            ("", None),
            (" \t\u{c}", None),
        ] {
            assert_eq!(keyword(line), want.map(|(k, v)| (k.to_owned(), v)), "{line:?}");
        }
    }

    #[test]
    fn words_have_quotes_escapes_and_a_comment() {
        for (text, want) in [
            ("a b", &["a", "b"][..]),
            (r#""a b" 'c "d'"#, &["a b", "c \"d"]),
            (r"a\ b c\d \\", &["a b", "c\\d", "\\"]),
            (r#"x"y z"w"#, &["xy zw"]),
            ("a # b", &["a"]),
            ("a#b", &["a#b"]),
            (r#""" x"#, &["", "x"]),
            ("", &[]),
            ("\\", &["\\"]),
        ] {
            assert_eq!(split(text).unwrap(), want, "{text:?}");
        }
        assert!(split("\"a").is_err() && split("'a\\'").is_err());
    }
}
