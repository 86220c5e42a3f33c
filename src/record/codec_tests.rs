use super::*;
use crate::properties::properties;
use crate::{
    engine::{Api, Source},
    hook::{Command, Hook, HookRecord, Hooks, On, Point},
};
use proptest::prelude::*;
use serde_json::json;

/// Texts as unpleasant as they come: quotes, escapes, KDL's own words, what it forbids unescaped.
fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-z0-9-]{0,8}",
        prop::sample::select(vec![
            "",
            "-",
            "true",
            "#true",
            "null",
            "inf",
            "nan",
            "\"",
            "\\",
            "\\u{41}",
            "{",
            "}",
            ";",
            "//x",
            "/*",
            "/-a",
            "\u{feff}",
            "\u{202e}x",
            "\u{85}",
            "\u{2028}",
            "\u{7f}",
            "\0",
            "\r\n",
            "\"\"\"",
            "#\"a\"#",
            "(list)",
            "1",
            "a b",
            "é",
            "record",
        ])
        .prop_map(str::to_owned),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no NaN", |f| f.is_finite()).prop_map(Value::from),
        hostile().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((hostile(), inner), 0..4).prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

// Boxed, as all that is large: a strategy on the stack is copied many times over in a build without optimisation.
fn secret() -> BoxedStrategy<Secret> {
    let text = || hostile().prop_map(|text| text.replace('\0', "") + "x");
    prop_oneof![
        "[A-Z_]{1,8}".prop_map(Secret::Env),
        text().prop_map(Secret::File),
        text().prop_map(|line| Secret::from_json(&json!({ "command": line })).unwrap()),
        prop::collection::vec(text(), 1..3).prop_map(|words| Secret::from_json(&json!({ "command": words })).unwrap()),
    ]
    .boxed()
}

fn name() -> impl Strategy<Value = MachineName> {
    "[a-zA-Z0-9][a-zA-Z0-9.-]{0,20}".prop_map(|n| MachineName::new(n).unwrap())
}

fn instance() -> impl Strategy<Value = Instance> {
    let passphrase = prop::option::of(secret());
    let ssh =
        (hostile(), any::<u16>(), hostile(), prop::option::of(hostile()), passphrase, prop::option::of(hostile()))
            .prop_map(|(host, port, user, key, passphrase, jump)| SshEndpoint {
                host,
                port,
                user,
                key,
                passphrase,
                jump,
            })
            .boxed();
    (
        hostile(),
        hostile(),
        prop::option::of(ssh),
        prop::option::of(hostile()),
        prop::collection::vec(hostile(), 0..3),
        prop::collection::vec(hostile(), 0..2),
    )
        .prop_map(|(id, address, ssh, url, host_keys, jump_keys)| Instance {
            id,
            address,
            ssh,
            url,
            host_keys,
            jump_keys,
        })
}

fn certificate() -> impl Strategy<Value = CertificateRecord> {
    (hostile(), hostile(), prop::collection::btree_set(hostile(), 0..4), 0..200_000_000_000_i64).prop_map(
        |(sha256, ca_sha256, names, at)| CertificateRecord { sha256, ca_sha256, names, not_after: Timestamp(at) },
    )
}

fn engine() -> impl Strategy<Value = EngineRecord> {
    let spec = (
        prop::option::of("[0-9]{1,2}(\\.[0-9]{1,2}){0,2}"),
        (
            prop::sample::select(vec![Source::DockerCe, Source::Distro, Source::Script, Source::Present]),
            any::<(bool, bool, u16)>(),
        ),
        (prop::option::of(hostile()), prop::option::of(hostile())),
        (
            prop::collection::btree_map(hostile(), hostile(), 0..3),
            prop::collection::btree_map(
                hostile(),
                prop_oneof![hostile().prop_map(Variable::from), secret().prop_map(Variable::from)].boxed(),
                0..3,
            ),
        ),
        prop::collection::vec(hostile(), 0..3),
        prop::collection::vec(hostile(), 0..3),
        prop::collection::vec((hostile(), value()), 0..3),
    )
        .prop_map(
            |(
                version,
                (source, (ssh, open, port)),
                (mirror, install_url),
                (labels, env),
                mirrors,
                insecure,
                daemon,
            )| EngineSpec {
                version: version.map(|v| v.parse().unwrap()),
                source,
                mirror,
                install_url,
                api: if ssh { Api::Ssh } else { Api::Tls },
                port,
                labels,
                registry_mirrors: mirrors,
                insecure_registries: insecure,
                env,
                daemon: daemon.into_iter().collect(),
                open_firewall: open,
            },
        )
        .boxed();
    (spec, hostile(), hostile(), hostile()).prop_map(|(spec, version, provisioner, os)| EngineRecord {
        spec,
        version,
        provisioner,
        os,
    })
}

fn hooks() -> impl Strategy<Value = HookRecord> {
    let point = || prop::sample::select(Point::ALL.to_vec());
    let run = prop_oneof![
        hostile().prop_map(Command::Shell),
        prop::collection::vec(hostile(), 0..3).prop_map(Command::Program),
    ];
    let hook = (hostile(), run, any::<bool>(), any::<u64>()).prop_map(|(name, run, host, timeout)| Hook {
        name,
        run,
        on: if host { On::Host } else { On::Local },
        timeout,
    });
    let spec = prop::collection::btree_map(point(), prop::collection::vec(hook, 1..3), 0..3).prop_map(Hooks);
    (spec, prop::collection::vec((point(), hostile()), 0..3)).prop_map(|(spec, pending)| HookRecord { spec, pending })
}

/// Any record whatever.
pub(crate) fn record() -> impl Strategy<Value = MachineRecord> {
    let part = prop::sample::select(Part::ALL.to_vec());
    let pending = prop::sample::select(vec![Pending::Create, Pending::Upgrade, Pending::Rm]);
    (
        (name(), prop::option::of("[a-z]{1,8}"), hostile()),
        prop::collection::btree_map(hostile(), value(), 0..4),
        (prop::collection::btree_set(name(), 0..3), any::<bool>()),
        (prop::option::of(instance().boxed()), prop::option::of(certificate()), prop::option::of(engine().boxed())),
        (prop::collection::btree_map(part, pending, 0..3), hooks()),
    )
        .prop_map(
            |(
                (name, fleet, driver),
                options,
                (depends_on, protect),
                (instance, certificate, engine),
                (pending, hooks),
            )| {
                MachineRecord {
                    name,
                    fleet: fleet.map(|f| FleetName::new(f).unwrap()),
                    driver,
                    options,
                    depends_on,
                    protect,
                    instance,
                    certificate,
                    engine,
                    pending,
                    hooks,
                }
            },
        )
}

proptest! {
    #![proptest_config(properties(96))]
    /// The law: what is written is read back, exactly, and written in the same form again.
    #[test]
    fn a_record_reads_back(record in record(), digests in any::<(Option<u32>, Option<u32>)>()) {
        let config = ConfigDigest { current: digests.0.map(|d| d.to_string()), replaces: digests.1.map(|d| d.to_string()) };
        let text = encode(&record, &config, &Unknown::default());
        let back = decode(&text).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
        prop_assert_eq!(&back.record, &record, "{}", text);
        prop_assert_eq!(&back.config, &config);
        prop_assert_eq!(encode(&back.record, &back.config, &back.unknown), text);
    }
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
    record
}

#[test]
fn a_record_is_readable() {
    let config = ConfigDigest { current: Some("ef".to_owned()), replaces: None };
    let want = r#"// What `machine` knows about one machine. Written by the program; edit it only while nothing runs.
record 1
name "web-1"
fleet "shop"
driver "generic"
options {
  address "10.0.0.5"
  (list)tags {
    - "a"
    (map)- {
      b #null
    }
  }
}
pending {
  engine "upgrade"
}
instance {
  id "10.0.0.5"
  address "10.0.0.5"
  ssh {
    host "10.0.0.5"
    port 22
    user "root"
    key "/keys/id"
  }
  host-key "ssh-ed25519 AAAA"
}
certificate {
  sha256 "ab"
  ca-sha256 "cd"
  names "10.0.0.5" "web-1"
  not-after "2027-01-15T08:00:00Z"
}
engine {
  version "28.2.2"
  provisioner "debian"
  os "Debian GNU/Linux 13"
  spec {
    source "distro"
    api "tls"
    port 2376
    open-firewall #false
    labels {
      tier "front"
    }
    daemon {
      (map)log-opts {
        max-size "10m"
      }
    }
  }
}
config-json {
  sha256 "ef"
}
"#;
    assert_eq!(encode(&sample(), &config, &Unknown::default()), want);
}

#[test]
fn what_a_newer_version_wrote_survives_a_rewrite() {
    let text = encode(&sample(), &ConfigDigest::default(), &Unknown::default())
        .replace("port 22\n", "port 22\n    agent \"on\" // why\n")
        .replace("  id ", "  zone region=\"eu\" {\n    rack 7\n  }\n  id ")
        + "quota 5 unit=\"GiB\" {\n  // a remark\n  soft #true\n}\n";
    let mut document = decode(&text).unwrap();
    document.record.protect = true;
    let rewritten = encode(&document.record, &document.config, &document.unknown);
    for kept in ["agent \"on\"", "zone region=\"eu\"", "rack 7", "quota 5 unit=\"GiB\"", "soft #true", "protect #true"]
    {
        assert!(rewritten.contains(kept), "{kept} is lost in\n{rewritten}");
    }
    let again = decode(&rewritten).unwrap();
    assert_eq!(again.record, document.record);
    assert_eq!(encode(&again.record, &again.config, &again.unknown), rewritten);
}

#[track_caller]
fn refused(text: &str, why: &str) {
    assert_eq!(decode(text).unwrap_err().to_string(), why);
}

#[test]
fn errors_name_the_place() {
    refused("", "line 1, column 1: `record` is missing");
    refused("record 1\nname \"a\"\n", "line 1, column 1: `driver` is missing");
    refused("record 2\nname \"a\"\n", "line 1, column 1: the record is of format 2, this program reads up to 1");
    refused("record 1\n// é\n  name \"../x\"", "line 3, column 3: `../x` contains `/`; allowed are 0-9 a-z A-Z . -");
    refused("record 1\nname \"a\"; name \"b\"", "line 2, column 11: `name` is there twice");
    refused("record 1\nprotect 1", "line 2, column 1: `protect` must be #true or #false");
    refused("record 1\ninstance {\n  id \"x\"\n}", "line 2, column 1: `instance` lacks `address`");
    refused(
        "record 1\npending {\n  hull \"rm\"\n}",
        "line 3, column 3: unknown variant `hull`, expected one of `remains`, `instance`, `certificate`, `engine`",
    );
    let cut = encode(&sample(), &ConfigDigest::default(), &Unknown::default());
    let error = decode(&cut[..cut.len() / 2]).unwrap_err();
    assert!(error.line > 1, "{error}");
}

#[test]
fn a_text_cut_anywhere_is_refused_or_lacks_only_its_end() {
    let whole = encode(&sample(), &ConfigDigest::default(), &Unknown::default());
    for end in (0..whole.len()).step_by(7) {
        // Must not panic; what still parses must at least be of this machine.
        if let Ok(document) = decode(&whole[..end]) {
            assert_eq!(document.record.name.as_str(), "web-1");
        }
    }
}
