//! Records and documents of docker-machine's in which no field is empty, and where their fields are.

use machine::{
    clock::Timestamp,
    driver::Drivers,
    engine::{Api, EngineSpec, Source, Variable},
    hook::{Command, Hook, HookRecord, Hooks, On, Point},
    name::{FleetName, MachineName},
    record::{
        CertificateRecord, EngineRecord, Instance, MachineRecord, OptionValues, Part, Pending, SshEndpoint, Uid,
        docker_machine::{ConfigFile, Place},
    },
    secret::Secret,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nbm9uZQ==\n-----END OPENSSH PRIVATE KEY-----\n";

fn secret(value: &Value) -> Secret {
    Secret::from_json(value).unwrap()
}

fn texts<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}

/// A record in which nothing is empty. It names every field, so that a new one is added here.
pub(super) fn full(port: u16) -> MachineRecord {
    let hook = |run| Hook { name: "x".to_owned(), run, on: On::Local, timeout: 5 };
    let hooks = [hook(Command::Shell("true".to_owned())), hook(Command::Program(texts(["true", "x"])))];
    MachineRecord {
        name: MachineName::new("web").unwrap(),
        uid: Uid::of_random([0x5a; 16]),
        fleet: Some(FleetName::new("theirs").unwrap()),
        driver: "generic".to_owned(),
        place: Some("amazonec2 account 123456789012 in eu-west-1".parse().unwrap()),
        options: OptionValues::from([("ip".to_owned(), json!("127.0.0.1")), ("engine-port".to_owned(), json!(2376))]),
        depends_on: BTreeSet::from([MachineName::new("db").unwrap()]),
        protect: true,
        instance: Some(Instance {
            id: "127.0.0.1".to_owned(),
            address: "127.0.0.1".to_owned(),
            ssh: Some(SshEndpoint {
                host: "127.0.0.1".to_owned(),
                port,
                user: "admin".to_owned(),
                key: Some("id_rsa".to_owned()),
                passphrase: Some(secret(&json!({ "env": "NONE" }))),
                jump: Some(format!("root@127.0.0.1:{port}")),
            }),
            url: Some(format!("tcp://127.0.0.1:{port}")),
            host_keys: texts(["ssh-ed25519 AAAA"]),
            jump_keys: texts(["ssh-ed25519 AAAA"]),
        }),
        certificate: Some(CertificateRecord {
            sha256: "0".repeat(64),
            ca_sha256: "1".repeat(64),
            names: BTreeSet::from(["web".to_owned()]),
            not_after: Timestamp(4_000_000_000),
        }),
        engine: Some(EngineRecord {
            spec: EngineSpec {
                version: Some("28".parse().unwrap()),
                source: Source::DockerCe,
                mirror: Some("https://mirror.example.org".to_owned()),
                install_url: Some("https://get.example.org".to_owned()),
                api: Api::Tls,
                port,
                labels: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
                registry_mirrors: texts(["https://mirror.example.org"]),
                insecure_registries: texts(["10.0.0.0/8"]),
                env: BTreeMap::from([
                    ("PLAIN".to_owned(), Variable::Plain("x".to_owned())),
                    ("SECRET".to_owned(), Variable::from(secret(&json!({ "env": "NONE" })))),
                ]),
                daemon: json!({ "log-opts": { "max-size": "1m" } }).as_object().unwrap().clone(),
                open_firewall: true,
            },
            version: "28.2.2".to_owned(),
            provisioner: "debian".to_owned(),
            os: "Debian".to_owned(),
        }),
        pending: BTreeMap::from([(Part::Engine, Pending::Upgrade)]),
        hooks: HookRecord {
            spec: Hooks(BTreeMap::from([(Point::PreRm, hooks.to_vec())])),
            pending: vec![(Point::PreRm, "x".to_owned())],
        },
    }
}

/// The same as an honest program writes it.
pub(super) fn honest(port: u16) -> MachineRecord {
    let mut record = full(port);
    (record.fleet, record.depends_on, record.protect) = (None, BTreeSet::new(), false);
    record.place = None;
    (record.pending, record.hooks) = (BTreeMap::new(), HookRecord::default());
    let ssh = record.instance.as_mut().unwrap().ssh.as_mut().unwrap();
    (ssh.passphrase, ssh.jump) = (None, None);
    let spec = &mut record.engine.as_mut().unwrap().spec;
    (spec.mirror, spec.install_url) = (None, None);
    spec.env.remove("SECRET");
    record
}

pub(super) fn files() -> BTreeMap<String, zeroize::Zeroizing<String>> {
    let names = ["ca.pem", "cert.pem", "key.pem", "server.pem", "server-key.pem", "ca-key.pem"];
    let pem = |name: &str| (name.to_owned(), format!("of {name}\n").into());
    names.map(pem).into_iter().chain([("id_rsa".to_owned(), KEY.to_owned().into())]).collect()
}

/// All of docker-machine's document, with the fields of all our drivers.
pub(super) fn config() -> Value {
    let name = MachineName::new("web").unwrap();
    let text = ConfigFile::new(Place { root: "/home/eve/.docker/machine", name: &name }).text();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["RawDriver"] = json!("e30=");
    for driver in Drivers::built_in().iter() {
        for option in driver.options().iter().filter(|option| !option.field.is_empty()) {
            config["Driver"][&option.field] = json!("x");
        }
    }
    config["HostOptions"]["AuthOptions"]["ServerCertSANs"] = json!(["web.example.org"]);
    config
}

/// Where the leaves of a document are, as pointers of JSON. Nothing in it may be empty: what is absent is not tried.
fn leaves(value: &Value, at: &str, found: &mut Vec<String>) {
    let escaped = |key: &str| key.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                leaves(inner, &format!("{at}/{}", escaped(key)), found);
            }
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, inner)| leaves(inner, &format!("{at}/{n}"), found));
        }
        _ => found.push(at.to_owned()),
    }
}

pub(super) fn leaves_of(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    leaves(value, "", &mut found);
    found
}

#[track_caller]
pub(super) fn nothing_is_empty(value: &Value) {
    match value {
        Value::Object(map) => {
            assert!(!map.is_empty());
            map.values().for_each(nothing_is_empty);
        }
        Value::Array(items) => {
            assert!(!items.is_empty());
            items.iter().for_each(nothing_is_empty);
        }
        Value::Null => panic!("a field of the full record is empty"),
        _ => {}
    }
}
