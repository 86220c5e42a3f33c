//! What the provider refuses, and what a person is told of it.

use super::case::Case;
use crate::ocean::{Ocean, TOKEN};
use serde_json::json;
use std::{fs, process::Command};

pub(crate) async fn refused(ocean: &Ocean) {
    for (name, given, want) in [
        (
            "no-token",
            json!({ "access-token": { "env": "WRONG" } }),
            &["Unable to authenticate you (401", "export DIGITALOCEAN_ACCESS_TOKEN"][..],
        ),
        ("no-region", json!({ "region": "nyc2" }), &["invalid region", "use one of `nyc3`"]),
        (
            "shut-region",
            json!({ "region": "nyc1" }),
            &["invalid region", "region `nyc1` takes no droplets now", "`nyc3`"],
        ),
        ("no-size", json!({ "size": "s-1vcpu-3gb" }), &["invalid size", "use one of `s-1vcpu-"]),
        (
            "no-size-here",
            json!({ "size": "s-2vcpu-4gb", "region": "ams3" }),
            &["is not to be had in `ams3`", "`s-2vcpu-2gb`"],
        ),
        ("no-image", json!({ "image": "debian-11-x64" }), &["invalid image", "`debian-12-x64`"]),
        ("no-vpc", json!({ "vpc": "outside" }), &["no VPC `outside`", "in `nyc3` there are `default-nyc3`"]),
        ("vpc-elsewhere", json!({ "vpc": "inside" }), &["`inside` is in region `fra1`"]),
        ("no-key", json!({ "ssh-key-fingerprint": "3b:16:bf" }), &["no key with the fingerprint 3b:16:bf"]),
        ("no-data", json!({ "userdata": "/nowhere/data" }), &["/nowhere/data cannot be read", "correct `userdata`"]),
        ("odd-", json!({}), &["no name that ends as `odd-`"]),
    ] {
        let case = Case::new(ocean, name).given(given);
        let e = case.create().await.unwrap_err();
        assert!(!e.is_transient());
        let words = case.words(&e);
        println!("{words}\n");
        assert!(want.iter().all(|part| words.contains(part)), "{name}: {words}");
        case.nothing_left();
    }
    let case = Case::new(ocean, "vpc").given(json!({ "vpc": "inside", "region": "fra1", "image": "1002" }));
    case.create().await.unwrap();
    assert_eq!(case.one().asked["vpc_uuid"], "5a4981aa-9653-4bd1-bef5-d6bff5204002");
    assert_eq!(case.one().asked["image"], 1002);
    case.rm().await;
    let own = case.dir.path().join("own");
    fs::write(&own, vec![b'#'; 70 << 10]).unwrap();
    let case = Case::new(ocean, "large").given(json!({ "userdata": own }));
    fs::write(&own, format!("#!/bin/sh\n{}", "#".repeat(70 << 10))).unwrap();
    let e = case.create().await.unwrap_err();
    assert!(case.words(&e).contains("takes 64 KiB"), "{e}");
    case.nothing_left();
}

pub(crate) async fn full(ocean: &Ocean) {
    ocean.emulator.limit(0);
    let case = Case::new(ocean, "full");
    let e = case.create().await.unwrap_err();
    let words = case.words(&e);
    assert!(words.contains("exceed your droplet limit") && words.contains("ask for a higher limit"), "{words}");
    case.nothing_left();
}

/// `create` ends with 3 and leaves nothing, neither here nor there: not even a key was added.
pub(crate) fn before(ocean: &Ocean) {
    let (front, home) = (ocean.front(), tempfile::tempdir().unwrap());
    for (flags, want) in [
        (&["region=nyc2"][..], &["there is no region `nyc2`", "use one of `nyc3`"][..]),
        (&["region=nyc1"], &["`nyc1` takes no droplets now"]),
        (&["size=s-1vcpu-3gb"], &["there is no size", "use one of `s-1vcpu-"]),
        (&["size=s-2vcpu-4gb", "region=ams3"], &["not to be had in `ams3`"]),
        (&["image=debian-11-x64"], &["there is no image", "`debian-12-x64`"]),
        (&["image=4711"], &["there is no image `4711`"]),
        (&["vpc=outside"], &["no VPC `outside`"]),
        (&["ssh-key-fingerprint=3b:16:bf"], &["no key with the fingerprint"]),
        (&["access-token=dop_v1_wrong"], &["Unable to authenticate you", "export DIGITALOCEAN_ACCESS_TOKEN"]),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_machine"));
        command.env_clear().env("HOME", home.path()).env("MACHINE_STORAGE_PATH", home.path().join("store"));
        command.env("DIGITALOCEAN_API_URL", front.url()).env("DIGITALOCEAN_ACCESS_TOKEN", TOKEN);
        command.args(["create", "-d", "digitalocean"]);
        command.args(flags.iter().map(|flag| format!("--digitalocean-{flag}")));
        let out = command.arg("early").output().unwrap();
        let said = String::from_utf8(out.stderr).unwrap();
        println!("{said}");
        assert_eq!(out.status.code(), Some(3), "{flags:?}: {said}");
        let all = said.contains("pre-create check") && want.iter().all(|part| said.contains(part));
        assert!(all && !said.contains("dop_v1"), "{flags:?}: {said}");
        assert!(!home.path().join("store/machines/early").exists(), "{flags:?}: it is recorded");
    }
    assert!(front.seen().iter().all(|call| call.starts_with("GET ")), "{:?}", front.seen());
}
