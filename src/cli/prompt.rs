//! Asking a person.

use super::{CliError, Cx, Out};
use std::io::{self, BufRead, IsTerminal};

/// Asks whether to do `what`. Without a terminal the answer can only be given beforehand; in docker-machine's
/// place it is read from wherever standard input comes.
///
/// # Errors
/// [`CliError::Unconfirmed`] when there is no terminal to ask at.
pub(super) fn confirmed(cx: &Cx, out: &mut Out, question: &str, what: &str) -> Result<bool, CliError> {
    Ok(is_yes(&ask(cx, out, question, what)?))
}

/// As [`confirmed`], but what is no answer is an error: who could not be asked has not said no.
///
/// # Errors
/// As [`confirmed`], and in the words of Go's `fmt.Scanln` when there is not one word.
pub(super) fn answered(cx: &Cx, out: &mut Out, question: &str, what: &str) -> Result<bool, CliError> {
    let line = ask(cx, out, question, what)?;
    match line.split_whitespace().count() {
        0 if line.is_empty() => Err(CliError::said("EOF")),
        0 => Err(CliError::said("unexpected newline")),
        1 => Ok(is_yes(&line)),
        _ => Err(CliError::said("expected newline")),
    }
}

fn ask(cx: &Cx, out: &mut Out, question: &str, what: &str) -> Result<String, CliError> {
    let stdin = io::stdin();
    if !cx.drop_in() && !stdin.is_terminal() {
        return Err(CliError::Unconfirmed { what: what.to_owned() });
    }
    out.text(question)?;
    // A question that was not seen was not answered.
    if !out.is_seen()? {
        return Err(CliError::Unconfirmed { what: what.to_owned() });
    }
    let mut line = String::new();
    // What cannot be read is no yes.
    let _ = stdin.lock().read_line(&mut line);
    Ok(line)
}

/// Exactly one word, and it starts with y.
fn is_yes(line: &str) -> bool {
    let mut words = line.split_whitespace();
    words.next().is_some_and(|word| word.starts_with(['y', 'Y'])) && words.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_word_with_a_y_is_a_yes() {
        for yes in ["y\n", "Y", "  yes\n", "yikes"] {
            assert!(is_yes(yes), "{yes:?}");
        }
        for no in ["", "\n", "n\n", "y please\n", "ok"] {
            assert!(!is_yes(no), "{no:?}");
        }
    }
}
