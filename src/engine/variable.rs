//! One variable of dockerd's environment: a value, or where a secret value is.

use super::env;
use crate::secret::{Reveal, Revealed, Secret, SecretError};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a variable is set to.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Variable {
    /// This value.
    Plain(String),
    /// A value that is written in no file of ours.
    Secret(SecretVariable),
}

/// A secret value: where it is and, once it was looked for, what it is. Two are the same that are at the same place.
#[derive(Clone, Deserialize, Serialize)]
#[serde(transparent)]
pub struct SecretVariable {
    /// Where it is.
    pub secret: Secret,
    #[serde(skip)]
    found: Option<Result<Revealed, SecretError>>,
}

impl SecretVariable {
    /// One that was not looked for.
    #[must_use]
    pub fn new(secret: Secret) -> Self {
        Self { secret, found: None }
    }

    /// Looks for it and keeps what was found.
    pub(super) fn reveal(&mut self, from: &dyn Reveal) -> Result<(), SecretError> {
        let found = self.secret.reveal(from);
        self.found = Some(found.clone());
        found.map(|_| ())
    }

    /// What it is; `None`: it was not looked for, or is not to be had.
    #[must_use]
    pub fn value(&self) -> Option<&Revealed> {
        self.found.as_ref()?.as_ref().ok()
    }

    /// Why it is not to be had, when it was looked for.
    #[must_use]
    pub fn error(&self) -> Option<&SecretError> {
        self.found.as_ref()?.as_ref().err()
    }
}

impl PartialEq for SecretVariable {
    fn eq(&self, other: &Self) -> bool {
        self.secret == other.secret
    }
}

impl Eq for SecretVariable {}

impl fmt::Debug for SecretVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.secret.fmt(f)
    }
}

impl Variable {
    /// As people may see it.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Plain(value) => env::shown(value),
            Self::Secret(at) => at.secret.to_string(),
        }
    }
}

impl From<String> for Variable {
    fn from(value: String) -> Self {
        Self::Plain(value)
    }
}

impl From<&str> for Variable {
    fn from(value: &str) -> Self {
        Self::Plain(value.to_owned())
    }
}

impl From<Secret> for Variable {
    fn from(secret: Secret) -> Self {
        Self::Secret(SecretVariable::new(secret))
    }
}

impl PartialEq<str> for Variable {
    fn eq(&self, other: &str) -> bool {
        matches!(self, Self::Plain(value) if value == other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_is_a_text_and_a_secret_is_where_it_is() {
        for (value, want) in [
            (json!("http://proxy:3128"), Variable::from("http://proxy:3128")),
            (json!({"env": "PROXY"}), Variable::from(Secret::Env("PROXY".to_owned()))),
        ] {
            let variable: Variable = serde_json::from_value(value.clone()).unwrap();
            assert_eq!((&variable, serde_json::to_value(&variable).unwrap()), (&want, value));
        }
        assert!(serde_json::from_value::<Variable>(json!({"value": "x"})).is_err());
    }

    #[test]
    fn what_was_found_is_neither_written_nor_shown() {
        struct Known;
        impl Reveal for Known {
            fn reveal(&self, _: &Secret) -> Result<Revealed, SecretError> {
                Ok(Revealed::new("hunter2".to_owned()))
            }
        }
        let mut secret = SecretVariable::new(Secret::Env("PROXY".to_owned()));
        secret.reveal(&Known).unwrap();
        assert_eq!(secret.value().unwrap().expose(), "hunter2");
        let variable = Variable::Secret(secret);
        let texts = [format!("{variable:?}"), variable.shown(), serde_json::to_string(&variable).unwrap()];
        assert!(texts.iter().all(|text| text.contains("PROXY") && !text.contains("hunter2")), "{texts:?}");
    }
}
