use super::*;
use serde_json::{Value as Json, json};

fn told(text: &str) -> Result<Json, Vec<String>> {
    let mut problems = Problems::default();
    let node = parse(0, text, &mut problems);
    if problems.is_empty() {
        return Ok(node.unwrap().to_json());
    }
    let all = super::super::FleetProblems::new("x.kdl", text, problems);
    let place = |p| all.line_and_column(p).map_or(String::new(), |(l, c)| format!("{l}:{c} "));
    Err(all.problems().iter().map(|p| format!("{}{p}; {}", place(p), p.help.clone().unwrap_or_default())).collect())
}

#[test]
fn the_mapping_is_what_its_table_says() {
    for (kdl, want) in [
        ("fleet shop", json!({ "fleet": "shop" })),
        ("hosts { web; db { count 2 } }", json!({ "hosts": { "web": null, "db": { "count": 2 } } })),
        ("db count=2 protect=#true", json!({ "db": { "count": 2, "protect": true } })),
        ("db count=2 { protect #true; }", json!({ "db": { "count": 2, "protect": true } })),
        ("x db cache", json!({ "x": ["db", "cache"] })),
        (
            "hooks { - \"a\"; - run=b; -; - { - 1 }; - 1 2 }",
            json!({ "hooks": ["a", { "run": "b" }, null, [1], [1, 2]] }),
        ),
        ("(list)dns \"1.1.1.1\"\n(list)none", json!({ "dns": ["1.1.1.1"], "none": [] })),
        ("(map)labels { - 1 }", json!({ "labels": { "-": 1 } })),
        ("labels { \"-\" 1 }", json!({ "labels": { "-": 1 } })),
        ("n (plain)\".5\" (plain)\"True\"", json!({ "n": [0.5, true] })),
        ("web\nw2 {}\nw3 #null", json!({ "web": null, "w2": {}, "w3": null })),
        (
            "hosts { web depends_on=db { tls-names \"a.b\" } }",
            json!({ "hosts": { "web": { "depends_on": ["db"], "tls-names": ["a.b"] } } }),
        ),
        ("a 1_000 0x1F -7 1.50 +2", json!({ "a": [1000, 31, -7, 1.5, 2] })),
        (
            "a \\ // goes on\n  1 /* two\n */ 2 // three\n/- b 1\nc /- 1 2 /-d=1 /-{ e }\n",
            json!({ "a": [1, 2], "c": 2 }),
        ),
        ("a \"t\\tq\\\"u\\u{e9}\\s\" #\"raw \\n\"# r", json!({ "a": ["t\tq\"u\u{e9} ", "raw \\n", "r"] })),
        (
            "a \"\"\"\n    one\n      two\n\n    three \\\n       more\n    \"\"\"\nb ##\"\"\"\n x\"#\n \"\"\"##",
            json!({ "a": "one\n  two\n\nthree more", "b": "x\"#" }),
        ),
        ("\"key with blank\" é\r\n\u{a0}ü 1;z", json!({ "key with blank": "é", "ü": 1, "z": null })),
    ] {
        assert_eq!(told(kdl), Ok(want), "{kdl}");
    }
}

#[test]
fn what_cannot_be_read_is_told_with_what_to_write() {
    for (kdl, want) in [
        ("", "the fleet file is empty"),
        ("// nothing", "the fleet file is empty"),
        ("ip 192.0.2.10", "1:4 `192.0.2.10` begins as a number and is none; put it in quotes: `\"192.0.2.10\"`"),
        ("memory 2GiB", "1:8 `2GiB` begins as a number and is none; put it in quotes: `\"2GiB\"`"),
        ("net 10.0.0.0/8\nx 1", "1:5 `10.0.0.0/8` begins as a number"),
        (
            "protect true",
            "1:9 `true` alone is neither a value nor a text; write `#true` for the value, or `\"true\"` for the text",
        ),
        ("# comment\nfleet x", "1:1 `#` begins no comment in KDL; a comment begins with `//`"),
        ("fleet: shop", ""),
        ("fleet=shop", "1:6 a blank is missing before this; write a key and its value with a blank between"),
        ("a [1, 2]", "1:3 `[` means nothing in KDL; a list is written as values"),
        ("a {\n  b {\n}\n", "1:3 this `{` is not closed"),
        ("a\n}", "2:1 this `}` closes nothing"),
        ("a \"x", "1:3 this string is not closed"),
        ("a \"x\ny\"", "1:3 this string is not closed"),
        ("a /* x", "1:3 this comment is not closed"),
        ("a \"\\q\"", "1:4 `\\q` means nothing in a string"),
        ("a 1 {}", "1:5 `a` has a value and keys"),
        ("a 1 b=2", "1:5 `a` has a value and keys"),
        ("a { - 1; b 2 }", "1:5 `a` has items and keys"),
        ("a 1\na 2", "2:1 `a` is here twice"),
        ("a b=1 b=2", "1:7 `b` is here twice"),
        ("a b=1 { b 2 }", "1:9 `b` is here twice"),
        ("(u8)a 1", "1:1 the annotation `(u8)` means nothing here"),
        ("a (u8)1", "1:3 the annotation `(u8)` means nothing here"),
        ("a \"b\"\"c\"", "1:6 a blank is missing before this"),
        ("a { b } c", "1:9 nothing can follow a block on its line"),
        ("a /-{ b } c", "1:11 nothing can follow a block on its line"),
        ("a { b } { c }", "1:9 a key has one block"),
        ("{ a }", "1:1 there is no key before this `{`"),
        ("1 a", "1:1 a key must be a text"),
        ("a;; b", "1:3 there is no key before this `;`; remove it"),
        ("a b=", "1:5 a value is missing here"),
        ("a #inf", "1:3 `#inf` is no value of a fleet"),
        ("a \u{202e}b", "1:3 the character U+202E is no text"),
        ("a \"x\0\"", "1:5 the character U+0000 is no text"),
        ("a \\ b", "1:3 `\\` only continues a line"),
        ("a /-", "1:5 a value is missing here"),
    ] {
        match told(kdl) {
            Ok(_) => assert_eq!(want, "", "{kdl:?}"),
            Err(all) => assert!(all.len() == 1 && !want.is_empty() && all[0].starts_with(want), "{kdl:?}: {all:?}"),
        }
    }
}

#[test]
fn what_is_left_out_must_only_be_kdl() {
    let left_out = "/- a { b 1; b 2; (u8)c #inf }\nd 1 /-(u8)2 /-{ - 1; e 2 }\n";
    assert_eq!(told(left_out), Ok(json!({ "d": 1 })));
    assert_eq!(told("/- a 2G\nb").unwrap_err().len(), 1);
}

#[test]
fn several_mistakes_are_told_at_once() {
    let all = told("# yaml\nip 192.0.2.1\nprotect true { x 2G }\n").unwrap_err();
    assert_eq!(all.len(), 5, "{all:?}");
}

#[test]
fn depth_and_size_are_bounded() {
    let first = |text: String| told(&text).unwrap_err().remove(0);
    assert!(first("a {".repeat(100_000)).contains("more than 64 deep"));
    assert!(first("a { - ".repeat(100_000)).contains("more than 64 deep"));
    assert!(first("/- a {".repeat(100_000)).contains("more than 64 deep"));
    assert!(first("/*".repeat(100_000)).contains("not closed"));
}
