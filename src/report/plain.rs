//! Plain lines on standard error: for logs, CI and pipes.

use super::{Reporter, duration, interrupted, past};
use crate::{apply::Event, excerpt, harmless::harmless, plan::Plan, plan::StepId};
use std::{collections::BTreeMap, io::Write as _};

pub(super) struct Plain {
    width: usize,
    /// Width of the widest part or hook.
    what: usize,
    /// The last progress of each step, so that the same text is not printed twice.
    last: BTreeMap<StepId, String>,
}

impl Plain {
    pub(super) fn new(plan: &Plan) -> Self {
        let what = plan.changes().map(|(id, _)| id.what().chars().count()).max().unwrap_or(0).max(11);
        Self { width: name_width(plan), what, last: BTreeMap::new() }
    }

    fn line(&self, id: &StepId, text: &str) -> String {
        format!("{:<width$}  {:<what$}  {text}", id.machine, id.what(), width = self.width, what = self.what)
    }

    /// What a person reads of an event; `None` when it says nothing new.
    fn told(&mut self, event: &Event) -> Option<String> {
        Some(match event {
            Event::Started { .. } => return None,
            Event::Progress { step, text } => {
                if self.last.get(step) == Some(text) {
                    return None;
                }
                self.last.insert(step.clone(), text.clone());
                self.line(step, &excerpt::line(text))
            }
            Event::Finished { step, action, result: Ok(()), elapsed } => {
                self.line(step, &format!("{} in {}", past(*action), duration(*elapsed)))
            }
            // Why is told once, at the end, with all that helps.
            Event::Finished { step, result: Err(_), elapsed, .. } => {
                self.line(step, &format!("FAILED after {}", duration(*elapsed)))
            }
            Event::Skipped { step, because_of } => self.line(step, &format!("skipped: {because_of} failed")),
            Event::NotStarted { step } => self.line(step, "not started"),
            Event::CutOff { step } => self.line(step, "cut off"),
            Event::Interrupted { times } => interrupted(*times).to_owned(),
        })
    }
}

/// Width of the widest machine name that has something to do.
pub(super) fn name_width(plan: &Plan) -> usize {
    plan.changes().map(|(id, _)| id.machine.as_str().len()).max().unwrap_or(0)
}

impl Reporter for Plain {
    fn event(&mut self, event: &Event) {
        if let Some(line) = self.told(event) {
            // A closed standard error stops nothing.
            writeln!(std::io::stderr(), "{}", harmless(&line)).ok();
        }
    }

    fn finish(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::{super::samples, *};

    #[test]
    fn a_log_reads_as_it_happened_and_says_nothing_twice() {
        let plan = samples::plan();
        let mut lines = Plain::new(&plan);
        let lines: Vec<String> = samples::events().iter().filter_map(|event| lines.told(event)).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        web-1   instance     created in 1.2 s
        db      engine       connecting
        db      engine       install docker.io (1/2)
        db      engine       FAILED after 1.2 s
        behind  instance     skipped: db/engine failed
        late    instance     not started
        ");
    }
}
