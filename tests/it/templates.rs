//! Templates do what Go's do: the table was made by Go, see `scripts/golden/templates.go`.

use crate::properties::properties;
use machine::template::{Template, value::Value};
use proptest::prelude::*;
use serde_json::Value as Json;
use std::sync::LazyLock;

#[test]
fn templates_do_what_gos_do() {
    let table: Json = serde_json::from_str(include_str!("../golden/go_templates.json")).unwrap();
    let mut wrong = Vec::new();
    let cases = table["cases"].as_array().unwrap();
    for case in cases {
        let template = case["template"].as_str().unwrap();
        let data = Value::from(&table["data"][case["data"].as_str().unwrap()]);
        let mut output = String::new();
        let done = Template::parse(template).and_then(|parsed| parsed.execute(&data, &mut output));
        let error = done.err().map(|e| e.to_string()).unwrap_or_default();
        let want = (case["output"].as_str().unwrap(), case["error"].as_str().unwrap_or_default());
        if (output.as_str(), error.as_str()) != want {
            wrong.push(format!("{template}\n  want {want:?}\n  got  {:?}", (output, error)));
        }
    }
    assert!(cases.len() > 150);
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

static DOCUMENTS: LazyLock<Vec<Json>> = LazyLock::new(|| {
    let table: Json = serde_json::from_str(include_str!("../golden/go_templates.json")).unwrap();
    table["data"].as_object().unwrap().values().cloned().collect()
});

/// Whatever is typed, there is an end, without a panic.
fn survives(template: &str) {
    for document in &*DOCUMENTS {
        let mut output = String::new();
        let _ = Template::parse(template).and_then(|parsed| parsed.execute(&Value::from(document), &mut output));
    }
}

proptest! {
    #![proptest_config(properties(1000))]

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        survives(&text);
    }

    #[test]
    fn no_action_makes_it_panic(words in prop::collection::vec(prop::sample::select(WORDS), 0..14)) {
        survives(&words.concat());
    }

    #[test]
    fn no_verb_makes_it_panic(format in "%[-+# 0]{0,3}[0-9*.]{0,4}[\\[\\]0-9]{0,3}[a-zA-Z!%é]?", value in prop::sample::select(VALUES)) {
        survives(&format!("{{{{printf `{format}` {value} 1}}}}"));
    }
}

const WORDS: &[&str] = &[
    "{{",
    "}}",
    "{{- ",
    " -}}",
    "{{if ",
    "{{range ",
    "{{with ",
    "{{else}}",
    "{{end}}",
    "{{define \"x\"}}",
    "{{break}}",
    "{{template \"x\" .}}",
    "{{block \"x\" .}}",
    "{{continue}}",
    ".",
    " ",
    "$",
    "$x",
    "$y",
    " := ",
    " = ",
    ", ",
    "|",
    "(",
    ")",
    ".a",
    ".m.a",
    ".s",
    ".mixed",
    ".n",
    ".Driver",
    "nil",
    "true",
    "0",
    "-1",
    "1e400",
    "0x1p-9",
    "9223372036854775807",
    "'x'",
    "\"%d\"",
    "`%[5]*.*f`",
    "index ",
    "slice ",
    "len ",
    "printf ",
    "print ",
    "and ",
    "or ",
    "eq ",
    "lt ",
    "json ",
    "call ",
    "html ",
    "\n",
    "é",
    "\0",
];
const VALUES: &[&str] =
    &[".", ".a", ".s", ".f", ".n", ".big", "1", "-9223372036854775808", "nil", "true", "'x'", ".mixed", ".nope"];

#[test]
fn what_is_nested_too_deep_is_refused() {
    for text in [
        format!("{{{{{}1{}}}}}", "(".repeat(5_000), ")".repeat(5_000)),
        format!("{}{}", "{{if 1}}".repeat(5_000), "{{end}}".repeat(5_000)),
        format!("{{{{if 1}}}}{}{{{{end}}}}", "{{else if 1}}".repeat(5_000)),
        format!("{{{{1{}}}}}", "|print (1".repeat(5_000)),
    ] {
        assert!(Template::parse(&text).unwrap_err().to_string().contains("nested more than"), "{}", &text[..40]);
    }
    let endless =
        Template::parse("{{define \"x\"}}{{template \"x\"}}{{template \"x\"}}{{end}}{{template \"x\"}}").unwrap();
    let error = endless.execute(&Value::Absent, &mut String::new()).unwrap_err().to_string();
    assert!(error.contains("exceeded maximum template depth"), "{error}");
}
