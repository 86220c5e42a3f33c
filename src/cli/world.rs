//! The real world: the only place that names the real store, the real SSH and the real engine client.

use super::CliError;
use crate::{
    clock::SystemClock,
    docker::client::HttpDocker,
    driver,
    local::Here,
    provisioner::PROVISIONERS,
    store::dir::DirStore,
    transport::{pool::Pool, ssh::SshConnect},
    world::World,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// The world as it is, with its store at `root`.
pub(super) fn open(root: &Path) -> Result<World, CliError> {
    Ok(World {
        drivers: Arc::new(driver::all()),
        provisioners: PROVISIONERS,
        connect: Arc::new(Pool::new(Arc::new(ssh()))),
        docker: Arc::new(HttpDocker),
        store: Arc::new(DirStore::new(root).map_err(CliError::Store)?),
        clock: Arc::new(SystemClock),
        local: Arc::new(Here { dir: PathBuf::from(".") }),
    })
}

/// SSH with the keys and the agent of whoever called us.
pub(super) fn ssh() -> SshConnect {
    SshConnect::from_env()
}
