//! Pain 4: `kill -9` at every point of a droplet's life. The next run finds one droplet; a removal leaves nothing.
//!
//! The usual run tries the first two points of each call and a sample of the others; `MACHINE_CRASH=full` (`just lab-full`)
//! tries all.

use super::case::{Case, DRIVER, Kept, Open, Tokens};
use crate::{full::full, ocean::Ocean, sample::is_tried};
use machine::{
    driver::{AnyDriver, Checkpoint, DriverContext, DriverError, PowerAction},
    fault,
    name::{FleetName, MachineName},
    record::{Instance, OptionValues, Power},
    secret::Reveal,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    env, fs,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

/// The variable that holds a [`Task`]: who has it is the process that is killed.
const TASK: &str = "MACHINE_DIGITALOCEAN_TASK";

/// What is asked of the driver.
#[derive(Debug, Deserialize, Serialize)]
struct Task {
    call: String,
    machine: String,
    dir: PathBuf,
    values: OptionValues,
    instance: Option<Instance>,
    /// The process dies at this point, counted from 1.
    die_at: u32,
}

/// Keeps what was checkpointed where it outlives the process.
struct Written(PathBuf);

#[async_trait::async_trait]
impl Checkpoint for Written {
    async fn instance(&self, instance: &Instance) -> Result<(), DriverError> {
        fs::write(&self.0, serde_json::to_vec(instance).unwrap()).unwrap();
        Ok(())
    }
}

/// Beside the machine's folder, as a record is.
fn record(dir: &Path) -> PathBuf {
    dir.with_extension("record")
}

fn last_point(dir: &Path) -> PathBuf {
    dir.with_extension("point")
}

/// The process that is killed. Without a task it is none.
#[test]
fn works_until_it_is_killed() {
    let Ok(task) = env::var(TASK) else { return };
    let task: Task = serde_json::from_str(&task).unwrap();
    let (passed, die_at, told) = (AtomicU32::new(0), task.die_at, last_point(&task.dir));
    fault::install(Box::new(move |name, _| {
        if passed.fetch_add(1, Ordering::SeqCst) + 1 == die_at {
            fs::write(&told, name).unwrap();
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
            loop {
                std::thread::park();
            }
        }
        Ok(())
    }));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(work(&task)).unwrap();
}

async fn work(task: &Task) -> Result<(), DriverError> {
    let (machine, fleet) = (MachineName::new(&task.machine).unwrap(), FleetName::new("shop").unwrap());
    let secrets: Arc<dyn Reveal> = Arc::new(Tokens);
    let cx = DriverContext {
        machine: &machine,
        fleet: Some(&fleet),
        store_id: "5f2a",
        dir: &task.dir,
        connect: &Open,
        checkpoint: &Written(record(&task.dir)),
        secrets: &secrets,
        progress: &|_| {},
    };
    let driver: &dyn AnyDriver = &*DRIVER;
    let there = || task.instance.as_ref().unwrap();
    let power = async |action| driver.set_power(&cx, there(), &task.values, action).await.map(drop);
    match task.call.as_str() {
        "create" => driver.create(&cx, &task.values).await.map(drop),
        "change" => driver.change(&cx, there(), &task.values).await.map(drop),
        "start" => power(PowerAction::Start).await,
        "stop" => power(PowerAction::Stop).await,
        "restart" => power(PowerAction::Restart).await,
        "rm" => driver.rm(&cx, there(), &task.values).await,
        other => panic!("{other}"),
    }
}

/// Has a call done by a process that dies at a point; its name, or `None` when the process came to its end.
async fn killed(case: &Case<'_>, call: &str, instance: Option<&Instance>, die_at: u32) -> Option<String> {
    let dir = case.dir.path().to_owned();
    let (machine, values) = (case.name.to_string(), case.values());
    let task = Task { call: call.to_owned(), machine, dir: dir.clone(), values, instance: instance.cloned(), die_at };
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", "digitalocean::kills::works_until_it_is_killed", "--nocapture"]).stdin(Stdio::null());
    child.env(TASK, serde_json::to_string(&task).unwrap());
    let ended = tokio::task::spawn_blocking(move || child.output().unwrap()).await.unwrap();
    if let Ok(text) = fs::read(record(&dir)) {
        let Kept(kept) = &case.kept;
        kept.lock().unwrap().push(serde_json::from_slice(&text).unwrap());
        fs::remove_file(record(&dir)).unwrap();
    }
    if ended.status.signal() == Some(9) {
        let point = fs::read_to_string(last_point(&dir)).unwrap();
        fs::remove_file(last_point(&dir)).unwrap();
        return Some(point);
    }
    assert!(ended.status.success(), "{call}: {}", String::from_utf8_lossy(&ended.stderr));
    None
}

/// What is killed, what the machine is like before, and whether it is removed at once instead of gone on with.
struct Story {
    call: &'static str,
    off: bool,
    given: Value,
    removed: bool,
}

/// One trial; the point it was killed at.
async fn trial(ocean: &Ocean, story: &Story, name: &str, die_at: u32) -> Option<String> {
    let mut case = Case::new(ocean, name);
    let before = match story.call {
        "create" => None,
        _ => Some(case.create().await.unwrap()),
    };
    if let (Some(made), true) = (&before, story.off) {
        case.power(made, PowerAction::Stop).await;
    }
    case.given = story.given.clone();
    let point = killed(&case, story.call, before.as_ref(), die_at).await;
    let when = format!("{} killed at point {die_at}, {point:?}", story.call);
    let there = ocean.emulator.droplets(name);
    assert!(there.len() <= 1, "{when}: {there:#?}");
    if !story.removed {
        let made = match &before {
            Some(made) => made.clone(),
            None => case.create().await.unwrap_or_else(|e| panic!("{when}: {e}")),
        };
        let want = match story.call {
            "start" => case.power(&made, PowerAction::Start).await,
            "stop" => case.power(&made, PowerAction::Stop).await,
            "restart" => case.power(&made, PowerAction::Restart).await,
            "change" => {
                case.change(&made).await.unwrap_or_else(|e| panic!("{when}: {e}"));
                Power::Running
            }
            _ => Power::Running,
        };
        let droplet = case.one();
        assert_eq!(droplet.id.to_string(), made.id, "{when}");
        let status = if story.call == "stop" { (Power::Stopped, "off") } else { (Power::Running, "active") };
        assert_eq!((want, droplet.status), status, "{when}");
        if story.call == "change" {
            assert_eq!(droplet.size, story.given["size"].as_str().unwrap(), "{when}");
            let tags: Vec<&str> = droplet.tags.iter().map(String::as_str).filter(|tag| !tag.contains(':')).collect();
            assert_eq!(tags, ["green"], "{when}");
        }
    }
    case.rm().await;
    point
}

/// How many of the later points of a call the usual run takes one of.
const ONE_OF: u64 = 4;

/// Kills at point after point, some at a time, until there is none left. The names of those there were.
async fn every_point(ocean: &Ocean, story: Story) -> BTreeSet<String> {
    let then = if story.removed { "rm" } else { "on" };
    // No name is the beginning of another.
    let name = |n: u32| format!("kill-{}-{then}-{n:03}", story.call);
    let mut tried = (1..).filter(|n| *n <= 2 || is_tried(&name(*n), ONE_OF));
    let (mut names, mut count) = (BTreeSet::new(), 0);
    loop {
        let [a, b, c] = [(); 3].map(|()| tried.next().expect("numbers do not end"));
        let one = async |n: u32| trial(ocean, &story, &name(n), n).await;
        let (a, b, c) = tokio::join!(one(a), one(b), one(c));
        let points: Vec<String> = [a, b, c].into_iter().flatten().collect();
        count += points.len();
        let more = points.len() == 3;
        names.extend(points);
        if !more {
            break;
        }
    }
    println!("{} was killed at {count} points: {names:?}", story.call);
    names
}

pub(crate) async fn at_every_point(ocean: &Ocean) {
    let story = |call, off, given: Value, removed| every_point(ocean, Story { call, off, given, removed });
    let tags = json!({ "tags": ["blue"] });
    let change = json!({ "size": "s-1vcpu-2gb", "tags": ["green"], "backups": true });
    let (create, _, change, start, stop, restart, rm) = tokio::join!(
        story("create", false, tags.clone(), false),
        story("create", false, tags.clone(), true),
        story("change", false, change, false),
        story("start", true, json!({}), false),
        story("stop", false, json!({}), false),
        story("restart", false, json!({}), false),
        story("rm", false, tags, true),
    );
    // But for who removes at once, who does not die at all of them.
    let mut stories = vec![create, change, start, stop, restart, rm];
    if !full() {
        // A sample has both of them, but not of each call.
        stories = vec![stories.into_iter().flatten().collect()];
    }
    for names in stories {
        for want in ["digitalocean.call", "digitalocean.call.done"] {
            assert!(names.contains(want), "no effect without a point: {names:?}");
        }
    }
}
