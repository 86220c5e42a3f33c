//! A driver of a provider that asks for a token with every call, and of which nothing is real but that.

use async_trait::async_trait;
use machine::{
    digest::sha256_hex,
    driver::{Driver, DriverContext, DriverError, Kind, OptionSpec, PowerAction, Secrecy},
    record::{Instance, Power},
    secret::Secret,
};
use serde::Deserialize;
use std::{env, fs, path::PathBuf};

pub(crate) struct Cloud;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Options {
    token: Secret,
    region: String,
}

fn spec(key: &str, flag: &str, env: &str, secrecy: Secrecy) -> OptionSpec {
    OptionSpec { secrecy, ..OptionSpec::new(key, flag, Kind::Text, "an option of the cloud") }
        .env(env)
        .required()
        .field(key)
        .recorded()
}

/// Where the provider keeps its machines, and `want`, the digest of the token it knows; `broken` is there when it is.
fn place(name: &str) -> PathBuf {
    PathBuf::from(env::var("CLOUD_DIR").unwrap()).join(name)
}

/// What a provider does first.
async fn enter(cx: &DriverContext<'_>, options: &Options) -> Result<(), DriverError> {
    let token = cx.reveal(&options.token).await?;
    if place("broken").exists() {
        return Err(DriverError::Lost { doing: "asking the cloud".to_owned(), why: "no answer".to_owned() });
    }
    if fs::read_to_string(place("want")).unwrap() != sha256_hex(token.expose().as_bytes()) {
        return Err(DriverError::Refused {
            doing: format!("asking the cloud in {}", options.region),
            why: "it does not know this token".to_owned(),
            help: "give it another".to_owned(),
        });
    }
    Ok(())
}

fn instance(cx: &DriverContext<'_>) -> Instance {
    Instance {
        id: format!("i-{}", cx.machine),
        address: "127.0.0.1".to_owned(),
        ssh: None,
        url: Some("tcp://127.0.0.1:1".to_owned()),
        host_keys: Vec::new(),
        jump_keys: Vec::new(),
    }
}

#[async_trait]
impl Driver for Cloud {
    const NAME: &'static str = "cloud";
    const ABOUT: &'static str = "machines of a cloud that is none";
    const CREATES: bool = true;
    type Options = Options;

    fn options() -> Vec<OptionSpec> {
        vec![
            spec("token", "cloud-token", "CLOUD_TOKEN", Secrecy::Secret),
            spec("region", "cloud-region", "CLOUD_REGION", Secrecy::Plain),
        ]
    }

    async fn place(&self, _: &DriverContext<'_>, options: &Options) -> Result<Option<String>, DriverError> {
        Ok(Some(format!("folder {} in {}", place("").display(), options.region)))
    }

    async fn find(&self, cx: &DriverContext<'_>, options: &Options) -> Result<Option<Instance>, DriverError> {
        enter(cx, options).await?;
        Ok(place(cx.machine.as_str()).exists().then(|| instance(cx)))
    }

    async fn create(&self, cx: &DriverContext<'_>, options: &Options) -> Result<Instance, DriverError> {
        enter(cx, options).await?;
        fs::File::create(place(cx.machine.as_str())).unwrap();
        cx.checkpoint.instance(&instance(cx)).await?;
        Ok(instance(cx))
    }

    async fn change(&self, cx: &DriverContext<'_>, _: &Instance, options: &Options) -> Result<Instance, DriverError> {
        enter(cx, options).await.map(|()| instance(cx))
    }

    async fn power(&self, cx: &DriverContext<'_>, _: &Instance, options: &Options) -> Result<Power, DriverError> {
        enter(cx, options).await?;
        Ok(if place(cx.machine.as_str()).exists() { Power::Running } else { Power::Gone })
    }

    async fn set_power(
        &self,
        cx: &DriverContext<'_>,
        _: &Instance,
        options: &Options,
        _: PowerAction,
    ) -> Result<Instance, DriverError> {
        enter(cx, options).await.map(|()| instance(cx))
    }

    async fn rm(&self, cx: &DriverContext<'_>, _: &Instance, options: &Options) -> Result<(), DriverError> {
        enter(cx, options).await?;
        let _ = fs::remove_file(place(cx.machine.as_str()));
        Ok(())
    }
}
