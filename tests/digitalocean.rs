//! Driver `digitalocean` against an emulator with a memory, through `prism proxy` on the provider's own document: both
//! sides are held to it. Whatever is lost on the way, there is one droplet, and none and nothing else after its removal.
//!
//! It needs `npm` and that document (`MACHINE_LAB_SPECS`, or `../shared/lab/specs`), and neither root nor a network.

#![expect(clippy::disallowed_methods, reason = "it looks at files as a user would")]

mod ocean;

use async_trait::async_trait;
use machine::{
    driver::{
        AnyDriver, Checkpoint, DriverContext, DriverError, PowerAction,
        digitalocean::{DigitalOcean, Pauses},
        options,
    },
    http::{Limiter, Pace, Service},
    name::{FleetName, MachineName},
    quote::Sh,
    record::{Instance, OptionValues, Power},
    secret::{Reveal, Revealed, Secret, SecretError},
    transport::{Connect, Limits, LineSink, Output, Stream, Target, Transport, TransportError},
};
use ocean::{
    Ocean, TOKEN,
    emulator::Words,
    front::{Fault, Front},
};
use serde_json::{Value, json};
use std::{
    fs,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

static DRIVER: DigitalOcean = DigitalOcean::new(
    Pauses {
        pace: Pace { first: Duration::from_millis(50), most: Duration::from_millis(200) },
        settle: Duration::from_secs(6),
    },
    || Service::new(Limiter::new(Duration::from_millis(1), 100, 50)),
);

/// Lets everybody in, and does nothing for them.
struct Open;

#[async_trait]
impl Connect for Open {
    async fn connect(&self, _: &Target) -> Result<Arc<dyn Transport>, TransportError> {
        Ok(Arc::new(Self))
    }
}

#[async_trait]
impl Transport for Open {
    async fn run(&self, _: &Sh, _: &[u8], _: Limits, _: LineSink<'_>) -> Result<Output, TransportError> {
        panic!("the driver runs nothing")
    }
    async fn open_unix(&self, _: &str) -> Result<Pin<Box<dyn Stream>>, TransportError> {
        panic!("the driver opens nothing")
    }
    fn host_key(&self) -> String {
        String::new()
    }
    fn jump_key(&self) -> Option<String> {
        None
    }
    fn needs_sudo(&self) -> bool {
        false
    }
    fn is_closed(&self) -> bool {
        false
    }
}

/// Knows the token under any name; that of `WRONG` is another.
struct Tokens;

impl Reveal for Tokens {
    fn reveal(&self, secret: &Secret) -> Result<Revealed, SecretError> {
        let wrong = *secret == Secret::Env("WRONG".to_owned());
        Ok(Revealed::new(if wrong { "dop_v1_wrong" } else { TOKEN }.to_owned()))
    }
}

#[derive(Default)]
struct Kept(Mutex<Vec<Instance>>);

impl Checkpoint for Kept {
    fn instance(&self, instance: &Instance) -> Result<(), DriverError> {
        self.0.lock().unwrap().push(instance.clone());
        Ok(())
    }
}

/// One machine, its folder, its way to the provider, and what was recorded of it.
struct Case<'o> {
    ocean: &'o Ocean,
    front: Front,
    name: MachineName,
    dir: tempfile::TempDir,
    kept: Kept,
    told: Mutex<Vec<String>>,
    given: Value,
}

impl<'o> Case<'o> {
    fn new(ocean: &'o Ocean, name: &str) -> Self {
        let (front, dir) = (ocean.front(), tempfile::tempdir().unwrap());
        let name = MachineName::new(name).unwrap();
        let (kept, told) = (Kept::default(), Mutex::default());
        Self { ocean, front, name, dir, kept, told, given: json!({}) }
    }

    fn given(mut self, given: Value) -> Self {
        self.given = given;
        self
    }

    fn values(&self) -> OptionValues {
        let mut given: OptionValues = serde_json::from_value(self.given.clone()).unwrap();
        given.insert("endpoint".to_owned(), json!(self.front.url()));
        options::with_defaults(AnyDriver::options(&DRIVER), &given)
    }

    async fn with<T>(&self, call: impl AsyncFnOnce(&dyn AnyDriver, &DriverContext<'_>, &OptionValues) -> T) -> T {
        let fleet = FleetName::new("shop").unwrap();
        let secrets: Arc<dyn Reveal> = Arc::new(Tokens);
        let progress = |text: &str| self.told.lock().unwrap().push(text.to_owned());
        let cx = DriverContext {
            machine: &self.name,
            fleet: Some(&fleet),
            store_id: "5f2a",
            dir: self.dir.path(),
            connect: &Open,
            checkpoint: &self.kept,
            secrets: &secrets,
            progress: &progress,
        };
        call(&DRIVER, &cx, &self.values()).await
    }

    /// As the executor does it: again when an answer was lost.
    async fn create(&self) -> Result<Instance, DriverError> {
        self.with(async |driver, cx, values| {
            for _ in 0..4 {
                match driver.create(cx, values).await {
                    Err(e) if e.is_transient() => {}
                    other => return other,
                }
            }
            panic!("{}: it never ends: {:?}", self.name, self.front.seen())
        })
        .await
    }

    async fn change(&self, instance: &Instance) -> Result<Instance, DriverError> {
        self.with(async |driver, cx, values| {
            for _ in 0..4 {
                match driver.change(cx, instance, values).await {
                    Err(e) if e.is_transient() => {}
                    other => return other,
                }
            }
            panic!("it never ends")
        })
        .await
    }

    async fn power(&self, instance: &Instance, action: PowerAction) -> Power {
        self.with(async |driver, cx, values| {
            for _ in 0..4 {
                match driver.set_power(cx, instance, values, action).await {
                    Err(e) if e.is_transient() => {}
                    other => {
                        let now = other.unwrap();
                        return driver.power(cx, &now, values).await.unwrap();
                    }
                }
            }
            panic!("it never ends")
        })
        .await
    }

    /// Removes whatever was recorded last, and sees that nothing is left; a second time too.
    async fn rm(&self) {
        let Some(last) = self.kept.0.lock().unwrap().last().cloned() else { return self.nothing_left() };
        for _ in 0..2 {
            self.with(async |driver, cx, values| {
                for _ in 0..4 {
                    match driver.rm(cx, &last, values).await {
                        Err(e) if e.is_transient() => {}
                        other => return other.unwrap(),
                    }
                }
                panic!("it never ends")
            })
            .await;
            self.nothing_left();
        }
    }

    #[track_caller]
    fn nothing_left(&self) {
        let name = self.name.as_str();
        assert!(self.ocean.emulator.droplets(name).is_empty(), "{name}: a droplet is left");
        let left = self.ocean.emulator.left(&format!(":{name}"));
        assert!(left.is_empty(), "{name}: {left:?} is left");
    }

    #[track_caller]
    fn one(&self) -> ocean::emulator::Droplet {
        let all = self.ocean.emulator.droplets(self.name.as_str());
        assert_eq!(all.len(), 1, "{}: {all:#?}\n{:#?}", self.name, self.front.seen());
        all.into_iter().next().unwrap()
    }

    /// What failed, with everything that was said of it; no secret in it.
    #[track_caller]
    fn words(&self, e: &DriverError) -> String {
        let text = format!("{e}\n{}", e.help().unwrap_or_default());
        let all = format!("{text}{e:?}{:?}", self.told.lock().unwrap());
        assert!(!all.contains("canary") && !all.contains("dop_v1"), "{all}");
        text
    }
}

/// Pain 24 beside: what was made, kept and said holds no token.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_provider_and_its_document_agree_with_the_driver() {
    let Some(ocean) = Ocean::new(Box::new(Words)) else { return };
    let ocean = &ocean;
    tokio::join!(life(ocean), made_once(ocean), cut_off(ocean), changed_once(ocean), refused(ocean), of_others(ocean));
    ocean.keeps_to_the_document();
    full(ocean).await;
    ocean.keeps_to_the_document();
}

async fn life(ocean: &Ocean) {
    let mut case = Case::new(ocean, "life").given(json!({ "tags": ["blue", "web"], "ipv6": true, "monitoring": true }));
    assert_eq!(case.with(async |driver, cx, values| driver.find(cx, values).await).await.unwrap(), None);
    let made = case.create().await.unwrap();
    let droplet = case.one();
    assert_eq!((made.id.as_str(), droplet.status), (droplet.id.to_string().as_str(), "active"));
    assert_eq!(made.address, made.ssh.as_ref().unwrap().host);
    let asked = &droplet.asked;
    assert_eq!((&asked["ipv6"], &asked["monitoring"], &asked["backups"]), (&json!(true), &json!(true), &json!(false)));
    assert_eq!(asked["tags"], json!(["blue", "web", "machine:5f2a:shop:life"]));
    // The host is known before it has ever answered: its private half went with the user data.
    let host = fs::read_to_string(case.dir.path().join("ssh_host_ed25519_key")).unwrap();
    let public = fs::read_to_string(case.dir.path().join("ssh_host_ed25519_key.pub")).unwrap();
    assert!(public.starts_with(&made.host_keys[0]) && made.host_keys[0].starts_with("ssh-ed25519 "));
    let data = asked["user_data"].as_str().unwrap();
    assert!(data.contains(host.lines().nth(1).unwrap()), "{data}");
    for entry in fs::read_dir(case.dir.path()).unwrap().flatten() {
        assert!(!fs::read_to_string(entry.path()).unwrap().contains(TOKEN), "{}", entry.path().display());
    }

    assert_eq!(case.create().await.unwrap(), made, "creating twice is creating once");
    assert_eq!(case.with(async |driver, cx, values| driver.find(cx, values).await).await.unwrap(), Some(made.clone()));
    assert_eq!(case.power(&made, PowerAction::Start).await, Power::Running, "nothing to do");
    assert_eq!(case.power(&made, PowerAction::Stop).await, Power::Stopped);
    assert_eq!(case.power(&made, PowerAction::Stop).await, Power::Stopped);
    assert_eq!(case.power(&made, PowerAction::Restart).await, Power::Running);
    assert_eq!(case.power(&made, PowerAction::Restart).await, Power::Running);
    assert_eq!(case.power(&made, PowerAction::Kill).await, Power::Stopped);
    assert_eq!(case.power(&made, PowerAction::Start).await, Power::Running);

    // Somebody's own tag stays; what the fleet no longer says goes.
    ocean.emulator.tag(droplet.id, "by-hand");
    case.given =
        json!({ "size": "s-2vcpu-2gb", "tags": ["web", "green"], "backups": true, "ipv6": true, "monitoring": true });
    let changed = case.change(&made).await.unwrap();
    assert_eq!(changed, made, "neither address nor keys change");
    let now = case.one();
    assert_eq!((now.size.as_str(), now.disk, now.status), ("s-2vcpu-2gb", 25, "active"), "the disk stays as it is");
    assert_eq!(now.tags.into_iter().collect::<Vec<_>>(), ["by-hand", "green", "machine:5f2a:shop:life", "web"]);
    let calls = case.front.seen().len();
    case.change(&made).await.unwrap();
    assert!(case.front.seen()[calls..].iter().all(|call| call.starts_with("GET ")), "nothing is left to change");

    case.given = json!({ "size": "s-1vcpu-1gb", "tags": [] });
    case.change(&made).await.unwrap();
    assert_eq!((case.one().size.as_str(), case.one().disk), ("s-1vcpu-1gb", 25), "and back, since the disk stayed");
    case.given = json!({ "size": "s-2vcpu-4gb", "resize-disk": true });
    case.change(&made).await.unwrap();
    assert_eq!(case.one().disk, 80, "when it is asked for");
    case.given = json!({ "size": "s-1vcpu-512mb-10gb" });
    let e = case.change(&made).await.unwrap_err();
    assert!(case.words(&e).contains("smaller disk"), "{e}");
    assert_eq!(case.one().status, "active", "it is not left off for nothing");
    case.rm().await;
    let gone = case.with(async |driver, cx, values| driver.power(cx, &made, values).await).await;
    assert_eq!(gone.unwrap(), Power::Gone);
}

const FAULTS: [Fault; 5] = [Fault::Before, Fault::After, Fault::Broken, Fault::BrokenAfter, Fault::Throttled];

/// Whatever is lost of whichever request of a creation: one droplet, always, and nothing after its removal.
async fn made_once(ocean: &Ocean) {
    let cases = ["POST /droplets", "POST /account/keys", "GET /droplets", "DELETE /droplets", "DELETE /account/keys"];
    let mut names = Vec::new();
    for (i, request) in cases.iter().enumerate() {
        for (j, fault) in FAULTS.iter().enumerate() {
            names.push((format!("lost-{i}-{j}"), *request, *fault));
        }
    }
    // In a few rows beside each other: the provider takes only so many requests at once.
    let row = async |names: &[(String, &'static str, Fault)]| {
        for (name, request, fault) in names {
            let case = Case::new(ocean, name);
            let (method, part) = request.split_once(' ').unwrap();
            case.front.plan((method, part, *fault));
            let made = case.create().await.unwrap_or_else(|e| panic!("{name} {request} {fault:?}: {e}"));
            assert_eq!(case.one().id.to_string(), made.id, "{request} {fault:?}");
            case.rm().await;
            assert!(case.front.is_done(), "{name} {request} {fault:?}: never asked: {:?}", case.front.seen());
        }
    };
    let (first, rest) = names.split_at(names.len() / 2);
    tokio::join!(row(first), row(rest));
}

/// The program is killed while its request is under way; lists by tag are late besides.
async fn cut_off(ocean: &Ocean) {
    for (name, part, again) in [
        ("cut-0", "/droplets", true),
        ("cut-1", "/droplets", false),
        ("cut-2", "/account/keys", true),
        ("cut-3", "/account/keys", false),
    ] {
        let case = Case::new(ocean, name);
        case.front.plan(("POST", part, Fault::Silence));
        let under_way = async {
            while !case.front.is_done() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        };
        tokio::select! {
            made = case.create() => panic!("{name}: {made:?}"),
            () = under_way => {}
        }
        if again {
            let made = case.create().await.unwrap();
            assert_eq!(case.one().id.to_string(), made.id);
        }
        case.rm().await;
    }
    // The provider has made it, and for two seconds its list does not say so.
    for (name, again) in [("late-0", true), ("late-1", false)] {
        ocean.emulator.late(Duration::from_secs(2));
        let case = Case::new(ocean, name);
        case.front.plan(("POST", "\"name\":\"late", Fault::After));
        if again {
            let made = case.create().await.unwrap();
            assert_eq!(case.one().id.to_string(), made.id);
            assert!(case.told.lock().unwrap().iter().any(|text| text.contains("waiting whether it appears")));
        } else {
            let lost = case.with(async |driver, cx, values| driver.create(cx, values).await).await.unwrap_err();
            assert!(lost.is_transient(), "{lost}");
        }
        case.rm().await;
        ocean.emulator.late(Duration::ZERO);
    }
    // It was found, but the key made for it has gone with its folder.
    let case = Case::new(ocean, "keyless");
    case.create().await.unwrap();
    fs::remove_file(case.dir.path().join("id_ed25519")).unwrap();
    for _ in 0..2 {
        let e = case.create().await.unwrap_err();
        assert!(case.words(&e).contains("machine rm -y keyless"), "{e}");
    }
    case.rm().await;
}

/// A resize in which each request is lost in each way ends with the size that was asked for, and switched on.
async fn changed_once(ocean: &Ocean) {
    for (i, kind) in ["shutdown", "\"resize\"", "power_on"].iter().enumerate() {
        for (j, fault) in [Fault::Before, Fault::After, Fault::BrokenAfter].iter().enumerate() {
            let mut case = Case::new(ocean, &format!("resize-{i}-{j}"));
            let made = case.create().await.unwrap();
            case.given = json!({ "size": "s-1vcpu-2gb" });
            case.front.plan(("POST", kind, *fault));
            case.change(&made).await.unwrap();
            let now = case.one();
            assert!(case.front.is_done());
            assert_eq!((now.size.as_str(), now.status), ("s-1vcpu-2gb", "active"), "{kind} {fault:?}");
            case.rm().await;
        }
    }
}

async fn refused(ocean: &Ocean) {
    for (name, given, want) in [
        (
            "no-token",
            json!({ "access-token": { "env": "WRONG" } }),
            &["Unable to authenticate you (401", "export DIGITALOCEAN_ACCESS_TOKEN"][..],
        ),
        ("no-region", json!({ "region": "nyc2" }), &["invalid region", "use one of `nyc3`"]),
        (
            "shut-region",
            json!({ "region": "nyc1" }),
            &["invalid region", "region `nyc1` takes no droplets now", "`nyc3`"],
        ),
        ("no-size", json!({ "size": "s-1vcpu-3gb" }), &["invalid size", "use one of `s-1vcpu-"]),
        (
            "no-size-here",
            json!({ "size": "s-2vcpu-4gb", "region": "ams3" }),
            &["is not to be had in `ams3`", "`s-2vcpu-2gb`"],
        ),
        ("no-image", json!({ "image": "debian-11-x64" }), &["invalid image", "`debian-12-x64`"]),
        ("no-vpc", json!({ "vpc": "outside" }), &["no VPC `outside`", "in `nyc3` there are `default-nyc3`"]),
        ("vpc-elsewhere", json!({ "vpc": "inside" }), &["`inside` is in region `fra1`"]),
        ("no-key", json!({ "ssh-key-fingerprint": "3b:16:bf" }), &["no key with the fingerprint 3b:16:bf"]),
        ("no-data", json!({ "userdata": "/nowhere/data" }), &["/nowhere/data cannot be read", "correct `userdata`"]),
        ("odd-", json!({}), &["no name that ends as `odd-`"]),
    ] {
        let case = Case::new(ocean, name).given(given);
        let e = case.create().await.unwrap_err();
        assert!(!e.is_transient());
        let words = case.words(&e);
        println!("{words}\n");
        assert!(want.iter().all(|part| words.contains(part)), "{name}: {words}");
        case.nothing_left();
    }
    let case = Case::new(ocean, "vpc").given(json!({ "vpc": "inside", "region": "fra1", "image": "1002" }));
    case.create().await.unwrap();
    assert_eq!(case.one().asked["vpc_uuid"], "5a4981aa-9653-4bd1-bef5-d6bff5204002");
    assert_eq!(case.one().asked["image"], 1002);
    case.rm().await;
    let own = case.dir.path().join("own");
    fs::write(&own, vec![b'#'; 70 << 10]).unwrap();
    let case = Case::new(ocean, "large").given(json!({ "userdata": own }));
    fs::write(&own, format!("#!/bin/sh\n{}", "#".repeat(70 << 10))).unwrap();
    let e = case.create().await.unwrap_err();
    assert!(case.words(&e).contains("takes 64 KiB"), "{e}");
    case.nothing_left();
}

/// What others have made stays theirs.
async fn of_others(ocean: &Ocean) {
    // More keys than go on one page, and one that is ours by content and somebody's by name.
    for i in 0..230 {
        ocean.emulator.key(&format!("somebody {i}"), &format!("ssh-ed25519 AAAA{i} somebody"));
    }
    let case = Case::new(ocean, "shared");
    let dir = case.dir.path();
    let made = case.create().await.unwrap();
    let public = fs::read_to_string(dir.join("id_ed25519.pub")).unwrap();
    case.rm().await;
    let id = ocean.emulator.key("somebody last", public.trim());
    let again = case.create().await.unwrap();
    assert_ne!(made.id, again.id);
    assert_eq!(
        case.one().asked["ssh_keys"],
        json!([id]),
        "the same key is not added twice, wherever in the list it is"
    );
    case.rm().await;
    assert_eq!(ocean.emulator.left("somebody").len(), 231, "it is not ours to remove");

    // A droplet that docker-machine made: no tag, its number is recorded, its key has the machine's name.
    let case = Case::new(ocean, "old").given(json!({ "size": "s-1vcpu-2gb" }));
    let id = ocean.emulator.foreign("old");
    ocean.emulator.key("old", "ssh-rsa BBBB");
    ocean.emulator.key("old", "ssh-rsa CCCC");
    fs::write(case.dir.path().join("id_rsa.pub"), "ssh-rsa BBBB\n").unwrap();
    let ssh = json!({ "host": "203.0.113.5", "port": 22, "user": "root", "key": "id_rsa", "jump": null });
    let recorded = json!({
        "id": id.to_string(), "address": "203.0.113.5", "ssh": ssh, "url": null, "host_keys": ["ssh-rsa DDDD"],
        "host-keys": ["ssh-rsa DDDD"],
    });
    let ssh = serde_json::from_value(recorded["ssh"].clone()).unwrap();
    let old = Instance {
        id: id.to_string(),
        address: "203.0.113.5".to_owned(),
        ssh: Some(ssh),
        url: None,
        host_keys: vec!["ssh-rsa DDDD".to_owned()],
        jump_keys: Vec::new(),
    };
    case.ocean.emulator.tag(id, "theirs");
    case.power(&old, PowerAction::Start).await;
    let changed = case.change(&old).await.unwrap();
    assert_eq!(changed.ssh.as_ref().unwrap().key.as_deref(), Some("id_rsa"), "docker-machine's key stays in use");
    assert_eq!(changed.host_keys, old.host_keys);
    assert!(case.one().tags.contains("machine:5f2a:shop:old"), "from now on it is found by its tag too");
    case.kept.0.lock().unwrap().push(old);
    case.rm().await;
    assert_eq!(ocean.emulator.left("old"), ["old"], "one key of the name is somebody else's");
}

async fn full(ocean: &Ocean) {
    ocean.emulator.limit(0);
    let case = Case::new(ocean, "full");
    let e = case.create().await.unwrap_err();
    let words = case.words(&e);
    assert!(words.contains("exceed your droplet limit") && words.contains("ask for a higher limit"), "{words}");
    case.nothing_left();
}
