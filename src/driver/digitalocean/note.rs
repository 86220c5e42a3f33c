//! What only we know of a droplet, beside its record: since when one may have been asked for, and which tags are ours to
//! take away again.

use crate::driver::{DriverContext, DriverError, files};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

const NAME: &str = "digitalocean.json";

/// The note in a machine's folder.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub(super) struct Note {
    /// When a droplet was asked for and no answer is known, in seconds since 1970.
    pub(super) asked: Option<i64>,
    /// Whether we switched it off, to give it another size.
    pub(super) resizing: bool,
    /// The user's tags that we put on it.
    pub(super) tags: Vec<String>,
}

impl Note {
    fn path(cx: &DriverContext<'_>) -> PathBuf {
        cx.dir.join(NAME)
    }

    /// What is noted; nothing when there is no note, or none that can be read.
    pub(super) fn load(cx: &DriverContext<'_>) -> Result<Self, DriverError> {
        let text = files::read(&Self::path(cx))?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }

    pub(super) fn save(&self, cx: &DriverContext<'_>) -> Result<(), DriverError> {
        if *self == Self::load(cx)? {
            return Ok(());
        }
        let text = serde_json::to_vec(self).expect("numbers and texts are JSON");
        files::write(&Self::path(cx), 0o600, &text)
    }
}
