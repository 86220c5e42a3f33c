//! Which saved plans were begun and which are done, so that none is done twice: `fleets/NAME/plans.json`.

use super::{Area, Mode, Store, StoreError};
use crate::{clock::Timestamp, name::FleetName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const FILE: &str = "plans.json";
/// So many are remembered; older ones are long stale.
const KEPT: usize = 1000;

/// What became of a saved plan.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Progress {
    /// When it was begun first.
    pub begun: Timestamp,
    /// When all of it was done.
    #[serde(default)]
    pub done: Option<Timestamp>,
}

#[derive(Default, Deserialize, Serialize)]
struct Plans {
    version: u32,
    plans: BTreeMap<String, Progress>,
}

fn read(store: &dyn Store, fleet: &FleetName) -> Result<Plans, StoreError> {
    let Some(bytes) = store.read(Area::Fleet(fleet), FILE)? else { return Ok(Plans::default()) };
    serde_json::from_slice(&bytes).map_err(|e| StoreError::Broken {
        machine: format!("fleet {fleet}"),
        path: store.root().join("fleets").join(fleet.as_str()).join(FILE),
        why: e.to_string(),
    })
}

/// What became of the plan with this digest; `None` when it was never begun here.
///
/// # Errors
/// When the notes cannot be read.
pub fn progress(store: &dyn Store, fleet: &FleetName, digest: &str) -> Result<Option<Progress>, StoreError> {
    Ok(read(store, fleet)?.plans.get(digest).copied())
}

/// Notes that a plan is begun, before its first effect.
///
/// # Errors
/// When that cannot be written.
pub fn begin(store: &dyn Store, fleet: &FleetName, digest: &str, now: Timestamp) -> Result<(), StoreError> {
    change(store, fleet, |plans| {
        plans.entry(digest.to_owned()).or_insert(Progress { begun: now, done: None });
    })
}

/// Notes that all of a plan is done.
///
/// # Errors
/// When that cannot be written.
pub fn end(store: &dyn Store, fleet: &FleetName, digest: &str, now: Timestamp) -> Result<(), StoreError> {
    change(store, fleet, |plans| {
        plans.entry(digest.to_owned()).or_insert(Progress { begun: now, done: None }).done = Some(now);
    })
}

fn change(
    store: &dyn Store,
    fleet: &FleetName,
    change: impl FnOnce(&mut BTreeMap<String, Progress>),
) -> Result<(), StoreError> {
    let mut all = read(store, fleet)?;
    all.version = 1;
    change(&mut all.plans);
    while all.plans.len() > KEPT {
        let oldest = all.plans.iter().min_by_key(|(_, progress)| progress.begun).map(|(digest, _)| digest.clone());
        all.plans.remove(&oldest.expect("there are some"));
    }
    let text = serde_json::to_vec_pretty(&all).expect("notes are plain data");
    store.write(Area::Fleet(fleet), FILE, &text, Mode::Private)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;

    #[test]
    fn a_plan_is_begun_once_and_done_for_good() {
        let (store, fleet) = (MemoryStore::default(), FleetName::new("shop").unwrap());
        assert_eq!(progress(&store, &fleet, "a").unwrap(), None);
        begin(&store, &fleet, "a", Timestamp(1)).unwrap();
        begin(&store, &fleet, "a", Timestamp(2)).unwrap();
        assert_eq!(progress(&store, &fleet, "a").unwrap(), Some(Progress { begun: Timestamp(1), done: None }));
        end(&store, &fleet, "a", Timestamp(3)).unwrap();
        let done = Progress { begun: Timestamp(1), done: Some(Timestamp(3)) };
        assert_eq!(progress(&store, &fleet, "a").unwrap(), Some(done));
        assert_eq!(progress(&store, &FleetName::new("other").unwrap(), "a").unwrap(), None);
        let later = Progress { begun: Timestamp(10), done: None };
        change(&store, &fleet, |plans| plans.extend((1..KEPT).map(|n| (format!("n{n}"), later)))).unwrap();
        assert_eq!(progress(&store, &fleet, "a").unwrap(), Some(done), "as many as are kept");
        begin(&store, &fleet, "one more", Timestamp(10)).unwrap();
        assert_eq!(progress(&store, &fleet, "a").unwrap(), None, "old ones are forgotten");
    }
}
