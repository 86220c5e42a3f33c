//! Plain lines on standard error: for logs, CI and pipes.

use super::{Reporter, duration, interrupted, past};
use crate::{apply::Event, plan::Plan, plan::StepId};
use std::{collections::BTreeMap, io::Write as _};

pub(super) struct Plain {
    width: usize,
    /// The last progress of each step, so that the same text is not printed twice.
    last: BTreeMap<StepId, String>,
}

impl Plain {
    pub(super) fn new(plan: &Plan) -> Self {
        Self { width: name_width(plan), last: BTreeMap::new() }
    }

    fn line(&self, id: &StepId, text: &str) {
        writeln!(std::io::stderr(), "{:<width$}  {:<11}  {text}", id.machine, id.part, width = self.width).ok();
    }
}

/// Width of the widest machine name that has something to do.
pub(super) fn name_width(plan: &Plan) -> usize {
    plan.changes().map(|(id, _)| id.machine.as_str().len()).max().unwrap_or(0)
}

impl Reporter for Plain {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Started { .. } => {}
            Event::Progress { step, text } => {
                if self.last.get(step) != Some(text) {
                    self.line(step, text);
                    self.last.insert(step.clone(), text.clone());
                }
            }
            Event::Finished { step, action, result: Ok(()), elapsed } => {
                self.line(step, &format!("{} in {}", past(*action), duration(*elapsed)));
            }
            Event::Finished { step, result: Err(e), elapsed, .. } => {
                self.line(step, &format!("FAILED after {}: {e}", duration(*elapsed)));
            }
            Event::Skipped { step, because_of } => self.line(step, &format!("skipped: {because_of} failed")),
            Event::NotStarted { step } => self.line(step, "not started"),
            Event::CutOff { step } => self.line(step, "cut off"),
            Event::Interrupted { times } => {
                writeln!(std::io::stderr(), "{}", interrupted(*times)).ok();
            }
        }
    }

    fn finish(&mut self) {}
}
