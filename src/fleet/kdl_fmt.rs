//! One way to lay out a fleet file in KDL. Only blanks change: nothing moves, no comment is lost, no quote is touched.

use super::{
    convert::means_the_same,
    kdl::{self, tokens},
    problem::Problems,
};
use crate::kdl::{Kind, Token};

/// How often a layout may be laid out until it is settled.
const SETTLES: usize = 4;

/// Two blanks for each level, one between values, at most one empty line in a row. `None`: it cannot be read,
/// which the problems say.
pub(super) fn format(text: &str, problems: &mut Problems) -> Option<String> {
    let tree = kdl::parse(0, text, problems).filter(|_| problems.is_empty())?;
    let plain = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    let mut done = laid_out(&plain);
    for _ in 0..SETTLES {
        let again = laid_out(&done);
        if again == done {
            break;
        }
        done = again;
    }
    // Exotic KDL may defeat the rules. Then its author's layout is the best there is.
    let again = kdl::parse(0, &done, &mut Problems::default());
    let same = again.is_some_and(|new| means_the_same(&tree, &new)) && kinds(&done) == kinds(&plain);
    Some(if same && laid_out(&done) == done { done } else { plain })
}

/// What a text is made of, but for blanks and ends of lines.
fn kinds(text: &str) -> Vec<String> {
    let solid = tokens(text).into_iter().filter(|t| t.kind != Kind::Newline);
    solid.map(|t| text[t.start..t.end].trim_end().to_owned()).collect()
}

fn laid_out(text: &str) -> String {
    let all = tokens(text);
    let mut out = String::with_capacity(text.len() + 64);
    let mut depth = 0_usize;
    let mut last: Option<&Token> = None;
    for token in &all {
        if token.kind == Kind::Close {
            depth = depth.saturating_sub(1);
        }
        let gap = &text[last.map_or(0, |t| t.end)..token.start];
        let begins = last.is_none_or(|t| t.kind == Kind::Newline);
        if token.kind == Kind::Newline {
            // A line that is continued ends in what continues it.
            out.push_str(gap.trim_end());
            if !(out.is_empty() || out.ends_with("\n\n") || out.ends_with("{\n")) {
                out.push('\n');
            }
        } else {
            if gap.contains('\\') {
                out.push_str(gap);
            } else if begins {
                if token.kind == Kind::Close && out.ends_with("\n\n") {
                    out.pop();
                }
                out.push_str(&"  ".repeat(depth));
            } else if !gap.is_empty() || token.kind == Kind::Open {
                out.push(' ');
            }
            out.push_str(text[token.start..token.end].trim_end());
        }
        if token.kind == Kind::Open {
            depth += 1;
        }
        last = Some(token);
    }
    let kept = out.trim_end().len();
    out.truncate(kept);
    out.push('\n');
    out
}
