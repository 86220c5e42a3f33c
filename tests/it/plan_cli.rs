//! Plans from the command line: saved ones, parts of a fleet, forms for programs and reviewers, and how each run
//! ends. The machines are of driver `none`: nothing is made.

#![expect(clippy::disallowed_methods, reason = "the test runs the program and writes its input files")]

use serde_json::Value;
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Command, Stdio},
};

struct Home(tempfile::TempDir);

/// How a run ended: exit code, standard output, standard error.
type Ran = (i32, String, String);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    fn fleet(&self, text: &str) -> String {
        self.write("fleet.yaml", text)
    }

    fn run(&self, args: &[&str]) -> Ran {
        let out = Command::new(env!("CARGO_BIN_EXE_machine"))
            .args(args)
            .env_clear()
            .env("HOME", self.0.path())
            .env("MACHINE_STORAGE_PATH", self.0.path().join("store"))
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (out.status.code().unwrap(), text(out.stdout), text(out.stderr))
    }

    /// Output of a run that ends well and says nothing on standard error.
    fn ok(&self, args: &[&str]) -> String {
        let (code, out, err) = self.run(args);
        assert_eq!((code, err.as_str()), (0, ""), "{args:?}: {out}");
        out
    }

    fn saved(&self, args: &[&str]) -> String {
        let path = self.path("plan.json");
        let (code, out, err) = self.run(&[&["plan", "--out", &path], args].concat());
        assert_eq!(code, 0, "{out}{err}");
        assert!(err.starts_with("Saved.") && err.contains("apply"), "{err}");
        path
    }

    fn names(&self) -> String {
        self.run(&["ls", "-q"]).1
    }
}

const THREE: &str = "fleet: shop\ndefaults: { driver: none }\nhosts:\n  a: { url: 'tcp://192.0.2.1:2376' }\n  \
                     b: { url: 'tcp://192.0.2.2:2376', depends_on: [a] }\n  c: { url: 'tcp://192.0.2.3:2376' }\n";

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn committed(name: &str) -> Value {
    json(&fs::read_to_string(root().join("schema").join(name)).unwrap())
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn is_valid(schema: &Value, value: &Value) {
    let validator = jsonschema::validator_for(schema).unwrap();
    let wrong: Vec<String> = validator.iter_errors(value).map(|e| e.to_string()).collect();
    assert_eq!(wrong, Vec::<String>::new(), "{value:#}");
}

/// The answer of a command, checked against the published schema.
fn answered(command: &str, text: &str) -> Value {
    let all = committed("output.schema.json");
    let value = json(text);
    assert_eq!(value["version"], 1, "{command}");
    let defs = all["$defs"].clone();
    assert!(!defs[command].is_null(), "no schema for `{command}`");
    is_valid(&serde_json::json!({ "$ref": format!("#/$defs/{command}"), "$defs": defs }), &value);
    value
}

#[test]
fn the_committed_schemas_are_current() {
    let home = Home::new();
    for form in ["plan", "output"] {
        let want = home.ok(&["schema", form]);
        let path = root().join(format!("schema/{form}.schema.json"));
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            fs::write(&path, &want).unwrap();
        }
        assert!(
            fs::read_to_string(&path).unwrap() == want,
            "{} is not current: run `UPDATE_SCHEMA=1 cargo test --test plan_cli`",
            path.display()
        );
        jsonschema::meta::validate(&json(&want)).expect("the schema is a schema");
    }
}

/// Pain 7: exactly that plan, once.
#[test]
fn a_saved_plan_is_applied_once() {
    let home = Home::new();
    let file = home.fleet(THREE);
    let plan = home.saved(&[&file]);
    assert_eq!(fs::metadata(&plan).unwrap().permissions().mode() & 0o777, 0o600);
    let document = json(&fs::read_to_string(&plan).unwrap());
    is_valid(&committed("plan.schema.json"), &document);
    assert_eq!(json(&home.ok(&["plan", "--json", &plan])), document, "it is shown as it is");
    assert_eq!(home.ok(&["plan", &plan]), home.ok(&["plan", &file]));
    let (code, _, err) = home.run(&["apply", &plan]);
    assert_eq!(code, 6, "pain 27: nothing is asked without a terminal: {err}");
    assert_eq!(home.names(), "");
    let (code, out, _) = home.run(&["apply", "--yes", &plan]);
    assert_eq!((code, home.names().as_str()), (0, "a\nb\nc\n"), "{out}");
    for _ in 0..2 {
        let out = home.ok(&["apply", "--yes", &plan]);
        assert!(out.starts_with("Nothing to do: ") && out.contains("was applied at"), "{out}");
    }
    // Not even when all of it is gone: to make it again, one plans again.
    assert_eq!(home.run(&["destroy", "--yes", &file]).0, 0);
    assert!(home.ok(&["apply", "--yes", &plan]).starts_with("Nothing to do"));
    assert_eq!(json(&home.ok(&["apply", "--yes", "--json", &plan]))["event"], "already-applied");
    assert_eq!(home.names(), "");
}

/// Two plans that say the same are two plans, also within a second: what was undone can be done again.
#[test]
fn a_new_plan_is_not_the_old_one() {
    let home = Home::new();
    let file = home.fleet(THREE);
    for _ in 0..2 {
        let plan = home.saved(&[&file]);
        assert_eq!(home.run(&["apply", "--yes", &plan]).0, 0);
        assert_eq!(home.names(), "a\nb\nc\n");
        assert_eq!(home.run(&["destroy", "--yes", &file]).0, 0);
    }
}

/// Pain 24: a plan leaves secrets out, and says where they are missed.
#[test]
fn a_plan_without_its_secrets_says_what_it_lacks() {
    let home = Home::new();
    let file = home.fleet(
        "fleet: far\nhosts:\n  x: { driver: generic, ip: 192.0.2.1, engine: { env: { HTTP_PROXY: 'http://u:s3cret-canary@p:1' } } }\n",
    );
    let plan = home.saved(&["--offline", &file]);
    let text = fs::read_to_string(&plan).unwrap();
    assert!(!text.contains("s3cret-canary") && text.contains("http://u:***@p:1"), "{text}");
    is_valid(&committed("plan.schema.json"), &json(&text));
    assert!(home.ok(&["plan", &plan]).contains('x'));
    fs::remove_file(&file).unwrap();
    let (code, out, err) = home.run(&["apply", "--yes", &plan]);
    assert_eq!((code, out.as_str(), home.names().as_str()), (1, "", ""), "{err}");
    assert!(err.contains("leaves out secrets") && err.contains("--fleet") && !err.contains("s3cret"), "{err}");
}

/// Pain 7: `apply` needs no fleet file, and content tells what a file is.
#[test]
fn a_plan_holds_all_that_apply_needs() {
    let home = Home::new();
    let file = home.fleet(THREE);
    let plan = home.saved(&[&file]);
    let named = home.path("fleet.production");
    fs::rename(&plan, &named).unwrap();
    fs::remove_file(&file).unwrap();
    assert_eq!(home.run(&["apply", "--yes", &named]).0, 0);
    assert_eq!(home.names(), "a\nb\nc\n");
}

/// Pain 7: refused with a code of its own, host and field named; unrelated changes are no matter.
#[test]
fn a_plan_is_refused_when_what_it_touches_has_moved() {
    let home = Home::new();
    let file = home.fleet(THREE);
    assert_eq!(home.run(&["apply", "--yes", &file]).0, 0);
    let next = THREE.replace("192.0.2.2", "192.0.2.20");
    home.fleet(&next);
    let plan = home.saved(&[&file]);
    // Comments and layout mean nothing.
    home.fleet(&format!("# reviewed\n{next}\n"));
    let refused = |field: &str| {
        let (code, out, err) = home.run(&["apply", "--yes", &plan]);
        assert_eq!((code, out.as_str()), (4, ""), "{err}");
        assert!(err.contains("is stale") && err.contains(field) && err.contains("plan --out"), "{err}");
        let (code, out, _) = home.run(&["apply", "--yes", "--json", &plan]);
        assert_eq!((code, json(&out)["event"].as_str()), (4, Some("stale")));
        assert!(!home.ok(&["url", "b"]).contains("192.0.2.20"), "nothing was done");
    };
    home.fleet(&next.replace("192.0.2.20", "192.0.2.21"));
    refused("`b`: url in the fleet file: tcp://192.0.2.20:2376 → tcp://192.0.2.21:2376");
    home.fleet(&next.replace("192.0.2.3", "192.0.2.30"));
    refused("`c`");
    home.fleet(&(next.clone() + "  d: { url: 'tcp://192.0.2.4:2376' }\n"));
    refused("`d`: in the fleet file: (none) → there");
    home.fleet("{ not a fleet");
    refused("cannot be read");
    // Another run changes the machine that the plan is about.
    let other = home.write("other.yaml", &THREE.replace("192.0.2.2:", "192.0.2.22:"));
    home.fleet(&next);
    assert_eq!(home.run(&["apply", "--yes", &other]).0, 0);
    refused("`b`: url: tcp://192.0.2.2:2376 → tcp://192.0.2.22:2376");
    home.write("other.yaml", THREE);
    assert_eq!(home.run(&["apply", "--yes", &other]).0, 0, "and back");
    // And one that it is not about.
    home.write("other.yaml", &THREE.replace("192.0.2.3", "192.0.2.33"));
    assert_eq!(home.run(&["apply", "--yes", &other]).0, 0);
    let (code, out, err) = home.run(&["apply", "--yes", &plan]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(home.ok(&["url", "b"]).contains("192.0.2.20") && home.ok(&["url", "c"]).contains("192.0.2.33"));
}

#[test]
fn a_plan_is_bound_to_the_file_that_is_named() {
    let home = Home::new();
    let file = home.fleet(THREE);
    let plan = home.saved(&[&file]);
    let moved = home.write("elsewhere.yaml", &THREE.replace("192.0.2.1", "192.0.2.11"));
    assert_eq!(home.run(&["apply", "--yes", &plan, "--fleet", &moved]).0, 4);
    home.write("elsewhere.yaml", THREE);
    assert_eq!(home.run(&["apply", "--yes", &plan, "--fleet", &moved]).0, 0);
    let (code, _, err) = home.run(&["apply", "--yes", &file, "--fleet", &moved]);
    assert!(code == 1 && err.contains("--fleet goes with a saved plan"), "{err}");
}

#[test]
fn a_plan_of_another_store_or_changed_by_hand_is_refused() {
    let home = Home::new();
    let file = home.fleet(THREE);
    let plan = home.saved(&[&file]);
    let store = home.path("other-store");
    let (code, _, err) = home.run(&["--storage-path", &store, "apply", "--yes", &plan]);
    assert!(code == 4 && err.contains("another than"), "{err}");
    let (code, _, err) = home.run(&["plan", "--out", &file, &file]);
    assert!(code == 1 && err.contains("that is the fleet file"), "{err}");
    let text = fs::read_to_string(&plan).unwrap();
    // Layout is no matter, a value is.
    fs::write(&plan, json(&text).to_string()).unwrap();
    assert_eq!(home.run(&["plan", &plan]).0, 0);
    fs::write(&plan, text.replace("192.0.2.2:", "192.0.2.66:")).unwrap();
    let (code, _, err) = home.run(&["apply", "--yes", &plan]);
    assert!(code == 1 && err.contains("changed after it was made"), "{err}");
    fs::write(&plan, home.ok(&["plan", "--json", &file])).unwrap();
    let (code, _, err) = home.run(&["apply", "--yes", &plan]);
    assert!(code == 1 && err.contains("plan --json") && err.contains("plan --out"), "{err}");
    fs::write(&plan, text.replacen("\"version\": 1", "\"version\": 2", 1)).unwrap();
    let (code, _, err) = home.run(&["apply", "--yes", &plan]);
    assert!(code == 1 && err.contains("version 2"), "{err}");
    assert_eq!(home.names(), "");
}

/// Guards hold for saved plans; what was allowed when planning is allowed.
#[test]
fn guards_hold_for_saved_plans() {
    let home = Home::new();
    let file = home.fleet(THREE);
    assert_eq!(home.run(&["apply", "--yes", &file]).0, 0);
    let gone = home.write("gone.yaml", "fleet: shop\nhosts: { c: { driver: none, url: 'tcp://192.0.2.3:2376' } }\n");
    let plan = home.saved(&["--prune", &gone]);
    let (code, _, err) = home.run(&["apply", "--yes", &plan]);
    assert!(code == 6 && err.contains("--allow-delete=2"), "{err}");
    assert_eq!(home.names(), "a\nb\nc\n");
    let document = json(&fs::read_to_string(&plan).unwrap());
    assert!(document["refusals"][0]["help"].as_str().unwrap().contains("--allow-delete=2"), "{document}");
    let plan = home.saved(&["--prune", "--allow-delete=2", &gone]);
    assert_eq!(home.run(&["apply", "--yes", &plan]).0, 0);
    assert_eq!(home.names(), "c\n");
    assert!(home.ok(&["apply", "--yes", &plan]).starts_with("Nothing to do"));
}

#[test]
fn a_part_of_a_fleet_comes_with_what_it_depends_on() {
    let home = Home::new();
    let file = home.fleet(THREE);
    let (code, out, _) = home.run(&["plan", "--detailed-exitcode", "--exclude", "a", &file]);
    assert_eq!(code, 2);
    insta::assert_snapshot!(out, @r"
      c
        + create  instance     not recorded
    1 step on 1 of 1 host: 1 to create.
    Left out: a, b.
    ");
    let document = json(&home.ok(&["plan", "--json", "--target", "b", &file]));
    assert_eq!((&document["left_out"], &document["changes"]), (&serde_json::json!(["c"]), &2.into()));
    assert_eq!(home.run(&["apply", "--yes", "--detailed-exitcode", "--target", "b", &file]).0, 2);
    assert_eq!(home.names(), "a\nb\n");
    assert_eq!(home.run(&["apply", "--yes", "--detailed-exitcode", "--target", "b", &file]).0, 0);
    // A plan of a part is of that part.
    let plan = home.saved(&["--target", "c", &file]);
    assert_eq!(home.run(&["apply", "--yes", &plan]).0, 0);
    assert_eq!(home.names(), "a\nb\nc\n");
    let (code, _, err) = home.run(&["plan", "--target", "bb-1", "--exclude", "x", &file]);
    assert!(code == 1 && err.contains("no host `bb-1`"), "{err}");
    // What stands on a machine goes with it.
    let (code, out, _) = home.run(&["destroy", "--yes", "--target", "a", &file]);
    assert_eq!((code, out.lines().last(), home.names().as_str()), (0, Some("2 removed."), "c\n"));
    let (code, _, err) = home.run(&["apply", "--yes", "--target", "a", &plan]);
    assert!(code == 1 && err.contains("as it is or not at all"), "{err}");
}

/// Pain 27: what is removed stands first and in the open, within the limit, and only that on standard output.
#[test]
fn markdown_puts_removals_first() {
    let home = Home::new();
    assert_eq!(home.run(&["apply", "--yes", &home.fleet(THREE)]).0, 0);
    let file = home.fleet("fleet: shop\nhosts: { a: { driver: none, url: 'tcp://192.0.2.9:2376' } }\n");
    let out = home.ok(&["plan", "--prune", "--markdown", "--max-bytes", "60000", &file]);
    let (refused, removed) = (out.find("will refuse").unwrap(), out.find("- **remove** `b`").unwrap());
    assert!(refused < removed && removed < out.find("<details>").unwrap(), "{out}");
    let out = home.ok(&["plan", "--prune", "--markdown", "--max-bytes", "512", &file]);
    assert!(out.len() <= 512 && out.contains("Not shown"), "{out}");
    let (code, out, err) = home.run(&["plan", "--markdown", "--max-bytes", "10", &file]);
    assert!(code == 1 && out.is_empty() && err.contains("512"), "{err}");
}

/// Pain 27: every command that reports data has `--json`, versioned, as the published schema says, and nothing else
/// on standard output.
#[test]
fn every_report_has_a_form_for_programs() {
    let home = Home::new();
    let file = home.fleet(THREE);
    answered("plan", &home.ok(&["plan", "--json", &file]));
    assert_eq!(home.run(&["apply", "--yes", &file]).0, 0);
    assert_eq!(answered("status", &home.ok(&["status", "--json", "a"]))["state"], "Running");
    assert_eq!(answered("url", &home.ok(&["url", "--json", "a"]))["url"], "tcp://192.0.2.1:2376");
    assert_eq!(answered("ip", &home.ok(&["ip", "--json", "a", "b"]))["machines"][1]["machine"], "b");
    answered("ls", &home.run(&["ls", "--json", "--timeout", "1"]).1);
    answered("inspect", &home.ok(&["inspect", "--json", "a"]));
    answered("version", &home.ok(&["version", "--json"]));
    answered("env", &home.ok(&["env", "--unset", "--json"]));
    assert_eq!(answered("validate", &home.ok(&["validate", "--json", &file]))["hosts"], 3);
    assert_eq!(answered("graph", &home.ok(&["graph", "--json", &file]))["hosts"][1]["depends_on"][0], "a");
    let drift = answered("drift", &home.ok(&["drift", "--json", &file]));
    assert_eq!((&drift["machines"], &drift["items"]), (&3.into(), &serde_json::json!([])));
    answered("drift", &home.ok(&["drift", "--all", "--json", &file]));
    assert_eq!(answered("diff", &home.ok(&["diff", "--json", &file]))["hosts"], serde_json::json!([]));
    home.fleet(&THREE.replace("192.0.2.1", "192.0.2.9"));
    let (code, out, err) = home.run(&["diff", "--json", &file]);
    assert_eq!((code, err.as_str()), (2, ""));
    assert_eq!(answered("diff", &out)["hosts"][0]["host"], "a");
    home.fleet(&THREE.replace("url:", "ulr:"));
    let (code, out, err) = home.run(&["validate", "--json", &file]);
    assert_eq!((code, err.as_str()), (1, ""));
    let problems = answered("validate", &out);
    assert!(problems["problems"][0]["line"].as_u64() > Some(0), "{problems}");
}

/// Every command that prints something for programs is in the schema, and takes `--json`.
#[test]
fn the_schema_names_commands_that_take_json() {
    let home = Home::new();
    let all = committed("output.schema.json");
    let commands = all["$defs"].as_object().unwrap().keys().filter(|key| key.chars().all(char::is_lowercase));
    let mut seen = 0;
    for command in commands {
        assert!(home.run(&[command, "--help"]).1.contains("--json"), "{command}");
        seen += 1;
    }
    assert!(seen >= 14, "{seen}");
}

/// Pain 27: one table of exit codes, and each of these is met above or here.
#[test]
fn how_it_ended_is_told_by_the_code() {
    let home = Home::new();
    let file = home.fleet(THREE);
    assert_eq!(home.run(&["plan", &file]).0, 0);
    assert_eq!(home.run(&["plan", "/nowhere.yaml"]).0, 1);
    assert_eq!(home.run(&["plan", "--detailed-exitcode", &file]).0, 2);
    assert_eq!(home.run(&["plan", "--detailed-exitcode", "--json", &file]).0, 2);
    assert_eq!(home.run(&["plan", "--detailed-exitcode", "--markdown", &file]).0, 2);
    assert_eq!(home.run(&["apply", &file]).0, 6);
    let (code, _, err) = home.run(&["plan", "--out", &home.path("no/folder/plan.json"), &file]);
    assert!(code == 1 && err.contains("its folder is not there"), "{err}");
}
