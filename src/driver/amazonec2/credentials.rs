//! Who we are at AWS, found where its own tools look, in their order; nothing else is asked before it is needed.
//!
//! These are `access-key` and `secret-key`, `profile`, the environment, a web identity, the profile of the environment or the
//! default one, the container, the instance we run on. To ask for the last would hang where there is none, so it has a second.

use super::{
    error::ApiError,
    options::{Options, given},
    profile::{Profiles, Role, Source, Way},
    query::{Api, Params},
    session::{self, Environment},
    sso::Login,
};
use crate::{
    driver::{DriverContext, DriverError},
    secret::{Revealed, Secret, SecretCommand, SecretProblem},
};
use std::{collections::BTreeMap, fmt, future::Future, pin::Pin};
use time::OffsetDateTime;
use tokio::sync::Mutex;

/// Keys, and where they are from.
#[derive(Clone)]
pub(super) struct Credentials {
    /// Id of the access key.
    pub(super) access_key: String,
    /// Its secret half.
    pub(super) secret_key: Revealed,
    /// Token of the session, if it is of one.
    pub(super) token: Option<Revealed>,
    /// The account they are of, where they came with its number.
    pub(super) account: Option<String>,
    /// When the session ends.
    pub(super) expires: Option<OffsetDateTime>,
    /// For people, as ``profile `work` ``.
    pub(super) from: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.from)
    }
}

/// Credentials of sessions, which many machines of a run share.
pub(super) type Cache = Mutex<BTreeMap<String, Credentials>>;

/// Looks for credentials for one call to the driver.
pub(super) struct Search<'a> {
    /// Whose secrets.
    pub(super) cx: &'a DriverContext<'a>,
    /// What the user said.
    pub(super) options: &'a Options,
    /// What the environment says.
    pub(super) environment: Environment,
    /// Sessions that were begun already.
    pub(super) cache: &'a Cache,
}

/// Sessions are renewed when less is left.
const LEAST: time::Duration = time::Duration::minutes(5);

type Found<'f> = Pin<Box<dyn Future<Output = Result<Credentials, DriverError>> + Send + 'f>>;

impl Search<'_> {
    /// The credentials; says where it looked when there are none.
    pub(super) async fn run(&self) -> Result<Credentials, DriverError> {
        if let Some(found) = self.options().await? {
            return Ok(found);
        }
        if let Some(profile) = given(self.options.profile.as_deref()) {
            return self.of_profile(profile.to_owned(), &self.profiles()?, true).await;
        }
        if let Some(found) = self.variables()? {
            return Ok(found);
        }
        if let (Some(file), Some(arn)) =
            (self.environment.get("AWS_WEB_IDENTITY_TOKEN_FILE"), self.environment.get("AWS_ROLE_ARN"))
        {
            let role = Role { arn, session: self.environment.get("AWS_ROLE_SESSION_NAME"), ..Role::default() };
            return self.web_identity(&role, &file).await;
        }
        let profiles = self.profiles()?;
        let named = self.environment.get("AWS_PROFILE").or_else(|| self.environment.get("AWS_DEFAULT_PROFILE"));
        let name = named.clone().unwrap_or_else(|| "default".to_owned());
        if (named.is_some() || profiles.has(&name)) && profiles.way(&name) != Ok(Way::Nothing) {
            return self.of_profile(name, &profiles, true).await;
        }
        if let Some(found) = self.container().await? {
            return Ok(found);
        }
        if let Some(found) = self.instance().await? {
            return Ok(found);
        }
        Err(self.nowhere())
    }

    fn nowhere(&self) -> DriverError {
        let Environment { config, credentials, .. } = &self.environment;
        DriverError::Stranger {
            doing: "looking for AWS credentials".to_owned(),
            why: format!(
                "there are none: neither given, nor in the environment, nor in {} or {}, nor has this \
                 computer a role",
                credentials.display(),
                config.display()
            ),
            help: "log in with the AWS CLI and name its profile, or set the variables of a key:\n  \
                   export AWS_PROFILE=work\n  export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=…"
                .to_owned(),
        }
    }

    /// Keys that were given with the machine. That their own variables are not set in this shell, as they were in the
    /// one that made the machine, is no error: then it is looked for elsewhere.
    async fn options(&self) -> Result<Option<Credentials>, DriverError> {
        let Options { access_key: Some(access_key), secret_key: Some(secret_key), session_token, .. } = self.options
        else {
            return Ok(None);
        };
        let (Some(access), Some(secret)) = (self.reveal(access_key).await?, self.reveal(secret_key).await?) else {
            return Ok(None);
        };
        let token = match session_token {
            Some(token) => self.reveal(token).await?,
            None => None,
        };
        let from = format!("{access_key} and {secret_key}");
        Ok(Some(Credentials {
            access_key: access.expose().to_owned(),
            secret_key: secret,
            token,
            account: None,
            expires: None,
            from,
        }))
    }

    async fn reveal(&self, secret: &Secret) -> Result<Option<Revealed>, DriverError> {
        let own = |name: &str| ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"].contains(&name);
        match self.cx.reveal(secret).await {
            Ok(found) => Ok(Some(found)),
            Err(DriverError::Secret(e))
                if matches!(&e.secret, Secret::Env(name) if own(name))
                    && matches!(e.why, SecretProblem::Unset | SecretProblem::Empty) =>
            {
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    fn variables(&self) -> Result<Option<Credentials>, DriverError> {
        let get = |name| self.environment.get(name);
        match (get("AWS_ACCESS_KEY_ID"), get("AWS_SECRET_ACCESS_KEY")) {
            (Some(access_key), Some(secret)) => Ok(Some(Credentials {
                access_key,
                secret_key: Revealed::new(secret),
                token: get("AWS_SESSION_TOKEN").map(Revealed::new),
                account: None,
                expires: None,
                from: "AWS_ACCESS_KEY_ID of the environment".to_owned(),
            })),
            (None, None) => Ok(None),
            _ => Err(DriverError::Unprepared {
                what: "one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set, and the other is not".to_owned(),
                help: "set both, or neither".to_owned(),
            }),
        }
    }

    fn profiles(&self) -> Result<Profiles, DriverError> {
        self.environment.profiles()
    }

    /// Credentials of a profile; with `roles`, those of the role it assumes.
    fn of_profile<'f>(&'f self, name: String, profiles: &'f Profiles, roles: bool) -> Found<'f> {
        Box::pin(async move {
            let from = format!("profile `{name}`");
            let wrong = |why: String| DriverError::Unprepared {
                what: format!("there are no AWS credentials: {why}"),
                help: format!(
                    "correct {} or {}; the profiles there are: {}",
                    self.environment.config.display(),
                    self.environment.credentials.display(),
                    profiles.names().join(", ")
                ),
            };
            let way = if roles { profiles.way(&name) } else { profiles.own_keys(&name) }.map_err(wrong)?;
            match way {
                Way::Keys { access_key, secret_key, token } => Ok(Credentials {
                    access_key,
                    secret_key: Revealed::new(secret_key),
                    token: token.map(Revealed::new),
                    account: None,
                    expires: None,
                    from,
                }),
                Way::Role { role, source } => {
                    let base = match source {
                        Source::Profile(source) => self.of_profile(source.clone(), profiles, source != name).await?,
                        Source::Environment => self.variables()?.ok_or_else(|| self.nowhere())?,
                        Source::Container => self.container().await?.ok_or_else(|| self.nowhere())?,
                        Source::Instance => self.instance().await?.ok_or_else(|| self.nowhere())?,
                    };
                    self.assume(&role, base, from).await
                }
                Way::WebIdentity { role, file } => self.web_identity(&role, &file).await,
                Way::Process(line) => {
                    let said = self.cx.reveal(&Secret::Command(SecretCommand::Line(line))).await?;
                    session::printed(&said, &from)
                }
                Way::Login(login) => {
                    if let Some(found) = self.portal(login, &name).await? {
                        return Ok(found);
                    }
                    let words = ["aws", "configure", "export-credentials", "--profile", &name, "--format", "process"];
                    let command = SecretCommand::Words(words.map(str::to_owned).to_vec());
                    let said =
                        self.cx.reveal(&Secret::Command(command)).await.map_err(|e| DriverError::Unprepared {
                            what: format!("the AWS CLI has no credentials of {from}, with which one logs in: {e}"),
                            help: format!(
                                "install the AWS CLI (version 2), and log in:\n  aws sso login --profile {name}"
                            ),
                        })?;
                    session::printed(&said, &from)
                }
                Way::Nothing => Err(wrong(format!("{from} says nothing about any"))),
            }
        })
    }

    /// What is kept of an earlier call, if enough of its time is left; what `begin` gives otherwise.
    async fn kept(
        &self,
        key: String,
        begin: impl Future<Output = Result<Option<Credentials>, DriverError>> + Send,
    ) -> Result<Option<Credentials>, DriverError> {
        // Held while a session is begun, so that a hundred machines begin one.
        let mut cache = self.cache.lock().await;
        if let Some(kept) = cache.get(&key).filter(|kept| kept.expires.is_none_or(|end| end - session::now() > LEAST)) {
            return Ok(Some(kept.clone()));
        }
        let new = begin.await?;
        if let Some(new) = &new {
            cache.insert(key, new.clone());
        }
        Ok(new)
    }

    async fn assume(&self, role: &Role, base: Credentials, from: String) -> Result<Credentials, DriverError> {
        let key = format!("{} {} {:?}", base.access_key, role.arn, role.external_id);
        let begin = async {
            let params = session(Params::new("AssumeRole"), role).maybe("ExternalId", role.external_id.as_deref());
            let answer = self.sts(Some(base))?.call(&format!("assuming the role `{}`", role.arn), params).await;
            session::assumed(&answer?, "AssumeRoleResult", from).map(Some)
        };
        Ok(self.kept(key, begin).await?.expect("a session is begun or it is an error"))
    }

    async fn web_identity(&self, role: &Role, file: &str) -> Result<Credentials, DriverError> {
        let begin = async {
            let token = std::fs::read_to_string(file).map_err(|e| DriverError::Unprepared {
                what: format!("the token for the role `{}`, {file}, cannot be read: {e}", role.arn),
                help: "see that AWS_WEB_IDENTITY_TOKEN_FILE or `web_identity_token_file` is right".to_owned(),
            })?;
            let params = session(Params::new("AssumeRoleWithWebIdentity"), role).with("WebIdentityToken", token.trim());
            let answer = self.sts(None)?.call(&format!("assuming the role `{}`", role.arn), params).await;
            session::assumed(&answer?, "AssumeRoleWithWebIdentityResult", format!("the role `{}`", role.arn)).map(Some)
        };
        Ok(self.kept(format!("{file} {}", role.arn), begin).await?.expect("a session is begun or it is an error"))
    }

    fn sts(&self, credentials: Option<Credentials>) -> Result<Api, DriverError> {
        sts(self.options, &self.environment, credentials)
    }

    async fn portal(&self, login: Option<Login>, profile: &str) -> Result<Option<Credentials>, DriverError> {
        let Some(login) = login else { return Ok(None) };
        let own = self.environment.get("AWS_ENDPOINT_URL_SSO").or_else(|| self.environment.get("AWS_ENDPOINT_URL"));
        self.kept(format!("{login:?}"), login.credentials(&self.environment.logins, own.as_deref(), profile)).await
    }

    async fn container(&self) -> Result<Option<Credentials>, DriverError> {
        match self.environment.container() {
            Some(at) => self.kept(at.to_string(), session::container(&self.environment, at.clone())).await,
            None => Ok(None),
        }
    }

    async fn instance(&self) -> Result<Option<Credentials>, DriverError> {
        match self.environment.metadata() {
            Some(at) => self.kept(at.to_string(), session::instance(at.clone())).await,
            None => Ok(None),
        }
    }
}

/// The service that begins sessions and says who we are.
pub(super) fn sts(
    options: &Options,
    environment: &Environment,
    credentials: Option<Credentials>,
) -> Result<Api, DriverError> {
    let own = environment.get("AWS_ENDPOINT_URL_STS").or_else(|| environment.get("AWS_ENDPOINT_URL"));
    Ok(Api {
        service: "sts",
        version: "2011-06-15",
        url: super::endpoint::url("sts", &options.region, own.as_deref(), false)?,
        region: options.region.clone(),
        own_endpoint: own.is_some(),
        credentials,
        retry: super::patience(options),
    })
}

fn session(params: Params, role: &Role) -> Params {
    params
        .with("RoleArn", &role.arn)
        .with("RoleSessionName", role.session.as_deref().unwrap_or("machine"))
        .maybe("DurationSeconds", role.seconds.as_deref())
}

/// The number of the account that credentials are of. To ask needs no permission.
pub(super) async fn account(api: &Api) -> Result<String, ApiError> {
    let answer = api.call("asking AWS whose credentials these are", Params::new("GetCallerIdentity")).await?;
    Ok(answer.text("GetCallerIdentityResult/Account").to_owned())
}
