//! Driver `amazonec2` from `machine create` to a running container: what moto starts is a host of this computer with real
//! cloud-init, at the instance's private address and with its user data.

use crate::{
    cloud_host::Cloud,
    lab::{self, Lab, Said},
    moto::{
        self, Moto,
        proxy::{Fault, Proxy, Which, text},
        texts,
    },
};
use base64::{Engine, prelude::BASE64_STANDARD};
use std::{fs, process::Command, sync::Arc, thread};

const CANARY: &str = "canary-of-a-secret-key";

/// Lets hosts of the cloud do what is done to instances.
fn follow(proxy: &Proxy, moto: &Arc<Moto>, cloud: &Arc<Cloud>) {
    let (moto, cloud) = (Arc::clone(moto), Arc::clone(cloud));
    proxy.hook(move |action, answer| {
        let ids = texts(answer, "instanceId");
        for id in &ids {
            match action {
                "RunInstances" => {
                    let ask = format!("Action=DescribeInstanceAttribute&InstanceId={id}&Attribute=userData");
                    let answered = moto.ec2(&ask);
                    let user_data = text(answered.split("<userData>").nth(1).unwrap(), "value");
                    let address = text(answer, "privateIpAddress").parse().unwrap();
                    cloud.boot(id, address, &BASE64_STANDARD.decode(user_data.trim()).unwrap());
                }
                "StopInstances" => cloud.stop(id),
                "StartInstances" => cloud.start(id),
                "TerminateInstances" => cloud.remove(id),
                _ => {}
            }
        }
        // It is answered at once, with no names; there is one instance.
        if action == "RebootInstances" {
            let (cloud, ids) = (Arc::clone(&cloud), moto.instances(""));
            thread::spawn(move || ids.iter().for_each(|id| cloud.reboot(id)));
        }
    });
}

#[test]
fn from_nothing_to_a_container_and_back() {
    if !lab::ready(&["docker", "busybox"]) || !moto::ready() {
        return;
    }
    let (cloud, moto, lab) = (Arc::new(Cloud::golden()), Arc::new(Moto::start()), Lab::new());
    let proxy = Proxy::start(moto.port);
    follow(&proxy, &moto, &cloud);
    let vpc = text(&moto.ec2(&format!("Action=CreateVpc&CidrBlock={}", cloud.cidr())), "vpcId");
    moto.ec2(&format!("Action=CreateSubnet&VpcId={vpc}&CidrBlock={}&AvailabilityZone=us-east-1b", cloud.cidr()));
    let run = |args: &[&str]| {
        let mut command: Command = lab.command(env!("CARGO_BIN_EXE_machine"));
        command.env("AWS_ENDPOINT_URL", proxy.url()).env("AWS_ACCESS_KEY_ID", "AKIATEST");
        let out = command.env("AWS_SECRET_ACCESS_KEY", CANARY).args(args).output().unwrap();
        let said = Said::of(&out);
        println!("$ machine {}\n{}{}", args.join(" "), said.out, said.err);
        assert!(!said.out.contains(CANARY) && !said.err.contains(CANARY), "{said:?}");
        said
    };

    // A fleet. The answer to its call for an instance is lost.
    proxy.plan(vec![(Which::Action("RunInstances", 1), Fault::After)]);
    let fleet = |kind: &str| {
        let text = format!(
            "fleet: shop\nhosts:\n  web:\n    driver: amazonec2\n    vpc-id: {vpc}\n    use-private-address: true\n    \
             private-ip-address: {}\n    instance-type: {kind}\n    allow: [{}]\n    image: debian-13\n    \
             ssh-user: admin\n    userdata: {}\n",
            cloud.address(77),
            cloud.cidr(),
            lab.file("user-data", "#!/bin/sh\necho mine > /etc/mine\n")
        );
        lab.file("fleet.yaml", &text)
    };
    let file = fleet("t3.small");
    run(&["apply", "-y", &file]).ok().says("1 converged");
    assert!(proxy.hit());
    assert_eq!(moto.instances("").len(), 1, "one, always");
    lab.tiny_image("web");
    lab.docker("web", &["run", "--rm", "tiny", "echo", "hello"]).ok().says("hello");
    lab.docker("web", &["run", "-d", "--name", "kept", "--restart", "always", "tiny", "sleep", "9999"]).ok();
    run(&["apply", "-y", &file]).ok().says("Nothing to do");
    run(&["plan", "--detailed-exitcode", &file]).ok();
    run(&["ssh", "web", "--", "cat", "/etc/mine"]).ok().says("mine");

    // Another type, in place: the machine is stopped and started, and what ran runs again.
    let file = fleet("t3.large");
    run(&["plan", &file]).ok().says("instance-type");
    run(&["apply", "-y", &file]).ok().says("1 converged");
    assert_eq!(text(&moto.ec2("Action=DescribeInstances"), "instanceType"), "t3.large");
    run(&["apply", "-y", &file]).ok().says("Nothing to do");
    lab.docker("web", &["ps"]).ok().says("kept");
    run(&["stop", "web"]).ok();
    run(&["ls"]).ok().says("Stopped");
    run(&["start", "web"]).ok();
    run(&["status", "web"]).ok().says("Running");
    // It is another boot when `restart` says that it is done, and what ran runs again.
    let boot = || run(&["ssh", "web", "--", "cat", "/proc/sys/kernel/random/boot_id"]).ok().out;
    let before = boot();
    assert_eq!(boot(), before);
    run(&["restart", "web"]).ok();
    assert_ne!(boot(), before);
    assert!(proxy.actions().iter().any(|action| action == "RebootInstances"), "{:?}", proxy.actions());
    lab.docker("web", &["ps"]).ok().says("kept");
    run(&["destroy", "-y", &file]).ok();
    moto.assert_empty("", "after destroy");

    // Without a fleet, as docker-machine did it: the world is let in, and a person is told so.
    let mut old = lab.docker_machine();
    old.env("AWS_ENDPOINT_URL", proxy.url()).env("AWS_ACCESS_KEY_ID", "AKIATEST").env("AWS_SECRET_ACCESS_KEY", CANARY);
    old.args(["create", "-d", "amazonec2", "--amazonec2-vpc-id", &vpc, "--amazonec2-zone", "b"]);
    let said = Said::of(&old.args(["--amazonec2-use-private-address", "one"]).output().unwrap());
    println!("{}{}", said.out, said.err);
    said.ok().says("open to the whole world");
    lab.docker("one", &["version", "--format", "{{.Server.Os}}"]).ok().says("linux");
    assert_eq!(moto.rules("docker-machine"), ["22 0.0.0.0/0", "2376 0.0.0.0/0"]);
    let config = fs::read_to_string(lab.store().join("machines/one/config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["Driver"]["InstanceId"], moto.instances("").concat());
    assert_eq!((&config["Driver"]["InstanceType"], &config["Driver"]["Zone"]), (&"t2.micro".into(), &"b".into()));
    assert!(!config.to_string().contains(CANARY));
    run(&["rm", "-y", "one"]).ok();
    moto.assert_empty("", "after rm");
}
