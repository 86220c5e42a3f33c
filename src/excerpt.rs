//! As much of a text as a person can use. What others wrote may be of any length: a name of a megabyte, an answer that is
//! a whole web page, a file without ends of lines. Whatever shows a part of it to people shows no more than this.

use std::borrow::Cow;

/// Characters of a word that is quoted within a sentence.
pub const WORD: usize = 80;
/// Characters of one line.
pub const LINE: usize = 400;
/// Lines of a text: so many of its beginning, and so many of its end, where programs say why they failed.
pub const LINES: (usize, usize) = (20, 40);

/// A word that stands in a sentence: its beginning, if it is long.
#[must_use]
pub fn word(text: &str) -> Cow<'_, str> {
    head(text, WORD)
}

/// One line: beginning and end, if it is long.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    ends(text, LINE)
}

/// A text of several lines: the first and the last, none of them longer than a line is.
#[must_use]
pub fn lines(text: &str) -> Cow<'_, str> {
    let (first, last) = LINES;
    let count = text.lines().count();
    if count <= first + last && text.len() <= LINE {
        return Cow::Borrowed(text);
    }
    let mut kept = Vec::new();
    for (at, each) in text.lines().enumerate() {
        if count <= first + last || at < first || at >= count - last {
            kept.push(line(each));
        } else if at == first {
            kept.push(Cow::Owned(format!("… ({} lines are left out)", count - first - last)));
        }
    }
    let mut whole = kept.join("\n");
    if text.ends_with('\n') {
        whole.push('\n');
    }
    if whole == text { Cow::Borrowed(text) } else { Cow::Owned(whole) }
}

/// The first characters, and a mark where more would follow.
#[must_use]
pub fn head(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
    }
}

/// The first characters and the last, and a mark between them.
fn ends(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most || text.chars().nth(most).is_none() {
        return Cow::Borrowed(text);
    }
    let (head, tail) = (most - most / 4, most / 4);
    let end = text.char_indices().nth(head).map_or(text.len(), |(at, _)| at);
    let start = text.char_indices().rev().nth(tail.saturating_sub(1)).map_or(0, |(at, _)| at);
    Cow::Owned(format!("{} … {}", &text[..end], &text[start..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_short_stays_as_it_is() {
        for text in ["", "web", "a\nb\n", "\n\n", "é\t…"] {
            assert_eq!([word(text), line(text), lines(text)], [text; 3]);
            assert!(matches!(lines(text), Cow::Borrowed(_)));
        }
    }

    #[test]
    fn what_is_long_is_cut_between_characters() {
        let long = "é".repeat(1 << 20);
        assert_eq!(word(&long).chars().count(), WORD + 1);
        assert_eq!(line(&long).chars().count(), LINE + 3);
        assert!(
            line(&format!("begin {long} end")).starts_with("begin ") && line(&format!("{long} end")).ends_with(" end")
        );
        let many = (0..100_000).map(|n| format!("{n} {}\n", &long[..600])).collect::<Vec<_>>().concat();
        let few = lines(&many);
        assert!(few.len() < 64 << 10 && few.starts_with("0 ") && few.contains("\n99999 ") && few.ends_with('\n'));
        assert!(few.contains("\n… (99940 lines are left out)\n"), "{few}");
        assert_eq!(few.lines().count(), LINES.0 + LINES.1 + 1);
    }
}
