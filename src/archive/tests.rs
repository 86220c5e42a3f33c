use super::{parcel::Packed, *};
use crate::{
    driver::{Drivers, options::with_defaults},
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
    let options = with_defaults(Drivers::built_in().options(driver_name), &given);
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
    let drivers = &Drivers::built_in();
    Source { record, config, drivers, root: ROOT, home: Some("/home/alice"), certificates, key }.pack().unwrap()
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
        config.update(place, &record, vec![("SSHKey".to_owned(), json!("/home/alice/.ssh/id_rsa"))]);
        let config = config.text();
        assert!(config.contains("alice"));
        let text = archive(packed(&record, Some(&config)).parcel).text();
        assert!(!text.contains("alice"), "{}", *text);

        let back = Archive::parse(text.as_bytes()).unwrap().machines.remove(0);
        let name = MachineName::new("theirs").unwrap();
        let back = back.unpack(&name, "/home/bob/m").unwrap();
        let at = "/home/bob/m/machines/theirs/id_rsa";
        let instance = back.record.instance.clone().unwrap();
        assert_eq!((&back.record.name, &back.record.fleet), (&name, &None));
        assert_eq!(instance.ssh.unwrap().key.as_deref(), Some(at));
        assert_eq!(back.record.options["ssh-key"], at);
        assert_eq!(back.record.options["ssh-user"], "admin");
        assert_eq!(instance.host_keys, ["ssh-ed25519 AAAA"]);
        assert_eq!(*back.files["id_rsa"], KEY);
        assert_eq!(*back.files["ca.pem"], "CA");
        assert!(back.has_own_authority() && back.was.is_none() && back.left_out.is_empty(), "{back:?}");
    }
}

#[test]
fn an_engine_is_where_the_record_says_and_its_system_is_a_word() {
    let mut record = record("generic", "id_rsa");
    let engine = record.engine.as_mut().unwrap();
    (engine.spec.port, engine.os) = (4243, format!("Deb\u{1b}[2Jian\n{}", "x".repeat(1000)));
    let there = packed(&record, None).parcel.unpack(&record.name, "/home/bob/m").unwrap().record;
    assert_eq!(there.options["engine-port"], 4243);
    let os = there.engine.unwrap().os;
    assert!(os.starts_with("Deb[2Jianx") && os.len() == 100, "{os}");
}

/// Also where it came from: a store's id is no secret.
#[test]
fn whatever_made_it_controls_nothing_after_an_import() {
    for (driver, was) in [("nspawn", Some("nspawn")), ("digitalocean", Some("digitalocean")), ("generic", None)] {
        let mut record = record("generic", "id_ed25519");
        record.driver = driver.to_owned();
        record.instance.as_mut().unwrap().id = "i-of-somebody-else".to_owned();
        let there = packed(&record, None).parcel.unpack(&record.name, "/home/bob/m").unwrap();
        assert_eq!((there.record.driver.as_str(), there.was.as_deref()), ("generic", was));
        let wanted = json!({ "ip": "192.0.2.1", "ssh-user": "admin", "ssh-port": 22, "engine-port": 2376,
            "ssh-key": "/home/bob/m/machines/web/id_ed25519" });
        assert_eq!(serde_json::to_value(there.record.options).unwrap(), wanted);
        assert_eq!(there.record.instance.unwrap().id, "192.0.2.1");
    }
    let mut known = record("generic", "id_rsa");
    known.driver = "none".to_owned();
    let instance = known.instance.as_mut().unwrap();
    (instance.ssh, instance.url) = (None, Some("tcp://192.0.2.1:2376".to_owned()));
    let there = packed(&known, None).parcel;
    let there = Parcel { files: [].into(), ..there }.unpack(&known.name, "/home/bob/m").unwrap();
    assert_eq!((there.record.driver.as_str(), there.has_own_authority()), ("none", false));
    assert_eq!(serde_json::to_value(there.record.options).unwrap(), json!({ "url": "tcp://192.0.2.1:2376" }));
}

#[test]
fn what_would_run_or_be_looked_for_here_is_left_out_and_said() {
    let mut parcel = packed(&record("generic", "id_rsa"), None).parcel;
    parcel.record.protect = true;
    parcel.record.hooks = serde_json::from_value(json!({ "spec": { "pre-rm": [
        { "name": "x", "run": { "shell": "touch /tmp/x" }, "on": "local", "timeout": 5 } ] }, "pending": [] }))
    .unwrap();
    ssh(&mut parcel).passphrase =
        Some(crate::secret::Secret::from_json(&json!({ "command": "touch /tmp/x" })).unwrap());
    let spec = &mut parcel.record.engine.as_mut().unwrap().spec;
    *spec = serde_json::from_value(
        json!({ "source": "script", "install-url": "https://example.org/x", "api": "tls", "port": 2376,
        "mirror": "https://example.org", "env": { "PROXY": { "env": "AWS_SECRET_ACCESS_KEY" }, "NO_PROXY": "local" } }),
    )
    .unwrap();
    let there = parcel.unpack(&MachineName::new("web").unwrap(), "/s").unwrap();
    let said = there.left_out.join("\n");
    for word in ["hooks", "protect: true", "passphrase", "mirror", "install-url", "(PROXY)", "engine.env"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert_eq!(there.left_out.len(), 6, "{said}");
    let spec = &there.record.engine.as_ref().unwrap().spec;
    assert_eq!((spec.source, &spec.mirror, &spec.install_url), (crate::engine::Source::Present, &None, &None));
    assert_eq!(spec.env.keys().collect::<Vec<_>>(), ["NO_PROXY"]);
    let text = format!("{:?}", there.record);
    assert!(!text.contains("/tmp/x") && !text.contains("AWS") && !there.record.protect, "{text}");
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
    let name = parcel.record.name.clone();
    let opened = Archive::parse(archive(parcel).text().as_bytes());
    let opened = opened.and_then(|mut archive| archive.machines.remove(0).unpack(&name, "/s"));
    let error = opened.unwrap_err().to_string();
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
    }
    refused(|p| ssh(p).host = "-oProxyCommand=x".to_owned(), "no place to connect to");
    refused(|p| ssh(p).user = "a b".to_owned(), "no place to connect to");
    refused(|p| ssh(p).jump = Some("-J".to_owned()), "no place to connect to");
    refused(|p| ssh(p).jump = Some("a,-oProxyCommand=x@b".to_owned()), "no place to connect to");
    refused(|p| ssh(p).host = "$(x)".to_owned(), "no place to connect to");
    refused(|p| ssh(p).key = Some("ca.pem".to_owned()), "is not in it");
    refused(|p| ssh(p).port = 0, "port 0");
    refused(|p| drop(p.files.insert("known_hosts".to_owned(), String::new().into())), "no file of a machine");
    let instance = |p: &mut Parcel, url: &str| p.record.instance.as_mut().unwrap().url = Some(url.to_owned());
    for url in [
        "unix:///run/docker.sock",
        "tcp://192.0.2.2:2376",
        "tcp://192.0.2.1:0",
        "tcp://192.0.2.1",
        "http://192.0.2.1:1",
    ] {
        refused(|p| instance(p, url), "no place to connect to");
    }
    refused(|p| p.record.instance.as_mut().unwrap().ssh = None, "no way to it");
    for address in ["-oProxyCommand=x", "$(x)", "a b", "/run/x"] {
        refused(|p| p.record.instance.as_mut().unwrap().address = address.to_owned(), "no place to connect to");
    }
    refused(|p| p.record.instance.as_mut().unwrap().host_keys = vec!["* $(x)".to_owned()], "host keys");
    refused(
        |p| _ = p.record.pending.insert(crate::record::Part::Instance, crate::record::Pending::Rm),
        "was being made",
    );
    for url in ["tcp://$(x)", "unix:///run/docker.sock", "ssh://-oProxyCommand=x", "a b", ""] {
        let told = |p: &mut Parcel| {
            let instance = p.record.instance.as_mut().unwrap();
            (instance.ssh, instance.url) = (None, Some(url.to_owned()));
            p.files.remove("id_rsa");
        };
        refused(told, "no place to connect to");
    }
    refused(|p| p.record.instance = None, "no instance");
    let spec = |p: &mut Parcel, change: fn(&mut EngineSpec)| change(&mut p.record.engine.as_mut().unwrap().spec);
    refused(|p| spec(p, |spec| drop(spec.labels.insert("a=b".to_owned(), "x".to_owned()))), "a label or a registry");
    refused(
        |p| spec(p, |spec| drop(spec.labels.insert("a".to_owned(), "x\nENV=1".to_owned()))),
        "a label or a registry",
    );
    refused(|p| spec(p, |spec| spec.registry_mirrors.push("https://h\u{1b}[2J".to_owned())), "a label or a registry");
    refused(|p| p.config = json!("x"), "not an object");
}

#[test]
fn what_is_no_archive_is_told_without_showing_it() {
    let why = |text: &str| Archive::parse(text.as_bytes()).unwrap_err().to_string();
    assert!(why("{\"s3cret\": tr").contains("not an export") && !why("{\"s3cret\": tr").contains("s3cret"));
    assert!(why(r#"{"machine-export": 3}"#).contains("version 3"));
    assert!(why(r#"{"machine-export": 1, "store": "", "machines": []}"#).contains("no machine"));
    let twice = || packed(&record("generic", "id_rsa"), None).parcel;
    let twice = Archive { store: String::new(), machines: vec![twice(), twice()] }.text();
    assert!(why(&twice).contains("twice"));
    let named = archive(packed(&record("generic", "id_rsa"), None).parcel).text().replace("web", "../web");
    assert!(why(&named).contains("will not parse"), "a name that is none");
}
