//! The computer itself, real or virtual, on which the other parts are.

use super::{difference, list};
use crate::{
    driver::{
        AnyDriver,
        options::{Change, compare, show},
    },
    fleet::HostSpec,
    hook::{Hook, Hooks, Point},
    name::FleetName,
    part::{Action, Reason, Step, Work},
    provisioner::Difference,
    record::{Known, MachineRecord, Observed, Part, Pending, Power, Reach},
    spoken::spoken,
};
use std::collections::BTreeSet;

/// Whether anything of it is recorded.
pub(super) fn is_recorded(record: &MachineRecord) -> bool {
    record.instance.is_some()
}

/// Whether a step may do this to it beside making it.
pub(super) fn changes_by(work: &Work) -> bool {
    matches!(work, Work::Record | Work::RecordInstance(_) | Work::ChangeInstance { .. } | Work::StartInstance)
}

/// What becomes of an instance that is recorded.
pub(crate) enum Next {
    /// It stays, and what is on it too.
    Step(Step),
    /// It is made.
    Create(Vec<Reason>),
    /// It goes, and another is made.
    Replace(Vec<Reason>),
    /// Nothing may be done to it, and why.
    Blocked(String),
}

/// What becomes of it.
pub(crate) fn next(fleet: Option<&FleetName>, spec: &HostSpec, known: &Known, driver: &dyn AnyDriver) -> Next {
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
        // The same change is still wanted, so it is carried on.
        (Some(Pending::Rm), Change::Replace(_)) => return Next::Replace(vec![Reason::Interrupted(Pending::Rm)]),
        // The removal is not wanted any more: what is there stays.
        (Some(Pending::Rm), _) => {
            if let Some(next) = unwanted_removal(known, driver) {
                return next;
            }
        }
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

/// What becomes of an instance whose removal was begun, and that is wanted again; `None`: it is there, and stays.
fn unwanted_removal(known: &Known, driver: &dyn AnyDriver) -> Option<Next> {
    let interrupted = || vec![Reason::Interrupted(Pending::Rm)];
    if known.record.instance.is_none() {
        return Some(Next::Create(interrupted()));
    }
    // A host that exists by itself is not removed by forgetting it.
    if !driver.creates() {
        return None;
    }
    let name = &known.record.name;
    match known.observed.as_ref().map(|observed| observed.power) {
        Some(Power::Running | Power::Starting) => None,
        Some(Power::Gone) => Some(Next::Create(interrupted())),
        // It may be half gone, and a start would not show that.
        Some(power @ (Power::Stopped | Power::Stopping | Power::Paused | Power::Saved)) => {
            Some(Next::Blocked(format!(
                "its removal was begun and did not finish, and it is {} now; end the removal with `machine rm {name}`, or \
             switch it on with `machine start {name}` if it is to stay",
                spoken(&format!("{power:?}")).to_lowercase()
            )))
        }
        Some(Power::Unknown) | None => Some(Next::Blocked(format!(
            "its removal was begun and did not finish, and it is not known whether it is still there; \
             end the removal with `machine rm {name}`, or look again"
        ))),
    }
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
        reasons.extend(hook_changes(&record.hooks.spec, &spec.hooks).map(Reason::Changed));
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
        return Step::keep(seen(observed));
    }
    reasons.reverse();
    Step { action: Action::Upgrade, reasons, work }
}

/// The instance of a driver that this program does not have: it stays as it is. `None`: it cannot, because something of
/// it was begun or it is another driver's.
pub(crate) fn unknown(spec: &HostSpec, known: &Known) -> Option<Step> {
    let Known { record, observed } = known;
    let stays =
        record.driver == spec.driver && record.instance.is_some() && !record.pending.contains_key(&Part::Instance);
    stays.then(|| Step::keep(seen(observed.as_ref())))
}

/// Why an instance is left as it is.
fn seen(observed: Option<&Observed>) -> Reason {
    match observed.map(|o| &o.host) {
        Some(Reach::Failed(why)) => Reason::NotReached(why.clone()),
        _ => Reason::UpToDate,
    }
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

/// What the fleet file says otherwise than the record.
fn hook_changes(recorded: &Hooks, wanted: &Hooks) -> impl Iterator<Item = Difference> {
    let mut found = Vec::new();
    for point in Point::ALL {
        let names: BTreeSet<String> =
            recorded.at(point).chain(wanted.at(point)).map(|(_, hook)| hook.name.clone()).collect();
        for name in names {
            let (old, new) = (recorded.get(point, &name), wanted.get(point, &name));
            if old != new {
                let shown = |hook: Option<&Hook>| hook.map(ToString::to_string);
                let (old, new) = (shown(old), shown(new));
                found.push(difference(&format!("hooks.{point}"), old.as_deref(), new.as_deref()));
            }
        }
    }
    if found.is_empty() {
        found.push(difference("hooks", None, None));
    }
    found.into_iter()
}
