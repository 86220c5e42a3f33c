//! One way to lay out a fleet file. Only blanks change: no key moves, no comment is lost, no quote is touched.
//!
//! It works on the text between tokens, not on values, so it cannot rewrite what it does not understand.

use super::{
    FleetProblems, Form, Source, kdl_fmt,
    node::{Node, Value},
    parse::{self, Token},
    problem::Problems,
};
use std::{collections::BTreeSet, ops::Range};

/// How often a layout may be laid out until it is settled.
const SETTLES: usize = 4;

/// The text with two blanks for each level, one blank after `:`, `,` and `-` and inside `{ }`, at most one
/// empty line in a row, `\n` at the end of every line. The result means the same, and formatting it changes nothing.
///
/// # Errors
/// What is wrong, when the text cannot be parsed. It need not be a correct fleet.
pub fn format(file_name: &str, text: &str) -> Result<String, FleetProblems> {
    format_source(&Source::new(file_name, text))
}

/// The same for a text whose form is known.
///
/// # Errors
/// What is wrong, when the text cannot be parsed.
pub fn format_source(source: &Source) -> Result<String, FleetProblems> {
    let mut problems = Problems::default();
    let text = &source.text;
    let wrong = |problems| FleetProblems::among(std::slice::from_ref(source), problems);
    if source.form == Form::Kdl {
        return kdl_fmt::format(text, &mut problems).ok_or_else(|| wrong(problems));
    }
    let Some(tree) = parse::parse(0, text, &mut problems).filter(|_| problems.is_empty()) else {
        return Err(wrong(problems));
    };
    let plain = text.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n");
    let mut done = Layout::new(&plain).format();
    // What was moved may make room for more.
    for _ in 0..SETTLES {
        let again = Layout::new(&done).format();
        if again == done {
            break;
        }
        done = again;
    }
    // Exotic YAML may defeat the rules above. Then its author's layout is the best there is.
    let same = parse::parse(0, &done, &mut problems).is_some_and(|new| means_the_same(&tree, &new))
        && comments(&done) == comments(&plain)
        && Layout::new(&done).format() == done;
    Ok(if same { done } else { plain })
}

fn means_the_same(a: &Node, b: &Node) -> bool {
    match (&a.value, &b.value) {
        (Value::Scalar(a), Value::Scalar(b)) => a == b,
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| means_the_same(a, b)),
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.key == b.key && means_the_same(&a.node, &b.node))
        }
        _ => false,
    }
}

/// Tokens that are more than a position.
fn solid(text: &str) -> Vec<(Token, Range<usize>)> {
    let tokens = parse::tokens(text).into_iter().map(|(token, at)| (token, at.start()..at.end()));
    tokens.filter(|(_, at)| !at.is_empty()).collect()
}

/// All comments, in order.
fn comments(text: &str) -> Vec<String> {
    comments_at(text).into_iter().map(|at| text[at].trim_end().to_owned()).collect()
}

/// Where the comments of a text are that parses.
pub(super) fn comments_at(text: &str) -> Vec<Range<usize>> {
    let mut end = 0;
    let tokens = solid(text);
    let mut gaps: Vec<Range<usize>> = Vec::with_capacity(tokens.len() + 1);
    for (_, at) in &tokens {
        gaps.push(end.min(at.start)..at.start);
        end = end.max(at.end);
    }
    gaps.push(end..text.len());
    let mut found = Vec::new();
    for gap in gaps {
        let mut start = gap.start;
        for line in text[gap].split_inclusive('\n') {
            if let Some(at) = comment_in(line) {
                found.push(start + at..start + line.trim_end().len());
            }
            start += line.len();
        }
    }
    found
}

/// Where a comment begins in text that has no scalars.
fn comment_in(line: &str) -> Option<usize> {
    line.char_indices().find(|&(n, c)| c == '#' && (n == 0 || line[..n].ends_with([' ', '\t']))).map(|(n, _)| n)
}

/// A block that is open: where it stood, where it will stand.
#[derive(Clone, Copy)]
struct Level {
    old: usize,
    new: usize,
    list: bool,
}

struct Layout<'a> {
    text: &'a str,
    /// Starts of lines that belong to what began on a line before: only moved as a whole.
    continued: BTreeSet<usize>,
    /// Those of them that are inside a scalar: their blanks may mean something.
    content: BTreeSet<usize>,
    /// Where the first key of a block mapping is.
    first_keys: BTreeSet<usize>,
    levels: Vec<Level>,
    edits: Vec<(Range<usize>, String)>,
}

impl<'a> Layout<'a> {
    fn new(text: &'a str) -> Self {
        let mut layout = Self {
            text,
            continued: BTreeSet::new(),
            content: BTreeSet::new(),
            first_keys: BTreeSet::new(),
            levels: Vec::new(),
            edits: Vec::new(),
        };
        layout.scan();
        layout
    }

    /// Finds what is where, and the gaps between tokens of one line.
    fn scan(&mut self) {
        let mut flows: Vec<Option<(Token, usize)>> = Vec::new();
        let mut last: Option<(Token, usize)> = None;
        let mut after_block_map = false;
        for (token, place) in parse::tokens(self.text) {
            let at = place.start()..place.end();
            let key = std::mem::replace(&mut after_block_map, false);
            let closed = match token {
                Token::Map | Token::List => {
                    flows.push((!at.is_empty()).then_some((token, at.start)));
                    after_block_map = token == Token::Map && at.is_empty();
                    None
                }
                Token::Close => flows.pop().flatten(),
                Token::Scalar | Token::Block => None,
            };
            if at.is_empty() {
                continue;
            }
            if key {
                self.first_keys.insert(at.start);
            }
            let inside = closed.or(flows.last().copied().flatten()).map(|(kind, _)| kind);
            if let Some((before, end)) = last.filter(|(_, end)| *end <= at.start) {
                self.gap(before, token, inside, end..at.start);
            }
            if let Some((_, start)) = closed {
                self.continue_lines(start..at.end, false);
            }
            match token {
                Token::Block => self.block(at.clone()),
                _ => self.continue_lines(at.clone(), token == Token::Scalar),
            }
            last = Some((token, at.end));
        }
    }

    /// Lines that begin inside of `at`.
    fn continue_lines(&mut self, at: Range<usize>, content: bool) {
        for (n, _) in self.text[at.clone()].match_indices('\n') {
            self.continued.insert(at.start + n + 1);
            if content {
                self.content.insert(at.start + n + 1);
            }
        }
    }

    /// The place of a block scalar begins after the blanks of its first line with content.
    fn block(&mut self, at: Range<usize>) {
        let first = self.text[..at.start].rfind('\n').map_or(0, |n| n + 1);
        // Empty lines above it are content, too.
        let header = self.text[..first].trim_end().len();
        let start = self.text[header..first].find('\n').map_or(first, |n| header + n);
        // It may end behind the blanks of the line after it, which is none of its own.
        let body = self.text[at.clone()].trim_end_matches(' ');
        let end = if body.ends_with('\n') { at.start + body.len() - 1 } else { at.end };
        self.continue_lines(start..end, true);
    }

    fn gap(&mut self, before: Token, after: Token, inside: Option<Token>, at: Range<usize>) {
        let gap = &self.text[at.clone()];
        if let Some(value) = gap.trim_start_matches(' ').strip_prefix(':') {
            // What follows a key may begin with an anchor, a tag or `|`, which are no tokens.
            let rest = value.trim_start_matches(' ');
            if !rest.starts_with(['\n', '#']) {
                self.edits.push((at.start..at.end - rest.len(), ": ".to_owned()));
            }
            return;
        }
        if gap.contains('\n') {
            return;
        }
        let pad = if inside == Some(Token::Map) { " " } else { "" };
        let new = match (gap.trim(), before, after) {
            ("", Token::Map | Token::List, Token::Close) | ("", Token::List, _) => "",
            ("", Token::Map, _) => " ",
            ("" | ",", _, Token::Close) => pad,
            (",", ..) => ", ",
            _ => return,
        };
        self.edits.push((at, new.to_owned()));
    }

    fn format(mut self) -> String {
        let mut comments: Vec<(usize, usize)> = Vec::new();
        let mut shift = 0_isize;
        let mut start = 0;
        for line in self.text.split_inclusive('\n') {
            let at = start;
            start += line.len();
            let body = line.trim_end_matches('\n');
            let column = body.len() - body.trim_start_matches(' ').len();
            // Blanks at the end of a line inside a scalar are part of it.
            let kept = body.trim_end().len().max(column);
            if !(self.content.contains(&start) || self.content.contains(&at) && body.trim().is_empty()) {
                self.edits.push((at + kept..at + body.len(), String::new()));
            }
            if self.continued.contains(&at) {
                if !body.trim().is_empty() {
                    let new = column.saturating_add_signed(shift);
                    self.indent(at, column, new);
                }
            } else if body.trim().is_empty() {
                // Counted when the edits are applied.
            } else if body[column..].starts_with('#') {
                comments.push((at, column));
            } else if body.starts_with("---") || body.starts_with("...") || body.starts_with('%') {
                self.place_comments(&mut comments, None);
            } else {
                let before = self.levels.clone();
                let new = self.structure(at, body, column);
                self.place_comments_with(&mut comments, &before, Some((column, new)));
                shift = new.cast_signed() - column.cast_signed();
                self.indent(at, column, new);
            }
        }
        self.place_comments(&mut comments, None);
        self.apply()
    }

    /// Opens and closes levels for a line that starts a key or an item. Gives its new column.
    fn structure(&mut self, at: usize, body: &str, column: usize) -> usize {
        let mut old = column;
        let mut first = None;
        loop {
            let rest = &body[old..];
            let list = rest == "-" || rest.starts_with("- ");
            let new = self.level(old, list);
            first.get_or_insert(new);
            let inner = rest.get(1..).unwrap_or_default();
            let next = old + 1 + inner.len() - inner.trim_start_matches(' ').len();
            if !list || next >= body.len() {
                break;
            }
            if !body[next..].starts_with('#') {
                self.edits.push((at + old + 1..at + next, " ".to_owned()));
            }
            let dash = body[next..].starts_with("- ") || &body[next..] == "-";
            if !dash && !self.first_keys.contains(&(at + next)) {
                break;
            }
            // A key or an item right behind the dash opens a level at its own column.
            self.levels.push(Level { old: next, new: new + 2, list: dash });
            old = next;
        }
        first.unwrap_or(column)
    }

    fn level(&mut self, old: usize, list: bool) -> usize {
        while self.levels.last().is_some_and(|top| top.old > old || (top.old == old && top.list && !list)) {
            self.levels.pop();
        }
        match self.levels.last() {
            Some(top) if top.old == old && top.list == list => top.new,
            top => {
                let new = top.map_or(0, |top| top.new + 2);
                self.levels.push(Level { old, new, list });
                new
            }
        }
    }

    fn place_comments(&mut self, comments: &mut Vec<(usize, usize)>, next: Option<(usize, usize)>) {
        let levels = self.levels.clone();
        self.place_comments_with(comments, &levels, next);
    }

    /// A comment goes with the line below when it stood where that stood, else with the block it stood in.
    fn place_comments_with(
        &mut self,
        comments: &mut Vec<(usize, usize)>,
        levels: &[Level],
        next: Option<(usize, usize)>,
    ) {
        for (at, column) in comments.drain(..) {
            let level = levels.iter().rev().find(|level| level.old <= column);
            let new = match (next, level) {
                (Some((old, new)), _) if old == column => new,
                (_, Some(level)) if level.old == column => level.new,
                (_, Some(level)) => level.new + 2,
                (_, None) => 0,
            };
            self.indent(at, column, new);
        }
    }

    fn indent(&mut self, at: usize, old: usize, new: usize) {
        self.edits.push((at..at + old, " ".repeat(new)));
    }

    /// Makes the edits, then the empty lines.
    fn apply(mut self) -> String {
        self.edits.sort_by_key(|(at, _)| (at.start, at.end));
        let mut out = String::with_capacity(self.text.len() + 64);
        let mut done = 0;
        for (at, new) in &self.edits {
            if at.start >= done {
                out.push_str(&self.text[done..at.start]);
                out.push_str(new);
                done = at.end;
            }
        }
        out.push_str(&self.text[done..]);
        squeeze(&out)
    }
}

/// At most one empty line in a row, none at the ends; but those inside block scalars stay.
fn squeeze(text: &str) -> String {
    let layout = Layout::new(text);
    let mut out = String::with_capacity(text.len());
    let mut start = 0;
    let mut empty = true;
    for line in text.split_inclusive('\n') {
        let content = layout.content.contains(&start);
        start += line.len();
        if line.trim().is_empty() && !content {
            if !empty {
                out.push('\n');
            }
            empty = true;
        } else {
            out.push_str(line);
            empty = false;
        }
    }
    if empty && out.ends_with("\n\n") {
        out.pop();
    }
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn case(text: &str, want: &str) {
        let once = format("x", text).unwrap();
        assert_eq!(once, want);
        assert_eq!(format("x", &once).unwrap(), want, "formatting again changes nothing");
    }

    #[test]
    fn indentation_is_two_and_blanks_are_one() {
        case(
            "fleet:   shop  \n\n\n\nhosts:\n    web:   {count: 2,depends_on: [ db,x ],}\n    db:\n        ip : 1.2.3.4 # why\n",
            "fleet: shop\n\nhosts:\n  web: { count: 2, depends_on: [db, x] }\n  db:\n    ip: 1.2.3.4 # why\n",
        );
        case("a: {}\nb: [ ]\nc: { }\nd: {  x: {y: []}}", "a: {}\nb: []\nc: {}\nd: { x: { y: [] } }\n");
    }

    #[test]
    fn lists_stand_below_their_key() {
        case(
            "a:\n- x\n-   y: 1\n    z:\n     - 1\n- - p\n  - q\nb: 1\n",
            "a:\n  - x\n  - y: 1\n    z:\n      - 1\n  - - p\n    - q\nb: 1\n",
        );
    }

    #[test]
    fn comments_stay_with_what_they_are_about() {
        case(
            "# top\na:\n    # of b\n    b: 1\n    # end of a\n# of c\nc:\n  - 1\n  # of 2\n  - 2\n   # odd\n",
            "# top\na:\n  # of b\n  b: 1\n  # end of a\n# of c\nc:\n  - 1\n  # of 2\n  - 2\n    # odd\n",
        );
    }

    #[test]
    fn what_is_inside_scalars_is_not_touched() {
        case(
            "a:\n    b: |\n\n        one   \n          two\n\n\n        three\n    c: 'x\n\n\n      y  z'\n",
            "a:\n  b: |\n\n      one   \n        two\n\n\n      three\n  c: 'x\n\n\n    y  z'\n",
        );
        case("a: |+\n  x\n\n\nb: \"#  no comment\"\n", "a: |+\n  x\n\n\nb: \"#  no comment\"\n");
        case("a: >-\n x\n y\nb: [1,\n   2]\n", "a: >-\n x\n y\nb: [1,\n   2]\n");
    }

    #[test]
    fn line_ends_and_byte_order_marks_go() {
        case("\u{feff}a: 1\r\nb:\r\n    c: ü\r\n", "a: 1\nb:\n  c: ü\n");
    }

    #[test]
    fn anchors_and_merges_survive() {
        case(
            "x:   &x\n    a: 1\ny:\n    <<:   *x\n    b:  &b [1,2]\n    c: *b\n",
            "x: &x\n  a: 1\ny:\n  <<: *x\n  b: &b [1, 2]\n  c: *b\n",
        );
    }

    #[test]
    fn what_is_not_yaml_is_not_formatted() {
        assert!(format("x", "a: [1").is_err());
        assert!(format("x", "a: 1\na: 2").is_err());
    }
}
