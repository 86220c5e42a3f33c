//! A machine at an emulated EC2, as the driver is called for it.

use crate::{
    given,
    moto::{Moto, proxy::Proxy},
};
use async_trait::async_trait;
use machine::{
    driver::{AnyDriver, Checkpoint, DriverContext, DriverError, PowerAction, Typed, amazonec2::AmazonEc2},
    name::{FleetName, MachineName},
    record::{Instance, OptionValues, Power},
    secret::{Reveal, Revealed, Secret, SecretError, SecretProblem},
    transport::{Connect, Target, Transport, TransportError},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError},
};

pub(crate) const STORE: &str = "0123456789abcdef";
pub(crate) const CANARY: &str = "canary-of-a-secret-key";

struct NoConnect;

#[async_trait]
impl Connect for NoConnect {
    async fn connect(&self, target: &Target) -> Result<Arc<dyn Transport>, TransportError> {
        Err(TransportError::Config { machine: target.machine.clone(), why: "no host is there".to_owned() })
    }
}

#[derive(Default)]
pub(crate) struct Seen(Mutex<Vec<Instance>>);

#[async_trait::async_trait]
impl Checkpoint for Seen {
    async fn instance(&self, instance: &Instance) -> Result<(), DriverError> {
        self.0.lock().unwrap().push(instance.clone());
        Ok(())
    }
}

pub(crate) struct Secrets(pub(crate) BTreeMap<&'static str, String>);

impl Reveal for Secrets {
    fn reveal(&self, secret: &Secret) -> Result<Revealed, SecretError> {
        let found = match secret {
            Secret::Env(name) => self.0.get(name.as_str()),
            _ => None,
        };
        let absent = || SecretError { secret: secret.clone(), why: SecretProblem::Unset };
        found.map(|text| Revealed::new(text.clone())).ok_or_else(absent)
    }
}

/// One emulated cloud, used by one test at a time.
pub(crate) struct Lab {
    pub(crate) moto: Moto,
    pub(crate) proxy: Proxy,
}

impl Lab {
    pub(crate) fn get() -> MutexGuard<'static, Self> {
        static LAB: OnceLock<Mutex<Lab>> = OnceLock::new();
        let start = || {
            let moto = Moto::start();
            Mutex::new(Self { proxy: Proxy::start(moto.port), moto })
        };
        let lab = LAB.get_or_init(start).lock().unwrap_or_else(PoisonError::into_inner);
        lab.fresh();
        lab
    }

    pub(crate) fn fresh(&self) {
        self.moto.reset();
        self.proxy.plan(Vec::new());
    }
}

/// A machine, with a folder as a store would give it.
pub(crate) struct Host {
    name: MachineName,
    fleet: FleetName,
    pub(crate) dir: PathBuf,
    _folder: tempfile::TempDir,
    seen: Seen,
    pub(crate) secrets: Arc<dyn Reveal>,
    told: Mutex<Vec<String>>,
    values: OptionValues,
}

impl Host {
    pub(crate) fn new(proxy: &Proxy, given: Value) -> Self {
        Self::named("web-1", proxy, given)
    }

    #[expect(clippy::needless_pass_by_value, reason = "it is written where it is called")]
    pub(crate) fn named(name: &str, proxy: &Proxy, given: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let secrets = [("KEY", "AKIATEST".to_owned()), ("SECRET", CANARY.to_owned())];
        let mut values = json!({
            "endpoint": proxy.url(), "access-key": {"env": "KEY"}, "secret-key": {"env": "SECRET"},
            "allow": ["203.0.113.7/32"], "retries": 0,
        });
        values.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
        Self {
            name: MachineName::new(name).unwrap(),
            fleet: FleetName::new("shop").unwrap(),
            dir: folder.path().to_owned(),
            _folder: folder,
            seen: Seen::default(),
            secrets: Arc::new(Secrets(secrets.into())),
            told: Mutex::default(),
            values: complete(&values),
        }
    }

    pub(crate) fn set(&mut self, key: &str, value: Value) {
        let mut values = self.values.clone();
        values.insert(key.to_owned(), value);
        self.values = complete(&serde_json::to_value(values).unwrap());
    }

    pub(crate) async fn with<T>(&self, work: impl AsyncFnOnce(&dyn AnyDriver, &DriverContext<'_>) -> T) -> T {
        let progress = |text: &str| self.told.lock().unwrap().push(text.to_owned());
        let cx = DriverContext {
            machine: &self.name,
            fleet: Some(&self.fleet),
            store_id: STORE,
            dir: &self.dir,
            connect: &NoConnect,
            checkpoint: &self.seen,
            secrets: &self.secrets,
            progress: &progress,
        };
        work(driver(), &cx).await
    }

    pub(crate) async fn create_once(&self) -> Result<Instance, DriverError> {
        self.with(async |driver, cx| driver.create(cx, &self.values).await).await
    }

    /// As `apply` does it: again while it may help.
    pub(crate) async fn create(&self) -> Result<Instance, DriverError> {
        again(async || self.create_once().await).await
    }

    pub(crate) async fn find(&self) -> Result<Option<Instance>, DriverError> {
        again(async || self.with(async |driver, cx| driver.find(cx, &self.values).await).await).await
    }

    pub(crate) async fn power(&self, instance: &Instance) -> Result<Power, DriverError> {
        again(async || self.with(async |driver, cx| driver.power(cx, instance, &self.values).await).await).await
    }

    pub(crate) async fn change(&self, instance: &Instance) -> Result<Instance, DriverError> {
        again(async || self.with(async |driver, cx| driver.change(cx, instance, &self.values).await).await).await
    }

    pub(crate) async fn act(&self, instance: &Instance, action: PowerAction) -> Result<Instance, DriverError> {
        let act =
            async || self.with(async |driver, cx| driver.set_power(cx, instance, &self.values, action).await).await;
        again(act).await
    }

    pub(crate) async fn rm(&self, instance: &Instance) -> Result<(), DriverError> {
        again(async || self.with(async |driver, cx| driver.rm(cx, instance, &self.values).await).await).await
    }

    /// As `rm` does it with a record that may not know the instance yet.
    pub(crate) async fn rm_whatever(&self, recorded: Option<Instance>) {
        let found = match recorded {
            Some(instance) => Some(instance),
            None => self.find().await.unwrap(),
        };
        if let Some(instance) = found {
            self.rm(&instance).await.unwrap();
        }
    }

    pub(crate) fn recorded(&self) -> Option<Instance> {
        self.seen.0.lock().unwrap().last().cloned()
    }

    pub(crate) fn told(&self) -> String {
        self.told.lock().unwrap().join("\n")
    }
}

/// One for all machines, as in the program: what it found out of credentials is found out once.
fn driver() -> &'static dyn AnyDriver {
    static DRIVER: LazyLock<Typed<AmazonEc2>> = LazyLock::new(|| Typed::new(AmazonEc2::default()));
    &*DRIVER
}

fn complete(given: &Value) -> OptionValues {
    let given = given.as_object().unwrap();
    given::values("amazonec2", given.iter().map(|(key, value)| (key.as_str(), value.clone())))
}

async fn again<T>(call: impl AsyncFn() -> Result<T, DriverError>) -> Result<T, DriverError> {
    let mut left = 6;
    loop {
        match call().await {
            Err(e) if e.is_transient() && left > 0 => left -= 1,
            other => return other,
        }
    }
}

pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work)
}
