//! Whose droplets a token sees. To the token of another account nothing is there, which says nothing of what is: so the
//! account is noted beside the record when a droplet is made, or first seen, and asked for when one is not seen.

use super::{account::Account, tag::Tag};
use crate::{
    driver::{DriverContext, DriverError, files},
    excerpt,
};
use serde::Deserialize;
use serde_json::Value;
use std::{fmt, path::PathBuf};

/// File in the machine's folder with the account that its droplet is in.
const NAME: &str = "digitalocean-account";

/// The owner of droplets: a team, or a person who is in none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Owner {
    /// The provider's UUID for it.
    id: String,
    /// What people call it; empty if unknown.
    label: String,
}

/// `GET /v2/account`.
#[derive(Deserialize)]
struct Answer {
    account: Told,
}

#[derive(Deserialize)]
struct Told {
    uuid: String,
    #[serde(default)]
    email: String,
    team: Option<Team>,
}

#[derive(Deserialize)]
struct Team {
    uuid: String,
    #[serde(default)]
    name: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.label.is_empty() { f.write_str(&self.id) } else { write!(f, "{} ({})", self.label, self.id) }
    }
}

impl Owner {
    /// Who a token is of; `None`: the token may not ask that.
    pub(super) async fn ask(account: &Account) -> Result<Option<Self>, DriverError> {
        let doing = "asking whose the token is";
        match account.ask::<Answer>(doing, "account").await? {
            Ok(Answer { account: Told { uuid, email, team } }) => {
                // One person may be in several teams, and droplets are the team's.
                let (id, label) = team.map_or((uuid, email), |team| (team.uuid, team.name));
                Ok(Self::of(&id, &label))
            }
            Err(refusal) if [403, 404].contains(&refusal.status) => Ok(None),
            Err(refusal) => Err(refusal.error(doing)),
        }
    }

    fn of(id: &str, label: &str) -> Option<Self> {
        let id = id.trim();
        let label = label.split_whitespace().collect::<Vec<_>>().join(" ");
        let plain = !id.is_empty() && id.len() <= 80 && !id.contains(|c: char| c.is_whitespace() || c.is_control());
        plain.then(|| Self { id: id.to_owned(), label: excerpt::word(&label).into_owned() })
    }

    /// As it stands in records: without what people call it, which changes.
    pub(super) fn place(&self) -> String {
        format!("account {}", self.id)
    }

    fn path(cx: &DriverContext<'_>) -> PathBuf {
        cx.dir.join(NAME)
    }

    /// The one that is noted.
    fn noted(cx: &DriverContext<'_>) -> Result<Option<Self>, DriverError> {
        let text = files::read(&Self::path(cx))?.unwrap_or_default();
        let (id, label) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        Ok(Self::of(id, label))
    }

    fn note(&self, cx: &DriverContext<'_>) -> Result<(), DriverError> {
        files::write(&Self::path(cx), 0o600, format!("{} {}\n", self.id, self.label).as_bytes())
    }
}

/// Notes whose droplet is about to be made.
pub(super) async fn making(cx: &DriverContext<'_>, account: &Account) -> Result<(), DriverError> {
    match account.owner().await? {
        Some(owner) => owner.note(cx),
        None => Ok(()),
    }
}

/// Notes whose droplet was seen, if that is not noted yet. A look that cannot note it is a look all the same.
pub(super) async fn seen(cx: &DriverContext<'_>, account: &Account) {
    if let Ok(None) = Owner::noted(cx)
        && let Ok(Some(owner)) = account.owner().await
    {
        let _ = owner.note(cx);
    }
}

/// Whether it is certain that the token is of the account that is noted. It is an error that it is of another.
pub(super) async fn is_noted(cx: &DriverContext<'_>, account: &Account) -> Result<bool, DriverError> {
    let Some(noted) = Owner::noted(cx)? else { return Ok(false) };
    match account.owner().await? {
        None => Ok(false),
        Some(now) if now.id == noted.id => Ok(true),
        Some(now) => Err(DriverError::Refused {
            doing: looking(cx),
            why: format!("it was made in DigitalOcean account {noted}, and this token is of {now}"),
            help: "use a token of that account: nothing was done with this one".to_owned(),
        }),
    }
}

/// Confirms that what is not seen is not there. An error if that cannot be known.
pub(super) async fn absent(cx: &DriverContext<'_>, account: &Account) -> Result<(), DriverError> {
    if is_noted(cx, account).await? {
        return Ok(());
    }
    // A tag outlives its droplet: where ours is, our droplet was.
    if account.get::<Value>("looking for the machine's tag", &format!("tags/{}", Tag::of(cx))).await?.is_some() {
        return Ok(());
    }
    let (why, help) = match (Owner::noted(cx)?, account.owner().await?) {
        (Some(noted), _) => (
            format!("it was made in DigitalOcean account {noted}, and this token may not say which account it is of"),
            "give the token the scope `account` (read)",
        ),
        (None, now) => (
            format!(
                "this token{} does not see it, which proves nothing: in which account it is was never recorded",
                now.map(|now| format!(", which is of account {now},")).unwrap_or_default()
            ),
            "look at it once with a token of its account, which is recorded then",
        ),
    };
    Err(DriverError::Refused {
        doing: looking(cx),
        why,
        help: format!("{help}. If you know that it is gone, forget it here:\n  machine rm -f {}", cx.machine),
    })
}

fn looking(cx: &DriverContext<'_>) -> String {
    format!("looking for the droplet of `{}`", cx.machine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_worded_the_same_in_every_version_whatever_it_is_called() {
        for label in ["", "Shop Team"] {
            let owner = Owner::of("7e0f1a2b-aaaa-4bbb-8ccc-0123456789ab", label).unwrap();
            assert_eq!(owner.place(), "account 7e0f1a2b-aaaa-4bbb-8ccc-0123456789ab");
        }
    }
}
