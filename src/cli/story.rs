//! What happens to one machine, told line by line in docker-machine's words, and the plan it happens by.
//!
//! Scripts wait for these lines, so they are docker-machine's where it has one; what it has no line for is
//! told as it tells the words of its drivers: `(NAME) …`.

use super::CliError;
use crate::{
    apply::{self, End, Event, Interrupt, Options, apply, phase},
    fleet::OnError,
    history::{self, Deed, Origin},
    name::MachineName,
    plan::{Action, Plan},
    record::Part,
    store::StoreError,
    world::{self, World},
};
use std::sync::Arc;
use tokio::sync::mpsc::unbounded_channel;

/// How a lost answer is met within a run.
const RETRIES: u32 = 2;

/// Carries out the plan of one machine; `tell` is given the lines as they come.
///
/// # Errors
/// The first step that failed.
pub(super) async fn carry_out(
    world: &World,
    command: &'static str,
    name: &MachineName,
    plan: &Plan,
    interrupt: &Interrupt,
    tell: &(dyn Fn(String) + Send + Sync),
) -> Result<(), CliError> {
    let open = history::begin(world, &Origin::of(command), plan.fleet.as_ref(), Deed::of_plan(plan)).await;
    let open = open.map_err(CliError::Store)?;
    let options = Options { parallel: 1, on_error: OnError::default(), retries: RETRIES };
    let (events, mut inbox) = unbounded_channel();
    let work = async {
        let outcome = apply(plan, world, &options, interrupt, &events).await;
        drop(events);
        outcome
    };
    let telling = async {
        let mut story = Story::new(name, plan);
        while let Some(event) = inbox.recv().await {
            for line in story.lines(&event) {
                tell(line);
            }
        }
    };
    let (outcome, ()) = tokio::join!(work, telling);
    if let Err(e) = open.end_of(world, plan, &outcome, interrupt.by()).await {
        not_noted(&e);
    }
    for end in outcome.values() {
        if let End::Failed(error) = end {
            let log = world::machine_dir(world, name).join(apply::LOG);
            let log = log.exists().then_some(log);
            return Err(CliError::Step { machine: name.clone(), error: Arc::clone(error), log });
        }
    }
    if outcome.values().all(|end| matches!(end, End::Done)) {
        return Ok(());
    }
    Err(CliError::Unfinished(name.clone()))
}

/// Says that the end of a run is missing in the history. What was done is done, so it is no failure.
pub(super) fn not_noted(error: &StoreError) {
    let help = error.help().unwrap_or_else(|| "the history shows this run as one that did not end".to_owned());
    CliError::warn(&format!("the end of this run could not be recorded: {error}"), &help);
}

/// Events as lines.
struct Story {
    name: MachineName,
    /// Whether anything is set up on the host.
    sets_up: bool,
    /// Whether an instance is being made.
    creating: bool,
    /// Lines that are told once, whatever part they belong to.
    told: Vec<&'static str>,
    last: String,
}

impl Story {
    fn new(name: &MachineName, plan: &Plan) -> Self {
        let sets_up = plan.steps.nodes().any(|(id, _)| id.part == Part::Engine);
        Self { name: name.clone(), sets_up, creating: false, told: Vec::new(), last: String::new() }
    }

    /// That the instance is being made, once.
    fn begun(&mut self) -> Option<String> {
        if self.creating { self.once("Creating machine...") } else { None }
    }

    /// A line, unless it was told before.
    fn once(&mut self, line: &'static str) -> Option<String> {
        if self.told.contains(&line) {
            return None;
        }
        self.told.push(line);
        Some(line.to_owned())
    }

    fn lines(&mut self, event: &Event) -> Vec<String> {
        let lines: Vec<Option<String>> = match event {
            // Told with the first sign of it: a driver that cannot begin says so at once.
            Event::Started { step, action } => {
                self.creating |= step.part == Part::Instance && *action == Action::Create;
                Vec::new()
            }
            Event::Progress { step, text } => {
                let begun = self.begun();
                let mut lines = vec![begun];
                lines.extend(self.progress(step.part, text));
                lines
            }
            Event::Finished { step, action, result: Ok(()), .. } => match (step.part, *action) {
                (Part::Instance, Action::Create) => {
                    let mut lines = vec![self.begun()];
                    if self.sets_up {
                        lines.push(self.once("Waiting for machine to be running, this may take a few minutes..."));
                        lines.push(self.once("Detecting operating system of created instance..."));
                    }
                    lines
                }
                _ => Vec::new(),
            },
            // Why it failed, or what is left, is told at the end.
            Event::Finished { .. } | Event::Skipped { .. } | Event::NotStarted { .. } | Event::CutOff { .. } => {
                Vec::new()
            }
            Event::Interrupted { times: 0 | 1 } => {
                vec![Some("Ending after what is under way. Ctrl-C once more ends at once.".to_owned())]
            }
            Event::Interrupted { .. } => vec![Some("Ending at once.".to_owned())],
        };
        lines.into_iter().flatten().collect()
    }

    fn progress(&mut self, part: Part, text: &str) -> Vec<Option<String>> {
        if let Some(provisioner) = text.strip_prefix(phase::PROVISIONING_WITH) {
            return match self.once("Detecting the provisioner...") {
                Some(line) => vec![Some(line), Some(format!("Provisioning with {provisioner}..."))],
                None => Vec::new(),
            };
        }
        let known = match text {
            phase::CONNECTING => Some("Waiting for SSH to be available..."),
            phase::ISSUING => Some("Copying certs to the local machine directory..."),
            phase::ASKING => Some("Checking connection to Docker..."),
            _ => None,
        };
        if let Some(line) = known {
            return vec![self.once(line)];
        }
        if self.last == text {
            return Vec::new();
        }
        text.clone_into(&mut self.last);
        let before = match part {
            Part::Certificate => Some("Copying certs to the remote machine..."),
            Part::Engine if text.starts_with("install ") => Some("Installing Docker..."),
            Part::Engine if text.starts_with("write ") => Some("Setting Docker configuration on the remote daemon..."),
            Part::Engine | Part::Instance | Part::Remains => None,
        };
        vec![before.and_then(|line| self.once(line)), Some(format!("({}) {text}", self.name))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::StepId;
    use std::time::Duration;

    #[test]
    fn a_creation_is_told_in_docker_machines_words() {
        let name = MachineName::new("web").unwrap();
        let mut story =
            Story { name: name.clone(), sets_up: true, creating: false, told: Vec::new(), last: String::new() };
        let id = |part| StepId::part(&name, part);
        let progress = |part, text: &str| Event::Progress { step: id(part), text: text.to_owned() };
        let ended =
            |part| Event::Finished { step: id(part), action: Action::Create, result: Ok(()), elapsed: Duration::ZERO };
        let events = [
            Event::Started { step: id(Part::Instance), action: Action::Create },
            progress(Part::Instance, "booting"),
            ended(Part::Instance),
            Event::Started { step: id(Part::Certificate), action: Action::Create },
            progress(Part::Certificate, phase::ISSUING),
            progress(Part::Certificate, phase::CONNECTING),
            progress(Part::Certificate, "provisioning with debian"),
            progress(Part::Certificate, "write the TLS identity in /etc/docker (1/1)"),
            ended(Part::Certificate),
            progress(Part::Engine, phase::CONNECTING),
            progress(Part::Engine, "provisioning with debian"),
            progress(Part::Engine, "install docker.io (1/2)"),
            progress(Part::Engine, "install docker.io (1/2)"),
            progress(Part::Engine, "write /etc/docker/daemon.json (labels) (2/2)"),
            progress(Part::Engine, phase::ASKING),
            ended(Part::Engine),
        ];
        let lines: Vec<String> = events.iter().flat_map(|event| story.lines(event)).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        Creating machine...
        (web) booting
        Waiting for machine to be running, this may take a few minutes...
        Detecting operating system of created instance...
        Copying certs to the local machine directory...
        Waiting for SSH to be available...
        Detecting the provisioner...
        Provisioning with debian...
        Copying certs to the remote machine...
        (web) write the TLS identity in /etc/docker (1/1)
        Installing Docker...
        (web) install docker.io (1/2)
        Setting Docker configuration on the remote daemon...
        (web) write /etc/docker/daemon.json (labels) (2/2)
        Checking connection to Docker...
        ");
    }
}
