//! The network of this computer and its machines as VirtualBox 7 has it on macOS: no interface of its own, and its
//! addresses are given away by itself.

use super::{
    hostonly::{Cidr, Listed, field},
    info::records,
    manage::Manage,
};
use crate::driver::DriverError;

/// Whether this computer's VirtualBox has networks and no interfaces.
pub(super) fn instead(os: &str, major: u32) -> bool {
    os == "macos" && major >= 7
}

/// Ours, by what it is called.
fn name(cidr: Cidr) -> String {
    format!("machine-{}", cidr.network())
}

/// All there are. A record has an empty line within it, which parts records everywhere else.
fn parse(said: &str) -> Vec<Listed> {
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    records(&lines.join("\n"))
}

/// Makes sure of the network; its name.
pub(super) async fn ensure(manage: &Manage, cidr: Cidr, dhcp: bool) -> Result<String, DriverError> {
    let doing = "setting up the host-only network";
    let name = name(cidr);
    let listed = parse(&manage.ask(doing, &["list", "hostonlynets"]).await?);
    let [_, lower, upper] = cidr.dhcp().map(|address| address.to_string());
    // This computer takes the first address; the rest is given away.
    let lower = if dhcp { cidr.address().to_string() } else { lower };
    let mask = cidr.mask().to_string();
    let verb = match listed.iter().find(|net| field(net, "name") == name) {
        None => "add",
        Some(net) => {
            let wanted = [("state", "Enabled"), ("networkmask", &mask), ("lowerip", &lower), ("upperip", &upper)];
            if wanted.into_iter().all(|(key, value)| field(net, key) == value) {
                return Ok(name);
            }
            "modify"
        }
    };
    let [called, mask] = [format!("--name={name}"), format!("--netmask={mask}")];
    let [lower, upper] = [format!("--lower-ip={lower}"), format!("--upper-ip={upper}")];
    manage.run(doing, &["hostonlynet", verb, &called, &mask, &lower, &upper, "--enable"]).await?;
    Ok(name)
}

/// Takes it away, if no VM is plugged into it any more.
pub(super) async fn tidy(manage: &Manage, cidr: Cidr) -> Result<(), DriverError> {
    let doing = "removing the host-only network";
    let name = name(cidr);
    let listed = parse(&manage.ask(doing, &["list", "hostonlynets"]).await?);
    if !listed.iter().any(|net| field(net, "name") == name)
        || uses(&manage.ask(doing, &["list", "-l", "vms"]).await?, &name)
    {
        return Ok(());
    }
    manage.run(doing, &["hostonlynet", "remove", &format!("--name={name}")]).await?;
    Ok(())
}

/// Whether a card of a VM in the long list is plugged into it.
fn uses(long_list: &str, name: &str) -> bool {
    long_list.lines().any(|line| line.starts_with("NIC ") && line.contains(&format!("'{name}'")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::{files, virtualbox::manage::tests::played};

    #[test]
    fn only_virtualbox_7_on_macos_has_networks_instead_of_interfaces() {
        assert!(instead("macos", 7) && instead("macos", 8));
        assert!(!instead("macos", 6) && !instead("linux", 7) && !instead("windows", 7));
    }

    #[test]
    fn an_empty_line_parts_no_network() {
        let listed = parse(include_str!("../../../tests/golden/virtualbox/7.0/hostonlynets.txt"));
        let all: Vec<_> =
            listed.iter().map(|net| (field(net, "name"), field(net, "state"), field(net, "lowerip"))).collect();
        assert_eq!(
            all,
            [("machine-192.168.60.0", "Enabled", "192.168.60.1"), ("HostNetwork", "Disabled", "192.168.56.1")]
        );
    }

    #[tokio::test]
    async fn a_network_is_made_once_corrected_and_goes_with_its_last_vm() {
        let dir = tempfile::tempdir().unwrap();
        let listed = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/virtualbox/7.0/hostonlynets.txt");
        let vms = dir.path().join("vms");
        let script =
            format!("case \"$*\" in 'list hostonlynets') cat {listed};; 'list -l vms') cat {};; esac", vms.display());
        let (manage, calls) = played(dir.path(), &script);
        let cidr = |text: &str| Cidr::parse(text).unwrap();
        assert_eq!(ensure(&manage, cidr("192.168.60.1/24"), true).await.unwrap(), "machine-192.168.60.0");
        ensure(&manage, cidr("192.168.60.1/25"), true).await.unwrap();
        ensure(&manage, cidr("192.168.61.1/24"), true).await.unwrap();
        files::write(&vms, 0o600, b"NIC 2:  MAC: 0800, Attachment: Host Only Network 'machine-192.168.60.0', x")
            .unwrap();
        tidy(&manage, cidr("192.168.60.1/24")).await.unwrap();
        files::write(&vms, 0o600, b"Name: 'machine-192.168.60.0'\n").unwrap();
        tidy(&manage, cidr("192.168.60.1/24")).await.unwrap();
        tidy(&manage, cidr("192.168.61.1/24")).await.unwrap();
        let changes: Vec<_> = calls().into_iter().filter(|call| !call.starts_with("list")).collect();
        assert_eq!(
            changes,
            [
                "hostonlynet modify --name=machine-192.168.60.0 --netmask=255.255.255.128 --lower-ip=192.168.60.1 --upper-ip=192.168.60.126 --enable",
                "hostonlynet add --name=machine-192.168.61.0 --netmask=255.255.255.0 --lower-ip=192.168.61.1 --upper-ip=192.168.61.254 --enable",
                "hostonlynet remove --name=machine-192.168.60.0",
            ]
        );
    }
}
