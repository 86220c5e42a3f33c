//! The API of one account: requests with its token, pages, and what refusals mean.

use super::{options::Options, owner::Owner};
use crate::{
    digest::sha256_hex,
    driver::{DriverContext, DriverError},
    fault,
    http::{Method, Reply, Request, Service, Url},
    secret::Revealed,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::Mutex;

/// More than this in one page the provider does not send.
const PAGE: &str = "200";
/// No account has so many pages of anything; a server that says so is broken.
const PAGES: u32 = 500;

/// What requests for one account are made with.
pub(super) struct Account {
    base: Url,
    service: Service,
    token: Revealed,
    owners: Owners,
}

/// Whose tokens are, by a digest of address and token: all machines of a fleet are asked about in one run.
pub(super) type Owners = Arc<Mutex<BTreeMap<String, Option<Owner>>>>;

/// What the provider says of what it refuses.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Refusal {
    #[serde(skip)]
    pub(super) status: u16,
    pub(super) id: String,
    pub(super) message: String,
}

impl Account {
    /// The account that the token is of.
    pub(super) async fn of(
        service: &Service,
        owners: &Owners,
        cx: &DriverContext<'_>,
        options: &Options,
    ) -> Result<Self, DriverError> {
        let base = options.url().map_err(|why| DriverError::Refused {
            doing: "reading the options".to_owned(),
            why,
            help: "correct `endpoint`".to_owned(),
        })?;
        let token = cx.reveal(&options.token()).await?;
        Ok(Self { base, service: service.clone(), token, owners: Arc::clone(owners) })
    }

    /// Who the token is of; `None`: it may not ask that. Asked once in a run.
    pub(super) async fn owner(&self) -> Result<Option<Owner>, DriverError> {
        let key = sha256_hex(format!("{}\n{}", self.base, self.token.expose()).as_bytes());
        // Held while it is asked for, so that those who come meanwhile wait for the answer.
        let mut owners = self.owners.lock().await;
        if let Some(known) = owners.get(&key) {
            return Ok(known.clone());
        }
        let owner = Owner::ask(self).await?;
        owners.insert(key, owner.clone());
        Ok(owner)
    }

    fn request(&self, method: Method, path: &str, query: &[(&str, &str)]) -> Request {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/v2/{path}", self.base.path().trim_end_matches('/')));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Request::new(method, url).bearer(&self.token).header("accept", "application/json")
    }

    async fn send(&self, doing: &str, request: &Request) -> Result<Reply, DriverError> {
        self.service.send(request).await.map_err(|e| DriverError::unanswered(doing, &e))
    }

    /// A request that changes something there, between the points at which tests kill the program.
    async fn effect(&self, doing: &str, path: &str, request: &Request) -> Result<Reply, DriverError> {
        fault::pass("digitalocean.call", path);
        let reply = self.send(doing, request).await;
        fault::pass("digitalocean.call.done", path);
        reply
    }

    /// What is there; `None` when it is not.
    pub(super) async fn get<T: DeserializeOwned>(&self, doing: &str, path: &str) -> Result<Option<T>, DriverError> {
        let reply = self.send(doing, &self.request(Method::GET, path, &[])).await?;
        match reply.status() {
            404 => Ok(None),
            _ => read(doing, &reply).map(Some),
        }
    }

    /// What is there; `Err` inside is what the provider says against telling it.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        doing: &str,
        path: &str,
    ) -> Result<Result<T, Refusal>, DriverError> {
        let reply = self.send(doing, &self.request(Method::GET, path, &[])).await?;
        if reply.is_success() { read(doing, &reply).map(Ok) } else { Ok(Err(Refusal::of(&reply))) }
    }

    /// All of a list, page by page.
    pub(super) async fn all<T: DeserializeOwned>(
        &self,
        doing: &str,
        list: &str,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Vec<T>, DriverError> {
        let mut found = Vec::new();
        for page in 1..=PAGES {
            let page = page.to_string();
            let mut query = query.to_vec();
            query.extend([("page", page.as_str()), ("per_page", PAGE)]);
            let reply = self.send(doing, &self.request(Method::GET, path, &query)).await?;
            let mut body: Value = read(doing, &reply)?;
            // The address of the next page is the server's to say, but not where the token goes.
            let more = body.pointer("/links/pages/next").is_some();
            let items = body.get_mut(list).map(Value::take).unwrap_or_default();
            let items: Vec<T> = serde_json::from_value(items).map_err(|e| misunderstood(doing, &e.to_string()))?;
            found.extend(items);
            if !more {
                break;
            }
        }
        Ok(found)
    }

    /// Has something made or done; `Err` inside is what the provider says against it.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        doing: &str,
        path: &str,
        body: &Value,
    ) -> Result<Result<T, Refusal>, DriverError> {
        let reply = self.effect(doing, path, &self.request(Method::POST, path, &[]).json(body)).await?;
        if reply.is_success() {
            return read(doing, &reply).map(Ok);
        }
        Ok(Err(Refusal::of(&reply)))
    }

    /// Has something removed; whether it was there.
    pub(super) async fn delete(&self, doing: &str, path: &str, body: Option<&Value>) -> Result<bool, DriverError> {
        let mut request = self.request(Method::DELETE, path, &[]);
        if let Some(body) = body {
            request = request.json(body);
        }
        let reply = self.effect(doing, path, &request).await?;
        match reply.status() {
            404 => Ok(false),
            200..=299 => Ok(true),
            _ => Err(Refusal::of(&reply).error(doing)),
        }
    }
}

fn read<T: DeserializeOwned>(doing: &str, reply: &Reply) -> Result<T, DriverError> {
    if !reply.is_success() {
        return Err(Refusal::of(reply).error(doing));
    }
    // An empty answer is one of nothing.
    if reply.bytes().is_empty()
        && let Ok(nothing) = serde_json::from_value(Value::Null)
    {
        return Ok(nothing);
    }
    reply.json().map_err(|e| DriverError::unanswered(doing, &e))
}

fn misunderstood(doing: &str, why: &str) -> DriverError {
    DriverError::Refused {
        doing: doing.to_owned(),
        why: format!("the provider's list cannot be understood: {why}"),
        help: "see that `endpoint` is the address of DigitalOcean's API".to_owned(),
    }
}

impl Refusal {
    fn of(reply: &Reply) -> Self {
        // A proxy in between may have words of its own.
        let said = serde_json::from_slice::<Self>(reply.bytes()).unwrap_or_default();
        Self { status: reply.status(), ..said }
    }

    /// As `Unable to authenticate you (401 unauthorized)`.
    pub(super) fn why(&self) -> String {
        let status = format!("{} {}", self.status, self.id);
        let message = self.message.trim().trim_end_matches('.');
        if message.is_empty() { format!("it says {}", status.trim()) } else { format!("{message} ({})", status.trim()) }
    }

    /// The provider waits for something of its own to end.
    pub(super) fn is_pending(&self) -> bool {
        self.message.to_ascii_lowercase().contains("pending event")
    }

    /// With what a person can do about it.
    pub(super) fn error(&self, doing: &str) -> DriverError {
        let message = self.message.to_ascii_lowercase();
        let help = match self.status {
            401 => {
                "make a token at https://cloud.digitalocean.com/account/api/tokens and give it by reference, or as variable:\n  \
                 export DIGITALOCEAN_ACCESS_TOKEN=…"
            }
            403 => "give the token the scopes that docs/drivers/digitalocean.md lists, or use one with full access",
            404 => "it may have been removed elsewhere: apply again",
            _ if message.contains("droplet limit") || message.contains("exceed your") => {
                "remove droplets, or ask for a higher limit at https://cloud.digitalocean.com/account/team/droplet_limit_increase"
            }
            _ if self.is_pending() => "wait until the provider is done with the droplet, then try again",
            _ => "correct what it says, then run the same command again",
        };
        DriverError::Refused { doing: doing.to_owned(), why: self.why(), help: help.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_a_person_can_do() {
        let of = |status, id: &str, message: &str| Refusal { status, id: id.to_owned(), message: message.to_owned() };
        for (refusal, why, help) in [
            (
                of(401, "unauthorized", "Unable to authenticate you"),
                "Unable to authenticate you (401 unauthorized)",
                "export",
            ),
            (of(403, "forbidden", "You are not authorized."), "You are not authorized (403 forbidden)", "scopes"),
            (
                of(422, "unprocessable_entity", "creating this/these droplet(s) will exceed your droplet limit"),
                "creating this/these droplet(s) will exceed your droplet limit (422 unprocessable_entity)",
                "higher limit",
            ),
            (of(418, "", ""), "it says 418", "correct"),
        ] {
            let e = refusal.error("creating the droplet");
            assert_eq!(e.to_string(), format!("creating the droplet: {why}"));
            assert!(e.help().unwrap().contains(help) && !e.is_transient(), "{e:?}");
        }
    }
}
