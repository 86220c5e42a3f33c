//! The text of one fleet file, and the form it is written in. It reads no file.

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
}
