//! The real world: the only place that names the real store, the real SSH and the real engine client.

use super::CliError;
use crate::{
    clock::SystemClock,
    docker::client::HttpDocker,
    driver::Drivers,
    local::Here,
    provisioner::PROVISIONERS,
    revealer::Revealer,
    store::Store,
    transport::{pool::Pool, ssh::SshConnect},
    world::World,
};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

/// One for the whole run, so that a program that asks a person for a secret asks once.
static SECRETS: LazyLock<Arc<Revealer>> = LazyLock::new(|| Arc::new(Revealer::new()));

/// What looks for secrets.
pub(super) fn secrets() -> Arc<Revealer> {
    Arc::clone(&SECRETS)
}

/// The world as it is, with its store at `root`.
pub(super) fn open(root: &Path, drivers: &Drivers) -> Result<World, CliError> {
    Ok(World {
        drivers: drivers.clone(),
        provisioners: PROVISIONERS,
        connect: Arc::new(Pool::new(Arc::new(ssh()))),
        docker: Arc::new(HttpDocker),
        store: Store::folder(root, drivers.clone()).map_err(CliError::Store)?,
        clock: Arc::new(SystemClock),
        local: Arc::new(Here { dir: PathBuf::from(".") }),
        secrets: secrets(),
    })
}

/// SSH with the keys and the agent of the caller.
pub(super) fn ssh() -> SshConnect {
    SshConnect::from_env().with_secrets(secrets())
}
