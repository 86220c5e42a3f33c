//! The rules of the suite that a compiler does not check: nothing is left out unnoticed.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The programs; all files below `tests` belong to one of them.
const PROGRAMS: [&str; 3] = ["tests/crash/main.rs", "tests/it/main.rs", "tests/lab/main.rs"];

fn files(dir: &str) -> BTreeSet<PathBuf> {
    let (mut found, mut todo) = (BTreeSet::new(), vec![PathBuf::from(dir)]);
    while let Some(dir) = todo.pop() {
        for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.insert(path.canonicalize().unwrap());
            }
        }
    }
    found
}

/// A file and all that its `mod` lines name, as the compiler finds them.
fn reach(file: &Path, found: &mut BTreeSet<PathBuf>) {
    let file = file.canonicalize().unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let (folder, stem) = (file.parent().unwrap(), file.file_stem().unwrap());
    let below = if stem == "main" || stem == "mod" { folder.to_owned() } else { folder.join(stem) };
    let text = fs::read_to_string(&file).unwrap();
    let mut path = None;
    for line in text.lines() {
        if let Some(given) = line.strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix("\"]")) {
            path = Some(folder.join(given));
        }
        let name = line.strip_prefix("pub(crate) ").unwrap_or(line).strip_prefix("mod ");
        let Some(name) = name.and_then(|rest| rest.strip_suffix(';')) else { continue };
        let usual =
            || [below.join(format!("{name}.rs")), below.join(name).join("mod.rs")].into_iter().find(|p| p.exists());
        reach(&path.take().or_else(usual).unwrap_or_else(|| panic!("{}: {name}", file.display())), found);
    }
    found.insert(file);
}

#[test]
fn every_file_of_tests_is_in_a_program() {
    let mut reached = BTreeSet::new();
    for program in PROGRAMS {
        reach(Path::new(program), &mut reached);
    }
    let all = files("tests");
    assert!(all.len() > 100, "{all:?}");
    let left: Vec<_> = all.difference(&reached).collect();
    assert!(left.is_empty(), "no `mod` line names {left:#?}");
    let cargo = fs::read_to_string("Cargo.toml").unwrap();
    assert!(cargo.contains("autotests = false"), "a file must not become a program of its own");
    assert_eq!(cargo.matches("[[test]]").count(), PROGRAMS.len());
    for program in PROGRAMS {
        assert!(cargo.contains(&format!("path = \"{program}\"")), "{program}");
    }
}

/// `tests/crash` has a harness of its own, for which `#[test]` is nothing: the function would not even be compiled.
#[test]
fn no_test_of_crash_is_left_to_a_harness_that_it_does_not_have() {
    let mut program = BTreeSet::new();
    reach(Path::new("tests/crash/main.rs"), &mut program);
    let left = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        text.lines().any(|line| line.starts_with("#[test") || line.starts_with("#[tokio::test"))
    };
    let wrong: Vec<_> = program.into_iter().filter(left).collect();
    assert!(wrong.is_empty(), "list them in tests/crash/main.rs: {wrong:#?}");
}

/// Said elsewhere, it would be said where all must run, too.
#[test]
fn only_one_place_says_that_a_test_is_skipped() {
    let own = Path::new("tests/kit/skip.rs").canonicalize().unwrap();
    let word = concat!("\"SKI", "PPED");
    let says = |path: &PathBuf| fs::read_to_string(path).unwrap().contains(word);
    let others: Vec<_> = files("tests").into_iter().chain(files("src")).filter(|p| *p != own && says(p)).collect();
    assert!(others.is_empty(), "call `skip::skipped`: {others:#?}");
}

/// A property test of its own making would try other cases every time, or keep what it finds to itself.
#[test]
fn only_one_place_says_how_property_tests_run() {
    let own = ["tests/kit/properties.rs", file!()].map(|path| Path::new(path).canonicalize().unwrap());
    let (macro_, ours) = (concat!("proptest", "! {"), concat!("#![proptest_config(", "properties("));
    let (mut wrong, mut count) = (Vec::new(), 0);
    for path in files("tests").into_iter().chain(files("src")).filter(|path| !own.contains(path)) {
        let text = fs::read_to_string(&path).unwrap();
        let (all, right) = (text.matches(macro_).count(), text.matches(ours).count());
        let by_hand = [concat!("Proptest", "Config"), concat!("Test", "Runner")].iter().any(|word| text.contains(word));
        if all != right || by_hand || text.matches("proptest_config").count() != right {
            wrong.push(path.display().to_string());
        }
        count += all;
    }
    assert!(count > 20, "{count}");
    assert!(wrong.is_empty(), "begin each with `#![proptest_config(properties(CASES))]`: {wrong:#?}");
}
