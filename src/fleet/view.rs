//! What a person is shown of a file around the places of a problem: few lines, and of a long one only what stands around a
//! place. It is made so that the underlines of miette stand below what they are about.

use super::node::Place;
use crate::harmless::harmless;
use miette::{LabeledSpan, MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};
use std::{collections::BTreeSet, fmt, ops::Range};

/// Characters of a line that is shown whole.
const WIDTH: usize = 200;
/// Characters that are shown before and behind a place on a longer one, and of the place itself.
const AROUND: usize = 50;
const PLACE: usize = 70;
/// Lines of a place that is shown whole; of a longer one the first is.
const TALL: usize = 5;
/// Lines between two places that are shown with both.
const BETWEEN: usize = 12;
/// Places of one problem.
const PLACES: usize = 8;

/// A few lines of a file. Nothing in them moves a cursor.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct View {
    file: String,
    text: String,
    /// Number of its first line in the file, from 0.
    first: usize,
    marks: Vec<Mark>,
}

/// A place in a view.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Mark {
    at: Range<usize>,
    /// Column in the file, in characters from 0.
    column: usize,
    label: String,
}

/// A line of the file, without its end.
struct Line<'t> {
    number: usize,
    start: usize,
    text: &'t str,
}

impl View {
    /// What is shown of `text`, whose lines begin at `starts`, for these places; the first is the problem's own.
    pub(super) fn new(file: &str, text: &str, starts: &[usize], places: &[(Place, String)]) -> Self {
        let spans: Vec<Range<usize>> = places.iter().take(PLACES).map(|(place, _)| clipped(text, *place)).collect();
        let lines = lines_around(text, starts, &spans);
        let first = lines.first().map_or(0, |line| line.number);
        let mut view = Self { file: file.to_owned(), text: String::new(), first, marks: Vec::new() };
        let mut ends = vec![0..0; spans.len()];
        let mut number = first;
        for line in &lines {
            // Lines that are far from any place are there only to be counted.
            while number < line.number {
                view.text.push('\n');
                number += 1;
            }
            view.line(line, &spans, &mut ends);
            view.text.push('\n');
            number += 1;
        }
        view.text.pop();
        view.marks = spans
            .iter()
            .zip(ends)
            .zip(places)
            .map(|((span, at), (_, label))| Mark { at, column: column(text, span.start), label: label.clone() })
            .collect();
        view
    }

    /// Writes one line and notes where in it places begin and end.
    fn line(&mut self, line: &Line<'_>, spans: &[Range<usize>], ends: &mut [Range<usize>]) {
        let whole = line.start..line.start + line.text.len();
        let inside: Vec<Range<usize>> = spans
            .iter()
            .filter(|span| span.start <= whole.end && span.end >= whole.start)
            .map(|span| span.start.max(whole.start) - line.start..span.end.min(whole.end).max(span.start) - line.start)
            .collect();
        let kept = kept(line.text, &inside);
        // Where places that begin or end in a stretch of the file do so here.
        let mut note = |stretch: Range<usize>, now: usize| {
            for (span, end) in spans.iter().zip(ends.iter_mut()) {
                if stretch.contains(&span.start) {
                    end.start = now;
                }
                if stretch.contains(&span.end) {
                    end.end = now;
                }
            }
        };
        let mut done = 0;
        for part in kept {
            if part.start > done {
                // A place that ends in what is left out ends here.
                note(line.start + done..line.start + part.start, self.text.len());
                self.text.push('…');
            }
            for (n, c) in line.text[part.clone()].char_indices() {
                let at = line.start + part.start + n;
                note(at..at + 1, self.text.len());
                if c == '\t' {
                    self.text.push(c);
                } else {
                    // Not even a colour of ours is one here.
                    let mut bytes = [0; 4];
                    let c: &str = c.encode_utf8(&mut bytes);
                    let shown = if c == "\u{1b}" { "\\u001b".into() } else { harmless(c) };
                    self.text.push_str(&shown);
                }
            }
            done = part.end;
        }
        if done < line.text.len() {
            note(line.start + done..whole.end, self.text.len());
            self.text.push('…');
        }
        // A place may end behind the end of its line.
        note(whole.end..whole.end + 3, self.text.len());
    }

    /// As miette wants them.
    pub(super) fn labels(&self) -> impl Iterator<Item = LabeledSpan> + '_ {
        self.marks.iter().enumerate().map(|(n, mark)| {
            let span = SourceSpan::from((mark.at.start, mark.at.len()));
            let label = (!mark.label.is_empty()).then(|| mark.label.clone());
            // The primary label is the one whose line and column head the excerpt.
            if n == 0 {
                LabeledSpan::new_primary_with_span(label, span)
            } else {
                LabeledSpan::new_with_span(label, span)
            }
        })
    }

    /// About how many bytes it takes to show.
    pub(super) fn size(&self) -> usize {
        self.text.len() + self.marks.iter().map(|mark| mark.label.len() + 2 * WIDTH).sum::<usize>()
    }
}

impl SourceCode for View {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let found = self.text.read_span(span, before, after)?;
        let mark = self.marks.iter().find(|mark| before == 0 && mark.at.start == span.offset());
        let column = mark.map_or_else(|| found.column(), |mark| mark.column);
        let data = found.data();
        // What is nearer than this is shown in one piece.
        let reach = data.split(|byte| *byte == b'\n').skip(1).count() + BETWEEN;
        let (line, own) = (self.first + found.line(), *found.span());
        Ok(Box::new(MietteSpanContents::new_named(self.file.clone(), data, own, line, column, reach)))
    }
}

/// The stretch of a place that is shown.
fn clipped(text: &str, place: Place) -> Range<usize> {
    let bound = |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let (start, end) = (bound(place.start()), bound(place.end()));
    let stretch = &text[start..end.max(start)];
    let mut ends = stretch.match_indices('\n').map(|(n, _)| n);
    let first = ends.next();
    let tall = ends.nth(TALL - 2).is_some();
    match first {
        Some(first) if tall => start..start + stretch[..first].trim_end_matches('\r').len(),
        _ => start..start + stretch.len(),
    }
}

/// Where the lines of a text begin.
pub(super) fn starts(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(n, _)| n + 1)).collect()
}

/// The lines of these stretches, and one before and after each; those between near ones too.
fn lines_around<'t>(text: &'t str, starts: &[usize], spans: &[Range<usize>]) -> Vec<Line<'t>> {
    let line_of = |offset: usize| starts.partition_point(|start| *start <= offset).saturating_sub(1);
    let mut numbers: BTreeSet<usize> = BTreeSet::new();
    // An empty line at the very end is none, unless something is about it.
    let end = starts.len() - usize::from(text.ends_with('\n'));
    for span in spans {
        let (first, last) = (line_of(span.start), line_of(span.end.saturating_sub(1).max(span.start)));
        numbers.extend(first.saturating_sub(1)..=last);
        numbers.extend(Some(last + 1).filter(|next| *next < end));
    }
    let shown: Vec<usize> = numbers.iter().copied().collect();
    for near in shown.windows(2).filter(|near| near[1] - near[0] <= BETWEEN) {
        numbers.extend(near[0]..near[1]);
    }
    let line = |number: usize| {
        let whole = &text[starts[number]..starts.get(number + 1).copied().unwrap_or(text.len())];
        let body = whole.trim_end_matches('\n').trim_end_matches('\r');
        let mark = if number == 0 { body.len() - body.trim_start_matches('\u{feff}').len() } else { 0 };
        Line { number, start: starts[number] + mark, text: &body[mark..] }
    };
    numbers.into_iter().map(line).collect()
}

/// The parts of a line that are shown: all of it, or what stands around places.
fn kept(line: &str, places: &[Range<usize>]) -> Vec<Range<usize>> {
    if line.len() <= WIDTH || line.chars().nth(WIDTH).is_none() {
        return std::iter::once(0..line.len()).collect();
    }
    let forth = |from: usize, most: usize| line[from..].char_indices().nth(most).map_or(line.len(), |(n, _)| from + n);
    let back = |from: usize, most: usize| line[..from].char_indices().rev().nth(most).map_or(0, |(n, _)| n);
    let bound = |at: usize| (0..=at.min(line.len())).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
    let mut parts: Vec<Range<usize>> = places
        .iter()
        .map(|place| {
            let (start, end) = (bound(place.start), bound(place.end));
            let shown = end.min(forth(start, PLACE));
            back(start, AROUND)..forth(shown, AROUND)
        })
        .collect();
    if parts.is_empty() {
        parts.push(0..forth(0, 2 * AROUND));
    }
    parts.sort_by_key(|part| part.start);
    let mut merged: Vec<Range<usize>> = Vec::new();
    for part in parts {
        match merged.last_mut() {
            Some(last) if part.start <= last.end => last.end = last.end.max(part.end),
            _ => merged.push(part),
        }
    }
    merged
}

fn column(text: &str, offset: usize) -> usize {
    let line = text[..offset].rsplit('\n').next().unwrap_or_default();
    line.trim_start_matches('\u{feff}').chars().count()
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, at: &[Range<usize>]) -> String {
        #[derive(Debug)]
        struct Wrong(View);
        impl fmt::Display for Wrong {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("wrong")
            }
        }
        impl std::error::Error for Wrong {}
        impl miette::Diagnostic for Wrong {
            fn source_code(&self) -> Option<&dyn SourceCode> {
                Some(&self.0)
            }
            fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
                Some(Box::new(self.0.labels()))
            }
        }
        let places: Vec<_> = at.iter().map(|at| (Place::new(0, at.start, at.end), "here".to_owned())).collect();
        let mut out = String::new();
        miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::unicode_nocolor())
            .render_report(&mut out, &Wrong(View::new("f", text, &starts(text), &places)))
            .unwrap();
        out
    }

    /// What stands above the underline of the only place.
    fn underlined(out: &str) -> String {
        let lines: Vec<&str> = out.lines().collect();
        let under = lines.iter().position(|line| line.contains(['┬', '▲'])).unwrap();
        let bar = |line: &str| {
            line.char_indices().filter(|(_, c)| "│·".contains(*c)).map(|(n, c)| n + c.len_utf8() + 1).next().unwrap()
        };
        let (above, below) = (&lines[under - 1][bar(lines[under - 1])..], &lines[under][bar(lines[under])..]);
        let width = |c: char| if u32::from(c) > 0x2e80 { 2 } else { 1 };
        let from = below.chars().take_while(|c| *c == ' ').count();
        let many = below.trim().chars().count();
        let mut column = 0;
        let inside = above.chars().filter(|c| {
            let own = column;
            column += width(*c);
            (from..from + many).contains(&own)
        });
        inside.collect()
    }

    #[test]
    fn of_a_long_line_what_stands_around_the_place_is_shown() {
        for filler in ["x", "é", "日", "a\u{301}"] {
            let (before, after) = (filler.repeat(300_000), filler.repeat(300_000));
            let text = format!("first\n{before} wrong {after}\nlast\nbut one\n");
            let at = text.find("wrong").unwrap();
            let out = shown(&text, std::slice::from_ref(&(at..at + 5)));
            assert!(out.len() < 4000, "{}", out.len());
            let column = before.chars().count() + 2;
            assert!(out.contains(&format!("[f:2:{column}]")) && out.contains("2 │ …"), "{out}");
            if filler != "a\u{301}" {
                assert_eq!(underlined(&out), "wrong", "{out}");
            }
            assert!(out.contains("1 │ first") && out.contains("3 │ last") && !out.contains("but one"), "{out}");
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_written_out_and_underlined_where_it_is() {
        for text in [
            "\t\u{1b}[2Jx: wrong # \u{202e}\n",
            "\u{feff}\u{7}wrong\n",
            "a: 日本 wrong\r\nb\r\n",
            "wrong",
            "\u{1b}[31mwrong",
        ] {
            let at = text.find("wrong").unwrap();
            let out = shown(text, std::slice::from_ref(&(at..at + 5)));
            assert_eq!(underlined(&out), "wrong", "{out}");
            assert!(harmless(&out) == out && !out.contains('\u{1b}'), "{out}");
        }
    }

    #[test]
    fn places_that_are_far_apart_are_shown_without_what_is_between() {
        let text = (1..=100_000).map(|n| format!("line {n}\n")).collect::<Vec<_>>().concat();
        let at = |word: &str| text.find(word).map(|at| at..at + word.len()).unwrap();
        let out = shown(&text, &[at("line 90000"), at("line 10\n"), at("line 14\n")]);
        assert!(out.contains("[f:90000:1]") && out.contains("10 │ line 10") && out.contains("12 │ line 12"), "{out}");
        assert!(!out.contains("line 40\n") && out.lines().count() < 30, "{out}");
        let tall = shown(&text, std::slice::from_ref(&(0..text.len())));
        assert!(tall.contains("line 1\n") && !tall.contains("line 3\n"), "{tall}");
        let end = shown(&text, std::slice::from_ref(&(text.len()..text.len())));
        assert!(end.contains("100001"), "{end}");
        let many: Vec<_> = (1..50).map(|n| at(&format!("line {}", n * 1000))).collect();
        assert!(shown(&text, &many).lines().count() < 60);
    }
}
