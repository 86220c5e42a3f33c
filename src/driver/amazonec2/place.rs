//! Which account and region machines are in: to another account, AWS says of all that is there that it is not.

use super::{
    Region,
    credentials::{self, Credentials},
    query::Api,
};
use crate::{driver::DriverError, http::Url};
use std::collections::BTreeMap;
use tokio::sync::Mutex;

/// Accounts by the access key that is of them: AWS is asked once in a run.
pub(super) type Accounts = Mutex<BTreeMap<String, String>>;

/// Whether a text is the number of an account.
pub(super) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

/// The account in the name of a thing at AWS, as `arn:aws:sts::123456789012:assumed-role/r/s`.
pub(super) fn account_of_arn(arn: &str) -> Option<String> {
    arn.strip_prefix("arn:")?.split(':').nth(3).filter(|account| is_account(account)).map(str::to_owned)
}

/// Whether AWS itself answers there, if only through an endpoint of a private network.
fn is_of_aws(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    [".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".amazonaws.eu"].iter().any(|end| host.ends_with(end))
}

impl Region<'_> {
    /// The words for it; `None` when AWS does not say whose the credentials are.
    pub(super) async fn in_words(&self, accounts: &Accounts) -> Result<Option<String>, DriverError> {
        let Api { url, region, credentials, .. } = &self.api;
        if !is_of_aws(url) {
            // What else speaks this language need not have accounts.
            return Ok(Some(format!("endpoint {} in {region}", url.origin().ascii_serialization())));
        }
        let Some(credentials) = credentials else { return Ok(None) };
        let account = match &credentials.account {
            Some(account) => account.clone(),
            None => self.asked(credentials, accounts).await?,
        };
        Ok(is_account(&account).then(|| words(&account, region)))
    }

    async fn asked(&self, credentials: &Credentials, accounts: &Accounts) -> Result<String, DriverError> {
        // Held while it is asked for, so that those who come meanwhile wait for the answer.
        let mut accounts = accounts.lock().await;
        if let Some(known) = accounts.get(&credentials.access_key) {
            return Ok(known.clone());
        }
        let sts = credentials::sts(self.options, &self.environment, Some(credentials.clone()))?;
        let account = credentials::account(&sts).await?;
        accounts.insert(credentials.access_key.clone(), account.clone());
        Ok(account)
    }
}

/// As it stands in records.
fn words(account: &str, region: &str) -> String {
    format!("account {account} in {region}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_worded_the_same_in_every_version() {
        assert_eq!(words("123456789012", "eu-west-1"), "account 123456789012 in eu-west-1");
    }

    #[test]
    fn names_of_things_have_their_account_in_them() {
        for (arn, account) in [
            ("arn:aws:sts::123456789012:assumed-role/build/machine", Some("123456789012")),
            ("arn:aws-cn:iam::123456789012:role/r", Some("123456789012")),
            ("arn:aws:s3:::bucket", None),
            ("arn:aws:iam::aws:policy/p", None),
            ("123456789012", None),
            ("", None),
        ] {
            assert_eq!(account_of_arn(arn).as_deref(), account, "{arn}");
        }
    }

    #[test]
    fn only_where_aws_answers_there_are_accounts() {
        for (url, is_aws) in [
            ("https://ec2.eu-west-1.amazonaws.com/", true),
            ("https://ec2.cn-north-1.amazonaws.com.cn/", true),
            ("https://ec2.eu-west-1.api.aws/", true),
            ("https://vpce-0a-1b.ec2.eu-west-1.vpce.amazonaws.com/", true),
            ("http://127.0.0.1:5000/", false),
            ("https://amazonaws.com.example.org/", false),
        ] {
            assert_eq!(is_of_aws(&Url::parse(url).unwrap()), is_aws, "{url}");
        }
    }
}
