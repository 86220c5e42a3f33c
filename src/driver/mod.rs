//! Where machines come from.
//!
//! A driver has a pure half, which `plan` uses, and an effectful half, which `apply` uses. The split is
//! in the signatures: the pure half gets no `self`, no context and no `async`. One file and one line in `drivers!`
//! add a driver; its [`OptionSpec`] table is the only list of its options anywhere. There is no global list: code
//! that needs drivers is given [`Drivers`].

pub mod amazonec2;
mod answer;
mod any;
mod cloud;
mod config;
pub mod digitalocean;
mod error;
#[cfg(target_os = "linux")]
mod event;
mod files;
mod generic;
mod keys;
mod local;
mod none;
#[cfg(target_os = "linux")]
pub mod nspawn;
pub mod options;
mod process;
pub mod qemu;
mod registry;
pub mod snapshot;
mod virtualbox;

use crate::{
    name::{FleetName, MachineName},
    record::{Instance, OptionValues, Power},
    secret::{Reveal, Revealed, Secret, SecretError, SecretProblem},
    transport::{Connect, route::Lookup},
};
use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::{path::Path, sync::Arc};
use zeroize::Zeroizing;

pub use any::{AnyDriver, Typed};
pub use error::DriverError;
pub use options::{Change, Kind, OptionProblem, OptionSpec, Secrecy, When};
pub use registry::Drivers;
pub use snapshot::{Snapshot, SnapshotAction};

/// The one list of drivers: a type, and its value.
macro_rules! drivers {
    ($($(#[$when:meta])* $driver:ty = $value:expr,)*) => {
        impl Drivers {
            /// Those of this program, in the order help lists them.
            #[must_use]
            pub fn built_in() -> Self {
                let drivers = Self::default();
                $($(#[$when])* let drivers = drivers.with::<$driver>($value);)*
                drivers
            }
        }

        #[cfg(test)]
        const TYPED: &[fn() -> &'static str] = &[$($(#[$when])* || compliance::options_are_typed::<$driver>($value)),*];
    };
}

drivers! {
    generic::Generic = generic::Generic,
    none::Known = none::Known,
    #[cfg(target_os = "linux")]
    nspawn::Nspawn = nspawn::Nspawn::default(),
    amazonec2::AmazonEc2 = amazonec2::AmazonEc2::default(),
    digitalocean::DigitalOcean = digitalocean::DigitalOcean::default(),
    qemu::Qemu = qemu::Qemu::default(),
    virtualbox::VirtualBox = virtualbox::VirtualBox,
}

/// Keeps what a driver has learnt before it goes on, so that a crash cannot lose it.
#[async_trait]
pub trait Checkpoint: Send + Sync {
    /// Records the instance, durably.
    ///
    /// # Errors
    /// Says why it could not be recorded; the driver must then stop.
    async fn instance(&self, instance: &Instance) -> Result<(), DriverError>;
}

/// For calls that make nothing: there is nothing to keep.
pub struct NothingMade;

#[async_trait]
impl Checkpoint for NothingMade {
    async fn instance(&self, _: &Instance) -> Result<(), DriverError> {
        Ok(())
    }
}

/// What a driver may use to act on the world for one machine. `World::driver_context` fills it.
#[derive(Clone, Copy)]
pub struct DriverContext<'a> {
    /// The machine.
    pub machine: &'a MachineName,
    /// The fleet that owns it, for the tag. Machines without a fleet are tagged by store alone.
    pub fleet: Option<&'a FleetName>,
    /// Distinguishes this store from all others, for the tag.
    pub store_id: &'a str,
    /// Directory of the machine in the store, private to us (0700): keys go here. It exists.
    pub dir: &'a Path,
    /// Opens SSH connections.
    pub connect: &'a dyn Connect,
    /// Keeps what was learnt.
    pub checkpoint: &'a dyn Checkpoint,
    /// Finds out what secrets are; see [`Self::reveal`].
    pub secrets: &'a Arc<dyn Reveal>,
    /// Tells a person what is being done, as `building the image (1/3): packages`.
    pub progress: &'a (dyn Fn(&str) + Send + Sync),
}

impl DriverContext<'_> {
    /// What a secret option is, found out where it is used: ask just before, and keep it no longer than needed.
    ///
    /// # Errors
    /// Names the reference and why nothing came of it.
    pub async fn reveal(&self, secret: &Secret) -> Result<Revealed, DriverError> {
        let (secret, from, dir) = (secret.clone(), Arc::clone(self.secrets), self.dir.to_owned());
        let look = move || match &secret {
            Secret::Config(field) => {
                of_config(&dir.join("config.json"), field).map_err(|why| SecretError { secret: secret.clone(), why })
            }
            _ => secret.reveal(&*from),
        };
        let found = tokio::task::spawn_blocking(look).await;
        found.expect("looking for a secret does not panic").map_err(DriverError::Secret)
    }
}

/// A field of the driver's object in a config.json.
fn of_config(path: &Path, field: &str) -> Result<Revealed, SecretProblem> {
    let text = std::fs::read_to_string(path).map(Zeroizing::new).map_err(|e| SecretProblem::Io(e.to_string()))?;
    // What serde says of a document may quote it.
    let document: Value =
        serde_json::from_str(&text).map_err(|_| SecretProblem::Io("config.json is not JSON".to_owned()))?;
    match document.pointer("/Driver").and_then(|driver| driver.get(field)).and_then(Value::as_str) {
        None => Err(SecretProblem::Unset),
        Some("") => Err(SecretProblem::Empty),
        Some(secret) => Ok(Revealed::new(secret.to_owned())),
    }
}

/// What may be done to a running or stopped instance, beside making and removing it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PowerAction {
    /// Switch on. Nothing to do when it runs.
    Start,
    /// Ask it to switch off, and wait. Nothing to do when it is off.
    Stop,
    /// Pull the plug.
    Kill,
    /// Start anew, or start when it is off.
    Restart,
}

impl PowerAction {
    /// What a person calls it.
    #[must_use]
    pub fn what(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Kill => "kill",
            Self::Restart => "restart",
        }
    }
}

/// Makes and controls instances. Driver authors implement this.
#[async_trait]
pub trait Driver: Send + Sync + 'static {
    /// The name under `driver:` in a fleet file and after `-d` on the command line.
    const NAME: &'static str;
    /// What a person is told it is, in one line.
    const ABOUT: &'static str;
    /// Whether it makes instances, or only knows where they are.
    const CREATES: bool;
    /// Whether its instances are on this computer: from another one only their hosts themselves can be asked.
    const LOCAL: bool = false;
    /// The options, typed. Its fields are the keys of [`Self::options`] (a test holds it).
    type Options: DeserializeOwned + Send + Sync;

    /// Pure. Every option, in the order help shows them. Asked for once, when the driver is registered.
    #[must_use]
    fn options() -> Vec<OptionSpec>;

    /// Pure. Finds what the table cannot express: options that exclude or need each other.
    #[must_use]
    fn check(_options: &Self::Options) -> Vec<OptionProblem> {
        Vec::new()
    }

    /// Pure. Finds what is probably a mistake and was allowed by docker-machine: a fleet file with it is refused, and
    /// `create` goes on with a warning.
    #[must_use]
    fn doubts(_options: &Self::Options) -> Vec<OptionProblem> {
        Vec::new()
    }

    /// Pure. The name to look up in an `ssh_config` at every login; `None`: the recorded endpoint is all.
    #[must_use]
    fn lookup(_options: &Self::Options) -> Option<Lookup> {
        None
    }

    /// Pure. Fields of docker-machine's object for this driver (config.json, `Driver`) that are not one option each: what
    /// its provider calls the instance, switches that it keeps the other way round.
    #[must_use]
    fn fields(_options: &Self::Options, _instance: Option<&Instance>) -> Vec<(&'static str, Value)> {
        Vec::new()
    }

    /// Pure. Options that follow from such fields in what docker-machine wrote; they win over those of the table.
    #[must_use]
    fn of_fields(_driver: &Map<String, Value>) -> OptionValues {
        OptionValues::new()
    }

    /// Where instances are made and looked for with these options and the credentials there are now, as
    /// `account 123456789012 in eu-west-1`: as much as decides whether an instance that was made can be seen. It is
    /// recorded and compared, so the same place has the same words in every version. `None`: it makes none, or it is not to
    /// be known. Nothing is made or changed, and the provider is asked only for what cannot be known otherwise.
    async fn place(&self, cx: &DriverContext<'_>, options: &Self::Options) -> Result<Option<String>, DriverError>;

    /// Asks the provider whether all that the options name is to be had. It changes nothing, neither there nor here: nothing
    /// is recorded yet, and the machine's folder need not be there. Those who find it out by creating do without.
    async fn precheck(&self, _cx: &DriverContext<'_>, _options: &Self::Options) -> Result<(), DriverError> {
        Ok(())
    }

    /// Finds the instance by the tag that [`create`](Self::create) gave it, whatever was recorded.
    async fn find(&self, cx: &DriverContext<'_>, options: &Self::Options) -> Result<Option<Instance>, DriverError>;

    /// Makes the instance and starts it; if it is there already (see [`find`](Self::find)), takes it.
    /// Checkpoints as soon as there is anything that could be lost.
    async fn create(&self, cx: &DriverContext<'_>, options: &Self::Options) -> Result<Instance, DriverError>;

    /// Changes what can be changed in place. Called only when [`options::compare`] said so.
    async fn change(
        &self,
        cx: &DriverContext<'_>,
        instance: &Instance,
        options: &Self::Options,
    ) -> Result<Instance, DriverError>;

    /// Whether it runs. Local and cheap where it can be: many are asked at once.
    async fn power(
        &self,
        cx: &DriverContext<'_>,
        instance: &Instance,
        options: &Self::Options,
    ) -> Result<Power, DriverError>;

    /// Starts, stops, kills or restarts; returns the instance as it is then, since addresses may change.
    async fn set_power(
        &self,
        cx: &DriverContext<'_>,
        instance: &Instance,
        options: &Self::Options,
        action: PowerAction,
    ) -> Result<Instance, DriverError>;

    /// Works on snapshots of the instance, and gives those there are then. Drivers that have none need not say so.
    async fn snapshot(
        &self,
        _cx: &DriverContext<'_>,
        _instance: &Instance,
        _options: &Self::Options,
        _action: &SnapshotAction,
    ) -> Result<Vec<Snapshot>, DriverError> {
        Err(DriverError::cannot(Self::NAME, "make snapshots"))
    }

    /// Removes the instance and everything that was made for it. Succeeds when it is already gone.
    async fn rm(&self, cx: &DriverContext<'_>, instance: &Instance, options: &Self::Options)
    -> Result<(), DriverError>;
}

#[cfg(test)]
mod compliance;
