//! Driver `amazonec2` against moto: its whole life, under every fault at every call, with signatures and policies checked.

#![expect(clippy::disallowed_methods, reason = "the tests write files and run the program itself")]

mod moto;

use async_trait::async_trait;
use machine::{
    driver::{self, AnyDriver, Checkpoint, DriverContext, DriverError, PowerAction, options},
    name::{FleetName, MachineName},
    record::{Instance, OptionValues, Power},
    secret::{Reveal, Revealed, Secret, SecretError, SecretProblem},
    transport::{Connect, Target, Transport, TransportError},
};
use moto::{
    Moto,
    proxy::{Fault, Proxy, Which, text},
    ready,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

const STORE: &str = "0123456789abcdef";
const CANARY: &str = "canary-of-a-secret-key";

struct NoConnect;

#[async_trait]
impl Connect for NoConnect {
    async fn connect(&self, target: &Target) -> Result<Arc<dyn Transport>, TransportError> {
        Err(TransportError::Config { machine: target.machine.clone(), why: "nobody is there".to_owned() })
    }
}

#[derive(Default)]
struct Seen(Mutex<Vec<Instance>>);

impl Checkpoint for Seen {
    fn instance(&self, instance: &Instance) -> Result<(), DriverError> {
        self.0.lock().unwrap().push(instance.clone());
        Ok(())
    }
}

struct Secrets(BTreeMap<&'static str, String>);

impl Reveal for Secrets {
    fn reveal(&self, secret: &Secret) -> Result<Revealed, SecretError> {
        let found = match secret {
            Secret::Env(name) => self.0.get(name.as_str()),
            _ => None,
        };
        let absent = || SecretError { secret: secret.clone(), why: SecretProblem::Unset };
        found.map(|text| Revealed::new(text.clone())).ok_or_else(absent)
    }
}

/// One emulated cloud, used by one test at a time.
struct Lab {
    moto: Moto,
    proxy: Proxy,
}

impl Lab {
    fn get() -> MutexGuard<'static, Self> {
        static LAB: OnceLock<Mutex<Lab>> = OnceLock::new();
        let start = || {
            let moto = Moto::start();
            Mutex::new(Self { proxy: Proxy::start(moto.port), moto })
        };
        let lab = LAB.get_or_init(start).lock().unwrap_or_else(PoisonError::into_inner);
        lab.fresh();
        lab
    }

    fn fresh(&self) {
        self.moto.reset();
        self.proxy.plan(Vec::new());
    }
}

/// A machine, with a folder as a store would give it.
struct Host {
    name: MachineName,
    fleet: FleetName,
    dir: PathBuf,
    _folder: tempfile::TempDir,
    seen: Seen,
    secrets: Arc<dyn Reveal>,
    told: Mutex<Vec<String>>,
    values: OptionValues,
}

impl Host {
    fn new(proxy: &Proxy, given: Value) -> Self {
        Self::named("web-1", proxy, given)
    }

    #[expect(clippy::needless_pass_by_value, reason = "it is written where it is called")]
    fn named(name: &str, proxy: &Proxy, given: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let secrets = [("KEY", "AKIATEST".to_owned()), ("SECRET", CANARY.to_owned())];
        let mut values = json!({
            "endpoint": proxy.url(), "access-key": {"env": "KEY"}, "secret-key": {"env": "SECRET"},
            "allow": ["203.0.113.7/32"], "retries": 0,
        });
        values.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
        Self {
            name: MachineName::new(name).unwrap(),
            fleet: FleetName::new("shop").unwrap(),
            dir: folder.path().to_owned(),
            _folder: folder,
            seen: Seen::default(),
            secrets: Arc::new(Secrets(secrets.into())),
            told: Mutex::default(),
            values: complete(&values),
        }
    }

    fn set(&mut self, key: &str, value: Value) {
        let mut values = self.values.clone();
        values.insert(key.to_owned(), value);
        self.values = complete(&serde_json::to_value(values).unwrap());
    }

    async fn with<T>(&self, work: impl AsyncFnOnce(&dyn AnyDriver, &DriverContext<'_>) -> T) -> T {
        let progress = |text: &str| self.told.lock().unwrap().push(text.to_owned());
        let cx = DriverContext {
            machine: &self.name,
            fleet: Some(&self.fleet),
            store_id: STORE,
            dir: &self.dir,
            connect: &NoConnect,
            checkpoint: &self.seen,
            secrets: &self.secrets,
            progress: &progress,
        };
        work(driver(), &cx).await
    }

    async fn create_once(&self) -> Result<Instance, DriverError> {
        self.with(async |driver, cx| driver.create(cx, &self.values).await).await
    }

    /// As `apply` does it: again while it may help.
    async fn create(&self) -> Result<Instance, DriverError> {
        again(async || self.create_once().await).await
    }

    async fn find(&self) -> Result<Option<Instance>, DriverError> {
        again(async || self.with(async |driver, cx| driver.find(cx, &self.values).await).await).await
    }

    async fn power(&self, instance: &Instance) -> Result<Power, DriverError> {
        again(async || self.with(async |driver, cx| driver.power(cx, instance, &self.values).await).await).await
    }

    async fn change(&self, instance: &Instance) -> Result<Instance, DriverError> {
        again(async || self.with(async |driver, cx| driver.change(cx, instance, &self.values).await).await).await
    }

    async fn act(&self, instance: &Instance, action: PowerAction) -> Result<Instance, DriverError> {
        let act =
            async || self.with(async |driver, cx| driver.set_power(cx, instance, &self.values, action).await).await;
        again(act).await
    }

    async fn rm(&self, instance: &Instance) -> Result<(), DriverError> {
        again(async || self.with(async |driver, cx| driver.rm(cx, instance, &self.values).await).await).await
    }

    /// As `rm` does it with a record that may not know the instance yet.
    async fn rm_whatever(&self, recorded: Option<Instance>) {
        let found = match recorded {
            Some(instance) => Some(instance),
            None => self.find().await.unwrap(),
        };
        if let Some(instance) = found {
            self.rm(&instance).await.unwrap();
        }
    }

    fn recorded(&self) -> Option<Instance> {
        self.seen.0.lock().unwrap().last().cloned()
    }

    fn told(&self) -> String {
        self.told.lock().unwrap().join("\n")
    }
}

fn driver() -> &'static dyn AnyDriver {
    driver::find("amazonec2").unwrap()
}

fn complete(given: &Value) -> OptionValues {
    let table = driver().options();
    let read = |(key, value): (&String, &Value)| {
        let spec = table.iter().find(|spec| spec.key == key).unwrap_or_else(|| panic!("no option `{key}`"));
        (key.clone(), options::read(spec, value).unwrap())
    };
    options::with_defaults(table, &given.as_object().unwrap().iter().map(read).collect())
}

async fn again<T>(call: impl AsyncFn() -> Result<T, DriverError>) -> Result<T, DriverError> {
    let mut left = 6;
    loop {
        match call().await {
            Err(e) if e.is_transient() && left > 0 => left -= 1,
            other => return other,
        }
    }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work)
}

#[test]
fn an_instance_has_a_whole_life_and_leaves_nothing() {
    if !ready() {
        return;
    }
    let lab = Lab::get();
    let mut host = Host::new(&lab.proxy, json!({ "tags": "team,web", "open-port": ["8080", "53/udp"] }));
    run(async {
        assert_eq!(host.find().await.unwrap(), None);
        let made = host.create().await.unwrap();
        assert_eq!(host.recorded().unwrap().id, made.id, "kept before anything else");
        assert_eq!(lab.moto.instances(""), std::slice::from_ref(&made.id));
        assert!(!made.address.is_empty() && made.host_keys.len() == 1);
        assert_eq!(host.find().await.unwrap().as_ref(), Some(&made), "found with nothing recorded, its host key too");
        assert_eq!(host.create().await.unwrap(), made, "creating twice is creating once");
        assert_eq!(host.power(&made).await.unwrap(), Power::Running);

        let answer = lab.moto.ec2("Action=DescribeInstances");
        assert_eq!(text(&answer, "imageId"), "ami-0ub2404new", "the newest, of the publisher");
        assert_eq!(text(&answer, "httpTokens"), "required");
        assert!(answer.contains("<key>team</key>") && answer.contains(&format!("<value>{STORE}/shop/web-1</value>")));
        let user_data =
            lab.moto.ec2(&format!("Action=DescribeInstanceAttribute&InstanceId={}&Attribute=userData", made.id));
        assert!(user_data.contains("userData"), "{user_data}");
        let group = lab.moto.groups("").concat();
        let from = "203.0.113.7/32";
        let rules = ["22", "2376", "53", "8080"].map(|port| format!("{port} {from}"));
        assert_eq!(lab.moto.rules(&group), rules);

        let stopped = host.act(&made, PowerAction::Stop).await.unwrap();
        assert_eq!(host.power(&made).await.unwrap(), Power::Stopped);
        assert_eq!(host.act(&stopped, PowerAction::Stop).await.unwrap(), stopped, "stopping what is off");
        let started = host.act(&stopped, PowerAction::Start).await.unwrap();
        assert!(!started.address.is_empty(), "addresses change, and are learnt");
        assert_eq!((&started.host_keys, &started.id), (&made.host_keys, &made.id));
        host.act(&started, PowerAction::Kill).await.unwrap();
        assert_eq!(host.act(&started, PowerAction::Restart).await.unwrap().id, made.id);
        assert_eq!(host.power(&made).await.unwrap(), Power::Running);

        host.set("instance-type", json!("t3.large"));
        host.set("tags", json!("team,db,cost,7"));
        host.set("allow", json!(["203.0.113.7/32", "10.0.0.0/8"]));
        host.set("engine-open", json!(false));
        host.set("open-port", json!([]));
        host.set("root-size", json!(32));
        host.set("monitoring", json!(true));
        // moto has no such calls.
        let monitor = || vec![(Which::Action("MonitorInstances", 1), Fault::Says(200, ""))];
        lab.proxy.plan(monitor());
        let changed = host.change(&started).await.unwrap();
        assert!(lab.proxy.hit(), "monitoring was switched on");
        let answer = lab.moto.ec2("Action=DescribeInstances");
        assert_eq!(text(&answer, "instanceType"), "t3.large");
        assert!(answer.contains("<value>db</value>") && answer.contains("<key>cost</key>"));
        assert_eq!(lab.moto.rules(&group), ["22 10.0.0.0/8", "22 203.0.113.7/32"]);
        assert_eq!(host.power(&made).await.unwrap(), Power::Running, "it runs again");
        lab.proxy.plan(monitor());
        host.change(&changed).await.unwrap();
        let asked: Vec<String> = lab.proxy.actions().into_iter().filter(|a| !a.starts_with("Describe")).collect();
        // moto knows neither the state of monitoring nor that a volume has grown.
        let asked: Vec<&String> = asked.iter().filter(|a| *a != "MonitorInstances" && *a != "ModifyVolume").collect();
        assert!(asked.is_empty(), "what is as it should be is left alone: {asked:?}");

        host.rm(&changed).await.unwrap();
        lab.moto.assert_empty("", "after rm");
        host.rm(&changed).await.unwrap();
        assert_eq!(host.power(&changed).await.unwrap(), Power::Gone);
    });
    assert!(!host.told().contains(CANARY));
    for entry in fs::read_dir(&host.dir).unwrap() {
        assert!(!fs::read_to_string(entry.unwrap().path()).unwrap().contains(CANARY));
    }
}

/// Runs trials with numbers from 1, some at a time, until one says that there was nothing to try any more. Each has a machine
/// and a proxy of its own, and all one moto. How many there were.
fn trials(lab: &Lab, trial: impl Fn(usize, &Proxy, &str) -> bool + Sync) -> usize {
    let (next, end) = (AtomicUsize::new(1), AtomicUsize::new(usize::MAX));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if number >= end.load(Ordering::SeqCst) {
                        return;
                    }
                    let proxy = Proxy::start(lab.moto.port);
                    if !trial(number, &proxy, &format!("m{number}")) {
                        end.fetch_min(number, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    end.into_inner() - 1
}

/// Pain 4. Whatever happens to whichever call: one instance in the end, and none after `rm`.
#[test]
fn whatever_happens_to_whichever_call_there_is_one_instance_and_rm_leaves_nothing() {
    if !ready() {
        return;
    }
    let lab = Lab::get();
    let says = |code| Fault::Says(503, code);
    for fault in [Fault::Before, Fault::After, says("Unavailable"), says("RequestLimitExceeded")] {
        // A creation, then a removal; the fault meets each call of both once.
        let calls = trials(&lab, |number, proxy, name| {
            proxy.plan(vec![(Which::Number(number), fault)]);
            let host = Host::named(name, proxy, json!({}));
            let when = format!("{fault:?} of call {number}");
            run(async {
                let made = host.create().await.unwrap_or_else(|e| panic!("{when}: {e}"));
                assert_eq!(lab.moto.instances(name), std::slice::from_ref(&made.id), "{when}: {:?}", proxy.actions());
                host.rm(&made).await.unwrap_or_else(|e| panic!("{when}: {e}"));
            });
            lab.moto.assert_empty(name, &when);
            proxy.hit()
        });
        assert!(calls > 15, "calls were made: {calls}");
        lab.moto.reset();
    }
}

/// Pain 4: `kill -9` at each call of create, before and after its effect. Then either it is created again, or removed.
#[test]
fn who_is_killed_at_any_call_doubles_and_leaks_nothing() {
    if !ready() {
        return;
    }
    let lab = Lab::get();
    for (fault, remove) in
        [(Fault::HangBefore, false), (Fault::HangAfter, false), (Fault::HangBefore, true), (Fault::HangAfter, true)]
    {
        let calls = trials(&lab, |number, proxy, name| {
            proxy.plan(vec![(Which::Number(number), fault)]);
            let host = Host::named(name, proxy, json!({}));
            let when = format!("killed at call {number}, {fault:?}");
            let killed = run(async {
                let watched = proxy.clone();
                let hit = tokio::task::spawn_blocking(move || watched.wait_hit());
                // A future that is dropped does no more than a process that was killed.
                tokio::select! {
                    made = host.create_once() => { made.unwrap(); proxy.note_hit(); false }
                    _ = hit => true,
                }
            });
            proxy.plan(Vec::new());
            run(async {
                if !remove {
                    let made = host.create().await.unwrap_or_else(|e| panic!("{when}: {e}"));
                    assert_eq!(lab.moto.instances(name), std::slice::from_ref(&made.id), "{when}");
                }
                host.rm_whatever(host.recorded()).await;
            });
            lab.moto.assert_empty(name, &when);
            killed
        });
        assert!(calls > 8, "calls were made: {calls}");
        lab.moto.reset();
    }
}

/// A call that was sent twice must be known by its token, which stays as long as the attempt.
#[test]
fn an_attempt_keeps_its_token_until_it_has_ended() {
    if !ready() {
        return;
    }
    let lab = Lab::get();
    let host = Host::new(&lab.proxy, json!({}));
    let tokens = || -> Vec<String> {
        let calls = lab.proxy.calls().into_iter().filter(|call| call.action == "RunInstances");
        calls
            .map(|call| call.request.split("ClientToken=").nth(1).unwrap().split('&').next().unwrap().to_owned())
            .collect()
    };
    run(async {
        lab.proxy.plan(vec![(Which::Action("RunInstances", 2), Fault::Before)]);
        let made = host.create().await.unwrap();
        let first = tokens();
        assert_eq!(first.len(), 3);
        assert!(first.iter().all(|token| *token == first[0]), "one attempt, one token: {first:?}");
        // Somebody removes it in the console, and it is made anew from the same folder.
        lab.moto.ec2(&format!("Action=TerminateInstances&InstanceId.1={}", made.id));
        lab.proxy.plan(Vec::new());
        host.create().await.unwrap();
        assert_ne!(tokens()[0], first[0], "AWS would answer with the one that is gone");
    });
}

#[test]
fn what_aws_refuses_is_told_with_what_to_do_and_nothing_stays() {
    if !ready() {
        return;
    }
    let lab = Lab::get();
    for (status, code, help) in [
        (500, "InsufficientInstanceCapacity", "another `zone`"),
        (400, "VcpuLimitExceeded", "higher quota"),
        (400, "InstanceLimitExceeded", "higher quota"),
        (403, "UnauthorizedOperation", "`ec2:RunInstances`"),
        (401, "OptInRequired", "enable"),
        (400, "InvalidAMIID.NotFound", "AMIs are of one region"),
        (400, "Unsupported", "another `zone`"),
        (400, "ExpiredToken", "log in again"),
        (400, "RequestExpired", "clock"),
    ] {
        lab.fresh();
        lab.proxy.plan(vec![(Which::Action("RunInstances", 99), Fault::Says(status, code))]);
        let host = Host::new(&lab.proxy, json!({}));
        let error = run(host.create()).unwrap_err();
        assert!(error.to_string().contains(code) && !error.is_transient(), "{error}");
        assert!(error.help().unwrap().contains(help), "{code}: {:?}", error.help());
        assert_eq!(lab.proxy.actions().iter().filter(|a| *a == "RunInstances").count(), 1, "{code}: asked once");
        lab.moto.assert_empty("", code);
    }
    for (given, why) in [
        (json!({"instance-type": "t3.gigantic"}), "t3.micro"),
        (json!({"zone": "x"}), "us-east-1a"),
        (json!({"ami": "ami-12345678"}), "AMIs are of one region"),
        (json!({"subnet-id": "subnet-12345678"}), "subnet-id"),
        (json!({"vpc-id": "vpc-12345678"}), "vpc-id"),
        (json!({"security-group": ["nobodys"], "allow": []}), "allow"),
        (json!({"image": "debian-12"}), "choose another `image`"),
    ] {
        lab.fresh();
        let host = Host::new(&lab.proxy, given.clone());
        let error = run(host.create()).unwrap_err();
        assert!(error.help().unwrap().contains(why), "{given}: {error}: {:?}", error.help());
        lab.moto.assert_empty("", &given.to_string());
    }
}

/// Throttling costs time and nothing else.
#[test]
fn who_is_throttled_waits() {
    if !ready() {
        return;
    }
    let lab = Lab::get();
    let throttle = |action| (Which::Action(action, 2), Fault::Says(503, "RequestLimitExceeded"));
    lab.proxy.plan(vec![
        throttle("RunInstances"),
        throttle("DescribeInstances"),
        throttle("CreateSecurityGroup"),
        (Which::Action("DescribeImages", 1), Fault::Late(Duration::from_millis(300))),
    ]);
    let host = Host::new(&lab.proxy, json!({ "retries": 5 }));
    let made = run(host.create_once()).unwrap();
    assert_eq!(lab.moto.instances(""), [made.id]);
    assert_eq!(lab.proxy.actions().iter().filter(|a| *a == "RunInstances").count(), 3);
}

/// Pain 25: a user's own group is never changed, and the world is let in only when somebody says so.
#[test]
fn groups_of_others_are_left_alone_and_ours_go_with_their_last_user() {
    if !ready() {
        return;
    }
    let lab = Lab::get();
    let vpc = text(&lab.moto.ec2("Action=DescribeVpcs"), "vpcId");
    lab.moto.ec2(&format!("Action=CreateSecurityGroup&GroupName=theirs&GroupDescription=d&VpcId={vpc}"));
    run(async {
        let theirs = Host::new(&lab.proxy, json!({ "security-group": ["theirs"], "allow": ["0.0.0.0/0"] }));
        let made = theirs.create().await.unwrap();
        assert_eq!(lab.moto.rules("theirs"), Vec::<String>::new(), "never edited");
        assert!(theirs.told().contains("`theirs` is not ours to edit, and lets nobody reach 22/tcp, 2376/tcp"));
        assert!(theirs.told().contains("open to the whole world"), "{}", theirs.told());
        theirs.rm(&made).await.unwrap();
        assert_eq!(lab.moto.groups(""), ["theirs"]);

        let given = |allow: &str| json!({ "security-group": ["shared"], "allow": [allow] });
        let one = Host::named("web-1", &lab.proxy, given("10.0.0.0/8"));
        let two = Host::named("web-2", &lab.proxy, given("192.0.2.0/24"));
        let (first, second) = (one.create().await.unwrap(), two.create().await.unwrap());
        assert_eq!(
            lab.moto.rules("shared"),
            ["22 10.0.0.0/8", "22 192.0.2.0/24", "2376 10.0.0.0/8", "2376 192.0.2.0/24"],
            "what several share is added to"
        );
        // moto would remove a group that is in use.
        lab.proxy.plan(vec![(Which::Action("DeleteSecurityGroup", 1), Fault::Says(400, "DependencyViolation"))]);
        one.rm(&first).await.unwrap();
        assert!(lab.proxy.hit());
        assert_eq!(lab.moto.groups(""), ["shared", "theirs"], "it is in use");
        two.rm(&second).await.unwrap();
        assert_eq!(lab.moto.groups(""), ["theirs"]);

        let quiet = Host::new(&lab.proxy, json!({ "security-group": ["theirs"], "security-group-readonly": true }));
        let made = quiet.create().await.unwrap();
        quiet.rm(&made).await.unwrap();
    });
}

#[test]
fn an_existing_key_pair_a_fixed_address_and_a_spot_instance() {
    if !ready() {
        return;
    }
    let lab = Lab::get();
    let keys = tempfile::tempdir().unwrap();
    let path = keys.path().join("id");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&path).status().unwrap();
    assert!(made.success());
    lab.moto.ec2("Action=CreateKeyPair&KeyName=mine");
    let given = json!({
        "keypair-name": "mine", "ssh-keypath": path.to_str().unwrap(), "request-spot-instance": true,
        "use-private-address": true, "private-ip-address": "172.31.0.77", "zone": "a", "image": "debian-13",
        "encrypt": true,
    });
    let host = Host::new(&lab.proxy, given);
    run(async {
        let made = host.create().await.unwrap();
        assert_eq!(made.address, "172.31.0.77");
        assert_eq!(made.ssh.as_ref().unwrap().key.as_deref(), path.to_str());
        let call = lab.proxy.calls().into_iter().find(|call| call.action == "RunInstances").unwrap();
        for want in
            ["KeyName=mine", "MarketType=spot", "DeviceName=%2Fdev%2Fxvda", "Encrypted=true", "ImageId=ami-0deb13&"]
        {
            assert!(call.request.contains(want), "{want}: {}", call.request);
        }
        host.rm(&made).await.unwrap();
    });
    assert_eq!(lab.moto.keys(""), ["mine"], "what the user has is the user's");
    assert!(path.exists());
}

/// A user with the policy of the documentation, and who lacks one permission of it.
#[test]
fn the_documented_policy_is_enough_and_each_permission_is_named_when_it_is_missing() {
    if !ready() {
        return;
    }
    let lab = Lab::get();
    let docs = fs::read_to_string("docs/drivers/amazonec2.md").unwrap();
    let policy = docs.split("```json").nth(1).unwrap().split("```").next().unwrap();
    let policy: Value = serde_json::from_str(policy).unwrap();
    let allowed = |policy: &Value, user: &str| -> Arc<dyn Reveal> {
        let quoted: Vec<String> = policy.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
        let quoted = quoted.concat();
        let iam = |form: &str| lab.moto.call("iam", &format!("{form}&UserName={user}&Version=2010-05-08"));
        iam("Action=CreateUser");
        iam(&format!("Action=PutUserPolicy&PolicyName=p&PolicyDocument={quoted}"));
        let key = iam("Action=CreateAccessKey");
        let secret = text(&key, "SecretAccessKey").replace("&#x2F;", "/");
        Arc::new(Secrets([("KEY", text(&key, "AccessKeyId")), ("SECRET", secret)].into()))
    };
    let without = |action: &str| {
        let mut policy = policy.clone();
        for statement in policy["Statement"].as_array_mut().unwrap() {
            statement["Action"].as_array_mut().unwrap().retain(|one| one != action);
        }
        policy
    };
    let mut host = Host::new(&lab.proxy, json!({}));
    host.secrets = allowed(&policy, "whole");
    let mut lacking = Host::named("web-2", &lab.proxy, json!({}));
    lacking.secrets = allowed(&without("ec2:RunInstances"), "lacking");
    let mut blind = Host::named("web-3", &lab.proxy, json!({ "instance-type": "t3.small" }));
    blind.secrets = allowed(&without("ec2:DescribeInstanceTypes"), "blind");
    let mut wrong = Host::named("web-4", &lab.proxy, json!({}));
    wrong.secrets = Arc::new(Secrets([("KEY", "AKIANOBODY".to_owned()), ("SECRET", CANARY.to_owned())].into()));
    lab.moto.check_signatures(true);
    run(async {
        let made = host.create().await.unwrap();
        for action in [PowerAction::Stop, PowerAction::Start, PowerAction::Restart] {
            host.act(&made, action).await.unwrap();
        }
        host.set("instance-type", json!("t3.large"));
        host.set("tags", json!("a,b"));
        host.set("allow", json!(["10.0.0.0/8"]));
        host.set("root-size", json!(40));
        host.change(&made).await.unwrap();
        host.rm(&made).await.unwrap();

        let error = lacking.create().await.unwrap_err();
        assert!(
            error.help().unwrap().contains("lack the permission `ec2:RunInstances`"),
            "{error}: {:?}",
            error.help()
        );
        let made = blind.create().await.unwrap();
        blind.rm(&made).await.unwrap();
        let error = wrong.create().await.unwrap_err();
        let help = error.help().unwrap();
        assert!(help.contains("does not know these credentials ({ env: KEY }"), "{error}: {help}");
        assert!(!format!("{error:?} {help}").contains(CANARY));
    });
    lab.moto.check_signatures(false);
    lab.moto.assert_empty("", "after all of them");
    // The policy holds nothing that is not needed, but for what moto does not ask for.
    let used: Vec<String> = lab.proxy.actions();
    assert!(used.iter().any(|action| action == "ModifyVolume"));
}

/// Which credentials are used, by the program itself in an environment of its own.
#[test]
fn credentials_are_found_where_the_tools_of_aws_look() {
    if !ready() {
        return;
    }
    let lab = Lab::get();
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(".aws")).unwrap();
    fs::write(
        home.path().join(".aws/config"),
        "[profile role]\nrole_arn = arn:aws:iam::123456789012:role/deploy\nsource_profile = base\n\
         [profile tool]\ncredential_process = echo '{\"Version\":1,\"AccessKeyId\":\"AKIATOOL\",\"SecretAccessKey\":\"s\"}'\n\
         [profile people]\nsso_session = corp\n[sso-session corp]\nsso_start_url = https://corp.example\n",
    )
    .unwrap();
    fs::write(
        home.path().join(".aws/credentials"),
        "[default]\naws_access_key_id = AKIADEFAULT\naws_secret_access_key = s\n\
         [base]\naws_access_key_id = AKIABASE\naws_secret_access_key = s\n",
    )
    .unwrap();
    let bin = home.path().join("bin");
    fs::create_dir(&bin).unwrap();
    // What version 2 of the AWS CLI prints after `aws sso login`.
    let aws = bin.join("aws");
    let script = "#!/bin/sh\n[ \"$*\" = 'configure export-credentials --profile people --format process' ] || exit 9\n\
                  echo '{\"Version\":1,\"AccessKeyId\":\"ASIASSO\",\"SecretAccessKey\":\"s\",\"SessionToken\":\"t\"}'\n";
    fs::write(&aws, script).unwrap();
    fs::set_permissions(&aws, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", bin.display());
    // The first look for the instance is refused, which ends the creation: who asked is all that matters here.
    let create = |environment: &[(&str, &str)], flags: &[&str]| {
        lab.proxy.plan(vec![(Which::Action("DescribeInstances", 99), Fault::Says(403, "UnauthorizedOperation"))]);
        let out = Command::new(env!("CARGO_BIN_EXE_machine"))
            .args(["create", "-d", "amazonec2", "--amazonec2-allow-cidr", "10.0.0.0/8"])
            .args(flags)
            .arg("web-1")
            .env_clear()
            .env("HOME", home.path())
            .env("PATH", &path)
            .env("MACHINE_STORAGE_PATH", tempfile::tempdir().unwrap().path())
            .env("AWS_ENDPOINT_URL", lab.proxy.url())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        let calls: Vec<String> =
            lab.proxy.calls().into_iter().map(|c| format!("{} {}", c.action, c.access_key)).collect();
        (calls, String::from_utf8(out.stderr).unwrap())
    };
    let env = [("AWS_ACCESS_KEY_ID", "AKIAENV"), ("AWS_SECRET_ACCESS_KEY", "s")];
    assert_eq!(create(&env, &[]).0[0], "DescribeInstances AKIAENV");
    let flags = ["--amazonec2-access-key", "AKIAFLAG", "--amazonec2-secret-key", "s"];
    assert_eq!(create(&[], &flags).0[0], "DescribeInstances AKIAFLAG");
    assert_eq!(create(&[], &[]).0[0], "DescribeInstances AKIADEFAULT");
    assert_eq!(create(&[("AWS_PROFILE", "base")], &[]).0[0], "DescribeInstances AKIABASE");
    assert_eq!(create(&[], &["--amazonec2-profile", "tool"]).0[0], "DescribeInstances AKIATOOL");
    let (calls, _) = create(&[], &["--amazonec2-profile", "people"]);
    assert_eq!(calls[0], "DescribeInstances ASIASSO");
    let (calls, said) = create(&[("AWS_PROFILE", "role")], &[]);
    assert_eq!(calls[0], "AssumeRole AKIABASE");
    assert!(calls[1].starts_with("DescribeInstances ASIA"), "{calls:?}");
    assert!(said.contains("(profile `role`) lack the permission `ec2:DescribeInstances`"), "{said}");
    let (calls, said) = create(&[("AWS_PROFILE", "typo")], &[]);
    assert!(
        calls.is_empty() && said.contains("there is no profile `typo`") && said.contains("base, default"),
        "{said}"
    );
}

/// That nothing is seen with credentials of another account does not mean that a machine is gone.
#[test]
fn another_account_does_not_make_a_machine_forgotten() {
    if !ready() {
        return;
    }
    let lab = Lab::get();
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("store");
    let machine = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_machine"));
        command
            .args(args)
            .env_clear()
            .env("HOME", home.path())
            .env("MACHINE_STORAGE_PATH", &store)
            .env("AWS_ENDPOINT_URL", lab.proxy.url())
            .env("AWS_ACCESS_KEY_ID", "AKIATEST")
            .env("AWS_SECRET_ACCESS_KEY", CANARY);
        command
    };
    let create = ["create", "-d", "amazonec2", "--amazonec2-allow-cidr", "10.0.0.0/8", "web-1"];
    let mut child = machine(&create).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let (folder, began) = (store.join("machines/web-1"), Instant::now());
    // Until it is recorded and waited for; nobody will ever answer there.
    while !folder.join("amazonec2-account").exists() {
        assert!(began.elapsed() < Duration::from_mins(1));
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let id = lab.moto.instances("").concat();
    lab.moto.ec2(&format!("Action=TerminateInstances&InstanceId.1={id}"));
    let say = |args: &[&str]| {
        let out = machine(args).output().unwrap();
        (out.status.success(), String::from_utf8(out.stdout).unwrap() + &String::from_utf8(out.stderr).unwrap())
    };
    fs::write(folder.join("amazonec2-account"), "999999999999").unwrap();
    let (_, said) = say(&["status", "web-1"]);
    assert!(said.contains("was made in AWS account 999999999999") && said.contains("are of 123456789012"), "{said}");
    fs::write(folder.join("amazonec2-account"), "123456789012").unwrap();
    let (removed, said) = say(&["rm", "-y", "web-1"]);
    assert!(removed, "{said}");
    lab.moto.assert_empty("", "after rm of what is gone");
}
