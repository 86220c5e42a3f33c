//! What has to be done to one host, part by part.

use super::{Action, Inputs, Reason, Step, StepId, Work, engine, hooks};
use crate::{
    driver::{
        AnyDriver,
        options::{Change, compare, show},
    },
    engine::{Api, EngineSpec},
    fleet::HostSpec,
    name::{FleetName, MachineName},
    provisioner::{CERT_DIR, Difference},
    record::{self, CertificateRecord, Known, MachineRecord, Observed, Part, Pending, Power, Reach, Snapshot},
};
use std::collections::{BTreeMap, BTreeSet};

/// Steps of a plan, by what they are about.
pub(super) type Steps = BTreeMap<StepId, Step>;

/// Steps as they are found; each is there once.
pub(super) type Found = Vec<(StepId, Step)>;

fn id(machine: &MachineName, part: Part) -> StepId {
    StepId::part(machine, part)
}

fn keep(reason: Reason) -> Step {
    Step { action: Action::Keep, reasons: vec![reason], work: Work::Nothing }
}

/// Adds the steps of a host that the fleet wants, and the hooks around them.
pub(super) fn host(
    fleet: Option<&FleetName>,
    name: &MachineName,
    spec: &HostSpec,
    snapshot: &Snapshot,
    renew_before_days: i64,
    inputs: &Inputs<'_>,
    steps: &mut Found,
) {
    let from = steps.len();
    parts(fleet, name, spec, snapshot, renew_before_days, inputs, steps);
    hooks::around(name, &spec.hooks, snapshot.machines.get(name), from, steps);
}

fn parts(
    fleet: Option<&FleetName>,
    name: &MachineName,
    spec: &HostSpec,
    snapshot: &Snapshot,
    renew_before_days: i64,
    inputs: &Inputs<'_>,
    steps: &mut Found,
) {
    if let Some(why) = snapshot.broken.get(name.as_str()) {
        return block(name, why.clone(), steps);
    }
    let Some(known) = snapshot.machines.get(name) else {
        if let Some(why) = snapshot.unreadable_remains(name) {
            return block(name, why, steps);
        }
        return create(name, spec, &Reason::NotRecorded, steps);
    };
    if let Some(other) = known.record.fleet.as_ref().filter(|other| Some(*other) != fleet) {
        return block(name, format!("a machine of this name belongs to fleet `{other}`"), steps);
    }
    let Some(driver) = inputs.drivers.get(&spec.driver) else {
        let Some(step) = unknown(spec, known) else {
            return block(name, format!("driver `{}` is not known", spec.driver), steps);
        };
        steps.push((id(name, Part::Instance), step));
        return on_host(name, spec, known, renew_before_days, inputs, steps);
    };
    let adopted = known.record.fleet.is_none() && fleet.is_some();
    match instance(fleet, spec, known, driver) {
        Next::Create(reasons) if adopted && known.record.pending.contains_key(&Part::Instance) => {
            let why = list_reasons(&reasons);
            block(
                name,
                format!(
                    "a machine of this name was begun outside of the fleet ({why}); end that first: machine provision {name}, or machine rm {name}"
                ),
                steps,
            );
        }
        Next::Replace(reasons) if adopted => {
            let why = list_reasons(&reasons);
            block(
                name,
                format!(
                    "a machine of this name is in the store, belongs to no fleet and would have to be replaced ({why}); rename the host, or give that machine to the fleet: machine adopt --fleet {} {name}",
                    fleet.map_or("", FleetName::as_str)
                ),
                steps,
            );
        }
        Next::Create(mut reasons) => {
            reasons.extend(adopted.then_some(Reason::Adopted));
            create_for(name, spec, &reasons, steps);
        }
        Next::Replace(reasons) => {
            steps.push((
                StepId::rm(name),
                Step { action: Action::Rm, reasons: reasons.clone(), work: Work::RmInstance },
            ));
            create_for(name, spec, &reasons, steps);
        }
        Next::Step(step) => {
            steps.push((id(name, Part::Instance), step));
            on_host(name, spec, known, renew_before_days, inputs, steps);
        }
    }
}

/// The instance of a driver that this program does not have: it stays as it is. `None`: it cannot, because something of
/// it was begun or it is another driver's.
fn unknown(spec: &HostSpec, known: &Known) -> Option<Step> {
    let Known { record, observed } = known;
    let stays =
        record.driver == spec.driver && record.instance.is_some() && !record.pending.contains_key(&Part::Instance);
    stays.then(|| keep(seen(observed.as_ref())))
}

/// Why an instance is left as it is.
fn seen(observed: Option<&Observed>) -> Reason {
    match observed.map(|o| &o.host) {
        Some(Reach::Failed(why)) => Reason::NotReached(why.clone()),
        _ => Reason::UpToDate,
    }
}

/// Adds the steps of the parts that are on a host which stays.
fn on_host(
    name: &MachineName,
    spec: &HostSpec,
    known: &Known,
    renew_before_days: i64,
    inputs: &Inputs<'_>,
    steps: &mut Found,
) {
    let Some(wanted) = &spec.engine else { return };
    if wanted.api == Api::Tls {
        steps.push((id(name, Part::Certificate), certificate(name, spec, known, renew_before_days, inputs)));
    }
    steps.push((id(name, Part::Engine), engine_step(wanted, known, inputs)));
}

/// Adds the removal of a machine, or says why it stays.
pub(super) fn rm(name: &MachineName, known: &Known, reason: &Reason, steps: &mut Found) {
    // A removal that was begun was asked for then; until it has ended, nothing else can become of the machine.
    let begun = known.record.pending.get(&Part::Instance) == Some(&Pending::Rm);
    if *reason == Reason::NotPruned && !begun {
        steps.push((id(name, Part::Instance), keep(Reason::NotPruned)));
        return;
    }
    let reason = if *reason == Reason::NotPruned { &Reason::NotInFleet } else { reason };
    let mut reasons = vec![reason.clone()];
    if let Some(pending) = known.record.pending.get(&Part::Instance) {
        reasons.push(Reason::Interrupted(*pending));
    }
    let from = steps.len();
    steps.push((StepId::rm(name), Step { action: Action::Rm, reasons, work: Work::RmInstance }));
    hooks::around(name, &known.record.hooks.spec, Some(known), from, steps);
}

fn list_reasons(reasons: &[Reason]) -> String {
    reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn block(name: &MachineName, why: String, steps: &mut Found) {
    steps.push(blocked(name, why));
}

/// A machine that nothing may be done to.
pub(super) fn blocked(name: &MachineName, why: String) -> (StepId, Step) {
    let step = Step { action: Action::Keep, reasons: vec![Reason::Blocked(why.clone())], work: Work::Blocked(why) };
    (id(name, Part::Instance), step)
}

fn create(name: &MachineName, spec: &HostSpec, reason: &Reason, steps: &mut Found) {
    create_for(name, spec, std::slice::from_ref(reason), steps);
}

/// Makes the instance for the given reasons, and the rest because the instance is new.
fn create_for(name: &MachineName, spec: &HostSpec, reasons: &[Reason], steps: &mut Found) {
    let rest = match reasons {
        [Reason::NotRecorded] => Reason::NotRecorded,
        _ => Reason::Rebuilt,
    };
    let step = |work, reasons: Vec<Reason>| Step { action: Action::Create, reasons, work };
    steps.push((id(name, Part::Instance), step(Work::CreateInstance, reasons.to_vec())));
    let Some(wanted) = &spec.engine else { return };
    if wanted.api == Api::Tls {
        let work = Work::Certificate { names: spec.tls_names.clone(), issue: true };
        steps.push((id(name, Part::Certificate), step(work, vec![rest.clone()])));
    }
    steps.push((id(name, Part::Engine), step(Work::Engine(Box::new(wanted.clone())), vec![rest])));
}

/// What becomes of an instance that is recorded.
enum Next {
    Step(Step),
    Create(Vec<Reason>),
    Replace(Vec<Reason>),
}

fn instance(fleet: Option<&FleetName>, spec: &HostSpec, known: &Known, driver: &dyn AnyDriver) -> Next {
    let record = &known.record;
    if record.instance.is_none() && record.pending.is_empty() {
        // Nothing was begun, so there is nothing to replace either.
        return Next::Create(vec![Reason::NotRecorded]);
    }
    if record.driver != spec.driver {
        let differs = difference("driver", Some(&record.driver), Some(&spec.driver));
        return Next::Replace(vec![Reason::NeedsReplacement(differs)]);
    }
    let change = compare(driver.options(), &record.options, &spec.options);
    let pending = record.pending.get(&Part::Instance).copied();
    match (pending, &change) {
        (Some(Pending::Rm), _) => return Next::Replace(vec![Reason::Interrupted(Pending::Rm)]),
        (Some(Pending::Create), Change::Nothing | Change::Recorded) => {
            return Next::Create(vec![Reason::Interrupted(Pending::Create)]);
        }
        // A creation that may have happened with other options: only a new one is known to be right.
        (Some(Pending::Create), Change::InPlace(_) | Change::Replace(_)) => {
            return Next::Replace(vec![Reason::Interrupted(Pending::Create)]);
        }
        (_, Change::Replace(keys)) => {
            let reasons = option_differences(keys, record, spec, driver).map(Reason::NeedsReplacement);
            return Next::Replace(reasons.collect());
        }
        _ => {}
    }
    if record.instance.is_none() {
        return Next::Create(vec![Reason::NotRecorded]);
    }
    let observed = known.observed.as_ref();
    if observed.is_some_and(|o| o.power == Power::Gone) {
        return Next::Create(vec![Reason::Drifted(difference("instance", None, Some("there")))]);
    }
    let adopted = record.fleet.is_none() && fleet.is_some();
    Next::Step(upgrade(spec, known, adopted, pending, &change, driver))
}

/// An instance that stays: what changes in place, in its power, or in its record only.
fn upgrade(
    spec: &HostSpec,
    known: &Known,
    adopted: bool,
    pending: Option<Pending>,
    change: &Change,
    driver: &dyn AnyDriver,
) -> Step {
    let (record, observed) = (&known.record, known.observed.as_ref());
    let mut reasons = Vec::new();
    let mut work = Work::Nothing;
    // From the weakest effect to the strongest; the last one named does the work of all before it.
    if adopted {
        reasons.push(Reason::Adopted);
        work = Work::Record;
    }
    if record.protect != spec.protect {
        let (old, new) = (record.protect.to_string(), spec.protect.to_string());
        reasons.push(Reason::Changed(difference("protect", Some(&old), Some(&new))));
        work = Work::Record;
    }
    if record.depends_on != spec.depends_on {
        let (old, new) = (list(&record.depends_on), list(&spec.depends_on));
        reasons.push(Reason::Changed(difference("depends_on", old.as_deref(), new.as_deref())));
        work = Work::Record;
    }
    if record.hooks.spec != spec.hooks {
        reasons.extend(hooks::changes(&record.hooks.spec, &spec.hooks).map(Reason::Changed));
        work = Work::Record;
    }
    if *change == Change::Recorded {
        let keys: Vec<String> = driver.options().iter().map(|o| o.key.clone()).collect();
        reasons.extend(option_differences(&keys, record, spec, driver).map(Reason::Changed));
        work = Work::Record;
    }
    if let Some((seen, old)) = observed.and_then(|o| o.instance.as_ref()).zip(record.instance.as_ref()) {
        reasons.push(Reason::Drifted(difference("address", Some(&old.address), Some(&seen.address))));
        work = Work::RecordInstance(Box::new(seen.clone()));
    }
    if observed.is_some_and(|o| o.power.is_off()) {
        reasons.push(Reason::Drifted(difference("power", Some("stopped"), Some("running"))));
        work = Work::StartInstance;
    }
    let start = work == Work::StartInstance;
    if let Some(pending) = pending {
        reasons.push(Reason::Interrupted(pending));
        work = Work::ChangeInstance { start };
    }
    if let Change::InPlace(keys) = change {
        reasons.extend(option_differences(keys, record, spec, driver).map(Reason::Changed));
        work = Work::ChangeInstance { start };
    }
    if work == Work::Nothing {
        return keep(seen(observed));
    }
    reasons.reverse();
    Step { action: Action::Upgrade, reasons, work }
}

/// Whether it was found off: nothing is known then of what is on it.
fn is_off(observed: Option<&Observed>) -> bool {
    observed.is_some_and(|o| o.power.is_off())
}

fn option_differences<'a>(
    keys: &'a [String],
    record: &'a MachineRecord,
    spec: &'a HostSpec,
    driver: &'a dyn AnyDriver,
) -> impl Iterator<Item = Difference> + 'a {
    driver.options().iter().filter(|o| keys.contains(&o.key)).filter_map(|option| {
        let text = |values: &crate::record::OptionValues| values.get(&option.key).map(|v| show(option, v));
        let (old, new) = (text(&record.options), text(&spec.options));
        (old != new).then(|| Difference { what: option.key.clone(), found: old, wanted: new })
    })
}

fn certificate(
    name: &MachineName,
    spec: &HostSpec,
    known: &Known,
    renew_before_days: i64,
    inputs: &Inputs<'_>,
) -> Step {
    let step = |action, reasons, issue| Step {
        action,
        reasons,
        work: Work::Certificate { names: spec.tls_names.clone(), issue },
    };
    let Known { record, observed } = known;
    let Some(recorded) = &record.certificate else {
        return step(Action::Create, vec![unrecorded(record, Part::Certificate)], true);
    };
    let mut reasons = Vec::new();
    if let Some(pending) = record.pending.get(&Part::Certificate) {
        reasons.push(Reason::Interrupted(*pending));
    }
    let seen = observed.as_ref().and_then(|o| o.instance.as_ref()).or(record.instance.as_ref());
    let names = record::certificate_names(name, seen.map_or("", |i| &i.address), &spec.tls_names);
    // Names that are there only as a convenience are no reason to disturb an engine (docker-machine left them out).
    let convenient = record::certificate_names(name, "", &BTreeSet::new());
    if !recorded.names.symmetric_difference(&names).all(|differs| convenient.contains(differs)) {
        reasons.push(Reason::Changed(difference("names", list(&recorded.names).as_deref(), list(&names).as_deref())));
    }
    if recorded.not_after <= inputs.now.plus_days(renew_before_days) {
        reasons.push(Reason::Expires(recorded.not_after));
    }
    if let Some(observed) = observed {
        reasons.extend(local_drift(recorded, observed).map(Reason::Drifted));
    }
    if !reasons.is_empty() {
        return step(Action::Upgrade, reasons, true);
    }
    let mut drifted: Vec<Reason> =
        observed.iter().flat_map(|o| host_certificate_drift(recorded, o)).map(Reason::Drifted).collect();
    if is_off(observed.as_ref()) {
        drifted.push(Reason::Restarted);
    }
    if drifted.is_empty() { keep(Reason::UpToDate) } else { step(Action::Upgrade, drifted, false) }
}

/// Why a part is made of which nothing is recorded: it was never begun, or never ended.
fn unrecorded(record: &MachineRecord, part: Part) -> Reason {
    record.pending.get(&part).map_or(Reason::NotRecorded, |pending| Reason::Interrupted(*pending))
}

/// How the files in the store differ from what was issued; only a new certificate mends that.
fn local_drift<'a>(recorded: &'a CertificateRecord, observed: &'a Observed) -> impl Iterator<Item = Difference> + 'a {
    let pairs = [
        ("server.pem in the store", &observed.local_certificate, &recorded.sha256),
        ("ca.pem in the store", &observed.local_ca, &recorded.ca_sha256),
    ];
    pairs.into_iter().filter(|(_, found, wanted)| found.as_ref() != Some(*wanted)).map(|(what, found, wanted)| {
        let found = found.as_deref().map(short);
        difference(what, found, Some(short(wanted)))
    })
}

/// How the files on the host differ from what was issued; putting them back mends that.
pub(super) fn host_certificate_drift(recorded: &CertificateRecord, observed: &Observed) -> Vec<Difference> {
    let Reach::Answered(facts) = &observed.host else { return Vec::new() };
    let mut found = Vec::new();
    let mut file = |name: &str, wanted: Option<&str>| {
        let path = format!("{CERT_DIR}/{name}");
        let sha256 = facts.files.get(&path).map(|f| f.sha256.as_str());
        if sha256.is_none() || wanted.is_some_and(|w| sha256 != Some(w)) {
            found.push(difference(&path, sha256.map(short), Some(wanted.map_or("there", short))));
        }
    };
    file("ca.pem", Some(&recorded.ca_sha256));
    file("server.pem", Some(&recorded.sha256));
    file("server-key.pem", None);
    found
}

/// Enough of a digest for a person.
fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

fn engine_step(wanted: &EngineSpec, known: &Known, inputs: &Inputs<'_>) -> Step {
    let step = |action, reasons| Step { action, reasons, work: Work::Engine(Box::new(wanted.clone())) };
    let Known { record, observed } = known;
    let Some(recorded) = &record.engine else {
        return step(Action::Create, vec![unrecorded(record, Part::Engine)]);
    };
    let mut reasons: Vec<Reason> = engine::changes(&recorded.spec, wanted).into_iter().map(Reason::Changed).collect();
    if let Some(pending) = record.pending.get(&Part::Engine) {
        reasons.push(Reason::Interrupted(*pending));
    }
    if let Some(observed) = observed {
        reasons.extend(engine::drift(record, recorded, observed, inputs.provisioners).into_iter().map(Reason::Drifted));
    }
    if is_off(observed.as_ref()) {
        reasons.push(Reason::Restarted);
    }
    if !reasons.is_empty() {
        return step(Action::Upgrade, reasons);
    }
    let unknown = recorded.spec.secrets().find_map(|(_, secret)| secret.error());
    keep(unknown.map_or(Reason::UpToDate, |error| Reason::NotCompared(error.to_string())))
}

pub(super) fn difference(what: &str, found: Option<&str>, wanted: Option<&str>) -> Difference {
    Difference { what: what.to_owned(), found: found.map(str::to_owned), wanted: wanted.map(str::to_owned) }
}

fn list<T: ToString>(items: &BTreeSet<T>) -> Option<String> {
    (!items.is_empty()).then(|| items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}
