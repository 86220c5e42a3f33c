//! The engine that the flags of `create` ask for.

use super::flags::Given;
use crate::{
    cli::CliError,
    driver::AnyDriver,
    engine::{EngineSpec, spec::TLS_PORT},
    record::{OptionValues, docker_machine::EngineOptions},
};
use serde_json::Value;

/// The flags as docker-machine records them.
pub(super) fn options(given: &Given<'_>) -> EngineOptions {
    EngineOptions {
        flags: given.list("engine-opt"),
        env: given.list("engine-env"),
        insecure: given.list("engine-insecure-registry"),
        mirrors: given.list("engine-registry-mirror"),
        labels: given.list("engine-label"),
        storage: given.text("engine-storage-driver"),
        install_url: given.text("engine-install-url"),
    }
}

/// The engine as a fleet would have it, with the label that docker-machine gives to engines of a driver.
pub(super) fn spec(
    options: &EngineOptions,
    driver: &dyn AnyDriver,
    values: &OptionValues,
) -> Result<EngineSpec, CliError> {
    options.to_spec(port(values), Some(driver.name())).map_err(|problems| CliError::Said {
        what: format!("Error setting machine configuration from flags provided: {}", problems.join("; ")),
        help: None,
    })
}

/// The port that the driver's options give the engine.
pub(in crate::cli) fn port(values: &OptionValues) -> u16 {
    let port = values.get("engine-port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
    port.unwrap_or(TLS_PORT)
}
