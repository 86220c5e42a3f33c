//! Driver `virtualbox` with versions of VirtualBox that are not here: a program plays them (`tests/lab/virtualbox/play`),
//! takes only the words that version takes, and answers in its words (`tests/golden/virtualbox`).

use super::{host::Host, sshd};
use crate::{full::full, lab};
use serde_json::json;
use std::fs;

const PROGRAMS: [&str; 2] = ["isoinfo", "sshd"];
const VERSIONS: [&str; 4] = ["5.2", "6.1", "7.0", "7.2"];

/// All calls that change something, without what differs from run to run.
fn changes(host: &Host, uuid: &str) -> String {
    let calls = host.computer.calls().replace(uuid, "UUID").replace(&host.lab.path("").display().to_string(), "/lab/");
    let asks = ["showvminfo", "list", "getextradata", "closemedium", "showmediuminfo"];
    let lines = calls.lines().filter(|line| !asks.iter().any(|ask| line.starts_with(ask)));
    let plain = |line: &str| match line.split_once("ssh,tcp,127.0.0.1,") {
        Some((head, _)) => format!("{head}ssh,tcp,127.0.0.1,PORT,,22"),
        None => line.to_owned(),
    };
    lines.map(plain).collect::<Vec<_>>().join("\n")
}

#[test]
fn each_version_is_spoken_to_in_words_it_knows_through_a_whole_life() {
    if !lab::ready(&PROGRAMS) {
        return;
    }
    for version in VERSIONS {
        let mut host = Host::playing(version);
        let folder = host.lab.path("data");
        fs::create_dir_all(&folder).unwrap();
        host.more.insert("no-share".to_owned(), json!("false"));
        host.more.insert("share-folder".to_owned(), json!(format!("{}:data", folder.display())));
        let web = host.create("web");
        assert_eq!(web.address, sshd::ADDRESS, "{version}");
        assert_eq!(host.done("find", "web", None).instance, Some(web.clone()), "{version}");
        assert_eq!(host.create("web"), web, "{version}: creating twice is creating once");
        host.done("stop", "web", Some(&web));
        assert_eq!(host.power("web", &web), "Stopped", "{version}");
        host.done("start", "web", Some(&web));
        host.done("kill", "web", Some(&web));
        host.more.insert("memory".to_owned(), json!("2048"));
        host.more.insert("disk-size".to_owned(), json!("96"));
        host.done("change", "web", Some(&web));
        host.done("start", "web", Some(&web));
        assert_eq!(host.vms().info(&web.id)["memory"], "2048", "{version}");
        host.done("rm", "web", Some(&web));
        host.done("rm", "web", Some(&web));
        assert_eq!(host.power("web", &web), "Gone", "{version}");
        for kept in ["played", "interfaces", "servers", "extra"] {
            let left: Vec<_> = fs::read_dir(host.lab.path(kept)).unwrap().flatten().map(|e| e.file_name()).collect();
            assert!(left.is_empty(), "{version}: {kept} {left:?}");
        }
        // Others have less to set up.
        #[cfg(target_arch = "x86_64")]
        insta::assert_snapshot!(format!("calls_{version}"), changes(&host, &web.id));
    }
}

/// Since 6.1.28 only some networks are allowed; before, all are.
#[test]
fn a_network_is_refused_only_by_versions_that_refuse_it() {
    if !lab::ready(&PROGRAMS) {
        return;
    }
    for version in VERSIONS {
        let mut host = Host::playing(version);
        host.more.insert("hostonly-cidr".to_owned(), json!("192.168.99.1/24"));
        let answer = host.ask("create", "web", None);
        let interfaces = host.vms().list(&["list", "hostonlyifs"]);
        if version == "5.2" {
            assert_eq!(answer.error, "", "{version}");
            assert!(interfaces.contains("IPAddress:       192.168.99.1\n"), "{interfaces}");
            host.done("rm", "web", answer.instance.as_ref());
        } else {
            assert!(answer.help.contains("/etc/vbox/networks.conf"), "{version}: {answer:?}");
            assert_eq!(interfaces, "", "{version}: none is left behind");
            host.done("rm", "web", answer.checkpoints.first());
        }
    }
}

/// Killed at any point, a run leaves what the next one finds and goes on with, or what goes with the rest.
#[test]
fn wherever_create_is_killed_there_is_one_vm_and_then_none() {
    if !lab::ready(&PROGRAMS) {
        return;
    }
    let every = if full() { 1 } else { 30 };
    Host::playing("6.1").killed_everywhere(every);
}
