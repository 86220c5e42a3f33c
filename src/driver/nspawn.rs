use super::{Driver, DriverContext, DriverError, Kind, OptionSpec, PowerAction, Secrecy, When};
use crate::record::{Instance, Power};
use async_trait::async_trait;
use serde::Deserialize;

pub(super) struct Nspawn;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(dead_code, reason = "read by the driver that takes this file's place")]
pub(super) struct Options {
    image: String,
    memory: Option<u64>,
    cpus: Option<u64>,
    address: Option<String>,
}

#[async_trait]
impl Driver for Nspawn {
    const NAME: &'static str = "nspawn";
    const ABOUT: &'static str = "containers of systemd-nspawn on this computer";
    const OPTIONS: &'static [OptionSpec] = &[
        OptionSpec {
            key: "image",
            flag: "nspawn-image",
            env: "MACHINE_NSPAWN_IMAGE",
            kind: Kind::Text,
            default: Some("debian-12"),
            required: false,
            help: "Distribution and release of the instance",
            field: "Image",
            secrecy: Secrecy::Plain,
            when: When::Replace,
        },
        OptionSpec {
            key: "memory",
            flag: "nspawn-memory",
            env: "MACHINE_NSPAWN_MEMORY",
            kind: Kind::Size,
            default: None,
            required: false,
            help: "Memory the instance may use",
            field: "Memory",
            secrecy: Secrecy::Plain,
            when: When::InPlace,
        },
        OptionSpec {
            key: "cpus",
            flag: "nspawn-cpus",
            env: "MACHINE_NSPAWN_CPUS",
            kind: Kind::Number,
            default: None,
            required: false,
            help: "Processors the instance may use",
            field: "CPUs",
            secrecy: Secrecy::Plain,
            when: When::InPlace,
        },
        OptionSpec {
            key: "address",
            flag: "nspawn-address",
            env: "MACHINE_NSPAWN_ADDRESS",
            kind: Kind::Text,
            default: None,
            required: false,
            help: "Fixed address of the instance",
            field: "Address",
            secrecy: Secrecy::Plain,
            when: When::Replace,
        },
    ];
    const CREATES: bool = true;
    type Options = Options;
    async fn find(&self, _: &DriverContext<'_>, _: &Options) -> Result<Option<Instance>, DriverError> {
        Ok(None)
    }
    async fn create(&self, _: &DriverContext<'_>, _: &Options) -> Result<Instance, DriverError> {
        Err(DriverError::Cannot { driver: "nspawn", what: "x" })
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
