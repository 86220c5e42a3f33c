use super::{Driver, DriverContext, DriverError, OptionSpec, PowerAction};
use crate::record::{Instance, Power};
use async_trait::async_trait;
use serde::Deserialize;

pub(super) struct Generic;

#[derive(Deserialize)]
pub(super) struct Options {}

#[async_trait]
impl Driver for Generic {
    const NAME: &'static str = "generic";
    const ABOUT: &'static str = "";
    const OPTIONS: &'static [OptionSpec] = &[];
    const CREATES: bool = true;
    type Options = Options;
    async fn find(&self, _: &DriverContext<'_>, _: &Options) -> Result<Option<Instance>, DriverError> {
        Ok(None)
    }
    async fn create(&self, _: &DriverContext<'_>, _: &Options) -> Result<Instance, DriverError> {
        Err(DriverError::Cannot { driver: "generic", what: "x" })
    }
    async fn change(&self, _: &DriverContext<'_>, i: &Instance, _: &Options) -> Result<Instance, DriverError> {
        Ok(i.clone())
    }
    async fn power(&self, _: &DriverContext<'_>, _: &Instance, _: &Options) -> Result<Power, DriverError> {
        Ok(Power::Unknown)
    }
    async fn set_power(
        &self,
        _: &DriverContext<'_>,
        i: &Instance,
        _: &Options,
        _: PowerAction,
    ) -> Result<Instance, DriverError> {
        Ok(i.clone())
    }
    async fn rm(&self, _: &DriverContext<'_>, _: &Instance, _: &Options) -> Result<(), DriverError> {
        Ok(())
    }
}
