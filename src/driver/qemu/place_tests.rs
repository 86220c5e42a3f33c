use super::*;
use serde_json::json;
use std::path::Path;

fn place(dir: &Path) -> Place {
    Place { base: dir.to_owned(), images: dir.join("images") }
}

#[expect(clippy::needless_pass_by_value, reason = "it is written where it is called")]
fn options(more: serde_json::Value) -> Options {
    let mut all = json!({
        "image": "debian-12", "memory": 1, "cpus": 1, "disk-size": 1, "accel": "auto", "network": "user", "ssh-user": "u",
    });
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(all).unwrap()
}

fn record(machine: &str, ports: Option<Ports>) -> Record {
    Record {
        version: Record::VERSION,
        store_id: "s".to_owned(),
        fleet: None,
        machine: MachineName::new(machine).unwrap(),
        phase: Phase::Prepared,
        image: "/images/debian-12.qcow2".into(),
        ports,
        address: None,
        host_key: "ssh-ed25519 AAAA".to_owned(),
        login_key: "ssh-ed25519 BBBB".to_owned(),
        told: 1,
        origin: None,
    }
}

/// Keeps `ports` for a machine, as a creation does.
fn keep(place: &Place, id: &str, ports: Ports) {
    let folder = place.folder(id).unwrap();
    fs::create_dir_all(&folder.path).unwrap();
    folder.save(&record("web", Some(ports))).unwrap();
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
fn an_id_that_leads_elsewhere_is_refused() {
    for bad in ["", "..", ".", "../x", "a/b", "/etc", "a b"] {
        assert!(place(Path::new("/b")).folder(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_record_reads_back_and_other_versions_are_refused() {
    let record = record("web-1", Some(Ports { ssh: 20_022, engine: 22_376 }));
    assert_eq!(Record::parse(&record.text()).unwrap(), record);
    let newer = record.text().replace("\"version\": 1", "\"version\": 2");
    assert_eq!(Record::parse(&newer).unwrap_err(), "version 2 is not known, 1 is");
    assert!(Record::parse("{").is_err());
}
