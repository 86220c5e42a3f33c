//! Secrets by reference: where one is, never what it is. What it is appears only at use, and is wiped after it.
//!
//! It opens no file and runs nothing: that is [`crate::revealer`], behind the trait [`Reveal`].

mod command;

pub use command::SecretCommand;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};
use std::{borrow::Cow, fmt, sync::Arc};
use thiserror::Error;
use zeroize::Zeroizing;

/// Where a secret is. It may be recorded, compared and shown.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Secret {
    /// A variable of our environment.
    Env(String),
    /// The content of a file, without the end of its last line.
    File(String),
    /// What a program prints, without the end of its last line.
    Command(SecretCommand),
    /// A field of `Driver` in the machine's own config.json, where docker-machine left it in clear text. It stands in
    /// records of machines that docker-machine made, never in a fleet file; only the driver is told what it is.
    Config(String),
}

/// How a reference is written, for help.
pub const FORMS: &str = "`{ env: NAME }`, `{ file: PATH }` or `{ command: COMMAND }`";

impl Secret {
    /// Reads `{ env: NAME }`, `{ file: PATH }` or `{ command: COMMAND }`.
    ///
    /// # Errors
    /// Says what is wrong with it as a lowercase fragment; it never quotes a value, which may be the secret itself.
    pub fn from_json(value: &Value) -> Result<Self, String> {
        let wrong = || Err(format!("a reference is one of {FORMS}"));
        let only = value.as_object().filter(|map| map.len() == 1).and_then(|map| map.iter().next());
        let Some((key, value)) = only else { return wrong() };
        let text = value.as_str().filter(|text| !text.is_empty() && !text.contains('\0'));
        match (key.as_str(), text) {
            ("env", Some(name)) if is_variable(name) => Ok(Self::Env(name.to_owned())),
            ("env", Some(_)) => Err("this cannot be the name of a variable".to_owned()),
            ("file", Some(path)) => Ok(Self::File(path.to_owned())),
            ("config", Some(field)) => Ok(Self::Config(field.to_owned())),
            ("command", _) => SecretCommand::from_json(value).map(Self::Command).map_or_else(wrong, Ok),
            _ => wrong(),
        }
    }

    /// As it is written in a fleet file.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Env(name) => json!({ "env": name }),
            Self::File(path) => json!({ "file": path }),
            Self::Command(command) => json!({ "command": command.to_json() }),
            Self::Config(field) => json!({ "config": field }),
        }
    }

    /// What it is, from what can look.
    ///
    /// # Errors
    /// Names the reference and why nothing came of it.
    pub fn reveal(&self, from: &dyn Reveal) -> Result<Revealed, SecretError> {
        from.reveal(self)
    }
}

/// Whether a program can be given a variable of this name.
fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c == '=' || c.is_control() || c.is_whitespace())
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "{{ env: {name} }}"),
            Self::File(path) => write!(f, "{{ file: {path} }}"),
            Self::Command(command) => write!(f, "{{ command: {command} }}"),
            Self::Config(field) => write!(f, "{{ config: {field} }}"),
        }
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_json(&Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let text = || json!({ "type": "string", "minLength": 1 });
        let one = |key: &str, value: Value| json!({ "type": "object", "properties": { key: value }, "required": [key], "additionalProperties": false });
        json_schema!({
            "description": "Where a secret is; the secret itself is never in a fleet file.",
            "oneOf": [
                one("env", text()),
                one("file", text()),
                one("command", json!({ "anyOf": [text(), { "type": "array", "items": { "type": "string" }, "minItems": 1 }] })),
            ],
        })
    }
}

/// What a secret is. It is wiped from memory with its last copy, and is shown only where it is asked for.
#[derive(Clone)]
pub struct Revealed(Arc<Zeroizing<String>>);

impl Revealed {
    /// Takes it over; the text is wiped when it is not needed any more.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Arc::new(Zeroizing::new(text)))
    }

    /// The secret. A caller must not keep it, print it or hand it to a program as an argument.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Revealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Finds out what a secret is. It may wait for a file or a program: call it where waiting is allowed.
pub trait Reveal: Send + Sync {
    /// What the secret is.
    ///
    /// # Errors
    /// Names the reference and why nothing came of it.
    fn reveal(&self, secret: &Secret) -> Result<Revealed, SecretError>;
}

/// Why a secret could not be had. No text of it holds a part of the secret.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("the secret {secret} cannot be had: {why}")]
pub struct SecretError {
    /// The reference.
    pub secret: Secret,
    /// Why.
    pub why: SecretProblem,
}

/// What was in the way.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum SecretProblem {
    /// The variable is not there.
    #[error("the variable is not set")]
    Unset,
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// It is larger than any secret.
    #[error("it is longer than 64 KiB")]
    TooLong,
    /// It is no text, or has a NUL.
    #[error("it is not a text")]
    NotText,
    /// Others may read the file.
    #[error("its mode {0:04o} lets others read it")]
    Loose(u32),
    /// The file cannot be read, or the program not be started.
    #[error("{0}")]
    Io(String),
    /// The program failed.
    #[error("the command ended with {0}")]
    Failed(String),
    /// The program did not end.
    #[error("the command did not end within {0} s")]
    Slow(u64),
    /// Secrets are not looked for here.
    #[error("nothing here may look for secrets")]
    NotHere,
}

impl SecretError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> String {
        match (&self.secret, &self.why) {
            (_, SecretProblem::Loose(_)) => {
                let path = if let Secret::File(path) = &self.secret { path.as_str() } else { "" };
                format!("let only its owner read it:\n  chmod 600 {}", crate::quote::quote(path))
            }
            (Secret::Env(name), SecretProblem::Unset | SecretProblem::Empty) => {
                format!("set it before you run this:\n  export {name}=…")
            }
            (Secret::Env(name), _) => format!("look at what `{name}` is set to"),
            (Secret::File(path), SecretProblem::Empty) => format!("write the secret into {path}, on one line"),
            (Secret::File(path), _) => {
                format!("give the path of a file that holds nothing but the secret, and not {path}")
            }
            // What the command said may be the secret, so it is not kept.
            (Secret::Command(command), _) => format!("run it to see what it says:\n  {}", command.line()),
            (Secret::Config(field), _) => {
                format!(
                    "docker-machine keeps it as `{field}` in the machine's config.json: give the machine a fleet file with a reference of its own"
                )
            }
        }
    }
}

/// Looks nowhere: for what must not need a secret.
#[derive(Clone, Copy, Debug)]
pub struct NoSecrets;

impl Reveal for NoSecrets {
    fn reveal(&self, secret: &Secret) -> Result<Revealed, SecretError> {
        Err(SecretError { secret: secret.clone(), why: SecretProblem::NotHere })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_reads_as_it_is_written() {
        for (value, want) in [
            (json!({"env": "A_TOKEN"}), "{ env: A_TOKEN }"),
            (json!({"file": "~/.token"}), "{ file: ~/.token }"),
            (json!({"command": "pass show it | head -1"}), "{ command: pass show it | head -1 }"),
            (json!({"command": ["pass", "show", "a b"]}), "{ command: [pass, show, a b] }"),
        ] {
            let secret = Secret::from_json(&value).unwrap();
            assert_eq!((secret.to_string().as_str(), secret.to_json()), (want, value));
        }
    }

    #[test]
    fn what_may_be_the_secret_itself_is_not_quoted() {
        for bad in [
            json!("hunter2"),
            json!({"value": "hunter2"}),
            json!({"env": "hunter2", "file": "x"}),
            json!({"env": ["hunter2"]}),
            json!({"env": "hunter2 x"}),
            json!({"env": ""}),
            json!({"file": "a\0hunter2"}),
            json!({"command": []}),
            json!({"command": ["hunter2", 1]}),
            json!({"command": ""}),
        ] {
            let why = Secret::from_json(&bad).unwrap_err();
            assert!(!why.contains("hunter2"), "{why}");
        }
    }

    #[test]
    fn a_secret_is_not_shown_by_accident() {
        let revealed = Revealed::new("hunter2".to_owned());
        assert_eq!(format!("{revealed:?} {:#?}", Some(&revealed)), "(secret) Some(\n    (secret),\n)");
        assert_eq!(revealed.expose(), "hunter2");
    }
}
