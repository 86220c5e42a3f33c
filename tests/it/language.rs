//! The fleet file as a language: two forms that say the same, files laid over each other, groups, variables, and
//! files that make no sense. Settles pain 1 (one file describes the machines, also where environments differ) and
//! pain 34 (a mistake has line, column and suggestion) for all of it.

#![expect(clippy::disallowed_methods, reason = "the test runs the program and writes its input files")]

use crate::full::full;
use machine::fleet::{self, Fleet, FleetProblems, Form, Inputs, Limit, Source};
use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn inputs() -> Inputs {
    Inputs { env: BTreeMap::from([("HOME".to_owned(), "/home/ada".to_owned())]), ..Inputs::default() }
}

#[track_caller]
fn fine(name: &str, text: &str) -> Fleet {
    fleet::load(name, text, &inputs(), &machine::driver::Drivers::built_in())
        .unwrap_or_else(|e| panic!("{name}: {:?}", miette::Report::new(e)))
}

/// Every example, and what it is called.
fn examples() -> Vec<(String, String)> {
    let folder = root().join("examples/fleets");
    let mut all: Vec<(String, String)> = ["", "overlays"]
        .iter()
        .flat_map(|within| fs::read_dir(folder.join(within)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .map(|path| {
            let name = path.strip_prefix(&folder).unwrap().with_extension("");
            (name.to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap())
        })
        .collect();
    all.sort();
    assert!(all.len() > 5 && all.iter().any(|(name, _)| name == "overlays/prod"));
    all
}

/// The fleet of an example: one of the overlays is laid over the base in `form`, with the values it wants.
#[track_caller]
fn example(name: &str, form: &str, text: &str) -> Fleet {
    let Some(overlay) = name.strip_prefix("overlays/") else { return fine(&format!("x.{form}"), text) };
    let read = |file: &str| Source::new(file, fs::read_to_string(root().join("examples/fleets").join(file)).unwrap());
    let base = (overlay != "base").then(|| read(&format!("overlays/base.{form}")));
    let files: Vec<Source> = base.into_iter().chain([Source::new(format!("x.{form}"), text)]).collect();
    fleet::load_all(&files, &[read("overlays/prod.env")], &inputs(), &machine::driver::Drivers::built_in())
        .unwrap_or_else(|e| panic!("{name}: {:?}", miette::Report::new(e)))
}

fn converted(name: &str, text: &str, to: Form) -> String {
    fleet::convert(&Source::new(name, text), to).unwrap_or_else(|e| panic!("{name}: {:?}", miette::Report::new(e))).text
}

#[test]
fn every_example_has_a_twin_in_kdl_that_is_the_same_fleet() {
    for (name, yaml) in examples() {
        let path = root().join("examples/fleets").join(format!("{name}.kdl"));
        if std::env::var_os("UPDATE_TWINS").is_some() {
            // What it says to editors of YAML says nothing to those of KDL.
            let kdl = converted(&format!("{name}.yaml"), &yaml, Form::Kdl);
            fs::write(&path, kdl.split_once('\n').unwrap().1).unwrap();
        }
        let kdl = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(example(&name, "kdl", &kdl), example(&name, "yaml", &yaml), "{name}");
        assert_eq!(fleet::format("x.kdl", &kdl).unwrap(), kdl, "{name}.kdl: run `machine fmt`");
        let comments = |text: &str, mark: &str| text.lines().filter(|l| l.trim_start().starts_with(mark)).count();
        assert_eq!(comments(&kdl, "//") + 1, comments(&yaml, "#"), "{name}: comments, but for the editor's line");
    }
}

#[test]
fn every_example_goes_to_kdl_and_back() {
    for (name, yaml) in examples() {
        let kdl = converted("x.yaml", &yaml, Form::Kdl);
        let back = converted("x.kdl", &kdl, Form::Yaml);
        assert_eq!(example(&name, "yaml", &back), example(&name, "yaml", &yaml), "{name}");
        assert_eq!(fleet::format("x.yaml", &back).unwrap(), back, "{name}: as `machine fmt` leaves it");
        assert_eq!(fleet::format("x.kdl", &kdl).unwrap(), kdl, "{name}: as `machine fmt` leaves it");
        assert_eq!(converted("x.yaml", &back, Form::Kdl), kdl, "{name}: once more changes nothing");
    }
}

fn overlays(files: &[&str], vars: &[&str]) -> Result<Fleet, FleetProblems> {
    let read = |name: &&str| {
        Source::new(*name, fs::read_to_string(root().join("examples/fleets/overlays").join(name)).unwrap())
    };
    let files: Vec<Source> = files.iter().map(read).collect();
    let vars: Vec<Source> = vars.iter().map(read).collect();
    fleet::load_all(&files, &vars, &inputs(), &machine::driver::Drivers::built_in())
}

#[test]
fn the_overlays_of_the_examples_are_what_they_say() {
    let wrong = overlays(&["base.yaml"], &[]).unwrap_err();
    let places: Vec<_> = wrong.problems().iter().map(|p| (p.to_string(), wrong.line_and_column(p))).collect();
    assert_eq!(places, [("variable `image` has no value".to_owned(), Some((8, 3)))]);
    let dev = overlays(&["base.yaml"], &["prod.env"]).unwrap();
    let prod = overlays(&["base.yaml", "prod.yaml"], &["prod.env"]).unwrap();
    let names = |fleet: &Fleet| fleet.hosts.keys().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    assert_eq!(names(&dev), "db sandbox web-1");
    assert_eq!(names(&prod), "db web-1 web-2 web-3");
    let db = &prod.hosts.values().next().unwrap();
    let engine = db.engine.as_ref().unwrap();
    assert!(db.protect && db.options["memory"] == 2_u64 << 30);
    assert_eq!(engine.labels["env"], "prod");
    assert_eq!(engine.labels["shop"], "yes", "mappings merge");
    assert_eq!(engine.registry_mirrors.len(), 2, "lists replace");
    assert_eq!(prod.policy.max_delete, Limit::number(0));
}

/// Precedence: defaults, then groups in order, then the host.
#[test]
fn a_host_has_what_its_groups_have_unless_it_says_otherwise() {
    let fleet = fine(
        "x.yaml",
        "fleet: x
defaults: { driver: nspawn, protect: true, tls-names: [d.example], engine: { labels: { a: d, b: d, c: d, e: d } } }
groups:
  one: { optional: true, protect: false, memory: 1GiB, engine: { labels: { b: one, c: one } }, tls-names: [one.example] }
  two: { memory: 2GiB, depends_on: [db], engine: { labels: { c: two } } }
  none: {}
hosts:
  web: { count: 2, groups: [one, two], engine: { labels: { e: host } } }
  turned: { groups: [two, one, none], memory: 3GiB, optional: false, tls-names: [] }
  db: {}
  last: { depends_on: [one] }
",
    );
    let host = |name: &str| fleet.hosts.iter().find(|(n, _)| n.as_str() == name).unwrap().1;
    let labels = |name: &str| {
        let labels = &host(name).engine.as_ref().unwrap().labels;
        labels.values().map(String::as_str).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(labels("web-2"), "d one two host");
    assert_eq!(labels("turned"), "d one one d");
    assert_eq!(labels("db"), "d d d d");
    let web = host("web-1");
    assert_eq!((web.protect, web.optional, &web.options["memory"]), (false, true, &(2_u64 << 30).into()));
    assert_eq!(web.tls_names.iter().collect::<Vec<_>>(), ["one.example"]);
    let turned = host("turned");
    assert_eq!((turned.protect, turned.optional, &turned.options["memory"]), (false, false, &(3_u64 << 30).into()));
    assert!(turned.tls_names.is_empty());
    let waits = |name: &str| host(name).depends_on.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    assert_eq!(waits("web-1"), "db");
    assert_eq!(waits("last"), "turned web-1 web-2", "a group means all who are in it");
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            fs::write(folder.0.path().join(name), text).unwrap();
        }
        folder
    }

    /// Exit code, standard output, standard error.
    fn run(&self, args: &[&str], stdin: &str) -> (i32, String, String) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_machine"))
            .args(args)
            .current_dir(self.0.path())
            .env_clear()
            .env("HOME", self.0.path())
            .env("MACHINE_STORAGE_PATH", self.0.path().join("store"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A program that does not read it ends without it.
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).ok();
        let out = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (out.status.code().unwrap(), text(out.stdout), text(out.stderr))
    }
}

const YAML: &str = "vars: { url: \"tcp://192.0.2.1:2376\" }\nhosts: { web: { driver: none, url: \"${var.url}\" }, db: { driver: none, url: \"tcp://192.0.2.2:2376\" } }\n";
const KDL: &str = "vars url=\"tcp://192.0.2.1:2376\"\nhosts {\n  web driver=none url=\"${var.url}\"\n  db driver=none url=\"tcp://192.0.2.2:2376\"\n}\n";

#[test]
fn plans_of_twins_are_equal_byte_for_byte() {
    let folder = Folder::new(&[("shop.yaml", YAML), ("shop.kdl", KDL)]);
    for command in [&["plan", "--offline"][..], &["plan", "--offline", "--json"], &["graph"], &["diff"]] {
        let run = |file: &str| folder.run(&[command, &[file]].concat(), "");
        let (yaml, kdl) = (run("shop.yaml"), run("shop.kdl"));
        assert_eq!(yaml, kdl, "{command:?}");
        assert!(yaml.1.contains("web") && yaml.2.is_empty(), "{yaml:?}");
    }
}

#[test]
fn the_fleet_file_is_found_and_two_are_one_too_many() {
    let (yaml, kdl) = (format!("fleet: x\n{YAML}"), format!("fleet x\n{KDL}"));
    for name in ["fleet.yaml", "fleet.yml", "fleet.kdl"] {
        let folder = Folder::new(&[(name, if name.ends_with("kdl") { &kdl } else { &yaml })]);
        let (code, out, _) = folder.run(&["validate"], "");
        assert!(code == 0 && out.starts_with(&format!("{name}: fleet `")), "{out}");
    }
    let folder = Folder::new(&[("fleet.yaml", &yaml), ("fleet.kdl", &kdl)]);
    for command in ["validate", "plan", "apply", "diff", "drift", "destroy", "graph", "fmt"] {
        let (code, _, err) = folder.run(&[command], "");
        assert!(code == 1 && err.contains("there are fleet.yaml and fleet.kdl"), "{command}: {err}");
        let (code, _, err) = folder.run(&[command, "-f", "none.yaml", "fleet.yaml"], "");
        assert!(code == 1 && err.contains("cannot be used with"), "{command}: {err}");
    }
    assert_eq!(folder.run(&["validate", "fleet.kdl"], "").0, 0);
    assert_eq!(folder.run(&["validate", "-f", "fleet.yaml", "-f", "fleet.kdl"], "").0, 0, "the forms can be mixed");
}

#[test]
fn standard_input_is_known_by_its_content_or_by_word() {
    let folder = Folder::new(&[]);
    for text in [YAML, KDL] {
        let named = format!("{}{text}", if text == YAML { "fleet: x\n" } else { "fleet x\n" });
        assert_eq!(folder.run(&["validate", "-"], &named).1, "standard input: fleet `x` with 2 hosts is valid\n");
    }
    assert_eq!(folder.run(&["validate", "-", "--from", "kdl"], "fleet: x").0, 1);
    let (_, out, _) = folder.run(&["fmt", "-", "--to", "yaml"], "fleet x // c\nhosts {\n  web driver=nspawn\n}\n");
    assert_eq!(out, "fleet: x # c\nhosts:\n  web: { driver: nspawn }\n");
    let (code, _, err) = folder.run(&["validate", "-f", "-", "-f", "-"], YAML);
    assert!(code == 1 && err.contains("standard input can be one of the files"), "{err}");
}

#[test]
fn overlays_and_variables_work_from_the_command_line() {
    let folder = Folder::new(&[
        ("base.yaml", YAML),
        ("prod.kdl", "hosts { db #null; cache driver=none url=\"${var.other}\" }"),
        ("v.env", "other=tcp://192.0.2.3:1\n"),
        ("wrong.yaml", "hosts:\n  web: { drver: x }\n"),
    ]);
    let files = ["-f", "base.yaml", "-f", "prod.kdl"];
    let (code, out, err) = folder.run(
        &[&["plan", "--offline"], &files[..], &["--var-file", "v.env", "--var", "url=tcp://192.0.2.9:2"]].concat(),
        "",
    );
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("web") && out.contains("cache") && !out.contains("db"), "{out}");
    let (_, out, _) = folder.run(&[&["validate"], &files[..], &["--var-file", "v.env"]].concat(), "");
    assert_eq!(out, "base.yaml with prod.kdl: fleet `base` with 2 hosts is valid\n");
    let (code, _, err) = folder.run(&[&["validate"], &files[..], &["--var", "ohter=x"]].concat(), "");
    assert!(code == 1 && err.contains("prod.kdl:1:") && err.contains("there is no variable `other`"), "{err}");
    assert!(err.contains("`ohter`"), "{err}");
    let (code, _, err) = folder.run(&["validate", "-f", "base.yaml", "--var", "ulr=x"], "");
    assert!(code == 1 && err.contains("did you mean `url`?"), "{err}");
    let (_, _, err) = folder.run(&["validate", "-f", "base.yaml", "-f", "wrong.yaml"], "");
    assert!(err.contains("wrong.yaml:2:10") && err.contains("base.yaml and wrong.yaml have 1 problem"), "{err}");
}

#[test]
fn formatting_changes_blanks_and_converting_changes_no_file() {
    let folder = Folder::new(&[("fleet.kdl", "fleet   x // c\n\n\n\nhosts{\n web   driver=none\n}\n")]);
    assert_eq!(folder.run(&["fmt", "--check"], "").0, 2);
    assert_eq!(folder.run(&["fmt", "--to", "yaml"], "").1, "fleet: x # c\n\nhosts:\n  web: { driver: none }\n");
    assert_eq!(folder.run(&["fmt"], "").1, "fleet.kdl\n");
    let text = fs::read_to_string(folder.0.path().join("fleet.kdl")).unwrap();
    assert_eq!(text, "fleet x // c\n\nhosts {\n  web driver=none\n}\n");
    assert_eq!(folder.run(&["fmt", "--check"], "").0, 0);
}

/// What the process has computed so far: on a machine that does other things as well, the clock on the wall says little.
fn spent() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(spent.tv_sec).unwrap(), u32::try_from(spent.tv_nsec).unwrap())
}

/// Bytes that a process had at most.
fn most_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() << 10
}

/// Whatever megabytes hold, they are answered in bounded time and memory, and what is told can be shown.
#[test]
fn files_that_nobody_means_are_answered_soon() {
    // Beyond every limit of the reader, or, in the usual run, a fifth of that, which must take a fifth of the time.
    let fifths = if full() { 5 } else { 1 };
    let fill = |piece: &str| piece.repeat((fifths * (2 << 20)) / piece.len());
    let some = |piece: &str| piece.repeat((1 << 20) / piece.len());
    let bomb = (1..30).fold("a0: &a0 [x]\n".to_owned(), |all, n| {
        all + &format!("a{n}: &a{n} [{}]\n", [format!("*a{}", n - 1).as_str(); 10].join(", "))
    });
    let groups = format!(
        "fleet: x\ndefaults: {{ driver: nspawn }}\ngroups: {{ g: {{ engine: {{ labels: {{ {} }} }} }} }}\nhosts: {{ {} }}\n",
        (0..2_000).map(|n| format!("l{n}: x")).collect::<Vec<_>>().join(", "),
        (0..5_000).map(|n| format!("h{n}: {{ groups: [g] }}")).collect::<Vec<_>>().join(", ")
    );
    let anchors = format!(
        "{}[{}]{}",
        (0..60).map(|n| format!("[&a{n} ")).collect::<Vec<_>>().concat(),
        some("1,"),
        "]".repeat(60)
    );
    let wrong = |n: usize| (0..n).map(|n| format!("l{n}: []")).collect::<Vec<_>>().join(", ");
    // More than this is no machine's slowness: what is not linear takes minutes.
    let (seconds, bytes) = if cfg!(debug_assertions) { (12 * fifths as u64, 1 << 30) } else { (10, 1 << 30) };
    for (name, text) in [
        ("bomb.yaml", bomb),
        ("anchors.yaml", format!("fleet: x\nx: {anchors}\ny: *a0\n")),
        ("twice.yaml", fill("a: 1\n").split_at((2 << 20) - 12).0.to_owned()),
        ("merged.yaml", format!("x: &x {{ {} }}\ny: {{ <<: *x }}\n", wrong(200_000))),
        (
            "labels.yaml",
            format!("fleet: x\nhosts: {{}}\ndefaults: {{ engine: {{ labels: {{ {} }} }} }}\n", wrong(50_000)),
        ),
        ("groups.yaml", groups),
        ("deep.yaml", fill("[")),
        ("deep.kdl", fill("a {")),
        ("dashes.yaml", some("- ")),
        ("comments.kdl", fill("/*")),
        ("left-out.kdl", some("/- a { ")),
        ("keys.yaml", fill("a: 1\n")),
        ("keys.kdl", fill("a 1\n")),
        ("numbers.kdl", some("1x ")),
        ("quotes.kdl", fill("\"a\" ")),
        ("hashes.kdl", some("#")),
        ("items.yaml", format!("hosts: [{}]", some("1,"))),
    ] {
        let started = spent();
        let problems =
            fleet::load(name, &text, &Inputs::default(), &machine::driver::Drivers::built_in()).expect_err(name);
        let first = &problems.problems()[0];
        assert!(problems.line_and_column(first).is_some() && first.help.is_some(), "{name}: {first}");
        let took = spent().checked_sub(started).unwrap();
        println!("{name}: {took:?}, {} MiB at most, {first}", most_memory() >> 20);
        assert!(took < Duration::from_secs(seconds), "{name} took {took:?}");
        assert!(most_memory() < bytes, "{name} took {} MiB", most_memory() >> 20);
    }
    assert!(Path::new("/proc/self/status").exists() || most_memory() == 0);
}
