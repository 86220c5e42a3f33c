//! What a fleet says about hooks: defaults and a host's own, point by point, checked.

use super::{
    node::{Node, Value},
    problem::{Code, Problem, Problems},
    raw::{RawHook, RawHooks},
};
use crate::hook::{Command, Hook, Hooks, On, Point, seconds};
use std::collections::BTreeSet;

/// Seconds a hook may take unless it says otherwise.
const LIMIT: u64 = 300;

/// The hooks as both say it; a host's list for a point replaces the default one.
pub(super) fn merge(defaults: &Hooks, own: Hooks) -> Hooks {
    let mut both = defaults.clone();
    both.0.extend(own.0);
    both.0.retain(|_, hooks| !hooks.is_empty());
    both
}

/// Checks hooks as they stand at `node`, and gives those that are right. An empty list is kept: it says "none".
pub(super) fn read(raw: RawHooks, node: &Node, problems: &mut Problems) -> Hooks {
    let RawHooks { pre_create, post_create, pre_upgrade, post_upgrade, pre_rm, post_rm } = raw;
    let lists = [
        (Point::PreCreate, pre_create),
        (Point::PostCreate, post_create),
        (Point::PreUpgrade, pre_upgrade),
        (Point::PostUpgrade, post_upgrade),
        (Point::PreRm, pre_rm),
        (Point::PostRm, post_rm),
    ];
    let mut hooks = Hooks::default();
    for (point, list) in lists {
        let (Some(list), Some(entry)) = (list, node.entry(point.word())) else { continue };
        hooks.0.insert(point, at_point(point, list, &entry.node, problems));
    }
    hooks
}

fn at_point(point: Point, list: Vec<RawHook>, node: &Node, problems: &mut Problems) -> Vec<Hook> {
    let mut names = BTreeSet::new();
    let mut hooks = Vec::new();
    // What could not be read at all is not in the list, which has been said: then places would be those of others.
    let places: Vec<&Node> = node.items().iter().collect();
    for (number, raw) in list.into_iter().enumerate() {
        let at = places.get(number).copied().unwrap_or(node);
        if let Some(hook) = one(point, number, raw, at, problems) {
            if !names.insert(hook.name.clone()) {
                let problem =
                    Problem::new(Code::SameName, format!("two hooks of `{point}` are called `{}`", hook.name))
                        .at(at.entry("name").map_or(at.at, |e| e.node.at), "the second one")
                        .help("give each a `name` of its own: a hook is known by it when it is run again");
                problems.push(problem);
            }
            hooks.push(hook);
        }
    }
    hooks
}

fn one(point: Point, number: usize, raw: RawHook, node: &Node, problems: &mut Problems) -> Option<Hook> {
    let RawHook { name, run, on, timeout } = raw;
    let place = |key: &str| node.entry(key).map_or(node.at, |e| e.node.at);
    let name = name.unwrap_or_else(|| (number + 1).to_string());
    if name.is_empty() || name.len() > 40 || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        let problem = Problem::new(Code::BadName, format!("`{}` cannot be the name of a hook", name.escape_debug()))
            .at(place("name"), "not a name")
            .help("use letters, digits, `-`, `_` and `.`, at most 40");
        problems.push(problem);
    }
    let on = on.unwrap_or_default();
    if on == On::Host && !point.has_host() {
        let problem = Problem::new(Code::NoEffect, format!("a hook of `{point}` cannot run on the host"))
            .at(place("on"), "there is no host then")
            .help("write `on: local`, or take another point");
        problems.push(problem);
    }
    let timeout = match timeout {
        None => LIMIT,
        Some(text) => seconds(&text).unwrap_or_else(|| {
            let problem = Problem::new(Code::BadValue, "`timeout` must be a time")
                .at(place("timeout"), "not a time, or none that a hook may take")
                .help("write seconds, minutes or hours, as `90s`, `5m` or `1h`; at most `24h`");
            problems.push(problem);
            LIMIT
        }),
    };
    Some(Hook { name, run: command(run, node, problems)?, on, timeout })
}

fn command(raw: Option<serde_json::Value>, node: &Node, problems: &mut Problems) -> Option<Command> {
    let wrong = |code, what: &str, at, label: String| {
        Problem::new(code, what).at(at, label).help(
            "write a text for the shell, `run: \"./dns add $MACHINE_NAME\"`, or a list of words, `run: [./dns, add]`",
        )
    };
    let Some(entry) = node.entry("run") else {
        problems.push(wrong(Code::MissingKey, "the hook has no `run`", node.at, "what does it run?".to_owned()));
        return None;
    };
    if entry.node.is_unknown() {
        return None;
    }
    let command = match (&entry.node.value, raw) {
        (Value::Scalar(scalar), Some(_)) if !entry.node.is_null() && !scalar.text.trim().is_empty() => {
            Some(Command::Shell(scalar.text.clone()))
        }
        (Value::List(items), _) => {
            let words: Vec<String> = entry.node.texts().map(|(_, text)| text.to_owned()).collect();
            let whole = words.len() == items.len() && words.first().is_some_and(|program| !program.is_empty());
            whole.then_some(Command::Program(words))
        }
        _ => None,
    };
    let has_nul = |command: &Command| match command {
        Command::Shell(text) => text.contains('\0'),
        Command::Program(words) => words.iter().any(|word| word.contains('\0')),
    };
    if command.as_ref().is_none_or(has_nul) {
        let label = format!("this is {}", entry.node.noun());
        problems.push(wrong(Code::WrongType, "`run` must be a text or a list of words", entry.node.at, label));
        return None;
    }
    let names = |text: &str| text.contains("${var.") || text.contains("${env.");
    if entry.node.texts().any(|(_, text)| names(text))
        || matches!(&entry.node.value, Value::Scalar(scalar) if names(&scalar.text))
    {
        let problem = Problem::new(Code::BadReference, "nothing is put into the `run` of a hook")
            .at(entry.node.at, "a shell would read this")
            .help(
                "use variables of the environment, as `$MACHINE_NAME`; your own are there for hooks with `on: local`",
            );
        problems.push(problem);
    }
    command
}

/// Refuses hooks that would have to log in to a machine without a login.
pub(super) fn refuse_host(hooks: &Hooks, at: &Node, place: super::node::Place, driver: &str, problems: &mut Problems) {
    let on_host = hooks.0.iter().find(|(_, hooks)| hooks.iter().any(|hook| hook.on == On::Host));
    if let Some((point, _)) = on_host {
        let place = at.entry("hooks").map_or(place, |e| e.node.at);
        let problem = Problem::new(Code::NoEffect, format!("a hook of `{point}` cannot run on the host"))
            .at(place, format!("driver `{driver}` only knows the URL of an engine: there is no login"))
            .help("write `on: local`, or give this host a list of its own for the point, which may be empty");
        problems.push(problem);
    }
}

#[cfg(test)]
#[path = "hooks_tests.rs"]
mod tests;
