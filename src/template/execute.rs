//! From a tree and a value to text.

use super::{
    Template, format,
    function::{self, Function, Passed, Takes},
    number::Literal,
    tree::{Call, Command, Expression, Node, Pipeline, Term},
    value::{Elements, Value},
};
use std::fmt;

/// How deep templates, bodies and parentheses may be nested when executed.
const DEEPEST: usize = 200;

/// Executes the template without a name.
pub(super) fn execute(template: &Template, value: &Value, out: &mut String) -> Result<(), String> {
    let root = Passed::plain(value.clone());
    let variables = vec![("$".to_owned(), root.clone())];
    let mut state = State { template, name: "", variables, at: At::Nothing, depth: 0, out };
    match template.set.get("").map_or(Ok(()), |body| state.body(&root, body)) {
        Ok(()) | Err(Stop::Break | Stop::Continue) => Ok(()),
        Err(Stop::Error(what)) => Err(what),
    }
}

/// What is being evaluated, for errors.
#[derive(Clone, Copy)]
enum At<'t> {
    Nothing,
    Pipeline(&'t Pipeline),
    Command(&'t Command),
    Expression(&'t Expression),
    Call(&'t Call),
}

impl At<'_> {
    fn place(self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Pipeline(node) => node.at,
            Self::Command(node) => node.at,
            Self::Expression(node) => node.at,
            Self::Call(node) => node.at,
        }
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::Pipeline(node) => node.fmt(f),
            Self::Command(node) => node.fmt(f),
            Self::Expression(node) => node.fmt(f),
            Self::Call(node) => node.fmt(f),
        }
    }
}

/// Why execution does not go on.
enum Stop {
    Break,
    Continue,
    Error(String),
}

type Done<T> = Result<T, Stop>;

struct State<'t, 'o> {
    template: &'t Template,
    /// The template that is executed.
    name: &'t str,
    variables: Vec<(String, Passed)>,
    at: At<'t>,
    depth: usize,
    out: &'o mut String,
}

impl<'t> State<'t, '_> {
    fn fail<T>(&self, what: impl fmt::Display) -> Done<T> {
        let before = &self.template.text[..self.at.place()];
        let line = before.matches('\n').count() + 1;
        let column = before.rfind('\n').map_or(before.len(), |newline| before.len() - newline - 1);
        let name = super::escape::quoted(self.name);
        Err(Stop::Error(format!("template: :{line}:{column}: executing {name} at <{}>: {what}", self.at)))
    }

    fn deeper<T>(&mut self, work: impl FnOnce(&mut Self) -> Done<T>) -> Done<T> {
        if self.depth >= DEEPEST {
            return self.fail(format!("exceeded maximum template depth ({DEEPEST})"));
        }
        self.depth += 1;
        let result = work(self);
        self.depth -= 1;
        result
    }

    fn body(&mut self, dot: &Passed, body: &'t [Node]) -> Done<()> {
        self.deeper(|state| body.iter().try_for_each(|node| state.node(dot, node)))
    }

    fn node(&mut self, dot: &Passed, node: &'t Node) -> Done<()> {
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Action(pipeline) => {
                let value = self.pipeline(dot, pipeline)?;
                if pipeline.variables.is_empty() {
                    let text = match value.value.behind_pointer() {
                        Value::Absent => "<no value>".to_owned(),
                        value => format::print(&[value]),
                    };
                    self.out.push_str(&text);
                }
            }
            Node::If { test, then, or } => {
                let mark = self.variables.len();
                let value = self.pipeline(dot, test)?;
                self.either(dot, value.value.truth().then_some((dot, then)), or.as_deref())?;
                self.variables.truncate(mark);
            }
            Node::With { test, then, or } => {
                let mark = self.variables.len();
                let value = self.pipeline(dot, test)?;
                self.either(dot, value.value.truth().then_some((&value, then)), or.as_deref())?;
                self.variables.truncate(mark);
            }
            Node::Range { over, body, or } => {
                let mark = self.variables.len();
                self.range(dot, over, body, or.as_deref())?;
                self.variables.truncate(mark);
            }
            Node::Template(call) => self.call_template(dot, call)?,
            Node::Break => return Err(Stop::Break),
            Node::Continue => return Err(Stop::Continue),
        }
        Ok(())
    }

    fn either(&mut self, dot: &Passed, then: Option<(&Passed, &'t Vec<Node>)>, or: Option<&'t [Node]>) -> Done<()> {
        match (then, or) {
            (Some((dot, body)), _) => self.body(dot, body),
            (None, Some(body)) => self.body(dot, body),
            (None, None) => Ok(()),
        }
    }

    fn range(&mut self, dot: &Passed, over: &'t Pipeline, body: &'t [Node], or: Option<&'t [Node]>) -> Done<()> {
        let value = self.pipeline(dot, over)?.value;
        let entries: Vec<(Passed, Passed)> = match value {
            Value::List(list) => {
                let boxed = list.elements == Elements::Any;
                let entry = |(n, value): (usize, &Value)| {
                    let index = Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
                    (Passed::plain(index), Passed { value: value.clone(), boxed })
                };
                list.items.iter().enumerate().map(entry).collect()
            }
            Value::Map(map) => {
                let boxed = map.elements == Elements::Any;
                let entry = |(key, value): (&String, &Value)| {
                    (Passed::plain(Value::text(key)), Passed { value: value.clone(), boxed })
                };
                map.entries.iter().map(entry).collect()
            }
            Value::Absent | Value::Nil => Vec::new(),
            Value::Pointer(_, None) => return self.fail("range can't iterate over <nil>"),
            other => {
                let shown = format::print(&[other.behind_pointer()]);
                return self.fail(format!("range can't iterate over {shown}"));
            }
        };
        if entries.is_empty() {
            return self.either(dot, None, or);
        }
        let mark = self.variables.len();
        for (key, value) in entries {
            // The variable declared last is the element, the one before it the key.
            for (back, given) in [&value, &key].into_iter().enumerate().take(over.variables.len()) {
                let place = mark.checked_sub(1 + back).and_then(|at| self.variables.get_mut(at));
                if let Some((_, value)) = place {
                    *value = given.clone();
                }
            }
            let ended = self.body(&value, body);
            self.variables.truncate(mark);
            match ended {
                Ok(()) | Err(Stop::Continue) => {}
                Err(Stop::Break) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn call_template(&mut self, dot: &Passed, call: &'t Call) -> Done<()> {
        self.at = At::Call(call);
        let Some((name, body)) = self.template.set.get_key_value(&call.name) else {
            return self.fail(format!("template {} not defined", super::escape::quoted(&call.name)));
        };
        let dot = match &call.with {
            Some(with) => self.pipeline(dot, with)?,
            None => Passed::default(),
        };
        let variables = std::mem::replace(&mut self.variables, vec![("$".to_owned(), dot.clone())]);
        let before = std::mem::replace(&mut self.name, name);
        self.body(&dot, body)?;
        (self.variables, self.name) = (variables, before);
        Ok(())
    }

    fn pipeline(&mut self, dot: &Passed, pipeline: &'t Pipeline) -> Done<Passed> {
        self.deeper(|state| state.pipeline_inside(dot, pipeline))
    }

    fn pipeline_inside(&mut self, dot: &Passed, pipeline: &'t Pipeline) -> Done<Passed> {
        self.at = At::Pipeline(pipeline);
        let mut value = None;
        for command in &pipeline.commands {
            let result = self.command(dot, command, value)?;
            value = Some(if result.boxed || matches!(result.value, Value::Nil) {
                Passed::plain(result.unboxed())
            } else {
                result
            });
        }
        let value = value.unwrap_or_default();
        for name in &pipeline.variables {
            if !pipeline.assigns {
                self.variables.push((name.clone(), value.clone()));
                continue;
            }
            match self.variables.iter_mut().rev().find(|(known, _)| known == name) {
                Some((_, place)) => *place = value.clone(),
                None => return self.fail(format!("undefined variable: {name}")),
            }
        }
        Ok(value)
    }

    fn command(&mut self, dot: &Passed, command: &'t Command, last: Option<Passed>) -> Done<Passed> {
        let first = &command.words[0];
        match &first.kind {
            Term::Function(name) => {
                self.at = At::Expression(first);
                return self.function(dot, name, At::Command(command), &command.words[1..], last);
            }
            Term::Field(_) | Term::Chain(..) | Term::Variable(_) => {
                return self.fields(dot, first, command.words.len() > 1 || last.is_some());
            }
            Term::Parens(_) => {}
            _ => self.at = At::Expression(first),
        }
        if command.words.len() > 1 || last.is_some() {
            return self.fail(format!("can't give argument to non-function {first}"));
        }
        match &first.kind {
            Term::Nil => self.fail("nil is not a command"),
            Term::Parens(inner) => self.pipeline(dot, inner),
            _ => self.plain(dot, first),
        }
    }

    /// A word that stands for its value.
    fn plain(&mut self, dot: &Passed, word: &'t Expression) -> Done<Passed> {
        self.at = At::Expression(word);
        Ok(Passed::plain(match &word.kind {
            Term::Bool(truth) => Value::Bool(*truth),
            Term::Dot => return Ok(dot.clone()),
            Term::Number(number) => match number.kind {
                Literal::Int(number) => Value::Int(number),
                Literal::Float(number) => Value::Float(number),
                Literal::TooLarge => return self.fail(format!("{} overflows int", number.text)),
            },
            Term::Text { text, .. } => Value::text(text),
            Term::Nil => Value::Absent,
            Term::Parens(inner) => return self.pipeline(dot, inner),
            Term::Function(name) => return self.function(dot, name, At::Expression(word), &[], None),
            Term::Field(_) | Term::Chain(..) | Term::Variable(_) => return self.fields(dot, word, false),
        }))
    }

    /// `.A.B`, `$x.A`, `(…).A`. `given` tells of arguments, which nothing here takes.
    fn fields(&mut self, dot: &Passed, word: &'t Expression, given: bool) -> Done<Passed> {
        self.at = At::Expression(word);
        let (mut value, fields) = match &word.kind {
            Term::Field(fields) => (dot.clone(), &fields[..]),
            Term::Variable(words) => {
                let known = self.variables.iter().rev().find(|(name, _)| *name == words[0]);
                let Some((_, value)) = known else { return self.fail(format!("undefined variable: {}", words[0])) };
                if words.len() == 1 && given {
                    return self.fail(format!("can't give argument to non-function {word}"));
                }
                (value.clone(), &words[1..])
            }
            Term::Chain(inner, fields) => {
                if matches!(inner.kind, Term::Nil) {
                    return self.fail(format!("indirection through explicit nil in {word}"));
                }
                (self.plain(dot, inner)?, &fields[..])
            }
            _ => (Passed::default(), &[][..]),
        };
        for (n, field) in fields.iter().enumerate() {
            value = self.field(&value, field, given && n + 1 == fields.len())?;
        }
        Ok(value)
    }

    fn field(&self, of: &Passed, name: &str, given: bool) -> Done<Passed> {
        let kind = || of.type_name();
        let missing = || self.fail(format!("can't evaluate field {name} in type {}", kind()));
        let plain = |value: &Value| Ok(Passed::plain(value.clone()));
        match &of.value {
            Value::Absent => Ok(Passed::default()),
            Value::Nil => self.fail(format!("nil pointer evaluating interface {{}}.{name}")),
            Value::Named(named) => {
                let method = named.methods.iter().find(|(method, _)| *method == name);
                let answer = match method {
                    Some((_, answer)) => answer.clone(),
                    None if name == "String" => Value::text(&named.text),
                    None => return missing(),
                };
                if given { self.fail(format!("wrong number of args for {name}: want 0 got 1")) } else { plain(&answer) }
            }
            Value::Map(map) => {
                if given {
                    return self.fail(format!("{name} is not a method but has arguments"));
                }
                let boxed = map.elements == Elements::Any;
                Ok(map.entries.get(name).map_or_else(Passed::default, |value| Passed { value: value.clone(), boxed }))
            }
            Value::Record(record) | Value::Pointer(_, Some(record)) => {
                match record.fields.iter().find(|(field, _)| *field == name) {
                    Some(_) if given => self.fail(format!("{name} has arguments but cannot be invoked as function")),
                    Some((_, value)) => plain(value),
                    None => missing(),
                }
            }
            Value::Pointer(_, None) => self.fail(format!("nil pointer evaluating {}.{name}", kind())),
            _ => missing(),
        }
    }

    fn function(
        &mut self,
        dot: &Passed,
        name: &str,
        whole: At<'t>,
        words: &'t [Expression],
        last: Option<Passed>,
    ) -> Done<Passed> {
        let Some(function) = function::find(name) else {
            return self.fail(format!("{} is not a defined function", super::escape::quoted(name)));
        };
        let count = words.len() + usize::from(last.is_some());
        if function.more && count < function.least {
            let (want, got) = (function.least, words.len());
            return self.fail(format!("wrong number of args for {name}: want at least {want} got {got}"));
        }
        if !function.more && count != function.least {
            return self.fail(format!("wrong number of args for {name}: want {} got {count}", function.least));
        }
        if matches!(name, "and" | "or") {
            return self.shortcut(dot, name == "or", words, last);
        }
        let mut arguments = Vec::with_capacity(count);
        for (n, word) in words.iter().enumerate() {
            let text = function.takes == Takes::TextFirst && n == 0;
            let argument = self.argument(dot, word, text)?;
            arguments.push(self.taken(function, n, argument)?);
        }
        if let Some(last) = last {
            arguments.push(self.taken(function, words.len(), last)?);
        }
        match function::call(name, arguments) {
            Ok(value) => Ok(value),
            Err(why) => {
                self.at = whole;
                self.fail(format!("error calling {name}: {why}"))
            }
        }
    }

    /// `and` and `or` stop at the first argument that decides.
    fn shortcut(&mut self, dot: &Passed, wanted: bool, words: &'t [Expression], last: Option<Passed>) -> Done<Passed> {
        let mut value = Passed::default();
        for word in words {
            value = self.argument(dot, word, false)?;
            if value.value.truth() == wanted {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }

    fn argument(&mut self, dot: &Passed, word: &'t Expression, text: bool) -> Done<Passed> {
        self.at = At::Expression(word);
        match &word.kind {
            Term::Nil if text => self.fail("cannot assign nil to string"),
            Term::Bool(_) | Term::Number(_) if text => self.fail(format!("expected string; found {word}")),
            Term::Nil => Ok(Passed::default()),
            _ => self.plain(dot, word),
        }
    }

    /// An argument as its function takes it.
    fn taken(&self, function: Function, n: usize, argument: Passed) -> Done<Passed> {
        match (function.takes, &argument.value) {
            (Takes::AsIs, _) => Ok(argument),
            (Takes::TextFirst, Value::Text(_)) if n == 0 => Ok(argument),
            (Takes::TextFirst, Value::Absent) if n == 0 => self.fail("invalid value; expected string"),
            (Takes::TextFirst, value) if n == 0 => {
                self.fail(format!("wrong type for value; expected string; got {}", value.type_name()))
            }
            (_, Value::Absent) => Ok(Passed::plain(Value::Nil)),
            _ => Ok(argument),
        }
    }
}
