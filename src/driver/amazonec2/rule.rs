//! Who may reach which port: the rules of a security group. Pure.

use super::{options::Options, query::Params, xml::Element};
use std::{collections::BTreeSet, net::IpAddr};

/// One rule: an address range may reach one port.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Rule {
    /// `tcp` or `udp`.
    pub(super) protocol: String,
    /// The port.
    pub(super) port: u16,
    /// From where, in its normal form.
    pub(super) from: String,
}

/// The port of an engine with TLS.
const ENGINE: u16 = 2376;

/// The rules that the options ask for.
pub(super) fn wanted(options: &Options) -> BTreeSet<Rule> {
    let mut ports = vec![("tcp".to_owned(), options.ssh_port)];
    if options.engine_open {
        ports.push(("tcp".to_owned(), ENGINE));
    }
    ports.extend(options.open_port.iter().flatten().filter_map(|text| port(text).ok()));
    let from: Vec<String> = options.allow().iter().filter_map(|text| cidr(text).ok()).collect();
    let rules = ports.iter().flat_map(|(protocol, port)| {
        from.iter().map(|from| Rule { protocol: protocol.clone(), port: *port, from: from.clone() })
    });
    rules.collect()
}

/// `8080` or `53/udp`.
pub(super) fn port(text: &str) -> Result<(String, u16), String> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    match (number.trim().parse::<u16>(), protocol.as_str()) {
        (Ok(1..), "tcp" | "udp") => Ok((protocol, number.trim().parse().expect("it was a number above"))),
        (Ok(1..), _) => Err("has a protocol that is neither `tcp` nor `udp`".to_owned()),
        _ => Err("is no port from 1 to 65535".to_owned()),
    }
}

/// An address range in its normal form, which is how EC2 gives it back: without bits of a single host.
pub(super) fn cidr(text: &str) -> Result<String, String> {
    let no = || Err("is no range of addresses".to_owned());
    let Some((address, bits)) = text.trim().split_once('/') else {
        let one = text.trim().parse::<IpAddr>().is_ok();
        return if one { Err("does not say how much of it counts".to_owned()) } else { no() };
    };
    let (Ok(address), Ok(bits)) = (address.parse::<IpAddr>(), bits.parse::<u32>()) else { return no() };
    let base = match address {
        IpAddr::V4(v4) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            IpAddr::from(std::net::Ipv4Addr::from_bits(v4.to_bits() & mask))
        }
        IpAddr::V6(v6) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            IpAddr::from(std::net::Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
        _ => return Err("has more bits than an address".to_owned()),
    };
    Ok(format!("{base}/{bits}"))
}

/// The single-port rules of a group, from an item of `DescribeSecurityGroups`.
pub(super) fn present(group: &Element) -> BTreeSet<Rule> {
    let mut rules = BTreeSet::new();
    for permission in group.items("ipPermissions") {
        let protocol = permission.text("ipProtocol");
        let ports = (permission.text("fromPort").parse::<u16>(), permission.text("toPort").parse::<u16>());
        let (Ok(first), Ok(last)) = ports else { continue };
        if first != last {
            continue;
        }
        let v4 = permission.items("ipRanges").map(|range| range.text("cidrIp"));
        let v6 = permission.items("ipv6Ranges").map(|range| range.text("cidrIpv6"));
        for from in v4.chain(v6).filter_map(|from| cidr(from).ok()) {
            rules.insert(Rule { protocol: protocol.to_owned(), port: first, from });
        }
    }
    rules
}

/// Adds rules to a call of `AuthorizeSecurityGroupIngress` or `RevokeSecurityGroupIngress`.
pub(super) fn into_params<'a>(mut params: Params, rules: impl IntoIterator<Item = &'a Rule>) -> Params {
    for (n, rule) in rules.into_iter().enumerate() {
        let at = format!("IpPermissions.{}", n + 1);
        let port = rule.port.to_string();
        let range = if rule.from.contains(':') { "Ipv6Ranges.1.CidrIpv6" } else { "IpRanges.1.CidrIp" };
        params = params
            .with(format!("{at}.IpProtocol"), &rule.protocol)
            .with(format!("{at}.FromPort"), &port)
            .with(format!("{at}.ToPort"), &port)
            .with(format!("{at}.{range}"), &rule.from);
    }
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_brought_to_the_form_in_which_they_come_back() {
        for (text, want) in [
            ("203.0.113.7/32", Ok("203.0.113.7/32")),
            (" 10.1.2.3/8", Ok("10.0.0.0/8")),
            ("0.0.0.0/0", Ok("0.0.0.0/0")),
            ("2001:db8::1/32", Ok("2001:db8::/32")),
            ("::/0", Ok("::/0")),
            ("203.0.113.7", Err("does not say how much of it counts")),
            ("10.0.0.0/33", Err("has more bits than an address")),
            ("world", Err("is no range of addresses")),
            ("/8", Err("is no range of addresses")),
        ] {
            assert_eq!(cidr(text), want.map(str::to_owned).map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn ports_are_read_as_docker_machine_reads_them_but_for_nonsense() {
        assert_eq!(port("8080"), Ok(("tcp".to_owned(), 8080)));
        assert_eq!(port("53/UDP"), Ok(("udp".to_owned(), 53)));
        for wrong in ["", "0", "65536", "http", "80/icmp", "80-90"] {
            assert!(port(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rules_of_a_group_are_those_for_one_port() {
        let text = "<item><ipPermissions><item><ipProtocol>tcp</ipProtocol><fromPort>22</fromPort><toPort>22</toPort>\
            <ipRanges><item><cidrIp>10.0.0.0/8</cidrIp></item><item><cidrIp>192.0.2.1/32</cidrIp></item></ipRanges>\
            <ipv6Ranges><item><cidrIpv6>2001:DB8::/32</cidrIpv6></item></ipv6Ranges></item>\
            <item><ipProtocol>tcp</ipProtocol><fromPort>80</fromPort><toPort>90</toPort></item>\
            <item><ipProtocol>-1</ipProtocol></item></ipPermissions></item>";
        let rules = present(&Element::parse(text).unwrap());
        let from: Vec<&str> = rules.iter().map(|rule| rule.from.as_str()).collect();
        assert_eq!(from, ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"]);
    }
}
