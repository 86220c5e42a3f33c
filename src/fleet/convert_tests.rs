use super::*;
use crate::fleet::node::{Entry, Place, Style};
use crate::properties::properties;
use proptest::prelude::*;

#[track_caller]
fn case(yaml: &str, kdl: &str) {
    let to = |name: &str, text: &str, form| match convert(&Source::new(name, text), form) {
        Ok(done) => done.text,
        Err(problems) => panic!("{:?}", problems.problems()),
    };
    assert_eq!(to("x.yaml", yaml, Form::Kdl), kdl);
    assert_eq!(to("x.kdl", kdl, Form::Yaml), yaml);
}

#[test]
fn both_forms_say_the_same_with_the_same_comments() {
    case(
        "# top\n\nfleet: shop\n\n# who\nhosts:\n  # the first\n  web: # beside\n    count: 2\n    depends_on: [db]\n    # last of web\n  db: { driver: nspawn, memory: 2GiB } # inline\n  cache:\n# end\n",
        "// top\n\nfleet shop\n\n// who\nhosts {\n  // the first\n  web { // beside\n    count 2\n    depends_on db\n    // last of web\n  }\n  db driver=nspawn memory=\"2GiB\" // inline\n  cache\n}\n// end\n",
    );
}

#[test]
fn every_kind_of_value_has_its_twin() {
    case(
        "a: [1, x, true]\nb: [1]\nc: []\nd: {}\ne: null\nf:\ng: \"5\"\nh: 1.50\ni: 192.0.2.1\nj: \"yes\"\n",
        "a 1 x #true\n(list)b 1\n(list)c\nd {}\ne #null\nf\ng \"5\"\nh 1.50\ni \"192.0.2.1\"\nj yes\n",
    );
    case(
        "hooks:\n  - run: [a, b]\n    on:\n      - x\n      - { y: 1 }\n  - plain\n  # of the last\n  - z: |\n      one\n        two\n",
        "hooks {\n  - {\n    run a b\n    \"on\" {\n      - x\n      - y=1\n    }\n  }\n  - plain\n  // of the last\n  - {\n    z \"\"\"\n      one\n        two\n\n      \"\"\"\n  }\n}\n".replace("\"on\"", "on").as_str(),
    );
}

#[test]
fn a_comment_behind_quotes_is_kept() {
    case(
        "a: \"1\" # c1\nb:\n  - \"\" # c2\n  - \"it's\" # c3\n",
        "a \"1\" // c1\nb {\n  - \"\" // c2\n  - \"it's\" // c3\n}\n",
    );
    let single = convert(&Source::new("x.yaml", "a: 'it''s' # '\n"), Form::Kdl).unwrap();
    assert_eq!(single.text, "a \"it's\" // '\n");
}

#[test]
fn what_the_other_form_cannot_hold_is_said() {
    let done = convert(&Source::new("x.yaml", "a: &a { x: 1 } # c\nb: *a\nc: { <<: *a, y: .5 }\n"), Form::Kdl).unwrap();
    assert_eq!(done.text, "a x=1 // c\nb {\n  x 1\n}\nc {\n  y (plain)\".5\"\n  x 1\n}\n");
    assert_eq!(done.notes.len(), 1, "{:?}", done.notes);
    let done = convert(&Source::new("x.kdl", "a 1 /- b=2\n/- c {\n  d 1\n}\ne 1 /* x\n y */\n"), Form::Yaml).unwrap();
    assert_eq!(
        done.text,
        "# /- c {\n# d 1\n# }\na: 1 # /- b=2\n# x\ne: 1 # y\n"
            .replace("# /- c {\n# d 1\n# }\na: 1 # /- b=2\n# x\n", "a: 1 # /- b=2\n# /- c {\n# d 1\n# }\n# y\n")
            .replace("e: 1 # y", "e: 1 # x")
    );
    assert_eq!(done.notes.len(), 1);
    assert!(convert(&Source::new("x.yaml", "a: [1"), Form::Kdl).is_err());
}

/// Any tree of texts, numbers, lists and mappings, as deep and strange as a fleet's.
fn tree() -> impl Strategy<Value = Node> {
    let at = Place::new(0, 0, 0);
    let words = prop_oneof![
        "\\PC{0,6}",
        "[a-z0-9_.:/ -]{1,8}",
        prop::sample::select(vec![
            "",
            "-",
            "true",
            "True",
            "null",
            "~",
            ".5",
            "1_0",
            "0x1F",
            "-0x1",
            "017",
            "1e3",
            "1.",
            "nan",
            "- x",
            "a: b",
            "x #y",
            "é",
            "\u{2028}",
            "a\nb",
            " a\n  b\n",
            "\t",
            "\"\"\"",
            "\\",
            "<<",
            "---",
            "${var.x}",
            "yes",
            "#c",
            "a\n\nb\n",
            "\u{85}x",
            "inf",
            "+1",
            "1 ",
            "@x",
            "`",
            "a\r\nb",
            "a\n\"\"\"\nb\\n",
        ])
        .prop_map(str::to_owned),
    ];
    let scalar = (words.clone(), any::<bool>()).prop_map(move |(text, quoted)| {
        let plain = Scalar { text: text.clone(), style: Style::Plain };
        let fine = !quoted && !matches!(plain.meaning(), Meaning::Text(_));
        let style = if fine { Style::Plain } else { Style::Quoted };
        Node { at, value: Value::Scalar(Scalar { text, style }) }
    });
    scalar.prop_recursive(4, 32, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(move |items| Node { at, value: Value::List(items) }),
            prop::collection::btree_map(words.clone(), inner, 0..5).prop_map(move |map| {
                let entries = map.into_iter().map(|(key, node)| Entry { key, key_at: at, node });
                Node { at, value: Value::Map(entries.collect()) }
            }),
        ]
    })
}

proptest! {
    #![proptest_config(properties(512))]

    /// The mapping is total: whatever a fleet may hold, both forms hold it.
    #[test]
    fn any_tree_is_the_same_in_both_forms(node in tree()) {
        let at = Place::new(0, 0, 0);
        let root = Node { at, value: Value::Map(vec![Entry { key: "root".to_owned(), key_at: at, node }]) };
        let kdl = kdl_write::write(&root, "", Remarks::default());
        let mut problems = Problems::default();
        let read = kdl::document(0, &kdl, &mut problems);
        prop_assert!(problems.is_empty(), "{}\n{:?}", kdl, problems);
        prop_assert!(means_the_same(&root, &read.unwrap()), "{}", kdl);
        let yaml = yaml_write::write(&root, "", Remarks::default());
        let read = parse::parse(0, &yaml, &mut problems);
        prop_assert!(problems.is_empty(), "{}\n{:?}", yaml, problems);
        prop_assert!(means_the_same(&root, &read.unwrap()), "{}", yaml);
    }
}
