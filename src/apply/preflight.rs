//! Whether all secrets that a plan will need are to be had, found out before its first step.

use crate::{
    driver::Secrecy,
    name::MachineName,
    plan::{Plan, Work},
    record::OptionValues,
    secret::{Secret, SecretError},
    transport::ssh,
    world::World,
};
use std::{collections::BTreeSet, sync::Arc};

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
    tokio::task::spawn_blocking(look).await.expect("looking for a secret does not panic")
}

/// What the fleet says of its successor is nothing to one that goes.
async fn of_removal(world: &World, machine: &MachineName) -> Vec<(String, Secret)> {
    let Ok(record) = world.store.get(machine) else { return Vec::new() };
    let mut found = of_driver(world, &record.driver, &record.options).await;
    // Nobody logs in to remove.
    found.retain(|(key, _)| key != OPENS.0);
    found
}

/// The secrets among the options of a driver.
async fn of_driver(world: &World, driver: &str, options: &OptionValues) -> Vec<(String, Secret)> {
    let Some(driver) = world.drivers.get(driver) else { return Vec::new() };
    let mut found = Vec::new();
    for spec in driver.options().iter().filter(|spec| spec.secrecy == Secrecy::Secret) {
        let Some(secret) = options.get(spec.key).and_then(|value| Secret::from_json(value).ok()) else { continue };
        if spec.key == OPENS.0 {
            let key = options.get(OPENS.1).and_then(|value| value.as_str());
            match key {
                Some(key) if ssh::is_shut(key).await => {}
                _ => continue,
            }
        }
        found.push((spec.key.to_owned(), secret));
    }
    found
}
