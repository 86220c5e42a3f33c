//! What is found out before the first step of a plan: whether all secrets that it will need are to be had, and, for one
//! machine, whether its provider has what it names.

use super::StepError;
use crate::{
    driver::{NothingMade, Secrecy},
    fleet::HostSpec,
    name::MachineName,
    panicked::{caught, joined},
    plan::{Plan, Work},
    record::OptionValues,
    secret::{Secret, SecretError},
    transport::ssh,
    world::{self, Site, World},
};
use std::{collections::BTreeSet, sync::Arc};
use tokio::task::JoinError;

/// The option with which a key is opened, and that which names the key: needed only where the key is shut.
const OPENS: (&str, &str) = ("ssh-key-passphrase", "ssh-key");

/// A reference that a step would need and that leads nowhere.
#[derive(Clone, Debug)]
pub struct Missing {
    /// The machine.
    pub machine: MachineName,
    /// The key of a fleet file under which it stands, as `engine.env.TOKEN`.
    pub key: String,
    /// What became of it.
    pub error: SecretError,
}

/// Looks for every secret that the steps of `plan` will need. Each is looked for once in a run, so steps find what was
/// found here. Hosts whose failure fails no run are left to fail on their own.
pub async fn missing(plan: &Plan, world: &World) -> Vec<Missing> {
    let mut needed = BTreeSet::new();
    for (id, step) in plan.steps.nodes() {
        let host = plan.hosts.get(&id.machine);
        if host.is_some_and(|host| host.optional) {
            continue;
        }
        let secrets = match (&step.work, host) {
            (Work::Engine(spec) | Work::NewestEngine(spec), _) => {
                spec.secrets().map(|(name, at)| (format!("engine.env.{name}"), at.secret.clone())).collect()
            }
            (Work::CreateInstance | Work::ChangeInstance { .. } | Work::StartInstance, Some(host)) => {
                of_driver(world, &host.driver, &host.options).await
            }
            (Work::RmInstance, _) => of_removal(world, &id.machine).await,
            _ => Vec::new(),
        };
        needed.extend(secrets.into_iter().map(|(key, secret)| (id.machine.clone(), key, secret)));
    }
    let from = Arc::clone(&world.secrets);
    let look = move || {
        let elsewhere = needed.into_iter().filter(|(_, _, secret)| !matches!(secret, Secret::Config(_)));
        let tried = elsewhere.filter_map(|(machine, key, secret)| {
            let error = secret.reveal(&*from).err()?;
            Some(Missing { machine, key, error })
        });
        tried.collect()
    };
    joined(tokio::task::spawn_blocking(|| caught(look)).await.map_err(JoinError::into_panic))
}

/// Asks the provider of a machine that nothing is recorded of whether it has what the options name. A fleet does without:
/// its providers say so when they are asked to make something, and asking beforehand would take as many requests again.
///
/// # Errors
/// What the driver says; nothing was made.
pub async fn provider(machine: &MachineName, host: &HostSpec, world: &World) -> Result<(), StepError> {
    let unknown = || StepError::UnknownDriver { driver: host.driver.clone(), machine: machine.clone() };
    let driver = world.drivers.get(&host.driver).ok_or_else(unknown)?;
    let dir = world::machine_dir(world, machine);
    let site = Site { machine, fleet: None, store_id: "", dir: &dir };
    let cx = world.driver_context(site, &NothingMade, &|_| {});
    driver.precheck(&cx, &host.options).await.map_err(StepError::Driver)
}

/// What the fleet says of its successor is nothing to one that goes.
async fn of_removal(world: &World, machine: &MachineName) -> Vec<(String, Secret)> {
    let Ok(record) = world.store.get(machine).await else { return Vec::new() };
    let mut found = of_driver(world, &record.driver, &record.options).await;
    // A removal needs no login.
    found.retain(|(key, _)| key != OPENS.0);
    found
}

/// The secrets among the options of a driver.
async fn of_driver(world: &World, driver: &str, options: &OptionValues) -> Vec<(String, Secret)> {
    let Some(driver) = world.drivers.get(driver) else { return Vec::new() };
    let mut found = Vec::new();
    for spec in driver.options().iter().filter(|spec| spec.secrecy == Secrecy::Secret) {
        let Some(secret) = options.get(&spec.key).and_then(|value| Secret::from_json(value).ok()) else { continue };
        if spec.key == OPENS.0 {
            let key = options.get(OPENS.1).and_then(|value| value.as_str());
            match key {
                Some(key) if ssh::is_shut(key).await => {}
                _ => continue,
            }
        }
        found.push((spec.key.clone(), secret));
    }
    found
}
