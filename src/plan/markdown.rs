//! A plan for a pull request: what is removed or replaced first and in the open, the rest folded; never longer
//! than it may be, and always whole: every fold and every fence that is opened is closed.

use super::{Action, Plan, Step, StepId, guard::Refusal, render::count};
use crate::{engine::env::without_passwords, name::MachineName};
use std::collections::BTreeMap;

/// The least that a plan can be told in.
pub const LEAST: usize = 512;
/// What services take: GitHub 65,536 characters in a comment.
pub const USUAL: usize = 60_000;
/// No line is longer, in bytes: one text must not take the place of all others.
const LINE: usize = 400;

/// What stands around the plan itself.
#[derive(Clone, Debug, Default)]
pub struct Around<'a> {
    /// Why `apply` would refuse it.
    pub refusals: &'a [Refusal],
    /// Hosts that were left out on purpose.
    pub left_out: &'a [MachineName],
}

/// What is done to one host.
struct HostText {
    name: String,
    /// `replace`, `remove`, `create`, `upgrade` or `keep`.
    verb: &'static str,
    /// Lines for a fence of kind `diff`.
    lines: Vec<String>,
}

/// The plan as GitHub's and GitLab's Markdown, in at most `max` bytes, which is at least [`LEAST`].
#[must_use]
pub fn markdown(plan: &Plan, around: &Around<'_>, max: usize) -> String {
    let hosts = hosts(plan);
    let mut text = Text { out: String::new(), max: max.max(LEAST) };
    let title = plan.fleet.as_ref().map_or_else(|| "Plan".to_owned(), |f| format!("Plan for fleet `{f}`"));
    text.always(&format!("### {}\n\n{}\n", clipped(&title, 120), plan.summary()));
    let (gone, rest): (Vec<&HostText>, Vec<&HostText>) = hosts.iter().partition(|h| DEADLY.contains(&h.verb));
    if !around.left_out.is_empty() {
        let n = around.left_out.len();
        text.always(&format!("\n{} left out on purpose.\n", count(n, "host is", "hosts are")));
    }
    let mut cut = Vec::new();
    let refusals: Vec<String> =
        around.refusals.iter().map(|r| format!("- {}\n", clipped(&inline(&r.to_string()), LINE))).collect();
    text.list("\n**`apply` will refuse this:**\n\n", &refusals, &mut cut, "refusal", "refusals");
    let lines: Vec<String> = gone.iter().map(|host| deadly(host)).collect();
    text.list("\n**Removed or replaced, with all that is on them:**\n\n", &lines, &mut cut, "removal", "removals");
    let mut left = rest.len();
    for host in rest {
        if !text.fits(&fold(host)) {
            break;
        }
        left -= 1;
    }
    if left > 0 {
        cut.push(count(left, "other host", "other hosts"));
    }
    if !cut.is_empty() {
        text.always(&format!("\n**Not shown, to stay within {} bytes: {}.**\n", text.max, cut.join(", ")));
    }
    text.out
}

/// What costs data.
const DEADLY: [&str; 2] = ["replace", "remove"];

/// A text that grows up to a limit, with room for a last line that says what is missing.
struct Text {
    out: String,
    max: usize,
}

/// Enough for the line that says what was cut.
const LAST: usize = 160;

impl Text {
    /// What is short and must be there.
    fn always(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// Adds a text if there is room.
    fn fits(&mut self, text: &str) -> bool {
        let fits = self.out.len() + text.len() + LAST <= self.max;
        if fits {
            self.out.push_str(text);
        }
        fits
    }

    /// A heading and as many items as there is room for.
    fn list(&mut self, heading: &str, items: &[String], cut: &mut Vec<String>, one: &str, many: &str) {
        let Some(first) = items.first() else { return };
        let mut shown = 0;
        if self.fits(&format!("{heading}{first}")) {
            shown = 1 + items[1..].iter().take_while(|item| self.fits(item)).count();
        }
        if shown < items.len() {
            cut.push(count(items.len() - shown, one, many));
        }
    }
}

fn hosts(plan: &Plan) -> Vec<HostText> {
    let mut by_host: BTreeMap<&MachineName, Vec<(&StepId, &Step)>> = BTreeMap::new();
    for (id, step) in plan.steps.nodes() {
        if step.action != Action::Keep || super::render::worth_saying(step) {
            by_host.entry(&id.machine).or_default().push((id, step));
        }
    }
    by_host.into_iter().map(|(name, steps)| host(name, steps)).collect()
}

fn host(name: &MachineName, steps: Vec<(&StepId, &Step)>) -> HostText {
    let has = |action: Action| steps.iter().any(|(_, step)| step.action == action);
    let verb = match (has(Action::Rm), has(Action::Create), has(Action::Upgrade)) {
        (true, true, _) => "replace",
        (true, false, _) => "remove",
        (false, true, _) => "create",
        (false, false, true) => "upgrade",
        (false, false, false) if has(Action::Run) => "run",
        (false, false, false) => "keep",
    };
    let mut lines = Vec::new();
    for (id, step) in steps {
        let sign = match step.action {
            // What a fence of kind `diff` has a colour for.
            Action::Keep | Action::Upgrade => '!',
            other => other.sign(),
        };
        for (n, reason) in super::render::texts(step).enumerate() {
            let about = id.hook.as_ref().map_or_else(|| id.part.to_string(), |hook| hook.point.to_string());
            let what = if n == 0 { format!("{} {about}", step.action) } else { String::new() };
            let reason = without_passwords(&reason);
            lines.push(clipped(&format!("{sign} {what:<19} {}", one_line(&reason)), LINE));
        }
    }
    HostText { name: name.to_string(), verb, lines }
}

fn deadly(host: &HostText) -> String {
    // The reason of the removal stands first, hooks below it.
    let why = host
        .lines
        .iter()
        .find(|line| line.starts_with('-'))
        .map(|line| line.get(22..).unwrap_or_default().trim())
        .unwrap_or_default();
    let hooks = host.lines.iter().filter(|line| line.starts_with('>'));
    let hooks = hooks.map(|line| format!("  - {}\n", inline(line[1..].trim()))).collect::<Vec<_>>().concat();
    format!("- **{}** `{}`: {}\n{hooks}", host.verb, host.name, inline(why))
}

fn fold(host: &HostText) -> String {
    let body = host.lines.join("\n");
    // A fence must be longer than any run of its own sign within.
    let longest = body.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!(
        "\n<details><summary>{} <code>{}</code></summary>\n\n{fence}diff\n{body}\n{fence}\n\n</details>\n",
        host.verb, host.name
    )
}

/// Without ends of lines and signs that cannot be seen.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A text in which nothing is taken for Markdown or HTML.
fn inline(text: &str) -> String {
    let mut safe = String::new();
    for c in one_line(text).chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '`' | '*' | '_' | '[' | ']' | '\\' | '|' | '~' | '#' | '!' | '@' | '$' => {
                safe.push('\\');
                safe.push(c);
            }
            other => safe.push(other),
        }
    }
    safe
}

/// At most so many bytes, with a sign that there was more. What was escaped is not torn.
fn clipped(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let mut end = max - '…'.len_utf8();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let kept = &text[..end];
    let kept = kept.trim_end_matches('\\');
    let kept = match kept.rfind('&') {
        Some(at) if !kept[at..].contains(';') && kept.len() - at < 6 => &kept[..at],
        _ => kept,
    };
    format!("{kept}…")
}

#[cfg(test)]
#[path = "markdown_tests.rs"]
mod tests;
