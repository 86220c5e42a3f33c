//! One machine, as the driver is called for it.

use crate::ocean::{OTHER, Ocean, TOKEN, emulator::Droplet, front::Front};
use async_trait::async_trait;
use machine::{
    driver::{
        AnyDriver, Checkpoint, DriverContext, DriverError, PowerAction, Typed,
        digitalocean::{DigitalOcean, Pauses},
        options,
    },
    http::{Limiter, Pace, Service},
    name::{FleetName, MachineName},
    quote::Sh,
    record::{Instance, OptionValues, Power},
    secret::{Reveal, Revealed, Secret, SecretError},
    transport::{Connect, Limits, LineSink, Output, Stream, Target, Transport, TransportError},
};
use serde_json::{Value, json};
use std::{
    pin::Pin,
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

pub(crate) static DRIVER: LazyLock<Typed<DigitalOcean>> = LazyLock::new(|| {
    let pauses = Pauses {
        pace: Pace { first: Duration::from_millis(100), most: Duration::from_millis(300) },
        settle: Duration::from_secs(4),
    };
    Typed::new(DigitalOcean::new(pauses, Service::new(Limiter::new(Duration::from_millis(1), 100, 50))))
});

/// Lets everybody in, and does nothing for them.
pub(crate) struct Open;

#[async_trait]
impl Connect for Open {
    async fn connect(&self, _: &Target) -> Result<Arc<dyn Transport>, TransportError> {
        Ok(Arc::new(Self))
    }
}

#[async_trait]
impl Transport for Open {
    async fn run(&self, _: &Sh, _: &[u8], _: Limits, _: LineSink<'_>) -> Result<Output, TransportError> {
        panic!("the driver runs nothing")
    }
    async fn open_unix(&self, _: &str) -> Result<Pin<Box<dyn Stream>>, TransportError> {
        panic!("the driver opens nothing")
    }
    fn host_key(&self) -> String {
        String::new()
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

/// Knows the token under any name; that of `WRONG` is none, and that of `OTHER` is of another account.
pub(crate) struct Tokens;

impl Reveal for Tokens {
    fn reveal(&self, secret: &Secret) -> Result<Revealed, SecretError> {
        let token = match secret {
            Secret::Env(name) if name == "WRONG" => "dop_v1_wrong",
            Secret::Env(name) if name == "OTHER" => OTHER,
            _ => TOKEN,
        };
        Ok(Revealed::new(token.to_owned()))
    }
}

#[derive(Default)]
pub(crate) struct Kept(pub(crate) Mutex<Vec<Instance>>);

#[async_trait::async_trait]
impl Checkpoint for Kept {
    async fn instance(&self, instance: &Instance) -> Result<(), DriverError> {
        self.0.lock().unwrap().push(instance.clone());
        Ok(())
    }
}

/// One machine, its folder, its way to the provider, and what was recorded of it.
pub(crate) struct Case<'o> {
    pub(crate) ocean: &'o Ocean,
    pub(crate) front: Front,
    pub(crate) name: MachineName,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) kept: Kept,
    pub(crate) told: Mutex<Vec<String>>,
    pub(crate) given: Value,
}

impl<'o> Case<'o> {
    pub(crate) fn new(ocean: &'o Ocean, name: &str) -> Self {
        let (front, dir) = (ocean.front(), tempfile::tempdir().unwrap());
        let name = MachineName::new(name).unwrap();
        let (kept, told) = (Kept::default(), Mutex::default());
        Self { ocean, front, name, dir, kept, told, given: json!({}) }
    }

    pub(crate) fn given(mut self, given: Value) -> Self {
        self.given = given;
        self
    }

    /// The same machine, asked about with the token of another account.
    pub(crate) fn by_another(&mut self) {
        self.given["access-token"] = json!({ "env": "OTHER" });
    }

    /// And with its own again.
    pub(crate) fn by_its_own(&mut self) {
        self.given.as_object_mut().unwrap().remove("access-token");
    }

    pub(crate) fn values(&self) -> OptionValues {
        let mut given: OptionValues = serde_json::from_value(self.given.clone()).unwrap();
        given.insert("endpoint".to_owned(), json!(self.front.url()));
        options::with_defaults(DRIVER.options(), &given)
    }

    pub(crate) async fn with<T>(
        &self,
        call: impl AsyncFnOnce(&dyn AnyDriver, &DriverContext<'_>, &OptionValues) -> T,
    ) -> T {
        let fleet = FleetName::new("shop").unwrap();
        let secrets: Arc<dyn Reveal> = Arc::new(Tokens);
        let progress = |text: &str| self.told.lock().unwrap().push(text.to_owned());
        let cx = DriverContext {
            machine: &self.name,
            fleet: Some(&fleet),
            store_id: "5f2a",
            dir: self.dir.path(),
            connect: &Open,
            checkpoint: &self.kept,
            secrets: &secrets,
            progress: &progress,
        };
        call(&*DRIVER, &cx, &self.values()).await
    }

    /// As the executor does it: again when an answer was lost.
    pub(crate) async fn create(&self) -> Result<Instance, DriverError> {
        self.with(async |driver, cx, values| {
            for _ in 0..4 {
                match driver.create(cx, values).await {
                    Err(e) if e.is_transient() => {}
                    other => return other,
                }
            }
            panic!("{}: it never ends: {:?}", self.name, self.front.seen())
        })
        .await
    }

    pub(crate) async fn change(&self, instance: &Instance) -> Result<Instance, DriverError> {
        self.with(async |driver, cx, values| {
            for _ in 0..4 {
                match driver.change(cx, instance, values).await {
                    Err(e) if e.is_transient() => {}
                    other => return other,
                }
            }
            panic!("it never ends")
        })
        .await
    }

    pub(crate) async fn power(&self, instance: &Instance, action: PowerAction) -> Power {
        self.with(async |driver, cx, values| {
            for _ in 0..4 {
                match driver.set_power(cx, instance, values, action).await {
                    Err(e) if e.is_transient() => {}
                    other => {
                        let now = other.unwrap();
                        return driver.power(cx, &now, values).await.unwrap();
                    }
                }
            }
            panic!("it never ends")
        })
        .await
    }

    /// Removes whatever was recorded last, and sees that nothing is left; a second time too.
    pub(crate) async fn rm(&self) {
        let Some(last) = self.kept.0.lock().unwrap().last().cloned() else { return self.nothing_left() };
        for _ in 0..2 {
            self.with(async |driver, cx, values| {
                for _ in 0..4 {
                    match driver.rm(cx, &last, values).await {
                        Err(e) if e.is_transient() => {}
                        other => return other.unwrap(),
                    }
                }
                panic!("it never ends")
            })
            .await;
            self.nothing_left();
        }
    }

    #[track_caller]
    pub(crate) fn nothing_left(&self) {
        let name = self.name.as_str();
        assert!(self.ocean.emulator.droplets(name).is_empty(), "{name}: a droplet is left");
        let left = self.ocean.emulator.left(&format!(":{name}"));
        assert!(left.is_empty(), "{name}: {left:?} is left");
    }

    #[track_caller]
    pub(crate) fn one(&self) -> Droplet {
        let all = self.ocean.emulator.droplets(self.name.as_str());
        assert_eq!(all.len(), 1, "{}: {all:#?}\n{:#?}", self.name, self.front.seen());
        all.into_iter().next().unwrap()
    }

    /// What failed, with everything that was said of it; no secret in it.
    #[track_caller]
    pub(crate) fn words(&self, e: &DriverError) -> String {
        let text = format!("{e}\n{}", e.help().unwrap_or_default());
        let all = format!("{text}{e:?}{:?}", self.told.lock().unwrap());
        assert!(!all.contains("canary") && !all.contains("dop_v1"), "{all}");
        text
    }
}
