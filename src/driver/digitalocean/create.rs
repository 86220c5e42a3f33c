//! Making a droplet: once, whatever is lost on the way.

use super::{
    action::Actor, advice, droplet::Droplet, instance, key::Key, login_key, note::Note, options::Options, owner,
    tag::Tag,
};
use crate::{
    clock::{Clock, SystemClock},
    driver::{
        DriverContext, DriverError,
        cloud::{self, Taker},
        keys,
    },
    fault,
    record::Instance,
};
use serde_json::{Value, json};
use std::{fs, time::Duration};

const TAKER: Taker = Taker { name: "DigitalOcean", most: 64 << 10 };

/// The droplet of this tag. If one was asked for a moment ago and the answer is unknown, the provider may show it
/// late: then it is waited for.
pub(super) async fn settled(actor: &Actor<'_>, tag: &Tag) -> Result<Option<Droplet>, DriverError> {
    let asked = Note::load(actor.cx)?.asked;
    let mut told = false;
    loop {
        let found = Droplet::tagged(actor.account, tag).await?;
        if let [first, others @ ..] = found.as_slice() {
            if !others.is_empty() {
                let all: Vec<String> = found.iter().map(|droplet| droplet.id.to_string()).collect();
                (actor.cx.progress)(&format!("warning: droplets {} all carry the tag {tag}", all.join(", ")));
            }
            return Ok(Some(first.clone()));
        }
        let since = asked.map(|asked| SystemClock.now().0.saturating_sub(asked));
        // Seconds are whole ones, so one more than there are. A clock that was set back must not let us wait for ever.
        let since = since.and_then(|since| u64::try_from(since).ok()).map(Duration::from_secs);
        let waiting = since.is_some_and(|since| since <= actor.pauses.settle);
        if !waiting {
            return Ok(None);
        }
        if !told {
            (actor.cx.progress)("a droplet was asked for and no answer came: waiting whether it appears");
            told = true;
        }
        tokio::time::sleep(actor.pauses.pace.first).await;
    }
}

/// Makes the droplet, or takes the one that is there.
pub(super) async fn create(actor: &Actor<'_>, options: &Options) -> Result<Instance, DriverError> {
    let Actor { cx, .. } = actor;
    let tag = Tag::of(cx);
    // All that can go wrong on this computer goes wrong before anything is made elsewhere.
    let prepared = Prepared::of(cx, options)?;
    let droplet = match settled(actor, &tag).await? {
        Some(droplet) => {
            owner::seen(cx, actor.account).await;
            prepared.take_over(cx, droplet)?
        }
        None => make(actor, options, &tag, &prepared).await?,
    };
    cx.checkpoint.instance(&instance(cx, options, &droplet, None)?).await?;
    let note = Note::load(cx)?;
    Note { asked: None, ..note }.save(cx)?;
    let droplet = actor.switch_on_when_made(droplet.id).await?;
    instance(cx, options, &droplet, None)
}

/// Whether the provider takes the machine's name for a droplet.
pub(super) fn nameable(cx: &DriverContext<'_>) -> Result<(), DriverError> {
    let name = cx.machine.as_str();
    if name.ends_with(|c: char| c.is_ascii_alphanumeric()) {
        return Ok(());
    }
    Err(DriverError::Refused {
        doing: "naming the droplet".to_owned(),
        why: format!("DigitalOcean takes no name that ends as `{name}` does"),
        help: "let it end with a letter or a digit".to_owned(),
    })
}

/// What a creation needs of this computer.
struct Prepared {
    /// The public half of the key that is made for the machine; `None`: one of the account is used.
    own: Option<String>,
    /// Whether that key was there before.
    known: bool,
    user_data: Option<Vec<u8>>,
}

impl Prepared {
    fn of(cx: &DriverContext<'_>, options: &Options) -> Result<Self, DriverError> {
        nameable(cx)?;
        let user_data = cloud::own_user_data(options.userdata.as_deref())?;
        if let Some(key) = options.key() {
            login_key(cx, key)?;
        }
        let known = keys::login_path(cx).exists();
        let own = match options.fingerprint() {
            Some(_) => None,
            None => Some(keys::login(cx)?),
        };
        Ok(Self { own, known, user_data })
    }

    /// A droplet of an earlier attempt lets in only the key it was made with.
    fn take_over(&self, cx: &DriverContext<'_>, droplet: Droplet) -> Result<Droplet, DriverError> {
        if self.own.is_none() || self.known {
            return Ok(droplet);
        }
        // What was just made must not be taken for that key the next time.
        let key = keys::login_path(cx);
        let _ = fault::point("digitalocean.unmake-key", &key).and_then(|()| fs::remove_file(&key));
        Err(DriverError::Refused {
            doing: format!("taking over droplet {}", droplet.id),
            why: format!("it was made with a key that is not in {} any more", cx.dir.display()),
            help: format!(
                "bring that folder back, or remove the droplet and try again:\n  machine rm -y {}",
                cx.machine
            ),
        })
    }
}

/// Asks for a droplet that is not there.
async fn make(actor: &Actor<'_>, options: &Options, tag: &Tag, prepared: &Prepared) -> Result<Droplet, DriverError> {
    let Actor { cx, account, .. } = actor;
    // One that was asked for and never answered may be in the account of that time.
    if Note::load(cx)?.asked.is_some() {
        owner::is_noted(cx, account).await?;
    }
    owner::making(cx, account).await?;
    // Whatever becomes of us from here on, who removes the machine looks for all that carries the tag.
    cx.checkpoint.instance(&unborn(tag)).await?;
    let vpc = match options.vpc.as_deref().filter(|vpc| !vpc.is_empty()) {
        Some(vpc) => Some(advice::vpc(account, vpc, &options.region).await?),
        None => None,
    };
    let theirs = match options.fingerprint() {
        Some(fingerprint) => Some(Key::get(account, fingerprint).await?),
        None => None,
    };
    let login = theirs.as_ref().map(|key| key.public_key.as_str()).or(prepared.own.as_deref()).unwrap_or_default();
    let data = cloud::user_data(cx, &options.ssh_user, login, prepared.user_data.as_deref(), &TAKER)?;
    let data = String::from_utf8(data).map_err(|_| DriverError::Refused {
        doing: "reading the user data".to_owned(),
        why: "it is no text".to_owned(),
        help: "give a text file".to_owned(),
    })?;
    let key = match theirs {
        Some(key) => key,
        None => Key::ensure(account, tag, login).await?,
    };
    let wanted = wanted(cx, options, tag, &data, &key, vpc.as_deref());
    let tags = options.tags().into_iter().map(str::to_owned).collect();
    Note { asked: Some(SystemClock.now().0), tags, ..Note::default() }.save(cx)?;
    (cx.progress)(&format!("creating a droplet ({} in {})", options.size, options.region));
    let refused = match Droplet::make(account, &wanted).await {
        Ok(Ok(droplet)) => return Ok(droplet),
        Ok(Err(refusal)) => refusal.error("creating the droplet"),
        // It never left this computer.
        Err(e @ DriverError::Unprepared { .. }) => {
            Note::default().save(cx)?;
            return Err(e);
        }
        Err(e) => {
            // From now on it may still appear, however long the answer was waited for.
            let note = Note::load(cx)?;
            Note { asked: Some(SystemClock.now().0), ..note }.save(cx)?;
            return Err(e);
        }
    };
    Note::default().save(cx)?;
    // Nothing shall be left of what could not be; who tries again makes it again. What cannot be removed now is by `rm`.
    let _ = Key::forget(account, tag, cx.machine.as_str(), None).await;
    Err(advice::advise(account, options, refused).await)
}

/// Stands for what is being made, while it has no number: only its tag is known.
fn unborn(tag: &Tag) -> Instance {
    Instance {
        id: tag.to_string(),
        address: String::new(),
        ssh: None,
        url: None,
        host_keys: Vec::new(),
        jump_keys: Vec::new(),
    }
}

/// The request for a droplet.
fn wanted(cx: &DriverContext<'_>, options: &Options, tag: &Tag, data: &str, key: &Key, vpc: Option<&str>) -> Value {
    let image = options.image.parse::<u64>().map_or_else(|_| json!(options.image), |id| json!(id));
    let mut tags = options.tags();
    tags.push(tag.as_str());
    let mut wanted = json!({
        "name": cx.machine.as_str(),
        "region": options.region,
        "size": options.size,
        "image": image,
        "ssh_keys": [key.id],
        "backups": options.backups,
        "ipv6": options.ipv6,
        "monitoring": options.monitoring,
        "tags": tags,
        "user_data": data,
    });
    if let Some(vpc) = vpc {
        wanted["vpc_uuid"] = json!(vpc);
    }
    wanted
}

impl Actor<'_> {
    /// A droplet that was just made comes up by itself; one that an earlier attempt left off does not.
    async fn switch_on_when_made(&self, id: u64) -> Result<Droplet, DriverError> {
        let made = self
            .until(id, "the creation of the droplet", super::action::QUICK, |droplet| {
                if droplet.is_on() || droplet.is_off() { Ok(()) } else { Err(format!("it is {}", droplet.status)) }
            })
            .await?;
        if made.is_off() { self.switch_on(id).await } else { self.up(id).await }
    }
}
