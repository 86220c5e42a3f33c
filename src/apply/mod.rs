//! Carries out a plan, and decides nothing: each step after those it needs, a bounded number of hosts at
//! once, intent recorded before every effect.
//!
//! One task owns what waits, runs and has ended; steps run in tasks of their own. Nothing is undone: a
//! failed or killed run is repaired by planning again.

mod certificate;
mod engine;
mod error;
mod hook;
mod host;
mod instance;
pub mod preflight;
mod remains;
mod step;

use crate::{
    fleet::OnError,
    panicked::caught_async,
    plan::{Action, Plan, StepId, Work},
    world::World,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{
    sync::{mpsc::UnboundedSender, watch},
    task::JoinSet,
    time::Instant,
};

pub use certificate::renew as renew_certificate;
pub use error::StepError;
pub(crate) use hook::WITHIN as WITHIN_HOOK;
pub use hook::run as run_hook;
pub(crate) use host::LOG;
pub use remains::{Buried, retry as retry_removal};

/// What steps say of themselves in [`Event::Progress`] and others may want to recognise.
pub mod phase {
    /// A connection to the host is being made.
    pub const CONNECTING: &str = "connecting";
    /// The host answered and its distribution is known; the provisioner's name follows.
    pub const PROVISIONING_WITH: &str = "provisioning with ";
    /// A certificate is being made.
    pub const ISSUING: &str = "issuing the certificate";
    /// The engine is being asked.
    pub const ASKING: &str = "asking the engine";
}

/// What happens, as it happens. The receiver can only show it.
#[derive(Clone, Debug)]
pub enum Event {
    /// A step begins.
    Started {
        /// Which.
        step: StepId,
        /// What it does.
        action: Action,
    },
    /// A step says where it is.
    Progress {
        /// Which.
        step: StepId,
        /// What it does now, for a person.
        text: String,
    },
    /// A step ended.
    Finished {
        /// Which.
        step: StepId,
        /// What it did.
        action: Action,
        /// Whether it did it.
        result: Result<(), Arc<StepError>>,
        /// How long it took.
        elapsed: Duration,
    },
    /// A step is not begun because one it needs failed.
    Skipped {
        /// Which.
        step: StepId,
        /// The failed one.
        because_of: StepId,
    },
    /// A step is not begun because the run was told to end.
    NotStarted {
        /// Which.
        step: StepId,
    },
    /// A step that was under way is cut off.
    CutOff {
        /// Which.
        step: StepId,
    },
    /// The run was told to end.
    Interrupted {
        /// How often by now: once, no new step starts; twice, running ones are cut off.
        times: u8,
    },
}

/// How a step ended.
#[derive(Clone, Debug)]
pub enum End {
    /// As planned (also when nothing was to do).
    Done,
    /// Not as planned.
    Failed(Arc<StepError>),
    /// Not begun, because of this one.
    Skipped(StepId),
    /// Not begun, because the run was told to end.
    NotStarted,
    /// Begun and cut off by a second interrupt; its intent is recorded.
    CutOff,
}

/// How every step ended.
pub type Outcome = BTreeMap<StepId, End>;

/// Told by a signal, or a test: once, no new step starts; twice, running ones are cut off. All who were given it hear it.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<watch::Sender<Asked>>);

/// How often a run was told to end, and what told it first.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    times: u8,
    by: Option<&'static str>,
}

impl Interrupt {
    /// Asks once more.
    pub fn ask(&self) {
        self.0.send_modify(|asked| asked.times = asked.times.saturating_add(1));
    }

    /// As [`ask`](Self::ask), by a signal.
    pub fn ask_by(&self, signal: &'static str) {
        self.0.send_modify(|asked| {
            asked.times = asked.times.saturating_add(1);
            asked.by.get_or_insert(signal);
        });
    }

    /// How often it was asked.
    #[must_use]
    pub fn asked(&self) -> u8 {
        self.0.borrow().times
    }

    /// The signal that asked first.
    #[must_use]
    pub fn by(&self) -> Option<&'static str> {
        self.0.borrow().by
    }

    /// Waits until it was asked so often.
    pub async fn asked_times(&self, times: u8) {
        // It cannot be closed while we have it.
        let _ = self.0.subscribe().wait_for(|asked| asked.times >= times).await;
    }
}

/// How a run behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many hosts are worked on at once.
    pub parallel: usize,
    /// What happens after a failure.
    pub on_error: OnError,
    /// How often a lost answer of a driver is asked again within the run.
    pub retries: u32,
}

/// Runs every step of `plan`.
pub async fn apply(
    plan: &Plan,
    world: &World,
    options: &Options,
    interrupt: &Interrupt,
    events: &UnboundedSender<Event>,
) -> Outcome {
    let mut run = Run::new(plan, options.on_error, events);
    let hooks = plan.hooks();
    let mut running: JoinSet<(StepId, Result<(), StepError>, Duration)> = JoinSet::new();
    let mut in_flight = BTreeSet::new();
    let mut told = 0_u8;
    loop {
        // What is spawned runs at once, so that nothing can begin after an interrupt or a failure that stops the run.
        while in_flight.len() < options.parallel.max(1) {
            let Some(id) = run.next(interrupt.asked() > 0) else { break };
            let step = plan.steps.get(&id).expect("only steps of the plan become ready").clone();
            if step.work == Work::Nothing {
                run.end(&id, End::Done);
                continue;
            }
            let task = step::Task {
                world: world.clone(),
                fleet: plan.fleet.clone(),
                host: plan.hosts.get(&id.machine).cloned(),
                id: id.clone(),
                step,
                retries: options.retries,
                later: plan.later(&hooks, &id),
                place: OnceLock::new(),
                events: events.clone(),
            };
            in_flight.insert(id.clone());
            running.spawn(async move {
                events_started(&task);
                let begun = Instant::now();
                // A mistake in one step fails that step.
                let result = match caught_async(task.perform()).await {
                    Ok(result) => result,
                    Err(panicked) => Err(StepError::Panicked(panicked)),
                };
                (task.id, result, begun.elapsed())
            });
        }
        if interrupt.asked() > 1 {
            running.abort_all();
        }
        tokio::select! {
            joined = running.join_next() => match joined {
                None => break,
                Some(Ok((id, result, elapsed))) => {
                    in_flight.remove(&id);
                    run.finish(&id, result, elapsed);
                }
                Some(Err(e)) if e.is_cancelled() => {}
                // Only what surrounds a step could, and there is nothing in it that might.
                Some(Err(e)) => std::panic::resume_unwind(e.into_panic()),
            },
            () = interrupt.asked_times(told.saturating_add(1)) => {
                told = interrupt.asked();
                events.send(Event::Interrupted { times: told }).ok();
            }
        }
    }
    for id in in_flight {
        events.send(Event::CutOff { step: id.clone() }).ok();
        run.end(&id, End::CutOff);
    }
    run.outcome()
}

fn events_started(task: &step::Task) {
    task.events.send(Event::Started { step: task.id.clone(), action: task.step.action }).ok();
}

/// What waits and what has ended.
struct Run<'a> {
    plan: &'a Plan,
    on_error: OnError,
    events: &'a UnboundedSender<Event>,
    /// How many steps each waiting one still waits for.
    waits: BTreeMap<StepId, usize>,
    ready: BTreeSet<StepId>,
    ended: Outcome,
    stopped: bool,
}

impl<'a> Run<'a> {
    fn new(plan: &'a Plan, on_error: OnError, events: &'a UnboundedSender<Event>) -> Self {
        let waits: BTreeMap<StepId, usize> =
            plan.steps.nodes().map(|(id, _)| (id.clone(), plan.steps.needs(id).count())).collect();
        let ready = waits.iter().filter(|(_, n)| **n == 0).map(|(id, _)| id.clone()).collect();
        Self { plan, on_error, events, waits, ready, ended: Outcome::new(), stopped: false }
    }

    /// The next step that may begin, or nothing when none may now.
    fn next(&mut self, interrupted: bool) -> Option<StepId> {
        if interrupted || self.stopped {
            return None;
        }
        let id = self.ready.pop_first()?;
        self.waits.remove(&id);
        Some(id)
    }

    fn finish(&mut self, id: &StepId, result: Result<(), StepError>, elapsed: Duration) {
        let action = self.plan.steps.get(id).map_or(Action::Keep, |s| s.action);
        let result = result.map_err(Arc::new);
        self.events.send(Event::Finished { step: id.clone(), action, result: result.clone(), elapsed }).ok();
        match result {
            Ok(()) => self.end(id, End::Done),
            Err(error) => {
                // Another run is at work on these machines now.
                let lost = matches!(&*error, StepError::Store(e) if e.is_of_lock());
                self.stopped |= lost || self.on_error == OnError::FailFast && !self.is_optional(id);
                self.end(id, End::Failed(error));
            }
        }
    }

    /// Notes how a step ended, and what that means for those that wait for it.
    fn end(&mut self, id: &StepId, end: End) {
        let failed = match &end {
            End::Failed(_) => Some(id.clone()),
            End::Skipped(root) => Some(root.clone()),
            End::Done | End::NotStarted | End::CutOff => None,
        };
        self.ended.insert(id.clone(), end);
        // What may fail stops no other step: those that wait for it wait until it has ended, however.
        let optional = self.is_optional(id);
        for later in self.plan.steps.needed_by(id) {
            let Some(waits) = self.waits.get_mut(later) else { continue };
            *waits -= 1;
            // Told to keep going, another host may still be tried; the same machine's next part may not.
            let blocked = failed
                .as_ref()
                .filter(|_| later.machine == id.machine || self.on_error != OnError::KeepGoing && !optional);
            if let Some(root) = blocked {
                self.skip(later, root);
            } else if *waits == 0 {
                self.ready.insert(later.clone());
            }
        }
    }

    fn is_optional(&self, id: &StepId) -> bool {
        self.plan.hosts.get(&id.machine).is_some_and(|host| host.optional)
    }

    fn skip(&mut self, id: &StepId, root: &StepId) {
        if self.waits.remove(id).is_none() {
            return;
        }
        self.ready.remove(id);
        self.events.send(Event::Skipped { step: id.clone(), because_of: root.clone() }).ok();
        self.end(id, End::Skipped(root.clone()));
    }

    fn outcome(mut self) -> Outcome {
        for id in std::mem::take(&mut self.waits).into_keys() {
            if self.plan.steps.get(&id).is_some_and(|s| s.action != Action::Keep) {
                self.events.send(Event::NotStarted { step: id.clone() }).ok();
            }
            self.ended.insert(id, End::NotStarted);
        }
        self.ended
    }
}
