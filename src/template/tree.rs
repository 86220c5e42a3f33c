//! A parsed template, and its text as errors quote it.

use super::{escape::quoted, number::Number};
use std::fmt;

/// What is done one after the other.
pub(super) type Body = Vec<Node>;

#[derive(Clone, Debug)]
pub(super) enum Node {
    Text(String),
    Action(Pipeline),
    If { test: Pipeline, then: Body, or: Option<Body> },
    With { test: Pipeline, then: Body, or: Option<Body> },
    Range { over: Pipeline, body: Body, or: Option<Body> },
    Template(Call),
    Break,
    Continue,
}

/// `{{template "name" pipeline}}`
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) at: usize,
    pub(super) name: String,
    pub(super) with: Option<Pipeline>,
}

#[derive(Clone, Debug)]
pub(super) struct Pipeline {
    pub(super) at: usize,
    /// Whether `=` and not `:=`.
    pub(super) assigns: bool,
    pub(super) variables: Vec<String>,
    pub(super) commands: Vec<Command>,
}

#[derive(Clone, Debug)]
pub(super) struct Command {
    pub(super) at: usize,
    pub(super) words: Vec<Expression>,
}

#[derive(Clone, Debug)]
pub(super) struct Expression {
    pub(super) at: usize,
    pub(super) kind: Term,
}

#[derive(Clone, Debug)]
pub(super) enum Term {
    Bool(bool),
    Dot,
    Nil,
    Number(Number),
    Text {
        quoted: String,
        text: String,
    },
    /// `.A.B`
    Field(Vec<String>),
    /// `$x.A.B`, the name with its `$` first.
    Variable(Vec<String>),
    /// `(…).A.B`
    Chain(Box<Expression>, Vec<String>),
    Function(String),
    Parens(Box<Pipeline>),
}

impl fmt::Display for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            write!(f, "{} := ", self.variables.join(", "))?;
        }
        for (n, command) in self.commands.iter().enumerate() {
            if n > 0 {
                f.write_str(" | ")?;
            }
            write!(f, "{command}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, word) in self.words.iter().enumerate() {
            if n > 0 {
                f.write_str(" ")?;
            }
            match &word.kind {
                Term::Parens(inner) => write!(f, "({inner})")?,
                _ => write!(f, "{word}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Term::Bool(truth) => write!(f, "{truth}"),
            Term::Dot => f.write_str("."),
            Term::Nil => f.write_str("nil"),
            Term::Number(number) => f.write_str(&number.text),
            Term::Text { quoted, .. } => f.write_str(quoted),
            Term::Field(fields) => write!(f, ".{}", fields.join(".")),
            Term::Variable(words) => f.write_str(&words.join(".")),
            Term::Chain(inner, fields) => {
                match &inner.kind {
                    Term::Parens(pipeline) => write!(f, "({pipeline})")?,
                    _ => write!(f, "{inner}")?,
                }
                write!(f, ".{}", fields.join("."))
            }
            Term::Function(name) => f.write_str(name),
            Term::Parens(inner) => write!(f, "{inner}"),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{{template {}", quoted(&self.name))?;
        if let Some(with) = &self.with {
            write!(f, " {with}")?;
        }
        f.write_str("}}")
    }
}

/// Whether nothing but blanks.
pub(super) fn is_empty(body: &Body) -> bool {
    body.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
}
