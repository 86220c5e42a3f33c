//! The desired state: from a fleet file as people write it to a [`Fleet`] with nothing left open.
//!
//! ```text
//! text ─parse─▶ Node ─vars─▶ Node ─read─▶ RawFleet, RawHost, … ─resolve─▶ Fleet
//!       YAML    a tree that knows where everything stands
//! ```
//! All problems of a file are reported at once, in file order. It looks at no host and no record.

mod advice;
mod configuration;
mod convert;
pub mod draw;
mod engine;
mod fmt;
mod group;
mod hooks;
mod kdl;
mod kdl_fmt;
mod kdl_write;
mod limit;
mod names;
mod node;
mod order;
mod overlay;
mod parse;
mod places;
mod problem;
mod raw;
mod read;
mod reference;
mod remarks;
mod resolve;
mod schema;
mod shape;
mod source;
pub(crate) mod suggest;
mod var_file;
mod variable;
mod vars;
mod view;
mod yaml_write;

use crate::{
    driver::Drivers,
    engine::EngineSpec,
    hook::Hooks,
    name::{FleetName, MachineName},
    record::{MachineRecord, OptionValues, certificate_names},
    transport::limited::Timeouts,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

pub use convert::{Converted, convert};
pub use fmt::{format, format_source};
pub use limit::Limit;
pub use names::host_names;
pub use overlay::MAX_BYTES;
pub use problem::{Code, FleetProblems, Problem};
pub use resolve::sets_up_engine;
pub use schema::schema;
pub use source::{Form, Source};

/// A checked fleet. After this no `Option` means "default".
#[derive(Clone, Debug, PartialEq)]
pub struct Fleet {
    /// Its name: who owns the machines in the store.
    pub name: FleetName,
    /// Hosts by name; `count: 3` is three of them.
    pub hosts: BTreeMap<MachineName, HostSpec>,
    /// How to apply.
    pub policy: Policy,
}

/// One desired machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HostSpec {
    /// Name of the driver (not of the named configuration).
    pub driver: String,
    /// The driver's options, normalised, complete with defaults.
    pub options: OptionValues,
    /// The engine; `None`: this driver is told a URL and sets nothing up.
    pub engine: Option<EngineSpec>,
    /// Further names for the engine's certificate.
    pub tls_names: BTreeSet<String>,
    /// Hosts that must be complete first.
    pub depends_on: BTreeSet<MachineName>,
    /// Whether removal is refused.
    pub protect: bool,
    /// Whether its failure fails the run.
    pub optional: bool,
    /// Commands of the user's own around what is done to it.
    pub hooks: Hooks,
}

/// What happens after a failure.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnError {
    /// What depends on it is skipped; the rest goes on.
    #[default]
    StopDependants,
    /// No further step starts.
    FailFast,
    /// Even dependants are tried.
    KeepGoing,
}

/// What a fleet file may refer to, and does not hold.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// Variables given on the command line. They override those of the file.
    pub vars: BTreeMap<String, String>,
    /// The environment, for `${env.NAME}`.
    pub env: BTreeMap<String, String>,
    /// The fleet's name if the file gives none, as the name of its directory.
    pub default_name: Option<String>,
}

/// What a fleet file is called where none is named, most usual first.
pub const DEFAULT_FILES: [&str; 3] = ["fleet.yaml", "fleet.yml", "fleet.kdl"];

/// Reads a fleet that is one file. `file_name` is for messages, and says whether it is YAML or KDL.
///
/// # Errors
/// All problems of the file, in file order.
pub fn load(file_name: &str, text: &str, inputs: &Inputs, drivers: &Drivers) -> Result<Fleet, FleetProblems> {
    load_all(&[Source::new(file_name, text)], &[], inputs, drivers)
}

/// Hosts of a large file.
const LARGE: usize = 10_000;

/// Reads a fleet of several files, each laid over those before it, and files of values for its variables.
///
/// # Errors
/// All problems, in the order of the files.
pub fn load_all(
    files: &[Source],
    var_files: &[Source],
    inputs: &Inputs,
    drivers: &Drivers,
) -> Result<Fleet, FleetProblems> {
    let mut problems = problem::Problems::default();
    let given: Vec<_> = var_files
        .iter()
        .enumerate()
        .filter_map(|(n, source)| var_file::read(overlay::number(files.len() + n), source, &mut problems))
        .collect();
    let fleet = overlay::compose(files, &mut problems).and_then(|mut root| {
        vars::expand(&mut root, given, inputs, &mut problems);
        let fleet = resolve::resolve(&root, inputs, drivers, &mut problems);
        // To free the tree of a large file takes as long as to read its hosts, and need not be waited for.
        if root.entry("hosts").is_some_and(|hosts| hosts.node.entries().len() > LARGE) {
            let _ = std::thread::Builder::new().spawn(move || drop(root));
        }
        fleet
    });
    fleet.filter(|_| problems.is_empty()).ok_or_else(|| {
        let sources: Vec<Source> = files.iter().chain(var_files).cloned().collect();
        FleetProblems::among(&sources, problems)
    })
}

/// How a fleet is applied.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Policy {
    /// How many hosts are worked on at once.
    pub parallel: usize,
    /// What happens after a failure.
    pub on_error: OnError,
    /// Whether hosts that left the file are removed without `--prune`.
    pub prune: bool,
    /// More removals than this need `--allow-delete=N`.
    pub max_delete: Limit,
    /// So many of the machines there are may be down at once because of what is done to them; `None`: all of them.
    pub max_unavailable: Option<Limit>,
    /// Certificates that end within this many days are renewed.
    pub renew_before_days: i64,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// How many connections to one jump host there may be; `None`: as the transport has it.
    pub bastion_sessions: Option<usize>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            parallel: 16,
            on_error: OnError::default(),
            prune: false,
            max_delete: Limit::larger(1, 10),
            max_unavailable: None,
            renew_before_days: 30,
            timeouts: Timeouts::default(),
            bastion_sessions: None,
        }
    }
}

impl HostSpec {
    /// What would be desired of a machine if nothing had changed since it was applied.
    #[must_use]
    pub fn recorded(record: &MachineRecord) -> Self {
        let address = record.instance.as_ref().map_or("", |i| i.address.as_str());
        let own = certificate_names(&record.name, address, &BTreeSet::new());
        let names = record.certificate.iter().flat_map(|c| &c.names);
        Self {
            driver: record.driver.clone(),
            options: record.options.clone(),
            engine: record.engine.as_ref().map(|e| e.spec.clone()),
            tls_names: names.filter(|n| !own.contains(*n)).cloned().collect(),
            depends_on: record.depends_on.clone(),
            protect: record.protect,
            optional: false,
            hooks: record.hooks.spec.clone(),
        }
    }
}
