//! Driver `none`: an engine that is set up already, known by its URL. Nothing is ever done to it.

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

/// Whether a docker client takes it.
fn is_url(text: &str) -> bool {
    SCHEMES.iter().any(|scheme| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()))
}

/// Host of a URL, without its port and the brackets of an IPv6 address; empty when it has none.
fn host(url: &str) -> &str {
    let Some((_, rest)) = url.split_once("://") else { return "" };
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

fn not_a_url(text: &str) -> OptionProblem {
    OptionProblem {
        key: Some("url".to_owned()),
        message: format!("`{}` is not the URL of an engine", text.escape_default()),
        help: Some("write it as a docker client takes it: `tcp://192.0.2.10:2376`".to_owned()),
    }
}

#[async_trait]
impl Driver for Known {
    const NAME: &'static str = "none";
    const ABOUT: &'static str = "an engine that is set up already, known by its URL";
    const CREATES: bool = false;
    type Options = Options;

    fn options() -> Vec<OptionSpec> {
        vec![OptionSpec::new("url", "url", Kind::Text, "URL of the engine").required().field("URL").in_place()]
    }

    /// Words such as `localhost`, `none` or `fd://` are taken, as docker-machine takes them: farms of CI runners make
    /// their certificates by a machine that has no engine.
    fn check(options: &Options) -> Vec<OptionProblem> {
        let text = &options.url;
        let first = text.split(['/', '?', '#']).next().unwrap_or_default();
        let refused = text.is_empty()
            || text.contains(|c: char| c.is_control() || c.is_whitespace())
            || (!text.contains("://") && first.contains(':'));
        if refused { vec![not_a_url(text)] } else { Vec::new() }
    }

    fn doubts(options: &Options) -> Vec<OptionProblem> {
        if is_url(&options.url) { Vec::new() } else { vec![not_a_url(&options.url)] }
    }

    /// It makes none.
    async fn place(&self, _: &DriverContext<'_>, _: &Options) -> Result<Option<String>, DriverError> {
        Ok(None)
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

    /// Always running, as docker-machine has it: only the engine itself can be asked.
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
        Err(DriverError::cannot(Self::NAME, action.what()))
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
            ("localhost", ""),
            ("127.0.0.1", ""),
            ("fd://", ""),
        ] {
            assert_eq!(instance(url).address, want, "{url}");
        }
    }

    #[test]
    fn what_docker_machine_took_is_taken_with_a_doubt_and_the_rest_is_refused() {
        let found = |url: &str| {
            let options = Options { url: url.to_owned() };
            (Known::check(&options).len(), Known::doubts(&options).len())
        };
        for good in ["tcp://192.0.2.10:2376", "unix:///run/docker.sock", "ssh://u@h"] {
            assert_eq!(found(good), (0, 0), "{good}");
        }
        for odd in ["localhost", "none", "127.0.0.1", "fd://", "tcp://", "ftp://x", "a/b:c"] {
            assert_eq!(found(odd), (0, 1), "{odd}");
        }
        for bad in ["", "127.0.0.1:2376", "tcp://a b", "tcp://a\tb", "tcp://a\nexport X=1"] {
            assert_eq!(found(bad).0, 1, "{bad:?}");
        }
    }
}
