//! A plan and what may become of it, for the tests of all reporters.

use crate::{
    apply::{End, Event, Outcome, StepError},
    docker::DockerError,
    graph::Graph,
    name::{FleetName, MachineName},
    plan::{Action, HostPlan, Plan, Reason, Step, StepId, Work},
    record::{OptionValues, Part},
    transport::TransportError,
};
use std::{collections::BTreeMap, collections::BTreeSet, sync::Arc, time::Duration};

pub(super) fn name(text: &str) -> MachineName {
    MachineName::new(text).unwrap()
}

pub(super) fn id(machine: &str, part: Part) -> StepId {
    StepId::part(&name(machine), part)
}

fn step(machine: &str, part: Part, action: Action) -> (StepId, Step) {
    let (reason, work) = match action {
        Action::Keep => (Reason::UpToDate, Work::Nothing),
        Action::Rm => (Reason::NotInFleet, Work::RmInstance),
        Action::Create | Action::Upgrade | Action::Run => (Reason::NotRecorded, Work::CreateInstance),
    };
    (StepId { rm: action == Action::Rm, ..id(machine, part) }, Step { action, reasons: vec![reason], work })
}

/// One host for each way to end.
pub(super) fn plan() -> Plan {
    let mut steps = BTreeMap::from([
        step("db", Part::Instance, Action::Keep),
        step("db", Part::Engine, Action::Upgrade),
        step("web-1", Part::Instance, Action::Create),
        step("web-1", Part::Certificate, Action::Create),
        step("web-1", Part::Engine, Action::Create),
        step("behind", Part::Instance, Action::Create),
        step("late", Part::Instance, Action::Create),
        step("cut", Part::Instance, Action::Create),
        step("old", Part::Instance, Action::Rm),
        step("same", Part::Instance, Action::Keep),
        step("laptop", Part::Engine, Action::Keep),
    ]);
    steps.get_mut(&id("laptop", Part::Engine)).unwrap().reasons =
        vec![Reason::NotReached("`laptop`: cannot connect to 192.0.2.7:22: no answer within 10 s".to_owned())];
    let host = |n: &str| {
        let plan = HostPlan {
            driver: "generic".to_owned(),
            options: OptionValues::new(),
            depends_on: BTreeSet::new(),
            protect: false,
            optional: n == "laptop",
            hooks: crate::hook::Hooks::default(),
        };
        (name(n), plan)
    };
    Plan {
        fleet: Some(FleetName::new("shop").unwrap()),
        hosts: ["db", "web-1", "behind", "late", "cut", "same", "laptop"].map(host).into(),
        steps: Graph::build(steps, []).unwrap(),
    }
}

/// A failed installation.
pub(super) fn op() -> StepError {
    StepError::Op {
        title: "install docker.io".to_owned(),
        status: 100,
        stderr: "E: Failed to fetch http://deb.example/x.deb\nE: Unable to fetch some archives".to_owned(),
        help: Some("the host cannot reach its package mirror: check its network and its apt sources".to_owned()),
    }
}

pub(super) fn refused() -> StepError {
    StepError::Transport(TransportError::Connect {
        machine: name("web-1"),
        address: "192.0.2.10:22".to_owned(),
        why: "connection refused".to_owned(),
    })
}

pub(super) fn unreachable() -> StepError {
    StepError::Docker(DockerError::Unreachable {
        machine: name("web-1"),
        address: "tcp://192.0.2.10:2376".to_owned(),
        why: "no answer within 10 s".to_owned(),
    })
}

/// What a run of the plan may tell.
pub(super) fn events() -> Vec<Event> {
    let web = id("web-1", Part::Instance);
    let engine = id("db", Part::Engine);
    let progress = |text: &str| Event::Progress { step: engine.clone(), text: text.to_owned() };
    let elapsed = Duration::from_millis(1_240);
    vec![
        Event::Started { step: web.clone(), action: Action::Create },
        Event::Finished { step: web, action: Action::Create, result: Ok(()), elapsed },
        Event::Started { step: engine.clone(), action: Action::Upgrade },
        progress("connecting"),
        progress("install docker.io (1/2)"),
        progress("install docker.io (1/2)"),
        Event::Finished { step: engine.clone(), action: Action::Upgrade, result: Err(Arc::new(op())), elapsed },
        Event::Skipped { step: id("behind", Part::Instance), because_of: engine },
        Event::NotStarted { step: id("late", Part::Instance) },
    ]
}

/// How every step of the plan ended.
pub(super) fn outcome() -> Outcome {
    let failed = |error| End::Failed(Arc::new(error));
    Outcome::from([
        (id("db", Part::Instance), End::Done),
        (id("db", Part::Engine), failed(op())),
        (id("web-1", Part::Instance), End::Done),
        (id("web-1", Part::Certificate), End::Done),
        (id("web-1", Part::Engine), End::Done),
        (id("behind", Part::Instance), End::Skipped(id("db", Part::Engine))),
        (id("late", Part::Instance), End::NotStarted),
        (id("cut", Part::Instance), End::CutOff),
        (StepId { rm: true, ..id("old", Part::Instance) }, End::Done),
        (id("same", Part::Instance), End::Done),
        (id("laptop", Part::Engine), End::Done),
    ])
}
