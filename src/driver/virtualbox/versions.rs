//! What VirtualBox of different versions says, and that it is understood (`tests/golden/virtualbox`).

use super::{
    computer,
    hostonly::{Cidr, field, serves, with_address},
    info::{Info, State, records},
    manage::{Failure, lines, without_warning},
};
use crate::driver::DriverError;
use std::{collections::BTreeMap, path::Path};

/// What one version says.
struct Version {
    number: (u32, u32),
    told: &'static str,
    showvminfo: &'static str,
    interfaces: &'static str,
    servers: &'static str,
    errors: &'static str,
}

macro_rules! said {
    ($major:literal, $minor:literal, $what:literal) => {
        include_str!(concat!("../../../tests/golden/virtualbox/", $major, ".", $minor, "/", $what, ".txt"))
    };
}

macro_rules! version {
    ($major:literal, $minor:literal) => {
        Version {
            number: ($major, $minor),
            told: said!($major, $minor, "version"),
            showvminfo: said!($major, $minor, "showvminfo"),
            interfaces: said!($major, $minor, "hostonlyifs"),
            servers: said!($major, $minor, "dhcpservers"),
            errors: said!($major, $minor, "errors"),
        }
    };
}

const ALL: [Version; 4] = [version!(5, 2), version!(6, 1), version!(7, 0), version!(7, 2)];

impl Version {
    /// What it says of something that went wrong; nothing where it does not know of that.
    fn error(&self, what: &str) -> Option<Failure> {
        let (_, rest) = self.errors.split_once(&format!("# {what}\n"))?;
        let said = rest.split("# ").next().unwrap_or_default().to_owned();
        Some(Failure { doing: "x".to_owned(), said })
    }
}

#[test]
fn each_says_its_version_whatever_stands_before_it() {
    for v in ALL {
        assert_eq!(computer::parse(computer::last(&without_warning(v.told))), Some(v.number));
        assert!(!without_warning(v.told).contains("WARNING"), "{:?}", v.number);
    }
}

#[test]
fn each_says_the_same_of_a_vm() {
    for v in ALL {
        let info = Info::parse(v.showvminfo);
        assert_eq!(info.uuid(), "6ba7b810-9dad-41d1-80b4-00c04fd430c8", "{:?}", v.number);
        assert_eq!(info.state(), State::Off, "{:?}", v.number);
        assert_eq!(info.settings(), Some(Path::new("/store/machines/web/web/web.vbox")));
        assert_eq!(info.log().as_deref(), Some(Path::new("/store/machines/web/web/Logs/VBox.log")));
        assert_eq!((info.ssh_port(), info.hostonly()), (Some(2222), Some((2, "vboxnet0"))));
        assert_eq!(info.mac(2).as_deref(), Some("08:00:27:69:1f:1e"));
        assert!(info.has_controller("SATA") && !info.has_controller("IDE"));
        assert_eq!(info.media().collect::<Vec<_>>(), ["/store/machines/web/seed.iso", "/store/machines/web/disk.vdi"]);
        assert_eq!((info.medium("SATA", 1), info.medium("SATA", 2)), (Some("/store/machines/web/disk.vdi"), None));
        assert_eq!(info.shares(), BTreeMap::from([("hosthome", "/home")]));
        assert_eq!((info.number("memory"), info.number("cpus")), (Some(1024), Some(1)));
    }
}

#[test]
fn each_lists_interfaces_and_servers_in_its_own_way() {
    let cidr = |text: &str| Cidr::parse(text).unwrap();
    for v in ALL {
        let listed = records(v.interfaces);
        assert_eq!(with_address(&listed, cidr("192.168.56.1/24")).unwrap().as_deref(), Some("vboxnet0"));
        assert_eq!(with_address(&listed, cidr("192.168.60.1/24")).unwrap(), None);
        let servers = records(v.servers);
        assert_eq!(field(&servers[0], "networkname"), "HostInterfaceNetworking-vboxnet0", "{:?}", v.number);
        assert!(serves(&servers[0], cidr("192.168.56.1/24"), true), "{:?}", v.number);
        assert!(!serves(&servers[0], cidr("192.168.60.1/24"), true), "another network");
        assert!(!serves(&servers[0], cidr("192.168.56.1/25"), true), "another mask");
        let off = records(&v.servers.replace("Enabled:        Yes", "Enabled:        No"));
        assert!(!serves(&off[0], cidr("192.168.56.1/24"), true), "it is off");
        assert!(serves(&off[0], cidr("192.168.56.1/24"), false));
    }
}

#[test]
fn what_went_wrong_is_told_apart_and_has_a_next_step() {
    for v in ALL {
        for what in ["absent by name", "absent by UUID"] {
            assert!(v.error(what).unwrap().is_absent(), "{:?}: {what}", v.number);
        }
        assert!(!v.error("locked").unwrap().is_absent());
        let person = |what: &str| DriverError::from(v.error(what).unwrap());
        let locked = person("locked");
        assert!(locked.help().unwrap().contains("close its window") && !locked.is_transient(), "{locked}");
        assert!(!locked.to_string().contains("Context:"), "{locked}");
        assert!(person("no virtualization").help().unwrap().contains("firmware"), "{:?}", v.number);
        assert!(person("lost").is_transient());
        assert_eq!(lines(&v.error("not ready").unwrap().said), "The object is not ready");
        // Since 6.1.28 not every network is allowed.
        assert_eq!(v.error("not allowed").is_some(), v.number >= (6, 1));
        if let Some(refused) = v.error("not allowed") {
            assert!(DriverError::from(refused).help().unwrap().contains("/etc/vbox/networks.conf"));
        }
    }
}
