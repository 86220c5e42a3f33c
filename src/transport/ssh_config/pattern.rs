//! Patterns of `Host` and `Match`: `*`, `?`, and `!` in front.

/// Whether `text` is what `pattern` describes. Takes at most the product of both lengths in steps.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the last `*` does not fit: that `*` takes one more character.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match retry {
                Some((after, from)) => {
                    (p, t) = (after, from + 1);
                    retry = Some((after, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Whether any of `patterns` matches and none that is negated does.
pub(super) fn any<'a>(patterns: impl IntoIterator<Item = &'a str>, text: &str) -> bool {
    let mut found = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(negated) if matches(negated, text) => return false,
            Some(_) => {}
            None => found |= matches(pattern, text),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn stars_and_question_marks_match_as_in_file_names() {
        for (pattern, text, want) in [
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("*.example.org", "www.example.org", true),
            ("*.example.org", "example.org", false),
            ("10.0.0.?", "10.0.0.7", true),
            ("10.0.0.?", "10.0.0.77", false),
            ("a**b?", "axxbbc", true),
            ("[ab]", "a", false),
        ] {
            assert_eq!(matches(pattern, text), want, "{pattern} {text}");
        }
    }

    #[test]
    fn a_negated_pattern_only_takes_away() {
        assert!(any(["web*", "!web-3"], "web-1"));
        assert!(!any(["web*", "!web-3"], "web-3"));
        assert!(!any(["!web-3"], "web-1"), "nothing says what does match");
    }

    #[test]
    fn no_pattern_takes_long() {
        let begun = Instant::now();
        assert!(!matches(&"*a".repeat(500), &"a".repeat(5_000).replace("aaaaa", "aaaab")));
        assert!(!matches(&format!("{}b", "*a".repeat(500)), &"a".repeat(5_000)));
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
}
