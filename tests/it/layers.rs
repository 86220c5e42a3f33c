//! The rules of ARCHITECTURE.md that a compiler does not check.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Modules that are values and functions from values to values.
const PURE: &[&str] = &[
    "age",
    "cloud_init",
    "name",
    "graph",
    "harmless",
    "kdl",
    "quote",
    "secret",
    "digest",
    "template",
    "engine",
    "hook",
    "provisioner",
    "record",
    "fleet",
    "part",
    "plan",
    "tls",
];

/// What a pure module must not know.
const EFFECTS: &[&str] = &[
    "async ",
    ".await",
    "tokio::",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "SystemTime",
    "now_utc",
    "Instant::now",
    "println!",
];

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// `src/plan/diff.rs` is of module `plan`.
fn module(path: &Path) -> String {
    let rest = path.strip_prefix("src").unwrap();
    rest.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// Code without comments, and without tests: those at its foot, or the whole file when it is one of tests.
fn code(path: &Path) -> String {
    let name = path.file_stem().unwrap().to_str().unwrap();
    if name == "tests" || name.ends_with("_tests") || ["any_record", "fixtures", "compliance"].contains(&name) {
        return String::new();
    }
    let text = fs::read_to_string(path).unwrap();
    let foot = ["#[cfg(test)]\nmod ", "#[cfg(all(test, target_os = \"linux\"))]\nmod "];
    let body = foot.iter().fold(text.as_str(), |body, start| body.split(start).next().unwrap());
    body.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The modules in the order `lib.rs` lists them.
fn order() -> Vec<String> {
    let text = fs::read_to_string("src/lib.rs").unwrap();
    text.lines().filter_map(|l| l.strip_prefix("pub mod ")).map(|l| l.trim_end_matches(';').to_owned()).collect()
}

/// Every module that `use crate::{…}` trees and `crate::…` paths name.
fn used(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(tree) = rest.strip_prefix('{') {
            found.extend(heads(tree));
        } else {
            found.insert(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    found
}

/// The first words of the branches of a use tree, up to its closing brace.
fn heads(tree: &str) -> Vec<String> {
    let (mut heads, mut word, mut depth, mut at_head) = (Vec::new(), String::new(), 0, true);
    for c in tree.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                heads.push(std::mem::take(&mut word));
                at_head = true;
            }
            c if at_head && depth == 0 && (c.is_alphanumeric() || c == '_') => word.push(c),
            c if !c.is_whitespace() => at_head = false,
            _ => {}
        }
    }
    heads.push(word);
    heads.retain(|w| !w.is_empty());
    heads
}

#[test]
fn use_trees_are_understood() {
    let code = "use crate::{\n    a::{b, c},\n    d,\n    e::f::{g},\n};\nlet x = crate::h::i();";
    assert_eq!(used(code), ["a", "d", "e", "h"].map(str::to_owned).into());
}

#[test]
fn modules_use_only_those_above_them() {
    let order = order();
    assert!(order.len() > 15, "lib.rs lists the modules: {order:?}");
    let mut wrong = Vec::new();
    for path in files(Path::new("src")) {
        let Some(own) = order.iter().position(|m| *m == module(&path)) else { continue };
        let used = used(&code(&path));
        for below in order.iter().skip(own + 1).filter(|m| used.contains(*m)) {
            wrong.push(format!("{} uses {below}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A store is told what it needs of drivers (`record::OptionFields`), so that it can be on a computer that has none.
#[test]
fn the_store_knows_no_driver() {
    let store = files(Path::new("src")).into_iter().filter(|path| module(path) == "store");
    let wrong: Vec<_> = store.filter(|path| used(&code(path)).contains("driver")).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Which drivers there are is said once, where the program begins. Code that needs them is given them: what is global
/// could not be others in a test, nor grow when a plugin is found.
#[test]
fn the_drivers_are_given_and_never_looked_up() {
    let mut wrong = Vec::new();
    for path in files(Path::new("src")).into_iter().filter(|path| *path != Path::new("src/main.rs")) {
        let code = code(&path);
        let global = |line: &str| {
            let is_static = line.contains("static ") || line.contains("thread_local!");
            is_static && (line.contains("Drivers") || line.contains("AnyDriver"))
        };
        if code.contains("built_in()") || code.lines().any(global) {
            wrong.push(path);
        }
    }
    assert_eq!(wrong, [Path::new("src/driver/mod.rs")], "its `drivers!` defines them");
}

/// What drivers are given is put together in one place, so that no part of it is forgotten.
#[test]
fn a_drivers_context_is_filled_in_one_place() {
    let fills = |path: &PathBuf| code(path).lines().any(|line| line.trim() == "DriverContext {");
    let found: Vec<_> = files(Path::new("src")).into_iter().filter(fills).collect();
    assert_eq!(found, [Path::new("src/world.rs")]);
}

#[test]
fn pure_modules_have_no_effects() {
    let mut wrong = Vec::new();
    for path in files(Path::new("src")).into_iter().filter(|p| PURE.contains(&module(p).as_str())) {
        let code = code(&path);
        wrong.extend(EFFECTS.iter().filter(|e| code.contains(**e)).map(|e| format!("{}: {e}", path.display())));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn remote_commands_are_never_built_by_format() {
    // `Sh` can only be made from fixed text and quoted words; there is no way around it.
    let mut wrong = Vec::new();
    for path in files(Path::new("src")).into_iter().filter(|p| module(p) != "quote") {
        let code = code(&path);
        if code.contains(".leak()") || code.contains("Box::leak") {
            wrong.push(format!("{} makes static text at run time", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_driver_and_provisioner_file_is_in_its_table() {
    let drivers = machine::driver::Drivers::built_in();
    for (dir, names) in [
        ("src/driver", drivers.names().collect::<BTreeSet<_>>()),
        ("src/provisioner", machine::provisioner::PROVISIONERS.iter().map(|p| p.name()).collect()),
    ] {
        let text = fs::read_to_string(format!("{dir}/mod.rs")).unwrap();
        for name in &names {
            assert!(text.contains(&format!("mod {name};")), "{dir}: `{name}` has no file of its own");
        }
    }
}

/// A driver is one file or folder and one line of the table: nothing else knows its name. The exceptions are
/// docker-machine's: which drivers it had, and which it took when none was named.
#[test]
fn nobody_but_the_table_knows_a_driver_by_name() {
    let known = [
        ("src/record/docker_machine.rs", "amazonec2"),
        ("src/record/docker_machine.rs", "digitalocean"),
        ("src/record/docker_machine.rs", "virtualbox"),
        ("src/cli/create/flags.rs", "virtualbox"),
    ];
    let mut found = Vec::new();
    for path in files(Path::new("src")) {
        let (text, name) = (code(&path), path.display().to_string());
        for driver in ["amazonec2", "digitalocean", "nspawn", "qemu", "virtualbox"] {
            let own = name.starts_with(&format!("src/driver/{driver}")) || name == "src/driver/mod.rs";
            let named = text.contains(&format!("\"{driver}\"")) || text.contains(&format!("{driver}::"));
            if named && !own {
                found.push((name.clone(), driver));
            }
        }
    }
    let mut found: Vec<_> = found.iter().map(|(name, driver)| (name.as_str(), *driver)).collect();
    found.sort_unstable();
    let mut known = known.to_vec();
    known.sort_unstable();
    assert_eq!(found, known);
}

#[test]
fn files_can_be_held_in_the_head() {
    let mut long = Vec::new();
    for path in files(Path::new("src")) {
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.split("#[cfg(test)]").next().unwrap().lines().count();
        if lines > 500 {
            long.push(format!("{}: {lines} lines before its tests", path.display()));
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}

/// The crates that are built into the program, a line each. Cargo.lock also names what features could bring in.
fn built() -> String {
    #[expect(clippy::disallowed_methods, reason = "only cargo knows what it builds")]
    let tree = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--edges", "normal,build", "--prefix", "none", "--format", "{p}"])
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    String::from_utf8(tree.stdout).unwrap()
}

/// Two readers would be two opinions. The kdl crate is one, and is asked by tests alone.
#[test]
fn kdl_is_read_by_one_module() {
    assert!(!built().lines().any(|l| l.starts_with("kdl v")), "the kdl crate is built into the program");
    let mut readers = BTreeSet::new();
    for path in files(Path::new("src")).into_iter().filter(|path| module(path) != "kdl") {
        let code = code(&path);
        // A word that all readers meet. What writes KDL puts a `#` before a value.
        assert!(!code.contains("\"#true\""), "{} reads KDL by hand", path.display());
        if used(&code).contains("kdl") {
            readers.insert(module(&path));
        }
    }
    assert_eq!(readers, ["fleet", "record"].map(str::to_owned).into());
}

#[test]
fn there_is_one_crypto_backend() {
    let lock = fs::read_to_string("Cargo.lock").unwrap();
    for single in ["rustls", "tokio", "hyper", "russh", "aws-lc-sys"] {
        assert_eq!(lock.matches(&format!("name = \"{single}\"\n")).count(), 1, "one version of {single}");
    }
    let tree = built();
    for banned in ["ring", "openssl-sys", "native-tls", "serde_yml", "libyml"] {
        assert!(!tree.lines().any(|l| l.starts_with(&format!("{banned} v"))), "{banned} is built");
    }
}

/// Calls that change files. What they do must be seen by the tests that kill the program: `machine::fault`.
const CHANGES: &[&str] = &[
    "fs::rename(",
    "fs::remove_file(",
    "fs::remove_dir(",
    "fs::remove_dir_all(",
    "fs::hard_link(",
    "fs::create_dir",
    "fs::copy(",
    "fs::set_permissions(",
    "fs::write(",
    "File::create",
    "OpenOptions",
    "DirBuilder",
    "symlink(",
    ".persist(",
    "tempfile_in(",
    "tempdir_in(",
    "NamedTempFile",
];

/// Files that change others and need no points, and why a process that is killed in them loses nothing.
const WITHOUT_POINTS: &[(&str, &str)] = &[
    ("src/cli/install.rs", "links to the program itself; put there again by calling it again"),
    ("src/cli/landing.rs", "copies of a user's files, renamed to their place when whole"),
    ("src/cli/man.rs", "man pages; its files are written by `cli/file.rs`"),
    ("src/cli/passphrase.rs", "opens the terminal"),
    ("src/cli/scp.rs", "a file for the time of one copy"),
    ("src/store/memory.rs", "the store of tests"),
];

#[test]
fn every_change_of_a_file_passes_a_point_at_which_tests_kill_the_program() {
    let mut wrong = Vec::new();
    for path in files(Path::new("src")) {
        let code = code(&path);
        let changes: Vec<_> = CHANGES.iter().filter(|change| code.contains(**change)).collect();
        let excused = WITHOUT_POINTS.iter().any(|(file, _)| Path::new(file) == path);
        if !changes.is_empty() && !excused && !code.contains("fault::") {
            wrong.push(format!("{} goes around `fault`: {changes:?}", path.display()));
        }
        if excused && changes.is_empty() {
            wrong.push(format!("{} changes no files any more", path.display()));
        }
    }
    assert!(
        wrong.is_empty(),
        "write with `store::folder::disk`, or pass `fault::point` before each effect: {wrong:#?}"
    );
}

#[test]
fn the_program_cannot_be_told_to_fail() {
    // Not by a variable, not by a flag: nothing in it says what happens at a point.
    for path in files(Path::new("src")).into_iter().filter(|path| !path.ends_with("fault.rs")) {
        assert!(!code(&path).contains("fault::install"), "{} installs faults", path.display());
    }
    let own = code(Path::new("src/fault.rs"));
    assert!(!own.contains("env::") && !own.contains("std::env"), "faults come from tests only");
}

/// Where a value is written as a source has it (`{:?}`) and only a program reads it, or docker-machine's words want
/// a text in quotes.
const AS_A_SOURCE_HAS_IT: &[(&str, &str)] = &[
    ("src/cli/claim.rs", "{text:?}"),
    ("src/cli/config.rs", "--{option}={:?}"),
    ("src/cli/create/flags.rs", "{name:?}"),
    ("src/cli/create/flags.rs", "{text:?}"),
    ("src/cli/debug.rs", "{other:?}"),
    ("src/cli/drivers.rs", "{name:?}"),
    ("src/cli/drivers.rs", "spec.kind"),
    ("src/cli/error.rs", ".0.to_string()"),
    ("src/cli/error.rs", "Driver {0:?}"),
    ("src/cli/error.rs", "{place:?}"),
    ("src/cli/go.rs", "{value:?}"),
    ("src/cli/import.rs", "Docker machine {:?}"),
    ("src/cli/lock.rs", "{name:?}"),
    ("src/cli/rm.rs", "Error removing host {:?}"),
    ("src/cli/rm.rs", "{name:?}"),
    ("src/cli/words.rs", "{value:?}"),
    ("src/driver/amazonec2/credentials.rs", "{login:?}"),
    ("src/driver/amazonec2/credentials.rs", "role.external_id"),
    ("src/driver/qemu/frozen.rs", "options.firmware"),
    ("src/driver/virtualbox/computer.rs", "{version:?}"),
    ("src/http/request.rs", "{names:?}"),
    ("src/provisioner/debian.rs", "{layout:?}"),
    ("src/provisioner/install_script.rs", "{shown:?}"),
];

#[test]
fn people_read_no_names_out_of_the_source() {
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    for path in files(Path::new("src")) {
        let name = path.display().to_string();
        let is_test = ["_tests.rs", "/tests.rs", "/versions.rs", "/compliance.rs", "/fixtures.rs", "/samples.rs"];
        if is_test.iter().any(|end| name.ends_with(end)) {
            continue;
        }
        for line in code(&path).lines().filter(|line| line.contains(":?}") || line.contains(":#?}")) {
            // What `spoken` is given becomes words.
            let known = AS_A_SOURCE_HAS_IT.iter().position(|(file, part)| *file == name && line.contains(part));
            match known {
                Some(known) => drop(used.insert(known)),
                None if line.contains("spoken") || name == "src/spoken.rs" => {}
                None => wrong.push(format!("{name}: {}", line.trim())),
            }
        }
    }
    assert!(wrong.is_empty(), "write what it means, or `Display`: {wrong:#?}");
    let unused: Vec<_> = AS_A_SOURCE_HAS_IT.iter().enumerate().filter(|(n, _)| !used.contains(n)).collect();
    assert!(unused.is_empty(), "not there any more: {unused:#?}");
}
