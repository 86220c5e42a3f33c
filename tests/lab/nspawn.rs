//! Driver `nspawn` with real machines on this computer. Needs root, `systemd-nspawn` and packages of Debian.
//!
//! Without them it says `SKIPPED` and why, unless `MACHINE_LAB=required`. Images are taken from, and
//! left in, `MACHINE_NSPAWN_IMAGES` or the usual cache; everything else is in folders of the test.

#![expect(clippy::disallowed_methods, reason = "the tests look at this computer with its own programs")]

use crate::{given, lab::ready};
use async_trait::async_trait;
use machine::{
    driver::{AnyDriver, Checkpoint, DriverContext, DriverError, PowerAction, Typed, nspawn::Nspawn},
    name::{FleetName, MachineName},
    record::{Instance, OptionValues, Power},
    transport::{Connect, Target, Transport, TransportError},
};
use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
    sync::{Arc, Mutex},
    time::Instant,
};

struct NoConnect;

#[async_trait]
impl Connect for NoConnect {
    async fn connect(&self, _: &Target) -> Result<Arc<dyn Transport>, TransportError> {
        panic!("this driver needs no connection")
    }
}

#[derive(Default)]
struct Seen(Mutex<Vec<Instance>>);

#[async_trait::async_trait]
impl Checkpoint for Seen {
    async fn instance(&self, instance: &Instance) -> Result<(), DriverError> {
        self.0.lock().unwrap().push(instance.clone());
        Ok(())
    }
}

struct Refusing;

#[async_trait::async_trait]
impl Checkpoint for Refusing {
    async fn instance(&self, _: &Instance) -> Result<(), DriverError> {
        Err(DriverError::Checkpoint("disk full".to_owned()))
    }
}

/// A store and a base folder of the test's own.
struct Lab {
    dir: tempfile::TempDir,
    driver: Typed<Nspawn>,
    fleet: FleetName,
    seen: Seen,
}

impl Lab {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("machine-lab-").tempdir().unwrap();
        let images = std::env::var_os("MACHINE_NSPAWN_IMAGES")
            .map_or_else(|| PathBuf::from("/var/lib/machine/nspawn/images"), PathBuf::from);
        let driver = Typed::new(Nspawn::at(dir.path().join("base"), images));
        Self { dir, driver, fleet: FleetName::new("lab").unwrap(), seen: Seen::default() }
    }

    fn any(&self) -> &dyn AnyDriver {
        &self.driver
    }

    fn host(&self, name: &str) -> Host<'_> {
        self.host_of(name, &format!("store-{}", self.dir.path().display()))
    }

    fn host_of(&self, name: &str, store: &str) -> Host<'_> {
        let dir = self.dir.path().join(store.replace('/', "_")).join(name);
        fs::create_dir_all(&dir).unwrap();
        Host { lab: self, name: MachineName::new(name).unwrap(), store: store.to_owned(), dir }
    }

    /// Processes, mounts, interfaces, rules and control groups that speak of this lab.
    fn left(&self, tags: &[String]) -> Vec<String> {
        let base = self.dir.path().join("base");
        let mut words: Vec<&str> = tags.iter().map(String::as_str).collect();
        words.push(base.to_str().unwrap());
        let run = |program: &str, args: &[&str]| {
            let out = Command::new(program).args(args).output().unwrap();
            String::from_utf8_lossy(&out.stdout).into_owned()
        };
        let mut text = run("ps", &["-eo", "pid,stat,args"]);
        text += &run("ip", &["-o", "link"]);
        text += &run("iptables-save", &[]);
        text += &run("find", &["/sys/fs/cgroup", "/run/systemd/nspawn", "-maxdepth", "2", "-name", "m*"]);
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            text += &fs::read_to_string(entry.path().join("mountinfo")).unwrap_or_default();
        }
        if base.exists() {
            text += &run("find", &[base.to_str().unwrap()]);
        }
        text.lines().filter(|l| words.iter().any(|w| l.contains(w))).map(str::to_owned).collect()
    }

    /// What the kernel's things of this lab are called: of machines, and of the bridge.
    fn tags(&self) -> Vec<String> {
        let out = Command::new("ps").args(["-eo", "args", "-ww"]).output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let base = self.dir.path().join("base");
        let ours = text.lines().filter(|l| l.contains("systemd-nspawn") && l.contains(base.to_str().unwrap()));
        let words = ours.flat_map(str::split_whitespace);
        let mut tags: Vec<String> = words
            .filter_map(|w| w.strip_prefix("--machine=").or_else(|| w.strip_prefix("--network-bridge=")))
            .map(str::to_owned)
            .collect();
        tags.sort();
        tags.dedup();
        tags
    }
}

/// After a failure too, nothing stays on this computer.
impl Drop for Lab {
    fn drop(&mut self) {
        let entries = fs::read_dir(self.dir.path().join("base/instances")).into_iter().flatten().flatten();
        for path in entries.map(|e| e.path()) {
            if std::thread::panicking() {
                let console = fs::read(path.join("console.log")).unwrap_or_default();
                let last = console.len().saturating_sub(2000);
                println!("{}: {}", path.display(), String::from_utf8_lossy(&console[last..]));
            }
            let text = fs::read_to_string(path.join("instance.json")).unwrap_or_default();
            let Ok(record) = serde_json::from_str::<serde_json::Value>(&text) else { continue };
            let (Some(store), Some(name)) = (record["store-id"].as_str(), record["machine"].as_str()) else { continue };
            let host = self.host_of(name, store);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    runtime.block_on(async {
                        if let Some(instance) = host.find().await {
                            host.rm(&instance).await;
                        }
                    });
                });
            });
        }
    }
}

/// One machine of the lab.
struct Host<'a> {
    lab: &'a Lab,
    name: MachineName,
    store: String,
    dir: PathBuf,
}

fn say(text: &str) {
    println!("  | {text}");
}

impl Host<'_> {
    fn cx(&self) -> DriverContext<'_> {
        DriverContext {
            machine: &self.name,
            fleet: Some(&self.lab.fleet),
            store_id: &self.store,
            dir: &self.dir,
            connect: &NoConnect,
            checkpoint: &self.lab.seen,
            secrets: no_secrets(),
            progress: &say,
        }
    }
    async fn create(&self) -> Instance {
        self.lab.any().create(&self.cx(), &values(&[])).await.unwrap()
    }
    async fn find(&self) -> Option<Instance> {
        self.lab.any().find(&self.cx(), &values(&[])).await.unwrap()
    }
    async fn power(&self, instance: &Instance) -> Power {
        self.lab.any().power(&self.cx(), instance, &values(&[])).await.unwrap()
    }
    async fn set(&self, instance: &Instance, action: PowerAction) {
        let after = self.lab.any().set_power(&self.cx(), instance, &values(&[]), action).await.unwrap();
        assert_eq!(after, *instance, "addresses and keys stay");
    }
    async fn rm(&self, instance: &Instance) {
        self.lab.any().rm(&self.cx(), instance, &values(&[])).await.unwrap();
    }

    /// Logs in with OpenSSH, knowing the host key from the driver alone.
    fn try_ssh(&self, instance: &Instance, command: &str) -> Output {
        let known = self.dir.join("known_hosts");
        fs::write(&known, format!("{} {}\n", instance.address, instance.host_keys[0])).unwrap();
        let ssh = instance.ssh.as_ref().unwrap();
        Command::new("ssh")
            .args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=5"])
            .args(["-o", "IdentitiesOnly=yes", "-o", &format!("UserKnownHostsFile={}", known.display())])
            .args(["-i", ssh.key.as_ref().unwrap(), &format!("{}@{}", ssh.user, ssh.host), command])
            .output()
            .unwrap()
    }

    #[track_caller]
    fn ssh(&self, instance: &Instance, command: &str) -> String {
        let out = self.try_ssh(instance, command);
        let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(out.status.success(), "{command}: {stdout}{stderr}");
        stdout.trim().to_owned()
    }
}

fn values(pairs: &[(&str, &str)]) -> OptionValues {
    given::values("nspawn", pairs.iter().map(|(key, value)| (*key, serde_json::Value::from(*value))))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_machines_live_and_die_and_leave_nothing() {
    if !ready(&[]) {
        return;
    }
    let lab = Lab::new();
    let (a, b) = (lab.host("a"), lab.host("b.example"));
    let begun = Instant::now();
    let (one, two) = tokio::join!(a.create(), b.create());
    println!("two machines answer ssh after {:?}", begun.elapsed());
    assert_ne!(one.address, two.address);
    assert_eq!(a.find().await, Some(one.clone()), "what was created is found");
    assert!(lab.seen.0.lock().unwrap().contains(&one), "it was recorded before it ran");

    // They are who they should be, see each other, and their keys are private.
    assert_eq!(a.ssh(&one, "hostname; id -u; stat -c %a /"), "a\n0\n755");
    assert_eq!(b.ssh(&two, "hostname"), "b.example");
    assert_ne!(a.ssh(&one, "cat /etc/machine-id"), b.ssh(&two, "cat /etc/machine-id"));
    a.ssh(&one, &format!("ping -c1 -W2 {}", two.address));
    assert_eq!(a.ssh(&one, "systemctl is-system-running --wait; systemctl --failed --quiet"), "running");
    let mode = fs::metadata(a.dir.join("id_ed25519")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o600);

    // Made once more, it is the same one, still running.
    let up = a.ssh(&one, "touch /run/same-boot; echo kept > /root/kept");
    assert_eq!((a.create().await, up), (one.clone(), String::new()));
    a.ssh(&one, "test -e /run/same-boot");

    // Stop, start, restart, and the power cut.
    a.set(&one, PowerAction::Stop).await;
    assert_eq!(a.power(&one).await, Power::Stopped);
    a.set(&one, PowerAction::Stop).await;
    a.set(&one, PowerAction::Start).await;
    assert_eq!(a.power(&one).await, Power::Running);
    assert_eq!(a.ssh(&one, "cat /root/kept; ls /run/same-boot 2>/dev/null || true"), "kept");
    a.ssh(&one, "touch /run/same-boot");
    a.set(&one, PowerAction::Start).await;
    a.ssh(&one, "test -e /run/same-boot");
    a.set(&one, PowerAction::Restart).await;
    a.ssh(&one, "test ! -e /run/same-boot");
    a.set(&one, PowerAction::Kill).await;
    assert_eq!(a.power(&one).await, Power::Stopped);
    assert_eq!(a.find().await, Some(one.clone()), "what does not run is found too");
    a.set(&one, PowerAction::Restart).await;
    assert_eq!(a.ssh(&one, "cat /root/kept"), "kept");
    // A machine restarts itself as well.
    a.try_ssh(&one, "touch /run/same-boot; systemctl reboot");
    let back = || String::from_utf8_lossy(&a.try_ssh(&one, "ls /run").stdout).into_owned();
    let deadline = Instant::now() + std::time::Duration::from_mins(1);
    while back().is_empty() || back().contains("same-boot") {
        assert!(Instant::now() < deadline, "it came back");
    }

    // A machine that switched itself off is stopped, and can be started.
    a.try_ssh(&one, "systemctl poweroff");
    while a.power(&one).await == Power::Running {
        assert!(Instant::now() < deadline, "it went down");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    a.set(&one, PowerAction::Start).await;
    assert_eq!(a.ssh(&one, "cat /root/kept"), "kept");

    // Removing is complete, also of files that refuse, and may be repeated.
    let _ = a.try_ssh(&one, "touch /root/stone; chattr +i /root/stone");
    let tags = lab.tags();
    assert_eq!(tags.len(), 3, "two machines and a bridge: {tags:?}");
    assert!(lab.left(&tags).len() > 10, "the search for leftovers finds what runs");
    a.rm(&one).await;
    a.rm(&one).await;
    assert_eq!((a.find().await, a.power(&one).await), (None, Power::Gone));
    assert_eq!(b.ssh(&two, "hostname"), "b.example", "others stay");
    b.rm(&two).await;
    b.rm(&two).await;
    assert_eq!(lab.left(&tags), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_installs_and_runs_a_container() {
    if !ready(&[]) {
        return;
    }
    let lab = Lab::new();
    let host = lab.host("engine");
    let one = host.create().await;
    let begun = Instant::now();
    host.ssh(&one, "DEBIAN_FRONTEND=noninteractive apt-get install -y -q docker.io");
    println!("docker.io was installed in {:?}", begun.elapsed());
    let info = host.ssh(&one, "docker info --format '{{.Driver}} {{.CgroupVersion}}'");
    assert_eq!(info, "overlay2 2");
    let made = "cd / && tar c --dereference lib/*/libc.so.6 lib64 usr/bin/true | docker import - tiny >/dev/null";
    host.ssh(&one, made);
    host.ssh(&one, "docker run --rm tiny /usr/bin/true");
    host.ssh(&one, "apt-get update -q");
    // What the engine has survives a power cut.
    host.set(&one, PowerAction::Kill).await;
    host.set(&one, PowerAction::Start).await;
    host.ssh(&one, "docker run --rm tiny /usr/bin/true");
    let tags = lab.tags();
    host.rm(&one).await;
    assert_eq!(lab.left(&tags), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_half_made_is_taken_over() {
    if !ready(&[]) {
        return;
    }
    let lab = Lab::new();
    let host = lab.host("half");

    // The store refuses: nothing was started, and what is there is found.
    let refused = DriverContext { checkpoint: &Refusing, ..host.cx() };
    let error = lab.any().create(&refused, &values(&[])).await.unwrap_err();
    assert!(matches!(error, DriverError::Checkpoint(_)), "{error}");
    let allocated = host.find().await.expect("allocated is found");
    assert_eq!(host.power(&allocated).await, Power::Stopped);
    let one = host.create().await;
    assert_eq!(one, allocated);

    // Started, but killed before its process was recorded.
    let json = lab.dir.path().join("base/instances").join(&one.id).join("instance.json");
    let text = fs::read_to_string(&json).unwrap();
    let mut record: serde_json::Value = serde_json::from_str(&text).unwrap();
    record["process"] = serde_json::Value::Null;
    fs::write(&json, record.to_string()).unwrap();
    assert_eq!(host.power(&one).await, Power::Running);
    host.ssh(&one, "touch /run/same-boot");
    assert_eq!(host.create().await, one);
    host.ssh(&one, "test -e /run/same-boot");

    // A recorded process id that means another process by now, as after a reboot of this computer.
    host.set(&one, PowerAction::Kill).await;
    record["process"] = serde_json::json!({ "pid": std::process::id(), "started": 1 });
    fs::write(&json, record.to_string()).unwrap();
    assert_eq!(host.power(&one).await, Power::Stopped);
    host.set(&one, PowerAction::Stop).await;

    // The store lost the login key: another is made and let in.
    fs::remove_file(host.dir.join("id_ed25519")).unwrap();
    let again = host.create().await;
    assert_eq!(host.ssh(&again, "hostname"), "half");

    // Of another store, with equal names: another machine.
    let other = lab.host_of("half", "other-store");
    assert_eq!(other.find().await, None);
    let second = other.create().await;
    assert_ne!((&second.id, &second.address), (&one.id, &one.address));
    let error = lab.any().rm(&other.cx(), &one, &values(&[])).await.unwrap_err();
    assert!(error.to_string().contains("belongs to the store"), "{error}");
    let tags = lab.tags();
    other.rm(&second).await;

    // A removal that was killed after the record went.
    fs::remove_file(&json).unwrap();
    assert_eq!(host.find().await, None);
    host.rm(&one).await;
    assert_eq!(lab.left(&tags), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_may_be_a_folder_or_a_tar_file_or_another_release() {
    if !ready(&[]) {
        return;
    }
    let mut lab = Lab::new();
    let base = lab.dir.path().join("base");
    // The one image that is surely built then.
    let cached = lab.host("cached").create().await;
    let text = fs::read_to_string(base.join("instances").join(&cached.id).join("instance.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&text).unwrap();
    let folder = PathBuf::from(record["lower"].as_str().unwrap());
    // A tar file is unpacked into the cache, so this one has a cache of its own.
    let tar = lab.dir.path().join("own.tar");
    let mut pack = Command::new("tar");
    pack.arg("-cf").arg(&tar).arg("--exclude=./var/cache").arg("-C").arg(&folder).arg(".");
    assert!(pack.status().unwrap().success());
    let mut images = vec![folder.display().to_string(), tar.display().to_string()];
    // Other releases take minutes to build the first time.
    images.extend(std::env::var("MACHINE_LAB_IMAGES").unwrap_or_default().split_whitespace().map(str::to_owned));
    for (n, image) in images.iter().enumerate() {
        if image == tar.to_str().unwrap() {
            lab.driver = Typed::new(Nspawn::at(base.clone(), lab.dir.path().join("images")));
        } else {
            lab.driver = Typed::new(Nspawn::at(base.clone(), folder.parent().unwrap().to_owned()));
        }
        let host = lab.host(&format!("own-{n}"));
        let begun = Instant::now();
        let one = lab.any().create(&host.cx(), &values(&[("image", image)])).await.unwrap();
        println!("{image}: {} after {:?}", host.ssh(&one, ". /etc/os-release; echo $PRETTY_NAME"), begun.elapsed());
        if !image.starts_with('/') {
            let need =
                host.ssh(&one, "apt-get install --no-install-recommends -y docker.io $(apt-cache search --names-only '^docker-cli$' | cut -d' ' -f1) 2>&1 | grep -i 'need to get'");
            println!("{image}: {need}");
            assert_eq!(host.ssh(&one, "docker info --format '{{.Driver}} {{.CgroupVersion}}'"), "overlay2 2");
        }
        host.rm(&one).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_and_change_in_place() {
    if !ready(&[]) {
        return;
    }
    let lab = Lab::new();
    let host = lab.host("small");
    let told = Mutex::new(Vec::new());
    let note = |text: &str| told.lock().unwrap().push(text.to_owned());
    let cx = DriverContext { progress: &note, ..host.cx() };
    let one = lab.any().create(&cx, &values(&[("memory", "256MiB"), ("cpus", "1")])).await.unwrap();
    if told.lock().unwrap().iter().any(|t| t.contains("cannot limit")) {
        println!("this kernel cannot limit, and that was said");
    } else {
        // Anonymous memory that cannot be reclaimed: `tail` keeps a line without an end.
        let hog = "head -c 600M /dev/zero | tail >/dev/null";
        assert!(!host.try_ssh(&one, hog).status.success(), "600 MB do not fit into 256 MiB");
        lab.any().change(&cx, &one, &values(&[("memory", "2GiB")])).await.unwrap();
        host.ssh(&one, hog);
    }
    let tags = lab.tags();
    host.rm(&one).await;
    assert_eq!(lab.left(&tags), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_machines_start_in_one_go() {
    if !ready(&[]) {
        return;
    }
    let lab = Lab::new();
    let hosts: Vec<Host<'_>> = (1..=20).map(|n| lab.host(&format!("n{n}"))).collect();
    // The image is not what is timed.
    let first = hosts[0].create().await;
    let begun = Instant::now();
    let all = futures(hosts.iter().map(Host::create)).await;
    println!("twenty machines answer ssh after {:?}", begun.elapsed());
    assert_eq!(all[0], first);
    let addresses: std::collections::BTreeSet<_> = all.iter().map(|i| i.address.clone()).collect();
    assert_eq!(addresses.len(), 20);
    for (host, instance) in hosts.iter().zip(&all) {
        assert_eq!(host.ssh(instance, "hostname"), host.name.as_str());
    }
    let tags = lab.tags();
    let begun = Instant::now();
    futures(hosts.iter().zip(&all).map(|(host, instance)| host.rm(instance))).await;
    println!("twenty machines were removed in {:?}", begun.elapsed());
    assert_eq!(lab.left(&tags), Vec::<String>::new());
}

/// Runs all at once on this task, in order of arrival; their results.
async fn futures<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    let mut done: Vec<Option<T>> = all.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (future, done) in all.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(cx)
            {
                *done = Some(value);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// Nothing here needs a secret.
fn no_secrets() -> &'static Arc<dyn machine::secret::Reveal> {
    static NONE: std::sync::LazyLock<Arc<dyn machine::secret::Reveal>> =
        std::sync::LazyLock::new(|| Arc::new(machine::secret::NoSecrets));
    &NONE
}
