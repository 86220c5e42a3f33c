//! One line of `ls`: a look at a machine, bounded in time, all machines at once.

use super::{
    CliError,
    document::Document,
    filter::Filters,
    machine::{self, Machine, split_host_port},
};
use crate::{
    record::{MachineRecord, Power, Snapshot, host_port},
    world::World,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};
use tokio::{task::JoinSet, time::Instant};

/// The state of a machine that did not answer in time.
pub(super) const TIMEOUT: &str = "Timeout";
const ERROR: &str = "Error";

/// What is known of a machine after a look at it.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) state: String,
    driver: String,
    active: Active,
    url: String,
    swarm: String,
    docker: String,
    error: String,
    fleet: Option<String>,
    response: Duration,
}

/// Whether the docker client speaks to it now.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Active {
    #[default]
    Unknown,
    No,
    Host,
    Swarm,
}

impl Active {
    fn text(self) -> &'static str {
        match self {
            Self::Unknown => "",
            Self::No => "-",
            Self::Host => "*",
            Self::Swarm => "* (swarm)",
        }
    }
}

/// How to look.
#[derive(Clone, Debug)]
pub(super) struct Look {
    /// How long one machine may take.
    pub(super) timeout: Duration,
    /// `DOCKER_HOST`.
    pub(super) docker_host: Option<String>,
    /// Whether engines are asked, or only drivers.
    pub(super) engine: bool,
}

/// Looks at all machines at once; machines whose records cannot be read come along as errors.
pub(super) async fn look(world: &World, snapshot: Snapshot, look: &Look) -> Vec<Row> {
    let found = Found::read(world, snapshot, &Filters::default());
    found.look(world, look).await
}

/// The machines to show, before anybody has looked at them.
pub(super) struct Found {
    machines: Vec<(MachineRecord, Document, String)>,
    broken: BTreeMap<String, String>,
}

impl Found {
    /// What is recorded of the machines that pass.
    pub(super) fn read(world: &World, snapshot: Snapshot, filters: &Filters) -> Self {
        let mut broken = snapshot.broken;
        let mut documents = Vec::new();
        for (name, known) in snapshot.machines {
            match Document::read(&*world.store, &name) {
                Ok(document) => documents.push((known.record, document.unwrap_or_default())),
                Err(e) => {
                    broken.insert(name.to_string(), e.to_string());
                }
            }
        }
        let masters: BTreeMap<String, String> = documents
            .iter()
            .filter(|(_, document)| document.is_swarm_master())
            .filter_map(|(record, document)| Some((document.discovery()?.to_owned(), record.name.to_string())))
            .collect();
        let with_master = |(record, document): (MachineRecord, Document)| {
            let master = document.discovery().and_then(|discovery| masters.get(discovery)).cloned().unwrap_or_default();
            (record, document, master)
        };
        let passes = |(record, document, master): &(_, _, String)| filters.pass(record, document, master);
        Self { machines: documents.into_iter().map(with_master).filter(passes).collect(), broken }
    }

    /// Names of machines that can be read, in the order of the store.
    pub(super) fn names(&self) -> Vec<String> {
        self.machines.iter().map(|(record, ..)| record.name.to_string()).collect()
    }

    /// Looks at all of them at once. Rows are in natural order: `m2` before `m10`.
    pub(super) async fn look(self, world: &World, look: &Look) -> Vec<Row> {
        let mut tasks = JoinSet::new();
        for (record, document, master) in self.machines {
            let (world, look) = (world.clone(), look.clone());
            tasks.spawn(async move { one(&world, record, &document, &master, &look).await });
        }
        let mut rows = tasks.join_all().await;
        rows.extend(self.broken.into_iter().map(|(name, why)| Row {
            name,
            driver: "not found".to_owned(),
            state: ERROR.to_owned(),
            error: one_line(&why),
            ..Row::default()
        }));
        rows.sort_by_cached_key(|row| (natural(&row.name), row.name.clone()));
        rows
    }
}

async fn one(world: &World, record: MachineRecord, document: &Document, master: &str, look: &Look) -> Row {
    let start = Instant::now();
    let row = Row {
        name: record.name.to_string(),
        driver: record.driver.clone(),
        fleet: record.fleet.as_ref().map(ToString::to_string),
        swarm: match master {
            name if name == record.name.as_str() => format!("{name} (master)"),
            name => name.to_owned(),
        },
        ..Row::default()
    };
    let mut row = match tokio::time::timeout(look.timeout, ask(world, record, document, look, row.clone())).await {
        Ok(Ok(row)) => row,
        Ok(Err(e)) => {
            Row { state: ERROR.to_owned(), docker: "Unknown".to_owned(), error: one_line(&e.to_string()), ..row }
        }
        Err(_) => Row { state: TIMEOUT.to_owned(), swarm: String::new(), ..row },
    };
    row.response = start.elapsed();
    row
}

async fn ask(
    world: &World,
    record: MachineRecord,
    document: &Document,
    look: &Look,
    mut row: Row,
) -> Result<Row, CliError> {
    let machine = Machine::of(world, record)?;
    let power = match machine.power().await {
        Ok(power) => power,
        Err(e @ CliError::NoDriver(_)) => {
            row.error = one_line(&e.to_string());
            Power::Unknown
        }
        Err(e) => return Err(e),
    };
    machine::state(power).clone_into(&mut row.state);
    row.active = Active::No;
    "Unknown".clone_into(&mut row.docker);
    if power != Power::Running {
        return Ok(row);
    }
    let Some(url) = machine.url() else { return Ok(row) };
    row.active = active(&url, document, look.docker_host.as_deref());
    if look.engine {
        match machine.engine_version_at(&url, look.timeout).await {
            Ok(version) => row.docker = format!("v{}", version.version),
            Err(e) => row.error = one_line(&format!("Unable to query docker version: {e}")),
        }
    }
    row.url = url;
    Ok(row)
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

/// Text of others, so that it cannot break a table.
fn one_line(text: &str) -> String {
    text.replace('\n', "").replace(|c: char| c.is_control(), " ")
}

impl Row {
    /// Whether the docker client speaks to it now.
    pub(super) fn is_active(&self) -> bool {
        matches!(self.active, Active::Host | Active::Swarm)
    }

    /// The columns of the table.
    pub(super) fn line(&self) -> String {
        let Self { name, driver, state, url, swarm, docker, error, active, fleet: _, response: _ } = self;
        [name, active.text(), driver, state, url, swarm, docker, error].join("\t")
    }

    /// What `--format` and its templates are given.
    pub(super) fn fields(&self) -> Value {
        json!({
            "Name": self.name,
            "Active": self.active.text(),
            "ActiveHost": self.active == Active::Host,
            "ActiveSwarm": self.active == Active::Swarm,
            "DriverName": self.driver,
            "State": self.state,
            "URL": self.url,
            "Swarm": self.swarm,
            "Error": self.error,
            "DockerVersion": self.docker,
            "ResponseTime": format!("{}ms", self.response.as_millis()),
        })
    }

    /// What `--json` prints.
    pub(super) fn json(&self) -> Value {
        let Self { name, driver, state, url, swarm, docker, error, active: _, fleet, response } = self;
        let some = |text: &String| if text.is_empty() { Value::Null } else { Value::from(text.as_str()) };
        json!({
            "name": name,
            "fleet": fleet,
            "driver": driver,
            "state": some(state),
            "active": self.is_active(),
            "url": some(url),
            "swarm": some(swarm),
            "engine": docker.strip_prefix('v'),
            "error": some(error),
            "response_ms": u64::try_from(response.as_millis()).unwrap_or(u64::MAX),
        })
    }
}

/// Sorts digits by their value and letters without case: `m2`, `M10`.
fn natural(name: &str) -> Vec<(u128, String)> {
    let mut key = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (text, after) = after.split_at(letters);
        // No number comes after all numbers: digits stand before letters. A name has at most 63 digits.
        key.push((number.parse().unwrap_or(u128::MAX), text.to_lowercase()));
        rest = after;
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_as_people_count() {
        let mut names = ["m10", "a", "M2", "1x", "m", "m2-10", "m2-9"];
        names.sort_by_key(|name| natural(name));
        assert_eq!(names, ["1x", "a", "m", "M2", "m2-9", "m2-10", "m10"]);
    }

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

    #[test]
    fn errors_stay_on_their_line() {
        assert_eq!(one_line("a\nb\tc\u{1b}[31m"), "ab c [31m");
    }
}
