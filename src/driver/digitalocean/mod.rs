//! Driver `digitalocean`: droplets, over DigitalOcean's API.
//!
//! A droplet carries a tag that says whose machine it is; its name does not, since names are not unique there. What a
//! machine needs besides, a key of the account and the tag, is known by the same words and goes with it.

mod account;
mod action;
mod advice;
mod create;
mod droplet;
mod key;
mod note;
mod options;
mod owner;
mod tag;

use super::{Driver, DriverContext, DriverError, OptionProblem, OptionSpec, PowerAction, cloud, files, generic, keys};
use crate::{
    http::{Awaited, Limiter, Pace, Service, poll},
    record::{Instance, OptionValues, Power, SshEndpoint},
};
use account::{Account, Owners, Refusal};
use action::{Actor, LONG, QUICK, gone};
use async_trait::async_trait;
use droplet::Droplet;
use key::Key;
use note::Note;
pub use options::Options;
use serde_json::{Map, Value, json};
use std::{collections::BTreeSet, sync::LazyLock, time::Duration};
use tag::Tag;

/// The driver.
pub struct DigitalOcean {
    pauses: Pauses,
    /// Made when it is first asked: it reads all authorities of the system, and every command makes the driver.
    service: LazyLock<Service, Box<dyn FnOnce() -> Service + Send>>,
    owners: Owners,
}

/// How long it waits between looks, and for what may still appear.
#[derive(Clone, Copy, Debug)]
pub struct Pauses {
    /// Between two looks at what the provider does.
    pub pace: Pace,
    /// After a droplet was asked for and the answer was lost, until none will appear any more.
    pub settle: Duration,
}

impl Default for DigitalOcean {
    fn default() -> Self {
        let pauses = Pauses {
            pace: Pace { first: Duration::from_secs(1), most: Duration::from_secs(10) },
            settle: Duration::from_secs(45),
        };
        // 250 requests in a minute are taken; a few less leave room for others who use the token.
        Self::lazily(pauses, || Service::new(Limiter::new(Duration::from_millis(260), 20, 8)))
    }
}

impl DigitalOcean {
    /// One of another patience, and within other limits, for a provider that is nearer.
    #[must_use]
    pub fn new(pauses: Pauses, service: Service) -> Self {
        Self::lazily(pauses, || service)
    }

    fn lazily(pauses: Pauses, service: impl FnOnce() -> Service + Send + 'static) -> Self {
        Self { pauses, service: LazyLock::new(Box::new(service)), owners: Owners::default() }
    }

    async fn account(&self, cx: &DriverContext<'_>, options: &Options) -> Result<Account, DriverError> {
        Account::of(&self.service, &self.owners, cx, options).await
    }
}

#[async_trait]
impl Driver for DigitalOcean {
    const NAME: &'static str = "digitalocean";
    const ABOUT: &'static str = "droplets of DigitalOcean";
    const CREATES: bool = true;
    type Options = Options;

    fn options() -> Vec<OptionSpec> {
        options::table()
    }

    fn check(options: &Options) -> Vec<OptionProblem> {
        options.problems()
    }

    fn fields(options: &Options, instance: Option<&Instance>) -> Vec<(&'static str, Value)> {
        let id = instance.and_then(|instance| instance.id.parse::<u64>().ok()).unwrap_or(0);
        vec![("DropletID", json!(id)), ("DropletName", json!("")), ("Tags", json!(options.tags().join(",")))]
    }

    fn of_fields(driver: &Map<String, Value>) -> OptionValues {
        let text = driver.get("Tags").and_then(Value::as_str).unwrap_or_default();
        let tags: Vec<&str> = text.split(',').map(str::trim).filter(|tag| !tag.is_empty()).collect();
        if tags.is_empty() { OptionValues::new() } else { OptionValues::from([("tags".to_owned(), json!(tags))]) }
    }

    /// Whatever region a droplet is in, its account sees it.
    async fn place(&self, cx: &DriverContext<'_>, options: &Options) -> Result<Option<String>, DriverError> {
        let owner = self.account(cx, options).await?.owner().await?;
        Ok(owner.map(|owner| owner.place()))
    }

    async fn precheck(&self, cx: &DriverContext<'_>, options: &Options) -> Result<(), DriverError> {
        create::nameable(cx)?;
        advice::look(&self.account(cx, options).await?, options).await
    }

    async fn find(&self, cx: &DriverContext<'_>, options: &Options) -> Result<Option<Instance>, DriverError> {
        let account = self.account(cx, options).await?;
        let actor = Actor { cx, account: &account, pauses: self.pauses };
        let droplet = create::settled(&actor, &Tag::of(cx)).await?;
        if droplet.is_none() && Note::load(cx)?.asked.is_some() {
            owner::is_noted(cx, &account).await?;
        }
        droplet.map(|droplet| instance(cx, options, &droplet, None)).transpose()
    }

    async fn create(&self, cx: &DriverContext<'_>, options: &Options) -> Result<Instance, DriverError> {
        let account = self.account(cx, options).await?;
        create::create(&Actor { cx, account: &account, pauses: self.pauses }, options).await
    }

    async fn change(
        &self,
        cx: &DriverContext<'_>,
        instance: &Instance,
        options: &Options,
    ) -> Result<Instance, DriverError> {
        let account = self.account(cx, options).await?;
        let actor = Actor { cx, account: &account, pauses: self.pauses };
        let droplet = there(&account, cx, instance).await?;
        let id = droplet.id;
        tag_as_wanted(&actor, &droplet, options).await?;
        if droplet.has_backups() != options.backups {
            let kind = if options.backups { "enable_backups" } else { "disable_backups" };
            actor.act(id, &json!({ "type": kind }), QUICK).await?;
        }
        if droplet.size_slug != options.size {
            resize(&actor, id, options).await?;
        }
        let mut note = Note::load(cx)?;
        if !note.resizing {
            return self::instance(cx, options, &actor.free(id).await?, Some(instance));
        }
        let now = self::instance(cx, options, &actor.switch_on(id).await?, Some(instance))?;
        cloud::answers(cx, &now, QUICK).await?;
        note.resizing = false;
        note.save(cx)?;
        Ok(now)
    }

    async fn power(
        &self,
        cx: &DriverContext<'_>,
        instance: &Instance,
        options: &Options,
    ) -> Result<Power, DriverError> {
        let account = self.account(cx, options).await?;
        match look(&account, cx, instance).await? {
            Some(droplet) => {
                owner::seen(cx, &account).await;
                Ok(droplet.power())
            }
            None => owner::absent(cx, &account).await.map(|()| Power::Gone),
        }
    }

    async fn set_power(
        &self,
        cx: &DriverContext<'_>,
        instance: &Instance,
        options: &Options,
        action: PowerAction,
    ) -> Result<Instance, DriverError> {
        let account = self.account(cx, options).await?;
        let actor = Actor { cx, account: &account, pauses: self.pauses };
        let id = there(&account, cx, instance).await?.id;
        let droplet = match action {
            PowerAction::Start => actor.switch_on(id).await?,
            PowerAction::Stop => {
                actor.shut_down(id).await?;
                actor.free(id).await?
            }
            PowerAction::Kill => {
                if !actor.free(id).await?.is_off() {
                    actor.act(id, &json!({ "type": "power_off" }), QUICK).await?;
                }
                actor.free(id).await?
            }
            PowerAction::Restart if actor.free(id).await?.is_off() => actor.switch_on(id).await?,
            PowerAction::Restart => {
                actor.act(id, &json!({ "type": "reboot" }), QUICK).await?;
                actor.up(id).await?
            }
        };
        let now = self::instance(cx, options, &droplet, Some(instance))?;
        if matches!(action, PowerAction::Start | PowerAction::Restart) {
            cloud::answers(cx, &now, QUICK).await?;
        }
        Ok(now)
    }

    async fn rm(&self, cx: &DriverContext<'_>, instance: &Instance, options: &Options) -> Result<(), DriverError> {
        let account = self.account(cx, options).await?;
        let actor = Actor { cx, account: &account, pauses: self.pauses };
        let tag = Tag::of(cx);
        // Another account would say of everything that it is not there.
        if !owner::is_noted(cx, &account).await? && look(&account, cx, instance).await?.is_none() {
            owner::absent(cx, &account).await?;
        }
        // By its number, since one that docker-machine made has no tag; and by the tag, since no number may be known.
        create::settled(&actor, &tag).await?;
        let mut doomed: BTreeSet<u64> =
            Droplet::tagged(&account, &tag).await?.iter().map(|droplet| droplet.id).collect();
        doomed.extend(instance.id.parse::<u64>().ok());
        for id in &doomed {
            remove(&actor, *id).await?;
        }
        vanished(&actor, &doomed, &tag).await?;
        let public = files::read(&cx.dir.join("id_rsa.pub"))?.filter(|_| options.fingerprint().is_none());
        Key::forget(&account, &tag, cx.machine.as_str(), public.as_deref()).await?;
        match account.delete("removing the machine's tag", &format!("tags/{tag}"), None).await {
            // It costs nothing and stands for nothing any more.
            Err(e @ DriverError::Refused { .. }) => (cx.progress)(&format!("warning: {e}")),
            other => drop(other?),
        }
        Note::default().save(cx)
    }
}

/// The droplet of a recorded instance: by its number, or by the tag when a creation was cut off before there was one.
async fn look(account: &Account, cx: &DriverContext<'_>, instance: &Instance) -> Result<Option<Droplet>, DriverError> {
    match instance.id.parse() {
        Ok(id) => Droplet::get(account, id).await,
        Err(_) => Ok(Droplet::tagged(account, &Tag::of(cx)).await?.into_iter().next()),
    }
}

async fn there(account: &Account, cx: &DriverContext<'_>, instance: &Instance) -> Result<Droplet, DriverError> {
    let Some(droplet) = look(account, cx, instance).await? else {
        owner::absent(cx, account).await?;
        return Err(gone(&instance.id));
    };
    owner::seen(cx, account).await;
    Ok(droplet)
}

/// What the store is told of a droplet. How one logs in is as before where no option says otherwise: docker-machine's
/// machines have keys of its making.
fn instance(
    cx: &DriverContext<'_>,
    options: &Options,
    droplet: &Droplet,
    before: Option<&Instance>,
) -> Result<Instance, DriverError> {
    let address = droplet.address().unwrap_or_default().to_owned();
    let old = before.and_then(|before| before.ssh.as_ref());
    let key = match (options.key(), options.fingerprint(), old) {
        (Some(key), ..) => Some(login_key(cx, key)?),
        (None, _, Some(old)) => old.key.clone(),
        (None, Some(_), None) => None,
        (None, None, None) => Some(keys::login_path(cx).display().to_string()),
    };
    let told = cloud::known_host_key(cx)?.map(|key| vec![key]);
    Ok(Instance {
        id: droplet.id.to_string(),
        address: address.clone(),
        ssh: Some(SshEndpoint {
            host: address,
            port: options.ssh_port,
            user: options.ssh_user.clone(),
            key,
            passphrase: old.and_then(|old| old.passphrase.clone()),
            jump: old.and_then(|old| old.jump.clone()),
        }),
        url: None,
        host_keys: told.unwrap_or_else(|| before.map(|before| before.host_keys.clone()).unwrap_or_default()),
        jump_keys: before.map(|before| before.jump_keys.clone()).unwrap_or_default(),
    })
}

/// The user's own key: in a fleet it stays where its file says it is, else it is copied, as docker-machine does.
fn login_key(cx: &DriverContext<'_>, key: &str) -> Result<String, DriverError> {
    let path = generic::key_path(key)?;
    if cx.fleet.is_some() { Ok(path) } else { generic::copy_key(path.as_ref(), cx.dir) }
}

/// Sees that it carries our tag and the user's, and none of the user's of before. Others are not ours to take away.
async fn tag_as_wanted(actor: &Actor<'_>, droplet: &Droplet, options: &Options) -> Result<(), DriverError> {
    let Actor { cx, account, .. } = actor;
    let own = Tag::of(cx);
    let mut note = Note::load(cx)?;
    let wanted = options.tags();
    let resources = json!({ "resources": [{ "resource_id": droplet.id.to_string(), "resource_type": "droplet" }] });
    let added: Vec<&str> = wanted.iter().copied().chain([own.as_str()]).filter(|tag| !droplet.carries(tag)).collect();
    // What we are about to add is ours, whatever becomes of us.
    let old: Vec<String> = note.tags.iter().filter(|tag| !wanted.contains(&tag.as_str())).cloned().collect();
    note.tags.extend(added.iter().filter(|tag| **tag != own.as_str()).map(|tag| (*tag).to_owned()));
    note.save(cx)?;
    for tag in added {
        let doing = format!("tagging the droplet `{tag}`");
        // One that exists already is as good.
        let made: Result<Value, _> = account.post(&doing, "tags", &json!({ "name": tag })).await?;
        if let Err(refusal) = made.map(drop).or_else(|e| if e.status == 422 { Ok(()) } else { Err(e) }) {
            return Err(refusal.error(&doing));
        }
        let put: Result<Value, _> = account.post(&doing, &format!("tags/{tag}/resources"), &resources).await?;
        put.map_err(|refusal| refusal.error(&doing))?;
    }
    for tag in &old {
        let doing = format!("taking the tag `{tag}` off the droplet");
        account.delete(&doing, &format!("tags/{tag}/resources"), Some(&resources)).await?;
    }
    note.tags.retain(|tag| !old.contains(tag));
    note.save(cx)
}

/// Switches it off and gives it another size. That it is we who switched it off is noted, for the run that goes on.
async fn resize(actor: &Actor<'_>, id: u64, options: &Options) -> Result<(), DriverError> {
    let mut note = Note::load(actor.cx)?;
    note.resizing = true;
    note.save(actor.cx)?;
    actor.shut_down(id).await?;
    // An earlier attempt may have been granted without our hearing of it.
    if actor.free(id).await?.size_slug == options.size {
        return Ok(());
    }
    (actor.cx.progress)(&format!("resizing to {}", options.size));
    let body = json!({ "type": "resize", "size": options.size, "disk": options.resize_disk });
    let Err(e) = actor.act(id, &body, LONG).await else { return Ok(()) };
    if !matches!(e, DriverError::Refused { .. }) {
        return Err(e);
    }
    // It keeps its size, so there is no use in leaving it off.
    if actor.switch_on(id).await.is_ok() {
        note.resizing = false;
        note.save(actor.cx)?;
    }
    Err(advice::advise(actor.account, options, e).await)
}

/// Removes a droplet, once nothing is being done to it.
async fn remove(actor: &Actor<'_>, id: u64) -> Result<(), DriverError> {
    let doing = format!("removing droplet {id}");
    let what = format!("the removal of droplet {id}");
    let removed = poll(&what, QUICK, actor.pauses.pace, actor.cx.progress, || async {
        match actor.account.delete(&doing, &format!("droplets/{id}"), None).await {
            Err(DriverError::Refused { why, .. }) if why.contains("pending event") => Ok(Awaited::Not(why)),
            other => other.map(Awaited::Here),
        }
    })
    .await;
    let help = "look at https://cloud.digitalocean.com/droplets, then run the same command again";
    removed.map(drop).map_err(|e| DriverError::not_in_time(&doing, e, help))
}

/// Waits until they are seen no more: else the next of the same tag would be taken for one of them.
async fn vanished(actor: &Actor<'_>, doomed: &BTreeSet<u64>, tag: &Tag) -> Result<(), DriverError> {
    let look = || async {
        for id in doomed {
            if Droplet::get(actor.account, *id).await?.is_some() {
                return Ok(Awaited::Not(format!("droplet {id} is still there")));
            }
        }
        let left = Droplet::tagged(actor.account, tag).await?;
        Ok::<_, DriverError>(
            left.first()
                .map_or(Awaited::Here(()), |droplet| Awaited::Not(format!("droplet {} is still listed", droplet.id))),
        )
    };
    let gone = poll("the removal", QUICK, actor.pauses.pace, actor.cx.progress, look).await;
    let help = "look at https://cloud.digitalocean.com/droplets, then run the same command again";
    gone.map_err(|e| DriverError::not_in_time("removing the droplet", e, help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_machine_kept_is_read_and_written() {
        let driver = json!({ "Tags": " a, b,", "DropletID": 99 });
        let tags = DigitalOcean::of_fields(driver.as_object().unwrap());
        assert_eq!(tags["tags"], json!(["a", "b"]));
        assert!(DigitalOcean::of_fields(&Map::new()).is_empty());
    }
}
