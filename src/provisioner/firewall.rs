//! Letting the engine's port through a firewall on the host: only when told to, else a word of advice.

use super::{Difference, Facts, Op, facts::Firewall};
use crate::{
    engine::{Api, EngineSpec},
    quote::Sh,
};

/// What to tell a person whose firewall keeps clients from the engine; `None` when nothing is in the way or when
/// the engine's script opens the port itself.
#[must_use]
pub fn firewall_advice(facts: &Facts, want: &EngineSpec) -> Option<String> {
    let firewall = closed(facts, want)?;
    let port = want.port;
    Some(match firewall {
        _ if want.open_firewall && opens(firewall) => return None,
        Firewall::Ufw => {
            format!("ufw keeps port {port} closed; set `open-firewall: true`, or on the host:\n  ufw allow {port}/tcp")
        }
        Firewall::Firewalld => format!(
            "firewalld keeps port {port} closed; set `open-firewall: true`, or on the host:\n  firewall-cmd --permanent --add-port={port}/tcp && firewall-cmd --reload"
        ),
        Firewall::Nftables => format!(
            "rules of nftables or iptables seem to keep port {port} closed; add to the chain that drops:\n  tcp dport {port} accept"
        ),
    })
}

fn closed(facts: &Facts, want: &EngineSpec) -> Option<Firewall> {
    facts.firewall.filter(|_| want.api == Api::Tls && !facts.firewall_open)
}

/// Rules of nftables have no place where one more could be put but by their author.
fn opens(firewall: Firewall) -> bool {
    matches!(firewall, Firewall::Ufw | Firewall::Firewalld)
}

pub(super) fn difference(facts: &Facts, want: &EngineSpec) -> Option<Difference> {
    let firewall = closed(facts, want).filter(|firewall| want.open_firewall && opens(*firewall))?;
    Some(Difference {
        what: format!("{firewall} for port {}", want.port),
        found: Some("closed".to_owned()),
        wanted: Some("open".to_owned()),
    })
}

pub(super) fn op(facts: &Facts, want: &EngineSpec) -> Option<Op> {
    difference(facts, want)?;
    let port = format!("{}/tcp", want.port);
    let run = match facts.firewall? {
        Firewall::Ufw => Sh::template("ufw allow {}", &[&port]),
        // Not by --reload, which would drop the rules of running containers.
        Firewall::Firewalld => {
            let port = format!("--add-port={port}");
            Sh::template("firewall-cmd {}\nfirewall-cmd --permanent {}", &[&port, &port])
        }
        Firewall::Nftables => return None,
    };
    Some(Op::new(format!("open port {} in {}", want.port, facts.firewall?), run))
}
