//! What a machine printed on its serial console: the end of it for errors, and the address cloud-init tells there.

use super::place::Folder;
use std::{fs, net::IpAddr};

/// How many of the last lines an error shows.
const SHOWN: usize = 15;

/// All of it, as far as it is text.
pub(super) fn text(folder: &Folder) -> String {
    String::from_utf8_lossy(&fs::read(folder.console()).unwrap_or_default()).into_owned()
}

/// The last lines, for an error.
pub(super) fn tail(folder: &Folder) -> String {
    let text = text(folder);
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() {
        return format!("its console ({}) is empty", folder.console().display());
    }
    let last = lines[lines.len().saturating_sub(SHOWN)..].join("\n");
    format!("the end of its console ({}):\n{last}", folder.console().display())
}

/// Pure. The address of the interface with this hardware address, from the last table that cloud-init printed:
/// `ci-info: | eth0 | True | 192.168.1.7 | 255.255.255.0 | global | 52:54:00:… |`.
pub(super) fn address(text: &str, mac: &str) -> Option<IpAddr> {
    let rows = text.lines().rev().filter_map(|line| line.split_once("ci-info: |").map(|(_, row)| row));
    let mut found = None;
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, up, address, _, scope, hardware, ..] = cells[..] else { continue };
        if up != "True" || !hardware.eq_ignore_ascii_case(mac) || scope == "link" {
            continue;
        }
        let Ok(address) = address.split('/').next().unwrap_or_default().parse::<IpAddr>() else { continue };
        // An IPv4 address is what people expect; read backwards, the first one stands last.
        if address.is_ipv4() {
            return Some(address);
        }
        found = found.or(Some(address));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::files;

    const TABLE: &str = "\
[   70.02] cloud-init[266]: ci-info: ++++++++Net device info++++++++\r
[   70.03] cloud-init[266]: ci-info: | Device |  Up  |          Address           |      Mask     | Scope  |     Hw-Address    |\r
[   70.04] cloud-init[266]: ci-info: | enp0s3 | True |         192.168.1.7        | 255.255.255.0 | global | 52:54:00:12:34:56 |\r
[   70.04] cloud-init[266]: ci-info: | enp0s3 | True | fe80::5054:ff:fe12:3456/64 |       .       |  link  | 52:54:00:12:34:56 |\r
[   70.05] cloud-init[266]: ci-info: |   lo   | True |         127.0.0.1          |   255.0.0.0   |  host  |         .         |\r
[   70.07] cloud-init[266]: ci-info: |   0   |   0.0.0.0   | 192.168.1.1 |     0.0.0.0     |   enp0s3  |   UG  |\r
";

    #[test]
    fn the_address_is_that_of_the_machines_own_interface() {
        let mac = "52:54:00:12:34:56";
        assert_eq!(address(TABLE, mac), Some("192.168.1.7".parse().unwrap()));
        assert_eq!(address(&TABLE.replace("192.168.1.7 ", "fd00::7/64  "), mac), Some("fd00::7".parse().unwrap()));
        assert_eq!(
            address(&(TABLE.to_owned() + &TABLE.replace("1.7 ", "1.9 ")), mac),
            Some("192.168.1.9".parse().unwrap())
        );
        assert_eq!(address(TABLE, "52:54:00:00:00:00"), None);
        assert_eq!(address(&TABLE.replace("True", "False"), mac), None);
        assert_eq!(address("", mac), None);
    }

    #[test]
    fn an_error_shows_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::at("x", dir.path());
        assert!(tail(&folder).ends_with("is empty"));
        let lines: Vec<String> = (0..40).map(|n| format!("line {n}\r\n\r\n")).collect();
        files::write(&folder.console(), 0o600, lines.concat().as_bytes()).unwrap();
        let tail = tail(&folder);
        assert!(tail.ends_with("line 39") && tail.contains("\nline 25\n") && !tail.contains("line 24"), "{tail}");
    }
}
