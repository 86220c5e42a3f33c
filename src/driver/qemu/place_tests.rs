use super::*;
use serde_json::json;
use std::{fs, path::Path};

fn place(dir: &Path) -> Place {
    Place::new(dir, dir.join("images"))
}

#[expect(clippy::needless_pass_by_value, reason = "it is written where it is called")]
fn options(more: serde_json::Value) -> Options {
    let mut all = json!({
        "image": "debian-12", "memory": 1, "cpus": 1, "disk-size": 1, "accel": "auto", "network": "user", "ssh-user": "u",
    });
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(all).unwrap()
}

/// What `instance.json` has always been.
fn written(machine: &str, ports: Option<Ports>) -> String {
    let ports = serde_json::to_string(&ports).unwrap();
    let text = r#"{
  "version": 1,
  "store-id": "s",
  "fleet": null,
  "machine": "MACHINE",
  "phase": "prepared",
  "image": "/images/debian-12.qcow2",
  "ports": PORTS,
  "address": null,
  "host-key": "ssh-ed25519 AAAA",
  "login-key": "ssh-ed25519 BBBB",
  "told": 2
}
"#;
    text.replace("MACHINE", machine).replace("PORTS", &ports)
}

/// Keeps `ports` for a machine, as a creation does.
fn keep(place: &Place, id: &str, ports: Ports) {
    let folder = place.folder(id).unwrap();
    fs::create_dir_all(&folder.path).unwrap();
    files::write(&folder.json(), 0o600, written("web", Some(ports)).as_bytes()).unwrap();
}

#[test]
fn no_two_machines_have_a_port_in_common() {
    let dir = tempfile::tempdir().unwrap();
    let place = place(dir.path());
    let mut seen = std::collections::BTreeSet::new();
    for n in 0..40 {
        let id = format!("web-{n}");
        let ports = place.ports(&id, &options(json!({})), None, false).unwrap();
        keep(&place, &id, ports);
        assert!(seen.insert(ports.ssh) && seen.insert(ports.engine), "{ports:?}");
    }
}

#[test]
fn a_port_in_use_is_not_given_and_one_that_was_given_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let place = place(dir.path());
    let first = place.ports("web-1", &options(json!({})), None, false).unwrap();
    assert_eq!(place.ports("web-1", &options(json!({})), Some(first), false).unwrap(), first);
    let _busy = TcpListener::bind((Ipv4Addr::LOCALHOST, first.ssh)).unwrap();
    let second = place.ports("web-1", &options(json!({})), Some(first), true).unwrap();
    assert!(second.ssh != first.ssh && second.engine != first.ssh);
    let forward = json!({"forward": [format!("{}:80", second.ssh)]});
    assert_ne!(place.ports("web-1", &options(forward), None, false).unwrap().ssh, second.ssh);
}

#[test]
fn a_port_that_is_asked_for_is_given_unless_another_machine_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let place = place(dir.path());
    let wish = options(json!({"ssh-port": 2222}));
    let ports = place.ports("web-1", &wish, Some(Ports { ssh: 1, engine: 2 }), false).unwrap();
    assert_eq!(ports, Ports { ssh: 2222, engine: 2 });
    keep(&place, "web-1", ports);
    let error = place.ports("web-2", &wish, None, false).unwrap_err();
    assert_eq!(error.to_string(), "taking port 2222: machine `web` has it");
}

#[test]
fn a_record_of_an_earlier_version_of_machine_is_read_and_written_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let folder = place(dir.path()).folder("web-1").unwrap();
    fs::create_dir_all(&folder.path).unwrap();
    let old = written("web-1", Some(Ports { ssh: 20_022, engine: 22_376 }));
    files::write(&folder.json(), 0o600, old.as_bytes()).unwrap();
    let record = folder.load().unwrap().unwrap();
    let guest = Guest {
        image: "/images/debian-12.qcow2".into(),
        ports: Some(Ports { ssh: 20_022, engine: 22_376 }),
        address: None,
        told: 2,
        origin: None,
    };
    assert_eq!((record.own.clone(), record.phase, record.machine.as_str()), (guest, Phase::Prepared, "web-1"));
    folder.save(&record).unwrap();
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(value(&fs::read_to_string(folder.json()).unwrap()), value(&old));
}
