//! One bridge for all machines of a base folder, with a subnet of its own and a way out through this computer.
//!
//! Callers hold [`Place::lock`], so that two processes never take the same subnet or address.

use super::{files, place::Place, program::Program, tree};
use crate::{driver::DriverError, fault};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fs, net::Ipv4Addr, path::Path};

/// A /24: its first three bytes.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Subnet([u8; 3]);

impl Subnet {
    fn host(self, last: u8) -> Ipv4Addr {
        let Self([a, b, c]) = self;
        Ipv4Addr::new(a, b, c, last)
    }

    /// The address of this computer on the bridge.
    pub(super) fn gateway(self) -> Ipv4Addr {
        self.host(1)
    }

    fn cidr(self) -> String {
        format!("{}/24", self.host(0))
    }

    /// The first address that no machine has; `None` when all 253 are taken.
    pub(super) fn free(self, taken: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
        (2..=254).map(|last| self.host(last)).find(|a| !taken.contains(a))
    }

    /// The first /24 of 10.210.0.0 to 10.240.255.255 that touches no route, starting at a place that
    /// depends on `seed`, so that bases which are all switched off rarely choose the same.
    fn choose(seed: u32, routes: &[Route]) -> Option<Self> {
        const COUNT: u32 = 31 * 256;
        (0..COUNT).find_map(|step| {
            let n = (seed % COUNT + step) % COUNT;
            let subnet = Self([10, 210 + u8::try_from(n / 256).ok()?, u8::try_from(n % 256).ok()?]);
            routes.iter().all(|r| !r.touches(subnet)).then_some(subnet)
        })
    }
}

/// A line of /proc/net/route.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Route {
    interface: String,
    destination: u32,
    mask: u32,
}

impl Route {
    /// Numbers there are hexadecimal and in the byte order of the network, printed as those of this computer.
    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let number = |i: usize| Some(u32::from_be(u32::from_str_radix(fields.get(i)?, 16).ok()?));
        Some(Self { interface: (*fields.first()?).to_owned(), destination: number(1)?, mask: number(7)? })
    }

    fn is_default(&self) -> bool {
        self.mask == 0
    }

    fn touches(&self, subnet: Subnet) -> bool {
        let both = self.mask & 0xffff_ff00;
        !self.is_default() && u32::from(subnet.host(0)) & both == self.destination & both
    }
}

fn routes() -> Result<Vec<Route>, DriverError> {
    let text = files::read(Path::new("/proc/net/route"))?.unwrap_or_default();
    Ok(text.lines().skip(1).filter_map(Route::parse).collect())
}

/// The subnet of this base: the one it has, or a free one, which is written down.
pub(super) fn subnet(place: &Place) -> Result<Subnet, DriverError> {
    let path = place.network();
    if let Some(text) = files::read(&path)? {
        return serde_json::from_str(&text).map_err(|e| DriverError::Refused {
            doing: format!("reading {}", path.display()),
            why: e.to_string(),
            help: "remove that file when no machine of that folder is left".to_owned(),
        });
    }
    let seed = u32::from_str_radix(place.bridge().trim_start_matches("mbr-"), 16).unwrap_or_default();
    let subnet = Subnet::choose(seed, &routes()?).ok_or_else(|| DriverError::Unprepared {
        what: "no subnet from 10.210.0.0 to 10.240.255.255 is free: this computer has routes to all of them".to_owned(),
        help: "remove routes that are not needed:\n  ip route".to_owned(),
    })?;
    files::write(&path, 0o600, serde_json::to_string(&subnet).expect("bytes are JSON").as_bytes())?;
    Ok(subnet)
}

/// Rules that let machines out and their answers in. FORWARD is needed where a firewall (Docker's, for one) drops.
fn rules(bridge: &str, subnet: Subnet) -> [Vec<String>; 3] {
    let cidr = subnet.cidr();
    let comment = format!("machine {bridge}");
    let rule = |words: &[&str]| -> Vec<String> {
        words.iter().chain(&["-m", "comment", "--comment", &comment]).map(|w| (*w).to_owned()).collect()
    };
    [
        rule(&["nat", "POSTROUTING", "-s", &cidr, "!", "-d", &cidr, "-j", "MASQUERADE"]),
        rule(&["filter", "FORWARD", "-i", bridge, "-j", "ACCEPT"]),
        rule(&["filter", "FORWARD", "-o", bridge, "-j", "ACCEPT"]),
    ]
}

fn iptables(verb: &str, rule: &[String], doing: &str) -> Program {
    // `-w`: wait while another program holds the tables.
    Program::new("iptables", doing).args(["-w", "-t", &rule[0], verb]).args(&rule[1..])
}

fn interface(name: &str) -> std::path::PathBuf {
    Path::new("/sys/class/net").join(name)
}

/// Makes the bridge, its address and its rules, whatever of them is there already.
pub(super) async fn up(place: &Place, subnet: Subnet) -> Result<(), DriverError> {
    let bridge = place.bridge();
    if let Some(other) = routes()?.iter().find(|r| r.interface != bridge && r.touches(subnet)) {
        return Err(DriverError::Unprepared {
            what: format!("the machines' subnet {} is now in use by interface `{}`", subnet.cidr(), other.interface),
            help: format!("take that address from the interface:\n  ip addr show dev {}", other.interface),
        });
    }
    let mut batch = String::new();
    if !interface(&bridge).exists() {
        batch = format!("link add dev {bridge} type bridge\n");
    }
    batch = format!("{batch}address replace {}/24 dev {bridge}\nlink set dev {bridge} up\n", subnet.gateway());
    Program::new("ip", format!("making the bridge {bridge}")).args(["-batch", "-"]).run(&batch).await?;
    let forward = Path::new("/proc/sys/net/ipv4/ip_forward");
    if files::read(forward)?.is_none_or(|v| v.trim() == "0") {
        tree::put(forward, "1").map_err(files::because("writing", forward))?;
    }
    let doing = format!("letting the machines on {bridge} reach out");
    for rule in rules(&bridge, subnet) {
        if !iptables("-C", &rule, &doing).holds().await? {
            iptables("-I", &rule, &doing).run("").await?;
        }
    }
    Ok(())
}

/// Removes bridge, rules and the note of the subnet, whatever of them is there.
pub(super) async fn down(place: &Place) -> Result<(), DriverError> {
    let bridge = place.bridge();
    if files::read(&place.network())?.is_some() {
        let doing = format!("taking away the rules of {bridge}");
        for rule in rules(&bridge, subnet(place)?) {
            while iptables("-C", &rule, &doing).holds().await? {
                iptables("-D", &rule, &doing).run("").await?;
            }
        }
    }
    unplug(&bridge).await?;
    match fault::point("nspawn.forget", place.network()).and_then(|()| fs::remove_file(place.network())) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(files::because("removing", &place.network())(e)),
        _ => Ok(()),
    }
}

/// Removes an interface, if it is there. The kernel removes those of a killed machine by itself, a little later.
pub(super) async fn unplug(name: &str) -> Result<(), DriverError> {
    if !interface(name).exists() {
        return Ok(());
    }
    let removed =
        Program::new("ip", format!("removing the interface {name}")).args(["link", "del", name]).run("").await;
    // It may have gone by itself meanwhile.
    if interface(name).exists() { removed.map(drop) } else { Ok(()) }
}

/// The largest packet, in bytes, that leaves this computer in one piece.
pub(super) fn mtu() -> Result<u32, DriverError> {
    let out = routes()?.into_iter().find(Route::is_default).map(|r| interface(&r.interface).join("mtu"));
    let text = out.map(|path| files::read(&path)).transpose()?.flatten().unwrap_or_default();
    Ok(text.trim().parse().unwrap_or(1500).min(1500))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(line: &str) -> Route {
        Route::parse(line).unwrap()
    }

    #[test]
    fn routes_are_read_as_the_kernel_prints_them() {
        // As printed on little-endian computers, which is what this reads with.
        let r = route("eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0");
        #[cfg(target_endian = "little")]
        assert_eq!(r.destination, u32::from(Ipv4Addr::new(192, 0, 2, 0)));
        assert!(!r.is_default());
        assert!(route("eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0").is_default());
        assert_eq!(Route::parse("Iface Destination"), None);
    }

    #[test]
    fn a_subnet_touches_no_route_and_a_default_route_is_no_hindrance() {
        let to = |a: [u8; 4], bits: u32| Route {
            interface: "x".to_owned(),
            destination: u32::from(Ipv4Addr::from(a)),
            mask: u32::MAX.checked_shl(32 - bits).unwrap_or(0),
        };
        let case = |seed: u32, routes: &[Route], want: Option<[u8; 3]>| {
            assert_eq!(Subnet::choose(seed, routes), want.map(Subnet), "{seed} {routes:?}");
        };
        case(0, &[to([0, 0, 0, 0], 0)], Some([10, 210, 0]));
        case(0, &[to([10, 210, 0, 0], 24)], Some([10, 210, 1]));
        case(0, &[to([10, 210, 0, 128], 25)], Some([10, 210, 1]));
        case(0, &[to([10, 210, 0, 0], 15)], Some([10, 212, 0]));
        case(31 * 256 - 1, &[], Some([10, 240, 255]));
        case(31 * 256 - 1, &[to([10, 240, 255, 7], 32)], Some([10, 210, 0]));
        case(5, &[to([10, 0, 0, 0], 8)], None);
    }

    #[test]
    fn the_first_free_address_is_given_until_all_are_taken() {
        let subnet = Subnet([10, 210, 3]);
        let mut taken = BTreeSet::new();
        while let Some(address) = subnet.free(&taken) {
            assert!(taken.insert(address) && address != subnet.gateway());
        }
        assert_eq!(taken.len(), 253);
        taken.remove(&Ipv4Addr::new(10, 210, 3, 9));
        assert_eq!(subnet.free(&taken), Some(Ipv4Addr::new(10, 210, 3, 9)));
    }
}
