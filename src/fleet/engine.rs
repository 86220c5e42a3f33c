//! What a fleet says about an engine: defaults and a host's own, merged, checked, with nothing left open.

use super::{
    node::Node,
    problem::{Code, Problem, Problems},
    raw::RawEngine,
    variable::RawVariable,
};
use crate::engine::{EngineSpec, Source, Variable, env, spec::TLS_PORT};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, net::IpAddr};

/// Keys of daemon.json that a fleet sets otherwise, and how.
const DAEMON_KEYS: &[(&str, &str)] = &[
    ("hosts", "api"),
    ("tls", "api"),
    ("tlsverify", "api"),
    ("tlscacert", "api"),
    ("tlscert", "api"),
    ("tlskey", "api"),
    ("labels", "labels"),
    ("registry-mirrors", "registry-mirrors"),
    ("insecure-registries", "insecure-registries"),
];

/// The engine as both say it; the host's word counts more.
pub(super) fn merge(defaults: &RawEngine, own: &RawEngine) -> RawEngine {
    let RawEngine {
        version,
        source,
        mirror,
        install_url,
        api,
        port,
        labels,
        registry_mirrors,
        insecure_registries,
        env,
        daemon,
        open_firewall,
    } = own.clone();
    let mut all_labels: BTreeMap<_, _> = defaults.labels.clone();
    all_labels.extend(labels);
    let mut whole_env = defaults.env.clone();
    whole_env.extend(env);
    let mut whole_daemon = defaults.daemon.clone();
    merge_daemon(&mut whole_daemon, daemon);
    RawEngine {
        version: version.or_else(|| defaults.version.clone()),
        source: source.or(defaults.source),
        mirror: mirror.or_else(|| defaults.mirror.clone()),
        install_url: install_url.or_else(|| defaults.install_url.clone()),
        api: api.or(defaults.api),
        port: port.or(defaults.port),
        labels: all_labels,
        registry_mirrors: registry_mirrors.or_else(|| defaults.registry_mirrors.clone()),
        insecure_registries: insecure_registries.or_else(|| defaults.insecure_registries.clone()),
        env: whole_env,
        daemon: whole_daemon,
        open_firewall: open_firewall.or(defaults.open_firewall),
    }
}

fn merge_daemon(into: &mut Map<String, Value>, from: Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Object(old)), Value::Object(new)) => merge_daemon(old, new),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// The engine with every default filled in.
pub(super) fn complete(raw: RawEngine) -> EngineSpec {
    let source = raw.source.unwrap_or_default();
    EngineSpec {
        // What `defaults` say for hosts of one source says nothing about hosts of another.
        version: raw.version.filter(|_| has_versions(source)),
        source,
        mirror: raw.mirror.filter(|_| source == Source::DockerCe),
        install_url: raw.install_url.filter(|_| source == Source::Script),
        api: raw.api.unwrap_or_default(),
        port: raw.port.map_or(TLS_PORT, Into::into),
        labels: raw.labels,
        registry_mirrors: raw.registry_mirrors.unwrap_or_default(),
        insecure_registries: raw.insecure_registries.unwrap_or_default(),
        env: raw.env.into_iter().map(|(name, raw)| (name, raw.0)).collect(),
        daemon: raw.daemon,
        open_firewall: raw.open_firewall.unwrap_or_default(),
    }
}

/// Whether a version can be chosen there.
fn has_versions(source: Source) -> bool {
    match source {
        Source::DockerCe | Source::Distro => true,
        Source::Script | Source::Present => false,
    }
}

/// Finds what types cannot express about where an engine comes from; `whole` has what `defaults` add.
fn check_source(raw: &RawEngine, whole: &RawEngine, node: &Node, problems: &mut Problems) {
    let place = |key: &str| node.entry(key).map_or(node.at, |e| e.node.at);
    let source = whole.source.unwrap_or_default();
    if let Some(url) = &raw.install_url {
        if !is_url(url) {
            problems.push(not_a_url("install-url").at(place("install-url"), "not a URL"));
        }
        if source != Source::Script {
            let problem = Problem::new(Code::NoEffect, "`install-url` has no effect without `source: script`")
                .at(place("install-url"), "where a script would come from")
                .help("add `source: script`, or take it out");
            problems.push(problem);
        }
    }
    if source == Source::Script && whole.install_url.is_none() {
        let problem = Problem::new(Code::MissingKey, "`source: script` needs `install-url`")
            .at(place("source"), "which script?")
            .help("write `install-url: https://get.docker.com`, or the URL of another script that installs an engine");
        problems.push(problem);
    }
    if raw.version.is_some() && !has_versions(source) {
        let word = if source == Source::Script { "script" } else { "present" };
        let problem = Problem::new(Code::NoEffect, format!("`version` has no effect with `source: {word}`"))
            .at(place("version"), "nothing here can choose a version")
            .help("take it out, or choose from packages with `source: distro` or `source: docker-ce`");
        problems.push(problem);
    }
}

/// Finds what types cannot express in one `engine` as written; `whole` has what `defaults` add.
pub(super) fn check(raw: &RawEngine, whole: &RawEngine, node: &Node, problems: &mut Problems) {
    let place = |key: &str| node.entry(key).map_or(node.at, |e| e.node.at);
    let source = whole.source;
    check_source(raw, whole, node, problems);
    if let Some(mirror) = &raw.mirror {
        if !is_url(mirror) {
            problems.push(not_a_url("mirror").at(place("mirror"), "not a URL"));
        }
        if source.unwrap_or_default() != Source::DockerCe {
            let problem = Problem::new(Code::NoEffect, "`mirror` has no effect without `source: docker-ce`")
                .at(place("mirror"), "a mirror of Docker's own packages")
                .help("add `source: docker-ce`; packages of the distribution come from where the host is set up to take them");
            problems.push(problem);
        }
    }
    for (item, url) in node.entry("registry-mirrors").iter().flat_map(|e| e.node.texts()) {
        if !is_url(url) {
            problems.push(not_a_url("registry-mirrors").at(item.at, "not a URL"));
        }
    }
    for (item, registry) in node.entry("insecure-registries").iter().flat_map(|e| e.node.texts()) {
        if registry.is_empty() || registry.contains("://") || registry.contains(char::is_whitespace) {
            let problem = Problem::new(Code::BadValue, "`insecure-registries` must name registries, not URLs")
                .at(item.at, "not a registry")
                .help("write `registry.example.org:5000` or `10.0.0.0/8`");
            problems.push(problem);
        }
    }
    for entry in node.entry("labels").map(|e| e.node.entries()).unwrap_or_default() {
        if entry.key.is_empty() || entry.key.contains(|c: char| c == '=' || c.is_whitespace()) {
            let problem = Problem::new(Code::BadValue, format!("`{}` cannot be the name of a label", entry.key))
                .at(entry.key_at, "empty, or with `=` or a blank")
                .help("write `labels: { name: value }`");
            problems.push(problem);
        }
    }
    for entry in node.entry("env").map(|e| e.node.entries()).unwrap_or_default() {
        let value = match raw.env.get(&entry.key) {
            Some(RawVariable(Variable::Plain(value))) => value,
            _ => "",
        };
        if let Some(why) = env::problem(&entry.key, value) {
            let problem = Problem::new(Code::BadValue, why)
                .at(entry.key_at, "a variable of dockerd's environment")
                .help("write `env: { HTTPS_PROXY: http://proxy.example.org:3128 }`");
            problems.push(problem);
        }
    }
    for entry in node.entry("daemon").map(|e| e.node.entries()).unwrap_or_default() {
        if let Some((key, instead)) = DAEMON_KEYS.iter().find(|(key, _)| *key == entry.key) {
            let problem = Problem::new(Code::DaemonKey, format!("`{key}` of daemon.json is not set under `daemon`"))
                .at(entry.key_at, "the fleet has a key of its own for this")
                .help(format!("use `engine.{instead}`"));
            problems.push(problem);
        }
    }
}

fn not_a_url(key: &str) -> Problem {
    Problem::new(Code::BadValue, format!("`{key}` must be a URL"))
        .help("write it with its scheme, as `https://mirror.example.org`")
}

fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let visible = text.chars().all(|c| c.is_ascii_graphic() && !"\"'`<>\\".contains(c));
    visible && rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '['))
}

/// Whether a certificate can hold it: an address, or a hostname whose first label may be `*`.
pub(super) fn is_tls_name(name: &str) -> bool {
    let label = |l: &str| {
        !l.is_empty()
            && l.len() < 64
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let host = name.strip_prefix("*.").unwrap_or(name);
    name.parse::<IpAddr>().is_ok() || (name.len() < 254 && host.split('.').all(label))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(map) = value else { panic!("{value}") };
        map
    }

    #[test]
    fn mappings_merge_deeply_and_lists_replace() {
        let defaults = RawEngine {
            labels: BTreeMap::from([("a".into(), "1".into()), ("b".into(), "1".into())]),
            registry_mirrors: Some(vec!["https://one".into()]),
            daemon: object(json!({"log-opts": {"max-size": "10m", "max-file": "3"}, "dns": ["1.1.1.1"]})),
            ..RawEngine::default()
        };
        let own = RawEngine {
            labels: BTreeMap::from([("b".into(), "2".into())]),
            registry_mirrors: Some(vec![]),
            daemon: object(json!({"log-opts": {"max-file": "5"}, "dns": ["9.9.9.9"]})),
            ..RawEngine::default()
        };
        let both = complete(merge(&defaults, &own));
        assert_eq!(json!(both.labels), json!({"a": "1", "b": "2"}));
        assert!(both.registry_mirrors.is_empty(), "an empty list is a list");
        assert_eq!(
            Value::Object(both.daemon),
            json!({"log-opts": {"max-size": "10m", "max-file": "5"}, "dns": ["9.9.9.9"]})
        );
        assert_eq!(both.port, TLS_PORT);
    }

    #[test]
    fn certificate_names_are_hostnames_or_addresses() {
        for good in ["db", "db.example.org", "*.example.org", "192.0.2.1", "2001:db8::1"] {
            assert!(is_tls_name(good), "{good}");
        }
        for bad in ["", ".", "a..b", "-a", "a b", "*", "a/b", "http://a", "x\n"] {
            assert!(!is_tls_name(bad), "{bad}");
        }
    }

    #[test]
    fn urls_have_a_scheme_and_no_surprises() {
        for good in ["https://mirror.example.org", "http://10.0.0.1:5000/x?y=1", "https://[::1]/"] {
            assert!(is_url(good), "{good}");
        }
        for bad in ["", "mirror", "ftp://x", "https://", "https:// x", "https://x y", "https://x'\n"] {
            assert!(!is_url(bad), "{bad}");
        }
    }
}
