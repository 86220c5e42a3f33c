//! What is found out before anything is recorded: `create` ends with 3 and leaves nothing, neither here nor there.

use crate::{
    host::Lab,
    moto::{
        proxy::{Fault, Which},
        ready,
    },
};
use std::process::{Command, Output};

fn create(lab: &Lab, home: &tempfile::TempDir, flags: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_machine"));
    command.env_clear().env("HOME", home.path()).env("MACHINE_STORAGE_PATH", home.path().join("store"));
    command.env("AWS_ENDPOINT_URL", lab.proxy.url()).env("AWS_EC2_METADATA_DISABLED", "true");
    command.env("AWS_ACCESS_KEY_ID", "AKIATEST").env("AWS_SECRET_ACCESS_KEY", "s");
    command.args(["create", "-d", "amazonec2"]).args(flags).arg("web-1").output().unwrap()
}

#[test]
fn what_the_provider_has_not_leaves_nothing_behind() {
    if !ready() {
        return;
    }
    let lab = Lab::get();
    let home = tempfile::tempdir().unwrap();
    let allow = ["--amazonec2-allow-cidr", "10.0.0.0/8"];
    for (flags, want) in [
        (&["--amazonec2-instance-type", "t3.gigantic"][..], "t3.micro"),
        (&["--amazonec2-ami", "ami-12345678"], "AMIs are of one region"),
        (&["--amazonec2-vpc-id", "vpc-12345678"], "give a `vpc-id` of this region"),
        (&["--amazonec2-subnet-id", "subnet-12345678"], "`subnet-id`"),
        (&["--amazonec2-zone", "x"], "us-east-1a"),
        (&["--amazonec2-security-group", "sg-12345678"], "VPC `vpc-"),
        (&["--amazonec2-keypair-name", "nobodys", "--amazonec2-ssh-keypath", "/dev/null"], "`keypair-name`"),
    ] {
        lab.fresh();
        let out = create(&lab, &home, &[&allow, flags].concat());
        let said = String::from_utf8(out.stderr).unwrap();
        println!("{said}");
        assert_eq!(out.status.code(), Some(3), "{flags:?}: {said}");
        assert!(said.contains("pre-create check") && said.contains(want), "{flags:?}: {said}");
        assert!(!home.path().join("store/machines/web-1").exists(), "{flags:?}: it is recorded");
        let asked = lab.proxy.actions();
        assert!(asked.iter().all(|action| action.starts_with("Describe")), "{flags:?}: {asked:?}");
        // The name is free: the next one may have it.
        lab.proxy.plan(vec![(Which::Action("DescribeInstances", 99), Fault::Says(403, "UnauthorizedOperation"))]);
        let out = create(&lab, &home, &allow);
        assert_eq!(out.status.code(), Some(1), "it is begun: {}", String::from_utf8_lossy(&out.stderr));
        let gone = Command::new("rm").arg("-r").arg(home.path().join("store/machines/web-1")).status().unwrap();
        assert!(gone.success());
    }
}
