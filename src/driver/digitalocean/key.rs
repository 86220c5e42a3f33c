//! Keys of the account, which new droplets let in.

use super::{account::Account, tag::Tag};
use crate::driver::{DriverError, keys};
use serde::{Deserialize, Deserializer};
use serde_json::json;

/// What we read of one.
#[derive(Clone, Debug, Deserialize)]
#[expect(clippy::struct_field_names, reason = "it is the provider's word for it")]
pub(super) struct Key {
    pub(super) id: u64,
    #[serde(deserialize_with = "text")]
    pub(super) name: String,
    pub(super) public_key: String,
}

/// The provider lets a name be absent.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[derive(Debug, Deserialize)]
struct One {
    ssh_key: Key,
}

const ADDING: &str = "adding the machine's SSH key to the account";

impl Key {
    /// The one of this fingerprint or number.
    pub(super) async fn get(account: &Account, fingerprint: &str) -> Result<Self, DriverError> {
        let doing = "looking for the SSH key";
        let one: Option<One> = account.get(doing, &format!("account/keys/{fingerprint}")).await?;
        one.map(|one| one.ssh_key).ok_or_else(|| DriverError::Refused {
            doing: doing.to_owned(),
            why: format!("the account has no key with the fingerprint {fingerprint}"),
            help: "look at https://cloud.digitalocean.com/account/security, or leave `ssh-key-fingerprint` out: a key is made for the machine"
                .to_owned(),
        })
    }

    async fn all(account: &Account) -> Result<Vec<Self>, DriverError> {
        account.all("listing the account's SSH keys", "ssh_keys", "account/keys", &[]).await
    }

    fn is(&self, public: &str) -> bool {
        keys::bare(&self.public_key) == keys::bare(public)
    }

    /// The machine's own key, added unless it is there. Its name is the tag, so that it is known to be ours.
    pub(super) async fn ensure(account: &Account, tag: &Tag, public: &str) -> Result<Self, DriverError> {
        let wanted = json!({ "name": tag.as_str(), "public_key": keys::bare(public) + " " + tag.as_str() });
        let made: Result<One, _> = account.post(ADDING, "account/keys", &wanted).await?;
        match made {
            Ok(one) => Ok(one.ssh_key),
            // It is there already, by an earlier attempt or by another user: then it is not ours to remove.
            Err(refusal) if refusal.status == 422 => {
                let there = Self::all(account).await?.into_iter().find(|key| key.is(public));
                there.ok_or_else(|| refusal.error(ADDING))
            }
            Err(refusal) => Err(refusal.error(ADDING)),
        }
    }

    /// Removes those that were made for the machine: by us, which their name says, or by docker-machine, which named them
    /// after it; of those only one whose public half lies in the machine's folder.
    pub(super) async fn forget(
        account: &Account,
        tag: &Tag,
        machine: &str,
        public: Option<&str>,
    ) -> Result<(), DriverError> {
        for key in Self::all(account).await? {
            let of_docker_machine = key.name == machine && public.is_some_and(|public| key.is(public));
            if key.name == tag.as_str() || of_docker_machine {
                account.delete("removing the machine's SSH key", &format!("account/keys/{}", key.id), None).await?;
            }
        }
        Ok(())
    }
}
