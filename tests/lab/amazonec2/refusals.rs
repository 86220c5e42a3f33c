//! What AWS refuses, and who may do what.

use super::host::{CANARY, Host, Lab, Secrets, run};
use crate::moto::{
    proxy::{Fault, Which, text},
    ready,
};
use machine::{driver::PowerAction, secret::Reveal};
use serde_json::{Value, json};
use std::{fs, sync::Arc};

#[test]
fn what_aws_refuses_is_told_with_what_to_do_and_nothing_stays() {
    if !ready() {
        return;
    }
    let lab = Lab::get();
    for (status, code, help) in [
        (500, "InsufficientInstanceCapacity", "another `zone`"),
        (400, "VcpuLimitExceeded", "higher quota"),
        (400, "InstanceLimitExceeded", "higher quota"),
        (403, "UnauthorizedOperation", "`ec2:RunInstances`"),
        (401, "OptInRequired", "enable"),
        (400, "InvalidAMIID.NotFound", "AMIs are of one region"),
        (400, "Unsupported", "another `zone`"),
        (400, "ExpiredToken", "log in again"),
        (400, "RequestExpired", "clock"),
    ] {
        lab.fresh();
        lab.proxy.plan(vec![(Which::Action("RunInstances", 99), Fault::Says(status, code))]);
        let host = Host::new(&lab.proxy, json!({}));
        let error = run(host.create()).unwrap_err();
        assert!(error.to_string().contains(code) && !error.is_transient(), "{error}");
        assert!(error.help().unwrap().contains(help), "{code}: {:?}", error.help());
        assert_eq!(lab.proxy.actions().iter().filter(|a| *a == "RunInstances").count(), 1, "{code}: asked once");
        lab.moto.assert_empty("", code);
    }
    for (given, why) in [
        (json!({"instance-type": "t3.gigantic"}), "t3.micro"),
        (json!({"zone": "x"}), "us-east-1a"),
        (json!({"ami": "ami-12345678"}), "AMIs are of one region"),
        (json!({"subnet-id": "subnet-12345678"}), "subnet-id"),
        (json!({"vpc-id": "vpc-12345678"}), "vpc-id"),
        (json!({"security-group": ["nobodys"], "allow": []}), "allow"),
        (json!({"image": "debian-12"}), "choose another `image`"),
    ] {
        lab.fresh();
        let host = Host::new(&lab.proxy, given.clone());
        let error = run(host.create()).unwrap_err();
        assert!(error.help().unwrap().contains(why), "{given}: {error}: {:?}", error.help());
        lab.moto.assert_empty("", &given.to_string());
    }
}

/// A user with the policy of the documentation, and who lacks one permission of it.
#[test]
fn the_documented_policy_is_enough_and_each_permission_is_named_when_it_is_missing() {
    if !ready() {
        return;
    }
    let lab = Lab::get();
    let docs = fs::read_to_string("docs/drivers/amazonec2.md").unwrap();
    let policy = docs.split("```json").nth(1).unwrap().split("```").next().unwrap();
    let policy: Value = serde_json::from_str(policy).unwrap();
    let allowed = |policy: &Value, user: &str| -> Arc<dyn Reveal> {
        let quoted: Vec<String> = policy.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
        let quoted = quoted.concat();
        let iam = |form: &str| lab.moto.call("iam", &format!("{form}&UserName={user}&Version=2010-05-08"));
        iam("Action=CreateUser");
        iam(&format!("Action=PutUserPolicy&PolicyName=p&PolicyDocument={quoted}"));
        let key = iam("Action=CreateAccessKey");
        let secret = text(&key, "SecretAccessKey").replace("&#x2F;", "/");
        Arc::new(Secrets([("KEY", text(&key, "AccessKeyId")), ("SECRET", secret)].into()))
    };
    let without = |action: &str| {
        let mut policy = policy.clone();
        for statement in policy["Statement"].as_array_mut().unwrap() {
            statement["Action"].as_array_mut().unwrap().retain(|one| one != action);
        }
        policy
    };
    let mut host = Host::new(&lab.proxy, json!({}));
    host.secrets = allowed(&policy, "whole");
    let mut lacking = Host::named("web-2", &lab.proxy, json!({}));
    lacking.secrets = allowed(&without("ec2:RunInstances"), "lacking");
    let mut blind = Host::named("web-3", &lab.proxy, json!({ "instance-type": "t3.small" }));
    blind.secrets = allowed(&without("ec2:DescribeInstanceTypes"), "blind");
    let mut wrong = Host::named("web-4", &lab.proxy, json!({}));
    wrong.secrets = Arc::new(Secrets([("KEY", "AKIANOBODY".to_owned()), ("SECRET", CANARY.to_owned())].into()));
    lab.moto.check_signatures(true);
    run(async {
        let made = host.create().await.unwrap();
        for action in [PowerAction::Stop, PowerAction::Start, PowerAction::Restart] {
            host.act(&made, action).await.unwrap();
        }
        host.set("instance-type", json!("t3.large"));
        host.set("tags", json!("a,b"));
        host.set("allow", json!(["10.0.0.0/8"]));
        host.set("root-size", json!(40));
        host.change(&made).await.unwrap();
        host.set("tags", json!(""));
        host.change(&made).await.unwrap();
        host.rm(&made).await.unwrap();

        let error = lacking.create().await.unwrap_err();
        assert!(
            error.help().unwrap().contains("lack the permission `ec2:RunInstances`"),
            "{error}: {:?}",
            error.help()
        );
        let made = blind.create().await.unwrap();
        blind.rm(&made).await.unwrap();
        let error = wrong.create().await.unwrap_err();
        let help = error.help().unwrap();
        assert!(help.contains("does not know these credentials ({ env: KEY }"), "{error}: {help}");
        assert!(!format!("{error:?} {help}").contains(CANARY));
    });
    lab.moto.check_signatures(false);
    lab.moto.assert_empty("", "after all of them");
    // The policy holds nothing that is not needed, but for what moto does not ask for.
    let used: Vec<String> = lab.proxy.actions();
    assert!(used.iter().any(|action| action == "ModifyVolume"));
}
