//! Waiting for the store, where a command does nothing else meanwhile.

use super::CliError;
use crate::store::StoreError;
use std::{
    pin::pin,
    sync::OnceLock,
    task::{Context, Poll, Waker},
};
use tokio::runtime::{Builder, Handle, Runtime};

/// One for all, for the store is asked often.
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
    let mut work = pin!(work);
    // A folder answers at once, and no runtime is made for it.
    if let Poll::Ready(result) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        return Ok(result);
    }
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime.block_on(work));
    }
    let made = Builder::new_current_thread().enable_all().build().map_err(CliError::Runtime)?;
    Ok(RUNTIME.get_or_init(|| made).block_on(work))
}
