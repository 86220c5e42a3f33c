//! A world that exists only in memory, stricter than reality, and that fails on request: a second machine of
//! one name, an unknown command or a login to a machine that is off are mistakes, not answers. What can
//! be lost is lost *after* the effect, the worst moment.

use async_trait::async_trait;
use machine::{
    clock::{FixedClock, Timestamp},
    digest::sha256_hex,
    docker::{DockerApi, DockerError, Endpoint, EngineVersion},
    driver::{AnyDriver, Driver, DriverContext, DriverError, Drivers, Kind, OptionSpec, PowerAction, When},
    engine::EngineSpec,
    hook::Command,
    local::{Ended, Job, Local, NotStarted},
    name::MachineName,
    provisioner::{CERT_DIR, Difference, Facts, HostCertificate, Op, Provisioner, Provisioners, Script, Unsupported},
    quote::Sh,
    record::{Instance, Power, SshEndpoint},
    store::{Store, memory::MemoryStore},
    transport::{Connect, Limits, LineSink, Output, Stream, Target, Transport, TransportError},
    world::World,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    pin::Pin,
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

const fn option(key: &'static str, kind: Kind, default: &'static str, when: When) -> OptionSpec {
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
    const OPTIONS: &'static [OptionSpec] = &[
        option("size", Kind::Number, "1", When::InPlace),
        option("region", Kind::Text, "a", When::Replace),
        option("note", Kind::Text, "x", When::Recorded),
    ];
    const CREATES: bool = true;
    type Options = Options;

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
        cx.checkpoint.instance(&made)?;
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

/// A distribution that exists only here: its engine is one value, its commands are two.
pub(crate) struct FakeProvisioner;

static FAKE_PROVISIONER: FakeProvisioner = FakeProvisioner;
pub(crate) static PROVISIONERS: Provisioners = &[&FAKE_PROVISIONER];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, b| text + &format!("{b:02x}"))
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).expect("hex")).collect()
}

impl Provisioner for FakeProvisioner {
    fn name(&self) -> &'static str {
        "fake"
    }
    fn knows(&self, id: &str) -> bool {
        id == "fake"
    }
    fn differences(&self, facts: &Facts, want: &EngineSpec) -> Vec<Difference> {
        let found = facts.daemon_json.as_deref().map(|text| text.trim_end().to_owned());
        let wanted = serde_json::to_string(&(want, true)).ok();
        if found == wanted { Vec::new() } else { vec![Difference { what: "engine".to_owned(), found, wanted }] }
    }
    fn engine(&self, facts: &Facts, want: &EngineSpec) -> Result<Script, Unsupported> {
        if self.differences(facts, want).is_empty() {
            return Ok(Script::default());
        }
        let payload = hex(&serde_json::to_vec(want).expect("plain data"));
        Ok(Script(vec![Op { title: "set the engine".to_owned(), run: Sh::words(["fake-engine", &payload]) }]))
    }
    fn upgrade(&self, _: &Facts, _: &EngineSpec) -> Result<Script, Unsupported> {
        Ok(Script(vec![Op { title: "upgrade the engine".to_owned(), run: Sh::words(["fake-upgrade"]) }]))
    }
    fn certificate(&self, _: &Facts, certificate: &HostCertificate) -> Script {
        let HostCertificate { ca, cert, key } = certificate;
        let payload = hex(&serde_json::to_vec(&[ca, cert, key]).expect("plain data"));
        Script(vec![Op { title: "put the certificate".to_owned(), run: Sh::words(["fake-certificate", &payload]) }])
    }
}

pub(crate) struct FakeConnect(pub(crate) Shared);

struct FakeHost {
    cloud: Shared,
    machine: MachineName,
    key: String,
}

#[async_trait]
impl Connect for FakeConnect {
    async fn connect(&self, target: &Target) -> Result<Arc<dyn Transport>, TransportError> {
        let cloud = lock(&self.0);
        let address = format!("{}:22", target.ssh.host);
        let machine = cloud.machines.get(target.machine.as_str()).filter(|m| m.on).ok_or_else(|| {
            TransportError::Connect { machine: target.machine.clone(), address, why: "no route to host".to_owned() }
        })?;
        let key = format!("ssh-ed25519 {}", machine.serial);
        assert!(target.host_keys.contains(&key), "{}: not the machine that was recorded", target.machine);
        Ok(Arc::new(FakeHost { cloud: self.0.clone(), machine: target.machine.clone(), key }))
    }
}

impl FakeHost {
    fn broken(&self, doing: &str) -> TransportError {
        TransportError::Broken {
            machine: self.machine.clone(),
            doing: doing.to_owned(),
            why: "the connection closed".to_owned(),
        }
    }

    fn probe(machine: &FakeMachine) -> String {
        let mut out =
            "@machine-probe 1\n@os-release\n|ID=fake\n|PRETTY_NAME=Fake\n@root\n|0\n@systemd\n|yes\n".to_owned();
        if let Some(engine) = &machine.engine {
            let state = serde_json::to_string(engine).expect("plain data");
            out.push_str(&format!("@daemon.json\n|{state}\n"));
        }
        out.push_str("@sha256\n");
        for (name, text) in &machine.files {
            out.push_str(&format!("|{}  {CERT_DIR}/{name}\n", sha256_hex(text.as_bytes())));
        }
        out.push_str("@modes\n");
        for name in machine.files.keys() {
            out.push_str(&format!("|600 {CERT_DIR}/{name}\n"));
        }
        out.push_str("@end\n");
        out
    }

    /// Does what the fake provisioner's commands say; anything else is an unknown command.
    fn perform(machine: &mut FakeMachine, script: &str) {
        let mut known = 0;
        for line in script.lines() {
            if let Some(payload) = line.trim().strip_prefix("fake-engine ") {
                let spec: EngineSpec = serde_json::from_slice(&unhex(payload)).expect("our own payload");
                machine.engine = Some((spec, true));
                known += 1;
            } else if let Some(payload) = line.trim().strip_prefix("fake-certificate ") {
                let [ca, cert, key]: [String; 3] = serde_json::from_slice(&unhex(payload)).expect("our own payload");
                for (name, text) in [("ca.pem", ca), ("server.pem", cert), ("server-key.pem", key)] {
                    machine.files.insert(name.to_owned(), text);
                }
                known += 1;
            }
        }
        assert_eq!(known, 1, "an unknown script: {script}");
    }
}

#[async_trait]
impl Transport for FakeHost {
    async fn run(&self, command: &Sh, stdin: &[u8], _: Limits, _: LineSink<'_>) -> Result<Output, TransportError> {
        let mut cloud = lock(&self.cloud);
        let script = command.as_str() == "sh -s" && !stdin.is_empty();
        if script {
            cloud.begin().map_err(|()| self.broken("running a script"))?;
        }
        let machine = cloud.machines.get_mut(self.machine.as_str()).filter(|m| m.on);
        let machine = machine.ok_or_else(|| self.broken("running a command"))?;
        let script_text = std::str::from_utf8(stdin).expect("scripts are text");
        if let Some((_, hook)) = script_text.split_once("fake-hook ") {
            let point = hook.split('\'').next().expect("there is always a first");
            cloud.hook(self.machine.as_str(), point).map_err(|()| self.broken("running a hook"))?;
            return Ok(Output::default());
        }
        let stdout = if script {
            let script = script_text;
            Self::perform(machine, script);
            cloud.effect().map_err(|()| self.broken("running a script"))?;
            "\u{1e}machine done\n".to_owned()
        } else {
            Self::probe(machine)
        };
        Ok(Output { status: 0, stdout, stderr: String::new() })
    }

    async fn open_unix(&self, path: &str) -> Result<Pin<Box<dyn Stream>>, TransportError> {
        panic!("{path} must not be opened")
    }
    fn host_key(&self) -> String {
        self.key.clone()
    }
    fn jump_key(&self) -> Option<String> {
        None
    }
    fn needs_sudo(&self) -> bool {
        false
    }
    fn is_closed(&self) -> bool {
        false
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
pub(crate) fn world() -> (World, Shared, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::default());
    let (world, cloud) = world_on(Cloud::default(), store.clone());
    (world, cloud, store)
}

/// A world of fakes around this provider and this store.
pub(crate) fn world_on(cloud: Cloud, store: Arc<dyn Store>) -> (World, Shared) {
    let cloud = Arc::new(Mutex::new(cloud));
    // The driver table holds drivers for the life of the program; a test's is short.
    let driver: &'static dyn AnyDriver = Box::leak(Box::new(FakeDriver(cloud.clone())));
    let world = World {
        drivers: Arc::new(Drivers::from([("fake", driver)])),
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
