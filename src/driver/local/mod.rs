//! What drivers share whose machines are on this computer: where they are written down, and the images below them.

mod computer;
mod image;
mod place;
mod preset;

pub(in crate::driver) use computer::folder;
pub(in crate::driver) use image::{Cache, Image, unread};
#[cfg(target_os = "linux")]
pub(in crate::driver) use place::short;
pub(in crate::driver) use place::{Folder, Own, Phase, Place, Record, id, variable};
pub(in crate::driver) use preset::{Arch, Hardware};

use super::DriverError;
use std::path::{Path, PathBuf};

/// What is said of a machine that is not here.
pub(in crate::driver) fn gone(id: &str) -> DriverError {
    DriverError::Refused {
        doing: format!("looking for instance `{id}`"),
        why: "it is not on this computer any more".to_owned(),
        help: "apply again: it is made anew".to_owned(),
    }
}

/// A path of the user's, with `~/` as his home.
pub(in crate::driver) fn here(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => Path::new(path).to_owned(),
    }
}
