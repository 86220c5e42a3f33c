//! What is found out before anything is recorded: `create` ends with 3 and leaves nothing, neither here nor there.

use super::{host::Lab, program::Home};
use crate::moto::{
    proxy::{Fault, Which},
    ready,
};
#[test]
fn what_the_provider_has_not_leaves_nothing_behind() {
    if !ready() {
        return;
    }
    let lab = Lab::get();
    let home = Home::new();
    let words = ["create", "-d", "amazonec2", "--amazonec2-allow-cidr", "10.0.0.0/8"];
    let environment = [("AWS_ACCESS_KEY_ID", "AKIATEST"), ("AWS_SECRET_ACCESS_KEY", "s")];
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
        let said = home.machine(&lab.proxy, &[&words, flags, &["web-1"]].concat(), &environment);
        println!("{}", said.text);
        let told = said.text.contains("pre-create check") && said.text.contains(want);
        assert!(said.code == 3 && told, "{flags:?}: {}", said.text);
        assert!(!home.path("store/machines/web-1").exists(), "{flags:?}: it is recorded");
        let asked = lab.proxy.actions();
        assert!(asked.iter().all(|action| action.starts_with("Describe")), "{flags:?}: {asked:?}");
    }
    // The name is free, and what is refused later is as it was.
    lab.proxy.plan(vec![(Which::Action("DescribeInstances", 99), Fault::Says(403, "UnauthorizedOperation"))]);
    let said = home.machine(&lab.proxy, &[&words[..], &["web-1"]].concat(), &environment);
    assert!(said.code == 1 && home.path("store/machines/web-1").exists(), "{}", said.text);
}
