//! Driver `qemu` in a process of its own, which can be killed at any of its points.

use crate::given;
use async_trait::async_trait;
use machine::{
    driver::{Checkpoint, DriverContext, DriverError, Drivers, PowerAction, SnapshotAction},
    fault,
    name::{FleetName, MachineName},
    record::Instance,
    secret::{NoSecrets, Reveal},
    transport::{Connect, Target, Transport, TransportError},
};
use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{
    fs::OpenOptions,
    io::Write as _,
    path::PathBuf,
    sync::{Arc, Mutex},
};

/// The variable that holds a [`Task`].
pub(crate) const TASK: &str = "MACHINE_QEMU_TASK";

/// What the process does, and where it dies.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Task {
    /// A method of the driver; `machine`: the whole program.
    pub(crate) call: String,
    /// Its words, if it is the whole program.
    pub(crate) words: Vec<String>,
    pub(crate) machine: String,
    /// The machine's folder in the store.
    pub(crate) dir: PathBuf,
    pub(crate) options: Map<String, Value>,
    pub(crate) instance: Option<Instance>,
    pub(crate) die: Die,
    /// File for the names of all points that it passes.
    pub(crate) trace: Option<PathBuf>,
}

/// Where a process dies.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Die {
    Never,
    /// At the point with this number.
    At(usize),
    /// At the point that is called so and is about something with this in its name.
    On(String, String),
}

/// What came of it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Answer {
    pub(crate) instance: Option<Instance>,
    /// What it is doing, or its snapshots.
    pub(crate) word: String,
    pub(crate) error: String,
    pub(crate) said: Vec<String>,
}

struct Forgets;

#[async_trait::async_trait]
impl Checkpoint for Forgets {
    async fn instance(&self, _: &Instance) -> Result<(), DriverError> {
        Ok(())
    }
}

struct NoHost;

#[async_trait]
impl Connect for NoHost {
    async fn connect(&self, _: &Target) -> Result<Arc<dyn Transport>, TransportError> {
        unreachable!("the driver asks only qemu")
    }
}

/// Does the task of the environment and prints what came of it.
fn work(task: &str) {
    let task: Task = serde_json::from_str(task).unwrap();
    let (passed, die) = (Mutex::new(0), task.die.clone());
    let trace = task.trace.as_ref().map(|path| OpenOptions::new().create(true).append(true).open(path).unwrap());
    fault::install(Box::new(move |name, about| {
        // Held to the end: no point is passed after the last one.
        let mut passed = passed.lock().unwrap();
        *passed += 1;
        let about = about.display().to_string();
        if let Some(mut trace) = trace.as_ref() {
            writeln!(trace, "{name} {about}").unwrap();
        }
        let here = match &die {
            Die::Never => false,
            Die::At(nth) => *nth == *passed,
            Die::On(point, word) => point == name && about.contains(word.as_str()),
        };
        if here {
            kill_process(getpid(), Signal::KILL).unwrap();
            loop {
                std::thread::park();
            }
        }
        Ok(())
    }));
    if task.call == "machine" {
        let words = std::iter::once("machine".to_owned()).chain(task.words).map(Into::into);
        let ended = machine::cli::main(words, machine::driver::Drivers::built_in());
        println!("\nANSWER {}", serde_json::to_string(&format!("{ended:?}")).unwrap());
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let answer = runtime.block_on(ask(&task));
    println!("\nANSWER {}", serde_json::to_string(&answer).unwrap());
}

async fn ask(task: &Task) -> Answer {
    let drivers = Drivers::built_in();
    let driver = drivers.get("qemu").unwrap();
    let values = given::values("qemu", task.options.iter().map(|(key, value)| (key.as_str(), value.clone())));
    let (machine, fleet) = (MachineName::new(&task.machine).unwrap(), FleetName::new("shop").unwrap());
    let secrets: Arc<dyn Reveal> = Arc::new(NoSecrets);
    let said = Mutex::new(Vec::new());
    let cx = DriverContext {
        machine: &machine,
        fleet: Some(&fleet),
        // Of its own: machines of other runs of this test have other ports.
        store_id: &task.dir.display().to_string(),
        dir: &task.dir,
        connect: &NoHost,
        checkpoint: &Forgets,
        secrets: &secrets,
        progress: &|text: &str| said.lock().unwrap().push(text.to_owned()),
    };
    let mut answer = Answer::default();
    let instance = || task.instance.as_ref().unwrap();
    let power = async |action| driver.set_power(&cx, instance(), &values, action).await.map(Some);
    let words: Vec<&str> = task.call.split(' ').collect();
    let done = match words.as_slice() {
        ["find"] => driver.find(&cx, &values).await,
        ["create"] => driver.create(&cx, &values).await.map(Some),
        ["change"] => driver.change(&cx, instance(), &values).await.map(Some),
        ["rm"] => driver.rm(&cx, instance(), &values).await.map(|()| None),
        ["power"] => driver.power(&cx, instance(), &values).await.map(|power| {
            answer.word = format!("{power:?}");
            None
        }),
        ["snapshot", what, rest @ ..] => {
            let name = rest.concat();
            let action = match *what {
                "create" => SnapshotAction::Create(name),
                "restore" => SnapshotAction::Restore(name),
                "rm" => SnapshotAction::Rm(name),
                _ => SnapshotAction::List,
            };
            driver.snapshot(&cx, instance(), &values, &action).await.map(|there| {
                answer.word = there.into_iter().map(|snapshot| snapshot.name).collect::<Vec<_>>().join(",");
                None
            })
        }
        ["start"] => power(PowerAction::Start).await,
        ["stop"] => power(PowerAction::Stop).await,
        ["kill"] => power(PowerAction::Kill).await,
        ["restart"] => power(PowerAction::Restart).await,
        other => panic!("{other:?}"),
    };
    match done {
        Ok(instance) => answer.instance = instance,
        Err(e) => answer.error = format!("{e} ({})", e.help().unwrap_or_default()),
    }
    answer.said = said.into_inner().unwrap();
    answer
}

/// The other half of this program; see `Desk::command`.
#[test]
fn child() {
    if let Ok(task) = std::env::var(TASK) {
        work(&task);
    }
}
