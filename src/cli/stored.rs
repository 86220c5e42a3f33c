//! Waiting for the store, where a command does nothing else meanwhile.

use super::CliError;
use crate::store::StoreError;
use std::sync::OnceLock;
use tokio::runtime::{Builder, Handle, Runtime};

/// What the store answers.
pub(super) fn stored<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, CliError> {
    settled(work)?.map_err(CliError::Store)
}

/// What comes of work on the store.
pub(super) fn settled<T>(work: impl Future<Output = T>) -> Result<T, CliError> {
    if let Ok(runtime) = Handle::try_current() {
        return Ok(tokio::task::block_in_place(|| runtime.block_on(work)));
    }
    // Once, for it is asked often; without threads, for a folder needs none.
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let runtime = match RUNTIME.get() {
        Some(runtime) => runtime,
        None => {
            let made = Builder::new_current_thread().enable_all().build().map_err(CliError::Runtime)?;
            RUNTIME.get_or_init(|| made)
        }
    };
    Ok(runtime.block_on(work))
}
