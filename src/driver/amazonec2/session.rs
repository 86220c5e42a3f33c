//! Where the environment says that credentials are, and credentials that end: of roles, containers, instances, programs.

use super::{credentials::Credentials, place, profile::Profiles, sso, xml::Element};
use crate::{
    clock::{Clock, SystemClock},
    driver::DriverError,
    http::{Http, Limiter, Method, Reply, Request, Retry, Service, Url},
    secret::Revealed,
};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    env, fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// What the environment says about AWS.
#[derive(Clone)]
pub(super) struct Environment {
    variables: BTreeMap<String, String>,
    /// The config file.
    pub(super) config: PathBuf,
    /// The credentials file.
    pub(super) credentials: PathBuf,
    /// The folder in which the AWS CLI keeps the tokens of logins.
    pub(super) logins: PathBuf,
}

/// How long the metadata service may take: it is a hop away, or it is not there.
const METADATA: Duration = Duration::from_secs(1);

impl Environment {
    /// That of this process.
    pub(super) fn of_process() -> Self {
        let ours = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
            (name.starts_with("AWS_") && !value.is_empty()).then_some((name, value))
        };
        Self::new(env::vars_os().filter_map(ours).collect(), &env::home_dir().unwrap_or_default())
    }

    fn new(variables: BTreeMap<String, String>, home: &Path) -> Self {
        let file = |variable: &str, usual: &str| match variables.get(variable) {
            Some(path) => path.strip_prefix("~/").map_or_else(|| path.into(), |rest| home.join(rest)),
            None => home.join(".aws").join(usual),
        };
        let config = file("AWS_CONFIG_FILE", "config");
        let credentials = file("AWS_SHARED_CREDENTIALS_FILE", "credentials");
        Self { variables, config, credentials, logins: home.join(".aws/sso/cache") }
    }

    /// A variable that is set and not empty.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    /// The profiles of both files; a file that is not there has none.
    pub(super) fn profiles(&self) -> Result<Profiles, DriverError> {
        let read = |path: &PathBuf| match fs::read(path) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(String::new()),
            Err(e) => Err(DriverError::Unprepared {
                what: format!("the AWS profiles in {} cannot be read: {e}", path.display()),
                help: "correct its permissions, or set AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE".to_owned(),
            }),
        };
        Ok(Profiles::parse(&read(&self.config)?, &read(&self.credentials)?))
    }

    /// Where the container we run in has its credentials.
    pub(super) fn container(&self) -> Option<Url> {
        let relative =
            self.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").map(|path| format!("http://169.254.170.2{path}"));
        Url::parse(&relative.or_else(|| self.get("AWS_CONTAINER_CREDENTIALS_FULL_URI"))?).ok()
    }

    /// Where an instance asks about itself.
    pub(super) fn metadata(&self) -> Option<Url> {
        if self.get("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return None;
        }
        let own = self.get("AWS_EC2_METADATA_SERVICE_ENDPOINT");
        let six =
            self.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE").is_some_and(|mode| mode.eq_ignore_ascii_case("ipv6"));
        let usual = if six { "http://[fd00:ec2::254]" } else { "http://169.254.169.254" };
        Url::parse(own.as_deref().unwrap_or(usual)).ok()
    }
}

/// What time it is.
pub(super) fn now() -> OffsetDateTime {
    SystemClock.now().to_utc()
}

/// Credentials as programs print them and as containers and instances have them.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Printed {
    access_key_id: String,
    secret_access_key: String,
    #[serde(alias = "Token")]
    session_token: Option<String>,
    expiration: Option<String>,
    account_id: Option<String>,
}

impl Printed {
    fn read(text: &str, from: String) -> Option<Credentials> {
        let Self { access_key_id, secret_access_key, session_token, expiration, account_id } =
            serde_json::from_str(text).ok()?;
        Some(Credentials {
            access_key: access_key_id,
            secret_key: Revealed::new(secret_access_key),
            token: session_token.filter(|token| !token.is_empty()).map(Revealed::new),
            account: account_id.filter(|id| place::is_account(id)),
            expires: expiration.and_then(|text| OffsetDateTime::parse(&text, &Rfc3339).ok()),
            from,
        })
    }
}

/// What a program has printed.
pub(super) fn printed(said: &Revealed, from: &str) -> Result<Credentials, DriverError> {
    let wrong = |why: &str| DriverError::Unprepared {
        what: format!("the program that prints the credentials of {from} {why}"),
        help: "run it as the profile says, and see what it prints: a JSON object with AccessKeyId and SecretAccessKey"
            .to_owned(),
    };
    let found = Printed::read(said.expose(), from.to_owned()).ok_or_else(|| wrong("prints something else"))?;
    if found.expires.is_some_and(|end| end <= now()) {
        return Err(wrong("prints some that have ended"));
    }
    Ok(found)
}

/// What STS has answered.
pub(super) fn assumed(answer: &Element, result: &str, from: String) -> Result<Credentials, DriverError> {
    let text = |name: &str| answer.text(&format!("{result}/Credentials/{name}")).to_owned();
    if text("AccessKeyId").is_empty() {
        let doing = "assuming a role".to_owned();
        return Err(DriverError::Lost { doing, why: "the answer of AWS holds no credentials".to_owned() });
    }
    Ok(Credentials {
        access_key: text("AccessKeyId"),
        secret_key: Revealed::new(text("SecretAccessKey")),
        token: Some(Revealed::new(text("SessionToken"))),
        account: place::account_of_arn(answer.text(&format!("{result}/AssumedRoleUser/Arn"))),
        expires: OffsetDateTime::parse(&text("Expiration"), &Rfc3339).ok(),
        from,
    })
}

/// The credentials of the container we run in. If it has any and they are not to be had, the error says why: to go on
/// would be to act as another user.
pub(super) async fn container(environment: &Environment, at: Url) -> Result<Option<Credentials>, DriverError> {
    const DOING: &str = "asking for the role of this container";
    let token = match environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        // It is written anew from time to time.
        Some(file) => Some(fs::read_to_string(&file).map_err(|e| DriverError::Unprepared {
            what: format!("the token for the role of this container, {file}, cannot be read: {e}"),
            help: "see that AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE is right".to_owned(),
        })?),
        None => environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
    };
    if !is_near(&at) {
        return Err(DriverError::Unprepared {
            what: format!(
                "AWS_CONTAINER_CREDENTIALS_FULL_URI is {at}: credentials would come without TLS from elsewhere"
            ),
            help: "give an address of this computer or of ECS or EKS, or one with https".to_owned(),
        });
    }
    let mut request = Request::get(at).timeout(METADATA * 3);
    if let Some(token) = token {
        request = request.secret_header("authorization", &Revealed::new(token.trim().to_owned()));
    }
    let retry = Retry { within: METADATA * 6, ..Retry::default() };
    let service = Service::new(Limiter::new(Duration::from_millis(50), 10, 4)).retry(retry);
    let reply = service.send(&request).await.map_err(|e| DriverError::unanswered(DOING, &e))?;
    let found = reply.is_success().then(|| Printed::read(&reply.text(), "the role of this container".to_owned()));
    match found.flatten() {
        Some(found) => Ok(Some(found)),
        None => {
            Err(no_role(DOING, &reply, "see that the task or pod has a role, and AWS_CONTAINER_* are as it was given"))
        }
    }
}

fn no_role(doing: &str, reply: &Reply, help: &str) -> DriverError {
    let why = if reply.is_success() {
        "what comes is no credentials".to_owned()
    } else {
        format!("it says {}{}", reply.status(), sso::said(reply))
    };
    DriverError::Stranger { doing: doing.to_owned(), why, help: help.to_owned() }
}

/// Whether the way there is safe from listeners: with TLS, on this computer, or where ECS and EKS have their services.
fn is_near(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    url.scheme() == "https"
        || host == "localhost"
        || address.is_some_and(|address| address.is_loopback())
        || ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"].contains(&host)
}

/// Where an instance has its role, and the credentials of that.
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";

/// The credentials of the role of the instance we run on, through version 2 of its metadata service; `None` when this is no
/// instance, or has none.
pub(super) async fn instance(at: Url) -> Result<Option<Credentials>, DriverError> {
    let ask = async |request: Request| {
        let reply = Http::shared().once(&request.timeout(METADATA)).await.ok()?;
        reply.is_success().then(|| reply.text().trim().to_owned())
    };
    let url = |path: &str| at.join(path).ok();
    let found = async {
        let token = Request::new(Method::PUT, url("/latest/api/token")?);
        let token = Revealed::new(ask(token.header("x-aws-ec2-metadata-token-ttl-seconds", "300")).await?);
        let get = |path: &str| Some(Request::get(url(path)?).secret_header("x-aws-ec2-metadata-token", &token));
        let role = ask(get(ROLES)?).await?.lines().next()?.to_owned();
        let request = get(&format!("{ROLES}{role}"))?;
        Some((role, request))
    };
    let Some((role, request)) = found.await else { return Ok(None) };
    let doing = format!("asking for the role `{role}` of this instance");
    let reply = Http::shared().once(&request.timeout(METADATA * 3)).await;
    let reply = reply.map_err(|e| DriverError::unanswered(&doing, &e))?;
    let read = || Printed::read(&reply.text(), format!("the role `{role}` of this instance"));
    match reply.is_success().then(read).flatten() {
        Some(found) => Ok(Some(found)),
        None => Err(no_role(&doing, &reply, "see that the instance profile's role trusts EC2")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Environment::new(variables, Path::new("/home/u"))
    }

    #[test]
    fn files_and_services_are_where_the_environment_says() {
        let plain = environment(&[]);
        assert_eq!(plain.config, PathBuf::from("/home/u/.aws/config"));
        assert_eq!(plain.metadata().unwrap().as_str(), "http://169.254.169.254/");
        assert_eq!(plain.container(), None);
        let other = environment(&[
            ("AWS_SHARED_CREDENTIALS_FILE", "~/keys"),
            ("AWS_EC2_METADATA_DISABLED", "TRUE"),
            ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x"),
        ]);
        assert_eq!(other.credentials, PathBuf::from("/home/u/keys"));
        assert_eq!(other.metadata(), None);
        assert_eq!(other.container().unwrap().as_str(), "http://169.254.170.2/v2/x");
    }

    #[test]
    fn credentials_come_without_tls_only_from_near() {
        for (url, near) in [
            ("http://169.254.170.2/v2/x", true),
            ("http://169.254.170.23/v1/credentials", true),
            ("http://[fd00:ec2::23]/v1/credentials", true),
            ("http://127.0.0.1:4321/x", true),
            ("http://[::1]/x", true),
            ("https://credentials.example.net/x", true),
            ("http://credentials.example.net/x", false),
            ("http://169.254.170.24/x", false),
            ("http://localhost.example.net/x", false),
        ] {
            assert_eq!(is_near(&Url::parse(url).unwrap()), near, "{url}");
        }
    }

    #[test]
    fn what_a_program_prints_is_read_and_what_has_ended_is_refused() {
        let text = r#"{"Version":1,"AccessKeyId":"ASIA1","SecretAccessKey":"canary","SessionToken":"t","Expiration":"2999-01-01T00:00:00Z"}"#;
        let found = printed(&Revealed::new(text.to_owned()), "profile `x`").unwrap();
        assert_eq!((found.access_key.as_str(), found.expires.unwrap().year()), ("ASIA1", 2999));
        let old = text.replace("2999", "2001");
        for wrong in [old.as_str(), "canary", "{\"AccessKeyId\":\"canary\"}"] {
            let error = printed(&Revealed::new(wrong.to_owned()), "profile `x`").unwrap_err();
            assert!(!error.to_string().contains("canary"), "{error}");
        }
    }
}
