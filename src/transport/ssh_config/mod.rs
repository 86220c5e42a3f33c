//! The `ssh_config` of OpenSSH's client: text to rules, rules and a name to settings.
//!
//! Only what says where a host is and how it is logged in to is taken; all other keywords are passed over. Reading
//! files is in [`files`]; the rest is pure. `ssh_config(5)` is the reference, and `ssh -G` the judge in tests.

pub mod files;
mod pattern;
mod rules;
mod settings;
mod token;
mod words;

pub use rules::{Place, Rules};
pub use settings::{Ask, Settings};
pub use token::Tokens;

use thiserror::Error;

/// What is wrong with a line, or with a file.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum SshConfigError {
    /// A line that cannot be used.
    #[error("{place}: {why}")]
    Line {
        /// Where it stands.
        place: Place,
        /// What is wrong, as a fragment.
        why: String,
    },
    /// A file that cannot be used.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: String,
        /// What is wrong, as a fragment.
        why: String,
    },
}
