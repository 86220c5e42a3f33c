//! One recorded machine, together with what is needed to ask and to switch it.

use super::{CliError, document::Document, names, stored::stored};
use crate::{
    docker::{DockerError, Endpoint, EngineVersion},
    driver::{AnyDriver, Checkpoint, DriverContext, DriverError, PowerAction, Snapshot, SnapshotAction},
    engine::Api,
    name::MachineName,
    record::{
        Instance, MachineRecord, Power,
        docker_machine::{ConfigFile, Place, authority},
    },
    store::{Area, StoreError, authority::Identity, copies, issued},
    transport::{Target, Transport},
    world::{self, Site, World},
};
use async_trait::async_trait;
use std::{path::PathBuf, sync::Arc, time::Duration};

/// Where an engine that is reached over SSH listens on its host.
const SOCKET: &str = "/var/run/docker.sock";

/// A machine of the store.
pub(super) struct Machine {
    world: World,
    /// As recorded.
    pub(super) record: MachineRecord,
    dir: PathBuf,
}

/// Keeps in the record what a driver has learnt.
struct Keep<'a>(&'a Machine);

#[async_trait]
impl Checkpoint for Keep<'_> {
    async fn instance(&self, instance: &Instance) -> Result<(), DriverError> {
        self.0.keep(instance).await.map_err(|e| DriverError::Checkpoint(e.to_string()))
    }
}

impl Machine {
    /// Reads the record of a machine.
    pub(super) fn load(world: &World, name: &str) -> Result<Self, CliError> {
        let record = stored(world.store.get(&names::parse(name)?))?;
        Ok(Self::of(world, record))
    }

    /// A machine whose record is known.
    pub(super) fn of(world: &World, record: MachineRecord) -> Self {
        let dir = world::machine_dir(world, &record.name);
        Self { world: world.clone(), record, dir }
    }

    /// All these machines, or what is wrong with any of them: nothing is begun if one cannot be read.
    pub(super) fn load_all(world: &World, names: &[String]) -> Result<Vec<Self>, CliError> {
        let (mut machines, mut errors) = (Vec::new(), Vec::new());
        for name in names {
            match Self::load(world, name) {
                Ok(machine) => machines.push(machine),
                Err(e) => errors.push(e),
            }
        }
        CliError::all(errors).map(|()| machines)
    }

    /// Where it is.
    pub(super) fn world(&self) -> &World {
        &self.world
    }

    /// docker-machine's config.json of it, brought to the current version; `None` when it has none.
    pub(super) fn config(&self) -> Result<Option<ConfigFile>, CliError> {
        let store = &self.world.store;
        let Some(bytes) = stored(store.files.read(Area::Machine(self.name()), "config.json"))? else {
            return Ok(None);
        };
        let root = store.files.root().to_string_lossy().into_owned();
        let place = Place { root: &root, name: self.name() };
        let config = ConfigFile::parse(&String::from_utf8_lossy(&bytes), place);
        config.map(Some).map_err(|e| {
            CliError::Store(StoreError::Broken {
                machine: self.name().to_string(),
                path: self.dir.join("config.json"),
                why: e.to_string(),
            })
        })
    }

    /// Its name.
    pub(super) fn name(&self) -> &MachineName {
        &self.record.name
    }

    /// Its folder in the store.
    pub(super) fn dir(&self) -> &std::path::Path {
        &self.dir
    }

    fn driver(&self) -> Result<&dyn AnyDriver, CliError> {
        let driver = self.world.drivers.get(&self.record.driver);
        driver.ok_or_else(|| CliError::NoDriver(self.record.driver.clone()))
    }

    fn instance(&self) -> Result<&Instance, CliError> {
        let missing = || CliError::NoInstance(self.record.name.clone());
        self.record.instance.as_ref().ok_or_else(missing)
    }

    /// The instance's address as docker-machine tells it: of an engine that is known by its URL alone, with the port.
    pub(super) fn address(&self) -> Result<&str, CliError> {
        let address = self.record.instance.as_ref().map_or("", |instance| match instance.told_url() {
            Some(url) => authority(url),
            None => &instance.address,
        });
        if address.is_empty() { Err(CliError::said("IP address is not set")) } else { Ok(address) }
    }

    /// Whether its engine is known by a URL alone.
    pub(super) fn is_told(&self) -> bool {
        self.record.instance.as_ref().is_some_and(|instance| instance.told_url().is_some())
    }

    /// URL of the engine, running or not.
    pub(super) fn url(&self) -> Option<String> {
        self.record.url()
    }

    /// Whether it runs. Of a driver that this program does not have, nothing is known.
    pub(super) async fn power(&self) -> Result<Power, CliError> {
        let (driver, instance) = (self.driver()?, self.instance()?);
        self.with_context(&|_| (), async |cx| driver.power(cx, instance, &self.record.options).await).await
    }

    /// Switches it, and records how it is then.
    pub(super) async fn set_power(
        &mut self,
        action: PowerAction,
        progress: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<(), CliError> {
        let (driver, instance) = (self.driver()?, self.instance()?);
        let work = async |cx: &DriverContext<'_>| driver.set_power(cx, instance, &self.record.options, action).await;
        let instance = self.with_context(progress, work).await?;
        self.keep(&instance).await.map_err(CliError::Store)?;
        self.record.instance = Some(instance);
        Ok(())
    }

    /// Works on its snapshots; those there are then.
    pub(super) async fn snapshot(
        &self,
        action: &SnapshotAction,
        progress: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Vec<Snapshot>, CliError> {
        let (driver, instance) = (self.driver()?, self.instance()?);
        let work = async |cx: &DriverContext<'_>| driver.snapshot(cx, instance, &self.record.options, action).await;
        self.with_context(progress, work).await
    }

    /// Removes the instance. Succeeds when it is gone already, or never was.
    pub(super) async fn rm(&self, progress: &(dyn Fn(&str) + Send + Sync)) -> Result<(), CliError> {
        let driver = self.driver()?;
        let work = async |cx: &DriverContext<'_>| {
            // What a creation that was cut off left behind is found by its tag.
            let found = match &self.record.instance {
                Some(instance) => Some(instance.clone()),
                None => driver.find(cx, &self.record.options).await?,
            };
            match found {
                Some(instance) => driver.rm(cx, &instance, &self.record.options).await,
                None => Ok(()),
            }
        };
        self.with_context(progress, work).await
    }

    /// Whether its driver makes instances, so that one could be left behind. Of an unknown driver it is unknown.
    pub(super) fn could_be_left(&self) -> bool {
        self.world.drivers.get(&self.record.driver).is_none_or(AnyDriver::creates)
    }

    /// Whether the provider says that its instance is gone already. One that cannot be asked says nothing.
    pub(super) async fn is_gone(&self) -> bool {
        self.could_be_left() && self.record.instance.is_some() && matches!(self.power().await, Ok(Power::Gone))
    }

    async fn with_context<T>(
        &self,
        progress: &(dyn Fn(&str) + Send + Sync),
        work: impl AsyncFnOnce(&DriverContext<'_>) -> Result<T, DriverError>,
    ) -> Result<T, CliError> {
        // Asking for the store's id makes it one, and looking must not write: only those who make machines need it.
        let makes = self.driver()?.creates();
        let store_id =
            if makes { self.world.store.records.id().await.map_err(CliError::Store)? } else { String::new() };
        let checkpoint = Keep(self);
        let (record, dir) = (&self.record, &self.dir);
        let site = Site { machine: &record.name, fleet: record.fleet.as_ref(), store_id: &store_id, dir };
        let cx = self.world.driver_context(site, &checkpoint, progress);
        work(&cx).await.map_err(CliError::Driver)
    }

    /// Records the instance. Others may have changed the rest of the record meanwhile.
    pub(super) async fn keep(&self, instance: &Instance) -> Result<(), StoreError> {
        let now = MachineRecord { instance: Some(instance.clone()), ..self.record.clone() };
        self.world.store.change(&self.record, &now).await
    }

    /// How to log in.
    pub(super) fn target(&self) -> Result<Target, CliError> {
        world::target(&self.world.drivers, &self.record, &self.dir).ok_or_else(|| CliError::Said {
            what: format!("`{}` cannot be logged in to", self.record.name),
            help: Some(format!("driver `{}` knows no SSH endpoint of it", self.record.driver)),
        })
    }

    /// Logs in. Whom we meet at first contact is whom we expect from then on.
    pub(super) async fn connect(&self, patience: Duration) -> Result<Arc<dyn Transport>, CliError> {
        let target = Target { patience, ..self.target()? };
        let transport = self.world.connect.connect(&target).await.map_err(CliError::Transport)?;
        self.pin(&*transport).await.map_err(CliError::Store)?;
        Ok(transport)
    }

    /// Records the keys of the first contact; whether it was one.
    pub(super) async fn pin(&self, met: &dyn Transport) -> Result<bool, StoreError> {
        let Some(mut instance) = self.record.instance.clone() else { return Ok(false) };
        let first = instance.pin(met.host_key(), met.jump_keys());
        if first {
            self.keep(&instance).await?;
        }
        Ok(first)
    }

    /// Asks the engine its version.
    pub(super) async fn engine_version(&self, timeout: Duration) -> Result<EngineVersion, CliError> {
        let url = self.url().ok_or_else(|| CliError::said("Host is not running"))?;
        self.engine_version_at(&url, timeout).await
    }

    /// Asks the engine at `url`, which may be that of a swarm, its version.
    pub(super) async fn engine_version_at(&self, url: &str, timeout: Duration) -> Result<EngineVersion, CliError> {
        let ask = async {
            let endpoint = self.endpoint(url).await?;
            self.world.docker.version(self.name(), &endpoint, timeout).await.map_err(CliError::Docker)
        };
        // Logging in is bounded as well.
        tokio::time::timeout(timeout, ask).await.unwrap_or_else(|_| {
            Err(CliError::Docker(DockerError::Unreachable {
                machine: self.name().clone(),
                address: url.to_owned(),
                why: format!("no answer within {} s", timeout.as_secs()),
            }))
        })
    }

    async fn endpoint(&self, url: &str) -> Result<Endpoint, CliError> {
        if self.record.engine.as_ref().is_some_and(|engine| engine.spec.api == Api::Ssh) {
            let transport = self.connect(Duration::ZERO).await?;
            return Ok(Endpoint::Ssh { transport, socket: SOCKET.to_owned() });
        }
        if let Some((host, port)) = url.strip_prefix("tcp://").and_then(split_host_port) {
            let identity = issued::identity(&self.world.store, self.name()).await.map_err(CliError::Store)?;
            if let Some(Identity { ca, cert, key }) = identity {
                return Ok(Endpoint::Tls { host: host.to_owned(), port, ca, cert, key });
            }
        }
        Ok(Endpoint::Plain(url.to_owned()))
    }

    /// Sees to it that docker clients find certificates in its folder; whether they do.
    pub(super) fn fill_copies(&self) -> Result<bool, CliError> {
        stored(copies::fill(&self.world.store, self.name(), self.world.clock.now()))
    }

    /// docker-machine's document of it.
    pub(super) fn document(&self) -> Result<Document, CliError> {
        Ok(Document::read(&self.world.store, self.name())?.unwrap_or_default())
    }
}

/// `host:port`, with brackets around an IPv6 address.
pub(super) fn split_host_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.split('/').next()?.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Some((host, port.parse().ok()?))
}

/// The word docker-machine has for it.
pub(super) fn state(power: Power) -> &'static str {
    match power {
        Power::Running => "Running",
        Power::Stopped => "Stopped",
        Power::Starting => "Starting",
        Power::Stopping => "Stopping",
        Power::Paused => "Paused",
        Power::Saved => "Saved",
        Power::Gone => "Not Found",
        Power::Unknown => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_of_a_url_is_host_and_port() {
        for (url, want) in [
            ("tcp://127.0.0.1:2376", "127.0.0.1:2376"),
            ("tcp://[::1]:2376/x", "[::1]:2376"),
            ("ssh://root@web.example:22", "web.example:22"),
            ("unix:///var/run/docker.sock", ""),
            ("localhost", ""),
        ] {
            assert_eq!(authority(url), want, "{url}");
        }
    }

    #[test]
    fn a_url_is_split_at_its_last_colon() {
        for (text, want) in [
            ("192.0.2.1:2376", Some(("192.0.2.1", 2376))),
            ("[2001:db8::1]:2376", Some(("2001:db8::1", 2376))),
            ("h:2376/", Some(("h", 2376))),
            ("h", None),
            ("h:x", None),
        ] {
            assert_eq!(split_host_port(text), want, "{text}");
        }
    }
}
