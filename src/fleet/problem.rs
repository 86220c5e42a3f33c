//! What can be wrong with a fleet file. All of it is reported at once, in file order.

use super::{
    advice,
    node::Place,
    source::{Form, Source},
    view::{self, View},
};
use crate::excerpt;
use miette::{Diagnostic, LabeledSpan, NamedSource, Severity, SourceCode};
use std::{error::Error, fmt, sync::Arc};

macro_rules! codes {
    ($($(#[$meta:meta])* $variant:ident = $text:literal,)*) => {
        /// The kind of a problem. Its text is stable: scripts and docs refer to it.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Code {
            $($(#[$meta])* $variant,)*
        }

        impl Code {
            /// Every code there is.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// As it is shown.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!("machine::fleet::", $text),)*
                }
            }
        }
    };
}

codes! {
    /// It is not YAML.
    Syntax = "syntax",
    /// There is nothing in it.
    Empty = "empty",
    /// There is a second document after `---`.
    SeveralDocuments = "several_documents",
    /// One mapping has a key twice.
    DuplicateKey = "duplicate_key",
    /// A key is a list or a mapping.
    BadKey = "bad_key",
    /// An alias or merge cannot be followed.
    BadAlias = "bad_alias",
    /// A tag such as `!secret` means nothing here.
    UnknownTag = "unknown_tag",
    /// It is nested deeper than any fleet.
    TooDeep = "too_deep",
    /// It unfolds into more than can be meant.
    TooLarge = "too_large",
    /// A key that nothing reads.
    UnknownKey = "unknown_key",
    /// A text where a number is wanted, and the like.
    WrongType = "wrong_type",
    /// The right type, and yet not legal.
    BadValue = "bad_value",
    /// A key that must be there is not.
    MissingKey = "missing_key",
    /// Part of the product's plan, and not of this release.
    NotSupported = "not_supported",
    /// `${…}` that is not closed, or asks neither `var` nor `env`.
    BadReference = "bad_reference",
    /// A variable that is not there.
    UnknownVariable = "unknown_variable",
    /// A variable that must be given, and is not.
    MissingValue = "missing_value",
    /// A variable that is given and nothing uses.
    UnusedVariable = "unused_variable",
    /// Not a name a fleet or machine can have.
    BadName = "bad_name",
    /// Two hosts come to one name.
    SameName = "same_name",
    /// No driver and no configuration of this name.
    UnknownDriver = "unknown_driver",
    /// A host with no driver.
    NoDriver = "no_driver",
    /// A configuration that hides a driver of the same name.
    HiddenDriver = "hidden_driver",
    /// The driver has no such option.
    UnknownOption = "unknown_option",
    /// The driver's option cannot have this value.
    BadOption = "bad_option",
    /// The driver cannot do without it.
    MissingOption = "missing_option",
    /// A secret written into the file.
    SecretInFile = "secret_in_file",
    /// Settings for an engine that is not ours to set up.
    EngineNotOurs = "engine_not_ours",
    /// `null` in an overlay, for what no file before it has.
    NothingToRemove = "nothing_to_remove",
    /// A key of daemon.json that has a key of its own.
    DaemonKey = "daemon_key",
    /// A setting that has no effect beside another.
    NoEffect = "no_effect",
    /// A host is in a group that is not there.
    UnknownGroup = "unknown_group",
    /// `depends_on` names nothing that is there.
    UnknownHost = "unknown_host",
    /// A host that waits for itself.
    SelfDependency = "self_dependency",
    /// Hosts that wait for each other.
    DependencyCycle = "dependency_cycle",
}

/// One thing that is wrong, where, and what to do about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// Its kind.
    pub code: Code,
    /// What is wrong, as a lowercase fragment.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Where: the first is the place itself, others explain it. Empty: not in a file.
    labels: Vec<(Place, String)>,
    /// What is shown of the file it is in, once all problems are found.
    view: Option<Box<View>>,
    /// Labels in files other than that of the first, which an excerpt of that one cannot show.
    elsewhere: Box<[Elsewhere]>,
    /// What no excerpt may show.
    hidden: Box<Hidden>,
}

/// Texts that may be secrets.
#[derive(Clone, Default, Eq, PartialEq)]
struct Hidden(Vec<String>);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// Shorter texts are no secrets, and stand everywhere.
const SHORTEST: usize = 4;

impl Hidden {
    fn gather(&mut self, value: &serde_json::Value) {
        match value {
            serde_json::Value::String(text) => self.0.push(text.clone()),
            serde_json::Value::Array(items) => items.iter().for_each(|item| self.gather(item)),
            serde_json::Value::Object(map) => map.values().for_each(|item| self.gather(item)),
            _ => {}
        }
    }
}

/// As long as before in bytes and characters, so that places stay where they are.
fn masked(text: &str) -> String {
    let mask = |c: char| match c.len_utf8() {
        _ if c == '\n' => c,
        1 => '*',
        2 => '\u{b7}',
        3 => '\u{2022}',
        _ => '\u{1f512}',
    };
    text.chars().map(mask).collect()
}

impl Problem {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        let (labels, elsewhere) = (Vec::new(), Box::default());
        // What it quotes may be of any length.
        let message = excerpt::line(&message.into()).into_owned();
        Self { code, message, help: None, labels, view: None, elsewhere, hidden: Box::default() }
    }

    /// Shows its own place, and wherever else the same stands, without what stands there.
    pub(super) fn hide(mut self, value: &serde_json::Value) -> Self {
        self.hidden.gather(value);
        self
    }

    /// Masks in the texts of files what must not be shown.
    fn mask(&self, texts: &mut [String]) {
        if self.hidden.0.is_empty() {
            return;
        }
        if let Some(place) = self.place()
            && let Some(text) = texts.get_mut(place.file())
            && let Some(there) = text.get(place.start()..place.start() + place.len()).map(masked)
        {
            text.replace_range(place.start()..place.start() + place.len(), &there);
        }
        for hidden in self.hidden.0.iter().filter(|hidden| hidden.len() >= SHORTEST) {
            for text in texts.iter_mut() {
                *text = text.replace(hidden, &masked(hidden));
            }
        }
    }

    pub(super) fn at(mut self, place: Place, label: impl Into<String>) -> Self {
        self.labels.push((place, excerpt::line(&label.into()).into_owned()));
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(excerpt::lines(&help.into()).into_owned());
        self
    }

    /// A suggestion first, then what else there is to say.
    pub(super) fn suggest(mut self, meant: Option<String>, otherwise: impl Into<String>) -> Self {
        let otherwise = excerpt::lines(&otherwise.into()).into_owned();
        self.help = match meant {
            Some(meant) if otherwise.is_empty() => Some(format!("did you mean `{meant}`?")),
            Some(meant) => Some(format!("did you mean `{meant}`? {otherwise}")),
            None if otherwise.is_empty() => None,
            None => Some(otherwise),
        };
        self
    }

    /// Where it is, in bytes from the start of the text; `None`: not in a file.
    #[must_use]
    pub fn offset(&self) -> Option<usize> {
        self.place().map(Place::start)
    }

    fn place(&self) -> Option<Place> {
        self.labels.first().map(|(place, _)| *place)
    }

    /// Says all it says in other words.
    fn translate(&mut self, words: impl Fn(&str) -> String) {
        self.message = words(&self.message);
        self.help = self.help.as_deref().map(&words);
        for (_, label) in &mut self.labels {
            *label = words(label);
        }
    }

    /// Knows what is shown of its files.
    fn within(&mut self, files: &[NamedSource<String>], starts: &[Vec<usize>]) {
        let Some(own) = self.place().map(Place::file) else { return };
        let of = |file: usize, labels: &[(Place, String)]| {
            let (named, starts) = (files.get(file)?, starts.get(file)?);
            Some(Box::new(View::new(named.name(), named.inner(), starts, labels)))
        };
        let (labels, others): (Vec<_>, Vec<_>) =
            self.labels.iter().cloned().partition(|(place, _)| place.file() == own);
        self.view = of(own, &labels);
        let others = others.into_iter().take(ELSEWHERE);
        let elsewhere = others.filter_map(|(place, label)| {
            let name = files.get(place.file())?.name().to_owned();
            Some(Elsewhere { name, view: of(place.file(), &[(place, label)])? })
        });
        self.elsewhere = elsewhere.collect();
    }

    /// About how many bytes it takes to show.
    fn size(&self) -> usize {
        let views = self.view.iter().map(|view| view.size()).chain(self.elsewhere.iter().map(|e| e.view.size()));
        self.message.len() + self.help.as_deref().map_or(0, str::len) + views.sum::<usize>()
    }
}

/// Places in other files that are shown.
const ELSEWHERE: usize = 4;

/// A label of a problem in another file than its first.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Elsewhere {
    name: String,
    view: Box<View>,
}

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "and in {}", self.name)
    }
}

impl Error for Elsewhere {}

impl Diagnostic for Elsewhere {
    fn severity(&self) -> Option<Severity> {
        Some(Severity::Advice)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&*self.view)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.view.labels()))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Problem {}

impl Diagnostic for Problem {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.code.as_str()))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.view.as_ref().map(|view| Box::new(view.labels()) as Box<dyn Iterator<Item = LabeledSpan>>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.view.as_ref().map(|view| &**view as &dyn SourceCode)
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        (!self.elsewhere.is_empty())
            .then(|| Box::new(self.elsewhere.iter().map(|e| e as &dyn Diagnostic)) as Box<dyn Iterator<Item = _> + 'a>)
    }
}

/// Problems that are shown with what stands around them: each takes reading the text up to there.
const SHOWN: usize = 50;
/// About as many bytes of problems as are shown.
const SHOWN_BYTES: usize = 32 << 10;

/// Everything that is wrong with a fleet, in the order of its files and their text. There is at least one problem.
#[derive(Clone, Debug)]
pub struct FleetProblems {
    files: Arc<[NamedSource<String>]>,
    problems: Vec<Problem>,
    /// How many of them are shown.
    shown: usize,
}

impl FleetProblems {
    /// Problems of a fleet that is one file.
    #[cfg(test)]
    pub(super) fn new(file_name: &str, text: &str, problems: Problems) -> Self {
        Self::among(&[Source::new(file_name, text)], problems)
    }

    /// Problems of a fleet; places are in these files.
    pub(super) fn among(sources: &[Source], problems: Problems) -> Self {
        let mut problems = problems.found;
        let mut texts: Vec<String> = sources.iter().map(|source| source.text.clone()).collect();
        for problem in &problems {
            problem.mask(&mut texts);
        }
        let files: Arc<[_]> = sources.iter().zip(texts).map(|(s, text)| NamedSource::new(&s.name, text)).collect();
        for problem in &mut problems {
            let file = problem.place().map_or(0, Place::file);
            if sources.get(file).is_some_and(|source| source.form == Form::Kdl) {
                problem.translate(advice::in_kdl);
            }
        }
        problems.sort_by_key(Problem::place);
        // What several hosts take from one anchor is wrong once.
        problems.dedup();
        let starts: Vec<_> = files.iter().map(|file| view::starts(file.inner())).collect();
        let (mut shown, mut bytes) = (0, 0);
        for problem in problems.iter_mut().take(SHOWN) {
            problem.within(&files, &starts);
            bytes += problem.size();
            if shown > 0 && bytes > SHOWN_BYTES {
                break;
            }
            shown += 1;
        }
        Self { files, problems, shown }
    }

    /// The problems.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Names of the files as they were given, as a sentence has them.
    #[must_use]
    pub fn file_name(&self) -> String {
        let names: Vec<&str> = self.files.iter().map(NamedSource::name).collect();
        match names.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
            _ => names.concat(),
        }
    }

    /// Name of the file a problem is in; `None`: it is in none.
    #[must_use]
    pub fn file_of(&self, problem: &Problem) -> Option<&str> {
        self.files.get(problem.place()?.file()).map(NamedSource::name)
    }

    /// Line and column of a problem, both from 1, the column in characters; `None`: it is not in a file.
    #[must_use]
    pub fn line_and_column(&self, problem: &Problem) -> Option<(usize, usize)> {
        let place = problem.place()?;
        let before = self.files.get(place.file())?.inner().get(..place.start())?;
        let line = before.rsplit('\n').next().unwrap_or_default().trim_start_matches('\u{feff}');
        Some((before.matches('\n').count() + 1, line.chars().count() + 1))
    }
}

impl fmt::Display for FleetProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.problems.len();
        let have = if self.files.len() == 1 { "has" } else { "have" };
        write!(f, "{} {have} {n} problem{}", self.file_name(), if n == 1 { "" } else { "s" })?;
        match self.shown {
            shown if n <= shown => Ok(()),
            1 => f.write_str("; this is the first"),
            shown => write!(f, "; these are the first {shown}"),
        }
    }
}

impl Error for FleetProblems {}

impl Diagnostic for FleetProblems {
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.problems.iter().take(self.shown).map(|p| p as &dyn Diagnostic)))
    }
}

/// Problems as they are found.
#[derive(Debug, Default)]
pub(super) struct Problems {
    found: Vec<Problem>,
    suggested: usize,
}

impl Problems {
    /// Comparing texts is slow and the hundredth suggestion is of no use, so that a large file that is wrong
    /// throughout is still answered at once.
    const SUGGESTIONS: usize = 50;

    /// More of them are of no use, and a file of mistakes must not exhaust memory.
    const KEPT: usize = 10_000;

    pub(super) fn push(&mut self, problem: Problem) {
        if self.found.len() < Self::KEPT {
            self.found.push(problem);
        }
    }

    /// Takes over what was found elsewhere.
    pub(super) fn append(&mut self, others: Self) {
        others.found.into_iter().for_each(|problem| self.push(problem));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// What `word` was probably meant to be.
    pub(super) fn did_you_mean<'a>(&mut self, word: &str, among: impl IntoIterator<Item = &'a str>) -> Option<String> {
        self.suggested += 1;
        if self.suggested > Self::SUGGESTIONS {
            return None;
        }
        super::suggest::closest(word, among)
    }
}

#[cfg(test)]
#[path = "problem_tests.rs"]
mod tests;
