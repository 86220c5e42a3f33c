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

/// The engine as a fleet would have it.
pub(super) fn spec(
    options: &EngineOptions,
    _driver: &'static dyn AnyDriver,
    values: &OptionValues,
) -> Result<EngineSpec, CliError> {
    let port = values.get("engine-port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
    let labels = options.labels.iter().filter_map(|l| l.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned()));
    Ok(EngineSpec {
        port: port.unwrap_or(TLS_PORT),
        labels: labels.collect(),
        registry_mirrors: options.mirrors.clone(),
        insecure_registries: options.insecure.clone(),
        ..EngineSpec::default()
    })
}
