use super::{Driver, DriverContext, DriverError, Kind, OptionSpec, PowerAction, Secrecy, When};
use crate::record::{Instance, Power};
use async_trait::async_trait;
use serde::Deserialize;

pub(super) struct Known;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(dead_code, reason = "read by the driver that takes this file's place")]
pub(super) struct Options {
    url: String,
}

#[async_trait]
impl Driver for Known {
    const NAME: &'static str = "none";
    const ABOUT: &'static str = "engines that exist already, known by URL";
    const OPTIONS: &'static [OptionSpec] = &[OptionSpec {
        key: "url",
        flag: "url",
        env: "",
        kind: Kind::Text,
        default: None,
        required: true,
        help: "URL of the engine, as `tcp://192.0.2.10:2376`",
        field: "URL",
        secrecy: Secrecy::Plain,
        when: When::Recorded,
    }];
    const CREATES: bool = true;
    type Options = Options;
    async fn find(&self, _: &DriverContext<'_>, _: &Options) -> Result<Option<Instance>, DriverError> {
        Ok(None)
    }
    async fn create(&self, _: &DriverContext<'_>, _: &Options) -> Result<Instance, DriverError> {
        Err(DriverError::Cannot { driver: "none", what: "x" })
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
