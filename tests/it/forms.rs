//! Any fleet that the schema allows is the same fleet in both forms (pain 1: one file, in the form a team likes).
//! What is generated has every key of the schema's parts, which a test holds: a new key must be added here.

use crate::properties::properties;
use machine::fleet::{self, Fleet, Form, Inputs, Source};
use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};
use std::{collections::BTreeSet, fs};

type Any = BoxedStrategy<Json>;

fn of(values: Vec<Json>) -> Any {
    prop::sample::select(values).boxed()
}

/// A mapping with some of the keys.
fn some(keys: Vec<(&'static str, Any)>) -> Any {
    let entries: Vec<_> =
        keys.into_iter().map(|(key, value)| prop::option::of(value.prop_map(move |v| (key, v)))).collect();
    entries
        .prop_map(|found| Json::Object(found.into_iter().flatten().map(|(k, v)| (k.to_owned(), v)).collect()))
        .boxed()
}

/// Mappings laid together.
fn both(a: Any, b: Any) -> Any {
    (a, b)
        .prop_map(|(a, b)| {
            let (Json::Object(mut a), Json::Object(b)) = (a, b) else { return Json::Null };
            a.extend(b);
            Json::Object(a)
        })
        .boxed()
}

fn map_of(key: &'static str, value: Any) -> Any {
    let entries = prop::collection::btree_map(key, value, 0..4);
    entries.prop_map(|m| Json::Object(m.into_iter().collect::<Map<_, _>>())).boxed()
}

fn list(item: Any) -> Any {
    prop::collection::vec(item, 0..4).prop_map(Json::Array).boxed()
}

/// Texts that either form could take for something else.
fn word() -> Any {
    let odd = [
        "", "-", "true", "null", "~", "1", "1.50", "0x1F", "- x", "a: b", "x #y", "// c", "/-", "{", "}", "[a]", "\"",
        "'", "\\", "\\n", "a\nb\n", " a", "é", "\u{2028}", "\t", "$${x}", "${var.a}", "#true", "<<", "yes", "@", "`",
        "=",
    ];
    prop_oneof![of(odd.map(Json::from).to_vec()), "[a-z0-9 .:/-]{1,8}".prop_map(Json::from)].boxed()
}

fn number() -> Any {
    (0..70_000_i64).prop_map(Json::from).boxed()
}

fn flag() -> Any {
    of(vec![json!(true), json!(false)])
}

fn hook(on: &[&str]) -> Any {
    let plain = of(["./dns add", "echo ${HOME} # \"x\"", "a\n  b\n", "true", "1"].map(Json::from).to_vec());
    let words =
        prop::collection::vec(word().prop_filter("nothing is put in", |w| !w.as_str().unwrap().contains('$')), 0..3)
            .prop_map(|rest| Json::Array([json!("./run")].into_iter().chain(rest).collect()));
    let run = prop_oneof![plain, words];
    let rest = some(vec![
        ("on", of(on.iter().map(|on| json!(on)).collect())),
        ("timeout", of(vec![json!("90s"), json!("5m"), json!(30)])),
    ]);
    (run, rest)
        .prop_map(|(run, rest)| {
            let mut hook = Map::from_iter([("run".to_owned(), run)]);
            hook.extend(rest.as_object().unwrap().clone());
            Json::Object(hook)
        })
        .boxed()
}

/// Hooks of one point: one of them with a name.
fn hooks_at(on: &'static [&'static str]) -> Any {
    list(hook(on))
        .prop_map(|mut list| {
            if let Some(first) = list.as_array_mut().unwrap().first_mut() {
                first.as_object_mut().unwrap().insert("name".to_owned(), json!("first"));
            }
            list
        })
        .boxed()
}

fn hook_keys() -> Vec<(&'static str, Any)> {
    const ANY: &[&str] = &["local", "host"];
    const LOCAL: &[&str] = &["local"];
    vec![
        ("pre-create", hooks_at(LOCAL)),
        ("post-create", hooks_at(ANY)),
        ("pre-upgrade", hooks_at(ANY)),
        ("post-upgrade", hooks_at(ANY)),
        ("pre-rm", hooks_at(LOCAL)),
        ("post-rm", hooks_at(LOCAL)),
    ]
}

fn daemon() -> Any {
    let leaf = prop_oneof![word(), number(), flag(), Just(Json::Null)];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![list(inner.clone().boxed()), map_of("(x|-|log-opts|a b|1|true)", inner.boxed())]
    })
    .boxed()
}

/// Keys of an engine that mean something beside each other whatever they are.
fn engine_keys() -> Vec<(&'static str, Any)> {
    let secret =
        of(vec![json!({ "env": "X_TOKEN" }), json!({ "file": "~/.x y" }), json!({ "command": "pass 'x' #1" })]);
    vec![
        ("api", of(vec![json!("tls"), json!("ssh")])),
        ("port", (1..65_536_i64).prop_map(Json::from).boxed()),
        ("labels", map_of("[a-z.-]{1,6}", prop_oneof![word(), number(), flag()].boxed())),
        ("registry-mirrors", list(of(vec![json!("https://a.example"), json!("http://b.example:5000/x")]))),
        ("insecure-registries", list(of(vec![json!("r.example:5000"), json!("10.0.0.0/8")]))),
        (
            "env",
            map_of(
                "X_[A-Z]{1,5}",
                prop_oneof![of(vec![json!("http://p.example:3128"), json!("a b"), json!(1)]), secret].boxed(),
            ),
        ),
        ("daemon", map_of("(x|log-opts|features|dns)", daemon())),
        ("open-firewall", flag()),
    ]
}

/// Where engines come from: keys that go together.
fn sources() -> Vec<Json> {
    vec![
        json!({}),
        json!({ "source": "present" }),
        json!({ "source": "distro", "version": "28.20" }),
        json!({ "source": "docker-ce", "version": 28, "mirror": "https://m.example" }),
        json!({ "source": "script", "install-url": "https://get.example" }),
    ]
}

fn engine() -> Any {
    both(some(engine_keys()), of(sources()))
}

fn common_keys() -> Vec<(&'static str, Any)> {
    vec![
        ("engine", engine()),
        ("protect", flag()),
        ("optional", flag()),
        ("tls-names", list(of(vec![json!("a.example"), json!("10.0.0.1"), json!("*.b.example")]))),
        ("hooks", some(hook_keys())),
    ]
}

fn policy_keys() -> Vec<(&'static str, Any)> {
    let times = || of(vec![json!("45s"), json!("10m"), json!("1h30m")]);
    vec![
        ("parallel", (1..100_i64).prop_map(Json::from).boxed()),
        ("on_error", of(["stop-dependants", "fail-fast", "keep-going"].map(Json::from).to_vec())),
        ("prune", flag()),
        ("max_delete", of(vec![json!(0), json!(5), json!("10%"), json!("1 or 10%")])),
        ("max_unavailable", of(vec![json!(1), json!("25%")])),
        ("renew_before_days", number()),
        ("bastion_sessions", (1..9_i64).prop_map(Json::from).boxed()),
        ("timeouts", some(time_keys().into_iter().map(|key| (key, times())).collect())),
    ]
}

fn time_keys() -> Vec<&'static str> {
    vec!["connect", "boot", "command", "install"]
}

/// What groups and hosts say beside their engines.
fn shared_keys() -> Vec<(&'static str, Any)> {
    let mut keys = common_keys();
    keys.push(("depends_on", of(vec![json!([]), json!(["base"])])));
    keys.push(("driver", of(vec![json!("lab")])));
    keys
}

/// What a group says of an engine stands beside what its hosts say: where it comes from is left to them.
fn group_keys() -> Vec<(&'static str, Any)> {
    let mut keys = shared_keys();
    keys.retain(|(key, _)| *key != "engine");
    keys.push(("engine", some(engine_keys())));
    keys
}

fn host_keys() -> Vec<(&'static str, Any)> {
    let mut keys = shared_keys();
    keys.push(("count", of(vec![json!(0), json!(1), json!(3)])));
    keys.push(("groups", of(vec![json!([]), json!(["eu"]), json!(["1", "eu"])])));
    keys
}

fn fleets() -> Any {
    let host = || prop_oneof![1 => Just(Json::Null).boxed(), 4 => some(host_keys())];
    let hosts = (host(), host()).prop_map(|(web, db)| json!({ "base": {}, "web": web, "db": db }));
    let groups = (some(group_keys()), some(group_keys())).prop_map(|(a, b)| json!({ "eu": a, "1": b }));
    let mut defaults = common_keys();
    defaults.push(("driver", Just(json!("lab")).boxed()));
    let parts = (word(), groups, hosts, some(defaults), some(policy_keys()));
    parts
        .prop_map(|(a, groups, hosts, mut defaults, policy)| {
            // Text of texts: what a variable holds is not looked into.
            let a = if a.as_str().unwrap().contains('$') { json!("a") } else { a };
            defaults["driver"] = json!("lab");
            json!({
                "fleet": "random",
                "vars": { "a": a, "n": 3, "unused": "x" },
                "drivers": { "lab": { "driver": "nspawn", "memory": "1GiB" } },
                "defaults": defaults,
                "groups": groups,
                "hosts": hosts,
                "policy": policy,
            })
        })
        .boxed()
}

fn read(name: &str, text: &str) -> Result<Fleet, TestCaseError> {
    fleet::load(name, text, &Inputs::default(), &machine::driver::Drivers::built_in())
        .map_err(|e| TestCaseError::fail(format!("{text}\n{:?}", miette::Report::new(e))))
}

fn written(name: &str, text: &str, to: Form) -> Result<String, TestCaseError> {
    fleet::convert(&Source::new(name, text), to)
        .map(|done| done.text)
        .map_err(|e| TestCaseError::fail(format!("{text}\n{:?}", miette::Report::new(e))))
}

proptest! {
    #![proptest_config(properties(100))]

    #[test]
    fn any_fleet_is_the_same_in_both_forms(fleet in fleets()) {
        let json = serde_json::to_string_pretty(&fleet).unwrap();
        let want = read("x.yaml", &json)?;
        let kdl = written("x.yaml", &json, Form::Kdl)?;
        prop_assert_eq!(&read("x.kdl", &kdl)?, &want, "{}", kdl);
        let yaml = written("x.kdl", &kdl, Form::Yaml)?;
        prop_assert_eq!(&read("x.yaml", &yaml)?, &want, "{}", yaml);
        prop_assert_eq!(&written("x.yaml", &yaml, Form::Kdl)?, &kdl);
        for (name, text) in [("x.yaml", &yaml), ("x.kdl", &kdl)] {
            prop_assert_eq!(&fleet::format(name, text).unwrap(), text);
        }
    }
}

#[test]
fn every_key_of_the_schema_is_generated() {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/schema/fleet.schema.json")).unwrap();
    let schema: Json = serde_json::from_str(&text).unwrap();
    let names = |keys: Vec<(&'static str, Any)>| keys.into_iter().map(|(key, _)| key).collect::<Vec<_>>();
    let mut engine = names(engine_keys());
    engine.extend(["source", "version", "mirror", "install-url"]);
    let mut defaults = names(common_keys());
    defaults.push("driver");
    for (part, keys) in [
        ("engine", engine),
        ("hooks", names(hook_keys())),
        ("hook", vec!["name", "run", "on", "timeout"]),
        ("policy", names(policy_keys())),
        ("timeouts", time_keys()),
        ("defaults", defaults),
        ("group", names(group_keys())),
        ("host", names(host_keys())),
    ] {
        let properties = schema["$defs"][part]["properties"].as_object().unwrap_or_else(|| panic!("{part}"));
        // Options of drivers stand among those of hosts and groups; they are texts like any other.
        let options =
            |key: &str| matches!(part, "host" | "group") && machine::driver::Drivers::built_in().have_option(key);
        let want: BTreeSet<&str> = properties.keys().map(String::as_str).filter(|key| !options(key)).collect();
        assert_eq!(keys.into_iter().collect::<BTreeSet<_>>(), want, "{part}");
    }
}
