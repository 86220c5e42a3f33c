//! The text of one fleet file, and the form it is written in. It reads no file.

use super::{kdl, node::Node, parse, problem::Problems};

/// One file of a fleet, or standard input.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Source {
    /// As messages name it.
    pub name: String,
    /// What is in it.
    pub text: String,
    /// How it is written.
    pub form: Form,
}

/// How a fleet file is written. Both forms say the same things.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// YAML 1.2.
    Yaml,
    /// KDL 2.
    Kdl,
}

impl Source {
    /// A file whose name says its form.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let name = name.into();
        let form = Form::of_name(&name).unwrap_or(Form::Yaml);
        Self { name, text: text.into(), form }
    }
}

impl Form {
    /// The form that this one is not.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Yaml => Self::Kdl,
            Self::Kdl => Self::Yaml,
        }
    }

    /// What a file's name says; `None`: nothing.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        let (_, ending) = name.rsplit_once('.')?;
        match ending.to_ascii_lowercase().as_str() {
            "kdl" => Some(Self::Kdl),
            "yaml" | "yml" | "json" => Some(Self::Yaml),
            _ => None,
        }
    }

    /// What a text looks like that has no name. Anything odd is YAML, whose reader says what is wrong with it.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        let mut rest = text.trim_start_matches('\u{feff}').trim_start();
        // In YAML a comment begins with `#`, which begins no node of KDL.
        if rest.starts_with("//") || rest.starts_with("/*") || rest.starts_with("/-") || rest.starts_with('(') {
            return Self::Kdl;
        }
        while let Some(comment) = rest.strip_prefix('#') {
            rest = comment.split_once('\n').map_or("", |(_, next)| next).trim_start();
        }
        if rest.is_empty() || rest.starts_with(['{', '[', '%', '&', '*', '!', '?', '\'', '-', '|', '>']) {
            return Self::Yaml;
        }
        let line = rest.lines().next().unwrap_or_default();
        let after = match line.strip_prefix('"').and_then(|quoted| quoted.split_once('"')) {
            Some((_, after)) => after,
            None => line.find([' ', '\t', '{', ';', ':']).map_or("", |at| &line[at..]),
        };
        let after = after.trim_start();
        // `key:`, and a key alone on its line, which in YAML is no mapping.
        if after.starts_with(':') || (after.is_empty() && line.ends_with(':')) { Self::Yaml } else { Self::Kdl }
    }

    /// Reads a text of this form. `None`: the problems say why there is no tree.
    pub(super) fn parse(self, file: u16, text: &str, problems: &mut Problems) -> Option<Node> {
        match self {
            Self::Yaml => parse::parse(file, text, problems),
            Self::Kdl => kdl::parse(file, text, problems),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_a_name_is_known_by_what_is_in_it() {
        for text in [
            "fleet: shop\nhosts: {}",
            "# a comment\n\nfleet: shop",
            "{\"fleet\": 1}",
            "--- \nfleet: shop",
            "\u{feff}hosts:\n  web: {}",
            "\"fleet\": shop",
            "hosts: { web: }",
            "",
            "# nothing",
        ] {
            assert_eq!(Form::of_text(text), Form::Yaml, "{text}");
        }
        for text in [
            "fleet shop\nhosts { web }",
            "// a comment\nfleet: x",
            "/- hosts { }\n",
            "\"fleet\" shop",
            "hosts {\n  web\n}",
            "hosts{web}",
            "fleet r\"x: y\"",
            "fleet",
        ] {
            assert_eq!(Form::of_text(text), Form::Kdl, "{text}");
        }
    }
}
