//! Stores that docker-machine wrote, of every version of its schema: they load, list, and survive a rewrite.

use crate::plain::{self, Plain};
use machine::{name::MachineName, record::MachineRecord, store::folder::FolderStore};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// A sample store, somewhere else than where it was written.
fn sample(version: &str) -> (TempDir, Plain<FolderStore>) {
    let dir = tempfile::tempdir().unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stores").join(version);
    copy(&from, dir.path());
    let store = plain::folder(dir.path());
    (dir, store)
}

fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(root).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.insert(entry.path(), fs::read(entry.path()).unwrap());
        }
    }
    found
}

fn config(root: &Path, machine: &str) -> Value {
    let text = fs::read_to_string(root.join("machines").join(machine).join("config.json")).unwrap();
    assert!(!text.ends_with('\n') && text.starts_with("{\n    \"ConfigVersion\": 3,\n"), "{text}");
    serde_json::from_str(&text).unwrap()
}

/// Name, driver, URL.
#[track_caller]
fn lists(version: &str, want: &[(&str, &str, Option<&str>)]) {
    let (dir, store) = sample(version);
    let before = files(dir.path());
    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.broken, BTreeMap::new());
    let urls: BTreeMap<&str, Option<String>> =
        snapshot.machines.iter().map(|(name, known)| (name.as_str(), known.record.url())).collect();
    let found: Vec<_> = snapshot
        .machines
        .values()
        .map(|k| (k.record.name.as_str(), k.record.driver.as_str(), urls[k.record.name.as_str()].as_deref()))
        .collect();
    assert_eq!(found, want);
    assert_eq!(files(dir.path()), before, "reading writes nothing, not even a migration");

    for known in snapshot.machines.values() {
        let record: &MachineRecord = &known.record;
        store.put(record).unwrap();
        assert_eq!(store.get(&record.name).unwrap(), *record);
        assert_eq!(record.fleet, None);
        let config = config(dir.path(), record.name.as_str());
        assert_eq!(config["DriverName"], record.driver.as_str());
        assert_eq!(config["Driver"]["StorePath"], dir.path().to_str().unwrap());
        let folder = dir.path().join("machines").join(record.name.as_str());
        assert_eq!(config["HostOptions"]["AuthOptions"]["StorePath"], folder.to_str().unwrap());
        let kept = fs::read_to_string(folder.join("record.json")).unwrap();
        assert!(!kept.contains("CANARY"), "a secret is in a record (pain 24): {kept}");
        let migrated = version != "v3";
        assert_eq!(folder.join("config.json.bak").exists(), migrated, "docker-machine keeps what it migrates");
    }
}

#[test]
fn a_store_of_docker_machine_0_16_loads_and_survives() {
    let aws = Some("tcp://52.1.2.3:2376");
    lists(
        "v3",
        &[
            ("aws", "amazonec2", aws),
            ("foo", "none", Some("tcp://127.0.0.1:2376")),
            ("kvm", "kvm", None),
            ("odd", "virtualbox", Some("tcp://192.168.99.100:2376")),
            ("p-ubuntu2204", "generic", Some("tcp://127.0.0.1:12377")),
            ("rancher", "vmwarevsphere", Some("tcp://10.1.1.1:2376")),
        ],
    );
}

#[test]
fn stores_of_older_versions_load_and_survive() {
    lists("v0", &[("v0", "virtualbox", Some("tcp://10.0.0.9:2376"))]);
    lists("v1", &[("v1", "virtualbox", Some("tcp://10.0.0.1:2376"))]);
    lists(
        "v2",
        &[("v2", "virtualbox", Some("tcp://10.0.0.2:2376")), ("v2-bare", "virtualbox", Some("tcp://10.0.0.2:2376"))],
    );
}

#[test]
fn what_docker_machine_needs_is_still_there_after_a_rewrite() {
    let (dir, store) = sample("v3");
    let name = MachineName::new("aws").unwrap();
    let mut record = store.get(&name).unwrap();
    assert_eq!(record.options["region"], "eu-west-1");
    let instance = record.instance.as_mut().unwrap();
    "52.9.9.9".clone_into(&mut instance.address);
    "52.9.9.9".clone_into(&mut instance.ssh.as_mut().unwrap().host);
    let before = config(dir.path(), "aws");
    store.put(&record).unwrap();
    let mut after = config(dir.path(), "aws");
    assert_eq!(after["Driver"]["IPAddress"], "52.9.9.9");
    assert_eq!(after["Driver"]["SecretKey"], "CANARY-secret");
    let keys = |v: &Value| v.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let kept: Vec<String> =
        keys(&after["Driver"]).into_iter().filter(|key| before["Driver"].get(key).is_some()).collect();
    assert_eq!(kept, keys(&before["Driver"]), "what is added comes after");
    // Nothing but the address and the place of the store has changed.
    after["Driver"]["IPAddress"] = before["Driver"]["IPAddress"].clone();
    let moved = after.to_string().replace(dir.path().to_str().unwrap(), "/home/u/.docker/machine");
    assert_eq!(moved, before.to_string());
    // The address did not change behind our back.
    assert_eq!(store.get(&name).unwrap(), record);
}
