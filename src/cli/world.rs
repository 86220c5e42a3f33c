//! The real world: the only place that names the real store, the real SSH and the real engine client.

use super::CliError;
use crate::{
    driver::DRIVERS,
    transport::ssh::SshConnect,
    world::{Drivers, World},
};
use std::path::Path;

/// The world as it is, with its store at `root`.
pub(super) fn open(root: &Path) -> Result<World, CliError> {
    let _drivers: Drivers = DRIVERS.iter().map(|driver| (driver.name(), *driver)).collect();
    Err(CliError::said(format!("no store at {}", root.display())))
}

/// SSH with the keys and the agent of whoever called us.
pub(super) fn ssh() -> SshConnect {
    SshConnect::from_env()
}
