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

async fn read(store: &Store, fleet: &FleetName) -> Result<Plans, StoreError> {
    let Some(bytes) = store.files.read(Area::Fleet(fleet), FILE).await? else { return Ok(Plans::default()) };
    serde_json::from_slice(&bytes).map_err(|e| StoreError::Broken {
        machine: format!("fleet {fleet}"),
        path: store.files.root().join("fleets").join(fleet.as_str()).join(FILE),
        why: e.to_string(),
    })
}

/// What became of the plan with this digest; `None` when it was never begun here.
///
/// # Errors
/// When the notes cannot be read.
pub async fn progress(store: &Store, fleet: &FleetName, digest: &str) -> Result<Option<Progress>, StoreError> {
    Ok(read(store, fleet).await?.plans.get(digest).copied())
}

/// Notes that a plan is begun, before its first effect.
///
/// # Errors
/// When that cannot be written.
pub async fn begin(store: &Store, fleet: &FleetName, digest: &str, now: Timestamp) -> Result<(), StoreError> {
    change(store, fleet, |plans| {
        plans.entry(digest.to_owned()).or_insert(Progress { begun: now, done: None });
    })
    .await
}

/// Notes that all of a plan is done.
///
/// # Errors
/// When that cannot be written.
pub async fn end(store: &Store, fleet: &FleetName, digest: &str, now: Timestamp) -> Result<(), StoreError> {
    change(store, fleet, |plans| {
        plans.entry(digest.to_owned()).or_insert(Progress { begun: now, done: None }).done = Some(now);
    })
    .await
}

async fn change(
    store: &Store,
    fleet: &FleetName,
    change: impl FnOnce(&mut BTreeMap<String, Progress>),
) -> Result<(), StoreError> {
    let mut all = read(store, fleet).await?;
    all.version = 1;
    change(&mut all.plans);
    while all.plans.len() > KEPT {
        let oldest = all.plans.iter().min_by_key(|(_, progress)| progress.begun).map(|(digest, _)| digest.clone());
        all.plans.remove(&oldest.expect("there are some"));
    }
    let text = serde_json::to_vec_pretty(&all).expect("notes are plain data");
    store.files.write(Area::Fleet(fleet), &[(FILE, &text, Mode::Private)]).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;

    #[tokio::test]
    async fn a_plan_is_begun_once_and_done_for_good() {
        let store = Store::from(std::sync::Arc::new(MemoryStore::default()));
        let fleet = FleetName::new("shop").unwrap();
        assert_eq!(progress(&store, &fleet, "a").await.unwrap(), None);
        begin(&store, &fleet, "a", Timestamp(1)).await.unwrap();
        begin(&store, &fleet, "a", Timestamp(2)).await.unwrap();
        assert_eq!(progress(&store, &fleet, "a").await.unwrap(), Some(Progress { begun: Timestamp(1), done: None }));
        end(&store, &fleet, "a", Timestamp(3)).await.unwrap();
        let done = Progress { begun: Timestamp(1), done: Some(Timestamp(3)) };
        assert_eq!(progress(&store, &fleet, "a").await.unwrap(), Some(done));
        assert_eq!(progress(&store, &FleetName::new("other").unwrap(), "a").await.unwrap(), None);
        let later = Progress { begun: Timestamp(10), done: None };
        change(&store, &fleet, |plans| plans.extend((1..KEPT).map(|n| (format!("n{n}"), later)))).await.unwrap();
        assert_eq!(progress(&store, &fleet, "a").await.unwrap(), Some(done), "as many as are kept");
        begin(&store, &fleet, "one more", Timestamp(10)).await.unwrap();
        assert_eq!(progress(&store, &fleet, "a").await.unwrap(), None, "old ones are forgotten");
    }
}
