//! KDL 2: the one reader of it that the program has. It knows what is written and where that stands. What it means is
//! decided in `fleet::kdl` for a fleet file, and in `record::kdl` for a `record.kdl` of an earlier version.
//!
//! ```text
//! text ─tokens─▶ words, strings, comments ─read─▶ nodes, each handed over as it ends
//! ```
//!
//! It is written by hand. The kdl crate takes twice as long for each block after `/-` that is inside another, so that
//! 400 bytes keep it busy for years; what else was measured is in ARCHITECTURE.md. Tests hold that both read the same.
//! Advice has examples of fleet files, because a record.kdl is written by programs.

mod string;
mod token;

pub(crate) use string::quoted;
pub(crate) use token::{Kind, Token, is_blank, is_newline, is_reserved, is_word, looks_like_number, number, tokens};

use std::ops::Range;

/// How much of a text is read before it is refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Blocks inside each other.
    pub(crate) depth: usize,
    /// Keys and values.
    pub(crate) values: usize,
}

/// Something that is wrong with a text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Flaw {
    /// It is not KDL.
    Syntax {
        at: Range<usize>,
        /// A lowercase fragment.
        message: String,
        /// What stands at the place.
        label: &'static str,
        /// What to do about it.
        help: String,
    },
    /// A block too many inside others.
    TooDeep(Range<usize>),
    /// A value too many.
    TooMany(Range<usize>),
}

impl Flaw {
    fn syntax(at: Range<usize>, message: impl Into<String>, label: &'static str, help: impl Into<String>) -> Self {
        Self::Syntax { at, message: message.into(), label, help: help.into() }
    }

    /// Where it is.
    pub(crate) fn at(&self) -> &Range<usize> {
        match self {
            Self::Syntax { at, .. } | Self::TooDeep(at) | Self::TooMany(at) => at,
        }
    }
}

type Step<T> = Result<T, Flaw>;

/// A text and where it stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) at: Range<usize>,
}

/// A value of a node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Value {
    /// What stands in `(…)` before it; its place has the brackets.
    pub(crate) annotation: Option<Word>,
    /// Where it stands itself.
    pub(crate) at: Range<usize>,
    pub(crate) said: Said,
}

/// What a value says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Said {
    Text(String),
    /// As it is written, so that `28.20` keeps its zero. Without `_`; binary, and what has a sign and a radix, is decimal.
    Number(String),
    Flag(bool),
    Null,
    /// `#inf`, `#-inf` or `#nan`.
    NotFinite,
    /// A flaw is about it.
    Unknown,
}

/// A node, and what was made of those inside it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Node<C> {
    /// What stands in `(…)` before it; its place has the brackets.
    pub(crate) annotation: Option<Word>,
    pub(crate) name: Word,
    /// Whether its name is without quotes.
    pub(crate) bare: bool,
    pub(crate) arguments: Vec<Value>,
    /// In order, each as often as it is there.
    pub(crate) properties: Vec<(Word, Value)>,
    pub(crate) block: Option<Block<C>>,
}

/// What stands between `{` and `}`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Block<C> {
    pub(crate) children: Vec<C>,
    /// With its brackets.
    pub(crate) at: Range<usize>,
}

/// What was read of a text.
pub(crate) struct Reading<C> {
    /// What was made of the outermost nodes. `None`: the last of the flaws is where nothing more can be read.
    pub(crate) nodes: Option<Vec<C>>,
    /// What `/-` leaves out. It must be KDL, and nothing is made of it.
    pub(crate) dropped: Vec<Range<usize>>,
    pub(crate) flaws: Vec<Flaw>,
}

/// Reads a text. `made` is called with every node when it ends, so with those inside another before that. It is called
/// also for those that end before the place where a text cannot be read any further: they may have more problems.
pub(crate) fn read<C>(text: &str, limits: Limits, mut made: impl FnMut(Node<C>) -> C) -> Reading<C> {
    let mut flaws = Vec::new();
    let Some(mut tokens) = tokens(text, limits, &mut flaws) else {
        return Reading { nodes: None, dropped: Vec::new(), flaws };
    };
    tokens.retain(|token| token.kind != Kind::Comment);
    let mut parser = Parser { text, tokens, at: 0, depth: 0, out: 0, dropped: Vec::new(), made: &mut made };
    let nodes = match parser.nodes() {
        Ok(nodes) => Some(nodes),
        Err(flaw) => {
            flaws.push(flaw);
            None
        }
    };
    Reading { nodes, dropped: parser.dropped, flaws }
}

struct Parser<'a, C> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    /// Blocks that are open.
    depth: usize,
    /// Of what is open, how much is left out.
    out: usize,
    dropped: Vec<Range<usize>>,
    made: &'a mut dyn FnMut(Node<C>) -> C,
}

impl<C> Parser<'_, C> {
    fn kind(&self) -> Option<&Kind> {
        self.tokens.get(self.at).map(|t| &t.kind)
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.tokens.get_mut(self.at)?;
        self.at += 1;
        // The text is moved: nothing looks at a token that was taken, but for its place.
        Some(Token { kind: std::mem::replace(&mut token.kind, Kind::Unknown), ..*token })
    }

    fn here(&self) -> Range<usize> {
        let end = self.text.len();
        self.tokens.get(self.at).map_or(end..end, |t| t.start..t.end)
    }

    /// Where the last token that was taken ends.
    fn behind(&self) -> usize {
        self.tokens[self.at - 1].end
    }

    fn skip_lines(&mut self) {
        while self.kind() == Some(&Kind::Newline) {
            self.at += 1;
        }
    }

    /// Goes past `/-`.
    fn leave_out(&mut self) {
        self.at += 1;
        self.skip_lines();
        self.out += 1;
    }

    fn left_out(&mut self, from: usize) {
        self.out -= 1;
        let end = self.behind();
        self.dropped.push(from..end);
    }

    fn annotation(&mut self) -> Step<Option<Word>> {
        if self.kind() != Some(&Kind::OpenType) {
            return Ok(None);
        }
        let start = self.here();
        self.at += 1;
        let word = self.take();
        let text = word.as_ref().and_then(|word| self.string(word));
        let (Some(text), Some(Kind::CloseType)) = (text, self.kind()) else {
            let help = "write one word in it, as `(list)depends_on db`; put a text with brackets in quotes";
            return Err(Flaw::syntax(start, "this annotation is not closed", "it begins here", help));
        };
        self.at += 1;
        Ok(Some(Word { text, at: start.start..self.behind() }))
    }

    /// What a token says as a string.
    fn string(&self, token: &Token) -> Option<String> {
        match &token.kind {
            Kind::Text(text) => Some(text.clone()),
            // The kind of a bare word was taken, too: its text is the word.
            Kind::Bare => Some(self.text[token.start..token.end].to_owned()),
            _ => None,
        }
    }

    fn value(&mut self) -> Step<Value> {
        let annotation = self.annotation()?;
        let at = self.here();
        let said = match self.take().map(|t| t.kind) {
            Some(Kind::Text(text)) => Said::Text(text),
            Some(Kind::Bare) => Said::Text(self.text[at.clone()].to_owned()),
            Some(Kind::Number(text)) => Said::Number(text),
            Some(Kind::Flag) => Said::Flag(&self.text[at.clone()] == "#true"),
            Some(Kind::Null) => Said::Null,
            Some(Kind::NotFinite) => Said::NotFinite,
            Some(Kind::Unknown) => Said::Unknown,
            _ => {
                let help = "write a value: a text, a number, `#true`, `#false` or `#null`";
                return Err(Flaw::syntax(at, "a value is missing here", "this is none", help));
            }
        };
        Ok(Value { annotation, at, said })
    }

    /// An argument or a property; nothing of it counts when it is left out.
    fn entry(&mut self, node: &mut Node<C>, out: bool) -> Step<()> {
        let annotated = self.kind() == Some(&Kind::OpenType);
        if annotated || self.tokens.get(self.at + 1).is_none_or(|t| t.kind != Kind::Equals) {
            let value = self.value()?;
            if !out {
                node.arguments.push(value);
            }
            return Ok(());
        }
        let at = self.here();
        let key = self.take().and_then(|token| self.string(&token));
        self.at += 1;
        let Some(text) = key else {
            let help = "write a key before `=`; put one that begins with a digit in quotes";
            return Err(Flaw::syntax(at, "the key of a property must be a text", "this is none", help));
        };
        let value = self.value()?;
        if !out {
            node.properties.push((Word { text, at }, value));
        }
        Ok(())
    }

    /// Nodes up to the end of the block, or of the text.
    fn nodes(&mut self) -> Step<Vec<C>> {
        let mut nodes = Vec::new();
        loop {
            self.skip_lines();
            match self.kind() {
                None => return Ok(nodes),
                Some(Kind::Close) if self.depth > 0 => return Ok(nodes),
                Some(Kind::Close) => {
                    let help = "remove it, or look for a `}` too many above";
                    return Err(Flaw::syntax(self.here(), "this `}` closes nothing", "no `{` is open", help));
                }
                Some(Kind::Slashdash) => {
                    let from = self.here().start;
                    self.leave_out();
                    self.node()?;
                    self.left_out(from);
                }
                Some(_) => nodes.extend(self.node()?),
            }
            if self.kind() == Some(&Kind::Semicolon) {
                self.at += 1;
            }
        }
    }

    /// One node; `None` when it is left out.
    fn node(&mut self) -> Step<Option<C>> {
        let annotation = self.annotation()?;
        let at = self.here();
        let token = self.take();
        let Some(text) = token.as_ref().and_then(|token| self.string(token)) else {
            let (message, label, help) = match token.map(|token| token.kind) {
                Some(Kind::Open) => (
                    "there is no key before this `{`",
                    "what is this block?",
                    "write the key on the same line, as `hosts {`",
                ),
                Some(Kind::Equals) => (
                    "there is no key before this `=`",
                    "what is given this value?",
                    "a property stands behind a key on the same line: `web count=3`",
                ),
                Some(Kind::Semicolon) => (
                    "there is no key before this `;`",
                    "it ends nothing",
                    "remove it: `;` stands between keys on one line, as `web; db`",
                ),
                _ => (
                    "a key must be a text",
                    "this is none",
                    "begin every line with a key; put one that begins with a digit in quotes",
                ),
            };
            return Err(Flaw::syntax(at, message, label, help));
        };
        let bare = !self.text[at.start..].starts_with(['"', '#']);
        let name = Word { text, at };
        let mut node = Node { annotation, name, bare, arguments: Vec::new(), properties: Vec::new(), block: None };
        self.rest_of_node(&mut node)?;
        Ok((self.out == 0).then(|| (self.made)(node)))
    }

    /// Arguments, properties and children.
    fn rest_of_node(&mut self, node: &mut Node<C>) -> Step<()> {
        let mut last = node.name.at.end;
        let mut blocks = false;
        loop {
            let from = self.here().start;
            let out = self.kind() == Some(&Kind::Slashdash);
            if out {
                if from == last {
                    return Err(no_blank(self.here(), "put a blank before `/-`"));
                }
                self.leave_out();
            }
            let at = self.here();
            match self.kind() {
                None | Some(Kind::Newline | Kind::Semicolon | Kind::Close) if !out => return Ok(()),
                Some(Kind::Open) => {
                    let block = self.block()?;
                    blocks = true;
                    if !out && node.block.replace(block).is_some() {
                        let help = "put all of it into one block";
                        return Err(Flaw::syntax(at, "a key has one block", "a second block", help));
                    }
                }
                Some(kind) if at.start == last && !out => {
                    let help = if *kind == Kind::Equals {
                        "write a key and its value with a blank between: `driver nspawn`"
                    } else {
                        "put a blank between values, and before `{`"
                    };
                    return Err(no_blank(at, help));
                }
                Some(_) if blocks => {
                    let help = "break the line after `}`, or write `;`";
                    return Err(Flaw::syntax(at, "nothing can follow a block on its line", "more follows here", help));
                }
                _ => self.entry(node, out)?,
            }
            last = self.behind();
            if out {
                self.left_out(from);
            }
        }
    }

    fn block(&mut self) -> Step<Block<C>> {
        let open = self.here();
        self.at += 1;
        self.depth += 1;
        let children = self.nodes()?;
        self.depth -= 1;
        if self.kind() != Some(&Kind::Close) {
            let help = "close it with `}`; look at the blocks inside it, too";
            return Err(Flaw::syntax(open, "this `{` is not closed", "the block begins here", help));
        }
        self.at += 1;
        Ok(Block { children, at: open.start..self.behind() })
    }
}

/// Values and keys stand apart.
fn no_blank(at: Range<usize>, help: &str) -> Flaw {
    Flaw::syntax(at, "a blank is missing before this", "it follows the text before at once", help)
}

#[cfg(test)]
mod tests;
