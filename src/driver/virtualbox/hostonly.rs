//! The network of this computer and its machines: an interface of VirtualBox's, with a DHCP server on it.

use super::{hostonlynet, info::records, manage::Manage};
use crate::driver::DriverError;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::Ipv4Addr,
};

/// An address of this computer, and how much of it is the network's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Cidr {
    address: Ipv4Addr,
    prefix: u8,
}

impl Cidr {
    /// Reads `192.168.60.1/24`.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not an address in a network");
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let cidr =
            Self { address: address.parse().map_err(|_| wrong())?, prefix: prefix.parse().map_err(|_| wrong())? };
        if !(8..=29).contains(&cidr.prefix) {
            return Err(format!("a network of /{} has no room for machines, or far too much", cidr.prefix));
        }
        if cidr.address == cidr.network() || cidr.address == cidr.last() {
            return Err(format!("`{address}` is the network itself, and not an address in it"));
        }
        Ok(cidr)
    }

    pub(super) fn mask(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(u32::MAX << (32 - u32::from(self.prefix)))
    }

    pub(super) fn network(self) -> Ipv4Addr {
        self.address & self.mask()
    }

    pub(super) fn address(self) -> Ipv4Addr {
        self.address
    }

    fn last(self) -> Ipv4Addr {
        self.address | !self.mask()
    }

    fn holds(self, address: Ipv4Addr) -> bool {
        address & self.mask() == self.network()
    }

    /// The DHCP server's own address, and the first and last that it gives away.
    pub(super) fn dhcp(self) -> [Ipv4Addr; 3] {
        let at = |n: u32| Ipv4Addr::from_bits(self.network().to_bits() + n);
        let own = self.address.to_bits() - self.network().to_bits();
        let server = if own == 2 { 3 } else { 2 };
        if self.prefix <= 24 {
            // As docker-machine has it; where this computer is in that range, the other half.
            let (first, last) = if (100..=254).contains(&own) { (10, 99) } else { (100, 254) };
            return [at(server), at(first), at(last)];
        }
        let most = self.last().to_bits() - self.network().to_bits() - 1;
        let (first, last) = if own < 4 { (4, most) } else { (server + 1, own - 1) };
        [at(server), at(first), at(last)]
    }
}

/// An interface, as VirtualBox lists it.
pub(super) type Listed = BTreeMap<String, String>;

pub(super) fn field<'a>(record: &'a Listed, key: &str) -> &'a str {
    record.get(key).map_or("", String::as_str)
}

/// The interface with our address. VirtualBox on macOS has shown a mask of `15.0.0.0` for any.
pub(super) fn with_address(interfaces: &[Listed], cidr: Cidr) -> Result<Option<String>, DriverError> {
    let address = cidr.address.to_string();
    let mut ours = interfaces.iter().filter(|i| field(i, "ipaddress") == address);
    let Some(first) = ours.next() else { return Ok(None) };
    if let Some(second) = ours.next() {
        return Err(DriverError::Refused {
            doing: format!("looking for the host-only network {address}"),
            why: format!("{} and {} both have this address", field(first, "name"), field(second, "name")),
            help: format!("remove one of them:\n  VBoxManage hostonlyif remove {}", field(second, "name")),
        });
    }
    let mask = field(first, "networkmask");
    if mask != cidr.mask().to_string() && mask != "15.0.0.0" {
        return Err(DriverError::Refused {
            doing: format!("using the host-only interface {}", field(first, "name")),
            why: format!("it has the address {address} with the mask {mask}, and not {}", cidr.mask()),
            help: "give `hostonly-cidr` an address of another network".to_owned(),
        });
    }
    Ok(Some(field(first, "name").to_owned()))
}

/// An interface of this computer that is none of VirtualBox's and is in our network already (`/proc/net/route`).
fn conflict(routes: &str, interfaces: &[Listed], cidr: Cidr) -> Option<String> {
    let own: BTreeSet<&str> = interfaces.iter().map(|i| field(i, "name")).collect();
    let taken = routes.lines().skip(1).find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let hex = |n: usize| u32::from_str_radix(words.get(n)?, 16).ok().map(u32::swap_bytes);
        let (name, network, mask) = (*words.first()?, hex(1)?, hex(7)?);
        // A default route conflicts with no network.
        (mask != 0 && network == cidr.network().to_bits() && !own.contains(name)).then_some(name)
    });
    taken.map(str::to_owned)
}

/// Makes sure of the network; what a VM's card is plugged into.
pub(super) async fn ensure(
    manage: &Manage,
    cidr: Cidr,
    dhcp: bool,
    progress: &(dyn Fn(&str) + Send + Sync),
) -> Result<Plug, DriverError> {
    if networks(manage).await? {
        return hostonlynet::ensure(manage, cidr, dhcp).await.map(Plug::Network);
    }
    let doing = "looking at host-only networks";
    let interfaces = records(&manage.ask(doing, &["list", "hostonlyifs"]).await?);
    let name = if let Some(name) = with_address(&interfaces, cidr)? {
        let noted = value(&manage.ask(doing, &["getextradata", "global", &note(cidr)]).await?);
        if noted.is_some_and(|noted| noted != name && made(&noted, &interfaces).as_ref() == Some(&name)) {
            // The run that made it was killed before it could say so, and rm would leave it.
            manage.run(doing, &["setextradata", "global", &note(cidr), &name]).await?;
        }
        name
    } else {
        let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
        if let Some(other) = conflict(&routes, &interfaces, cidr) {
            return Err(DriverError::Refused {
                doing: format!("making the host-only network {}/{}", cidr.network(), cidr.prefix),
                why: format!("the interface `{other}` of this computer is in that network already"),
                help: "give `hostonly-cidr` an address of another network, as `192.168.61.1/24`".to_owned(),
            });
        }
        interface(manage, &interfaces, cidr, progress).await?
    };
    serve(manage, &name, cidr, dhcp).await?;
    Ok(Plug::Interface(name))
}

/// Whether VirtualBox has networks here, and no interfaces. Only where it may be is it asked for its version.
async fn networks(manage: &Manage) -> Result<bool, DriverError> {
    let os = std::env::consts::OS;
    Ok(hostonlynet::instead(os, u32::MAX) && hostonlynet::instead(os, manage.major().await?))
}

/// What a VM's card is plugged into.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Plug {
    /// An interface of this computer.
    Interface(String),
    /// A network, as VirtualBox 7 has on macOS.
    Network(String),
}

/// Where it is noted which interfaces were there before one was made, and which one that was.
fn note(cidr: Cidr) -> String {
    format!("machine/hostonly/{}", cidr.network())
}

/// The interface that we made, by what was noted: its name, or the only one that was not there before.
fn made(noted: &str, listed: &[Listed]) -> Option<String> {
    let Some(before) = noted.strip_prefix("before:") else { return Some(noted.to_owned()) };
    let before: BTreeSet<&str> = before.split(',').collect();
    let mut new = listed.iter().map(|i| field(i, "name")).filter(|name| !before.contains(name));
    let first = new.next()?;
    // Of two it is unknown which.
    new.next().is_none().then(|| first.to_owned())
}

/// Makes an interface. A run that was killed on the way has left one that is taken now.
async fn interface(
    manage: &Manage,
    before: &[Listed],
    cidr: Cidr,
    progress: &(dyn Fn(&str) + Send + Sync),
) -> Result<String, DriverError> {
    let doing = format!("making the host-only network {}/{}", cidr.network(), cidr.prefix);
    let names = |list: &[Listed]| list.iter().map(|i| field(i, "name").to_owned()).collect::<BTreeSet<_>>();
    let known = value(&manage.ask(&doing, &["getextradata", "global", &note(cidr)]).await?);
    let abandoned = known.filter(|noted| noted.starts_with("before:")).and_then(|noted| made(&noted, before));
    let name = if let Some(name) = abandoned {
        name
    } else {
        progress("making a host-only network");
        let old = names(before).into_iter().collect::<Vec<_>>().join(",");
        manage.run(&doing, &["setextradata", "global", &note(cidr), &format!("before:{old}")]).await?;
        let said = manage.run(&doing, &["hostonlyif", "create"]).await?;
        let told = said.split_once("Interface '").and_then(|(_, rest)| rest.split_once('\'')).map(|(name, _)| name);
        if let Some(name) = told {
            name.to_owned()
        } else {
            let after = records(&manage.ask(&doing, &["list", "hostonlyifs"]).await?);
            let new = names(&after).difference(&names(before)).next().cloned();
            new.ok_or_else(|| DriverError::Refused {
                doing: doing.clone(),
                why: "VirtualBox made an interface and does not show it".to_owned(),
                help: "restart VirtualBox's services, or this computer".to_owned(),
            })?
        }
    };
    let (address, mask) = (cidr.address.to_string(), cidr.mask().to_string());
    let set = ["hostonlyif", "ipconfig", &name, "--ip", &address, "--netmask", &mask];
    if let Err(failure) = manage.run(&doing, &set).await {
        let outside = failure.says("E_ACCESSDENIED") || failure.says("Access denied");
        // It has an address VirtualBox chose; it will not be asked for again.
        let _ = manage.run(&doing, &["hostonlyif", "remove", &name]).await;
        let _ = manage.run(&doing, &["setextradata", "global", &note(cidr)]).await;
        if outside {
            let network = format!("{}/{}", cidr.network(), cidr.prefix);
            return Err(DriverError::Refused {
                doing,
                why: format!("VirtualBox does not allow the network {network} on this computer"),
                help: format!(
                    "give `hostonly-cidr` an address inside 192.168.56.0/21, as `192.168.60.1/24`; or allow the network, as \
                     administrator:\n  mkdir -p /etc/vbox && echo '* {network}' >> /etc/vbox/networks.conf"
                ),
            });
        }
        return Err(failure.into());
    }
    manage.run(&doing, &["setextradata", "global", &note(cidr), &name]).await?;
    Ok(name)
}

/// What `getextradata` printed.
pub(super) fn value(said: &str) -> Option<String> {
    said.lines().find_map(|line| line.strip_prefix("Value: ")).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty())
}

/// The DHCP server of an interface, as asked for. One that serves our network already stays as it is.
async fn serve(manage: &Manage, interface: &str, cidr: Cidr, dhcp: bool) -> Result<(), DriverError> {
    let doing = format!("setting up DHCP on {interface}");
    let name = format!("HostInterfaceNetworking-{interface}");
    let servers = records(&manage.ask(&doing, &["list", "dhcpservers"]).await?);
    let verb = match servers.iter().find(|server| field(server, "networkname") == name) {
        None => "add",
        Some(server) if serves(server, cidr, dhcp) => return Ok(()),
        Some(_) => "modify",
    };
    let [ip, lower, upper] = cidr.dhcp().map(|address| address.to_string());
    let mask = cidr.mask().to_string();
    let switch = if dhcp { "--enable" } else { "--disable" };
    let args = ["dhcpserver", verb, "--netname", &name, "--ip", &ip, "--netmask", &mask, "--lowerip", &lower];
    let args: Vec<&str> = args.into_iter().chain(["--upperip", &upper, switch]).collect();
    manage.run(&doing, &args).await?;
    Ok(())
}

pub(super) fn serves(server: &Listed, cidr: Cidr, dhcp: bool) -> bool {
    let ip = ["dhcpd ip", "ip"].iter().map(|key| field(server, key)).find(|ip| !ip.is_empty()).unwrap_or_default();
    let inside = ip.parse().is_ok_and(|ip| cidr.holds(ip));
    inside && field(server, "networkmask") == cidr.mask().to_string() && (field(server, "enabled") == "Yes") == dhcp
}

/// Takes away an interface that we made, if no VM is plugged into it any more.
pub(super) async fn tidy(manage: &Manage, cidr: Cidr) -> Result<(), DriverError> {
    if networks(manage).await? {
        return hostonlynet::tidy(manage, cidr).await;
    }
    let doing = "removing the host-only network";
    let Some(noted) = value(&manage.ask(doing, &["getextradata", "global", &note(cidr)]).await?) else {
        return Ok(());
    };
    let listed = records(&manage.ask(doing, &["list", "hostonlyifs"]).await?);
    let Some(name) = made(&noted, &listed) else {
        manage.run(doing, &["setextradata", "global", &note(cidr)]).await?;
        return Ok(());
    };
    let all = manage.ask(doing, &["list", "-l", "vms"]).await?;
    if uses(&all, &name) {
        return Ok(());
    }
    // Other VMs, of other users' stores too, may still come to use it until it is gone; they make one anew.
    let _ = manage.run(doing, &["dhcpserver", "remove", "--netname", &format!("HostInterfaceNetworking-{name}")]).await;
    match manage.run(doing, &["hostonlyif", "remove", &name]).await {
        Err(failure) if !failure.says("could not be found") => return Err(failure.into()),
        _ => {}
    }
    manage.run(doing, &["setextradata", "global", &note(cidr)]).await?;
    Ok(())
}

/// Whether a VM in the long list is plugged into the interface.
fn uses(long_list: &str, interface: &str) -> bool {
    long_list.contains(&format!("Host-only Interface '{interface}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        Cidr::parse(text).unwrap()
    }

    #[test]
    fn an_address_in_a_network_is_neither_the_network_nor_its_last() {
        for bad in ["", "192.168.60.1", "192.168.60.0/24", "192.168.60.255/24", "x/24", "192.168.60.1/31", "10.0.0.1/3"]
        {
            assert!(Cidr::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(cidr("192.168.60.1/21").network(), Ipv4Addr::new(192, 168, 56, 0));
    }

    #[test]
    fn dhcp_gives_away_what_nobody_has() {
        let case = |text: &str| cidr(text).dhcp().map(|a| a.octets()[3]);
        assert_eq!(case("192.168.60.1/24"), [2, 100, 254]);
        assert_eq!(case("192.168.60.2/24"), [3, 100, 254]);
        assert_eq!(case("192.168.60.101/24"), [2, 10, 99]);
        assert_eq!(case("192.168.60.1/28"), [2, 4, 14]);
        assert_eq!(case("192.168.60.14/28"), [2, 3, 13]);
    }

    #[test]
    fn the_interface_with_our_address_is_taken_and_two_of_them_are_a_problem() {
        let listed = records(include_str!("../../../tests/golden/virtualbox/7.2/hostonlyifs.txt"));
        assert_eq!(with_address(&listed, cidr("192.168.56.1/24")).unwrap().as_deref(), Some("vboxnet0"));
        assert_eq!(with_address(&listed, cidr("192.168.60.1/24")).unwrap(), None);
        assert!(with_address(&listed, cidr("192.168.56.1/25")).is_err(), "another mask");
        let twice = [listed.clone(), listed].concat();
        assert!(with_address(&twice, cidr("192.168.56.1/24")).is_err());
    }

    #[test]
    fn another_interface_in_our_network_is_a_conflict() {
        let routes = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
                      eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                      br0\t003CA8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        assert_eq!(conflict(routes, &[], cidr("192.168.60.1/24")).as_deref(), Some("br0"));
        assert_eq!(conflict(routes, &[], cidr("192.168.61.1/24")), None);
        let own = BTreeMap::from([("name".to_owned(), "br0".to_owned())]);
        assert_eq!(conflict(routes, &[own], cidr("192.168.60.1/24")), None);
    }

    #[test]
    fn an_interface_is_ours_by_name_or_when_it_is_the_only_new_one() {
        let listed = |names: &[&str]| {
            names.iter().map(|name| BTreeMap::from([("name".to_owned(), (*name).to_owned())])).collect::<Vec<_>>()
        };
        assert_eq!(made("vboxnet3", &[]).as_deref(), Some("vboxnet3"));
        assert_eq!(made("before:", &listed(&["vboxnet0"])).as_deref(), Some("vboxnet0"));
        assert_eq!(made("before:vboxnet0", &listed(&["vboxnet0", "vboxnet1"])).as_deref(), Some("vboxnet1"));
        assert_eq!(made("before:vboxnet0", &listed(&["vboxnet0"])), None);
        assert_eq!(made("before:", &listed(&["vboxnet0", "vboxnet1"])), None);
    }

    /// Its address is set before it is noted whose it is: a run that was killed between has left it without an owner.
    #[tokio::test]
    async fn an_interface_whose_maker_was_killed_is_taken_over_and_goes() {
        use crate::driver::virtualbox::manage::tests::played;
        let dir = tempfile::tempdir().unwrap();
        let listed = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/virtualbox/7.0/hostonlyifs.txt");
        let script = format!("case \"$*\" in 'list hostonlyifs') cat {listed};; getextra*) echo Value: before:;; esac");
        let (manage, calls) = played(dir.path(), &script);
        let cidr = cidr("192.168.56.1/24");
        assert_eq!(ensure(&manage, cidr, true, &|_| ()).await.unwrap(), Plug::Interface("vboxnet0".to_owned()));
        let noted = "setextradata global machine/hostonly/192.168.56.0 vboxnet0".to_owned();
        assert!(calls().contains(&noted), "{:?}", calls());
        tidy(&manage, cidr).await.unwrap();
        assert!(calls().contains(&"hostonlyif remove vboxnet0".to_owned()), "{:?}", calls());
    }

    #[test]
    fn what_was_noted_is_read() {
        assert_eq!(value("Value: vboxnet1\n").as_deref(), Some("vboxnet1"));
        assert_eq!(value("No value set!\n"), None);
        let list = "NIC 2:  MAC: 080027691F1E, Attachment: Host-only Interface 'vboxnet1', Cable connected: on";
        assert!(uses(list, "vboxnet1") && !uses(list, "vboxnet"));
    }
}
