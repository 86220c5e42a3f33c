use super::*;

const ROOT: &str = "/home/u/.docker/machine";
const FOO: &str = include_str!("../../tests/stores/v3/machines/foo/config.json");
const GENERIC: &str = include_str!("../../tests/stores/v3/machines/p-ubuntu2204/config.json");
const AWS: &str = include_str!("../../tests/stores/v3/machines/aws/config.json");
const RANCHER: &str = include_str!("../../tests/stores/v3/machines/rancher/config.json");
const ODD: &str = include_str!("../../tests/stores/v3/machines/odd/config.json");
const V2: &str = include_str!("../../tests/stores/v2/machines/v2/config.json");
const V2_BARE: &str = include_str!("../../tests/stores/v2/machines/v2-bare/config.json");
const V1: &str = include_str!("../../tests/stores/v1/machines/v1/config.json");
const V0: &str = include_str!("../../tests/stores/v0/machines/v0/config.json");

fn name(text: &str) -> MachineName {
    MachineName::new(text).unwrap()
}

#[track_caller]
fn at(root: &str, machine: &str, text: &str) -> (ConfigFile, MachineRecord) {
    let name = name(machine);
    let place = Place { root, name: &name };
    let config = ConfigFile::parse(text, place).unwrap();
    let record = config.to_record(place, config.foreign_options());
    (config, record)
}

fn field<'c>(config: &'c ConfigFile, path: &str) -> &'c Value {
    path.split('/')
        .fold(None, |at: Option<&Value>, key| Some(at.map_or_else(|| &config.document[key], |value| &value[key])))
        .unwrap()
}

/// docker-machine logs in to VMs of VirtualBox through a port of this computer, whatever their address, and as `docker`.
#[test]
fn a_vm_of_virtualbox_is_behind_a_port_of_this_computer() {
    let driver = |ip: &str| json!({ "IPAddress": ip, "MachineName": "dev", "SSHPort": 50123 });
    for ip in ["192.168.99.100", ""] {
        let text = json!({ "ConfigVersion": 3, "DriverName": "virtualbox", "Name": "dev", "Driver": driver(ip) });
        let (_, record) = at(ROOT, "dev", &text.to_string());
        let instance = record.instance.unwrap();
        let ssh = instance.ssh.unwrap();
        assert_eq!((instance.address.as_str(), ssh.host.as_str(), ssh.port), (ip, "127.0.0.1", 50123));
        assert_eq!(ssh.user, "docker");
        assert!(ssh.key.unwrap().ends_with("/machines/dev/id_rsa"));
    }
}

/// docker-machine's driver `generic` dials port 0 when it is told 0.
#[test]
fn a_machine_that_got_its_instance_later_has_its_login_written_out() {
    let (machine, root) = (name("x"), ROOT);
    let place = Place { root, name: &machine };
    let mut config = ConfigFile::new(place);
    let mut record = MachineRecord::new(machine.clone(), None, "nspawn", OptionValues::new());
    config.update(place, &record, Vec::new());
    let (_, made) = at(ROOT, "p-ubuntu2204", GENERIC);
    let mut instance = made.instance.unwrap();
    let ssh = instance.ssh.as_mut().unwrap();
    (ssh.user, ssh.port) = ("root".to_owned(), 22);
    record.instance = Some(instance);
    config.update(place, &record, Vec::new());
    assert_eq!((field(&config, "Driver/SSHUser"), field(&config, "Driver/SSHPort")), (&json!("root"), &json!(22)));
}

#[test]
fn what_docker_machine_wrote_is_written_back_byte_for_byte() {
    for (machine, text) in [("foo", FOO), ("p-ubuntu2204", GENERIC), ("aws", AWS)] {
        let (mut config, record) = at(ROOT, machine, text);
        assert_eq!(config.text(), text);
        config.update(Place { root: ROOT, name: &name(machine) }, &record, Vec::new());
        assert_eq!(config.text(), text, "a machine as it was read changes nothing");
    }
}

#[test]
fn driver_none_is_a_url() {
    let (_, record) = at(ROOT, "foo", FOO);
    let instance = record.instance.as_ref().unwrap();
    assert_eq!((instance.address.as_str(), instance.ssh.as_ref()), ("127.0.0.1", None));
    assert_eq!(record.url().as_deref(), Some("tcp://127.0.0.1:2376"));
}

#[test]
fn a_generic_machine_is_understood() {
    let (_, record) = at(ROOT, "p-ubuntu2204", GENERIC);
    assert_eq!(record.url().as_deref(), Some("tcp://127.0.0.1:12377"));
    let ssh = record.instance.unwrap().ssh.unwrap();
    assert_eq!((ssh.user.as_str(), ssh.port), ("bob", 12399));
    assert_eq!(ssh.key.unwrap(), format!("{ROOT}/machines/p-ubuntu2204/id_test"));
    let spec = record.engine.unwrap().spec;
    assert_eq!(spec.labels["tier"], "front");
    assert_eq!(spec.labels["bare"], "");
    assert_eq!(spec.registry_mirrors, ["https://mirror.example"]);
    assert_eq!(spec.insecure_registries, ["reg.local:5000"]);
    assert_eq!(spec.daemon["storage-driver"], "overlay2");
}

/// pain 24.
#[test]
fn no_secret_of_a_foreign_driver_gets_into_a_record() {
    for (machine, text) in [("aws", AWS), ("rancher", RANCHER)] {
        assert!(text.contains("CANARY"));
        let (config, record) = at(ROOT, machine, text);
        assert!(config.text().contains("CANARY"), "docker-machine needs it");
        let kept = serde_json::to_string(&record).unwrap();
        assert!(!kept.contains("CANARY"), "{kept}");
    }
    let (_, aws) = at(ROOT, "aws", AWS);
    assert_eq!(aws.options["Region"], "eu-west-1");
    assert_eq!(aws.instance.unwrap().id, "i-0123");
}

#[test]
fn null_and_absent_options_are_defaults_and_unknown_keys_survive() {
    let (config, record) = at(ROOT, "rancher", RANCHER);
    assert_eq!(field(&config, "HostOptions/CustomInstallScript"), "/x.sh");
    assert_eq!(field(&config, "Driver/IPv6Address"), "fd00::1");
    assert_eq!(record.url().as_deref(), Some("tcp://10.1.1.1:2376"));
    let (_, odd) = at(ROOT, "odd", ODD);
    assert_eq!(odd.instance.unwrap().ssh.unwrap().key.unwrap(), format!("{ROOT}/machines/odd/id_rsa"));

    let extended =
        FOO.replacen("\"Driver\": {", "\"Fleet\": {\"a\": [1.5, null]},\n    \"Driver\": {\n        \"New\": 1,", 1);
    let (mut config, mut record) = at(ROOT, "foo", &extended);
    record.instance.as_mut().unwrap().url = Some("tcp://10.0.0.1:2376".to_owned());
    config.update(Place { root: ROOT, name: &name("foo") }, &record, Vec::new());
    let text = config.text();
    assert!(text.contains("\"New\": 1") && text.contains("1.5"), "{text}");
    assert!(text.contains("\"IPAddress\": \"10.0.0.1:2376\""), "{text}");
}

/// pains 3 and 9: docker-machine's own migration leaves wrong paths (`.`, the root) in these.
#[test]
fn old_versions_get_paths_from_where_the_file_is() {
    for root in [ROOT, "/srv/moved store"] {
        for (machine, found, text) in [("v0", 0, V0), ("v1", 1, V1), ("v2", 2, V2), ("v2-bare", 2, V2_BARE)] {
            let (config, record) = at(root, machine, text);
            assert_eq!(config.version_found(), found);
            let dir = format!("{root}/machines/{machine}");
            for (path, want) in [
                ("ConfigVersion", Value::from(3)),
                ("Name", Value::from(machine)),
                ("Driver/StorePath", Value::from(root)),
                ("HostOptions/AuthOptions/StorePath", Value::from(dir.as_str())),
                ("HostOptions/AuthOptions/CertDir", Value::from(format!("{root}/certs"))),
                ("HostOptions/AuthOptions/ServerCertPath", Value::from(format!("{dir}/server.pem"))),
                ("HostOptions/EngineOptions/TlsVerify", Value::from(true)),
                ("HostOptions/SwarmOptions/Host", Value::from("tcp://0.0.0.0:3376")),
            ] {
                assert_eq!(*field(&config, path), want, "{path} of {machine} in {root}");
            }
            if machine != "v2-bare" || root == ROOT {
                assert_eq!(
                    *field(&config, "HostOptions/AuthOptions/CaPrivateKeyPath"),
                    format!("{root}/certs/ca-key.pem"),
                    "{machine} in {root}"
                );
                assert_eq!(record.instance.unwrap().ssh.unwrap().key.unwrap(), format!("{dir}/id_rsa"));
            }
            for gone in ["StorePath", "PrivateKeyPath", "CaCertPath", "SwarmHost"] {
                assert!(!config.document.contains_key(gone), "{gone} of {machine}");
            }
            assert!(!config.text().contains("\"PrivateKeyPath\""));
        }
    }
    let (config, _) = at(ROOT, "v1", V1);
    assert_eq!(*field(&config, "HostOptions/SwarmOptions/Discovery"), "token://x");
    let (config, _) = at(ROOT, "v0", V0);
    assert_eq!(*field(&config, "HostOptions/SwarmOptions/Master"), true);
}

#[test]
fn a_store_that_moved_is_read_where_it_is() {
    let (config, record) = at("/new", "p-ubuntu2204", GENERIC);
    assert!(!config.text().contains(ROOT), "{}", config.text());
    assert!(config.text().contains("/home/u/.ssh/id_test"), "what is not in the store stays");
    assert_eq!(record.instance.unwrap().ssh.unwrap().key.unwrap(), "/new/machines/p-ubuntu2204/id_test");
}

#[track_caller]
fn refused(text: &str, why: &str) {
    let name = name("x");
    let error = ConfigFile::parse(text, Place { root: ROOT, name: &name }).unwrap_err();
    assert_eq!(error.to_string(), why);
}

#[test]
fn what_is_no_config_is_refused() {
    refused("", "line 1, column 0: this is not JSON");
    refused("{\n  \"a\": }", "line 2, column 8: this is not JSON");
    refused("[]", "the document is not an object");
    refused("{}", "`DriverName` is missing");
    refused(
        r#"{"ConfigVersion": 4}"#,
        "config version is from the future -- you should upgrade your Docker Machine client",
    );
    refused(r#"{"ConfigVersion": "x"}"#, "`ConfigVersion` is not a whole number");
}

#[test]
fn keys_are_found_in_any_case_as_go_does() {
    let (_, record) =
        at(ROOT, "foo", &FOO.replace("\"IPAddress\"", "\"ipaddress\"").replace("\"Driver\": {", "\"driver\": {"));
    assert_eq!(record.instance.unwrap().address, "127.0.0.1");
}

fn ours(driver: &str) -> MachineRecord {
    let mut record = MachineRecord::new(name("web-1"), None, driver, OptionValues::new());
    record.instance = Some(Instance {
        id: "web-1".to_owned(),
        address: "10.0.0.7".to_owned(),
        ssh: Some(SshEndpoint {
            host: "10.0.0.7".to_owned(),
            port: 22,
            user: "root".to_owned(),
            key: Some(format!("{ROOT}/machines/web-1/id_ed25519")),
            passphrase: None,
            jump: None,
        }),
        url: None,
        host_keys: Vec::new(),
        jump_keys: Vec::new(),
    });
    record.engine = Some(EngineRecord {
        spec: EngineSpec { port: 12376, labels: [("a".to_owned(), "<b>".to_owned())].into(), ..EngineSpec::default() },
        version: "28.2.2".to_owned(),
        provisioner: "debian".to_owned(),
        os: String::new(),
    });
    record
}

#[test]
fn a_driver_docker_machine_lacks_is_written_as_generic() {
    let name = name("web-1");
    let place = Place { root: ROOT, name: &name };
    let mut config = ConfigFile::new(place);
    config.update(place, &ours("nspawn"), vec![("Image".to_owned(), Value::from("x"))]);
    let text = config.text();
    assert!(
        text.starts_with(
            r#"{
    "ConfigVersion": 3,
    "Driver": {
        "IPAddress": "10.0.0.7",
        "MachineName": "web-1",
        "SSHUser": "root",
        "SSHPort": 22,
        "SSHKeyPath": "/home/u/.docker/machine/machines/web-1/id_ed25519",
        "StorePath": "/home/u/.docker/machine",
        "SwarmMaster": false,
        "SwarmHost": "",
        "SwarmDiscovery": "",
        "EnginePort": 12376,
        "SSHKey": ""
    },
    "DriverName": "generic",
    "HostOptions": {
        "Driver": "",
        "Memory": 0,
        "Disk": 0,
        "EngineOptions": {
            "ArbitraryFlags": [],
            "Dns": null,
            "GraphDir": "",
            "Env": [],
            "Ipv6": false,
            "InsecureRegistry": [],
            "Labels": [
                "a=\u003cb\u003e"
            ],
"#
        ),
        "{text}"
    );
    assert!(text.ends_with("    \"Name\": \"web-1\"\n}"), "{text}");
    let keys = |text: &str| -> Vec<String> {
        text.lines().filter_map(|l| l.trim().split_once("\": ").map(|(key, _)| key.to_owned())).collect()
    };
    let shape = |keys: Vec<String>| keys.into_iter().filter(|k| !k.contains("SSHKey")).collect::<Vec<_>>();
    assert_eq!(shape(keys(&text)), shape(keys(GENERIC)), "the keys of docker-machine, in its order");
}

#[test]
fn what_docker_machine_changed_is_taken_over() {
    let name = name("web-1");
    let place = Place { root: ROOT, name: &name };
    let mut record = ours("nspawn");
    let mut config = ConfigFile::new(place);
    config.update(place, &record, Vec::new());
    let unchanged = record.clone();
    config.overlay(&mut record);
    assert_eq!(record, unchanged, "our own text says nothing new");
    let text = config.text().replace("10.0.0.7", "10.0.0.8").replace("\"SSHPort\": 22", "\"SSHPort\": 2022");
    ConfigFile::parse(&text, place).unwrap().overlay(&mut record);
    let instance = record.instance.unwrap();
    assert_eq!(instance.address, "10.0.0.8");
    let ssh = instance.ssh.unwrap();
    assert_eq!((ssh.host.as_str(), ssh.port), ("10.0.0.8", 2022));
}
