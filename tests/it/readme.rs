//! What the README tells people to type exists.

#![expect(clippy::disallowed_methods, reason = "the test types what a reader would")]

use std::{fs, path::Path, process::Command};

fn readme() -> String {
    fs::read_to_string("README.md").unwrap()
}

fn help(words: &[&str]) -> (bool, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_machine")).args(words).arg("--help").output().unwrap();
    (out.status.success(), String::from_utf8(out.stdout).unwrap())
}

/// Everything of the form `machine WORD …` in code, without what only stands for something.
fn commands() -> Vec<Vec<String>> {
    let text = readme();
    let code = text.split("```").skip(1).step_by(2).filter(|block| block.starts_with("sh")).flat_map(str::lines);
    let inline = text.split('`').filter(|piece| piece.starts_with("machine ")).filter(|piece| !piece.contains('\n'));
    let line =
        |l: &str| l.split('#').next().unwrap().trim().trim_start_matches("eval $(").trim_end_matches(')').to_owned();
    code.map(line)
        .chain(inline.map(str::to_owned))
        .filter_map(|l| l.strip_prefix("machine ").map(|rest| rest.split_whitespace().map(str::to_owned).collect()))
        .collect()
}

#[test]
fn every_command_and_flag_of_the_readme_exists() {
    let commands = commands();
    assert!(commands.len() > 12, "{commands:?}");
    for words in commands {
        let (known, text) = help(&[&words[0]]);
        assert!(known, "`machine {}` is no command", words[0]);
        // What follows `--` is for the host.
        for flag in words.iter().take_while(|w| *w != "--").filter(|w| w.starts_with("--")) {
            let name = flag.split('=').next().unwrap();
            assert!(text.contains(name), "`machine {}` has no {name}", words[0]);
        }
    }
}

#[test]
fn every_flag_named_in_the_table_exists() {
    for (command, flags) in [
        ("plan", &["--offline", "--json", "--detailed-exitcode", "--prune"][..]),
        ("apply", &["--yes", "--prune", "--allow-delete", "--allow-replace", "--fail-fast", "--keep-going", "--var"]),
        ("graph", &["--format"]),
    ] {
        let (_, text) = help(&[command]);
        for flag in flags {
            assert!(text.contains(flag) && readme().contains(flag), "{command} {flag}");
        }
    }
}

#[test]
fn the_exit_codes_are_those_of_the_help() {
    let (_, text) = help(&[]);
    let table = readme();
    for line in text.lines().skip_while(|l| !l.starts_with("Exit codes")).skip(1).take_while(|l| !l.trim().is_empty()) {
        let code = line.split_whitespace().next().unwrap();
        let rest = line.trim().trim_start_matches(code).trim().split(" (").next().unwrap();
        assert!(table.contains(&format!("| {code} | {rest}")), "{line}");
    }
}

#[test]
fn every_file_the_readme_names_is_there() {
    let text = readme();
    let links = text.split("](").skip(1).filter_map(|l| l.split(')').next()).filter(|l| !l.starts_with("http"));
    let scripts = text.split_whitespace().filter(|w| w.starts_with("scripts/"));
    let files: Vec<&str> = links.chain(scripts).collect();
    assert!(files.len() > 6, "{files:?}");
    for file in files {
        assert!(Path::new(file).exists(), "{file}");
    }
}

#[test]
fn the_fleet_of_the_readme_is_valid() {
    let text = readme();
    let yaml = text.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let fleet = machine::fleet::load(
        "README.md",
        yaml,
        &machine::fleet::Inputs::default(),
        &machine::driver::Drivers::built_in(),
    );
    assert!(fleet.is_ok(), "{fleet:?}");
}

/// Every driver that makes machines has a page, which says how a fleet file uses it.
#[test]
fn the_fleets_on_the_pages_of_drivers_are_fleets() {
    for driver in machine::driver::Drivers::built_in().iter().filter(|driver| driver.creates()) {
        let path = format!("docs/drivers/{}.md", driver.name());
        let page = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        let blocks: Vec<&str> = page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
        assert!(!blocks.is_empty(), "{path} has no fleet");
        for block in blocks {
            let fleet = machine::fleet::load(
                &path,
                block,
                &machine::fleet::Inputs::default(),
                &machine::driver::Drivers::built_in(),
            );
            let fleet = fleet.unwrap_or_else(|report| panic!("{path}: {report:?}\n{block}"));
            assert!(fleet.hosts.values().any(|host| host.driver == driver.name()), "{path}\n{block}");
        }
        assert!(page.contains(&format!("machine create -d {}", driver.name())), "{path} shows no `machine create`");
    }
}
