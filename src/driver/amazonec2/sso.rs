//! Credentials of people who log in with the AWS CLI. It keeps the token of a login in a cache; for that token the portal of
//! IAM Identity Center gives credentials of a role.
//!
//! Source: IAM Identity Center, "Portal API reference"; AWS SDKs and Tools reference guide, "IAM Identity Center".

use super::{credentials::Credentials, endpoint, place, session};
use crate::{
    digest::hex,
    driver::DriverError,
    http::{Limiter, Request, Retry, Service},
    secret::Revealed,
};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde::Deserialize;
use std::{fs, path::Path, time::Duration};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// What a profile says of its login.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Login {
    /// By what the CLI keeps the token: the name of the session, or the address where one logs in.
    pub(super) session: String,
    /// Where the portal is.
    pub(super) region: String,
    /// The account whose role it is.
    pub(super) account: String,
    /// The role.
    pub(super) role: String,
}

/// A token as the CLI keeps it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    access_token: String,
    expires_at: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    role_credentials: Given,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Given {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    /// In milliseconds since 1970.
    expiration: i64,
}

impl Login {
    /// Name of the file in which the CLI keeps the token.
    fn file(&self) -> String {
        format!("{}.json", hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, self.session.as_bytes()).as_ref()))
    }

    /// The token of the last login; `None` when there is none, or it has ended: the CLI may be able to renew it.
    fn token(&self, cache: &Path) -> Option<Revealed> {
        let text = zeroize::Zeroizing::new(fs::read_to_string(cache.join(self.file())).ok()?);
        let kept: Kept = serde_json::from_str(&text).ok()?;
        // Older ones wrote `2026-01-01T00:00:00UTC`.
        let end = OffsetDateTime::parse(&kept.expires_at.replace("UTC", "Z"), &Rfc3339).ok()?;
        (end > session::now()).then(|| Revealed::new(kept.access_token))
    }

    /// Credentials of the role; `None` when the CLI has to be asked. `profile` is what a person logs in to.
    pub(super) async fn credentials(
        &self,
        cache: &Path,
        own: Option<&str>,
        profile: &str,
    ) -> Result<Option<Credentials>, DriverError> {
        let Some(token) = self.token(cache) else { return Ok(None) };
        let doing = format!("asking for the role `{}` of profile `{profile}`", self.role);
        let mut url = endpoint::url("portal.sso", &self.region, own, false)?;
        url.set_path("/federation/credentials");
        url.query_pairs_mut().append_pair("role_name", &self.role).append_pair("account_id", &self.account);
        let request = Request::get(url).secret_header("x-amz-sso_bearer_token", &token);
        let service = Service::new(Limiter::new(Duration::from_millis(50), 10, 4)).retry(Retry::default());
        let reply = service.send(&request).await.map_err(|e| DriverError::unanswered(&doing, &e))?;
        if !reply.is_success() {
            let help = match reply.status() {
                401 => format!("log in again:\n  aws sso login --profile {profile}"),
                _ => format!("see that `sso_account_id` and `sso_role_name` of profile `{profile}` are yours to use"),
            };
            let why = format!("the portal says {}{}", reply.status(), said(&reply));
            return Err(DriverError::Stranger { doing, why, help });
        }
        let Given { access_key_id, secret_access_key, session_token, expiration } =
            reply.json::<Answer>().map_err(|e| DriverError::unanswered(&doing, &e))?.role_credentials;
        Ok(Some(Credentials {
            access_key: access_key_id,
            secret_key: Revealed::new(secret_access_key),
            token: Some(Revealed::new(session_token)),
            account: Some(self.account.clone()).filter(|id| place::is_account(id)),
            expires: OffsetDateTime::from_unix_timestamp(expiration / 1000).ok(),
            from: format!("profile `{profile}`"),
        }))
    }
}

/// What a service that speaks JSON says of its refusal, as `: No access`.
pub(super) fn said(reply: &crate::http::Reply) -> String {
    let body: serde_json::Value = serde_json::from_slice(reply.bytes()).unwrap_or_default();
    let text = ["message", "Message"].into_iter().find_map(|key| body.get(key)?.as_str());
    text.map(|text| format!(": {text}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::files;

    fn login(session: &str) -> Login {
        let [region, account, role] = ["eu-west-1", "1", "r"].map(str::to_owned);
        Login { session: session.to_owned(), region, account, role }
    }

    /// The names are of botocore's `SSOTokenLoader`, which made them.
    #[test]
    fn a_token_is_where_the_cli_keeps_it_and_counts_until_its_end() {
        assert_eq!(login("corp").file(), "ee0bfd2552fbd840c02cc48b6e823320543c450f.json");
        assert_eq!(login("https://corp.awsapps.com/start").file(), "a51746d4aa793ae07b25e90c3a5db96fc7832bd7.json");
        let cache = tempfile::tempdir().unwrap();
        let token = |end: &str| {
            let text = format!(r#"{{"accessToken":"canary","expiresAt":"{end}","region":"eu-west-1"}}"#);
            files::write(&cache.path().join(login("corp").file()), 0o600, text.as_bytes()).unwrap();
            login("corp").token(cache.path()).map(|token| token.expose().to_owned())
        };
        for end in ["2999-01-01T00:00:00Z", "2999-01-01T00:00:00UTC"] {
            assert_eq!(token(end).as_deref(), Some("canary"));
        }
        for end in ["2001-01-01T00:00:00Z", "whenever"] {
            assert_eq!(token(end), None, "{end}");
        }
        assert!(login("other").token(cache.path()).is_none());
    }
}
