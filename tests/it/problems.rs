//! What people read when a fleet file is wrong: every file in `tests/problems`, rendered as on a terminal.
//! A file may name variables of the command line in its first line, as `# machine apply --var NAME=VALUE`.

use crate::properties::properties;
use machine::fleet::{self, Code, FleetProblems, Inputs};
use miette::{GraphicalReportHandler, GraphicalTheme};
use proptest::prelude::*;
use std::{collections::BTreeMap, collections::BTreeSet, fs, path::PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &str) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = fs::read_dir(root().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap()))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

fn inputs(text: &str) -> Inputs {
    let given = text.lines().next().unwrap_or_default().strip_prefix("# machine apply --var ");
    let vars = given.and_then(|given| given.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned()));
    let env = BTreeMap::from([("IMAGE".to_owned(), "debian-12".to_owned())]);
    Inputs { vars: vars.into_iter().collect(), env, default_name: None }
}

fn problems(name: &str, text: &str) -> FleetProblems {
    fleet::load(&format!("{name}.yaml"), text, &inputs(text), &machine::driver::Drivers::built_in()).expect_err(name)
}

fn rendered(problems: &FleetProblems) -> String {
    let mut out = String::new();
    GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .with_width(100)
        .render_report(&mut out, problems)
        .unwrap();
    // Lines of an excerpt end in blanks, which editors remove.
    out.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_problem_reads_well() {
    for (name, text) in files("tests/problems") {
        insta::with_settings!({ snapshot_path => "../problems", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name.as_str(), rendered(&problems(&name, &text)));
        });
    }
}

/// The same in KDL, with advice in KDL. Pain 34.
#[test]
fn every_problem_of_a_kdl_file_reads_as_well() {
    for entry in fs::read_dir(root().join("tests/problems/kdl")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "kdl") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let all = fleet::load(&format!("{name}.kdl"), &text, &inputs(&text), &machine::driver::Drivers::built_in())
            .expect_err(name);
        for problem in all.problems() {
            assert!(problem.help.is_some() && all.line_and_column(problem).is_some(), "{name}: {problem}");
        }
        insta::with_settings!({ snapshot_path => "../problems/kdl", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, rendered(&all));
        });
    }
}

/// No driver has a secret option yet; the loader's own tests show that code.
// `null` removes nothing only in an overlay, whose tests show it.
const NOT_SHOWN: &[Code] = &[Code::SecretInFile, Code::NothingToRemove];

#[test]
fn every_code_is_shown_by_a_file() {
    let shown: BTreeSet<Code> = files("tests/problems")
        .iter()
        .flat_map(|(name, text)| problems(name, text).problems().iter().map(|p| p.code).collect::<Vec<_>>())
        .collect();
    let missing: Vec<&Code> = Code::ALL.iter().filter(|c| !shown.contains(c) && !NOT_SHOWN.contains(c)).collect();
    assert!(missing.is_empty(), "no file in tests/problems shows {missing:?}");
    let needless: Vec<&Code> = NOT_SHOWN.iter().filter(|c| shown.contains(c)).collect();
    assert!(needless.is_empty(), "{needless:?} are shown by now");
}

#[test]
fn every_problem_has_a_place_and_says_what_to_do() {
    for (name, text) in files("tests/problems") {
        let all = problems(&name, &text);
        let places: Vec<_> = all.problems().iter().map(|p| all.line_and_column(p)).collect();
        assert!(places.is_sorted(), "{name}: in file order");
        for problem in all.problems() {
            assert!(problem.help.is_some(), "{name}: {problem}");
            assert!(all.line_and_column(problem).is_some() || problem.code == Code::Empty, "{name}: {problem}");
            let message = problem.to_string();
            assert!(!message.ends_with('.') && !message.starts_with(char::is_uppercase), "{name}: {message}");
        }
    }
}

/// Whatever it is given, it answers: a fleet, or at least one problem whose places are in the text.
fn answers(text: &str) -> Result<(), TestCaseError> {
    let Err(problems) = fleet::load("x.yaml", text, &Inputs::default(), &machine::driver::Drivers::built_in()) else {
        return Ok(());
    };
    prop_assert!(!problems.problems().is_empty());
    for problem in problems.problems() {
        prop_assert!(problem.offset().is_none_or(|at| at <= text.len() && text.is_char_boundary(at)), "{:?}", problem);
    }
    // Rendering slices the text at both ends of every label.
    rendered(&problems);
    Ok(())
}

/// Formatting keeps meaning and comments, and does nothing the second time.
fn formats(text: &str) -> Result<(), TestCaseError> {
    let Ok(once) = fleet::format("x.yaml", text) else {
        return Ok(());
    };
    let load = |text: &str| fleet::load("x.yaml", text, &Inputs::default(), &machine::driver::Drivers::built_in()).ok();
    prop_assert_eq!(load(text), load(&once), "{:?}", text);
    prop_assert_eq!(fleet::format("x.yaml", &once).ok(), Some(once.clone()), "{:?}", text);
    Ok(())
}

fn examples() -> Vec<String> {
    files("examples/fleets").into_iter().chain(files("tests/problems")).map(|(_, text)| text).collect()
}

/// An example with a few characters removed, doubled, or replaced by ones that mean something in YAML.
fn mutated() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "",
        " ",
        "  ",
        "\n",
        "\t",
        ":",
        ": ",
        "- ",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "'",
        "#",
        " # ",
        "&a ",
        "*a",
        "<<: ",
        "|\n",
        ">-\n ",
        "!t ",
        "${",
        "${var.size}",
        "~",
        "é",
        "\u{feff}",
        "\r\n",
        "\0",
        "---\n",
        "? ",
        ",",
        "count: 3",
    ]);
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0..4_usize, piece), 1..4);
    (prop::sample::select(examples()), edits).prop_map(|(text, edits)| {
        let mut chars: Vec<char> = text.chars().collect();
        for (at, remove, put) in edits {
            let at = at.index(chars.len().max(1)).min(chars.len());
            chars.splice(at..(at + remove).min(chars.len()), put.chars());
        }
        chars.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(properties(256))]

    #[test]
    fn no_text_is_too_strange(text in "\\PC{0,80}") {
        answers(&text)?;
        formats(&text)?;
    }

    #[test]
    fn no_yaml_is_too_strange(text in "([a-c]{1,2}|: |- |\n|\n  |\n    |[\\[\\]{},#&*!|>'\"%@?]| ){0,40}") {
        answers(&text)?;
        formats(&text)?;
    }

    #[test]
    fn no_kdl_is_too_strange(text in "([a-c]{1,2}|=|-| |\n|\\{|\\}|;|\"|#|#true|/-|//|/\\*|\\*/|\\(list\\)|1|\\\\|\"\"\"|é){0,40}") {
        if let Err(problems) = fleet::load("x.kdl", &text, &Inputs::default(), &machine::driver::Drivers::built_in()) {
            prop_assert!(!problems.problems().is_empty());
            rendered(&problems);
        }
        if let Ok(once) = fleet::format("x.kdl", &text) {
            prop_assert_eq!(fleet::format("x.kdl", &once).ok(), Some(once.clone()), "{:?}", text);
        }
    }

    #[test]
    fn no_typing_error_is_too_strange(text in mutated()) {
        answers(&text)?;
        formats(&text)?;
    }
}
