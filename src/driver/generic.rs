use super::{Driver, DriverContext, DriverError, Kind, OptionSpec, PowerAction, Secrecy, When};
use crate::record::{Instance, Power};
use async_trait::async_trait;
use serde::Deserialize;

pub(super) struct Generic;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(dead_code, reason = "read by the driver that takes this file's place")]
pub(super) struct Options {
    ip: String,
    ssh_user: String,
    ssh_port: u16,
    ssh_key: Option<String>,
    jump: Option<String>,
}

#[async_trait]
impl Driver for Generic {
    const NAME: &'static str = "generic";
    const ABOUT: &'static str = "hosts that exist already, reached through SSH";
    const OPTIONS: &'static [OptionSpec] = &[
        OptionSpec {
            key: "ip",
            flag: "generic-ip-address",
            env: "GENERIC_IP_ADDRESS",
            kind: Kind::Text,
            default: None,
            required: true,
            help: "Address or name of the host",
            field: "IPAddress",
            secrecy: Secrecy::Plain,
            when: When::Replace,
        },
        OptionSpec {
            key: "ssh-user",
            flag: "generic-ssh-user",
            env: "GENERIC_SSH_USER",
            kind: Kind::Text,
            default: Some("root"),
            required: false,
            help: "User to log in as",
            field: "SSHUser",
            secrecy: Secrecy::Plain,
            when: When::Recorded,
        },
        OptionSpec {
            key: "ssh-port",
            flag: "generic-ssh-port",
            env: "GENERIC_SSH_PORT",
            kind: Kind::Port,
            default: Some("22"),
            required: false,
            help: "Port of the SSH server",
            field: "SSHPort",
            secrecy: Secrecy::Plain,
            when: When::Recorded,
        },
        OptionSpec {
            key: "ssh-key",
            flag: "generic-ssh-key",
            env: "GENERIC_SSH_KEY",
            kind: Kind::Path,
            default: None,
            required: false,
            help: "Private key to log in with",
            field: "SSHKey",
            secrecy: Secrecy::Plain,
            when: When::Recorded,
        },
        OptionSpec {
            key: "jump",
            flag: "generic-jump",
            env: "GENERIC_JUMP",
            kind: Kind::Text,
            default: None,
            required: false,
            help: "Host to go through, as `user@host:port`",
            field: "",
            secrecy: Secrecy::Plain,
            when: When::Recorded,
        },
    ];
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
