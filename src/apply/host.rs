//! What certificate and engine steps do on a host: connect, look, run a script.

use super::{StepError, phase, step::Task};
use crate::{
    driver::AnyDriver,
    fault,
    name::MachineName,
    provisioner::{
        self, Facts, Provisioner, Script,
        facts::{self, Clocks},
        script::{self, Failure, Outcome, Progress},
    },
    record::MachineRecord,
    store::{Area, Mode, Versioned},
    transport::{Limits, Transport, TransportError},
    world::{self, World},
};
use std::{sync::Arc, time::Duration};

/// How long a host may take to answer after it was made or started.
const BOOT: Duration = Duration::from_mins(3);
/// How long a host may take to answer that its driver did not make: most are up, some were booted just now.
const THERE: Duration = Duration::from_secs(30);

/// One who works on a host: with what, and who is told where it is.
pub(super) trait Worker: Sync {
    /// Everything outside.
    fn world(&self) -> &World;
    /// Tells a person what is being done now.
    fn progress(&self, text: &str);
}

impl Worker for Task {
    fn world(&self) -> &World {
        &self.world
    }

    fn progress(&self, text: &str) {
        Self::progress(self, text);
    }
}

/// A host that answered, and what was found on it.
pub(super) struct Host {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) facts: Facts,
    pub(super) provisioner: &'static dyn Provisioner,
    port: u16,
    machine: MachineName,
    owner: Owner,
}

/// Where it is said what a machine should be, and so how one goes on after a failure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Owner {
    /// A fleet file: it is applied.
    Fleet,
    /// Its own record: it is provisioned.
    Itself,
}

impl Host {
    /// Connects, pins the host key at first contact, and looks.
    pub(super) async fn reach(worker: &impl Worker, record: &mut Versioned, port: u16) -> Result<Self, StepError> {
        let world = worker.world();
        worker.progress(phase::CONNECTING);
        let transport = connect(world, record, true).await?;
        let facts = look(&*transport, port).await?;
        if !facts.root {
            return Err(StepError::NoRoot(user(record)));
        }
        let os = facts.os.as_ref().ok_or(StepError::NoOsRelease)?;
        let provisioner =
            provisioner::detect(world.provisioners, os).ok_or_else(|| StepError::UnknownDistribution(os.id.clone()))?;
        worker.progress(&format!("{}{}", phase::PROVISIONING_WITH, provisioner.name()));
        Ok(Self {
            transport,
            facts,
            provisioner,
            port,
            machine: record.name.clone(),
            owner: if record.fleet.is_some() { Owner::Fleet } else { Owner::Itself },
        })
    }

    /// The clocks of both sides, if they do not agree.
    pub(super) fn clocks(&self, worker: &impl Worker) -> Option<Clocks> {
        self.facts.other_time(worker.world().clock.now())
    }

    /// Looks again.
    pub(super) async fn look(&mut self) -> Result<(), StepError> {
        self.facts = look(&*self.transport, self.port).await?;
        Ok(())
    }

    /// Runs a script as root; nothing at all when it is empty.
    pub(super) async fn run(&self, worker: &impl Worker, script: &Script) -> Result<(), StepError> {
        if script.is_empty() {
            return Ok(());
        }
        let mut at = None;
        let mut progress = |line: &str| match script::progress(line) {
            Some(Progress::Start { index, total, title }) => {
                worker.progress(&format!("{title} ({index}/{total})"));
                at = Some(title.clone());
            }
            Some(Progress::Note(note)) => worker.progress(&note),
            Some(Progress::Failed { .. } | Progress::Done) | None => {}
        };
        let point = |name| {
            let (machine, doing) = (self.machine.clone(), "running a script".to_owned());
            fault::point(name, self.machine.as_str()).map_err(|e| TransportError::Broken {
                machine,
                doing,
                why: e.to_string(),
            })
        };
        point("host.script")?;
        let output = self.transport.run_as_root(&script.render(), Limits::LONG, &mut progress).await;
        let output = output.map_err(|e| during(e, at.as_deref()))?;
        point("host.script.done")?;
        let Outcome::Failed(failure) = script.outcome(output.status, &output.stdout, &output.stderr) else {
            return Ok(());
        };
        // The whole of it is kept, since only the last lines are shown.
        let log = format!("{}\n{}", output.stdout, output.stderr);
        let file = (LOG, log.as_bytes(), Mode::Private);
        worker.world().store.files.write(Area::Machine(&self.machine), &[file]).await?;
        let Failure { title, status, said } = failure;
        let title = title.unwrap_or_else(|| "starting a script".to_owned());
        Err(StepError::Op { title, status, help: Some(advice(&said, &self.machine, self.owner)), stderr: said })
    }
}

/// Connects, and pins the host key at first contact. Waits for a host that is booting, if it may be.
pub(super) async fn connect(
    world: &World,
    record: &mut Versioned,
    booting: bool,
) -> Result<Arc<dyn Transport>, StepError> {
    let dir = world.store.files.machine_dir(&record.name).await?;
    let mut target =
        world::target(&world.drivers, record, &dir).ok_or_else(|| StepError::NoLogin(record.driver.clone()))?;
    let made = world.drivers.get(&record.driver).is_some_and(AnyDriver::creates);
    target.patience = match (booting, made) {
        (false, _) => Duration::ZERO,
        (true, true) => BOOT,
        (true, false) => THERE,
    };
    fault::pass("host.connect", record.name.as_str());
    let transport = world.connect.connect(&target).await?;
    fault::pass("host.connect.done", record.name.as_str());
    let met = (transport.host_key(), transport.jump_keys());
    if record.instance.as_mut().is_some_and(|instance| instance.pin(met.0, met.1)) {
        world.store.save(record).await?;
    }
    Ok(transport)
}

/// As whom one logs in.
fn user(record: &MachineRecord) -> String {
    record.instance.as_ref().and_then(|i| i.ssh.as_ref()).map(|ssh| ssh.user.clone()).unwrap_or_default()
}

/// A script that was cut off, with the command that was running then: the transport must not name what it runs.
fn during(error: TransportError, title: Option<&str>) -> TransportError {
    let more = |doing: String| title.map_or_else(|| doing.clone(), |title| format!("{doing} (`{title}`)"));
    match error {
        TransportError::Timeout { machine, doing, limit_s } => {
            TransportError::Timeout { machine, doing: more(doing), limit_s }
        }
        TransportError::Broken { machine, doing, why } => TransportError::Broken { machine, doing: more(doing), why },
        other => other,
    }
}

/// How much of an answer that makes no sense is shown, in characters.
const SHOWN: usize = 200;

/// File in a machine's folder with everything the last failed script printed.
pub(crate) const LOG: &str = "last-failure.log";

/// What to do about causes that are met often, told by what the host printed.
fn advice(said: &str, machine: &MachineName, owner: Owner) -> String {
    let known = [
        (
            "is not available for",
            "write one of the versions that are available into the fleet file, or another `source` or `mirror`",
        ),
        ("apt was locked by another program", "wait until that program has ended, then apply again"),
        ("address already in use", "another program on the host has the engine's port; see there which:\n  ss -ltnp"),
        (
            "the previous configuration was put back",
            "the engine goes on as it was; correct `engine` in the fleet file, then apply again",
        ),
        ("No space left on device", "the host's disk is full: free some space there, then apply again"),
        (
            "dpkg was interrupted",
            "the host's package system was cut off: mend it there, then apply again:\n  dpkg --configure -a",
        ),
        (
            "Unable to correct problems, you have held broken packages",
            "the host holds broken packages; look at them there:\n  apt-get -f install",
        ),
        ("Temporary failure resolving", "the host cannot resolve names: check its /etc/resolv.conf and its network"),
        ("Could not resolve", "the host cannot resolve names: check its /etc/resolv.conf and its network"),
        ("Failed to fetch", "the host cannot reach its package mirror: check its network and its apt sources"),
        (" cannot be downloaded", "check the address of the script, and that the host reaches it, then apply again"),
        ("the script of ", "mend the script at its address, or what it misses on the host, then apply again"),
        ("Read-only file system", "a file system of the host is read-only: look at its kernel log, then apply again"),
    ];
    let found = known.iter().find(|(mark, _)| said.contains(mark)).map(|(_, help)| (*help).to_owned());
    let text = found.unwrap_or_else(|| format!("mend that on the host, then apply again:\n  machine ssh {machine}"));
    match owner {
        Owner::Fleet => text,
        Owner::Itself if text.contains('\n') => {
            format!("{}\n  machine provision {machine}", text.replace("apply again", "provision it again"))
        }
        Owner::Itself => text
            .replace("apply again", &format!("provision it again:\n  machine provision {machine}"))
            .replace(" into the fleet file", "")
            .replace(" in the fleet file", ""),
    }
}

async fn look(transport: &dyn Transport, port: u16) -> Result<Facts, StepError> {
    let output = transport.run(&facts::probe(port), b"", Limits::SHORT, &mut |_| {}).await?;
    facts::parse(&output.stdout).map_err(|why| {
        // What a login prints that runs nothing, as `This account is currently not available.`
        let printed: Vec<&str> = output.stderr.lines().chain(output.stdout.lines()).map(str::trim).collect();
        match printed.iter().find(|line| !line.is_empty()) {
            Some(line) => {
                StepError::Facts(format!("{why}; it printed: {}", line.chars().take(SHOWN).collect::<String>()))
            }
            None => StepError::Facts(why),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_wrote_no_fleet_file_is_sent_to_none() {
        let web = MachineName::new("web-1").unwrap();
        for said in ["No space left on device", "no reason", "the script of http://x failed", "dpkg was interrupted"] {
            let of_fleet = advice(said, &web, Owner::Fleet);
            assert!(of_fleet.contains("apply again") && !of_fleet.contains("provision"), "{of_fleet}");
            let alone = advice(said, &web, Owner::Itself);
            assert!(!alone.contains("apply") && alone.ends_with("\n  machine provision web-1"), "{alone}");
        }
    }
}
