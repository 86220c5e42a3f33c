//! Names of fleets and machines: checked once, at the border, so that no path, hostname or remote
//! command is ever built from a name that could mean something else.

use crate::excerpt;
use serde::{Deserialize, Serialize};
use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};
use thiserror::Error;

/// Why a text is not a name.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum NameError {
    /// Nothing was given.
    #[error("a name cannot be empty")]
    Empty,
    /// Longer than a DNS label may be (RFC 1035, 2.3.4).
    #[error("`{}` is longer than 63 characters", excerpt::word(.0))]
    TooLong(String),
    /// Starts with something other than a letter or digit.
    #[error("`{}` must start with a letter or digit", excerpt::word(.0))]
    Start(String),
    /// Holds a character that a hostname cannot hold.
    #[error("`{}` contains `{found}`; allowed are 0-9 a-z A-Z . -", excerpt::word(.name))]
    Character {
        /// The whole text.
        name: String,
        /// The first character that is not allowed.
        found: char,
    },
}

/// docker-machine's rule, `^[a-zA-Z0-9][a-zA-Z0-9\-\.]*$`, plus the length limit of a DNS label.
fn check(text: &str) -> Result<(), NameError> {
    let Some(first) = text.chars().next() else {
        return Err(NameError::Empty);
    };
    if let Some(found) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '.'))) {
        return Err(NameError::Character { name: text.to_owned(), found });
    }
    if !first.is_ascii_alphanumeric() {
        return Err(NameError::Start(text.to_owned()));
    }
    if text.len() > 63 {
        return Err(NameError::TooLong(text.to_owned()));
    }
    Ok(())
}

macro_rules! name {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks and takes a text.
            ///
            /// # Errors
            /// Says which rule the text breaks.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                check(&text)?;
                Ok(Self(text.into()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// Name of a machine, unique within a store.
    MachineName
}
name! {
    /// Name of a fleet: the scope that owns machines in a store.
    FleetName
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, why: &str) {
        assert_eq!(MachineName::new(text).unwrap_err().to_string(), why);
    }

    #[test]
    fn names_are_hostnames() {
        for good in ["web-1", "a", "0", "Web.example", &"a".repeat(63)] {
            assert_eq!(MachineName::new(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn what_could_be_a_path_or_a_command_is_no_name() {
        refused("", "a name cannot be empty");
        refused("..", "`..` must start with a letter or digit");
        refused("-rf", "`-rf` must start with a letter or digit");
        refused("../certs", "`../certs` contains `/`; allowed are 0-9 a-z A-Z . -");
        refused("a;b", "`a;b` contains `;`; allowed are 0-9 a-z A-Z . -");
        refused("a\n", "`a\n` contains `\n`; allowed are 0-9 a-z A-Z . -");
        refused("é", "`é` contains `é`; allowed are 0-9 a-z A-Z . -");
        assert!(MachineName::new("a".repeat(64)).is_err());
    }
}
