//! CDs from the network.

use crate::driver::{DriverContext, DriverError};
use std::path::PathBuf;

/// Brings a CD; the file it is in, unless it went to the machine's folder at once.
pub(super) async fn cd(_cx: &DriverContext<'_>, url: &str) -> Result<Option<PathBuf>, DriverError> {
    Err(DriverError::Refused {
        doing: format!("fetching {url}"),
        why: "not yet".to_owned(),
        help: "give the path of a file".to_owned(),
    })
}
