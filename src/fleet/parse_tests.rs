use super::*;
use serde_json::{Value as Json, json};

fn tree(text: &str) -> Node {
    let mut problems = Problems::default();
    let node = parse(0, text, &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    node.unwrap()
}

fn problems(text: &str) -> Vec<&'static str> {
    let mut problems = Problems::default();
    parse(0, text, &mut problems);
    let all = super::super::FleetProblems::new("x", text, problems);
    all.problems().iter().map(|p| p.code.as_str().rsplit("::").next().unwrap()).collect()
}

fn at<'a>(text: &'a str, node: &Node) -> &'a str {
    &text[node.at.start()..node.at.end()]
}

/// Every key and every scalar is where its place says, whatever the encoding.
fn places_are_true(text: &str, node: &Node) {
    match &node.value {
        Value::Scalar(scalar) if scalar.style == Style::Plain && !scalar.text.is_empty() => {
            assert_eq!(at(text, node), scalar.text);
        }
        Value::Scalar(_) => {}
        Value::List(items) => items.iter().for_each(|n| places_are_true(text, n)),
        Value::Map(entries) => {
            for e in entries {
                assert_eq!(text[e.key_at.start()..e.key_at.end()], e.key);
                places_are_true(text, &e.node);
            }
        }
    }
}

#[test]
fn places_are_bytes_whatever_the_encoding() {
    let text = "# ü\nfleet: 日本\nhosts:\n  wéb: {a: [1, zwei], b: é}\n  db:\n    - x\n    - yß: 1\n";
    for text in [text.to_owned(), format!("\u{feff}{text}"), text.replace('\n', "\r\n")] {
        let node = tree(&text);
        places_are_true(&text, &node);
        let host = node.entry("hosts").unwrap().node.entry("wéb").unwrap();
        assert_eq!(at(&text, &host.node), "{a: [1, zwei], b: é}");
        assert_eq!(host.node.to_json(), json!({"a": [1, "zwei"], "b": "é"}));
    }
}

#[test]
fn aliases_and_merges_copy_and_the_explicit_wins() {
    let text = "a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc: {<<: *a, y: 9}\nd: {<<: [*b, *a], w: 0}\ne: *a\n";
    let node = tree(text).to_json();
    assert_eq!(node["c"], json!({"y": 9, "x": 1}));
    assert_eq!(node["d"], json!({"w": 0, "y": 3, "z": 4, "x": 1}));
    assert_eq!(node["e"], json!({"x": 1, "y": 2}));
    assert_eq!(tree("\"<<\": 1").to_json(), json!({"<<": 1}), "a quoted `<<` is a key like any other");
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for (text, want) in [
        ("", "empty"),
        ("# nothing\n", "empty"),
        ("\u{feff}", "empty"),
        ("~", "empty"),
        ("a: 1\n---\nb: 2\n", "several_documents"),
        ("a: 1\na: 2\n", "duplicate_key"),
        ("a: {b: 1, b: 2}\n", "duplicate_key"),
        ("? [a, b]\n: 1\n", "bad_key"),
        ("a: ${var.x\n", ""),
        ("a: [1\n", "syntax"),
        ("a:\n\tb: 1\n", "syntax"),
        ("a: &a [*a]\n", "bad_alias"),
        ("a: *nothing\n", "syntax"),
        ("a: {<<: 1}\n", "bad_alias"),
        ("a: !secret x\n", "unknown_tag"),
        ("a: !!int 3\n", ""),
    ] {
        let want: Vec<&str> = [want].into_iter().filter(|w| !w.is_empty()).collect();
        assert_eq!(problems(text), want, "{text:?}");
    }
}

#[test]
fn depth_and_aliases_are_bounded() {
    assert_eq!(problems(&"[".repeat(100_000)), ["too_deep"]);
    assert_eq!(problems(&"{a: ".repeat(100_000)), ["too_deep"]);
    assert_eq!(problems(&format!("{}1", "- ".repeat(100_000))), ["too_deep"]);
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..20 {
        use std::fmt::Write as _;
        let last = format!("*a{}", n - 1);
        writeln!(bomb, "a{n}: &a{n} [{}]", [last.as_str(); 10].join(", ")).unwrap();
    }
    assert_eq!(problems(&bomb), ["too_large"]);
}

/// A second YAML implementation agrees on what documents mean.
#[test]
fn another_parser_reads_the_same_values() {
    for text in [
        "a: 1\nb: [true, ~, 'x', \"y\\n\", 1.5, 0x1f]\nc: |\n  one\n   two\n\nd: >-\n  folded\n  text\n",
        "? a\n: b\nlist:\n- x\n- - y\n  - z\n- k: v\n  l: w\n",
        "plain: several words # comment\nurl: https://example.org/a#b\nempty:\nquoted: 'it''s'\n",
        "multi: one\n  two\n  three\nflow: {a: [1, {b: c}], 'd': e,}\n",
    ] {
        let other: Json = serde_yaml::from_str(text).unwrap();
        assert_eq!(tree(text).to_json(), other, "{text}");
    }
}
