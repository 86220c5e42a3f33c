//! Everything that can touch the world, in one value, and the questions all users of it ask: how is a machine
//! reached, does its engine answer, and where was its instance made. Tests build a world from fakes.

use crate::{
    clock::Clock,
    docker::{DockerApi, DockerError, Endpoint, EngineVersion},
    driver::{Checkpoint, DriverContext, Drivers, NothingMade},
    engine::Api,
    fault,
    local::Local,
    name::{FleetName, MachineName},
    provisioner::Provisioners,
    record::{EngineRecord, MachineRecord, Place, Power},
    secret::Reveal,
    store::{Store, StoreError, issued},
    transport::{Connect, Target, TransportError},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use thiserror::Error;

/// The outside. Cheap to clone.
#[derive(Clone)]
pub struct World {
    /// Makes and controls instances.
    pub drivers: Drivers,
    /// Know what to do on hosts.
    pub provisioners: Provisioners,
    /// Opens SSH connections; the real one keeps one for each host and run.
    pub connect: Arc<dyn Connect>,
    /// Asks engines.
    pub docker: Arc<dyn DockerApi>,
    /// Keeps records.
    pub store: Store,
    /// Says what time it is.
    pub clock: Arc<dyn Clock>,
    /// Runs the user's own commands on this computer.
    pub local: Arc<dyn Local>,
    /// Finds out what secrets are; the real one looks once for each in a run.
    pub secrets: Arc<dyn Reveal>,
}

/// Whose machine a driver works on, and where.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    /// The machine.
    pub machine: &'a MachineName,
    /// The fleet that owns it.
    pub fleet: Option<&'a FleetName>,
    /// The store's id; empty where nothing is made or found by its tag, for asking for it makes one.
    pub store_id: &'a str,
    /// The machine's folder, or where that of a machine without a record would be.
    pub dir: &'a Path,
}

impl World {
    /// What a driver is given: the only place where that is put together.
    #[must_use]
    pub fn driver_context<'a>(
        &'a self,
        site: Site<'a>,
        checkpoint: &'a dyn Checkpoint,
        progress: &'a (dyn Fn(&str) + Send + Sync),
    ) -> DriverContext<'a> {
        let Site { machine, fleet, store_id, dir } = site;
        DriverContext {
            machine,
            fleet,
            store_id,
            dir,
            connect: &*self.connect,
            checkpoint,
            secrets: &self.secrets,
            progress,
        }
    }
}

/// Where engines listen on their host, unless told otherwise.
const SOCKET: &str = "/var/run/docker.sock";

/// How to reach a recorded machine over SSH; `None` when there is no instance yet or no way to log in. A key
/// that is not an absolute path lies in `dir`, the machine's folder in the store.
#[must_use]
pub fn target(drivers: &Drivers, record: &MachineRecord, dir: &Path) -> Option<Target> {
    let mut target = Target::of(&record.name, record.instance.as_ref()?, dir)?;
    target.lookup = drivers.get(&record.driver).and_then(|driver| driver.lookup(&record.options));
    Some(target)
}

/// Why an engine could not be asked, or did not answer.
#[derive(Debug, Error)]
pub enum AskError {
    /// It did not answer.
    #[error(transparent)]
    Docker(DockerError),
    /// Its host, through which it is asked, did not answer.
    #[error(transparent)]
    Transport(TransportError),
    /// The client's identity cannot be read.
    #[error(transparent)]
    Store(StoreError),
    /// The store has no client identity to ask with.
    #[error("the store has no client certificate")]
    NoIdentity,
    /// It is unknown where it is.
    #[error("the machine has no address")]
    NoAddress,
}

/// Asks the engine of a machine which version it is.
///
/// # Errors
/// Says at which of the steps it ended.
pub async fn ask_engine(
    world: &World,
    record: &MachineRecord,
    engine: &EngineRecord,
    timeout: Duration,
) -> Result<EngineVersion, AskError> {
    let endpoint = endpoint(world, record, engine).await?;
    fault::pass("engine.ask", record.name.as_str());
    let answer = world.docker.version(&record.name, &endpoint, timeout).await.map_err(AskError::Docker);
    fault::pass("engine.ask.done", record.name.as_str());
    answer
}

async fn endpoint(world: &World, record: &MachineRecord, engine: &EngineRecord) -> Result<Endpoint, AskError> {
    let instance = record.instance.as_ref().ok_or(AskError::NoAddress)?;
    if let Some(url) = instance.told_url() {
        return Ok(Endpoint::Plain(url.to_owned()));
    }
    match engine.spec.api {
        Api::Tls => {
            if instance.address.is_empty() {
                return Err(AskError::NoAddress);
            }
            let identity = issued::identity(&world.store, &record.name)
                .await
                .map_err(AskError::Store)?
                .ok_or(AskError::NoIdentity)?;
            let (host, port) = instance.engine_at(engine.spec.port);
            Ok(Endpoint::Tls { host, port, ca: identity.ca, cert: identity.cert, key: identity.key })
        }
        Api::Ssh => {
            let dir = machine_dir(world, &record.name);
            let target = target(&world.drivers, record, &dir).ok_or(AskError::NoAddress)?;
            let transport = world.connect.connect(&target).await.map_err(AskError::Transport)?;
            Ok(Endpoint::Ssh { transport, socket: SOCKET.to_owned() })
        }
    }
}

/// The folder of a machine, without making it.
#[must_use]
pub fn machine_dir(world: &World, name: &MachineName) -> PathBuf {
    world.store.files.root().join("machines").join(name.as_str())
}

/// Where the driver of a machine makes and looks for instances, as it is used now; `None`: it makes none, or it is not to be
/// known now.
pub async fn place(world: &World, record: &MachineRecord) -> Option<Place> {
    let driver = world.drivers.get(&record.driver).filter(|driver| driver.creates())?;
    let dir = machine_dir(world, &record.name);
    let site = Site { machine: &record.name, fleet: record.fleet.as_ref(), store_id: "", dir: &dir };
    driver.place(&world.driver_context(site, &NothingMade, &|_| {}), &record.options).await.ok()?
}

/// The place of a machine whose record has none, if its instance is seen there now: that a provider knows none says nothing.
pub async fn where_seen(world: &World, record: &MachineRecord) -> Option<Place> {
    let instance = record.instance.as_ref().filter(|_| record.place.is_none())?;
    let place = place(world, record).await?;
    let driver = world.drivers.get(&record.driver)?;
    let store_id = world.store.records.id().await.ok()?;
    let dir = machine_dir(world, &record.name);
    let site = Site { machine: &record.name, fleet: record.fleet.as_ref(), store_id: &store_id, dir: &dir };
    match driver.power(&world.driver_context(site, &NothingMade, &|_| {}), instance, &record.options).await {
        Ok(Power::Gone | Power::Unknown) | Err(_) => None,
        Ok(_) => Some(place),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        name::MachineName,
        record::{Instance, OptionValues, SshEndpoint},
    };

    fn record(key: Option<&str>) -> MachineRecord {
        let mut record = MachineRecord::new(MachineName::new("web-1").unwrap(), None, "generic", OptionValues::new());
        record.instance = Some(Instance {
            id: "192.0.2.10".to_owned(),
            address: "192.0.2.10".to_owned(),
            ssh: Some(SshEndpoint {
                host: "192.0.2.10".to_owned(),
                port: 22,
                user: "root".to_owned(),
                key: key.map(str::to_owned),
                passphrase: None,
                jump: None,
            }),
            url: None,
            host_keys: vec!["ssh-ed25519 AAAA".to_owned()],
            jump_keys: Vec::new(),
        });
        record
    }

    #[test]
    fn a_relative_key_lies_in_the_folder_of_the_machine() {
        let dir = Path::new("/store/machines/web-1");
        for (key, want) in [
            (Some("id_ed25519"), Some("/store/machines/web-1/id_ed25519")),
            (Some("/home/u/.ssh/id_rsa"), Some("/home/u/.ssh/id_rsa")),
            (Some("~/.ssh/id_rsa"), Some("~/.ssh/id_rsa")),
            // Joining nothing would name the folder itself.
            (Some(""), None),
            (None, None),
        ] {
            let target = target(&Drivers::built_in(), &record(key), dir).unwrap();
            assert_eq!(target.ssh.key.as_deref(), want);
            assert_eq!(target.host_keys, ["ssh-ed25519 AAAA"], "pinned keys go along");
        }
    }

    #[test]
    fn a_machine_without_a_login_is_no_target() {
        let mut record = record(None);
        record.instance.as_mut().unwrap().ssh = None;
        assert_eq!(target(&Drivers::built_in(), &record, Path::new("/")), None);
        record.instance = None;
        assert_eq!(target(&Drivers::built_in(), &record, Path::new("/")), None);
    }
}
