use super::{parcel::Packed, *};
use crate::{
    driver::{self, options::with_defaults},
    engine::EngineSpec,
    name::{FleetName, MachineName},
    record::{EngineRecord, Instance, MachineRecord, OptionValues, SshEndpoint, docker_machine::Place},
};
use serde_json::json;

const ROOT: &str = "/home/alice/.docker/machine";
const KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nsecret\n-----END OPENSSH PRIVATE KEY-----\n";

fn record(driver_name: &str, key: &str) -> MachineRecord {
    let given = match driver_name {
        "generic" => json!({ "ip": "192.0.2.1", "ssh-key": key, "ssh-user": "admin" }),
        _ => json!({ "image": "/home/alice/debian" }),
    };
    let given: OptionValues = serde_json::from_value(given).unwrap();
    let options = with_defaults(driver::find(driver_name).unwrap().options(), &given);
    let fleet = FleetName::new("alices").unwrap();
    let mut record = MachineRecord::new(MachineName::new("web").unwrap(), Some(fleet), driver_name, options);
    record.instance = Some(Instance {
        id: "192.0.2.1".to_owned(),
        address: "192.0.2.1".to_owned(),
        ssh: Some(SshEndpoint {
            host: "192.0.2.1".to_owned(),
            port: 22,
            user: "admin".to_owned(),
            key: Some(key.to_owned()),
            passphrase: None,
            jump: None,
        }),
        url: None,
        host_keys: vec!["ssh-ed25519 AAAA".to_owned()],
        jump_keys: Vec::new(),
    });
    record.engine = Some(EngineRecord {
        spec: EngineSpec::default(),
        version: "28.2.2".to_owned(),
        provisioner: "debian".to_owned(),
        os: "Debian".to_owned(),
    });
    record
}

fn packed(record: &MachineRecord, config: Option<&str>) -> Packed {
    let certificates = [("ca.pem".to_owned(), "CA".to_owned().into())].into();
    let key = Some(KEY.to_owned().into());
    Source { record, config, root: ROOT, home: Some("/home/alice"), certificates, key }.pack().unwrap()
}

fn archive(parcel: Parcel) -> Archive {
    Archive { store: "0123".to_owned(), machines: vec![parcel] }
}

#[test]
fn nothing_of_the_first_account_travels_and_all_that_is_needed_does() {
    for key in [&format!("{ROOT}/machines/web/id_rsa"), "/home/alice/.ssh/id_rsa", "~/.ssh/id_rsa", "id_rsa"] {
        let record = record("generic", key);
        let place = Place { root: ROOT, name: &record.name };
        let mut config = crate::record::docker_machine::ConfigFile::new(place);
        config.update(place, &record, vec![("SSHKey", json!("/home/alice/.ssh/id_rsa"))]);
        let config = config.text();
        assert!(config.contains("alice"));
        let text = archive(packed(&record, Some(&config)).parcel).text();
        assert!(!text.contains("alice"), "{}", *text);

        let back = Archive::parse(text.as_bytes()).unwrap().machines.remove(0);
        let name = MachineName::new("theirs").unwrap();
        let back = back.unpack(&name, "/home/bob/m", false).unwrap();
        let at = "/home/bob/m/machines/theirs/id_rsa";
        let instance = back.record.instance.unwrap();
        assert_eq!((back.record.name, back.record.fleet), (name, None));
        assert_eq!(instance.ssh.unwrap().key.as_deref(), Some(at));
        assert_eq!(back.record.options["ssh-key"], at);
        assert_eq!(back.record.options["ssh-user"], "admin");
        assert_eq!(instance.host_keys, ["ssh-ed25519 AAAA"]);
        assert_eq!(*back.files["id_rsa"], KEY);
        assert_eq!(*back.files["ca.pem"], "CA");
        assert!(back.config.unwrap().text().contains("\"StorePath\": \"/home/bob/m\""));
    }
}

#[test]
fn what_only_its_maker_can_control_is_generic_elsewhere() {
    let record = record("nspawn", "id_ed25519");
    let parcel = packed(&record, None).parcel;
    assert!(!archive(parcel).text().contains("alice"));
    let (parcel, again) = (packed(&record, None).parcel, packed(&record, None).parcel);
    let there = parcel.unpack(&record.name, "/home/bob/m", false).unwrap();
    assert_eq!((there.record.driver.as_str(), there.was.as_deref()), ("generic", Some("nspawn")));
    let wanted = json!({ "ip": "192.0.2.1", "ssh-user": "admin", "ssh-port": 22, "engine-port": 2376,
        "ssh-key": "/home/bob/m/machines/web/id_ed25519" });
    assert_eq!(serde_json::to_value(there.record.options).unwrap(), wanted);
    let here = again.unpack(&record.name, ROOT, true).unwrap();
    assert_eq!((here.record.driver.as_str(), here.was), ("nspawn", None));
}

#[test]
fn secrets_of_a_provider_stay_at_home() {
    let config = json!({ "ConfigVersion": 3, "DriverName": "digitalocean", "Name": "web", "Driver": {
        "IPAddress": "192.0.2.1", "AccessToken": "s3cret", "DropletID": 7, "UserDataFile": "/home/alice/init",
        "StorePath": ROOT, "SSHKeyPath": "/home/alice/.docker/machine/machines/web/id_rsa" },
        "HostOptions": { "AuthOptions": { "CertDir": "/home/alice/certs", "ServerCertSANs": ["web.example"] } } });
    let mut record = record("generic", "id_rsa");
    record.driver = "digitalocean".to_owned();
    let packed = packed(&record, Some(&config.to_string()));
    assert_eq!(packed.secrets, ["AccessToken"]);
    let text = archive(packed.parcel).text();
    assert!(!text.contains("s3cret") && !text.contains("alice"), "{}", *text);
    assert!(text.contains("DropletID") && text.contains("web.example"));
}

#[track_caller]
fn refused(change: impl FnOnce(&mut Parcel), why: &str) {
    let mut parcel = packed(&record("generic", "id_rsa"), None).parcel;
    change(&mut parcel);
    let error = Archive::parse(archive(parcel).text().as_bytes()).unwrap_err().to_string();
    assert!(error.contains(why), "{error}");
}

fn ssh(parcel: &mut Parcel) -> &mut SshEndpoint {
    parcel.record.instance.as_mut().unwrap().ssh.as_mut().unwrap()
}

#[test]
fn nothing_hostile_is_believed() {
    for name in ["../x", "/etc/x", "", ".", "..", ".ssh", "a/b", "a\\b", "a\0", "config.json", "Record.KDL"] {
        refused(|p| drop(p.files.insert(name.to_owned(), String::new().into())), "no name of a file");
    }
    refused(|p| drop(p.files.insert("a".to_owned(), "x".repeat(300 << 10).into())), "larger than 256 KiB");
    refused(|p| p.files.extend((0..20).map(|i| (format!("f{i}"), String::new().into()))), "files");
    for key in ["/etc/shadow", "~/.ssh/id_rsa", "../../x/id_rsa"] {
        refused(|p| ssh(p).key = Some(key.to_owned()), "is not in it");
        refused(|p| drop(p.record.options.insert("ssh-key".to_owned(), json!(key))), "is not in it");
    }
    refused(|p| ssh(p).host = "-oProxyCommand=x".to_owned(), "no place to connect to");
    refused(|p| ssh(p).user = "a b".to_owned(), "no place to connect to");
    refused(|p| ssh(p).jump = Some("-J".to_owned()), "no place to connect to");
    refused(|p| drop(p.record.options.insert("ssh-user".to_owned(), json!("-x"))), "is not a user");
    refused(|p| drop(p.record.options.insert("ssh-config".to_owned(), json!("/tmp/x"))), "an ssh_config of this");
    refused(|p| p.record.instance = None, "no instance");
    refused(|p| p.config = json!("x"), "not an object");
}

#[test]
fn what_is_no_archive_is_told_without_showing_it() {
    let why = |text: &str| Archive::parse(text.as_bytes()).unwrap_err().to_string();
    assert!(why("{\"s3cret\": tr").contains("not an export") && !why("{\"s3cret\": tr").contains("s3cret"));
    assert!(why(r#"{"machine-export": 2}"#).contains("version 2"));
    assert!(why(r#"{"machine-export": 1, "store": "", "machines": []}"#).contains("no machine"));
    let twice = || packed(&record("generic", "id_rsa"), None).parcel;
    let twice = Archive { store: String::new(), machines: vec![twice(), twice()] }.text();
    assert!(why(&twice).contains("twice"));
    let named = archive(packed(&record("generic", "id_rsa"), None).parcel).text().replace("web", "../web");
    assert!(why(&named).contains("will not parse"), "a name that is none");
}
