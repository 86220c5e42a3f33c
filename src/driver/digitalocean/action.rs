//! What is done to a droplet that exists: asked for, then awaited.

use super::{Pauses, account::Account, droplet::Droplet};
use crate::{
    driver::{DriverContext, DriverError},
    http::{Awaited, poll},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

#[derive(Debug, Deserialize)]
struct One {
    action: Action,
}

/// Something the provider does in its own time.
#[derive(Clone, Debug, Deserialize)]
struct Action {
    id: u64,
    status: String,
}

/// How long the provider may take for what is quick.
pub(super) const QUICK: Duration = Duration::from_mins(5);
/// How long it may take to move a droplet to another size.
pub(super) const LONG: Duration = Duration::from_mins(30);
/// How long a host may take to shut down when it is asked to.
const SHUTDOWN: Duration = Duration::from_mins(3);

/// One who acts on a droplet.
#[derive(Clone, Copy)]
pub(super) struct Actor<'a> {
    pub(super) cx: &'a DriverContext<'a>,
    pub(super) account: &'a Account,
    pub(super) pauses: Pauses,
}

impl Actor<'_> {
    /// The droplet, when nothing is being done to it any more.
    pub(super) async fn free(&self, id: u64) -> Result<Droplet, DriverError> {
        self.until(id, "the provider's work on the droplet", QUICK, |droplet| {
            if droplet.locked { Err("it is locked".to_owned()) } else { Ok(()) }
        })
        .await
    }

    /// The droplet, when `there` says so, or says what is instead.
    pub(super) async fn until(
        &self,
        id: u64,
        what: &str,
        limit: Duration,
        there: impl Fn(&Droplet) -> Result<(), String> + Send + Sync,
    ) -> Result<Droplet, DriverError> {
        let look = || async {
            let droplet = Droplet::get(self.account, id).await?.ok_or_else(|| gone(id))?;
            Ok::<_, DriverError>(match there(&droplet) {
                Ok(()) => Awaited::Here(droplet),
                Err(seen) => Awaited::Not(seen),
            })
        };
        let found = poll(what, limit, self.pauses.pace, self.cx.progress, look).await;
        found.map_err(|e| DriverError::not_in_time(&format!("waiting for droplet {id}"), e, &look_at(id)))
    }

    /// Has an action done, and waits for its end.
    pub(super) async fn act(&self, id: u64, body: &Value, limit: Duration) -> Result<(), DriverError> {
        let kind = body["type"].as_str().unwrap_or_default().replace('_', " ");
        let doing = format!("droplet {id}: {kind}");
        let path = format!("droplets/{id}/actions");
        let action = loop {
            self.free(id).await?;
            match self.account.post::<One>(&doing, &path, body).await? {
                Ok(one) => break one.action,
                // Another action was quicker; it is locked by now.
                Err(refusal) if refusal.is_pending() => tokio::time::sleep(self.pauses.pace.first).await,
                Err(refusal) => return Err(refusal.error(&doing)),
            }
        };
        let what = format!("{kind} of droplet {id}");
        let ended = poll(&what, limit, self.pauses.pace, self.cx.progress, || async {
            let one: Option<One> = self.account.get(&doing, &format!("actions/{}", action.id)).await?;
            match one.map(|one| one.action.status).as_deref() {
                Some("completed") => Ok(Awaited::Here(())),
                Some("errored") => Err(DriverError::Refused {
                    doing: doing.clone(),
                    why: "the provider could not do it".to_owned(),
                    help: look_at(id),
                }),
                other => Ok(Awaited::Not(format!("it is {}", other.unwrap_or("not there")))),
            }
        });
        ended.await.map_err(|e| DriverError::not_in_time(&doing, e, &look_at(id)))?;
        self.free(id).await.map(|_| ())
    }

    /// Has it shut down, and waits until it is off. It is never cut off: what it has not written would be lost.
    pub(super) async fn shut_down(&self, id: u64) -> Result<(), DriverError> {
        if self.free(id).await?.is_off() {
            return Ok(());
        }
        (self.cx.progress)("shutting down");
        self.act(id, &json!({ "type": "shutdown" }), SHUTDOWN).await?;
        let off = self.until(id, "the shutdown", SHUTDOWN, |droplet| {
            if droplet.is_off() { Ok(()) } else { Err(format!("it is {}", droplet.status)) }
        });
        match off.await {
            Err(DriverError::Refused { doing, why, .. }) if why.starts_with("the shutdown took") => {
                Err(DriverError::Refused {
                    doing,
                    why,
                    help: format!(
                        "see what holds it up, or switch it off the hard way:\n  machine kill {}",
                        self.cx.machine
                    ),
                })
            }
            other => other.map(|_| ()),
        }
    }

    /// Switches it on, and waits until it is.
    pub(super) async fn switch_on(&self, id: u64) -> Result<Droplet, DriverError> {
        let droplet = self.free(id).await?;
        if droplet.is_off() {
            (self.cx.progress)("switching on");
            self.act(id, &json!({ "type": "power_on" }), QUICK).await?;
        }
        self.up(id).await
    }

    /// The droplet, when it runs and has an address.
    pub(super) async fn up(&self, id: u64) -> Result<Droplet, DriverError> {
        self.until(id, "the start of the droplet", QUICK, |droplet| match (droplet.is_on(), droplet.address()) {
            (true, Some(_)) => Ok(()),
            (true, None) => Err("it has no address".to_owned()),
            (false, _) => Err(format!("it is {}", droplet.status)),
        })
        .await
    }
}

/// Where a person sees what the provider knows.
fn look_at(id: u64) -> String {
    format!(
        "look at https://cloud.digitalocean.com/droplets/{id}, then run the same command again: it goes on from there"
    )
}

pub(super) fn gone(id: impl std::fmt::Display) -> DriverError {
    DriverError::Refused {
        doing: format!("looking for droplet {id}"),
        why: "it is not there any more".to_owned(),
        help: "apply again: it is made anew".to_owned(),
    }
}
