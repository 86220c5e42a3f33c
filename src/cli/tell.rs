//! Errors as a person reads them on a terminal: what went wrong, what caused it, what to do.

use crate::{excerpt, fleet::FleetProblems};
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};
use std::{fmt, io};

/// An error and what caused it, the outermost first. A cause that only repeats is left out.
pub(super) fn chain(error: &dyn std::error::Error) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !texts.last().is_some_and(|last| last.ends_with(&text)) {
            texts.push(text);
        }
        source = cause.source();
    }
    texts
}

/// Narrow: `error:`, what caused it, `help:`. Places in files are shown as miette shows them.
pub(super) fn tell(w: &mut dyn fmt::Write, error: &dyn Diagnostic) -> fmt::Result {
    if error.labels().is_some() {
        let mut text = String::new();
        GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
            .with_width(100)
            .render_report(&mut text, error)?;
        return w.write_str(&text);
    }
    if let Some(related) = error.related() {
        for each in related {
            tell(w, each)?;
        }
        return Ok(());
    }
    let error_style = anstyle::Style::new().bold().fg_color(Some(anstyle::AnsiColor::Red.into()));
    let help_style = anstyle::Style::new().bold();
    let mut texts = causes(error).into_iter();
    writeln!(w, "{error_style}error:{error_style:#} {}", indented(&texts.next().unwrap_or_default()))?;
    for cause in texts {
        writeln!(w, "  caused by: {}", indented(&cause))?;
    }
    let mut at = Some(error);
    while let Some(each) = at {
        if let Some(help) = each.help() {
            writeln!(w, "  {help_style}help:{help_style:#} {}", indented(&excerpt::lines(&help.to_string())))?;
        }
        at = each.diagnostic_source();
    }
    Ok(())
}

/// Every problem of a file with its place, then how many there are.
pub(super) fn told_in_place(w: &mut String, problems: &FleetProblems) -> fmt::Result {
    let theme = if anstream::AutoStream::choice(&io::stderr()) == anstream::ColorChoice::Never {
        GraphicalTheme::unicode_nocolor()
    } else {
        GraphicalTheme::unicode()
    };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(100);
    handler.render_report(w, problems)
}

fn causes(error: &dyn Diagnostic) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    match (error.diagnostic_source(), error.source()) {
        (Some(cause), _) => texts.extend(causes(cause)),
        (None, Some(cause)) => texts.extend(chain(cause)),
        (None, None) => {}
    }
    texts.dedup_by(|cause, before| before.ends_with(cause.as_str()));
    texts.into_iter().map(|text| excerpt::lines(&text).into_owned()).collect()
}

/// Further lines stand below the first; a command to copy keeps a line of its own.
pub(super) fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n    ")
}
