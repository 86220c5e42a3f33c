//! `${var.NAME}` and `${env.NAME}`, put into values after parsing: no value can change the structure of a
//! file, and places stay true.

use super::{
    Inputs,
    node::{Node, Place, Scalar, Style, Value},
    problem::{Code, Problem, Problems},
};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes that variables may add to a file, so that a long value used everywhere cannot exhaust memory.
const MAX_ADDED: usize = 16 << 20;

/// Replaces every reference in the values of a document. Keys are never changed.
///
/// Values are those of the file, then those of `given`, files of values, then those of the command line.
pub(super) fn expand(root: &mut Node, given: Vec<Node>, inputs: &Inputs, problems: &mut Problems) {
    let Value::Map(entries) = &mut root.value else {
        return;
    };
    let mut scope = Scope { vars: BTreeMap::new(), inputs, in_vars: true, used: BTreeSet::new(), added: 0 };
    let vars = entries.iter_mut().find(|e| e.key == "vars").map(|e| (e.key_at, &mut e.node));
    let vars_at = vars.as_ref().map(|(at, _)| *at);
    let mut required = BTreeMap::new();
    if let Some((_, node)) = vars {
        scope.node(node, problems);
        required = values(node, &mut scope.vars, problems);
    }
    let declared: BTreeSet<String> = scope.vars.keys().chain(required.keys()).cloned().collect();
    let mut from_files: BTreeMap<String, Place> = BTreeMap::new();
    for mut node in given {
        scope.node(&mut node, problems);
        from_files.extend(node.entries().iter().map(|entry| (entry.key.clone(), entry.key_at)));
        for (name, at) in values(&node, &mut scope.vars, problems) {
            problems.push(missing(&name, at));
        }
    }
    for (name, at) in required {
        if !scope.vars.contains_key(&name) && !inputs.vars.contains_key(&name) {
            problems.push(missing(&name, at));
            // Known, so that its uses are not problems of their own.
            scope.vars.insert(name, Scalar { text: String::new(), style: Style::Unknown });
        }
    }
    for (name, value) in &inputs.vars {
        scope.vars.insert(name.clone(), Scalar { text: value.clone(), style: Style::Given });
    }
    scope.in_vars = false;
    for entry in entries.iter_mut().filter(|e| e.key != "vars") {
        scope.node(&mut entry.node, problems);
    }
    let unused =
        inputs.vars.keys().map(|name| (name, None)).chain(from_files.iter().map(|(name, at)| (name, Some(*at))));
    for (name, given_at) in unused.filter(|(name, _)| !declared.contains(*name) && !scope.used.contains(*name)) {
        let mut problem = Problem::new(Code::UnusedVariable, format!("nothing uses the given variable `{name}`"));
        if let Some(at) = given_at {
            problem = problem.at(at, "given here");
        }
        if let Some(at) = vars_at {
            problem = problem.at(at, "it is not declared here either");
        }
        let meant = problems.did_you_mean(name, declared.iter().map(String::as_str));
        problems.push(problem.suggest(meant, format!("leave it out, or use it in the file as `${{var.{name}}}`")));
    }
}

/// A variable that is declared, and that was given no value.
fn missing(name: &str, at: Place) -> Problem {
    Problem::new(Code::MissingValue, format!("variable `{name}` has no value")).at(at, "it must be given").help(
        format!("give `--var {name}=…` or a file with `--var-file`, or write a value here; for no text at all `\"\"`"),
    )
}

/// Adds the values of a mapping of variables. Gives those that are named and have none.
fn values(node: &Node, vars: &mut BTreeMap<String, Scalar>, problems: &mut Problems) -> BTreeMap<String, Place> {
    if !matches!(node.value, Value::Map(_)) && !node.is_null() {
        let problem = Problem::new(Code::WrongType, "`vars` must be a mapping")
            .at(node.at, format!("this is {}", node.noun()))
            .help("write `vars: { name: value }`");
        problems.push(problem);
    }
    let mut required = BTreeMap::new();
    for entry in node.entries() {
        match &entry.node.value {
            Value::Scalar(_) if entry.node.is_null() => {
                required.insert(entry.key.clone(), entry.node.at);
            }
            Value::Scalar(scalar) => {
                // One that is not known makes what uses it unknown, too.
                vars.insert(entry.key.clone(), scalar.clone());
            }
            _ => {
                let problem = Problem::new(
                    Code::WrongType,
                    format!("variable `{}` must be a text, a number, true or false", entry.key),
                )
                .at(entry.node.at, format!("this is {}", entry.node.noun()))
                .help("a variable holds one value; for no text at all write `\"\"`");
                problems.push(problem);
                // Known, so that its uses are not problems of their own.
                vars.insert(entry.key.clone(), Scalar { text: String::new(), style: Style::Unknown });
            }
        }
    }
    required
}

/// What references can refer to.
struct Scope<'a> {
    vars: BTreeMap<String, Scalar>,
    inputs: &'a Inputs,
    /// In `vars:` itself only the environment can be referred to: nothing to order, nothing that never ends.
    in_vars: bool,
    used: BTreeSet<String>,
    added: usize,
}

impl Scope<'_> {
    fn node(&mut self, node: &mut Node, problems: &mut Problems) {
        match &mut node.value {
            Value::List(items) => items.iter_mut().for_each(|item| self.node(item, problems)),
            Value::Map(entries) => entries.iter_mut().for_each(|entry| match entry.key.as_str() {
                "hooks" => self.hooks(&mut entry.node, problems),
                _ => self.node(&mut entry.node, problems),
            }),
            Value::Scalar(scalar) if scalar.text.contains("${") => {
                if let Err(problem) = self.scalar(scalar, node.at, problems) {
                    scalar.style = Style::Unknown;
                    problems.push(problem);
                }
            }
            Value::Scalar(_) => {}
        }
    }

    /// What a shell reads is left as it is: `${HOME}` is the shell's, and no value becomes part of a command.
    fn hooks(&mut self, node: &mut Node, problems: &mut Problems) {
        match &mut node.value {
            Value::List(items) => items.iter_mut().for_each(|item| self.hooks(item, problems)),
            Value::Map(entries) => {
                entries.iter_mut().filter(|e| e.key != "run").for_each(|e| self.hooks(&mut e.node, problems));
            }
            Value::Scalar(_) => self.node(node, problems),
        }
    }

    fn scalar(&mut self, scalar: &mut Scalar, at: Place, problems: &mut Problems) -> Result<(), Problem> {
        let whole = scalar.text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        if let Some(reference) = whole.filter(|r| !r.contains(['{', '}', '$'])) {
            // The whole value: it keeps its type.
            *scalar = self.look_up(reference, at, problems)?;
            return self.add(scalar.text.len(), at);
        }
        let mut done = String::with_capacity(scalar.text.len());
        let mut unknown = false;
        let mut rest = scalar.text.as_str();
        while let Some(dollar) = rest.find("${") {
            if let Some(before) = rest[..dollar].strip_suffix('$') {
                done.push_str(before);
                done.push_str("${");
                rest = &rest[dollar + 2..];
                continue;
            }
            done.push_str(&rest[..dollar]);
            let Some((reference, after)) = rest[dollar + 2..].split_once('}') else {
                return Err(Problem::new(Code::BadReference, "this `${` is not closed")
                    .at(at, "there is no `}`")
                    .help("write `${var.name}` or `${env.NAME}`; for the characters themselves write `$${`"));
            };
            let value = self.look_up(reference, at, problems)?;
            self.add(value.text.len(), at)?;
            unknown |= value.style == Style::Unknown;
            done.push_str(&value.text);
            rest = after;
        }
        done.push_str(rest);
        *scalar = Scalar { text: done, style: if unknown { Style::Unknown } else { Style::Quoted } };
        Ok(())
    }

    fn add(&mut self, bytes: usize, at: Place) -> Result<(), Problem> {
        self.added += bytes;
        if self.added <= MAX_ADDED {
            return Ok(());
        }
        Err(Problem::new(Code::TooLarge, "variables add more than 16 MiB to this file")
            .at(at, "here it becomes too much")
            .help("use shorter values"))
    }

    fn look_up(&mut self, reference: &str, at: Place, problems: &mut Problems) -> Result<Scalar, Problem> {
        if let Some(name) = reference.strip_prefix("env.").filter(|name| !name.is_empty()) {
            let value = self.inputs.env.get(name);
            return value.map(|text| Scalar { text: text.clone(), style: Style::Given }).ok_or_else(|| {
                let meant = problems.did_you_mean(name, self.inputs.env.keys().map(String::as_str));
                Problem::new(Code::UnknownVariable, format!("the environment has no `{name}`"))
                    .at(at, "used here")
                    .suggest(meant, format!("set it before you run this: export {name}=…"))
            });
        }
        let Some(name) = reference.strip_prefix("var.").filter(|name| !name.is_empty()) else {
            let known = self.vars.contains_key(reference);
            let help = if known { format!("write `${{var.{reference}}}`") } else { OTHERWISE.to_owned() };
            return Err(Problem::new(Code::BadReference, format!("`${{{reference}}}` refers to nothing"))
                .at(at, "it starts with neither `var.` nor `env.`")
                .help(help));
        };
        if self.in_vars {
            return Err(Problem::new(Code::BadReference, "a variable cannot refer to another variable")
                .at(at, "this is a value in `vars`")
                .help("write the value out, or take it from the environment with `${env.NAME}`"));
        }
        self.used.insert(name.to_owned());
        self.vars.get(name).cloned().ok_or_else(|| {
            let meant = problems.did_you_mean(name, self.vars.keys().map(String::as_str));
            Problem::new(Code::UnknownVariable, format!("there is no variable `{name}`"))
                .at(at, "used here")
                .suggest(meant, format!("declare it as `vars: {{ {name}: … }}`, or give `--var {name}=…`"))
        })
    }
}

const OTHERWISE: &str = "write `${var.name}` or `${env.NAME}`; for the characters themselves write `$${`";

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    fn expanded(value: &str) -> Result<Json, Vec<String>> {
        let text = format!("vars: {{ n: 3, t: web, q: \"3\", yes: true }}\nx: {value}\n");
        let mut problems = Problems::default();
        let mut node = super::super::parse::parse(0, &text, &mut problems).unwrap();
        let inputs = Inputs {
            vars: BTreeMap::from([("given".to_owned(), "7".to_owned()), ("none".to_owned(), String::new())]),
            env: BTreeMap::from([("HOME".to_owned(), "/home/a".to_owned())]),
            default_name: None,
        };
        expand(&mut node, Vec::new(), &inputs, &mut problems);
        let all = super::super::FleetProblems::new("x", &text, problems);
        let wrong: Vec<String> = all
            .problems()
            .iter()
            .filter(|p| p.code != Code::UnusedVariable)
            .map(|p| format!("{p}; {}", p.help.clone().unwrap_or_default()))
            .collect();
        if wrong.is_empty() { Ok(node.entry("x").unwrap().node.to_json()) } else { Err(wrong) }
    }

    #[test]
    fn references_are_replaced_and_a_whole_one_keeps_its_type() {
        for (text, want) in [
            ("${var.n}", json!(3)),
            ("\"${var.n}\"", json!(3)),
            ("${var.yes}", json!(true)),
            ("${var.q}", json!("3")),
            ("${var.given}", json!(7)),
            ("${var.none}", json!("")),
            ("a-${var.n}-${var.t}", json!("a-3-web")),
            ("${env.HOME}/.ssh", json!("/home/a/.ssh")),
            ("$${var.n}", json!("${var.n}")),
            ("a$${b}${var.t}", json!("a${b}web")),
            ("$HOME $", json!("$HOME $")),
            ("[ \"${var.n}\", { a: \"${var.t}\" } ]", json!([3, {"a": "web"}])),
        ] {
            assert_eq!(expanded(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn references_to_nothing_are_problems() {
        for (text, want) in [
            ("${var.tt}", "there is no variable `tt`; did you mean `t`?"),
            ("a${var.t", "this `${` is not closed"),
            ("${t}", "`${t}` refers to nothing; write `${var.t}`"),
            ("${HOME}", "`${HOME}` refers to nothing; write `${var.name}`"),
            ("${}", "`${}` refers to nothing"),
            ("${var.}", "`${var.}` refers to nothing"),
            ("${env.HOMES}", "the environment has no `HOMES`; did you mean `HOME`?"),
        ] {
            let wrong = expanded(text).unwrap_err();
            assert!(wrong.len() == 1 && wrong[0].starts_with(want), "{text}: {wrong:?}");
        }
    }
}
