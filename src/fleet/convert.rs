//! A fleet file in the other form, with its comments. What cannot be kept is said; what would change is refused.

use super::{
    FleetProblems, Form, Source, kdl, kdl_write,
    node::{Meaning, Node, Scalar, Value},
    parse,
    problem::{Code, Problem, Problems},
    remarks::{Comment, Remarks},
    shape::Shape,
    yaml_write,
};
use crate::kdl::Kind;
use std::ops::Range;

/// A file in another form.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Converted {
    /// What to write.
    pub text: String,
    /// What the other form cannot hold, as sentences.
    pub notes: Vec<String>,
}

/// How often a file may go to and fro before its layout is settled.
const ROUNDS: usize = 6;

/// Writes a file in a form. It means the same, and every comment is in it. Going back and coming again changes nothing:
/// where what one form keeps of a layout is not what the other does, the file goes to and fro until both agree.
///
/// # Errors
/// What is wrong with the file, or why it cannot be written so.
pub fn convert(source: &Source, to: Form) -> Result<Converted, FleetProblems> {
    let mut done = once(source, to)?;
    let of = |form: Form, text: &str| Source { name: source.name.clone(), text: text.to_owned(), form };
    for _ in 0..ROUNDS {
        let there = once(&of(to, &done.text), to.other());
        let Ok(back) = there.and_then(|there| once(&of(to.other(), &there.text), to)) else { break };
        if back.text == done.text {
            break;
        }
        done.text = back.text;
    }
    Ok(done)
}

/// Writes a file in a form, once.
fn once(source: &Source, to: Form) -> Result<Converted, FleetProblems> {
    let mut problems = Problems::default();
    let text = source.text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    let read = match source.form {
        Form::Yaml => parse::parse(0, &text, &mut problems).map(|root| (root, Vec::new())),
        Form::Kdl => kdl::read(0, &text, &mut problems).map(|(mut root, out)| {
            Shape::fleet().complete(&mut root);
            (root, out)
        }),
    };
    let Some((root, dropped)) = read.filter(|_| problems.is_empty()) else {
        // Told in the text as it is.
        let mut problems = Problems::default();
        let _ = source.form.parse(0, &source.text, &mut problems);
        return Err(FleetProblems::among(std::slice::from_ref(source), problems));
    };
    let comments = comments(source.form, &text, &dropped);
    let remarks = Remarks::new(&text, &root, &comments);
    let written = match to {
        Form::Yaml => yaml_write::write(&root, &text, remarks),
        Form::Kdl => kdl_write::write(&root, &text, remarks),
    };
    // What is read below is what is given.
    let laid_out = super::fmt::format_source(&Source { name: source.name.clone(), text: written.clone(), form: to });
    let written = laid_out.unwrap_or(written);
    let kept = |form: Form, text: &str| -> Vec<String> {
        let mut words: Vec<String> = self::comments(form, text, &[]).into_iter().flat_map(|c| c.lines).collect();
        words.sort();
        words
    };
    let mut want: Vec<String> = comments.iter().flat_map(|c| c.lines.clone()).collect();
    want.sort();
    let again = to.parse(0, &written, &mut problems);
    let root_again = again.is_some_and(|again| means_the_same(&root, &again)) && problems.is_empty();
    if !root_again || kept(to, &written) != want {
        let mut problems = Problems::default();
        let problem = Problem::new(Code::NotSupported, "this file cannot be written in the other form without loss")
            .at(root.at, "something in it has no equal there")
            .help("write the other file by hand; `machine validate` says whether it is right");
        problems.push(problem);
        return Err(FleetProblems::among(std::slice::from_ref(source), problems));
    }
    let mut notes = Vec::new();
    if to == Form::Kdl && source.form == Form::Yaml && parse::has_aliases(&text) {
        notes.push("KDL has no anchors: what aliases stand for is written out where they were.".to_owned());
    }
    if to == Form::Yaml && !dropped.is_empty() {
        notes.push("YAML cannot leave out a key with `/-`: what was left out is in comments.".to_owned());
    }
    Ok(Converted { text: written, notes })
}

/// Whether two documents say the same, wherever it stands and however it is written.
pub(super) fn means_the_same(a: &Node, b: &Node) -> bool {
    match (&a.value, &b.value) {
        (Value::Scalar(a), Value::Scalar(b)) => same_scalar(a, b),
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a.is_null() && b.is_null()) || means_the_same(a, b))
        }
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.key == b.key && means_the_same(&a.node, &b.node))
        }
        _ => false,
    }
}

fn same_scalar(a: &Scalar, b: &Scalar) -> bool {
    match (a.meaning(), b.meaning()) {
        // In an overlay, nothing and `null` are not the same.
        (Meaning::Null, Meaning::Null) => a.text.is_empty() == b.text.is_empty(),
        (a_means, b_means) => a_means == b_means && a.text == b.text,
    }
}

/// All comments of a text, in order.
fn comments(form: Form, text: &str, dropped: &[Range<usize>]) -> Vec<Comment> {
    match form {
        Form::Yaml => super::fmt::comments_at(text)
            .into_iter()
            .map(|at| Comment { start: at.start, lines: vec![bare(&text[at], "#")] })
            .collect(),
        Form::Kdl => {
            let mut found: Vec<Comment> = kdl::tokens(text)
                .iter()
                .filter(|t| t.kind == Kind::Comment && !dropped.iter().any(|out| out.contains(&t.start)))
                .map(|t| Comment { start: t.start, lines: kdl_lines(&text[t.start..t.end]) })
                .collect();
            // Of those inside each other, the outermost holds all.
            let outer = dropped
                .iter()
                .filter(|out| !dropped.iter().any(|o| o != *out && o.start <= out.start && out.end <= o.end));
            found.extend(outer.map(|out| Comment {
                start: out.start,
                lines: text[out.clone()].lines().map(|line| format!(" {}", line.trim())).collect(),
            }));
            found.sort_by_key(|c| c.start);
            found
        }
    }
}

fn kdl_lines(comment: &str) -> Vec<String> {
    match comment.strip_prefix("/*").and_then(|c| c.strip_suffix("*/")) {
        Some(block) => {
            let lines = block.trim().lines().map(|line| line.trim().trim_start_matches('*').trim());
            lines
                .map(|line| if line.is_empty() { String::new() } else { format!(" {line}") })
                .filter(|l| !l.is_empty())
                .collect()
        }
        None => vec![bare(comment, "//")],
    }
}

/// What a comment says; one that says nothing has a blank, to tell it from an empty line.
fn bare(comment: &str, mark: &str) -> String {
    let said = comment.strip_prefix(mark).unwrap_or(comment).trim_end();
    if said.is_empty() { " ".to_owned() } else { said.to_owned() }
}

/// Whether all of it stands on one line, in the order it is in.
pub(super) fn on_one_line(text: &str, start: usize, node: &Node) -> bool {
    let mut end = start;
    reaches(node, &mut end) && text.get(start..end).is_some_and(|part| !part.contains('\n'))
}

fn reaches(node: &Node, end: &mut usize) -> bool {
    match &node.value {
        Value::Scalar(_) => {
            let fine = node.at.start() >= *end || node.at.is_empty() || node.at.end() == *end;
            *end = node.at.end().max(*end);
            fine
        }
        Value::List(items) => items.iter().all(|item| reaches(item, end)),
        Value::Map(entries) => entries.iter().all(|entry| {
            let fine = entry.key_at.start() >= *end;
            *end = entry.key_at.end().max(*end);
            fine && reaches(&entry.node, end)
        }),
    }
}

/// Where a value ends, as far as its places say.
pub(super) fn end_of(node: &Node) -> usize {
    let own = node.at.end();
    match &node.value {
        Value::Scalar(_) => own,
        Value::List(items) => items.iter().map(end_of).max().unwrap_or(own),
        Value::Map(entries) => entries.iter().map(|e| end_of(&e.node).max(e.key_at.end())).max().unwrap_or(own),
    }
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
