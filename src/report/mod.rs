//! Tells people and programs what happens during a run, and how it ended for every host.
//!
//! Reporters receive [`Event`]s and can do nothing else.

mod json;
mod live;
mod plain;
#[cfg(test)]
mod samples;
pub mod summary;

use crate::{apply::Event, plan::Plan};
use std::{io::IsTerminal, time::Duration};

/// Receives what happens, as it happens.
pub trait Reporter: Send {
    /// Something happened.
    fn event(&mut self, event: &Event);
    /// Nothing more will happen; leaves the terminal as it was found.
    fn finish(&mut self);
}

/// How a run is reported.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Style {
    /// A live line per host on a terminal, plain lines elsewhere; on standard error.
    Human,
    /// A JSON object per event, on standard output.
    Json,
}

/// The reporter for a style and for where standard error goes.
#[must_use]
pub fn reporter(style: Style, plan: &Plan) -> Box<dyn Reporter> {
    match style {
        Style::Json => Box::new(json::Json),
        Style::Human if std::io::stderr().is_terminal() => Box::new(live::Live::new(plan)),
        Style::Human => Box::new(plain::Plain::new(plan)),
    }
}

/// `0.4 s`, `12 s`, `3 min 5 s`: as exact as a person cares.
#[must_use]
pub fn duration(d: Duration) -> String {
    match d.as_secs() {
        0..10 => format!("{:.1} s", d.as_secs_f64()),
        s @ 10..120 => format!("{s} s"),
        s => format!("{} min {} s", s / 60, s % 60),
    }
}

/// What a person who pressed Ctrl-C is told.
fn interrupted(times: u8) -> &'static str {
    match times {
        0 | 1 => "No new step starts; those under way are finished. Ctrl-C once more stops at once.",
        _ => "Stopping at once; the next plan knows what was under way.",
    }
}

/// What a finished action is called.
fn past(action: crate::plan::Action) -> &'static str {
    match action {
        crate::plan::Action::Keep => "kept",
        crate::plan::Action::Create => "created",
        crate::plan::Action::Upgrade => "upgraded",
        crate::plan::Action::Rm => "removed",
        crate::plan::Action::Run => "done",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_as_exact_as_a_person_cares() {
        for (ms, text) in [(420, "0.4 s"), (9_990, "10.0 s"), (12_300, "12 s"), (185_000, "3 min 5 s")] {
            assert_eq!(duration(Duration::from_millis(ms)), text);
        }
    }
}
