//! Any record whatever, for property tests.

use super::{CertificateRecord, EngineRecord, Instance, MachineRecord, Part, Pending, SshEndpoint, Uid};
use crate::{
    clock::Timestamp,
    engine::{Api, EngineSpec, Source, Variable},
    hook::{Command, Hook, HookRecord, Hooks, On, Point},
    name::{FleetName, MachineName},
    secret::Secret,
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Texts as unpleasant as they come: quotes, escapes, words of languages, paths that mean a folder.
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
            "./id",
            "././id",
            "/store/machines/a/id",
        ])
        .prop_map(str::to_owned),
    ]
}

pub(super) fn value() -> impl Strategy<Value = Value> {
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
        (
            name(),
            any::<[u8; 16]>(),
            prop::option::of("[a-z]{1,8}"),
            hostile(),
            prop::option::of("[a-z]{1,8} [ -~]{1,20}"),
        ),
        prop::collection::btree_map(hostile(), value(), 0..4),
        (prop::collection::btree_set(name(), 0..3), any::<bool>()),
        (prop::option::of(instance().boxed()), prop::option::of(certificate()), prop::option::of(engine().boxed())),
        (prop::collection::btree_map(part, pending, 0..3), hooks()),
    )
        .prop_map(
            |(
                (name, uid, fleet, driver, place),
                options,
                (depends_on, protect),
                (instance, certificate, engine),
                (pending, hooks),
            )| {
                MachineRecord {
                    name,
                    uid: Uid::of_random(uid),
                    fleet: fleet.map(|f| FleetName::new(f).unwrap()),
                    driver,
                    place: place.map(|place| place.parse().unwrap()),
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
