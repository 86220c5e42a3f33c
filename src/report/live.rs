//! A live line per host with the step it is in and the time it has taken, on a terminal.

use super::{Reporter, duration, interrupted, past, plain::name_width};
use crate::{
    apply::Event,
    harmless::harmless,
    name::MachineName,
    plan::{Plan, StepId},
};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::{collections::BTreeMap, time::Duration};

pub(super) struct Live {
    all: MultiProgress,
    lines: BTreeMap<MachineName, ProgressBar>,
    /// Steps each host still has to end, so that its line stops when the host is complete.
    left: BTreeMap<MachineName, usize>,
    width: usize,
}

impl Live {
    pub(super) fn new(plan: &Plan) -> Self {
        let mut left: BTreeMap<MachineName, usize> = BTreeMap::new();
        for (id, _) in plan.changes() {
            *left.entry(id.machine.clone()).or_default() += 1;
        }
        Self { all: MultiProgress::new(), lines: BTreeMap::new(), left, width: name_width(plan) }
    }

    fn line(&mut self, machine: &MachineName) -> &ProgressBar {
        let (all, width) = (&self.all, self.width);
        self.lines.entry(machine.clone()).or_insert_with(|| {
            let bar = all.add(ProgressBar::new_spinner());
            bar.set_style(style("{spinner:.cyan} {prefix}  {wide_msg} {elapsed:.dim}"));
            bar.set_prefix(format!("{machine:<width$}"));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        })
    }

    fn say(&mut self, id: &StepId, text: &str) {
        let text = format!("{:<11}  {text}", id.what());
        self.line(&id.machine).set_message(harmless(&text).into_owned());
    }

    fn ended(&mut self, id: &StepId, text: &str, mark: &str) {
        let left = self.left.entry(id.machine.clone()).or_insert(1);
        *left = left.saturating_sub(1);
        let complete = *left == 0;
        self.say(id, text);
        if complete || mark != "✓" {
            let template = format!("{mark} {{prefix}}  {{wide_msg}} {{elapsed:.dim}}");
            let bar = self.line(&id.machine);
            if !bar.is_finished() {
                bar.set_style(style(&template));
                bar.abandon();
            }
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates here are legal")
}

impl Reporter for Live {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Started { step, action } => self.say(step, &format!("{action} …")),
            Event::Progress { step, text } => self.say(step, text),
            Event::Finished { step, action, result: Ok(()), elapsed } => {
                self.ended(step, &format!("{} in {}", past(*action), duration(*elapsed)), "✓");
            }
            // Why is told once, at the end, with all that helps.
            Event::Finished { step, result: Err(_), elapsed, .. } => {
                self.ended(step, &format!("failed after {}", duration(*elapsed)), "✗");
            }
            Event::Skipped { step, because_of } => self.ended(step, &format!("skipped: {because_of} failed"), "-"),
            Event::NotStarted { step } => self.ended(step, "not started", "-"),
            Event::CutOff { step } => self.ended(step, "cut off", "-"),
            // Above the lines, which would otherwise be drawn over it.
            Event::Interrupted { times } => {
                self.all.println(interrupted(*times)).ok();
            }
        }
    }

    fn finish(&mut self) {
        for bar in self.lines.values().filter(|b| !b.is_finished()) {
            bar.abandon();
        }
    }
}
