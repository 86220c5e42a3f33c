//! What the executor does when steps fail, answers are lost and people press Ctrl-C.

use crate::plain::{self, AtOnce as _};
use crate::support;
use async_trait::async_trait;
use machine::{
    apply::{End, Event, Interrupt, Options, Outcome, StepError, apply},
    driver::{Driver, DriverContext, DriverError, Drivers, OptionSpec, PowerAction},
    engine::EngineSpec,
    fleet::{Fleet, HostSpec, OnError, Policy},
    hook::Hooks,
    name::{FleetName, MachineName},
    plan::{Inputs, Plan, StepId},
    record::{Instance, OptionValues, Part, Pending, Power, Snapshot},
    report::summary::{Verdict, verdict},
    store::Subject,
    world::World,
};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::{Semaphore, mpsc::unbounded_channel};

/// What becomes of the creation of a machine.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// The provider says no.
    Refused,
    /// The answer to the first so many calls is lost.
    Lost(u32),
    /// It waits until it is let go.
    Blocked,
}

/// Machines do as they are fated; all others are made.
struct Fates {
    written: BTreeMap<&'static str, Fate>,
    calls: Mutex<BTreeMap<String, u32>>,
    /// Machines that are being made now, and the most there ever were.
    busy: Mutex<(usize, usize)>,
    /// As many of those that are blocked may go on.
    go: Semaphore,
}

struct Fated(Arc<Fates>);

#[derive(Deserialize)]
struct NoOptions {}

#[async_trait]
impl Driver for Fated {
    const NAME: &'static str = "fated";
    const ABOUT: &'static str = "machines whose fate is written";
    const CREATES: bool = true;
    type Options = NoOptions;

    fn options() -> Vec<OptionSpec> {
        Vec::new()
    }

    async fn place(&self, _: &DriverContext<'_>, _: &NoOptions) -> Result<Option<String>, DriverError> {
        Ok(None)
    }

    async fn find(&self, _: &DriverContext<'_>, _: &NoOptions) -> Result<Option<Instance>, DriverError> {
        Ok(None)
    }

    async fn create(&self, cx: &DriverContext<'_>, _: &NoOptions) -> Result<Instance, DriverError> {
        let name = cx.machine.as_str();
        let call = {
            let mut calls = self.0.calls.lock().unwrap();
            let calls = calls.entry(name.to_owned()).or_default();
            *calls += 1;
            *calls
        };
        {
            let mut busy = self.0.busy.lock().unwrap();
            busy.0 += 1;
            busy.1 = busy.1.max(busy.0);
        }
        tokio::task::yield_now().await;
        let doing = || "creating the instance".to_owned();
        let result = match self.0.written.get(name) {
            Some(Fate::Refused) => Err(DriverError::Refused {
                doing: doing(),
                why: "the quota is exceeded".to_owned(),
                help: "ask for a larger quota".to_owned(),
            }),
            Some(Fate::Lost(n)) if call <= *n => {
                Err(DriverError::Lost { doing: doing(), why: "the connection closed".to_owned() })
            }
            Some(Fate::Blocked) => {
                self.0.go.acquire().await.unwrap().forget();
                Ok(())
            }
            Some(Fate::Lost(_)) | None => Ok(()),
        };
        self.0.busy.lock().unwrap().0 -= 1;
        result.map(|()| Instance {
            id: format!("i-{name}"),
            address: "192.0.2.1".to_owned(),
            ssh: None,
            url: None,
            host_keys: Vec::new(),
            jump_keys: Vec::new(),
        })
    }

    async fn change(&self, _: &DriverContext<'_>, _: &Instance, _: &NoOptions) -> Result<Instance, DriverError> {
        panic!("nothing is changed")
    }
    async fn power(&self, _: &DriverContext<'_>, _: &Instance, _: &NoOptions) -> Result<Power, DriverError> {
        panic!("nothing is looked for")
    }
    async fn set_power(
        &self,
        _: &DriverContext<'_>,
        _: &Instance,
        _: &NoOptions,
        _: PowerAction,
    ) -> Result<Instance, DriverError> {
        panic!("nothing is switched")
    }
    async fn rm(&self, _: &DriverContext<'_>, _: &Instance, _: &NoOptions) -> Result<(), DriverError> {
        panic!("nothing is removed")
    }
}

fn name(text: &str) -> MachineName {
    MachineName::new(text).unwrap()
}

fn instance(machine: &str) -> StepId {
    StepId::part(&name(machine), Part::Instance)
}

/// A run of a fleet that is not there yet.
struct Run {
    world: World,
    fates: Arc<Fates>,
    fleet: Fleet,
    options: Options,
    interrupt: Interrupt,
}

/// How it ended and all that was told.
struct Ended {
    plan: Plan,
    outcome: Outcome,
    events: Vec<Event>,
}

impl Run {
    /// Hosts as `name` or `name: what it waits for`, separated by commas.
    fn new(hosts: &str, fates: &[(&'static str, Fate)]) -> Self {
        let fates = Arc::new(Fates {
            written: fates.iter().copied().collect(),
            calls: Mutex::default(),
            busy: Mutex::default(),
            go: Semaphore::new(0),
        });
        let (mut world, _, _) = support::world();
        world.drivers = Drivers::default().with(Fated(fates.clone()));
        let host = |text: &str| {
            let (host, after) = text.split_once(':').unwrap_or((text, ""));
            let spec = HostSpec {
                driver: "fated".to_owned(),
                options: OptionValues::new(),
                engine: None,
                tls_names: BTreeSet::new(),
                depends_on: after.split_whitespace().map(name).collect(),
                protect: false,
                optional: false,
                hooks: Hooks::default(),
            };
            (name(host.trim()), spec)
        };
        let hosts = hosts.split(',').map(host).collect();
        let fleet = Fleet { name: FleetName::new("test").unwrap(), hosts, policy: Policy::default() };
        let options = Options { parallel: 8, on_error: OnError::StopDependants, retries: 0 };
        Self { world, fates, fleet, options, interrupt: Interrupt::default() }
    }

    fn on_error(mut self, on_error: OnError) -> Self {
        self.options.on_error = on_error;
        self
    }

    fn parallel(mut self, parallel: usize) -> Self {
        self.options.parallel = parallel;
        self
    }

    fn host(mut self, host: &str, change: impl FnOnce(&mut HostSpec)) -> Self {
        change(self.fleet.hosts.get_mut(&name(host)).unwrap());
        self
    }

    /// Runs it; `seen` is called for every event, as it happens.
    async fn go(&self, mut seen: impl FnMut(&Event)) -> Ended {
        let inputs = Inputs {
            drivers: &self.world.drivers,
            provisioners: self.world.provisioners,
            now: support::NOW,
            prune: false,
        };
        let plan = Plan::new(&self.fleet, &Snapshot::default(), &inputs);
        let (tell, mut inbox) = unbounded_channel();
        let mut events = Vec::new();
        let applying = async {
            let outcome = apply(&plan, &self.world, &self.options, &self.interrupt, &tell).await;
            drop(tell);
            outcome
        };
        let listening = async {
            while let Some(event) = inbox.recv().await {
                seen(&event);
                events.push(event);
            }
        };
        let (outcome, ()) = tokio::join!(applying, listening);
        let ended = Ended { plan, outcome, events };
        ended.accounted_for();
        ended
    }

    fn calls(&self, machine: &str) -> u32 {
        self.fates.calls.lock().unwrap().get(machine).copied().unwrap_or(0)
    }
}

impl Ended {
    /// Every step has exactly one end, which was told exactly once.
    fn accounted_for(&self) {
        let all: BTreeSet<&StepId> = self.plan.steps.nodes().map(|(id, _)| id).collect();
        assert_eq!(self.outcome.keys().collect::<BTreeSet<_>>(), all);
        let mut told: Vec<&StepId> = self
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Finished { step, .. }
                | Event::Skipped { step, .. }
                | Event::NotStarted { step }
                | Event::CutOff { step } => Some(step),
                Event::Started { .. } | Event::Progress { .. } | Event::Interrupted { .. } => None,
            })
            .collect();
        told.sort();
        assert_eq!(told, self.outcome.keys().collect::<Vec<_>>());
    }

    /// How every machine's instance ended, in a word.
    fn words(&self) -> String {
        let word = |(id, end): (&StepId, &End)| {
            let end = match end {
                End::Done => "done".to_owned(),
                End::Failed(_) => "failed".to_owned(),
                End::Skipped(root) => format!("skipped for {root}"),
                End::NotStarted => "not started".to_owned(),
                End::CutOff => "cut off".to_owned(),
            };
            format!("{id} {end}")
        };
        self.outcome.iter().map(word).collect::<Vec<_>>().join(", ").replace("/instance", "")
    }

    fn verdict(&self) -> Verdict {
        verdict(&self.plan, &self.outcome)
    }
}

fn quiet(_: &Event) {}

#[tokio::test]
async fn by_default_only_what_depends_on_a_failure_is_left() {
    let run = Run::new("a, b: a, c, d: b, e: c", &[("a", Fate::Refused)]);
    let ended = run.go(quiet).await;
    assert_eq!(ended.words(), "a failed, b skipped for a, c done, d skipped for a, e done");
    assert_eq!(ended.verdict(), Verdict::Partial);
    assert_eq!((run.calls("b"), run.calls("d")), (0, 0));
}

#[tokio::test]
async fn told_to_fail_fast_nothing_more_begins() {
    let run = Run::new("a, b, c, d: c", &[("a", Fate::Refused)]).on_error(OnError::FailFast).parallel(1);
    let ended = run.go(quiet).await;
    assert_eq!(ended.words(), "a failed, b not started, c not started, d not started");
    assert_eq!(ended.verdict(), Verdict::Nothing);
    assert_eq!((run.calls("b"), run.calls("c")), (0, 0));
}

#[tokio::test]
async fn told_to_fail_fast_what_is_under_way_ends_well() {
    let run = Run::new("a, slow, z", &[("a", Fate::Refused), ("slow", Fate::Blocked)]);
    let run = run.on_error(OnError::FailFast).parallel(2);
    let ended = run
        .go(|event| {
            if matches!(event, Event::Finished { result: Err(_), .. }) {
                run.fates.go.add_permits(1);
            }
        })
        .await;
    assert_eq!(ended.words(), "a failed, slow done, z not started");
    assert_eq!(ended.verdict(), Verdict::Partial);
}

#[tokio::test]
async fn told_to_keep_going_other_hosts_are_tried_and_the_same_host_is_not() {
    let run = Run::new("a, b: a", &[("a", Fate::Refused)])
        .on_error(OnError::KeepGoing)
        .host("a", |host| host.engine = Some(EngineSpec { port: 2376, ..EngineSpec::default() }));
    let ended = run.go(quiet).await;
    assert_eq!(ended.words(), "a failed, a/certificate skipped for a, a/engine skipped for a, b done");
}

#[tokio::test]
async fn an_optional_host_does_not_fail_the_run() {
    for (optional, want) in [(true, Verdict::Complete), (false, Verdict::Partial)] {
        let run = Run::new("a, b", &[("a", Fate::Refused)]).host("a", |host| host.optional = optional);
        let ended = run.go(quiet).await;
        assert_eq!((ended.words().as_str(), ended.verdict()), ("a failed, b done", want));
    }
}

/// The parallelism is a bound, and it is made use of.
#[tokio::test]
async fn as_many_hosts_are_worked_on_at_once_as_was_said() {
    for (parallel, most) in [(0, 1), (1, 1), (3, 3), (99, 6)] {
        let run = Run::new("a, b, c, d, e, f", &[]).parallel(parallel);
        assert_eq!(run.go(quiet).await.verdict(), Verdict::Complete);
        assert_eq!(run.fates.busy.lock().unwrap().1, most, "{parallel}");
    }
}

#[tokio::test]
async fn interrupted_once_nothing_more_begins_and_what_is_under_way_ends_well() {
    for parallel in [1, 2] {
        let run = Run::new("a, b, c, d: a", &[("a", Fate::Blocked), ("b", Fate::Blocked)]).parallel(parallel);
        let mut begun = 0;
        let ended = run
            .go(|event| {
                if matches!(event, Event::Started { .. }) {
                    begun += 1;
                    if begun == parallel {
                        run.interrupt.ask();
                        run.fates.go.add_permits(parallel);
                    }
                }
            })
            .await;
        let b = if parallel == 2 { "done" } else { "not started" };
        assert_eq!(ended.words(), format!("a done, b {b}, c not started, d not started"));
        let record = run.world.store.at_once().get(&name("a")).unwrap();
        assert!(record.instance.is_some() && record.pending.is_empty());
        assert!(run.world.store.at_once().get(&name("c")).is_err());
    }
}

/// pain 11: what a driver is told cannot be refused, so nothing is begun by one who lost its lock.
#[tokio::test]
async fn a_run_that_lost_its_lock_begins_nothing_more() {
    let mut run = Run::new("a, b, c, d: a", &[]).parallel(1);
    let store = plain::memory();
    run.world.store = store.store.clone();
    let ended = run
        .go(|event| {
            if matches!(event, Event::Finished { step, .. } if step.machine == name("a")) {
                store.lose(Subject::Fleet(FleetName::new("test").unwrap()));
            }
        })
        .await;
    assert_eq!(ended.words(), "a done, b failed, c not started, d not started");
    assert_eq!((run.calls("a"), run.calls("b")), (1, 0));
    let Some(End::Failed(error)) = ended.outcome.get(&instance("b")) else { panic!("b did not fail") };
    assert_eq!(error.to_string(), "the lock of fleet `test` was lost");
    assert!(error.help().unwrap().contains("machine lock ls"));
    assert_eq!(ended.verdict(), Verdict::Partial);
}

#[tokio::test]
async fn interrupted_twice_what_is_under_way_is_cut_off_and_the_record_knows() {
    let run = Run::new("a, b, c: a", &[("a", Fate::Blocked)]).parallel(1);
    let ended = run
        .go(|event| {
            if matches!(event, Event::Started { .. }) {
                run.interrupt.ask();
                run.interrupt.ask();
            }
        })
        .await;
    assert_eq!(ended.words(), "a cut off, b not started, c not started");
    assert_eq!(ended.verdict(), Verdict::Partial);
    // The driver may not even have been called, but the intent is never missing when it was.
    let record = run.world.store.at_once().get(&name("a"));
    assert_eq!(run.calls("a") > 0, record.is_ok_and(|r| r.pending.get(&Part::Instance) == Some(&Pending::Create)));
}

/// The same, with the effect certainly under way.
#[tokio::test]
async fn a_creation_that_was_cut_off_is_recorded_as_intended() {
    let run = Run::new("a, b", &[("a", Fate::Blocked)]).parallel(2);
    let ended = run
        .go(|event| {
            // `b` is done, so `a`, which began before it, is at its driver.
            if matches!(event, Event::Finished { .. }) {
                run.interrupt.ask();
                run.interrupt.ask();
            }
        })
        .await;
    assert_eq!(ended.words(), "a cut off, b done");
    assert_eq!(run.calls("a"), 1);
    let record = run.world.store.at_once().get(&name("a")).unwrap();
    assert_eq!((record.pending.get(&Part::Instance), record.instance), (Some(&Pending::Create), None));
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_asked_for_again_after_longer_and_longer_pauses() {
    let mut run = Run::new("a, b: a", &[("a", Fate::Lost(2))]);
    run.options.retries = 2;
    let ended = run.go(quiet).await;
    assert_eq!(ended.words(), "a done, b done");
    assert_eq!(run.calls("a"), 3);
    let said =
        ended.events.iter().filter(|e| matches!(e, Event::Progress { text, .. } if text.ends_with("; trying again")));
    assert_eq!(said.count(), 2, "each wait says why");
    let took = ended.events.iter().find_map(|event| match event {
        Event::Finished { step, elapsed, .. } if *step == instance("a") => Some(*elapsed),
        _ => None,
    });
    assert_eq!(took.map(|t| t.as_secs()), Some(3), "one second, then two");
}

#[tokio::test(start_paused = true)]
async fn answers_that_stay_lost_fail_the_step_with_its_intent_recorded() {
    let mut run = Run::new("a, b", &[("a", Fate::Lost(9))]);
    run.options.retries = 2;
    let ended = run.go(quiet).await;
    assert_eq!(ended.words(), "a failed, b done");
    assert_eq!(run.calls("a"), 3);
    let End::Failed(error) = &ended.outcome[&instance("a")] else { panic!("it failed") };
    assert!(matches!(&**error, StepError::Driver(DriverError::Lost { .. })), "{error}");
    let record = run.world.store.at_once().get(&name("a")).unwrap();
    assert_eq!(record.pending.get(&Part::Instance), Some(&Pending::Create));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_not_asked_again() {
    let mut run = Run::new("a", &[("a", Fate::Refused)]);
    run.options.retries = 5;
    let started = tokio::time::Instant::now();
    let ended = run.go(quiet).await;
    assert_eq!((ended.words().as_str(), run.calls("a")), ("a failed", 1));
    assert_eq!(started.elapsed(), Duration::ZERO);
}
