//! Every fleet in `examples/fleets` loads, is what its comments say, and pleases the schema.

use machine::fleet::{self, Fleet, Inputs};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

const EDITOR_LINE: &str = "# yaml-language-server: $schema=../../schema/fleet.schema.json";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn examples() -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = fs::read_dir(root().join("examples/fleets"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .map(|path| (name(&path), fs::read_to_string(&path).unwrap()))
        .collect();
    all.sort();
    assert!(!all.is_empty());
    all
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

fn example(file: &str) -> String {
    fs::read_to_string(root().join("examples/fleets").join(file)).unwrap()
}

fn inputs() -> Inputs {
    Inputs { env: BTreeMap::from([("HOME".to_owned(), "/home/ada".to_owned())]), ..Inputs::default() }
}

#[track_caller]
fn load(file: &str, text: &str) -> Fleet {
    match fleet::load(file, text, &inputs(), &machine::driver::Drivers::built_in()) {
        Ok(fleet) => fleet,
        Err(problems) => panic!("{:?}", miette::Report::new(problems)),
    }
}

fn hosts(fleet: &Fleet) -> Vec<&str> {
    fleet.hosts.keys().map(machine::name::MachineName::as_str).collect()
}

#[test]
fn every_example_loads_and_pleases_the_schema() {
    let schema = fleet::schema(&machine::driver::Drivers::built_in());
    jsonschema::meta::validate(&schema).expect("the schema is a schema");
    let validator = jsonschema::validator_for(&schema).unwrap();
    for (file, text) in examples() {
        assert_eq!(text.lines().next(), Some(EDITOR_LINE), "{file}");
        let fleet = load(&file, &text);
        assert_eq!(fleet.name.as_str(), file.trim_end_matches(".yaml"), "{file}: the fleet is named as its file");
        let value: Value = serde_yaml::from_str(&text).unwrap();
        let errors: Vec<String> =
            validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert_eq!(errors, [""; 0], "{file}");
    }
}

#[test]
fn every_example_is_formatted() {
    for (file, text) in examples() {
        assert_eq!(fleet::format(&file, &text).unwrap(), text, "{file}: run `machine fmt`");
    }
}

#[test]
fn the_schema_refuses_what_an_editor_should_underline() {
    let validator = jsonschema::validator_for(&fleet::schema(&machine::driver::Drivers::built_in())).unwrap();
    for (text, why) in [
        ("hosts: { web: { driver: nspawn, imge: x } }", "an option no driver has"),
        ("hosts: { web: { driver: nspawn, ip: 192.0.2.1 } }", "an option of another driver"),
        ("hosts: { web: { driver: generic, ssh-port: 70000 } }", "a port too high"),
        ("hosts: { web: { depends-on: [db] } }", "another spelling"),
        ("hosts: { web: { memory: lots } }", "no size"),
        ("drivers: { a: { driver: vmwarefusion } }\nhosts: {}", "a driver that is not there"),
        ("drivers: { a: { image: x } }\nhosts: {}", "a configuration without a driver"),
        ("hosts: []", "a list of hosts"),
        ("fleet: x", "no hosts"),
        ("hosts: {}\npolicy: { on_error: never }", "no such choice"),
        ("hosts: {}\ndefaults: { engine: { port: 0 } }", "no port"),
    ] {
        let value: Value = serde_yaml::from_str(text).unwrap();
        assert!(!validator.is_valid(&value), "{why}: {text}");
    }
    for text in [
        "hosts: { web: }",
        "hosts: { web: { driver: shared, memory: 512MiB, ip: '${var.ip}' } }",
        "defaults: { engine: { version: 28.2, source: '${var.s}', port: '${var.p}', labels: { n: 1, t: true } } }\nhosts: {}",
        "vars:\npolicy:\nhosts: { web: { count: '${env.COUNT}', engine: } }",
    ] {
        let value: Value = serde_yaml::from_str(text).unwrap();
        let errors: Vec<String> = validator.iter_errors(&value).map(|e| e.to_string()).collect();
        assert_eq!(errors, [""; 0], "{text}");
    }
}

#[test]
fn the_committed_schema_is_current() {
    let path = root().join("schema/fleet.schema.json");
    let want = serde_json::to_string_pretty(&fleet::schema(&machine::driver::Drivers::built_in())).unwrap() + "\n";
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        #[expect(clippy::disallowed_methods, reason = "a file of the repository, on request of its author")]
        fs::write(&path, &want).unwrap();
    }
    let have = fs::read_to_string(&path).unwrap_or_default();
    assert!(have == want, "schema/fleet.schema.json is not current: run `UPDATE_SCHEMA=1 cargo test --test fleets`");
}

#[test]
fn the_quickstart_is_three_hosts() {
    let fleet = load("quickstart.yaml", &example("quickstart.yaml"));
    assert_eq!(hosts(&fleet), ["db", "web-1", "web-2"]);
    insta::assert_debug_snapshot!(fleet);
}

#[test]
fn groups_become_their_members() {
    let fleet = load("groups.yaml", &example("groups.yaml"));
    insta::assert_debug_snapshot!(
        fleet.hosts.iter().map(|(name, h)| (name.as_str(), &h.depends_on)).collect::<Vec<_>>()
    );
}

#[test]
fn variables_are_put_in() {
    let text = example("variables.yaml");
    let fleet = load("variables.yaml", &text);
    insta::assert_debug_snapshot!(fleet);
    let mut given = inputs();
    given.vars.insert("size".to_owned(), "4GiB".to_owned());
    let other = fleet::load("variables.yaml", &text, &given, &machine::driver::Drivers::built_in()).unwrap();
    let sizes: BTreeSet<String> =
        other.hosts.values().filter_map(|h| h.options.get("memory")).map(ToString::to_string).collect();
    assert_eq!(sizes, BTreeSet::from([(4_u64 << 30).to_string()]), "the command line overrides the file");
}

/// Comparing texts is what would take time in the square of a file (how long loading takes is in `benches/`).
#[test]
fn a_large_fleet_that_is_wrong_throughout_is_told_all_of_it_and_suggested_some() {
    let hosts = (0..1_000).map(|n| format!("  web-{n}: {{ ipp: 10.0.0.1, depends_on: [wed-{n}] }}"));
    let text =
        format!("fleet: large\ndefaults: {{ driver: generic }}\nhosts:\n{}", hosts.collect::<Vec<_>>().join("\n"));
    let problems =
        fleet::load("large.yaml", &text, &Inputs::default(), &machine::driver::Drivers::built_in()).unwrap_err();
    assert_eq!(problems.problems().len(), 2_000, "an unknown option and an unknown host each");
    let suggested = |p: &&fleet::Problem| p.help.as_ref().is_some_and(|help| help.starts_with("did you mean"));
    assert_eq!(problems.problems().iter().filter(suggested).count(), 50);
}
