//! Plans in files: writing one, telling one from a fleet file, and applying exactly that.

use super::super::stored::stored;
use super::{FleetFile, inputs};
use crate::{
    cli::CliError,
    clock::Timestamp,
    digest::{hex, sha256_hex},
    driver::Drivers,
    fleet::{Fleet, HostSpec, Policy},
    history,
    name::MachineName,
    observe::observe,
    plan::{
        Inputs, Plan, Work,
        audit::audit,
        document::Document,
        guard::Refusal,
        moved::Moved,
        render::JSON_VERSION,
        saved::{Given, Saved},
        sealed::{self, Seal},
        source::{Source, SourceFile},
    },
    record::Snapshot,
    store::{Area, Mode, plans},
    world::World,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// A saved plan that was read.
pub(super) struct SavedPlan {
    /// As messages name it.
    pub(super) name: String,
    /// What is in it.
    document: Document,
}

/// A saved plan, checked and opened.
pub(super) struct Opened {
    /// As it was saved.
    pub(super) plan: Plan,
    pub(super) saved: Saved,
    seal: Seal,
    name: String,
}

/// What there is to do for a saved plan.
pub(super) enum Left {
    /// Nothing: all of it is there.
    Nothing,
    /// This.
    Some(Plan),
}

/// The saved plan in a text; `None` when it is something else, such as a fleet file.
pub(super) fn recognise(name: &str, text: &str) -> Option<Result<SavedPlan, CliError>> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let value: Value = serde_json::from_str(text).ok()?;
    let has = |key: &str| value.get(key).is_some();
    (has("version") && has("steps") && has("summary")).then(|| SavedPlan::read(name, value))
}

/// What is wrong with a file that should be a saved plan.
fn no_plan(name: &str, why: &str) -> CliError {
    CliError::Said { what: format!("{name} is no plan to apply: {why}"), help: Some(AGAIN.to_owned()) }
}

const AGAIN: &str = "make a new plan:\n  machine plan --out plan.json fleet.yaml";

impl SavedPlan {
    fn read(name: &str, value: Value) -> Result<Self, CliError> {
        let wrong = |why: &str| no_plan(name, why);
        if value["version"] != JSON_VERSION {
            return Err(wrong(&format!(
                "its form is version {}, and this `machine` reads {JSON_VERSION}",
                value["version"]
            )));
        }
        if value.get("saved").is_none() {
            return Err(wrong("it was printed by `plan --json`; `plan --out` writes one that can be applied"));
        }
        let by = value["saved"]["machine"].as_str().unwrap_or("unknown").to_owned();
        let document: Document = serde_json::from_value(value).map_err(|e| {
            wrong(&format!("{e} (it was made by machine {by}, and this is {})", env!("CARGO_PKG_VERSION")))
        })?;
        let saved = document.saved.as_ref().ok_or_else(|| wrong("it is not complete"))?;
        if document.digest() != saved.digest {
            return Err(wrong("it was changed after it was made"));
        }
        Ok(Self { name: name.to_owned(), document })
    }

    /// The document as it was saved.
    pub(super) fn document(&self) -> &Document {
        &self.document
    }

    /// How it is applied.
    pub(super) fn policy(&self) -> &Policy {
        &self.document.saved.as_ref().expect("`read` refuses a plan that was not saved").policy
    }

    /// When all of it was done here, if it was.
    pub(super) fn done(&self, world: &World) -> Result<Option<Timestamp>, CliError> {
        let (Some(fleet), Some(saved)) = (&self.document.fleet, &self.document.saved) else { return Ok(None) };
        let progress = stored(plans::progress(&world.store, fleet, &saved.digest))?;
        Ok(progress.and_then(|progress| progress.done))
    }

    /// The plan for readers: secrets stay masked.
    pub(super) fn shown(&self) -> Result<Plan, CliError> {
        let mut document = self.document.clone();
        open(&mut document, &BTreeMap::new());
        document.plan().map_err(|e| no_plan(&self.name, &e.to_string()))
    }

    /// The plan with its secrets, bound to this store and to the fleet file: the one named, else the one it was made
    /// from if that is still there.
    pub(super) fn open(
        &self,
        world: &World,
        snapshot: &Snapshot,
        vars: &FleetFile,
        named: Option<&Path>,
    ) -> Result<Opened, CliError> {
        let saved = self.document.saved.clone().ok_or_else(|| no_plan(&self.name, "it is not complete"))?;
        let seal = Seal::new(&stored(world.store.records.id())?);
        if seal.store() != saved.store {
            let field = format!("the store (it was made for another than {})", world.store.files.root().display());
            return Err(self.stale(&saved, vec![Moved { host: None, field, old: None, new: None }]));
        }
        let mut document = self.document.clone();
        let fleet = self.fleet(&saved, vars, named, &world.drivers)?;
        let mut known = BTreeMap::new();
        for spec in fleet.iter().flat_map(|fleet| fleet.hosts.values()) {
            learn(&seal, spec, &mut known);
        }
        for known_machine in snapshot.machines.values() {
            learn(&seal, &HostSpec::recorded(&known_machine.record), &mut known);
        }
        let missing = open(&mut document, &known);
        // Only a file that was changed is bound again; one that is the same needs no reading, but for secrets.
        let shown = document.clone().plan().map_err(|e| no_plan(&self.name, &e.to_string()))?;
        if let Some(fleet) = &fleet {
            let moved = saved.source.moved(&shown, fleet, &seal);
            if !moved.is_empty() {
                return Err(self.stale(&saved, moved));
            }
        }
        if let Some(shown) = missing.first() {
            return self.with_secrets(&saved, &seal, snapshot, vars, shown, &world.drivers);
        }
        Ok(Opened { plan: self.checked(shown)?, saved, seal, name: self.name.clone() })
    }

    fn checked(&self, plan: Plan) -> Result<Plan, CliError> {
        match audit(&plan).first() {
            None => Ok(plan),
            Some(note) => Err(no_plan(&self.name, &note.to_string())),
        }
    }

    /// Secrets are in no plan. They are read where the plan got them.
    fn with_secrets(
        &self,
        saved: &Saved,
        seal: &Seal,
        snapshot: &Snapshot,
        vars: &FleetFile,
        shown: &str,
        drivers: &Drivers,
    ) -> Result<Opened, CliError> {
        let lacking = || CliError::Said {
            what: format!("{} leaves out secrets, as `{shown}`, and its fleet file is not there", self.name),
            help: Some(
                "name the fleet file that it was made from:\n  machine apply plan.json --fleet fleet.yaml".to_owned(),
            ),
        };
        let paths = saved_files(saved);
        if paths.is_empty() || !paths.iter().all(|path| path.exists()) {
            return Err(lacking());
        }
        let fleet = vars.others(paths).load(drivers)?;
        let mut known = BTreeMap::new();
        fleet.hosts.values().for_each(|spec| learn(seal, spec, &mut known));
        snapshot.machines.values().for_each(|k| learn(seal, &HostSpec::recorded(&k.record), &mut known));
        let mut document = self.document.clone();
        if open(&mut document, &known).is_empty() {
            let plan = document.plan().map_err(|e| no_plan(&self.name, &e.to_string()))?;
            return Ok(Opened {
                plan: self.checked(plan)?,
                saved: saved.clone(),
                seal: seal.clone(),
                name: self.name.clone(),
            });
        }
        let field = format!("a secret, `{shown}`, of which the value is another now");
        Err(self.stale(saved, vec![Moved { host: None, field, old: None, new: None }]))
    }

    /// The fleet file, if it must be read: one was named, or the one it was made from has other bytes now.
    fn fleet(
        &self,
        saved: &Saved,
        vars: &FleetFile,
        named: Option<&Path>,
        drivers: &Drivers,
    ) -> Result<Option<Fleet>, CliError> {
        if let Some(path) = named {
            return vars.others(vec![path.to_owned()]).load(drivers).map(Some);
        }
        let changed = saved.source.files.iter().find(|file| {
            let bytes = std::fs::read(&file.path);
            bytes.is_ok_and(|bytes| sha256_hex(&bytes) != file.sha256)
        });
        let Some(changed) = changed else { return Ok(None) };
        vars.others(saved_files(saved)).load(drivers).map(Some).map_err(|_| {
            let field = format!("the fleet file {}, which cannot be read as one any more", changed.path);
            self.stale(saved, vec![Moved { host: None, field, old: None, new: None }])
        })
    }

    fn stale(&self, saved: &Saved, moved: Vec<Moved>) -> CliError {
        stale(&self.name, saved, moved)
    }
}

/// The files that a plan was made from.
fn saved_files(saved: &Saved) -> Vec<PathBuf> {
    saved.source.files.iter().map(|file| PathBuf::from(&file.path)).collect()
}

fn stale(name: &str, saved: &Saved, moved: Vec<Moved>) -> CliError {
    CliError::Stale { plan: name.to_owned(), created: saved.created, moved }
}

/// Puts secrets back; those that are not known stay masked, and are returned.
fn open(document: &mut Document, known: &BTreeMap<String, String>) -> Vec<String> {
    let works = document.steps.iter_mut().filter_map(|step| step.work.as_mut());
    works.chain(document.hosts.values_mut()).flat_map(|value| sealed::open(value, known)).collect()
}

fn learn(seal: &Seal, spec: &HostSpec, known: &mut BTreeMap<String, String>) {
    seal.learn(&serde_json::to_value(spec).expect("a host is plain data"), known);
}

impl Opened {
    /// Looks at what the plan stands on.
    pub(super) async fn look(&self, world: &World, snapshot: Snapshot) -> Snapshot {
        if !self.saved.looked() {
            return snapshot;
        }
        let hosts: BTreeSet<&MachineName> = self.saved.basis.keys().collect();
        let counter = super::Counter::new();
        let show = |_: &MachineName, seen, total| counter.show(seen, total);
        let looked = observe(world, snapshot, super::LOOKING, |known| hosts.contains(&known.record.name), show).await;
        counter.clear();
        looked
    }

    /// What is left to do.
    pub(super) fn left(&self, world: &World, snapshot: &Snapshot) -> Result<Left, CliError> {
        let Some(fleet) = &self.plan.fleet else { return Err(no_plan(&self.name, "it is of no fleet")) };
        let progress = stored(plans::progress(&world.store, fleet, &self.saved.digest))?;
        let inputs = inputs(world, self.saved.consent.prune);
        let left = self.saved.left(&self.plan, snapshot, &inputs, &self.seal, progress.is_some());
        let left = left.map_err(|moved| stale(&self.name, &self.saved, moved))?;
        let blocked = |plan: &Plan| plan.steps.nodes().any(|(_, s)| matches!(s.work, Work::Blocked(_)));
        Ok(if left.is_noop() && !self.plan.is_noop() && !blocked(&left) { Left::Nothing } else { Left::Some(left) })
    }

    /// Notes that the plan is begun.
    pub(super) fn begin(&self, world: &World) -> Result<(), CliError> {
        let Some(fleet) = &self.plan.fleet else { return Ok(()) };
        stored(plans::begin(&world.store, fleet, &self.saved.digest, world.clock.now()))
    }

    /// Notes that all of it is done.
    pub(super) fn end(&self, world: &World) -> Result<(), CliError> {
        let Some(fleet) = &self.plan.fleet else { return Ok(()) };
        stored(plans::end(&world.store, fleet, &self.saved.digest, world.clock.now()))
    }
}

/// What a plan is made from, when it is saved.
pub(super) struct Origin<'a> {
    pub(super) file: &'a FleetFile,
    pub(super) fleet: &'a Fleet,
    pub(super) snapshot: &'a Snapshot,
    pub(super) consent: Given,
    pub(super) refusals: &'a [Refusal],
    pub(super) left_out: &'a [MachineName],
}

/// Writes a plan to a file that only its owner may read.
pub(super) fn write(
    world: &World,
    path: &Path,
    plan: &Plan,
    origin: &Origin<'_>,
    inputs: &Inputs<'_>,
) -> Result<(), CliError> {
    let seal = Seal::new(&stored(world.store.records.id())?);
    let files: Vec<SourceFile> = origin.file.sources()?;
    let sources = files.clone();
    let commit = files.first().and_then(|file| history::Origin::of_file("plan", Path::new(&file.path)).commit);
    let source = Source { files, commit: commit.map(|commit| commit.sha), ..Source::of(origin.fleet, &seal) };
    let mut saved = Saved::new(plan, origin.snapshot, inputs, source, &seal);
    saved.consent = origin.consent;
    // Made twice within a second, a plan is two plans: the second is not done when the first is.
    let mut random = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| CliError::said("the system gives no randomness"))?;
    saved.id = hex(&random);
    saved.policy = origin.fleet.policy.clone();
    let mut document = Document::of(plan).with_refusals(origin.refusals);
    document.left_out = origin.left_out.iter().map(ToString::to_string).collect();
    let document = document.to_save(plan, saved, &seal);
    let text = serde_json::to_string_pretty(&document).expect("a plan is plain data") + "\n";
    let path = std::path::absolute(path).map_err(|e| unwritable(path, &e.to_string()))?;
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Err(unwritable(&path, "that is no file name"));
    };
    if !folder.is_dir() {
        return Err(unwritable(&path, "its folder is not there"));
    }
    let same = |file: &SourceFile| std::fs::canonicalize(&file.path).ok() == std::fs::canonicalize(&path).ok();
    if path.exists() && sources.iter().any(same) {
        return Err(unwritable(&path, "that is the fleet file"));
    }
    stored(world.store.files.write(Area::Outside(folder), &[(name, text.as_bytes(), Mode::Private)]))
}

fn unwritable(path: &Path, why: &str) -> CliError {
    CliError::Said { what: format!("cannot write {}: {why}", path.display()), help: None }
}

/// As the first event for programs: why nothing was done.
pub(super) fn stale_event(moved: &[Moved]) -> String {
    let moved: Vec<Value> = moved
        .iter()
        .map(|m| serde_json::json!({ "host": m.host, "field": m.field, "old": m.old, "new": m.new }))
        .collect();
    serde_json::json!({ "event": "stale", "moved": moved }).to_string()
}

/// Why a plan that was done before does nothing.
pub(super) fn done_before(name: &str, when: Option<Timestamp>) -> String {
    match when {
        Some(when) => format!("Nothing to do: {name} was applied at {when}."),
        None => format!("Nothing to do: all that {name} says is done already."),
    }
}
