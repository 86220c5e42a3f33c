//! Drivers without their type of options, so that tables hold all of them. Each call passes points at which tests kill the
//! program.

use super::{
    Driver, DriverContext, DriverError, OptionProblem, OptionSpec, PowerAction, Snapshot, SnapshotAction, options,
};
use crate::{
    fault,
    record::{Instance, OptionValues, Place, Power},
    transport::route::Lookup,
};
use async_trait::async_trait;
use serde::{Deserialize, de::value::MapDeserializer};
use serde_json::{Map, Value};
use std::{io, sync::OnceLock};

/// A [`Driver`] without its type of options: what tables, plans and the world hold.
#[async_trait]
pub trait AnyDriver: Send + Sync {
    /// See [`Driver::NAME`].
    fn name(&self) -> &str;
    /// See [`Driver::ABOUT`].
    fn about(&self) -> &str;
    /// See [`Driver::options`].
    fn options(&self) -> &[OptionSpec];
    /// See [`Driver::CREATES`].
    fn creates(&self) -> bool;
    /// See [`Driver::LOCAL`].
    fn is_local(&self) -> bool;
    /// Pure. All problems of complete, normalised values, beyond those of single options.
    fn check(&self, values: &OptionValues) -> Vec<OptionProblem>;
    /// See [`Driver::doubts`]; none when the options cannot be read, which [`Self::check`] says.
    fn doubts(&self, values: &OptionValues) -> Vec<OptionProblem>;
    /// See [`Driver::lookup`].
    fn lookup(&self, values: &OptionValues) -> Option<Lookup>;
    /// See [`Driver::fields`]; none when the options cannot be read.
    fn fields(&self, values: &OptionValues, instance: Option<&Instance>) -> Vec<(String, Value)>;
    /// See [`Driver::of_fields`].
    fn of_fields(&self, driver: &Map<String, Value>) -> OptionValues;
    /// See [`Driver::place`].
    async fn place(&self, cx: &DriverContext<'_>, values: &OptionValues) -> Result<Option<Place>, DriverError>;
    /// See [`Driver::precheck`].
    async fn precheck(&self, cx: &DriverContext<'_>, values: &OptionValues) -> Result<(), DriverError>;
    /// See [`Driver::find`].
    async fn find(&self, cx: &DriverContext<'_>, values: &OptionValues) -> Result<Option<Instance>, DriverError>;
    /// See [`Driver::create`].
    async fn create(&self, cx: &DriverContext<'_>, values: &OptionValues) -> Result<Instance, DriverError>;
    /// See [`Driver::change`].
    async fn change(
        &self,
        cx: &DriverContext<'_>,
        instance: &Instance,
        values: &OptionValues,
    ) -> Result<Instance, DriverError>;
    /// See [`Driver::power`].
    async fn power(
        &self,
        cx: &DriverContext<'_>,
        instance: &Instance,
        values: &OptionValues,
    ) -> Result<Power, DriverError>;
    /// See [`Driver::set_power`].
    async fn set_power(
        &self,
        cx: &DriverContext<'_>,
        instance: &Instance,
        values: &OptionValues,
        action: PowerAction,
    ) -> Result<Instance, DriverError>;
    /// See [`Driver::snapshot`].
    async fn snapshot(
        &self,
        cx: &DriverContext<'_>,
        instance: &Instance,
        values: &OptionValues,
        action: &SnapshotAction,
    ) -> Result<Vec<Snapshot>, DriverError>;
    /// See [`Driver::rm`].
    async fn rm(&self, cx: &DriverContext<'_>, instance: &Instance, values: &OptionValues) -> Result<(), DriverError>;
}

/// A [`Driver`] with its table of options, which is made when it is first asked for: most commands ask none or one.
pub struct Typed<D> {
    driver: D,
    options: OnceLock<Vec<OptionSpec>>,
}

impl<D: Driver> Typed<D> {
    /// The driver, to be registered.
    #[must_use]
    pub fn new(driver: D) -> Self {
        Self { driver, options: OnceLock::new() }
    }

    pub(super) fn read(&self, values: &OptionValues) -> Result<D::Options, DriverError> {
        // A record written by an older version may lack options that have a default now.
        let mut absent = options::absent_defaults(self.options(), values);
        absent.retain(|(key, _)| self.options().iter().all(|spec| spec.key != *key || spec.fallback.is_none()));
        let pairs = values.iter().map(|(key, value)| (key.as_str(), value));
        let complete = pairs.chain(absent.iter().map(|(key, value)| (*key, value)));
        D::Options::deserialize(MapDeserializer::new(complete)).map_err(|e: serde_json::Error| DriverError::Refused {
            doing: format!("reading the options of driver `{}`", D::NAME),
            why: e.to_string(),
            help: "correct the options in the fleet file, or the machine's record".to_owned(),
        })
    }
}

/// A call to a driver between the points at which tests kill the program, or lose the answer.
async fn between<T>(
    before: &'static str,
    after: &'static str,
    cx: &DriverContext<'_>,
    call: impl Future<Output = Result<T, DriverError>>,
) -> Result<T, DriverError> {
    let point = |name| {
        let lost = |e: io::Error| DriverError::Lost { doing: "asking the provider".to_owned(), why: e.to_string() };
        fault::point(name, cx.machine.as_str()).map_err(lost)
    };
    point(before)?;
    let answer = call.await?;
    point(after)?;
    Ok(answer)
}

#[async_trait]
impl<D: Driver> AnyDriver for Typed<D> {
    fn name(&self) -> &str {
        D::NAME
    }
    fn about(&self) -> &str {
        D::ABOUT
    }
    fn options(&self) -> &[OptionSpec] {
        self.options.get_or_init(D::options)
    }
    fn creates(&self) -> bool {
        D::CREATES
    }
    fn is_local(&self) -> bool {
        D::LOCAL
    }
    fn check(&self, values: &OptionValues) -> Vec<OptionProblem> {
        match self.read(values) {
            Ok(options) => D::check(&options),
            Err(e) => vec![OptionProblem { key: None, message: e.to_string(), help: e.help() }],
        }
    }
    fn doubts(&self, values: &OptionValues) -> Vec<OptionProblem> {
        self.read(values).map_or_else(|_| Vec::new(), |options| D::doubts(&options))
    }
    fn lookup(&self, values: &OptionValues) -> Option<Lookup> {
        D::lookup(&self.read(values).ok()?)
    }
    fn fields(&self, values: &OptionValues, instance: Option<&Instance>) -> Vec<(String, Value)> {
        let Ok(options) = self.read(values) else { return Vec::new() };
        D::fields(&options, instance).into_iter().map(|(field, value)| (field.to_owned(), value)).collect()
    }
    fn of_fields(&self, driver: &Map<String, Value>) -> OptionValues {
        D::of_fields(driver)
    }
    async fn place(&self, cx: &DriverContext<'_>, values: &OptionValues) -> Result<Option<Place>, DriverError> {
        let at = self.driver.place(cx, &self.read(values)?).await?;
        Ok(at.map(|at| Place::new(D::NAME, at)))
    }
    async fn precheck(&self, cx: &DriverContext<'_>, values: &OptionValues) -> Result<(), DriverError> {
        self.driver.precheck(cx, &self.read(values)?).await
    }
    async fn find(&self, cx: &DriverContext<'_>, values: &OptionValues) -> Result<Option<Instance>, DriverError> {
        let options = self.read(values)?;
        between("driver.find", "driver.find.done", cx, self.driver.find(cx, &options)).await
    }
    async fn create(&self, cx: &DriverContext<'_>, values: &OptionValues) -> Result<Instance, DriverError> {
        let options = self.read(values)?;
        between("driver.create", "driver.create.done", cx, self.driver.create(cx, &options)).await
    }
    async fn change(
        &self,
        cx: &DriverContext<'_>,
        instance: &Instance,
        values: &OptionValues,
    ) -> Result<Instance, DriverError> {
        let options = self.read(values)?;
        between("driver.change", "driver.change.done", cx, self.driver.change(cx, instance, &options)).await
    }
    async fn power(
        &self,
        cx: &DriverContext<'_>,
        instance: &Instance,
        values: &OptionValues,
    ) -> Result<Power, DriverError> {
        let options = self.read(values)?;
        between("driver.power", "driver.power.done", cx, self.driver.power(cx, instance, &options)).await
    }
    async fn set_power(
        &self,
        cx: &DriverContext<'_>,
        instance: &Instance,
        values: &OptionValues,
        action: PowerAction,
    ) -> Result<Instance, DriverError> {
        let options = self.read(values)?;
        between("driver.set_power", "driver.set_power.done", cx, self.driver.set_power(cx, instance, &options, action))
            .await
    }
    async fn snapshot(
        &self,
        cx: &DriverContext<'_>,
        instance: &Instance,
        values: &OptionValues,
        action: &SnapshotAction,
    ) -> Result<Vec<Snapshot>, DriverError> {
        let options = self.read(values)?;
        let call = self.driver.snapshot(cx, instance, &options, action);
        between("driver.snapshot", "driver.snapshot.done", cx, call).await
    }
    async fn rm(&self, cx: &DriverContext<'_>, instance: &Instance, values: &OptionValues) -> Result<(), DriverError> {
        let options = self.read(values)?;
        between("driver.rm", "driver.rm.done", cx, self.driver.rm(cx, instance, &options)).await
    }
}
