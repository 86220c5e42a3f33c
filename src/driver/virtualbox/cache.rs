//! Where on this computer we keep what all stores share.

use crate::driver::local::here;
use std::path::{Path, PathBuf};

/// Images, and what one run at a time may do.
pub(super) fn folder() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|dir| Path::new(dir).is_absolute());
    cache.map_or_else(|| here("~/.cache"), Into::into).join("machine").join("virtualbox")
}
