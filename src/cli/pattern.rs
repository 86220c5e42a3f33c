//! The part of regular expressions that people filter machine names with: `^web-[0-9]+$`, `db|cache`, `m.*`.
//!
//! It has no groups and no counts; they are refused, not misread.

/// A parsed pattern: one of these must match somewhere.
#[derive(Debug)]
pub(super) struct Pattern(Vec<Branch>);

#[derive(Debug)]
struct Branch {
    from_start: bool,
    to_end: bool,
    items: Vec<Item>,
}

#[derive(Debug)]
struct Item {
    class: Class,
    least: usize,
    most: usize,
}

#[derive(Debug)]
enum Class {
    Any,
    Set { ranges: Vec<(char, char)>, negated: bool },
}

impl Class {
    fn matches(&self, c: char) -> bool {
        match self {
            Self::Any => true,
            Self::Set { ranges, negated } => ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *negated,
        }
    }
}

/// Reads a pattern.
///
/// # Errors
/// Says what is wrong, or cannot be done here.
pub(super) fn parse(text: &str) -> Result<Pattern, String> {
    let mut branches = vec![Branch { from_start: false, to_end: false, items: Vec::new() }];
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let branch = branches.last_mut().expect("there is always one");
        if branch.to_end && c != '|' {
            return Err("`$` stands only at the end".to_owned());
        }
        let class = match c {
            '|' => {
                branches.push(Branch { from_start: false, to_end: false, items: Vec::new() });
                continue;
            }
            '^' if branch.items.is_empty() => {
                branch.from_start = true;
                continue;
            }
            '$' => {
                branch.to_end = true;
                continue;
            }
            '.' => Class::Any,
            '[' => set(&mut chars)?,
            '\\' => match chars.next() {
                Some('d') => Class::Set { ranges: vec![('0', '9')], negated: false },
                Some(c) if !c.is_alphanumeric() => Class::Set { ranges: vec![(c, c)], negated: false },
                _ => return Err("unknown escape".to_owned()),
            },
            '*' | '+' | '?' => return Err(format!("missing argument to repetition operator: `{c}`")),
            '(' | ')' | '{' | '}' | '^' => return Err(format!("`{c}` is more than this filter can do")),
            c => Class::Set { ranges: vec![(c, c)], negated: false },
        };
        let (least, most) = match chars.peek() {
            Some('*') => (0, usize::MAX),
            Some('+') => (1, usize::MAX),
            Some('?') => (0, 1),
            _ => (1, 1),
        };
        if (least, most) != (1, 1) {
            chars.next();
        }
        branch.items.push(Item { class, least, most });
    }
    Ok(Pattern(branches))
}

fn set(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Class, String> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        match chars.next() {
            None => return Err("missing closing ]".to_owned()),
            Some(']') if !ranges.is_empty() => return Ok(Class::Set { ranges, negated }),
            Some(from) => {
                let mut ahead = chars.clone();
                match (ahead.next(), ahead.next()) {
                    (Some('-'), Some(to)) if to != ']' => {
                        ranges.push((from, to));
                        *chars = ahead;
                    }
                    _ => ranges.push((from, from)),
                }
            }
        }
    }
}

impl Pattern {
    /// Whether it matches anywhere in a text.
    pub(super) fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        self.0.iter().any(|branch| {
            let last = if branch.from_start { 0 } else { text.len() };
            (0..=last).any(|start| branch.matches(&text[start..]))
        })
    }
}

impl Branch {
    /// Keeps the set of places that can have been reached, so that no pattern takes exponential time.
    fn matches(&self, text: &[char]) -> bool {
        let mut places = vec![0];
        for item in &self.items {
            let mut next = std::collections::BTreeSet::new();
            for place in places {
                let run = text[place..].iter().take(item.most).take_while(|c| item.class.matches(**c)).count();
                next.extend((item.least..=run).map(|length| place + length));
            }
            places = next.into_iter().collect();
        }
        places.iter().any(|place| !self.to_end || *place == text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_anywhere_unless_anchored() {
        for (pattern, text, want) in [
            ("web", "my-web-1", true),
            ("^web", "my-web-1", false),
            ("1$", "web-1", true),
            ("^web-[0-9]+$", "web-12", true),
            ("^web-[0-9]+$", "web-1a", false),
            ("^[^a]", "abc", false),
            ("^", "x", true),
            ("a.*z", "abcz", true),
            ("a.*z", "abc", false),
            ("db|cache", "cache-1", true),
            ("db|^x$", "cache", false),
            (r"a\.b", "a.b", true),
            (r"a\.b", "axb", false),
            ("colou?r", "color", true),
            ("", "anything", true),
            ("[a-]", "-", true),
        ] {
            assert_eq!(parse(pattern).unwrap().matches(text), want, "{pattern} on {text}");
        }
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        for bad in ["[a", "(a)", "a{2}", "*a", "a**", r"\w", "a$b", r"a\"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_pattern_takes_long() {
        assert!(!parse(&format!("^{}$", "a*".repeat(40))).unwrap().matches(&format!("{}b", "a".repeat(60))));
    }
}
