//! Driver `amazonec2`: each machine is an instance of Amazon's EC2.
//!
//! It speaks the Query API itself: the SDK for EC2 alone needs eight gigabytes to compile. Whatever is made at AWS is
//! tagged in the call that makes it ([`tag`]), and is looked for by its tag before anything is made.

mod change;
mod credentials;
mod endpoint;
mod error;
mod group;
mod image;
mod instance;
mod key;
mod label;
mod launch;
mod network;
mod options;
mod place;
mod profile;
mod query;
mod rule;
mod session;
mod sign;
mod sso;
mod tag;
mod xml;

pub use options::Options;

use super::{
    Driver, DriverContext, DriverError, OptionProblem, OptionSpec, PowerAction, cloud, files, generic::boot_id, keys,
};
use crate::{
    http::{Awaited, Pace, Retry, poll},
    record::{Instance, OptionValues, Power},
    transport::Target,
};
use async_trait::async_trait;
use credentials::{Cache, Search};
use options::given;
use query::{Api, Params};
use serde_json::{Map, Value};
use session::Environment;
use std::time::Duration;

/// The driver.
#[derive(Default)]
pub struct AmazonEc2 {
    sessions: Cache,
    accounts: place::Accounts,
}

/// What a call to the driver has to do with: a machine, and the region it is or will be in.
struct Region<'a> {
    api: Api,
    cx: &'a DriverContext<'a>,
    options: &'a Options,
    environment: Environment,
}

/// How long calls are repeated that may be: so often as docker-machine was told, at our own pace.
fn patience(options: &Options) -> Retry {
    match u32::try_from(options.retries).unwrap_or(3) {
        0 => Retry::never(),
        times => {
            let usual = Retry::default();
            Retry { within: (usual.first * 2_u32.pow(times.min(9) + 1)).min(Duration::from_mins(5)), ..usual }
        }
    }
}

impl AmazonEc2 {
    /// Finds out where to ask, and as whom.
    async fn region<'a>(&self, cx: &'a DriverContext<'a>, options: &'a Options) -> Result<Region<'a>, DriverError> {
        let environment = Environment::of_process();
        let search = Search { cx, options, environment: environment.clone(), cache: &self.sessions };
        let credentials = search.run().await?;
        let own = given(options.endpoint.as_deref()).map(str::to_owned);
        let variable = |name| environment.get(name);
        let own = own.or_else(|| variable("AWS_ENDPOINT_URL_EC2")).or_else(|| variable("AWS_ENDPOINT_URL"));
        let api = Api {
            service: "ec2",
            version: "2016-11-15",
            url: endpoint::url("ec2", &options.region, own.as_deref(), options.insecure_transport)?,
            region: options.region.clone(),
            own_endpoint: own.is_some(),
            credentials: Some(credentials),
            retry: patience(options),
        };
        Ok(Region { api, cx, options, environment })
    }
}

impl Region<'_> {
    /// That a machine is not seen may be because one looks into another account than that it was made in: then nothing may
    /// be concluded, least of all that it can be forgotten.
    async fn same_account(&self) -> Result<(), DriverError> {
        let Some(made_in) = files::read(&self.cx.dir.join(launch::ACCOUNT))? else { return Ok(()) };
        if given(self.options.endpoint.as_deref()).is_some() {
            // AWS knows nothing of accounts elsewhere.
            return Ok(());
        }
        let sts = credentials::sts(self.options, &self.environment, self.api.credentials.clone())?;
        let now = credentials::account(&sts).await?;
        if now == made_in.trim() {
            return Ok(());
        }
        let who = self.api.credentials.as_ref().map(|found| found.from.clone()).unwrap_or_default();
        Err(DriverError::Refused {
            doing: format!("looking for the instance of `{}`", self.cx.machine),
            why: format!("it was made in AWS account {}, and these credentials ({who}) are of {now}", made_in.trim()),
            help: "use credentials of that account, as with AWS_PROFILE".to_owned(),
        })
    }

    /// Restarts what runs. AWS does not say when that is done; a host that we can log in to does.
    async fn reboot(&self, instance: &Instance) -> Result<(), DriverError> {
        let boot = || async {
            let target = Target::of(self.cx.machine, instance, self.cx.dir)?;
            let look = async { boot_id(&*self.cx.connect.connect(&target).await?).await };
            tokio::time::timeout(Duration::from_secs(10), look).await.ok()?.ok()
        };
        let before = boot().await;
        let ask = Params::new("RebootInstances").list("InstanceId", [&instance.id]);
        self.api.call("restarting the instance", ask).await?;
        if before.is_none() {
            return Ok(());
        }
        let pace = Pace { first: Duration::from_secs(1), most: Duration::from_secs(5) };
        let look = || async {
            Ok::<_, DriverError>(match boot().await {
                now @ Some(_) if now != before => Awaited::Here(()),
                Some(_) => Awaited::Not("it still runs as before".to_owned()),
                None => Awaited::Not("it does not answer".to_owned()),
            })
        };
        match poll("the restart of the host", REBOOT, pace, self.cx.progress, look).await {
            Ok(()) => Ok(()),
            Err(late) => Err(DriverError::Lost { doing: "restarting the instance".to_owned(), why: late.to_string() }),
        }
    }
}

/// How long a host may take to start anew.
const REBOOT: Duration = Duration::from_mins(5);

#[async_trait]
impl Driver for AmazonEc2 {
    const NAME: &'static str = "amazonec2";
    const ABOUT: &'static str = "instances of Amazon EC2";
    const CREATES: bool = true;
    type Options = Options;

    fn options() -> Vec<OptionSpec> {
        options::table()
    }

    fn check(options: &Options) -> Vec<OptionProblem> {
        options.check()
    }

    fn fields(options: &Options, instance: Option<&Instance>) -> Vec<(&'static str, Value)> {
        let existing = given(options.keypair_name.as_deref());
        let mut fields = vec![("ExistingKey", Value::from(existing.is_some()))];
        fields.extend(existing.map(|name| ("KeyName", Value::from(name))));
        fields.extend(instance.map(|instance| ("InstanceId", Value::from(instance.id.as_str()))));
        fields
    }

    fn of_fields(driver: &Map<String, Value>) -> OptionValues {
        let text = |field: &str| driver.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
        let mut values = OptionValues::new();
        if driver.get("ExistingKey").and_then(Value::as_bool) == Some(true) {
            values.extend(text("KeyName").map(|name| ("keypair-name".to_owned(), Value::from(name))));
            let key = text("SSHPrivateKeyPath").or(text("SSHKeyPath"));
            values.extend(key.map(|path| ("ssh-keypath".to_owned(), Value::from(path))));
        }
        // What docker-machine had before it could have several.
        if let Some(one) = text("SecurityGroupName") {
            let mut groups = vec![Value::from(one)];
            groups.extend(driver.get("SecurityGroupNames").and_then(Value::as_array).into_iter().flatten().cloned());
            values.insert("security-group".to_owned(), Value::from(groups));
        }
        values
    }

    async fn place(&self, cx: &DriverContext<'_>, options: &Options) -> Result<Option<String>, DriverError> {
        self.region(cx, options).await?.in_words(&self.accounts).await
    }

    async fn precheck(&self, cx: &DriverContext<'_>, options: &Options) -> Result<(), DriverError> {
        self.region(cx, options).await?.precheck().await
    }

    async fn find(&self, cx: &DriverContext<'_>, options: &Options) -> Result<Option<Instance>, DriverError> {
        let region = self.region(cx, options).await?;
        if let Some(seen) = region.find().await? {
            let key = match given(options.ssh_keypath.as_deref()) {
                Some(path) => cloud::path(path),
                None => keys::login_path(cx),
            };
            return Ok(Some(seen.recorded(options, key.display().to_string())));
        }
        // A creation that was cut off early has left a key pair or a group, and no later step would look for them.
        region.tidy(&[]).await?;
        Ok(None)
    }

    async fn create(&self, cx: &DriverContext<'_>, options: &Options) -> Result<Instance, DriverError> {
        self.region(cx, options).await?.launch().await
    }

    async fn change(
        &self,
        cx: &DriverContext<'_>,
        instance: &Instance,
        options: &Options,
    ) -> Result<Instance, DriverError> {
        self.region(cx, options).await?.change(instance).await
    }

    async fn power(
        &self,
        cx: &DriverContext<'_>,
        instance: &Instance,
        options: &Options,
    ) -> Result<Power, DriverError> {
        let region = self.region(cx, options).await?;
        match region.describe(&instance.id).await?.map_or(Power::Gone, |seen| seen.power()) {
            Power::Gone => region.same_account().await.map(|()| Power::Gone),
            other => Ok(other),
        }
    }

    async fn set_power(
        &self,
        cx: &DriverContext<'_>,
        instance: &Instance,
        options: &Options,
        action: PowerAction,
    ) -> Result<Instance, DriverError> {
        let region = self.region(cx, options).await?;
        let id = instance.id.as_str();
        match action {
            PowerAction::Stop => region.stop(id, false).await?,
            PowerAction::Kill => region.stop(id, true).await?,
            PowerAction::Restart if region.there(id).await?.power() == Power::Running => {
                region.reboot(instance).await?;
            }
            PowerAction::Start | PowerAction::Restart => region.start(id).await?,
        }
        let seen = match action {
            PowerAction::Start | PowerAction::Restart => region.wait_running(id).await?,
            PowerAction::Stop | PowerAction::Kill => region.there(id).await?,
        };
        Ok(seen.moved(options, instance))
    }

    async fn rm(&self, cx: &DriverContext<'_>, instance: &Instance, options: &Options) -> Result<(), DriverError> {
        self.region(cx, options).await?.remove(&instance.id).await
    }
}
