//! How a machine is reached: through ports of this computer, or at an address of its own.

use crate::digest::sha256_hex;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{fmt, net::IpAddr, net::Ipv4Addr};

/// Where the engine listens in the machine.
pub(super) const ENGINE: u16 = crate::engine::spec::TLS_PORT;

/// What the option `network` means.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Network {
    /// Behind this computer: ports of it lead in.
    User,
    /// On a bridge of this computer.
    Bridge(String),
    /// On a tap interface that is there.
    Tap(String),
}

impl Network {
    /// Pure. Reads the option.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let name = |name: &str| {
            // The kernel's own rule (IFNAMSIZ), and nothing that ends a word of qemu's.
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
            ((1..=15).contains(&name.len()) && name.bytes().all(plain)).then(|| name.to_owned())
        };
        let bad = || format!("`{}` is no network", text.escape_default());
        match text.split_once('=') {
            None if text == "user" => Ok(Self::User),
            Some(("bridge", of)) => name(of).map(Self::Bridge).ok_or_else(bad),
            Some(("tap", of)) => name(of).map(Self::Tap).ok_or_else(bad),
            _ => Err(bad()),
        }
    }
}

/// A port of this computer that leads to one of the machine.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Forward {
    /// Where to listen here.
    pub(super) address: Ipv4Addr,
    /// The port here.
    pub(super) here: u16,
    /// The port there.
    pub(super) there: u16,
    /// Whether it is UDP.
    pub(super) udp: bool,
}

impl Forward {
    /// A TCP port that only this computer reaches.
    pub(super) fn local(here: u16, there: u16) -> Self {
        Self { address: Ipv4Addr::LOCALHOST, here, there, udp: false }
    }

    /// Pure. Reads `HERE:THERE` or `ADDRESS:HERE:THERE`, with `/udp` at the end for UDP.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let bad = || format!("`{}` is no forwarded port", text.escape_default());
        let (rest, udp) = match text.strip_suffix("/udp") {
            Some(rest) => (rest, true),
            None => (text.strip_suffix("/tcp").unwrap_or(text), false),
        };
        let mut words = rest.rsplit(':');
        let mut port = || words.next()?.parse().ok().filter(|port: &u16| *port != 0);
        let (there, here) = (port().ok_or_else(bad)?, port().ok_or_else(bad)?);
        let address = match words.next() {
            None => Ipv4Addr::LOCALHOST,
            Some(text) => text.parse().map_err(|_| bad())?,
        };
        if words.next().is_some() { Err(bad()) } else { Ok(Self { address, here, there, udp }) }
    }
}

/// As qemu has it after `hostfwd=`.
impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, here, there, udp } = self;
        write!(f, "{}:{address}:{here}-:{there}", if *udp { "udp" } else { "tcp" })
    }
}

/// Address and prefix.
pub(super) fn cidr(text: &str) -> Option<(IpAddr, u8)> {
    let (address, prefix) = text.split_once('/')?;
    let (address, prefix): (IpAddr, u8) = (address.parse().ok()?, prefix.parse().ok()?);
    let most = if address.is_ipv4() { 32 } else { 128 };
    (prefix >= 1 && prefix <= most).then_some((address, prefix))
}

/// The hardware address of a machine: the same for as long as it lives, and unlike others on its bridge.
pub(super) fn mac(id: &str) -> String {
    let digest = sha256_hex(id.as_bytes());
    // qemu's own prefix.
    format!("52:54:00:{}:{}:{}", &digest[0..2], &digest[2..4], &digest[4..6])
}

/// `network-config` of a machine that does not ask by DHCP (cloud-init, "Networking config version 2"). JSON is YAML.
pub(super) fn config(mac: &str, address: &str, gateway: Option<&str>, dns: &[String]) -> String {
    let mut one = json!({ "match": { "macaddress": mac }, "addresses": [address] });
    if let Some(gateway) = gateway {
        let to = if gateway.contains(':') { "::/0" } else { "0.0.0.0/0" };
        one["routes"] = json!([{ "to": to, "via": gateway }]);
    }
    if !dns.is_empty() {
        one["nameservers"] = json!({ "addresses": dns });
    }
    format!("{}\n", json!({ "version": 2, "ethernets": { "net0": one } }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_user_or_an_interface_of_this_computer() {
        assert_eq!(Network::parse("user"), Ok(Network::User));
        assert_eq!(Network::parse("bridge=br0"), Ok(Network::Bridge("br0".to_owned())));
        assert_eq!(Network::parse("tap=tap-1"), Ok(Network::Tap("tap-1".to_owned())));
        for bad in ["", "nat", "bridge=", "tap=a,script=/tmp/x", "tap=0123456789abcdef", "user=x"] {
            assert!(Network::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_forwarded_port_is_local_unless_told_otherwise() {
        for (text, want) in [
            ("8080:80", Some("tcp:127.0.0.1:8080-:80")),
            ("0.0.0.0:53:53/udp", Some("udp:0.0.0.0:53-:53")),
            ("127.0.0.2:1:2/tcp", Some("tcp:127.0.0.2:1-:2")),
            ("80", None),
            ("0:80", None),
            ("a:1:2", None),
            ("1.2.3.4:1:2:3", None),
            ("1:2,restrict=off", None),
        ] {
            assert_eq!(Forward::parse(text).ok().map(|f| f.to_string()).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn an_address_needs_its_prefix() {
        for (text, legal) in [
            ("10.0.0.2/24", true),
            ("fd00::2/64", true),
            ("10.0.0.2", false),
            ("10.0.0.2/33", false),
            ("10.0.0.2/0", false),
        ] {
            assert_eq!(cidr(text).is_some(), legal, "{text}");
        }
    }

    #[test]
    fn a_machine_keeps_its_hardware_address() {
        assert_eq!(mac("web-1-9bc58ceb76"), mac("web-1-9bc58ceb76"));
        assert_ne!(mac("web-1-9bc58ceb76"), mac("web-2-9bc58ceb76"));
        assert_eq!(mac("x").len(), 17);
    }

    #[test]
    fn a_static_address_is_told_by_hardware_address() {
        let config = config("52:54:00:00:00:01", "10.0.0.2/24", Some("10.0.0.1"), &["9.9.9.9".to_owned()]);
        let config: serde_json::Value = serde_yaml::from_str(&config).unwrap();
        assert_eq!(config["ethernets"]["net0"]["routes"][0]["via"], "10.0.0.1");
        assert_eq!(config["ethernets"]["net0"]["nameservers"]["addresses"][0], "9.9.9.9");
    }
}
