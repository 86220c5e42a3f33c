//! What can be wrong with a fleet file. All of it is reported at once, in file order.

use super::node::Place;
use miette::{Diagnostic, LabeledSpan, NamedSource, SourceSpan};
use std::{error::Error, fmt};

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
    /// A variable given on the command line that nothing uses.
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
    /// A key of daemon.json that has a key of its own.
    DaemonKey = "daemon_key",
    /// A setting that has no effect beside another.
    NoEffect = "no_effect",
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
    /// Where: the first is the place itself, others explain it. Empty: not in the file.
    labels: Vec<(Place, String)>,
}

impl Problem {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: None, labels: Vec::new() }
    }

    pub(super) fn at(mut self, place: Place, label: impl Into<String>) -> Self {
        self.labels.push((place, label.into()));
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// A suggestion first, then what else there is to say.
    pub(super) fn suggest(mut self, meant: Option<String>, otherwise: impl Into<String>) -> Self {
        let otherwise = otherwise.into();
        self.help = match meant {
            Some(meant) if otherwise.is_empty() => Some(format!("did you mean `{meant}`?")),
            Some(meant) => Some(format!("did you mean `{meant}`? {otherwise}")),
            None if otherwise.is_empty() => None,
            None => Some(otherwise),
        };
        self
    }

    /// Where it is, in bytes from the start of the text; `None`: not in the file.
    #[must_use]
    pub fn offset(&self) -> Option<usize> {
        self.labels.first().map(|(place, _)| place.start)
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
        if self.labels.is_empty() {
            return None;
        }
        Some(Box::new(self.labels.iter().enumerate().map(|(n, (place, label))| {
            let span = SourceSpan::from((place.start, place.len));
            let label = (!label.is_empty()).then(|| label.clone());
            // The primary label is the one whose line and column head the excerpt.
            if n == 0 {
                LabeledSpan::new_primary_with_span(label, span)
            } else {
                LabeledSpan::new_with_span(label, span)
            }
        })))
    }
}

/// Everything that is wrong with a fleet file, in file order. There is at least one problem.
#[derive(Clone, Debug)]
pub struct FleetProblems {
    source: NamedSource<String>,
    problems: Vec<Problem>,
}

impl FleetProblems {
    pub(super) fn new(file_name: &str, text: &str, problems: Problems) -> Self {
        let mut problems = problems.found;
        problems.sort_by_key(|p| p.labels.first().map(|(place, _)| *place));
        // What several hosts take from one anchor is wrong once.
        problems.dedup();
        Self { source: NamedSource::new(file_name, text.to_owned()), problems }
    }

    /// The problems.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Name of the file as it was given.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.source.name()
    }

    /// Line and column of a problem, both from 1, the column in characters; `None`: it is not in the file.
    #[must_use]
    pub fn line_and_column(&self, problem: &Problem) -> Option<(usize, usize)> {
        let before = self.source.inner().get(..problem.offset()?)?;
        let line = before.rsplit('\n').next().unwrap_or_default().trim_start_matches('\u{feff}');
        Some((before.matches('\n').count() + 1, line.chars().count() + 1))
    }
}

impl fmt::Display for FleetProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.problems.len();
        write!(f, "{} has {n} problem{}", self.source.name(), if n == 1 { "" } else { "s" })
    }
}

impl Error for FleetProblems {}

impl Diagnostic for FleetProblems {
    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        Some(&self.source)
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.problems.iter().map(|p| p as &dyn Diagnostic)))
    }
}

/// Problems as they are found.
#[derive(Debug, Default)]
pub(super) struct Problems {
    found: Vec<Problem>,
    suggested: usize,
}

impl Problems {
    /// Comparing texts is slow and nobody reads the hundredth suggestion, so that a large file that is wrong
    /// throughout is still answered at once.
    const SUGGESTIONS: usize = 50;

    pub(super) fn push(&mut self, problem: Problem) {
        self.found.push(problem);
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
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_unique_and_plain() {
        let texts: BTreeSet<&str> = Code::ALL.iter().map(|c| c.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        for text in texts {
            let last = text.strip_prefix("machine::fleet::").unwrap();
            assert!(last.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{text}");
        }
    }

    #[test]
    fn problems_come_in_file_order_with_line_and_column() {
        let text = "\u{feff}a: 1\r\nüb: 2\r\n";
        let mut problems = Problems::default();
        let at = text.find('2').unwrap();
        problems.push(Problem::new(Code::WrongType, "second").at(Place::new(at, at + 1), ""));
        problems.push(Problem::new(Code::UnknownKey, "first").at(Place::new(3, 4), ""));
        problems.push(Problem::new(Code::Empty, "nowhere"));
        let all = FleetProblems::new("fleet.yaml", text, problems);
        let places: Vec<_> = all.problems().iter().map(|p| (p.message.as_str(), all.line_and_column(p))).collect();
        assert_eq!(places, [("nowhere", None), ("first", Some((1, 1))), ("second", Some((2, 5)))]);
        assert_eq!(all.to_string(), "fleet.yaml has 3 problems");
    }
}
