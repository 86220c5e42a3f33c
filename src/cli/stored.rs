//! Waiting for the store, where a command does nothing else meanwhile.

use super::CliError;
use crate::store::StoreError;
use std::sync::OnceLock;
use tokio::runtime::{Builder, Handle, Runtime};

/// One for all, for it is asked often; without threads, for a folder needs none.
static RUNTIME: OnceLock<Runtime> = OnceLock::new();

/// What the store answers.
pub(super) fn stored<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, CliError> {
    settled(work)?.map_err(CliError::Store)
}

/// What comes of work on the store.
pub(super) fn settled<T>(work: impl Future<Output = T>) -> Result<T, CliError> {
    if let Ok(runtime) = Handle::try_current() {
        return Ok(tokio::task::block_in_place(|| runtime.block_on(work)));
    }
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime.block_on(work));
    }
    let made = Builder::new_current_thread().enable_all().build().map_err(CliError::Runtime)?;
    Ok(RUNTIME.get_or_init(|| made).block_on(work))
}
