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
        ("a { b } { c }", "1:9 a key has one block"),
        ("{ a }", "1:1 there is no key before this `{`"),
        ("1 a", "1:1 a key must be a text"),
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

/// A second KDL implementation agrees on what documents mean.
mod crate_agrees {
    use super::*;
    use crate::properties::properties;
    use ::kdl::{KdlDocument, KdlNode, KdlValue};
    use proptest::prelude::*;

    /// The values of a tree in order, without the mapping: keys and scalars.
    fn ours(node: &Node, out: &mut Vec<String>) {
        match &node.value {
            Value::Scalar(scalar) if node.is_null() && scalar.text.is_empty() => {}
            Value::Scalar(scalar) => out.push(match scalar.meaning() {
                super::super::super::node::Meaning::Real(n) => format!("{n:e}"),
                super::super::super::node::Meaning::Whole(n) => format!("{n}"),
                super::super::super::node::Meaning::Null => "#null".to_owned(),
                _ if scalar.style == Style::Plain => format!("#{}", scalar.text),
                _ => format!("{:?}", scalar.text),
            }),
            Value::List(items) => items.iter().for_each(|n| ours(n, out)),
            Value::Map(entries) => {
                for e in entries {
                    out.push(e.key.clone());
                    ours(&e.node, out);
                }
            }
        }
    }

    fn theirs(document: &KdlDocument, out: &mut Vec<String>) {
        let node = |node: &KdlNode, out: &mut Vec<String>| {
            out.push(node.name().value().to_owned());
            for entry in node.entries() {
                out.extend(entry.name().map(|name| name.value().to_owned()));
                out.push(match entry.value() {
                    KdlValue::String(text) => format!("{text:?}"),
                    KdlValue::Integer(n) => format!("{n}"),
                    KdlValue::Float(n) => format!("{n:e}"),
                    KdlValue::Bool(b) => format!("#{b}"),
                    KdlValue::Null => "#null".to_owned(),
                });
            }
            if let Some(children) = node.children() {
                theirs(children, out);
            }
        };
        document.nodes().iter().for_each(|n| node(n, out));
    }

    fn agree(text: &str) -> Result<(), TestCaseError> {
        let mut problems = Problems::default();
        let mine = document(0, text, &mut problems).filter(|_| problems.is_empty());
        let crates: Option<KdlDocument> = KdlDocument::parse_v2(text).ok();
        let Some(mine) = mine else { return Ok(()) };
        let Some(crates) = crates else {
            return Err(TestCaseError::fail(format!("only ours reads {text:?}")));
        };
        let (mut a, mut b) = (Vec::new(), Vec::new());
        ours(&mine, &mut a);
        theirs(&crates, &mut b);
        prop_assert_eq!(a, b, "{:?}", text);
        Ok(())
    }

    proptest! {
        #![proptest_config(properties(512))]

        #[test]
        fn on_documents(text in "((a|b|c1|\"q q\"|é) ?((1|-2|0x1F|1.5|#true|#null|#false|x|y=1|z=\"t\\\\n\"|#\"r\\\\\"#|/\\* c \\*/|/-p=1|/-q|\\\\ // c\n) ?){0,4}( ?\\{ (d 1; )?(e \\{ f 2; \\})?\\})?(\n|;|// c\n)){0,4}") {
            agree(&text)?;
        }

        #[test]
        fn on_strings(text in "a (\"(x|\\\\n|\\\\\\\\|\\\\s|é|\\\\  ){0,4}\"|\"\"\"\n(  (x|\\\\t|  |\"|\\\\\n  )*\n){0,3}  \"\"\"|#\"(x|\\\\|\")*\"#)\n") {
            agree(&text)?;
        }
    }
}
