//! A look at machines for `ls` and `active`: all at once, each bounded in time.

use super::{
    CliError,
    document::Document,
    filter::Filters,
    machine::{self, Machine, split_host_port},
    row::{Active, Row, State, one_line},
    stored::{settled, stored},
};
use crate::{
    docker::DockerError,
    name::MachineName,
    panicked::{caught, caught_async, joined},
    record::{MachineRecord, Power, Snapshot, host_port},
    world::World,
};
use std::{collections::BTreeMap, sync::Arc, thread, time::Duration};
use tokio::{sync::Semaphore, task::JoinSet, time::Instant};

/// How many machines are asked at once: a process may have 1,024 open files, and SSH needs more than one.
const AT_ONCE: usize = 256;

/// How to look.
#[derive(Clone, Debug)]
pub(super) struct Look {
    /// How long one machine may take, from when it is asked.
    pub(super) timeout: Duration,
    /// `DOCKER_HOST`.
    pub(super) docker_host: Option<String>,
    /// Whether engines are asked, or only drivers.
    pub(super) engine: bool,
    /// Whether errors are told in docker-machine's words.
    pub(super) drop_in: bool,
}

/// Looks at all machines; those whose records cannot be read come along as errors.
pub(super) async fn look(world: &World, snapshot: Snapshot, look: &Look) -> Vec<Row> {
    Found::read(world, snapshot, &Filters::default(), true).look(world, look).await
}

/// The machines to show, before they are looked at.
pub(super) struct Found {
    machines: Vec<Listed>,
    broken: BTreeMap<String, String>,
}

struct Listed {
    record: MachineRecord,
    document: Document,
    /// Name of its swarm's master; empty without a swarm.
    master: String,
}

impl Found {
    /// What is recorded of the machines that pass. Without `documents`, those are read only if a filter asks for it.
    pub(super) fn read(world: &World, snapshot: Snapshot, filters: &Filters, documents: bool) -> Self {
        let mut broken = snapshot.broken;
        let records: Vec<MachineRecord> = snapshot.machines.into_values().map(|known| known.record).collect();
        let documents = if documents || filters.need_documents() {
            read_documents(world, &records)
        } else {
            records.iter().map(|_| Ok(Document::default())).collect()
        };
        let mut machines = Vec::with_capacity(records.len());
        for (record, document) in records.into_iter().zip(documents) {
            match document {
                Ok(document) => machines.push(Listed { record, document, master: String::new() }),
                Err(why) => {
                    broken.insert(record.name.to_string(), why);
                }
            }
        }
        let masters: BTreeMap<String, String> = machines
            .iter()
            .filter(|machine| machine.document.is_swarm_master())
            .filter_map(|machine| Some((machine.document.discovery()?.to_owned(), machine.record.name.to_string())))
            .collect();
        for machine in &mut machines {
            if let Some(master) = machine.document.discovery().and_then(|discovery| masters.get(discovery)) {
                machine.master.clone_from(master);
            }
        }
        machines.retain(|machine| filters.pass(&machine.record, &machine.document, &machine.master));
        Self { machines, broken }
    }

    /// Names of machines that can be read, in the order of the store.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.machines.iter().map(|machine| machine.record.name.as_str())
    }

    /// Looks at all of them at once. Rows are in natural order: `m2` before `m10`.
    pub(super) async fn look(self, world: &World, look: &Look) -> Vec<Row> {
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        let shared = Arc::new((world.clone(), look.clone()));
        let mut tasks = JoinSet::new();
        for machine in self.machines {
            let (shared, permits) = (shared.clone(), permits.clone());
            tasks.spawn(async move {
                let _permit = permits.acquire_owned().await.expect("the semaphore is never closed");
                one(&shared.0, machine, &shared.1).await
            });
        }
        let mut rows = tasks.join_all().await;
        rows.extend(self.broken.into_iter().map(|(name, why)| Row::broken(name, &why)));
        rows.sort_by_cached_key(Row::order);
        rows
    }
}

/// docker-machine's documents.
fn read_documents(world: &World, records: &[MachineRecord]) -> Vec<Result<Document, String>> {
    side_by_side(records, |record| match caught(|| Document::read(&world.store, &record.name)) {
        Ok(Ok(document)) => Ok(document.unwrap_or_default()),
        Ok(Err(e)) => Err(e.to_string()),
        Err(panicked) => Err(panicked.to_string()),
    })
}

/// Names of machines that can be read, in the order of the store, by the least that tells: scripts ask for names often.
pub(super) fn readable(world: &World) -> Result<Vec<String>, CliError> {
    let names = stored(world.store.records.names())?;
    let is_there = side_by_side(&names, |name| {
        let name = MachineName::new(name.as_str());
        name.is_ok_and(|name| settled(world.store.records.is_sound(&name)).unwrap_or_default())
    });
    Ok(names.into_iter().zip(is_there).filter(|(_, there)| *there).map(|(name, _)| name).collect())
}

/// Does work that waits for files on several threads; the order is kept.
fn side_by_side<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(8);
    // A thread costs as much as reading a few files.
    let share = items.len().div_ceil(threads).max(32);
    if items.len() <= share {
        return items.iter().map(work).collect();
    }
    let work = &work;
    thread::scope(|scope| {
        let workers: Vec<_> =
            items.chunks(share).map(|part| scope.spawn(move || caught(|| part.iter().map(work).collect()))).collect();
        workers.into_iter().flat_map(|w| joined::<Vec<_>>(w.join())).collect()
    })
}

/// So that it is the whole look that takes too long, never one question of it.
const GRACE: Duration = Duration::from_secs(1);

async fn one(world: &World, machine: Listed, look: &Look) -> Row {
    let Listed { record, document, master } = machine;
    let start = Instant::now();
    let mut row = Row::of(&record, &document);
    let mut seen = Row::default();
    let asking =
        async { caught_async(ask(world, record, &document, look, &mut seen)).await.map_err(CliError::Panicked)? };
    let asked = tokio::time::timeout(look.timeout, asking).await;
    if let Ok(result) = asked {
        row.swarm = if master == row.name { format!("{master} (master)") } else { master };
        (row.state, row.active, row.url) = (seen.state, seen.active, seen.url);
        (row.docker, row.error) = (seen.docker, seen.error);
        if let Err(e) = result {
            (row.state, row.error) = (State::Error, one_line(&e.to_string()));
            "Unknown".clone_into(&mut row.docker);
        }
        row.response = start.elapsed();
    } else {
        (row.state, row.response) = (State::Timeout, look.timeout);
    }
    row
}

async fn ask(
    world: &World,
    record: MachineRecord,
    document: &Document,
    look: &Look,
    row: &mut Row,
) -> Result<(), CliError> {
    let machine = Machine::of(world, record);
    let power = match machine.power().await {
        Ok(power) => power,
        Err(e @ CliError::NoDriver(_)) => {
            row.error = one_line(&e.to_string());
            Power::Unknown
        }
        Err(e) => return Err(e),
    };
    row.state = State::from(power);
    row.active = Active::No;
    "Unknown".clone_into(&mut row.docker);
    if power != Power::Running {
        return Ok(());
    }
    let Some(url) = machine.url() else { return Ok(()) };
    row.active = active(&url, document, look.docker_host.as_deref());
    if look.engine {
        match machine.engine_version_at(&url, look.timeout + GRACE).await {
            Ok(version) => row.docker = format!("v{}", version.version),
            Err(e) => row.error = format!("Unable to query docker version: {}", unreachable(&e, look.drop_in)),
        }
    }
    row.url = url;
    Ok(())
}

/// Why an engine did not answer.
pub(super) fn unreachable(error: &CliError, drop_in: bool) -> String {
    match error {
        CliError::Docker(DockerError::Unreachable { .. }) if drop_in => {
            "Cannot connect to the docker engine endpoint".to_owned()
        }
        other => one_line(&other.to_string()),
    }
}

fn active(url: &str, document: &Document, docker_host: Option<&str>) -> Active {
    let swarm = || {
        let (host, _) = url.strip_prefix("tcp://").and_then(split_host_port)?;
        let port = document.swarm_port().filter(|_| document.is_swarm_master())?;
        Some(format!("tcp://{}", host_port(host, port)))
    };
    match docker_host {
        Some(wanted) if swarm().is_some_and(|swarm| swarm == wanted) => Active::Swarm,
        Some(wanted) if url == wanted => Active::Host,
        _ => Active::No,
    }
}

impl From<Power> for State {
    fn from(power: Power) -> Self {
        match machine::state(power) {
            "Running" => Self::Running,
            "Paused" => Self::Paused,
            "Saved" => Self::Saved,
            "Stopped" => Self::Stopped,
            "Starting" => Self::Starting,
            "Stopping" => Self::Stopping,
            "Not Found" => Self::NotFound,
            _ => Self::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_machine_is_active_when_docker_host_names_it() {
        let document =
            Document(json!({"HostOptions": {"SwarmOptions": {"Master": true, "Host": "tcp://0.0.0.0:3376"}}}));
        for (docker_host, want) in [
            (Some("tcp://192.0.2.1:2376"), Active::Host),
            (Some("tcp://192.0.2.1:3376"), Active::Swarm),
            (Some("tcp://192.0.2.1:2376/"), Active::No),
            (None, Active::No),
        ] {
            assert_eq!(active("tcp://192.0.2.1:2376", &document, docker_host), want);
        }
    }
}
