//! The provider, as far as a driver can tell: droplets, actions, keys, tags, regions, sizes, images, VPCs. It does things
//! in its own time: each takes a few looks.

mod shown;

use super::{
    OTHER, TOKEN, shape,
    wire::{self, Request, Serve},
};
use serde_json::{Value, json};
use shown::{account, show, show_action, show_key, vpc};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, TcpStream},
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

/// What droplets really are.
pub(crate) trait Hosts: Send + Sync {
    /// The address of a new one.
    fn address(&self, id: u64) -> Ipv4Addr;
    fn boot(&self, id: u64, address: Ipv4Addr, user_data: &str);
    fn start(&self, id: u64);
    fn stop(&self, id: u64);
    fn kill(&self, id: u64);
    fn remove(&self, id: u64);
}

/// Droplets that are nothing but their words.
pub(crate) struct Words;

impl Hosts for Words {
    fn address(&self, id: u64) -> Ipv4Addr {
        let [.., third, fourth] = id.to_be_bytes();
        Ipv4Addr::new(203, 0, third, fourth)
    }
    fn boot(&self, _: u64, _: Ipv4Addr, _: &str) {}
    fn start(&self, _: u64) {}
    fn stop(&self, _: u64) {}
    fn kill(&self, _: u64) {}
    fn remove(&self, _: u64) {}
}

/// Looks until something is done.
const LOOKS: u32 = 2;

#[derive(Clone, Debug)]
pub(crate) struct Droplet {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) status: &'static str,
    pub(crate) size: String,
    pub(crate) disk: u64,
    pub(crate) tags: BTreeSet<String>,
    pub(crate) asked: Value,
    backups: bool,
    address: Ipv4Addr,
    /// Looks until it is what it is going to be.
    left: u32,
    /// The action that is being done.
    action: Option<u64>,
    /// When lists by tag show it.
    shown: Instant,
}

#[derive(Clone, Debug)]
struct Action {
    kind: String,
    droplet: u64,
    body: Value,
    left: u32,
    status: &'static str,
}

#[derive(Default)]
struct State {
    droplets: BTreeMap<u64, Droplet>,
    keys: BTreeMap<u64, (String, String)>,
    tags: BTreeSet<String>,
    actions: BTreeMap<u64, Action>,
    next: u64,
    /// How late lists by tag are.
    late: Duration,
    limit: usize,
}

/// The provider.
pub(crate) struct Emulator {
    state: Mutex<State>,
    hosts: Box<dyn Hosts>,
}

type Answer = (u16, Value);

fn no(status: u16, id: &str, message: &str) -> Answer {
    (status, json!({ "id": id, "message": message }))
}

fn absent() -> Answer {
    no(404, "not_found", "The resource you were accessing could not be found.")
}

fn unprocessable(message: &str) -> Answer {
    no(422, "unprocessable_entity", message)
}

impl Emulator {
    pub(crate) fn new(hosts: Box<dyn Hosts>) -> Self {
        Self { state: Mutex::new(State { next: 500, limit: 1000, ..State::default() }), hosts }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Droplets of this name.
    pub(crate) fn droplets(&self, name: &str) -> Vec<Droplet> {
        self.state().droplets.values().filter(|d| d.name == name).cloned().collect()
    }

    /// Names of keys and tags that hold a text.
    pub(crate) fn left(&self, part: &str) -> Vec<String> {
        let state = self.state();
        let keys = state.keys.values().map(|(name, _)| name.clone());
        keys.chain(state.tags.iter().cloned()).filter(|name| name.contains(part)).collect()
    }

    /// From now on droplets are shown in lists by tag so late.
    pub(crate) fn late(&self, late: Duration) {
        self.state().late = late;
    }

    /// From now on no more droplets are made than these.
    pub(crate) fn limit(&self, limit: usize) {
        self.state().limit = limit;
    }

    /// Adds a foreign key.
    pub(crate) fn key(&self, name: &str, public: &str) -> u64 {
        let mut state = self.state();
        state.next += 1;
        let id = state.next;
        state.keys.insert(id, (name.to_owned(), public.to_owned()));
        id
    }

    /// Adds a droplet without our tag, as docker-machine made them.
    pub(crate) fn foreign(&self, name: &str) -> u64 {
        let asked = json!({ "name": name, "size": "s-1vcpu-1gb", "image": "ubuntu-24-04-x64", "region": "nyc3", "ssh_keys": [] });
        let (_, made) = self.make(&asked);
        made["droplet"]["id"].as_u64().unwrap()
    }

    /// Removes a droplet at once, as its owner does by hand. Its tag stays.
    pub(crate) fn vanish(&self, id: u64) {
        self.state().droplets.remove(&id);
    }

    /// Puts a tag on a droplet, as its owner does by hand.
    pub(crate) fn tag(&self, id: u64, tag: &str) {
        let mut state = self.state();
        state.tags.insert(tag.to_owned());
        state.droplets.get_mut(&id).unwrap().tags.insert(tag.to_owned());
    }

    /// What another account's token sees: an account with nothing in it. Nothing may be made there.
    fn elsewhere(request: &Request) -> Answer {
        let path = request.path.trim_start_matches("/v2/");
        match (request.method.as_str(), path) {
            ("GET", "account") => (200, account("theirs@example.org", "theirs", 2)),
            ("GET", "droplets") => page(request, "droplets", Vec::new()),
            ("GET", "account/keys") => page(request, "ssh_keys", Vec::new()),
            ("GET" | "DELETE", _) => absent(),
            (method, _) => panic!("{method} {path} in another account"),
        }
    }

    fn handle(&self, request: &Request) -> Answer {
        let given = request.header("authorization").and_then(|word| word.strip_prefix("Bearer "));
        if given == Some(OTHER) {
            return Self::elsewhere(request);
        }
        if given != Some(TOKEN) {
            return no(401, "unauthorized", "Unable to authenticate you");
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
        let path: Vec<&str> = request.path.trim_start_matches("/v2/").split('/').collect();
        let number = |text: &str| text.parse::<u64>().unwrap_or(0);
        match (request.method.as_str(), path.as_slice()) {
            ("GET", ["regions"]) => {
                page(request, "regions", shape::REGIONS.iter().map(|r| shape::region(r.0)).collect())
            }
            ("GET", ["sizes"]) => page(request, "sizes", shape::SIZES.iter().map(|s| shape::size(s.0)).collect()),
            ("GET", ["images"]) => page(request, "images", shape::IMAGES.iter().map(|i| shape::image(i.1)).collect()),
            ("GET", ["images", word]) => {
                let found = shape::IMAGES.iter().find(|(id, slug, ..)| *slug == *word || *id == number(word));
                found.map_or_else(absent, |image| (200, json!({ "image": shape::image(image.1) })))
            }
            ("GET", ["vpcs"]) => page(request, "vpcs", vec![vpc("default-nyc3", "nyc3", 1), vpc("inside", "fra1", 2)]),
            ("GET", ["account"]) => (200, account("ours@example.org", "shop", 1)),
            ("GET", ["tags", name]) if self.state().tags.contains(*name) => {
                (200, json!({ "tag": { "name": name, "resources": { "count": 0 } } }))
            }
            ("GET", ["account", "keys"]) => {
                let keys = self.state().keys.iter().map(|(id, key)| show_key(*id, key)).collect();
                page(request, "ssh_keys", keys)
            }
            ("POST", ["account", "keys"]) => self.add_key(&body),
            ("GET", ["account", "keys", id]) => {
                let state = self.state();
                let found = state.keys.get_key_value(&number(id));
                found.map_or_else(absent, |(id, key)| (200, json!({ "ssh_key": show_key(*id, key) })))
            }
            ("DELETE", ["account", "keys", id]) => {
                if self.state().keys.remove(&number(id)).is_some() {
                    (204, Value::Null)
                } else {
                    absent()
                }
            }
            ("GET", ["droplets"]) => self.list(request),
            ("POST", ["droplets"]) => self.make(&body),
            ("GET", ["droplets", id]) => self.look(number(id)),
            ("DELETE", ["droplets", id]) => self.remove(number(id)),
            ("POST", ["droplets", id, "actions"]) => self.act(number(id), &body),
            ("GET", ["actions", id]) => self.action(number(id)),
            ("POST", ["tags"]) => {
                let name = body["name"].as_str().unwrap_or_default().to_owned();
                if !self.state().tags.insert(name.clone()) {
                    return unprocessable("Tag name has already been taken");
                }
                (201, json!({ "tag": { "name": name, "resources": { "count": 0 } } }))
            }
            ("DELETE", ["tags", tag]) => {
                if self.state().tags.remove(*tag) {
                    (204, Value::Null)
                } else {
                    absent()
                }
            }
            ("POST" | "DELETE", ["tags", tag, "resources"]) => self.tag_resources(request.method == "POST", tag, &body),
            _ => absent(),
        }
    }

    fn add_key(&self, body: &Value) -> Answer {
        let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
        let (name, public) = (text("name"), text("public_key"));
        let bare = |key: &str| key.split_whitespace().nth(1).map(str::to_owned);
        let mut state = self.state();
        if state.keys.values().any(|(_, own)| bare(own) == bare(&public)) {
            return unprocessable("SSH Key is already in use on your account");
        }
        state.next += 1;
        let id = state.next;
        state.keys.insert(id, (name, public));
        (201, json!({ "ssh_key": show_key(id, &state.keys[&id]) }))
    }

    fn list(&self, request: &Request) -> Answer {
        let wanted = parameter(&request.query, "tag_name");
        let state = self.state();
        let shown = |d: &&Droplet| {
            wanted
                .as_ref()
                .is_none_or(|tag| d.tags.iter().any(|own| own.eq_ignore_ascii_case(tag)) && d.shown <= Instant::now())
        };
        page(request, "droplets", state.droplets.values().filter(shown).map(show).collect())
    }

    fn make(&self, body: &Value) -> Answer {
        let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
        let (region, size) = (text("region"), text("size"));
        let mut state = self.state();
        if !shape::REGIONS.iter().any(|(slug, _, open)| *slug == region && *open) {
            return unprocessable("You specified an invalid region for Droplet creation.");
        }
        let Some((_, _, _, disk)) = shape::SIZES.iter().find(|(slug, ..)| *slug == size) else {
            return unprocessable("You specified an invalid size for Droplet creation.");
        };
        if region == "ams3" && size == "s-2vcpu-4gb" {
            return unprocessable("Size is not available in this region.");
        }
        if !shape::IMAGES.iter().any(|(id, slug, ..)| *slug == text("image") || Some(*id) == body["image"].as_u64()) {
            return unprocessable("You specified an invalid image for Droplet creation.");
        }
        let keys = body["ssh_keys"].as_array().cloned().unwrap_or_default();
        if let Some(unknown) = keys.iter().find(|key| !state.keys.contains_key(&key.as_u64().unwrap_or(0))) {
            return unprocessable(&format!("{unknown} are invalid key identifiers for Droplet creation."));
        }
        if state.droplets.len() >= state.limit {
            return unprocessable("creating this/these droplet(s) will exceed your droplet limit");
        }
        state.next += 1;
        let id = state.next;
        let tags: BTreeSet<String> =
            body["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        state.tags.extend(tags.iter().cloned());
        let droplet = Droplet {
            id,
            name: text("name"),
            status: "new",
            size,
            disk: *disk,
            tags,
            asked: body.clone(),
            backups: body["backups"] == true,
            address: self.hosts.address(id),
            left: LOOKS,
            action: None,
            shown: Instant::now() + state.late,
        };
        self.hosts.boot(id, droplet.address, body["user_data"].as_str().unwrap_or_default());
        let shown = show(&droplet);
        state.droplets.insert(id, droplet);
        let action = json!({ "id": id + 1_000_000, "rel": "create", "href": format!("https://api.digitalocean.com/v2/actions/{id}") });
        (202, json!({ "droplet": shown, "links": { "actions": [action] } }))
    }

    fn look(&self, id: u64) -> Answer {
        let mut state = self.state();
        if let Some(action) = state.droplets.get(&id).and_then(|droplet| droplet.action) {
            self.advance(&mut state, action);
        }
        let Some(droplet) = state.droplets.get_mut(&id) else { return absent() };
        if droplet.status == "new" {
            droplet.left = droplet.left.saturating_sub(1);
            if droplet.left == 0 {
                droplet.status = "active";
            }
        }
        (200, json!({ "droplet": show(droplet) }))
    }

    fn remove(&self, id: u64) -> Answer {
        let mut state = self.state();
        match state.droplets.get(&id) {
            None => absent(),
            Some(droplet) if droplet.action.is_some() => unprocessable("Droplet already has a pending event."),
            Some(_) => {
                state.droplets.remove(&id);
                drop(state);
                self.hosts.remove(id);
                (204, Value::Null)
            }
        }
    }

    fn act(&self, id: u64, body: &Value) -> Answer {
        let mut state = self.state();
        let kind = body["type"].as_str().unwrap_or_default().to_owned();
        let Some(droplet) = state.droplets.get(&id) else { return absent() };
        if droplet.action.is_some() || droplet.status == "new" {
            return unprocessable("Droplet already has a pending event.");
        }
        let off = droplet.status == "off";
        match kind.as_str() {
            "power_on" if !off => return unprocessable("Droplet is already powered on"),
            "shutdown" | "power_off" | "reboot" if off => return unprocessable("Droplet is already powered off."),
            "resize" if !off => return unprocessable("Droplet must be powered off"),
            "resize" => {
                let size = body["size"].as_str().unwrap_or_default();
                if size == droplet.size {
                    return unprocessable("Droplet is already this size.");
                }
                match shape::SIZES.iter().find(|(slug, ..)| *slug == size) {
                    None => return unprocessable("You specified an invalid size."),
                    Some((.., disk)) if *disk < droplet.disk => {
                        return unprocessable("This size is not available because it has a smaller disk.");
                    }
                    Some(_) => {}
                }
            }
            _ => {}
        }
        state.next += 1;
        let action = state.next;
        state.droplets.get_mut(&id).unwrap().action = Some(action);
        state
            .actions
            .insert(action, Action { kind, droplet: id, body: body.clone(), left: LOOKS, status: "in-progress" });
        (201, json!({ "action": show_action(action, &state.actions[&action]) }))
    }

    fn action(&self, id: u64) -> Answer {
        let mut state = self.state();
        if !state.actions.contains_key(&id) {
            return absent();
        }
        self.advance(&mut state, id);
        (200, json!({ "action": show_action(id, &state.actions[&id]) }))
    }

    /// A look was made, and time goes on.
    fn advance(&self, state: &mut State, id: u64) {
        let action = state.actions.get_mut(&id).unwrap();
        action.left = action.left.saturating_sub(1);
        if action.left == 0 && action.status == "in-progress" {
            action.status = "completed";
            let action = action.clone();
            self.done(state, &action);
        }
    }

    fn done(&self, state: &mut State, action: &Action) {
        let Some(droplet) = state.droplets.get_mut(&action.droplet) else { return };
        droplet.action = None;
        let id = droplet.id;
        match action.kind.as_str() {
            "power_on" => {
                droplet.status = "active";
                self.hosts.start(id);
            }
            "shutdown" => {
                droplet.status = "off";
                self.hosts.stop(id);
            }
            "power_off" => {
                droplet.status = "off";
                self.hosts.kill(id);
            }
            "reboot" => {
                self.hosts.stop(id);
                self.hosts.start(id);
            }
            "resize" => {
                action.body["size"].as_str().unwrap().clone_into(&mut droplet.size);
                if action.body["disk"] == true {
                    droplet.disk = shape::SIZES.iter().find(|(slug, ..)| *slug == droplet.size).unwrap().3;
                }
            }
            "enable_backups" => droplet.backups = true,
            "disable_backups" => droplet.backups = false,
            other => panic!("an unknown request for {other}"),
        }
    }

    fn tag_resources(&self, put: bool, tag: &str, body: &Value) -> Answer {
        let mut state = self.state();
        if !state.tags.contains(tag) {
            return absent();
        }
        for resource in body["resources"].as_array().into_iter().flatten() {
            let id = resource["resource_id"].as_str().and_then(|id| id.parse().ok()).unwrap_or(0);
            let Some(droplet) = state.droplets.get_mut(&id) else { return absent() };
            if put {
                droplet.tags.insert(tag.to_owned());
            } else {
                droplet.tags.remove(tag);
            }
        }
        (204, Value::Null)
    }
}

fn parameter(query: &str, name: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| pair.split_once('=').filter(|(own, _)| *own == name))?.1;
    Some(value.replace("%3A", ":"))
}

/// One page of a list.
fn page(request: &Request, name: &str, all: Vec<Value>) -> Answer {
    let number =
        |name: &str, usual: usize| parameter(&request.query, name).and_then(|n| n.parse().ok()).unwrap_or(usual);
    let (page, per) = (number("page", 1), number("per_page", 20));
    let total = all.len();
    let items: Vec<Value> = all.into_iter().skip((page - 1) * per).take(per).collect();
    let url = |page: usize| format!("https://api.digitalocean.com{}?page={page}&per_page={per}", request.path);
    let links = if page * per < total {
        json!({ "pages": { "next": url(page + 1), "last": url(total.div_ceil(per)) } })
    } else if page > 1 {
        json!({ "pages": { "first": url(1), "prev": url(page - 1) } })
    } else {
        json!({})
    };
    (200, json!({ name: items, "links": links, "meta": { "total": total } }))
}

impl Serve for Emulator {
    fn serve(&self, request: Request, stream: &mut TcpStream) {
        let (status, body) = self.handle(&request);
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let limits = "ratelimit-limit: 5000\r\nratelimit-remaining: 4816\r\nratelimit-reset: 1795219260\r\n";
        wire::answer(stream, status, limits, &text);
    }
}
