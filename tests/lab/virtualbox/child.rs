//! The driver in a process of its own, which can be killed at any of the driver's points.

use crate::given;
use async_trait::async_trait;
use machine::{
    driver::{Checkpoint, DriverContext, DriverError, Drivers, PowerAction, SnapshotAction},
    fault,
    name::{FleetName, MachineName},
    record::Instance,
    secret::{NoSecrets, Reveal},
    transport::{Connect, Target, Transport, TransportError, ssh::SshConnect},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

/// The variable that holds a [`Task`].
pub(crate) const TASK: &str = "MACHINE_VIRTUALBOX_TASK";

/// What is asked of the driver.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Task {
    pub(crate) call: String,
    pub(crate) machine: String,
    pub(crate) dir: PathBuf,
    pub(crate) options: Map<String, Value>,
    pub(crate) instance: Option<Instance>,
    /// The process dies at this point, counted from 1; 0: at none.
    pub(crate) die_at: u32,
}

/// What came of it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Answer {
    pub(crate) instance: Option<Instance>,
    pub(crate) power: String,
    pub(crate) error: String,
    pub(crate) help: String,
    pub(crate) checkpoints: Vec<Instance>,
    pub(crate) said: Vec<String>,
}

#[derive(Default)]
struct Kept(std::sync::Mutex<Vec<Instance>>);

#[async_trait::async_trait]
impl Checkpoint for Kept {
    async fn instance(&self, instance: &Instance) -> Result<(), DriverError> {
        self.0.lock().unwrap().push(instance.clone());
        Ok(())
    }
}

/// Real SSH; a host whose key is not known before it answers is a mistake of the driver.
struct Pinned(SshConnect);

#[async_trait]
impl Connect for Pinned {
    async fn connect(&self, target: &Target) -> Result<Arc<dyn Transport>, TransportError> {
        assert_eq!(target.host_keys.len(), 1, "it is known before it has answered");
        self.0.connect(target).await
    }
}

/// Does the task of the environment and prints what came of it.
fn work(task: &str) {
    let task: Task = serde_json::from_str(task).unwrap();
    let (count, die_at) = (AtomicU32::new(0), task.die_at);
    fault::install(Box::new(move |_, _| {
        if count.fetch_add(1, Ordering::SeqCst) + 1 == die_at {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
        Ok(())
    }));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(ask(&task));
    println!("\nANSWER {}", serde_json::to_string(&answer).unwrap());
}

async fn ask(task: &Task) -> Answer {
    let drivers = Drivers::built_in();
    let driver = drivers.get("virtualbox").unwrap();
    let values = given::values("virtualbox", task.options.iter().map(|(key, value)| (key.as_str(), value.clone())));
    let (machine, fleet) = (MachineName::new(&task.machine).unwrap(), FleetName::new("shop").unwrap());
    let secrets: Arc<dyn Reveal> = Arc::new(NoSecrets);
    let (kept, connect) = (Kept::default(), Pinned(SshConnect::from_env()));
    let said = std::sync::Mutex::new(Vec::new());
    let cx = DriverContext {
        machine: &machine,
        fleet: Some(&fleet),
        store_id: "lab",
        dir: &task.dir,
        connect: &connect,
        checkpoint: &kept,
        secrets: &secrets,
        progress: &|text: &str| said.lock().unwrap().push(text.to_owned()),
    };
    let mut answer = Answer::default();
    let instance = task.instance.as_ref();
    let power = |action| (instance.unwrap(), action);
    let done = match task.call.as_str() {
        "find" => driver.find(&cx, &values).await,
        "create" => driver.create(&cx, &values).await.map(Some),
        "change" => driver.change(&cx, instance.unwrap(), &values).await.map(Some),
        "rm" => driver.rm(&cx, instance.unwrap(), &values).await.map(|()| None),
        "power" => driver.power(&cx, instance.unwrap(), &values).await.map(|power| {
            answer.power = format!("{power:?}");
            None
        }),
        word if word.starts_with("snapshot") => {
            let name = |word: &str| word.split(' ').nth(2).unwrap_or_default().to_owned();
            let action = match word.split(' ').nth(1) {
                Some("create") => SnapshotAction::Create(name(word)),
                Some("restore") => SnapshotAction::Restore(name(word)),
                Some("rm") => SnapshotAction::Rm(name(word)),
                _ => SnapshotAction::List,
            };
            driver.snapshot(&cx, instance.unwrap(), &values, &action).await.map(|there| {
                answer.power = there.into_iter().map(|snapshot| snapshot.name).collect::<Vec<_>>().join(",");
                None
            })
        }
        word => {
            let (instance, action) = power(match word {
                "start" => PowerAction::Start,
                "stop" => PowerAction::Stop,
                "kill" => PowerAction::Kill,
                _ => PowerAction::Restart,
            });
            driver.set_power(&cx, instance, &values, action).await.map(Some)
        }
    };
    match done {
        Ok(instance) => answer.instance = instance,
        Err(e) => (answer.error, answer.help) = (e.to_string(), e.help().unwrap_or_default()),
    }
    answer.checkpoints = kept.0.into_inner().unwrap();
    answer.said = said.into_inner().unwrap();
    answer
}

/// The other half of this program; see `Host::ask`.
#[test]
fn child() {
    if let Ok(task) = std::env::var(TASK) {
        work(&task);
    }
}
