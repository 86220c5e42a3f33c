//! The whole life of an instance, and what it may be made of.

use super::host::{CANARY, Host, Lab, STORE, run};
use crate::moto::{
    proxy::{Fault, Which, text},
    ready, texts,
};
use machine::{driver::PowerAction, record::Power};
use serde_json::json;
use std::{fs, process::Command};

#[test]
fn an_instance_has_a_whole_life_and_leaves_nothing() {
    if !ready() {
        return;
    }
    let lab = Lab::get();
    let mut host = Host::new(&lab.proxy, json!({ "tags": "team,web", "open-port": ["8080", "53/udp"] }));
    run(async {
        assert_eq!(host.find().await.unwrap(), None);
        let made = host.create().await.unwrap();
        assert_eq!(host.recorded().unwrap().id, made.id, "kept before anything else");
        assert_eq!(lab.moto.instances(""), std::slice::from_ref(&made.id));
        assert!(!made.address.is_empty() && made.host_keys.len() == 1);
        assert_eq!(host.find().await.unwrap().as_ref(), Some(&made), "found with nothing recorded, its host key too");
        assert_eq!(host.create().await.unwrap(), made, "creating twice is creating once");
        assert_eq!(host.power(&made).await.unwrap(), Power::Running);

        let answer = lab.moto.ec2("Action=DescribeInstances");
        assert_eq!(text(&answer, "imageId"), "ami-0ub2404new", "the newest, of the publisher");
        assert_eq!(text(&answer, "httpTokens"), "required");
        assert!(answer.contains("<key>team</key>") && answer.contains(&format!("<value>{STORE}/shop/web-1</value>")));
        let user_data =
            lab.moto.ec2(&format!("Action=DescribeInstanceAttribute&InstanceId={}&Attribute=userData", made.id));
        assert!(user_data.contains("userData"), "{user_data}");
        let group = lab.moto.groups("").concat();
        let from = "203.0.113.7/32";
        let rules = ["22", "2376", "53", "8080"].map(|port| format!("{port} {from}"));
        assert_eq!(lab.moto.rules(&group), rules);

        let stopped = host.act(&made, PowerAction::Stop).await.unwrap();
        assert_eq!(host.power(&made).await.unwrap(), Power::Stopped);
        assert_eq!(host.act(&stopped, PowerAction::Stop).await.unwrap(), stopped, "stopping what is off");
        let started = host.act(&stopped, PowerAction::Start).await.unwrap();
        assert!(!started.address.is_empty(), "addresses change, and are learnt");
        assert_eq!((&started.host_keys, &started.id), (&made.host_keys, &made.id));
        host.act(&started, PowerAction::Kill).await.unwrap();
        assert_eq!(host.act(&started, PowerAction::Restart).await.unwrap().id, made.id);
        assert_eq!(host.power(&made).await.unwrap(), Power::Running);

        host.set("instance-type", json!("t3.large"));
        host.set("tags", json!("team,db,cost,7"));
        host.set("allow", json!(["203.0.113.7/32", "10.0.0.0/8"]));
        host.set("engine-open", json!(false));
        host.set("open-port", json!([]));
        host.set("root-size", json!(32));
        host.set("monitoring", json!(true));
        // moto has no such calls.
        let monitor = || vec![(Which::Action("MonitorInstances", 1), Fault::Says(200, ""))];
        lab.proxy.plan(monitor());
        let changed = host.change(&started).await.unwrap();
        assert!(lab.proxy.hit(), "monitoring was switched on");
        let answer = lab.moto.ec2("Action=DescribeInstances");
        assert_eq!(text(&answer, "instanceType"), "t3.large");
        assert!(answer.contains("<value>db</value>") && answer.contains("<key>cost</key>"));
        // What the options say no longer goes, from all that was tagged; what was put there by hand stays.
        lab.moto.ec2(&format!("Action=CreateTags&ResourceId.1={}&Tag.1.Key=by-hand&Tag.1.Value=1", made.id));
        lab.proxy.plan([vec![(Which::Action("DeleteTags", 1), Fault::After)], monitor()].concat());
        host.set("tags", json!("team,db,Name,front"));
        let renamed = host.change(&changed).await.unwrap();
        assert!(lab.proxy.hit());
        let tagged = |key: &str| {
            let answer = lab.moto.ec2(&format!("Action=DescribeTags&Filter.1.Name=key&Filter.1.Value.1={key}"));
            texts(&answer, "resourceType").concat() + &texts(&answer, "value").concat()
        };
        assert_eq!((tagged("cost"), tagged("by-hand")), (String::new(), "instance1".to_owned()));
        assert_eq!(tagged("team"), "instancenetwork-interfacevolumedb");
        assert_eq!(tagged("Name"), "instancekey-pairnetwork-interfacesecurity-groupvolumefrontweb-1");
        host.set("tags", json!("team,db"));
        lab.proxy.plan(monitor());
        let changed = host.change(&renamed).await.unwrap();
        assert_eq!(tagged("Name"), "instancekey-pairnetwork-interfacesecurity-groupvolumeweb-1", "its own again");
        assert_eq!(lab.moto.rules(&group), ["22 10.0.0.0/8", "22 203.0.113.7/32"]);
        assert_eq!(host.power(&made).await.unwrap(), Power::Running, "it runs again");
        lab.proxy.plan(monitor());
        host.change(&changed).await.unwrap();
        let asked: Vec<String> = lab.proxy.actions().into_iter().filter(|a| !a.starts_with("Describe")).collect();
        // moto knows neither the state of monitoring nor that a volume has grown.
        let asked: Vec<&String> = asked.iter().filter(|a| *a != "MonitorInstances" && *a != "ModifyVolume").collect();
        assert!(asked.is_empty(), "what is as it should be is left alone: {asked:?}");

        host.rm(&changed).await.unwrap();
        lab.moto.assert_empty("", "after rm");
        host.rm(&changed).await.unwrap();
        assert_eq!(host.power(&changed).await.unwrap(), Power::Gone);
    });
    assert!(!host.told().contains(CANARY));
    for entry in fs::read_dir(&host.dir).unwrap() {
        assert!(!fs::read_to_string(entry.unwrap().path()).unwrap().contains(CANARY));
    }
}

/// Pain 25: a user's own group is never changed, and the world is let in only when an option says so.
#[test]
fn groups_of_others_are_left_alone_and_ours_go_with_their_last_user() {
    if !ready() {
        return;
    }
    let lab = Lab::get();
    let vpc = text(&lab.moto.ec2("Action=DescribeVpcs"), "vpcId");
    lab.moto.ec2(&format!("Action=CreateSecurityGroup&GroupName=theirs&GroupDescription=d&VpcId={vpc}"));
    run(async {
        let theirs = Host::new(&lab.proxy, json!({ "security-group": ["theirs"], "allow": ["0.0.0.0/0"] }));
        let made = theirs.create().await.unwrap();
        assert_eq!(lab.moto.rules("theirs"), Vec::<String>::new(), "never edited");
        assert!(theirs.told().contains("`theirs` is not ours to edit, and allows no connection to 22/tcp, 2376/tcp"));
        assert!(theirs.told().contains("open to the whole world"), "{}", theirs.told());
        theirs.rm(&made).await.unwrap();
        assert_eq!(lab.moto.groups(""), ["theirs"]);

        let given = |allow: &str| json!({ "security-group": ["shared"], "allow": [allow] });
        let one = Host::named("web-1", &lab.proxy, given("10.0.0.0/8"));
        let two = Host::named("web-2", &lab.proxy, given("192.0.2.0/24"));
        let (first, second) = (one.create().await.unwrap(), two.create().await.unwrap());
        assert_eq!(
            lab.moto.rules("shared"),
            ["22 10.0.0.0/8", "22 192.0.2.0/24", "2376 10.0.0.0/8", "2376 192.0.2.0/24"],
            "what several share is added to"
        );
        // moto would remove a group that is in use.
        lab.proxy.plan(vec![(Which::Action("DeleteSecurityGroup", 1), Fault::Says(400, "DependencyViolation"))]);
        one.rm(&first).await.unwrap();
        assert!(lab.proxy.hit());
        assert_eq!(lab.moto.groups(""), ["shared", "theirs"], "it is in use");
        two.rm(&second).await.unwrap();
        assert_eq!(lab.moto.groups(""), ["theirs"]);

        let quiet = Host::new(&lab.proxy, json!({ "security-group": ["theirs"], "security-group-readonly": true }));
        let made = quiet.create().await.unwrap();
        quiet.rm(&made).await.unwrap();
    });
}

#[test]
fn an_existing_key_pair_a_fixed_address_and_a_spot_instance() {
    if !ready() {
        return;
    }
    let lab = Lab::get();
    let keys = tempfile::tempdir().unwrap();
    let path = keys.path().join("id");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&path).status().unwrap();
    assert!(made.success());
    lab.moto.ec2("Action=CreateKeyPair&KeyName=mine");
    let given = json!({
        "keypair-name": "mine", "ssh-keypath": path.to_str().unwrap(), "request-spot-instance": true,
        "use-private-address": true, "private-ip-address": "172.31.0.77", "zone": "a", "image": "debian-13",
        "encrypt": true,
    });
    let host = Host::new(&lab.proxy, given);
    run(async {
        let made = host.create().await.unwrap();
        assert_eq!(made.address, "172.31.0.77");
        assert_eq!(made.ssh.as_ref().unwrap().key.as_deref(), path.to_str());
        let call = lab.proxy.calls().into_iter().find(|call| call.action == "RunInstances").unwrap();
        for want in
            ["KeyName=mine", "MarketType=spot", "DeviceName=%2Fdev%2Fxvda", "Encrypted=true", "ImageId=ami-0deb13&"]
        {
            assert!(call.request.contains(want), "{want}: {}", call.request);
        }
        host.rm(&made).await.unwrap();
    });
    assert_eq!(lab.moto.keys(""), ["mine"], "what the user has is the user's");
    assert!(path.exists());
}
