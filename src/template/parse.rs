//! From words to a tree.

use super::{
    Set,
    escape::{quoted, unquote},
    function,
    number::Number,
    token::{Kind, Token, tokens},
    tree::{self, Body, Call, Command, Expression, Node, Pipeline, Term},
};
use std::collections::BTreeMap;

/// How deep actions and parentheses may be nested.
const DEEPEST: usize = 100;

/// Reads a template and those it defines. The error is what is wrong, with the line.
pub(super) fn parse(text: &str) -> Result<Set, String> {
    let mut parser = Parser {
        tokens: tokens(text),
        next: 0,
        seen: 0,
        scope: Scope::new(),
        action_line: 0,
        depth: 0,
        defined: BTreeMap::new(),
    };
    let body = parser.all()?;
    parser.define("", body)?;
    Ok(parser.defined)
}

/// What a template being read may refer to.
struct Scope {
    variables: Vec<String>,
    ranges: usize,
}

impl Scope {
    fn new() -> Self {
        Self { variables: vec!["$".to_owned()], ranges: 0 }
    }
}

struct Parser<'t> {
    tokens: Vec<Token<'t>>,
    next: usize,
    /// How many tokens were looked at: errors are told at the line of the last.
    seen: usize,
    scope: Scope,
    action_line: usize,
    depth: usize,
    defined: Set,
}

type Parsed<T> = Result<T, String>;

/// What ends a list of nodes.
enum Close {
    End,
    Else,
}

impl Close {
    fn shown(&self) -> &'static str {
        match self {
            Self::End => "{{end}}",
            Self::Else => "{{else}}",
        }
    }
}

impl<'t> Parser<'t> {
    fn fail<T>(&self, what: impl std::fmt::Display) -> Parsed<T> {
        let line = self.tokens[self.seen.saturating_sub(1)].line;
        Err(format!("template: :{line}: {what}"))
    }

    fn unexpected<T>(&self, token: &Token<'_>, context: &str) -> Parsed<T> {
        if token.kind != Kind::Error {
            return self.fail(format!("unexpected {} in {context}", token.shown()));
        }
        let mut text = token.text.to_string();
        if self.action_line != 0 && self.action_line != token.line {
            let action = if text.ends_with(" action") { "" } else { " in action" };
            text.push_str(&format!("{action} started at :{}", self.action_line));
        }
        self.fail(text)
    }

    fn peek(&mut self) -> &Token<'t> {
        let at = self.next.min(self.tokens.len() - 1);
        self.seen = self.seen.max(at + 1);
        &self.tokens[at]
    }

    fn take(&mut self) -> Token<'t> {
        let token = self.peek().clone();
        self.next = (self.next + 1).min(self.tokens.len());
        token
    }

    fn peek_word(&mut self) -> &Token<'t> {
        while self.peek().kind == Kind::Space {
            self.next += 1;
        }
        self.peek()
    }

    fn take_word(&mut self) -> Token<'t> {
        self.peek_word();
        self.take()
    }

    fn expect_right(&mut self, context: &str) -> Parsed<Token<'t>> {
        let token = self.take_word();
        if token.kind == Kind::Right { Ok(token) } else { self.unexpected(&token, context) }
    }

    fn deeper<T>(&mut self, work: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= DEEPEST {
            return self.fail(format!("nested more than {DEEPEST} deep"));
        }
        self.depth += 1;
        let result = work(self);
        self.depth -= 1;
        result
    }

    fn define(&mut self, name: &str, body: Body) -> Parsed<()> {
        if let Some(before) = self.defined.get(name)
            && !tree::is_empty(before)
        {
            if tree::is_empty(&body) {
                return Ok(());
            }
            return self.fail(format!("template: multiple definition of template {}", quoted(name)));
        }
        self.defined.insert(name.to_owned(), body);
        Ok(())
    }

    /// The whole text: the only place for definitions.
    fn all(&mut self) -> Parsed<Body> {
        let mut body = Vec::new();
        while self.peek().kind != Kind::End {
            if self.peek().kind == Kind::Left {
                let before = self.next;
                self.next += 1;
                if self.take_word().is_keyword("define") {
                    self.definition()?;
                    continue;
                }
                self.next = before;
            }
            match self.piece()? {
                Ok(node) => body.push(node),
                Err(close) => return self.fail(format!("unexpected {}", close.shown())),
            }
        }
        Ok(body)
    }

    fn definition(&mut self) -> Parsed<()> {
        let context = "define clause";
        let name = self.template_name(context)?;
        self.expect_right(context)?;
        let body = self.own_body(context)?;
        self.define(&name, body)
    }

    /// A body that sees no variables and no loops around it.
    fn own_body(&mut self, context: &str) -> Parsed<Body> {
        let scope = std::mem::replace(&mut self.scope, Scope::new());
        let line = std::mem::take(&mut self.action_line);
        let (body, close) = self.body()?;
        self.scope = scope;
        self.action_line = line;
        match close {
            Close::End => Ok(body),
            Close::Else => self.fail(format!("unexpected {} in {context}", close.shown())),
        }
    }

    fn template_name(&mut self, context: &str) -> Parsed<String> {
        let token = self.take_word();
        match token.kind {
            Kind::Quoted | Kind::Raw => self.unquoted(&token),
            _ => self.unexpected(&token, context),
        }
    }

    fn unquoted(&self, token: &Token<'_>) -> Parsed<String> {
        unquote(&token.text).map_or_else(|| self.fail("invalid syntax"), Ok)
    }

    /// Nodes up to `{{end}}` or `{{else}}`.
    fn body(&mut self) -> Parsed<(Body, Close)> {
        self.deeper(|parser| {
            let mut body = Vec::new();
            while parser.peek_word().kind != Kind::End {
                match parser.piece()? {
                    Ok(node) => body.push(node),
                    Err(close) => return Ok((body, close)),
                }
            }
            parser.fail("unexpected EOF")
        })
    }

    fn piece(&mut self) -> Parsed<Result<Node, Close>> {
        let token = self.take_word();
        match token.kind {
            Kind::Text => Ok(Ok(Node::Text(token.text.into_owned()))),
            Kind::Left => {
                self.action_line = token.line;
                let action = self.action();
                self.action_line = 0;
                action
            }
            _ => self.unexpected(&token, "input"),
        }
    }

    fn action(&mut self) -> Parsed<Result<Node, Close>> {
        let token = self.peek_word().clone();
        if token.kind != Kind::Keyword {
            return Ok(Ok(Node::Action(self.pipeline("command", Kind::Right)?)));
        }
        self.next += 1;
        Ok(Ok(match &*token.text {
            "block" => self.block()?,
            "template" => self.template()?,
            "break" | "continue" => {
                let word = format!("{{{{{}}}}}", token.text);
                self.expect_right(&word)?;
                if self.scope.ranges == 0 {
                    return self.fail(format!("{word} outside {{{{range}}}}"));
                }
                if token.text == "break" { Node::Break } else { Node::Continue }
            }
            "else" => {
                if !self.peek_word().is_keyword("if") {
                    self.expect_right("else")?;
                }
                return Ok(Err(Close::Else));
            }
            "end" => {
                self.expect_right("end")?;
                return Ok(Err(Close::End));
            }
            "if" => self.conditional()?,
            "with" => {
                let (test, then, or) = self.control("with")?;
                Node::With { test, then, or }
            }
            "range" => {
                let (over, body, or) = self.control("range")?;
                Node::Range { over, body, or }
            }
            _ => return self.unexpected(&token, "command"),
        }))
    }

    fn conditional(&mut self) -> Parsed<Node> {
        let (test, then, or) = self.control("if")?;
        Ok(Node::If { test, then, or })
    }

    fn control(&mut self, context: &str) -> Parsed<(Pipeline, Body, Option<Body>)> {
        let variables = self.scope.variables.len();
        let pipeline = self.pipeline(context, Kind::Right)?;
        let ranges = self.scope.ranges;
        self.scope.ranges += usize::from(context == "range");
        let (body, close) = self.body()?;
        self.scope.ranges = ranges;
        let or = match close {
            Close::End => None,
            // `else if` needs no end of its own.
            Close::Else if context == "if" && self.peek().is_keyword("if") => {
                self.next += 1;
                Some(vec![self.deeper(Self::conditional)?])
            }
            Close::Else => {
                let (or, close) = self.body()?;
                if matches!(close, Close::Else) {
                    return self.fail(format!("expected end; found {}", close.shown()));
                }
                Some(or)
            }
        };
        self.scope.variables.truncate(variables);
        Ok((pipeline, body, or))
    }

    fn block(&mut self) -> Parsed<Node> {
        let context = "block clause";
        let at = self.peek_word().at;
        let name = self.template_name(context)?;
        let with = self.pipeline(context, Kind::Right)?;
        let body = self.own_body(context)?;
        self.define(&name, body)?;
        Ok(Node::Template(Call { at, name, with: Some(with) }))
    }

    fn template(&mut self) -> Parsed<Node> {
        let context = "template clause";
        let at = self.peek_word().at;
        let name = self.template_name(context)?;
        if self.peek_word().kind == Kind::Right {
            self.next += 1;
            return Ok(Node::Template(Call { at, name, with: None }));
        }
        let with = Some(self.pipeline(context, Kind::Right)?);
        Ok(Node::Template(Call { at, name, with }))
    }

    fn pipeline(&mut self, context: &str, end: Kind) -> Parsed<Pipeline> {
        self.deeper(|parser| parser.pipeline_inside(context, end))
    }

    fn pipeline_inside(&mut self, context: &str, end: Kind) -> Parsed<Pipeline> {
        let at = self.peek_word().at;
        let mut pipeline = Pipeline { at, assigns: false, variables: Vec::new(), commands: Vec::new() };
        self.variables(&mut pipeline, context)?;
        loop {
            let token = self.peek_word().clone();
            match token.kind {
                kind if kind == end => {
                    self.next += 1;
                    break;
                }
                Kind::Bool
                | Kind::Rune
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::Raw
                | Kind::Quoted
                | Kind::Variable
                | Kind::LeftParen => {
                    let command = self.command()?;
                    pipeline.commands.push(command);
                }
                _ => {
                    self.next += 1;
                    return self.unexpected(&token, context);
                }
            }
        }
        if pipeline.commands.is_empty() {
            return self.fail(format!("missing value for {context}"));
        }
        for (stage, command) in pipeline.commands.iter().enumerate().skip(1) {
            if let Term::Bool(_) | Term::Dot | Term::Nil | Term::Number(_) | Term::Text { .. } = command.words[0].kind {
                return self.fail(format!("non executable command in pipeline stage {}", stage + 1));
            }
        }
        Ok(pipeline)
    }

    /// `$x :=`, `$x =`, and for loops `$k, $v :=`.
    fn variables(&mut self, pipeline: &mut Pipeline, context: &str) -> Parsed<()> {
        loop {
            let token = self.peek_word().clone();
            if token.kind != Kind::Variable {
                return Ok(());
            }
            let before = self.next;
            self.next += 1;
            let next = self.peek_word().clone();
            let comma = next.kind == Kind::Sign && next.text == ",";
            if !comma && !matches!(next.kind, Kind::Assign | Kind::Declare) {
                self.next = before;
                return Ok(());
            }
            self.next += 1;
            pipeline.variables.push(token.text.to_string());
            self.scope.variables.push(token.text.into_owned());
            if !comma {
                pipeline.assigns = next.kind == Kind::Assign;
                return Ok(());
            }
            if context != "range" || pipeline.variables.len() >= 2 {
                return self.fail(format!("too many declarations in {context}"));
            }
            if !matches!(self.peek_word().kind, Kind::Variable | Kind::Right | Kind::RightParen) {
                return self.fail("range can only initialize variables");
            }
        }
    }

    fn command(&mut self) -> Parsed<Command> {
        let at = self.peek_word().at;
        let mut words = Vec::new();
        loop {
            self.peek_word();
            words.extend(self.operand()?);
            let token = self.peek().clone();
            match token.kind {
                Kind::Space => self.next += 1,
                Kind::Right | Kind::RightParen => break,
                Kind::Pipe => {
                    self.next += 1;
                    break;
                }
                _ => return self.unexpected(&token, "operand"),
            }
        }
        if words.is_empty() { self.fail("empty command") } else { Ok(Command { at, words }) }
    }

    fn operand(&mut self) -> Parsed<Option<Expression>> {
        let Some(mut term) = self.term()? else { return Ok(None) };
        if self.peek().kind != Kind::Field {
            return Ok(Some(term));
        }
        let at = self.peek().at;
        let mut chain = Vec::new();
        while self.peek().kind == Kind::Field {
            chain.push(self.take().text[1..].to_owned());
        }
        match &mut term.kind {
            Term::Field(words) | Term::Variable(words) => {
                words.append(&mut chain);
                term.at = at;
                Ok(Some(term))
            }
            Term::Bool(_) | Term::Text { .. } | Term::Number(_) | Term::Nil | Term::Dot => {
                self.fail(format!("unexpected . after term {}", quoted(&term.to_string())))
            }
            _ => Ok(Some(Expression { at, kind: Term::Chain(Box::new(term), chain) })),
        }
    }

    fn term(&mut self) -> Parsed<Option<Expression>> {
        let token = self.peek_word().clone();
        let text = &*token.text;
        self.next += 1;
        let kind = match token.kind {
            Kind::Identifier if function::exists(text) => Term::Function(text.to_owned()),
            Kind::Identifier => return self.fail(format!("function {} not defined", quoted(text))),
            Kind::Dot => Term::Dot,
            Kind::Nil => Term::Nil,
            Kind::Variable if self.scope.variables.iter().any(|known| known == text) => {
                Term::Variable(vec![text.to_owned()])
            }
            Kind::Variable => return self.fail(format!("undefined variable {}", quoted(text))),
            Kind::Field => Term::Field(vec![text[1..].to_owned()]),
            Kind::Bool => Term::Bool(text == "true"),
            Kind::Rune | Kind::Number => {
                let number = if token.kind == Kind::Rune { Number::rune(text) } else { Number::parse(text) };
                match number {
                    Ok(number) => Term::Number(number),
                    Err(why) => return self.fail(why),
                }
            }
            Kind::LeftParen => {
                let pipeline = self.pipeline("parenthesized pipeline", Kind::RightParen)?;
                return Ok(Some(Expression { at: pipeline.at, kind: Term::Parens(Box::new(pipeline)) }));
            }
            Kind::Quoted | Kind::Raw => Term::Text { quoted: text.to_owned(), text: self.unquoted(&token)? },
            _ => {
                self.next -= 1;
                return Ok(None);
            }
        };
        Ok(Some(Expression { at: token.at, kind }))
    }
}
