//! A world that exists only in memory, stricter than reality, and that fails on request: a second machine of
//! one name, an unknown command or a login to a machine that is off are mistakes, not answers. What can
//! be lost is lost *after* the effect, the worst moment.

mod host;

pub(crate) use host::{FakeConnect, PROVISIONERS};

use crate::plain::{self, Plain};
use async_trait::async_trait;
use machine::{
    clock::{FixedClock, Timestamp},
    docker::{DockerApi, DockerError, Endpoint, EngineVersion},
    driver::{Driver, DriverContext, DriverError, Drivers, Kind, OptionSpec, PowerAction, When},
    engine::EngineSpec,
    hook::Command,
    local::{Ended, Job, Local, NotStarted},
    name::MachineName,
    record::{Instance, Power, SshEndpoint},
    store::{Store, memory::MemoryStore},
    transport::LineSink,
    world::World,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

/// When everything in these tests happens.
pub(crate) const NOW: Timestamp = Timestamp(1_800_000_000);

/// A machine at the provider.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct FakeMachine {
    pub(crate) size: i64,
    pub(crate) region: String,
    pub(crate) serial: u64,
    pub(crate) on: bool,
    /// The engine's configuration as it was last applied, and whether it runs.
    pub(crate) engine: Option<(EngineSpec, bool)>,
    /// Files by name, as PEM texts.
    pub(crate) files: BTreeMap<String, String>,
}

/// The provider's side.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Cloud {
    pub(crate) machines: BTreeMap<String, FakeMachine>,
    /// Effects left before the answer to one is lost.
    pub(crate) fuse: Option<usize>,
    /// Whether that one does not even happen.
    pub(crate) before: bool,
    /// How many effects there were in all.
    pub(crate) effects: usize,
    /// Hooks as they were run: machine, its serial at the provider if it was there, point.
    pub(crate) hooks: Vec<(String, Option<u64>, String)>,
    /// Whether there are hooks at all points, so that nothing may be done without them.
    pub(crate) hooked: bool,
    /// Whether it says no to every removal.
    #[serde(default)]
    pub(crate) keeps: bool,
    serial: u64,
    /// Where it is kept, so that it outlives the process, as providers do.
    #[serde(skip)]
    disk: Option<PathBuf>,
}

impl Cloud {
    /// The provider kept in this file; nothing is there when there is no file.
    pub(crate) fn at(disk: &Path) -> Self {
        let kept = fs::read(disk).map(|bytes| serde_json::from_slice(&bytes).expect("a provider loses nothing"));
        Self { disk: Some(disk.to_owned()), ..kept.unwrap_or_default() }
    }

    /// Keeps what happened, in one go.
    #[expect(clippy::disallowed_methods, reason = "renamed at once; a process is killed, not the computer")]
    pub(crate) fn keep(&self) {
        if let Some(disk) = &self.disk {
            let new = disk.with_extension("new");
            fs::write(&new, serde_json::to_vec(self).expect("plain data")).unwrap();
            fs::rename(new, disk).unwrap();
        }
    }

    /// Lets an effect begin, unless the fuse blows before it.
    fn begin(&mut self) -> Result<(), ()> {
        if self.before && self.fuse == Some(0) {
            self.fuse = None;
            return Err(());
        }
        Ok(())
    }

    /// Notes an effect that has happened; its answer may be lost.
    fn effect(&mut self) -> Result<(), ()> {
        self.effects += 1;
        match &mut self.fuse {
            Some(0) => {
                self.fuse = None;
                Err(())
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Cloud {
    /// A hook that is run; its answer may be lost.
    fn hook(&mut self, machine: &str, point: &str) -> Result<(), ()> {
        self.begin()?;
        let serial = self.machines.get(machine).map(|m| m.serial);
        self.hooks.push((machine.to_owned(), serial, point.to_owned()));
        self.effect()
    }

    /// Whether a hook was run for a machine since it was last removed or, with a serial, for that one.
    fn was_hooked(&self, machine: &str, serial: Option<u64>, point: &str) -> bool {
        let of_machine = self.hooks.iter().rev().filter(|(name, ..)| name == machine);
        let mut since = of_machine.take_while(|(.., point)| serial.is_some() || point != "post-rm");
        since.any(|(_, at, what)| what == point && (serial.is_none() || *at == serial))
    }
}

/// Runs hooks, which all say what they are: `fake-hook POINT`.
pub(crate) struct FakeLocal(pub(crate) Shared);

#[async_trait]
impl Local for FakeLocal {
    async fn run(&self, job: &Job<'_>, lines: LineSink<'_>) -> Result<(Ended, String), NotStarted> {
        let Command::Shell(text) = job.run else { panic!("only texts in these tests") };
        let point = text.strip_prefix("fake-hook ").expect("an unknown command");
        let told = |name: &str| job.env.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str()).expect("it is told");
        let action = point.split_once('-').expect("a point").1;
        assert_eq!(told("MACHINE_ACTION"), action);
        lines("running");
        let answer = lock(&self.0).hook(told("MACHINE_NAME"), point);
        Ok((Ended::Status(i32::from(answer.is_err())), "running\n".to_owned()))
    }
}

pub(crate) type Shared = Arc<Mutex<Cloud>>;

/// The provider, for the time of one request. What it did then stays done.
struct Request<'a> {
    cloud: MutexGuard<'a, Cloud>,
    changed: bool,
}

impl Deref for Request<'_> {
    type Target = Cloud;
    fn deref(&self) -> &Cloud {
        &self.cloud
    }
}

impl DerefMut for Request<'_> {
    fn deref_mut(&mut self) -> &mut Cloud {
        self.changed = true;
        &mut self.cloud
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        if self.changed {
            self.cloud.keep();
        }
    }
}

fn lock(cloud: &Shared) -> Request<'_> {
    Request { cloud: cloud.lock().unwrap_or_else(std::sync::PoisonError::into_inner), changed: false }
}

/// What the tests' fleets may say of an instance.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Options {
    size: i64,
    region: String,
    note: String,
}

fn option(key: &str, kind: Kind, default: &str, when: When) -> OptionSpec {
    OptionSpec { when, ..OptionSpec::new(key, key, kind, "for tests") }.default(default)
}

pub(crate) struct FakeDriver(pub(crate) Shared);

fn lost(doing: &str) -> DriverError {
    DriverError::Lost { doing: doing.to_owned(), why: "the connection closed".to_owned() }
}

fn instance(name: &str, machine: &FakeMachine) -> Instance {
    Instance {
        id: format!("i-{}", machine.serial),
        address: format!("10.9.0.{}", machine.serial % 250),
        ssh: Some(SshEndpoint {
            host: name.to_owned(),
            port: 22,
            user: "root".to_owned(),
            key: None,
            passphrase: None,
            jump: None,
        }),
        url: None,
        host_keys: vec![format!("ssh-ed25519 {}", machine.serial)],
        jump_keys: Vec::new(),
    }
}

#[async_trait]
impl Driver for FakeDriver {
    const NAME: &'static str = "fake";
    const ABOUT: &'static str = "machines in memory";
    const CREATES: bool = true;
    type Options = Options;

    fn options() -> Vec<OptionSpec> {
        vec![
            option("size", Kind::Number, "1", When::InPlace),
            option("region", Kind::Text, "a", When::Replace),
            option("note", Kind::Text, "x", When::Recorded),
        ]
    }

    async fn place(&self, _: &DriverContext<'_>, options: &Options) -> Result<Option<String>, DriverError> {
        Ok(Some(format!("memory in {}", options.region)))
    }

    async fn find(&self, cx: &DriverContext<'_>, _: &Options) -> Result<Option<Instance>, DriverError> {
        let cloud = lock(&self.0);
        Ok(cloud.machines.get(cx.machine.as_str()).map(|m| instance(cx.machine.as_str(), m)))
    }

    async fn create(&self, cx: &DriverContext<'_>, options: &Options) -> Result<Instance, DriverError> {
        assert!(!options.note.is_empty());
        let name = cx.machine.to_string();
        let made = {
            let mut cloud = lock(&self.0);
            cloud.begin().map_err(|()| lost("creating the instance"))?;
            if let Some(machine) = cloud.machines.get_mut(&name) {
                assert_eq!(machine.region, options.region, "{name}: a creation found a machine that needs replacement");
                machine.size = options.size;
                machine.on = true;
                instance(&name, machine)
            } else {
                assert!(
                    !cloud.hooked || cloud.was_hooked(&name, None, "pre-create"),
                    "{name} is made without its hook"
                );
                cloud.serial += 1;
                let machine = FakeMachine {
                    size: options.size,
                    region: options.region.clone(),
                    serial: cloud.serial,
                    on: true,
                    engine: None,
                    files: BTreeMap::new(),
                };
                let made = instance(&name, &machine);
                cloud.machines.insert(name, machine);
                made
            }
        };
        cx.checkpoint.instance(&made).await?;
        lock(&self.0).effect().map_err(|()| lost("creating the instance"))?;
        Ok(made)
    }

    async fn change(&self, cx: &DriverContext<'_>, old: &Instance, options: &Options) -> Result<Instance, DriverError> {
        let mut cloud = lock(&self.0);
        cloud.begin().map_err(|()| lost("changing the instance"))?;
        let machine = cloud.machines.get_mut(cx.machine.as_str()).expect("a change of a machine that is not there");
        let now = instance(cx.machine.as_str(), machine);
        assert_eq!(now.id, old.id, "a change of another machine than the recorded one");
        machine.size = options.size;
        cloud.effect().map_err(|()| lost("changing the instance"))?;
        Ok(now)
    }

    async fn power(&self, cx: &DriverContext<'_>, old: &Instance, _: &Options) -> Result<Power, DriverError> {
        let cloud = lock(&self.0);
        Ok(match cloud.machines.get(cx.machine.as_str()) {
            Some(m) if instance(cx.machine.as_str(), m).id == old.id && m.on => Power::Running,
            Some(m) if instance(cx.machine.as_str(), m).id == old.id => Power::Stopped,
            _ => Power::Gone,
        })
    }

    async fn set_power(
        &self,
        cx: &DriverContext<'_>,
        _: &Instance,
        _: &Options,
        action: PowerAction,
    ) -> Result<Instance, DriverError> {
        let mut cloud = lock(&self.0);
        cloud.begin().map_err(|()| lost("starting the instance"))?;
        let machine = cloud.machines.get_mut(cx.machine.as_str()).expect("a start of a machine that is not there");
        machine.on = matches!(action, PowerAction::Start | PowerAction::Restart);
        let now = instance(cx.machine.as_str(), machine);
        cloud.effect().map_err(|()| lost("starting the instance"))?;
        Ok(now)
    }

    async fn rm(&self, cx: &DriverContext<'_>, old: &Instance, _: &Options) -> Result<(), DriverError> {
        let mut cloud = lock(&self.0);
        if cloud.keeps {
            let (doing, why) = ("removing the instance".to_owned(), "403 Forbidden".to_owned());
            return Err(DriverError::Refused { doing, why, help: "ask whose account it is".to_owned() });
        }
        cloud.begin().map_err(|()| lost("removing the instance"))?;
        let name = cx.machine.as_str();
        let serial = cloud.machines.get(name).map(|m| m.serial);
        let said = cloud.was_hooked(name, serial, "pre-rm");
        assert!(!cloud.hooked || serial.is_none() || said, "{name} is removed without its hook");
        // Another one of the same name is not the one that is to go.
        if cloud.machines.get(name).is_some_and(|machine| instance(name, machine).id == old.id) {
            cloud.machines.remove(name);
        }
        cloud.effect().map_err(|()| lost("removing the instance"))
    }
}

/// Engines answer when they run, and when both sides hold certificates of one authority.
pub(crate) struct FakeDocker(pub(crate) Shared);

#[async_trait]
impl DockerApi for FakeDocker {
    async fn version(&self, name: &MachineName, at: &Endpoint, _: Duration) -> Result<EngineVersion, DockerError> {
        let Endpoint::Tls { host, ca, .. } = at else { panic!("only TLS endpoints in these tests") };
        let unreachable =
            |why: &str| DockerError::Unreachable { machine: name.clone(), address: host.clone(), why: why.to_owned() };
        let cloud = lock(&self.0);
        let machine = cloud.machines.get(name.as_str()).filter(|m| m.on).ok_or_else(|| unreachable("no route"))?;
        match &machine.engine {
            Some((_, true)) if machine.files.get("ca.pem") == Some(ca) => {
                Ok(EngineVersion { version: "28.2.2".to_owned(), api: "1.50".to_owned() })
            }
            Some((_, true)) => Err(DockerError::Tls {
                machine: name.clone(),
                address: host.clone(),
                why: "unknown authority".to_owned(),
            }),
            _ => Err(unreachable("connection refused")),
        }
    }
}

/// A world of fakes, its provider and its store.
pub(crate) fn world() -> (World, Shared, Plain<MemoryStore>) {
    let store = plain::memory();
    let (world, cloud) = world_on(Cloud::default(), store.store.clone());
    (world, cloud, store)
}

/// A world of fakes around this provider and this store.
pub(crate) fn world_on(cloud: Cloud, store: Store) -> (World, Shared) {
    let cloud = Arc::new(Mutex::new(cloud));
    let world = World {
        drivers: Drivers::default().with(FakeDriver(cloud.clone())),
        provisioners: PROVISIONERS,
        connect: Arc::new(FakeConnect(cloud.clone())),
        docker: Arc::new(FakeDocker(cloud.clone())),
        store,
        clock: Arc::new(FixedClock(NOW)),
        local: Arc::new(FakeLocal(cloud.clone())),
        secrets: Arc::new(machine::secret::NoSecrets),
    };
    (world, cloud)
}
