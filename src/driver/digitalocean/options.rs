//! What a droplet shall be.

use crate::{
    driver::{Kind, OptionProblem, OptionSpec},
    http::Url,
    secret::Secret,
};
use serde::Deserialize;
use std::net::IpAddr;

/// The options, typed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(clippy::struct_excessive_bools, reason = "they are docker-machine's switches, one by one")]
pub struct Options {
    pub(super) access_token: Option<Secret>,
    pub(super) endpoint: String,
    pub(super) image: String,
    pub(super) region: String,
    pub(super) size: String,
    pub(super) resize_disk: bool,
    pub(super) ssh_user: String,
    pub(super) ssh_port: u16,
    pub(super) ssh_key_fingerprint: Option<String>,
    pub(super) ssh_key: Option<String>,
    pub(super) vpc: Option<String>,
    pub(super) ipv6: bool,
    pub(super) monitoring: bool,
    pub(super) backups: bool,
    #[serde(rename = "private-networking")]
    pub(super) _private_networking: bool,
    pub(super) tags: Option<Vec<String>>,
    pub(super) userdata: Option<String>,
}

/// Where the token is when no option says.
pub(super) const TOKEN: &str = "DIGITALOCEAN_ACCESS_TOKEN";

#[expect(clippy::too_many_lines, reason = "it is a table: a line or two for each option")]
pub(super) fn table() -> Vec<OptionSpec> {
    vec![
        OptionSpec::new(
            "access-token",
            "digitalocean-access-token",
            Kind::Text,
            "API token, by reference; without it, the variable DIGITALOCEAN_ACCESS_TOKEN",
        )
        .env(TOKEN)
        .field("AccessToken")
        .secret()
        .recorded(),
        OptionSpec::new(
            "image",
            "digitalocean-image",
            Kind::Text,
            "image: a slug, or the number of a snapshot or image of your own",
        )
        .env("DIGITALOCEAN_IMAGE")
        .default("ubuntu-24-04-x64")
        .field("Image"),
        OptionSpec::new("region", "digitalocean-region", Kind::Text, "region, by its slug")
            .env("DIGITALOCEAN_REGION")
            .default("nyc3")
            .field("Region"),
        OptionSpec::new("size", "digitalocean-size", Kind::Text, "size, by its slug; a change switches it off and on")
            .env("DIGITALOCEAN_SIZE")
            .default("s-1vcpu-1gb")
            .field("Size")
            .in_place(),
        OptionSpec::new(
            "resize-disk",
            "digitalocean-resize-disk",
            Kind::Flag,
            "a change of the size takes the larger disk too, which cannot be undone",
        )
        .env("DIGITALOCEAN_RESIZE_DISK")
        .default("false")
        .recorded(),
        OptionSpec::new(
            "ssh-user",
            "digitalocean-ssh-user",
            Kind::Text,
            "user to log in as; made if the image has none such",
        )
        .env("DIGITALOCEAN_SSH_USER")
        .default("root")
        .field("SSHUser")
        .in_place(),
        OptionSpec::new("ssh-port", "digitalocean-ssh-port", Kind::Port, "TCP port of the SSH server")
            .env("DIGITALOCEAN_SSH_PORT")
            .default("22")
            .field("SSHPort")
            .in_place(),
        OptionSpec::new(
            "ssh-key-fingerprint",
            "digitalocean-ssh-key-fingerprint",
            Kind::Text,
            "fingerprint (MD5) or number of a key of the account; without it, one is made for the machine",
        )
        .env("DIGITALOCEAN_SSH_KEY_FINGERPRINT")
        .field("SSHKeyFingerprint"),
        OptionSpec::new(
            "ssh-key",
            "digitalocean-ssh-key-path",
            Kind::Path,
            "private half of that key; without it, the keys in ssh-agent",
        )
        .env("DIGITALOCEAN_SSH_KEY_PATH")
        .field("SSHKey")
        .in_place(),
        OptionSpec::new(
            "vpc",
            "digitalocean-vpc",
            Kind::Text,
            "VPC, by name or UUID; without it, the default one of the region",
        )
        .env("DIGITALOCEAN_VPC"),
        OptionSpec::new("ipv6", "digitalocean-ipv6", Kind::Flag, "a public IPv6 address too")
            .env("DIGITALOCEAN_IPV6")
            .default("false")
            .field("IPv6"),
        OptionSpec::new("monitoring", "digitalocean-monitoring", Kind::Flag, "the provider's agent for metrics")
            .env("DIGITALOCEAN_MONITORING")
            .default("false")
            .field("Monitoring"),
        OptionSpec::new("backups", "digitalocean-backups", Kind::Flag, "the provider's backups, which cost extra")
            .env("DIGITALOCEAN_BACKUPS")
            .default("false")
            .field("Backups")
            .in_place(),
        OptionSpec::new(
            "private-networking",
            "digitalocean-private-networking",
            Kind::Flag,
            "without effect: every droplet is in a VPC by now",
        )
        .env("DIGITALOCEAN_PRIVATE_NETWORKING")
        .default("false")
        .field("PrivateNetworking")
        .recorded(),
        OptionSpec::new(
            "tags",
            "digitalocean-tags",
            Kind::List,
            "tags of the droplet, beside the one it is found again by",
        )
        .env("DIGITALOCEAN_TAGS")
        .in_place(),
        OptionSpec::new(
            "userdata",
            "digitalocean-userdata",
            Kind::Path,
            "file with user data for cloud-init, which goes with what the machine needs itself",
        )
        .env("DIGITALOCEAN_USERDATA")
        .field("UserDataFile"),
        OptionSpec::new("endpoint", "digitalocean-endpoint", Kind::Text, "address of the API, for proxies and tests")
            .env("DIGITALOCEAN_API_URL")
            .default("https://api.digitalocean.com")
            .recorded(),
    ]
}

impl Options {
    /// Where the token is.
    pub(super) fn token(&self) -> Secret {
        self.access_token.clone().unwrap_or_else(|| Secret::Env(TOKEN.to_owned()))
    }

    /// The user's own tags. docker-machine took them in one text, with commas, blanks and empty ones.
    pub(super) fn tags(&self) -> Vec<&str> {
        let mut tags = Vec::new();
        for tag in
            self.tags.iter().flatten().flat_map(|tags| tags.split(',')).map(str::trim).filter(|tag| !tag.is_empty())
        {
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        tags
    }

    /// A key of the account that is to be used, if any.
    pub(super) fn fingerprint(&self) -> Option<&str> {
        given(self.ssh_key_fingerprint.as_deref())
    }

    /// Where the private half of that key is.
    pub(super) fn key(&self) -> Option<&str> {
        given(self.ssh_key.as_deref())
    }

    /// Where the API is.
    pub(super) fn url(&self) -> Result<Url, String> {
        let url: Url = self.endpoint.parse().map_err(|_| format!("`{}` is not a URL", self.endpoint))?;
        match (url.scheme(), url.host_str()) {
            ("https", Some(_)) => Ok(url),
            ("http", Some(host)) if is_here(host) => Ok(url),
            ("http", _) => Err("the token would be sent without TLS".to_owned()),
            _ => Err(format!("`{}` is not a URL", self.endpoint)),
        }
    }

    /// What is wrong with them together, and with single ones beyond their kind.
    pub(super) fn problems(&self) -> Vec<OptionProblem> {
        let mut problems = Vec::new();
        let mut problem = |key: &str, message: String, help: &str| {
            problems.push(OptionProblem { key: Some(key.to_owned()), message, help: Some(help.to_owned()) });
        };
        for (key, value, help) in [
            ("image", &self.image, "write a slug such as `debian-13-x64`"),
            ("region", &self.region, "write a slug such as `nyc3`"),
            ("size", &self.size, "write a slug such as `s-1vcpu-1gb`"),
        ] {
            if value.is_empty() || value.contains(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))) {
                problem(key, format!("`{value}` is no slug"), help);
            }
        }
        for tag in self.tags() {
            let legal = tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-:".contains(&b)) && tag.len() <= 255;
            if !legal {
                problem("tags", format!("`{tag}` is no tag"), "use letters, digits, `_`, `-` and `:`, at most 255");
            }
        }
        let user = &self.ssh_user;
        if user.is_empty()
            || user.starts_with('-')
            || !user.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
        {
            problem("ssh-user", format!("`{user}` is not a user"), "write a login name");
        }
        if self.key().is_some() && self.fingerprint().is_none() {
            let message = "a private key without the key of the account it belongs to".to_owned();
            problem("ssh-key", message, "give `ssh-key-fingerprint` too, or neither");
        }
        if let Some(fingerprint) = self.fingerprint()
            && !fingerprint.bytes().all(|b| b.is_ascii_hexdigit() || b == b':')
        {
            let help = "write it as `3b:16:bf:…`, which is what the provider's pages show, or its number";
            problem("ssh-key-fingerprint", format!("`{fingerprint}` is not a fingerprint"), help);
        }
        if let Err(message) = self.url() {
            problem("endpoint", message, "write `https://…`; plain `http://` only for this computer itself");
        }
        problems
    }
}

fn given(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

fn is_here(host: &str) -> bool {
    let bare = host.trim_matches(['[', ']']);
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::options;
    use serde_json::{Value, json};

    fn of(values: Value) -> Options {
        let given = serde_json::from_value(values).unwrap();
        serde_json::from_value(serde_json::to_value(options::with_defaults(&table(), &given)).unwrap()).unwrap()
    }

    #[test]
    fn the_defaults_are_legal() {
        assert_eq!(of(json!({})).problems(), []);
    }

    #[test]
    fn what_the_provider_would_refuse_is_refused_before() {
        for (values, key) in [
            (json!({"image": ""}), "image"),
            (json!({"region": "new york"}), "region"),
            (json!({"size": "s/1"}), "size"),
            (json!({"tags": ["a b"]}), "tags"),
            (json!({"ssh-user": "-x"}), "ssh-user"),
            (json!({"ssh-key": "/k"}), "ssh-key"),
            (json!({"ssh-key-fingerprint": "SHA256:abc/d"}), "ssh-key-fingerprint"),
            (json!({"endpoint": "http://api.example.com"}), "endpoint"),
            (json!({"endpoint": "ftp://127.0.0.1"}), "endpoint"),
            (json!({"endpoint": "here"}), "endpoint"),
        ] {
            let keys: Vec<_> = of(values).problems().into_iter().filter_map(|p| p.key).collect();
            assert_eq!(keys, [key]);
        }
        for here in ["http://127.0.0.1:4010", "http://[::1]:1", "http://localhost", "https://api.example.com/x"] {
            assert_eq!(of(json!({"endpoint": here})).problems(), [], "{here}");
        }
    }

    #[test]
    fn tags_are_read_as_docker_machine_did() {
        assert_eq!(of(json!({"tags": [" a", " b", "", "a"]})).tags(), ["a", "b"]);
        let one = of(json!({"tags": [" a, b,"]}));
        assert_eq!((one.tags(), one.problems()), (vec!["a", "b"], Vec::new()), "as its flag is given");
    }
}
