//! Driver `none`: an engine that somebody else set up, known by its URL. Nothing is ever done to it.

use super::{Driver, DriverContext, DriverError, Kind, OptionProblem, OptionSpec, PowerAction};
use crate::record::{Instance, Power};
use async_trait::async_trait;
use serde::Deserialize;

pub(super) struct Known;

/// Schemes a docker client takes in `DOCKER_HOST`.
const SCHEMES: [&str; 6] = ["tcp://", "unix://", "ssh://", "npipe://", "http://", "https://"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Options {
    url: String,
}

/// Host of a URL, without its port and the brackets of an IPv6 address; empty when it has none.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    if let Some((host, _)) = place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return host;
    }
    place.split_once(':').map_or(place, |(host, _)| host)
}

fn instance(url: &str) -> Instance {
    Instance {
        id: url.to_owned(),
        address: host(url).to_owned(),
        ssh: None,
        url: Some(url.to_owned()),
        host_keys: Vec::new(),
        jump_keys: Vec::new(),
    }
}

#[async_trait]
impl Driver for Known {
    const NAME: &'static str = "none";
    const ABOUT: &'static str = "an engine that is set up already, known by its URL";
    const OPTIONS: &'static [OptionSpec] =
        &[OptionSpec::new("url", "url", Kind::Text, "URL of the engine").required().field("URL").in_place()];
    const CREATES: bool = false;
    type Options = Options;

    fn check(options: &Options) -> Vec<OptionProblem> {
        let rest = SCHEMES.iter().find_map(|scheme| options.url.strip_prefix(scheme));
        if rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(|c: char| c.is_control() || c == ' ')) {
            return Vec::new();
        }
        vec![OptionProblem {
            key: Some("url".to_owned()),
            message: format!("`{}` is not the URL of an engine", options.url.escape_default()),
            help: Some("write it as a docker client takes it: `tcp://192.0.2.10:2376`".to_owned()),
        }]
    }

    async fn find(&self, _: &DriverContext<'_>, options: &Options) -> Result<Option<Instance>, DriverError> {
        Ok(Some(instance(&options.url)))
    }

    async fn create(&self, _: &DriverContext<'_>, options: &Options) -> Result<Instance, DriverError> {
        Ok(instance(&options.url))
    }

    async fn change(&self, _: &DriverContext<'_>, _: &Instance, options: &Options) -> Result<Instance, DriverError> {
        Ok(instance(&options.url))
    }

    /// Always running, as docker-machine has it: nobody can be asked but the engine itself.
    async fn power(&self, _: &DriverContext<'_>, _: &Instance, _: &Options) -> Result<Power, DriverError> {
        Ok(Power::Running)
    }

    async fn set_power(
        &self,
        _: &DriverContext<'_>,
        _: &Instance,
        _: &Options,
        action: PowerAction,
    ) -> Result<Instance, DriverError> {
        Err(DriverError::Cannot { driver: "none", what: action.what() })
    }

    async fn rm(&self, _: &DriverContext<'_>, _: &Instance, _: &Options) -> Result<(), DriverError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_the_host_of_the_url() {
        for (url, want) in [
            ("tcp://127.0.0.1:2376", "127.0.0.1"),
            ("tcp://[::1]:2376/x", "::1"),
            ("ssh://root@web.example:22", "web.example"),
            ("unix:///var/run/docker.sock", ""),
        ] {
            assert_eq!(instance(url).address, want, "{url}");
        }
    }

    #[test]
    fn what_no_docker_client_takes_is_refused() {
        let problems = |url: &str| Known::check(&Options { url: url.to_owned() }).len();
        for good in ["tcp://192.0.2.10:2376", "unix:///run/docker.sock", "ssh://u@h"] {
            assert_eq!(problems(good), 0, "{good}");
        }
        for bad in ["", "192.0.2.10", "tcp://", "ftp://x", "tcp://a b", "tcp://a\nexport X=1"] {
            assert_eq!(problems(bad), 1, "{bad:?}");
        }
    }
}
