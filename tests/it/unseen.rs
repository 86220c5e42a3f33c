//! What could not be looked at is neither gone nor fine.

use crate::plain::{self, AtOnce as _};
use crate::support;
use machine::{
    name::MachineName,
    observe::observe,
    record::{Instance, MachineRecord, OptionValues, Power, Reach},
};
use std::fs;

/// Without the store's id its machines cannot be told from those of others. The provider, which has none of the name,
/// would say that it is gone.
#[tokio::test]
async fn a_store_without_its_id_believes_no_machine_gone() {
    let dir = tempfile::tempdir().unwrap();
    let store = plain::folder(dir.path());
    let mut record = MachineRecord::new(MachineName::new("web").unwrap(), None, "fake", OptionValues::new());
    record.instance = Some(Instance {
        id: "7".to_owned(),
        address: "192.0.2.1".to_owned(),
        ssh: None,
        url: None,
        host_keys: Vec::new(),
        jump_keys: Vec::new(),
    });
    store.put(&record).unwrap();
    let (world, _) = support::world_on(support::Cloud::default(), store.store);
    let looked = async || {
        let snapshot = observe(&world, world.store.at_once().snapshot().unwrap(), 1, |_| true, |_, _, _| {}).await;
        snapshot.machines[&record.name].observed.clone().expect("it was looked at")
    };
    assert_eq!(looked().await.power, Power::Gone, "with the id it is known to be");
    let id = dir.path().join("machine-id");
    fs::remove_file(&id).unwrap();
    fs::create_dir(&id).unwrap();
    let observed = looked().await;
    assert_eq!(observed.power, Power::Unknown);
    assert!(matches!(&observed.host, Reach::Failed(why) if why.contains("machine-id")), "{:?}", observed.host);
}
