use super::*;
use crate::{
    clock::Timestamp,
    engine::EngineSpec,
    properties::properties,
    record::{
        SshEndpoint,
        any_record::{record, value},
    },
};
use proptest::prelude::*;
use serde_json::json;

proptest! {
    #![proptest_config(properties(96))]
    /// The law: what is written is read back, exactly, and written in the same form again.
    #[test]
    fn a_record_reads_back(record in record(), digests in any::<(Option<u32>, Option<u32>, Option<u32>)>()) {
        let digest = |number: Option<u32>| number.map(|number| number.to_string());
        let beside = Beside { config: digest(digests.0), replaces: digest(digests.1), kdl: digest(digests.2) };
        let text = encode(&record, &beside, &Unknown::default());
        let back = decode(&text).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
        prop_assert_eq!(&back.record, &record, "{}", text);
        prop_assert_eq!(&back.beside, &beside);
        prop_assert!(Unknown::of(&text, &back).is_empty());
        prop_assert_eq!(encode(&back.record, &back.beside, &Unknown::of(&text, &back)), text);
    }

    /// The law: what a later version put into any object survives every change of what is known, while the object is there.
    #[test]
    fn what_is_unknown_survives_any_change(before in record(), after in record(), later in value()) {
        let mut old: Value = serde_json::from_str(&encode(&before, &digests(), &Unknown::default())).unwrap();
        let places = objects(&old);
        prop_assert!(places.len() >= 4);
        for place in &places {
            old.pointer_mut(place).unwrap().as_object_mut().unwrap().insert("of-later".to_owned(), later.clone());
        }
        let text = format!("{old:#}");
        let read = decode(&text).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
        prop_assert_eq!(&read.record, &before);
        let text = encode(&after, &digests(), &Unknown::of(&text, &read));
        let again = decode(&text).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
        prop_assert_eq!(&again.record, &after);
        let new: Value = serde_json::from_str(&text).unwrap();
        for place in places {
            let there = new.pointer(&place).and_then(Value::as_object);
            prop_assert_eq!(there.map(|object| object.get("of-later")), there.map(|_| Some(&later)), "{}", place);
        }
    }
}

fn digests() -> Beside {
    Beside { config: Some("ef".to_owned()), ..Beside::default() }
}

/// Pointers of all objects into which a later version may put something: not those whose keys are anybody's.
fn objects(value: &Value) -> Vec<String> {
    let fixed = [
        "",
        "/pending",
        "/instance",
        "/instance/ssh",
        "/certificate",
        "/engine",
        "/engine/spec",
        "/hooks",
        "/config-json",
    ];
    fixed.into_iter().filter(|at| value.pointer(at).is_some_and(Value::is_object)).map(str::to_owned).collect()
}

fn sample() -> MachineRecord {
    let mut record = MachineRecord::new(
        MachineName::new("web-1").unwrap(),
        Some(FleetName::new("shop").unwrap()),
        "generic",
        [("address".to_owned(), json!("10.0.0.5")), ("tags".to_owned(), json!(["a", {"b": null}]))].into(),
    );
    record.instance = Some(Instance {
        id: "10.0.0.5".to_owned(),
        address: "10.0.0.5".to_owned(),
        ssh: Some(SshEndpoint {
            host: "10.0.0.5".to_owned(),
            port: 22,
            user: "root".to_owned(),
            key: Some("/keys/id".to_owned()),
            passphrase: None,
            jump: None,
        }),
        url: None,
        host_keys: vec!["ssh-ed25519 AAAA".to_owned()],
        jump_keys: Vec::new(),
    });
    record.certificate = Some(CertificateRecord {
        sha256: "ab".to_owned(),
        ca_sha256: "cd".to_owned(),
        names: ["10.0.0.5".to_owned(), "web-1".to_owned()].into(),
        not_after: Timestamp(1_800_000_000),
    });
    record.engine = Some(EngineRecord {
        spec: EngineSpec {
            port: 2376,
            labels: [("tier".to_owned(), "front".to_owned())].into(),
            daemon: json!({"log-opts": {"max-size": "10m"}}).as_object().unwrap().clone(),
            ..EngineSpec::default()
        },
        version: "28.2.2".to_owned(),
        provisioner: "debian".to_owned(),
        os: "Debian GNU/Linux 13".to_owned(),
    });
    record.pending.insert(Part::Engine, Pending::Upgrade);
    record.uid = Uid::of_random([0xab; 16]);
    record.place = Some("generic here".parse().unwrap());
    record
}

#[test]
fn a_record_is_readable() {
    let beside = Beside { config: Some("ef".to_owned()), ..Beside::default() };
    insta::assert_snapshot!(encode(&sample(), &beside, &Unknown::default()), @r#"
    {
      "record": 2,
      "name": "web-1",
      "uid": "abababababababababababababababab",
      "fleet": "shop",
      "driver": "generic",
      "place": "generic here",
      "protect": false,
      "depends-on": [],
      "options": {
        "address": "10.0.0.5",
        "tags": [
          "a",
          {
            "b": null
          }
        ]
      },
      "pending": {
        "engine": "upgrade"
      },
      "instance": {
        "id": "10.0.0.5",
        "address": "10.0.0.5",
        "ssh": {
          "host": "10.0.0.5",
          "port": 22,
          "user": "root",
          "key": "/keys/id",
          "jump": null
        },
        "url": null,
        "host-keys": [
          "ssh-ed25519 AAAA"
        ],
        "jump-keys": []
      },
      "certificate": {
        "sha256": "ab",
        "ca-sha256": "cd",
        "names": [
          "10.0.0.5",
          "web-1"
        ],
        "not-after": "2027-01-15T08:00:00Z"
      },
      "engine": {
        "spec": {
          "version": null,
          "source": "distro",
          "mirror": null,
          "install-url": null,
          "api": "tls",
          "port": 2376,
          "labels": {
            "tier": "front"
          },
          "registry-mirrors": [],
          "insecure-registries": [],
          "env": {},
          "daemon": {
            "log-opts": {
              "max-size": "10m"
            }
          },
          "open-firewall": false
        },
        "version": "28.2.2",
        "provisioner": "debian",
        "os": "Debian GNU/Linux 13"
      },
      "hooks": {
        "spec": {},
        "pending": []
      },
      "config-json": {
        "sha256": "ef",
        "replaces": null
      }
    }
    "#);
}

/// C14c: an intent of a part that this version does not know is kept, and does not hide the rest.
#[test]
fn a_part_that_is_not_known_stays_pending() {
    let text = encode(&sample(), &Beside::default(), &Unknown::default())
        .replace(r#""engine": "upgrade""#, r#""engine": "upgrade", "swarm": { "join": 1 }"#);
    let mut document = decode(&text).unwrap();
    assert_eq!(document.record, sample());
    let unknown = Unknown::of(&text, &document);
    document.record.pending.clear();
    let rewritten: Value = serde_json::from_str(&encode(&document.record, &document.beside, &unknown)).unwrap();
    assert_eq!(rewritten["pending"], json!({ "swarm": { "join": 1 } }));
}

#[test]
fn what_described_another_instance_goes_with_it() {
    let text = encode(&sample(), &Beside::default(), &Unknown::default())
        .replace(r#""id": "#, r#""zone": "eu", "id": "#)
        .replace(r#""protect": "#, r#""quota": 5, "protect": "#);
    let document = decode(&text).unwrap();
    let unknown = Unknown::of(&text, &document);
    let kept = encode(&document.record, &document.beside, &unknown);
    assert!(kept.contains(r#""zone": "eu""#) && kept.contains(r#""quota": 5"#), "{kept}");
    let kept = encode(&document.record, &document.beside, &unknown.without("instance"));
    assert!(!kept.contains("zone") && kept.contains(r#""quota": 5"#), "{kept}");
}

#[test]
fn a_record_without_uid_has_one_that_is_the_same_each_time() {
    let whole = encode(&sample(), &Beside::default(), &Unknown::default());
    let without = whole.replace(&format!("  \"uid\": \"{}\",\n", sample().uid), "");
    assert_ne!(without, whole);
    let read = decode(&without).unwrap().record;
    assert_eq!(read, decode(&without).unwrap().record);
    assert_eq!(read, MachineRecord { uid: Uid::derived(&read.name, "generic", read.instance.as_ref()), ..sample() });
}

#[test]
fn errors_name_the_place() {
    let whole = encode(&sample(), &Beside::default(), &Unknown::default());
    let with = |old: &str, new: &str| {
        assert!(whole.contains(old), "{old}");
        whole.replacen(old, new, 1)
    };
    let hook = r#""spec": { "pre-rm": [{ "name": "a", "run": { "shell": "x" }, "on": "local", "timeout": 1, "as": "root" }] }"#;
    let cases = [
        String::new(),
        "null".to_owned(),
        "{}".to_owned(),
        "{\"record\": 2, \"name\": \"a\"}".to_owned(),
        "{\n  \"record\": 3, \"name\": 7\n}".to_owned(),
        "{\n  \"record\": 1\n}".to_owned(),
        with("\"web-1\"", "\"é/x\""),
        with("\"protect\": false", "\"protect\": 1"),
        with("\"protect\": false", "\"protect\": false, \"protect\": true"),
        with("\"engine\": \"upgrade\"", "\"engine\": \"dance\""),
        with("\"engine\": \"upgrade\"", "\"engine\": \"rm\", \"engine\": \"rm\""),
        with("\"uid\": \"ab", "\"uid\": \"xy"),
        with("generic here", "generic"),
        with("\"port\": 22,", "\"port\": 70000,"),
        with("\"api\": \"tls\"", "\"api\": \"carrier pigeon\""),
        with("\"spec\": {}", hook),
        with("\"spec\": {}", "\"spec\": { \"pre-dawn\": [] }"),
        whole.clone() + "{}",
    ];
    let told: Vec<String> = cases.iter().map(|text| decode(text).unwrap_err().to_string()).collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    line 1, column 1: the file is empty: it was copied half, or written to a full disk
    line 1, column 4: invalid type: null, expected a record
    line 1, column 2: missing field `record`
    line 1, column 26: missing field `driver`
    line 2, column 3: the record is of format 3, and this program reads 2
    line 2, column 3: the record is of format 1, and this program reads 2
    line 3, column 15: `é/x` contains `é`; allowed are 0-9 a-z A-Z . -
    line 8, column 14: invalid type: integer `1`, expected a boolean
    line 8, column 29: duplicate field `protect`
    line 20, column 21: unknown variant `dance`, expected one of `create`, `upgrade`, `rm`
    line 21, column 3: `engine` is pending twice
    line 4, column 43: a uid is 32 lowercase hexadecimal digits
    line 7, column 20: a place is a driver, a blank, and where that makes instances
    line 27, column 19: invalid value: integer `70000`, expected u16
    line 53, column 29: unknown variant `carrier pigeon`, expected `tls` or `ssh`
    line 73, column 98: unknown field `as`, expected one of `name`, `run`, `on`, `timeout`
    line 73, column 24: unknown variant `pre-dawn`, expected one of `pre-rm`, `post-rm`, `pre-create`, `pre-upgrade`, `post-create`, `post-upgrade`
    line 77, column 1: trailing characters
    ");
}

#[test]
fn a_text_cut_anywhere_is_refused_as_such() {
    let whole = encode(&sample(), &Beside::default(), &Unknown::default());
    for end in 1..whole.len() - 2 {
        let refused = decode(&whole[..end]).unwrap_err();
        assert!(refused.why.contains("ends too early"), "{refused}");
    }
}
