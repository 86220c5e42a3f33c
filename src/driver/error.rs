//! How a driver fails, and what to do about it.

use crate::{secret::SecretError, transport::TransportError};
use thiserror::Error;

/// What ends badly between us and a provider.
#[derive(Debug, Error)]
pub enum DriverError {
    /// The computer we run on lacks something.
    #[error("{what}")]
    Unprepared {
        /// What is missing, as a lowercase fragment.
        what: String,
        /// What to do about it; a command to copy stands on a line of its own.
        help: String,
    },
    /// The provider said no, and will say no again.
    #[error("{doing}: {why}")]
    Refused {
        /// What was being done, as `starting the instance`.
        doing: String,
        /// What came back.
        why: String,
        /// What to do about it.
        help: String,
    },
    /// The provider does not know us: there are no credentials, or none that count any more. The use of a machine needs
    /// none, so this is no obstacle to that.
    #[error("{doing}: {why}")]
    Stranger {
        /// What was being done.
        doing: String,
        /// What is missing, or what came back.
        why: String,
        /// What to do about it.
        help: String,
    },
    /// The answer was lost or the provider is busy: the effect may have happened.
    #[error("{doing}: {why}")]
    Lost {
        /// What was being done.
        doing: String,
        /// What came back.
        why: String,
    },
    /// This driver cannot do that at all.
    #[error("driver `{driver}` cannot {what}")]
    Cannot {
        /// The driver.
        driver: String,
        /// What was asked, as `start`.
        what: String,
    },
    /// The host could not be asked.
    #[error(transparent)]
    Transport(TransportError),
    /// A secret is not to be had.
    #[error(transparent)]
    Secret(SecretError),
    /// The store could not keep what was learnt, so going on would lose it.
    #[error("the store could not record the instance: {0}")]
    Checkpoint(String),
}

impl DriverError {
    /// Says that a driver cannot do what was asked at all.
    #[must_use]
    pub fn cannot(driver: &str, what: &str) -> Self {
        Self::Cannot { driver: driver.to_owned(), what: what.to_owned() }
    }

    /// Whether the same call may succeed a little later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Lost { .. } => true,
            Self::Transport(e) => e.is_transient(),
            Self::Unprepared { .. }
            | Self::Refused { .. }
            | Self::Stranger { .. }
            | Self::Cannot { .. }
            | Self::Secret(_)
            | Self::Checkpoint(_) => false,
        }
    }

    /// Whether it was said that it is not done: nothing more of it is to be expected.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Unprepared { .. }
            | Self::Refused { .. }
            | Self::Stranger { .. }
            | Self::Cannot { .. }
            | Self::Secret(_) => true,
            // What came of it is not known, or not recorded.
            Self::Lost { .. } | Self::Transport(_) | Self::Checkpoint(_) => false,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Unprepared { help, .. } | Self::Refused { help, .. } | Self::Stranger { help, .. } => Some(help.clone()),
            Self::Transport(e) => Some(e.help()),
            Self::Secret(e) => Some(e.help()),
            Self::Lost { .. } => {
                Some("apply again: what the provider did meanwhile is found and taken over".to_owned())
            }
            Self::Checkpoint(_) => Some(
                "see that the store can be written, then run the same command again: the instance is found and taken over"
                    .to_owned(),
            ),
            Self::Cannot { .. } => None,
        }
    }
}
