//! Whose credentials are used, by the program itself in an environment of its own.

use super::{
    host::{CANARY, Lab},
    program::Home,
};
use crate::moto::{
    proxy::{Fault, Which},
    ready,
};
use std::{
    fs,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Which credentials are used, by the program itself in an environment of its own.
#[test]
fn credentials_are_found_where_the_tools_of_aws_look() {
    if !ready() {
        return;
    }
    let lab = Lab::get();
    let home = Home::new();
    home.file(
        ".aws/config",
        "[profile role]\nrole_arn = arn:aws:iam::123456789012:role/deploy\nsource_profile = base\n\
         [profile tool]\ncredential_process = echo '{\"Version\":1,\"AccessKeyId\":\"AKIATOOL\",\"SecretAccessKey\":\"s\"}'\n\
         [profile people]\nsso_session = corp\n[sso-session corp]\nsso_start_url = https://corp.example\n",
    );
    home.file(
        ".aws/credentials",
        "[default]\naws_access_key_id = AKIADEFAULT\naws_secret_access_key = s\n\
         [base]\naws_access_key_id = AKIABASE\naws_secret_access_key = s\n",
    );
    // What version 2 of the AWS CLI prints after `aws sso login`.
    let script = "#!/bin/sh\n[ \"$*\" = 'configure export-credentials --profile people --format process' ] || exit 9\n\
                  echo '{\"Version\":1,\"AccessKeyId\":\"ASIASSO\",\"SecretAccessKey\":\"s\",\"SessionToken\":\"t\"}'\n";
    let aws = home.file("bin/aws", script);
    fs::set_permissions(&aws, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    // The first look for the instance is refused, which ends the creation: who asked is all that matters here.
    let create = |environment: &[(&str, &str)], flags: &[&str]| {
        lab.proxy.plan(vec![(Which::Action("DescribeInstances", 99), Fault::Says(403, "UnauthorizedOperation"))]);
        let said = home.create(&lab.proxy, flags, environment);
        let mut calls: Vec<String> =
            lab.proxy.calls().into_iter().map(|c| format!("{} {}", c.action, c.access_key)).collect();
        // What is looked up before stands in no order.
        calls.retain(|call| ["Assume", "DescribeInstances "].iter().any(|action| call.starts_with(action)));
        (calls, said.text)
    };
    let env = [("AWS_ACCESS_KEY_ID", "AKIAENV"), ("AWS_SECRET_ACCESS_KEY", "s")];
    assert_eq!(create(&env, &[]).0[0], "DescribeInstances AKIAENV");
    let flags = ["--amazonec2-access-key", "AKIAFLAG", "--amazonec2-secret-key", "s"];
    assert_eq!(create(&[], &flags).0[0], "DescribeInstances AKIAFLAG");
    assert_eq!(create(&[], &[]).0[0], "DescribeInstances AKIADEFAULT");
    assert_eq!(create(&[("AWS_PROFILE", "base")], &[]).0[0], "DescribeInstances AKIABASE");
    assert_eq!(create(&[], &["--amazonec2-profile", "tool"]).0[0], "DescribeInstances AKIATOOL");
    let (calls, _) = create(&[], &["--amazonec2-profile", "people"]);
    assert_eq!(calls[0], "DescribeInstances ASIASSO");
    let (calls, said) = create(&[("AWS_PROFILE", "role")], &[]);
    assert_eq!(calls[0], "AssumeRole AKIABASE");
    assert!(calls[1].starts_with("DescribeInstances ASIA"), "{calls:?}");
    assert!(said.contains("(profile `role`) lack the permission `ec2:DescribeInstances`"), "{said}");
    let (calls, said) = create(&[("AWS_PROFILE", "typo")], &[]);
    assert!(
        calls.is_empty() && said.contains("there is no profile `typo`") && said.contains("base, default"),
        "{said}"
    );
}

/// That nothing is seen with credentials of another account does not mean that a machine is gone.
#[test]
fn another_account_does_not_make_a_machine_forgotten() {
    if !ready() {
        return;
    }
    let lab = Lab::get();
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("store");
    let machine = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_machine"));
        command
            .args(args)
            .env_clear()
            .env("HOME", home.path())
            .env("MACHINE_STORAGE_PATH", &store)
            .env("AWS_ENDPOINT_URL", lab.proxy.url())
            .env("AWS_ACCESS_KEY_ID", "AKIATEST")
            .env("AWS_SECRET_ACCESS_KEY", CANARY);
        command
    };
    let create = ["create", "-d", "amazonec2", "--amazonec2-allow-cidr", "10.0.0.0/8", "web-1"];
    let mut child = machine(&create).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let (folder, began) = (store.join("machines/web-1"), Instant::now());
    // Until it is recorded and waited for; no host will ever answer there.
    while !folder.join("amazonec2-account").exists() {
        assert!(began.elapsed() < Duration::from_mins(1));
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let id = lab.moto.instances("").concat();
    lab.moto.ec2(&format!("Action=TerminateInstances&InstanceId.1={id}"));
    let say = |args: &[&str]| {
        let out = machine(args).output().unwrap();
        (out.status.success(), String::from_utf8(out.stdout).unwrap() + &String::from_utf8(out.stderr).unwrap())
    };
    fs::write(folder.join("amazonec2-account"), "999999999999").unwrap();
    let (_, said) = say(&["status", "web-1"]);
    assert!(said.contains("was made in AWS account 999999999999") && said.contains("are of 123456789012"), "{said}");
    fs::write(folder.join("amazonec2-account"), "123456789012").unwrap();
    let (removed, said) = say(&["rm", "-y", "web-1"]);
    assert!(removed, "{said}");
    lab.moto.assert_empty("", "after rm of what is gone");
}
