use super::*;
use crate::properties::properties;
use ::kdl::{KdlDocument, KdlNode, KdlValue};
use proptest::prelude::*;

const LIMITS: Limits = Limits { depth: 64, values: 1_000_000 };

#[derive(Debug)]
struct Tree(Node<Tree>);

fn trees(text: &str) -> Reading<Tree> {
    read(text, LIMITS, Tree)
}

/// `None`: it is not KDL.
fn whole(text: &str) -> Option<Vec<Tree>> {
    let read = trees(text);
    assert!(read.nodes.is_some() || !read.flaws.is_empty(), "no reason is given for {text:?}");
    read.nodes.filter(|_| read.flaws.is_empty())
}

fn stretches(text: &str) -> Vec<String> {
    fn of(tree: &Tree, text: &str, out: &mut Vec<String>) {
        let Tree(node) = tree;
        let mut say = |what: &str, at: &Range<usize>| out.push(format!("{what} {}", &text[at.clone()]));
        node.annotation.iter().for_each(|word| say("annotation", &word.at));
        say("name", &node.name.at);
        for value in &node.arguments {
            value.annotation.iter().for_each(|word| say("annotation", &word.at));
            say("argument", &value.at);
        }
        for (key, value) in &node.properties {
            say("key", &key.at);
            value.annotation.iter().for_each(|word| say("annotation", &word.at));
            say("value", &value.at);
        }
        if let Some(block) = &node.block {
            say("block", &block.at);
            block.children.iter().for_each(|child| of(child, text, out));
        }
    }
    let read = trees(text);
    assert_eq!(read.flaws, [], "{text}");
    let mut out = Vec::new();
    read.nodes.unwrap().iter().for_each(|tree| of(tree, text, &mut out));
    out.extend(read.dropped.into_iter().map(|at| format!("out {}", &text[at])));
    out
}

#[test]
fn every_piece_knows_its_place() {
    let text = "\u{feff}// é\r\n(list)é ünd (plain)\"x\\n\" k=(t)\"v\" 28.20 \\ // c\r\n  #\"r\"# /- 1 /-b=2 \"\"\"\r\n   m\r\n   \"\"\" {\r\n /- d {\r\n\r\n}\r\n e 0x1F } /-{ g }\r\n";
    let block = "block {\r\n /- d {\r\n\r\n}\r\n e 0x1F }";
    let want = [
        "annotation (list)",
        "name é",
        "argument ünd",
        "annotation (plain)",
        "argument \"x\\n\"",
        "argument 28.20",
        "argument #\"r\"#",
        "argument \"\"\"\r\n   m\r\n   \"\"\"",
        "key k",
        "annotation (t)",
        "value \"v\"",
        block,
        "name e",
        "argument 0x1F",
        "out /- 1",
        "out /-b=2",
        "out /- d {\r\n\r\n}",
        "out /-{ g }",
    ];
    assert_eq!(stretches(text), want);
}

#[test]
fn what_is_left_out_is_held_to_be_kdl_and_made_nothing_of() {
    let mut made = Vec::new();
    let read =
        read("/- a { b; c }\nd { /- e { f }\n g } /-{ h }\n", LIMITS, |node: Node<()>| made.push(node.name.text));
    assert_eq!((read.nodes.map(|nodes| nodes.len()), read.flaws.as_slice()), (Some(1), [].as_slice()));
    assert_eq!(made, ["g", "d"]);
    assert!(whole("/- a 2GiB").is_none());
    assert!(whole("/- a { b").is_none());
}

#[test]
fn what_was_read_before_the_end_of_sense_has_been_made() {
    let mut made = Vec::new();
    let read = read("a { b 1; c }\nd {", LIMITS, |node: Node<()>| made.push(node.name.text));
    assert!(read.nodes.is_none());
    assert_eq!(made, ["b", "c", "a"]);
}

/// Each level must not be read more than once, nor may the stack end: neither here nor in what is made of it.
#[test]
fn depth_costs_nothing_and_has_an_end() {
    let limits = Limits { depth: 200, ..LIMITS };
    for (open, close) in
        [("a {", "}\n"), ("a /-{ ", "} "), ("/-a { ", "}\n"), ("a /-1 /-{ ", "} "), ("(t)a 1 b=2 {", "}\n")]
    {
        let text = |times: usize| open.repeat(times) + &close.repeat(times);
        assert_eq!(read(&text(200), limits, Tree).flaws, [], "{open}");
        for times in [201, 100_000] {
            let read = read(&text(times), limits, Tree);
            assert!(matches!(read.flaws[..], [Flaw::TooDeep(_)]), "{open}: {:?}", read.flaws);
        }
    }
    // Comments are counted, not called for.
    assert!(whole(&("/*".repeat(100_000) + &"*/ ".repeat(100_000))).is_some());
    let few = Limits { values: 3, ..LIMITS };
    assert_eq!(read("a 1 b=2", few, Tree).flaws, []);
    assert_eq!(read("a 1 2 3", few, Tree).flaws, [Flaw::TooMany(6..7)]);
}

#[test]
fn a_file_of_mistakes_does_not_exhaust_memory() {
    assert_eq!(trees(&"a 2G\n".repeat(20_000)).flaws.len(), 10_000);
}

/// Some of them are from the tests of KDL itself.
#[test]
fn where_the_crate_differs_the_text_of_kdl_counts() {
    for text in ["node #\"\"\"one line\"\"\"#", "node1 \u{7f}arg\n", "a -inf", "a #true/-b"] {
        assert!(whole(text).is_none(), "{text:?}");
    }
    for text in ["node /-{\n    child\n} foo {\n    bar\n}\n", "a /-{ } /-1", "a { } /- 1", ";", "a;;b", "a {;}"] {
        assert!(whole(text).is_none() && KdlDocument::parse_v2(text).is_err(), "{text:?}");
    }
    for text in ["/- a;b", "/- a; b {}"] {
        assert!(whole(text).is_some() && KdlDocument::parse_v2(text).is_err(), "the crate can do it now: {text:?}");
    }
}

/// The kdl crate reads the same.
mod crate_agrees {
    use super::*;

    fn number(text: &str) -> KdlValue {
        for (prefix, radix) in [("0x", 16), ("0o", 8)] {
            if let Some(digits) = text.strip_prefix(prefix) {
                return KdlValue::Integer(i128::from_str_radix(digits, radix).unwrap());
            }
        }
        if text.contains(['.', 'e', 'E']) {
            return KdlValue::Float(text.parse().unwrap());
        }
        KdlValue::Integer(text.parse().unwrap())
    }

    /// Values as the crate has them.
    fn said(value: &Value, text: &str) -> KdlValue {
        match &value.said {
            Said::Text(text) => KdlValue::String(text.clone()),
            Said::Number(text) => number(text),
            Said::Flag(flag) => KdlValue::Bool(*flag),
            Said::Null => KdlValue::Null,
            Said::NotFinite => KdlValue::Float(match &text[value.at.clone()] {
                "#inf" => f64::INFINITY,
                "#-inf" => f64::NEG_INFINITY,
                _ => f64::NAN,
            }),
            Said::Unknown => unreachable!("there are no flaws"),
        }
    }

    fn ours(nodes: &[Tree], text: &str, out: &mut Vec<String>) {
        for Tree(node) in nodes {
            let ty = node.annotation.as_ref().map(|word| &word.text);
            out.push(format!("{ty:?} {:?} at {:?}", node.name.text, node.name.at));
            for value in &node.arguments {
                let ty = value.annotation.as_ref().map(|word| &word.text);
                out.push(format!("{ty:?} {:?} to {}", said(value, text), value.at.end));
            }
            for (key, value) in &node.properties {
                let ty = value.annotation.as_ref().map(|word| &word.text);
                out.push(format!("{:?} at {:?} {ty:?} {:?} to {}", key.text, key.at, said(value, text), value.at.end));
            }
            out.push(format!("{}", node.block.is_some()));
            ours(node.block.as_ref().map_or(&[], |block| &block.children), text, out);
        }
    }

    fn theirs(nodes: &[KdlNode], out: &mut Vec<String>) {
        let range = |span: miette::SourceSpan| span.offset()..span.offset() + span.len();
        for node in nodes {
            let ty = node.ty().map(::kdl::KdlIdentifier::value);
            out.push(format!("{ty:?} {:?} at {:?}", node.name().value(), range(node.name().span())));
            let (arguments, properties): (Vec<_>, Vec<_>) = node.entries().iter().partition(|e| e.name().is_none());
            for entry in arguments.into_iter().chain(properties) {
                let key = entry.name().map(|name| format!("{:?} at {:?} ", name.value(), range(name.span())));
                let ty = entry.ty().map(::kdl::KdlIdentifier::value);
                let (value, end) = (entry.value(), range(entry.span()).end);
                out.push(format!("{}{ty:?} {value:?} to {end}", key.unwrap_or_default()));
            }
            out.push(format!("{}", node.children().is_some()));
            theirs(node.children().map_or(&[], KdlDocument::nodes), out);
        }
    }

    /// The law: what is read here is KDL, and says the same there.
    fn agree(text: &str) -> Result<(), TestCaseError> {
        let Some(nodes) = whole(text) else { return Ok(()) };
        let document = KdlDocument::parse_v2(text);
        let document = document.map_err(|e| TestCaseError::fail(format!("only ours reads {text:?}: {e}")))?;
        let (mut a, mut b) = (Vec::new(), Vec::new());
        ours(&nodes, text, &mut a);
        theirs(document.nodes(), &mut b);
        prop_assert_eq!(a, b, "{:?}", text);
        Ok(())
    }

    /// Records of an earlier version, and fleet files.
    const SAMPLES: [&str; 5] = [
        include_str!("../../tests/earlier/records-in-kdl/stores/fleet/machines/web-1/record.kdl"),
        include_str!("../../tests/earlier/records-in-kdl/stores/adopted/machines/theirs/record.kdl"),
        include_str!("../../tests/earlier/records-in-kdl/stores/half-made/machines/one-1/record.kdl"),
        include_str!("../../examples/fleets/groups.kdl"),
        include_str!("../../examples/fleets/jump-host.kdl"),
    ];

    #[test]
    fn on_samples() {
        for text in SAMPLES {
            assert!(whole(text).is_some(), "{text}");
            agree(text).unwrap();
        }
    }

    proptest! {
        #![proptest_config(properties(512))]

        #[test]
        fn on_documents(text in "((a|b|c1|\"q q\"|é|\\(t\\)a) ?((1|-2|0x1F|1.5|1_0|#true|#null|#false|#inf|x|y=1|z=\"t\\\\n\"|\\(t\\)u|v=\\(t\\)1|#\"r\\\\\"#|/\\* c \\*/|\\\\ /\\* c \\*/\n|/-p=1|/-q|\\\\ // c\n) ?){0,4}( ?\\{ (d 1; )?(e \\{ f 2; \\})?\\})?( ?/-\\{ g \\})?(\n|\r\n|;|// c\n)){0,4}") {
            agree(&text)?;
        }

        #[test]
        fn on_strings(text in "a (\"(x|\\\\n|\\\\\\\\|\\\\s|é|\\\\  ){0,4}\"|\"\"\"\n(  (x|\\\\t|  |\"|\\\\\n  )*\n){0,3}  \"\"\"|#\"(x|\\\\|\")*\"#)\n") {
            agree(&text)?;
        }
    }

    proptest! {
        #![proptest_config(properties(96))]

        #[test]
        fn on_what_was_written_and_changed(text in prop::sample::select(SAMPLES.to_vec()), at in any::<usize>(), put in ".{0,2}|[\"\\\\{}()#0-9 \n-]{1,2}") {
            let mut at = at % text.len();
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            agree(&format!("{}{put}{}", &text[..at], &text[at..]))?;
            agree(&format!("{}{put}", &text[..at]))?;
        }
    }
}
