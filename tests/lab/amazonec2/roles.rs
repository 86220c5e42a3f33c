//! Credentials that have to be asked for: each way meets a server that answers as AWS documents it, and the call for
//! the instance is signed with what it gave.

use super::{
    host::Lab,
    program::{Home, Said},
    services::Services,
};
use crate::moto::{
    proxy::{Fault, Which, text},
    ready,
};
use std::fs;
use time::Duration;

/// Who has asked for the instance, after how many calls for credentials. Each creation looks three times: before there
/// is a record, for the account to record, and for what is there.
struct Trial<'l> {
    lab: &'l Lab,
    home: Home,
    services: Services,
}

impl Trial<'_> {
    fn create(&self, flags: &[&str], environment: &[(&str, &str)]) -> (String, Said) {
        let enough = (Which::Action("DescribeInstances", 99), Fault::Says(403, "UnauthorizedOperation"));
        self.lab.proxy.plan(vec![enough]);
        let said = self.home.create(&self.lab.proxy, flags, environment);
        assert!(!said.text.contains("canary") && !said.text.contains("token-of"), "{}", said.text);
        let calls = self.lab.proxy.calls();
        let last = calls.iter().rfind(|call| call.action == "DescribeInstances");
        let who = last.map(|call| {
            let token = format!("x-amz-security-token: session-of-{}\r\n", call.access_key);
            assert!(call.request.contains(&token), "a session's token goes with its key: {}", call.request);
            assert!(call.request.contains("x-amz-security-token,") || call.request.contains("x-amz-security-token;"));
            call.access_key.clone()
        });
        (who.unwrap_or_default(), said)
    }
}

fn trial(lab: &Lab) -> Trial<'_> {
    Trial { lab, home: Home::new(), services: Services::start() }
}

#[test]
fn a_container_shows_the_token_of_its_file_and_renews_what_ends() {
    if !ready() {
        return;
    }
    let lab = Lab::get();
    let trial = trial(&lab);
    let (at, file) = (trial.services.url("/role"), trial.home.file("token", "token-of-the-pod\n"));
    let full = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", at.as_str());
    let held = ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file.as_str());
    let (who, _) = trial.create(&[], &[full, held]);
    assert_eq!((who.as_str(), trial.services.asked().len()), ("ASIACONTAINER1", 1), "one session for a run");
    // The token is written anew by the runtime of the container, and read when it is shown.
    trial.services.fresh(Duration::minutes(4), "token-of-later");
    trial.home.file("token", "token-of-later");
    let (who, _) = trial.create(&[], &[full, held]);
    assert_eq!((who.as_str(), trial.services.asked().len()), ("ASIACONTAINER3", 3), "what ends soon is renewed");
    let token = ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "token-of-later");
    assert_eq!(trial.create(&[], &[full, token]).0, "ASIACONTAINER6");
    // A service that is busy is asked again.
    trial.services.fresh(Duration::hours(6), "token-of-later");
    trial.services.say(500, 2);
    assert_eq!((trial.create(&[], &[full, held]).0.as_str(), trial.services.asked().len()), ("ASIACONTAINER1", 3));

    // A process that was told to be a container has no other credentials.
    for (environment, want) in [
        (&[full, ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "token-of-another")][..], "it says 401: No such token"),
        (&[full, ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/nowhere/token")], "/nowhere/token, cannot be read"),
        (&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://192.0.2.1/role"), held], "without TLS"),
    ] {
        let (who, said) = trial.create(&[], environment);
        // Credentials that do not count are told as docker-machine told them; what is amiss here comes before them.
        let code = if want.contains("401") { 1 } else { 3 };
        assert!(who.is_empty() && said.code == code && said.text.contains(want), "{}", said.text);
    }
}

#[test]
fn an_instance_is_asked_by_the_second_version_of_its_service() {
    if !ready() {
        return;
    }
    let lab = Lab::get();
    let trial = trial(&lab);
    let at = trial.services.url("");
    let environment = [("AWS_EC2_METADATA_DISABLED", "false"), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", at.as_str())];
    assert_eq!(trial.create(&[], &environment).0, "ASIAINSTANCE1");
    let roles = "/latest/meta-data/iam/security-credentials/";
    let want = ["PUT /latest/api/token".to_owned(), format!("GET {roles}"), format!("GET {roles}deployer")];
    assert_eq!(trial.services.asked(), want);
    trial.services.fresh(Duration::minutes(4), "");
    assert_eq!(trial.create(&[], &environment).0, "ASIAINSTANCE3", "what ends soon is renewed");
    trial.services.say(404, 9);
    let (who, said) = trial.create(&[], &environment);
    assert!(who.is_empty() && said.text.contains("the role `deployer` of this instance: it says 404"), "{}", said.text);
    // A role assumed with that of the instance.
    trial.services.fresh(Duration::hours(6), "");
    let role =
        "[profile far]\nrole_arn = arn:aws:iam::123456789012:role/far\ncredential_source = Ec2InstanceMetadata\n";
    trial.home.file(".aws/config", role);
    lab.proxy.plan(vec![(Which::Action("DescribeInstances", 99), Fault::Says(403, "UnauthorizedOperation"))]);
    trial.home.create(&lab.proxy, &["--amazonec2-profile", "far"], &environment);
    let assumed = lab.proxy.calls().into_iter().find(|call| call.action == "AssumeRole").unwrap();
    assert_eq!(assumed.access_key, "ASIAINSTANCE1");
    // As others emulate it.
    let at = format!("http://127.0.0.1:{}", lab.moto.port);
    lab.proxy.plan(Vec::new());
    let moto = [("AWS_EC2_METADATA_DISABLED", "false"), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", at.as_str())];
    trial.home.create(&lab.proxy, &["--amazonec2-instance-type", "t3.gigantic"], &moto);
    let call = lab.proxy.calls().remove(0);
    assert!(call.access_key == "test-key" && call.request.contains("x-amz-security-token: test-session-token"));
}

#[test]
fn a_login_gives_credentials_without_the_cli_until_it_ends() {
    if !ready() {
        return;
    }
    let lab = Lab::get();
    let trial = trial(&lab);
    let profile = |role: &str| {
        let text = format!(
            "[profile people]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = {role}\n\
             [sso-session corp]\nsso_start_url = https://corp.example\nsso_region = eu-west-1\n"
        );
        trial.home.file(".aws/config", &text);
    };
    // Where version 2 of the AWS CLI keeps it: the SHA-1 of `corp`.
    let login = |end: &str| {
        let text = format!(
            r#"{{"startUrl":"https://corp.example","region":"eu-west-1","accessToken":"token-of-the-login","expiresAt":"{end}"}}"#
        );
        trial.home.file(".aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json", &text);
    };
    let at = trial.services.url("");
    let environment = [("AWS_PROFILE", "people"), ("AWS_ENDPOINT_URL_SSO", at.as_str())];
    profile("Deploy+Team");
    login("2999-01-01T00:00:00Z");
    trial.services.fresh(Duration::hours(1), "token-of-the-login");
    assert_eq!(trial.create(&[], &environment).0, "ASIALOGIN1");
    assert_eq!(trial.services.asked(), ["GET /federation/credentials"], "one session for a run");
    trial.services.fresh(Duration::minutes(4), "token-of-the-login");
    assert_eq!(trial.create(&[], &environment).0, "ASIALOGIN3", "what ends soon is renewed");
    // What the portal refuses.
    profile("Admin");
    let (who, said) = trial.create(&[], &environment);
    assert!(who.is_empty() && said.text.contains("403: No access") && said.text.contains("`sso_role_name`"));
    profile("Deploy+Team");
    trial.services.fresh(Duration::hours(1), "token-of-another-login");
    let (who, said) = trial.create(&[], &environment);
    assert!(who.is_empty() && said.text.contains("aws sso login --profile people"), "{}", said.text);
    // One that has ended is for the CLI to renew, which is not there.
    login("2001-01-01T00:00:00Z");
    trial.services.fresh(Duration::hours(1), "token-of-the-login");
    let (who, said) = trial.create(&[], &environment);
    assert!(who.is_empty() && said.text.contains("install the AWS CLI"), "{}", said.text);
    assert!(trial.services.asked().is_empty(), "a token that has ended is not shown");
}

/// Roles that are assumed: moto checks the signatures of the call for the role and of those that the role makes, and whether
/// its policy allows them.
#[test]
fn roles_are_assumed_with_signatures_and_policies_checked() {
    if !ready() {
        return;
    }
    let lab = Lab::get();
    let home = Home::new();
    let iam = |form: &str| lab.moto.call("iam", &format!("{form}&Version=2010-05-08"));
    let policy = |action: &str| {
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":["{action}"],"Resource":"*"}}]}}"#
        );
        text.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat()
    };
    iam("Action=CreateUser&UserName=base");
    iam(&format!("Action=PutUserPolicy&UserName=base&PolicyName=p&PolicyDocument={}", policy("sts:*")));
    let key = iam("Action=CreateAccessKey&UserName=base");
    for role in ["deploy", "pod"] {
        iam(&format!("Action=CreateRole&RoleName={role}&AssumeRolePolicyDocument={}", policy("sts:AssumeRole")));
        iam(&format!("Action=PutRolePolicy&RoleName={role}&PolicyName=p&PolicyDocument={}", policy("ec2:*")));
    }
    let secret = text(&key, "SecretAccessKey").replace("&#x2F;", "/");
    let id = text(&key, "AccessKeyId");
    home.file(".aws/credentials", &format!("[base]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n"));
    let token = home.file("web-token", "header.payload.signature\n");
    home.file(
        ".aws/config",
        &format!(
            "[profile work]\nrole_arn = arn:aws:iam::123456789012:role/deploy\nsource_profile = base\n\
             role_session_name = me@work\nexternal_id = of/them\nduration_seconds = 1800\n\
             [profile web]\nrole_arn = arn:aws:iam::123456789012:role/pod\nweb_identity_token_file = {token}\n"
        ),
    );
    // Refused for the type of the instance, which the role may ask for, and the user may not.
    let create = |environment: &[(&str, &str)], unsigned| {
        lab.proxy.plan(Vec::new());
        lab.moto.check_signatures_after(unsigned);
        let said = home.create(&lab.proxy, &["--amazonec2-instance-type", "t3.gigantic"], environment);
        lab.moto.check_signatures(false);
        assert!(said.code == 3 && said.text.contains("t3.micro") && !said.text.contains(&secret), "{}", said.text);
        let calls = lab.proxy.calls();
        assert!(calls[1..].iter().all(|call| call.access_key == calls[1].access_key), "one session for a run");
        assert!(calls[1].access_key.starts_with("ASIA") && calls[1].request.contains("x-amz-security-token: "));
        calls[0].clone()
    };
    let asked = create(&[("AWS_PROFILE", "work")], 0);
    assert_eq!((asked.action.as_str(), asked.access_key.as_str()), ("AssumeRole", id.as_str()));
    for want in [
        "RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fdeploy&",
        "RoleSessionName=me%40work&",
        "DurationSeconds=1800",
        "ExternalId=of%2Fthem",
    ] {
        assert!(asked.request.contains(want), "{want}: {}", asked.request);
    }
    let arn = ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod");
    let file = ("AWS_WEB_IDENTITY_TOKEN_FILE", token.as_str());
    for environment in [&[arn, file, ("AWS_ROLE_SESSION_NAME", "pod-7")][..], &[("AWS_PROFILE", "web")]] {
        let asked = create(environment, 1);
        assert_eq!((asked.action.as_str(), asked.access_key.as_str()), ("AssumeRoleWithWebIdentity", ""), "unsigned");
        let session = if environment.len() == 3 { "pod-7" } else { "machine" };
        for want in ["WebIdentityToken=header.payload.signature", &format!("RoleSessionName={session}&")] {
            assert!(asked.request.contains(want), "{want}: {}", asked.request);
        }
        assert!(!asked.request.to_ascii_lowercase().contains("authorization:"), "{}", asked.request);
    }
    fs::remove_file(&token).unwrap();
    let said = home.create(&lab.proxy, &[], &[arn, file]);
    assert!(said.code == 3 && said.text.contains("web-token, cannot be read"), "{}", said.text);
}
